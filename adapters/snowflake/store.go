// Package snowflake is the store on Snowflake tables. It holds SQL and what it takes to run it from
// a service that many call at once: connections, deadlines, retries, the translation of errors.
// What an account may do is decided by the use cases, never here; what a store promises is written
// in [ports.Store].
//
// Read users.go or items.go first: SQL beside the method that runs it, one statement each wherever
// that is possible. actor.go has the check that rides in every statement, lock.go the rules that
// depend on other rows. Beneath them, run.go is what stands between a caller and the database,
// connector.go and transport.go what the driver needs for that, errors.go what its errors mean.
// setup.sql in the module's root makes the tables.
package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Options say how to reach Snowflake. Account, Database, Schema, RequestTimeout and Connections are
// required, and what Auth needs.
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

	RequestTimeout time.Duration // what a caller waits for at most; bounds statements and locks
	Connections    int           // at most
	Version        string        // of the service, for query tags

	Traces  trace.TracerProvider // nil: none are made
	Metrics metric.MeterProvider // nil: none are kept
}

// Store implements [ports.Store]. Make one with [Open].
type Store struct {
	db        *sql.DB // the pool
	fresh     *sql.DB // makes a connection for each use: a new session sees what was committed before
	connector *connector
	queue     *queue
	locking   *queue // of those who want the lock
	breaker   *gobreaker.CircuitBreaker[any]
	global    atomic.Bool // whether every session sees what others have committed
	idle      int
}

var _ ports.Store = (*Store)(nil)

// Open returns the store without connecting to anything: Snowflake may be away. [Store.Check] finds
// out.
func Open(opts Options) (*Store, error) {
	// Else the first login waits for the metadata services of three clouds, none of which concerns
	// us. The driver reads this once, from the environment only.
	if err := os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true"); err != nil {
		return nil, err
	}
	// The driver logs the errors that it also returns, with the text of statements.
	if err := sf.GetLogger().SetLogLevel("OFF"); err != nil {
		return nil, fmt.Errorf("silence the driver: %w", err)
	}
	c := newConnector(opts)
	s := &Store{
		db: sql.OpenDB(c), fresh: sql.OpenDB(c), connector: c, idle: opts.Connections,
		queue: newQueue(opts.Connections, waitersPerConnection*opts.Connections, longestWait),
		// One at a time can have it anyway. The others wait here, where it costs no connection: they
		// must not take those away from everybody else.
		locking: newQueue(1, waitersPerConnection*opts.Connections, opts.RequestTimeout/2),
		breaker: newBreaker(),
	}
	s.db.SetMaxOpenConns(opts.Connections)
	s.db.SetMaxIdleConns(opts.Connections) // fewer would log in again and again
	s.db.SetConnMaxIdleTime(15 * time.Minute)
	s.db.SetConnMaxLifetime(time.Hour) // the master token of an idle session dies after four
	s.fresh.SetMaxIdleConns(-1)
	return s, s.register(opts.Metrics)
}

// Close ends the sessions, as far as Snowflake answers: it ends those of clients that went by itself,
// and a process that is being stopped has no time to wait.
func (s *Store) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(s.db.Close(), s.fresh.Close()) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(2 * longestFarewell):
		return errors.New("not all sessions in Snowflake were ended in time")
	}
}

// statement is SQL with the values of its placeholders, in their order.
type statement struct {
	text string
	args []any
}

// and adds a condition to a statement that ends in its WHERE clause.
func (st statement) and(condition string, args ...any) statement {
	return statement{st.text + " AND " + condition, append(st.args[:len(st.args):len(st.args)], args...)}
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// query reads all rows, each with scan, which says where the values of one go.
func query(ctx context.Context, q querier, st statement, scan func(row func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, st.text, st.args...)
	if err != nil {
		return translate(err, unanswered)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
		if err := scan(rows.Scan); err != nil {
			return fmt.Errorf("a row cannot be read: %w", err)
		}
	}
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Rows: n})
	return translate(rows.Err(), unanswered)
}

// exec returns how many rows the statement changed.
func exec(ctx context.Context, q querier, st statement) (int64, error) {
	lost := unconfirmed
	if _, ok := q.(*sql.Tx); ok {
		lost = unanswered // nothing takes effect without a COMMIT
	}
	result, err := q.ExecContext(ctx, st.text, st.args...)
	if err != nil {
		return 0, translate(err, lost)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, translate(err, lost)
	}
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Rows: int(n)})
	return n, nil
}
