package security

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	burst    = 10
	interval = 6 * time.Second
)

func newLimiter(now *time.Time) *AttemptLimiter {
	*now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return NewAttemptLimiter(burst, interval, func() time.Time { return *now })
}

func TestAKeyHasTenAttemptsInARowThenOneEverySixSeconds(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	for range burst {
		require.NoError(t, l.Take("a"))
	}
	for range 3 {
		var e *domain.Error
		require.ErrorAs(t, l.Take("a"), &e)
		assert.Equal(t, interval, e.RetryAfter)
		now = now.Add(interval)
		require.NoError(t, l.Take("a"))
	}
	now = now.Add(burst * interval)
	for range burst {
		require.NoError(t, l.Take("a"))
	}
	assert.Error(t, l.Take("a"))
}

func (l *AttemptLimiter) size() int { return len(l.entries.young) + len(l.entries.old) }

func TestTheNumberOfEntriesIsLimited(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	for k := range 5 * maxYoung {
		require.NoError(t, l.Take(fmt.Sprint(k)))
		require.LessOrEqual(t, l.size(), 2*maxYoung)
	}
	assert.GreaterOrEqual(t, l.size(), maxYoung)
}

func TestRefundsToOldKeysDoNotExceedTheLimitOfEntries(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	for generation := range 6 {
		for k := range maxYoung {
			key := fmt.Sprint(generation, " ", k)
			require.NoError(t, l.Take(key))
			require.NoError(t, l.Take(key))
			l.Refund(fmt.Sprint(generation-1, " ", k))
		}
		require.LessOrEqual(t, l.size(), 2*maxYoung)
	}
}

// outnumber spends all attempts of key, then one attempt of each of so many others that a generation ends.
func outnumber(t *testing.T, l *AttemptLimiter, key string) {
	t.Helper()
	for range burst {
		require.NoError(t, l.Take(key))
	}
	for k := range maxYoung {
		require.NoError(t, l.Take(fmt.Sprint(k)))
	}
}

func TestAFloodOfKeysDropsNoEntryBeforeAGenerationIsFull(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	outnumber(t, l, "victim")
	require.Contains(t, l.entries.old, l.hash("victim"))
	require.Error(t, l.Take("victim"))
	l.Refund("victim")
	require.NoError(t, l.Take("victim"))
	require.Error(t, l.Take("victim"))
}

func TestAKeyOfTheOldGenerationCanBeReset(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	outnumber(t, l, "victim")
	l.Reset("victim")
	for range burst {
		require.NoError(t, l.Take("victim"))
	}
}

func TestAKeyWithAllItsAttemptsHasNoEntry(t *testing.T) {
	var now time.Time
	l := newLimiter(&now)
	for k := range 1000 {
		require.NoError(t, l.Take(fmt.Sprint("idle", k)))
	}
	for range 2 {
		now = now.Add(burst * interval)
		require.NoError(t, l.Take("busy"))
	}
	assert.Equal(t, 1, l.size())

	l.Refund("busy")
	assert.Zero(t, l.size())
	require.NoError(t, l.Take("busy"))
	l.Reset("busy")
	assert.Zero(t, l.size())
}

// The model is a counter for each key, which increases by one in each interval.
func TestAttemptsAreCountedLikeTokensInABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now time.Time
		l := newLimiter(&now)
		const full = burst * interval
		levels := map[string]time.Duration{"a": full, "b": full} // an attempt is worth an interval
		key := rapid.SampledFrom([]string{"a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				k := key.Draw(t, "key")
				err := l.Take(k)
				if levels[k] >= interval {
					require.NoError(t, err)
					levels[k] -= interval
					return
				}
				var e *domain.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, interval-levels[k], e.RetryAfter)
			},
			"refund": func(t *rapid.T) {
				k := key.Draw(t, "key")
				l.Refund(k)
				levels[k] = min(levels[k]+interval, full)
			},
			"reset": func(t *rapid.T) {
				k := key.Draw(t, "key")
				l.Reset(k)
				levels[k] = full
			},
			"wait": func(t *rapid.T) {
				d := time.Duration(rapid.Int64Range(0, int64(full)).Draw(t, "for"))
				now = now.Add(d)
				for k := range levels {
					levels[k] = min(levels[k]+d, full)
				}
			},
		})
	})
}
