package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	waitersPerConnection = 16
	longestWait          = time.Second

	failuresToOpen = 5           // in a row; then the breaker opens
	openFor        = time.Second // then one call is let through, to see

	// grace is how long after its deadline a caller waits for a driver that heeds it, which tells
	// what became of a write.
	grace = 50 * time.Millisecond
)

// What to answer to a caller whose time is up while the driver is still at it.
var (
	abandonedRead  = abandoned(unanswered)
	abandonedWrite = abandoned(unconfirmed)
)

func abandoned(e *domain.Error) func(context.Context) error {
	return func(ctx context.Context) error { return e.WithCause(outage{ctx.Err()}) }
}

// run does op, which is a whole operation of the store, for one caller: in its turn, not while
// Snowflake is known to be away, and never for longer than ctx, whatever the driver does; then late
// says what to answer. What op lost to others it does again.
func run[T any](ctx context.Context, s *Store, late func(context.Context) error, op func(context.Context, *sql.DB) (T, error)) (T, error) {
	var result T
	db := s.db
	err := domain.Retry(ctx, domain.ErrContended, func() (err error) {
		result, err = once(ctx, s, db, late, op)
		if s.mayBePast(err) && db == s.db {
			db = s.fresh
			result, err = once(ctx, s, db, late, op)
		}
		return err
	})
	return result, err
}

// mayBePast reports whether another session may see what this one did not.
func (s *Store) mayBePast(err error) bool {
	return errors.Is(err, errEarlierEpoch) || errors.Is(err, errNotSeen) && !s.global.Load()
}

func once[T any](ctx context.Context, s *Store, db *sql.DB, late func(context.Context) error, op func(context.Context, *sql.DB) (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var got outcome
	_, err := s.breaker.Execute(func() (any, error) {
		if err := s.queue.enter(ctx); err != nil {
			return nil, err
		}
		done := make(chan outcome, 1)
		go func() {
			// The turn lasts for as long as the driver has the connection, however long that is.
			defer s.queue.leave()
			var o outcome
			defer func() {
				if r := recover(); r != nil {
					o.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
				}
				done <- o
			}()
			o.result, o.err = op(ctx, db)
		}()
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
		err = domain.ErrUnavailable.WithRetryAfter(openFor).WithCause(errors.New("the last calls to Snowflake were not answered"))
	}
	return got.result, err
}

// newBreaker stops calling a database that does not answer. What it answers, be it an error, is no
// reason, and a caller who left says nothing about it.
func newBreaker() *gobreaker.CircuitBreaker[any] {
	return gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      openFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToOpen },
		IsSuccessful: func(err error) bool { return !isOutage(err) },
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, domain.ErrBusy) ||
				errors.Is(err, context.DeadlineExceeded) && !isOutage(err)
		},
	})
}

func isOutage(err error) bool { return errors.As(err, new(outage)) }

// queue lets as many operations run as there are connections, and the others wait in the order in
// which they came: database/sql alone hands a free connection to a random one of those who wait, so
// that some wait for very long.
type queue struct {
	admitted chan struct{} // one element for each that runs or waits
	running  chan struct{} // one element for each that runs
	patience time.Duration
}

func newQueue(running, waiting int, patience time.Duration) *queue {
	return &queue{
		admitted: make(chan struct{}, running+waiting),
		running:  make(chan struct{}, running),
		patience: patience,
	}
}

// enter waits for a turn, which ends with leave. Errors: ErrBusy when too many wait or the wait is
// too long, ErrUnavailable when ctx ends first.
func (q *queue) enter(ctx context.Context) error {
	if err := inTime(ctx); err != nil {
		return err
	}
	select {
	case q.admitted <- struct{}{}:
	default:
		return domain.ErrBusy.WithRetryAfter(q.patience)
	}
	start := time.Now()
	defer func() { requestinfo.FromContext(ctx).Add(requestinfo.Cost{Waited: time.Since(start)}) }()
	patience := time.NewTimer(q.patience)
	defer patience.Stop()
	var err error
	select {
	case q.running <- struct{}{}:
		return nil
	case <-patience.C:
		err = domain.ErrBusy.WithRetryAfter(q.patience)
	case <-ctx.Done():
		err = domain.ErrUnavailable.WithCause(ctx.Err())
	}
	<-q.admitted
	return err
}

func (q *queue) leave() {
	<-q.running
	<-q.admitted
}

// waiting returns how many wait for a turn.
func (q *queue) waiting() int64 { return int64(max(0, len(q.admitted)-len(q.running))) }

// inTime refuses a call whose context has ended.
func inTime(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	return nil
}
