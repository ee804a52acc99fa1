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
		least = time.Millisecond
		most  = least + 64*time.Millisecond
	)
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	test("tries once when it succeeds or fails for another reason", func(t *testing.T) {
		for _, want := range []error{nil, io.EOF, domain.ErrNotFound, domain.ErrContended} {
			attempts := 0
			err := domain.RetryStale(t.Context(), func() error { attempts++; return want })
			assert.Equal(t, want, err)
			assert.Equal(t, 1, attempts)
		}
	})
	test("tries again while it is stale and returns what comes then", func(t *testing.T) {
		for _, want := range []error{nil, io.EOF} {
			attempts := 0
			err := domain.RetryStale(t.Context(), func() error {
				if attempts++; attempts < 5 {
					return fmt.Errorf("update: %w", domain.ErrStale)
				}
				return want
			})
			assert.Equal(t, want, err)
			assert.Equal(t, 5, attempts)
		}
	})
	test("runs an attempt 32 times at most", func(t *testing.T) {
		tries := 0
		err := domain.RetryStale(t.Context(), func() error { tries++; return domain.ErrStale })
		assert.Equal(t, domain.ErrContended, err)
		assert.Equal(t, 32, tries)
	})
	test("pauses at random, longer each time up to a limit", func(t *testing.T) {
		const calls = 10
		longest, distinct := time.Duration(0), map[time.Duration]bool{}
		for range calls {
			var pauses []time.Duration
			last := time.Now()
			domain.RetryStale(t.Context(), func() error {
				pauses = append(pauses, time.Since(last))
				last = time.Now()
				return domain.ErrStale
			})
			for i, pause := range pauses[1:] {
				assert.GreaterOrEqual(t, pause, least)
				assert.Less(t, pause, min(least+4*time.Millisecond<<i, most))
				longest = max(longest, pause)
				distinct[pause] = true
			}
		}
		// All pauses are in the lower half by chance less often than once in 2^250 runs.
		assert.Greater(t, longest, most/2)
		assert.Greater(t, len(distinct), calls*15)
	})
	test("gives up shortly before the deadline and begins nothing that cannot end in time", func(t *testing.T) {
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
			assert.Equal(t, left, time.Until(deadline), "it does not wait when it has given up")
			assert.GreaterOrEqual(t, left, least)
			assert.Less(t, left, 2*most)
		}
	})
	test("gives up immediately when its context is cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, cancel)
		err := domain.RetryStale(ctx, func() error { return domain.ErrStale })
		assert.Equal(t, domain.ErrContended, err)
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}
