package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/platformtest"
)

// onPostgres describes an environment whose store is PostgreSQL.
var onPostgres = map[string]string{"ECHO_STORAGE": "postgres", "ECHO_POSTGRES_HOST": "abc.postgres.snowflake.app"}

// containersOnPostgres returns the containers of the service and of the job that migrates.
func containersOnPostgres(t *testing.T) (service, job container) {
	t.Helper()
	d := deployment{
		prefix: "echo", digest: platformtest.Digest('a'), postgres: true,
		getenv: func(name string) string { return onPostgres[name] },
	}
	rendered, err := d.renderSpec()
	require.NoError(t, err)
	specification, err := d.renderJob(migrator)
	require.NoError(t, err)
	return decodeSpec(t, string(rendered)).Spec.Containers[0], decodeSpec(t, specification).Spec.Containers[0]
}

func TestOnPostgreSQLTheServiceAndItsJobAcceptTheirConfiguration(t *testing.T) {
	service, job := containersOnPostgres(t)
	assert.Equal(t, []string{"migrate"}, job.Args)
	assert.Len(t, job.Secrets, 1, "the certificate, and no key")
	assert.Equal(t, service.Resources, job.Resources, "the job fits on the machine of two instances")
	roles := map[string]config.Config{
		"echo_app":      loadConfig(t, service),
		"echo_migrator": loadConfig(t, job, config.StorageKeys),
	}
	for role, cfg := range roles {
		assert.Equal(t, config.StoragePostgres, cfg.Storage)
		p := cfg.Postgres
		assert.Equal(t, []string{role, "echo", "echo", "echo_pg", config.AuthSnowflake, "abc.postgres.snowflake.app"},
			[]string{p.User, p.Database, p.Schema, p.Instance, p.Auth, p.Host})
		assert.Contains(t, p.CAFile, "/secrets/postgres-ca/secret_string")
		assert.True(t, p.TLS)
	}
}

func TestTheJobChangesNoOtherValueThatContainsTheNameOfTheRole(t *testing.T) {
	variables := maps.Clone(onPostgres)
	variables["ECHO_POSTGRES_DATABASE"] = "echo_apps"
	result := newPrograms(t).deploy(t.Context(), variables, "", "--dry-run")
	require.Zero(t, result.Code, result.Out)
	assert.Contains(t, result.Out, "POSTGRES_DATABASE: echo_apps\n", "of the job")
	assert.Contains(t, result.Out, "POSTGRES_USER: echo_migrator\n")
}

func TestTheScriptsForPostgreSQLCreateEveryObjectThatTheCommandNames(t *testing.T) {
	result := newPrograms(t).deploy(t.Context(), onPostgres, "", "--dry-run")
	require.Zero(t, result.Code, result.Out)
	scripts := readFile(t, "postgres.sql") + readFile(t, "postgres-roles.sql")
	objects := regexp.MustCompile(`\becho_(?:pg_?\w*|app|migrator)\b`).FindAllString(result.Out, -1)
	slices.Sort(objects)
	objects = slices.Compact(objects)
	assert.Equal(t, []string{"echo_app", "echo_migrator", "echo_pg", "echo_pg_access", "echo_pg_ca"}, objects)
	for _, name := range objects {
		assert.Regexp(t, `(?m)^ *CREATE (OR ALTER )?[A-Z ]+ (echo_db\.echo_schema\.)?`+name+`\b`, scripts)
	}
	assert.Contains(t, scripts, "'CREATE DATABASE echo'\n")
	assert.Contains(t, scripts, "\nCREATE SCHEMA IF NOT EXISTS echo AUTHORIZATION echo_migrator;\n")
}

// An operator runs it from the top to the bottom.
func TestTheScriptForPostgreSQLCreatesEachObjectBeforeItsUse(t *testing.T) {
	script := regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(readFile(t, "postgres.sql"), "")
	for _, name := range []string{"echo_pg_in", "echo_pg_admin", "echo_pg_policy", "echo_pg", "echo_pg_ca", "echo_pg_out", "echo_pg_access"} {
		uses := regexp.MustCompile(`(?i)[^;]*\b`+name+`\b[^;]*;`).FindAllString(script, -1)
		uses = slices.DeleteFunc(uses, func(st string) bool { return strings.Contains(st, "SHOW ") })
		require.NotEmpty(t, uses, name)
		assert.Regexp(t, `^\s*CREATE [A-Z ]*(echo_db\.echo_schema\.)?`+name+`\b`, uses[0])
	}
	for _, role := range []string{"echo_role", "echo_deployer"} {
		for _, grant := range []string{
			"READ ON SECRET echo_db.echo_schema.echo_pg_ca", "USAGE ON INTEGRATION echo_pg_access", "USAGE ON POSTGRES INSTANCE echo_pg",
		} {
			assert.Contains(t, script, "\nGRANT "+grant+" TO ROLE "+role+";\n")
		}
	}
	assert.Contains(t, script, "\nGRANT USAGE ON WAREHOUSE echo_wh TO ROLE echo_deployer;\n", "the job has it as QUERY_WAREHOUSE")
	assert.NotContains(t, script, "echo_migrator", "no statement here lets the service become the owner of the tables")
	assert.Contains(t, script, "'<host>:5432'", "a rule without a port means 443")
}

// The service has the same limits: the server ends a statement before the client gives up.
func TestTheRoleOfTheServiceHasTheTimeLimitsOfTheDefaultRequestTimeout(t *testing.T) {
	i := slices.IndexFunc(config.Keys(), func(k config.Key) bool { return k.Name == "REQUEST_TIMEOUT" })
	timeout, err := time.ParseDuration(config.Keys()[i].Default)
	require.NoError(t, err)
	statement := timeout - 500*time.Millisecond
	script := readFile(t, "postgres-roles.sql")
	for setting, value := range map[string]string{
		"statement_timeout":                   strconv.FormatInt(statement.Milliseconds(), 10) + "ms",
		"lock_timeout":                        strconv.FormatInt(statement.Milliseconds()/2, 10) + "ms",
		"idle_in_transaction_session_timeout": timeout.String(),
		"default_transaction_isolation":       "read committed",
		"search_path":                         "echo",
	} {
		assert.Contains(t, script, "\nALTER ROLE echo_app SET "+setting+" = '"+value+"';\n")
	}
}

// block returns the text of the guide between a line and the end of its block of code.
func block(t *testing.T, begin, end string) string {
	t.Helper()
	_, rest, found := strings.Cut(readFile(t, guide), begin)
	require.True(t, found, begin)
	text, _, found := strings.Cut(rest, end)
	require.True(t, found, end)
	return text
}

func TestThePasswordsOfTheGuideAreASpecificationThatTheServiceAccepts(t *testing.T) {
	tokens := postgresSpec
	t.Cleanup(func() { postgresSpec = tokens })
	_, passwords, found := strings.Cut(block(t, "\n### Tokens or passwords\n", "\n```\n"), "```yaml\n")
	require.True(t, found)
	postgresSpec = passwords
	service, job := containersOnPostgres(t)
	for role, c := range map[string]container{"echo_app": service, "echo_migrator": job} {
		secrets := fmt.Sprint(c.Secrets)
		assert.Contains(t, secrets, "echo_db.echo_schema."+role+"_password")
		assert.Contains(t, secrets, "echo_db.echo_schema.echo_pg_ca")
		assert.Contains(t, readFile(t, "postgres.sql"), "\n--     CREATE SECRET IF NOT EXISTS echo_db.echo_schema."+role+"_password\n")
	}
	p := loadConfig(t, service).Postgres
	assert.Equal(t, []string{"echo_app", config.AuthPassword}, []string{p.User, p.Auth})
	assert.Equal(t, "echo_migrator", loadConfig(t, job, config.StorageKeys).Postgres.User)
}

// It writes where the service will read.
func TestTheCopyOfTheGuideUsesTheDatabaseOfTheService(t *testing.T) {
	text := block(t, "args: [copy, ", "\n   $$;")
	service, _ := containersOnPostgres(t)
	for key, value := range service.Env {
		if strings.HasPrefix(key, "POSTGRES_") && key != "POSTGRES_HOST" && key != "POSTGRES_CONNECTIONS" {
			assert.Regexp(t, regexp.QuoteMeta(fmt.Sprintf("%s: %s", key, value))+`[,}]`, text)
		}
	}
	assert.Contains(t, text, "--from, snowflake, --to, postgres]")
	assert.Contains(t, text, "objectName: echo_db.echo_schema.echo_pg_ca}, directoryPath: /secrets/postgres-ca}")
	before, _, _ := strings.Cut(readFile(t, guide), "args: [copy, ")
	assert.Regexp(t, `copy_job\s+QUERY_WAREHOUSE = echo_wh EXTERNAL_ACCESS_INTEGRATIONS = \(echo_pg_access\)\n`, before)
	assert.Less(t, strings.Index(before, "ECHO_READ_ONLY=true go run"), strings.Index(before, "`REVOKE INSERT, UPDATE, DELETE ON ALL TABLES"))
	assert.Less(t, strings.Index(before, "`REVOKE INSERT, UPDATE, DELETE ON ALL TABLES"), strings.Index(before, "--migrate-only"))
}

// It redeploys at every push. With a variable that it did not pass on, it would end a move in the middle.
func TestThePipelinePassesOnEveryVariableThatAMoveToPostgreSQLSets(t *testing.T) {
	workflow := readFile(t, "../.github/workflows/deploy.yml")
	move := block(t, "\n### Move from Snowflake tables\n", "\n## ")
	set := regexp.MustCompile(`\b(ECHO_[A-Z_]+)=`).FindAllStringSubmatch(move, -1)
	assert.NotEmpty(t, set)
	for _, m := range set {
		assert.Contains(t, workflow, "\n          "+m[1]+": ${{ vars."+m[1]+" }}\n")
	}
}

func TestTheMirrorOfTheGuideLeavesOutHashes(t *testing.T) {
	mirror := block(t, "CALL SNOWFLAKE.POSTGRES.CREATE_MIRROR(", "\n);")
	assert.Contains(t, mirror, "postgres_tables => ['echo.users', 'echo.items']")
	for _, table := range []string{"credentials", "sessions", "clients"} {
		assert.NotContains(t, mirror, table)
	}
	assert.NotContains(t, mirror, "postgres_schemas", "a schema would mirror all its tables")
	assert.Contains(t, readFile(t, guide), "**never `credentials`, `sessions` or `clients`**")
}

func TestTheGuideAsksForExpiringAddressesAsTheScriptDoes(t *testing.T) {
	query := strings.Fields(block(t, "\n### Addresses that expire\n", ";\n```"))
	script := strings.Join(strings.Fields(readFile(t, "postgres.sql")), " ")
	select1 := strings.Join(query[slices.Index(query, "SELECT"):], " ")
	assert.Contains(t, script, select1+";")
}
