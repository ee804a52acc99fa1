package snowflake

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// patience keeps statements from giving up a lock on a slow machine.
const patience = 30 * time.Second

// Snowflake refuses a statement if 20 others wait for the lock.
func TestTheChangesOfNineInstancesAllFindRoomInTheQueueOfALock(t *testing.T) {
	const instances, each = 9, 8
	f := newFixture(t)
	items := make([]domain.Item, instances*each)
	for i := range items {
		items[i] = domaintest.Item(f.ann)
		require.NoError(t, f.CreateItem(t.Context(), f.ann.Actor(), items[i]))
	}
	release := hold(t, f.server, "UPDATE items SET version = version")
	f.server.Reset()
	var all sync.WaitGroup
	for i := range instances {
		o := options(f.server)
		o.RequestTimeout = patience
		s := open(t, o)
		for _, item := range items[each*i : each*(i+1)] {
			next := domaintest.RevisedItem(item, domaintest.WithTitle("next"))
			all.Go(func() {
				assert.NoError(t, s.UpdateItem(endsIn(t, patience), f.ann.Actor(), domain.AllItems(), next, item.Version))
			})
		}
	}
	require.Eventually(t, func() bool { return f.server.Waiters() == instances*changesPerTable }, 10*time.Second, time.Millisecond)
	release()
	all.Wait()
	assert.Equal(t, len(items), f.sent("UPDATE items"), "none was refused and sent again")
}

func TestChangesThatWaitForALockTakeNoConnectionFromReads(t *testing.T) {
	f := newFixture(t, func(o *session.Options) { o.RequestTimeout = patience })
	release := hold(t, f.server, "UPDATE items SET version = version")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := f.DeleteItem(endsIn(t, patience), f.ann.Actor(), domain.AllItems(), f.item.ID, domain.Versions{})
			if err != nil {
				assert.ErrorIs(t, err, domain.ErrNotFound)
			}
		})
	}
	require.Eventually(t, func() bool { return f.server.Waiters() == changesPerTable }, 10*time.Second, time.Millisecond)
	for range 10 {
		require.NoError(t, f.read(t.Context()))
	}
	assert.NoError(t, f.RehashForSignIn(t.Context(), f.ann.ID, f.ann.PasswordHash, "next"), "another table")
	release()
	all.Wait()
}
