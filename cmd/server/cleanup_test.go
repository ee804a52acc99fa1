package main

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// cleanupStore records when it cleans up.
type cleanupStore struct {
	ports.Store
	calls  chan time.Time
	failed error
}

func (s *cleanupStore) CleanUp(ctx context.Context, now time.Time) error {
	if requestinfo.FromContext(ctx).Route != "cleanup" || time.Since(now) > time.Second {
		panic("the query tag or the time is wrong")
	}
	s.calls <- now
	return s.failed
}

// idleListener accepts no connection: a network has no place in a bubble of synctest.
type idleListener struct{ closed chan struct{} }

func (l idleListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l idleListener) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (l idleListener) Close() error              { close(l.closed); return nil }

// runWithCleanups serves for d, and returns after which times the store cleaned up, and the log.
func runWithCleanups(t *testing.T, d time.Duration, failed error, flags ...string) ([]time.Duration, *observer.ObservedLogs) {
	t.Helper()
	store := &cleanupStore{memory.New(), make(chan time.Time, 1000), failed}
	core, logs := observer.New(zapcore.WarnLevel)
	log := zap.New(core)
	cfg := loadFlags(t, flags...)
	sink, err := startTelemetry(t.Context(), cfg, log)
	require.NoError(t, err)
	svc, err := wire(cfg, storage{Store: store}, sink, loggers{log, log}, cheapSignInCost())
	require.NoError(t, err)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, svc.serve(ctx, cfg, idleListener{make(chan struct{})}, log))
	assert.Less(t, time.Since(begin), d+time.Second, "the cleanup stops with the service")
	close(store.calls)
	var after []time.Duration
	for at := range store.calls {
		after = append(after, at.Sub(begin))
	}
	return after, logs
}

func TestTheServiceCleansUpEveryHourOrTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after, _ := runWithCleanups(t, 100*time.Hour, nil)
		assert.InDelta(t, 66, len(after), 17)
		last, gaps := time.Duration(0), map[time.Duration]bool{}
		for _, at := range after {
			gap := at - last
			assert.GreaterOrEqual(t, gap, time.Hour, "also from the start to the first one")
			assert.LessOrEqual(t, gap, 2*time.Hour)
			gaps[gap] = true
			last = at
		}
		assert.Greater(t, len(gaps), 10, "jitter keeps instances apart")
	})
}

func TestAReadOnlyServiceDoesNotCleanUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after, logs := runWithCleanups(t, 100*time.Hour, nil, "--read-only=true")
		assert.Empty(t, after)
		assert.Zero(t, logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("removed").Len())
	})
}

func TestACleanupThatFailsAgainAndAgainIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after, logs := runWithCleanups(t, 20*time.Hour, errors.New("no right to delete"))
		assert.Greater(t, len(after), 5)
		lines := logs.FilterMessage("ended sessions and clients could not be removed").All()
		require.Len(t, lines, 1)
		assert.Equal(t, zapcore.WarnLevel, lines[0].Level)
		assert.Equal(t, "no right to delete", lines[0].ContextMap()["error"])
	})
}
