package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestExpressions(t *testing.T) {
	for sql, want := range map[string]any{
		"TRUE AND NULL":                 nil,
		"FALSE AND NULL":                false,
		"TRUE AND TRUE":                 true,
		"TRUE OR NULL":                  true,
		"FALSE OR NULL":                 nil,
		"FALSE OR FALSE":                false,
		"1 OR TRUE":                     true,
		"NOT NULL":                      nil,
		"NOT (1 = 2)":                   true,
		"NULL = NULL":                   nil,
		"NULL IS NULL":                  true,
		"1 IS NULL":                     false,
		"1 IN (1, NULL)":                true,
		"2 IN (1, NULL)":                nil,
		"2 IN (1, 3)":                   false,
		"NULL IN (1)":                   nil,
		"COALESCE(NULL, 2, 3)":          int64(2),
		"COALESCE(NULL, NULL)":          nil,
		"5 + 3 + 1":                     int64(9),
		"1 < 2 AND 2 <= 2":              true,
		"2 > 1 AND 2 >= 3":              false,
		"'it''s' <> 'its'":              true,
		"TRUE > FALSE":                  true,
		"FALSE = FALSE":                 true,
		"CAST(NULL AS NUMBER(38, 0))":   nil,
		"CAST(NULL AS GEOGRAPHY)":       nil,
		"CAST('a' AS VARCHAR(1))":       "a",
		"FALSE AND FALSE OR TRUE":       true,
		"NOT FALSE AND 1 + 1 = 2":       true,
		"FALSE AND (FALSE OR TRUE)":     false,
		"(SELECT 1 WHERE NULL)":         nil,
		"EXISTS (SELECT 1)":             true,
		"NOT EXISTS (SELECT 1 WHERE 1)": true,
	} {
		result, err := engine.New(engine.Rules{}).Open().Do("SELECT " + sql)
		if assert.NoError(t, err, sql) {
			assert.Equal(t, [][]any{{want}}, result.Rows, sql)
		}
	}
}

// newTables returns a session of a database with users a (active) and b, and items 1, 2 (of a) and 3.
func newTables(t *testing.T, at time.Time) *engine.Session {
	s := engine.New(engine.Rules{}).Open()
	for _, st := range []struct {
		sql  string
		args []any
	}{
		{"CREATE TABLE users (id VARCHAR(2), active BOOLEAN, at TIMESTAMP_NTZ(6))", nil},
		{"CREATE TABLE items (id VARCHAR(2), owner VARCHAR(2), n NUMBER(38, 0))", nil},
		{"INSERT INTO users (id, active, at) SELECT ?, ?, ?", []any{"a", true, at}},
		{"INSERT INTO users (id, active) SELECT 'b', FALSE", nil},
		{"INSERT INTO items (id, owner, n) SELECT '1', users.id, 5 FROM users WHERE users.id = 'a'", nil},
		{"INSERT INTO items (id, owner, n) SELECT '2', 'a', 7", nil},
		{"INSERT INTO items (id, owner) SELECT '3', 'z'", nil},
	} {
		_, err := s.Do(st.sql, st.args...)
		require.NoError(t, err, st.sql)
	}
	return s
}

func TestQueries(t *testing.T) {
	at := time.Date(2026, 3, 29, 2, 0, 0, 1_000, time.UTC)
	s := newTables(t, at)
	const two, three, five, seven = int64(2), int64(3), int64(5), int64(7)
	for sql, want := range map[string][][]any{
		"SELECT 1 WHERE NULL":                                                                     nil,
		"SELECT COUNT(*), COUNT(n) FROM items":                                                    {{three, two}},
		"SELECT (SELECT COUNT(*) FROM items WHERE owner = 'a') AS c":                              {{two}},
		"SELECT (SELECT n FROM items WHERE id = 'x')":                                             {{nil}},
		"SELECT id FROM items ORDER BY id DESC LIMIT 1 OFFSET 1":                                  {{"2"}},
		"SELECT id FROM items ORDER BY id LIMIT 9 OFFSET 9":                                       nil,
		"SELECT id FROM items ORDER BY id OFFSET 9223372036854775807":                             nil,
		"SELECT id FROM items ORDER BY id LIMIT 0":                                                nil,
		"SELECT id FROM items ORDER BY owner DESC, id":                                            {{"3"}, {"1"}, {"2"}},
		"SELECT n FROM items ORDER BY n":                                                          {{five}, {seven}, {nil}},
		"SELECT n FROM items ORDER BY n DESC":                                                     {{nil}, {seven}, {five}},
		"SELECT i.id FROM items i JOIN users u ON u.id = i.owner ORDER BY i.id":                   {{"1"}, {"2"}},
		"SELECT users.id FROM users WHERE EXISTS (SELECT 1 FROM items WHERE owner = users.id)":    {{"a"}},
		"SELECT id FROM users WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.owner = users.id)":  {{"b"}},
		"SELECT id FROM items WHERE owner IN (SELECT id FROM users) ORDER BY id":                  {{"1"}, {"2"}},
		"SELECT owner, COUNT(*), COUNT(n) FROM items GROUP BY owner":                              {{"a", two, two}, {"z", int64(1), int64(0)}},
		"SELECT owner FROM items GROUP BY owner HAVING COUNT(*) > 1":                              {{"a"}},
		"SELECT owner FROM items WHERE n > 100 GROUP BY owner":                                    nil,
		"SELECT id FROM items QUALIFY ROW_NUMBER() OVER (PARTITION BY owner ORDER BY n) = 1":      {{"1"}, {"3"}},
		"SELECT id FROM items QUALIFY ROW_NUMBER() OVER (PARTITION BY owner ORDER BY n DESC) > 1": {{"1"}},
		`SELECT id
			FROM items
			WHERE n > 0
			QUALIFY ROW_NUMBER() OVER (PARTITION BY owner, n ORDER BY id) <= 1
			ORDER BY id DESC`: {{"2"}, {"1"}},
		"SELECT LOWER('ÄB'), LOWER(NULL)":                      {{"äb", nil}},
		"SELECT active FROM users WHERE active":                {{true}},
		"SELECT at FROM users WHERE id = 'a'":                  {{at}},
		"SELECT id -- a comment\n FROM users WHERE at IS NULL": {{"b"}},
		`SELECT i.id, o.active
			FROM items i
			LEFT JOIN users o ON o.id = i.owner
			WHERE i.id <> '1'
			ORDER BY i.id`: {{"2", true}, {"3", nil}},
		`WITH me AS (SELECT active FROM users WHERE id = 'a'), page AS (SELECT id FROM items WHERE n > 100)
			SELECT me.active, page.id
			FROM me
			LEFT JOIN page ON TRUE`: {{true, nil}},
		`WITH me AS (SELECT active FROM users WHERE id = 'x'), page AS (SELECT id FROM items)
			SELECT me.active, page.id
			FROM me
			LEFT JOIN page ON TRUE`: nil,
		`WITH page AS (SELECT id FROM items), first AS (SELECT id FROM page ORDER BY id LIMIT 1)
			SELECT first.id, (SELECT COUNT(*) FROM page)
			FROM first`: {{"1", three}},
	} {
		result, err := s.Do(sql)
		if assert.NoError(t, err, sql) {
			assert.Equal(t, want, result.Rows, sql)
			assert.Equal(t, engine.Select, result.Kind)
		}
	}
}

func TestAResultNamesItsColumnsEvenIfItHasNoRows(t *testing.T) {
	s := newTables(t, time.Time{})
	for _, n := range []int{5, 6} {
		result, err := s.Do("SELECT id, i.n AS total FROM items i WHERE n = ?", n)
		require.NoError(t, err)
		assert.Equal(t, []string{"ID", "TOTAL"}, result.Columns)
	}
}

func TestWritesReturnTheNumberOfRowsThatTheyChanged(t *testing.T) {
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
		{"ALTER TABLE t ADD COLUMN IF NOT EXISTS m BOOLEAN", engine.Other, 0},
		{"ALTER TABLE t ADD COLUMN IF NOT EXISTS m BOOLEAN", engine.Other, 0},
		{"CREATE TABLE IF NOT EXISTS t (other VARCHAR)", engine.Other, 0},
		{"INSERT INTO t (id, m) VALUES ('c', 1 = 1)", engine.Insert, 1},
		{"COMMIT", engine.Other, 0},
		{"ROLLBACK", engine.Other, 0},
		{"DROP TABLE t", engine.Other, 0},
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
	for range 2 {
		_, err = s.Do("INSERT INTO t (id) SELECT 'x'")
		require.NoError(t, err)
	}
	for sql, want := range map[string]int{
		"INSERT INTO t (n) SELECT 1":                             100072,
		"UPDATE t SET id = NULL":                                 100072,
		"INSERT INTO t (id) SELECT 'abc'":                        100078,
		"SELECT CAST('abc' AS VARCHAR(2))":                       100078,
		"INSERT INTO t (id, n) SELECT 'a', 'b'":                  2023,
		"INSERT INTO t (id, b) SELECT 'a', 1":                    2023,
		"INSERT INTO t (id, at) SELECT 'a', 1":                   2023,
		"INSERT INTO t (id) SELECT 1":                            2023,
		"INSERT INTO t (id, n) SELECT 'a'":                       2020,
		"SELECT id FROM nothing":                                 2003,
		"INSERT INTO nothing (n) SELECT 1":                       2003,
		"UPDATE nothing SET n = 1":                               2003,
		"DELETE FROM nothing":                                    2003,
		"ALTER TABLE nothing ADD COLUMN IF NOT EXISTS c BOOLEAN": 2003,
		"DROP TABLE nothing":                                     2003,
		"CREATE TABLE t (id VARCHAR)":                            2002,
		"SELECT ?":                                               2049,
		"SELECT (SELECT id FROM t)":                              90150,
	} {
		_, err := s.Do(sql)
		if assert.Error(t, err, sql) {
			assert.Equal(t, want, number(t, err), sql)
		}
	}
	_, err = s.Do("SELECT n + 'a' FROM t")
	assert.NoError(t, err, "NULL plus anything is NULL")
}

func TestAnUnknownNameIsRefusedEvenIfThereIsNoRow(t *testing.T) {
	f := newFixture(t, engine.Rules{})
	s := f.db.Open()
	f.ok(s, "CREATE TABLE empty (id VARCHAR(2))")
	for _, sql := range []string{
		"SELECT nothing FROM empty",
		"SELECT id FROM empty WHERE nothing = 1",
		"SELECT id FROM empty ORDER BY nothing",
		"SELECT COUNT(nothing) FROM empty",
		"SELECT id FROM empty GROUP BY nothing",
		"SELECT COUNT(*) FROM t ORDER BY nothing",
		"SELECT x.id FROM t",
		"SELECT t.id FROM t LEFT JOIN empty ON nothing",
		"SELECT COALESCE(1, nothing) FROM t",
		"SELECT (SELECT 1 FROM t WHERE FALSE) + nothing",
		"SELECT id FROM empty WHERE EXISTS (SELECT 1 FROM t WHERE nothing = empty.id)",
		"DELETE FROM empty WHERE nothing = 1",
		"UPDATE empty SET nothing = 1",
		"UPDATE t SET nothing = 1 WHERE id = 'zz'",
		"UPDATE t SET n = nothing WHERE id = 'zz'",
		"INSERT INTO empty (nothing) SELECT id FROM empty",
		"SELECT id FROM t JOIN empty ON TRUE", // ambiguous
		"SELECT id FROM empty QUALIFY ROW_NUMBER() OVER (PARTITION BY nothing ORDER BY id) = 1",
		"SELECT id FROM empty QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY nothing) = 1",
		"SELECT id FROM empty QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY id) = nothing",
	} {
		_, err := s.Do(sql)
		if assert.Error(t, err, sql) {
			assert.Equal(t, 904, number(t, err), sql)
		}
	}
}

func TestShowReturnsTheColumnsThatTheStoreReads(t *testing.T) {
	for mode, rules := range map[string]engine.Rules{
		"GLOBAL":  {Unique: map[string]string{"t": "id"}},
		"SESSION": {StaleSessions: true, Suspended: true},
	} {
		s := engine.New(rules).Open()
		_, err := s.Do("CREATE TABLE t (id VARCHAR, n NUMBER)")
		require.NoError(t, err)
		hybrid := map[string]string{"GLOBAL": "Y", "SESSION": "N"}[mode]
		state := map[string]string{"GLOBAL": "STARTED", "SESSION": "SUSPENDED"}[mode]
		for sql, want := range map[string]engine.Result{
			"SHOW TABLES IN SCHEMA x": {
				Kind: engine.Select, Columns: []string{"name", "is_hybrid"}, Rows: [][]any{{"T", hybrid}},
			},
			"SHOW COLUMNS IN SCHEMA x": {
				Kind: engine.Select, Columns: []string{"table_name", "column_name"}, Rows: [][]any{{"T", "ID"}, {"T", "N"}},
			},
			"SHOW PARAMETERS LIKE 'READ_CONSISTENCY_MODE' IN ACCOUNT": {
				Kind: engine.Select, Columns: []string{"key", "value"}, Rows: [][]any{{"READ_CONSISTENCY_MODE", mode}},
			},
			"SHOW WAREHOUSES": {
				Kind: engine.Select, Columns: []string{"name", "state", "is_current"},
				Rows: [][]any{{"ANOTHER_WH", "STARTED", "N"}, {"ECHO_WH", state, "Y"}},
			},
		} {
			got, err := s.Do(sql)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	}
}
