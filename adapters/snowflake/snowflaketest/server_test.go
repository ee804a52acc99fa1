package snowflaketest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
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

// newFixture serves a table t with one row, whose id is "one" and whose n is 1.
func newFixture(t *testing.T, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	s := snowflaketest.New(t, rules)
	s.Exec("CREATE TABLE t (id VARCHAR(36) NOT NULL, n NUMBER(19, 0), b BOOLEAN, at TIMESTAMP_NTZ(6))")
	s.Exec("INSERT INTO t (id, n) SELECT 'one', 1")
	return s
}

// client returns a pool of sessions with these parameters: name, value, name, value, …
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

// lock updates every row in a transaction that stays open.
func lock(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.Exec("UPDATE t SET n = 10")
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// n returns the n of the row "one".
func n(s *snowflaketest.Server) any { return s.Exec("SELECT n FROM t WHERE id = 'one'").Rows[0][0] }

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond)
}

// number returns the number of Snowflake's error.
func number(t *testing.T, err error) int {
	t.Helper()
	var e *sf.SnowflakeError
	require.ErrorAs(t, err, &e)
	return e.Number
}

func TestTheServerReturnsTheValuesThatItReceived(t *testing.T) {
	db := client(t, newFixture(t, engine.Rules{}))
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

func TestColumnsOfAnyTypeReturnTheValuesThatTheyReceived(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	s.Exec("CREATE TABLE other (day DATE, f FLOAT, v VARIANT, at TIMESTAMP_TZ, tags ARRAY NOT NULL, price NUMBER(10, 2))")
	db := client(t, s)
	at := time.Date(2026, 3, 29, 1, 59, 59, 999_999_999, time.UTC)
	_, err := db.Exec("INSERT INTO other (day, f, v, at, tags, price) SELECT ?, ?, ?, ?, ?, ?",
		"2026-03-29", 0.1, `{"a": 1}`, at, `["x"]`, 12.34)
	require.NoError(t, err)
	var day, v, tags string
	var f, price float64
	var gotAt time.Time
	row := db.QueryRow("SELECT day, f, v, at, tags, price FROM other WHERE f = ? AND price > ?", 0.1, 12.0)
	require.NoError(t, row.Scan(&day, &f, &v, &gotAt, &tags, &price))
	assert.Equal(t, []any{"2026-03-29", 0.1, `{"a": 1}`, at, `["x"]`, 12.34}, []any{day, f, v, gotAt, tags, price})
}

func TestAWriteReturnsTheNumberOfRows(t *testing.T) {
	db := client(t, newFixture(t, engine.Rules{}))
	for _, st := range []struct {
		sql  string
		want int64
	}{
		{"INSERT INTO t (id) SELECT 'two'", 1},
		{"UPDATE t SET n = 5", 2},
		{"UPDATE t SET n = 6 WHERE id = 'x'", 0},
		{"DELETE FROM t", 2},
	} {
		result, err := db.Exec(st.sql)
		require.NoError(t, err)
		got, err := result.RowsAffected()
		require.NoError(t, err)
		assert.Equal(t, st.want, got, st.sql)
	}
}

func TestASessionHasTheParametersOfItsAccountUnlessItsLoginSetsThem(t *testing.T) {
	const two = "INSERT INTO t (id) SELECT 'two'"
	// lost reports whether a write is lost at the end of its session.
	lost := func(t *testing.T, s *snowflaketest.Server, db *sql.DB) bool {
		_, err := db.Exec(two)
		require.NoError(t, err)
		s.Restart()
		return len(s.Exec("SELECT id FROM t").Rows) == 1
	}
	// timesOut reports whether a statement that waits for a lock for three seconds fails with that number.
	timesOut := func(number int) func(*testing.T, *snowflaketest.Server, *sql.DB) bool {
		return func(t *testing.T, s *snowflaketest.Server, db *sql.DB) bool {
			tx := lock(t, client(t, s))
			time.AfterFunc(3*time.Second, func() { _ = tx.Commit() })
			_, err := db.Exec(add)
			var e *sf.SnowflakeError
			return errors.As(err, &e) && e.Number == number
		}
	}
	standard, hybrid := engine.Rules{}, engine.Rules{Unique: map[string]string{"t": "id"}}
	for name, tt := range map[string]struct {
		rules       engine.Rules
		set, normal string
		shows       func(*testing.T, *snowflaketest.Server, *sql.DB) bool
	}{
		"AUTOCOMMIT":                   {standard, "FALSE", "true", lost},
		"LOCK_TIMEOUT":                 {standard, "1", "60", timesOut(625)},
		"HYBRID_TABLE_LOCK_TIMEOUT":    {hybrid, "1", "60", timesOut(630)},
		"STATEMENT_TIMEOUT_IN_SECONDS": {standard, "1", "60", timesOut(630)},
		"ROWS_PER_RESULTSET": {standard, "1", "0", func(t *testing.T, s *snowflaketest.Server, db *sql.DB) bool {
			s.Exec(two)
			rows, err := db.Query("SELECT id FROM t")
			require.NoError(t, err)
			defer rows.Close()
			return rows.Next() && !rows.Next()
		}},
		"MULTI_STATEMENT_COUNT": {standard, "2", "1", func(t *testing.T, s *snowflaketest.Server, db *sql.DB) bool {
			_, err := db.Exec(two)
			return err != nil && number(t, err) == 8
		}},
		"DEFAULT_NULL_ORDERING": {standard, "FIRST", "LAST", func(t *testing.T, s *snowflaketest.Server, db *sql.DB) bool {
			s.Exec(two)
			var first string
			require.NoError(t, db.QueryRow("SELECT id FROM t ORDER BY n").Scan(&first))
			return first == "two"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.rules.Account = map[string]string{name: tt.set}
			s := newFixture(t, tt.rules)
			assert.True(t, tt.shows(t, s, client(t, s)))
			s = newFixture(t, tt.rules)
			assert.False(t, tt.shows(t, s, client(t, s, name, tt.normal)))
		})
	}
}

func TestAStatementWaitsForALock(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	tx := lock(t, client(t, s))
	db := client(t, s)
	done := make(chan error, 1)
	go func() { _, err := db.Exec(add); done <- err }()
	eventually(t, func() bool { return s.Waiters() == 1 })
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
	assert.Equal(t, int64(11), n(s))
}

func TestAWaitForALockEnds(t *testing.T) {
	t.Run("after LOCK_TIMEOUT", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
		lock(t, client(t, s))
		_, err := client(t, s, "LOCK_TIMEOUT", "1").Exec(add)
		assert.Equal(t, 625, number(t, err))
	})
	t.Run("immediately, if 20 statements wait already", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
		tx := lock(t, client(t, s))
		db := client(t, s)
		results := make(chan error, 21)
		for range 21 {
			go func() { _, err := db.Exec(add); results <- err }()
		}
		assert.Equal(t, 625, number(t, <-results))
		require.NoError(t, tx.Commit())
		for range 20 {
			require.NoError(t, <-results)
		}
		assert.Equal(t, int64(30), n(s))
	})
	t.Run("when the client cancels the statement", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
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
	t.Run("when the client closes the connection", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
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
		assert.Equal(t, int64(10), n(s), "the statement is not executed later")
	})
	t.Run("when the database restarts", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
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

func TestAWaitingStatementGetsTheLockOfAVanishedClientAfterVanishAfter(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	s.VanishAfter = 100 * time.Millisecond
	lock(t, client(t, s))
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s), "its transaction is rolled back")
}

func TestAStatementGetsTheLockOfAClientThatVanishedLongAgo(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	s.VanishAfter = time.Nanosecond
	lock(t, client(t, s))
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s))
}

func TestAClientWhoseStatementWaitsHasNotVanished(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	s.Exec("INSERT INTO t (id, n) SELECT 'two', 1")
	s.VanishAfter = time.Second // a busy machine may stop this process for a while
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
	for start := time.Now(); time.Since(start) < 2*s.VanishAfter; {
		_, err := first.Exec("SELECT 1")
		require.NoError(t, err)
	}
	require.NoError(t, first.Commit())
	require.NoError(t, <-done)
	require.NoError(t, second.Commit())
	assert.Equal(t, [][]any{{int64(6)}, {int64(7)}}, s.Exec("SELECT n FROM t ORDER BY n").Rows)
}

func TestAStatementIsExecutedOnceForEachRequestID(t *testing.T) {
	s := newFixture(t, engine.Rules{})
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
		"an HTTP status": {Status: 503, Body: "<html>"},
		"an error":       {Code: "607"},
		"a reset":        {Drop: true},
		"no answer":      {Hang: true},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, and the statement takes effect: %t", name, after), func(t *testing.T) {
				s := newFixture(t, engine.Rules{})
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
	t.Run("a request with a fault takes effect once", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
		s.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{After: true} })
		require.NoError(t, client(t, s).Ping())
		assert.Equal(t, 1, s.Logins())
	})
	t.Run("a delay ends when the client closes the connection", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
		s.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Delay: time.Hour} })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := client(t, s).ExecContext(ctx, add)
		require.Error(t, err)
		assert.Equal(t, int64(1), n(s))
	})
	t.Run("the driver renews a session that expired", func(t *testing.T) {
		s := newFixture(t, engine.Rules{})
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

func TestStopKeepsSessionsAndRestartEndsThem(t *testing.T) {
	s := newFixture(t, engine.Rules{})
	db := client(t, s)
	require.NoError(t, db.Ping())
	s.Stop()
	require.Error(t, db.Ping())
	s.Start()
	require.NoError(t, db.Ping(), "the session is still there")
	s.Restart()
	assert.Equal(t, 390104, number(t, db.Ping()))
}

func TestExecSeesTheLatestCommitAndASnapshotDoesNotChange(t *testing.T) {
	s := newFixture(t, engine.Rules{StaleSessions: true})
	_, err := client(t, s).Exec(add)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n(s))
	copied := s.Snapshot()
	s.Exec("DELETE FROM t")
	result, err := copied.Open().Do("SELECT n FROM t")
	require.NoError(t, err)
	assert.Len(t, result.Rows, 1)
}

// recorder stands for the test of a server, and keeps the failures that the server reports.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// reported runs f with a server of a recorder, and returns the failures.
func reported(t *testing.T, f func(*snowflaketest.Server)) []string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(snowflaketest.New(r, engine.Rules{}))
	}()
	<-done
	return r.failures
}

func TestExecEndsTheTestIfTheStatementFails(t *testing.T) {
	failures := reported(t, func(s *snowflaketest.Server) {
		s.Exec("SELECT id FROM nothing")
		t.Error("the test went on")
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "SELECT id FROM nothing: 002003 (42S02)")
}

func TestAnUnknownConstructFailsTheTestAndIsAnswered(t *testing.T) {
	for sql, args := range map[string][]any{
		"MERGE INTO t":   nil,
		"SELECT ? + 'a'": {1},
		"SELECT ?":       {sf.DataTypeDate, time.Now()},
	} {
		var err error
		failures := reported(t, func(s *snowflaketest.Server) { _, err = client(t, s).Exec(sql, args...) })
		assert.Equal(t, 1003, number(t, err), sql)
		if assert.Len(t, failures, 1, sql) {
			assert.Contains(t, failures[0], sql+": the engine does not know ")
			assert.ErrorContains(t, err, strings.TrimPrefix(failures[0], sql+": "))
		}
	}
}

func TestAnErrorOfSnowflakeDoesNotFailTheTest(t *testing.T) {
	failures := reported(t, func(s *snowflaketest.Server) {
		_, err := client(t, s).Exec("SELECT id FROM nothing")
		assert.Equal(t, 2003, number(t, err))
	})
	assert.Empty(t, failures)
}

func TestAPlaceholderOfAnUnknownTypeSaysWhereToTeachIt(t *testing.T) {
	failures := reported(t, func(s *snowflaketest.Server) {
		_, _ = client(t, s).Exec("SELECT ?", sf.DataTypeDate, time.Now())
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "the engine does not know a placeholder of type DATE; "+
		"run this test on the emulator, or teach it in snowflaketest/query.go, values")
}

func TestCloseLeavesNoGoroutineBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := snowflaketest.New(t, engine.Rules{})
	s.Exec("CREATE TABLE t (id VARCHAR(36), n NUMBER(19, 0))")
	s.Exec("INSERT INTO t (id, n) SELECT 'one', 1")
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
