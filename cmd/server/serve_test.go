package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// noLeaks fails the test if goroutines of it are left when all else is cleaned up.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// status asks for a path outside the contract and returns the status, or 0 if there is no answer.
func (r *testService) status(path string) int {
	reply, err := http.Get(r.origin + path)
	if err != nil {
		return 0
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode
}

func (r *testService) refusesConnections() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.origin, "http://"))
	if err == nil {
		conn.Close()
	}
	return err != nil
}

func TestItServesButIsNotReadyUntilTheStoreIsThere(t *testing.T) {
	noLeaks(t)
	var away outage
	away.Store(true)
	r := startService(t, faultyStore{memory.New(), fault(away.fault).in("CreateFirstSuperuser")})
	retried := func() bool { return r.logs.FilterMessage("the store is not ready").Len() > 1 }
	require.Eventually(t, retried, waitLimit, pollInterval)

	assert.Equal(t, http.StatusOK, r.status("/livez"))
	assert.Equal(t, http.StatusServiceUnavailable, r.status("/readyz"))
	health := r.client(t).request("GET", "/health", nil)
	health.refused(http.StatusServiceUnavailable, "not_ready")
	assert.Equal(t, "1", health.header.Get("Retry-After"))

	away.Store(false)
	require.Eventually(t, func() bool { return r.status("/readyz") == http.StatusOK }, waitLimit, pollInterval)
	assert.Equal(t, http.StatusOK, r.client(t).request("GET", "/health", nil).status)
	r.admin(t)
}

func TestALaterOutageOfTheStoreIsNotAnUnreadyInstance(t *testing.T) {
	var away outage
	r := newServiceOn(t, faultyStore{memory.New(), fault(away.fault).in("Items")})
	admin := r.admin(t)
	away.Store(true)
	unavailable := admin.request("GET", "/items/", nil)
	unavailable.refused(http.StatusServiceUnavailable, "unavailable")
	assert.NotEmpty(t, unavailable.header.Get("Retry-After"))
	assert.Equal(t, http.StatusOK, r.status("/readyz"))

	away.Store(false)
	assert.Equal(t, http.StatusOK, admin.request("GET", "/items/", nil).status)
}

// wired is a service that does not serve yet, on a store with a fault on the way to the first
// superuser.
func wired(t *testing.T, f fault) (*service, config.Config) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	cfg, err := config.Load(flags)
	require.NoError(t, err)
	store := storage{Store: faultyStore{memory.New(), f.in("CreateFirstSuperuser")}}
	svc, err := wire(cfg, store, telemetry.None(), zap.NewNop(), cheapSignInCost())
	require.NoError(t, err)
	return svc, cfg
}

// What follows up to the next comment like this runs in a bubble whose clock moves only when
// everybody waits.

func TestItIsReadySoonAfterTheStoreIsBack(t *testing.T) {
	for _, lasts := range []time.Duration{0, time.Second, 2 * time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away outage
				away.Store(true)
				time.AfterFunc(lasts, func() { away.Store(false) })
				begin := time.Now()
				svc, _ := wired(t, away.fault)
				svc.start(t.Context(), zap.NewNop())
				assert.Equal(t, httpapi.Ready, svc.http.State())
				assert.GreaterOrEqual(t, time.Since(begin), lasts)
				assert.Less(t, time.Since(begin), lasts+5*time.Second)
			})
		})
	}
}

func TestAStoreThatHangsAtTheStartIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		svc, _ := wired(t, func(ctx context.Context) error {
			if calls++; calls == 1 {
				return hanging(ctx)
			}
			return nil
		})
		svc.start(t.Context(), zap.NewNop())
		assert.Equal(t, httpapi.Ready, svc.http.State())
	})
}

func TestItIsUnreadyAtOnceButStopsOnlyAfterTheDelay(t *testing.T) {
	for name, delay := range map[string]time.Duration{"in production": 2 * time.Second, "not in development": 0} {
		t.Run(name, func(t *testing.T) {
			if delay > 0 {
				production(t)
			}
			synctest.Test(t, func(t *testing.T) {
				svc, cfg := wired(t, nil)
				begin := time.Now()
				time.AfterFunc(time.Nanosecond, func() { assert.Equal(t, httpapi.Draining, svc.http.State()) })
				require.NoError(t, svc.drain(svc.http.HTTPServer(), cfg, zap.NewNop()))
				assert.Equal(t, delay, time.Since(begin))
				assert.Equal(t, httpapi.Draining, svc.http.State())
			})
		})
	}
}

// What follows runs by the real clock.

func TestAListenerThatFailsEndsIt(t *testing.T) {
	noLeaks(t)
	svc, cfg := wired(t, hanging)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	assert.ErrorIs(t, svc.serve(t.Context(), cfg, listener, zap.NewNop()), net.ErrClosed)
}

func TestItCanBeStoppedBeforeItIsReady(t *testing.T) {
	noLeaks(t)
	arrived := make(chan struct{}, 1)
	r := startService(t, faultyStore{memory.New(), func(ctx context.Context, _ string) error {
		arrived <- struct{}{}
		return hanging(ctx)
	}})
	<-arrived
	r.stop()
	assert.NoError(t, <-r.stopped)
	assert.True(t, r.refusesConnections())
}

func TestStoppingLosesNoRequestUnderWayAndNoneOfWhoHasNotNoticedYet(t *testing.T) {
	noLeaks(t)
	production(t)
	block := newGate()
	r := newServiceOn(t, faultyStore{memory.New(), fault(block.fault).in("Items")}, "--shutdown-delay=500ms")
	admin := r.client(t).signIn(adminEmail, goodPassword)
	slow := make(chan reply, 1)
	go func() {
		defer close(slow)
		slow <- admin.request("GET", "/items/", nil)
	}()
	defer block.open()
	<-block.arrived

	begin := time.Now()
	r.stop()
	require.Eventually(t, func() bool { return r.status("/readyz") == http.StatusServiceUnavailable }, waitLimit, pollInterval)
	admin.request("GET", "/health", nil).refused(http.StatusServiceUnavailable, "not_ready")
	late := admin.request("GET", "/users/me", nil)
	assert.Equal(t, http.StatusOK, late.status)

	require.Eventually(t, r.refusesConnections, waitLimit, pollInterval)
	assert.GreaterOrEqual(t, time.Since(begin), 500*time.Millisecond)
	select {
	case err := <-r.stopped:
		assert.Fail(t, "it stopped with a request under way", err)
	default:
	}

	block.open()
	assert.Equal(t, http.StatusOK, (<-slow).status)
	assert.NoError(t, <-r.stopped)
	assert.Equal(t, 1, r.logs.FilterMessage("stopped").Len())
}

func TestARequestThatDoesNotEndIsCutOffAndReported(t *testing.T) {
	noLeaks(t)
	block := newGate()
	r := newServiceOn(t, faultyStore{memory.New(), fault(block.fault).in("Items")}, "--request-timeout=100ms", "--shutdown-timeout=100ms")
	admin := r.admin(t)
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.origin+"/api/v1/items/", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+admin.token)
	cut := make(chan error, 1)
	go func() {
		// The request would be sent again if its connection had served another.
		_, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		cut <- err
	}()
	defer block.open()
	<-block.arrived

	r.stop()
	assert.ErrorContains(t, <-r.stopped, "requests were still under way after 100ms")
	assert.ErrorIs(t, <-cut, io.EOF)
	assert.Zero(t, r.logs.FilterMessage("stopped").Len())
}

func TestAStoreThatHangsIsA503AtTheDeadline(t *testing.T) {
	noLeaks(t)
	const deadline = 300 * time.Millisecond
	r := newServiceOn(t, faultyStore{memory.New(), fault(hanging).in("Items")}, "--request-timeout="+deadline.String())
	admin := r.admin(t)
	begin := time.Now()
	admin.request("GET", "/items/", nil).refused(http.StatusServiceUnavailable, "unavailable")
	assert.GreaterOrEqual(t, time.Since(begin), deadline)
	assert.Equal(t, http.StatusOK, admin.request("GET", "/users/me", nil).status, "others are not held up")
}
