package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	pgsession "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
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
	require.NoError(t, postgres.Migrate(context.Background(), options, postgres.Migrations(), false, io.Discard))
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

// Snowflake locks a user after a few refused logins, and a token is needed for each new connection.
func TestTokensForPostgreSQLRespectARefusedLoginAndLeaveNoSession(t *testing.T) {
	t.Parallel()
	server := fakeSnowflake(t, engine.Rules{})
	server.PostgresToken = func(instance, role string) string { return "token of " + role + " for " + instance }
	cfg := loadFlags(t, configFile(t, fields{
		"HTTP_ADDR": "127.0.0.1:0", "STORAGE": "postgres", "JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
		"POSTGRES_HOST": "127.0.0.1", "POSTGRES_DATABASE": "echo", "POSTGRES_USER": "echo_app",
		"POSTGRES_AUTH": "snowflake", "POSTGRES_INSTANCE": "echo_pg",
		"SNOWFLAKE_ACCOUNT": "test", "SNOWFLAKE_PROTOCOL": "http",
		"SNOWFLAKE_HOST": server.Host(), "SNOWFLAKE_PORT": server.Port(),
		"SNOWFLAKE_AUTH_TYPE": "password", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PASSWORD": snowflakePassword,
	}))
	tokens, err := postgresCredential(cfg)
	require.NoError(t, err)
	token, err := tokens.Password(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "token of echo_app for echo_pg", token)
	require.Eventually(t, func() bool {
		requests := server.Requests()
		return requests[len(requests)-1].Path == "/session"
	}, waitLimit, pollInterval, "the session ended")

	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
	server.Reset()
	tokens, err = postgresCredential(cfg)
	require.NoError(t, err)
	for range 3 {
		_, err := tokens.Password(t.Context())
		assert.ErrorIs(t, err, session.ErrLoginRefused)
		time.Sleep(1100 * time.Millisecond) // longer than the pause after other errors
	}
	assert.Len(t, server.Requests(), 1, "it asks once a minute")
}
