// Package guard stands between callers and a database that may be slow, busy or away: a connection limiter in
// which callers wait in order, a circuit breaker, and deadlines that hold even if a driver hangs. The stores
// on SQL databases share it. It knows no driver and no table.
package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	// WaitersPerConnection is how many operations may wait for each connection.
	WaitersPerConnection = 16

	// Grace is how long a caller waits after its deadline for a driver that respects it: the driver then
	// tells the outcome of a write.
	Grace = 50 * time.Millisecond

	// MaxWait is how long an operation waits for a connection.
	MaxWait = time.Second
)

// Guard surrounds the operations on one database. Make one with [New].
type Guard struct {
	limiter *Limiter
	breaker *gobreaker.CircuitBreaker[any]
}

// New returns a Guard that runs as many operations concurrently as there are connections.
func New(connections int) *Guard {
	return &Guard{NewLimiter(connections, WaitersPerConnection*connections, MaxWait), newBreaker()}
}

// Late returns a function for [Run] that builds lost as the error of a caller whose deadline passed: ErrUnavailable for
// an operation that only reads, and ErrOutcomeUnknown for one that may have taken effect.
func Late(lost *domain.Error) func(context.Context) error {
	return func(ctx context.Context) error { return lost.WithCause(Outage(ctx.Err())) }
}

// outcome is what an operation returned.
type outcome[T any] struct {
	result T
	err    error
}

// Run executes op, one complete operation, under the connection limiter and the circuit breaker. It returns by
// ctx's deadline, with the error that late builds, even if op hangs. Errors: those of op and of
// [Limiter.Enter]; ErrUnavailable with RetryAfter while the breaker is open.
func Run[T any](ctx context.Context, g *Guard, late func(context.Context) error,
	op func(context.Context) (T, error)) (T, error) {
	var got outcome[T]
	_, err := g.breaker.Execute(func() (any, error) {
		if err := g.limiter.Enter(ctx); err != nil {
			return nil, err
		}
		done := start(ctx, g.limiter, op)
		select {
		case got = <-done:
			return nil, got.err
		case <-ctx.Done():
		}
		select {
		case got = <-done:
			return nil, got.err
		case <-time.After(Grace):
			return nil, late(ctx)
		}
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		err = domain.ErrUnavailable.WithRetryAfter(OpenFor).
			WithCause(errors.New("the last calls failed, so this one was not tried"))
	}
	return got.result, err
}

// start runs op in a goroutine. The operation leaves the limiter when the driver has returned, which may
// be long after its caller has gone. A panic becomes the error of that one operation.
func start[T any](ctx context.Context, limiter *Limiter, op func(context.Context) (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		defer limiter.Leave()
		var o outcome[T]
		defer func() {
			if r := recover(); r != nil {
				o.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
			done <- o
		}()
		o.result, o.err = op(ctx)
	}()
	return done
}

// PoolStats are the numbers of connections of a pool.
type PoolStats struct{ Used, Idle, Max int64 }

// Observe reports the state of the pool, the limiter and the breaker whenever metrics are collected. scope
// names the source of the metrics, and system the database. The names of the metrics are those of OpenTelemetry's
// semantic conventions where these have one. metrics may be nil.
func (g *Guard) Observe(metrics metric.MeterProvider, scope, system string, pool func() PoolStats) error {
	meter := cmp.Or[metric.MeterProvider](metrics, nometrics.NewMeterProvider()).Meter(scope)
	var failed error
	sum := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		s, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = errors.Join(failed, err)
		return s
	}
	connections := sum("db.client.connection.count", "{connection}", "Connections by state.")
	limit := sum("db.client.connection.max", "{connection}", "The most connections allowed.")
	waiting := sum("db.client.connection.pending_requests", "{request}", "Operations that wait for a connection.")
	breaker, err := meter.Int64ObservableGauge("echo.breaker.state",
		metric.WithDescription("State of the circuit breaker: 0 closed, 1 half-open, 2 open."))
	if failed = errors.Join(failed, err); failed != nil {
		return failed
	}
	name := semconv.DBClientConnectionPoolName(system)
	all := metric.WithAttributes(name)
	used := metric.WithAttributes(name, semconv.DBClientConnectionStateUsed)
	idle := metric.WithAttributes(name, semconv.DBClientConnectionStateIdle)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := pool()
		o.ObserveInt64(connections, stats.Used, used)
		o.ObserveInt64(connections, stats.Idle, idle)
		o.ObserveInt64(limit, stats.Max, all)
		o.ObserveInt64(waiting, g.limiter.Waiting(), all)
		o.ObserveInt64(breaker, int64(g.breaker.State()))
		return nil
	}, connections, limit, waiting, breaker)
	return err
}
