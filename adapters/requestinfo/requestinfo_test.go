package requestinfo_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
)

func TestATraceAddsUpWhatARequestCost(t *testing.T) {
	trace := &requestinfo.Info{RequestID: "r"}
	ctx := requestinfo.NewContext(t.Context(), trace)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			requestinfo.FromContext(ctx).Add(requestinfo.Cost{Statements: 1, Rows: 2, Waited: time.Second, Ran: time.Minute})
		})
	}
	all.Wait()
	assert.Equal(t, requestinfo.Cost{Statements: 10, Rows: 20, Waited: 10 * time.Second, Ran: 10 * time.Minute}, trace.Cost())
	assert.Equal(t, "r", requestinfo.FromContext(ctx).RequestID)
}

func TestWithoutATraceCostsGoNowhere(t *testing.T) {
	requestinfo.FromContext(t.Context()).Add(requestinfo.Cost{Statements: 1})
	assert.Equal(t, requestinfo.Cost{}, requestinfo.FromContext(t.Context()).Cost())
}
