//go:build unix

package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	migrator = "echo_migrator"
	app      = "echo_app"
	database = "postgres"
)

var schemas atomic.Int64

// newSchema creates an empty schema, as deploy/postgres-roles.sql does, on the shared server and returns the options of
// the service in it.
func newSchema(t testing.TB) session.Options {
	t.Helper()
	return newSchemaOn(t, pgtest.Server(t))
}

func newSchemaOn(t testing.TB, server *pgserver.Server) session.Options {
	t.Helper()
	return newSchemaIn(t, server, database)
}

func newSchemaIn(t testing.TB, server *pgserver.Server, database string) session.Options {
	t.Helper()
	schema := fmt.Sprintf("s%d", schemas.Add(1))
	pgtest.Exec(t, server.DSN(pgserver.SuperUser, database),
		roleUnlessExists(migrator), roleUnlessExists(app),
		"CREATE SCHEMA "+schema+" AUTHORIZATION "+migrator,
		"GRANT USAGE ON SCHEMA "+schema+" TO "+app,
		"ALTER DEFAULT PRIVILEGES FOR ROLE "+migrator+" IN SCHEMA "+schema+
			" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "+app)
	return session.Options{
		Host: server.Socket, Port: server.Port, Database: database, User: app, Schema: schema,
		RequestTimeout: 10 * time.Second, Connections: 8, Version: "test",
	}
}

func roleUnlessExists(role string) string {
	return "DO $$ BEGIN CREATE ROLE " + role + " LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
}

// migrate migrates the schema of o as its owner.
func migrate(t testing.TB, o session.Options) {
	t.Helper()
	o.User = migrator
	require.NoError(t, postgres.Migrate(t.Context(), o, postgres.Migrations(), false, io.Discard))
}

// open returns a store in a schema of its own.
func open(t testing.TB) *postgres.Store {
	t.Helper()
	o := newSchema(t)
	migrate(t, o)
	return openWith(t, o)
}

// openWith returns a store and checks it.
func openWith(t testing.TB, o session.Options) *postgres.Store {
	t.Helper()
	s := openUnchecked(t, o)
	_, err := s.Check(context.Background())
	require.NoError(t, err)
	return s
}

func openUnchecked(t testing.TB, o session.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// connect returns a connection of its own.
func connect(t testing.TB, o session.Options) *pgx.Conn {
	t.Helper()
	conn, err := session.Connect(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// code returns the code of an error of PostgreSQL.
func code(err error) string {
	var reply *pgconn.PgError
	if errors.As(err, &reply) {
		return reply.Code
	}
	return ""
}
