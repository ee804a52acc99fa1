package session

import (
	"context"
	"database/sql"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The faults of transactions and of the lock; see faults_test.go.

func TestACommitTakesEffectOnceIfItsReplyIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Intercept(breaks(1, "COMMIT", snowflaketest.Fault{After: true, Drop: true}))
	require.NoError(t, f.transact(t.Context(), "bob"))
	assert.Equal(t, 1, f.notes())

	f.server.Intercept(breaks(always, "COMMIT", snowflaketest.Fault{After: true, Drop: true}))
	assert.ErrorIs(t, f.transact(t.Context(), "cid"), domain.ErrOutcomeUnknown)
	assert.Equal(t, 2, f.notes())

	f.server.Intercept(breaks(always, "COMMIT", snowflaketest.Fault{Drop: true}))
	assert.ErrorIs(t, f.transact(t.Context(), "dan"), domain.ErrOutcomeUnknown)
	f.server.Intercept(nil)
	assert.Equal(t, 2, f.notes())

	// A session that came back into the pool inside its transaction would lose this write.
	require.NoError(t, f.write(t.Context(), "new"))
	assert.Equal(t, 3, f.notes())
	assert.NoError(t, f.transact(t.Context(), "eve"), "no session holds the lock")
}

func TestTheOutcomeOfATransactionIsUnknownOnlyAfterCommitWasSent(t *testing.T) {
	t.Parallel()
	const deadline = time.Second
	for text, want := range map[string]error{
		"BEGIN": domain.ErrUnavailable, "UPDATE one_row": domain.ErrContended, "INSERT": domain.ErrUnavailable,
		"COMMIT": domain.ErrOutcomeUnknown,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(o *Options) { o.RequestTimeout = deadline })
			f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
				if r.Path != snowflaketest.QueryPath || strings.HasPrefix(r.SQL, text) { // an abort hangs too
					return &snowflaketest.Fault{Hang: true}
				}
				return nil
			})
			assert.ErrorIs(t, f.transact(endsIn(t, deadline), "new"), want)
			f.server.Intercept(nil)
			time.Sleep(deadline) // the deadline of a request that may still be on its way
			assert.Zero(t, f.notes())
		})
	}
}

func TestNothingIsCommittedAfterAFailedStatement(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]snowflaketest.Fault{
		"with a reply": {Code: "1003"}, "without a reply": {Drop: true},
		"with its effect": {After: true, Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			require.NoError(t, f.write(t.Context(), "old"))
			replace := func() error {
				return f.Transact(t.Context(), lockRow, func(ctx context.Context, tx Conn, _ int64) error {
					if _, err := tx.Exec(ctx, insertNote("new")); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, Statement{SQL: "DELETE FROM notes WHERE id = ?", Args: []any{"old"}})
					return err
				})
			}
			f.server.Intercept(breaks(always, "DELETE", fault))
			err := replace()
			require.Error(t, err)
			assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, "nothing takes effect without a COMMIT")
			f.server.Intercept(nil)
			assert.Equal(t, [][]any{{"old"}}, f.server.Exec("SELECT id FROM notes").Rows)
			require.NoError(t, replace())
			assert.Equal(t, [][]any{{"new"}}, f.server.Exec("SELECT id FROM notes").Rows)
		})
	}
}

func TestACallerThatWaitsForALockCanLeave(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Connections = 1 })
	release := holdLock(t, f)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- f.transact(ctx, "bob") }()
	require.Eventually(t, func() bool { return f.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	leave()
	left := time.Now()
	assert.ErrorIs(t, <-gone, domain.ErrContended, "nothing takes effect without a COMMIT")
	require.NoError(t, f.read(t.Context()))
	assert.Less(t, time.Since(left), slack)
	release()
	assert.Zero(t, f.notes())
}

// holdLock locks the row in the session of another client.
func holdLock(t *testing.T, f *fixture) (release func()) {
	t.Helper()
	db := sql.OpenDB(newConnector(options(f.server)))
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(context.Background(), lockRow.SQL)
	require.NoError(t, err)
	return func() { _ = tx.Rollback() }
}

func TestAWaitForALockDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	holdLock(t, f)
	for range 2 * guard.FailuresToOpen {
		err := f.transact(endsIn(t, 250*time.Millisecond), "bob")
		assert.ErrorIs(t, err, domain.ErrContended)
		assert.NoError(t, f.read(t.Context()))
	}
}

func TestATransactionThatWaitsForALockIsNotTheProbeOfTheBreaker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	release := holdLock(t, f)
	f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Status: http.StatusBadGateway}
	})
	for range guard.FailuresToOpen {
		require.Error(t, f.read(t.Context()))
	}
	f.server.Intercept(nil)
	time.Sleep(guard.OpenFor + 10*time.Millisecond) // now the breaker lets one call through
	waits := make(chan error)
	go func() { waits <- f.transact(endsIn(t, 10*time.Second), "bob") }()
	require.Eventually(t, func() bool { return f.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	assert.NoError(t, f.read(t.Context()))
	release()
	assert.NoError(t, <-waits)
}

func TestAWaitForALockIsContentionOnASlowNetworkToo(t *testing.T) {
	t.Parallel()
	const deadline = 2 * time.Second
	f := newFixture(t, func(o *Options) { o.RequestTimeout = deadline })
	holdLock(t, f)
	f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Delay: 60 * time.Millisecond}
	})
	for range 2 {
		err := f.transact(endsIn(t, deadline), "bob")
		assert.ErrorIs(t, err, domain.ErrContended)
		assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
	}
}

func TestALockTimesOutBeforeTheRequestDoes(t *testing.T) {
	t.Parallel()
	const deadline = 2 * time.Second
	f := newFixture(t, func(o *Options) { o.RequestTimeout = deadline })
	holdLock(t, f)
	start := time.Now()
	err := f.DB.transact(endsIn(t, deadline), f.pool, new(atomic.Bool), func(ctx context.Context, tx Conn) error {
		_, err := tx.Exec(ctx, lockRow)
		return err
	})
	assert.ErrorIs(t, err, domain.ErrContended)
	assert.ErrorContains(t, err, "lock timeout", "the cause is kept for the log")
	assert.Less(t, time.Since(start), deadline)
}
