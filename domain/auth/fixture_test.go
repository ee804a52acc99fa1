package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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
	faulty *faultyStore // what the service uses: store with faults
	hasher *domaintest.Hasher
	mu     sync.Mutex
	events []domain.Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := &fixture{store: memory.New(), hasher: &domaintest.Hasher{Duration: hashTime}}
	s.faulty = &faultyStore{Store: s.store}
	tokens, err := security.NewTokenIssuer(time.Hour, time.Now, []byte(rand.Text()+rand.Text()))
	require.NoError(t, err)
	s.Service = &auth.Service{
		Store: s.faulty, Hasher: s.hasher, Tokens: tokens, Audit: s.audit, FailureFloor: floor,
		NewID: domaintest.NewID, Now: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
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

// from returns a requester with this source.
func from(source string) domain.Requester {
	return domain.Requester{Source: source, UserAgent: "curl/8.5.0"}
}

// signInFailed returns the event of a refused password.
func signInFailed(subject string) domain.Event {
	return domain.Event{
		Name: domain.EventSignInFailed, SubjectID: subject, Kind: domain.SessionByPassword, Source: source,
	}
}

// assertSignedIn checks that the only event is that Ann signed in, with her only session.
func (s *fixture) assertSignedIn(t *testing.T, kind domain.SessionKind) {
	t.Helper()
	sessions := s.sessions(t)
	require.Len(t, sessions, 1)
	assert.Equal(t, []domain.Event{{
		Name: domain.EventSignedIn, ActorID: ann.ID, SubjectID: ann.ID, ObjectID: sessions[0].ID, Kind: kind, Source: source,
	}}, s.events)
}

// sessions returns Ann's sessions that work.
func (s *fixture) sessions(t *testing.T) []domain.Session {
	t.Helper()
	page, err := s.store.Sessions(t.Context(), s.storedAnn(t).Actor(), s.Now(), domain.PageRequest{Limit: 1000})
	require.NoError(t, err)
	return page.Rows
}

// faultyStore returns the errors of a test, and can be slow.
type faultyStore struct {
	*memory.Store
	readErr, rehashErr, sessionErr, endErr, useErr, createErr error
	readTime                                                  time.Duration // time between a read and its result
}

func (s *faultyStore) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	if s.readErr != nil {
		return domain.User{}, s.readErr
	}
	defer time.Sleep(s.readTime)
	return s.Store.UserForSignIn(ctx, email)
}

func (s *faultyStore) RehashForSignIn(ctx context.Context, userID, old, fresh string) error {
	if s.rehashErr != nil {
		return s.rehashErr
	}
	return s.Store.RehashForSignIn(ctx, userID, old, fresh)
}

func (s *faultyStore) CreateSession(ctx context.Context, by domain.Actor, session domain.Session) error {
	if s.sessionErr != nil {
		return s.sessionErr
	}
	return s.Store.CreateSession(ctx, by, session)
}

func (s *faultyStore) SessionForRefresh(
	ctx context.Context, lookup, secret string,
) (domain.Session, domain.User, error) {
	if s.readErr != nil {
		return domain.Session{}, domain.User{}, s.readErr
	}
	defer time.Sleep(s.readTime)
	return s.Store.SessionForRefresh(ctx, lookup, secret)
}

func (s *faultyStore) EndSessionForRefresh(ctx context.Context, id string) (bool, error) {
	if s.endErr != nil {
		return false, s.endErr
	}
	return s.Store.EndSessionForRefresh(ctx, id)
}

func (s *faultyStore) ClientForSignIn(ctx context.Context, id string) (domain.Client, domain.User, error) {
	if s.readErr != nil {
		return domain.Client{}, domain.User{}, s.readErr
	}
	return s.Store.ClientForSignIn(ctx, id)
}

func (s *faultyStore) UseClientForSignIn(ctx context.Context, id string, at time.Time) (bool, error) {
	if s.useErr != nil {
		return false, s.useErr
	}
	return s.Store.UseClientForSignIn(ctx, id, at)
}

func (s *faultyStore) UserForSnowflakeSignIn(ctx context.Context, user domain.SnowflakeUser) (domain.User, error) {
	if s.readErr != nil {
		return domain.User{}, s.readErr
	}
	defer time.Sleep(s.readTime)
	return s.Store.UserForSnowflakeSignIn(ctx, user)
}

func (s *faultyStore) CreateUserForSnowflakeSignIn(ctx context.Context, u domain.User) error {
	if s.createErr != nil {
		return s.createErr
	}
	return s.Store.CreateUserForSnowflakeSignIn(ctx, u)
}

// faultyIssuer cannot issue tokens.
type faultyIssuer struct{ ports.TokenIssuer }

var errNoKey = errors.New("no key")

func (faultyIssuer) Issue(domain.Actor) (domain.Token, error) { return domain.Token{}, errNoKey }

// slowRefund is a limiter whose refunds come late.
type slowRefund struct{ ports.AttemptLimiter }

func (l slowRefund) Refund(key string) {
	time.Sleep(time.Second)
	l.AttemptLimiter.Refund(key)
}
