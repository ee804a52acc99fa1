package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	floor    = 250 * time.Millisecond
	hashTime = 20 * time.Millisecond
	readTime = 5 * time.Millisecond
	attempts = 10
	password = "what ann knows"
	here     = "192.0.2.1"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)

// scene is the use cases over a store in memory with two accounts of one password.
type scene struct {
	*auth.Service
	store  *memory.Store
	faults *faultyStore
	hasher *hasher
	tokens *tokens
	ann    domain.User
	ina    domain.User // inactive
	mu     sync.Mutex
	events []domain.Event
}

// test runs f on a new scene, in a bubble whose clock moves only when everybody waits.
func test(t *testing.T, name string, f func(*testing.T, *scene)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{
				store: memory.New(), hasher: &hasher{}, tokens: &tokens{actors: map[string]domain.Actor{}},
				ann: account("ann", true), ina: account("ina", false),
			}
			s.faults = &faultyStore{SignInStore: s.store}
			s.Service = &auth.Service{
				Store: s.faults, Hasher: s.hasher, Tokens: s.tokens, Audit: s.audit, FailureFloor: floor,
				Attempts: &limiter{spent: map[string]int{}},
			}
			_, err := s.store.CreateFirstSuperuser(t.Context(), s.ann)
			require.NoError(t, err)
			require.NoError(t, s.store.CreateUser(t.Context(), s.ann.Actor(), s.ina))
			f(t, s)
		})
	})
}

func account(name string, active bool) domain.User {
	return domain.User{
		ID: "id-of-" + name, Email: email(name + "@example.com"), PasswordHash: "v1$seed$" + password,
		Active: active, Superuser: true, Version: 3, Epoch: 2, CreatedAt: created, UpdatedAt: created,
	}
}

func email(s string) domain.Email {
	e, err := domain.ParseEmail(s)
	if err != nil {
		panic(err)
	}
	return e
}

func (s *scene) audit(_ context.Context, e domain.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// faultyStore fails, or takes its time, where a test says so.
type faultyStore struct {
	ports.SignInStore
	readErr, rehashErr error
	readTime           time.Duration // from the read to its answer
}

func (s *faultyStore) UserForSignIn(ctx context.Context, e domain.Email) (domain.User, error) {
	if s.readErr != nil {
		return domain.User{}, s.readErr
	}
	defer time.Sleep(s.readTime)
	return s.SignInStore.UserForSignIn(ctx, e)
}

func (s *faultyStore) RehashForSignIn(ctx context.Context, id, stale, fresh string) error {
	if s.rehashErr != nil {
		return s.rehashErr
	}
	return s.SignInStore.RehashForSignIn(ctx, id, stale, fresh)
}

// hasher keeps its contract with hashes that read version$salt$password.
type hasher struct {
	hashed, verified atomic.Int64 // calls
	hashErr          error
	verifyErr        error
}

func (h *hasher) Hash(_ context.Context, plain string) (string, error) {
	time.Sleep(hashTime)
	return fmt.Sprintf("v1$%d$%s", h.hashed.Add(1), plain), h.hashErr
}

func (h *hasher) Verify(_ context.Context, plain, hash string) (bool, error) {
	time.Sleep(hashTime)
	h.verified.Add(1)
	parts := strings.SplitN(hash, "$", 3)
	return len(parts) == 3 && parts[2] == plain, h.verifyErr
}

func (*hasher) Outdated(hash string) bool { return strings.HasPrefix(hash, "v0$") }

// tokens keeps its contract with tokens that are mere numbers.
type tokens struct {
	mu     sync.Mutex
	actors map[string]domain.Actor
	err    error
}

func (i *tokens) Issue(a domain.Actor) (domain.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return domain.Token{}, i.err
	}
	value := fmt.Sprint("token ", len(i.actors))
	i.actors[value] = a
	return domain.Token{Value: value, ExpiresIn: time.Hour}, nil
}

func (i *tokens) Verify(token string) (domain.Actor, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a, ok := i.actors[token]
	if !ok {
		return domain.Actor{}, domain.ErrInvalidToken
	}
	return a, nil
}

// limiter keeps its contract with attempts that do not come back by themselves.
type limiter struct {
	mu    sync.Mutex
	spent map[string]int
}

func (l *limiter) Take(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spent[key] == attempts {
		return domain.ErrTooManyAttempts.After(time.Minute)
	}
	l.spent[key]++
	return nil
}

func (l *limiter) GiveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spent[key]--
}

func (l *limiter) Clear(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.spent, key)
}
