package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestAnAuditEventIsALogLineWithEverythingThatIsKnown(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	audit := newAuditLog(zap.New(core))
	ctx := requestinfo.NewContext(t.Context(), &requestinfo.Info{RequestID: "the-id"})
	audit.record(ctx, domain.Event{Name: domain.EventUserDeleted, ActorID: "a", SubjectID: "b", Source: "192.0.2.1"})
	audit.record(ctx, domain.Event{Name: domain.EventItemRead, ActorID: "a", SubjectID: "b", ObjectID: "i", Source: "ANN"})
	require.Equal(t, 2, logs.Len())
	assert.Equal(t, map[string]any{
		"event": "user_deleted", "actor_id": "a", "subject_id": "b", "object_id": "b", "kind": "", "source": "192.0.2.1",
		"count": int64(1), "request_id": "the-id",
	}, logs.All()[0].ContextMap())
	assert.Equal(t, map[string]any{
		"event": "item_read", "actor_id": "a", "subject_id": "b", "object_id": "i", "kind": "", "source": "ANN",
		"count": int64(1), "request_id": "the-id",
	}, logs.All()[1].ContextMap())
}

// auditFixture is an audit log and what it has written, in a bubble with a fake clock.
type auditFixture struct {
	*auditLog
	logs *observer.ObservedLogs
}

func runAudit(t *testing.T, name string, test func(*testing.T, auditFixture)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			test(t, auditFixture{newAuditLog(zap.New(core)), logs})
		})
	})
}

// records records e n times. The ids of the requests are numbers.
func (f auditFixture) records(t *testing.T, n int, e domain.Event) {
	for i := range n {
		info := &requestinfo.Info{RequestID: fmt.Sprint(i + 1)}
		f.record(requestinfo.NewContext(t.Context(), info), e)
	}
}

// lines returns "event source count request_id" of each new line.
func (f auditFixture) lines() (lines []string) {
	synctest.Wait()
	for _, line := range f.logs.TakeAll() {
		c := line.ContextMap()
		lines = append(lines, fmt.Sprint(c["event"], " ", c["source"], " ", c["count"], " ", c["request_id"]))
	}
	return lines
}

func TestEqualRefusalsAreSampledWithTheirCount(t *testing.T) {
	failed := domain.Event{Name: domain.EventSignInFailed, SubjectID: "ann", Source: "a"}
	for name := range refusals {
		runAudit(t, name+" is written immediately, and then once a minute", func(t *testing.T, f auditFixture) {
			e := domain.Event{Name: name, Source: "a"}
			f.records(t, 1000, e)
			assert.Equal(t, []string{name + " a 1 1"}, f.lines())
			time.Sleep(sampleInterval)
			assert.Equal(t, []string{name + " a 999 1000"}, f.lines())
			f.records(t, 5, e)
			assert.Empty(t, f.lines())
			time.Sleep(sampleInterval)
			assert.Equal(t, []string{name + " a 5 5"}, f.lines())
			time.Sleep(sampleInterval)
			assert.Empty(t, f.lines())
			assert.Empty(t, f.sampled)
			f.records(t, 1, e)
			assert.Equal(t, []string{name + " a 1 1"}, f.lines())
		})
	}
	runAudit(t, "refusals that differ are written each", func(t *testing.T, f auditFixture) {
		otherSource, otherSubject, otherName := failed, failed, failed
		otherSource.Source, otherSubject.SubjectID, otherName.Name = "b", "bob", domain.EventSignInThrottled
		for _, e := range []domain.Event{failed, otherSource, otherSubject, otherName} {
			f.records(t, 2, e)
		}
		assert.Len(t, f.lines(), 4)
	})
	runAudit(t, "all other events are written each", func(t *testing.T, f auditFixture) {
		f.records(t, 100, domain.Event{Name: domain.EventSignedIn, Source: "a"})
		assert.Len(t, f.lines(), 100)
	})
	runAudit(t, "counts are written before the process ends", func(t *testing.T, f auditFixture) {
		f.records(t, 3, failed)
		f.flush()
		f.flush()
		assert.Equal(t, []string{"sign_in_failed a 1 1", "sign_in_failed a 2 3"}, f.lines())
	})
	runAudit(t, "refusals that all differ become lines without source and subject", func(t *testing.T, f auditFixture) {
		for i := range 10 * maxSampled {
			f.record(context.Background(), domain.Event{Name: domain.EventSignInFailed, Source: fmt.Sprint(i)})
		}
		assert.Equal(t, 2*maxSampled+1, len(f.lines()))
		time.Sleep(sampleInterval)
		assert.Equal(t, []string{fmt.Sprintf("sign_in_failed  %d ", 8*maxSampled-1)}, f.lines())
	})
	runAudit(t, "many refusals of one source become lines with that source", func(t *testing.T, f auditFixture) {
		for i := range 10 * maxSampled {
			f.record(context.Background(), domain.Event{Name: domain.EventSignInFailed, Source: "a", SubjectID: fmt.Sprint(i)})
		}
		assert.Equal(t, maxSampled+1, len(f.lines()))
		time.Sleep(sampleInterval)
		assert.Equal(t, []string{fmt.Sprintf("sign_in_failed a %d ", 9*maxSampled-1)}, f.lines())
	})
}

func TestTheAuditLogNamesTheSourceAndTheItemsThatASuperuserReachesForOthers(t *testing.T) {
	t.Parallel()
	r := newService(t, "--source-header=X-Client-Name")
	admin := r.admin(t)
	ann, annID := admin.newAccount("ann@example.com")
	item := ann.newItem("hers")
	r.logs.TakeAll()
	ann.request("GET", item, nil).is(http.StatusOK)
	admin.request("GET", item, nil, "X-Client-Name", "ADA").is(http.StatusOK)
	admin.request("PATCH", item, fields{"title": "ours"}, "X-Client-Name", "ADA").is(http.StatusOK)
	admin.request("DELETE", item, nil, "X-Client-Name", "ADA").is(http.StatusNoContent)
	var events []string
	for _, line := range r.logs.FilterMessage("audit").All() {
		c := line.ContextMap()
		assert.Equal(t, "ADA", c["source"])
		assert.Equal(t, annID, c["subject_id"])
		assert.Equal(t, item, "/items/"+fmt.Sprint(c["object_id"]))
		assert.NotEmpty(t, c["actor_id"])
		events = append(events, fmt.Sprint(c["event"]))
	}
	assert.Equal(t, []string{"item_read", "item_changed", "item_deleted"}, events)
}
