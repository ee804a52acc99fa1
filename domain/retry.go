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

// RetryStale runs a read-change-write attempt again, after a pause of random length, for as long
// as it loses to others with [ErrStale]. Shortly before ctx ends it gives up with [ErrContended].
func RetryStale(ctx context.Context, attempt func() error) error {
	const leastPause, mostPause = time.Millisecond, 64 * time.Millisecond
	for most := 4 * time.Millisecond; ; most = min(2*most, mostPause) {
		err := attempt()
		if !errors.Is(err, ErrStale) {
			return err
		}
		pause := leastPause + rand.N(most)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 2*pause {
			return ErrContended
		}
		select {
		case <-ctx.Done():
			return ErrContended
		case <-time.After(pause):
		}
	}
}
