package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestANameThatIsNotKnownIsRefusedAlsoWhereThereIsNoRow(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "CREATE TABLE empty (id VARCHAR(2))")
	for _, sql := range []string{
		"SELECT nothing FROM empty", "SELECT id FROM empty WHERE nothing = 1", "SELECT id FROM empty ORDER BY nothing",
		"SELECT COUNT(nothing) FROM empty", "SELECT COUNT(*) FROM t ORDER BY nothing", "SELECT x.* FROM t",
		"SELECT t.id FROM t LEFT JOIN empty ON nothing", "SELECT COALESCE(1, nothing) FROM t",
		"SELECT id FROM empty WHERE EXISTS (SELECT 1 FROM t WHERE nothing = empty.id)",
		"DELETE FROM empty WHERE nothing = 1", "UPDATE empty SET nothing = 1", "UPDATE t SET nothing = 1 WHERE id = 'zz'",
		"UPDATE t SET n = nothing WHERE id = 'zz'", "INSERT INTO empty (nothing) SELECT id FROM empty",
		"SELECT id FROM t JOIN empty ON TRUE",
	} {
		_, err := s.Do(sql)
		if assert.Error(t, err, sql) {
			assert.Equal(t, 904, number(t, err), sql)
		}
	}
}

func TestAJoinThatIsNotKnownIsNoAlias(t *testing.T) {
	s := begin(t, engine.Rules{}).db.Open()
	for _, sql := range []string{
		"SELECT a.n FROM t RIGHT JOIN t a ON TRUE", "SELECT a.n FROM t FULL JOIN t a ON TRUE", "SELECT a.n FROM t CROSS JOIN t a ON TRUE",
		"SELECT a.n FROM t NATURAL JOIN t a ON TRUE", "SELECT n FROM t HAVING", "SELECT n FROM t WHERE id IN (SELECT * FROM t)",
	} {
		_, err := s.Do(sql)
		if assert.Error(t, err, sql) {
			assert.Equal(t, 1003, number(t, err), sql)
		}
	}
}

func TestNullSortsAsTheGreatest(t *testing.T) {
	c := begin(t, engine.Rules{})
	s := c.db.Open()
	c.ok(s, "CREATE TABLE o (n NUMBER(38, 0))")
	for _, v := range []any{3, nil, 1, 2} {
		c.ok(s, "INSERT INTO o (n) VALUES (?)", v)
	}
	assert.Equal(t, [][]any{{int64(1)}, {int64(2)}, {int64(3)}, {nil}}, c.ok(s, "SELECT n FROM o ORDER BY n").Rows)
	assert.Equal(t, [][]any{{nil}, {int64(3)}, {int64(2)}, {int64(1)}}, c.ok(s, "SELECT n FROM o ORDER BY n DESC").Rows)
}

func TestAColumnThatIsAddedIsNullInARowThatIsNotCommittedYet(t *testing.T) {
	c := begin(t, engine.Rules{})
	a, b := c.db.Open(), c.db.Open()
	c.ok(a, "BEGIN")
	c.ok(a, "INSERT INTO t (id, n) VALUES ('c', 1)")
	copied := c.db.Clone()
	c.ok(b, "ALTER TABLE t ADD COLUMN x BOOLEAN")
	assert.Equal(t, [][]any{{nil}}, c.ok(a, "SELECT x FROM t WHERE id = 'c'").Rows)
	_, err := copied.Session(a.Number()).Do("SELECT x FROM t")
	assert.Error(t, err, "the copy has no such column")
}

func TestAFingerprintTellsWhenAStaleSessionOpened(t *testing.T) {
	early := begin(t, engine.Rules{StaleSessions: true})
	writer := early.db.Open().Number()
	late := clients{t, early.db.Clone()}
	before := early.db.Open()
	for _, c := range []clients{early, late} {
		c.ok(c.db.Session(writer), "UPDATE t SET n = 2 WHERE id = 'a'")
	}
	after := late.db.Open()
	const look = "SELECT n FROM t WHERE id = 'a'"
	require.NotEqual(t, early.ok(before, look).Rows, late.ok(after, look).Rows)
	assert.NotEqual(t, early.db.Fingerprint(), late.db.Fingerprint())
}

func TestAFingerprintTellsWhereATextEnds(t *testing.T) {
	of := func(a, b string) string {
		c := clients{t, engine.New(engine.Rules{})}
		s := c.db.Open()
		c.ok(s, "CREATE TABLE t (a VARCHAR, b VARCHAR)")
		c.ok(s, "INSERT INTO t (a, b) VALUES (?, ?)", a, b)
		return c.db.Fingerprint()
	}
	assert.NotEqual(t, of("a b", "c"), of("a", "b c"))
}
