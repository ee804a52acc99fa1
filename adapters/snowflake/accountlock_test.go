package snowflake

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// holdLock takes the account lock in a transaction of another client, which does not end it.
func holdLock(t *testing.T, f *fixture) (release func()) {
	t.Helper()
	return hold(t, f.server, takeLock.SQL)
}

// hold executes a write in a transaction of another client, which does not end it.
func hold(t *testing.T, server *snowflaketest.Server, write string) (release func()) {
	t.Helper()
	tx := begin(t, server, write)
	return func() { _ = tx.Rollback() }
}

// begin executes a write in a transaction of another client, and returns the transaction.
func begin(t *testing.T, server *snowflaketest.Server, write string, args ...any) *sql.Tx {
	t.Helper()
	db := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, sf.Config{
		Account: "fake", Host: server.Host(), Port: server.Port(), Protocol: "http", User: "other", Password: "p",
		Database: "d", Schema: "s",
	}))
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(context.Background(), write, args...)
	require.NoError(t, err)
	return tx
}

func TestAKilledClientThatHoldsTheLockBlocksOnlyWritesThatNeedIt(t *testing.T) {
	const vanishAfter, deadline = 1500 * time.Millisecond, 500 * time.Millisecond
	f := newFixture(t)
	f.server.VanishAfter = vanishAfter
	killed := time.Now()
	holdLock(t, f)

	assert.ErrorIs(t, f.createUser(endsIn(t, deadline)), domain.ErrContended)
	start := time.Now()
	assert.NoError(t, f.read(t.Context()))
	assert.NoError(t, f.CreateItem(t.Context(), f.ann.Actor(), domaintest.Item(f.ann)))
	signedOut := f.ann
	signedOut.PasswordHash, signedOut.Version, signedOut.Epoch = "next", 2, 2
	assert.NoError(t, f.UpdateUser(t.Context(), f.ann.Actor(), signedOut, f.ann))
	assert.Less(t, time.Since(start), deadline)

	created := func() bool { return f.createUser(endsIn(t, deadline)) == nil }
	require.Eventually(t, created, 10*time.Second, time.Millisecond)
	assert.GreaterOrEqual(t, time.Since(killed), vanishAfter)
	assert.Equal(t, 3, f.users())
}

func TestAWriteWhoseWaitForARowOfAHybridTableTimesOutIsTriedAgain(t *testing.T) {
	server := newServer(t, hybrid)
	o := options(server)
	o.RequestTimeout = 4 * time.Second
	s := open(t, o)
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	release := hold(t, server, "UPDATE users SET version = version")
	var tries atomic.Int64
	server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(r.SQL, "UPDATE users") && tries.Add(1) == 2 {
			release()
		}
		return nil
	})
	next := domaintest.RevisedUser(admin, domaintest.WithFullName("Ann"))
	require.NoError(t, s.UpdateUser(endsIn(t, o.RequestTimeout), admin.Actor(), next, admin))
	assert.EqualValues(t, 2, tries.Load())
}

func TestWritesThatWaitForTheLockTakeNoConnectionFromReads(t *testing.T) {
	f := newFixture(t, func(o *session.Options) { o.Connections = 2 })
	release := holdLock(t, f)
	var all sync.WaitGroup
	ctx := endsIn(t, 10*time.Second)
	for range 20 {
		all.Go(func() { assert.NoError(t, f.createUser(ctx)) })
	}
	require.Eventually(t, func() bool { return f.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	for range 10 {
		require.NoError(t, f.read(t.Context()))
	}
	assert.Equal(t, 1, f.server.Waiters())
	release()
	all.Wait()
	assert.Equal(t, 22, f.users())
}

func TestWithoutTheRowOfTheLockNoAccountIsDeleted(t *testing.T) {
	f := newFixture(t)
	f.server.Exec("DELETE FROM account_lock")
	err := f.DeleteUser(t.Context(), f.admin.Actor(), f.ann.ID, domain.Versions{})
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.Equal(t, 2, f.users())
}

// breaks returns an interceptor that breaks the first n statements that contain text.
func breaks(n int64, text string, fault snowflaketest.Fault) func(*snowflaketest.Request) *snowflaketest.Fault {
	var left atomic.Int64
	left.Store(n)
	return func(r *snowflaketest.Request) *snowflaketest.Fault {
		if strings.Contains(r.SQL, text) && left.Add(-1) >= 0 {
			return &fault
		}
		return nil
	}
}

// sent returns how many requests held a statement that begins with text.
func (f *fixture) sent(text string) int {
	n := 0
	for _, r := range f.server.Requests() {
		if strings.HasPrefix(r.SQL, text) {
			n++
		}
	}
	return n
}

func TestACommitTakesEffectOnceIfItsReplyIsLost(t *testing.T) {
	f := newFixture(t)
	lost := snowflaketest.Fault{After: true, Drop: true}
	f.server.Intercept(breaks(1, "COMMIT", lost))
	assert.NoError(t, f.createUser(t.Context()))
	f.server.Intercept(breaks(2, "COMMIT", lost))
	assert.ErrorIs(t, f.createUser(t.Context()), domain.ErrOutcomeUnknown)
	f.server.Intercept(nil)
	assert.Equal(t, 4, f.users())
}

func TestATransactionWhoseStatementTookEffectBeforeIsCommitted(t *testing.T) {
	f := newFixture(t)
	repeated := session.Statement{SQL: "UPDATE users SET epoch = 1 WHERE FALSE"}
	next := session.Statement{SQL: "DELETE FROM items"}
	done := func(context.Context, session.Conn) error { return errDone }
	require.NoError(t, f.writeAccount(t.Context(), true, repeated, []session.Statement{next}, done))
	assert.Empty(t, f.server.Exec("SELECT id FROM items").Rows)
}

func TestAnAccountIsDeletedWithAllThatItOwnsOrNotAtAll(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.CreateSession(t.Context(), f.ann.Actor(), domaintest.Session(f.ann)))
	require.NoError(t, f.CreateClient(t.Context(), f.ann.Actor(), domaintest.Client(f.ann)))
	for _, table := range owned {
		f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if strings.HasPrefix(r.SQL, "DELETE FROM "+table) {
				return &snowflaketest.Fault{Code: "1003"}
			}
			return nil
		})
		require.Error(t, f.DeleteUser(t.Context(), f.admin.Actor(), f.ann.ID, domain.Versions{}), table)
		assert.Equal(t, 2, f.users())
	}
	f.server.Intercept(nil)
	require.NoError(t, f.DeleteUser(t.Context(), f.admin.Actor(), f.ann.ID, domain.Versions{}))
	assert.Equal(t, 1, f.users())
	for _, table := range owned {
		assert.Empty(t, f.server.Exec("SELECT id FROM "+table).Rows, table)
	}
}
