package guard

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Limiter limits how many operations run concurrently. The others wait in the order in which they came.
// (database/sql hands a free connection to a random waiter, so that some wait very long.)
type Limiter struct {
	admitted chan struct{} // one element for each operation that runs or waits
	running  chan struct{} // one element for each operation that runs
	maxWait  time.Duration
}

// NewLimiter returns a Limiter for that many running and waiting operations. An operation waits for
// maxWait at most.
func NewLimiter(running, waiting int, maxWait time.Duration) *Limiter {
	return &Limiter{
		admitted: make(chan struct{}, running+waiting),
		running:  make(chan struct{}, running),
		maxWait:  maxWait,
	}
}

// Enter waits until the operation may run. The caller must call Leave when it has ended. The wait counts
// into the cost of the request. Errors: ErrBusy if too many operations wait or the wait is too long;
// ErrUnavailable if ctx ends first.
func (l *Limiter) Enter(ctx context.Context) error {
	if err := InTime(ctx); err != nil {
		return err
	}
	select {
	case l.admitted <- struct{}{}:
	default:
		return domain.ErrBusy.WithRetryAfter(l.maxWait)
	}
	select { // full while others wait, so this overtakes nobody
	case l.running <- struct{}{}:
		return nil
	default:
	}
	start := time.Now()
	defer func() { requestinfo.FromContext(ctx).Add(requestinfo.Cost{Waited: time.Since(start)}) }()
	timer := time.NewTimer(l.maxWait)
	defer timer.Stop()
	var err error
	select {
	case l.running <- struct{}{}:
		return nil
	case <-timer.C:
		err = domain.ErrBusy.WithRetryAfter(l.maxWait)
	case <-ctx.Done():
		err = domain.ErrUnavailable.WithCause(ctx.Err())
	}
	<-l.admitted
	return err
}

// Leave ends what Enter began.
func (l *Limiter) Leave() {
	<-l.running
	<-l.admitted
}

// Waiting returns how many operations wait.
func (l *Limiter) Waiting() int64 { return int64(max(0, len(l.admitted)-len(l.running))) }

// InTime returns ErrUnavailable if ctx has ended.
func InTime(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	return nil
}
