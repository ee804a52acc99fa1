//go:build unix

package copytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	adminEmail   = "admin@example.com"
	goodPassword = "correct horse battery staple"
)

// fixture is a source with the tables of setup.sql, a migrated target, and the program with the keys of both.
type fixture struct {
	t      testing.TB
	source *snowflaketest.Server
	dsn    string // of the target, as its super user
	binary string
	env    []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, source: snowflaketest.New(t, engine.Rules{}), binary: peertest.Build(t)}
	for _, st := range echoinsnowflake.Tables() {
		f.source.Exec(st)
	}

	server := pgtest.Server(t)
	admin := server.DSN(pgserver.SuperUser, "postgres")
	pgtest.Exec(t, admin, "CREATE DATABASE echo TEMPLATE template0")
	t.Cleanup(func() { pgtest.Exec(t, admin, "DROP DATABASE echo WITH (FORCE)") })
	f.dsn = server.DSN(pgserver.SuperUser, "echo")
	pgtest.Exec(t, f.dsn, echoinsnowflake.PostgresRoles,
		"ALTER ROLE echo_app SET idle_in_transaction_session_timeout = '1s'") // a test waits longer than that
	f.env = []string{
		"HTTP_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "SHUTDOWN_DELAY=0s",
		"JWT_SECRET_KEY=mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA=", "FIRST_SUPERUSER_PASSWORD=" + goodPassword,
		"SNOWFLAKE_ACCOUNT=test", "SNOWFLAKE_PROTOCOL=http", "SNOWFLAKE_HOST=" + f.source.Host(),
		fmt.Sprintf("SNOWFLAKE_PORT=%d", f.source.Port()),
		"SNOWFLAKE_AUTH_TYPE=password", "SNOWFLAKE_USER=u", "SNOWFLAKE_PASSWORD=p",
		"POSTGRES_HOST=" + server.Socket, fmt.Sprintf("POSTGRES_PORT=%d", server.Port),
		"POSTGRES_DATABASE=echo", "POSTGRES_SCHEMA=echo", "POSTGRES_USER=echo_app",
	}
	migrated := f.run([]string{"STORAGE=postgres", "POSTGRES_USER=echo_migrator"}, "migrate")
	require.Zero(t, migrated.code, migrated.stderr)
	return f
}

// execution is the result of one command line.
type execution struct {
	code           int
	stdout, stderr string
	maxRSS         int64 // in KiB
	cpu            time.Duration
}

// run runs the program. Other tests may hold the machine busy, so it has no time limit of its own.
func (f *fixture) run(variables []string, args ...string) execution {
	f.t.Helper()
	return f.runUntil(f.t.Context(), variables, args...)
}

// runUntil is run, and interrupts the program when ctx ends.
func (f *fixture) runUntil(ctx context.Context, variables []string, args ...string) execution {
	f.t.Helper()
	cmd := exec.CommandContext(ctx, f.binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.t.TempDir(), &stdout, &stderr
	cmd.Env = append(append([]string{}, f.env...), variables...)
	_ = cmd.Run()
	require.NotNil(f.t, cmd.ProcessState)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return execution{
		cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), int64(usage.Maxrss),
		cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
	}
}

func (f *fixture) copy() execution {
	f.t.Helper()
	return f.run(nil, "copy", "--from=snowflake", "--to=postgres")
}

// target returns the rows of a query on the target.
func (f *fixture) target(query string) [][]any {
	f.t.Helper()
	conn, err := pgx.Connect(f.t.Context(), f.dsn)
	require.NoError(f.t, err)
	defer conn.Close(f.t.Context())
	_, err = conn.Exec(f.t.Context(), "SET search_path = echo")
	require.NoError(f.t, err)
	rows, err := conn.Query(f.t.Context(), query)
	require.NoError(f.t, err)
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
	require.NoError(f.t, err)
	return all
}

// requireEmpty fails unless the target has no row.
func (f *fixture) requireEmpty() {
	f.t.Helper()
	const all = `SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM credentials) + (SELECT count(*) FROM items) +
		(SELECT count(*) FROM sessions) + (SELECT count(*) FROM clients) + (SELECT count(*) FROM installation)`
	require.Equal(f.t, [][]any{{int64(0)}}, f.target(all))
}

// beforeRead calls do when the copy reads that part of a table in Snowflake, from 1. Parts are counted over all reads.
func (f *fixture) beforeRead(table string, part int, do func() *snowflaketest.Fault) {
	reads := 0
	f.source.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
		if strings.Contains(r.SQL, "FROM "+table+" t\n") {
			if reads++; reads == part {
				return do()
			}
		}
		return nil
	})
}

// account adds an account to the source.
func (f *fixture) account(id, email, hash string) {
	f.source.Exec(`INSERT INTO users (id, email, password_hash, is_active, is_superuser, version, epoch, created_at, updated_at)
		SELECT ?, ?, ?, TRUE, FALSE, 1, 1, sysdate(), sysdate()`, id, email, hash)
}

// item adds an item to the source.
func (f *fixture) item(id, owner, title string, description any) {
	f.source.Exec(`INSERT INTO items (id, owner_id, title, description, version, created_at, updated_at)
		SELECT ?, ?, ?, ?, 1, sysdate(), sysdate()`, id, owner, title, description)
}

// session adds a session to the source.
func (f *fixture) session(id, owner string, epoch int, userAgent string) {
	f.source.Exec(`INSERT INTO sessions (id, owner_id, epoch, kind, lookup_hash, secret_hash, previous_hash, seed,
			user_agent, created_at, refreshed_at, expires_at)
		SELECT ?, ?, ?, 'password', ?, 'secret', '', 'seed', ?, sysdate(), sysdate(), sysdate()`,
		id, owner, epoch, "lookup of "+id, userAgent)
}

// client adds a client to the source.
func (f *fixture) client(id, owner string, epoch int, name any) {
	f.source.Exec(`INSERT INTO clients (id, owner_id, epoch, secret_hash, name, read_only, created_at, expires_at)
		SELECT ?, ?, ?, 'secret', ?, TRUE, sysdate(), sysdate()`, id, owner, epoch, name)
}

// client sends requests to a running service as one account.
type client struct {
	t          testing.TB
	url, token string
}

func signIn(t testing.TB, url, email, password string) client {
	t.Helper()
	c := client{t, url + "/api/v1", ""}
	status, body := c.request("POST", "/auth/login", form(email, password))
	require.Equal(t, http.StatusOK, status, body)
	c.token = body["access_token"].(string)
	return c
}

func form(email, password string) url.Values {
	return url.Values{"username": {email}, "password": {password}}
}

func (c client) request(method, path string, body any) (status int, reply map[string]any) {
	c.t.Helper()
	contentType, content := "application/json", []byte(nil)
	if values, ok := body.(url.Values); ok {
		contentType, content = "application/x-www-form-urlencoded", []byte(values.Encode())
	} else if body != nil {
		var err error
		content, err = json.Marshal(body)
		require.NoError(c.t, err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(content))
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", contentType)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer response.Body.Close()
	_ = json.NewDecoder(response.Body).Decode(&reply) // 204 has no body
	return response.StatusCode, reply
}
