package guard

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func newGuard(running, waiting int) *Guard {
	return &Guard{NewLimiter(running, waiting, MaxWait), newBreaker()}
}

// do runs f as a write.
func do(ctx context.Context, g *Guard, f func(context.Context) error) error {
	_, err := Run(ctx, g, Late(domain.ErrOutcomeUnknown), func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

func TestRun(t *testing.T) {
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	test("a caller returns at its deadline even if the driver hangs", func(t *testing.T) {
		g := newGuard(1, 1)
		release := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := do(ctx, g, func(context.Context) error { <-release; return nil })
		assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
		assert.Equal(t, 3*time.Second+Grace, time.Since(start))
		close(release)
	})
	test("a driver that respects the deadline tells the outcome of a write", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := do(ctx, newGuard(1, 1), func(ctx context.Context) error { <-ctx.Done(); return domain.ErrUnavailable })
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
	})
	test("operations run in the order in which they came", func(t *testing.T) {
		g := newGuard(1, 100)
		var mu sync.Mutex
		var order []int
		for i := range 20 {
			go do(t.Context(), g, func(context.Context) error {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				return nil
			})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		want := make([]int, 20)
		for i := range want {
			want[i] = i
		}
		assert.Equal(t, want, order)
	})
	test("a wait for a connection ends after a second", func(t *testing.T) {
		g := newGuard(1, 1)
		release := make(chan struct{})
		go do(context.Background(), g, func(context.Context) error { <-release; return nil })
		synctest.Wait()
		start := time.Now()
		err := do(t.Context(), g, func(context.Context) error { return nil })
		var refusal *domain.Error
		require.ErrorAs(t, err, &refusal)
		assert.ErrorIs(t, err, domain.ErrBusy)
		assert.Equal(t, time.Second, refusal.RetryAfter)
		assert.Equal(t, time.Second, time.Since(start))
		close(release)
	})
	test("a full limiter refuses immediately", func(t *testing.T) {
		g := newGuard(1, 0)
		release := make(chan struct{})
		go do(context.Background(), g, func(context.Context) error { <-release; return nil })
		synctest.Wait()
		start := time.Now()
		assert.ErrorIs(t, do(t.Context(), g, func(context.Context) error { return nil }), domain.ErrBusy)
		assert.Zero(t, time.Since(start))
		close(release)
	})
	test("an operation that runs does not count as waiting", func(t *testing.T) {
		g := newGuard(2, 3)
		release := make(chan struct{})
		for range 5 {
			go do(context.Background(), g, func(context.Context) error { <-release; return nil })
		}
		synctest.Wait()
		assert.EqualValues(t, 3, g.limiter.Waiting())
		close(release)
		synctest.Wait()
		assert.Zero(t, g.limiter.Waiting())
	})
	test("a wait that ended leaves the connection to others", func(t *testing.T) {
		g := newGuard(1, 1)
		for range 5 {
			release := make(chan struct{})
			go do(context.Background(), g, func(context.Context) error { <-release; return nil })
			synctest.Wait()
			assert.ErrorIs(t, do(t.Context(), g, func(context.Context) error { return nil }), domain.ErrBusy)
			close(release)
			synctest.Wait()
		}
		assert.NoError(t, do(t.Context(), g, func(context.Context) error { return nil }))
	})
	test("an operation does not begin if its context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := do(ctx, newGuard(1, 1), func(context.Context) error { panic("began") })
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorIs(t, err, context.Canceled)
	})
	test("a panic is an internal error of that call", func(t *testing.T) {
		g := newGuard(1, 1)
		err := do(t.Context(), g, func(context.Context) error { panic("oops") })
		assert.ErrorContains(t, err, "panic: oops")
		assert.Equal(t, domain.Internal, domain.KindOf(err))
		assert.NoError(t, do(t.Context(), g, func(context.Context) error { return nil }))
	})
}

func TestBreaker(t *testing.T) {
	away := domain.ErrUnavailable.WithCause(Outage(io.EOF))
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	// try reports whether a call reached the database, which returns err.
	try := func(t *testing.T, g *Guard, err error) bool {
		reached := false
		got := do(t.Context(), g, func(context.Context) error { reached = true; return err })
		if !reached {
			var refusal *domain.Error
			require.ErrorAs(t, got, &refusal)
			assert.Equal(t, "unavailable", refusal.Code)
			assert.Equal(t, time.Second, refusal.RetryAfter)
		}
		return reached
	}
	test("opens after five consecutive outages, and then lets one call through each second", func(t *testing.T) {
		g := newGuard(1, 1)
		for range FailuresToOpen {
			assert.True(t, try(t, g, away))
		}
		for range 3 {
			assert.False(t, try(t, g, nil))
			time.Sleep(OpenFor + time.Millisecond)
			assert.True(t, try(t, g, away), "the probe")
			assert.False(t, try(t, g, away))
		}
		time.Sleep(OpenFor + time.Millisecond)
		assert.True(t, try(t, g, nil))
		assert.True(t, try(t, g, nil), "closed again")
	})
	test("stays closed for errors that the database reports, and for callers that leave", func(t *testing.T) {
		for _, err := range []error{
			domain.ErrStale, domain.ErrBusy, errors.New("a fault of ours"),
			domain.ErrOutcomeUnknown.WithCause(context.Canceled),
			domain.ErrUnavailable.WithCause(context.DeadlineExceeded), // while it waited for a connection
		} {
			g := newGuard(1, 1)
			for range 3 * FailuresToOpen {
				assert.True(t, try(t, g, err), err)
			}
		}
	})
}
