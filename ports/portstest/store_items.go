package portstest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func testItems(t *testing.T, open opener) {
	t.Run("an item comes back exactly as it was written", func(t *testing.T) {
		s := newFixture(t, open)
		owner := s.addUser()
		written := itemsOfAllKinds(owner)
		for _, i := range written {
			require.NoError(t, s.CreateItem(t.Context(), owner.Actor(), i))
			got, err := s.Item(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), i.ID)
			require.NoError(t, err)
			assert.Equal(t, i, got)
		}
		s.assertItems(owner, written...)
	})
	t.Run("a new item belongs to the account that creates it", func(t *testing.T) {
		s := newFixture(t, open)
		owner, other := s.addUser(), s.addUser()
		i := domaintest.Item(other)
		require.NoError(t, s.CreateItem(t.Context(), owner.Actor(), i))
		i.OwnerID = owner.ID
		s.assertItems(owner, i)
		s.assertItems(other)
	})
	t.Run("an update replaces every field except ID, OwnerID and CreatedAt", func(t *testing.T) {
		s := newFixture(t, open)
		owner := s.addUser()
		bystander := s.addItem(owner)
		want := []domain.Item{bystander}
		for _, next := range itemsOfAllKinds(owner) {
			i := s.addItem(owner)
			next.ID, next.OwnerID = i.ID, s.admin.ID
			require.NoError(t, s.UpdateItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), next, i.Version))
			next.OwnerID, next.CreatedAt = i.OwnerID, i.CreatedAt
			want = append(want, next)
		}
		s.assertItems(owner, want...)
		s.assertItems(s.admin)
	})
	t.Run("an update or delete for another version is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		owner := s.addUser()
		i := s.addItem(owner, func(i *domain.Item) { i.Version = 5 })
		next := domaintest.RevisedItem(i, domaintest.WithTitle("next"))
		for _, version := range []int64{4, 6} {
			err := s.UpdateItem(t.Context(), owner.Actor(), domain.AllItems(), next, version)
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		for _, ifVersion := range without5 {
			err := s.DeleteItem(t.Context(), owner.Actor(), domain.AllItems(), i.ID, ifVersion)
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertItems(owner, i)
	})
	t.Run("a delete removes the item if its version is allowed", func(t *testing.T) {
		s := newFixture(t, open)
		owner := s.addUser()
		bystander := s.addItem(owner)
		for _, ifVersion := range with5 {
			i := s.addItem(owner, func(i *domain.Item) { i.Version = 5 })
			require.NoError(t, s.DeleteItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), i.ID, ifVersion))
			s.assertNoItem(i)
			s.assertItems(owner, bystander)
		}
	})
	t.Run("a second delete of an item finds nothing", func(t *testing.T) {
		s := newFixture(t, open)
		i := s.addItem(s.admin)
		require.NoError(t, s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID, anyVersion))
		err := s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("an unknown id is not found", func(t *testing.T) {
		s := newFixture(t, open)
		unknown := domaintest.Item(s.admin)
		s.assertNoItem(unknown)
		err := s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), unknown, 1)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		err = s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), unknown.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("a call reaches the items in its scope and no others", func(t *testing.T) {
		s := newFixture(t, open)
		owner, actor := s.addUser(), s.addUser()
		for _, c := range []struct {
			name  string
			scope domain.ItemScope
			want  error
		}{
			{"the zero scope", domain.ItemScope{}, domain.ErrNotFound},
			{"an empty owner", domain.OwnedBy(""), domain.ErrNotFound},
			{"another owner", domain.OwnedBy(actor.ID), domain.ErrNotFound},
			{"the owner", domain.OwnedBy(owner.ID), nil},
			{"all items", domain.AllItems(), nil},
		} {
			i := s.addItem(owner)
			next := domaintest.RevisedItem(i, domaintest.WithTitle("next"))
			_, err := s.Item(t.Context(), actor.Actor(), c.scope, i.ID)
			assert.ErrorIs(t, err, c.want, c.name)
			err = s.UpdateItem(t.Context(), actor.Actor(), c.scope, next, i.Version)
			assert.ErrorIs(t, err, c.want, c.name)
			if c.want != nil {
				next = i
			}
			s.assertItems(owner, next)
			err = s.DeleteItem(t.Context(), actor.Actor(), c.scope, i.ID, anyVersion)
			assert.ErrorIs(t, err, c.want, c.name)
			if c.want != nil {
				s.assertItems(owner, i)
				require.NoError(t, s.DeleteItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), i.ID, anyVersion))
			}
			s.assertItems(owner)
		}
	})
	t.Run("the items of an inactive account remain", func(t *testing.T) {
		s := newFixture(t, open)
		owner := s.addUser()
		i := s.addItem(owner)
		next := domaintest.RevisedUser(owner, domaintest.Inactive)
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, owner))
		_, err := s.Item(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID)
		require.NoError(t, err)
		s.assertItems(owner, i)
	})
}

func testDeleteUser(t *testing.T, open opener) {
	t.Run("a delete removes the account and all its items, and no other items", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(), s.addUser()
		first, second, kept := s.addItem(u), s.addItem(u), s.addItem(other)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion))
		_, err := s.User(t.Context(), s.admin.Actor(), u.ID)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		_, err = s.UserForSignIn(t.Context(), u.Email)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		s.assertUsers(other)
		s.assertNoItem(first)
		s.assertNoItem(second)
		s.assertItems(u)
		s.assertItems(other, kept)
		next := domaintest.RevisedItem(first, domaintest.WithTitle("next"))
		err = s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), next, first.Version)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		err = s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), second.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("a delete for another version is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser(withVersion(5))
		i := s.addItem(u)
		for _, ifVersion := range without5 {
			err := s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, ifVersion)
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertUsers(u)
		s.assertItems(u, i)
	})
	t.Run("a delete removes the account if its version is allowed, and a second finds nothing", func(t *testing.T) {
		s := newFixture(t, open)
		for _, ifVersion := range with5 {
			u := s.addUser(withVersion(5))
			require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, ifVersion))
			assert.ErrorIs(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, ifVersion), domain.ErrNotFound)
			s.assertUsers()
		}
	})
	t.Run("an account may delete itself", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		s.assertUsers()
	})
	t.Run("a new account with the e-mail of a deleted one has none of its items", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		s.addItem(u)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion))
		fresh := s.addUser(domaintest.WithEmail(u.Email))
		s.assertUsers(fresh)
		s.assertItems(fresh)
	})
}

// itemsOfAllKinds returns items whose fields are at their limits or hard to store.
func itemsOfAllKinds(owner domain.User) []domain.Item {
	items := []domain.Item{
		domaintest.Item(owner),
		domaintest.Item(owner, domaintest.WithDescription("")),
		domaintest.Item(owner,
			domaintest.WithTitle(strings.Repeat("🦆", domain.MaxTitle)),
			domaintest.WithDescription(strings.Repeat("🦆", domain.MaxDescription))),
		domaintest.Item(owner, func(i *domain.Item) { i.Version = 1 << 40 }),
		domaintest.Item(owner, func(i *domain.Item) { i.CreatedAt, i.UpdatedAt = beforeGap, afterGap }),
	}
	for _, text := range awkwardTexts {
		items = append(items, domaintest.Item(owner, domaintest.WithTitle(text), domaintest.WithDescription(text)))
	}
	return items
}
