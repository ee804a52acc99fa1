package snowflake

import (
	"context"
	"database/sql"
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

// unopened is a store with what run needs, and no database.
func unopened(running, waiting int) *Store {
	return &Store{queue: newQueue(running, waiting, longestWait), breaker: newBreaker()}
}

func do(ctx context.Context, s *Store, f func(context.Context) error) error {
	_, err := run(ctx, s, abandonedWrite, func(ctx context.Context, _ *sql.DB) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

func TestRun(t *testing.T) {
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	test("a caller is answered at its deadline although the driver hangs", func(t *testing.T) {
		s := unopened(1, 1)
		release := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := do(ctx, s, func(context.Context) error { <-release; return nil })
		assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
		assert.Equal(t, 3*time.Second+grace, time.Since(start))
		close(release)
	})
	test("a driver that heeds the deadline says what became of a write", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := do(ctx, unopened(1, 1), func(ctx context.Context) error { <-ctx.Done(); return domain.ErrUnavailable })
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
	})
	test("turns are taken in the order of arrival", func(t *testing.T) {
		s := unopened(1, 100)
		var mu sync.Mutex
		var order []int
		for i := range 20 {
			go do(t.Context(), s, func(context.Context) error {
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
	test("a wait for a turn ends after a second", func(t *testing.T) {
		s := unopened(1, 1)
		release := make(chan struct{})
		go do(context.Background(), s, func(context.Context) error { <-release; return nil })
		synctest.Wait()
		start := time.Now()
		err := do(t.Context(), s, func(context.Context) error { return nil })
		var refusal *domain.Error
		require.ErrorAs(t, err, &refusal)
		assert.ErrorIs(t, err, domain.ErrBusy)
		assert.Equal(t, time.Second, refusal.RetryAfter)
		assert.Equal(t, time.Second, time.Since(start))
		close(release)
	})
	test("a full queue refuses at once", func(t *testing.T) {
		s := unopened(1, 0)
		release := make(chan struct{})
		go do(context.Background(), s, func(context.Context) error { <-release; return nil })
		synctest.Wait()
		start := time.Now()
		assert.ErrorIs(t, do(t.Context(), s, func(context.Context) error { return nil }), domain.ErrBusy)
		assert.Zero(t, time.Since(start))
		close(release)
	})
	test("who runs does not wait", func(t *testing.T) {
		s := unopened(2, 3)
		release := make(chan struct{})
		for range 5 {
			go do(context.Background(), s, func(context.Context) error { <-release; return nil })
		}
		synctest.Wait()
		assert.EqualValues(t, 3, s.queue.waiting())
		close(release)
		synctest.Wait()
		assert.Zero(t, s.queue.waiting())
	})
	test("a turn that is waited for in vain is not lost", func(t *testing.T) {
		s := unopened(1, 1)
		for range 5 {
			release := make(chan struct{})
			go do(context.Background(), s, func(context.Context) error { <-release; return nil })
			synctest.Wait()
			assert.ErrorIs(t, do(t.Context(), s, func(context.Context) error { return nil }), domain.ErrBusy)
			close(release)
			synctest.Wait()
		}
		assert.NoError(t, do(t.Context(), s, func(context.Context) error { return nil }))
	})
	test("a context that has ended begins nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := do(ctx, unopened(1, 1), func(context.Context) error { panic("began") })
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorIs(t, err, context.Canceled)
	})
	test("a panic is an internal error of that call", func(t *testing.T) {
		s := unopened(1, 1)
		err := do(t.Context(), s, func(context.Context) error { panic("oops") })
		assert.ErrorContains(t, err, "panic: oops")
		assert.Equal(t, domain.Internal, domain.KindOf(err))
		assert.NoError(t, do(t.Context(), s, func(context.Context) error { return nil }))
	})
	test("what was lost to others is done again, until shortly before the deadline", func(t *testing.T) {
		s := unopened(1, 1)
		attempts := 0
		require.NoError(t, do(t.Context(), s, func(context.Context) error {
			if attempts++; attempts < 5 {
				return domain.ErrContended
			}
			return nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		assert.ErrorIs(t, do(ctx, s, func(context.Context) error { return domain.ErrContended }), domain.ErrContended)
		assert.Less(t, time.Since(start), 300*time.Millisecond)
		assert.Greater(t, time.Since(start), 150*time.Millisecond)
	})
	test("a read of the past is made again, once, by a new session", func(t *testing.T) {
		s := unopened(1, 1)
		s.db, s.fresh = new(sql.DB), new(sql.DB)
		var asked []*sql.DB
		_, err := run(t.Context(), s, abandonedRead, func(_ context.Context, db *sql.DB) (int, error) {
			asked = append(asked, db)
			return 0, errEarlierEpoch
		})
		assert.ErrorIs(t, err, domain.ErrSignedOut)
		require.Len(t, asked, 2)
		assert.Same(t, s.db, asked[0])
		assert.Same(t, s.fresh, asked[1])
	})
}

func TestBreaker(t *testing.T) {
	away := domain.ErrUnavailable.WithCause(outage{io.EOF})
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	// try reports whether a call got through to the database, which answers with err.
	try := func(t *testing.T, s *Store, err error) bool {
		reached := false
		got := do(t.Context(), s, func(context.Context) error { reached = true; return err })
		if !reached {
			var refusal *domain.Error
			require.ErrorAs(t, got, &refusal)
			assert.Equal(t, "unavailable", refusal.Code)
			assert.Equal(t, time.Second, refusal.RetryAfter)
		}
		return reached
	}
	test("opens after five outages in a row, and then lets one call a second through", func(t *testing.T) {
		s := unopened(1, 1)
		for range failuresToOpen {
			assert.True(t, try(t, s, away))
		}
		for range 3 {
			assert.False(t, try(t, s, nil))
			time.Sleep(openFor + time.Millisecond)
			assert.True(t, try(t, s, away), "the probe")
			assert.False(t, try(t, s, away))
		}
		time.Sleep(openFor + time.Millisecond)
		assert.True(t, try(t, s, nil))
		assert.True(t, try(t, s, nil), "closed again")
	})
	test("stays closed for errors that Snowflake itself answers, and for callers who leave", func(t *testing.T) {
		for _, err := range []error{
			domain.ErrStale, domain.ErrBusy, errors.New("a fault of ours"),
			domain.ErrOutcomeUnknown.WithCause(context.Canceled),
			domain.ErrUnavailable.WithCause(context.DeadlineExceeded), // while it waited for its turn
		} {
			s := unopened(1, 1)
			for range 3 * failuresToOpen {
				assert.True(t, try(t, s, err), err)
			}
		}
	})
}
