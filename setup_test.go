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

func TestSetupDestroysNothing(t *testing.T) {
	destructive := regexp.MustCompile(
		`(?i)\b(DROP|REPLACE|TRUNCATE|UNDROP|UNSET|REVOKE|RENAME|SWAP|OVERWRITE|CREATE\s+OR|DELETE\s+FROM)\b`)
	for _, st := range statements(setup) {
		assert.NotRegexp(t, destructive, st)
		if strings.HasPrefix(st, "CREATE") {
			assert.Contains(t, st, "IF NOT EXISTS")
		}
	}
}

// repeatable matches the statements that can run again without an effect.
var repeatable = regexp.MustCompile(`^(` + strings.Join([]string{
	`CREATE (ROLE|WAREHOUSE|DATABASE|SCHEMA|TABLE|IMAGE REPOSITORY|STAGE|COMPUTE POOL) IF NOT EXISTS `,
	`ALTER TABLE \w+ ADD COLUMN IF NOT EXISTS `,
	`INSERT INTO account_lock \(n\)\s+SELECT 0\s+WHERE NOT EXISTS `,
	`USE (WAREHOUSE echo_wh|SCHEMA echo_db\.echo_schema)$`,
	`GRANT ROLE \w+ TO ROLE SYSADMIN$`,
	`GRANT OWNERSHIP ON (DATABASE|SCHEMA|ALL TABLES IN SCHEMA) [\w.]+ TO ROLE echo_owner COPY CURRENT GRANTS$`,
	`GRANT [\w, ]+ ON [\w .]+ TO ROLE (echo_role|echo_deployer)$`,
}, "|") + `)`)

func TestEveryStatementOfSetupCanRunAgain(t *testing.T) {
	for _, st := range statements(setup) {
		assert.Regexp(t, repeatable, st)
	}
}

func TestTheTablesOfSetupDeclareNoKeys(t *testing.T) {
	require.NotEmpty(t, Tables())
	for _, st := range Tables() {
		assert.Contains(t, statements(setup), st)
		assert.NotRegexp(t, `(?i)\b(PRIMARY|UNIQUE|FOREIGN|REFERENCES)\b`, st, "Snowflake does not enforce it, an emulator does")
	}
}

// grantsTo returns the grants of setup.sql to a role.
func grantsTo(role string) []string {
	var grants []string
	for _, st := range statements(setup) {
		if grant, ok := strings.CutSuffix(st, " TO ROLE "+role); ok {
			grants = append(grants, grant)
		}
	}
	return grants
}

func TestTheRoleOfTheServiceMayChangeRowsAndOwnItsServiceAndNothingElse(t *testing.T) {
	assert.Equal(t, []string{
		"GRANT USAGE ON DATABASE echo_db",
		"GRANT USAGE ON SCHEMA echo_db.echo_schema",
		"GRANT USAGE ON WAREHOUSE echo_wh",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA echo_db.echo_schema",
		"GRANT CREATE SERVICE ON SCHEMA echo_db.echo_schema",
		"GRANT READ ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo",
		"GRANT READ ON STAGE echo_db.echo_schema.echo_stage",
		"GRANT USAGE, MONITOR ON COMPUTE POOL echo_pool",
		"GRANT BIND SERVICE ENDPOINT ON ACCOUNT",
	}, grantsTo("echo_role"))
}

func TestTheRoleThatDeploysMayUploadImagesSpecificationsAndSecretsAndReadNoRow(t *testing.T) {
	assert.Equal(t, []string{
		"GRANT USAGE ON DATABASE echo_db",
		"GRANT USAGE ON SCHEMA echo_db.echo_schema",
		"GRANT READ, WRITE ON IMAGE REPOSITORY echo_db.echo_schema.echo_repo",
		"GRANT READ, WRITE ON STAGE echo_db.echo_schema.echo_stage",
		"GRANT CREATE SECRET ON SCHEMA echo_db.echo_schema",
	}, grantsTo("echo_deployer"))
}

func TestEveryWarehouseHasThePriceThatTheDocumentsName(t *testing.T) {
	for _, name := range []string{"setup.sql", "deploy/observability.sql"} {
		created := 0
		for _, st := range script(t, name) {
			if strings.HasPrefix(st, "CREATE WAREHOUSE") {
				created++
				assert.Contains(t, st, "WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 ", name)
				assert.Contains(t, st, "GENERATION = '1' ENABLE_QUERY_ACCELERATION = FALSE", name)
			}
		}
		assert.Equal(t, 1, created, name)
	}
}

func TestAScriptThatWritesRowsChoosesAWarehouseFirst(t *testing.T) {
	for _, name := range []string{"setup.sql", "deploy/hybrid.sql"} {
		all := script(t, name)
		chosen := slices.Index(all, "USE WAREHOUSE echo_wh")
		require.GreaterOrEqual(t, chosen, 0, name)
		for i, st := range all {
			if strings.HasPrefix(st, "INSERT ") {
				assert.Less(t, chosen, i, name)
			}
		}
	}
}

func TestSetupLeavesTheParametersOfTheAccountAlone(t *testing.T) {
	assert.Contains(t, setup, "\n-- ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL';\n")
	assert.Contains(t, setup, "\n-- ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE;\n")
	for _, st := range statements(setup) {
		assert.NotContains(t, st, "ACCOUNT SET")
	}
}

// tablesWithoutGrants returns the tables that a script creates and does not grant. A grant on all tables counts
// only for the tables above it: Snowflake gives it to the tables that exist at that moment.
func tablesWithoutGrants(script []string, grant string) []string {
	create := regexp.MustCompile(`^CREATE (?:HYBRID )?TABLE IF NOT EXISTS (\w+) \(`)
	var missing []string
	for _, st := range script {
		if m := create.FindStringSubmatch(st); m != nil {
			missing = append(missing, m[1])
		}
		if strings.HasPrefix(st, strings.Replace(grant, "%s", "ALL TABLES IN SCHEMA echo_db.echo_schema", 1)) {
			missing = nil
		}
		missing = slices.DeleteFunc(missing, func(table string) bool {
			return strings.HasPrefix(st+" ", strings.Replace(grant, "%s", "TABLE echo_db.echo_schema."+table, 1)+" ")
		})
	}
	return missing
}

func TestEveryTableIsGrantedToTheRoleOfTheService(t *testing.T) {
	const (
		rows      = "GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO ROLE echo_role"
		ownership = "GRANT OWNERSHIP ON %s TO ROLE echo_owner COPY CURRENT GRANTS"
	)
	for name, script := range map[string][]string{"setup.sql": statements(setup), "hybrid.sql": script(t, "deploy/hybrid.sql")} {
		assert.Empty(t, tablesWithoutGrants(script, rows), name)
		assert.Empty(t, tablesWithoutGrants(script, ownership), name)

		late := append(slices.Clone(script), "CREATE TABLE IF NOT EXISTS late (id VARCHAR(36) NOT NULL)")
		assert.Equal(t, []string{"late"}, tablesWithoutGrants(late, rows), "a table below the grants has none")
		late = append(late, "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE echo_db.echo_schema.late TO ROLE echo_role")
		assert.Empty(t, tablesWithoutGrants(late, rows), "but may have a grant of its own")
	}
}

// script returns the statements of a file.
func script(t *testing.T, name string) []string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return statements(string(content))
}

// adapters/snowflake/fakesnowtest has the same test on another engine.
func TestSetupOfAVersionKeepsTheRowsOfOtherVersions(t *testing.T) {
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
	insert := "INSERT INTO items (id, owner_id, title, version, created_at, updated_at) " +
		"SELECT ?, 'u', 't', 1, CAST(? AS TIMESTAMP_NTZ(6)), CAST(? AS TIMESTAMP_NTZ(6))"
	now := time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)

	setUp()
	do(insert, "1", now, now)
	do("UPDATE account_lock SET n = n + 1")
	setUp(later)
	do("UPDATE items SET colour = 'red'")
	do(insert, "2", now, now) // an instance of the earlier version, during the upgrade
	setUp()
	do(insert, "3", now, now)
	assert.Equal(t, [][]any{{"1", "red"}, {"2", "none"}, {"3", "none"}},
		do("SELECT id, COALESCE(colour, 'none') FROM items ORDER BY id").Rows)
	assert.Equal(t, [][]any{{int64(1)}}, do("SELECT n FROM account_lock").Rows, "the one row keeps its value")
}

func TestHybridTablesHaveTheColumnsOfTheStandardTables(t *testing.T) {
	columns := func(statements []string) map[string][]string {
		found := map[string][]string{}
		for _, st := range statements {
			if m := regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN IF NOT EXISTS (.*)`).FindStringSubmatch(st); m != nil {
				found[m[1]] = append(found[m[1]], m[2])
			}
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
		for _, definitions := range found {
			slices.Sort(definitions)
		}
		return found
	}
	assert.Equal(t, columns(Tables()), columns(script(t, "deploy/hybrid.sql")))
}
