//go:build unix

// Package pgtest gives tests PostgreSQL servers. A package whose tests need one calls [Main] in its TestMain and
// holds no other tests, so that go test names it when they did not run.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

const (
	maxWait     = time.Minute // for each step that waits for a server
	maxDownload = 5 * time.Minute
)

var (
	bin    string
	shared *pgserver.Server
	start  sync.Once
	names  atomic.Int64
)

// Main runs the tests of a package if this machine has a server, of the major version ECHO_TEST_POSTGRES if that is
// set, and they are not [peertest.Unwanted]. Otherwise [peertest.Wanted] decides: true downloads a server, and fails
// without; false runs no test.
func Main(m *testing.M) { run(m, true) }

// MainWithPgBouncer is [Main] for a package whose tests need PgBouncer too, which is not downloaded.
func MainWithPgBouncer(m *testing.M) {
	_, found := pgserver.FindPgBouncer()
	if !found && !peertest.Wanted {
		fmt.Fprintln(os.Stderr, "found no PgBouncer")
	}
	run(m, found)
}

func run(m *testing.M, othersFound bool) {
	version, err := wantedVersion()
	if err != nil {
		log.Fatal(err)
	}
	var found bool
	if bin, found = pgserver.Find(version); !found && !peertest.Wanted {
		fmt.Fprintln(os.Stderr, "found no PostgreSQL server: install one, or set ECHO_TEST_PEERS=1 to download one")
	}
	peertest.Main(m, found && othersFound && !peertest.Unwanted || peertest.Wanted, func() (stop func(), err error) {
		if !found {
			ctx, cancel := context.WithTimeout(context.Background(), maxDownload)
			defer cancel()
			bin, err = pgserver.Download(ctx, version, os.Stderr)
		}
		return stopShared, err
	})
}

// wantedVersion returns 0 for any.
func wantedVersion() (int, error) {
	text, ok := os.LookupEnv("ECHO_TEST_POSTGRES")
	if !ok {
		return 0, nil
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("ECHO_TEST_POSTGRES must be a major version of PostgreSQL, such as 18")
	}
	return version, nil
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
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// StartPgBouncer starts a PgBouncer in front of a server for one test, in a package that calls [MainWithPgBouncer].
func StartPgBouncer(t testing.TB, s *pgserver.Server, connections int) *pgserver.PgBouncer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), maxWait)
	defer cancel()
	b, err := pgserver.StartPgBouncer(ctx, s, connections)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

// NewDatabase creates an empty database on the shared server, for tests that change its settings, and returns its
// name. The database is dropped with its connections when the test ends.
func NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", names.Add(1))
	admin := Server(t).DSN(pgserver.SuperUser, "postgres")
	Exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { Exec(t, admin, "DROP DATABASE "+name+" WITH (FORCE)") })
	return name
}

// Connect returns a connection that ends with the test.
func Connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
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
