package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	pgsession "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
)

// postgresPeer returns a new schema on the server of the package that runs this test.
func postgresPeer(t *testing.T) pgsession.Options {
	t.Helper()
	_, where, _ := strings.Cut(peer(t), " ")
	return newPostgresSchema(t, where, 10*time.Second)
}

// newPostgresSchema creates a schema and its tables on the server at where, FOLDER:PORT.
func newPostgresSchema(t testing.TB, where string, timeout time.Duration) pgsession.Options {
	t.Helper()
	folder, p, err := net.SplitHostPort(where)
	require.NoError(t, err)
	port, err := strconv.Atoi(p)
	require.NoError(t, err)
	options := pgsession.Options{
		Host: folder, Port: port, User: "postgres", Database: "postgres", Schema: "s" + strings.ReplaceAll(newID(), "-", ""),
		RequestTimeout: timeout, Connections: 8, Version: "test",
	}
	conn, err := pgsession.Connect(context.Background(), options)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "CREATE SCHEMA "+options.Schema)
	require.NoError(t, err)
	require.NoError(t, postgres.Migrate(context.Background(), options, false, io.Discard))
	return options
}

// openTestPostgres opens a store in a new schema.
func openTestPostgres(t testing.TB, where string, timeout time.Duration) storage {
	t.Helper()
	store, err := postgres.Open(newPostgresSchema(t, where, timeout))
	require.NoError(t, err)
	return storage{Store: store, close: store.Close}
}

// postgresConfig configures a service on that schema.
func postgresConfig(t testing.TB, o pgsession.Options) string {
	t.Helper()
	return configFile(t, fields{
		"HTTP_ADDR": "127.0.0.1:0", "SHUTDOWN_DELAY": "0s", "STORAGE": "postgres",
		"JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
		"POSTGRES_HOST": o.Host, "POSTGRES_PORT": o.Port, "POSTGRES_DATABASE": o.Database, "POSTGRES_USER": o.User,
		"POSTGRES_SCHEMA": o.Schema,
	})
}
