package echoinsnowflake

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestSetupCanDestroyNothing(t *testing.T) {
	destructive := regexp.MustCompile(`(?i)\b(DROP|REPLACE|TRUNCATE|UNDROP|UNSET|REVOKE|RENAME|SWAP|OVERWRITE|CREATE\s+OR|DELETE\s+FROM)\b`)
	for _, st := range statements(setup) {
		assert.NotRegexp(t, destructive, st)
		if strings.HasPrefix(st, "CREATE") {
			assert.Contains(t, st, "IF NOT EXISTS")
		}
	}
}

// known are the statements of setup.sql, by their beginnings. Whoever adds one of another kind has to
// say here that it can be run again.
var known = regexp.MustCompile(`^(` + strings.Join([]string{
	`CREATE (ROLE|WAREHOUSE|DATABASE|SCHEMA|TABLE|IMAGE REPOSITORY|STAGE|COMPUTE POOL) IF NOT EXISTS `,
	`ALTER TABLE \w+ ADD COLUMN IF NOT EXISTS `,
	`INSERT INTO account_lock \(n\)\s+SELECT 0\s+WHERE NOT EXISTS `,
	`USE (WAREHOUSE echo_wh|SCHEMA echo_db\.echo_schema)$`,
	`GRANT ROLE \w+ TO ROLE SYSADMIN$`,
	`GRANT OWNERSHIP ON (DATABASE|SCHEMA|ALL TABLES IN SCHEMA) [\w.]+ TO ROLE echo_owner COPY CURRENT GRANTS$`,
	`GRANT [\w, ]+ ON [\w .]+ TO ROLE (echo_role|echo_deployer)$`,
}, "|") + `)`)

func TestEveryStatementOfSetupIsKnownAndSaysWhyItIsThere(t *testing.T) {
	all := statements(setup)
	for _, st := range all {
		assert.Regexp(t, known, st)
	}
	lines := strings.Split(setup, "\n")
	var first []string // lines with which a statement begins
	for i, line := range lines {
		if regexp.MustCompile(`^(CREATE|ALTER|INSERT|USE|GRANT)\b`).MatchString(line) {
			first = append(first, line)
			before := lines[i-1]
			if before == "" {
				before = lines[i-2] // a comment on more than the next statement
			}
			assert.True(t, strings.HasPrefix(before, "--"), "no comment before: %s", line)
		}
	}
	assert.Len(t, first, len(all))
}

func TestTablesAreCutOutOfSetupAndDeclareNoKeys(t *testing.T) {
	tables := Tables()
	require.Len(t, tables, 4)
	for _, st := range tables {
		assert.Contains(t, statements(setup), st)
		assert.NotRegexp(t, `(?i)\b(PRIMARY|UNIQUE|FOREIGN|REFERENCES)\b`, st, "Snowflake would not enforce it, and an emulator would")
	}
}

// grantsTo returns what setup.sql grants to a role.
func grantsTo(role string) []string {
	var grants []string
	for _, st := range statements(setup) {
		if grant, ok := strings.CutSuffix(st, " TO ROLE "+role); ok {
			grants = append(grants, grant)
		}
	}
	return grants
}

func TestTheServiceMayChangeRowsAndNothingElse(t *testing.T) {
	assert.Equal(t, []string{
		"GRANT USAGE ON DATABASE echo_db",
		"GRANT USAGE ON SCHEMA echo_db.echo_schema",
		"GRANT USAGE ON WAREHOUSE echo_wh",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.users",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.items",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.account_lock",
		"GRANT CREATE SERVICE ON SCHEMA echo_db.echo_schema",
		"GRANT READ ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo",
		"GRANT READ ON STAGE echo_db.echo_schema.echo_stage",
		"GRANT USAGE, MONITOR ON COMPUTE POOL echo_pool",
		"GRANT BIND SERVICE ENDPOINT ON ACCOUNT",
	}, grantsTo("echo_role"))
}

func TestWhoeverDeploysMayBringImagesSpecificationsAndSecretsAndSeeNoRow(t *testing.T) {
	assert.Equal(t, []string{
		"GRANT USAGE ON DATABASE echo_db",
		"GRANT USAGE ON SCHEMA echo_db.echo_schema",
		"GRANT READ, WRITE ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo",
		"GRANT READ, WRITE ON STAGE echo_db.echo_schema.echo_stage",
		"GRANT CREATE SECRET ON SCHEMA echo_db.echo_schema",
	}, grantsTo("echo_deployer"))
}

func TestTheConsistencyOfTheAccountIsLeftToItsAdministrator(t *testing.T) {
	assert.Contains(t, setup, "\n-- ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL';\n")
	assert.False(t, slices.ContainsFunc(statements(setup), func(st string) bool { return strings.Contains(st, "ACCOUNT SET") }))
}

// The same on the emulator, whose engine is another, is in adapters/snowflake/fakesnowtest.
func TestSetupOfAnyVersionLeavesTheRowsOfAnyOther(t *testing.T) {
	s := engine.New(engine.Rules{}).Open()
	do := func(st string, args ...any) engine.Result {
		t.Helper()
		result, err := s.Do(st, args...)
		require.NoError(t, err, st)
		return result
	}
	setUp := func(more ...string) {
		for _, st := range append(Tables(), more...) {
			do(st)
		}
	}
	const later = "ALTER TABLE items ADD COLUMN IF NOT EXISTS colour VARCHAR(20)"
	insert := "INSERT INTO items (id, owner_id, title, version, created_at, updated_at) SELECT ?, 'u', 't', 1, CAST(? AS TIMESTAMP_NTZ(6)), CAST(? AS TIMESTAMP_NTZ(6))"
	now := time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)

	setUp()
	do(insert, "1", now, now)
	do("UPDATE account_lock SET n = n + 1")
	setUp(later)
	do("UPDATE items SET colour = 'red'")
	do(insert, "2", now, now) // an instance of the earlier version, during the upgrade
	setUp()
	do(insert, "3", now, now)
	assert.Equal(t, [][]any{{"1", "red"}, {"2", "none"}, {"3", "none"}}, do("SELECT id, COALESCE(colour, 'none') FROM items ORDER BY id").Rows)
	assert.Equal(t, [][]any{{int64(1)}}, do("SELECT n FROM account_lock").Rows, "there is still one row, with its value")
}

func TestHybridTablesHaveTheColumnsOfTheStandardOnes(t *testing.T) {
	script, err := os.ReadFile("deploy/hybrid.sql")
	require.NoError(t, err)
	columns := func(statements []string) map[string][]string {
		found := map[string][]string{}
		for _, st := range statements {
			m := regexp.MustCompile(`(?s)^CREATE (?:HYBRID )?TABLE IF NOT EXISTS (\w+) \((.*)\)`).FindStringSubmatch(st)
			if m == nil {
				continue
			}
			for line := range strings.Lines(m[2]) {
				line = strings.NewReplacer(" PRIMARY KEY", "", " UNIQUE", "").Replace(strings.TrimSuffix(strings.TrimSpace(line), ","))
				if line != "" && !strings.HasPrefix(line, "INDEX") {
					found[m[1]] = append(found[m[1]], line)
				}
			}
		}
		return found
	}
	assert.Equal(t, columns(Tables()), columns(statements(string(script))))
}
