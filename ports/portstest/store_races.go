package portstest

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// runners is the number of concurrent calls in a race: enough for conflicts, and few enough for a slow store.
const runners = 16

// race makes n concurrent calls of run and returns their errors.
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

// warm returns an opener of stores that have connections for all runners. A new store must first open them,
// so the calls of a race arrive one after the other.
func warm(open opener) opener {
	return func(t *testing.T) ports.Store {
		t.Helper()
		s := open(t)
		race(runners, func(int) error {
			_, err := s.HadFirstSuperuser(t.Context())
			return err
		})
		return s
	}
}

// assertWinners checks that this number of calls succeeded, and that each other call failed with one of the
// refusals or found the store too busy. It returns the runners that succeeded.
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

// assertDeleted checks that at least one call succeeded, and that each other call succeeded too, found nothing
// any more, or found the store too busy.
func assertDeleted(t *testing.T, errs []error) {
	t.Helper()
	assert.Contains(t, errs, error(nil), "at least one succeeds")
	for _, err := range errs {
		allowed := err == nil || errors.Is(err, domain.ErrNotFound) || domain.KindOf(err) == domain.Unavailable
		assert.True(t, allowed, "refused with %v", err)
	}
}

// insist repeats call while the store is too busy for it.
func insist(call func() error) error {
	const maxTries = 100
	for range maxTries - 1 {
		if err := call(); domain.KindOf(err) != domain.Unavailable {
			return err
		}
	}
	return call()
}

// ignore returns err, or nil if err is the expected one.
func ignore(expected, err error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func testRaces(t *testing.T, open opener) {
	testCreateRaces(t, open)
	testUpdateRaces(t, open)
	testDeleteRaces(t, open)
	testLastSuperuserRaces(t, open)
	testSnowflakeUserRaces(t, open)
	testSessionRaces(t, open)
	testClientRaces(t, open)
}

func testCreateRaces(t *testing.T, open opener) {
	contested := domaintest.WithEmail(domaintest.Email("contested@example.com"))

	t.Run("one of many new accounts with the same e-mail is created", func(t *testing.T) {
		s := newFixture(t, open)
		users := make([]domain.User, runners)
		for i := range users {
			users[i] = domaintest.User(contested)
		}
		errs := race(runners, func(i int) error { return s.CreateUser(t.Context(), s.admin.Actor(), users[i]) })
		won := assertWinners(t, 1, errs, domain.ErrEmailTaken)
		s.assertUsers(users[won[0]])
	})
	t.Run("one of many new and updated accounts gets the same e-mail", func(t *testing.T) {
		s := newFixture(t, open)
		old, fresh := s.addUsers(runners/2), domaintest.User(domaintest.Superuser, contested)
		errs := race(runners, func(i int) error {
			switch {
			case i < len(old):
				next := domaintest.RevisedUser(old[i], contested)
				return s.UpdateUser(t.Context(), old[i].Actor(), next, old[i])
			case i == len(old):
				return s.CreateSuperuserForOperator(t.Context(), fresh)
			default:
				return s.CreateUser(t.Context(), s.admin.Actor(), domaintest.User(contested))
			}
		})
		assertWinners(t, 1, errs, domain.ErrEmailTaken)
		holders := slices.DeleteFunc(s.allUsers(), func(u domain.User) bool { return u.Email != fresh.Email })
		assert.Len(t, holders, 1)
	})
	t.Run("one of many first superusers is created", func(t *testing.T) {
		s := open(t)
		users, created := make([]domain.User, runners), make([]bool, runners)
		for i := range users {
			users[i] = domaintest.User(domaintest.Superuser)
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
}

func testUpdateRaces(t *testing.T, open opener) {
	t.Run("one of many updates of the same version takes effect", func(t *testing.T) {
		s := newFixture(t, open)
		u, item := s.addUser(), s.addItem(s.admin)
		users, items := make([]domain.User, runners), make([]domain.Item, runners)
		for i := range runners {
			users[i] = domaintest.RevisedUser(u, domaintest.WithEmail(domaintest.User().Email))
			items[i] = domaintest.RevisedItem(item, domaintest.WithTitle(domaintest.NewID()))
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
		s := newFixture(t, open)
		u := s.addUser()
		next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("next"))
		errs := race(runners, func(i int) error {
			if i == runners/2 {
				return s.UpdateUser(t.Context(), u.Actor(), next, u)
			}
			return s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh")
		})
		require.NoError(t, errs[runners/2])
		s.assertUsers(next)
	})
}

func testDeleteRaces(t *testing.T, open opener) {
	t.Run("at least one of overlapping deletes of an account succeeds", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		assertDeleted(t, race(runners, func(int) error {
			return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion)
		}))
		s.assertUsers()
	})
	t.Run("at least one of overlapping deletes of an item succeeds", func(t *testing.T) {
		s := newFixture(t, open)
		item := s.addItem(s.admin)
		assertDeleted(t, race(runners, func(int) error {
			return s.DeleteItem(t.Context(), s.admin.Actor(), domain.AllItems(), item.ID, anyVersion)
		}))
		s.assertNoItem(item)
		s.assertItems(s.admin)
	})
	t.Run("an account that is deleted during updates stays deleted", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		next := domaintest.RevisedUser(u, domaintest.Inactive)
		assertDeleted(t, race(runners, func(i int) error {
			if i == runners/2 {
				return insist(func() error { return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion) })
			}
			return ignore(domain.ErrStale, s.UpdateUser(t.Context(), s.admin.Actor(), next, u))
		}))
		s.assertUsers()
	})
	t.Run("an item that is deleted during updates stays deleted", func(t *testing.T) {
		s := newFixture(t, open)
		item := s.addItem(s.admin)
		next := domaintest.RevisedItem(item, domaintest.WithTitle("next"))
		by := s.admin.Actor()
		assertDeleted(t, race(runners, func(i int) error {
			if i == runners/2 {
				return insist(func() error {
					return s.DeleteItem(t.Context(), by, domain.AllItems(), item.ID, anyVersion)
				})
			}
			return ignore(domain.ErrStale, s.UpdateItem(t.Context(), by, domain.AllItems(), next, item.Version))
		}))
		s.assertNoItem(item)
	})
	t.Run("an item that is created during the delete of its owner is never visible", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		items := make([]domain.Item, runners)
		for i := range items {
			items[i] = domaintest.Item(u)
		}
		errs := race(runners, func(i int) error {
			if i == runners/2 {
				return insist(func() error { return s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion) })
			}
			return ignore(domain.ErrSignedOut, s.CreateItem(t.Context(), u.Actor(), items[i]))
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
