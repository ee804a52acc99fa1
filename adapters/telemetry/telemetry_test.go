package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

const (
	validEndpoint = "http://127.0.0.1:4317"
	// gRPC cannot parse the zone of this address.
	unusableEndpoint = "http://[fe80::1%25eth0]:4317"
)

func options(traces, metrics string) Options {
	return Options{TracesEndpoint: traces, MetricsEndpoint: metrics, Name: "test", Version: "v1", Log: zap.NewNop()}
}

func TestAStartThatFailsLeavesNothingRunning(t *testing.T) {
	for name, tt := range map[string]struct {
		options Options
		want    string
	}{
		"no exporter of metrics": {options(validEndpoint, unusableEndpoint), "send metrics: "},
		"no exporter of traces":  {options(unusableEndpoint, validEndpoint), "send traces: "},
	} {
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			_, err := Start(t.Context(), tt.options)
			assert.ErrorContains(t, err, tt.want)
			goleak.VerifyNone(t, before)
		})
	}
}

func TestCloseStopsEverythingThatStartStarted(t *testing.T) {
	before := goleak.IgnoreCurrent()
	telemetry, err := Start(t.Context(), options(validEndpoint, ""))
	require.NoError(t, err)
	assert.NotEqual(t, None().Traces, telemetry.Traces)
	assert.Equal(t, None().Metrics, telemetry.Metrics, "it has no endpoint")
	require.NoError(t, telemetry.Close())
	goleak.VerifyNone(t, before)
}

func TestWithoutAnEndpointNothingRuns(t *testing.T) {
	before := goleak.IgnoreCurrent()
	telemetry, err := Start(t.Context(), options("", ""))
	require.NoError(t, err)
	assert.Equal(t, None(), telemetry)
	goleak.VerifyNone(t, before)
	assert.NoError(t, telemetry.Close())
}

func TestStartDoesNotWaitForACollector(t *testing.T) {
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer collector.Close() // It never accepts a connection.
	begin := time.Now()
	telemetry, err := Start(t.Context(), options("http://"+collector.Addr().String(), ""))
	require.NoError(t, err)
	assert.Less(t, time.Since(begin), closeTimeout)
	assert.NoError(t, telemetry.Close())
}

func TestCloseDoesNotWaitForACollectorThatIsAway(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000") // milliseconds, for one export
	before := goleak.IgnoreCurrent()
	away, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, away.Close())
	endpoint := "http://" + away.Addr().String()
	telemetry, err := Start(t.Context(), options(endpoint, endpoint))
	require.NoError(t, err)
	_, span := telemetry.Traces.Tracer("test").Start(t.Context(), "lost")
	span.End()
	assert.ErrorIs(t, telemetry.closeWithin(10*time.Millisecond), context.DeadlineExceeded)
	// The exporters end in the background. Other tests must not see their goroutines.
	ended := func() bool { return goleak.Find(before) == nil }
	require.Eventually(t, ended, time.Minute, 10*time.Millisecond)
}

func TestCloseWaitsTwoSecondsForAllProvidersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("failed")
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		fail := func(context.Context) error { return failed }
		telemetry := &Telemetry{close: []func(context.Context) error{hang, fail, hang}}
		begin := time.Now()
		err := telemetry.Close()
		assert.Equal(t, 2*time.Second, time.Since(begin))
		assert.ErrorIs(t, err, failed)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestATraceIDBeginsWithTheTimeInMinutes(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 34, 56, 0, time.UTC)
	generator := ids{func() time.Time { return now }}
	one, span := generator.NewIDs(t.Context())
	other, _ := generator.NewIDs(t.Context())
	minutes := time.Duration(binary.BigEndian.Uint32(one[:4])) * time.Minute
	assert.Equal(t, now.Truncate(time.Minute), time.Unix(0, 0).UTC().Add(minutes))
	assert.Equal(t, one[:4], other[:4])
	assert.NotEqual(t, one[4:], other[4:], "the rest is random")
	assert.True(t, span.IsValid())
	assert.NotEqual(t, span, generator.NewSpanID(t.Context(), one))
}
