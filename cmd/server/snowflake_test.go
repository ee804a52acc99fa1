package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// onSnowflake names the environment variable that puts the tests on the Snowflake store: "fake" is
// the fake in this process, anything else the host:port of an emulator.
const onSnowflake = "ECHO_TEST_SNOWFLAKE"

// openTestStore opens the store that a test gets that wants any.
func openTestStore(t testing.TB, cfg config.Config, sink *telemetry.Telemetry) storage {
	t.Helper()
	where := os.Getenv(onSnowflake)
	if cfg.Storage == config.StorageSnowflake || where == "" {
		opened, err := openStore(cfg, sink)
		require.NoError(t, err)
		return opened
	}
	host, port, schema := "", 0, "s"
	if where == "fake" {
		server := fakeSnowflake(t, engine.Rules{})
		host, port = server.Host(), server.Port()
	} else {
		h, p, err := net.SplitHostPort(where)
		require.NoError(t, err)
		host, schema = h, "s"+strings.ReplaceAll(newID(), "-", "")
		port, err = strconv.Atoi(p)
		require.NoError(t, err)
		fakesnow := emulator.Emulator{Host: host, Port: port}
		require.NoError(t, fakesnow.CreateTables(context.Background(), "e2e", schema))
	}
	store, err := snowflake.Open(session.Options{
		Account: "test", Host: host, Port: port, Protocol: "http", Database: "e2e", Schema: schema,
		Auth: session.Auth{User: "u", Password: "p"}, RequestTimeout: cfg.RequestTimeout, Connections: 8,
	})
	require.NoError(t, err)
	return storage{Store: store, close: store.Close}
}

// fakeSnowflake starts a fake of Snowflake with the tables of setup.sql.
func fakeSnowflake(t testing.TB, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	server := snowflaketest.New(t, rules)
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	return server
}

const snowflakePassword = "the password of the user in Snowflake"

// configured puts what the service needs for that server into the environment.
func configured(t testing.TB, server *snowflaketest.Server) {
	for key, value := range map[string]string{
		"HTTP_ADDR": "127.0.0.1:0", "SHUTDOWN_DELAY": "0s", "STORAGE": "snowflake", "JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
		"SNOWFLAKE_ACCOUNT": "test", "SNOWFLAKE_HOST": server.Host(), "SNOWFLAKE_PORT": strconv.Itoa(server.Port()),
		"SNOWFLAKE_PROTOCOL": "http", "SNOWFLAKE_AUTH_TYPE": "password", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PASSWORD": snowflakePassword,
	} {
		t.Setenv(key, value)
	}
}

// startOnSnowflake is start on a fake of Snowflake, as an operator would configure it.
func startOnSnowflake(t testing.TB, flags ...string) (*running, *snowflaketest.Server) {
	t.Helper()
	server := fakeSnowflake(t, engine.Rules{})
	configured(t, server)
	return start(t, flags...), server
}

// anyStore is a store for a test that wants one of its own, whichever it is.
func anyStore(t testing.TB) ports.Store {
	t.Helper()
	return openTestStore(t, config.Config{Storage: config.StorageMemory, RequestTimeout: 10 * time.Second}, telemetry.None()).Store
}

// endToEnd are the files whose tests need of a store only that it keeps its contract.
var endToEnd = []string{
	"bearer_test.go", "body_test.go", "conditional_test.go", "contract_test.go", "exchange_test.go", "fields_test.go",
	"hostile_test.go", "lists_test.go", "logs_test.go", "races_test.go",
}

func TestTheServiceKeepsItsContractOnAFakeOfSnowflake(t *testing.T) {
	endToEndOn(t, cmp.Or(os.Getenv(onSnowflake), "fake"))
}

// endToEndOn runs these tests again on the Snowflake store, in a process of their own.
func endToEndOn(t *testing.T, where string) {
	var names []string
	for _, file := range endToEnd {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	program, err := os.Executable()
	require.NoError(t, err)
	tests := exec.Command(program, "-test.run", "^("+strings.Join(names, "|")+")$", "-test.v", "-test.timeout=9m")
	tests.Env = append(os.Environ(), onSnowflake+"="+where)
	output, err := tests.CombinedOutput()
	passed := 0
	var rest []string
	for line := range strings.Lines(string(output)) {
		switch {
		case strings.HasPrefix(line, "--- PASS: "):
			passed++
		case !strings.HasPrefix(strings.TrimSpace(line), "--- PASS: ") && !strings.HasPrefix(line, "=== "):
			rest = append(rest, line)
		}
	}
	require.NoError(t, err, strings.Join(rest, ""))
	assert.Equal(t, len(names), passed)
}

func TestTheServiceStartsBeforeSnowflakeIsThere(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	server.Stop()
	configured(t, server)
	r := launch(t, nil)
	require.Eventually(t, func() bool { return r.logs.FilterMessage("the store is not ready").Len() > 1 }, waitLimit, pollInterval)
	assert.Equal(t, http.StatusOK, r.status("/livez"))
	assert.Equal(t, http.StatusServiceUnavailable, r.status("/readyz"))

	server.Start()
	back := time.Now()
	require.Eventually(t, func() bool { return r.status("/readyz") == http.StatusOK }, waitLimit, pollInterval)
	assert.Less(t, time.Since(back), 5*time.Second)
	r.admin(t)
}

func TestWhatIsMissingInTheAccountIsNamedUntilItIsThere(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	server.Exec("DROP TABLE items")
	configured(t, server)
	r := launch(t, nil)
	require.Eventually(t, func() bool { return r.logs.FilterMessage("the store is not ready").Len() > 0 }, waitLimit, pollInterval)
	line := r.logs.FilterMessage("the store is not ready").All()[0].ContextMap()
	assert.Contains(t, line["error"], "table items: run setup.sql")
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
}

func TestTheStartSaysWhichConsistencyItFoundAndWhatThatWeakens(t *testing.T) {
	for mode, rules := range map[string]engine.Rules{"GLOBAL": {}, "SESSION": {StaleSessions: true}} {
		server := fakeSnowflake(t, rules)
		configured(t, server)
		lines := start(t).logs.FilterMessage("Snowflake").All()
		require.Len(t, lines, 1)
		line := lines[0].ContextMap()
		assert.Equal(t, mode, line["read_consistency_mode"])
		assert.Equal(t, mode == "SESSION", line["weakened"] != nil)
	}
}

func TestASnowflakeThatHangsAtTheStartIsNoticedSoonAfterItRecovers(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	configured(t, server)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	r := launch(t, nil)
	require.Eventually(t, func() bool { return len(server.Requests()) > 0 }, waitLimit, pollInterval)
	server.Intercept(nil)
	back := time.Now()
	require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
	assert.Less(t, time.Since(back), 5*time.Second)
}

func TestAUserWhomSnowflakeRefusesIsNotTriedAgainAndAgain(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	configured(t, server)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
	r := launch(t, nil)
	require.Eventually(t, func() bool { return r.logs.FilterMessage("the store is not ready").Len() == 1 }, waitLimit, pollInterval)
	line := r.logs.FilterMessage("the store is not ready").All()[0].ContextMap()
	assert.Contains(t, line["error"], "user or password refused by Snowflake")
	assert.Equal(t, time.Minute, line["next_try"])
}

func TestAnOutageOfSnowflakeIsA503OfEachRequestAndEndsByItself(t *testing.T) {
	r, server := startOnSnowflake(t)
	admin := r.admin(t)
	server.Stop()
	for range 10 {
		reply := admin.do("GET", "/items/", nil)
		reply.refused(http.StatusServiceUnavailable, "unavailable")
		assert.NotEmpty(t, reply.header.Get("Retry-After"))
	}
	assert.Equal(t, http.StatusOK, r.status("/readyz"))
	r.client(t).do("POST", "/auth/login", signInForm(adminEmail, goodPassword)).refused(http.StatusServiceUnavailable, "unavailable")
	server.Start()
	back := time.Now()
	require.Eventually(t, func() bool { return admin.do("GET", "/items/", nil).status == http.StatusOK }, waitLimit, pollInterval)
	assert.Less(t, time.Since(back), 5*time.Second)
}

func TestAWriteWhoseFateIsNotKnownIsSaidSo(t *testing.T) {
	r, server := startOnSnowflake(t)
	admin := r.admin(t)
	server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, "INSERT INTO items") {
			return &snowflaketest.Fault{After: true, Drop: true}
		}
		return nil
	})
	admin.do("POST", "/items/", fields{"title": "once"}).refused(http.StatusServiceUnavailable, "outcome_unknown")
	server.Intercept(nil)
	assert.Len(t, admin.do("GET", "/items/", nil).rows(), 1)
}

func TestProbesAreAnsweredWhileAllConnectionsHang(t *testing.T) {
	r, server := startOnSnowflake(t, "--snowflake-connections=1", "--request-timeout=2s")
	admin := r.admin(t)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { admin.do("GET", "/items/", nil).is(http.StatusServiceUnavailable) })
	}
	start := time.Now()
	for _, probe := range []string{"/livez", "/readyz", "/api/v1/health"} {
		assert.Equal(t, http.StatusOK, r.status(probe))
	}
	assert.Less(t, time.Since(start), time.Second)
	all.Wait()
}

func TestNoRequestIsLostWhenTheProcessIsStopped(t *testing.T) {
	r, server := startOnSnowflake(t, "--shutdown-delay=200ms")
	admin := r.admin(t)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Delay: 20 * time.Millisecond}
	})
	ended := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				req, err := http.NewRequest("GET", r.origin+"/api/v1/items/", http.NoBody)
				assert.NoError(t, err)
				req.Header.Set("Authorization", "Bearer "+admin.token)
				reply, err := http.DefaultTransport.RoundTrip(req)
				if errors.Is(err, syscall.ECONNREFUSED) {
					return // it has gone: whoever balances the load knows by then
				}
				if assert.NoError(t, err) {
					reply.Body.Close()
					assert.Equal(t, http.StatusOK, reply.StatusCode)
				}
				if r.service.http.State() == httpapi.Draining {
					return
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond) // of load
	r.stop()
	for err := range r.stopped {
		assert.NoError(t, err)
	}
	close(ended)
	all.Wait()
}

func TestAStatementSaysWhichRoutePaidAndNothingAboutUsers(t *testing.T) {
	r, server := startOnSnowflake(t)
	admin := r.admin(t)
	path := admin.newItem("a secret title")
	server.Reset()
	admin.do("GET", path, nil, "X-Request-ID", "the-id", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is(http.StatusOK)
	sent := server.Requests()
	require.Len(t, sent, 1)
	assert.JSONEq(t, fmt.Sprintf(`{"app":"echo-in-snowflake","v":%q,"route":"/api/v1/items/:id","rid":"the-id","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}`, version()), sent[0].Tag)

	server.Reset()
	admin.do("PATCH", "/users/me", fields{"email": "someone.new@example.com"}).is(http.StatusOK)
	for _, q := range server.Requests() {
		assert.Contains(t, q.Tag, `"route":"/api/v1/users/me"`, q.SQL)
		assert.NotContains(t, q.Tag, "someone")
	}
}

func TestALogLineSaysWhatTheRequestCostInSnowflake(t *testing.T) {
	r, server := startOnSnowflake(t)
	admin := r.admin(t)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Delay: 30 * time.Millisecond}
	})
	for range 3 {
		admin.newItem("one")
	}
	r.logs.TakeAll()
	admin.do("GET", "/items/", nil).is(http.StatusOK)
	line := r.logs.FilterMessage("request").All()[0].ContextMap()
	assert.Equal(t, int64(1), line["statements"])
	assert.Equal(t, int64(3), line["rows"])
	assert.GreaterOrEqual(t, line["store_ms"], 30.0)
	assert.Less(t, line["store_ms"], line["duration_ms"])
	assert.Contains(t, line, "store_wait_ms")
}

func TestServerTimingIsOnRepliesWhenItIsSwitchedOnAndNeverOnASignIn(t *testing.T) {
	r, _ := startOnSnowflake(t, "--server-timing=true")
	login := r.client(t).do("POST", "/auth/login", signInForm(adminEmail, goodPassword)).is(http.StatusOK)
	assert.Empty(t, login.header.Get("Server-Timing"))
	assert.Regexp(t, `^store;dur=\d+\.\d, wait;dur=\d+\.\d, statements;desc="1"$`, r.admin(t).do("GET", "/items/", nil).header.Get("Server-Timing"))
}

func TestNothingSecretIsLoggedOfSnowflake(t *testing.T) {
	r, server := startOnSnowflake(t)
	admin := r.admin(t)
	admin.newAccount("ann@example.com")
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
	admin.do("POST", "/users/", fields{"email": "ben@example.com", "password": goodPassword}).is(http.StatusServiceUnavailable)
	server.Stop()
	admin.do("PATCH", "/users/me", fields{"email": "ben@example.com"}).is(http.StatusServiceUnavailable)

	hash := server.Exec("SELECT password_hash FROM users").Rows[0][0].(string)
	for _, entry := range r.logs.All() {
		line := fmt.Sprint(entry.Message, entry.ContextMap())
		for _, secret := range []string{goodPassword, snowflakePassword, randomKey, hash, admin.token, "ann@example.com", "ben@example.com", "token-"} {
			assert.NotContains(t, line, secret)
		}
	}
}

func TestTheOperatorsCommandsReachSnowflake(t *testing.T) {
	r, server := startOnSnowflake(t)
	const email, first, second = "root@example.com", "the first of two passwords", "the second of two passwords"
	x := executeUntil(t.Context(), first, "superuser", "create", "--email="+email)
	require.Equal(t, exitOK, x.code, x.stderr)
	before := r.client(t).signIn(email, first)
	before.do("GET", "/users/", nil).is(http.StatusOK)

	x = executeUntil(t.Context(), second, "superuser", "reset-password", "--email="+email)
	require.Equal(t, exitOK, x.code, x.stderr)
	before.do("GET", "/users/", nil).refused(http.StatusUnauthorized, "signed_out")
	r.client(t).signIn(email, second)

	x = executeUntil(t.Context(), first, "superuser", "create", "--email="+email)
	assert.Equal(t, exitFailed, x.code)
	assert.Contains(t, x.stderr, "email_taken")

	server.Stop()
	x = executeUntil(t.Context(), first, "superuser", "create", "--email=other@example.com")
	assert.Equal(t, exitFailed, x.code)
	assert.Contains(t, x.stderr, "unavailable")
}
