package main

import (
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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

const (
	// A probe that is under way at the signal may still be told 200. The next one, a period later, is
	// told 503, and one is enough for the gateway. So new requests come for little more than a
	// period; the rest of the delay is for a machine that is busy.
	probePeriod  = 50 * time.Millisecond
	servingDelay = 500 * time.Millisecond
	// killAfter is when SIGKILL follows SIGTERM in Snowpark Container Services.
	killAfter = 30 * time.Second
	// thinking is a client's pause before each request. It spreads the requests over the restarts.
	thinking = 5 * time.Millisecond
)

func TestTwentyRestartsUnderTenThousandRequestsLoseNone(t *testing.T) {
	const clients, restarts, requests = 8, 20, 10_000
	store := fakeSnowflake(t, engine.Rules{})
	configured(t, store)
	binary := buildBinary(t)
	var g gateway
	var started []*instance
	replace := func(n int) {
		i := startInstance(t, binary)
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
		// A loaded machine may be slow, but there is always a next request.
		for f.sent.Load() < int64(sent) {
			before := f.sent.Load()
			require.Eventually(t, func() bool { return f.sent.Load() > before }, killAfter, pollInterval)
		}
	}
	for n := range restarts {
		waitForTraffic(n * requests / restarts)
		n %= len(g.instances)
		g.instances[n].Load().stop(t)
		replace(n)
	}
	waitForTraffic(max(requests, int(f.sent.Load())+requests/restarts))
	cancel()
	all.Wait()

	assert.Empty(t, f.failed, "of %d requests", f.sent.Load())
	assert.Empty(t, store.Exec("SELECT id FROM items").Rows, "each item was there once, and then deleted")
	assert.Len(t, started, len(g.instances)+restarts)
	for _, i := range started {
		assert.Positive(t, i.answered.Load(), "requests that each process answered")
	}
}

// buildBinary builds the program as it is delivered and returns its path.
func buildBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "echo-in-snowflake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOFLAGS=") // no -race or -cover of this run
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

// instance is one process of the service, from its start to its end.
type instance struct {
	process
	addr     string
	ready    atomic.Bool  // by the last probe
	answered atomic.Int64 // requests
	ended    chan struct{}
}

// startInstance starts the service on the store that is configured, and waits until it is ready.
func startInstance(t *testing.T, binary string) *instance {
	t.Helper()
	i := &instance{
		process: startProcess(t, os.Environ(), binary, "--shutdown-delay="+servingDelay.String()),
		ended:   make(chan struct{}),
	}
	url := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`)
	for i.addr == "" {
		require.True(t, i.log.Scan(), "the log ended before it said where the service listens")
		if found := url.FindSubmatch(i.log.Bytes()); found != nil {
			i.addr = string(found[1])
		}
	}
	go func() {
		defer close(i.ended)
		for i.log.Scan() { // or the pipe would fill up
		}
		_ = i.Wait()
	}()
	go i.probe()
	require.Eventually(t, i.ready.Load, killAfter, pollInterval)
	return i
}

// probe asks whether i is ready until its process has ended.
func (i *instance) probe() {
	prober := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		answer, err := prober.Get("http://" + i.addr + "/readyz")
		i.ready.Store(err == nil && answer.StatusCode == http.StatusOK)
		if err == nil {
			answer.Body.Close()
		}
		select {
		case <-i.ended:
			return
		case <-time.After(probePeriod):
		}
	}
}

// stop ends the process as the platform does.
func (i *instance) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, i.Process.Signal(syscall.SIGTERM))
	select {
	case <-i.ended:
		assert.Equal(t, exitOK, i.ProcessState.ExitCode())
	case <-time.After(killAfter):
		require.Fail(t, "the platform would have killed it")
	}
}

// gateway stands before two instances as that of Snowpark Container Services stands before those of
// a service: it sends requests, each to the next in turn, only to those that are ready. It never
// tries again, which would hide what an instance lost.
type gateway struct {
	instances [2]atomic.Pointer[instance]
	turn      atomic.Uint32
}

// serve runs g and returns its origin.
func (g *gateway) serve(t *testing.T) string {
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: g,
		Rewrite:   func(*httputil.ProxyRequest) {}, // RoundTrip knows where to
	})
	// To each connection of a client belongs one to each instance, which is kept alive. A transport
	// that they share would also open some that it then does not use, which the service closes.
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
		answer, err := req.Context().Value(upstream{}).(*http.Transport).RoundTrip(sentOnce(req))
		if err == nil {
			i.answered.Add(1)
		}
		return answer, err
	}
	return nil, errors.New("no instance is ready")
}

// sentOnce keeps [http.Transport] from sending req again when a connection that it kept turns out to
// be closed. It does so with requests that have no body, or one with GetBody; real gateways need not.
func sentOnce(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	req.GetBody = nil
	return req
}

// traffic is what clients send, and what became of it.
type traffic struct {
	origin string
	sent   atomic.Int64 // requests

	mu     sync.Mutex
	failed map[string]int // how often, by what happened
}

// content is what is looked at of an answer.
type content struct {
	ID, Title, Description string
	Data                   []content // of a page
}

// client sends requests until ctx ends, as the only client of its account.
func (f *traffic) client(ctx context.Context, token string) {
	via := http.Client{Transport: &http.Transport{}, Timeout: killAfter}
	defer via.CloseIdleConnections()
	send := func(method, path, body string, status int) content {
		time.Sleep(thinking)
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
			f.fail("the account has not just the item that was created and changed")
		}
		send("DELETE", path, "", http.StatusNoContent)
	}
}

func (f *traffic) fail(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed[what]++
}

// ask sends one request. Any other status is an error.
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
	answer, err := via.Do(sentOnce(req))
	if err != nil {
		return c, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != status {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &c)
	}
	return c, err
}
