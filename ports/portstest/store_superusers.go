package portstest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// removals are all ways in which an account can stop to be an active superuser.
var removals = []struct {
	name   string
	remove func(s *fixture, by, u domain.User) error
}{
	{"demoted", func(s *fixture, by, u domain.User) error {
		next := domaintest.RevisedUser(u, func(u *domain.User) { u.Superuser = false })
		return s.UpdateUser(s.t.Context(), by.Actor(), next, u)
	}},
	{"deactivated", func(s *fixture, by, u domain.User) error {
		return s.UpdateUser(s.t.Context(), by.Actor(), domaintest.RevisedUser(u, domaintest.Inactive), u)
	}},
	{"deleted", func(s *fixture, by, u domain.User) error {
		return s.DeleteUser(s.t.Context(), by.Actor(), u.ID, anyVersion)
	}},
}

func testLastSuperuser(t *testing.T, open opener) {
	for _, r := range removals {
		t.Run("the last active superuser cannot be "+r.name, func(t *testing.T) {
			s := newFixture(t, open)
			ordinary, idle := s.addUser(), s.addUser(domaintest.Superuser, domaintest.Inactive) // neither counts
			assert.ErrorIs(t, r.remove(s, s.admin, s.admin), domain.ErrLastSuperuser)
			assert.ErrorIs(t, r.remove(s, ordinary, s.admin), domain.ErrLastSuperuser)
			s.assertUsers(ordinary, idle)
		})
		t.Run("every other account can be "+r.name, func(t *testing.T) {
			s := newFixture(t, open)
			for _, u := range []domain.User{
				s.addUser(domaintest.Superuser), s.addUser(), s.addUser(domaintest.Superuser, domaintest.Inactive),
			} {
				assert.NoError(t, r.remove(s, s.admin, u))
			}
			assert.ErrorIs(t, r.remove(s, s.admin, s.admin), domain.ErrLastSuperuser)
		})
		t.Run("a superuser can be "+r.name+" after another became active", func(t *testing.T) {
			s := newFixture(t, open)
			idle := s.addUser(domaintest.Superuser, domaintest.Inactive)
			second := domaintest.RevisedUser(idle, func(u *domain.User) { u.Active = true })
			require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), second, idle))
			assert.NoError(t, r.remove(s, s.admin, s.admin))
			assert.ErrorIs(t, r.remove(s, second, second), domain.ErrLastSuperuser)
		})
	}
	t.Run("the last active superuser can be changed in every other way", func(t *testing.T) {
		s := newFixture(t, open)
		before := s.admin
		s.admin = domaintest.RevisedUser(before, domaintest.WithEmail(domaintest.Email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), before.Actor(), s.admin, before))
		s.assertUsers()
	})
}

func testLastSuperuserRaces(t *testing.T, open opener) {
	for _, r := range removals {
		t.Run("one of many superusers that are "+r.name+" by themselves remains", func(t *testing.T) {
			s := newFixture(t, open)
			supers := append(s.addUsers(runners/2-1, domaintest.Superuser), s.admin)
			errs := race(len(supers), func(i int) error { return r.remove(s, supers[i], supers[i]) })
			assertWinners(t, len(supers)-1, errs, domain.ErrLastSuperuser)
			assert.Equal(t, 1, s.countActiveSuperusers(supers))
		})
		t.Run("one of two superusers that are "+r.name+" by each other remains", func(t *testing.T) {
			s := newFixture(t, open)
			two := []domain.User{s.admin, s.addUser(domaintest.Superuser)}
			errs := race(len(two), func(i int) error { return r.remove(s, two[i], two[1-i]) })
			assertWinners(t, 1, errs, domain.ErrSignedOut, domain.ErrLastSuperuser)
			assert.Equal(t, 1, s.countActiveSuperusers(two))
		})
	}
}

// countActiveSuperusers returns how many of these accounts are active superusers. It needs no actor, because
// the test does not know which of them is still signed in.
func (s *fixture) countActiveSuperusers(users []domain.User) int {
	s.t.Helper()
	n := 0
	for _, u := range users {
		got, err := s.UserForSignIn(s.t.Context(), u.Email)
		if !errors.Is(err, domain.ErrNotFound) {
			require.NoError(s.t, err)
		}
		if got.Active && got.Superuser {
			n++
		}
	}
	return n
}
