//go:build unix

package pgbouncertest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) { pgtest.MainWithPgBouncer(m) }

func TestClientsShareAConnectionBetweenTransactions(t *testing.T) {
	s := pgtest.Server(t)
	pgtest.Exec(t, s.DSN(pgserver.SuperUser, "postgres"), "CREATE ROLE someone LOGIN")
	b := pgtest.StartPgBouncer(t, s, 1)
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), b.DSN("someone", "postgres"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	serverPID := func(conn *pgx.Conn) (pid int) {
		// Transaction mode has no prepared statements.
		err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
		require.NoError(t, err)
		return pid
	}
	one, other := connect(), connect()
	assert.Equal(t, serverPID(one), serverPID(other))

	require.NoError(t, b.Close())
	assert.NoDirExists(t, b.Socket)
}
