package session

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
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
)

// scope names the source of spans and metrics.
const scope = "github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"

// newTracer returns the tracer for statements. The driver tells Snowflake the span of each statement.
func newTracer(traces trace.TracerProvider) trace.Tracer {
	return cmp.Or[trace.TracerProvider](traces, notraces.NewTracerProvider()).Tracer(scope)
}

// startSpan opens the span of a statement. The span shows the statement's text, which holds no values of
// users: these are bound.
func (c *conn) startSpan(ctx context.Context, text string) (context.Context, trace.Span) {
	name := strings.Fields(text)[0]
	if name == "WITH" {
		name = "SELECT"
	}
	ctx, span := c.connector.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		config := &c.connector.config
		span.SetAttributes(
			semconv.DBSystemNameKey.String("snowflake"), semconv.DBNamespace(config.Database+"|"+config.Schema),
			semconv.DBOperationName(name), semconv.DBQueryText(text))
	}
	return ctx, span
}

// endSpan ends the span of a statement. reply is the driver's.
func endSpan(span trace.Span, reply any, err error) {
	if !span.IsRecording() {
		return
	}
	if id := queryID(reply, err); id != "" {
		span.SetAttributes(attribute.String("snowflake.query_id", id))
	}
	if err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(errorType(err)...)
	}
	span.End()
}

// errorType describes an error by Snowflake's number, or by its Go type. A message could quote values.
func errorType(err error) []attribute.KeyValue {
	var refused *sf.SnowflakeError
	if !errors.As(err, &refused) {
		return []attribute.KeyValue{semconv.ErrorType(err)}
	}
	number := fmt.Sprintf("%06d", refused.Number) // as Snowflake writes it
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(number), semconv.DBResponseStatusCode(number)}
}

// queryID returns the id of a statement in QUERY_HISTORY.
func queryID(reply any, err error) string {
	var refused *sf.SnowflakeError
	if errors.As(err, &refused) {
		return refused.QueryID
	}
	if r, ok := reply.(interface{ GetQueryID() string }); ok && err == nil {
		return r.GetQueryID()
	}
	return ""
}

// registerMetrics reports the state of the pool and of the guard.
func (d *DB) registerMetrics(metrics metric.MeterProvider) error {
	return d.guard.Observe(metrics, scope, "snowflake", func() guard.PoolStats {
		stats := d.pool.Stats()
		return guard.PoolStats{Used: int64(stats.InUse), Idle: int64(stats.Idle), Max: int64(stats.MaxOpenConnections)}
	})
}
