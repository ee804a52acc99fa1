package portstest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TestAttemptLimiter tests the contract of [ports.AttemptLimiter]. open returns an unused limiter that reads
// the time from now and has at least two attempts for each key.
func TestAttemptLimiter(t *testing.T, open func(t *testing.T, now func() time.Time) ports.AttemptLimiter) {
	newFixture := func(t *testing.T) (ports.AttemptLimiter, *clock) {
		c := &clock{time: domaintest.Created}
		return open(t, c.now), c
	}
	t.Run("each key has its own attempts, and they run out", func(t *testing.T) {
		l, _ := newFixture(t)
		burst := spendAll(t, l, "a")
		require.Greater(t, burst, 1)
		for _, key := range []string{"", "b", "A", "a ", "a\x00", strings.Repeat("a", 1<<16)} {
			assert.Equal(t, burst, spendAll(t, l, key), "%.10q", key)
		}
	})
	t.Run("the next attempt is possible after RetryAfter and not before", func(t *testing.T) {
		l, clock := newFixture(t)
		spendAll(t, l, "a")
		for range 3 {
			wait := assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts).RetryAfter
			clock.advance(wait - 1)
			assert.Equal(t, time.Duration(1), assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts).RetryAfter)
			clock.advance(1)
			assert.Equal(t, 1, spendAll(t, l, "a"))
		}
	})
	t.Run("a refusal spends nothing", func(t *testing.T) {
		l, clock := newFixture(t)
		spendAll(t, l, "a")
		wait := assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts).RetryAfter
		for range 100 {
			assert.Equal(t, wait, assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts).RetryAfter)
		}
		clock.advance(wait)
		assert.NoError(t, l.Take("a"))
	})
	t.Run("a check returns what taking would return, and spends nothing", func(t *testing.T) {
		l, clock := newFixture(t)
		for range 100 {
			require.NoError(t, l.Check("a"))
		}
		burst := spendAll(t, l, "b")
		assert.Equal(t, burst, spendAll(t, l, "a"))
		refusal := assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts)
		assert.Equal(t, refusal, l.Check("a"))
		clock.advance(refusal.RetryAfter - 1)
		assert.ErrorIs(t, l.Check("a"), domain.ErrTooManyAttempts)
		clock.advance(1)
		require.NoError(t, l.Check("a"))
		assert.Equal(t, 1, spendAll(t, l, "a"))
	})
	t.Run("no key ever has more attempts than at first", func(t *testing.T) {
		l, clock := newFixture(t)
		burst := spendAll(t, l, "a")
		clock.advance(100 * 365 * 24 * time.Hour)
		assert.Equal(t, burst, spendAll(t, l, "a"))
	})
	t.Run("a refunded attempt can be taken again", func(t *testing.T) {
		l, clock := newFixture(t)
		burst := spendAll(t, l, "a")
		l.Refund("a")
		assert.Equal(t, 1, spendAll(t, l, "a"))
		for range burst {
			l.Refund("a")
		}
		assert.Equal(t, burst, spendAll(t, l, "a"))

		wait := assertRetryAfter(t, l.Take("a"), domain.ErrTooManyAttempts).RetryAfter
		clock.advance(wait)
		l.Refund("a")
		assert.Equal(t, 2, spendAll(t, l, "a"), "one returned with time and one was refunded")
	})
	t.Run("a refund without a taken attempt has no effect, and no refund affects another key", func(t *testing.T) {
		l, _ := newFixture(t)
		l.Refund("a")
		l.Refund("a")
		burst := spendAll(t, l, "a")
		assert.Equal(t, burst, spendAll(t, l, "b"))
		l.Refund("a")
		assert.ErrorIs(t, l.Take("b"), domain.ErrTooManyAttempts)
		require.NoError(t, l.Take("a"))
	})
	t.Run("a reset returns all attempts of its key and of no other key", func(t *testing.T) {
		l, _ := newFixture(t)
		burst := spendAll(t, l, "a")
		spendAll(t, l, "b")
		l.Reset("a")
		l.Reset("c")
		assert.ErrorIs(t, l.Take("b"), domain.ErrTooManyAttempts)
		assert.Equal(t, burst, spendAll(t, l, "a"))
		assert.Equal(t, burst, spendAll(t, l, "c"))
	})
	t.Run("concurrent calls get no more attempts than calls in sequence", func(t *testing.T) {
		l, _ := newFixture(t)
		burst := spendAll(t, l, "a")
		assertWinners(t, burst, race(burst+100, func(int) error { return l.Take("b") }), domain.ErrTooManyAttempts)
		race(burst, func(int) error { l.Refund("b"); return nil })
		assert.Equal(t, burst, spendAll(t, l, "b"))
	})
	t.Run("memory does not grow with the number or the length of keys", func(t *testing.T) {
		l, clock := newFixture(t)
		padding := strings.Repeat("x", 1<<10)
		take := func(from, to int) uint64 {
			for k := from; k < to; k++ {
				require.NoError(t, l.Take(fmt.Sprint(k, padding)))
				clock.advance(time.Microsecond)
			}
			return heap()
		}
		before := take(0, 100_000)
		after := take(100_000, 300_000)
		assert.Less(t, after, before+8<<20)
		runtime.KeepAlive(l)
	})
}

// spendAll takes all attempts of key and returns how many there were.
func spendAll(t *testing.T, l ports.AttemptLimiter, key string) int {
	t.Helper()
	const maxAttempts = 100_000
	for n := range maxAttempts {
		if err := l.Take(key); err != nil {
			require.ErrorIs(t, err, domain.ErrTooManyAttempts)
			return n
		}
	}
	require.Fail(t, "the limiter has no limit")
	return 0
}

// heap returns how many bytes of the heap are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
