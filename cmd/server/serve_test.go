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
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// noLeaks fails the test if its goroutines are still running after all other cleanups.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// status requests a path that openapi.yaml does not contain. It returns the status of the response, or 0
// if there is none.
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

func TestTheServiceServesButIsNotReadyUntilTheStoreIsAvailable(t *testing.T) {
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

func TestALaterOutageOfTheStoreLeavesTheServiceReady(t *testing.T) {
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

// wired returns a service that is not started. Its store has a fault in the creation of the first
// superuser.
func wired(t *testing.T, f fault) (*service, config.Config) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	cfg, err := config.Load(flags)
	require.NoError(t, err)
	store := storage{Store: faultyStore{memory.New(), f.in("CreateFirstSuperuser")}}
	svc, err := wire(cfg, store, telemetry.None(), loggers{zap.NewNop(), zap.NewNop()}, cheapSignInCost())
	require.NoError(t, err)
	return svc, cfg
}

// The next tests run in a bubble of synctest, whose clock moves only while all its goroutines wait.

func TestTheServiceIsReadySoonAfterTheStoreIsBack(t *testing.T) {
	for _, lasts := range []time.Duration{0, time.Second, 2 * time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away outage
				away.Store(true)
				time.AfterFunc(lasts, func() { away.Store(false) })
				begin := time.Now()
				svc, _ := wired(t, away.fault)
				require.NoError(t, svc.start(t.Context(), zap.NewNop()))
				assert.Equal(t, httpapi.Ready, svc.http.State())
				assert.GreaterOrEqual(t, time.Since(begin), lasts)
				assert.Less(t, time.Since(begin), lasts+5*time.Second)
			})
		})
	}
}

func TestAStoreThatHangsAtTheStartIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		svc, _ := wired(t, func(ctx context.Context) error {
			if calls++; calls == 1 {
				return hanging(ctx)
			}
			return nil
		})
		require.NoError(t, svc.start(t.Context(), zap.NewNop()))
		assert.Equal(t, httpapi.Ready, svc.http.State())
	})
}

func TestAStopMakesTheServiceUnreadyImmediatelyAndEndsItAfterTheDelay(t *testing.T) {
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

// inProduction returns the configuration of a service on Snowflake with the given first password.
func inProduction(password string) config.Config {
	return config.Config{
		Storage: config.StorageSnowflake, HTTPAddr: ":8000", APIV1Prefix: "/api/v1", RequestTimeout: time.Second,
		JWTSecretKey: config.NewSecret(randomKey), AccessTokenLifetime: time.Hour, PasswordSignIn: true,
		FirstSuperuser: adminEmail, FirstSuperuserPassword: config.NewSecret(password),
	}
}

func TestAFirstPasswordThatIsNotAllowedEndsOnlyAStartThatUsesIt(t *testing.T) {
	noLeaks(t)
	store := storage{Store: memory.New()}
	serve := func(ctx context.Context, password string, log *zap.Logger) error {
		cfg := inProduction(password)
		svc, err := wire(cfg, store, telemetry.None(), loggers{log, log}, cheapSignInCost())
		require.NoError(t, err)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return svc.serve(ctx, cfg, listener, log)
	}
	err := serve(t.Context(), "password123", zap.NewNop())
	assert.EqualError(t, err, "the configuration cannot be used:\n"+
		"FIRST_SUPERUSER_PASSWORD: is one of the commonest passwords: choose another")
	assert.ErrorAs(t, err, new(configError))
	err = serve(t.Context(), "admin@example.com", zap.NewNop())
	assert.ErrorContains(t, err, "FIRST_SUPERUSER_PASSWORD: is little more than the e-mail address")
	had, err := store.HadFirstSuperuser(t.Context())
	require.NoError(t, err)
	assert.False(t, had)

	for _, password := range []string{goodPassword, "password123"} {
		ctx, stop := context.WithCancel(t.Context())
		ready := zap.Hooks(func(line zapcore.Entry) error {
			if line.Message == "ready" {
				stop()
			}
			return nil
		})
		core, _ := observer.New(zap.InfoLevel)
		assert.NoError(t, serve(ctx, password, zap.New(core, ready)), password)
	}
}

func TestInDevelopmentTheLogNamesTheDocumentationAndTheDefaultSignIn(t *testing.T) {
	const docs = "API documentation: http://127.0.0.1:8000/v9/docs"
	const signIn = "sign in as admin@example.com with the password changethis"
	development := config.Config{
		Docs: true, PasswordSignIn: true,
		Storage: config.StorageMemory, HTTPAddr: "127.0.0.1:8000", APIV1Prefix: "/v9",
		FirstSuperuser: config.DefaultSuperuser, FirstSuperuserPassword: config.NewSecret(config.DefaultPassword),
	}
	otherPassword, otherAccount := development, development
	otherPassword.FirstSuperuserPassword = config.NewSecret(goodPassword)
	otherAccount.FirstSuperuser = "ann@example.com"
	for name, tt := range map[string]struct {
		cfg  config.Config
		want []string
	}{
		"the documented sign-in":        {development, []string{docs, signIn}},
		"another password is not shown": {otherPassword, []string{docs}},
		"another account is not shown":  {otherAccount, []string{docs}},
		"production shows nothing":      {inProduction(config.DefaultPassword), nil},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			welcome(tt.cfg, "http://127.0.0.1:8000", zap.New(core))
			var got []string
			for _, line := range logs.All() {
				got = append(got, line.Message)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// The next tests use the real clock.

func TestAListenerThatFailsEndsTheService(t *testing.T) {
	noLeaks(t)
	svc, cfg := wired(t, hanging)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	assert.ErrorIs(t, svc.serve(t.Context(), cfg, listener, zap.NewNop()), net.ErrClosed)
}

func TestTheServiceCanBeStoppedBeforeItIsReady(t *testing.T) {
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

func TestStoppingLosesNeitherRunningNorLateRequests(t *testing.T) {
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
		assert.Fail(t, "it stopped while a request was running", err)
	default:
	}

	block.open()
	assert.Equal(t, http.StatusOK, (<-slow).status)
	assert.NoError(t, <-r.stopped)
	assert.Equal(t, 1, r.logs.FilterMessage("stopped").Len())
}

func TestARequestThatOutlastsTheShutdownIsCutOffAndReported(t *testing.T) {
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
		// The transport retries a request whose connection has served another one.
		_, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		cut <- err
	}()
	defer block.open()
	<-block.arrived

	r.stop()
	assert.ErrorContains(t, <-r.stopped, "requests were still running after 100ms")
	assert.ErrorIs(t, <-cut, io.EOF)
	assert.Zero(t, r.logs.FilterMessage("stopped").Len())
}

func TestARequestToAStoreThatHangsIsAnsweredWith503AtTheDeadline(t *testing.T) {
	noLeaks(t)
	const deadline = 300 * time.Millisecond
	r := newServiceOn(t, faultyStore{memory.New(), fault(hanging).in("Items")}, "--request-timeout="+deadline.String())
	admin := r.admin(t)
	begin := time.Now()
	admin.request("GET", "/items/", nil).refused(http.StatusServiceUnavailable, "unavailable")
	assert.GreaterOrEqual(t, time.Since(begin), deadline)
	assert.Equal(t, http.StatusOK, admin.request("GET", "/users/me", nil).status, "other requests do not wait")
}

func TestTheDefaultPasswordWorksOnLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{
		configFile(t, fields{}): http.StatusMisdirectedRequest,
		configFile(t, fields{"FIRST_SUPERUSER_PASSWORD": goodPassword}): http.StatusOK,
	} {
		r := newService(t, flag)
		for host, want := range map[string]int{"rebound.example": want, "localhost:8000": http.StatusOK} {
			req := r.client(t).newRequest("GET", "/livez", nil)
			req.Host = host
			r.client(t).send(req).is(want)
		}
	}
}
