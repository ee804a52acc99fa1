package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"
)

// instruments measure requests. Names follow OpenTelemetry's semantic conventions where these have one. Every
// label has a bounded set of values, because a collector keeps a series for each value.
type instruments struct {
	tracer     trace.Tracer
	untraced   bool // the tracer does nothing
	duration   metric.Float64Histogram
	active     metric.Int64UpDownCounter
	statements metric.Int64Histogram
}

const instrumentationScope = "github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"

func newInstruments(traces trace.TracerProvider, metrics metric.MeterProvider) (i instruments, err error) {
	traces = cmp.Or[trace.TracerProvider](traces, notraces.NewTracerProvider())
	i.tracer = traces.Tracer(instrumentationScope)
	_, i.untraced = traces.(notraces.TracerProvider)
	meter := cmp.Or[metric.MeterProvider](metrics, nometrics.NewMeterProvider()).Meter(instrumentationScope)
	if i.duration, err = meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(
			.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10)); err != nil {
		return i, err
	}
	if i.active, err = meter.Int64UpDownCounter("http.server.active_requests",
		metric.WithUnit("{request}"), metric.WithDescription("Number of requests in progress.")); err != nil {
		return i, err
	}
	i.statements, err = meter.Int64Histogram("echo.request.statements",
		metric.WithUnit("{statement}"), metric.WithDescription("Statements that a request sent to the database."),
		metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 5, 8, 13))
	return i, err
}

// begin counts a request as active and starts its span. The caller ends both. If the client sends a span
// context, the span becomes its child if trusted, and otherwise a link to it: Snowsight finds only traces
// whose id this service made (see package telemetry).
func (i instruments) begin(c echo.Context, trusted bool) (context.Context, trace.Span) {
	ctx := c.Request().Context()
	i.active.Add(ctx, 1)
	switch {
	case isProbe(c.Path()): // too many, and of no interest
		return ctx, trace.SpanFromContext(ctx)
	case i.untraced && c.Request().Header.Get("Traceparent") == "": // the usual case, which costs nothing
		return ctx, trace.SpanFromContext(ctx)
	}
	remote := propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(c.Request().Header))
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	if trusted {
		ctx = remote
	} else if parent := trace.SpanContextFromContext(remote); parent.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	return i.tracer.Start(ctx, strings.TrimSpace(methodOf(c)+" "+c.Path()), options...)
}

// record measures a request after its reply.
func (i instruments) record(c echo.Context, data *requestData, span trace.Span, took time.Duration) {
	ctx := c.Request().Context()
	if !span.IsRecording() && !i.duration.Enabled(ctx) {
		return
	}
	labels := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(methodOf(c)),
		semconv.HTTPResponseStatusCode(data.status(c)),
		semconv.URLScheme("http"),
	}
	statements := int64(data.Cost().Statements)
	if c.Path() != "" { // empty if no route matches
		route := semconv.HTTPRoute(c.Path())
		labels = append(labels, route)
		i.statements.Record(ctx, statements, metric.WithAttributes(route))
	}
	i.duration.Record(ctx, took.Seconds(), metric.WithAttributes(labels...))

	span.SetAttributes(labels...)
	span.SetAttributes(
		attribute.String("echo.request_id", data.RequestID), attribute.Int64("echo.statements", statements))
	if data.status(c) >= http.StatusInternalServerError {
		span.SetAttributes(semconv.ErrorTypeKey.String(data.code))
		span.SetStatus(codes.Error, "")
	}
}

// methodOf returns the method of a request, or OpenTelemetry's name for all unknown methods.
func methodOf(c echo.Context) string {
	switch m := c.Request().Method; m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return semconv.HTTPRequestMethodOther.Value.AsString()
}
