package domain

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// maxTries is how often [RetryStale] runs an attempt. Each loss to a concurrent change means that another
// change succeeded, so up to 32 concurrent changes all succeed.
const maxTries = 32

// RetryUnlessVersioned runs attempt, which reads, changes and writes an entity. If ifVersion allows every
// Version it retries as [RetryStale] does. Otherwise it runs attempt once, because the client must decide
// whether its change still makes sense.
func RetryUnlessVersioned(ctx context.Context, ifVersion Versions, attempt func() error) error {
	if _, limited := ifVersion.Limit(); limited {
		return attempt()
	}
	return RetryStale(ctx, attempt)
}

// RetryStale runs attempt, which reads, changes and writes an entity, until it succeeds or fails with an
// error other than [ErrStale], which means that a concurrent change came between. It pauses for a random
// time between tries. It returns [ErrContended] after 32 tries, or shortly before ctx ends.
func RetryStale(ctx context.Context, attempt func() error) error {
	return retry(ctx, ErrStale, maxTries, attempt)
}

// RetryContended runs attempt, which waits for a lock of a store, until it succeeds or fails with an error
// other than [ErrContended]. It pauses as RetryStale does. It returns ErrContended shortly before ctx ends.
func RetryContended(ctx context.Context, attempt func() error) error {
	return retry(ctx, ErrContended, math.MaxInt, attempt)
}

func retry(ctx context.Context, retryable error, maxTries int, attempt func() error) error {
	const minPause, maxPause = time.Millisecond, 64 * time.Millisecond
	limit := 4 * time.Millisecond
	for try := 1; ; try++ {
		err := attempt()
		if !errors.Is(err, retryable) {
			return err
		}
		pause := minPause + rand.N(limit)
		limit = min(2*limit, maxPause)
		if deadline, ok := ctx.Deadline(); try == maxTries || ok && time.Until(deadline) < 2*pause {
			return contended(err)
		}
		select {
		case <-ctx.Done():
			return contended(err)
		case <-time.After(pause):
		}
	}
}

// contended returns ErrContended. It returns err itself if that is ErrContended already, because err may
// wrap a cause for the log.
func contended(err error) error {
	if errors.Is(err, ErrContended) {
		return err
	}
	return ErrContended
}
