package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestACloneSharesNothingWithItsOriginal(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s := f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	copied := fixture{t, f.db.Clone()}
	assert.Equal(t, f.db.Fingerprint(), copied.db.Fingerprint())
	same := copied.db.Session(s.Number())
	assert.True(t, same.InTransaction())
	copied.ok(same, "UPDATE t SET n = 3 WHERE id = 'b'")
	copied.ok(same, "COMMIT")
	assert.Equal(t, int64(2), copied.n("a"))
	assert.Equal(t, int64(1), f.n("a"))
	f.ok(s, "ROLLBACK")
	assert.Equal(t, int64(2), copied.n("a"))
}

func TestTheFingerprintChangesWithTheState(t *testing.T) {
	for name, change := range map[string]func(fixture, *engine.Session){
		"a committed row": func(f fixture, s *engine.Session) { f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'") },
		"a transaction":   func(f fixture, s *engine.Session) { f.ok(s, "BEGIN") },
		"a lock": func(f fixture, s *engine.Session) {
			f.ok(s, "BEGIN")
			f.ok(s, "UPDATE t SET n = n")
		},
		"a wait": func(f fixture, s *engine.Session) {
			other := f.db.Session(1)
			f.ok(other, "BEGIN")
			f.ok(other, "UPDATE t SET n = n")
			f.waits(s, "UPDATE t SET n = 8")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, engine.Rules{})
			f.db.Open()
			s := f.db.Open()
			before := f.db.Fingerprint()
			assert.Equal(t, before, f.db.Clone().Fingerprint())
			change(f, s)
			assert.NotEqual(t, before, f.db.Fingerprint())
		})
	}
	assert.Equal(t, 1, newFixture(t, engine.Rules{}).db.Sessions())
}

func TestTheFingerprintDependsOnWhenAStaleSessionOpened(t *testing.T) {
	early := newFixture(t, engine.Rules{StaleSessions: true})
	writer := early.db.Open().Number()
	late := fixture{t, early.db.Clone()}
	before := early.db.Open()
	for _, f := range []fixture{early, late} {
		f.ok(f.db.Session(writer), "UPDATE t SET n = 2 WHERE id = 'a'")
	}
	after := late.db.Open()
	const read = "SELECT n FROM t WHERE id = 'a'"
	require.NotEqual(t, early.ok(before, read).Rows, late.ok(after, read).Rows)
	assert.NotEqual(t, early.db.Fingerprint(), late.db.Fingerprint())
}

func TestTheFingerprintDependsOnWhereATextEnds(t *testing.T) {
	fingerprint := func(a, b string) string {
		f := fixture{t, engine.New(engine.Rules{})}
		s := f.db.Open()
		f.ok(s, "CREATE TABLE texts (a VARCHAR, b VARCHAR)")
		f.ok(s, "INSERT INTO texts (a, b) SELECT ?, ?", a, b)
		return f.db.Fingerprint()
	}
	assert.NotEqual(t, fingerprint("a b", "c"), fingerprint("a", "b c"))
}

func TestANewColumnIsNullInAnUncommittedRow(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s, other := f.db.Open(), f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "INSERT INTO t (id, n) SELECT 'c', 1")
	copied := f.db.Clone()
	f.ok(other, "ALTER TABLE t ADD COLUMN IF NOT EXISTS x BOOLEAN")
	assert.Equal(t, [][]any{{nil}}, f.ok(s, "SELECT x FROM t WHERE id = 'c'").Rows)
	_, err := copied.Session(s.Number()).Do("SELECT x FROM t")
	assert.Error(t, err, "the copy has no such column")
}
