//go:build unix

package servertest

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// migrateAs migrates the schema of o as a role and returns what it said.
func migrateAs(t *testing.T, o session.Options, role string, dryRun bool) (string, error) {
	t.Helper()
	o.User = role
	var said strings.Builder
	err := postgres.Migrate(t.Context(), o, postgres.Migrations(), dryRun, &said)
	return said.String(), err
}

func TestOneOfManyConcurrentMigrationsIsDone(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	said := make([]string, 8)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			var err error
			said[i], err = migrateAs(t, o, migrator, false)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 1, strings.Count(strings.Join(said, ""), "applied 001_accounts_and_items.sql"))
	openWith(t, o)
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	for range 2 {
		said, err := migrateAs(t, o, migrator, true)
		require.NoError(t, err)
		assert.Equal(t, "would apply 001_accounts_and_items.sql\nwould apply 002_sessions_and_clients.sql\n"+
			"the schema has version 0\n", said)
	}
	migrate(t, o)
	said, err := migrateAs(t, o, migrator, true)
	require.NoError(t, err)
	assert.Equal(t, "the schema has version 2\n", said)
}

func TestAMigrationThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	conn := connect(t, withUser(o, migrator))
	_, err := conn.Exec(t.Context(), "CREATE TABLE items (id int)") // in the way
	require.NoError(t, err)
	_, err = migrateAs(t, o, migrator, false)
	assert.ErrorContains(t, err, "001_accounts_and_items.sql")
	var tables int
	const count = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
	require.NoError(t, conn.QueryRow(t.Context(), count).Scan(&tables))
	assert.Equal(t, 1, tables)
	_, err = conn.Exec(t.Context(), "DROP TABLE items")
	require.NoError(t, err)
	migrate(t, o)
	openWith(t, o)
}

func TestAMigrationRefusesASchemaOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, table := range []string{
		"CREATE TABLE schema_version AS SELECT 12 AS version, 'its own' AS name",
		"CREATE TABLE schema_version AS SELECT '1.2' AS version, 'its own' AS description",
	} {
		o := newSchema(t)
		_, err := connect(t, withUser(o, migrator)).Exec(t.Context(), table)
		require.NoError(t, err)
		_, err = migrateAs(t, o, migrator, false)
		assert.ErrorContains(t, err, "schema_version is of another program", table)
	}
}

func withUser(o session.Options, user string) session.Options {
	o.User = user
	return o
}

// The role of the service has no right to create tables.
func TestTheRoleOfTheServiceCannotMigrate(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	for _, dryRun := range []bool{true, false} {
		_, err := migrateAs(t, o, app, dryRun)
		assert.ErrorContains(t, err, "echo_app may not create tables in the schema "+o.Schema)
	}
}

func TestAMigrationNamesASchemaThatDoesNotExist(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	o.Schema = "absent"
	_, err := migrateAs(t, o, migrator, false)
	assert.ErrorContains(t, err, "POSTGRES_SCHEMA")
}

func TestTheServiceAsksForAMigrationUntilTheSchemaIsNewEnough(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	s := openUnchecked(t, o)
	_, err := s.Check(t.Context())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "run migrate")

	migrate(t, o)
	conn := connect(t, withUser(o, migrator))
	_, err = conn.Exec(t.Context(), "DELETE FROM schema_version WHERE version = 2") // as before the last migration
	require.NoError(t, err)
	_, err = s.Check(t.Context())
	assert.ErrorContains(t, err, "the schema has version 1, and this version of the service needs 2: run migrate")
	_, err = conn.Exec(t.Context(), "INSERT INTO schema_version (version, name) VALUES (2, 'x')")
	require.NoError(t, err)
	_, err = s.Check(t.Context())
	assert.NoError(t, err)
}

// withOneMore returns the migrations, and one that only this test knows.
func withOneMore(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{"003_only_this_test_knows.sql": &fstest.MapFile{Data: []byte(
		"ALTER TABLE items ADD COLUMN colour varchar(20); CREATE TABLE later (id int PRIMARY KEY)")}}
	names, err := fs.Glob(postgres.Migrations(), "*.sql")
	require.NoError(t, err)
	for _, name := range names {
		content, err := fs.ReadFile(postgres.Migrations(), name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: content}
	}
	return files
}

// An upgrade migrates first. Until it is done, and after a downgrade, this version runs on a newer schema.
func TestANewerSchemaIsFine(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	migrate(t, o)
	s := openWith(t, o)
	admin := newAdmin(t, s)
	var said strings.Builder
	require.NoError(t, postgres.Migrate(t.Context(), withUser(o, migrator), withOneMore(t), false, &said))
	assert.Equal(t, "applied 003_only_this_test_knows.sql\nthe schema has version 3\n", said.String())

	again, err := migrateAs(t, o, migrator, false)
	require.NoError(t, err)
	assert.Equal(t, "the schema has version 3, which is newer than this program knows (2): nothing to do\n", again)
	_, err = s.Check(t.Context())
	require.NoError(t, err)
	_, err = s.User(t.Context(), admin.Actor(), admin.ID)
	require.NoError(t, err)
	require.NoError(t, s.CreateItem(t.Context(), admin.Actor(), domaintest.Item(admin)))
}

func TestOnlyAMigrationChangesTheVersionOfTheSchema(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	migrate(t, o)
	conn := connect(t, o)
	for _, st := range []string{
		"INSERT INTO schema_version (version, name) VALUES (99, 'x')", "UPDATE schema_version SET version = 99",
		"DELETE FROM schema_version",
	} {
		_, err := conn.Exec(t.Context(), st)
		assert.Equal(t, "42501", code(err), st)
	}
}
