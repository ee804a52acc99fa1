package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestAColumnOfAnyOtherTypeKeepsItsValueUnchanged(t *testing.T) {
	at := time.Date(2026, 3, 29, 2, 0, 0, 123_456_789, time.UTC)
	for declared, value := range map[string]any{
		"DATE":             at,
		"TIME(3)":          "12:34:56.789123",
		"FLOAT":            0.1,
		"DOUBLE PRECISION": 1e300,
		"NUMBER(10, 2)":    12.34,
		"INTEGER":          int64(7),
		"TEXT":             "any length",
		"CHAR VARYING(2)":  "abc",
		"VARIANT":          `{"a": [1, 2]}`,
		"ARRAY":            `[1, 2]`,
		"OBJECT(a NUMBER(3, 0), b ARRAY(VARCHAR(5)))": `{"a": 1}`,
		"MAP(VARCHAR, NUMBER(38, 0))":                 `{"a": 1}`,
		"VECTOR(FLOAT, 3)":                            `[1, 2, 3]`,
		"TIMESTAMP_TZ(9)":                             at,
		"TIMESTAMP_LTZ":                               at,
		"BINARY(16)":                                  "00ff",
		"SOME_FUTURE_TYPE('x', (1))":                  true,
	} {
		t.Run(declared, func(t *testing.T) {
			f := fixture{t, engine.New(engine.Rules{})}
			s := f.db.Open()
			f.ok(s, "CREATE TABLE t (before NUMBER(1, 0), v "+declared+" NOT NULL, after VARCHAR(1) COMMENT 'x')")
			f.ok(s, "INSERT INTO t (v) SELECT ?", value)
			f.ok(s, "UPDATE t SET v = v")
			assert.Equal(t, [][]any{{value}}, f.ok(s, "SELECT v FROM t WHERE v = ?", value).Rows)
			_, err := s.Do("UPDATE t SET v = NULL")
			assert.Equal(t, 100072, number(t, err), "NOT NULL is enforced")
		})
	}
}

func TestATimestampIsCutToItsPrecision(t *testing.T) {
	at := time.Date(1, 3, 29, 2, 0, 0, 123_456_789, time.UTC)
	for declared, want := range map[string]int{
		"TIMESTAMP_NTZ": 123_456_789, "TIMESTAMP_NTZ(6)": 123_456_000, "TIMESTAMP_NTZ(0)": 0,
	} {
		f := fixture{t, engine.New(engine.Rules{})}
		s := f.db.Open()
		f.ok(s, "CREATE TABLE t (at "+declared+")")
		f.ok(s, "INSERT INTO t (at) SELECT ?", at)
		for _, sql := range []string{"SELECT at FROM t", "SELECT CAST(? AS " + declared + ")"} {
			rows := f.ok(s, sql, at).Rows
			assert.Equal(t, [][]any{{at.Truncate(time.Second).Add(time.Duration(want))}}, rows, declared)
		}
	}
}

func TestAttributesThatChangeNoValueAreIgnored(t *testing.T) {
	f := fixture{t, engine.New(engine.Rules{})}
	s := f.db.Open()
	f.ok(s, `CREATE TABLE t (
		a VARCHAR NULL COMMENT 'it''s' TAG (cost_center = 'x', owner = 'y'),
		b DATE WITH TAG (cost_center = 'x') NOT NULL
	)`)
	f.ok(s, "ALTER TABLE t ADD COLUMN IF NOT EXISTS c ARRAY COMMENT 'x'")
	f.ok(s, "INSERT INTO t (b) SELECT '2026-03-29'")
	assert.Equal(t, [][]any{{nil, "2026-03-29", nil}}, f.ok(s, "SELECT a, b, c FROM t").Rows)
}

func TestAttributesThatChangeValuesOrRefuseRowsAreUnknown(t *testing.T) {
	for _, attribute := range []string{
		"DEFAULT 'a'", "AUTOINCREMENT", "IDENTITY", "COLLATE 'en-ci'", "PRIMARY KEY", "UNIQUE", "REFERENCES u (id)",
		"MASKING POLICY p",
	} {
		_, err := engine.New(engine.Rules{}).Open().Do("CREATE TABLE t (id VARCHAR(2) NOT NULL " + attribute + ")")
		var unknown *engine.Unknown
		require.ErrorAs(t, err, &unknown, attribute)
		assert.Equal(t, "engine/parse.go, parser.column", unknown.File+", "+unknown.Function)
	}
}
