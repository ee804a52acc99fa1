package users_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	attempts = 10
	known    = "what everybody knows" // the password of all accounts
	wrong    = "what nobody knows"
)

var (
	created  = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	now      = created.Add(time.Hour)
	fresh    = must(domain.ParsePassword("what comes next"))
	annName  = domain.Some(must(domain.ParseFullName("Ann")))
	noName   domain.Optional[domain.FullName]
	anytime  domain.Versions // no ifVersion
	all      = domain.PageRequest{Limit: 1000}
	newEmail = must(domain.ParseEmail("new@example.com"))
)

// scene is the use cases over a store in memory with two superusers and two ordinary accounts.
type scene struct {
	*users.Service
	*users.Operator
	store               *memory.Store
	contest             *contestedStore
	hasher              *hasher
	root, sue, ann, bob domain.User
	mu                  sync.Mutex
	events              []domain.Event
}

// test runs f on a new scene, in a bubble whose clock moves only when everybody waits.
func test(t *testing.T, name string, f func(*testing.T, *scene)) {
	testEmpty(t, name, func(t *testing.T, s *scene) {
		s.root, s.sue, s.ann, s.bob = account("root"), account("sue"), account("ann"), account("bob")
		s.root.Superuser, s.sue.Superuser = true, true
		s.ann.FullName = annName
		_, err := s.store.CreateFirstSuperuser(t.Context(), s.root)
		require.NoError(t, err)
		for _, u := range []domain.User{s.sue, s.ann, s.bob} {
			require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), u))
		}
		f(t, s)
	})
}

// testEmpty is test before anybody has an account.
func testEmpty(t *testing.T, name string, f func(*testing.T, *scene)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{store: memory.New(), hasher: &hasher{}}
			s.contest = &contestedStore{Store: s.store, meanwhile: func() {}}
			s.Service = &users.Service{
				Store: s.contest, Hasher: s.hasher, Audit: s.audit,
				EmailAttempts:    security.NewAttemptLimiter(attempts, time.Hour, time.Now),
				PasswordAttempts: security.NewAttemptLimiter(attempts, time.Hour, time.Now),
				NewID:            func() string { return uuid.Must(uuid.NewV7()).String() },
				Now:              func() time.Time { return now },
			}
			s.Operator = &users.Operator{
				Accounts: s.contest, Store: s.contest, Hasher: s.hasher, Audit: s.audit,
				NewID: s.Service.NewID, Now: s.Service.Now,
			}
			f(t, s)
		})
	})
}

func account(name string) domain.User {
	return domain.User{
		ID: "id-of-" + name, Email: must(domain.ParseEmail(name + "@example.com")), PasswordHash: "v1$seed$" + known,
		Active: true, Version: 3, Epoch: 2, CreatedAt: created, UpdatedAt: created,
	}
}

func (s *scene) audit(_ context.Context, e domain.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// stored returns the account as it is now, whoever may still sign in.
func (s *scene) stored(t *testing.T, email domain.Email) domain.User {
	t.Helper()
	u, err := s.store.UserForSignIn(t.Context(), email)
	require.NoError(t, err)
	return u
}

func (s *scene) assertStored(t *testing.T, want domain.User) {
	t.Helper()
	assert.Equal(t, want, s.stored(t, want.Email))
}

func (s *scene) assertGone(t *testing.T, u domain.User) {
	t.Helper()
	_, err := s.store.UserForSignIn(t.Context(), u.Email)
	assert.Equal(t, domain.ErrNotFound, err)
}

// assertPassword looks whether the account has this password and a salted hash of its own.
func (s *scene) assertPassword(t *testing.T, u domain.User, plain string) {
	t.Helper()
	matches, err := s.hasher.Verify(t.Context(), plain, u.PasswordHash)
	require.NoError(t, err)
	assert.True(t, matches, u.PasswordHash)
}

// overtake lets somebody else change the account's name within the next n reads.
func (s *scene) overtake(t *testing.T, email domain.Email, n int) {
	s.contest.meanwhile = func() {
		if n--; n < 0 {
			return
		}
		read := s.stored(t, email)
		next := read
		next.FullName = domain.Some(must(domain.ParseFullName(fmt.Sprint("overtaken ", n))))
		next, _ = read.Revise(next, now)
		require.NoError(t, s.store.UpdateUser(t.Context(), s.sue.Actor(), next, read))
	}
}

// overtaken is the name that [scene.overtake] leaves behind.
var overtaken = domain.Some(must(domain.ParseFullName("overtaken 0")))

// atOnce makes n calls that all read before any of them writes, and returns their errors.
func (s *scene) atOnce(n int, call func(i int) error) []error {
	s.contest.meanwhile = func() { time.Sleep(time.Millisecond) }
	defer func() { s.contest.meanwhile = func() {} }()
	errs := make([]error, n)
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { errs[i] = call(i) })
	}
	done.Wait()
	return errs
}

// ended is a context in which a store does not answer.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// contestedStore counts calls and lets others be faster.
type contestedStore struct {
	ports.Store
	reads, writes atomic.Int64
	meanwhile     func() // happens between a read and its answer
}

func (s *contestedStore) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	s.reads.Add(1)
	defer s.meanwhile()
	return s.Store.User(ctx, by, id)
}

func (s *contestedStore) UserForSignIn(ctx context.Context, e domain.Email) (domain.User, error) {
	s.reads.Add(1)
	defer s.meanwhile()
	return s.Store.UserForSignIn(ctx, e)
}

func (s *contestedStore) UpdateUser(ctx context.Context, by domain.Actor, next, read domain.User) error {
	s.writes.Add(1)
	return s.Store.UpdateUser(ctx, by, next, read)
}

// hasher keeps its contract with hashes that read v1$salt$password.
type hasher struct {
	hashed, verified   atomic.Int64 // calls
	hashErr, verifyErr error
}

func (h *hasher) Hash(_ context.Context, plain string) (string, error) {
	return fmt.Sprintf("v1$%d$%s", h.hashed.Add(1), plain), h.hashErr
}

func (h *hasher) Verify(_ context.Context, plain, hash string) (bool, error) {
	h.verified.Add(1)
	parts := strings.SplitN(hash, "$", 3)
	return len(parts) == 3 && parts[2] == plain, h.verifyErr
}

func (*hasher) Outdated(string) bool { return false }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
