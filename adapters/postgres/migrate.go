package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrations returns the files that bring a schema to the version that this program needs.
func Migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // they are part of the program
	}
	return files
}

// migration is one file. A file never changes after its release. It only adds, so that the
// version of the service before it still works.
type migration struct {
	version int // the number that the file's name begins with
	name    string
	sql     string
}

// readMigrations returns the migrations in their order.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	all := make([]migration, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		sql, readErr := fs.ReadFile(files, name)
		if err = errors.Join(err, readErr); err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s should be number %d: %w", name, i+1, err)
		}
		all[i] = migration{version, name, string(sql)}
	}
	return all, nil
}

// neededVersion returns the version of the schema that this program needs.
func neededVersion() int {
	all, err := readMigrations(Migrations())
	if err != nil {
		panic(err) // they are part of the program
	}
	return len(all)
}

// Migrate applies those of the files, such as [Migrations], that the schema does not have yet, in one transaction, and
// writes what it does to out. Concurrent calls wait for each other, as long as the role's lock_timeout allows. A newer
// schema stays as it is. If dryRun, it only says what it would do. The role of o must be the owner of the schema.
func Migrate(ctx context.Context, o session.Options, files fs.FS, dryRun bool, out io.Writer) error {
	all, err := readMigrations(files)
	if err != nil {
		return err
	}
	conn, err := session.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		current, err := lockSchema(ctx, tx, all[0].name, dryRun)
		if err != nil {
			return err
		}
		return apply(ctx, tx, current, all, dryRun, out)
	})
}

// lockSchema waits for other migrations and returns the version of the schema, 0 if it is empty. first is the name of
// the first migration.
func lockSchema(ctx context.Context, tx pgx.Tx, first string, dryRun bool) (version int, err error) {
	var schema *string
	var role string
	var creates bool
	const look = `SELECT current_schema(), current_user,
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)`
	if err := tx.QueryRow(ctx, look).Scan(&schema, &role, &creates); err != nil {
		return 0, err
	}
	switch {
	case schema == nil:
		return 0, errors.New("the schema does not exist, or its owner did not grant it to this role: " +
			"create it, and check POSTGRES_SCHEMA and the role's search_path")
	case !creates:
		return 0, fmt.Errorf("%s may not create tables in the schema %s: run migrate as the role that owns it, "+
			"such as echo_migrator", role, *schema)
	}
	const lock = "SELECT pg_advisory_xact_lock(hashtextextended('echo-in-snowflake ' || current_schema(), 0))"
	if _, err := tx.Exec(ctx, lock); err != nil {
		return 0, err
	}
	var exists bool
	const find = "SELECT to_regclass(quote_ident(current_schema()) || '.schema_version') IS NOT NULL"
	if err := tx.QueryRow(ctx, find).Scan(&exists); err != nil {
		return 0, err
	}
	if !exists {
		if dryRun {
			return 0, nil
		}
		_, err := tx.Exec(ctx, createVersionTable)
		return 0, err
	}
	return readVersion(ctx, tx, first)
}

// readVersion returns the version of the schema. It returns an error if the table of the versions is not one of this
// service: other programs have a table with this name as well.
func readVersion(ctx context.Context, tx pgx.Tx, first string) (version int, err error) {
	const read = `SELECT coalesce(max(version), 0), count(*) = 0 OR bool_or(version = 1 AND name = $1)
		FROM schema_version`
	var ours bool
	if err = tx.QueryRow(ctx, read, first).Scan(&version, &ours); err == nil && !ours {
		err = fmt.Errorf("%s is not in it", first)
	}
	if err != nil {
		return 0, fmt.Errorf("the table schema_version is of another program: use a schema of its own: %w", err)
	}
	return version, nil
}

// createVersionTable creates the table of the migrations that were applied. Default privileges let the service write
// every new table. Nobody but the owner may write this one: it says which schema the service has.
const createVersionTable = `
	CREATE TABLE schema_version (
		version integer PRIMARY KEY,
		name text NOT NULL,
		applied_at timestamptz NOT NULL DEFAULT now()
	);
	DO $$
	DECLARE
		other record;
	BEGIN
		FOR other IN
			SELECT DISTINCT p.grantee
			FROM pg_class c, aclexplode(c.relacl) p
			WHERE c.oid = to_regclass(quote_ident(current_schema()) || '.schema_version')
			AND p.grantee NOT IN (0, c.relowner)
		LOOP
			EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON schema_version FROM %s', other.grantee::regrole);
		END LOOP;
	END
	$$`

// apply executes the migrations that the schema does not have yet.
func apply(ctx context.Context, tx pgx.Tx, current int, all []migration, dryRun bool, out io.Writer) error {
	if current > len(all) {
		fmt.Fprintf(out, "the schema has version %d, which is newer than this program knows (%d): nothing to do\n",
			current, len(all))
		return nil
	}
	for _, m := range all[current:] {
		if dryRun {
			fmt.Fprintln(out, "would apply", m.name)
			continue
		}
		if _, err := tx.Exec(ctx, m.sql); err != nil { // without arguments, a text may hold several statements
			return fmt.Errorf("%s: %w", m.name, err)
		}
		const record = "INSERT INTO schema_version (version, name) VALUES ($1, $2)"
		if _, err := tx.Exec(ctx, record, m.version, m.name); err != nil {
			return err
		}
		fmt.Fprintln(out, "applied", m.name)
	}
	if !dryRun {
		current = len(all)
	}
	fmt.Fprintf(out, "the schema has version %d\n", current)
	return nil
}
