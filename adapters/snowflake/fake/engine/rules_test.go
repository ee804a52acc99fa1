package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/fake/engine"
)

// frees b of a lock, and at the same time changes what looksAndWrites looks at.
func (c clients) changeBoth(s *engine.Session) {
	c.t.Helper()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 0 WHERE id = 'a'")
	c.ok(s, "UPDATE t SET n = n WHERE id = 'b'")
}

func TestASnapshotIsOfTheStatementThatWaited(t *testing.T) {
	t.Run("not of one that did not", func(t *testing.T) {
		c := begin(t, engine.Rules{SnapshotSubqueries: true})
		s, other := c.db.Open(), c.db.Open()
		c.changeBoth(s)
		c.ok(s, "COMMIT")
		assert.Zero(t, c.ok(other, looksAndWrites).Affected)
	})
	t.Run("not of another one after it", func(t *testing.T) {
		c := begin(t, engine.Rules{SnapshotSubqueries: true})
		s, other := c.db.Open(), c.db.Open()
		c.changeBoth(s)
		c.waits(other, "UPDATE t SET n = 4 WHERE id = 'b'")
		c.ok(s, "COMMIT")
		assert.Zero(t, c.ok(other, looksAndWrites).Affected)
	})
	t.Run("not of the same one, once it was given up", func(t *testing.T) {
		c := begin(t, engine.Rules{SnapshotSubqueries: true})
		s, other := c.db.Open(), c.db.Open()
		c.changeBoth(s)
		c.waits(other, looksAndWrites)
		other.GiveUp()
		c.ok(s, "COMMIT")
		assert.Zero(t, c.ok(other, looksAndWrites).Affected)
	})
	t.Run("and of all others, not of the row that it changes", func(t *testing.T) {
		c := begin(t, engine.Rules{SnapshotSubqueries: true})
		s, other := c.db.Open(), c.db.Open()
		const late = "UPDATE t SET n = n + (SELECT n FROM t WHERE id = 'a') WHERE id = 'b'"
		c.ok(s, "BEGIN")
		c.ok(s, "UPDATE t SET n = 100")
		c.waits(other, late)
		c.ok(s, "COMMIT")
		c.ok(other, late)
		assert.Equal(t, int64(101), c.n("b"))
	})
}

func TestAStaleSessionStaysBehindAlsoAfterAWait(t *testing.T) {
	c := begin(t, engine.Rules{StaleSessions: true})
	s, other := c.db.Open(), c.db.Open()
	c.changeBoth(s)
	c.waits(other, looksAndWrites)
	c.ok(s, "COMMIT")
	assert.Equal(t, int64(1), c.ok(other, looksAndWrites).Affected, "it looked at the past")
}

func TestAStaleSessionReadsItsOwnTransactionAndNotTheRowsThatCameLater(t *testing.T) {
	c := begin(t, engine.Rules{StaleSessions: true})
	s := c.db.Open()
	c.ok(c.db.Open(), "INSERT INTO t (id, n) VALUES ('z', 1)")
	c.ok(c.db.Open(), "DELETE FROM t WHERE id = 'b'")
	c.ok(s, "BEGIN")
	c.ok(s, "INSERT INTO t (id, n) VALUES ('c', 3)")
	ids := [][]any{{"a"}, {"b"}, {"c"}}
	assert.Equal(t, ids, c.ok(s, "SELECT id FROM t ORDER BY id").Rows)
	c.ok(s, "COMMIT")
	assert.Equal(t, ids, c.ok(s, "SELECT id FROM t ORDER BY id").Rows)
	assert.Zero(t, c.ok(s, "UPDATE t SET n = 5 WHERE id = 'b'").Affected, "no write brings a row back")
	assert.Equal(t, int64(1), c.ok(s, "DELETE FROM t WHERE id = 'z'").Affected)
}

func TestAUniqueColumnWaitsForTheSameValueOnly(t *testing.T) {
	rules := engine.Rules{Unique: map[string]string{"t": "id"}}
	t.Run("until the other is rolled back", func(t *testing.T) {
		c := begin(t, rules)
		s, other := c.db.Open(), c.db.Open()
		c.ok(s, "BEGIN")
		c.ok(s, "INSERT INTO t (id) VALUES ('c')")
		c.ok(other, "INSERT INTO t (id) VALUES ('d')")
		c.waits(other, "INSERT INTO t (id) VALUES ('c')")
		c.waits(other, "UPDATE t SET id = 'c' WHERE id = 'a'")
		c.ok(s, "ROLLBACK")
		c.ok(other, "INSERT INTO t (id) VALUES ('c')")
	})
	t.Run("and not for its own", func(t *testing.T) {
		c := begin(t, rules)
		s := c.db.Open()
		c.ok(s, "BEGIN")
		c.ok(s, "DELETE FROM t WHERE id = 'a'")
		c.ok(s, "INSERT INTO t (id, n) VALUES ('a', 2)")
		_, err := s.Do("INSERT INTO t (id, n) VALUES ('a', 3)")
		assert.Equal(t, 200001, number(t, err))
		c.ok(s, "COMMIT")
		assert.Equal(t, int64(2), c.n("a"))
	})
	t.Run("of the table that it was named for", func(t *testing.T) {
		c := begin(t, rules)
		s := c.db.Open()
		c.ok(s, "CREATE TABLE other (id VARCHAR)")
		c.ok(s, "INSERT INTO other (id) SELECT 'x' FROM t")
	})
	t.Run("which has to be there", func(t *testing.T) {
		s := engine.New(engine.Rules{Unique: map[string]string{"t": "nothing"}}).Open()
		_, err := s.Do("CREATE TABLE t (id VARCHAR)")
		assert.NoError(t, err)
		_, err = s.Do("INSERT INTO t (id) VALUES ('a')")
		assert.Equal(t, 904, number(t, err))
	})
}

func TestUnderOtherRulesACopyBehavesOtherwise(t *testing.T) {
	c := begin(t, engine.Rules{})
	unique := clients{t, c.db.Under(engine.Rules{Unique: map[string]string{"t": "id"}})}
	_, err := unique.db.Open().Do("INSERT INTO t (id) VALUES ('a')")
	assert.Equal(t, 200001, number(t, err))
	unique.ok(unique.db.Open(), "UPDATE t SET n = 9")
	c.ok(c.db.Open(), "INSERT INTO t (id) VALUES ('a')")
	assert.Equal(t, int64(1), c.n("a"))
}

func TestOneStateHasOneFingerprint(t *testing.T) {
	const a, b = "UPDATE t SET n = 5 WHERE id = 'a'", "UPDATE t SET n = 6 WHERE id = 'b'"
	after := func(rules engine.Rules, statements ...string) string {
		c := begin(t, rules)
		s := c.db.Open()
		for _, sql := range statements {
			c.ok(s, sql)
		}
		return c.db.Fingerprint()
	}
	assert.Equal(t, after(engine.Rules{}, a, b), after(engine.Rules{}, b, a), "in whatever order it came about")
	assert.Equal(t, after(engine.Rules{}, a), after(engine.Rules{}, "BEGIN", a, "COMMIT"))
	assert.Equal(t, after(engine.Rules{}), after(engine.Rules{}, "BEGIN", a, "INSERT INTO t (id) VALUES ('c')", "ROLLBACK"))
	for _, rules := range []engine.Rules{{SnapshotSubqueries: true}, {StaleSessions: true}} {
		assert.NotEqual(t, after(rules, a, b), after(rules, b, a), "the order counts for those who see the past")
	}
}

func TestAFingerprintHasTheBeginningOfAWaitWhereItCounts(t *testing.T) {
	const late = "UPDATE t SET n = 8 WHERE id = 'a'"
	waitsFrom := func(rules engine.Rules, early bool) string {
		c := begin(t, rules)
		holder, waiter, third := c.db.Open(), c.db.Open(), c.db.Open()
		c.ok(holder, "BEGIN")
		c.ok(holder, "UPDATE t SET n = 2 WHERE id = 'a'")
		if early {
			c.waits(waiter, late)
		}
		c.ok(third, "UPDATE t SET n = 3 WHERE id = 'b'")
		c.waits(waiter, late)
		return c.db.Fingerprint()
	}
	assert.Equal(t, waitsFrom(engine.Rules{}, true), waitsFrom(engine.Rules{}, false))
	snapshot := engine.Rules{SnapshotSubqueries: true}
	assert.NotEqual(t, waitsFrom(snapshot, true), waitsFrom(snapshot, false))
}

func TestAFingerprintTellsAnAbortedTransactionFromAnOpenOne(t *testing.T) {
	state := func(sql string) string {
		c := begin(t, engine.Rules{})
		s := c.db.Open()
		s.Set("TRANSACTION_ABORT_ON_ERROR", "true")
		c.ok(s, "BEGIN")
		_, _ = s.Do(sql)
		return c.db.Fingerprint()
	}
	assert.NotEqual(t, state("SELECT 1"), state("nonsense"))
}
