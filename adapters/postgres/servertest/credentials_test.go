//go:build unix

package servertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// locked returns a transaction that has executed st, and so holds the locks of it.
func locked(t *testing.T, conn *pgx.Conn, st string, args ...any) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	tag, err := tx.Exec(t.Context(), st, args...)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	return tx
}

// awaitWaiter waits until another session waits for a lock of conn.
func awaitWaiter(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	const find = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
	require.Eventually(t, func() (waits bool) {
		err := conn.QueryRow(context.WithoutCancel(t.Context()), find).Scan(&waits)
		return err == nil && waits
	}, 10*time.Second, time.Millisecond)
}

func TestNoCredentialIsCreatedForAnAccountThatIsDeletedMeanwhile(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, conn := openWith(t, o), connect(t, o)
	admin := newAdmin(t, s)
	for name, create := range map[string]func(domain.User) error{
		"session": func(u domain.User) error { return s.CreateSession(t.Context(), u.Actor(), domaintest.Session(u)) },
		"client":  func(u domain.User) error { return s.CreateClient(t.Context(), u.Actor(), domaintest.Client(u)) },
		"item":    func(u domain.User) error { return s.CreateItem(t.Context(), u.Actor(), domaintest.Item(u)) },
	} {
		u := domaintest.User()
		require.NoError(t, s.CreateUser(t.Context(), admin.Actor(), u))
		deletion := locked(t, conn, "DELETE FROM users WHERE id = $1", u.ID)
		created := make(chan error, 1)
		go func() { created <- create(u) }()
		awaitWaiter(t, conn)
		require.NoError(t, deletion.Commit(t.Context()))
		assert.ErrorIs(t, <-created, domain.ErrSignedOut, name)
	}
}

// An installation in which only users of Snowflake have signed in has no first superuser, and no row to lock.
func TestTheLimitOfClientsHoldsAcrossInstancesWithoutAFirstSuperuser(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	var instances [4]*postgres.Store
	for i := range instances {
		instances[i] = openWith(t, o)
	}
	u := domaintest.User(domaintest.WithSnowflakeUser("ANN"))
	require.NoError(t, instances[0].CreateUserForSnowflakeSignIn(t.Context(), u))
	var all sync.WaitGroup
	errs := make([]error, 3*domain.MaxClients)
	for i := range errs {
		all.Go(func() {
			errs[i] = instances[i%len(instances)].CreateClient(t.Context(), u.Actor(), domaintest.Client(u))
		})
	}
	all.Wait()
	assert.Equal(t, domain.MaxClients, successes(t, errs, domain.ErrTooManyClients))
}

// The lock pins the isolation of its transaction, as for the rule of the last superuser.
func TestTheLimitOfClientsHoldsUnderAStricterIsolation(t *testing.T) {
	s := openUnchecked(t, behindPooler(repeatableRead(t)))
	admin := newAdmin(t, s)
	errs := during(300*time.Millisecond, func(int) error {
		return s.CreateClient(context.WithoutCancel(t.Context()), admin.Actor(), domaintest.Client(admin))
	})
	assert.Equal(t, domain.MaxClients, successes(t, errs, domain.ErrTooManyClients))
}

func TestAClientIsCreatedWhileOtherAccountsAreLocked(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, conn := openWith(t, o), connect(t, o)
	admin, u := newAdmin(t, s), domaintest.User()
	require.NoError(t, s.CreateUser(t.Context(), admin.Actor(), u))
	for _, st := range []string{
		"SELECT one FROM installation FOR UPDATE", "SELECT id FROM users WHERE is_superuser FOR UPDATE",
	} {
		lock := locked(t, conn, st)
		inTime, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		assert.NoError(t, s.CreateClient(inTime, u.Actor(), domaintest.Client(u)), st)
		cancel()
		require.NoError(t, lock.Rollback(t.Context()))
	}
}

// Otherwise a cleanup would wait for every refresh, and two instances that clean up could deadlock.
func TestACleanupSkipsWhatOthersHaveLocked(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, conn := openWith(t, o), connect(t, o)
	admin := newAdmin(t, s)
	var sessions [2]domain.Session
	var clients [2]domain.Client
	for i := range sessions {
		sessions[i], clients[i] = domaintest.Session(admin), domaintest.Client(admin)
		require.NoError(t, s.CreateSession(t.Context(), admin.Actor(), sessions[i]))
		require.NoError(t, s.CreateClient(t.Context(), admin.Actor(), clients[i]))
	}
	stored := func() (n int) {
		const count = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM clients)"
		require.NoError(t, conn.QueryRow(t.Context(), count).Scan(&n))
		return n
	}
	later := domaintest.Created.Add(domain.DefaultClientLife)
	lock := locked(t, conn, `WITH a AS (SELECT id FROM sessions WHERE id = $1 FOR UPDATE)
		SELECT c.id
		FROM clients c, a
		WHERE c.id = $2
		FOR UPDATE OF c`, sessions[0].ID, clients[0].ID)
	inTime, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.NoError(t, s.CleanUp(inTime, later))
	assert.Equal(t, 2, stored(), "the two that are locked")
	require.NoError(t, lock.Rollback(t.Context()))
	require.NoError(t, s.CleanUp(t.Context(), later))
	assert.Zero(t, stored())
}

func TestACleanupSkipsASessionBeyondTheLimitThatIsLocked(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, conn := openWith(t, o), connect(t, o)
	admin := newAdmin(t, s)
	var oldest domain.Session
	for range domain.MaxSessions + 2 {
		e := domaintest.Session(admin) // its id decides: all are created at the same time
		require.NoError(t, s.CreateSession(t.Context(), admin.Actor(), e))
		if oldest.ID == "" {
			oldest = e
		}
	}
	stored := func() int {
		page, err := s.Sessions(t.Context(), admin.Actor(), domaintest.Created, domain.PageRequest{Limit: 1000})
		require.NoError(t, err)
		return len(page.Rows)
	}
	lock := locked(t, conn, "SELECT id FROM sessions WHERE id = $1 FOR UPDATE", oldest.ID)
	inTime, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.NoError(t, s.CleanUp(inTime, domaintest.Created))
	assert.Equal(t, domain.MaxSessions+1, stored())
	require.NoError(t, lock.Rollback(t.Context()))
	require.NoError(t, s.CleanUp(t.Context(), domaintest.Created))
	assert.Equal(t, domain.MaxSessions, stored())
}

func TestACleanupRemovesMoreThanOneStatementDoes(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, conn := openWith(t, o), connect(t, o)
	fill(t, o.Schema, 10_001, 0)
	count := func() (sessions, clients int) {
		const read = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM clients)"
		require.NoError(t, conn.QueryRow(t.Context(), read).Scan(&sessions, &clients))
		return sessions, clients
	}
	sessions, clients := count()
	require.Equal(t, 10_001, min(sessions, clients))
	require.NoError(t, s.CleanUp(t.Context(), time.Now().Add(48*time.Hour)))
	sessions, clients = count()
	assert.Zero(t, sessions+clients)
}
