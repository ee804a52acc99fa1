package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	floor    = 250 * time.Millisecond
	hashTime = 20 * time.Millisecond
	attempts = 10
	password = "what ann knows"
	here     = "192.0.2.1"
	annID    = "0199a000-0000-7000-8000-00000000000a"
	inaID    = "0199a000-0000-7000-8000-00000000000b"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)

// scene is the use cases over a store in memory with two accounts of one password.
type scene struct {
	*auth.Service
	store  *memory.Store
	faults *faultyStore
	hasher *hasher
	ann    domain.User
	ina    domain.User // inactive
	mu     sync.Mutex
	events []domain.Event
}

// test runs f on a new scene, in a bubble whose clock moves only when everybody waits.
func test(t *testing.T, name string, f func(*testing.T, *scene)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{store: memory.New(), hasher: &hasher{}, ann: account(annID, "ann@example.com", true), ina: account(inaID, "ina@example.com", false)}
			s.faults = &faultyStore{SignInStore: s.store}
			tokens, err := security.NewTokenIssuer(time.Hour, time.Now, []byte(rand.Text()+rand.Text()))
			require.NoError(t, err)
			s.Service = &auth.Service{
				Store: s.faults, Hasher: s.hasher, Tokens: tokens, Audit: s.audit, Now: time.Now, FailureFloor: floor,
				Attempts: security.NewAttemptLimiter(attempts, time.Hour, time.Now),
			}
			_, err = s.store.CreateFirstSuperuser(t.Context(), s.ann)
			require.NoError(t, err)
			require.NoError(t, s.store.CreateUser(t.Context(), s.ann.Actor(), s.ina))
			f(t, s)
		})
	})
}

func account(id, address string, active bool) domain.User {
	return domain.User{
		ID: id, Email: email(address), PasswordHash: "v1$seed$" + password,
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

// brokenIssuer issues nothing.
type brokenIssuer struct{ ports.TokenIssuer }

var errNoKey = errors.New("no key")

func (brokenIssuer) Issue(domain.Actor) (domain.Token, error) { return domain.Token{}, errNoKey }
