package items_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/items"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const itemVersion = 3 // of the items of a new fixture

var (
	now        = domaintest.Later
	anyVersion domain.Versions
	all        = domain.PageRequest{Limit: 1000, Count: true}
)

// fixture is a service on a memory store. The store holds a superuser without items, and two ordinary accounts
// with an item each.
type fixture struct {
	*items.Service
	store            *memory.Store
	interleaved      *interleavedStore // what the service uses of store
	root, ann, bob   domain.User
	annItem, bobItem domain.Item
	events           []domain.Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := &fixture{store: memory.New()}
	s.root, s.ann, s.bob = domaintest.User(domaintest.Superuser), domaintest.User(), domaintest.User()
	withVersion := func(i *domain.Item) { i.Version = itemVersion }
	s.annItem = domaintest.Item(s.ann, domaintest.WithDescription("old text"), withVersion)
	s.bobItem = domaintest.Item(s.bob, domaintest.WithDescription("old text"), withVersion)
	s.interleaved = &interleavedStore{ItemStore: s.store, afterRead: func() {}}
	s.Service = &items.Service{
		Store: s.interleaved, NewID: domaintest.NewID, Now: func() time.Time { return now },
		Audit: func(_ context.Context, e domain.Event) { s.events = append(s.events, e) },
	}
	_, err := s.store.CreateFirstSuperuser(t.Context(), s.root)
	require.NoError(t, err)
	require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), s.ann))
	require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), s.bob))
	require.NoError(t, s.store.CreateItem(t.Context(), s.ann.Actor(), s.annItem))
	require.NoError(t, s.store.CreateItem(t.Context(), s.bob.Actor(), s.bobItem))
	return s
}

// run runs test with a new fixture. The clock is fake and moves only while all goroutines wait.
func run(t *testing.T, name string, test func(*testing.T, *fixture)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newFixture(t)) })
	})
}

// assertStored checks that the store holds the item exactly as it is here.
func (s *fixture) assertStored(t *testing.T, want domain.Item) {
	t.Helper()
	i, err := s.store.Item(t.Context(), s.root.Actor(), domain.AllItems(), want.ID)
	require.NoError(t, err)
	assert.Equal(t, want, i)
}

// changeConcurrently changes the description of Ann's item between each of the service's next n reads and the
// write that follows.
func (s *fixture) changeConcurrently(t *testing.T, n int) {
	ofAnn := domain.OwnedBy(s.ann.ID)
	s.interleaved.afterRead = func() {
		if n--; n < 0 {
			return
		}
		old, err := s.store.Item(t.Context(), s.ann.Actor(), ofAnn, s.annItem.ID)
		require.NoError(t, err)
		next := domaintest.RevisedItem(old, domaintest.WithDescription(fmt.Sprint("concurrent change ", n)))
		require.NoError(t, s.store.UpdateItem(t.Context(), s.ann.Actor(), ofAnn, next, old.Version))
	}
}

// lastConcurrentChange is the description that changeConcurrently leaves.
const lastConcurrentChange = "concurrent change 0"

// interleavedStore counts reads and updates. It calls afterRead between each read and its result.
type interleavedStore struct {
	ports.ItemStore
	reads, updates atomic.Int64
	afterRead      func()
}

func (s *interleavedStore) Item(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, id string,
) (domain.Item, error) {
	s.reads.Add(1)
	defer s.afterRead()
	return s.ItemStore.Item(ctx, by, scope, id)
}

func (s *interleavedStore) UpdateItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, version int64,
) error {
	s.updates.Add(1)
	return s.ItemStore.UpdateItem(ctx, by, scope, next, version)
}
