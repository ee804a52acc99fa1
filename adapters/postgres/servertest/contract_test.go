//go:build unix

package servertest

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestStore(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t) })
}

// newAdmin creates the first superuser.
func newAdmin(t testing.TB, s *postgres.Store) domain.User {
	t.Helper()
	admin := domaintest.User(domaintest.Superuser)
	created, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	require.True(t, created)
	return admin
}

func TestOneOf64CallersOfEightInstancesGetsTheEmail(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	var instances [8]*postgres.Store
	for i := range instances {
		instances[i] = openWith(t, o)
	}
	admin := newAdmin(t, instances[0])
	const rounds = 20
	for range rounds {
		contested := domaintest.WithEmail(domaintest.Email(domaintest.NewID() + "@example.com"))
		results := make([]error, 64)
		var all sync.WaitGroup
		for i := range results {
			u := domaintest.User(contested)
			all.Go(func() { results[i] = instances[i%len(instances)].CreateUser(t.Context(), admin.Actor(), u) })
		}
		all.Wait()
		assert.Equal(t, 1, successes(t, results, domain.ErrEmailTaken))
	}
}

// PostgreSQL refuses texts with NUL or with bytes that are not UTF-8. No row has such an id, nor an empty one.
func TestIdsThatPostgreSQLRefusesAreNotFound(t *testing.T) {
	s := open(t)
	admin := newAdmin(t, s)
	for _, id := range []string{"", "\x00", "a\x00b", "\xff", "\u0000"} {
		_, err := s.User(t.Context(), admin.Actor(), id)
		assert.ErrorIs(t, err, domain.ErrNotFound, "%q", id)
		_, err = s.Item(t.Context(), admin.Actor(), domain.AllItems(), id)
		assert.ErrorIs(t, err, domain.ErrNotFound, "%q", id)
		assert.ErrorIs(t, s.DeleteUser(t.Context(), admin.Actor(), id, domain.Versions{}), domain.ErrNotFound, "%q", id)
		err = s.DeleteItem(t.Context(), admin.Actor(), domain.AllItems(), id, domain.Versions{})
		assert.ErrorIs(t, err, domain.ErrNotFound, "%q", id)
		assert.ErrorIs(t, s.DeleteSession(t.Context(), admin.Actor(), id), domain.ErrNotFound, "%q", id)
		assert.ErrorIs(t, s.DeleteClient(t.Context(), admin.Actor(), id), domain.ErrNotFound, "%q", id)
		_, _, err = s.SessionForRefresh(t.Context(), id, id)
		assert.ErrorIs(t, err, domain.ErrNotFound, "%q", id)
		_, _, err = s.ClientForSignIn(t.Context(), id)
		assert.ErrorIs(t, err, domain.ErrNotFound, "%q", id)
		_, err = s.User(t.Context(), domain.Actor{ID: id, Epoch: 1}, admin.ID)
		assert.ErrorIs(t, err, domain.ErrSignedOut, "%q", id)
		page, err := s.Items(t.Context(), admin.Actor(), id, domain.PageRequest{Limit: 1})
		assert.NoError(t, err, "%q", id)
		assert.Empty(t, page.Rows, "%q", id)
	}
}

func TestWhatIsCreatedAgainIsTheSame(t *testing.T) {
	s := open(t)
	admin := newAdmin(t, s)
	by, page := admin.Actor(), domain.PageRequest{Limit: 10}
	u, i := domaintest.User(), domaintest.Item(admin)
	e, c := domaintest.Session(admin), domaintest.Client(admin)
	for range 2 {
		require.NoError(t, s.CreateUser(t.Context(), by, u))
		require.NoError(t, s.CreateItem(t.Context(), by, i))
		require.NoError(t, s.CreateSession(t.Context(), by, e))
		require.NoError(t, s.CreateClient(t.Context(), by, c))
	}
	items, err := s.Items(t.Context(), by, admin.ID, page)
	require.NoError(t, err)
	assert.Equal(t, []domain.Item{i}, items.Rows)
	sessions, err := s.Sessions(t.Context(), by, domaintest.Created, page)
	require.NoError(t, err)
	assert.Equal(t, []domain.Session{e}, sessions.Rows)
	clients, err := s.Clients(t.Context(), by, domaintest.Created, page)
	require.NoError(t, err)
	assert.Equal(t, []domain.Client{c}, clients.Rows)
}

// The role of the service can neither change the schema nor empty a table.
func TestTheServiceNeedsNoRightToChangeTheSchema(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	conn := connect(t, o)
	for _, st := range []string{
		"CREATE TABLE more (id int)", "ALTER TABLE users ADD COLUMN more int", "DROP TABLE items", "TRUNCATE items",
	} {
		_, err := conn.Exec(t.Context(), st)
		assert.Equal(t, "42501", code(err), st)
	}
}

// A hash that is not changed is not written: a mirror of credentials would grow, and rows would be locked for nothing.
func TestAPasswordHashIsWrittenOnlyWhenItChanges(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s := openWith(t, o)
	admin := newAdmin(t, s)
	conn := connect(t, o)
	written := func() (at string) {
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT xmin::text FROM credentials").Scan(&at))
		return at
	}
	before := written()
	next := domaintest.RevisedUser(admin, domaintest.WithEmail(domaintest.Email("next@example.com")))
	require.NoError(t, s.UpdateUser(t.Context(), admin.Actor(), next, admin))
	assert.Equal(t, before, written())
	last := domaintest.RevisedUser(next, domaintest.WithPasswordHash("other"))
	require.NoError(t, s.UpdateUser(t.Context(), next.Actor(), last, next))
	assert.NotEqual(t, before, written())
	got, err := s.UserForSignIn(t.Context(), last.Email)
	require.NoError(t, err)
	assert.Equal(t, last, got)
}

func TestAnEndedStoreSaysThatItIsUnavailable(t *testing.T) {
	s := open(t)
	require.NoError(t, s.Close())
	_, err := s.HadFirstSuperuser(t.Context())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.False(t, errors.Is(err, domain.ErrOutcomeUnknown))
}
