package accounttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

// env returns a setting of these tests.
func env(name string) string { return os.Getenv("SNOWFLAKE_TEST_" + name) }

var (
	options session.Options
	db      *sql.DB // of the driver alone, in the schema under test
)

func TestMain(m *testing.M) { peertest.Main(m, env("ACCOUNT") != "", prepare) }

// prepare creates the schema, which must be empty, and returns a function that drops it.
func prepare() (drop func(), err error) {
	_ = sf.GetLogger().SetLogLevel("OFF")
	os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
	port, _ := strconv.Atoi(env("PORT")) // with the protocol, for trying these tests themselves on an emulator
	config := sf.Config{
		Account: env("ACCOUNT"), Host: env("HOST"), Port: port, Protocol: env("PROTOCOL"), User: env("USER"), Password: env("PASSWORD"),
		Database: env("DATABASE"), Warehouse: env("WAREHOUSE"), Role: env("ROLE"),
		LoginTimeout: time.Minute, //lint:ignore SA1019 nothing else bounds a login
	}
	auth := session.Auth{User: env("USER"), Password: env("PASSWORD")}
	switch {
	case env("PAT") != "":
		config.Authenticator, config.Token = sf.AuthTypePat, env("PAT")
		auth = session.Auth{User: env("USER"), PAT: env("PAT")}
	case env("PRIVATE_KEY") != "":
		key, err := session.ParsePrivateKey(env("PRIVATE_KEY"))
		if err != nil {
			return nil, fmt.Errorf("SNOWFLAKE_TEST_PRIVATE_KEY: %w", err)
		}
		config.Authenticator, config.PrivateKey = sf.AuthTypeJwt, key
		auth = session.Auth{User: env("USER"), PrivateKey: key}
	}
	schema := env("SCHEMA")
	if schema == "" || env("DATABASE") == "" {
		return nil, errors.New("SNOWFLAKE_TEST_DATABASE and SNOWFLAKE_TEST_SCHEMA must name a schema, which these tests create and drop")
	}
	ctx := context.Background()
	outside := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, config))
	defer outside.Close()
	if _, err := outside.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return nil, err
	}
	config.Schema = schema
	db = sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, config))
	var objects int
	const count = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA()"
	if err := db.QueryRowContext(ctx, count).Scan(&objects); err != nil {
		return nil, err
	}
	if objects > 0 {
		return nil, fmt.Errorf("SNOWFLAKE_TEST_SCHEMA: %s is not empty, and would be dropped: name another", schema)
	}
	for _, st := range echoinsnowflake.Tables() {
		if _, err := db.ExecContext(ctx, st); err != nil {
			return nil, fmt.Errorf("%s: %w", st, err)
		}
	}
	options = session.Options{
		Account: env("ACCOUNT"), Host: env("HOST"), Port: port, Protocol: env("PROTOCOL"), Database: env("DATABASE"), Schema: schema, Warehouse: env("WAREHOUSE"), Role: env("ROLE"),
		Auth: auth, RequestTimeout: 30 * time.Second, Connections: 8, Version: "test",
	}
	return func() {
		if _, err := db.ExecContext(ctx, "DROP SCHEMA "+schema); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		_ = db.Close()
	}, nil
}

// open returns a store on tables that were emptied.
func open(t *testing.T) ports.Store {
	t.Helper()
	for _, st := range []string{"DELETE FROM items", "DELETE FROM users", "UPDATE account_lock SET n = 0, bootstrapped_at = NULL"} {
		_, err := db.ExecContext(t.Context(), st)
		require.NoError(t, err)
	}
	s, err := snowflake.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	_, err = s.Check(t.Context())
	require.NoError(t, err)
	return s
}

func TestStoreOnAnAccount(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t) })
	t.Log("under SESSION, the races may fail, as docs/snowflake-store.md says")
}

func TestA1AnUpdateThatWaitedSeesTheNewestVersionOfItsRow(t *testing.T) {
	open(t)
	_, err := db.ExecContext(t.Context(), "UPDATE account_lock SET n = 1")
	require.NoError(t, err)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "UPDATE account_lock SET n = n + 1")
	require.NoError(t, err)
	changed := make(chan int64, 1)
	go func() {
		result, err := db.ExecContext(t.Context(), "UPDATE account_lock SET n = n + 10 WHERE n = 1")
		if assert.NoError(t, err) {
			n, _ := result.RowsAffected()
			changed <- n
		}
		close(changed)
	}()
	time.Sleep(2 * time.Second) // nothing shows that it waits
	require.NoError(t, tx.Commit())
	assert.Zero(t, <-changed, "A1: the row did not match the condition any more")
}

func TestA3ALockTimeoutIsContention(t *testing.T) {
	open(t)
	short := options
	short.RequestTimeout = 5 * time.Second // a lock times out a second earlier
	s, err := snowflake.Open(short)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "UPDATE account_lock SET n = n + 1")
	require.NoError(t, err)

	email, err := domain.ParseEmail("someone@example.com")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = s.CreateSuperuserForOperator(ctx, domain.User{ID: uuid.NewString(), Email: email, PasswordHash: "hash"})
	t.Log("A3:", err)
	assert.ErrorIs(t, err, domain.ErrContended, "add its number or text to session/errors.go")
}

func TestA4ARepeatedRequestIDIsExecutedOnce(t *testing.T) {
	open(t)
	id := sf.UUID(uuid.New())
	for range 2 {
		_, err := db.ExecContext(sf.WithRequestID(t.Context(), id), "UPDATE account_lock SET n = n + 1")
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT n FROM account_lock").Scan(&n))
	assert.Equal(t, 1, n, "A4")
}

func TestA6CheckFindsTheKindOfTablesAndTheConsistency(t *testing.T) {
	found, err := open(t).(*snowflake.Store).Check(t.Context())
	require.NoError(t, err)
	t.Logf("A6: %+v", found)
	assert.False(t, found.Hybrid)
	assert.NotEqual(t, "unknown", found.Consistency, "the role may not read it; the service says so at start")
}

func TestA9ALoginSetsTheSessionParameters(t *testing.T) {
	d, err := session.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	for name, want := range map[string]string{
		"AUTOCOMMIT": "true", "TRANSACTION_ABORT_ON_ERROR": "true", "LOCK_TIMEOUT": "14", "ROWS_PER_RESULTSET": "0",
		"DEFAULT_NULL_ORDERING": "LAST", "TIMEZONE": "UTC", "TIMESTAMP_INPUT_FORMAT": "AUTO", "STRICT_JSON_OUTPUT": "true",
	} {
		rows, err := session.Read(t.Context(), d, func(ctx context.Context, c session.Conn) ([][]string, error) {
			return c.Show(ctx, "SHOW PARAMETERS LIKE '"+name+"' IN SESSION", "value")
		})
		require.NoError(t, err)
		require.Len(t, rows, 1, name)
		assert.True(t, strings.EqualFold(want, rows[0][0]), "A9: %s is %s", name, rows[0][0])
	}
}
