package session

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
)

// scope names the source of spans and metrics.
const scope = "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"

func newTracer(traces trace.TracerProvider) trace.Tracer {
	return cmp.Or[trace.TracerProvider](traces, notraces.NewTracerProvider()).Tracer(scope)
}

// observe opens the span of a statement, or of a batch, which counts as one. done ends it and adds its cost to that of
// the request. The span shows the statement's text, which holds no values of users: these are bound.
func (d *DB) observe(ctx context.Context, text string) (_ context.Context, done func(rows int, err error)) {
	start := time.Now()
	name, _, _ := strings.Cut(text, " ")
	ctx, span := d.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		span.SetAttributes(
			semconv.DBSystemNamePostgreSQL, semconv.DBNamespace(d.options.Database),
			semconv.DBOperationName(name), semconv.DBQueryText(text))
	}
	return ctx, func(rows int, err error) {
		endSpan(span, err)
		requestinfo.FromContext(ctx).Add(requestinfo.Cost{Statements: 1, Rows: rows, Ran: time.Since(start)})
	}
}

func endSpan(span trace.Span, err error) {
	if span.IsRecording() && err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(errorType(err)...)
	}
	span.End()
}

// errorType describes an error by PostgreSQL's code, or by its Go type. A message could quote values.
func errorType(err error) []attribute.KeyValue {
	code := ""
	var reply *pgconn.PgError
	var broken *ConstraintError
	switch {
	case errors.As(err, &reply):
		code = reply.Code
	case errors.As(err, &broken):
		code = broken.Code
	default:
		return []attribute.KeyValue{semconv.ErrorType(err)}
	}
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(code), semconv.DBResponseStatusCode(code)}
}

// loginTracer opens a span for each login, and tells credential if its password was refused: only here are the logins
// seen that the pool starts itself. It implements [pgx.ConnectTracer], and [pgx.QueryTracer] because pgx requires it.
type loginTracer struct {
	tracer     trace.Tracer
	credential Credential // may be nil
}

func (t loginTracer) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	ctx, _ = t.tracer.Start(ctx, "LOGIN", trace.WithSpanKind(trace.SpanKindClient))
	return ctx
}

func (t loginTracer) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	endSpan(trace.SpanFromContext(ctx), data.Err)
	var failed *pgconn.ConnectError
	if t.credential != nil && isLoginRefused(data.Err) && errors.As(data.Err, &failed) {
		t.credential.Refused(failed.Config.Password)
	}
}

func (t loginTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (t loginTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
