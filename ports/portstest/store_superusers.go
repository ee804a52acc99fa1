package portstest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// testLastSuperuser tries every way to be without an active superuser, alone and against others.
func testLastSuperuser(t *testing.T, open opener) {
	for _, way := range []struct {
		name string
		end  func(s *seeded, by, u domain.User) error
	}{
		{"demoted", func(s *seeded, by, u domain.User) error {
			next := revised(u, func(u *domain.User) { u.Superuser = false })
			return s.UpdateUser(s.t.Context(), by.Actor(), next, u)
		}},
		{"deactivated", func(s *seeded, by, u domain.User) error {
			return s.UpdateUser(s.t.Context(), by.Actor(), revised(u, inactive), u)
		}},
		{"deleted", func(s *seeded, by, u domain.User) error {
			return s.DeleteUser(s.t.Context(), by.Actor(), u.ID, anyVersion)
		}},
	} {
		t.Run("the last one cannot be "+way.name, func(t *testing.T) {
			s := seed(t, open)
			ordinary, idle := s.addUser(), s.addUser(superuser, inactive) // neither counts
			assert.ErrorIs(t, way.end(s, s.admin, s.admin), domain.ErrLastSuperuser)
			assert.ErrorIs(t, way.end(s, ordinary, s.admin), domain.ErrLastSuperuser)
			s.assertUsers(ordinary, idle)
		})
		t.Run("any other account can be "+way.name, func(t *testing.T) {
			s := seed(t, open)
			for _, u := range []domain.User{s.addUser(superuser), s.addUser(), s.addUser(superuser, inactive)} {
				assert.NoError(t, way.end(s, s.admin, u))
			}
			assert.ErrorIs(t, way.end(s, s.admin, s.admin), domain.ErrLastSuperuser)
		})
		t.Run("the last one can be "+way.name+" once another has become one", func(t *testing.T) {
			s := seed(t, open)
			before := s.addUser(superuser, inactive)
			heir := revised(before, func(u *domain.User) { u.Active = true })
			require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), heir, before))
			assert.NoError(t, way.end(s, s.admin, s.admin))
			assert.ErrorIs(t, way.end(s, heir, heir), domain.ErrLastSuperuser)
		})
		t.Run("of many that are "+way.name+" by themselves at once the last one stays", func(t *testing.T) {
			s := seed(t, open)
			supers := append(s.addUsers(runners/2-1, superuser), s.admin)
			errs := race(len(supers), func(i int) error { return way.end(s, supers[i], supers[i]) })
			assertWinners(t, len(supers)-1, errs, domain.ErrLastSuperuser)
			assert.Equal(t, 1, s.activeSuperusers(supers))
		})
		t.Run("of two that are "+way.name+" by each other at once one stays", func(t *testing.T) {
			s := seed(t, open)
			two := []domain.User{s.admin, s.addUser(superuser)}
			errs := race(len(two), func(i int) error { return way.end(s, two[i], two[1-i]) })
			assertWinners(t, 1, errs, domain.ErrSignedOut, domain.ErrLastSuperuser)
			assert.Equal(t, 1, s.activeSuperusers(two))
		})
	}
	t.Run("the last one keeps the role through any other change", func(t *testing.T) {
		s := seed(t, open)
		before := s.admin
		s.admin = revised(before, withEmail(email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), before.Actor(), s.admin, before))
		s.assertUsers()
	})
}

// activeSuperusers counts those of users that still are one; it needs nobody to be signed in.
func (s *seeded) activeSuperusers(users []domain.User) int {
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
