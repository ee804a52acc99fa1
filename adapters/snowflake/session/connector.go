package session

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
)

// connector opens connections that report to database/sql when they are dead; the driver's own do not. It
// also counts and tags statements.
type connector struct {
	config  sf.Config
	auth    Auth
	version string
	tracer  trace.Tracer
	params  atomic.Pointer[map[string]string] // of new sessions
	healthy func() bool                       // the last call had a reply from Snowflake
}

func newConnector(o Options) *connector {
	c := &connector{
		auth: o.Auth, version: o.Version, tracer: newTracer(o.Traces), healthy: func() bool { return true },
		config: sf.Config{
			Account: o.Account, Host: o.Host, Port: o.Port, Protocol: o.Protocol,
			Database: o.Database, Schema: o.Schema, Warehouse: o.Warehouse, Role: o.Role,
			Application: "echo_in_snowflake",
			Transporter: newTransport(),

			MaxRetryCount: -1, // the driver would retry after seconds; transport retries immediately
		},
	}
	params := parameters(o.RequestTimeout)
	c.params.Store(&params)
	limitRequests(&c.config, o.RequestTimeout)
	c.auth.prepare(&c.config)
	return c
}

// limitRequests limits the requests of the driver, which takes 0 for its default of minutes.
func limitRequests(c *sf.Config, timeout time.Duration) {
	long := timeout + time.Second
	//lint:ignore SA1019 deprecated until they are reorganized; nothing else limits a request today
	c.LoginTimeout, c.RequestTimeout, c.ClientTimeout, c.JWTClientTimeout = timeout, timeout, long, timeout
}

// setParameters sets parameters of new sessions, beside those that these have already.
func (c *connector) setParameters(more map[string]string) {
	params := maps.Clone(*c.params.Load())
	maps.Copy(params, more)
	c.params.Store(&params)
}

// Driver implements [driver.Connector].
func (c *connector) Driver() driver.Driver { return sf.SnowflakeDriver{} }

// loginPause is how long connect waits before it repeats a login that broke.
const loginPause = 100 * time.Millisecond

// Connect implements [driver.Connector]. If it fails, the statement that needed the connection was not sent.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.connect(ctx, c.auth.readToken)
	if err != nil {
		return nil, notSent{fmt.Errorf("log in to Snowflake: %w", err)}
	}
	return opened, nil
}

// connect logs in with the token that setToken sets, if it sets one. It repeats a login that broke, once, unless other
// calls have failed too.
func (c *connector) connect(ctx context.Context, setToken func(*sf.Config) error) (_ *conn, err error) {
	start := time.Now()
	ctx, span := c.tracer.Start(ctx, "LOGIN", trace.WithSpanKind(trace.SpanKindClient))
	defer func() {
		endSpan(span, nil, err)
		requestinfo.FromContext(ctx).Add(requestinfo.Cost{Waited: time.Since(start)})
	}()
	opened, err := c.login(ctx, setToken)
	if err != nil && broke(err) && c.healthy() {
		select {
		case <-ctx.Done():
		case <-time.After(loginPause):
			opened, err = c.login(ctx, setToken)
		}
	}
	return opened, err
}

func (c *connector) login(ctx context.Context, setToken func(*sf.Config) error) (*conn, error) {
	params := c.params.Load()
	config := c.config
	config.Params = map[string]*string{}
	for name, value := range *params {
		config.Params[name] = &value
	}
	if err := setToken(&config); err != nil {
		return nil, err
	}
	inner, err := sf.NewConnector(sf.SnowflakeDriver{}, config).Connect(withCall(ctx, new(call)))
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, connector: c, params: params}, nil
}

// broke reports whether a login failed without an answer from Snowflake, so that the next one may succeed. A gateway
// that limits requests (429) must not get another one.
func broke(err error) bool {
	return !errors.As(err, new(*sf.SnowflakeError)) && !errors.Is(err, badStatus(http.StatusTooManyRequests))
}

// conn is a session. It reports a session that has ended as driver.ErrBadConn, so that database/sql takes
// another one. It leaves the pool after any error that makes its state unknown: the driver would reuse
// it, perhaps inside a transaction.
type conn struct {
	driver.Conn
	connector *connector
	params    *map[string]string // that the session was opened with
	broken    atomic.Bool
}

var _ interface {
	driver.QueryerContext
	driver.ExecerContext
	driver.ConnBeginTx
	driver.NamedValueChecker
	driver.Pinger
	driver.Validator
} = (*conn)(nil)

// sessionEnded reports whether the session, or the token that renews it, is gone, so that the statement was
// not executed. 390112 is not in the list: the driver renews such a session on its own.
func sessionEnded(e *sf.SnowflakeError) bool {
	switch e.Number {
	case 390104, 390110, 390111, 390113, 390114, 390115, 390195, 390318:
		return true
	case sf.ErrFailedToPostQuery:
		return len(e.MessageArgs) > 0 && e.MessageArgs[0] == http.StatusUnauthorized
	}
	return false
}

// check returns the error that database/sql should see; it repeats a statement for driver.ErrBadConn.
// replyLost says that a reply of the call was lost.
func (c *conn) check(err error, replyLost bool) error {
	if err == nil {
		return nil
	}
	var reply *sf.SnowflakeError
	if !errors.As(err, &reply) {
		c.broken.Store(true) // cancelled or cut off: the state of the session is unknown
		return err
	}
	if sessionEnded(reply) {
		c.broken.Store(true)
		if replyLost {
			return fmt.Errorf("the session ended after a reply was lost: %s", reply.Message)
		}
		return driver.ErrBadConn
	}
	if reply.Number == sf.ErrFailedToPostQuery {
		c.broken.Store(true)
	}
	return err
}

// IsValid implements [driver.Validator]. A session that lacks a parameter of new sessions does not return to
// the pool.
func (c *conn) IsValid() bool { return !c.broken.Load() && c.params == c.connector.params.Load() }

// observe runs a call of the driver with a query tag and a span, and counts it.
func (c *conn) observe(ctx context.Context, text string, do func(context.Context) (reply any, err error)) error {
	if callFrom(ctx) == nil {
		ctx = withCall(ctx, new(call))
	}
	ctx, span := c.startSpan(ctx, text)
	return c.count(ctx, callFrom(ctx), span, func() (any, error) {
		return do(sf.WithQueryTag(ctx, queryTag(ctx, c.connector.version)))
	})
}

func (c *conn) count(ctx context.Context, state *call, span trace.Span, do func() (reply any, err error)) error {
	start := time.Now()
	reply, err := do()
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Statements: 1, Ran: time.Since(start)})
	endSpan(span, reply, err)
	return c.check(err, state.replyLost.Load())
}

// QueryContext implements [driver.QueryerContext].
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var rows driver.Rows
	err := c.observe(ctx, query, func(ctx context.Context) (_ any, err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return rows, err
	})
	return rows, err
}

// ExecContext implements [driver.ExecerContext].
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	var result driver.Result
	err := c.observe(ctx, query, func(ctx context.Context) (_ any, err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return result, err
	})
	return result, err
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	return c.Conn.(driver.NamedValueChecker).CheckNamedValue(v)
}

// Ping implements [driver.Pinger].
func (c *conn) Ping(ctx context.Context) error {
	return c.observe(ctx, "PING", func(ctx context.Context) (any, error) {
		return nil, c.Conn.(driver.Pinger).Ping(ctx)
	})
}

// BeginTx implements [driver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	t := &tx{conn: c, ctx: ctx}
	caller := trace.SpanFromContext(ctx)
	err := c.observe(ctx, "BEGIN", func(ctx context.Context) (_ any, err error) {
		t.call = callFrom(ctx)
		// The driver keeps this context for COMMIT. With the span of BEGIN in it, Snowflake would take COMMIT
		// for a part of BEGIN.
		t.Tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(trace.ContextWithSpan(ctx, caller), options)
		return nil, err
	})
	if err != nil {
		c.broken.Store(true)
		return nil, err
	}
	return t, nil
}

// tx is a transaction. The driver ends it with the context that it began with.
type tx struct {
	driver.Tx
	conn *conn
	ctx  context.Context
	call *call // of that context
}

var errBrokenTransaction = errors.New("the session broke inside the transaction, which is rolled back")

// Commit implements [driver.Tx].
func (t *tx) Commit() error {
	if t.conn.broken.Load() {
		_ = t.Rollback()
		return notSent{errBrokenTransaction}
	}
	return t.end("COMMIT", t.Tx.Commit)
}

// Rollback implements [driver.Tx].
func (t *tx) Rollback() error { return t.end("ROLLBACK", t.Tx.Rollback) }

func (t *tx) end(text string, do func() error) error {
	t.call.requests.Store(0)
	t.call.replyLost.Store(false)
	ctx, span := t.conn.startSpan(t.ctx, text)
	err := t.conn.count(ctx, t.call, span, func() (any, error) { return nil, do() })
	if err != nil {
		t.conn.broken.Store(true)
	}
	return err
}

// queryTag is the JSON that QUERY_HISTORY shows beside a statement. It names the route that caused the
// statement and holds no data of users. Its parts are limited, so that it stays below the 2,000 bytes that
// Snowflake allows.
func queryTag(ctx context.Context, version string) string {
	info := requestinfo.FromContext(ctx)
	tag, _ := json.Marshal(struct {
		App     string `json:"app"`
		Version string `json:"v"`
		Route   string `json:"route"`
		Request string `json:"rid"`
		Trace   string `json:"trace"`
	}{"echo-in-snowflake", cut(version, 40), cut(info.Route, 64), cut(info.RequestID, 128), cut(info.TraceID, 32)})
	return string(tag)
}

// cut limits a part of the tag. JSON escapes make it up to six times as long.
func cut(s string, most int) string { return s[:min(len(s), most)] }
