package session

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Options say how to reach PostgreSQL. Host, Port, Database, User, RequestTimeout and Connections are required.
type Options struct {
	Host       string // name or address; a folder, which begins with a slash, for a Unix socket in it
	Port       int
	Database   string
	User       string
	Credential Credential // nil: the server asks for no password
	TLS        bool       // verifies the server's certificate and its name
	CAFile     string     // PEM, read for each connection; empty: the roots of the system
	Schema     string     // empty: the search_path of the role
	Pooler     bool       // Host is a pooler in transaction mode, such as PgBouncer

	RequestTimeout time.Duration // the longest that a caller waits; bounds statements and locks
	Connections    int           // the most connections
	Version        string        // of the service, for pg_stat_activity

	Traces  trace.TracerProvider // nil: no traces
	Metrics metric.MeterProvider // nil: no metrics

	// MissingHint is added to errors about an object that does not exist or is not granted.
	MissingHint string
}

const (
	connectTimeout = 3 * time.Second // a suspended instance answers nothing
	pingTimeout    = 500 * time.Millisecond
	// cancelDelay is how long a connection may take to confirm that a statement was cancelled. Then it is closed.
	cancelDelay = 200 * time.Millisecond
)

// Connect opens a connection for a command that needs no pool. It sets no time limits; the role may have some.
func Connect(ctx context.Context, o Options) (*pgx.Conn, error) {
	o.RequestTimeout = 0
	config, err := o.connConfig()
	if err != nil {
		return nil, err
	}
	if err := o.prepare(ctx, config); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// poolConfig returns the configuration of the pool.
func (o Options) poolConfig() (*pgxpool.Config, error) {
	conn, err := o.connConfig()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(neutral)
	if err != nil {
		return nil, err
	}
	pool.ConnConfig = conn
	pool.BeforeConnect = o.prepare
	pool.MaxConns = int32(o.Connections) //nolint:gosec // config limits it
	pool.MinIdleConns = 1                // a request should not have to wait for a login
	pool.MaxConnLifetime, pool.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	pool.MaxConnIdleTime, pool.HealthCheckPeriod = 5*time.Minute, 30*time.Second
	// The pool's check of idle connections stays on: a write on a dead one would have an unknown outcome.
	pool.PingTimeout = pingTimeout
	return pool, nil
}

// neutral is a connection string that keeps pgx from files, which it would look for in the home folder, and from most
// of the environment.
const neutral = "host=localhost user=x database=x sslmode=disable passfile='' servicefile='' " +
	"sslcert='' sslkey='' sslrootcert=''"

// connConfig returns the configuration of a connection without what prepare adds.
func (o Options) connConfig() (*pgx.ConnConfig, error) {
	// pgx would fill what is not set, and fail if it cannot be used.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
	c, err := pgx.ParseConfig(neutral)
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Database, c.User, c.Password = o.Host, uint16(o.Port), o.Database, o.User, ""
	c.Fallbacks, c.ConnectTimeout, c.RuntimeParams = nil, connectTimeout, o.runtimeParams()
	c.DialFunc = dial
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		// The server confirms that it cancelled a statement: the outcome of a write is then known.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelDelay}
	}
	if o.Pooler { // its server connections do not know statements that another one has prepared
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	c.Tracer = loginTracer{newTracer(o.Traces), o.Credential}
	return c, nil
}

// dial opens a network connection to the server.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: connectTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatientConn{conn}, nil
}

// impatientConn is a connection whose deadline is never far away. The driver sets one only to cancel or to close. To
// close, it waits 15 seconds for the server, and a connection keeps its place in the pool until then: after the loss of
// the server's machine, all places would be taken.
type impatientConn struct{ net.Conn }

func (c impatientConn) SetDeadline(t time.Time) error {
	if limit := time.Now().Add(closeTimeout); t.After(limit) {
		t = limit
	}
	return c.Conn.SetDeadline(t)
}

// runtimeParams are the settings of a session. A pooler refuses them, so that the role must have them.
func (o Options) runtimeParams() map[string]string {
	params := map[string]string{"application_name": "echo-in-snowflake " + cmp.Or(o.Version, "unknown")}
	if o.Pooler {
		return params
	}
	params["default_transaction_isolation"] = "read committed"
	if o.Schema != "" {
		params["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	if o.RequestTimeout > 0 {
		// The server ends a statement before its caller has to cancel it.
		statement := o.RequestTimeout - 2*timeToCancel(o.RequestTimeout)
		params["statement_timeout"] = milliseconds(statement)
		params["lock_timeout"] = milliseconds(statement / 2)
		params["idle_in_transaction_session_timeout"] = milliseconds(o.RequestTimeout)
	}
	return params
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// prepare adds to c what is read for each connection, because operators replace it while the service runs.
// Its errors are of type unprepared.
func (o Options) prepare(ctx context.Context, c *pgx.ConnConfig) (err error) {
	defer func() {
		if err != nil {
			err = unprepared{err}
		}
	}()
	if o.TLS {
		if c.TLSConfig, err = o.tlsConfig(); err != nil {
			return err
		}
	}
	if o.Credential != nil {
		c.Password, err = o.Credential.Password(ctx)
	}
	return err
}

// unprepared marks the reason why there was no attempt to connect.
type unprepared struct{ error }

func (u unprepared) Unwrap() error { return u.error }

func (o Options) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: o.Host, MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("POSTGRES_CA_FILE: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("POSTGRES_CA_FILE: it holds no certificate in PEM")
	}
	return c, nil
}
