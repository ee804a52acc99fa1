package security

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	working, waiting = 2, 64
	patience         = time.Second
)

// crowd is many calls of a queue that all began at once, and whose work ends when told to.
type crowd struct {
	queue   *queue
	finish  chan struct{}
	atWork  atomic.Int32
	most    atomic.Int32
	worked  atomic.Int32
	calls   sync.WaitGroup
	mu      sync.Mutex
	refused []error
}

func gather(ctx context.Context, size int) *crowd {
	c := &crowd{queue: newQueue(working, waiting, patience), finish: make(chan struct{})}
	for range size {
		c.calls.Go(func() {
			if err := c.queue.do(ctx, c.work); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.refused = append(c.refused, err)
			}
		})
	}
	synctest.Wait()
	return c
}

func (c *crowd) work() {
	now := c.atWork.Add(1)
	defer c.atWork.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	<-c.finish
	c.worked.Add(1)
}

func (c *crowd) assertRefused(t *testing.T, n int, want error) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Len(t, c.refused, n)
	for _, err := range c.refused {
		require.ErrorIs(t, err, want)
	}
}

func TestQueue(t *testing.T) {
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	test("lets few work, some wait and refuses the excess at once", func(t *testing.T) {
		c, start := gather(t.Context(), 200), time.Now()
		assert.EqualValues(t, working, c.atWork.Load())
		c.assertRefused(t, 200-working-waiting, domain.ErrBusy)
		assert.Zero(t, time.Since(start))

		close(c.finish)
		c.calls.Wait()
		assert.EqualValues(t, working+waiting, c.worked.Load())
		assert.EqualValues(t, working, c.most.Load(), "never more at once")
	})
	test("says how many work and how many wait", func(t *testing.T) {
		c := gather(t.Context(), working+3)
		working, waiting := c.queue.load()
		assert.Equal(t, []int{2, 3}, []int{working, waiting})
		close(c.finish)
		c.calls.Wait()
		working, waiting = c.queue.load()
		assert.Equal(t, []int{0, 0}, []int{working, waiting})
	})
	test("refuses who has waited for too long", func(t *testing.T) {
		c := gather(t.Context(), working+waiting)
		time.Sleep(patience - time.Nanosecond)
		synctest.Wait()
		c.assertRefused(t, 0, nil)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		c.assertRefused(t, waiting, domain.ErrBusy)

		close(c.finish)
		c.calls.Wait()
		assert.EqualValues(t, working, c.worked.Load())
	})
	test("says when to come back", func(t *testing.T) {
		c := gather(t.Context(), working+waiting+1)
		time.Sleep(patience)
		close(c.finish)
		c.calls.Wait()
		for _, err := range c.refused {
			var e *domain.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, patience, e.RetryAfter)
		}
	})
	test("does not let anybody wait whom nobody waits for, and does not interrupt work", func(t *testing.T) {
		cause := errors.New("the client is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		c := gather(ctx, working+waiting)
		cancel(cause)
		synctest.Wait()
		c.assertRefused(t, waiting, domain.ErrUnavailable)
		c.assertRefused(t, waiting, context.Canceled)
		assert.EqualValues(t, working, c.atWork.Load())
		close(c.finish)
		c.calls.Wait()
		assert.EqualValues(t, working, c.worked.Load())
	})
	test("is free again after every way to leave it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := gather(ctx, 200)
		time.Sleep(patience / 2)
		cancel()
		close(c.finish)
		c.calls.Wait()
		assert.Empty(t, c.queue.admitted)
		assert.Empty(t, c.queue.working)
	})
	test("is free again after a panic", func(t *testing.T) {
		q := newQueue(1, 0, patience)
		assert.Panics(t, func() { _ = q.do(t.Context(), func() { panic("work") }) })
		assert.NoError(t, q.do(t.Context(), func() {}))
	})
	test("never works for a context that has ended, be it free or not", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // a select between two that are ready chooses at random
			err := newQueue(1, 0, patience).do(ctx, func() { t.Error("it works") })
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
	})
}
