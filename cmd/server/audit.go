package main

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// refusals are the events that any client can cause as often as it likes.
var refusals = map[string]bool{
	domain.EventSignInFailed:           true,
	domain.EventSignInThrottled:        true,
	domain.EventPasswordHashUnreadable: true,
	domain.EventPasswordCheckFailed:    true,
	domain.EventPasswordCheckThrottled: true,
	domain.EventClientSignInFailed:     true,
}

const (
	// sampleInterval is the time in which equal refusals become one more line, after the first.
	sampleInterval = time.Minute
	// maxSampled is the number of different refusals that are counted apart from each other. As many more are
	// counted by their source, and all others together.
	maxSampled = 1024
)

// auditLog writes audit events as log lines. Of equal refusals it writes the first one immediately, and then one
// line a minute with the number of all others, so that a flood cannot fill the log.
type auditLog struct {
	log *zap.Logger

	mu      sync.Mutex
	sampled map[domain.Event]*sample // by the event
}

// sample counts the equal refusals that no line has told of.
type sample struct {
	count     int
	requestID string // of the newest
}

func newAuditLog(log *zap.Logger) *auditLog {
	return &auditLog{log: log, sampled: map[domain.Event]*sample{}}
}

// record writes e with the id of the request that caused it, or counts it.
func (a *auditLog) record(ctx context.Context, e domain.Event) {
	requestID := requestinfo.FromContext(ctx).RequestID
	if !refusals[e.Name] {
		a.write(e, requestID, 1)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := maxSampled
	for _, coarser := range []domain.Event{{Name: e.Name, Source: e.Source}, {Name: e.Name}} {
		if a.sampled[e] != nil || len(a.sampled) < limit {
			break
		}
		e, limit = coarser, 2*limit
	}
	if s := a.sampled[e]; s != nil {
		s.count++
		s.requestID = requestID
		return
	}
	a.sampled[e] = &sample{}
	time.AfterFunc(sampleInterval, func() { a.endInterval(e) })
	a.write(e, requestID, 1)
}

// endInterval writes how often e was counted, and begins a new interval. If e was not counted, the next one is
// a first one again.
func (a *auditLog) endInterval(e domain.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.writeCount(e) {
		delete(a.sampled, e)
		return
	}
	time.AfterFunc(sampleInterval, func() { a.endInterval(e) })
}

// flush writes all counts. The process calls it before it ends.
func (a *auditLog) flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e := range a.sampled {
		a.writeCount(e)
	}
}

// writeCount writes and resets the count of e. It returns false if that is zero.
func (a *auditLog) writeCount(e domain.Event) bool {
	s := a.sampled[e]
	if s.count == 0 {
		return false
	}
	a.write(e, s.requestID, s.count)
	s.count = 0
	return true
}

func (a *auditLog) write(e domain.Event, requestID string, count int) {
	a.log.Info("audit",
		zap.String("event", e.Name),
		zap.String("actor_id", e.ActorID),
		zap.String("subject_id", e.SubjectID),
		zap.String("object_id", cmp.Or(e.ObjectID, e.SubjectID)),
		zap.String("kind", string(e.Kind)),
		zap.String("source", e.Source),
		zap.Int("count", count),
		zap.String("request_id", requestID))
}
