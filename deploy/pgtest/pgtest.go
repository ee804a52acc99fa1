//go:build unix

// Package pgtest gives tests PostgreSQL servers. A package whose tests need one calls [Main] in its TestMain and
// holds no other tests, so that go test names it when they did not run.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

// maxWait bounds each step that waits for a server.
const maxWait = time.Minute

var (
	bin       string
	shared    *pgserver.Server
	start     sync.Once
	databases atomic.Int64
)

// Main runs the tests of a package if this machine has a server, of the major version ECHO_TEST_POSTGRES if that is
// set. Otherwise [peertest.Wanted] decides: true downloads a server, and fails without; false runs no test.
func Main(m *testing.M) {
	version := 0
	if text, ok := os.LookupEnv("ECHO_TEST_POSTGRES"); ok {
		var err error
		if version, err = strconv.Atoi(text); err != nil {
			fmt.Fprintln(os.Stderr, "ECHO_TEST_POSTGRES must be a major version of PostgreSQL, such as 18")
			os.Exit(2)
		}
	}
	var found bool
	if bin, found = pgserver.Find(version); !found && !peertest.Wanted {
		fmt.Fprintln(os.Stderr, "found no PostgreSQL server: install one, or set ECHO_TEST_PEERS=1 to download one")
	}
	peertest.Main(m, found || peertest.Wanted, func() (stop func(), err error) {
		if !found {
			err = fmt.Errorf("found no PostgreSQL server")
		}
		return stopShared, err
	})
}

// Server returns the server that all tests of this process share.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), maxWait)
		defer cancel()
		var err error
		shared, err = pgserver.Start(ctx, pgserver.Options{Bin: bin, Settings: map[string]string{"max_connections": "300"}})
		require.NoError(t, err)
	})
	require.NotNil(t, shared, "the server did not start for an earlier test")
	return shared
}

func stopShared() {
	if shared != nil {
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// StartServer starts a server for one test. Bin is set here.
func StartServer(t testing.TB, o pgserver.Options) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), maxWait)
	defer cancel()
	o.Bin = bin
	s, err := pgserver.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// NewDatabase creates an empty database on the shared server and returns its name.
func NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	Exec(t, Server(t).DSN(pgserver.SuperUser, "postgres"), "CREATE DATABASE "+name+" TEMPLATE template0")
	return name
}

// Exec executes statements on a connection of its own.
func Exec(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), maxWait)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	for _, st := range statements {
		_, err := conn.Exec(ctx, st)
		require.NoError(t, err, st)
	}
}
