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
)

// dispatcher spreads requests over two instances as a platform does: it sends none to an instance
// whose /readyz did not say 200 when it was last asked.
type dispatcher struct {
	instances [2]atomic.Pointer[testService]
	ready     [2]atomic.Bool
	turn      atomic.Uint32
}

// probe goes on asking until ctx ends.
func (d *dispatcher) probe(ctx context.Context) {
	for ctx.Err() == nil {
		for i := range d.instances {
			d.ready[i].Store(d.instances[i].Load().status("/readyz") == http.StatusOK)
		}
		time.Sleep(pollInterval)
	}
}

// pick returns the origin of a ready instance, each in its turn, or "" when there is none.
func (d *dispatcher) pick() string {
	first := int(d.turn.Add(1))
	for n := range d.instances {
		if i := (first + n) % len(d.instances); d.ready[i].Load() {
			return d.instances[i].Load().origin
		}
	}
	return ""
}

func TestRestartingOneInstanceAfterTheOtherLosesNoRequest(t *testing.T) {
	const clients, restarts, between = 8, 4, 500
	noLeaks(t)
	production(t)
	store := memory.New()
	launchOne := func() *testService { return startService(t, store, "--shutdown-delay=300ms") }
	var d dispatcher
	for i := range d.instances {
		d.instances[i].Store(launchOne())
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
			transport := &http.Transport{} // which keeps its connections alive
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
		d.instances[i].Store(launchOne())
		require.Eventually(t, ready(i), waitLimit, pollInterval)
	}
	traffic()
	cancel()
	background.Wait()

	assert.Zero(t, lost.Load())
	kept := newServiceOn(t, store, "--shutdown-delay=0s").client(t).signIn(adminEmail, goodPassword).request("GET", "/items/?limit=1", nil)
	assert.EqualValues(t, created.Load(), kept.field("count"), "what was answered took effect, and once")
}

func createItem(via http.RoundTripper, origin, token string) error {
	req, err := http.NewRequest(http.MethodPost, origin+"/api/v1/items/", strings.NewReader(`{"title":"Snow shovel"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := via.RoundTrip(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return err
}

func TestConnectionsThatSendNoHeaderAreClosedWhileOthersAreServed(t *testing.T) {
	noLeaks(t)
	r := newService(t, "--request-timeout=1s")
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

func TestAFloodOfSignInsIsAnsweredWithinBoundedMemory(t *testing.T) {
	noLeaks(t)
	const attempts = 300
	r := newService(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	statuses := make(chan int, attempts)
	var flood sync.WaitGroup
	for i := range attempts {
		flood.Go(func() {
			// One in three is right; the others are one account's or nobody's.
			form := signInForm(adminEmail, adminPassword)
			switch i % 3 {
			case 1:
				form = signInForm("ann@example.com", goodPassword)
			case 2:
				form = signInForm(fmt.Sprintf("nobody%d@example.com", i), goodPassword)
			}
			statuses <- signInStatus(t, transport, r.origin, form)
		})
	}
	for answered := 0; answered < attempts; answered++ {
		// The probes answer at any time.
		require.Equal(t, http.StatusOK, r.status("/livez"))
		require.Equal(t, http.StatusOK, r.status("/readyz"))
		assert.Contains(t, []int{http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable}, <-statuses)
	}
	flood.Wait()

	runtime.ReadMemStats(&after)
	const hash = 19 << 20 // bytes
	most := uint64(3*hash*runtime.GOMAXPROCS(0) + 128<<20)
	assert.Less(t, after.Sys-before.Sys, most, "%d hashes at once would take %d", attempts, attempts*hash)
	r.admin(t)
}

func signInStatus(t *testing.T, via http.RoundTripper, origin string, form url.Values) int {
	req, err := http.NewRequest(http.MethodPost, origin+"/api/v1/auth/login", bytes.NewReader([]byte(form.Encode())))
	if !assert.NoError(t, err) {
		return 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := via.RoundTrip(req)
	if !assert.NoError(t, err) {
		return 0
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	assert.NoError(t, err)
	return answer.StatusCode
}
