package httpapi

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestAnAbortedRequestStopsCountingAsActive(t *testing.T) {
	s, _ := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		panic(http.ErrAbortHandler)
	}})
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
	var err error
	s.instruments, err = newInstruments(
		sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	require.NoError(t, err)
	assert.Panics(t, func() { send(s, "GET", "/api/v1/items/", nil) })

	assert.Len(t, spans.Ended(), 1)
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "http.server.active_requests" {
			assert.Zero(t, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		}
	}
}
