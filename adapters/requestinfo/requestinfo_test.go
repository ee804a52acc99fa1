package requestinfo_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
)

func TestTheCostOfARequestIsTheSumOfItsStatements(t *testing.T) {
	const calls = 10
	info := &requestinfo.Info{RequestID: "r"}
	ctx := requestinfo.NewContext(t.Context(), info)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			requestinfo.FromContext(ctx).Add(requestinfo.Cost{
				Statements: 1, Rows: 2, Waited: time.Second, Ran: time.Minute,
			})
		})
	}
	all.Wait()
	want := requestinfo.Cost{
		Statements: calls, Rows: 2 * calls, Waited: calls * time.Second, Ran: calls * time.Minute,
	}
	assert.Equal(t, want, info.Cost())
	assert.Equal(t, "r", requestinfo.FromContext(ctx).RequestID)
}

func TestAContextWithoutAnInfoKeepsNoCost(t *testing.T) {
	requestinfo.FromContext(t.Context()).Add(requestinfo.Cost{Statements: 1})
	assert.Equal(t, requestinfo.Cost{}, requestinfo.FromContext(t.Context()).Cost())
}
