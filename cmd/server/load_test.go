package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// dispatcher distributes requests over two instances as a platform does: only to instances whose last
// reply at /readyz was 200.
type dispatcher struct {
	instances [2]atomic.Pointer[testService]
	ready     [2]atomic.Bool
	turn      atomic.Uint32
}

// probe asks both instances periodically until ctx ends.
func (d *dispatcher) probe(ctx context.Context) {
	for ctx.Err() == nil {
		for i := range d.instances {
			d.ready[i].Store(d.instances[i].Load().status("/readyz") == http.StatusOK)
		}
		time.Sleep(pollInterval)
	}
}

// pick returns the origin of the next ready instance in turn, or "" if none is ready.
func (d *dispatcher) pick() string {
	first := int(d.turn.Add(1))
	for n := range d.instances {
		if i := (first + n) % len(d.instances); d.ready[i].Load() {
			return d.instances[i].Load().origin
		}
	}
	return ""
}

func TestRestartingInstancesInTurnLosesNoRequest(t *testing.T) {
	const clients, restarts, between = 8, 4, 500
	noLeaks(t)
	store, config := memory.New(), productionConfig(t)
	startOne := func() *testService { return startService(t, store, config, "--shutdown-delay=300ms") }
	var d dispatcher
	for i := range d.instances {
		d.instances[i].Store(startOne())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { d.probe(ctx) })
	ready := func(i int) func() bool { return d.ready[i].Load }
	for i := range d.instances {
		require.Eventually(t, ready(i), waitLimit, pollInterval)
	}
	token := d.instances[0].Load().client(t).signIn(adminEmail, goodPassword).token

	var created, lost atomic.Int64
	for range clients {
		background.Go(func() {
			transport := &http.Transport{} // keeps its connections alive
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := createItem(transport, d.pick(), token); err != nil {
					lost.Add(1)
					t.Error(err)
					return
				}
				created.Add(1)
			}
		})
	}
	traffic := func() {
		until := created.Load() + between
		require.Eventually(t, func() bool { return created.Load() >= until || lost.Load() > 0 }, 3*waitLimit, pollInterval)
	}
	for n := range restarts {
		traffic()
		i := n % len(d.instances)
		old := d.instances[i].Load()
		old.stop()
		require.NoError(t, <-old.stopped)
		require.False(t, d.ready[i].Load())
		d.instances[i].Store(startOne())
		require.Eventually(t, ready(i), waitLimit, pollInterval)
	}
	traffic()
	cancel()
	background.Wait()

	assert.Zero(t, lost.Load())
	admin := newServiceOn(t, store, config, "--shutdown-delay=0s").client(t).signIn(adminEmail, goodPassword)
	kept := admin.request("GET", "/items/?limit=1", nil)
	assert.EqualValues(t, created.Load(), kept.field("count"), "each successful request took effect exactly once")
}

func createItem(via http.RoundTripper, origin, token string) error {
	req, err := http.NewRequest(http.MethodPost, origin+"/api/v1/items/", strings.NewReader(`{"title":"Snow shovel"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	response, err := via.RoundTrip(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}

func TestConnectionsThatSendNoHeaderAreClosedWhileOthersAreServed(t *testing.T) {
	noLeaks(t)
	r := newService(t, "--request-timeout=500ms")
	admin := r.admin(t)
	var halfOpen sync.WaitGroup
	var closed atomic.Int32
	const connections = 200
	for i := range connections {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.origin, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = io.WriteString(conn, []string{"", "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "}[i%2])
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(waitLimit)))
		halfOpen.Go(func() {
			if rest, err := io.ReadAll(conn); assert.NoError(t, err, "the server should close the connection") {
				assert.Empty(t, rest)
			}
			closed.Add(1)
		})
	}
	for served := 0; closed.Load() < connections; served++ {
		require.Equal(t, http.StatusOK, admin.request("GET", "/users/me", nil).status, "after %d requests", served)
	}
	halfOpen.Wait()
	assert.Equal(t, http.StatusOK, admin.request("GET", "/users/me", nil).status)
}

func TestAFloodOfSignInsTakesLimitedMemory(t *testing.T) {
	noLeaks(t)
	const attempts = 300
	r := startServiceWith(t, nil, standardSignInCost(), "--source-header=X-Client-Name").waitUntilReady(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	statuses := make(chan int, attempts)
	var flood sync.WaitGroup
	for i := range attempts {
		flood.Go(func() {
			// A third of the passwords is right. The others are for one account or for none.
			form := signInForm(adminEmail, adminPassword)
			switch i % 3 {
			case 1:
				form = signInForm("ann@example.com", goodPassword)
			case 2:
				form = signInForm(fmt.Sprintf("unknown%d@example.com", i), goodPassword)
			}
			statuses <- signInStatus(t, transport, r.origin, form, fmt.Sprint("source ", i))
		})
	}
	expected := []int{
		http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
	for range attempts {
		require.Equal(t, http.StatusOK, r.status("/livez"))
		require.Equal(t, http.StatusOK, r.status("/readyz"))
		assert.Contains(t, expected, <-statuses)
	}
	flood.Wait()

	runtime.ReadMemStats(&after)
	const hash = 19 << 20 // bytes
	most := uint64(3*hash*runtime.GOMAXPROCS(0) + 128<<20)
	assert.Less(t, after.Sys-before.Sys, most, "%d concurrent hashes would take %d", attempts, attempts*hash)
	r.admin(t)
}

// Package security tests the order of hashing. The limit on failures of a source is only one part of this.
func TestAFloodOfSignInsFromOneSourceDisablesNobody(t *testing.T) {
	noLeaks(t)
	const connections, good = 80, 10
	r := startServiceWith(t, nil, standardSignInCost(), "--source-header=X-Client-Name").waitUntilReady(t)
	admin := r.admin(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	var sent atomic.Int64
	for i := range connections {
		flood.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				form := signInForm(fmt.Sprintf("unknown%d.%d@example.com", i, n), goodPassword)
				status := signInStatus(t, transport, r.origin, form, "the flood")
				assert.Contains(t, []int{
					http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable,
				}, status)
				sent.Add(1)
				time.Sleep(50 * time.Millisecond) // the requests themselves must not be the load
			}
		})
	}
	require.Eventually(t, func() bool { return sent.Load() > connections }, waitLimit, pollInterval)
	for i := range good {
		form := signInForm(adminEmail, adminPassword)
		assert.Equal(t, http.StatusOK, signInStatus(t, transport, r.origin, form, fmt.Sprint("source ", i)))
		body := fields{"email": fmt.Sprint(i, "@example.com"), "password": goodPassword}
		admin.request("POST", "/users/", body, "X-Client-Name", "the flood").is(http.StatusCreated)
	}
}

// signInStatus signs in from the given source, if the service trusts X-Client-Name.
func signInStatus(t *testing.T, via http.RoundTripper, origin string, form url.Values, source string) int {
	req, err := http.NewRequest(http.MethodPost, origin+"/api/v1/auth/login", bytes.NewReader([]byte(form.Encode())))
	if !assert.NoError(t, err) {
		return 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Client-Name", source)
	response, err := via.RoundTrip(req)
	if !assert.NoError(t, err) {
		return 0
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	assert.NoError(t, err)
	return response.StatusCode
}

func TestClientsThatDoNotReadTakeLimitedMemory(t *testing.T) {
	noLeaks(t)
	const clients = 40
	r := newService(t)
	admin := r.admin(t)
	longest := strings.Repeat("\x01", domain.MaxDescription) // six bytes each in JSON
	for range 250 {
		admin.request("POST", "/items/", fields{"title": "x", "description": longest}).is(http.StatusCreated)
	}
	admin.request("GET", "/items/?limit=250", nil).is(http.StatusOK)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	statuses := map[string]int{}
	for range clients {
		conn := r.dial(t)
		fmt.Fprintf(conn, "GET /api/v1/items/?limit=250 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", admin.token)
		status := make([]byte, len("HTTP/1.1 200"))
		_, err := io.ReadFull(conn, status) // and no more
		require.NoError(t, err)
		statuses[string(status)]++
	}
	runtime.ReadMemStats(&after)
	t.Log(statuses, (after.Sys-before.Sys)>>20, "MiB")
	assert.Less(t, after.Sys-before.Sys, uint64(64<<20), "%d pages of 8 MiB take %d MiB", clients, clients*8)
	assert.Positive(t, statuses["HTTP/1.1 200"])
	assert.Positive(t, statuses["HTTP/1.1 503"])
	assert.Equal(t, http.StatusOK, r.status("/livez"))
	admin.request("GET", "/users/me", nil).is(http.StatusOK)
}
