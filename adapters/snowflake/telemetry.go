package snowflake

import (
	"cmp"
	"context"
	"errors"
	"strings"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"
)

const scope = "github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"

// newTracer returns what makes the spans of statements. The driver sends on to Snowflake which span a
// statement belongs to.
func newTracer(traces trace.TracerProvider) trace.Tracer {
	return cmp.Or[trace.TracerProvider](traces, notraces.NewTracerProvider()).Tracer(scope)
}

// span opens the span of a statement. Its text may be seen, for all values are bound to it.
func (c *conn) span(ctx context.Context, text string) (context.Context, trace.Span) {
	name, _, _ := strings.Cut(text, " ")
	if name == "WITH" {
		name = "SELECT"
	}
	ctx, span := c.connector.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		config := &c.connector.config
		span.SetAttributes(semconv.DBSystemNameKey.String("snowflake"), semconv.DBNamespace(config.Database+"|"+config.Schema),
			semconv.DBOperationName(name), semconv.DBQueryText(text))
	}
	return ctx, span
}

// endSpan closes what span opened; answer is what the driver made of the statement.
func endSpan(span trace.Span, answer any, err error) {
	if !span.IsRecording() {
		return
	}
	if id := queryID(answer, err); id != "" {
		span.SetAttributes(attribute.String("snowflake.query_id", id))
	}
	if err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.End()
}

// queryID is the id under which QUERY_HISTORY knows a statement.
func queryID(answer any, err error) string {
	var refused *sf.SnowflakeError
	if errors.As(err, &refused) {
		return refused.QueryID
	}
	if answered, ok := answer.(interface{ GetQueryID() string }); ok && err == nil {
		return answered.GetQueryID()
	}
	return ""
}

// register has metrics read, whenever they are collected, from what s counts anyway. The names are
// those of OpenTelemetry's semantic conventions where those have one.
func (s *Store) register(metrics metric.MeterProvider) error {
	meter := cmp.Or[metric.MeterProvider](metrics, nometrics.NewMeterProvider()).Meter(scope)
	var failed error
	gauge := func(name, unit, description string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = errors.Join(failed, err)
		return g
	}
	connections := gauge("db.client.connection.count", "{connection}", "Connections by state.")
	most := gauge("db.client.connection.max", "{connection}", "Connections at most.")
	waiting := gauge("db.client.connection.pending_requests", "{request}", "Operations that wait for a connection.")
	breaker := gauge("echo.breaker.state", "1", "Whether Snowflake is called: 0 always, 1 once, to see, 2 not at all.")
	if failed != nil {
		return failed
	}
	used := metric.WithAttributes(semconv.DBClientConnectionStateUsed)
	idle := metric.WithAttributes(semconv.DBClientConnectionStateIdle)
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := s.db.Stats()
		o.ObserveInt64(connections, int64(stats.InUse), used)
		o.ObserveInt64(connections, int64(stats.Idle), idle)
		o.ObserveInt64(most, int64(stats.MaxOpenConnections))
		o.ObserveInt64(waiting, s.queue.waiting())
		o.ObserveInt64(breaker, int64(s.breaker.State()))
		return nil
	}, connections, most, waiting, breaker)
	return err
}
