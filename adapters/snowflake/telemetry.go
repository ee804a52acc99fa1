package snowflake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
// statement belongs to, and of BEGIN and what ends the transaction, which span that is in.
func newTracer(traces trace.TracerProvider) trace.Tracer {
	return cmp.Or[trace.TracerProvider](traces, notraces.NewTracerProvider()).Tracer(scope)
}

// span opens the span of a statement. Its text may be seen: all values are bound to it, save the place
// of a page.
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
		span.SetAttributes(errorOf(err)...)
	}
	span.End()
}

// errorOf says what kind an error is: by Snowflake's number, or else by its Go type. Messages quote
// values.
func errorOf(err error) []attribute.KeyValue {
	var refused *sf.SnowflakeError
	if !errors.As(err, &refused) {
		return []attribute.KeyValue{semconv.ErrorType(err)}
	}
	number := fmt.Sprintf("%06d", refused.Number) // as Snowflake writes it
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(number), semconv.DBResponseStatusCode(number)}
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
	sum := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		s, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = errors.Join(failed, err)
		return s
	}
	connections := sum("db.client.connection.count", "{connection}", "Connections by state.")
	most := sum("db.client.connection.max", "{connection}", "Connections at most.")
	waiting := sum("db.client.connection.pending_requests", "{request}", "Operations that wait for a connection.")
	breaker, err := meter.Int64ObservableGauge("echo.breaker.state",
		metric.WithDescription("Whether Snowflake is called: 0 always, 1 once, to see, 2 not at all."))
	if failed = errors.Join(failed, err); failed != nil {
		return failed
	}
	name := semconv.DBClientConnectionPoolName("snowflake")
	pool := metric.WithAttributes(name)
	used := metric.WithAttributes(name, semconv.DBClientConnectionStateUsed)
	idle := metric.WithAttributes(name, semconv.DBClientConnectionStateIdle)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := s.db.Stats()
		o.ObserveInt64(connections, int64(stats.InUse), used)
		o.ObserveInt64(connections, int64(stats.Idle), idle)
		o.ObserveInt64(most, int64(stats.MaxOpenConnections), pool)
		o.ObserveInt64(waiting, s.queue.waiting(), pool)
		o.ObserveInt64(breaker, int64(s.breaker.State()))
		return nil
	}, connections, most, waiting, breaker)
	return err
}
