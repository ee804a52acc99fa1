package users_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestFirstSuperuser(t *testing.T) {
	const configured = "changethis" // which nobody could choose
	password := func() (string, error) { return configured, nil }
	ensure := func(t *testing.T, s *scene) bool {
		t.Helper()
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, password)
		require.NoError(t, err)
		return created
	}
	testEmpty(t, "is created by the first start and by no other", func(t *testing.T, s *scene) {
		assert.True(t, ensure(t, s))
		u := s.stored(t, newEmail)
		s.assertPassword(t, u, configured)
		assert.Equal(t, newSuperuser(u), u)
		assert.Equal(t, []domain.Event{{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID}}, s.events)

		s.events = nil
		assert.False(t, ensure(t, s))
		s.assertStored(t, u)
		assert.Empty(t, s.events)
		assert.EqualValues(t, 1, s.hasher.hashed.Load(), "a later start hashes no password")
	})
	testEmpty(t, "is created by one of many starts at once", func(t *testing.T, s *scene) {
		created := make([]bool, 8)
		for _, err := range s.atOnce(len(created), func(i int) (err error) {
			created[i], err = s.EnsureFirstSuperuser(t.Context(), newEmail, password)
			return err
		}) {
			assert.NoError(t, err)
		}
		created = slices.DeleteFunc(created, func(c bool) bool { return !c })
		assert.Len(t, created, 1)
		assert.Len(t, s.events, 1)
	})
	test(t, "does not come back after it was renamed or deleted", func(t *testing.T, s *scene) {
		renamed := domain.UserPatch{ProfilePatch: domain.ProfilePatch{Email: domain.Some(must(domain.ParseEmail("renamed@example.com")))}}
		u, err := s.Update(t.Context(), s.root.Actor(), s.root.ID, renamed, anytime)
		require.NoError(t, err)
		assert.False(t, ensure(t, s))

		require.NoError(t, s.Delete(t.Context(), s.sue.Actor(), s.root.ID, anytime))
		assert.False(t, ensure(t, s))
		s.assertGone(t, u)
		_, err = s.store.UserForSignIn(t.Context(), newEmail)
		assert.Equal(t, domain.ErrNotFound, err)
	})
	testEmpty(t, "is not created where an operator was first", func(t *testing.T, s *scene) {
		_, err := s.CreateSuperuser(t.Context(), must(domain.ParseEmail("op@example.com")), fresh)
		require.NoError(t, err)
		assert.False(t, ensure(t, s))
	})
	testEmpty(t, "is created by the next start when the hasher or the store failed", func(t *testing.T, s *scene) {
		s.hasher.hashErr = domain.ErrBusy
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, password)
		assert.Equal(t, domain.ErrBusy, err)
		assert.False(t, created)

		s.hasher.hashErr = nil
		created, err = s.EnsureFirstSuperuser(ended(t), newEmail, password)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.False(t, created)
		assert.Empty(t, s.events)

		assert.True(t, ensure(t, s))
	})
}

func TestThePasswordOfTheFirstSuperuserIsCheckedOnlyIfItIsUsed(t *testing.T) {
	notAllowed := errors.New("not allowed")
	refuse := func() (string, error) { return "", notAllowed }
	testEmpty(t, "an error of the password creates no account", func(t *testing.T, s *scene) {
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, refuse)
		assert.Equal(t, notAllowed, err)
		assert.False(t, created)
		_, err = s.store.UserForSignIn(t.Context(), newEmail)
		assert.Equal(t, domain.ErrNotFound, err)
		assert.Empty(t, s.events)
	})
	test(t, "a later start does not ask for the password", func(t *testing.T, s *scene) {
		created, err := s.EnsureFirstSuperuser(t.Context(), newEmail, refuse)
		assert.NoError(t, err)
		assert.False(t, created)
	})
}

// newSuperuser is u as it has to be if it is a superuser who was just created.
func newSuperuser(u domain.User) domain.User {
	return domain.User{
		ID: u.ID, Email: newEmail, PasswordHash: u.PasswordHash, Active: true, Superuser: true,
		Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func TestOperatorCreatesSuperuser(t *testing.T) {
	test(t, "besides those that there are", func(t *testing.T, s *scene) {
		u, err := s.CreateSuperuser(t.Context(), newEmail, fresh)
		require.NoError(t, err)
		assert.Equal(t, newSuperuser(u), u)
		s.assertPassword(t, u, fresh.Reveal())
		s.assertStored(t, u)
		assert.Equal(t, []domain.Event{{Name: domain.EventUserCreated, SubjectID: u.ID}}, s.events)
	})
	test(t, "or learns why not", func(t *testing.T, s *scene) {
		u, err := s.CreateSuperuser(t.Context(), s.ann.Email, fresh)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		s.assertStored(t, s.ann)

		s.hasher.hashErr = domain.ErrBusy
		_, err = s.CreateSuperuser(t.Context(), newEmail, fresh)
		assert.Equal(t, domain.ErrBusy, err)
		assert.Empty(t, s.events)
	})
}

func TestOperatorResetsPassword(t *testing.T) {
	test(t, "and ends the tokens of the account", func(t *testing.T, s *scene) {
		require.NoError(t, s.ResetPassword(t.Context(), s.sue.Email, fresh))
		assert.Equal(t, []domain.Event{{Name: domain.EventPasswordChanged, SubjectID: s.sue.ID}}, s.events)
		u := s.stored(t, s.sue.Email)
		s.assertPassword(t, u, fresh.Reveal())
		want := s.sue
		want.PasswordHash, want.Version, want.Epoch, want.UpdatedAt = u.PasswordHash, 4, 3, now
		assert.Equal(t, want, u)

		_, err := s.Self(t.Context(), s.sue.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)
	})
	test(t, "again when others changed the account meanwhile, with the same hash", func(t *testing.T, s *scene) {
		s.overtake(t, s.root.Email, 3)
		require.NoError(t, s.ResetPassword(t.Context(), s.root.Email, fresh))
		u := s.stored(t, s.root.Email)
		s.assertPassword(t, u, fresh.Reveal())
		assert.Equal(t, overtaken, u.FullName)
		assert.EqualValues(t, s.root.Version+3+1, u.Version)
		assert.EqualValues(t, 1, s.hasher.hashed.Load())
		assert.Len(t, s.events, 1)
	})
	test(t, "of superusers only", func(t *testing.T, s *scene) {
		assert.ErrorIs(t, s.ResetPassword(t.Context(), s.ann.Email, fresh), domain.ErrNotFound)
		assert.ErrorIs(t, s.ResetPassword(t.Context(), newEmail, fresh), domain.ErrNotFound)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
	})
	test(t, "or learns that nothing was done", func(t *testing.T, s *scene) {
		assert.ErrorIs(t, s.ResetPassword(ended(t), s.sue.Email, fresh), domain.ErrUnavailable)
		s.hasher.hashErr = domain.ErrBusy
		assert.Equal(t, domain.ErrBusy, s.ResetPassword(t.Context(), s.sue.Email, fresh))
		s.assertStored(t, s.sue)
		assert.Empty(t, s.events)
	})
}
