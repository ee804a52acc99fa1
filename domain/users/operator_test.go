package users_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestFirstSuperuser(t *testing.T) {
	const configured = "changethis" // no account may choose it
	password := func() (string, error) { return configured, nil }
	ensure := func(t *testing.T, s *fixture) bool {
		t.Helper()
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, noUser, password)
		require.NoError(t, err)
		return created
	}
	runEmpty(t, "is created only by the first start", func(t *testing.T, s *fixture) {
		assert.True(t, ensure(t, s))
		u := s.stored(t, newEmail)
		s.assertPassword(t, u, configured)
		assert.Equal(t, newSuperuser(u), u)
		assert.Equal(t, []domain.Event{{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID}}, s.events)

		s.events = nil
		assert.False(t, ensure(t, s))
		s.assertStored(t, u)
		assert.Empty(t, s.events)
		assert.EqualValues(t, 1, s.hasher.Hashed.Load(), "a later start hashes no password")
	})
	runEmpty(t, "is created by one of several concurrent starts", func(t *testing.T, s *fixture) {
		created := make([]bool, 8)
		for _, err := range s.concurrently(len(created), func(i int) (err error) {
			created[i], err = s.EnsureFirstSuperuser(t.Context(), newEmail, noUser, password)
			return err
		}) {
			assert.NoError(t, err)
		}
		created = slices.DeleteFunc(created, func(c bool) bool { return !c })
		assert.Len(t, created, 1)
		assert.Len(t, s.events, 1)
	})
	run(t, "is not created again after a new e-mail or a delete", func(t *testing.T, s *fixture) {
		renamed := domain.UserPatch{ProfilePatch: setEmail(domaintest.Email("renamed@example.com"))}
		u, err := s.Update(t.Context(), s.root.Actor(), s.root.ID, renamed, anyVersion)
		require.NoError(t, err)
		assert.False(t, ensure(t, s))

		require.NoError(t, s.Delete(t.Context(), s.sue.Actor(), s.root.ID, anyVersion))
		assert.False(t, ensure(t, s))
		s.assertGone(t, u.Email)
		s.assertGone(t, newEmail)
	})
	runEmpty(t, "is not created after the operator created a superuser", func(t *testing.T, s *fixture) {
		_, err := s.CreateSuperuser(t.Context(), domaintest.Email("op@example.com"), newPassword)
		require.NoError(t, err)
		assert.False(t, ensure(t, s))
	})
	runEmpty(t, "is created by the next start if the hasher or the store failed", func(t *testing.T, s *fixture) {
		s.hasher.HashErr = domain.ErrBusy
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, noUser, password)
		assert.Equal(t, domain.ErrBusy, err)
		assert.False(t, created)

		s.hasher.HashErr = nil
		created, err = s.EnsureFirstSuperuser(ended(t), newEmail, noUser, password)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.False(t, created)
		assert.Empty(t, s.events)

		assert.True(t, ensure(t, s))
	})
}

func TestTheFirstSuperuserCanHaveASnowflakeUserAndNoPassword(t *testing.T) {
	runEmpty(t, "the hasher is not used", func(t *testing.T, s *fixture) {
		user := domain.Some(domaintest.SnowflakeUser("ANN"))
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, user, func() (string, error) { return "", nil })
		require.NoError(t, err)
		assert.True(t, created)
		u := s.stored(t, newEmail)
		want := newSuperuser(u)
		want.PasswordHash, want.SnowflakeUser = "", user
		assert.Equal(t, want, u)
		assert.Zero(t, s.hasher.Hashed.Load())
		assert.Equal(t, []domain.Event{
			{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID},
			{Name: domain.EventSnowflakeUserChanged, SubjectID: u.ID},
		}, s.events)
	})
}

func TestThePasswordOfTheFirstSuperuserIsCheckedOnlyIfItIsUsed(t *testing.T) {
	notAllowed := errors.New("not allowed")
	refuse := func() (string, error) { return "", notAllowed }
	runEmpty(t, "an error of the password creates no account", func(t *testing.T, s *fixture) {
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, noUser, refuse)
		assert.Equal(t, notAllowed, err)
		assert.False(t, created)
		_, err = s.store.UserForSignIn(t.Context(), newEmail)
		assert.Equal(t, domain.ErrNotFound, err)
		assert.Empty(t, s.events)
	})
	run(t, "a later start does not ask for the password", func(t *testing.T, s *fixture) {
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, noUser, refuse)
		assert.NoError(t, err)
		assert.False(t, created)
	})
}

// newSuperuser returns the new superuser that u must equal. It takes from u only the ID and the hash.
func newSuperuser(u domain.User) domain.User {
	return domain.User{
		ID: u.ID, Email: newEmail, PasswordHash: u.PasswordHash, Active: true, Superuser: true,
		Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func TestCreateSuperuser(t *testing.T) {
	run(t, "adds a superuser while there are others", func(t *testing.T, s *fixture) {
		u, err := s.CreateSuperuser(t.Context(), newEmail, newPassword)
		require.NoError(t, err)
		assert.Equal(t, newSuperuser(u), u)
		s.assertPassword(t, u, newPassword.Reveal())
		s.assertStored(t, u)
		assert.Equal(t, []domain.Event{{Name: domain.EventUserCreated, SubjectID: u.ID}}, s.events)
	})
	run(t, "returns an error for a taken e-mail or a busy hasher", func(t *testing.T, s *fixture) {
		u, err := s.CreateSuperuser(t.Context(), s.ann.Email, newPassword)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		s.assertStored(t, s.ann)

		s.hasher.HashErr = domain.ErrBusy
		_, err = s.CreateSuperuser(t.Context(), newEmail, newPassword)
		assert.Equal(t, domain.ErrBusy, err)
		assert.Empty(t, s.events)
	})
}

func TestResetPassword(t *testing.T) {
	run(t, "sets the password and ends the tokens of the account", func(t *testing.T, s *fixture) {
		require.NoError(t, s.ResetPassword(t.Context(), s.sue.Email, newPassword))
		assert.Equal(t, []domain.Event{{Name: domain.EventPasswordChanged, SubjectID: s.sue.ID}}, s.events)
		u := s.stored(t, s.sue.Email)
		s.assertPassword(t, u, newPassword.Reveal())
		want := s.sue
		want.PasswordHash, want.Version, want.Epoch, want.UpdatedAt = u.PasswordHash, version+1, epoch+1, now
		assert.Equal(t, want, u)

		_, err := s.Self(t.Context(), s.sue.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)
	})
	run(t, "succeeds after 31 concurrent changes and hashes the password once", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, s.root.Email, maxTries-1)
		require.NoError(t, s.ResetPassword(t.Context(), s.root.Email, newPassword))
		u := s.stored(t, s.root.Email)
		s.assertPassword(t, u, newPassword.Reveal())
		assert.Equal(t, lastConcurrentChange, u.FullName)
		assert.EqualValues(t, version+maxTries, u.Version)
		assert.EqualValues(t, 1, s.hasher.Hashed.Load())
		assert.Len(t, s.events, 1)
	})
	run(t, "gives up after 32 tries if it always loses", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, s.root.Email, 1_000_000)
		assert.Equal(t, domain.ErrContended, s.ResetPassword(t.Context(), s.root.Email, newPassword))
		assert.EqualValues(t, maxTries, s.interleaved.reads.Load())
		assert.EqualValues(t, maxTries, s.interleaved.updates.Load())
		assert.Equal(t, s.root.PasswordHash, s.stored(t, s.root.Email).PasswordHash)
		assert.Empty(t, s.events)
	})
	run(t, "does not find accounts that are not superusers", func(t *testing.T, s *fixture) {
		assert.ErrorIs(t, s.ResetPassword(t.Context(), s.ann.Email, newPassword), domain.ErrNotFound)
		assert.ErrorIs(t, s.ResetPassword(t.Context(), newEmail, newPassword), domain.ErrNotFound)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
	})
	run(t, "changes nothing if the store does not answer or the hasher is busy", func(t *testing.T, s *fixture) {
		assert.ErrorIs(t, s.ResetPassword(ended(t), s.sue.Email, newPassword), domain.ErrUnavailable)
		s.hasher.HashErr = domain.ErrBusy
		assert.Equal(t, domain.ErrBusy, s.ResetPassword(t.Context(), s.sue.Email, newPassword))
		s.assertStored(t, s.sue)
		assert.Empty(t, s.events)
	})
}

func TestLinkSnowflakeUser(t *testing.T) {
	user := domaintest.SnowflakeUser("SUE")
	run(t, "links a user in Snowflake to a superuser and keeps the tokens of the account", func(t *testing.T, s *fixture) {
		for range 2 { // the second time changes nothing
			require.NoError(t, s.LinkSnowflakeUser(t.Context(), s.sue.Email, user))
		}
		assert.Equal(t, []domain.Event{{Name: domain.EventSnowflakeUserChanged, SubjectID: s.sue.ID}}, s.events)
		want := s.sue
		want.SnowflakeUser, want.Version, want.UpdatedAt = domain.Some(user), version+1, now
		s.assertStored(t, want)
		_, err := s.Self(t.Context(), s.sue.Actor())
		assert.NoError(t, err)
	})
	run(t, "refuses a user who has an account, and accounts that are not superusers", func(t *testing.T, s *fixture) {
		require.NoError(t, s.LinkSnowflakeUser(t.Context(), s.sue.Email, user))
		assert.ErrorIs(t, s.LinkSnowflakeUser(t.Context(), s.root.Email, user), domain.ErrSnowflakeUserTaken)
		assert.ErrorIs(t, s.LinkSnowflakeUser(t.Context(), s.ann.Email, user), domain.ErrNotFound)
		assert.ErrorIs(t, s.LinkSnowflakeUser(t.Context(), newEmail, user), domain.ErrNotFound)
		s.assertStored(t, s.root)
		s.assertStored(t, s.ann)
		assert.Len(t, s.events, 1)
	})
}
