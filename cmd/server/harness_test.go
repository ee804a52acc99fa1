package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

func TestMain(m *testing.M) {
	// What somebody has configured for the service of theirs is not for its tests.
	for _, k := range config.Keys() {
		os.Unsetenv(k.Name)
	}
	os.Exit(m.Run())
}

const (
	adminEmail    = "admin@example.com"
	adminPassword = "changethis" // in development
	goodPassword  = "correct horse battery staple"
)

// running is the whole service under test, over real HTTP.
type running struct {
	service *service
	sink    *telemetry.Telemetry
	cfg     config.Config
	origin  string // http://host:port
	logs    *observer.ObservedLogs
	stop    context.CancelFunc
	stopped <-chan error // what serve returned, then closed
}

// start runs the service with the given flags on a store of its own, and waits until it is ready.
func start(t testing.TB, flags ...string) *running {
	t.Helper()
	return startOn(t, nil, flags...)
}

// startOn is start on the given store.
func startOn(t testing.TB, store ports.Store, flags ...string) *running {
	t.Helper()
	r := launch(t, store, flags...)
	require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
	return r
}

// launch is startOn, except that it does not wait.
func launch(t testing.TB, store ports.Store, flags ...string) *running {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	require.NoError(t, fs.Parse(flags))
	cfg, err := config.Load(fs)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.InfoLevel)
	log := zap.New(core)
	sink, err := startTelemetry(t.Context(), cfg, log)
	require.NoError(t, err)
	opened := storage{Store: store}
	if store == nil {
		opened = openTestStore(t, cfg, sink)
	}
	svc, err := wire(cfg, opened, sink, log)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		defer close(stopped)
		stopped <- svc.serve(ctx, cfg, listener, log)
	}()
	r := &running{service: svc, sink: sink, cfg: cfg, origin: "http://" + listener.Addr().String(), logs: logs, stop: stop, stopped: stopped}
	t.Cleanup(func() {
		// Connections that were never used would keep the server waiting for their first request.
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		stop()
		for range stopped {
		}
		end(opened, sink, log)
	})
	return r
}

// fields is a JSON object to send.
type fields = map[string]any

// client is one who uses the service. The zero token sends none.
type client struct {
	t      testing.TB
	origin string
	token  string
}

func (r *running) client(t testing.TB) client { return client{t: t, origin: r.origin} }

// in is c within a subtest.
func (c client) in(t testing.TB) client {
	c.t = t
	return c
}

// admin is the first superuser, signed in.
func (r *running) admin(t testing.TB) client {
	t.Helper()
	return r.client(t).signIn(adminEmail, r.service.first.password)
}

// stranger has a good token of an account that the store does not know.
func (r *running) stranger(t testing.TB) client {
	t.Helper()
	tokens, err := newTokens(r.cfg)
	require.NoError(t, err)
	token, err := tokens.Issue(domain.Actor{ID: newID(), Epoch: 1, Superuser: true})
	require.NoError(t, err)
	return client{t, r.origin, token.Value}
}

func (c client) signIn(email, password string) client {
	c.t.Helper()
	reply := c.do("POST", "/auth/login", signInForm(email, password))
	require.Equal(c.t, http.StatusOK, reply.status, "%s", reply.body)
	c.token = reply.text("access_token")
	return c
}

func signInForm(email, password string) url.Values {
	return url.Values{"username": {email}, "password": {password}}
}

// newAccount creates an account, which c, a superuser, may do, and returns it signed in with its id.
func (c client) newAccount(email string, more ...string) (client, string) {
	c.t.Helper()
	fields := map[string]any{"email": email, "password": goodPassword}
	for _, flag := range more {
		fields[flag] = true
	}
	reply := c.do("POST", "/users/", fields)
	require.Equal(c.t, http.StatusCreated, reply.status, "%s", reply.body)
	return c.signIn(email, goodPassword), reply.text("id")
}

// newItem creates an item of c's and returns its path.
func (c client) newItem(title string) string {
	c.t.Helper()
	reply := c.do("POST", "/items/", map[string]any{"title": title})
	require.Equal(c.t, http.StatusCreated, reply.status, "%s", reply.body)
	return "/items/" + reply.text("id")
}

// reply is an answer that was checked against the document.
type reply struct {
	t    testing.TB
	call string // what it answers, for messages
	// operation is the id of the operation that gave it; empty when there is none.
	operation string
	status    int
	header    http.Header
	body      []byte
}

// do sends a request to a path below the prefix, and checks the answer against the document. body
// is a form, the text of a JSON document, a value to make one of, or nil. header holds names and
// values in turn.
func (c client) do(method, path string, body any, header ...string) reply {
	c.t.Helper()
	return c.at(method, "/api/v1"+path, body, header...)
}

// at is do with a path that says where it begins itself.
func (c client) at(method, path string, body any, header ...string) reply {
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
	return c.send(req)
}

func (c client) send(req *http.Request) reply {
	c.t.Helper()
	answer, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(c.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	r := reply{t: c.t, call: req.Method + " " + req.URL.Path, status: answer.StatusCode, header: answer.Header, body: body}
	if path, below := strings.CutPrefix(req.URL.Path, "/api/v1"); below {
		if route := operationOf(req.Method, path); route != nil {
			r.operation = route.Operation.OperationID
		}
	}
	checkReply(c.t, req, r)
	return r
}

// field returns a field of the answer's JSON object.
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
	require.True(r.t, ok, "%s is no text: %s", name, r.body)
	return text
}

// rows returns the data of a page.
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

// is2xx is is for any success.
func (r reply) is2xx() reply {
	r.t.Helper()
	require.Equal(r.t, 2, r.status/100, "%s: %d %s", r.call, r.status, r.body)
	return r
}

// refused asserts the status and the code of a problem document.
func (r reply) refused(status int, code string) {
	r.t.Helper()
	if assert.Equal(r.t, status, r.status, "%s: %s", r.call, r.body) {
		assert.Equal(r.t, code, r.text("code"), r.call)
	}
}

// faulted asserts a 422 that names exactly these locations, in any order.
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
