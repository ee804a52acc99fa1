package engine_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// clients are sessions of one database with a table t (id, n) and rows a and b.
type clients struct {
	t  *testing.T
	db *engine.DB
}

func begin(t *testing.T, rules engine.Rules) clients {
	c := clients{t, engine.New(rules)}
	s := c.db.Open()
	for _, st := range []string{
		"CREATE TABLE t (id VARCHAR(2) NOT NULL, n NUMBER(38, 0))",
		"INSERT INTO t (id, n) VALUES ('a', 1)", "INSERT INTO t (id, n) VALUES ('b', 1)",
	} {
		c.ok(s, st)
	}
	return c
}

func (c clients) ok(s *engine.Session, sql string, args ...any) engine.Result {
	c.t.Helper()
	result, err := s.Do(sql, args...)
	require.NoError(c.t, err, sql)
	return result
}

func (c clients) waits(s *engine.Session, sql string) {
	c.t.Helper()
	_, err := s.Do(sql)
	require.ErrorIs(c.t, err, engine.ErrLocked, sql)
}

// n is what a new session sees of a row; nil when it is not there.
func (c clients) n(id string) any {
	c.t.Helper()
	rows := c.ok(c.db.Open(), "SELECT n FROM t WHERE id = ?", id).Rows
	if len(rows) == 0 {
		return nil
	}
	return rows[0][0]
}

func number(t *testing.T, err error) int {
	t.Helper()
	var e *engine.Error
	require.ErrorAs(t, err, &e)
	return e.Number
}

func TestATransactionSeesItsOwnWritesAndOthersSeeThemAfterItsCommit(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	c.ok(s, "INSERT INTO t (id, n) VALUES ('c', 3)")
	c.ok(s, "DELETE FROM t WHERE id = 'b'")
	assert.Equal(t, [][]any{{"a", int64(2)}, {"c", int64(3)}}, c.ok(s, "SELECT id, n FROM t ORDER BY id").Rows)
	assert.Equal(t, [][]any{{"a", int64(1)}, {"b", int64(1)}}, c.ok(other, "SELECT id, n FROM t ORDER BY id").Rows)
	c.ok(s, "COMMIT")
	assert.Equal(t, [][]any{{"a", int64(2)}, {"c", int64(3)}}, c.ok(other, "SELECT id, n FROM t ORDER BY id").Rows)
}

func TestARollbackAndAnEndOfTheSessionUndoAll(t *testing.T) {
	for name, end := range map[string]func(*engine.Session){
		"rollback": func(s *engine.Session) { _, _ = s.Do("ROLLBACK") },
		"close":    (*engine.Session).Close,
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, engine.Rules{})
			s := c.db.Open()
			c.ok(s, "BEGIN")
			c.ok(s, "UPDATE t SET n = 2")
			c.ok(s, "INSERT INTO t (id, n) VALUES ('c', 3)")
			assert.True(t, s.InTransaction())
			end(s)
			assert.False(t, s.InTransaction())
			assert.Equal(t, [][]any{{"a", int64(1)}, {"b", int64(1)}}, c.ok(c.db.Open(), "SELECT id, n FROM t ORDER BY id").Rows)
			c.ok(c.db.Open(), "UPDATE t SET n = 5")
		})
	}
}

func TestEachStatementOfATransactionSeesWhatIsCommittedByThen(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "SELECT n FROM t")
	c.ok(c.db.Open(), "UPDATE t SET n = 7 WHERE id = 'a'")
	assert.Equal(t, [][]any{{int64(7)}}, c.ok(s, "SELECT n FROM t WHERE id = 'a'").Rows)
}

func TestAWriteWaitsForTheRowsOfOthersOnly(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	c.waits(other, "UPDATE t SET n = 3 WHERE id = 'a'")
	c.waits(other, "DELETE FROM t WHERE id = 'a'")
	c.ok(other, "UPDATE t SET n = 3 WHERE id = 'b'")
	c.ok(other, "INSERT INTO t (id, n) VALUES ('a', 9)")
	c.ok(other, "SELECT n FROM t")
	c.ok(s, "UPDATE t SET n = n + 1 WHERE id = 'a'")
}

func TestAnUpdateThatWaitedSeesTheNewestVersionOfItsRow(t *testing.T) {
	for name, then := range map[string]string{"changed": "UPDATE t SET n = 5 WHERE id = 'a'", "deleted": "DELETE FROM t WHERE id = 'a'"} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, engine.Rules{})
			s, other := c.db.Open(), c.db.Open()
			c.ok(s, "BEGIN")
			c.ok(s, then)
			const late = "UPDATE t SET n = 100 WHERE id = 'a' AND n = 1"
			c.waits(other, late)
			c.ok(s, "COMMIT")
			assert.Zero(t, c.ok(other, late).Affected, "no update is lost")
		})
	}
	t.Run("and changes it if nothing else happened", func(t *testing.T) {
		c := begin(t, engine.Rules{})
		s, other := c.db.Open(), c.db.Open()
		c.ok(s, "BEGIN")
		c.ok(s, "UPDATE t SET n = 5 WHERE id = 'a'")
		c.waits(other, "UPDATE t SET n = n + 1 WHERE id = 'a'")
		c.ok(s, "ROLLBACK")
		assert.Equal(t, int64(1), c.ok(other, "UPDATE t SET n = n + 1 WHERE id = 'a'").Affected)
		assert.Equal(t, int64(2), c.n("a"))
	})
}

// looksAndWrites is what looks at all rows and changes one.
const looksAndWrites = "UPDATE t SET n = 0 WHERE id = 'b' AND (SELECT COUNT(*) FROM t WHERE n = 1 AND id <> 'b') > 0"

func TestWhatAWaitingStatementReadsOfOtherRowsIsARule(t *testing.T) {
	for rules, changed := range map[bool]int64{false: 0, true: 1} {
		c := begin(t, engine.Rules{SnapshotSubqueries: rules})
		s, other := c.db.Open(), c.db.Open()
		c.ok(s, "BEGIN")
		c.ok(s, "UPDATE t SET n = 0 WHERE id = 'a'")
		c.ok(s, "UPDATE t SET n = n WHERE id = 'b'")
		c.waits(other, looksAndWrites)
		c.ok(s, "COMMIT")
		assert.Equal(t, changed, c.ok(other, looksAndWrites).Affected)
	}
}

func TestTwoThatLookAndWriteInOneStatementDoNotSeeEachOther(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(other, "BEGIN")
	assert.Equal(t, int64(1), c.ok(s, looksAndWrites).Affected)
	assert.Equal(t, int64(1), c.ok(other, "UPDATE t SET n = 0 WHERE id = 'a' AND (SELECT COUNT(*) FROM t WHERE n = 1 AND id <> 'a') > 0").Affected)
	c.ok(s, "COMMIT")
	c.ok(other, "COMMIT")
	assert.Equal(t, []any{int64(0), int64(0)}, []any{c.n("a"), c.n("b")}, "the race is real")
}

func TestAStaleSessionSeesNothingThatOthersCommitLater(t *testing.T) {
	c := begin(t, engine.Rules{StaleSessions: true})
	s := c.db.Open()
	c.ok(c.db.Open(), "UPDATE t SET n = 9 WHERE id = 'a'")
	assert.Equal(t, [][]any{{int64(1)}}, c.ok(s, "SELECT n FROM t WHERE id = 'a'").Rows)
	c.ok(s, "UPDATE t SET n = 4 WHERE id = 'b'")
	assert.Equal(t, [][]any{{int64(4)}}, c.ok(s, "SELECT n FROM t WHERE id = 'b'").Rows, "its own")
	assert.Equal(t, int64(9), c.n("a"), "a new one does")
	assert.Equal(t, int64(1), c.ok(s, "UPDATE t SET n = n + 1 WHERE id = 'a'").Affected)
	assert.Equal(t, int64(10), c.n("a"), "what is changed is the newest version")
}

func TestAUniqueColumnHasNoDuplicates(t *testing.T) {
	c := begin(t, engine.Rules{Unique: map[string]string{"t": "id"}})
	s, other := c.db.Open(), c.db.Open()
	_, err := s.Do("INSERT INTO t (id, n) VALUES ('a', 2)")
	assert.Equal(t, 200001, number(t, err))
	_, err = s.Do("UPDATE t SET id = 'a' WHERE id = 'b'")
	assert.Equal(t, 200001, number(t, err))
	_, err = s.Do("INSERT INTO t (id) SELECT 'x' FROM t")
	assert.Equal(t, 200001, number(t, err), "within one statement too")
	c.ok(s, "UPDATE t SET id = 'a' WHERE id = 'a'")

	c.ok(s, "BEGIN")
	c.ok(s, "INSERT INTO t (id, n) VALUES ('c', 1)")
	c.waits(other, "INSERT INTO t (id, n) VALUES ('c', 2)")
	c.ok(s, "COMMIT")
	_, err = other.Do("INSERT INTO t (id, n) VALUES ('c', 2)")
	assert.Equal(t, 200001, number(t, err))
}

func TestAnErrorAbortsATransactionOnlyIfTheSessionWantsThat(t *testing.T) {
	for _, abort := range []bool{false, true} {
		for name, fail := range map[string]func(clients, *engine.Session){
			"an error": func(c clients, s *engine.Session) {
				_, err := s.Do("SELECT nothing FROM t")
				assert.Equal(t, 904, number(t, err))
			},
			"a wait that was given up": func(c clients, s *engine.Session) {
				other := c.db.Open()
				c.ok(other, "BEGIN")
				c.ok(other, "UPDATE t SET n = 5 WHERE id = 'b'")
				c.waits(s, "UPDATE t SET n = 6 WHERE id = 'b'")
				s.GiveUp()
				other.Close()
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := begin(t, engine.Rules{})
				s := c.db.Open()
				if abort {
					s.Set("TRANSACTION_ABORT_ON_ERROR", "true")
				}
				c.ok(s, "BEGIN")
				c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
				fail(c, s)
				_, err := s.Do("UPDATE t SET n = 3 WHERE id = 'b'")
				_, commitErr := s.Do("COMMIT")
				if abort {
					assert.Equal(t, 90150, number(t, err))
					assert.Equal(t, 90150, number(t, commitErr))
					assert.Equal(t, []any{int64(1), int64(1)}, []any{c.n("a"), c.n("b")})
				} else {
					assert.NoError(t, errors.Join(err, commitErr))
					assert.Equal(t, []any{int64(2), int64(3)}, []any{c.n("a"), c.n("b")})
				}
				c.ok(s, "UPDATE t SET n = 9")
			})
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	copied := clients{t, c.db.Clone()}
	assert.Equal(t, c.db.Fingerprint(), copied.db.Fingerprint())
	same := copied.db.Session(s.Number())
	assert.True(t, same.InTransaction())
	copied.ok(same, "UPDATE t SET n = 3 WHERE id = 'b'")
	copied.ok(same, "COMMIT")
	assert.Equal(t, int64(2), copied.n("a"))
	assert.Equal(t, int64(1), c.n("a"))
	c.ok(s, "ROLLBACK")
	assert.Equal(t, int64(2), copied.n("a"))
}

func TestAFingerprintTellsStatesApart(t *testing.T) {
	for name, change := range map[string]func(clients, *engine.Session){
		"a committed row": func(c clients, s *engine.Session) { c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'") },
		"a transaction":   func(c clients, s *engine.Session) { c.ok(s, "BEGIN") },
		"a lock": func(c clients, s *engine.Session) {
			c.ok(s, "BEGIN")
			c.ok(s, "UPDATE t SET n = n")
		},
		"a wait": func(c clients, s *engine.Session) {
			other := c.db.Session(1)
			c.ok(other, "BEGIN")
			c.ok(other, "UPDATE t SET n = n")
			c.waits(s, "UPDATE t SET n = 8")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, engine.Rules{})
			c.db.Open()
			s := c.db.Open()
			before := c.db.Fingerprint()
			assert.Equal(t, before, c.db.Clone().Fingerprint())
			change(c, s)
			assert.NotEqual(t, before, c.db.Fingerprint())
		})
	}
	assert.Equal(t, 1, begin(t, engine.Rules{}).db.Sessions())
}
