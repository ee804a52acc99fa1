package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// maxTries is how often a PATCH without If-Match tries to change an entity (design.md: 32).
const maxTries = 32

// contended is a service on which a test changes one item concurrently.
type contended struct {
	*testService
	admin client
	item  string
}

func newContended(t *testing.T, r *testService) contended {
	t.Helper()
	admin := r.admin(t)
	return contended{r, admin, admin.newItem("Snow shovel")}
}

// change sends n concurrent PATCHes without If-Match, each with another title.
func (c contended) change(n int) []reply {
	replies := make([]reply, n)
	race(n, func(i int) reply {
		replies[i] = c.admin.request("PATCH", c.item, fields{"title": fmt.Sprint("title ", i)})
		return replies[i]
	})
	return replies
}

// newContendedOnSnowflake returns a service in which no request ends because of its time or because it
// waits for a connection.
func newContendedOnSnowflake(t *testing.T) (contended, *snowflaketest.Server) {
	t.Helper()
	r, server := newServiceOnSnowflake(t, "--request-timeout=20s", "--snowflake-connections=32")
	return newContended(t, r), server
}

// countingStore counts the calls that read or update an item, for each request.
type countingStore struct {
	ports.Store
	mu    sync.Mutex
	calls map[string]int // by request id
	loses bool           // whether every update loses to a concurrent one
}

func newCountingStore() *countingStore {
	return &countingStore{Store: memory.New(), calls: map[string]int{}}
}

func (s *countingStore) count(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[requestinfo.FromContext(ctx).RequestID]++
}

// perRequest returns the number of calls by request id.
func (s *countingStore) perRequest() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

func (s *countingStore) Item(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, id string,
) (domain.Item, error) {
	s.count(ctx)
	return s.Store.Item(ctx, by, scope, id)
}

func (s *countingStore) UpdateItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, read int64,
) error {
	s.count(ctx)
	if s.loses {
		return domain.ErrStale
	}
	return s.Store.UpdateItem(ctx, by, scope, next, read)
}

func TestAsManyConcurrentChangesAsTriesAllSucceed(t *testing.T) {
	t.Parallel()
	allSucceed := func(c contended) {
		for _, reply := range c.change(maxTries) {
			reply.is(http.StatusOK)
		}
	}
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		allSucceed(newContended(t, newServiceOn(t, memory.New())))
	})
	t.Run("on Snowflake", func(t *testing.T) {
		t.Parallel()
		c, _ := newContendedOnSnowflake(t)
		allSucceed(c)
	})
}

func TestAChangeThatAlwaysLosesIsContendedAfterItsTries(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	store.loses = true
	c := newContended(t, newServiceOn(t, store))
	reply := c.change(1)[0]
	reply.refused(http.StatusServiceUnavailable, domain.ErrContended.Code)
	assert.NotEmpty(t, reply.header.Get("Retry-After"))
	assert.Equal(t, 2*maxTries, store.perRequest()[reply.header.Get("X-Request-ID")], "a read and a write per try")
}

func TestTwoHundredConcurrentChangesMakeALimitedNumberOfCalls(t *testing.T) {
	t.Parallel()
	const clients = 200
	store := newCountingStore()
	succeeded := 0
	for _, reply := range newContended(t, newServiceOn(t, store)).change(clients) {
		if reply.status == http.StatusOK {
			succeeded++
			continue
		}
		reply.refused(http.StatusServiceUnavailable, domain.ErrContended.Code)
	}
	assert.GreaterOrEqual(t, succeeded, maxTries)
	for id, calls := range store.perRequest() {
		assert.LessOrEqual(t, calls, 2*maxTries, id)
	}
}

func TestAChangeThatAlwaysLosesMakesALimitedNumberOfStatements(t *testing.T) {
	t.Parallel()
	c, server := newContendedOnSnowflake(t)
	server.Reset()
	server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, "UPDATE items") {
			server.Exec("UPDATE items SET version = version + 1")
		}
		return nil
	})
	reply := c.change(1)[0]
	reply.refused(http.StatusServiceUnavailable, domain.ErrContended.Code)
	assert.Len(t, server.Requests(), 3*maxTries, "a read, a write and a diagnosis per try")
}
