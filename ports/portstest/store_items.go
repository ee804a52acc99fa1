package portstest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func testItems(t *testing.T, open opener) {
	t.Run("an item comes back exactly as it was written", func(t *testing.T) {
		s := seed(t, open)
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
	t.Run("an update replaces all that may change, its version verbatim", func(t *testing.T) {
		s := seed(t, open)
		owner := s.addUser()
		bystander := s.addItem(owner)
		want := []domain.Item{bystander}
		for _, next := range itemsOfAllKinds(owner) {
			i := s.addItem(owner)
			next.ID, next.CreatedAt = i.ID, i.CreatedAt
			require.NoError(t, s.UpdateItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), next, i.Version))
			want = append(want, next)
		}
		s.assertItems(owner, want...)
	})
	t.Run("an update or delete is stale at any other version and changes nothing", func(t *testing.T) {
		s := seed(t, open)
		owner := s.addUser()
		i := s.addItem(owner, func(i *domain.Item) { i.Version = 5 })
		for _, read := range []int64{4, 6} {
			err := s.UpdateItem(t.Context(), owner.Actor(), domain.AllItems(), retitled(i, "next"), read)
			assert.ErrorIs(t, err, domain.ErrStale)
			err = s.DeleteItem(t.Context(), owner.Actor(), domain.AllItems(), i.ID, domain.OnlyVersions(read))
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		for _, ifVersion := range []domain.Versions{domain.OnlyVersions(4, 6), domain.OnlyVersions()} {
			err := s.DeleteItem(t.Context(), owner.Actor(), domain.AllItems(), i.ID, ifVersion)
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertItems(owner, i)
	})
	t.Run("a delete removes the item at its version or at any when none is given", func(t *testing.T) {
		s := seed(t, open)
		owner := s.addUser()
		bystander := s.addItem(owner)
		for _, ifVersion := range []domain.Versions{domain.OnlyVersions(5), domain.OnlyVersions(4, 5), anyVersion} {
			i := s.addItem(owner, func(i *domain.Item) { i.Version = 5 })
			require.NoError(t, s.DeleteItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), i.ID, ifVersion))
			s.assertNoItem(i)
			s.assertItems(owner, bystander)
		}
	})
	t.Run("an item that was deleted is not found by a second delete", func(t *testing.T) {
		s := seed(t, open)
		i := s.addItem(s.admin)
		require.NoError(t, s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID, anyVersion))
		err := s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("an id that is no item's is not found", func(t *testing.T) {
		s := seed(t, open)
		nothing := newItem(s.admin)
		s.assertNoItem(nothing)
		err := s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), nothing, 1)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		err = s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), nothing.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("an item is within reach of its scope only", func(t *testing.T) {
		s := seed(t, open)
		owner, actor := s.addUser(), s.addUser()
		for _, scope := range []struct {
			name     string
			scope    domain.ItemScope
			includes bool
		}{
			{"nobody's", domain.ItemScope{}, false},
			{"of no owner", domain.OwnedBy(""), false},
			{"another's", domain.OwnedBy(actor.ID), false},
			{"its owner's", domain.OwnedBy(owner.ID), true},
			{"everyone's", domain.AllItems(), true},
		} {
			i := s.addItem(owner)
			next := retitled(i, "next")
			_, read := s.Item(t.Context(), actor.Actor(), scope.scope, i.ID)
			update := s.UpdateItem(t.Context(), actor.Actor(), scope.scope, next, i.Version)
			if scope.includes {
				assert.NoError(t, read, scope.name)
				assert.NoError(t, update, scope.name)
				s.assertItems(owner, next)
				assert.NoError(t, s.DeleteItem(t.Context(), actor.Actor(), scope.scope, i.ID, anyVersion), scope.name)
				s.assertItems(owner)
				continue
			}
			assert.ErrorIs(t, read, domain.ErrNotFound, scope.name)
			assert.ErrorIs(t, update, domain.ErrNotFound, scope.name)
			err := s.DeleteItem(t.Context(), actor.Actor(), scope.scope, i.ID, anyVersion)
			assert.ErrorIs(t, err, domain.ErrNotFound, scope.name)
			s.assertItems(owner, i)
			require.NoError(t, s.DeleteItem(t.Context(), owner.Actor(), domain.OwnedBy(owner.ID), i.ID, anyVersion))
		}
	})
	t.Run("the items of an inactive account stay within reach", func(t *testing.T) {
		s := seed(t, open)
		owner := s.addUser()
		i := s.addItem(owner)
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), revised(owner, inactive), owner))
		_, err := s.Item(t.Context(), s.admin.Actor(), domain.AllItems(), i.ID)
		require.NoError(t, err)
		s.assertItems(owner, i)
	})
}

func testCascade(t *testing.T, open opener) {
	t.Run("a deleted account is gone with all its items and nobody else's", func(t *testing.T) {
		s := seed(t, open)
		u, other := s.addUser(), s.addUser()
		first, second, others := s.addItem(u), s.addItem(u), s.addItem(other)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion))
		_, err := s.User(t.Context(), s.admin.Actor(), u.ID)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		_, err = s.UserForSignIn(t.Context(), u.Email)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		s.assertUsers(other)
		s.assertNoItem(first)
		s.assertNoItem(second)
		s.assertItems(u)
		s.assertItems(other, others)
		err = s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), retitled(first, "next"), first.Version)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		err = s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), second.ID, anyVersion)
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	t.Run("a delete with a stale version changes nothing", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser(func(u *domain.User) { u.Version = 5 })
		i := s.addItem(u)
		for _, read := range []int64{4, 6} {
			err := s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, domain.OnlyVersions(read))
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertUsers(u)
		s.assertItems(u, i)
	})
	t.Run("a delete with the right version succeeds once", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser(func(u *domain.User) { u.Version = 5 })
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, domain.OnlyVersions(u.Version)))
		err := s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, domain.OnlyVersions(u.Version))
		assert.ErrorIs(t, err, domain.ErrNotFound)
		s.assertUsers()
	})
	t.Run("an account may delete itself", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		s.assertUsers()
	})
	t.Run("the e-mail of a deleted account is free and brings none of its items back", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		s.addItem(u)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion))
		heir := s.addUser(withEmail(u.Email))
		s.assertUsers(heir)
		s.assertItems(heir)
	})
}

// itemsOfAllKinds returns items whose fields are at their limits or awkward to keep.
func itemsOfAllKinds(owner domain.User) []domain.Item {
	describe := func(s string) func(*domain.Item) {
		return func(i *domain.Item) { i.Description = domain.Some(must(domain.ParseDescription(s))) }
	}
	entitle := func(s string) func(*domain.Item) {
		return func(i *domain.Item) { i.Title = must(domain.ParseTitle(s)) }
	}
	items := []domain.Item{
		newItem(owner),
		newItem(owner, describe("")),
		newItem(owner, entitle(strings.Repeat("🦆", domain.MaxTitle)), describe(strings.Repeat("🦆", domain.MaxDescription))),
		newItem(owner, func(i *domain.Item) { i.Version, i.UpdatedAt = 1<<40, later }),
	}
	for _, text := range awkwardTexts {
		items = append(items, newItem(owner, entitle(text), describe(text)))
	}
	return items
}
