package snowflaketest_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestMain(m *testing.M) {
	os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
	_ = sf.GetLogger().SetLogLevel("OFF")
	os.Exit(m.Run())
}

// start serves a table t with a row "one", whose n is 1.
func start(t *testing.T, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	s := snowflaketest.New(t, rules)
	s.Exec("CREATE TABLE t (id VARCHAR(36) NOT NULL, n NUMBER(19, 0), b BOOLEAN, at TIMESTAMP_NTZ(6))")
	s.Exec("INSERT INTO t (id, n) VALUES ('one', 1)")
	return s
}

// client is a pool of the driver alone, whose sessions have the parameters, names and values in turn.
func client(t *testing.T, s *snowflaketest.Server, parameters ...string) *sql.DB {
	t.Helper()
	no := "false"
	params := map[string]*string{"CLIENT_TELEMETRY_ENABLED": &no}
	for i := 0; i < len(parameters); i += 2 {
		params[parameters[i]] = &parameters[i+1]
	}
	db := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, sf.Config{
		Protocol: "http", Host: s.Host(), Port: s.Port(), Account: "a", User: "u", Password: "p", Database: "d", Schema: "s",
		MaxRetryCount: -1, Params: params,
	}))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

const add = "UPDATE t SET n = n + 1 WHERE id = 'one'"

// lock changes every row in a transaction that stays open.
func lock(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.Exec("UPDATE t SET n = 10")
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func n(s *snowflaketest.Server) any { return s.Exec("SELECT n FROM t WHERE id = 'one'").Rows[0][0] }

// eventually waits for what another goroutine or process is about to do.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond)
}

func refusal(t *testing.T, err error) int {
	t.Helper()
	var e *sf.SnowflakeError
	require.ErrorAs(t, err, &e)
	return e.Number
}

func TestValuesComeBackAsTheyWereSent(t *testing.T) {
	db := client(t, start(t, engine.Rules{}))
	at := func(year int) time.Time { return time.Date(year, 3, 29, 1, 59, 59, 999_999_000, time.UTC) }
	for _, id := range []string{"", "a 'quote' and a ?", "snow ❄️", "back\\slash\n"} {
		for _, when := range []time.Time{at(1), at(1600), at(2026), at(9999)} {
			_, err := db.Exec("UPDATE t SET id = ?, n = ?, b = ?, at = ?", id, int64(9007199254740993), true, when)
			require.NoError(t, err)
			var gotID string
			var gotN int64
			var gotB bool
			var gotAt time.Time
			require.NoError(t, db.QueryRow("SELECT id, n, b, at FROM t").Scan(&gotID, &gotN, &gotB, &gotAt))
			assert.Equal(t, []any{id, int64(9007199254740993), true, when}, []any{gotID, gotN, gotB, gotAt})
		}
	}
	_, err := db.Exec("UPDATE t SET n = ?, b = ?, at = ?", sql.NullInt64{}, sql.NullBool{}, sql.NullTime{})
	require.NoError(t, err)
	var gotN sql.NullInt64
	var gotB sql.NullBool
	var gotAt sql.NullTime
	require.NoError(t, db.QueryRow("SELECT n, b, at FROM t").Scan(&gotN, &gotB, &gotAt))
	assert.False(t, gotN.Valid || gotB.Valid || gotAt.Valid)
}

func TestRowsAreCounted(t *testing.T) {
	db := client(t, start(t, engine.Rules{}))
	for _, st := range []struct {
		sql  string
		want int64
	}{
		{"INSERT INTO t (id) VALUES ('two')", 1}, {"UPDATE t SET n = 5", 2}, {"UPDATE t SET n = 6 WHERE id = 'x'", 0}, {"DELETE FROM t", 2},
	} {
		result, err := db.Exec(st.sql)
		require.NoError(t, err)
		got, err := result.RowsAffected()
		require.NoError(t, err)
		assert.Equal(t, st.want, got, st.sql)
	}
}

func TestAStatementWaitsForALock(t *testing.T) {
	s := start(t, engine.Rules{})
	tx := lock(t, client(t, s))
	db := client(t, s)
	done := make(chan error, 1)
	go func() { _, err := db.Exec(add); done <- err }()
	eventually(t, func() bool { return s.Waiters() == 1 })
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
	assert.Equal(t, int64(11), n(s))
}

func TestAWaitForALockIsBounded(t *testing.T) {
	t.Run("by the session's parameter", func(t *testing.T) {
		s := start(t, engine.Rules{})
		lock(t, client(t, s))
		_, err := client(t, s, "LOCK_TIMEOUT", "1").Exec(add)
		assert.Equal(t, 625, refusal(t, err))
	})
	t.Run("by the number of those who wait", func(t *testing.T) {
		s := start(t, engine.Rules{})
		tx := lock(t, client(t, s))
		db := client(t, s)
		results := make(chan error, 21)
		for range 21 {
			go func() { _, err := db.Exec(add); results <- err }()
		}
		assert.Equal(t, 625, refusal(t, <-results))
		require.NoError(t, tx.Commit())
		for range 20 {
			require.NoError(t, <-results)
		}
		assert.Equal(t, int64(30), n(s))
	})
	t.Run("by the client, who cancels", func(t *testing.T) {
		s := start(t, engine.Rules{})
		tx := lock(t, client(t, s))
		db := client(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := db.ExecContext(ctx, add); done <- err }()
		eventually(t, func() bool { return s.Waiters() == 1 })
		cancel()
		require.Error(t, <-done)
		eventually(t, func() bool { return s.Waiters() == 0 })
		require.NoError(t, tx.Commit())
		assert.Equal(t, int64(10), n(s))
	})
	t.Run("by the client, whose connection is gone", func(t *testing.T) {
		s := start(t, engine.Rules{})
		tx := lock(t, client(t, s))
		require.NoError(t, client(t, s).Ping())
		sent := s.Requests()
		ctx, cancel := context.WithCancel(t.Context())
		url := fmt.Sprintf("http://%s:%d%s?requestId=r", s.Host(), s.Port(), snowflaketest.QueryPath)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"sqlText":"`+add+`"}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", `Snowflake Token="`+sent[len(sent)-1].Token+`"`)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if reply, err := http.DefaultClient.Do(r); err == nil {
				reply.Body.Close()
			}
		}()
		eventually(t, func() bool { return s.Waiters() == 1 })
		cancel()
		<-gone
		eventually(t, func() bool { return s.Waiters() == 0 })
		require.NoError(t, tx.Commit())
		assert.Equal(t, int64(10), n(s), "it is not executed later")
	})
	t.Run("by the end of all sessions", func(t *testing.T) {
		s := start(t, engine.Rules{})
		lock(t, client(t, s))
		db := client(t, s)
		done := make(chan error, 1)
		go func() { _, err := db.Exec(add); done <- err }()
		eventually(t, func() bool { return s.Waiters() == 1 })
		s.Restart()
		assert.Error(t, <-done)
		assert.Equal(t, int64(1), n(s))
	})
}

func TestAClientThatVanishedKeepsItsLocksForAWhile(t *testing.T) {
	s := start(t, engine.Rules{})
	s.VanishAfter = 100 * time.Millisecond
	lock(t, client(t, s))
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s), "its transaction is rolled back")
}

func TestAClientThatWasAwayForLongBlocksNobodyWhoComesLater(t *testing.T) {
	s := start(t, engine.Rules{})
	s.VanishAfter = time.Nanosecond
	lock(t, client(t, s))
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s))
}

func TestAClientThatWaitsHasNotVanished(t *testing.T) {
	s := start(t, engine.Rules{})
	s.Exec("INSERT INTO t (id, n) VALUES ('two', 1)")
	s.VanishAfter = 200 * time.Millisecond
	first, err := client(t, s).Begin()
	require.NoError(t, err)
	_, err = first.Exec("UPDATE t SET n = 5 WHERE id = 'one'")
	require.NoError(t, err)
	second, err := client(t, s).Begin()
	require.NoError(t, err)
	_, err = second.Exec("UPDATE t SET n = 7 WHERE id = 'two'")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { _, err := second.Exec(add); done <- err }()
	for begun := time.Now(); time.Since(begun) < 2*s.VanishAfter; {
		_, err := first.Exec("SELECT 1")
		require.NoError(t, err)
	}
	require.NoError(t, first.Commit())
	require.NoError(t, <-done)
	require.NoError(t, second.Commit())
	assert.Equal(t, [][]any{{int64(6)}, {int64(7)}}, s.Exec("SELECT n FROM t ORDER BY n").Rows)
}

func TestAStatementIsExecutedOnceForEachRequestID(t *testing.T) {
	s := start(t, engine.Rules{})
	db := client(t, s)
	ctx := sf.WithRequestID(t.Context(), sf.NewUUID())
	for range 3 {
		result, err := db.ExecContext(ctx, add)
		require.NoError(t, err)
		rows, err := result.RowsAffected()
		require.NoError(t, err)
		assert.Equal(t, int64(1), rows)
	}
	assert.Equal(t, int64(2), n(s))
	assert.Equal(t, 1, s.Statements())
}

func TestFaults(t *testing.T) {
	for name, f := range map[string]snowflaketest.Fault{
		"a status": {Status: 503, Body: "<html>"}, "an error": {Code: "607"}, "a reset": {Drop: true}, "no answer": {Hang: true},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, takes effect: %t", name, after), func(t *testing.T) {
				s := start(t, engine.Rules{})
				db := client(t, s)
				require.NoError(t, db.Ping())
				f := f
				f.After = after
				s.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
					if r.SQL == add {
						return &f
					}
					return nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := db.ExecContext(ctx, add)
				require.Error(t, err)
				s.Intercept(nil)
				assert.Equal(t, map[bool]int64{false: 1, true: 2}[after], n(s))
			})
		}
	}
	t.Run("what takes effect does so once", func(t *testing.T) {
		s := start(t, engine.Rules{})
		s.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{After: true} })
		require.NoError(t, client(t, s).Ping())
		assert.Equal(t, 1, s.Logins())
	})
	t.Run("a delay ends when the client goes", func(t *testing.T) {
		s := start(t, engine.Rules{})
		s.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Delay: time.Hour} })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := client(t, s).ExecContext(ctx, add)
		require.Error(t, err)
		assert.Equal(t, int64(1), n(s))
	})
	t.Run("a session that expired is renewed by the driver", func(t *testing.T) {
		s := start(t, engine.Rules{})
		once := true
		s.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if r.SQL == add && once {
				once = false
				return &snowflaketest.Fault{Code: "390112"}
			}
			return nil
		})
		_, err := client(t, s).Exec(add)
		require.NoError(t, err)
		assert.Equal(t, int64(2), n(s))
		assert.Equal(t, 1, s.Logins())
	})
}

func TestStopAndStartAndRestart(t *testing.T) {
	s := start(t, engine.Rules{})
	db := client(t, s)
	require.NoError(t, db.Ping())
	assert.Positive(t, s.Connections())
	s.Stop()
	require.Error(t, db.Ping())
	eventually(t, func() bool { return s.Connections() == 0 })
	s.Start()
	require.NoError(t, db.Ping(), "the session is still there")
	s.Restart()
	assert.Equal(t, 390104, refusal(t, db.Ping()))
}

func TestWhatATestExecutesIsCurrent(t *testing.T) {
	s := start(t, engine.Rules{StaleSessions: true})
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s))
	copied := s.Snapshot()
	s.Exec("DELETE FROM t")
	result, err := copied.Open().Do("SELECT n FROM t")
	require.NoError(t, err)
	assert.Len(t, result.Rows, 1)
}

// recorder is a test whose failures another test looks at.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func TestAStatementThatFailsEndsTheTestThatExecutesIt(t *testing.T) {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := snowflaketest.New(r, engine.Rules{})
		defer s.Close()
		s.Exec("SELECT id FROM nothing")
		t.Error("the test went on")
	}()
	<-done
	require.Len(t, r.failures, 1)
	assert.Contains(t, r.failures[0], "SELECT id FROM nothing: 002003 (42S02)")
}

func TestAnEndedServerLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := snowflaketest.New(t, engine.Rules{})
	s.Exec("CREATE TABLE t (id VARCHAR(36), n NUMBER(19, 0))")
	s.Exec("INSERT INTO t (id, n) VALUES ('one', 1)")
	db := client(t, s)
	tx := lock(t, db)
	done := make(chan error, 1)
	go func() { _, err := db.Exec(add); done <- err }()
	eventually(t, func() bool { return s.Waiters() == 1 })
	s.Close()
	s.Close()
	assert.Error(t, <-done)
	assert.Error(t, tx.Rollback())
	require.NoError(t, db.Close())
	goleak.VerifyNone(t, before)
}
