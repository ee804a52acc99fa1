package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestAnUnknownConstructSaysWhereToTeachIt(t *testing.T) {
	s := newFixture(t, engine.Rules{}).db.Open()
	_, err := s.Do("SELECT id FROM t QUALIFY TRUE")
	assert.EqualError(t, err, `the engine does not know "QUALIFY" after "id FROM t"; `+
		`run this test on the emulator, or teach it in engine/parse.go, parser.query`)

	_, err = s.Do("UPDATE t SET n =")
	assert.ErrorContains(t, err, `the engine does not know the end after "SET n ="; `)

	for place, constructs := range map[string][]string{
		"engine/parse.go, parser.statement": {
			"", "MERGE INTO t USING t ON TRUE", "TRUNCATE TABLE t", "GRANT SELECT ON t TO r", "BEGIN WORK",
			"SELECT 1; SELECT 2", "SELECT 1)",
		},
		"engine/parse.go, parser.insert": {
			"INSERT OVERWRITE INTO t (id) SELECT 'a'", "INSERT INTO t SELECT 'a', 1", "INSERT INTO t (id) VALUES ('a'), ('b')",
			"INSERT INTO t (id) TABLE t",
		},
		"engine/parse.go, parser.update":   {"UPDATE t SET n", "UPDATE t u SET n = 1", "UPDATE t SET n = 1 FROM t"},
		"engine/parse.go, parser.deletion": {"DELETE t", "DELETE FROM t USING t"},
		"engine/parse.go, parser.createTable": {
			"CREATE OR REPLACE TABLE t (id VARCHAR)", "CREATE TABLE t2 (id VARCHAR) CLUSTER BY (id)", "CREATE TABLE t2",
		},
		"engine/parse.go, parser.addColumn": {"ALTER TABLE t DROP COLUMN n", "ALTER TABLE t ADD COLUMN m BOOLEAN"},
		"engine/parse.go, parser.column":    {"CREATE TABLE t2 (id VARCHAR DEFAULT 'a')"},
		"engine/parse.go, parser.comment":   {"CREATE TABLE t2 (id VARCHAR) COMMENT 5"},
		"engine/parse.go, parser.dataType":  {"CREATE TABLE t2 (v VARIANT(1"},
		"engine/parse.go, parser.show":      {"SHOW TABLES", "SHOW GRANTS", "SHOW TABLES IN SCHEMA a LIMIT 1"},
		"engine/parse.go, parser.query": {
			"SELECT DISTINCT id FROM t", "SELECT id FROM t HAVING id = 'a'", "SELECT id FROM t ORDER BY id NULLS LAST",
			"SELECT id FROM t UNION SELECT 'a'", "SELECT id FROM t RIGHT JOIN t a ON TRUE", "SELECT id FROM t, t a",
			"SELECT id FROM t CROSS JOIN t a", "SELECT id FROM t NATURAL JOIN t a", "SELECT id FROM t LIMIT ?",
			"SELECT id FROM t QUALIFY RANK() OVER (PARTITION BY id ORDER BY n) = 1", "WITH RECURSIVE a AS (SELECT 1) SELECT 1", "SELECT id FROM t GROUP BY id ORDER BY id",
		},
		"engine/parse.go, parser.qualify": {
			"SELECT id FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY n)",
			"SELECT id FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY n LIMIT 1) = 1",
		},
		"engine/parse.go, parser.joins":  {"SELECT id FROM t LEFT OUTER JOIN t a ON TRUE", "SELECT id FROM t JOIN t a"},
		"engine/parse.go, parser.source": {"SELECT id FROM (SELECT 1)", "SELECT id FROM"},
		"engine/expr.go, parser.expr": {
			"SELECT id FROM t WHERE id LIKE 'a%'", "SELECT n * 2 FROM t", "SELECT id::VARCHAR FROM t", "SELECT 1.5",
			"SELECT n - 1 FROM t", "SELECT id || 'a' FROM t", "SELECT 1 NOT IN (2)", "SELECT a['b']", "SELECT 1 != 2",
			"SELECT COUNT(*) OVER (ORDER BY n) FROM t",
		},
		"engine/expr.go, parser.comparison": {"SELECT 1 IS NOT NULL"},
		"engine/expr.go, parser.primary": {
			"SELECT CASE WHEN TRUE THEN 1 END", "SELECT *", "SELECT t.* FROM t", "SELECT -1", "SELECT 'open", "SELECT",
			"SELECT COUNT(DISTINCT n) FROM t",
		},
		"engine/expr.go, parser.call":      {"SELECT MAX(n) FROM t", "SELECT PARSE_JSON('{}')"},
		"engine/eval.go, add":              {"SELECT 1 + 'a'"},
		"engine/eval.go, compare":          {"SELECT id FROM t WHERE id = 1", "SELECT 'a' IN (TRUE)"},
		"engine/eval.go, cast.eval":        {"SELECT CAST('1' AS NUMBER)", "SELECT CAST('2026-03-29' AS DATE)"},
		"engine/eval.go, count.eval":       {"SELECT COUNT(*) + 1 FROM t", "SELECT id FROM t WHERE COUNT(*) > 0"},
		"engine/eval.go, in.candidates":    {"SELECT 1 IN (SELECT 1, 2)"},
		"engine/eval.go, lower.eval":       {"SELECT LOWER(1)"},
		"engine/query.go, query.aggregate": {"SELECT id, COUNT(*) FROM t"},

		"engine/query.go, query.aggregateGroups": {"SELECT n FROM t GROUP BY id"},
	} {
		for _, sql := range constructs {
			_, err := s.Do(sql)
			var unknown *engine.Unknown
			if assert.ErrorAs(t, err, &unknown, sql) {
				assert.Equal(t, place, unknown.File+", "+unknown.Function, sql)
			}
		}
	}
}

func TestTheSessionGoesOnAfterAnUnknownConstruct(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s := f.db.Open()
	f.ok(s, "BEGIN")
	f.ok(s, "UPDATE t SET n = 2 WHERE id = 'a'")
	_, err := s.Do("MERGE INTO t")
	require.Error(t, err)
	f.ok(s, "COMMIT")
	assert.Equal(t, int64(2), f.n("a"))
}
