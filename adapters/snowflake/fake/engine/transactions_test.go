package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/fake/engine"
)

// everyRules are the rules that leave the locks as they are.
var everyRules = map[string]engine.Rules{"anew": {}, "snapshot": {SnapshotSubqueries: true}}

func TestAStatementDoesNotSeeWhatItWritesItself(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	assert.Equal(t, int64(2), c.ok(s, "INSERT INTO t (id, n) SELECT 'c', n FROM t").Affected)
	c.ok(s, "UPDATE t SET n = (SELECT COUNT(*) FROM t WHERE n = 1)")
	assert.Equal(t, [][]any{{int64(4)}, {int64(4)}, {int64(4)}, {int64(4)}}, c.ok(s, "SELECT n FROM t").Rows)
}

func TestAWriteOutsideOfATransactionIsCommittedAtOnce(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	assert.False(t, s.InTransaction())
	assert.Equal(t, int64(2), c.n("a"))
	c.ok(other, "UPDATE t SET n = 3 WHERE id = 'a'")
	c.ok(s, "ROLLBACK")
	assert.Equal(t, int64(3), c.n("a"))
}

func TestASecondBeginGoesOnWithTheSameTransaction(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 2")
	c.ok(s, "BEGIN")
	c.ok(s, "ROLLBACK")
	assert.Equal(t, int64(1), c.n("a"))
}

// insertsOnce is safe only for those who hold a lock.
const insertsOnce = "INSERT INTO t (id, n) SELECT 'c', 1 FROM t WHERE id = 'a' AND (SELECT COUNT(*) FROM t WHERE id = 'c') = 0"

func TestTwoThatLookAndInsertWithoutALockBothSucceed(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(other, "BEGIN")
	assert.Equal(t, int64(1), c.ok(s, insertsOnce).Affected)
	assert.Equal(t, int64(1), c.ok(other, insertsOnce).Affected, "it waits for nobody")
	c.ok(s, "COMMIT")
	c.ok(other, "COMMIT")
	assert.Len(t, c.ok(s, "SELECT id FROM t WHERE id = 'c'").Rows, 2)
}

func TestTwoThatLockBeforeTheyLookComeOneAfterTheOther(t *testing.T) {
	const takeLock = "UPDATE t SET n = n + 1 WHERE id = 'b'"
	for name, rules := range everyRules {
		t.Run(name, func(t *testing.T) {
			c := begin(t, rules)
			s, other := c.db.Open(), c.db.Open()
			c.ok(s, "BEGIN")
			c.ok(other, "BEGIN")
			c.ok(s, takeLock)
			c.waits(other, takeLock)
			assert.Equal(t, int64(1), c.ok(s, insertsOnce).Affected)
			c.waits(other, takeLock)
			c.ok(s, "COMMIT")
			assert.Equal(t, int64(1), c.ok(other, takeLock).Affected)
			assert.Zero(t, c.ok(other, insertsOnce).Affected)
			c.ok(other, "COMMIT")
			assert.Equal(t, int64(3), c.n("b"))
		})
	}
}

func TestAStatementThatFailsChangesNothing(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = NULL WHERE id = 'b'")
	_, err := s.Do("INSERT INTO t (id, n) SELECT CAST(n AS VARCHAR), 7 FROM t") // the second is NULL
	assert.Equal(t, 100072, number(t, err))
	_, err = s.Do("UPDATE t SET n = 8, id = CAST(n AS VARCHAR)") // likewise
	assert.Equal(t, 100072, number(t, err))
	c.ok(s, "COMMIT")
	assert.Equal(t, [][]any{{"a", int64(1)}, {"b", nil}}, c.ok(s, "SELECT id, n FROM t ORDER BY id").Rows, "and what came before it stays")
}

func TestAStatementThatWaitsHoldsNothingNew(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, waiter, third := c.db.Open(), c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(s, "UPDATE t SET n = 5 WHERE id = 'b'")
	c.ok(waiter, "BEGIN")
	c.waits(waiter, "UPDATE t SET n = n + 10")
	c.ok(third, "UPDATE t SET n = 2 WHERE id = 'a'")
	c.ok(s, "COMMIT")
	assert.Equal(t, int64(2), c.ok(waiter, "UPDATE t SET n = n + 10").Affected)
	c.ok(waiter, "COMMIT")
	assert.Equal(t, []any{int64(12), int64(15)}, []any{c.n("a"), c.n("b")})
}

func TestOfTwoThatWaitForEachOtherOneGoesOnWhenTheOtherGivesUp(t *testing.T) {
	c := begin(t, engine.Rules{})
	s, other := c.db.Open(), c.db.Open()
	c.ok(s, "BEGIN")
	c.ok(other, "BEGIN")
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	c.ok(other, "UPDATE t SET n = 3 WHERE id = 'b'")
	c.waits(s, "UPDATE t SET n = 2 WHERE id = 'b'")
	c.waits(other, "UPDATE t SET n = 3 WHERE id = 'a'")
	other.GiveUp()
	c.waits(s, "UPDATE t SET n = 2 WHERE id = 'b'") // its transaction is still there
	c.ok(other, "ROLLBACK")
	c.ok(s, "UPDATE t SET n = 2 WHERE id = 'b'")
	c.ok(s, "COMMIT")
	assert.Equal(t, []any{int64(2), int64(2)}, []any{c.n("a"), c.n("b")})
}

func TestAnAbortedTransactionTakesNothingUntilItsEnd(t *testing.T) {
	for _, end := range []string{"ROLLBACK", "COMMIT"} {
		t.Run(end, func(t *testing.T) {
			c := begin(t, engine.Rules{})
			s, other := c.db.Open(), c.db.Open()
			s.Set("transaction_abort_on_error", "TRUE")
			_, err := s.Do("nonsense")
			assert.Equal(t, 1003, number(t, err))
			c.ok(s, "BEGIN") // outside of a transaction an error aborts nothing
			c.ok(s, "UPDATE t SET n = 2")
			_, err = s.Do("nonsense")
			assert.Equal(t, 1003, number(t, err))
			assert.True(t, s.InTransaction())
			c.ok(other, "UPDATE t SET n = 7") // the locks are gone
			for _, refused := range []string{"SELECT n FROM t", "BEGIN", "INSERT INTO t (id) VALUES ('c')"} {
				_, err = s.Do(refused)
				assert.Equal(t, 90150, number(t, err), refused)
			}
			_, err = s.Do(end)
			assert.Equal(t, end == "COMMIT", err != nil)
			assert.False(t, s.InTransaction())
			c.ok(s, "BEGIN")
			c.ok(s, "UPDATE t SET n = n + 1")
			c.ok(s, "COMMIT")
			assert.Equal(t, int64(8), c.n("a"))
		})
	}
}

func TestAParameterThatIsNotKnownHasNoEffect(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	s.Set("LOCK_TIMEOUT", "true")
	c.ok(s, "BEGIN")
	_, err := s.Do("nonsense")
	require.Error(t, err)
	c.ok(s, "UPDATE t SET n = 2")
	c.ok(s, "COMMIT")
	assert.Equal(t, int64(2), c.n("a"))
}
