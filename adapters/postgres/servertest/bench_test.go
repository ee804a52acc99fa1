//go:build unix

package servertest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// BenchmarkItemsOfOneOwner compares an owner of a thousand items with an owner of a million: one item, a page by cursor
// from the middle of the list, and the total.
func BenchmarkItemsOfOneOwner(b *testing.B) {
	o := newSchema(b)
	migrate(b, o)
	s := openWith(b, o)
	admin := newAdmin(b, s)
	sizes := []int{1_000, 1_000_000}
	owners := map[int]domain.User{}
	for _, size := range sizes {
		owners[size] = domaintest.User(domaintest.Superuser)
		require.NoError(b, s.CreateUser(b.Context(), admin.Actor(), owners[size]))
		pgtest.Exec(b, pgtest.Server(b).DSN(pgserver.SuperUser, database), "SET search_path = "+o.Schema, fmt.Sprintf(
			`INSERT INTO items (id, owner_id, title, version, created_at, updated_at)
			SELECT '%d-' || n, '%s', 'title', 1, now() - n * interval '1 s', now()
			FROM generate_series(1, %d) n`, size, owners[size].ID, size))
	}
	pgtest.Exec(b, pgtest.Server(b).DSN(pgserver.SuperUser, database), "SET search_path = "+o.Schema, "VACUUM ANALYZE items")
	for _, call := range []struct {
		name string
		do   func(*postgres.Store, domain.User, int) error
	}{
		{"get", func(s *postgres.Store, owner domain.User, size int) error {
			_, err := s.Item(b.Context(), owner.Actor(), domain.OwnedBy(owner.ID), fmt.Sprintf("%d-%d", size, size/2))
			return err
		}},
		{"page", func(s *postgres.Store, owner domain.User, size int) error {
			middle, err := s.Item(b.Context(), owner.Actor(), domain.OwnedBy(owner.ID), fmt.Sprintf("%d-%d", size, size/2))
			if err != nil {
				return err
			}
			page := domain.PageRequest{Limit: 100, After: domain.Some(middle.Position())}
			_, err = s.Items(b.Context(), owner.Actor(), owner.ID, page)
			return err
		}},
		{"total", func(s *postgres.Store, owner domain.User, _ int) error {
			_, err := s.Items(b.Context(), owner.Actor(), owner.ID, domain.PageRequest{Limit: 1, Count: true})
			return err
		}},
	} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/items=%d", call.name, size), func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, call.do(s, owners[size], size))
				}
			})
		}
	}
}
