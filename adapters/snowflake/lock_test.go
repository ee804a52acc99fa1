package snowflake

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The faults of transactions and of the lock; see faults_test.go.

func TestACommitWhoseReplyIsLost(t *testing.T) {
	users := func(s *scene) int { return len(s.server.Exec("SELECT id FROM users").Rows) }
	s := set(t)
	s.server.Intercept(breaking(1, "COMMIT", snowflaketest.Fault{After: true, Drop: true}))
	require.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), user("bob")))
	assert.Equal(t, 3, users(s))

	s.server.Intercept(breaking(always, "COMMIT", snowflaketest.Fault{After: true, Drop: true}))
	assert.ErrorIs(t, s.CreateUser(t.Context(), s.admin.Actor(), user("cid")), domain.ErrOutcomeUnknown)
	assert.Equal(t, 4, users(s))

	s.server.Intercept(breaking(always, "COMMIT", snowflaketest.Fault{Drop: true}))
	assert.ErrorIs(t, s.CreateUser(t.Context(), s.admin.Actor(), user("dan")), domain.ErrOutcomeUnknown)
	s.server.Intercept(nil)
	assert.Equal(t, 4, users(s))

	// A session that came back into the pool inside its transaction would lose this write.
	require.NoError(t, s.write(t.Context(), "new"))
	assert.Equal(t, 1, s.items())
	assert.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), user("eve")), "nor does anybody hold the lock")
}

func TestWhatIsNotKnownOfATransactionIsItsCommit(t *testing.T) {
	const deadline = 300 * time.Millisecond
	for text, want := range map[string]error{
		"BEGIN": domain.ErrUnavailable, "UPDATE account_lock": domain.ErrContended, "INSERT": domain.ErrUnavailable, "COMMIT": domain.ErrOutcomeUnknown,
	} {
		s := set(t, func(o *Options) { o.RequestTimeout = deadline })
		s.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if r.Path != snowflaketest.QueryPath || strings.HasPrefix(r.SQL, text) { // nor is an abort answered
				return &snowflaketest.Fault{Hang: true}
			}
			return nil
		})
		assert.ErrorIs(t, s.CreateUser(ending(t, deadline), s.admin.Actor(), user("bob")), want, text)
		s.server.Intercept(nil)
		time.Sleep(deadline) // of what could still be on its way
		assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 2, text)
	}
}

func TestNothingIsCommittedAfterAStatementFailed(t *testing.T) {
	for name, fault := range map[string]snowflaketest.Fault{
		"with an answer": {Code: "1003"}, "without one": {Drop: true}, "with its effect": {After: true, Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			s.server.Intercept(breaking(always, "DELETE FROM items", fault))
			err := s.DeleteUser(t.Context(), s.admin.Actor(), s.ann.ID, domain.Versions{})
			require.Error(t, err)
			assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, "without a COMMIT nothing takes effect")
			s.server.Intercept(nil)
			_, err = s.User(t.Context(), s.admin.Actor(), s.ann.ID)
			assert.NoError(t, err)
			assert.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), s.ann.ID, domain.Versions{}))
		})
	}
}

func TestWhoWaitsForTheLockCanLeave(t *testing.T) {
	s := set(t, func(o *Options) { o.Connections = 1 })
	release := holdLock(t, s)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- s.CreateUser(ctx, s.admin.Actor(), user("bob")) }()
	require.Eventually(t, func() bool { return s.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	leave()
	left := time.Now()
	assert.ErrorIs(t, <-gone, domain.ErrContended, "without a COMMIT nothing takes effect")
	require.NoError(t, s.read(t.Context()))
	assert.Less(t, time.Since(left), slack)
	release()
	assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 2)
}

// holdLock takes the lock in a session of a client that then does nothing more.
func holdLock(t *testing.T, s *scene) (release func()) {
	t.Helper()
	db := sql.OpenDB(newConnector(options(s.server)))
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(context.Background(), takeLock.text)
	require.NoError(t, err)
	return func() { _ = tx.Rollback() }
}

func TestAClientThatIsKilledUnderTheLockBlocksNothingElse(t *testing.T) {
	const vanished, deadline = 1500 * time.Millisecond, 500 * time.Millisecond
	s := set(t)
	s.server.VanishAfter = vanished
	holdLock(t, s)
	killed := time.Now()

	assert.ErrorIs(t, s.CreateUser(ending(t, deadline), s.admin.Actor(), user("bob")), domain.ErrContended)
	start := time.Now()
	assert.NoError(t, s.read(t.Context()))
	assert.NoError(t, s.write(t.Context(), "new"))
	signedOut := s.ann
	signedOut.PasswordHash, signedOut.Version, signedOut.Epoch = "next", 2, 2
	assert.NoError(t, s.UpdateUser(t.Context(), s.ann.Actor(), signedOut, s.ann))
	assert.Less(t, time.Since(start), deadline)

	require.Eventually(t, func() bool { return s.CreateUser(ending(t, deadline), s.admin.Actor(), user("bob")) == nil }, 10*time.Second, time.Millisecond)
	assert.GreaterOrEqual(t, time.Since(killed), vanished)
	assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 3)
}

func TestThoseWhoWaitForTheLockLeaveTheConnectionsToOthers(t *testing.T) {
	s := set(t, func(o *Options) { o.Connections = 2 })
	release := holdLock(t, s)
	var all sync.WaitGroup
	ctx := ending(t, 10*time.Second)
	for i := range 20 {
		all.Go(func() { assert.NoError(t, s.CreateUser(ctx, s.admin.Actor(), user(fmt.Sprint("u", i)))) })
	}
	require.Eventually(t, func() bool { return s.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	for range 10 {
		require.NoError(t, s.read(t.Context()))
	}
	assert.Equal(t, 1, s.server.Waiters())
	release()
	all.Wait()
	assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 22)
}

func TestAWaitForTheLockIsNoOutage(t *testing.T) {
	s := set(t)
	holdLock(t, s)
	for range 2 * failuresToOpen {
		err := s.CreateUser(ending(t, 50*time.Millisecond), s.admin.Actor(), user("bob"))
		assert.ErrorIs(t, err, domain.ErrContended)
		assert.NoError(t, s.read(t.Context()))
	}
}

func TestWhoWaitsForTheLockIsNoProbeForAnOutage(t *testing.T) {
	s := set(t)
	release := holdLock(t, s)
	s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Status: http.StatusBadGateway}
	})
	for range failuresToOpen {
		require.Error(t, s.read(t.Context()))
	}
	s.server.Intercept(nil)
	time.Sleep(openFor + 10*time.Millisecond) // the breaker asks again from now on
	waits := make(chan error)
	go func() { waits <- s.CreateUser(ending(t, 10*time.Second), s.admin.Actor(), user("bob")) }()
	require.Eventually(t, func() bool { return s.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
	assert.NoError(t, s.read(t.Context()))
	release()
	assert.NoError(t, <-waits)
}

func TestACallerWhoWaitedForTheLockIsToldSoOverASlowNetwork(t *testing.T) {
	const deadline = 2 * time.Second
	s := set(t, func(o *Options) { o.RequestTimeout = deadline })
	holdLock(t, s)
	s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Delay: 60 * time.Millisecond}
	})
	for range 2 {
		err := s.CreateUser(ending(t, deadline), s.admin.Actor(), user("bob"))
		assert.ErrorIs(t, err, domain.ErrContended)
		assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
	}
}

func TestALockThatDoesNotComeFreeIsGivenUpBeforeTheRequest(t *testing.T) {
	const deadline = 2 * time.Second
	s := set(t, func(o *Options) { o.RequestTimeout = deadline })
	holdLock(t, s)
	start := time.Now()
	err := transact(ending(t, deadline), s.db, new(atomic.Bool), func(ctx context.Context, tx *sql.Tx) error {
		_, err := exec(ctx, tx, takeLock)
		return err
	})
	assert.ErrorIs(t, err, domain.ErrContended)
	assert.ErrorContains(t, err, "lock timeout", "the log says why")
	assert.Less(t, time.Since(start), deadline)
}
