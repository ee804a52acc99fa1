package portstest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func testSnowflakeSignIn(t *testing.T, open opener) {
	t.Run("the account with a Snowflake user is found, active or not, in this spelling only", func(t *testing.T) {
		s := newFixture(t, open)
		for _, u := range []domain.User{
			s.addUser(domaintest.WithSnowflakeUser("ANN")),
			s.addUser(domaintest.WithSnowflakeUser("ann"), domaintest.Inactive),
		} {
			name, _ := u.SnowflakeUser.Get()
			got, err := s.UserForSnowflakeSignIn(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, u, got)
		}
		for _, unknown := range []string{"Ann", "AN", "ANN ", "A_N", "%"} {
			_, err := s.UserForSnowflakeSignIn(t.Context(), domaintest.SnowflakeUser(unknown))
			assert.ErrorIs(t, err, domain.ErrNotFound, unknown)
		}
	})
	t.Run("an account can be created for a Snowflake user", func(t *testing.T) {
		s := newFixture(t, open)
		u := domaintest.User(domaintest.WithSnowflakeUser("ANN"), domaintest.WithPasswordHash(""))
		require.NoError(t, s.CreateUserForSnowflakeSignIn(t.Context(), u))
		s.assertUsers(u)
	})
	t.Run("no two accounts have one Snowflake user, but many have none", func(t *testing.T) {
		s := newFixture(t, open)
		ann, other := s.addUser(domaintest.WithSnowflakeUser("ANN")), s.addUser()
		taken := domaintest.WithSnowflakeUser("ANN")
		next := domaintest.RevisedUser(other, taken)
		for name, err := range map[string]error{
			"CreateUser":                   s.CreateUser(t.Context(), s.admin.Actor(), domaintest.User(taken)),
			"UpdateUser":                   s.UpdateUser(t.Context(), s.admin.Actor(), next, other),
			"UpdateUserForOperator":        s.UpdateUserForOperator(t.Context(), next, other.Version),
			"CreateUserForSnowflakeSignIn": s.CreateUserForSnowflakeSignIn(t.Context(), domaintest.User(taken)),
			"CreateSuperuserForOperator": s.CreateSuperuserForOperator(t.Context(),
				domaintest.User(domaintest.Superuser, taken)),
		} {
			assert.ErrorIs(t, err, domain.ErrSnowflakeUserTaken, name)
		}
		err := s.CreateUserForSnowflakeSignIn(t.Context(), domaintest.User(domaintest.WithEmail(ann.Email), taken))
		assert.ErrorIs(t, err, domain.ErrEmailTaken)
		s.assertUsers(ann, other, s.addUser())
	})
	t.Run("a Snowflake user can move to another account when it is free", func(t *testing.T) {
		s := newFixture(t, open)
		ann, other := s.addUser(domaintest.WithSnowflakeUser("ANN")), s.addUser()
		renamed := domaintest.RevisedUser(ann, domaintest.WithFullName("Ann"))
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), renamed, ann))
		freed := domaintest.RevisedUser(renamed, func(u *domain.User) {
			u.SnowflakeUser = domain.Optional[domain.SnowflakeUser]{}
		})
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), freed, renamed))
		linked := domaintest.RevisedUser(other, domaintest.WithSnowflakeUser("ANN"))
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), linked, other))
		s.assertUsers(freed, linked)
	})
}

func testSnowflakeUserRaces(t *testing.T, open opener) {
	t.Run("one of many new and updated accounts gets the same Snowflake user", func(t *testing.T) {
		s := newFixture(t, open)
		contested, old := domaintest.WithSnowflakeUser("CONTESTED"), s.addUsers(runners/2)
		errs := race(runners, func(i int) error {
			switch {
			case i < len(old):
				return s.UpdateUser(t.Context(), s.admin.Actor(), domaintest.RevisedUser(old[i], contested), old[i])
			case i == len(old):
				return s.UpdateUserForOperator(t.Context(), domaintest.RevisedUser(old[0], contested), old[0].Version)
			case i%2 == 0:
				return s.CreateUser(t.Context(), s.admin.Actor(), domaintest.User(contested))
			default:
				return s.CreateUserForSnowflakeSignIn(t.Context(), domaintest.User(contested))
			}
		})
		assertWinners(t, 1, errs, domain.ErrSnowflakeUserTaken, domain.ErrStale)
		holders := slices.DeleteFunc(s.allUsers(), func(u domain.User) bool {
			return u.SnowflakeUser != domain.Some(domaintest.SnowflakeUser("CONTESTED"))
		})
		assert.Len(t, holders, 1)
	})
}
