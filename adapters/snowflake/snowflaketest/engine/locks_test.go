package engine_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// fixture is a database with a table t (id, n), whose rows are ('a', 1) and ('b', 1).
type fixture struct {
	t  *testing.T
	db *engine.DB
}

func newFixture(t *testing.T, rules engine.Rules) fixture {
	f := fixture{t, engine.New(rules)}
	s := f.db.Open()
	f.ok(s, "CREATE TABLE t (id VARCHAR(2) NOT NULL, n NUMBER(38, 0))")
	f.ok(s, "INSERT INTO t (id, n) SELECT 'a', 1")
	f.ok(s, "INSERT INTO t (id, n) SELECT 'b', 1")
	return f
}

func (f fixture) ok(s *engine.Session, sql string, args ...any) engine.Result {
	f.t.Helper()
	result, err := s.Do(sql, args...)
	require.NoError(f.t, err, sql)
	return result
}

func (f fixture) waits(s *engine.Session, sql string) {
	f.t.Helper()
	_, err := s.Do(sql)
	require.ErrorIs(f.t, err, engine.ErrLocked, sql)
}

// n returns what a new session reads of a row, nil if the row is not there.
func (f fixture) n(id string) any {
	f.t.Helper()
	rows := f.ok(f.db.Open(), "SELECT n FROM t WHERE id = ?", id).Rows
	if len(rows) == 0 {
		return nil
	}
	return rows[0][0]
}

// number returns the number of Snowflake's error.
func number(t *testing.T, err error) int {
	t.Helper()
	var e *engine.Error
	require.ErrorAs(t, err, &e)
	return e.Number
}

func TestOtherSessionsSeeTheWritesOfATransactionAfterItsCommit(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s, other := f.db.Open(), f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	f.ok(s, "INSERT INTO t (id, n) SELECT 'c', 3")
	f.ok(s, "DELETE FROM t WHERE id = 'b'")
	assert.Equal(t, [][]any{{"a", int64(2)}, {"c", int64(3)}}, f.ok(s, "SELECT id, n FROM t ORDER BY id").Rows)
	assert.Equal(t, [][]any{{"a", int64(1)}, {"b", int64(1)}}, f.ok(other, "SELECT id, n FROM t ORDER BY id").Rows)
	f.ok(s, "COMMIT")
	assert.Equal(t, [][]any{{"a", int64(2)}, {"c", int64(3)}}, f.ok(other, "SELECT id, n FROM t ORDER BY id").Rows)
}

func TestRollbackAndCloseUndoTheTransaction(t *testing.T) {
	for name, end := range map[string]func(*engine.Session){
		"ROLLBACK": func(s *engine.Session) { _, _ = s.Do("ROLLBACK") },
		"Close":    (*engine.Session).Close,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, engine.Rules{})
			s := f.db.Open()
			f.ok(s, "BEGIN")
			f.ok(s, "UPDATE t SET n = 2")
			f.ok(s, "INSERT INTO t (id, n) SELECT 'c', 3")
			assert.True(t, s.InTransaction())
			end(s)
			assert.False(t, s.InTransaction())
			rows := f.ok(f.db.Open(), "SELECT id, n FROM t ORDER BY id").Rows
			assert.Equal(t, [][]any{{"a", int64(1)}, {"b", int64(1)}}, rows)
			f.ok(f.db.Open(), "UPDATE t SET n = 5")
		})
	}
}

func TestEachStatementOfATransactionSeesEarlierCommits(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s := f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "SELECT n FROM t")
	f.ok(f.db.Open(), "UPDATE t SET n = 7 WHERE id = 'a'")
	assert.Equal(t, [][]any{{int64(7)}}, f.ok(s, "SELECT n FROM t WHERE id = 'a'").Rows)
}

func TestUpdateAndDeleteWaitOnlyForRowsThatAreLocked(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s, other := f.db.Open(), f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	f.waits(other, "UPDATE t SET n = 3 WHERE id = 'a'")
	f.waits(other, "DELETE FROM t WHERE id = 'a'")
	f.ok(other, "UPDATE t SET n = 3 WHERE id = 'b'")
	f.ok(other, "INSERT INTO t (id, n) SELECT 'a', 9")
	f.ok(other, "SELECT n FROM t")
	f.ok(s, "UPDATE t SET n = n + 1 WHERE id = 'a'")
}

func TestAnUpdateThatWaitedUsesTheNewestVersionOfTheRow(t *testing.T) {
	for name, first := range map[string]string{
		"the row was changed": "UPDATE t SET n = 5 WHERE id = 'a'",
		"the row was deleted": "DELETE FROM t WHERE id = 'a'",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, engine.Rules{})
			s, other := f.db.Open(), f.db.Open()
			f.ok(s, "BEGIN")
			f.ok(s, first)
			const late = "UPDATE t SET n = 100 WHERE id = 'a' AND n = 1"
			f.waits(other, late)
			f.ok(s, "COMMIT")
			assert.Zero(t, f.ok(other, late).Affected, "no update is lost")
		})
	}
	t.Run("the row is unchanged after a rollback", func(t *testing.T) {
		f := newFixture(t, engine.Rules{})
		s, other := f.db.Open(), f.db.Open()
		f.ok(s, "BEGIN")
		f.ok(s, "UPDATE t SET n = 5 WHERE id = 'a'")
		f.waits(other, "UPDATE t SET n = n + 1 WHERE id = 'a'")
		f.ok(s, "ROLLBACK")
		assert.Equal(t, int64(1), f.ok(other, "UPDATE t SET n = n + 1 WHERE id = 'a'").Affected)
		assert.Equal(t, int64(2), f.n("a"))
	})
}

// These statements read all rows and change one.
const (
	readAllChangeA = "UPDATE t SET n = 0 WHERE id = 'a' AND (SELECT COUNT(*) FROM t WHERE n = 1 AND id <> 'a') > 0"
	readAllChangeB = "UPDATE t SET n = 0 WHERE id = 'b' AND (SELECT COUNT(*) FROM t WHERE n = 1 AND id <> 'b') > 0"
)

func TestSnapshotSubqueriesDecidesWhatAWaitingStatementReadsOfOtherRows(t *testing.T) {
	for snapshot, changed := range map[bool]int64{false: 0, true: 1} {
		f := newFixture(t, engine.Rules{SnapshotSubqueries: snapshot})
		s, other := f.db.Open(), f.db.Open()
		f.ok(s, "BEGIN")
		f.ok(s, "UPDATE t SET n = 0 WHERE id = 'a'")
		f.ok(s, "UPDATE t SET n = n WHERE id = 'b'")
		f.waits(other, readAllChangeB)
		f.ok(s, "COMMIT")
		assert.Equal(t, changed, f.ok(other, readAllChangeB).Affected)
	}
}

func TestTwoStatementsThatReadAndWriteDoNotSeeEachOther(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s, other := f.db.Open(), f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(other, "BEGIN")
	assert.Equal(t, int64(1), f.ok(s, readAllChangeB).Affected)
	assert.Equal(t, int64(1), f.ok(other, readAllChangeA).Affected)
	f.ok(s, "COMMIT")
	f.ok(other, "COMMIT")
	assert.Equal(t, []any{int64(0), int64(0)}, []any{f.n("a"), f.n("b")}, "the race is real")
}

func TestAStaleSessionSeesNoLaterCommitOfAnotherSession(t *testing.T) {
	f := newFixture(t, engine.Rules{StaleSessions: true})
	s := f.db.Open()
	f.ok(f.db.Open(), "UPDATE t SET n = 9 WHERE id = 'a'")
	assert.Equal(t, [][]any{{int64(1)}}, f.ok(s, "SELECT n FROM t WHERE id = 'a'").Rows)
	f.ok(s, "UPDATE t SET n = 4 WHERE id = 'b'")
	assert.Equal(t, [][]any{{int64(4)}}, f.ok(s, "SELECT n FROM t WHERE id = 'b'").Rows, "it sees its own commit")
	assert.Equal(t, int64(9), f.n("a"), "a new session sees it")
	assert.Equal(t, int64(1), f.ok(s, "UPDATE t SET n = n + 1 WHERE id = 'a'").Affected)
	assert.Equal(t, int64(10), f.n("a"), "an update changes the newest version")
}

func TestAUniqueColumnRefusesDuplicates(t *testing.T) {
	f := newFixture(t, engine.Rules{Unique: map[string]string{"t": "id"}})
	s, other := f.db.Open(), f.db.Open()
	_, err := s.Do("INSERT INTO t (id, n) SELECT 'a', 2")
	assert.Equal(t, 200001, number(t, err))
	_, err = s.Do("UPDATE t SET id = 'a' WHERE id = 'b'")
	assert.Equal(t, 200001, number(t, err))
	_, err = s.Do("INSERT INTO t (id) SELECT 'x' FROM t")
	assert.Equal(t, 200001, number(t, err), "also within one statement")
	f.ok(s, "UPDATE t SET id = 'a' WHERE id = 'a'")

	f.ok(s, "BEGIN")
	f.ok(s, "INSERT INTO t (id, n) SELECT 'c', 1")
	f.waits(other, "INSERT INTO t (id, n) SELECT 'c', 2")
	f.ok(s, "COMMIT")
	_, err = other.Do("INSERT INTO t (id, n) SELECT 'c', 2")
	assert.Equal(t, 200001, number(t, err))
}

func TestAnErrorAbortsTheTransactionOnlyIfTheSessionIsSetToDoSo(t *testing.T) {
	for _, abort := range []bool{false, true} {
		for name, fail := range map[string]func(fixture, *engine.Session){
			"an error": func(f fixture, s *engine.Session) {
				_, err := s.Do("SELECT nothing FROM t")
				assert.Equal(t, 904, number(t, err))
			},
			"a wait that the session gave up": func(f fixture, s *engine.Session) {
				other := f.db.Open()
				f.ok(other, "BEGIN")
				f.ok(other, "UPDATE t SET n = 5 WHERE id = 'b'")
				f.waits(s, "UPDATE t SET n = 6 WHERE id = 'b'")
				s.GiveUp()
				other.Close()
			},
		} {
			t.Run(name, func(t *testing.T) {
				f := newFixture(t, engine.Rules{})
				s := f.db.Open()
				if abort {
					s.Set("TRANSACTION_ABORT_ON_ERROR", "true")
				}
				f.ok(s, "BEGIN")
				f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
				fail(f, s)
				_, err := s.Do("UPDATE t SET n = 3 WHERE id = 'b'")
				_, commitErr := s.Do("COMMIT")
				if abort {
					assert.Equal(t, 90150, number(t, err))
					assert.Equal(t, 90150, number(t, commitErr))
					assert.Equal(t, []any{int64(1), int64(1)}, []any{f.n("a"), f.n("b")})
				} else {
					assert.NoError(t, errors.Join(err, commitErr))
					assert.Equal(t, []any{int64(2), int64(3)}, []any{f.n("a"), f.n("b")})
				}
				f.ok(s, "UPDATE t SET n = 9")
			})
		}
	}
}
