//go:build unix

package servertest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// shortFolder returns a folder whose path leaves room for the name of a Unix socket.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "pg-*")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return folder
}

// fixture is a store with its first superuser.
type fixture struct {
	*postgres.Store
	t       *testing.T
	options session.Options
	admin   domain.User
}

func newFixture(t *testing.T, o session.Options) *fixture {
	t.Helper()
	s := openWith(t, o)
	return &fixture{s, t, o, newAdmin(t, s)}
}

// limit returns a context for one call with the time that a request has.
func (f *fixture) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), f.options.RequestTimeout)
}

// write creates an item.
func (f *fixture) write(i domain.Item) error {
	ctx, cancel := f.limit()
	defer cancel()
	return f.CreateItem(ctx, f.admin.Actor(), i)
}

// read reads the account.
func (f *fixture) read() error {
	ctx, cancel := f.limit()
	defer cancel()
	_, err := f.User(ctx, f.admin.Actor(), f.admin.ID)
	return err
}

func (f *fixture) newItem() domain.Item { return domaintest.Item(f.admin) }

// stored returns the ids of all items.
func (f *fixture) stored() map[string]bool {
	f.t.Helper()
	rows, err := connect(f.t, f.options).Query(f.t.Context(), "SELECT id FROM items")
	require.NoError(f.t, err)
	ids := map[string]bool{}
	for rows.Next() {
		var id string
		require.NoError(f.t, rows.Scan(&id))
		ids[id] = true
	}
	require.NoError(f.t, rows.Err())
	return ids
}

// ownServer starts a server that the test may break, and returns the options of a service on it.
func ownServer(t *testing.T, o pgserver.Options) (*pgserver.Server, session.Options) {
	t.Helper()
	server := pgtest.StartServer(t, o)
	options := newSchemaOn(t, server)
	if o.TCP || o.TLS {
		pgtest.Exec(t, server.DSN(pgserver.SuperUser, database), "ALTER ROLE "+app+" PASSWORD 'right'")
	}
	migrate(t, options)
	if o.TCP || o.TLS {
		options.Host, options.Credential = "127.0.0.1", session.Password("right")
	}
	return server, options
}

func admin(server *pgserver.Server) string { return server.DSN(pgserver.SuperUser, database) }

func TestAWriteWhoseReplyIsLostTookEffectAndHasAnUnknownOutcome(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	between, o := forward(t, o)
	f := newFixture(t, o)
	require.NoError(t, f.write(f.newItem())) // its statement is prepared
	i := f.newItem()
	between.lose.Store(1)
	assert.ErrorIs(t, f.write(i), domain.ErrOutcomeUnknown)
	assert.True(t, f.stored()[i.ID])
	assert.NoError(t, f.write(f.newItem()))
}

// A rule across accounts needs a batch of statements, which are one transaction.
func TestADeletionWhoseReplyIsLostTookEffectAndHasAnUnknownOutcome(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	between, o := forward(t, o)
	f := newFixture(t, o)
	users := []domain.User{domaintest.User(), domaintest.User()}
	for _, u := range users {
		require.NoError(t, f.CreateUser(t.Context(), f.admin.Actor(), u))
	}
	require.NoError(t, f.DeleteUser(t.Context(), f.admin.Actor(), users[0].ID, domain.Versions{}))
	between.lose.Store(1)
	err := f.DeleteUser(t.Context(), f.admin.Actor(), users[1].ID, domain.Versions{})
	assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
	_, err = f.User(t.Context(), f.admin.Actor(), users[1].ID)
	assert.ErrorIs(t, err, domain.ErrNotFound)
}

func TestAReadWhoseReplyIsLostIsRepeatedOnce(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	between, o := forward(t, o)
	f := newFixture(t, o)
	require.NoError(t, f.read())
	between.lose.Store(1)
	assert.NoError(t, f.read())
	require.NoError(t, f.read())
	between.lose.Store(1000)
	assert.ErrorIs(t, f.read(), domain.ErrUnavailable)
	between.lose.Store(0)
	assert.NoError(t, f.read())
}

// A lock that others hold must not look as if the server were away, or a write as if it could have taken effect.
func TestALockThatOthersHoldIsContendedWithinTheDeadline(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	o.RequestTimeout = 2 * time.Second
	f := newFixture(t, o)
	u := domaintest.User()
	require.NoError(t, f.CreateUser(t.Context(), f.admin.Actor(), u))
	tx, err := connect(t, o).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM users, installation FOR UPDATE")
	require.NoError(t, err)
	for name, call := range map[string]func(context.Context) error{
		"update": func(ctx context.Context) error {
			return f.UpdateUser(ctx, f.admin.Actor(), domaintest.RevisedUser(u), u)
		},
		"deletion": func(ctx context.Context) error {
			return f.DeleteUser(ctx, f.admin.Actor(), u.ID, domain.Versions{})
		},
	} {
		ctx, cancel := f.limit()
		began := time.Now()
		assert.ErrorIs(t, call(ctx), domain.ErrContended, name)
		assert.Less(t, time.Since(began), o.RequestTimeout, name)
		cancel()
	}
	require.NoError(t, f.read(), "reads do not wait")
	require.NoError(t, tx.Rollback(t.Context()))
	assert.NoError(t, f.DeleteUser(t.Context(), f.admin.Actor(), u.ID, domain.Versions{}))
}

// A statement that is too slow is cancelled before its caller gives up. It then has no effect for certain.
func TestAWriteThatIsCancelledForItsDeadlineHasNoEffect(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	f := newFixture(t, o)
	tx, err := connect(t, o).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM users FOR UPDATE")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // lock_timeout is longer
	defer cancel()
	next := domaintest.RevisedUser(f.admin)
	err = f.UpdateUser(ctx, f.admin.Actor(), next, f.admin)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.False(t, guard.IsOutage(err), err)
	assert.NoError(t, ctx.Err(), "the answer comes before the deadline")
	require.NoError(t, tx.Rollback(t.Context()))
	assert.NoError(t, f.UpdateUser(t.Context(), f.admin.Actor(), next, f.admin))
}

func TestAServiceWithTooFewConnectionsGoesOn(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{Settings: map[string]string{"max_connections": "10"}})
	f := newFixture(t, o)
	for {
		conn, err := session.Connect(t.Context(), o)
		if err != nil {
			require.Equal(t, "53300", code(err))
			break
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	// More callers than connections: some have to open one, and are refused.
	results := during(time.Second, func(int) error { return f.read() })
	succeeded := 0
	for _, err := range results {
		if err == nil {
			succeeded++
			continue
		}
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.False(t, guard.IsOutage(err), "the circuit breaker would open: %v", err)
	}
	assert.Greater(t, succeeded, 100, "of %d", len(results))
	pgtest.Exec(t, admin(server), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+app+"'")
	assert.NoError(t, f.read())
}

func TestAReadOnlyServerRefusesWritesAndAnswersReads(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{})
	f := newFixture(t, o)
	reload := func(value string) {
		pgtest.Exec(t, admin(server), "ALTER SYSTEM SET default_transaction_read_only = "+value, "SELECT pg_reload_conf()")
	}
	reload("on")
	require.Eventually(t, func() bool { return f.write(f.newItem()) != nil }, 5*time.Second, 10*time.Millisecond)
	i := f.newItem()
	err := f.write(i)
	assert.ErrorIs(t, err, domain.ErrReadOnly)
	assert.False(t, guard.IsOutage(err), err)
	err = f.DeleteUser(t.Context(), f.admin.Actor(), f.admin.ID, domain.Versions{})
	assert.ErrorIs(t, err, domain.ErrReadOnly)
	err = f.CreateSession(t.Context(), f.admin.Actor(), domaintest.Session(f.admin))
	assert.ErrorIs(t, err, domain.ErrReadOnly, "a sign-in then returns no refresh token")
	assert.NoError(t, f.read())
	assert.False(t, f.stored()[i.ID])
	reload("off")
	require.Eventually(t, func() bool { return f.write(f.newItem()) == nil }, 5*time.Second, 10*time.Millisecond)
}

// A migration may change a column while the service runs. The plans that connections keep do not fit then.
func TestPlansFromBeforeAMigrationDoNotFailACall(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	f := newFixture(t, o)
	i := f.newItem()
	require.NoError(t, f.write(i))
	read := func(int) error {
		ctx, cancel := f.limit()
		defer cancel()
		_, err := f.Item(ctx, f.admin.Actor(), domain.AllItems(), i.ID)
		return err
	}
	for _, err := range during(200*time.Millisecond, read) { // all connections have the plan
		require.NoError(t, err)
	}
	o.User = migrator
	_, err := connect(t, o).Exec(t.Context(), "ALTER TABLE items ALTER COLUMN description TYPE text")
	require.NoError(t, err)
	for _, err := range during(200*time.Millisecond, read) {
		require.NoError(t, err)
	}
	require.NoError(t, f.write(f.newItem()))
}

func TestIdleConnectionsThatDiedAreFoundBeforeTheirUse(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]pgserver.Options{"unix": {}, "tcp": {TCP: true}} {
		t.Run(name, func(t *testing.T) {
			options.Durable = true // others forget the last commits in a crash
			server, o := ownServer(t, options)
			f := newFixture(t, o)
			for _, err := range during(100*time.Millisecond, func(int) error { return f.write(f.newItem()) }) {
				require.NoError(t, err)
			}
			require.NoError(t, server.Stop(t.Context(), pgserver.Immediate))
			require.NoError(t, server.Start(t.Context()))
			time.Sleep(1100 * time.Millisecond) // a connection that was used a moment ago is not checked
			for range 10 {
				assert.NoError(t, f.write(f.newItem()))
			}
		})
	}
}

func TestACallWhoseClientIsGoneHasNoEffect(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	f := newFixture(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i := f.newItem()
	err := f.CreateItem(ctx, f.admin.Actor(), i)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.False(t, errors.Is(err, domain.ErrOutcomeUnknown))
	assert.False(t, f.stored()[i.ID], err)
}
