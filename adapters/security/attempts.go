package security

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// AttemptLimiter implements [ports.AttemptLimiter] with the generic cell rate algorithm (ITU-T
// I.371): of a key it remembers nothing but the time at which all its attempts will be back.
// (golang.org/x/time/rate cannot give an attempt back.)
type AttemptLimiter struct {
	burst    int
	interval time.Duration
	now      func() time.Time
	seed     maphash.Seed // nobody outside can tell which keys would share an entry

	mu sync.Mutex
	// What was not touched for as long as it takes to get all attempts back can be forgotten
	// without loss. So entries move to the young when touched, and the old go all at once.
	young, old map[uint64]time.Time
	since      time.Time // when the young began
}

var _ ports.AttemptLimiter = (*AttemptLimiter)(nil)

// maxYoung bounds both generations together to 65,536 entries, a few MiB. Whoever wants an entry
// forgotten early has to spend an attempt of each of 32,768 other keys, and each of those costs a
// password hash or an account: a bad price for a few more guesses.
const maxYoung = 32_768

// NewAttemptLimiter returns one that grants each key burst attempts in a row, and one more after
// each interval. Both must be positive.
func NewAttemptLimiter(burst int, interval time.Duration, now func() time.Time) *AttemptLimiter {
	return &AttemptLimiter{
		burst: burst, interval: interval, now: now, seed: maphash.MakeSeed(),
		young: map[uint64]time.Time{},
	}
}

// Take implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Take(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := l.hash(key), l.now()
	full := l.fullAt(k)
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait := full.Sub(now) - l.refill(); wait > 0 {
		return domain.ErrTooManyAttempts.WithRetryAfter(wait)
	}
	l.set(k, full, now)
	return nil
}

// Refund implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Refund(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := l.hash(key), l.now()
	if full := l.fullAt(k).Add(-l.interval); full.After(now) {
		l.set(k, full, now)
	} else {
		l.forget(k)
	}
}

// Reset implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Reset(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(l.hash(key))
}

func (l *AttemptLimiter) hash(key string) uint64 { return maphash.String(l.seed, key) }

// refill is how long it takes to get all attempts back.
func (l *AttemptLimiter) refill() time.Duration { return time.Duration(l.burst) * l.interval }

func (l *AttemptLimiter) fullAt(k uint64) time.Time {
	if full, ok := l.young[k]; ok {
		return full
	}
	return l.old[k]
}

func (l *AttemptLimiter) set(k uint64, full, now time.Time) {
	if len(l.young) >= maxYoung || now.Sub(l.since) >= l.refill() {
		l.young, l.old, l.since = map[uint64]time.Time{}, l.young, now
	}
	delete(l.old, k)
	l.young[k] = full
}

func (l *AttemptLimiter) forget(k uint64) {
	delete(l.old, k)
	delete(l.young, k)
}
