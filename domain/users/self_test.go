package users_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestSelf(t *testing.T) {
	run(t, "an account gets itself until it is signed out", func(t *testing.T, s *fixture) {
		u, err := s.Self(t.Context(), s.ann.Actor())
		require.NoError(t, err)
		assert.Equal(t, s.ann, u)

		require.NoError(t, s.DeleteSelf(t.Context(), s.ann.Actor(), anyVersion))
		_, err = s.Self(t.Context(), s.ann.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)
	})
}

func TestUpdateSelf(t *testing.T) {
	for name, c := range map[string]struct {
		patch  domain.ProfilePatch
		change func(*domain.User)
	}{
		"sets its name":   {setName(newName), func(u *domain.User) { u.FullName = newName }},
		"clears its name": {setName(noName), func(u *domain.User) { u.FullName = noName }},
		"sets its e-mail": {setEmail(newEmail), func(u *domain.User) { u.Email = newEmail }},
		"changes both": {
			domain.ProfilePatch{Email: domain.Some(newEmail), FullName: domain.Some(noName)},
			func(u *domain.User) { u.Email, u.FullName = newEmail, noName },
		},
	} {
		run(t, "an account "+name+", keeps every other field and stays signed in", func(t *testing.T, s *fixture) {
			want := s.ann
			c.change(&want)
			want.Version, want.UpdatedAt = version+1, now

			u, err := s.UpdateSelf(t.Context(), s.ann.Actor(), c.patch, domain.OnlyVersions(version))
			require.NoError(t, err)
			assert.Equal(t, want, u)
			s.assertEvents(t, s.ann, s.ann, domain.EventProfileChanged)

			u, err = s.Self(t.Context(), s.ann.Actor())
			require.NoError(t, err)
			assert.Equal(t, want, u)
		})
	}
	run(t, "an update without a difference writes nothing and keeps the version", func(t *testing.T, s *fixture) {
		for _, patch := range []domain.ProfilePatch{
			{},
			{Email: domain.Some(domaintest.Email("Ann@Example.com")), FullName: domain.Some(s.ann.FullName)},
		} {
			u, err := s.UpdateSelf(t.Context(), s.ann.Actor(), patch, anyVersion)
			require.NoError(t, err)
			assert.Equal(t, s.ann, u)
			s.assertStored(t, s.ann)
			assert.Zero(t, s.interleaved.updates.Load())
			assert.Empty(t, s.events)
		}
	})
}

func TestTakenEmails(t *testing.T) {
	take := func(t *testing.T, s *fixture, by domain.User, taken domain.Email) error {
		_, err := s.UpdateSelf(t.Context(), by.Actor(), setEmail(taken), anyVersion)
		return err
	}
	run(t, "an account learns of ten taken e-mails and must then wait", func(t *testing.T, s *fixture) {
		for range attempts {
			assert.Equal(t, domain.ErrEmailTaken, take(t, s, s.ann, s.bob.Email))
		}
		assert.ErrorIs(t, take(t, s, s.ann, s.bob.Email), domain.ErrTooManyAttempts)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)

		_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), setName(noName), anyVersion)
		require.NoError(t, err, "a patch without an e-mail has no limit")
		assert.Equal(t, domain.ErrEmailTaken, take(t, s, s.bob, s.ann.Email), "each account has its own attempts")
	})
	run(t, "only taken e-mails cost an attempt", func(t *testing.T, s *fixture) {
		for i := range 2 * attempts {
			require.NoError(t, take(t, s, s.ann, domaintest.Email(fmt.Sprint(i, "@example.com"))))
			_, err := s.UpdateSelf(t.Context(), s.ann.Actor(), setEmail(s.bob.Email), domain.OnlyVersions(version))
			assert.Equal(t, domain.ErrStale, err)
			_, err = s.UpdateSelf(ended(t), s.ann.Actor(), setEmail(s.bob.Email), anyVersion)
			assert.ErrorIs(t, err, domain.ErrUnavailable)
		}
		for range attempts {
			assert.Equal(t, domain.ErrEmailTaken, take(t, s, s.ann, s.bob.Email))
		}
		assert.ErrorIs(t, take(t, s, s.ann, s.bob.Email), domain.ErrTooManyAttempts)
	})
	run(t, "a superuser has no limit", func(t *testing.T, s *fixture) {
		for range 2 * attempts {
			assert.Equal(t, domain.ErrEmailTaken, take(t, s, s.root, s.bob.Email))
		}
	})
	run(t, "the limit also holds for concurrent calls", func(t *testing.T, s *fixture) {
		taken := 0
		for _, err := range s.concurrently(10*attempts, func(int) error { return take(t, s, s.ann, s.bob.Email) }) {
			if errors.Is(err, domain.ErrEmailTaken) {
				taken++
			}
		}
		assert.Equal(t, attempts, taken)
	})
}

// changePassword changes Ann's password for any version of her account.
func (s *fixture) changePassword(t *testing.T, current string) error {
	t.Helper()
	return s.ChangePassword(t.Context(), s.ann.Actor(), current, newPassword, anyVersion)
}

// assertAttempts checks that Ann may give this number of wrong passwords before she must wait.
func (s *fixture) assertAttempts(t *testing.T, want int) {
	t.Helper()
	for range want {
		require.Equal(t, domain.ErrWrongPassword, s.changePassword(t, wrong))
	}
	require.ErrorIs(t, s.changePassword(t, wrong), domain.ErrTooManyAttempts)
}

func TestChangePassword(t *testing.T) {
	run(t, "sets the new password, ends every token and resets the attempts", func(t *testing.T, s *fixture) {
		require.Equal(t, domain.ErrWrongPassword, s.changePassword(t, wrong))
		s.events = nil
		require.NoError(t, s.changePassword(t, correct))
		s.assertEvents(t, s.ann, s.ann, domain.EventPasswordChanged)
		_, err := s.Self(t.Context(), s.ann.Actor())
		assert.Equal(t, domain.ErrSignedOut, err)

		u := s.stored(t, s.ann.Email)
		s.assertPassword(t, u, newPassword.Reveal())
		want := s.ann
		want.PasswordHash, want.Version, want.Epoch, want.UpdatedAt = u.PasswordHash, version+1, epoch+1, now
		assert.Equal(t, want, u)

		s.ann = u
		s.assertAttempts(t, attempts)
	})
	run(t, "refuses a wrong password, and after ten of them also the correct one", func(t *testing.T, s *fixture) {
		require.Equal(t, domain.ErrWrongPassword, s.changePassword(t, wrong))
		s.assertEvents(t, s.ann, s.ann, domain.EventPasswordCheckFailed)
		s.assertAttempts(t, attempts-1)

		verified := s.hasher.Verified.Load()
		assert.ErrorIs(t, s.changePassword(t, correct), domain.ErrTooManyAttempts)
		assert.Equal(t, verified, s.hasher.Verified.Load())
		s.assertStored(t, s.ann)
	})
	run(t, "checks no more passwords for concurrent calls", func(t *testing.T, s *fixture) {
		s.concurrently(10*attempts, func(int) error { return s.changePassword(t, wrong) })
		assert.EqualValues(t, attempts, s.hasher.Verified.Load())
	})
	run(t, "refuses the current password as the new one, without costing an attempt", func(t *testing.T, s *fixture) {
		current := domaintest.Password(correct)
		for range attempts + 1 {
			err := s.ChangePassword(t.Context(), s.ann.Actor(), correct, current, anyVersion)
			var invalid *domain.Error
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, domain.Invalid, invalid.Kind)
			require.Len(t, invalid.Fields, 1)
			assert.Equal(t, "new_password", invalid.Fields[0].Field)
		}
		assert.Empty(t, s.events)
		s.assertStored(t, s.ann)
		s.assertAttempts(t, attempts)
	})
	run(t, "checks the current password before it compares the new one", func(t *testing.T, s *fixture) {
		err := s.ChangePassword(t.Context(), s.ann.Actor(), wrong, domaintest.Password(wrong), anyVersion)
		assert.Equal(t, domain.ErrWrongPassword, err)
		s.assertAttempts(t, attempts-1)
	})
	for fault, inject := range map[string]func(*fixture, error){
		"the check": func(s *fixture, err error) { s.hasher.VerifyErr = err },
		"the hash":  func(s *fixture, err error) { s.hasher.HashErr = err },
	} {
		run(t, "changes nothing and costs no attempt if "+fault+" fails", func(t *testing.T, s *fixture) {
			inject(s, domain.ErrBusy)
			for range attempts + 1 {
				assert.Equal(t, domain.ErrBusy, s.changePassword(t, correct))
			}
			inject(s, nil)
			s.assertStored(t, s.ann)
			assert.Empty(t, s.events)
			s.assertAttempts(t, attempts)
		})
	}
	run(t, "costs no attempt if the store does not answer", func(t *testing.T, s *fixture) {
		for range attempts + 1 {
			err := s.ChangePassword(ended(t), s.ann.Actor(), correct, newPassword, anyVersion)
			assert.ErrorIs(t, err, domain.ErrUnavailable)
		}
		s.assertAttempts(t, attempts)
	})
	run(t, "keeps concurrent changes of other fields", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, s.ann.Email, 3)
		require.NoError(t, s.changePassword(t, correct))
		u := s.stored(t, s.ann.Email)
		s.assertPassword(t, u, newPassword.Reveal())
		assert.Equal(t, lastConcurrentChange, u.FullName)
		assert.EqualValues(t, version+3+1, u.Version)
		assert.EqualValues(t, epoch+1, u.Epoch)
	})
	run(t, "succeeds once for concurrent calls and signs the others out", func(t *testing.T, s *fixture) {
		errs := s.concurrently(attempts, func(int) error { return s.changePassword(t, correct) })
		assertOneSucceeds(t, errs, domain.ErrSignedOut)
		assert.EqualValues(t, epoch+1, s.stored(t, s.ann.Email).Epoch)
		assert.Len(t, s.events, 1)
	})
}

func TestPasswordAttempts(t *testing.T) {
	guess := func(t *testing.T, s *fixture, session, source string) error {
		by := s.ann.Actor()
		by.SessionID, by.Source = session, source
		return s.ChangePassword(t.Context(), by, wrong, newPassword, anyVersion)
	}
	run(t, "of a stolen session or of another source leave the owner all attempts", func(t *testing.T, s *fixture) {
		for range attempts {
			require.Equal(t, domain.ErrWrongPassword, guess(t, s, "stolen", "thief"))
		}
		require.ErrorIs(t, guess(t, s, "stolen", "thief"), domain.ErrTooManyAttempts)
		assert.Equal(t, domain.EventPasswordCheckThrottled, s.events[len(s.events)-1].Name)
		for range attempts {
			assert.Equal(t, domain.ErrWrongPassword, guess(t, s, "stolen", "owner"))
			assert.Equal(t, domain.ErrWrongPassword, guess(t, s, "owner's", "thief"))
		}
		s.assertAttempts(t, attempts)
	})
	run(t, "of the clients of an account are limited together", func(t *testing.T, s *fixture) {
		for range attempts {
			require.Equal(t, domain.ErrWrongPassword, guess(t, s, "", "a source"))
		}
		assert.ErrorIs(t, guess(t, s, "", "a source"), domain.ErrTooManyAttempts)
		by := s.root.Actor()
		by.Source = "a source"
		err := s.ChangePassword(t.Context(), by, wrong, newPassword, anyVersion)
		assert.Equal(t, domain.ErrWrongPassword, err, "another account has its own attempts")
	})
	run(t, "are hashed as authenticated work of their source, and logged with it", func(t *testing.T, s *fixture) {
		require.Equal(t, domain.ErrWrongPassword, guess(t, s, "a session", "192.0.2.1"))
		assert.Equal(t, []domain.Work{{Source: "192.0.2.1", Authenticated: true}}, s.hasher.Work())
		assert.Equal(t, []domain.Event{{
			Name: domain.EventPasswordCheckFailed, ActorID: s.ann.ID, SubjectID: s.ann.ID, Source: "192.0.2.1",
		}}, s.events)
	})
}

func TestDeleteSelf(t *testing.T) {
	run(t, "an account deletes itself with its items and is signed out", func(t *testing.T, s *fixture) {
		item := domaintest.Item(s.ann)
		require.NoError(t, s.store.CreateItem(t.Context(), s.ann.Actor(), item))

		require.NoError(t, s.DeleteSelf(t.Context(), s.ann.Actor(), domain.OnlyVersions(version)))
		s.assertGone(t, s.ann.Email)
		_, err := s.store.Item(t.Context(), s.root.Actor(), domain.AllItems(), item.ID)
		assert.Equal(t, domain.ErrNotFound, err)
		s.assertEvents(t, s.ann, s.ann, domain.EventUserDeleted)
		assert.Equal(t, domain.ErrSignedOut, s.DeleteSelf(t.Context(), s.ann.Actor(), anyVersion))
	})
	run(t, "a superuser cannot delete itself", func(t *testing.T, s *fixture) {
		assert.Equal(t, domain.ErrCannotDeleteSelf, s.DeleteSelf(t.Context(), s.root.Actor(), anyVersion))
		s.assertStored(t, s.root)
		assert.Equal(t, domain.ErrSignedOut, s.DeleteSelf(t.Context(), signedOut(s.root), anyVersion))
		assert.Empty(t, s.events)
	})
}

func TestSignOutEverywhere(t *testing.T) {
	signOuts := map[string]func(*testing.T, *fixture) (domain.User, error){
		"the account itself": func(t *testing.T, s *fixture) (domain.User, error) {
			return s.ann, s.SignOutSelf(t.Context(), s.ann.Actor())
		},
		"a superuser": func(t *testing.T, s *fixture) (domain.User, error) {
			return s.root, s.SignOut(t.Context(), s.root.Actor(), s.ann.ID)
		},
	}
	for name, signOut := range signOuts {
		run(t, name+" ends all tokens, and changes nothing but the counters", func(t *testing.T, s *fixture) {
			by, err := signOut(t, s)
			require.NoError(t, err)
			want := s.ann
			want.Version, want.Epoch, want.UpdatedAt = version+1, epoch+1, now
			s.assertStored(t, want)
			s.assertEvents(t, by, s.ann, domain.EventSignedOutEverywhere)
			_, err = s.Self(t.Context(), s.ann.Actor())
			assert.Equal(t, domain.ErrSignedOut, err)
		})
	}
	run(t, "an unknown account is not found", func(t *testing.T, s *fixture) {
		assert.ErrorIs(t, s.SignOut(t.Context(), s.root.Actor(), "unknown"), domain.ErrNotFound)
		assert.Empty(t, s.events)
	})
	run(t, "a signed-out account is refused", func(t *testing.T, s *fixture) {
		assert.ErrorIs(t, s.SignOutSelf(t.Context(), signedOut(s.ann)), domain.ErrSignedOut)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
	})
}

func TestASignedOutActorIsSignedOutEvenIfNoAttemptIsLeft(t *testing.T) {
	run(t, "for both limits", func(t *testing.T, s *fixture) {
		for range attempts {
			require.NoError(t, s.EmailAttempts.Take(s.ann.ID))
			require.Equal(t, domain.ErrWrongPassword, s.changePassword(t, wrong))
		}
		_, err := s.UpdateSelf(t.Context(), signedOut(s.ann), setEmail(s.ann.Email), anyVersion)
		assert.ErrorIs(t, err, domain.ErrSignedOut)
		err = s.ChangePassword(t.Context(), signedOut(s.ann), correct, newPassword, anyVersion)
		assert.ErrorIs(t, err, domain.ErrSignedOut)
	})
}
