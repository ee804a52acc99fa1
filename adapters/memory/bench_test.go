package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// BenchmarkItems shows that the cost of a read does not depend on the number of items. Run it with GOGC=off:
// the work of the garbage collector grows with the number of items, and pages would pay for it.
func BenchmarkItems(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		store, owner := newFilledStore(b, n)
		by, scope := owner.Actor(), domain.OwnedBy(owner.ID)
		middle := domain.Some(item(owner, n/2).Position())
		b.Run(fmt.Sprintf("get/n=%d", n), func(b *testing.B) {
			id := item(owner, n/2).ID
			for b.Loop() {
				if _, err := store.Item(b.Context(), by, scope, id); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, page := range []struct {
			name string
			req  domain.PageRequest
		}{
			{"first page", domain.PageRequest{Limit: 100, Count: true}},
			{"cursor page", domain.PageRequest{Limit: 100, Count: true, After: middle}},
			{"skip page", domain.PageRequest{Limit: 100, Count: true, Skip: n / 2}},
		} {
			b.Run(fmt.Sprintf("%s/n=%d", page.name, n), func(b *testing.B) {
				for b.Loop() {
					p, err := store.Items(b.Context(), by, owner.ID, page.req)
					if err != nil || len(p.Rows) != 100 {
						b.Fatal(len(p.Rows), err)
					}
				}
			})
		}
	}
}

// newFilledStore returns a store with one account, the owner of n items.
func newFilledStore(b *testing.B, n int) (*memory.Store, domain.User) {
	b.Helper()
	store := memory.New()
	owner := domaintest.User(domaintest.Superuser)
	_, err := store.CreateFirstSuperuser(context.Background(), owner)
	require.NoError(b, err)
	for i := range n {
		if err := store.CreateItem(context.Background(), owner.Actor(), item(owner, i)); err != nil {
			b.Fatal(err)
		}
	}
	return store, owner
}

// item returns the i-th oldest item of owner. It parses nothing, so that a million items are made quickly.
func item(owner domain.User, i int) domain.Item {
	return domain.Item{ID: fmt.Sprintf("%036d", i), OwnerID: owner.ID, CreatedAt: time.UnixMicro(int64(i)).UTC()}
}

// BenchmarkCleanUp shows that the cost of a session does not depend on how many sessions an account has.
func BenchmarkCleanUp(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				store, owner := newFilledStore(b, 0)
				for i := range n {
					session := domaintest.Session(owner)
					session.CreatedAt = session.CreatedAt.Add(time.Duration(i) * time.Microsecond)
					require.NoError(b, store.CreateSession(b.Context(), owner.Actor(), session))
				}
				b.StartTimer()
				require.NoError(b, store.CleanUp(b.Context(), domaintest.Created))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/session")
		})
	}
}
