package ports_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

func TestATraceAddsUpWhatARequestCost(t *testing.T) {
	trace := &ports.Trace{RequestID: "r"}
	ctx := ports.WithTrace(t.Context(), trace)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			ports.TraceOf(ctx).Add(ports.Cost{Statements: 1, Rows: 2, Waited: time.Second, Ran: time.Minute})
		})
	}
	all.Wait()
	assert.Equal(t, ports.Cost{Statements: 10, Rows: 20, Waited: 10 * time.Second, Ran: 10 * time.Minute}, trace.Cost())
	assert.Equal(t, "r", ports.TraceOf(ctx).RequestID)
}

func TestWithoutATraceCostsGoNowhere(t *testing.T) {
	ports.TraceOf(t.Context()).Add(ports.Cost{Statements: 1})
	assert.Equal(t, ports.Cost{}, ports.TraceOf(t.Context()).Cost())
}
