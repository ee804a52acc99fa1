package security

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// queue lets few pieces of expensive work run at once and few more wait for them. Whoever finds it
// full learns so at once, so that an overload costs neither memory nor time.
type queue struct {
	admitted chan struct{} // one element for each that works or waits
	working  chan struct{} // one element for each that works
	patience time.Duration
}

func newQueue(working, waiting int, patience time.Duration) *queue {
	return &queue{
		admitted: make(chan struct{}, working+waiting),
		working:  make(chan struct{}, working),
		patience: patience,
	}
}

// do runs work in its turn. Errors: ErrBusy when the queue is full or the wait too long,
// ErrUnavailable when ctx has ended before the turn came. Once begun, work is not interrupted.
func (q *queue) do(ctx context.Context, work func()) error {
	select {
	case q.admitted <- struct{}{}:
		defer func() { <-q.admitted }()
	default:
		return domain.ErrBusy.WithRetryAfter(q.patience)
	}

	timeout := time.NewTimer(q.patience)
	defer timeout.Stop()
	select {
	case q.working <- struct{}{}:
		defer func() { <-q.working }()
	case <-timeout.C:
		return domain.ErrBusy.WithRetryAfter(q.patience)
	case <-ctx.Done():
	}
	// A turn that came together with the end of ctx is not worth taking.
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	work()
	return nil
}

// load returns how many work and how many wait.
func (q *queue) load() (working, waiting int) {
	working = len(q.working)
	return working, max(0, len(q.admitted)-working)
}
