package security

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// AttemptLimiter implements [ports.AttemptLimiter] with the generic cell rate algorithm (ITU-T I.371):
// for each key it stores only the time at which the key has all its attempts again.
// (golang.org/x/time/rate has no refund.)
type AttemptLimiter struct {
	burst    int
	interval time.Duration
	now      func() time.Time
	seed     maphash.Seed // secret, so that clients cannot find keys that share an entry

	mu sync.Mutex // protects the fields below
	// entries ages also after the time in which a key regains all its attempts: an entry that was not touched
	// for that long says nothing any more.
	entries generations[uint64, time.Time]
	since   time.Time // when the young generation began
}

var _ ports.AttemptLimiter = (*AttemptLimiter)(nil)

// maxYoung limits both generations together to 65,536 entries, a few MiB. To have an entry forgotten
// early, an attacker must spend an attempt of each of 32,768 other keys. Each costs a password hash, an
// account or another source, which is too much for a few more guesses.
const maxYoung = 32_768

// NewAttemptLimiter returns a limiter that grants each key burst attempts in a row, and one more after
// each interval. Both must be positive.
func NewAttemptLimiter(burst int, interval time.Duration, now func() time.Time) *AttemptLimiter {
	return &AttemptLimiter{
		burst: burst, interval: interval, now: now, seed: maphash.MakeSeed(),
		entries: generations[uint64, time.Time]{max: maxYoung},
	}
}

// Take implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Take(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := l.hash(key), l.now()
	full, err := l.afterAttempt(k, now)
	if err == nil {
		l.set(k, full, now)
	}
	return err
}

// Check implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Check(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.afterAttempt(l.hash(key), l.now())
	return err
}

// afterAttempt returns when k has all its attempts again after one more, or an error if none is left.
func (l *AttemptLimiter) afterAttempt(k uint64, now time.Time) (full time.Time, err error) {
	full = l.fullAt(k)
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait := full.Sub(now) - l.refill(); wait > 0 {
		return full, domain.ErrTooManyAttempts.WithRetryAfter(wait)
	}
	return full, nil
}

// Refund implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Refund(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := l.hash(key), l.now()
	if full := l.fullAt(k).Add(-l.interval); full.After(now) {
		l.set(k, full, now)
	} else {
		l.entries.forget(k)
	}
}

// Reset implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Reset(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries.forget(l.hash(key))
}

func (l *AttemptLimiter) hash(key string) uint64 { return maphash.String(l.seed, key) }

// refill returns the time in which a key without attempts regains all of them.
func (l *AttemptLimiter) refill() time.Duration { return time.Duration(l.burst) * l.interval }

// fullAt returns when k has all its attempts again, or the zero time for an unknown k.
func (l *AttemptLimiter) fullAt(k uint64) time.Time {
	full, _ := l.entries.get(k)
	return full
}

func (l *AttemptLimiter) set(k uint64, full, now time.Time) {
	if l.entries.full() || now.Sub(l.since) >= l.refill() {
		l.entries.age()
		l.since = now
	}
	l.entries.set(k, full)
}
