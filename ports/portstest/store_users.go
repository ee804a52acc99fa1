package portstest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func testAccounts(t *testing.T, open opener) {
	t.Run("an account comes back exactly as it was written", func(t *testing.T) {
		s := seed(t, open)
		written := accountsOfAllKinds()
		for _, u := range written {
			require.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), u))
			got, err := s.User(t.Context(), s.admin.Actor(), u.ID)
			require.NoError(t, err)
			assert.Equal(t, u, got)
		}
		s.assertUsers(written...)
	})
	t.Run("an update replaces all that may change, counters verbatim", func(t *testing.T) {
		s := seed(t, open)
		for _, next := range accountsOfAllKinds() {
			u := s.addUser()
			next.ID, next.CreatedAt = u.ID, u.CreatedAt
			require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, u))
			got, err := s.User(t.Context(), s.admin.Actor(), u.ID)
			require.NoError(t, err)
			assert.Equal(t, next, got)
		}
	})
	t.Run("an update is stale at any other version and changes nothing", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser(func(u *domain.User) { u.Version = 5 })
		for _, read := range []int64{4, 6} {
			err := s.UpdateUser(t.Context(), s.admin.Actor(), revised(u, superuser), at(u, read))
			assert.ErrorIs(t, err, domain.ErrStale)
		}
		s.assertUsers(u)
	})
	t.Run("an id that is nobody's is not found", func(t *testing.T) {
		s := seed(t, open)
		nobody := newUser()
		_, err := s.User(t.Context(), s.admin.Actor(), nobody.ID)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		assert.ErrorIs(t, s.UpdateUser(t.Context(), s.admin.Actor(), nobody, nobody), domain.ErrNotFound)
		assert.ErrorIs(t, s.DeleteUser(t.Context(), s.admin.Actor(), nobody.ID, anyVersion), domain.ErrNotFound)
		s.assertUsers()
	})
	t.Run("an account cannot be created with the e-mail of another in any letter case", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser(withEmail(email("taken@example.com")))
		for _, spelling := range []string{"taken@example.com", "TAKEN@example.COM"} {
			err := s.CreateUser(t.Context(), s.admin.Actor(), newUser(withEmail(email(spelling))))
			assert.ErrorIs(t, err, domain.ErrEmailTaken)
		}
		s.assertUsers(u)
	})
	t.Run("an account cannot be updated to the e-mail of another", func(t *testing.T) {
		s := seed(t, open)
		u, other := s.addUser(), s.addUser(inactive)
		err := s.UpdateUser(t.Context(), s.admin.Actor(), revised(u, withEmail(other.Email)), u)
		assert.ErrorIs(t, err, domain.ErrEmailTaken)
		s.assertUsers(u, other)
	})
	t.Run("an account keeps its own e-mail through an update", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		next := revised(u, inactive)
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, u))
		s.assertUsers(next)
	})
	t.Run("an e-mail that was given up is free for another", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		moved := revised(u, withEmail(email("moved@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), moved, u))
		_, err := s.UserForSignIn(t.Context(), u.Email)
		assert.ErrorIs(t, err, domain.ErrNotFound)
		s.assertUsers(moved, s.addUser(withEmail(u.Email)))
	})
}

func testSignIn(t *testing.T, open opener) {
	t.Run("the account of an e-mail is found whether active or not", func(t *testing.T) {
		s := seed(t, open)
		for _, u := range []domain.User{s.addUser(), s.addUser(inactive)} {
			got, err := s.UserForSignIn(t.Context(), u.Email)
			require.NoError(t, err)
			assert.Equal(t, u, got)
		}
	})
	t.Run("an unknown e-mail is not found and its characters are no wildcards", func(t *testing.T) {
		s := seed(t, open)
		s.addUser(withEmail(email("abc@example.com")))
		for _, unknown := range []string{"ab@example.com", "a_c@example.com", "%@example.com", "abc*@example.com", "abc@example.co"} {
			_, err := s.UserForSignIn(t.Context(), email(unknown))
			assert.ErrorIs(t, err, domain.ErrNotFound, unknown)
		}
	})
	t.Run("a rehash replaces the stale hash and leaves the counters and UpdatedAt alone", func(t *testing.T) {
		s := seed(t, open)
		u, bystander := s.addUser(), s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh"))
		u.PasswordHash = "fresh"
		s.assertUsers(u, bystander)
	})
	t.Run("a rehash of a hash that was replaced meanwhile changes nothing and is no error", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, "another", "fresh"))
		s.assertUsers(u)
	})
	t.Run("a rehash of an unknown account changes nothing and is no error", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		require.NoError(t, s.RehashForSignIn(t.Context(), newID(), u.PasswordHash, "fresh"))
		s.assertUsers(u)
	})
}

func testFirstSuperuser(t *testing.T, open opener) {
	// refusesAnother tries to create the first superuser again.
	refusesAnother := func(t *testing.T, s *seeded, e domain.Email) {
		t.Helper()
		created, err := s.CreateFirstSuperuser(t.Context(), newUser(superuser, withEmail(e)))
		require.NoError(t, err)
		assert.False(t, created)
		had, err := s.HadFirstSuperuser(t.Context())
		require.NoError(t, err)
		assert.True(t, had)
	}
	t.Run("an empty store had no first superuser", func(t *testing.T) {
		had, err := open(t).HadFirstSuperuser(t.Context())
		require.NoError(t, err)
		assert.False(t, had)
	})
	t.Run("the first superuser is created once", func(t *testing.T) {
		s := seed(t, open)
		refusesAnother(t, s, email("second@example.com"))
		refusesAnother(t, s, s.admin.Email)
		s.assertUsers()
	})
	t.Run("the first superuser does not come back after it was renamed", func(t *testing.T) {
		s := seed(t, open)
		before := s.admin
		s.admin = revised(before, withEmail(email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), before.Actor(), s.admin, before))
		refusesAnother(t, s, before.Email)
		s.assertUsers()
	})
	t.Run("the first superuser does not come back after it was deleted", func(t *testing.T) {
		s := seed(t, open)
		first := s.admin
		s.admin = s.addUser(superuser)
		require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), first.ID, anyVersion))
		refusesAnother(t, s, first.Email)
		s.assertUsers()
	})
	t.Run("no first superuser is created after an operator created one", func(t *testing.T) {
		s := &seeded{Store: open(t), t: t, admin: newUser(superuser)}
		require.NoError(t, s.CreateSuperuserForOperator(t.Context(), s.admin))
		refusesAnother(t, s, email("second@example.com"))
		s.assertUsers()
	})
}

func testOperator(t *testing.T, open opener) {
	t.Run("an operator adds a superuser beside those that are there", func(t *testing.T) {
		s := seed(t, open)
		u := newUser(superuser)
		require.NoError(t, s.CreateSuperuserForOperator(t.Context(), u))
		s.assertUsers(u)
	})
	t.Run("an operator cannot add a superuser with the e-mail of another account", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		err := s.CreateSuperuserForOperator(t.Context(), newUser(superuser, withEmail(u.Email)))
		assert.ErrorIs(t, err, domain.ErrEmailTaken)
		s.assertUsers(u)
	})
	t.Run("a password reset sets hash, counters and UpdatedAt and nothing else", func(t *testing.T) {
		s := seed(t, open)
		u, bystander := s.addUser(inactive), s.addUser()
		next := newUser(superuser)
		next.ID, next.FullName, next.CreatedAt = u.ID, domain.Some(must(domain.ParseFullName("another"))), later
		next.PasswordHash, next.Version, next.Epoch, next.UpdatedAt = "reset", 7, 9, later
		require.NoError(t, s.ResetPasswordForOperator(t.Context(), next, u.Version))
		u.PasswordHash, u.Version, u.Epoch, u.UpdatedAt = "reset", 7, 9, later
		s.assertUsers(u, bystander)
	})
	t.Run("a password reset is stale at any other version and changes nothing", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser(func(u *domain.User) { u.Version = 5 })
		next := revised(u, func(u *domain.User) { u.PasswordHash = "reset" })
		for _, read := range []int64{4, 6} {
			assert.ErrorIs(t, s.ResetPasswordForOperator(t.Context(), next, read), domain.ErrStale)
		}
		s.assertUsers(u)
	})
	t.Run("a password reset of an unknown account is not found", func(t *testing.T) {
		s := seed(t, open)
		assert.ErrorIs(t, s.ResetPasswordForOperator(t.Context(), newUser(), 1), domain.ErrNotFound)
	})
}

// accountsOfAllKinds returns accounts whose fields are at their limits or awkward to keep.
func accountsOfAllKinds() []domain.User {
	label := strings.Repeat("a", 63)
	longest := strings.Repeat("l", 64) + "@" + label + "." + label + "." + label[:61]
	users := []domain.User{
		newUser(),
		newUser(superuser, withEmail(email(longest))),
		newUser(inactive, withEmail(email("o'brien_100%{x}?@xn--bcher-kva.example"))),
		newUser(func(u *domain.User) { u.Version, u.Epoch = 1<<40, 1<<41 }),
		newUser(func(u *domain.User) { u.Version, u.Epoch = 3, 2 }),
		newUser(func(u *domain.User) {
			u.CreatedAt = time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
			u.UpdatedAt = time.Date(2100, 2, 28, 0, 0, 0, 0, time.UTC)
		}),
	}
	for _, name := range append(awkwardTexts, "", strings.Repeat("🦆", domain.MaxFullName)) {
		users = append(users, newUser(func(u *domain.User) { u.FullName = domain.Some(must(domain.ParseFullName(name))) }))
	}
	return users
}

// awkwardTexts are what quoting, escaping, trimming or normalising would change.
var awkwardTexts = []string{
	"👩‍👩‍👧 é e\u0301 שלום \U0010ffff",
	`it's "quoted" \ \n \u0041 \\ -- /* ? :1 $1 %s {{x}} ` + "`",
	" \t\r\n leading and trailing \n ",
	"NULL",
}
