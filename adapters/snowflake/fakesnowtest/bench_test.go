package fakesnowtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// What these measure is mostly the emulator; they compare calls and numbers of clients with each
// other, not with Snowflake.
func BenchmarkStoreOnFakesnow(b *testing.B) {
	s := open(b)
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(context.Background(), admin)
	require.NoError(b, err)
	newItem := func() domain.Item { return domaintest.Item(admin) }
	known := newItem()
	require.NoError(b, s.CreateItem(context.Background(), admin.Actor(), known))
	for range 20 {
		require.NoError(b, s.CreateItem(context.Background(), admin.Actor(), newItem()))
	}

	for _, call := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"get item", func(ctx context.Context) error {
			_, err := s.Item(ctx, admin.Actor(), domain.OwnedBy(admin.ID), known.ID)
			return err
		}},
		{"list 20 items", func(ctx context.Context) error {
			_, err := s.Items(ctx, admin.Actor(), admin.ID, domain.PageRequest{Limit: 20, Count: true})
			return err
		}},
		{"create item", func(ctx context.Context) error { return s.CreateItem(ctx, admin.Actor(), newItem()) }},
	} {
		for _, clients := range []int{1, 32} {
			b.Run(call.name+"/clients="+map[int]string{1: "1", 32: "32"}[clients], func(b *testing.B) {
				measure(b, clients, call.do)
			})
		}
	}
}

// measure reports what a number of clients get done together and the slowest of a hundred calls.
func measure(b *testing.B, clients int, do func(context.Context) error) {
	var mu sync.Mutex
	var took []time.Duration
	work := make(chan struct{})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range work {
				start := time.Now()
				var err error = domain.ErrBusy
				for errors.Is(err, domain.ErrBusy) { // as a client does after Retry-After
					err = do(context.Background())
				}
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
