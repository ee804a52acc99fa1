package security

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// workQueue limits how many pieces of expensive work run concurrently and how many wait. A call that
// finds it full fails immediately, so an overload costs neither memory nor time.
type workQueue struct {
	admitted chan struct{} // one element per call that runs or waits
	running  chan struct{} // one element per call that runs
	maxWait  time.Duration
}

func newWorkQueue(maxRunning, maxWaiting int, maxWait time.Duration) *workQueue {
	return &workQueue{
		admitted: make(chan struct{}, maxRunning+maxWaiting),
		running:  make(chan struct{}, maxRunning),
		maxWait:  maxWait,
	}
}

// do runs work when a place is free. Errors: ErrBusy with RetryAfter if the queue is full or the wait
// exceeds maxWait; ErrUnavailable if ctx ends before work begins. Once begun, work is not interrupted.
func (q *workQueue) do(ctx context.Context, work func()) error {
	select {
	case q.admitted <- struct{}{}:
		defer func() { <-q.admitted }()
	default:
		return domain.ErrBusy.WithRetryAfter(q.maxWait)
	}

	timeout := time.NewTimer(q.maxWait)
	defer timeout.Stop()
	select {
	case q.running <- struct{}{}:
		defer func() { <-q.running }()
	case <-timeout.C:
		return domain.ErrBusy.WithRetryAfter(q.maxWait)
	case <-ctx.Done():
	}
	// select chooses at random if a place becomes free just as ctx ends.
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	work()
	return nil
}

// load returns how many calls run and how many wait.
func (q *workQueue) load() (running, waiting int) {
	running = len(q.running)
	return running, max(0, len(q.admitted)-running)
}
