package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// closeTimeout limits Close. A dead connection would hold it up for much longer.
const closeTimeout = 2 * time.Second

// DB is a reliable pool of connections to PostgreSQL. Make one with [Open].
type DB struct {
	pool    *pgxpool.Pool
	guard   *guard.Guard
	tracer  trace.Tracer
	options Options

	replaced atomic.Int64 // when replaceConnections last did its work, in nanoseconds since 1970
}

// Open returns a DB. It does not wait for a connection: the server may be unavailable. It removes variables that
// begin with PG from the environment of the process: pgx would use them.
func Open(o Options) (*DB, error) {
	config, err := o.poolConfig()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	d := &DB{pool: pool, guard: guard.New(o.Connections), tracer: newTracer(o.Traces), options: o}
	return d, d.guard.Observe(o.Metrics, scope, "postgresql", func() guard.PoolStats {
		s := pool.Stat()
		return guard.PoolStats{Used: int64(s.AcquiredConns()), Idle: int64(s.IdleConns()), Max: int64(s.MaxConns())}
	})
}

// replaceConnections closes all connections, those in use when they are released. It is called for a fault that the
// others probably have, too. New logins cost time, so it does so once a second at most.
func (d *DB) replaceConnections() {
	now, last := time.Now().UnixNano(), d.replaced.Load()
	if now-last > int64(time.Second) && d.replaced.CompareAndSwap(last, now) {
		d.pool.Reset()
	}
}

// Close ends the connections. It gives up after two seconds: the server also ends the connections of clients that
// disappear, and a process that stops has no time to wait.
func (d *DB) Close() error {
	closed := make(chan struct{})
	go func() { d.pool.Close(); close(closed) }()
	select {
	case <-closed:
		return nil
	case <-time.After(closeTimeout):
		return errors.New("not all connections to PostgreSQL were ended in time")
	}
}

// Read runs op, which only reads, and returns its result. See run for what surrounds op.
func Read[T any](ctx context.Context, d *DB, op func(context.Context, Conn) (T, error)) (T, error) {
	return run(ctx, d, domain.ErrUnavailable, op)
}

// Write runs op, in which one statement changes rows. See run for what surrounds op.
func (d *DB) Write(ctx context.Context, op func(context.Context, Conn) error) error {
	_, err := run(ctx, d, domain.ErrOutcomeUnknown,
		func(ctx context.Context, c Conn) (struct{}, error) { return struct{}{}, op(ctx, c) })
	return err
}

// run executes op, one complete operation, on one connection and under the guard. It retries ErrContended. It
// repeats op once after an error that [again] marks. lost is the error of a statement whose reply is lost. Statements
// end before the deadline of ctx, so that the caller learns their outcome.
func run[T any](ctx context.Context, d *DB, lost *domain.Error,
	op func(context.Context, Conn) (T, error)) (T, error) {
	var result T
	early, cancel := endEarly(ctx)
	defer cancel()
	once := func(context.Context) (T, error) {
		c, err := d.acquire(early, lost)
		if err != nil {
			return *new(T), err
		}
		defer c.pgx.Release()
		return op(early, c)
	}
	var repeated bool
	var contended error
	err := domain.RetryContended(early, func() (err error) {
		result, err = guard.Run(ctx, d.guard, guard.Late(lost), once)
		if errors.As(err, new(again)) && !repeated && early.Err() == nil {
			repeated = true
			result, err = guard.Run(ctx, d.guard, guard.Late(lost), once)
		}
		switch {
		case errors.Is(err, domain.ErrContended):
			contended = err
		case contended != nil && early.Err() != nil && errors.Is(err, domain.ErrUnavailable):
			err = contended // there was no time left for this try; the tries before it say why
		}
		return err
	})
	return result, err
}

// endEarly returns ctx with a deadline that leaves time to cancel a statement.
func endEarly(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-timeToCancel(time.Until(deadline))))
}

// timeToCancel returns how long before the end of a request that takes this long its statement is cancelled.
func timeToCancel(request time.Duration) time.Duration {
	return min(cancelDelay+guard.Grace, request/4)
}

// acquire returns a connection. Its errors mean that nothing was sent.
func (d *DB) acquire(ctx context.Context, lost *domain.Error) (Conn, error) {
	if err := guard.InTime(ctx); err != nil {
		return Conn{}, err
	}
	start := time.Now()
	c, err := d.pool.Acquire(ctx)
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Waited: time.Since(start)})
	if err != nil {
		return Conn{}, d.translateConnect(err)
	}
	return Conn{d, c, lost}, nil
}

// Statement is SQL with the values of its placeholders, which are question marks, in their order.
type Statement struct {
	SQL  string
	Args []any
}

// And adds a condition to a statement that ends in its WHERE clause.
func (st Statement) And(condition string, args ...any) Statement {
	st.SQL, st.Args = st.SQL+"\nAND "+condition, slices.Concat(st.Args, args)
	return st
}

// numberedTexts has the result of numbered for each text. The program has few texts.
var numberedTexts sync.Map

// numbered returns the text with the placeholders of PostgreSQL: $1, $2 and so on.
func (st Statement) numbered() string {
	if text, ok := numberedTexts.Load(st.SQL); ok {
		return text.(string)
	}
	text := number(st.SQL)
	numberedTexts.Store(st.SQL, text)
	return text
}

func number(sql string) string {
	var b strings.Builder
	rest, n := sql, 0
	for {
		before, after, found := strings.Cut(rest, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		rest = after
	}
}

// Conn executes the statements of one operation on one connection.
type Conn struct {
	db   *DB
	pgx  *pgxpool.Conn
	lost *domain.Error // the error for a change whose reply is lost
}

// TLS describes the connection. It is nil without TLS.
func (c Conn) TLS() *tls.ConnectionState {
	encrypted, ok := c.pgx.Conn().PgConn().Conn().(*tls.Conn)
	if !ok {
		return nil
	}
	state := encrypted.ConnectionState()
	return &state
}

// Query calls row for each row of the result. row calls scan once, as [pgx.Rows.Scan].
func (c Conn) Query(ctx context.Context, st Statement, row func(scan func(...any) error) error) (err error) {
	text, n := st.numbered(), 0
	ctx, done := c.db.observe(ctx, text)
	defer func() { done(n, err) }()
	rows, err := c.pgx.Query(ctx, text, st.Args...)
	if err != nil {
		return c.translate(err, domain.ErrUnavailable)
	}
	defer rows.Close()
	for rows.Next() {
		n++
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("a row cannot be read: %w", err)
		}
	}
	return c.translate(rows.Err(), domain.ErrUnavailable)
}

// Exec returns how many rows the statement changed.
func (c Conn) Exec(ctx context.Context, st Statement) (n int64, err error) {
	text := st.numbered()
	ctx, done := c.db.observe(ctx, text)
	defer func() { done(int(n), err) }()
	tag, err := c.pgx.Exec(ctx, text, st.Args...)
	return tag.RowsAffected(), c.translate(err, c.lost)
}

// readCommitted pins the isolation of one transaction. SET TRANSACTION would warn outside of a block.
const readCommitted = "SET transaction_isolation = 'read committed'"

// ExecLocked executes lock and then st in one transaction and one round trip, and returns how many rows st changed.
// st sees what was committed before lock got its lock.
func (c Conn) ExecLocked(ctx context.Context, lock, st Statement) (n int64, err error) {
	text := st.numbered()
	ctx, done := c.db.observe(ctx, text)
	defer func() { done(int(n), err) }()
	// Without BEGIN, the statements up to the end of a batch are one transaction, and each has a snapshot of its own
	// (PostgreSQL documentation, "Pipelining").
	batch := &pgx.Batch{}
	batch.Queue(readCommitted)
	batch.Queue(lock.numbered(), lock.Args...)
	batch.Queue(text, st.Args...)
	results := c.pgx.SendBatch(ctx, batch)
	for range batch.Len() {
		tag, execErr := results.Exec()
		n, err = tag.RowsAffected(), execErr
		if err != nil {
			break
		}
	}
	// The transaction is committed when Close returns without an error.
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return n, c.translate(err, c.lost)
}
