package portstest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func testAccounts(t *testing.T, open opener) {
	t.Run("an account comes back exactly as it was written", func(t *testing.T) {
		s := newFixture(t, open)
		written := accountsOfAllKinds()
		for _, u := range written {
			require.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), u))
			got, err := s.User(t.Context(), s.admin.Actor(), u.ID)
			require.NoError(t, err)
			assert.Equal(t, u, got)
		}
		s.assertUsers(written...)
	})
	t.Run("an update replaces every field except ID and CreatedAt", func(t *testing.T) {
		s := newFixture(t, open)
		for _, next := range accountsOfAllKinds() {
			u := s.addUser()
			next.ID = u.ID
			require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, u))
			next.CreatedAt = u.CreatedAt
			got, err := s.User(t.Context(), s.admin.Actor(), u.ID)
			require.NoError(t, err)
			assert.Equal(t, next, got)
		}
	})
	t.Run("an update of another version is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser(withVersion(5))
		next := domaintest.RevisedUser(u, domaintest.Superuser)
		for _, version := range []int64{4, 6} {
			err := s.UpdateUser(t.Context(), s.admin.Actor(), next, at(u, version))
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertUsers(u)
	})
	t.Run("an unknown id is not found", func(t *testing.T) {
		s := newFixture(t, open)
		unknown := domaintest.User()
		_, err := s.User(t.Context(), s.admin.Actor(), unknown.ID)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		assert.ErrorIs(t, s.UpdateUser(t.Context(), s.admin.Actor(), unknown, unknown), domain.ErrNotFound)
		assert.ErrorIs(t, s.DeleteUser(t.Context(), s.admin.Actor(), unknown.ID, anyVersion), domain.ErrNotFound)
		s.assertUsers()
	})
	t.Run("a new account cannot have the e-mail of another, in any letter case", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser(domaintest.WithEmail(domaintest.Email("taken@example.com")))
		for _, spelling := range []string{"taken@example.com", "TAKEN@example.COM"} {
			fresh := domaintest.User(domaintest.WithEmail(domaintest.Email(spelling)))
			err := s.CreateUser(t.Context(), s.admin.Actor(), fresh)
			assert.ErrorIs(t, err, domain.ErrEmailTaken)
		}
		s.assertUsers(u)
	})
	t.Run("an update cannot give an account the e-mail of another", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(), s.addUser(domaintest.Inactive)
		next := domaintest.RevisedUser(u, domaintest.WithEmail(other.Email))
		err := s.UpdateUser(t.Context(), s.admin.Actor(), next, u)
		assert.ErrorIs(t, err, domain.ErrEmailTaken)
		s.assertUsers(u, other)
	})
	t.Run("an update may keep the account's own e-mail", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		next := domaintest.RevisedUser(u, domaintest.Inactive)
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, u))
		s.assertUsers(next)
	})
	t.Run("another account may have an e-mail that is no longer used", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		moved := domaintest.RevisedUser(u, domaintest.WithEmail(domaintest.Email("moved@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), moved, u))
		_, err := s.UserForSignIn(t.Context(), u.Email)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		s.assertUsers(moved, s.addUser(domaintest.WithEmail(u.Email)))
	})
}

func testSignIn(t *testing.T, open opener) {
	t.Run("the account with an e-mail is found, active or not", func(t *testing.T) {
		s := newFixture(t, open)
		for _, u := range []domain.User{s.addUser(), s.addUser(domaintest.Inactive)} {
			got, err := s.UserForSignIn(t.Context(), u.Email)
			require.NoError(t, err)
			assert.Equal(t, u, got)
		}
	})
	t.Run("an unknown e-mail is not found, and none of its characters is a wildcard", func(t *testing.T) {
		s := newFixture(t, open)
		s.addUser(domaintest.WithEmail(domaintest.Email("abc@example.com")))
		for _, unknown := range []string{
			"ab@example.com", "a_c@example.com", "%@example.com", "abc*@example.com", "abc@example.co",
		} {
			_, err := s.UserForSignIn(t.Context(), domaintest.Email(unknown))
			assert.ErrorIs(t, err, domain.ErrNotFound, unknown)
		}
	})
	t.Run("a rehash replaces the old hash and changes neither counters nor UpdatedAt", func(t *testing.T) {
		s := newFixture(t, open)
		u, bystander := s.addUser(), s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh"))
		u.PasswordHash = "fresh"
		s.assertUsers(u, bystander)
	})
	t.Run("a rehash of another hash than the current one changes nothing and is no error", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, "another", "fresh"))
		s.assertUsers(u)
	})
	t.Run("a rehash of an unknown account changes nothing and is no error", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), domaintest.NewID(), u.PasswordHash, "fresh"))
		s.assertUsers(u)
	})
}

func testFirstSuperuser(t *testing.T, open opener) {
	assertNotCreated := func(t *testing.T, s *fixture, e domain.Email) {
		t.Helper()
		u := domaintest.User(domaintest.Superuser, domaintest.WithEmail(e))
		created, err := s.CreateFirstSuperuser(t.Context(), u)
		require.NoError(t, err)
		assert.False(t, created)
		had, err := s.HadFirstSuperuser(t.Context())
		require.NoError(t, err)
		assert.True(t, had)
	}
	t.Run("an empty store never had a first superuser", func(t *testing.T) {
		had, err := open(t).HadFirstSuperuser(t.Context())
		require.NoError(t, err)
		assert.False(t, had)
	})
	t.Run("the first superuser is created once", func(t *testing.T) {
		s := newFixture(t, open)
		assertNotCreated(t, s, domaintest.Email("second@example.com"))
		assertNotCreated(t, s, s.admin.Email)
		s.assertUsers()
	})
	t.Run("no first superuser is created after the first one has a new e-mail", func(t *testing.T) {
		s := newFixture(t, open)
		before := s.admin
		s.admin = domaintest.RevisedUser(before, domaintest.WithEmail(domaintest.Email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), before.Actor(), s.admin, before))
		assertNotCreated(t, s, before.Email)
		s.assertUsers()
	})
	t.Run("no first superuser is created after the first one was deleted", func(t *testing.T) {
		s := newFixture(t, open)
		first := s.admin
		s.admin = s.addUser(domaintest.Superuser)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), first.ID, anyVersion))
		assertNotCreated(t, s, first.Email)
		s.assertUsers()
	})
	t.Run("a superuser that is refused is not the first one", func(t *testing.T) {
		s := &fixture{Store: open(t), t: t, admin: domaintest.User(domaintest.Superuser)}
		ann := domaintest.User(domaintest.WithSnowflakeUser("ANN"))
		require.NoError(t, s.CreateUserForSnowflakeSignIn(t.Context(), ann))
		for _, taken := range []struct {
			change func(*domain.User)
			want   error
		}{
			{domaintest.WithEmail(ann.Email), domain.ErrEmailTaken},
			{domaintest.WithSnowflakeUser("ANN"), domain.ErrSnowflakeUserTaken},
			{func(u *domain.User) { u.Email, u.SnowflakeUser = ann.Email, ann.SnowflakeUser }, domain.ErrEmailTaken},
		} {
			u := domaintest.User(domaintest.Superuser, taken.change)
			created, err := s.CreateFirstSuperuser(t.Context(), u)
			assert.ErrorIs(t, err, taken.want)
			assert.False(t, created)
			assert.ErrorIs(t, s.CreateSuperuserForOperator(t.Context(), u), taken.want)
			had, err := s.HadFirstSuperuser(t.Context())
			require.NoError(t, err)
			assert.False(t, had)
		}
		created, err := s.CreateFirstSuperuser(t.Context(), s.admin)
		require.NoError(t, err)
		assert.True(t, created)
		s.assertUsers(ann)
	})
	t.Run("no first superuser is created after an operator created one", func(t *testing.T) {
		s := &fixture{Store: open(t), t: t, admin: domaintest.User(domaintest.Superuser)}
		require.NoError(t, s.CreateSuperuserForOperator(t.Context(), s.admin))
		assertNotCreated(t, s, domaintest.Email("second@example.com"))
		s.assertUsers()
	})
}

func testOperator(t *testing.T, open opener) {
	t.Run("an operator can add a superuser while there are others", func(t *testing.T) {
		s := newFixture(t, open)
		u := domaintest.User(domaintest.Superuser)
		require.NoError(t, s.CreateSuperuserForOperator(t.Context(), u))
		s.assertUsers(u)
	})
	t.Run("an operator cannot add a superuser with the e-mail of another account", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		second := domaintest.User(domaintest.Superuser, domaintest.WithEmail(u.Email))
		err := s.CreateSuperuserForOperator(t.Context(), second)
		assert.ErrorIs(t, err, domain.ErrEmailTaken)
		s.assertUsers(u)
	})
	t.Run("an operator changes hash, Snowflake user, counters and UpdatedAt, and nothing else", func(t *testing.T) {
		s := newFixture(t, open)
		u, bystander := s.addUser(domaintest.Inactive), s.addUser()
		next := domaintest.User(domaintest.Superuser)
		next.ID, next.FullName, next.CreatedAt = u.ID, domaintest.FullName("another"), domaintest.Later
		next.PasswordHash, next.Version, next.Epoch, next.UpdatedAt = "reset", 7, 9, domaintest.Later
		next.SnowflakeUser = domain.Some(domaintest.SnowflakeUser("ANN"))
		require.NoError(t, s.UpdateUserForOperator(t.Context(), next, u.Version))
		u.PasswordHash, u.Version, u.Epoch, u.UpdatedAt = "reset", 7, 9, domaintest.Later
		u.SnowflakeUser = next.SnowflakeUser
		s.assertUsers(u, bystander)
	})
	t.Run("an operator's change of another version is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser(withVersion(5))
		next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("reset"))
		for _, version := range []int64{4, 6} {
			assert.ErrorIs(t, s.UpdateUserForOperator(t.Context(), next, version), domain.ErrStale)
		}
		s.assertUsers(u)
	})
	t.Run("an operator's change of an unknown account is not found", func(t *testing.T) {
		s := newFixture(t, open)
		assert.ErrorIs(t, s.UpdateUserForOperator(t.Context(), domaintest.User(), 1), domain.ErrNotFound)
	})
}

// accountsOfAllKinds returns accounts whose fields are at their limits or hard to store.
func accountsOfAllKinds() []domain.User {
	label := strings.Repeat("a", 63)
	longest := domaintest.Email(strings.Repeat("l", 64) + "@" + label + "." + label + "." + label[:61])
	special := domaintest.Email("o'brien_100%{x}?@xn--bcher-kva.example")
	users := []domain.User{
		domaintest.User(),
		domaintest.User(domaintest.Superuser, domaintest.WithEmail(longest)),
		domaintest.User(domaintest.Inactive, domaintest.WithEmail(special)),
		domaintest.User(func(u *domain.User) { u.Version, u.Epoch = 1<<40, 1<<41 }),
		domaintest.User(func(u *domain.User) { u.Version, u.Epoch = 3, 2 }),
		domaintest.User(domaintest.WithPasswordHash("")),
		domaintest.User(func(u *domain.User) {
			u.CreatedAt = time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
			u.UpdatedAt = time.Date(2100, 2, 28, 0, 0, 0, 0, time.UTC)
		}),
		domaintest.User(func(u *domain.User) { u.CreatedAt, u.UpdatedAt = beforeGap, afterGap }),
	}
	for _, name := range append(awkwardTexts, strings.Repeat("🦆", domain.MaxSnowflakeUser)) {
		users = append(users, domaintest.User(domaintest.WithSnowflakeUser(name)))
	}
	for _, name := range append(awkwardTexts, "", strings.Repeat("🦆", domain.MaxFullName)) {
		users = append(users, domaintest.User(domaintest.WithFullName(name)))
	}
	return users
}

// Two times around the gap of daylight saving time in Central Europe, where a clock goes from 1:59:59 to
// 3:00:00. A store that reads them as local times changes them. They are a microsecond before and a
// microsecond after a full second.
var (
	beforeGap = time.Date(2026, 3, 29, 1, 59, 59, 999_999_000, time.UTC)
	afterGap  = time.Date(2026, 3, 29, 2, 0, 0, 1_000, time.UTC)
)

// awkwardTexts would change if a store quoted, escaped, trimmed or normalised them.
var awkwardTexts = []string{
	"👩‍👩‍👧 é e\u0301 שלום \U0010ffff",
	`it's "quoted" \ \n \u0041 \\ -- /* ? :1 $1 %s {{x}} ` + "`",
	" \t\r\n leading and trailing \n ",
	"NULL",
}
