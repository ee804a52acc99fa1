package portstest

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// runners is how many take part in a race: enough to meet, few enough for a store far away.
const runners = 16

// race starts n calls at once and returns their errors.
func race(n int, run func(runner int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	done.Wait()
	return errs
}

// assertWinners looks whether so many calls succeeded and all others were refused for one of the
// reasons given, or because the store was too busy for them. It returns who won.
func assertWinners(t *testing.T, winners int, errs []error, refusals ...error) []int {
	t.Helper()
	var won []int
	for i, err := range errs {
		if err == nil {
			won = append(won, i)
			continue
		}
		assert.True(t, isOneOf(err, refusals) || domain.KindOf(err) == domain.Unavailable, "refused with %v", err)
	}
	require.Len(t, won, winners, "winners")
	return won
}

func isOneOf(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func testRaces(t *testing.T, open opener) {
	contested := email("contested@example.com")

	t.Run("of many new accounts with one e-mail one is created", func(t *testing.T) {
		s := seed(t, open)
		users := make([]domain.User, runners)
		for i := range users {
			users[i] = newUser(withEmail(contested))
		}
		errs := race(runners, func(i int) error { return s.CreateUser(t.Context(), s.admin.Actor(), users[i]) })
		won := assertWinners(t, 1, errs, domain.ErrEmailTaken)
		s.assertUsers(users[won[0]])
	})
	t.Run("of many accounts that take one e-mail one has it", func(t *testing.T) {
		s := seed(t, open)
		old, fresh := s.addUsers(runners/2), newUser(superuser, withEmail(contested))
		errs := race(runners, func(i int) error {
			switch {
			case i < len(old):
				return s.UpdateUser(t.Context(), old[i].Actor(), revised(old[i], withEmail(contested)), old[i])
			case i == len(old):
				return s.CreateSuperuserForOperator(t.Context(), fresh)
			default:
				return s.CreateUser(t.Context(), s.admin.Actor(), newUser(withEmail(contested)))
			}
		})
		assertWinners(t, 1, errs, domain.ErrEmailTaken)
		holders := slices.DeleteFunc(s.everyUser(), func(u domain.User) bool { return u.Email != contested })
		assert.Len(t, holders, 1)
	})
	t.Run("of many updates of one version one takes effect", func(t *testing.T) {
		s := seed(t, open)
		u, item := s.addUser(), s.addItem(s.admin)
		users, items := make([]domain.User, runners), make([]domain.Item, runners)
		for i := range runners {
			users[i], items[i] = revised(u, withEmail(email(newID()+"@example.com"))), retitled(item, newID())
		}
		won := assertWinners(t, 1, race(runners, func(i int) error {
			return s.UpdateUser(t.Context(), s.admin.Actor(), users[i], u)
		}), domain.ErrStale)
		s.assertUsers(users[won[0]])
		won = assertWinners(t, 1, race(runners, func(i int) error {
			return s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), items[i], item.Version)
		}), domain.ErrStale)
		s.assertItems(s.admin, items[won[0]])
	})
	t.Run("a rehash never undoes a password change", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		next := revised(u, func(u *domain.User) { u.PasswordHash = "next" })
		errs := race(runners, func(i int) error {
			if i == runners/2 {
				return s.UpdateUser(t.Context(), u.Actor(), next, u)
			}
			return s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh")
		})
		require.NoError(t, errs[runners/2])
		s.assertUsers(next)
	})
	t.Run("of many first superusers one is created", func(t *testing.T) {
		s := open(t)
		users, created := make([]domain.User, runners), make([]bool, runners)
		for i := range users {
			users[i] = newUser(superuser)
		}
		for _, err := range race(runners, func(i int) (err error) {
			created[i], err = s.CreateFirstSuperuser(t.Context(), users[i])
			return err
		}) {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		winners := 0
		for i, won := range created {
			_, err := s.UserForSignIn(t.Context(), users[i].Email)
			if won {
				winners++
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, domain.ErrNotFound)
			}
		}
		assert.Equal(t, 1, winners)
	})
	t.Run("of overlapping deletes of an account one at least succeeds and it is gone", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		assertDeleted(t, race(runners, func(int) error {
			return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion)
		}))
		s.assertUsers()
	})
	t.Run("of overlapping deletes of an item one at least succeeds and it is gone", func(t *testing.T) {
		s := seed(t, open)
		item := s.addItem(s.admin)
		assertDeleted(t, race(runners, func(int) error {
			return s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), item.ID, anyVersion)
		}))
		s.assertNoItem(item)
		s.assertItems(s.admin)
	})
	t.Run("what is deleted while it is updated does not come back", func(t *testing.T) {
		s := seed(t, open)
		u, item := s.addUser(), s.addItem(s.admin)
		assertDeleted(t, race(runners, func(i int) error {
			if i == runners/2 {
				return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion)
			}
			return ignoring(domain.ErrStale, s.UpdateUser(t.Context(), s.admin.Actor(), revised(u, inactive), u))
		}))
		assertDeleted(t, race(runners, func(i int) error {
			if i == runners/2 {
				return s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), item.ID, anyVersion)
			}
			next := retitled(item, "next")
			return ignoring(domain.ErrStale, s.UpdateItem(t.Context(), s.admin.Actor(), domain.AllItems(), next, item.Version))
		}))
		s.assertUsers()
		s.assertNoItem(item)
	})
	t.Run("an item created while its owner is deleted is never visible", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		items := make([]domain.Item, runners)
		for i := range items {
			items[i] = newItem(u)
		}
		errs := race(runners, func(i int) error {
			if i == runners/2 {
				return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion)
			}
			return ignoring(domain.ErrSignedOut, s.CreateItem(t.Context(), u.Actor(), items[i]))
		})
		require.NoError(t, errs[runners/2])
		assertDeleted(t, errs)
		s.assertUsers()
		s.assertItems(u)
		for _, i := range items {
			s.assertNoItem(i)
		}
	})
}

// assertDeleted looks whether a call succeeded, and the others did or found nothing any more.
func assertDeleted(t *testing.T, errs []error) {
	t.Helper()
	assert.Contains(t, errs, error(nil), "one succeeds")
	for _, err := range errs {
		assert.True(t, err == nil || errors.Is(err, domain.ErrNotFound) || domain.KindOf(err) == domain.Unavailable, "refused with %v", err)
	}
}

func ignoring(expected, err error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
