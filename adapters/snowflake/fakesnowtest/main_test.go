package fakesnowtest

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

var fakesnow *emulator.Emulator

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, start) }

func start() (stop func(), err error) {
	_ = sf.GetLogger().SetLogLevel("OFF")
	fakesnow, err = emulator.Start(context.Background(), os.Stderr)
	return func() { _ = fakesnow.Close() }, err
}

// connect returns the driver's own pool for a schema, which the emulator makes by itself.
func connect(t testing.TB, schema string) *sql.DB {
	t.Helper()
	db := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, sf.Config{
		Account: "fakesnow", User: "u", Password: "p", Host: fakesnow.Host, Port: fakesnow.Port, Protocol: "http",
		Database: "contract", Schema: schema, MaxRetryCount: -1,
	}))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newSchema() string { return "s" + strings.ReplaceAll(uuid.NewString(), "-", "") }

// open returns a store on the tables of setup.sql in a schema of its own.
func open(t testing.TB) *snowflake.Store {
	t.Helper()
	schema := newSchema()
	require.NoError(t, fakesnow.CreateTables(context.Background(), "contract", schema))
	return openIn(t, schema, 10*time.Second)
}

func openIn(t testing.TB, schema string, timeout time.Duration) *snowflake.Store {
	t.Helper()
	s, err := snowflake.Open(session.Options{
		Account: "fakesnow", Host: fakesnow.Host, Port: fakesnow.Port, Protocol: "http", Database: "contract", Schema: schema,
		Auth: session.Auth{User: "u", Password: "p"}, RequestTimeout: timeout, Connections: 8, Version: "test",
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	_, err = s.Check(context.Background())
	require.NoError(t, err)
	return s
}
