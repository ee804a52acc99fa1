package session

import (
	"bytes"
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestMain(m *testing.M) {
	// For what the driver does before Open has configured it.
	os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
	_ = sf.GetLogger().SetLogLevel("OFF")
	sf.GetLogger().SetOutput(&driverLog)
	// Parallel tests mostly wait, so more of them run than there are processors.
	flag.Parse()
	_ = flag.Set("test.parallel", "16")
	os.Exit(m.Run())
}

// driverLog is what the driver has logged in all tests. Its output cannot change while a test runs.
var driverLog lockedBuffer

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// fixture is a DB on a fake of Snowflake with a table of notes and a row to lock.
type fixture struct {
	*DB
	server *snowflaketest.Server
}

func newFixture(t testing.TB, changes ...func(*Options)) *fixture {
	t.Helper()
	server := snowflaketest.New(t, engine.Rules{})
	server.Exec("CREATE TABLE notes (id VARCHAR(36) NOT NULL)")
	server.Exec("CREATE TABLE one_row (n NUMBER(38, 0) NOT NULL)")
	server.Exec("INSERT INTO one_row (n) VALUES (0)")
	o := options(server)
	for _, change := range changes {
		change(&o)
	}
	f := &fixture{open(t, o), server}
	require.NoError(t, f.read(t.Context())) // a session is open
	server.Reset()
	return f
}

func options(server *snowflaketest.Server) Options {
	return Options{
		Account: "fake", Host: server.Host(), Port: server.Port(), Protocol: "http", Database: "d", Schema: "s",
		Auth: Auth{User: "u", Password: "the password"}, RequestTimeout: 10 * time.Second, Connections: 8, Version: "test",
	}
}

func open(t testing.TB, o Options) *DB {
	t.Helper()
	d, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// read counts the notes.
func (f *fixture) read(ctx context.Context) error {
	_, err := Read(ctx, f.DB, func(ctx context.Context, c Conn) (n int, err error) {
		st := Statement{SQL: "SELECT COUNT(*) FROM notes"}
		err = c.Query(ctx, st, func(scan func(...any) error) error { return scan(&n) })
		return n, err
	})
	return err
}

// write adds a note.
func (f *fixture) write(ctx context.Context, id string) error {
	return f.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, insertNote(id))
		return err
	})
}

var lockRow = Statement{SQL: "UPDATE one_row SET n = n + 1"}

func insertNote(id string) Statement {
	return Statement{SQL: "INSERT INTO notes (id) SELECT ?", Args: []any{id}}
}

// transact locks the row and adds a note.
func (f *fixture) transact(ctx context.Context, id string) error {
	return f.Transact(ctx, lockRow, func(ctx context.Context, tx Conn, _ int64) error {
		_, err := tx.Exec(ctx, insertNote(id))
		return err
	})
}

// notes returns how many notes are stored.
func (f *fixture) notes() int { return len(f.server.Exec("SELECT id FROM notes").Rows) }

// endsIn returns a context that ends after d.
func endsIn(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func (f *fixture) logins() []snowflaketest.Request  { return f.requests(snowflaketest.LoginPath) }
func (f *fixture) queries() []snowflaketest.Request { return f.requests(snowflaketest.QueryPath) }

func (f *fixture) requests(path string) []snowflaketest.Request {
	return slices.DeleteFunc(f.server.Requests(), func(r snowflaketest.Request) bool { return r.Path != path })
}

// always is more often than any test sends a statement.
const always = 1 << 30

// breaks returns an interceptor that breaks the first n statements that contain text.
func breaks(n int, text string, fault snowflaketest.Fault) func(*snowflaketest.Request) *snowflaketest.Fault {
	var left atomic.Int64
	left.Store(int64(n))
	return func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path == snowflaketest.QueryPath && strings.Contains(r.SQL, text) && left.Add(-1) >= 0 {
			return &fault
		}
		return nil
	}
}

// breaksInTurn returns an interceptor that breaks statements that contain text, each with the next fault.
func breaksInTurn(text string, faults ...snowflaketest.Fault) func(*snowflaketest.Request) *snowflaketest.Fault {
	var n atomic.Int64
	return func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path != snowflaketest.QueryPath || !strings.Contains(r.SQL, text) {
			return nil
		}
		if i := int(n.Add(1)) - 1; i < len(faults) {
			return &faults[i]
		}
		return nil
	}
}
