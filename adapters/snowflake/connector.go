package snowflake

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
)

// connector makes connections that tell database/sql when they are dead, which the driver's own do
// not. It is also where statements are counted and tagged.
type connector struct {
	config  sf.Config
	auth    Auth
	version string
	tracer  trace.Tracer
	hybrid  atomic.Bool // whether users is a hybrid table, where the e-mail is unique by itself
}

// sessionParameters bound statements and locks below what a caller waits for.
func sessionParameters(timeout time.Duration) map[string]*string {
	seconds := int(timeout / time.Second)
	text := func(s string) *string { return &s }
	number := func(n int) *string { return text(fmt.Sprint(max(1, n))) }
	return map[string]*string{
		"CLIENT_TELEMETRY_ENABLED":     text("false"), // else there are two requests per statement
		"TIMEZONE":                     text("UTC"),
		"TRANSACTION_ABORT_ON_ERROR":   text("true"),
		"LOCK_TIMEOUT":                 number(seconds/2 - 1), // the other half is for the wait in this process
		"STATEMENT_TIMEOUT_IN_SECONDS": number(seconds),
		// A joined UPDATE whose result is not determined is an error of ours.
		"ERROR_ON_NONDETERMINISTIC_UPDATE": text("true"),
	}
}

func newConnector(o Options) *connector {
	c := &connector{
		auth: o.Auth, version: o.Version, tracer: newTracer(o.Traces),
		config: sf.Config{
			Account: o.Account, Host: o.Host, Port: o.Port, Protocol: o.Protocol,
			Database: o.Database, Schema: o.Schema, Warehouse: o.Warehouse, Role: o.Role,
			Application: "echo_in_snowflake",
			Params:      sessionParameters(o.RequestTimeout),
			Transporter: newTransport(),

			// The driver would repeat a request seconds later; our transport does so at once.
			MaxRetryCount: -1,
		},
	}
	// The driver takes 0 for its own default, which is minutes.
	//lint:ignore SA1019 announced to be reorganized, and until then nothing else bounds a request
	c.config.LoginTimeout, c.config.RequestTimeout, c.config.ClientTimeout, c.config.JWTClientTimeout = o.RequestTimeout, o.RequestTimeout, o.RequestTimeout+time.Second, o.RequestTimeout
	c.auth.prepare(&c.config)
	return c
}

func (c *connector) Driver() driver.Driver { return sf.SnowflakeDriver{} }

// Connect logs in. Whatever fails there was not the statement that it is for.
func (c *connector) Connect(ctx context.Context) (_ driver.Conn, err error) {
	start := time.Now()
	ctx, span := c.tracer.Start(ctx, "LOGIN", trace.WithSpanKind(trace.SpanKindClient))
	defer func() { endSpan(span, nil, err) }()
	config := c.config
	if err := c.auth.current(&config); err != nil {
		return nil, notSent{fmt.Errorf("log in to Snowflake: %w", err)}
	}
	if c.hybrid.Load() {
		config.Params = withParameter(config.Params, "READ_LATEST_WRITES", "true")
	}
	inner, err := sf.NewConnector(sf.SnowflakeDriver{}, config).Connect(withCall(ctx))
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Waited: time.Since(start)})
	if err != nil {
		return nil, notSent{fmt.Errorf("log in to Snowflake: %w", err)}
	}
	return &conn{Conn: inner, connector: c}, nil
}

func withParameter(params map[string]*string, name, value string) map[string]*string {
	all := map[string]*string{name: &value}
	for k, v := range params {
		all[k] = v
	}
	return all
}

// conn is a session. It turns the errors of one that has ended into driver.ErrBadConn, for which
// database/sql takes another, and is not used again after anything that leaves its state unknown:
// the driver would put it back into the pool, perhaps inside a transaction.
type conn struct {
	driver.Conn
	connector *connector
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

// sessionEnded tells whether an error means that the session, or the token that it renews itself
// with, is gone, so that the statement was not executed. 390112 is not here: the driver renews such
// a session by itself.
func sessionEnded(e *sf.SnowflakeError) bool {
	switch e.Number {
	case 390104, 390110, 390111, 390113, 390114, 390115, 390195, 390318:
		return true
	case sf.ErrFailedToPostQuery:
		return len(e.MessageArgs) > 0 && e.MessageArgs[0] == http.StatusUnauthorized
	}
	return false
}

// check returns the error of a call as database/sql has to see it, which repeats a statement for
// driver.ErrBadConn; lost is whether an answer of that call was.
func (c *conn) check(err error, lost bool) error {
	if err == nil {
		return nil
	}
	var answered *sf.SnowflakeError
	if !errors.As(err, &answered) {
		c.broken.Store(true) // cancelled or cut off: what the session does now is not known
		return err
	}
	if sessionEnded(answered) {
		c.broken.Store(true)
		if lost {
			return fmt.Errorf("the session ended after an answer was lost: %s", answered.Message)
		}
		return driver.ErrBadConn
	}
	if answered.Number == sf.ErrFailedToPostQuery {
		c.broken.Store(true)
	}
	return err
}

// IsValid implements [driver.Validator].
func (c *conn) IsValid() bool { return !c.broken.Load() }

// observed makes a call of the driver with all that a statement takes along, and counts it.
func (c *conn) observed(ctx context.Context, text string, do func(context.Context) (answer any, err error)) error {
	ctx, span := c.span(withCall(ctx), text)
	return c.counted(ctx, callOf(ctx), span, func() (any, error) {
		return do(sf.WithQueryTag(ctx, queryTag(ctx, c.connector.version)))
	})
}

func (c *conn) counted(ctx context.Context, state *call, span trace.Span, do func() (answer any, err error)) error {
	start := time.Now()
	answer, err := do()
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Statements: 1, Ran: time.Since(start)})
	endSpan(span, answer, err)
	return c.check(err, state.lost.Load())
}

// QueryContext implements [driver.QueryerContext].
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.observed(ctx, query, func(ctx context.Context) (any, error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return rows, err
	})
	return rows, err
}

// ExecContext implements [driver.ExecerContext].
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.observed(ctx, query, func(ctx context.Context) (any, error) {
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
	return c.observed(ctx, "PING", func(ctx context.Context) (any, error) { return nil, c.Conn.(driver.Pinger).Ping(ctx) })
}

// BeginTx implements [driver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	t := &tx{conn: c, ctx: ctx}
	caller := trace.SpanFromContext(ctx)
	err := c.observed(ctx, "BEGIN", func(ctx context.Context) (_ any, err error) {
		t.call = callOf(ctx)
		// Else Snowflake would take COMMIT for a part of BEGIN.
		t.Tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(trace.ContextWithSpan(ctx, caller), options)
		return nil, err
	})
	if err != nil {
		c.broken.Store(true)
		return nil, err
	}
	return t, nil
}

// tx is a transaction; the driver ends it with the context that it began with.
type tx struct {
	driver.Tx
	conn *conn
	ctx  context.Context
	call *call // of that context
}

var errBrokenTransaction = errors.New("the session broke inside the transaction, which is rolled back")

// Commit implements [driver.Tx].
func (t *tx) Commit() error {
	if !t.conn.IsValid() {
		_ = t.Rollback()
		return notSent{errBrokenTransaction}
	}
	return t.end("COMMIT", t.Tx.Commit)
}

// Rollback implements [driver.Tx].
func (t *tx) Rollback() error { return t.end("ROLLBACK", t.Tx.Rollback) }

func (t *tx) end(text string, how func() error) error {
	t.call.requests.Store(0)
	t.call.lost.Store(false)
	ctx, span := t.conn.span(t.ctx, text)
	err := t.conn.counted(ctx, t.call, span, func() (any, error) { return nil, how() })
	if err != nil {
		t.conn.broken.Store(true)
	}
	return err
}

// queryTag says in QUERY_HISTORY which route paid for a statement. It holds no data of users; its
// parts are bounded, and so it is below the 2,000 bytes that Snowflake takes.
func queryTag(ctx context.Context, version string) string {
	t := requestinfo.FromContext(ctx)
	tag, _ := json.Marshal(struct {
		App     string `json:"app"`
		Version string `json:"v"`
		Route   string `json:"route"`
		Request string `json:"rid"`
		Trace   string `json:"trace"`
	}{"echo-in-snowflake", cut(version, 40), cut(t.Route, 64), cut(t.RequestID, 128), cut(t.TraceID, 32)})
	return string(tag)
}

// cut bounds a part of the tag; what JSON escapes becomes six times as long at most.
func cut(s string, most int) string { return s[:min(len(s), most)] }
