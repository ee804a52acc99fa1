package users_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	version  = 3 // of the accounts of a new fixture
	epoch    = 2
	correct  = "the correct password" // of all accounts
	wrong    = "a wrong password"
	attempts = 10
)

var (
	now         = domaintest.Later
	anyVersion  domain.Versions
	all         = domain.PageRequest{Limit: 1000}
	noName      domain.Optional[domain.FullName]
	noUser      domain.Optional[domain.SnowflakeUser]
	annEmail    = domaintest.Email("ann@example.com")
	annUser     = domaintest.SnowflakeUser("ANN")
	newName     = domaintest.FullName("New Name")
	newEmail    = domaintest.Email("new@example.com")
	newPassword = domaintest.Password("the new password")
)

// fixture is a service and an operator on a memory store with the superusers root and sue and the ordinary
// accounts ann and bob.
type fixture struct {
	*users.Service
	*users.Operator
	store               *memory.Store
	interleaved         *interleavedStore // what service and operator use of store
	hasher              *domaintest.Hasher
	root, sue, ann, bob domain.User
	mu                  sync.Mutex
	events              []domain.Event
}

// newEmptyFixture returns a fixture without accounts.
func newEmptyFixture() *fixture {
	s := &fixture{store: memory.New(), hasher: &domaintest.Hasher{}}
	s.interleaved = &interleavedStore{
		UserStore: s.store, SignInStore: s.store, OperatorStore: s.store, afterRead: func() {},
	}
	clock := func() time.Time { return now }
	s.Service = &users.Service{
		Store: s.interleaved, Hasher: s.hasher, Audit: s.audit, NewID: domaintest.NewID, Now: clock,
		ServiceName:      "Echo in Snowflake",
		EmailAttempts:    security.NewAttemptLimiter(attempts, time.Hour, time.Now),
		PasswordAttempts: security.NewAttemptLimiter(attempts, time.Hour, time.Now),
	}
	s.Operator = &users.Operator{
		Accounts: s.interleaved, Store: s.interleaved, Hasher: s.hasher, Audit: s.audit,
		NewID: domaintest.NewID, Now: clock,
	}
	return s
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := newEmptyFixture()
	counters := func(u *domain.User) { u.Version, u.Epoch = version, epoch }
	hash := domaintest.WithPasswordHash("v1$old$" + correct)
	s.root = domaintest.User(counters, hash, domaintest.Superuser)
	s.sue = domaintest.User(counters, hash, domaintest.Superuser)
	s.ann = domaintest.User(counters, hash, domaintest.WithEmail(annEmail), domaintest.WithFullName("Ann"))
	s.bob = domaintest.User(counters, hash)
	_, err := s.store.CreateFirstSuperuser(t.Context(), s.root)
	require.NoError(t, err)
	for _, u := range []domain.User{s.sue, s.ann, s.bob} {
		require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), u))
	}
	return s
}

// run runs test with a new fixture. The clock is fake and moves only while all goroutines wait.
func run(t *testing.T, name string, test func(*testing.T, *fixture)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newFixture(t)) })
	})
}

// runEmpty is run without accounts.
func runEmpty(t *testing.T, name string, test func(*testing.T, *fixture)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newEmptyFixture()) })
	})
}

func (s *fixture) audit(_ context.Context, e domain.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// assertEvents checks that exactly these events were recorded, all by one actor about one account.
func (s *fixture) assertEvents(t *testing.T, by, subject domain.User, names ...string) {
	t.Helper()
	var want []domain.Event
	for _, name := range names {
		want = append(want, domain.Event{Name: name, ActorID: by.ID, SubjectID: subject.ID})
	}
	assert.Equal(t, want, s.events)
}

// stored returns the account with this e-mail as the store holds it.
func (s *fixture) stored(t *testing.T, email domain.Email) domain.User {
	t.Helper()
	u, err := s.store.UserForSignIn(t.Context(), email)
	require.NoError(t, err)
	return u
}

// assertStored checks that the store holds the account exactly as it is here.
func (s *fixture) assertStored(t *testing.T, want domain.User) {
	t.Helper()
	assert.Equal(t, want, s.stored(t, want.Email))
}

func (s *fixture) assertGone(t *testing.T, email domain.Email) {
	t.Helper()
	_, err := s.store.UserForSignIn(t.Context(), email)
	assert.Equal(t, domain.ErrNotFound, err)
}

// assertPassword checks that the password hash of the account is one of plain.
func (s *fixture) assertPassword(t *testing.T, u domain.User, plain string) {
	t.Helper()
	matches, err := s.hasher.Verify(t.Context(), domain.Work{}, plain, u.PasswordHash)
	require.NoError(t, err)
	assert.True(t, matches, u.PasswordHash)
}

// changeConcurrently changes the name of the account between each of the next n reads and the write that
// follows.
func (s *fixture) changeConcurrently(t *testing.T, email domain.Email, n int) {
	s.interleaved.afterRead = func() {
		if n--; n < 0 {
			return
		}
		old := s.stored(t, email)
		next := domaintest.RevisedUser(old, domaintest.WithFullName(fmt.Sprint("concurrent change ", n)))
		require.NoError(t, s.store.UpdateUser(t.Context(), s.sue.Actor(), next, old))
	}
}

// lastConcurrentChange is the name that changeConcurrently leaves.
var lastConcurrentChange = domaintest.FullName("concurrent change 0")

// concurrently makes n concurrent calls and returns their errors. All calls read before the first one writes.
func (s *fixture) concurrently(n int, call func(i int) error) []error {
	s.interleaved.afterRead = func() { time.Sleep(time.Millisecond) }
	defer func() { s.interleaved.afterRead = func() {} }()
	errs := make([]error, n)
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { errs[i] = call(i) })
	}
	done.Wait()
	return errs
}

// assertOneSucceeds checks that one call succeeded and that each other call failed with refusal.
func assertOneSucceeds(t *testing.T, errs []error, refusal error) {
	t.Helper()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
			continue
		}
		assert.ErrorIs(t, err, refusal)
	}
	assert.Equal(t, 1, succeeded)
}

// ended returns a context that has ended. With it, every call of a store is unavailable.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// signedOut returns an Actor of the account with a token that is no longer valid.
func signedOut(u domain.User) domain.Actor {
	actor := u.Actor()
	actor.Epoch--
	return actor
}

// interleavedStore counts reads and updates. It calls afterRead between each read and its result.
type interleavedStore struct {
	ports.UserStore
	ports.SignInStore
	ports.OperatorStore
	reads, updates atomic.Int64
	afterRead      func()
}

func (s *interleavedStore) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	s.reads.Add(1)
	defer s.afterRead()
	return s.UserStore.User(ctx, by, id)
}

func (s *interleavedStore) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	s.reads.Add(1)
	defer s.afterRead()
	return s.SignInStore.UserForSignIn(ctx, email)
}

func (s *interleavedStore) HadFirstSuperuser(ctx context.Context) (bool, error) {
	s.reads.Add(1)
	defer s.afterRead()
	return s.OperatorStore.HadFirstSuperuser(ctx)
}

func (s *interleavedStore) UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error {
	s.updates.Add(1)
	return s.UserStore.UpdateUser(ctx, by, next, old)
}

func (s *interleavedStore) UpdateUserForOperator(ctx context.Context, next domain.User, version int64) error {
	s.updates.Add(1)
	return s.OperatorStore.UpdateUserForOperator(ctx, next, version)
}
