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
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	attempts = 10
	known    = "what everybody knows" // the password of all accounts
	wrong    = "what nobody knows"
	readTime = time.Millisecond
)

var (
	created  = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	now      = created.Add(time.Hour)
	fresh    = must(domain.ParsePassword("what comes next"))
	annName  = domain.Some(must(domain.ParseFullName("Ann")))
	noName   domain.Optional[domain.FullName]
	anytime  domain.Optional[int64] // no ifVersion
	all      = domain.PageRequest{Limit: 1000}
	newEmail = must(domain.ParseEmail("new@example.com"))
)

// scene is the use cases over a store in memory with two superusers and two ordinary accounts.
type scene struct {
	*users.Service
	store               *memory.Store
	faults              *faultyStore
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
			s.faults = &faultyStore{Store: s.store}
			s.Service = &users.Service{
				Store: s.faults, Hasher: s.hasher, Audit: s.audit,
				EmailAttempts: &limiter{spent: map[string]int{}}, PasswordAttempts: &limiter{spent: map[string]int{}},
				NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
				Now:   func() time.Time { return now },
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

// atOnce runs all the calls at the same time and returns their errors.
func atOnce(calls ...func() error) []error {
	errs := make([]error, len(calls))
	var done sync.WaitGroup
	for i, call := range calls {
		done.Go(func() { errs[i] = call() })
	}
	done.Wait()
	return errs
}

// faultyStore fails, or takes its time, where a test says so.
type faultyStore struct {
	ports.Store
	reads    atomic.Int64
	err      error         // of every method below
	stale    atomic.Int64  // writes that lose to others before one may win
	readTime time.Duration // from the read to its answer: calls made at once read the same
}

func (s *faultyStore) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	s.reads.Add(1)
	if s.err != nil {
		return domain.User{}, s.err
	}
	defer time.Sleep(s.readTime)
	return s.Store.User(ctx, by, id)
}

func (s *faultyStore) UserForSignIn(ctx context.Context, e domain.Email) (domain.User, error) {
	s.reads.Add(1)
	defer time.Sleep(s.readTime)
	return s.Store.UserForSignIn(ctx, e)
}

func (s *faultyStore) write(do func() error) error {
	if s.err != nil {
		return s.err
	}
	if s.stale.Add(-1) >= 0 {
		return domain.ErrStale
	}
	return do()
}

func (s *faultyStore) Users(ctx context.Context, by domain.Actor, p domain.PageRequest) (page domain.Page[domain.User], err error) {
	if s.err != nil {
		return page, s.err
	}
	return s.Store.Users(ctx, by, p)
}

func (s *faultyStore) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	return s.write(func() error { return s.Store.CreateUser(ctx, by, u) })
}

func (s *faultyStore) UpdateUser(ctx context.Context, by domain.Actor, next domain.User, read int64) error {
	return s.write(func() error { return s.Store.UpdateUser(ctx, by, next, read) })
}

func (s *faultyStore) DeleteUser(ctx context.Context, by domain.Actor, id string, read domain.Optional[int64]) error {
	return s.write(func() error { return s.Store.DeleteUser(ctx, by, id, read) })
}

func (s *faultyStore) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	return s.Store.CreateFirstSuperuser(ctx, u)
}

func (s *faultyStore) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	return s.write(func() error { return s.Store.CreateSuperuserForOperator(ctx, u) })
}

func (s *faultyStore) ResetPasswordForOperator(ctx context.Context, next domain.User, read int64) error {
	return s.write(func() error { return s.Store.ResetPasswordForOperator(ctx, next, read) })
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
