package credentials_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/credentials"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

const source = "192.0.2.1"

var (
	now = domaintest.Later
	all = domain.PageRequest{Limit: 1000, Count: true}
)

// fixture is a service on a memory store with the account ann and another one.
type fixture struct {
	*credentials.Service
	store  *memory.Store
	ann    domain.Actor
	other  domain.User
	events []domain.Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := &fixture{store: memory.New(), other: domaintest.User()}
	s.Service = &credentials.Service{
		Store: s.store, NewSecret: func() (string, string) { return "the secret", "the hash" },
		Audit: func(_ context.Context, e domain.Event) { s.events = append(s.events, e) },
		NewID: domaintest.NewID, Now: func() time.Time { return now },
	}
	ann := domaintest.User(domaintest.Superuser)
	s.ann = ann.Actor()
	s.ann.Source = source
	_, err := s.store.CreateFirstSuperuser(t.Context(), ann)
	require.NoError(t, err)
	require.NoError(t, s.store.CreateUser(t.Context(), s.ann, s.other))
	return s
}

// assertEvent checks that the only event is that Ann did this to an object of hers.
func (s *fixture) assertEvent(t *testing.T, name, id string) {
	t.Helper()
	assert.Equal(t, []domain.Event{
		{Name: name, ActorID: s.ann.ID, SubjectID: s.ann.ID, ObjectID: id, Source: source},
	}, s.events)
}

func TestSessions(t *testing.T) {
	s := newFixture(t)
	session := domaintest.Session(domain.User{ID: s.ann.ID, Epoch: s.ann.Epoch})
	expired := domaintest.Session(domain.User{ID: s.ann.ID}, func(s *domain.Session) { s.ExpiresAt = now })
	foreign := domaintest.Session(s.other)
	require.NoError(t, s.store.CreateSession(t.Context(), s.ann, session))
	require.NoError(t, s.store.CreateSession(t.Context(), s.ann, expired))
	require.NoError(t, s.store.CreateSession(t.Context(), s.other.Actor(), foreign))

	page, err := s.Sessions(t.Context(), s.ann, all)
	require.NoError(t, err)
	assert.Equal(t, domain.Page[domain.Session]{Rows: []domain.Session{session}, Total: domain.Some(1)}, page)

	assert.ErrorIs(t, s.EndSession(t.Context(), s.ann, foreign.ID), domain.ErrNotFound)
	assert.ErrorIs(t, s.EndSession(t.Context(), domain.Actor{ID: s.ann.ID}, session.ID), domain.ErrSignedOut)
	assert.Empty(t, s.events)
	require.NoError(t, s.EndSession(t.Context(), s.ann, session.ID))
	s.assertEvent(t, domain.EventSignedOut, session.ID)
}

func TestClients(t *testing.T) {
	s := newFixture(t)
	in := domain.NewClient{
		Name: domaintest.ClientName("a job"), ReadOnly: true, ExpiresAt: now.Add(time.Hour),
	}
	c, secret, err := s.CreateClient(t.Context(), s.ann, in)
	require.NoError(t, err)
	assert.Equal(t, "the secret", secret)
	assert.Equal(t, domain.Client{
		ID: c.ID, OwnerID: s.ann.ID, Epoch: s.ann.Epoch, Secret: "the hash", NewClient: in, CreatedAt: now,
	}, c)
	s.assertEvent(t, domain.EventClientCreated, c.ID)
	page, err := s.Clients(t.Context(), s.ann, all)
	require.NoError(t, err)
	assert.Equal(t, domain.Page[domain.Client]{Rows: []domain.Client{c}, Total: domain.Some(1)}, page)

	s.events = nil
	assert.ErrorIs(t, s.DeleteClient(t.Context(), s.other.Actor(), c.ID), domain.ErrNotFound)
	assert.Empty(t, s.events)
	require.NoError(t, s.DeleteClient(t.Context(), s.ann, c.ID))
	s.assertEvent(t, domain.EventClientDeleted, c.ID)
}

func TestTheLifeOfAClient(t *testing.T) {
	name := domaintest.ClientName("a job")
	for given, want := range map[time.Time]time.Time{
		{}:                            now.Add(90 * 24 * time.Hour),
		now.Add(time.Microsecond):     now.Add(time.Microsecond),
		now.Add(domain.MaxClientLife): now.Add(366 * 24 * time.Hour),
	} {
		c, _, err := newFixture(t).createClient(t, domain.NewClient{Name: name, ExpiresAt: given})
		require.NoError(t, err)
		assert.Equal(t, want, c.ExpiresAt)
	}
	for _, refused := range []time.Time{now, now.Add(-time.Hour), now.Add(domain.MaxClientLife + time.Microsecond)} {
		s := newFixture(t)
		c, secret, err := s.createClient(t, domain.NewClient{Name: name, ExpiresAt: refused})
		assert.Equal(t, domain.Invalid, domain.KindOf(err))
		assert.Zero(t, c)
		assert.Empty(t, secret)
		assert.Empty(t, s.events)
	}
}

func (s *fixture) createClient(t *testing.T, in domain.NewClient) (domain.Client, string, error) {
	return s.CreateClient(t.Context(), s.ann, in)
}

func TestARefusedClientHasNoSecretAndNoEvent(t *testing.T) {
	s := newFixture(t)
	in := domain.NewClient{Name: domaintest.ClientName("a job")}
	for range domain.MaxClients {
		_, _, err := s.createClient(t, in)
		require.NoError(t, err)
	}
	s.events = nil
	c, secret, err := s.createClient(t, in)
	assert.ErrorIs(t, err, domain.ErrTooManyClients)
	assert.Zero(t, c)
	assert.Empty(t, secret)
	assert.Empty(t, s.events)
}
