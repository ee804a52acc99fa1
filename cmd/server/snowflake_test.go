package main

import (
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
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

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

// storeVariable is the environment variable that selects the store of tests: "fake" means a fake of Snowflake in this
// process, "fakesnow HOST:PORT" an emulator, and "postgres FOLDER:PORT" a PostgreSQL server on a Unix socket.
const storeVariable = "ECHO_TEST_STORE"

// openTestStore opens an empty store: the one that cfg or storeVariable selects.
func openTestStore(t testing.TB, cfg config.Config, sink *telemetry.Telemetry) storage {
	t.Helper()
	kind, where, _ := strings.Cut(os.Getenv(storeVariable), " ")
	switch {
	case cfg.Storage != config.StorageMemory || kind == "":
		opened, err := openStore(cfg, sink)
		require.NoError(t, err)
		return opened
	case kind == "fake":
		server := fakeSnowflake(t, engine.Rules{})
		return openTestTables(t, server.Host(), server.Port(), "s", cfg.RequestTimeout)
	case kind == "postgres":
		return openTestPostgres(t, where, cfg.RequestTimeout)
	}
	host, p, err := net.SplitHostPort(where)
	require.NoError(t, err)
	port, err := strconv.Atoi(p)
	require.NoError(t, err)
	schema := "s" + strings.ReplaceAll(newID(), "-", "")
	fakesnow := emulator.Emulator{Host: host, Port: port}
	require.NoError(t, fakesnow.CreateTables(context.Background(), "e2e", schema))
	return openTestTables(t, host, port, schema, cfg.RequestTimeout)
}

func openTestTables(t testing.TB, host string, port int, schema string, timeout time.Duration) storage {
	t.Helper()
	store, err := snowflake.Open(session.Options{
		Account: "test", Host: host, Port: port, Protocol: "http", Database: "e2e", Schema: schema,
		Auth: session.Auth{User: "u", Password: "p"}, RequestTimeout: timeout, Connections: 8,
	})
	require.NoError(t, err)
	return storage{Store: store, close: store.Close}
}

// fakeSnowflake starts a fake of Snowflake that has the tables of setup.sql.
func fakeSnowflake(t testing.TB, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	server := snowflaketest.New(t, rules)
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	return server
}

const snowflakePassword = "the password of the user in Snowflake"

// snowflakeConfig configures a service that uses server as its store.
func snowflakeConfig(t testing.TB, server *snowflaketest.Server) string {
	t.Helper()
	return configFile(t, fields{
		"HTTP_ADDR": "127.0.0.1:0", "SHUTDOWN_DELAY": "0s", "STORAGE": "snowflake",
		"JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
		"SNOWFLAKE_ACCOUNT": "test", "SNOWFLAKE_PROTOCOL": "http",
		"SNOWFLAKE_HOST": server.Host(), "SNOWFLAKE_PORT": server.Port(),
		"SNOWFLAKE_AUTH_TYPE": "password", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PASSWORD": snowflakePassword,
	})
}

// newServiceOnSnowflake is newService on a fake of Snowflake that an operator could have configured.
func newServiceOnSnowflake(t testing.TB, flags ...string) (*testService, *snowflaketest.Server) {
	t.Helper()
	server := fakeSnowflake(t, engine.Rules{})
	return newService(t, append(flags, snowflakeConfig(t, server))...), server
}

// newStore returns an empty store of the kind that storeVariable selects.
func newStore(t testing.TB) ports.Store {
	t.Helper()
	cfg := config.Config{Storage: config.StorageMemory, RequestTimeout: 10 * time.Second}
	return openTestStore(t, cfg, telemetry.None()).Store
}

// endToEnd lists the files whose tests run on every store.
var endToEnd = []string{
	"bearer_test.go", "body_test.go", "conditional_test.go", "contract_test.go", "credentials_test.go", "exchange_test.go",
	"fields_test.go", "fresh_test.go", "hostile_test.go", "lists_test.go", "logs_test.go", "races_test.go",
}

func TestTheServiceKeepsItsContractOnAFakeOfSnowflake(t *testing.T) {
	t.Parallel()
	endToEndOn(t, "fake")
}

func TestTheServiceKeepsItsContractOnAPeer(t *testing.T) {
	endToEndOn(t, peer(t))
}

// peer returns where the store of the package is that runs this test in a process of its own. Those packages start
// peers, and go test names them if they did not run.
func peer(t *testing.T) string {
	t.Helper()
	where := os.Getenv("ECHO_TEST_PEER")
	if where == "" {
		t.Skip("packages below this one run it")
	}
	return where
}

// endToEndOn runs the tests of the files endToEnd on the given store, in a process of their own.
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
	tests := exec.Command(program, "-test.run", "^("+strings.Join(names, "|")+")$", "-test.v", "-test.timeout=9m",
		"-test.parallel="+strconv.Itoa(runtime.GOMAXPROCS(0))) // an emulator is slow
	tests.Env = append(os.Environ(), storeVariable+"="+where)
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

func TestTheServiceStartsWhileSnowflakeIsAway(t *testing.T) {
	t.Parallel()
	server := fakeSnowflake(t, engine.Rules{})
	server.Stop()
	r := startService(t, nil, snowflakeConfig(t, server))
	r.waitUntilLogged(t, "the store is not ready", 2)
	assert.Equal(t, http.StatusOK, r.status("/livez"))
	assert.Equal(t, http.StatusServiceUnavailable, r.status("/readyz"))

	server.Start()
	back := time.Now()
	require.Eventually(t, func() bool { return r.status("/readyz") == http.StatusOK }, waitLimit, pollInterval)
	assert.Less(t, time.Since(back), 5*time.Second)
	r.admin(t)
}

func TestTheLogNamesAMissingTableUntilItExists(t *testing.T) {
	t.Parallel()
	server := fakeSnowflake(t, engine.Rules{})
	server.Exec("DROP TABLE items")
	r := startService(t, nil, snowflakeConfig(t, server))
	r.waitUntilLogged(t, "the store is not ready", 1)
	line := r.logs.FilterMessage("the store is not ready").All()[0].ContextMap()
	assert.Contains(t, line["error"], "table items: run setup.sql")
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	r.waitUntilReady(t)
}

func TestTheLogNamesTheConsistencyModeAndWhatItWeakens(t *testing.T) {
	t.Parallel()
	for mode, rules := range map[string]engine.Rules{"GLOBAL": {}, "SESSION": {StaleSessions: true}} {
		server := fakeSnowflake(t, rules)
		lines := newService(t, snowflakeConfig(t, server)).logs.FilterMessage("Snowflake").All()
		require.Len(t, lines, 1)
		line := lines[0].ContextMap()
		assert.Equal(t, mode, line["read_consistency_mode"])
		assert.Equal(t, mode == "SESSION", line["weakened"] != nil)
	}
}

func TestTheLogWarnsOnceIfSnowflakeKeepsDataOfUsersInTheQueryHistory(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"true": 1, "false": 0, "": 0} { // empty: the role may not read it
		server := fakeSnowflake(t, engine.Rules{Account: map[string]string{"ALLOW_BIND_VALUES_ACCESS": value}})
		server.Intercept(failsOnce("SELECT COUNT(*), COUNT(bootstrapped_at)")) // so that the store is checked twice
		logs := newService(t, snowflakeConfig(t, server)).logs
		lines := logs.FilterMessage("Snowflake keeps data of users in the query history")
		require.Equal(t, want, lines.Len(), value)
		for _, line := range lines.All() {
			assert.Equal(t, zapcore.WarnLevel, line.Level)
			assert.Contains(t, line.ContextMap()["exposed"], "ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE")
		}
	}
}

// failsOnce returns an interceptor that makes the first statement that begins with text fail.
func failsOnce(text string) func(*snowflaketest.Request) *snowflaketest.Fault {
	var failed atomic.Bool
	return func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, text) && !failed.Swap(true) {
			return &snowflaketest.Fault{Code: "604"}
		}
		return nil
	}
}

func TestTheServiceIsReadySoonAfterAHangingSnowflakeRecovers(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	r := startService(t, nil, snowflakeConfig(t, server))
	require.Eventually(t, func() bool { return len(server.Requests()) > 0 }, waitLimit, pollInterval)
	server.Intercept(nil)
	back := time.Now()
	r.waitUntilReady(t)
	assert.Less(t, time.Since(back), 5*time.Second)
}

func TestARefusedSnowflakeUserIsRetriedOnlyAfterAMinute(t *testing.T) {
	t.Parallel()
	server := fakeSnowflake(t, engine.Rules{})
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
	r := startService(t, nil, snowflakeConfig(t, server))
	r.waitUntilLogged(t, "the store is not ready", 1)
	line := r.logs.FilterMessage("the store is not ready").All()[0].ContextMap()
	assert.Contains(t, line["error"], "user or password refused by Snowflake")
	assert.Equal(t, time.Minute, line["next_try"])
}

func TestRequestsGet503WhileSnowflakeIsAwayAndSucceedSoonAfter(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	server.Stop()
	for range 10 {
		reply := admin.request("GET", "/items/", nil)
		reply.refused(http.StatusServiceUnavailable, "unavailable")
		assert.NotEmpty(t, reply.header.Get("Retry-After"))
	}
	assert.Equal(t, http.StatusOK, r.status("/readyz"))
	signIn := r.client(t).request("POST", "/auth/login", signInForm(adminEmail, goodPassword))
	signIn.refused(http.StatusServiceUnavailable, "unavailable")
	server.Start()
	back := time.Now()
	recovered := func() bool { return admin.request("GET", "/items/", nil).status == http.StatusOK }
	require.Eventually(t, recovered, waitLimit, pollInterval)
	assert.Less(t, time.Since(back), 5*time.Second)
}

func TestAWriteWhoseReplyIsLostIsReportedAsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	path := admin.newItem("once")
	server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, "UPDATE items") {
			return &snowflaketest.Fault{After: true, Drop: true}
		}
		return nil
	})
	change := fields{"title": "changed"}
	admin.request("PATCH", path, change).refused(http.StatusServiceUnavailable, "outcome_unknown")
	server.Intercept(nil)
	assert.Equal(t, "changed", admin.request("GET", path, nil).is(http.StatusOK).text("title"))
}

func TestANewItemWhoseReplyIsLostInSnowflakeIsFound(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, "INSERT INTO items") {
			return &snowflaketest.Fault{Drop: true, Late: 100 * time.Millisecond}
		}
		return nil
	})
	admin.request("POST", "/items/", fields{"title": "once"}).is(http.StatusCreated)
	assert.Len(t, admin.request("GET", "/items/", nil).rows(), 1)
}

func TestProbesAreAnsweredWhileAllConnectionsHang(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t, "--snowflake-connections=1", "--request-timeout=2s")
	admin := r.admin(t)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { admin.request("GET", "/items/", nil).is(http.StatusServiceUnavailable) })
	}
	start := time.Now()
	for _, probe := range []string{"/livez", "/readyz", "/api/v1/health"} {
		assert.Equal(t, http.StatusOK, r.status(probe))
	}
	assert.Less(t, time.Since(start), time.Second)
	all.Wait()
}

func TestNoRequestIsLostWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t, "--shutdown-delay=200ms")
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
					return // the service has stopped: a load balancer knows it by now
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
	time.Sleep(100 * time.Millisecond) // under load
	r.stop()
	for err := range r.stopped {
		assert.NoError(t, err)
	}
	close(ended)
	all.Wait()
}

func TestAStatementIsTaggedWithItsRouteAndNothingAboutUsers(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	path := admin.newItem("a secret title")
	server.Reset()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	get := admin.request("GET", path, nil, "X-Request-ID", "the-id", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	get.is(http.StatusOK)
	sent := server.Requests()
	require.Len(t, sent, 1)
	tag := `{"app":"echo-in-snowflake","v":%q,"route":"/api/v1/items/:id","rid":"the-id","trace":%q}`
	assert.JSONEq(t, fmt.Sprintf(tag, version(), trace), sent[0].Tag)

	server.Reset()
	admin.request("PATCH", "/users/me", fields{"email": "someone.new@example.com"}).is(http.StatusOK)
	for _, q := range server.Requests() {
		assert.Contains(t, q.Tag, `"route":"/api/v1/users/me"`, q.SQL)
		assert.NotContains(t, q.Tag, "someone")
	}
}

func TestALogLineHasTheCostOfTheRequestInSnowflake(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault {
		return &snowflaketest.Fault{Delay: 30 * time.Millisecond}
	})
	for range 3 {
		admin.newItem("one")
	}
	r.logs.TakeAll()
	admin.request("GET", "/items/", nil).is(http.StatusOK)
	line := r.logs.FilterMessage("request").All()[0].ContextMap()
	assert.Equal(t, int64(1), line["statements"])
	assert.Equal(t, int64(3), line["rows"])
	assert.GreaterOrEqual(t, line["store_ms"], 30.0)
	assert.Less(t, line["store_ms"], line["duration_ms"])
	assert.Contains(t, line, "store_wait_ms")
}

func TestServerTimingIsOptionalAndNeverInTheReplyToASignIn(t *testing.T) {
	t.Parallel()
	r, _ := newServiceOnSnowflake(t, "--server-timing=true")
	login := r.client(t).request("POST", "/auth/login", signInForm(adminEmail, goodPassword)).is(http.StatusOK)
	assert.Empty(t, login.header.Get("Server-Timing"))
	list := r.admin(t).request("GET", "/items/", nil)
	const timing = `^store;dur=\d+\.\d, wait;dur=\d+\.\d, statements;desc="1"$`
	assert.Regexp(t, timing, list.header.Get("Server-Timing"))
}

func TestErrorsOfSnowflakeAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	admin.newAccount("ann@example.com")
	server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
	newUser := fields{"email": "ben@example.com", "password": goodPassword}
	admin.request("POST", "/users/", newUser).is(http.StatusServiceUnavailable)
	server.Stop()
	admin.request("PATCH", "/users/me", fields{"email": "ben@example.com"}).is(http.StatusServiceUnavailable)

	hash := server.Exec("SELECT password_hash FROM users").Rows[0][0].(string)
	for _, entry := range r.logs.All() {
		line := fmt.Sprint(entry.Message, entry.ContextMap())
		for _, secret := range []string{
			goodPassword, snowflakePassword, randomKey, hash, admin.token, "ann@example.com", "ben@example.com", "token-",
		} {
			assert.NotContains(t, line, secret)
		}
	}
}

func TestTheOperatorsCommandsReachSnowflake(t *testing.T) {
	t.Parallel()
	server := fakeSnowflake(t, engine.Rules{})
	config := snowflakeConfig(t, server)
	r := newService(t, config)
	const email, first, second = "root@example.com", "the first of two passwords", "the second of two passwords"
	x := executeUntil(t.Context(), first, "superuser", "create", "--email="+email, config)
	require.Equal(t, exitOK, x.code, x.stderr)
	stored := server.Exec("SELECT password_hash FROM users WHERE email = ?", email).Rows[0][0]
	assert.Contains(t, stored, "$argon2id$v=19$m=19456,t=2,p=1$", "a command hashes at the standard cost")
	before := r.client(t).signIn(email, first)
	before.request("GET", "/users/", nil).is(http.StatusOK)

	x = executeUntil(t.Context(), second, "superuser", "reset-password", "--email="+email, config)
	require.Equal(t, exitOK, x.code, x.stderr)
	before.request("GET", "/users/", nil).refused(http.StatusUnauthorized, "signed_out")
	r.client(t).signIn(email, second)

	x = executeUntil(t.Context(), first, "superuser", "create", "--email="+email, config)
	assert.Equal(t, exitFailed, x.code)
	assert.Contains(t, x.stderr, "email_taken")

	server.Stop()
	x = executeUntil(t.Context(), first, "superuser", "create", "--email=other@example.com", config)
	assert.Equal(t, exitFailed, x.code)
	assert.Contains(t, x.stderr, "unavailable")
}
