package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestQueries(t *testing.T) {
	at := time.Date(2026, 3, 29, 2, 0, 0, 1_000, time.UTC)
	s := engine.New(engine.Rules{}).Open()
	for _, st := range []struct {
		sql  string
		args []any
	}{
		{"CREATE TABLE u (id VARCHAR(2), active BOOLEAN, at TIMESTAMP_NTZ(6))", nil},
		{"CREATE TABLE i (id VARCHAR(2), owner VARCHAR(2), n NUMBER(38, 0))", nil},
		{"INSERT INTO u (id, active, at) SELECT ?, ?, ?", []any{"a", true, at}},
		{"INSERT INTO u (id, active) VALUES ('b', FALSE)", nil},
		{"INSERT INTO i (id, owner, n) SELECT '1', u.id, 5 FROM u WHERE u.id = 'a'", nil},
		{"INSERT INTO i (id, owner, n) VALUES ('2', 'a', 7)", nil},
		{"INSERT INTO i (id, owner) VALUES ('3', 'z')", nil},
	} {
		_, err := s.Do(st.sql, st.args...)
		require.NoError(t, err, st.sql)
	}
	const one, two, three = int64(1), int64(2), int64(3)
	for sql, want := range map[string][][]any{
		// three-valued logic
		"SELECT TRUE AND NULL":           {{nil}},
		"SELECT FALSE AND NULL":          {{false}},
		"SELECT TRUE OR NULL":            {{true}},
		"SELECT FALSE OR NULL":           {{nil}},
		"SELECT NOT NULL":                {{nil}},
		"SELECT NOT (1 = 2)":             {{true}},
		"SELECT NULL = NULL":             {{nil}},
		"SELECT NULL IS NULL":            {{true}},
		"SELECT 1 IS NOT NULL":           {{true}},
		"SELECT 1 IN (1, NULL)":          {{true}},
		"SELECT 2 IN (1, NULL)":          {{nil}},
		"SELECT 2 NOT IN (1, 3)":         {{true}},
		"SELECT 1 WHERE NULL":            nil,
		"SELECT COALESCE(NULL, 2, 3)":    {{two}},
		"SELECT COALESCE(NULL, NULL)":    {{nil}},
		"SELECT 5 - 3 + 1":               {{three}},
		"SELECT 1 < 2 AND 2 <= 2":        {{true}},
		"SELECT 2 > 1 AND 2 >= 3":        {{false}},
		"SELECT 'it''s' <> 'its'":        {{true}},
		"SELECT 'a' != 'a'":              {{false}},
		"SELECT CAST(3 AS VARCHAR(5))":   {{"3"}},
		"SELECT CAST(NULL AS NUMBER(1))": {{nil}},
		"SELECT TRUE > FALSE":            {{true}},
		"SELECT FALSE = FALSE":           {{true}},
		"SELECT 1 OR TRUE":               {{true}},

		// queries
		"SELECT COUNT(*), COUNT(n) FROM i":                                                             {{three, two}},
		"SELECT (SELECT COUNT(*) FROM i WHERE owner = 'a') AS c":                                       {{two}},
		"SELECT (SELECT n FROM i WHERE id = 'x')":                                                      {{nil}},
		"SELECT id FROM i ORDER BY id DESC LIMIT 1 OFFSET 1":                                           {{"2"}},
		"SELECT id FROM i ORDER BY id LIMIT 9 OFFSET 9":                                                nil,
		"SELECT id FROM i ORDER BY owner DESC, id":                                                     {{"3"}, {"1"}, {"2"}},
		"SELECT i.id FROM i JOIN u ON u.id = i.owner ORDER BY i.id":                                    {{"1"}, {"2"}},
		"SELECT i.id, o.active FROM i LEFT JOIN u o ON o.id = i.owner WHERE i.id <> '1' ORDER BY i.id": {{"2", true}, {"3", nil}},
		"SELECT u.id FROM u WHERE EXISTS (SELECT 1 FROM i WHERE i.owner = u.id)":                       {{"a"}},
		"SELECT u.id FROM u WHERE NOT EXISTS (SELECT 1 FROM i WHERE i.owner = u.id)":                   {{"b"}},
		"SELECT id FROM i WHERE owner IN (SELECT id FROM u) ORDER BY id":                               {{"1"}, {"2"}},
		"SELECT active FROM u WHERE active":                                                            {{true}},
		"SELECT at FROM u WHERE id = 'a'":                                                              {{at}},
		"SELECT q.* FROM (SELECT id, n FROM i WHERE n > 5) q":                                          {{"2", int64(7)}},
		"SELECT * FROM (SELECT id FROM i WHERE id = 'x') q":                                            nil,
		"WITH me AS (SELECT active FROM u WHERE id = 'a'), page AS (SELECT id FROM i WHERE n > 100) SELECT me.active, page.id FROM me LEFT JOIN page ON TRUE": {{true, nil}},
		"WITH me AS (SELECT active FROM u WHERE id = 'x'), page AS (SELECT id FROM i) SELECT me.active, page.id FROM me LEFT JOIN page ON TRUE":               nil,
		"SELECT me.id, i.* FROM u me LEFT JOIN i ON i.owner = me.id WHERE me.id = 'b' -- the empty side\n":                                                    {{"b", nil, nil, nil}},
		"SELECT /* nothing */ id FROM u WHERE at IS NULL": {{"b"}},
	} {
		result, err := s.Do(sql)
		if assert.NoError(t, err, sql) {
			assert.Equal(t, want, result.Rows, sql)
			assert.Equal(t, engine.Select, result.Kind)
		}
	}
	result, err := s.Do("SELECT id, i.n AS total FROM i WHERE n = ?", 5)
	require.NoError(t, err)
	assert.Equal(t, []string{"ID", "TOTAL"}, result.Columns)
	assert.Equal(t, [][]any{{"1", int64(5)}}, result.Rows)
	result, err = s.Do("SELECT i.*, u.id FROM i JOIN u ON u.id = i.id")
	require.NoError(t, err)
	assert.Equal(t, []string{"ID", "OWNER", "N", "ID"}, result.Columns, "also of no rows")
}

func TestWritesSayHowManyRowsTheyChanged(t *testing.T) {
	s := engine.New(engine.Rules{}).Open()
	for _, st := range []struct {
		sql  string
		kind engine.Kind
		rows int64
	}{
		{"CREATE TABLE t (id VARCHAR(9), n NUMBER(38, 0) COMMENT 'x') COMMENT = 'y'", engine.Other, 0},
		{"INSERT INTO t (id) SELECT 'a'", engine.Insert, 1},
		{"INSERT INTO t (id) SELECT 'a' WHERE NOT EXISTS (SELECT 1 FROM t)", engine.Insert, 0},
		{"INSERT INTO t (id) SELECT id FROM t", engine.Insert, 1},
		{"UPDATE t SET n = 1", engine.Update, 2},
		{"UPDATE t SET n = n + 1, id = 'b' WHERE n > 1", engine.Update, 0},
		{"DELETE FROM t WHERE id = 'a'", engine.Delete, 2},
		{"DELETE FROM t", engine.Delete, 0},
		{"ALTER TABLE t ADD COLUMN m BOOLEAN", engine.Other, 0},
		{"ALTER TABLE t ADD COLUMN IF NOT EXISTS m BOOLEAN", engine.Other, 0},
		{"CREATE TABLE IF NOT EXISTS t (other VARCHAR)", engine.Other, 0},
		{"INSERT INTO t (id, m) VALUES ('c', TRUE)", engine.Insert, 1},
		{"COMMIT", engine.Other, 0},
		{"ROLLBACK", engine.Other, 0},
		{"DROP TABLE t", engine.Other, 0},
		{"DROP TABLE IF EXISTS t", engine.Other, 0},
	} {
		result, err := s.Do(st.sql)
		require.NoError(t, err, st.sql)
		assert.Equal(t, st.kind, result.Kind, st.sql)
		assert.Equal(t, st.rows, result.Affected, st.sql)
	}
}

func TestErrorsHaveSnowflakesNumbers(t *testing.T) {
	s := engine.New(engine.Rules{}).Open()
	_, err := s.Do("CREATE TABLE t (id VARCHAR(2) NOT NULL, n NUMBER(38, 0), b BOOLEAN, at TIMESTAMP_NTZ(6))")
	require.NoError(t, err)
	_, err = s.Do("INSERT INTO t (id) VALUES ('x')")
	require.NoError(t, err)
	for sql, want := range map[string]int{
		"INSERT INTO t (n) VALUES (1)":                  100072,
		"UPDATE t SET id = NULL":                        100072,
		"INSERT INTO t (id) VALUES ('abc')":             100078,
		"INSERT INTO t (id, n) VALUES ('a', 'b')":       2023,
		"INSERT INTO t (id, b) VALUES ('a', 1)":         2023,
		"INSERT INTO t (id, at) VALUES ('a', 1)":        2023,
		"INSERT INTO t (id) VALUES (1)":                 2023,
		"INSERT INTO t (id, n) SELECT 'a'":              2020,
		"INSERT INTO t (nothing) VALUES (1)":            904,
		"UPDATE t SET nothing = 1":                      904,
		"SELECT nothing FROM t":                         904,
		"SELECT id FROM t ORDER BY nothing":             904,
		"SELECT t.id, COUNT(*) FROM t":                  904,
		"SELECT id FROM nothing":                        2003,
		"UPDATE nothing SET n = 1":                      2003,
		"DELETE FROM nothing":                           2003,
		"ALTER TABLE nothing ADD COLUMN c BOOLEAN":      2003,
		"DROP TABLE nothing":                            2003,
		"CREATE TABLE t (id VARCHAR)":                   2002,
		"ALTER TABLE t ADD COLUMN n BOOLEAN":            2028,
		"SELECT id FROM t WHERE id = 1":                 1046,
		"SELECT n + 'a' FROM t WHERE n IS NULL":         0, // NULL wins
		"SELECT 1 + 'a'":                                1046,
		"SELECT ?":                                      2049,
		"SELECT id FROM t LIMIT 'a'":                    1003,
		"SELECT (SELECT 1 FROM t WHERE TRUE) + nothing": 904,
	} {
		_, err := s.Do(sql)
		if want == 0 {
			assert.NoError(t, err, sql)
			continue
		}
		if assert.Error(t, err, sql) {
			assert.Equal(t, want, number(t, err), sql)
		}
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	s := engine.New(engine.Rules{}).Open()
	_, err := s.Do("CREATE TABLE t (id VARCHAR, n NUMBER(38, 0))")
	require.NoError(t, err)
	for _, sql := range []string{
		"", "SELECT", "SELECT 1; SELECT 2", "SELECT DISTINCT id FROM t", "SELECT id FROM t GROUP BY id", "SELECT id FROM t HAVING id = 'a'",
		"SELECT MAX(n) FROM t", "SELECT id FROM t WHERE id LIKE 'a%'", "SELECT n * 2 FROM t", "SELECT id FROM t FULL OUTER JOIN t ON TRUE",
		"SELECT id::VARCHAR FROM t", "SELECT CAST(n AS FLOAT) FROM t", "SELECT id FROM t ORDER BY id NULLS LAST", "SELECT 'open",
		"INSERT INTO t SELECT 'a', 1", "INSERT OVERWRITE INTO t (id) VALUES ('a')", "UPDATE t SET n", "UPDATE t u SET n = 1", "DELETE t",
		"MERGE INTO t USING t ON TRUE WHEN MATCHED THEN DELETE", "TRUNCATE TABLE t", "CREATE OR REPLACE TABLE t (id VARCHAR)", "CREATE TABLE t (id TEXT)",
		"CREATE TABLE t (id VARCHAR PRIMARY KEY)", "CREATE TABLE t (id VARCHAR DEFAULT 'a')", "ALTER TABLE t DROP COLUMN n", "SHOW TABLES", "SHOW GRANTS",
		"GRANT SELECT ON t TO r", "CREATE TABLE t (id VARCHAR) COMMENT 5", "INSERT INTO t (id) VALUES ('a'), ('b')", "BEGIN WORK", "SELECT *", "SELECT t.* WHERE FALSE",
	} {
		_, err := s.Do(sql)
		if assert.Error(t, err, sql) {
			assert.Equal(t, 1003, number(t, err), sql)
		}
	}
}

func TestShowHasWhatSnowflakeShows(t *testing.T) {
	for mode, rules := range map[string]engine.Rules{"GLOBAL": {Unique: map[string]string{"t": "id"}}, "SESSION": {StaleSessions: true}} {
		s := engine.New(rules).Open()
		_, err := s.Do("CREATE TABLE t (id VARCHAR, n NUMBER)")
		require.NoError(t, err)
		hybrid := map[string]string{"GLOBAL": "Y", "SESSION": "N"}[mode]
		for sql, want := range map[string]engine.Result{
			"SHOW TABLES IN SCHEMA x":  {Kind: engine.Select, Columns: []string{"name", "is_hybrid"}, Rows: [][]any{{"T", hybrid}}},
			"SHOW COLUMNS IN SCHEMA x": {Kind: engine.Select, Columns: []string{"table_name", "column_name"}, Rows: [][]any{{"T", "ID"}, {"T", "N"}}},
			"SHOW PARAMETERS LIKE 'READ_CONSISTENCY_MODE' IN ACCOUNT": {
				Kind: engine.Select, Columns: []string{"key", "value"}, Rows: [][]any{{"READ_CONSISTENCY_MODE", mode}},
			},
		} {
			got, err := s.Do(sql)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	}
}
