package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// goEnvironment is the environment for commands of Go, without the flags -race and -cover of this run. It has HOME,
// which the Snowflake store takes from the environment of this process.
var goEnvironment = append(os.Environ(), "GOFLAGS=")

func TestMain(m *testing.M) {
	// The environment may configure a service of the developer. Tests do not use that configuration.
	for _, k := range config.Keys() {
		os.Unsetenv(k.Name)
	}
	flag.Parse()
	if !isSet("test.parallel") {
		// Most tests wait for timers, not for a processor.
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	var err error
	if packageDir, err = os.MkdirTemp("", "echo-server-test"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(packageDir)
	os.Exit(code)
}

// isSet reports whether the command line has that flag.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// packageDir is a directory for files that several tests share.
var packageDir string

const (
	adminEmail    = "admin@example.com"
	adminPassword = config.DefaultPassword // in development
	goodPassword  = "correct horse battery staple"
)

// testService is the whole service, served over real HTTP.
type testService struct {
	service *service
	sink    *telemetry.Telemetry
	cfg     config.Config
	origin  string // http://host:port
	logs    *observer.ObservedLogs
	stop    context.CancelFunc
	stopped <-chan error // what serve returned, then closed
}

// newService starts the service with the given flags on an empty store, and waits until it is ready.
func newService(t testing.TB, flags ...string) *testService {
	t.Helper()
	return newServiceOn(t, nil, flags...)
}

// newServiceOn is newService on the given store.
func newServiceOn(t testing.TB, store ports.Store, flags ...string) *testService {
	t.Helper()
	return startService(t, store, flags...).waitUntilReady(t)
}

// startService is newServiceOn, but does not wait until the service is ready.
func startService(t testing.TB, store ports.Store, flags ...string) *testService {
	t.Helper()
	return startServiceWith(t, store, cheapSignInCost(), flags...)
}

// cheapSignInCost is for every test that does not test the cost of a sign-in.
func cheapSignInCost() signInCost {
	return signInCost{hasher: security.NewCheapPasswordHasher()}
}

// startServiceWith is startService with the given cost of sign-ins. A nil store means an empty one.
func startServiceWith(t testing.TB, store ports.Store, cost signInCost, flags ...string) *testService {
	t.Helper()
	return startChangedService(t, store, cost, func(*service) {}, flags...)
}

// startChangedService is startServiceWith, and calls change before the service serves.
func startChangedService(
	t testing.TB, store ports.Store, cost signInCost, change func(*service), flags ...string,
) *testService {
	t.Helper()
	cfg := loadFlags(t, flags...)
	core, logs := observer.New(zapcore.InfoLevel)
	log := zap.New(core)
	sink, err := startTelemetry(t.Context(), cfg, log)
	require.NoError(t, err)
	opened := storage{Store: store}
	if store == nil {
		opened = openTestStore(t, cfg, sink)
	}
	svc, err := wire(cfg, opened, sink, loggers{log, log}, cost)
	require.NoError(t, err)
	change(svc)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		defer close(stopped)
		stopped <- svc.serve(ctx, cfg, listener, log)
	}()
	r := &testService{
		service: svc, sink: sink, cfg: cfg, origin: "http://" + listener.Addr().String(),
		logs: logs, stop: stop, stopped: stopped,
	}
	t.Cleanup(func() {
		// The server would wait for the first request of connections that were never used.
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		stop()
		for range stopped {
		}
		shutdown(opened, sink, log)
	})
	return r
}

// loadFlags returns the configuration with these flags.
func loadFlags(t testing.TB, flags ...string) config.Config {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	require.NoError(t, fs.Parse(flags))
	cfg, err := config.Load(fs)
	require.NoError(t, err)
	return cfg
}

func (r *testService) waitUntilReady(t testing.TB) *testService {
	t.Helper()
	require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
	return r
}

// waitUntilLogged waits until the log has at least n lines with that message.
func (r *testService) waitUntilLogged(t testing.TB, message string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return r.logs.FilterMessage(message).Len() >= n }, waitLimit, pollInterval)
}

// configFile writes a configuration file and returns the flag that names it. Unlike the environment, it
// lets tests run in parallel.
func configFile(t testing.TB, values fields) string {
	t.Helper()
	content, err := json.Marshal(values) // JSON is YAML
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "config.yml")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return "--config=" + path
}

// productionConfig configures a service that clients on other machines can reach, on the memory store.
func productionConfig(t testing.TB) string {
	t.Helper()
	return configFile(t, fields{
		"HTTP_ADDR": ":0", "STORAGE": "memory",
		"JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
	})
}

// fields is a JSON object.
type fields = map[string]any

// client sends requests as one account, or without a token if token is empty.
type client struct {
	t      testing.TB
	origin string
	token  string
}

func (r *testService) client(t testing.TB) client { return client{t: t, origin: r.origin} }

// in returns c for use in a subtest.
func (c client) in(t testing.TB) client {
	c.t = t
	return c
}

// admin signs in as the first superuser.
func (r *testService) admin(t testing.TB) client {
	t.Helper()
	return r.client(t).signIn(adminEmail, r.cfg.FirstSuperuserPassword.Reveal())
}

// unknownAccount has a valid token of a superuser who is not in the store.
func (r *testService) unknownAccount(t testing.TB) client {
	t.Helper()
	tokens, err := newTokens(r.cfg)
	require.NoError(t, err)
	token, err := tokens.Issue(domain.Actor{ID: newID(), Epoch: 1, Superuser: true, AuthTime: now()})
	require.NoError(t, err)
	return client{t, r.origin, token.Value}
}

func (c client) signIn(email, password string) client {
	c.t.Helper()
	reply := c.request("POST", "/auth/login", signInForm(email, password))
	require.Equal(c.t, http.StatusOK, reply.status, "%s", reply.body)
	c.token = reply.text("access_token")
	return c
}

func refreshForm(token string) url.Values { return url.Values{"refresh_token": {token}} }

func signInForm(email, password string) url.Values {
	return url.Values{"username": {email}, "password": {password}}
}

// newAccount creates an account on behalf of c, a superuser. It returns a client that is signed in to the
// account, and the account's id. The flags, such as is_superuser, are set to true.
func (c client) newAccount(email string, flags ...string) (client, string) {
	c.t.Helper()
	body := fields{"email": email, "password": goodPassword}
	for _, flag := range flags {
		body[flag] = true
	}
	reply := c.request("POST", "/users/", body)
	require.Equal(c.t, http.StatusCreated, reply.status, "%s", reply.body)
	return c.signIn(email, goodPassword), reply.text("id")
}

// newItem creates an item that c owns and returns its path.
func (c client) newItem(title string) string {
	c.t.Helper()
	reply := c.request("POST", "/items/", fields{"title": title})
	require.Equal(c.t, http.StatusCreated, reply.status, "%s", reply.body)
	return "/items/" + reply.text("id")
}

// reply is a response that was checked against openapi.yaml.
type reply struct {
	t    testing.TB
	call string // method and path of the request, for messages
	// operation is the id of the operation in openapi.yaml, or empty for a path outside of it.
	operation string
	status    int
	header    http.Header
	body      []byte
}

// request sends a request to a path below /api/v1 and checks the response against openapi.yaml. body is
// a form, the text or the reader of a JSON document, a value to encode as JSON, or nil. header holds
// alternating names and values; an empty value removes that header.
func (c client) request(method, path string, body any, header ...string) reply {
	c.t.Helper()
	return c.requestAt(method, "/api/v1"+path, body, header...)
}

// requestAt is request with a path from the root.
func (c client) requestAt(method, path string, body any, header ...string) reply {
	c.t.Helper()
	return c.send(c.newRequest(method, path, body, header...))
}

func (c client) newRequest(method, path string, body any, header ...string) *http.Request {
	c.t.Helper()
	var content io.Reader = http.NoBody
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
		contentType = ""
	case url.Values:
		content, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	case string:
		content = strings.NewReader(b)
	case io.Reader:
		content = b
	default:
		encoded, err := json.Marshal(b)
		require.NoError(c.t, err)
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, c.origin+path, content)
	require.NoError(c.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return req
}

func (c client) send(req *http.Request) reply {
	c.t.Helper()
	return c.sendVia(http.DefaultTransport, req)
}

// sendVia sends req via that transport and checks the response against openapi.yaml.
func (c client) sendVia(transport http.RoundTripper, req *http.Request) reply {
	c.t.Helper()
	response, err := transport.RoundTrip(req)
	require.NoError(c.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	r := reply{
		t: c.t, call: req.Method + " " + req.URL.Path,
		status: response.StatusCode, header: response.Header, body: body,
	}
	if path, below := strings.CutPrefix(req.URL.Path, "/api/v1"); below {
		if route := operationOf(req.Method, path); route != nil {
			r.operation = route.Operation.OperationID
		}
	}
	checkReply(c.t, req, r)
	return r
}

// field returns a field of the JSON object in the body.
func (r reply) field(name string) any {
	r.t.Helper()
	var object map[string]any
	require.NoError(r.t, json.Unmarshal(r.body, &object), "%s", r.body)
	require.Contains(r.t, object, name)
	return object[name]
}

func (r reply) text(name string) string {
	r.t.Helper()
	text, ok := r.field(name).(string)
	require.True(r.t, ok, "%s is not a string: %s", name, r.body)
	return text
}

// rows returns the rows of a page.
func (r reply) rows() []map[string]any {
	r.t.Helper()
	var page struct{ Data []map[string]any }
	require.NoError(r.t, json.Unmarshal(r.body, &page), "%s", r.body)
	return page.Data
}

// is asserts the status and returns the reply.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, "%s: %s", r.call, r.body)
	return r
}

// is2xx asserts that the status is a success and returns the reply.
func (r reply) is2xx() reply {
	r.t.Helper()
	require.Equal(r.t, 2, r.status/100, "%s: %d %s", r.call, r.status, r.body)
	return r
}

// refused asserts that the reply is a problem document with that status and code.
func (r reply) refused(status int, code string) {
	r.t.Helper()
	if assert.Equal(r.t, status, r.status, "%s: %s", r.call, r.body) {
		assert.Equal(r.t, code, r.text("code"), r.call)
	}
}

// faulted asserts that the reply is a 422 that names exactly these locations, in any order.
func (r reply) faulted(locations ...string) {
	r.t.Helper()
	r.is(http.StatusUnprocessableEntity)
	assert.ElementsMatch(r.t, locations, r.faults(), "%s: %s", r.call, r.body)
}

// faults returns the locations that a 422 names.
func (r reply) faults() []string {
	r.t.Helper()
	var problem struct{ Errors []struct{ Location string } }
	require.NoError(r.t, json.Unmarshal(r.body, &problem), "%s", r.body)
	var locations []string
	for _, e := range problem.Errors {
		locations = append(locations, e.Location)
	}
	return locations
}
