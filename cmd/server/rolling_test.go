package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	pgsession "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

const (
	// A probe that is under way at the signal may still get 200. The next one, a period later, gets 503,
	// and the gateway needs no more. So new requests come for little more than a period; the rest of
	// the delay is for a busy machine.
	probePeriod   = 50 * time.Millisecond
	shutdownDelay = 500 * time.Millisecond
	// killAfter is the time from SIGTERM to SIGKILL in Snowpark Container Services.
	killAfter = 30 * time.Second
	// clientPause is a client's pause before each request. It spreads the requests over the restarts.
	clientPause = 5 * time.Millisecond
)

// restartsVariable is the environment variable that says how often TestRestartsUnderLoadLoseNoRequest
// restarts an instance. The default is 3; the nightly run sets 20, which takes 10,000 requests.
const restartsVariable = "ECHO_TEST_RESTARTS"

func restarts(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(restartsVariable), "3"))
	require.NoError(t, err, restartsVariable)
	require.Positive(t, n, restartsVariable)
	return n
}

func TestRestartsUnderLoadLoseNoRequest(t *testing.T) {
	t.Parallel()
	store := fakeSnowflake(t, engine.Rules{})
	restartUnderLoad(t, snowflakeConfig(t, store))
	hash := store.Exec("SELECT password_hash FROM users").Rows[0][0]
	assert.Contains(t, hash, "$argon2id$v=19$m=19456,t=2,p=1$", "the program hashes at the standard cost")
	assert.Empty(t, store.Exec("SELECT id FROM items").Rows, "each item was created once, and then deleted")
}

func TestRestartsUnderLoadLoseNoRequestOnPostgreSQL(t *testing.T) {
	options := postgresPeer(t)
	restartUnderLoad(t, postgresConfig(t, options))
	conn, err := pgsession.Connect(t.Context(), options)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var items int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM items").Scan(&items))
	assert.Zero(t, items, "each item was created once, and then deleted")
}

// restartUnderLoad replaces the instances of a service with that configuration in turn, while clients use it.
func restartUnderLoad(t *testing.T, config string) {
	const clients, perRestart = 8, 500
	restarts := restarts(t)
	requests := restarts * perRestart
	binary := builtBinary(t)
	var g gateway
	var started []*instance
	replace := func(n int) {
		i := startInstance(t, binary, config)
		started = append(started, i)
		g.instances[n].Store(i)
	}
	for n := range g.instances {
		replace(n)
	}

	f := traffic{origin: g.serve(t), failed: map[string]int{}}
	admin := client{t: t, origin: f.origin}.signIn(adminEmail, goodPassword)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for n := range clients {
		c, _ := admin.newAccount(fmt.Sprintf("client%d@example.com", n))
		all.Go(func() { f.client(ctx, c.token) })
	}
	waitForTraffic := func(sent int) {
		t.Helper()
		// A loaded machine may be slow, but there must always be a next request.
		for f.sent.Load() < int64(sent) {
			before := f.sent.Load()
			require.Eventually(t, func() bool { return f.sent.Load() > before }, killAfter, pollInterval)
		}
	}
	for n := range restarts {
		waitForTraffic(n * perRestart)
		n %= len(g.instances)
		g.instances[n].Load().stop(t)
		replace(n)
	}
	waitForTraffic(max(requests, int(f.sent.Load())+perRestart))
	cancel()
	all.Wait()

	assert.Empty(t, f.failed, "of %d requests", f.sent.Load())
	assert.Len(t, started, len(g.instances)+restarts)
	for _, i := range started {
		assert.Positive(t, i.answered.Load(), "requests that each process answered")
	}
}

// builtBinary returns the path of the program as it is delivered. It builds it once.
func builtBinary(t *testing.T) string {
	t.Helper()
	binary, err := buildBinary()
	require.NoError(t, err)
	return binary
}

var buildBinary = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(packageDir, "echo-in-snowflake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
	build.Env = goEnvironment
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// instance is one process of the service, from its start to its end.
type instance struct {
	process
	addr     string
	ready    atomic.Bool  // by the last probe
	answered atomic.Int64 // requests
	ended    chan struct{}
}

// startInstance starts a process with the given configuration, and waits until it is ready.
func startInstance(t *testing.T, binary, config string) *instance {
	t.Helper()
	i := &instance{
		process: startProcess(t, nil, binary, config, "--shutdown-delay="+shutdownDelay.String()),
		ended:   make(chan struct{}),
	}
	url := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`)
	for i.addr == "" {
		require.True(t, i.log.Scan(), "the log ended before the address of the service")
		if found := url.FindSubmatch(i.log.Bytes()); found != nil {
			i.addr = string(found[1])
		}
	}
	go func() {
		defer close(i.ended)
		for i.log.Scan() { // otherwise the pipe fills up and blocks the process
		}
		_ = i.Wait()
	}()
	go i.probe()
	require.Eventually(t, i.ready.Load, killAfter, pollInterval)
	return i
}

// probe asks the readiness of i periodically until its process has ended.
func (i *instance) probe() {
	prober := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		response, err := prober.Get("http://" + i.addr + "/readyz")
		i.ready.Store(err == nil && response.StatusCode == http.StatusOK)
		if err == nil {
			response.Body.Close()
		}
		select {
		case <-i.ended:
			return
		case <-time.After(probePeriod):
		}
	}
}

// stop ends the process as Snowpark Container Services does.
func (i *instance) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, i.Process.Signal(syscall.SIGTERM))
	select {
	case <-i.ended:
		assert.Equal(t, exitOK, i.ProcessState.ExitCode())
	case <-time.After(killAfter):
		require.Fail(t, "the platform would kill the process now")
	}
}

// gateway distributes requests over two instances in turn, as the gateway of Snowpark Container Services
// does: only to instances that are ready. It never retries, because a retry would hide a lost request.
type gateway struct {
	instances [2]atomic.Pointer[instance]
	turn      atomic.Uint32
}

// serve runs g and returns its origin.
func (g *gateway) serve(t *testing.T) string {
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: g,
		Rewrite:   func(*httputil.ProxyRequest) {}, // RoundTrip chooses the instance
	})
	// Each connection of a client has its own connection to each instance, which is kept alive. A shared
	// transport would also open connections that it does not use and that the service closes.
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, upstream{}, &http.Transport{})
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// upstream is the key of the transport in a request's context.
type upstream struct{}

// RoundTrip sends req to an instance. An error becomes a 502.
func (g *gateway) RoundTrip(req *http.Request) (*http.Response, error) {
	first := int(g.turn.Add(1))
	for n := range g.instances {
		i := g.instances[(first+n)%len(g.instances)].Load()
		if !i.ready.Load() {
			continue
		}
		req.URL.Scheme, req.URL.Host = "http", i.addr
		response, err := req.Context().Value(upstream{}).(*http.Transport).RoundTrip(sentOnce(req))
		if err == nil {
			i.answered.Add(1)
		}
		return response, err
	}
	return nil, errors.New("no instance is ready")
}

// sentOnce keeps [http.Transport] from sending req again if a kept connection turns out to be closed.
// The transport retries requests without a body or with GetBody; a real gateway may not.
func sentOnce(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	req.GetBody = nil
	return req
}

// traffic counts the requests of all clients and their failures.
type traffic struct {
	origin string
	sent   atomic.Int64 // requests

	mu     sync.Mutex
	failed map[string]int // number of failures by description
}

// content holds the fields of a response that the test checks.
type content struct {
	ID, Title, Description string
	Data                   []content // of a page
}

// client sends requests until ctx ends. It is the only client of its account.
func (f *traffic) client(ctx context.Context, token string) {
	via := http.Client{Transport: &http.Transport{}, Timeout: killAfter}
	defer via.CloseIdleConnections()
	send := func(method, path, body string, status int) content {
		time.Sleep(clientPause)
		f.sent.Add(1)
		got, err := ask(via, token, method, f.origin+"/api/v1"+path, body, status)
		if err != nil {
			f.fail(fmt.Sprintf("%s: %v", method, err))
		}
		return got
	}
	for ctx.Err() == nil {
		created := send("POST", "/items/", `{"title":"Snow shovel"}`, http.StatusCreated)
		if created.ID == "" {
			continue
		}
		path := "/items/" + created.ID
		send("PATCH", path, `{"description":"Made of ash"}`, http.StatusOK)
		send("GET", "/users/me", "", http.StatusOK)
		page := send("GET", "/items/?limit=2&count=false", "", http.StatusOK)
		if !assert.ObjectsAreEqual([]content{{ID: created.ID, Title: "Snow shovel", Description: "Made of ash"}}, page.Data) {
			f.fail("the account does not have exactly the item that was created and changed")
		}
		send("DELETE", path, "", http.StatusNoContent)
	}
}

func (f *traffic) fail(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed[what]++
}

// ask sends one request and returns the response. Any other status is an error.
func ask(via http.Client, token, method, url, body string, status int) (content, error) {
	var c content
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return c, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	response, err := via.Do(sentOnce(req))
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &c)
	}
	return c, err
}
