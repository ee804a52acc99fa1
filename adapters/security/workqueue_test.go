package security

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// fixture is a queue with concurrent calls. Their work ends when finish is closed.
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

// newFixture makes that many concurrent calls, each from a source of its own, and returns when each runs, waits
// or was refused.
func newFixture(ctx context.Context, calls int) *fixture {
	f := &fixture{queue: newWorkQueue(testRunning, testWaiting, testMaxWait), finish: make(chan struct{})}
	for i := range calls {
		f.start(ctx, domain.Work{Source: fmt.Sprint(i)}, f.work)
	}
	synctest.Wait()
	return f
}

func (f *fixture) start(ctx context.Context, w domain.Work, work func()) {
	f.calls.Go(func() {
		if err := f.queue.do(ctx, w, work); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refused = append(f.refused, err)
		}
	})
}

// startMany makes that many calls for w.
func (f *fixture) startMany(ctx context.Context, calls int, w domain.Work) {
	for range calls {
		f.start(ctx, w, f.work)
	}
	synctest.Wait()
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
	for _, authenticated := range []bool{true, false} {
		run(fmt.Sprint("gives one source a quarter of a lane, authenticated: ", authenticated), func(t *testing.T) {
			f := newFixture(t.Context(), testRunning)
			for i := range 4 {
				f.startMany(t.Context(), 100, domain.Work{Source: fmt.Sprint("source ", i), Authenticated: authenticated})
				_, waiting := f.queue.load()
				assert.Equal(t, (i+1)*testWaiting/4, waiting)
			}
			f.startMany(t.Context(), 1, domain.Work{Source: "a fifth source", Authenticated: authenticated})
			f.assertRefused(t, 401-testWaiting, domain.ErrBusy)
			close(f.finish)
			f.calls.Wait()
			assert.EqualValues(t, testRunning+testWaiting, f.done.Load())
		})
	}
	run("gives a place that a source leaves to the same source again", func(t *testing.T) {
		f := newFixture(t.Context(), testRunning)
		ctx, cancel := context.WithCancel(t.Context())
		f.startMany(ctx, testWaiting/4, domain.Work{Source: "a"})
		cancel()
		synctest.Wait()
		f.assertRefused(t, testWaiting/4, domain.ErrUnavailable)
		f.startMany(t.Context(), testWaiting/4, domain.Work{Source: "a"})
		f.assertRefused(t, testWaiting/4, domain.ErrUnavailable)
		close(f.finish)
		f.calls.Wait()
	})
	run("admits authenticated work from any source while the other lane is full", func(t *testing.T) {
		f := newFixture(t.Context(), testRunning+testWaiting)
		f.startMany(t.Context(), testWaiting/4, domain.Work{Source: "0", Authenticated: true})
		f.assertRefused(t, 0, nil)
		close(f.finish)
		f.calls.Wait()
	})
	run("runs authenticated work first, and in each lane the sources in turn", func(t *testing.T) {
		f := &fixture{queue: newWorkQueue(1, testWaiting, testMaxWait), finish: make(chan struct{})}
		f.startMany(t.Context(), 1, domain.Work{})
		var order []string
		start := func(ctx context.Context, name string) {
			w := domain.Work{Source: name[:1], Authenticated: strings.HasSuffix(name, "authenticated")}
			f.start(ctx, w, func() {
				order = append(order, name)
				time.Sleep(time.Millisecond)
			})
			synctest.Wait()
		}
		left, leave := context.WithCancel(t.Context())
		start(left, "d left")
		start(left, "a left")
		for _, name := range []string{
			"a 1", "a 2", "a 3", "b 1", "c 1", "b 2", "a authenticated", "a too, authenticated", "b authenticated",
		} {
			start(t.Context(), name)
		}
		leave()
		synctest.Wait()
		close(f.finish)
		f.calls.Wait()
		assert.Equal(t, []string{
			"a authenticated", "b authenticated", "a too, authenticated", "a 1", "b 1", "c 1", "a 2", "b 2", "a 3",
		}, order)
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
		assert.Zero(t, f.queue.running)
		for _, l := range f.queue.lanes {
			assert.Zero(t, l.size)
			assert.Empty(t, l.waiting)
			assert.Empty(t, l.turns)
		}
	})
	run("is empty after a panic", func(t *testing.T) {
		q := newWorkQueue(1, 0, testMaxWait)
		assert.Panics(t, func() { _ = q.do(t.Context(), domain.Work{}, func() { panic("work") }) })
		assert.NoError(t, q.do(t.Context(), domain.Work{}, func() {}))
	})
	run("never runs the work of a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // a select between two ready cases chooses at random
			err := newWorkQueue(1, 0, testMaxWait).do(ctx, domain.Work{}, func() { t.Error("the work ran") })
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
	})
}
