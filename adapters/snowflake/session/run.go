package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	// WaitersPerConnection is how many operations may wait for each connection.
	WaitersPerConnection = 16

	maxWait = time.Second // for a connection

	// grace is how long a caller waits after its deadline for a driver that respects it: the driver then
	// tells the outcome of a write.
	grace = 50 * time.Millisecond
)

// The error of a caller whose deadline passed while the driver is still busy.
var (
	lateRead  = late(unanswered)
	lateWrite = late(unconfirmed)
)

func late(e *domain.Error) func(context.Context) error {
	return func(ctx context.Context) error { return e.WithCause(outage{ctx.Err()}) }
}

// run executes op, one complete operation, under the connection limiter and the circuit breaker. It
// returns by ctx's deadline, with the error that late builds, even if the driver hangs. It retries
// ErrContended. It retries once in a new session if RetryFresh says so.
func run[T any](ctx context.Context, d *DB, late func(context.Context) error,
	op func(context.Context, *sql.DB) (T, error)) (T, error) {
	var result T
	pool := d.pool
	err := domain.RetryContended(ctx, func() (err error) {
		result, err = runOnce(ctx, d, pool, late, op)
		if err != nil && pool == d.pool && d.options.RetryFresh != nil && d.options.RetryFresh(err) {
			pool = d.fresh
			result, err = runOnce(ctx, d, pool, late, op)
		}
		return err
	})
	return result, err
}

// outcome is what an operation returned.
type outcome[T any] struct {
	result T
	err    error
}

func runOnce[T any](ctx context.Context, d *DB, pool *sql.DB, late func(context.Context) error,
	op func(context.Context, *sql.DB) (T, error)) (T, error) {
	var got outcome[T]
	_, err := d.breaker.Execute(func() (any, error) {
		if err := d.limiter.Enter(ctx); err != nil {
			return nil, err
		}
		done := start(ctx, d.limiter, pool, op)
		select {
		case got = <-done:
			return nil, got.err
		case <-ctx.Done():
		}
		select {
		case got = <-done:
			return nil, got.err
		case <-time.After(grace):
			return nil, late(ctx)
		}
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		err = domain.ErrUnavailable.WithRetryAfter(openFor).
			WithCause(errors.New("the last calls had no reply from Snowflake"))
	}
	return got.result, err
}

// start runs op in a goroutine. The operation leaves the limiter when the driver has returned, which may
// be long after its caller has gone. A panic becomes the error of that one operation.
func start[T any](ctx context.Context, limiter *Limiter, pool *sql.DB,
	op func(context.Context, *sql.DB) (T, error)) <-chan outcome[T] {
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
		o.result, o.err = op(ctx, pool)
	}()
	return done
}
