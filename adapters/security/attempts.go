package security

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// mostKeys bounds the memory of a limiter to about 3 MiB.
const mostKeys = 1 << 16

// AttemptLimiter implements [ports.AttemptLimiter]: a number of attempts at once, then one per
// interval. It is the generic cell rate algorithm (ITU-T I.371), which needs one time per key and,
// unlike x/time/rate, can give an attempt back.
type AttemptLimiter struct {
	attempts int
	interval time.Duration
	now      func() time.Time
	seed     maphash.Seed

	mu sync.Mutex
	// fullAt says when a key has all its attempts back. Keys are hashed: whoever makes them up may
	// make them long.
	fullAt map[uint64]time.Time
}

var _ ports.AttemptLimiter = (*AttemptLimiter)(nil)

// NewAttemptLimiter returns a limiter of so many attempts in a row, and one per interval from then
// on.
func NewAttemptLimiter(attempts int, interval time.Duration, now func() time.Time) *AttemptLimiter {
	return &AttemptLimiter{attempts: attempts, interval: interval, now: now, seed: maphash.MakeSeed(), fullAt: map[uint64]time.Time{}}
}

// Take implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Take(key string) error {
	id, now := maphash.String(l.seed, key), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	fullAt, known := l.fullAt[id]
	if fullAt.Before(now) {
		fullAt = now
	}
	fullAt = fullAt.Add(l.interval)
	if wait := fullAt.Sub(now) - time.Duration(l.attempts)*l.interval; wait > 0 {
		return domain.ErrTooManyAttempts.After(wait)
	}
	if !known && len(l.fullAt) >= mostKeys {
		l.makeRoom(now)
	}
	l.fullAt[id] = fullAt
	return nil
}

// GiveBack implements [ports.AttemptLimiter].
func (l *AttemptLimiter) GiveBack(key string) {
	id, now := maphash.String(l.seed, key), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if fullAt := l.fullAt[id].Add(-l.interval); fullAt.After(now) {
		l.fullAt[id] = fullAt
	} else {
		delete(l.fullAt, id)
	}
}

// Clear implements [ports.AttemptLimiter].
func (l *AttemptLimiter) Clear(key string) {
	id := maphash.String(l.seed, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.fullAt, id)
}

// makeRoom forgets every key that has all its attempts back, or else the one that is nearest to
// it. Whoever wants the limiter to forget a key that is out of attempts has to fail with as many
// others as there is room for, which at a password hash each takes far longer than waiting.
func (l *AttemptLimiter) makeRoom(now time.Time) {
	var nearest uint64
	var nearestAt time.Time
	for id, fullAt := range l.fullAt {
		if !fullAt.After(now) {
			delete(l.fullAt, id)
		} else if nearestAt.IsZero() || fullAt.Before(nearestAt) {
			nearest, nearestAt = id, fullAt
		}
	}
	if len(l.fullAt) >= mostKeys {
		delete(l.fullAt, nearest)
	}
}
