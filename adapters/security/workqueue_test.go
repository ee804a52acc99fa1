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
	testRunning, testWaiting = 2, 64
	testMaxWait              = time.Second
)

// fixture is a queue with concurrent calls, whose work ends when finish is closed.
type fixture struct {
	queue   *workQueue
	finish  chan struct{}
	running atomic.Int32
	most    atomic.Int32 // the highest value of running
	done    atomic.Int32
	calls   sync.WaitGroup
	mu      sync.Mutex
	refused []error
}

// newFixture makes that many concurrent calls, and returns when each runs, waits or was refused.
func newFixture(ctx context.Context, calls int) *fixture {
	f := &fixture{queue: newWorkQueue(testRunning, testWaiting, testMaxWait), finish: make(chan struct{})}
	for range calls {
		f.calls.Go(func() {
			if err := f.queue.do(ctx, f.work); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.refused = append(f.refused, err)
			}
		})
	}
	synctest.Wait()
	return f
}

func (f *fixture) work() {
	now := f.running.Add(1)
	defer f.running.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	<-f.finish
	f.done.Add(1)
}

func (f *fixture) assertRefused(t *testing.T, n int, want error) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Len(t, f.refused, n)
	for _, err := range f.refused {
		require.ErrorIs(t, err, want)
	}
}

func TestWorkQueue(t *testing.T) {
	run := func(name string, test func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	run("runs some calls, lets some wait and refuses the rest immediately", func(t *testing.T) {
		f, start := newFixture(t.Context(), 200), time.Now()
		assert.EqualValues(t, testRunning, f.running.Load())
		f.assertRefused(t, 200-testRunning-testWaiting, domain.ErrBusy)
		assert.Zero(t, time.Since(start))

		close(f.finish)
		f.calls.Wait()
		assert.EqualValues(t, testRunning+testWaiting, f.done.Load())
		assert.EqualValues(t, testRunning, f.most.Load(), "never more concurrently")
	})
	run("reports how many calls run and how many wait", func(t *testing.T) {
		f := newFixture(t.Context(), testRunning+3)
		running, waiting := f.queue.load()
		assert.Equal(t, []int{2, 3}, []int{running, waiting})
		close(f.finish)
		f.calls.Wait()
		running, waiting = f.queue.load()
		assert.Equal(t, []int{0, 0}, []int{running, waiting})
	})
	run("refuses a call that has waited too long", func(t *testing.T) {
		f := newFixture(t.Context(), testRunning+testWaiting)
		time.Sleep(testMaxWait - time.Nanosecond)
		synctest.Wait()
		f.assertRefused(t, 0, nil)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		f.assertRefused(t, testWaiting, domain.ErrBusy)

		close(f.finish)
		f.calls.Wait()
		assert.EqualValues(t, testRunning, f.done.Load())
	})
	run("tells a refused call when to retry", func(t *testing.T) {
		f := newFixture(t.Context(), testRunning+testWaiting+1)
		time.Sleep(testMaxWait)
		close(f.finish)
		f.calls.Wait()
		for _, err := range f.refused {
			var e *domain.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, testMaxWait, e.RetryAfter)
		}
	})
	run("ends the wait of a call whose context ends, and does not interrupt work", func(t *testing.T) {
		cause := errors.New("the client is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		f := newFixture(ctx, testRunning+testWaiting)
		cancel(cause)
		synctest.Wait()
		f.assertRefused(t, testWaiting, domain.ErrUnavailable)
		f.assertRefused(t, testWaiting, context.Canceled)
		assert.EqualValues(t, testRunning, f.running.Load())
		close(f.finish)
		f.calls.Wait()
		assert.EqualValues(t, testRunning, f.done.Load())
	})
	run("is empty after calls were refused, cancelled and completed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFixture(ctx, 200)
		time.Sleep(testMaxWait / 2)
		cancel()
		close(f.finish)
		f.calls.Wait()
		assert.Empty(t, f.queue.admitted)
		assert.Empty(t, f.queue.running)
	})
	run("is empty after a panic", func(t *testing.T) {
		q := newWorkQueue(1, 0, testMaxWait)
		assert.Panics(t, func() { _ = q.do(t.Context(), func() { panic("work") }) })
		assert.NoError(t, q.do(t.Context(), func() {}))
	})
	run("never runs the work of a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // a select between two ready cases chooses at random
			err := newWorkQueue(1, 0, testMaxWait).do(ctx, func() { t.Error("the work ran") })
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
	})
}
