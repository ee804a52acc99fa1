package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// refused are sign-ins that a client must not be able to distinguish.
var refused = map[string]struct{ email, password, subject string }{
	"an unknown e-mail":         {"eve@example.com", correct, ""},
	"a wrong password":          {annEmail, wrong, ann.ID},
	"an empty password":         {annEmail, "", ann.ID},
	"an inactive account":       {inaEmail, correct, ina.ID},
	"an invalid e-mail":         {"ann", correct, ""},
	"empty e-mail and password": {"", "", ""},
}

func TestSignIn(t *testing.T) {
	run(t, "returns a token of the account immediately and does not change the account", func(t *testing.T, s *fixture) {
		start := time.Now()
		token, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		assert.Equal(t, time.Hour, token.Access.ExpiresIn)
		assert.Equal(t, hashTime, time.Since(start))
		s.assertSignedIn(t, domain.SessionByPassword)

		actor, err := s.Authenticate(token.Access.Value)
		require.NoError(t, err)
		u, err := s.store.User(t.Context(), actor, actor.ID)
		require.NoError(t, err)
		assert.Equal(t, ann, u)
	})
	run(t, "accepts the e-mail in any letter case and the password exactly", func(t *testing.T, s *fixture) {
		_, err := s.SignIn(t.Context(), "Ann@EXAMPLE.com", correct, from(source))
		require.NoError(t, err)
		_, err = s.SignIn(t.Context(), annEmail, strings.ToUpper(correct), from(source))
		assert.Equal(t, domain.ErrBadCredentials, err)
	})
	for name, c := range refused {
		run(t, "refuses "+name+" with the same error, after one hash and the floor", func(t *testing.T, s *fixture) {
			start := time.Now()
			token, err := s.SignIn(t.Context(), c.email, c.password, from(source))
			assert.Equal(t, domain.ErrBadCredentials, err)
			assert.Zero(t, token)
			assert.Equal(t, floor, time.Since(start))
			assert.EqualValues(t, 1, s.hasher.Verified.Load())
			assert.Zero(t, s.hasher.Hashed.Load())
			assert.Equal(t, []domain.Event{signInFailed(c.subject)}, s.events)
		})
	}
	run(t, "does not wait if the work took longer than the floor", func(t *testing.T, s *fixture) {
		s.FailureFloor = hashTime / 2
		start := time.Now()
		_, err := s.SignIn(t.Context(), annEmail, wrong, from(source))
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, hashTime, time.Since(start))
	})
	run(t, "stops waiting if the client has gone", func(t *testing.T, s *fixture) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*hashTime)
		defer cancel()
		start := time.Now()
		_, err := s.SignIn(ctx, annEmail, wrong, from(source))
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, 2*hashTime, time.Since(start))
	})
}

func TestSignInWithFaults(t *testing.T) {
	readFault := func(s *fixture, err error) { s.faulty.readErr = err }
	verifyFault := func(s *fixture, err error) { s.hasher.VerifyErr = err }
	for name, c := range map[string]struct {
		inject func(*fixture, error)
		err    error
	}{
		"a store that does not answer":     {readFault, domain.ErrUnavailable},
		"a store with an error of no Kind": {readFault, io.ErrUnexpectedEOF},
		"a busy hasher":                    {verifyFault, domain.ErrBusy.WithRetryAfter(time.Second)},
	} {
		run(t, name+" returns its own error and costs no attempt", func(t *testing.T, s *fixture) {
			c.inject(s, c.err)
			for range attempts + 1 {
				token, err := s.SignIn(t.Context(), annEmail, correct, from(source))
				assert.Equal(t, c.err, err)
				assert.Zero(t, token)
			}
			assert.Empty(t, s.events)

			c.inject(s, nil)
			s.assertAttempts(t, annEmail, source, attempts)
		})
	}
	run(t, "a hash that cannot be read is refused like a wrong password, and logged once", func(t *testing.T, s *fixture) {
		s.hasher.VerifyErr = errors.New("unreadable hash")
		start := time.Now()
		token, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Zero(t, token)
		assert.Equal(t, floor, time.Since(start))
		assert.Equal(t, []domain.Event{
			{Name: domain.EventPasswordHashUnreadable, SubjectID: ann.ID, Kind: domain.SessionByPassword, Source: source},
		}, s.events)
		s.assertAttempts(t, annEmail, source, attempts-1)
	})
	run(t, "an issuer that fails is no sign-in", func(t *testing.T, s *fixture) {
		s.Tokens = faultyIssuer{}
		token, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		assert.Equal(t, errNoKey, err)
		assert.Zero(t, token)
		assert.Empty(t, s.events)
	})
	run(t, "a fault refunds only its own attempt", func(t *testing.T, s *fixture) {
		for range 4 {
			_, err := s.SignIn(t.Context(), annEmail, wrong, from(source))
			assert.Equal(t, domain.ErrBadCredentials, err)
		}
		s.hasher.VerifyErr = domain.ErrBusy
		_, err := s.SignIn(t.Context(), annEmail, wrong, from(source))
		assert.Equal(t, domain.ErrBusy, err)
		s.faulty.readErr = domain.ErrUnavailable
		_, err = s.SignIn(t.Context(), annEmail, wrong, from(source))
		assert.Equal(t, domain.ErrUnavailable, err)

		s.hasher.VerifyErr, s.faulty.readErr = nil, nil
		s.assertAttempts(t, annEmail, source, attempts-4)
	})
}

func TestSignInAttempts(t *testing.T) {
	for name, c := range refused {
		run(t, "are limited for "+name+", for each pair of e-mail and source", func(t *testing.T, s *fixture) {
			s.assertAttempts(t, c.email, source, attempts)
			s.assertAttempts(t, c.email, "192.0.2.2", attempts)
			s.assertAttempts(t, "x"+c.email, source, attempts)
		})
	}
	run(t, "count an e-mail in any letter case as the same", func(t *testing.T, s *fixture) {
		s.assertAttempts(t, annEmail, source, attempts)
		s.assertAttempts(t, strings.ToUpper(annEmail), source, 0)
	})
	run(t, "cost no read, no hash and no time after the last one", func(t *testing.T, s *fixture) {
		s.assertAttempts(t, annEmail, source, attempts)
		s.faulty.readErr = domain.ErrUnavailable
		verified, start := s.hasher.Verified.Load(), time.Now()
		s.events = nil

		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		var limited *domain.Error
		require.ErrorAs(t, err, &limited)
		assert.Equal(t, domain.ErrTooManyAttempts.Code, limited.Code)
		assert.NotZero(t, limited.RetryAfter)
		assert.Equal(t, verified, s.hasher.Verified.Load())
		assert.Zero(t, time.Since(start))
		assert.Equal(t, []domain.Event{
			{Name: domain.EventSignInThrottled, SubjectID: ann.ID, Source: source},
		}, s.events)
	})
	run(t, "are all available again after a success", func(t *testing.T, s *fixture) {
		for range attempts - 1 {
			_, err := s.SignIn(t.Context(), annEmail, wrong, from(source))
			assert.Equal(t, domain.ErrBadCredentials, err)
		}
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		s.assertAttempts(t, annEmail, source, attempts)
	})
	run(t, "are limited for each source, over all accounts", func(t *testing.T, s *fixture) {
		for i := range sourceAttempts {
			_, err := s.SignIn(t.Context(), fmt.Sprint(i, from("@example.com")), wrong, from(source))
			require.Equal(t, domain.ErrBadCredentials, err)
		}
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.ErrorIs(t, err, domain.ErrTooManyAttempts)
		_, err = s.SignIn(t.Context(), annEmail, correct, from("192.0.2.2"))
		require.NoError(t, err)
	})
	run(t, "of a source are not spent by successes or by other limits", func(t *testing.T, s *fixture) {
		for range 2 * sourceAttempts {
			_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
			require.NoError(t, err)
		}
		s.assertAttempts(t, "eve@example.com", source, attempts)
		for range 2 * sourceAttempts {
			s.assertAttempts(t, "eve@example.com", source, 0)
		}
		s.assertAttempts(t, "bob@example.com", source, attempts)
		s.assertAttempts(t, "cid@example.com", source, sourceAttempts-2*attempts)
	})
	run(t, "are limited for each account, over all unknown sources", func(t *testing.T, s *fixture) {
		_, err := s.SignIn(t.Context(), annEmail, correct, from("home"))
		require.NoError(t, err)
		s.attack(t, annEmail, accountAttempts)

		_, err = s.SignIn(t.Context(), annEmail, correct, from("a new device"))
		require.ErrorIs(t, err, domain.ErrTooManyAttempts)
		_, err = s.SignIn(t.Context(), annEmail, correct, from("home"))
		require.NoError(t, err)
		_, err = s.SignIn(t.Context(), inaEmail, wrong, from("a new device"))
		require.Equal(t, domain.ErrBadCredentials, err, "another account has its own attempts")
		s.assertAttempts(t, annEmail, "home", attempts)
	})
	run(t, "of an account are spent by wrong passwords from unknown sources only", func(t *testing.T, s *fixture) {
		for i := range accountAttempts {
			_, err := s.SignIn(t.Context(), annEmail, correct, from(fmt.Sprint("device ", i)))
			require.NoError(t, err)
		}
		last := fmt.Sprint("device ", accountAttempts-1)
		s.assertAttempts(t, annEmail, last, attempts)
		s.attack(t, annEmail, accountAttempts)
	})
	run(t, "of an account do not apply to the newest eight of its sources", func(t *testing.T, s *fixture) {
		for _, device := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "1", "9"} {
			_, err := s.SignIn(t.Context(), annEmail, correct, from(device))
			require.NoError(t, err)
		}
		s.attack(t, annEmail, accountAttempts)
		for _, device := range []string{"1", "3", "4", "5", "6", "7", "8", "9"} {
			_, err := s.SignIn(t.Context(), annEmail, correct, from(device))
			require.NoError(t, err, device)
		}
		_, err := s.SignIn(t.Context(), annEmail, correct, from("2"))
		require.ErrorIs(t, err, domain.ErrTooManyAttempts)
	})
	run(t, "also limit concurrent sign-ins", func(t *testing.T, s *fixture) {
		s.faulty.readTime = 5 * time.Millisecond
		var guesses sync.WaitGroup
		for range 10 * attempts {
			guesses.Go(func() { _, _ = s.SignIn(t.Context(), annEmail, wrong, from(source)) })
		}
		guesses.Wait()
		assert.EqualValues(t, attempts, s.hasher.Verified.Load())
	})
}

// attack gives this number of wrong passwords, at most five from each source, and checks that the account then
// has no attempt left for a source that it has not signed in from.
func (s *fixture) attack(t *testing.T, email string, attempts int) {
	t.Helper()
	for i := range attempts {
		_, err := s.SignIn(t.Context(), email, wrong, from(fmt.Sprint("attacker ", i/5)))
		require.Equal(t, domain.ErrBadCredentials, err)
	}
	s.assertAttempts(t, email, "another attacker", 0)
}

// assertAttempts checks that this number of wrong passwords is refused, and the next one is throttled.
func (s *fixture) assertAttempts(t *testing.T, email, source string, want int) {
	t.Helper()
	for range want {
		_, err := s.SignIn(t.Context(), email, wrong, from(source))
		require.Equal(t, domain.ErrBadCredentials, err)
	}
	_, err := s.SignIn(t.Context(), email, wrong, from(source))
	require.ErrorIs(t, err, domain.ErrTooManyAttempts)
}

func TestHashingIsNotAuthenticatedUntilThePasswordWasRight(t *testing.T) {
	run(t, "also for a hash that is brought up to date", func(t *testing.T, s *fixture) {
		require.NoError(t, s.store.RehashForSignIn(t.Context(), ann.ID, ann.PasswordHash, "v0$old$"+correct))
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		assert.Equal(t, []domain.Work{{Source: source}, {Source: source, Authenticated: true}}, s.hasher.Work())
	})
}

func TestTheAuditLogNamesTheAccountOfAThrottledSignIn(t *testing.T) {
	run(t, "if the account has tried to sign in before", func(t *testing.T, s *fixture) {
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		s.assertAttempts(t, "eve@example.com", source, attempts)
		s.assertAttempts(t, "bob@example.com", source, attempts)
		s.assertAttempts(t, "cid@example.com", source, attempts)
		s.events = nil
		s.assertAttempts(t, annEmail, source, 0)
		s.assertAttempts(t, inaEmail, source, 0)
		assert.Equal(t, []domain.Event{
			{Name: domain.EventSignInThrottled, SubjectID: ann.ID, Source: source},
			{Name: domain.EventSignInThrottled, Source: source},
		}, s.events)
	})
}

func TestOutdatedHash(t *testing.T) {
	// outdate gives Ann's account an outdated hash and returns the account.
	outdate := func(t *testing.T, s *fixture) domain.User {
		require.NoError(t, s.store.RehashForSignIn(t.Context(), ann.ID, ann.PasswordHash, "v0$old$"+correct))
		return s.storedAnn(t)
	}
	run(t, "a sign-in replaces an outdated hash and changes nothing else", func(t *testing.T, s *fixture) {
		want := outdate(t, s)
		token, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		want.PasswordHash = "v1$1$" + correct
		assert.Equal(t, want, s.storedAnn(t))
		s.assertSignedIn(t, domain.SessionByPassword)

		actor, err := s.Authenticate(token.Access.Value)
		require.NoError(t, err)
		_, err = s.store.User(t.Context(), actor, actor.ID)
		assert.NoError(t, err)
	})
	run(t, "a wrong password keeps an outdated hash", func(t *testing.T, s *fixture) {
		want := outdate(t, s)
		_, err := s.SignIn(t.Context(), annEmail, wrong, from(source))
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, want, s.storedAnn(t))
	})
	for fault, inject := range map[string]func(*fixture, error){
		"hasher": func(s *fixture, err error) { s.hasher.HashErr = err },
		"store":  func(s *fixture, err error) { s.faulty.rehashErr = err },
	} {
		run(t, "a fault of the "+fault+" leaves the rehash to the next sign-in", func(t *testing.T, s *fixture) {
			want := outdate(t, s)
			inject(s, domain.ErrUnavailable)
			_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
			require.NoError(t, err)
			assert.Equal(t, want, s.storedAnn(t))

			inject(s, nil)
			_, err = s.SignIn(t.Context(), annEmail, correct, from(source))
			require.NoError(t, err)
			assert.False(t, s.hasher.Outdated(s.storedAnn(t).PasswordHash))
		})
	}
}

func TestPasswordChangeDuringSignIns(t *testing.T) {
	for _, version := range []string{"v0", "v1"} {
		name := "tokens of the old password are signed out and its hash of " + version + " does not return"
		run(t, name, func(t *testing.T, s *fixture) {
			hash := version + "$old$" + correct
			require.NoError(t, s.store.RehashForSignIn(t.Context(), ann.ID, ann.PasswordHash, hash))
			s.faulty.readTime = 5 * time.Millisecond
			var signIns sync.WaitGroup
			var tokens []string
			contended := 0
			for i := range 50 {
				signIns.Go(func() {
					// One sign-in starts each millisecond, so the change happens at every stage of a sign-in.
					time.Sleep(time.Duration(i) * time.Millisecond)
					token, err := s.SignIn(t.Context(), annEmail, correct, from(fmt.Sprint("source ", i)))
					s.mu.Lock()
					defer s.mu.Unlock()
					if errors.Is(err, domain.ErrContended) {
						contended++
						return
					}
					if err != nil {
						assert.Equal(t, domain.ErrBadCredentials, err)
						return
					}
					tokens = append(tokens, token.Access.Value)
				})
			}
			time.Sleep(55 * time.Millisecond)
			old := s.storedAnn(t)
			next := domaintest.RevisedUser(old, domaintest.WithPasswordHash("v1$new$"+wrong))
			require.NoError(t, s.store.UpdateUser(t.Context(), old.Actor(), next, old))
			signIns.Wait()
			require.NotEmpty(t, tokens, "no sign-in succeeded before the change")
			require.Positive(t, contended, "no sign-in was running during the change")

			for _, token := range tokens {
				actor, err := s.Authenticate(token)
				require.NoError(t, err)
				_, err = s.store.User(t.Context(), actor, actor.ID)
				assert.Equal(t, domain.ErrSignedOut, err)
			}
			assert.Equal(t, next, s.storedAnn(t))
		})
	}
}

func TestAuthenticate(t *testing.T) {
	run(t, "refuses a text that is no token", func(t *testing.T, s *fixture) {
		actor, err := s.Authenticate("no token")
		assert.ErrorIs(t, err, domain.ErrInvalidToken)
		assert.Zero(t, actor)
	})
}
