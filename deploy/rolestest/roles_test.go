//go:build unix

package rolestest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// runScript runs postgres-roles.sql as an operator does.
func runScript(t *testing.T, s *pgserver.Server, role string) {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
		require.NotEmpty(t, found, "psql is missing: install the client of PostgreSQL")
		psql = found[len(found)-1]
	}
	_, _ = exec.Command(psql, "-X", "-d", s.DSN(role, "postgres"), "-c", "CREATE DATABASE echo").CombinedOutput() // may exist
	out, err := exec.Command(psql, "-X", "-d", s.DSN(role, "echo"), "-v", "ON_ERROR_STOP=1", "-f", "../postgres-roles.sql").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// refused executes a statement and returns the SQLSTATE of its error, or nothing.
func refused(t *testing.T, s *pgserver.Server, role, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN(role, "echo"))
	if err == nil {
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), statement)
	}
	var refusal *pgconn.PgError
	if err != nil {
		require.True(t, errors.As(err, &refusal), "%v", err)
		return refusal.Code
	}
	return ""
}

func TestTheServiceMayReadAndWriteRowsAndNothingElse(t *testing.T) {
	s := pgtest.StartServer(t, pgserver.Options{})
	// The administrator of Snowflake Postgres is no superuser.
	pgtest.Exec(t, s.DSN(pgserver.SuperUser, "postgres"), "CREATE ROLE administrator LOGIN CREATEROLE CREATEDB", "CREATE ROLE stranger LOGIN")
	runScript(t, s, "administrator")
	migrations, err := filepath.Glob("../../adapters/postgres/migrations/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, migrations)
	for _, file := range migrations {
		migration, err := os.ReadFile(file)
		require.NoError(t, err)
		pgtest.Exec(t, s.DSN("echo_migrator", "echo"), string(migration))
	}
	runScript(t, s, "administrator") // changes nothing

	for _, statement := range []string{
		"INSERT INTO installation (first_superuser_at) VALUES (now())",
		"SELECT one FROM installation FOR UPDATE",
		"UPDATE installation SET first_superuser_at = now()",
		"SELECT count(*) FROM echo.users, echo.credentials, echo.items",
		"DELETE FROM installation",
	} {
		assert.Empty(t, refused(t, s, "echo_app", statement), statement)
	}
	const insufficientPrivilege = "42501"
	for _, statement := range []string{
		"TRUNCATE items", "DROP TABLE items", "ALTER TABLE items ADD COLUMN colour text", "CREATE TABLE more (id int)",
		"CREATE TABLE public.more (id int)", "CREATE TEMPORARY TABLE more (id int)", "CREATE INDEX ON items (title)",
		"SET ROLE echo_migrator",
	} {
		assert.Equal(t, insufficientPrivilege, refused(t, s, "echo_app", statement), statement)
	}
	assert.Equal(t, insufficientPrivilege, refused(t, s, "stranger", "SELECT 1"), "others may not connect")
}

func TestTheRolesHaveTheSettingsThatTheStoreNeeds(t *testing.T) {
	s := pgtest.StartServer(t, pgserver.Options{Settings: map[string]string{
		"default_transaction_isolation": "repeatable read", "synchronous_commit": "local",
	}})
	runScript(t, s, pgserver.SuperUser)
	for _, role := range []string{"echo_app", "echo_migrator"} {
		conn, err := pgx.Connect(t.Context(), s.DSN(role, "echo"))
		require.NoError(t, err)
		var isolation, schema, statement, commit string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting('transaction_isolation'), current_schema(), "+
			"current_setting('statement_timeout'), current_setting('synchronous_commit')").Scan(&isolation, &schema, &statement, &commit))
		require.NoError(t, conn.Close(t.Context()))
		assert.Equal(t, []string{"read committed", "echo"}, []string{isolation, schema})
		if role == "echo_app" {
			assert.Equal(t, []string{"9500ms", "on"}, []string{statement, commit})
		}
	}
}
