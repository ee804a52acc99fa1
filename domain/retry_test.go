package domain_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestRetryStale(t *testing.T) {
	const (
		minPause = time.Millisecond
		maxPause = minPause + 64*time.Millisecond
	)
	// run uses a fake clock, which moves only while all goroutines wait.
	run := func(name string, test func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	// A minute is much more than 32 tries take. It ends a loop that does not end on its own.
	later := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		return ctx
	}
	run("runs an attempt once if it succeeds or fails with another error", func(t *testing.T) {
		for _, want := range []error{nil, io.EOF, domain.ErrNotFound, domain.ErrContended} {
			tries := 0
			err := domain.RetryStale(t.Context(), func() error { tries++; return want })
			assert.Equal(t, want, err)
			assert.Equal(t, 1, tries)
		}
	})
	run("repeats a stale attempt and returns its first other result", func(t *testing.T) {
		for _, want := range []error{nil, io.EOF} {
			tries := 0
			err := domain.RetryStale(t.Context(), func() error {
				if tries++; tries < 5 {
					return fmt.Errorf("update: %w", domain.ErrStale)
				}
				return want
			})
			assert.Equal(t, want, err)
			assert.Equal(t, 5, tries)
		}
	})
	run("runs an attempt 32 times at most", func(t *testing.T) {
		tries := 0
		err := domain.RetryStale(later(t), func() error { tries++; return domain.ErrStale })
		assert.Equal(t, domain.ErrContended, err)
		assert.Equal(t, 32, tries)
	})
	run("pauses for random times that grow up to a limit", func(t *testing.T) {
		const calls = 10
		longest, distinct := time.Duration(0), map[time.Duration]bool{}
		for range calls {
			var pauses []time.Duration
			last := time.Now()
			domain.RetryStale(later(t), func() error {
				pauses = append(pauses, time.Since(last))
				last = time.Now()
				return domain.ErrStale
			})
			for i, pause := range pauses[1:] {
				assert.GreaterOrEqual(t, pause, minPause)
				assert.Less(t, pause, min(minPause+4*time.Millisecond<<i, maxPause))
				longest = max(longest, pause)
				distinct[pause] = true
			}
		}
		// The chance that all pauses are in the lower half is below 1 in 2^250.
		assert.Greater(t, longest, maxPause/2)
		assert.Greater(t, len(distinct), calls*15)
	})
	run("gives up shortly before the deadline", func(t *testing.T) {
		for range 100 {
			deadline := time.Now().Add(200 * time.Millisecond)
			ctx, cancel := context.WithDeadline(t.Context(), deadline)
			var left time.Duration
			err := domain.RetryStale(ctx, func() error {
				left = time.Until(deadline)
				return domain.ErrStale
			})
			cancel()
			assert.Equal(t, domain.ErrContended, err)
			assert.Equal(t, left, time.Until(deadline), "it must not wait after it has given up")
			assert.GreaterOrEqual(t, left, minPause)
			assert.Less(t, left, 2*maxPause)
		}
	})
	run("gives up immediately if its context is cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, cancel)
		err := domain.RetryStale(ctx, func() error { return domain.ErrStale })
		assert.Equal(t, domain.ErrContended, err)
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

func TestRetryContended(t *testing.T) {
	t.Run("returns the cause of the contention", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := domain.RetryContended(ctx, func() error { return domain.ErrContended.WithCause(io.EOF) })
			assert.ErrorIs(t, err, domain.ErrContended)
			assert.ErrorIs(t, err, io.EOF)
		})
	})
	t.Run("is limited by the deadline alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			tries := 0
			err := domain.RetryContended(ctx, func() error { tries++; return domain.ErrContended })
			assert.ErrorIs(t, err, domain.ErrContended)
			assert.Greater(t, tries, 100)
			assert.NoError(t, ctx.Err())
		})
	})
}

func TestRetryUnlessVersioned(t *testing.T) {
	for name, c := range map[string]struct {
		ifVersion domain.Versions
		tries     int
		err       error
	}{
		"repeats a stale attempt for every version":      {domain.Versions{}, 2, nil},
		"runs an attempt for certain versions only once": {domain.OnlyVersions(1), 1, domain.ErrStale},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				err := domain.RetryUnlessVersioned(t.Context(), c.ifVersion, func() error {
					if tries++; tries < 2 {
						return domain.ErrStale
					}
					return nil
				})
				assert.Equal(t, c.err, err)
				assert.Equal(t, c.tries, tries)
			})
		})
	}
}
