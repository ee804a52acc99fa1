package domain

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Amend runs a read-change-write attempt: once, if ifVersion says which version the change is meant
// for, and else as [RetryStale] does.
func Amend(ctx context.Context, ifVersion Optional[int64], attempt func() error) error {
	if _, once := ifVersion.Get(); once {
		return attempt()
	}
	return RetryStale(ctx, attempt)
}

// RetryStale is [Retry] for an attempt that reads, changes and writes, and may lose to others with
// [ErrStale].
func RetryStale(ctx context.Context, attempt func() error) error {
	return Retry(ctx, ErrStale, attempt)
}

// Retry runs attempt again, after a pause of random length, for as long as it fails with lost.
// Shortly before ctx ends it gives up with [ErrContended].
func Retry(ctx context.Context, lost error, attempt func() error) error {
	const leastPause, mostPause = time.Millisecond, 64 * time.Millisecond
	for most := 4 * time.Millisecond; ; most = min(2*most, mostPause) {
		err := attempt()
		if !errors.Is(err, lost) {
			return err
		}
		pause := leastPause + rand.N(most)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 2*pause {
			return contended(err)
		}
		select {
		case <-ctx.Done():
			return contended(err)
		case <-time.After(pause):
		}
	}
}

func contended(err error) error {
	if errors.Is(err, ErrContended) {
		return err // with its cause, for the log
	}
	return ErrContended
}
