//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
)

// runOnPostgres runs the service on a PostgreSQL server whose data stays in the folder.
func runOnPostgres(ctx context.Context, folder string, out io.Writer) error {
	server, err := startPostgres(ctx, folder)
	if errors.Is(err, pgserver.ErrInUse) {
		return fmt.Errorf("the command already runs: %w", err)
	}
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Fprintf(out, "PostgreSQL keeps its data in %s\n", folder)
	if err := createRoles(ctx, server); err != nil {
		return err
	}

	env := common()
	password, err := firstPassword(env, filepath.Join(folder, "first-superuser-password"))
	if err != nil {
		return err
	}
	announce(out, env, password)
	env["STORAGE"], env["POSTGRES_HOST"], env["POSTGRES_DATABASE"] = "postgres", server.Socket, "echo"
	env["POSTGRES_SCHEMA"] = "echo"
	program, err := build(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(program))
	env["POSTGRES_USER"] = "echo_migrator"
	if err := execute(ctx, env, program, "migrate"); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	env["POSTGRES_USER"] = "echo_app"
	return execute(ctx, env, program)
}

// startPostgres starts a server of the version that wrote the data, or else of the newest version on this machine,
// or else downloads one.
func startPostgres(ctx context.Context, folder string) (*pgserver.Server, error) {
	version, err := pgserver.DataVersion(folder)
	if err != nil {
		return nil, err
	}
	bin, found := pgserver.Find(version)
	if !found {
		if bin, err = pgserver.Download(ctx, version, os.Stderr); err != nil {
			return nil, err
		}
	}
	return pgserver.Start(ctx, pgserver.Options{Bin: bin, Folder: folder, Durable: true})
}

// firstPassword sets the first superuser's password in env, and returns how to tell it. The data survives, so the
// password of the first start counts: one that is made up here is kept in the file.
func firstPassword(env map[string]string, file string) (text string, err error) {
	const key = "FIRST_SUPERUSER_PASSWORD"
	if env[key] != "" {
		return "the password that " + key + " was at the first start", nil
	}
	kept, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		kept = []byte(rand.Text())
		err = os.WriteFile(file, kept, 0o600)
	}
	if err != nil {
		return "", err
	}
	env[key] = string(kept)
	return env[key] + " (kept in " + file + ")", nil
}

// createRoles creates the database echo and what postgres-roles.sql describes, unless they exist.
func createRoles(ctx context.Context, server *pgserver.Server) error {
	err := executeSQL(ctx, server.DSN(pgserver.SuperUser, "postgres"), "CREATE DATABASE echo")
	const exists = "42P04"
	if refused := new(pgconn.PgError); err != nil && !(errors.As(err, &refused) && refused.Code == exists) {
		return err
	}
	return executeSQL(ctx, server.DSN(pgserver.SuperUser, "echo"), echoinsnowflake.PostgresRoles)
}

func executeSQL(ctx context.Context, dsn string, statements ...string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, st := range statements {
		if _, err := conn.Exec(ctx, st); err != nil {
			return err
		}
	}
	return nil
}
