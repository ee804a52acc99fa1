package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Options say how to reach Snowflake. Account, Database, Schema, RequestTimeout and Connections are
// required, and one way to sign in.
type Options struct {
	Account   string // account identifier
	Host      string // empty: derived from Account
	Port      int    // 0: 443
	Protocol  string // https, or http for a local emulator; empty: https
	Database  string
	Schema    string
	Warehouse string // empty: the default of the user or service
	Role      string // empty: the default of the user or service

	Auth Auth

	RequestTimeout time.Duration // the longest that a caller waits; bounds statements and locks
	Connections    int           // the most connections
	Version        string        // of the service, for query tags

	Traces  trace.TracerProvider // nil: no traces
	Metrics metric.MeterProvider // nil: no metrics

	// RetryFresh reports whether an operation that failed with this error should be retried in a new
	// session, because an open one may not see the latest commits. nil: never.
	RetryFresh func(error) bool
	// MissingHint is added to errors about a table or column that does not exist or is not granted.
	MissingHint string
}

// DB is a reliable *sql.DB on Snowflake. Make one with [Open].
type DB struct {
	pool      *sql.DB
	fresh     *sql.DB // logs in for each use: a new session sees everything that was committed before
	connector *connector
	guard     *guard.Guard
	hybrid    atomic.Bool // UseHybridTables was called
	options   Options
}

// Open returns a DB. It does not connect: Snowflake may be unavailable. It changes the environment of the process:
// the driver reads some of its settings only there.
func Open(o Options) (*DB, error) {
	if err := prepareDriver(); err != nil {
		return nil, fmt.Errorf("prepare the driver: %w", err)
	}
	c := newConnector(o)
	d := &DB{
		pool: sql.OpenDB(c), fresh: sql.OpenDB(c), connector: c, options: o,
		guard: guard.New(o.Connections),
	}
	c.healthy = d.guard.Healthy
	d.pool.SetMaxOpenConns(o.Connections)
	d.pool.SetMaxIdleConns(o.Connections) // fewer would log in again and again
	d.pool.SetConnMaxIdleTime(15 * time.Minute)
	d.pool.SetConnMaxLifetime(time.Hour) // the master token of an idle session expires after four
	d.fresh.SetMaxIdleConns(-1)
	return d, d.registerMetrics(o.Metrics)
}

func prepareDriver() error {
	return errors.Join(
		// Otherwise the first login waits for the metadata services of three clouds.
		os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true"),
		// Otherwise the first login obeys sf_client_config.json of another tool, and fails if it cannot be read.
		// The driver looks in the folder of the program too.
		os.Unsetenv("HOME"),
		os.Unsetenv("SF_CLIENT_CONFIG_FILE"),
		// Otherwise the driver logs the errors that it also returns, with the text of statements.
		sf.GetLogger().SetLogLevel("OFF"),
	)
}

// Close ends the sessions. It gives up after two seconds: Snowflake also ends the sessions of clients
// that disappear, and a process that stops has no time to wait.
func (d *DB) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(d.pool.Close(), d.fresh.Close()) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(2 * cleanupTimeout):
		return errors.New("not all sessions in Snowflake were ended in time")
	}
}

// UseHybridTables prepares all sessions that are opened from now on for hybrid tables. It closes the open
// sessions that are idle, and the others do not return to the pool. It must not be called concurrently with
// itself.
func (d *DB) UseHybridTables() {
	d.hybrid.Store(true)
	d.connector.setParameters(hybridParameters(d.options.RequestTimeout))
	d.pool.SetMaxIdleConns(-1)
	d.pool.SetMaxIdleConns(d.options.Connections)
}

// Read runs op, which only reads, and returns its result. See run for what surrounds op.
func Read[T any](ctx context.Context, d *DB, op func(context.Context, Conn) (T, error)) (T, error) {
	return run(ctx, d, guard.Late(unanswered), func(ctx context.Context, pool *sql.DB) (T, error) {
		return op(ctx, Conn{d, pool, unconfirmed})
	})
}

// Write runs op, which may execute one statement that changes rows. See run for what surrounds op.
func (d *DB) Write(ctx context.Context, op func(context.Context, Conn) error) error {
	_, err := run(ctx, d, guard.Late(unconfirmed), func(ctx context.Context, pool *sql.DB) (struct{}, error) {
		return struct{}{}, op(ctx, Conn{d, pool, unconfirmed})
	})
	return err
}

// Ping reports whether Snowflake answers. It needs no warehouse.
func (d *DB) Ping(ctx context.Context) error {
	_, err := run(ctx, d, guard.Late(unanswered), func(ctx context.Context, pool *sql.DB) (struct{}, error) {
		return struct{}{}, d.translate(pool.PingContext(ctx), unanswered)
	})
	return err
}

// Statement is SQL with the values of its placeholders, in their order.
type Statement struct {
	SQL  string
	Args []any
	// Once says that the statement must not be sent again if its reply is lost, because it would take effect
	// twice. Snowflake executes a request id once, but documents that only for a first request that has ended
	// (A4), and an INSERT does not wait for another one.
	Once bool
}

// And adds a condition to a statement that ends in its WHERE clause.
func (st Statement) And(condition string, args ...any) Statement {
	st.SQL, st.Args = st.SQL+"\nAND "+condition, slices.Concat(st.Args, args)
	return st
}

// Conn executes the statements of one operation: each on any connection of the pool, or all in one
// transaction.
type Conn struct {
	db *DB
	q  interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
	lost *domain.Error // the error for a change whose reply is lost
}

// Query calls row for each row of the result. row calls scan once, as [sql.Rows.Scan].
func (c Conn) Query(ctx context.Context, st Statement, row func(scan func(...any) error) error) error {
	rows, err := c.q.QueryContext(ctx, st.SQL, st.Args...)
	if err != nil {
		return c.db.translate(err, unanswered)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("a row cannot be read: %w", err)
		}
	}
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Rows: n})
	return c.db.translate(rows.Err(), unanswered)
}

// Exec returns how many rows the statement changed.
func (c Conn) Exec(ctx context.Context, st Statement) (int64, error) {
	start, sent := time.Now(), &call{once: st.Once}
	result, err := c.q.ExecContext(withCall(ctx, sent), st.SQL, st.Args...)
	if err != nil && sent.requests.Load() == 0 {
		err = notSent{err} // the DB is closed, or the context ended before
	}
	if err != nil {
		return 0, c.db.translate(c.db.lockTimeout(err, time.Since(start)), c.lost)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, c.db.translate(err, c.lost)
	}
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Rows: int(n)})
	return n, nil
}

// Show runs a SHOW statement and returns the named columns of its rows. A column that the server does
// not have is empty.
func (c Conn) Show(ctx context.Context, text string, columns ...string) ([][]string, error) {
	rows, err := c.q.QueryContext(ctx, text)
	if err != nil {
		return nil, c.db.translate(err, unanswered)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, c.db.translate(err, unanswered)
	}
	var result [][]string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		row := make([]string, len(columns))
		for i, column := range columns {
			at := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, column) })
			if at >= 0 {
				row[i] = values[at].String
			}
		}
		result = append(result, row)
	}
	return result, c.db.translate(rows.Err(), unanswered)
}
