package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	floor    = 250 * time.Millisecond
	hashTime = 20 * time.Millisecond
	attempts = 10 // per pair of account and source
	annEmail = "ann@example.com"
	inaEmail = "ina@example.com"
	correct  = "the correct password" // of both accounts
	wrong    = "a wrong password"
	source   = "192.0.2.1"

	sourceAttempts  = 30
	accountAttempts = 100
)

// The accounts of a new fixture.
var (
	ann = account(annEmail)
	ina = account(inaEmail, domaintest.Inactive)
)

func account(email string, changes ...func(*domain.User)) domain.User {
	changes = append(changes, domaintest.Superuser, domaintest.WithEmail(domaintest.Email(email)),
		domaintest.WithPasswordHash("v1$old$"+correct), func(u *domain.User) { u.Version, u.Epoch = 3, 2 })
	return domaintest.User(changes...)
}

// fixture is a service on a memory store with the accounts ann and ina.
type fixture struct {
	*auth.Service
	store  *memory.Store
	faulty *faultyStore // what the service uses of store
	hasher *domaintest.Hasher
	mu     sync.Mutex
	events []domain.Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := &fixture{store: memory.New(), hasher: &domaintest.Hasher{Duration: hashTime}}
	s.faulty = &faultyStore{SignInStore: s.store}
	tokens, err := security.NewTokenIssuer(time.Hour, time.Now, []byte(rand.Text()+rand.Text()))
	require.NoError(t, err)
	s.Service = &auth.Service{
		Store: s.faulty, Hasher: s.hasher, Tokens: tokens, Audit: s.audit, Now: time.Now, FailureFloor: floor,
		PairAttempts:    security.NewAttemptLimiter(attempts, time.Hour, time.Now),
		SourceAttempts:  security.NewAttemptLimiter(sourceAttempts, time.Hour, time.Now),
		AccountAttempts: security.NewAttemptLimiter(accountAttempts, time.Hour, time.Now),
	}
	_, err = s.store.CreateFirstSuperuser(t.Context(), ann)
	require.NoError(t, err)
	require.NoError(t, s.store.CreateUser(t.Context(), ann.Actor(), ina))
	return s
}

// run runs test with a new fixture. The clock is fake and moves only while all goroutines wait.
func run(t *testing.T, name string, test func(*testing.T, *fixture)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newFixture(t)) })
	})
}

func (s *fixture) audit(_ context.Context, e domain.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// storedAnn returns Ann's account as the store holds it.
func (s *fixture) storedAnn(t *testing.T) domain.User {
	t.Helper()
	u, err := s.store.UserForSignIn(t.Context(), ann.Email)
	require.NoError(t, err)
	return u
}

// faultyStore returns the errors of a test, and can be slow.
type faultyStore struct {
	ports.SignInStore
	readErr, rehashErr error
	readTime           time.Duration // time between a read and its result
}

func (s *faultyStore) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	if s.readErr != nil {
		return domain.User{}, s.readErr
	}
	defer time.Sleep(s.readTime)
	return s.SignInStore.UserForSignIn(ctx, email)
}

func (s *faultyStore) RehashForSignIn(ctx context.Context, userID, old, fresh string) error {
	if s.rehashErr != nil {
		return s.rehashErr
	}
	return s.SignInStore.RehashForSignIn(ctx, userID, old, fresh)
}

// faultyIssuer cannot issue tokens.
type faultyIssuer struct{ ports.TokenIssuer }

var errNoKey = errors.New("no key")

func (faultyIssuer) Issue(domain.Actor) (domain.Token, error) { return domain.Token{}, errNoKey }
