package users_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestSelf(t *testing.T) {
	test(t, "is one's own account, until one is signed out", func(t *testing.T, s *scene) {
		u, err := s.Self(t.Context(), s.ann.Actor())
		require.NoError(t, err)
		assert.Equal(t, s.ann, u)

		require.NoError(t, s.DeleteSelf(t.Context(), s.ann.Actor(), anytime))
		_, err = s.Self(t.Context(), s.ann.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)
	})
}

func TestUpdateSelf(t *testing.T) {
	for name, c := range map[string]struct {
		patch  domain.ProfilePatch
		change func(*domain.User)
	}{
		"sets a name":        {domain.ProfilePatch{FullName: domain.Some(overtaken)}, func(u *domain.User) { u.FullName = overtaken }},
		"clears the name":    {domain.ProfilePatch{FullName: domain.Some(noName)}, func(u *domain.User) { u.FullName = noName }},
		"sets an e-mail":     {domain.ProfilePatch{Email: domain.Some(newEmail)}, func(u *domain.User) { u.Email = newEmail }},
		"sets both together": {domain.ProfilePatch{Email: domain.Some(newEmail), FullName: domain.Some(noName)}, func(u *domain.User) { u.Email, u.FullName = newEmail, noName }},
	} {
		test(t, name+", leaves the rest and keeps tokens alive", func(t *testing.T, s *scene) {
			want := s.ann
			c.change(&want)
			want.Version, want.UpdatedAt = 4, now

			u, err := s.UpdateSelf(t.Context(), s.ann.Actor(), c.patch, domain.OnlyVersions(s.ann.Version))
			require.NoError(t, err)
			assert.Equal(t, want, u)
			assert.Equal(t, []domain.Event{{Name: domain.EventProfileChanged, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)

			u, err = s.Self(t.Context(), s.ann.Actor())
			require.NoError(t, err)
			assert.Equal(t, want, u)
		})
	}
	for name, patch := range map[string]domain.ProfilePatch{
		"an empty patch":      {},
		"what is there today": {Email: domain.Some(must(domain.ParseEmail("Ann@Example.com"))), FullName: domain.Some(annName)},
	} {
		test(t, name+" changes nothing, the version neither", func(t *testing.T, s *scene) {
			u, err := s.UpdateSelf(t.Context(), s.ann.Actor(), patch, anytime)
			require.NoError(t, err)
			assert.Equal(t, s.ann, u)
			s.assertStored(t, s.ann)
			assert.Zero(t, s.contest.writes.Load())
			assert.Empty(t, s.events)
		})
	}
}

func TestTakenEmails(t *testing.T) {
	take := func(email domain.Email) domain.ProfilePatch { return domain.ProfilePatch{Email: domain.Some(email)} }

	test(t, "are told ten times to an account, then it has to wait", func(t *testing.T, s *scene) {
		for range attempts {
			_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), anytime)
			assert.Equal(t, domain.ErrEmailTaken, err)
		}
		_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), anytime)
		assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)

		_, err = s.UpdateSelf(t.Context(), s.ann.Actor(), domain.ProfilePatch{FullName: domain.Some(noName)}, anytime)
		require.NoError(t, err, "what names no e-mail is not limited")
		_, err = s.UpdateSelf(t.Context(), s.bob.Actor(), take(s.ann.Email), anytime)
		assert.Equal(t, domain.ErrEmailTaken, err, "others have attempts of their own")
	})
	test(t, "alone are counted", func(t *testing.T, s *scene) {
		for i := range 2 * attempts {
			_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(must(domain.ParseEmail(fmt.Sprint(i, "@example.com")))), anytime)
			require.NoError(t, err)
			_, err = s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), domain.OnlyVersions(s.ann.Version))
			assert.Equal(t, domain.ErrStale, err)
			_, err = s.UpdateSelf(ended(t), s.ann.Actor(), take(s.bob.Email), anytime)
			assert.ErrorIs(t, err, domain.ErrUnavailable)
		}
		for range attempts {
			_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), anytime)
			assert.Equal(t, domain.ErrEmailTaken, err)
		}
		_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), anytime)
		assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
	})
	test(t, "are told to superusers without a limit", func(t *testing.T, s *scene) {
		for range 2 * attempts {
			_, err := s.UpdateSelf(t.Context(), s.root.Actor(), take(s.bob.Email), anytime)
			assert.Equal(t, domain.ErrEmailTaken, err)
		}
	})
	test(t, "are told no oftener to many questions at once", func(t *testing.T, s *scene) {
		taken := 0
		for _, err := range s.atOnce(10*attempts, func(int) error {
			_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), take(s.bob.Email), anytime)
			return err
		}) {
			if errors.Is(err, domain.ErrEmailTaken) {
				taken++
			}
		}
		assert.Equal(t, attempts, taken)
	})
}

func TestChangePassword(t *testing.T) {
	wrongGuess := func(t *testing.T, s *scene) error {
		return s.ChangePassword(t.Context(), s.ann.Actor(), wrong, fresh, domain.Versions{})
	}
	// assertAttempts looks whether ann may guess so many times before she has to wait.
	assertAttempts := func(t *testing.T, s *scene, want int) {
		t.Helper()
		for range want {
			require.Equal(t, domain.ErrWrongPassword, wrongGuess(t, s))
		}
		require.ErrorIs(t, wrongGuess(t, s), domain.ErrTooManyAttempts)
	}

	test(t, "sets the new one, ends every token and gives the attempts back", func(t *testing.T, s *scene) {
		require.Equal(t, domain.ErrWrongPassword, wrongGuess(t, s))
		s.events = nil
		require.NoError(t, s.ChangePassword(t.Context(), s.ann.Actor(), known, fresh, domain.Versions{}))
		assert.Equal(t, []domain.Event{{Name: domain.EventPasswordChanged, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)
		_, err := s.Self(t.Context(), s.ann.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)

		u := s.stored(t, s.ann.Email)
		s.assertPassword(t, u, fresh.Reveal())
		want := s.ann
		want.PasswordHash, want.Version, want.Epoch, want.UpdatedAt = u.PasswordHash, 4, 3, now
		assert.Equal(t, want, u)

		s.ann = u
		assertAttempts(t, s, attempts)
	})
	test(t, "refuses a wrong current one, and after ten of them even the right one", func(t *testing.T, s *scene) {
		require.Equal(t, domain.ErrWrongPassword, wrongGuess(t, s))
		assert.Equal(t, []domain.Event{{Name: domain.EventPasswordCheckFailed, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)
		assertAttempts(t, s, attempts-1)

		verified := s.hasher.verified.Load()
		err := s.ChangePassword(t.Context(), s.ann.Actor(), known, fresh, domain.Versions{})
		assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
		assert.Equal(t, verified, s.hasher.verified.Load())
		s.assertStored(t, s.ann)
		assert.Equal(t, domain.ErrWrongPassword, s.ChangePassword(t.Context(), s.bob.Actor(), wrong, fresh, domain.Versions{}), "others have attempts of their own")
	})
	test(t, "checks no more guesses when many come at once", func(t *testing.T, s *scene) {
		s.atOnce(10*attempts, func(int) error { return wrongGuess(t, s) })
		assert.EqualValues(t, attempts, s.hasher.verified.Load())
	})
	test(t, "refuses the current one as the new one, to whoever knows it", func(t *testing.T, s *scene) {
		current := must(domain.ParsePassword(known))
		for range attempts + 1 {
			err := s.ChangePassword(t.Context(), s.ann.Actor(), known, current, domain.Versions{})
			var invalid *domain.Error
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, domain.Invalid, invalid.Kind)
			require.Len(t, invalid.Fields, 1)
			assert.Equal(t, "new_password", invalid.Fields[0].Field)
		}
		assert.Empty(t, s.events)
		s.assertStored(t, s.ann)

		guess := must(domain.ParsePassword(wrong))
		assert.Equal(t, domain.ErrWrongPassword, s.ChangePassword(t.Context(), s.ann.Actor(), wrong, guess, domain.Versions{}))
		assertAttempts(t, s, attempts-1)
	})
	for fault, inject := range map[string]func(*scene, error){
		"cannot be checked": func(s *scene, err error) { s.hasher.verifyErr = err },
		"cannot be hashed":  func(s *scene, err error) { s.hasher.hashErr = err },
	} {
		test(t, "changes nothing and costs no attempt when a password "+fault, func(t *testing.T, s *scene) {
			inject(s, domain.ErrBusy)
			for range attempts + 1 {
				assert.Equal(t, domain.ErrBusy, s.ChangePassword(t.Context(), s.ann.Actor(), known, fresh, domain.Versions{}))
			}
			inject(s, nil)
			s.assertStored(t, s.ann)
			assert.Empty(t, s.events)
			assertAttempts(t, s, attempts)
		})
	}
	test(t, "costs no attempt when the store does not answer", func(t *testing.T, s *scene) {
		for range attempts + 1 {
			assert.ErrorIs(t, s.ChangePassword(ended(t), s.ann.Actor(), known, fresh, domain.Versions{}), domain.ErrUnavailable)
		}
		assertAttempts(t, s, attempts)
	})
	test(t, "is made again on top of what others changed meanwhile", func(t *testing.T, s *scene) {
		s.overtake(t, s.ann.Email, 3)
		require.NoError(t, s.ChangePassword(t.Context(), s.ann.Actor(), known, fresh, domain.Versions{}))
		u := s.stored(t, s.ann.Email)
		s.assertPassword(t, u, fresh.Reveal())
		assert.Equal(t, overtaken, u.FullName)
		assert.EqualValues(t, s.ann.Version+3+1, u.Version)
		assert.EqualValues(t, s.ann.Epoch+1, u.Epoch)
	})
	test(t, "of many at once one succeeds and signs the others out", func(t *testing.T, s *scene) {
		errs := s.atOnce(attempts, func(int) error {
			return s.ChangePassword(t.Context(), s.ann.Actor(), known, fresh, domain.Versions{})
		})
		assertOneSucceeds(t, errs, domain.ErrSignedOut)
		assert.EqualValues(t, s.ann.Epoch+1, s.stored(t, s.ann.Email).Epoch)
		assert.Len(t, s.events, 1)
	})
}

func assertOneSucceeds(t *testing.T, errs []error, refusal error) {
	t.Helper()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
			continue
		}
		assert.ErrorIs(t, err, refusal)
	}
	assert.Equal(t, 1, succeeded)
}

func TestDeleteSelf(t *testing.T) {
	test(t, "deletes the account with its items and ends its tokens", func(t *testing.T, s *scene) {
		item := domain.Item{ID: "id-of-item", OwnerID: s.ann.ID, Title: must(domain.ParseTitle("a title"))}
		require.NoError(t, s.store.CreateItem(t.Context(), s.ann.Actor(), item))

		require.NoError(t, s.DeleteSelf(t.Context(), s.ann.Actor(), domain.OnlyVersions(s.ann.Version)))
		s.assertGone(t, s.ann)
		_, err := s.store.Item(t.Context(), s.root.Actor(), domain.AllItems(), item.ID)
		assert.Equal(t, domain.ErrNotFound, err)
		assert.Equal(t, []domain.Event{{Name: domain.EventUserDeleted, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)
		assert.Equal(t, domain.ErrSignedOut, s.DeleteSelf(t.Context(), s.ann.Actor(), anytime))
	})
	test(t, "is refused to superusers", func(t *testing.T, s *scene) {
		assert.Equal(t, domain.ErrCannotDeleteSelf, s.DeleteSelf(t.Context(), s.root.Actor(), anytime))
		s.assertStored(t, s.root)
		signedOut := s.root.Actor()
		signedOut.Epoch--
		assert.Equal(t, domain.ErrSignedOut, s.DeleteSelf(t.Context(), signedOut, anytime))
		assert.Empty(t, s.events)
	})
}

func TestATokenThatHasEndedIsSignedOutEvenWithoutAttempts(t *testing.T) {
	test(t, "on both ways that are limited", func(t *testing.T, s *scene) {
		for range attempts {
			require.NoError(t, s.EmailAttempts.Take(s.ann.ID))
			require.NoError(t, s.PasswordAttempts.Take(s.ann.ID))
		}
		ended := s.ann.Actor()
		ended.Epoch++
		_, err := s.UpdateSelf(t.Context(), ended, domain.ProfilePatch{Email: domain.Some(s.ann.Email)}, domain.Versions{})
		assert.ErrorIs(t, err, domain.ErrSignedOut)
		assert.ErrorIs(t, s.ChangePassword(t.Context(), ended, known, fresh, domain.Versions{}), domain.ErrSignedOut)
	})
}
