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
)

const (
	annsEmail = "ann@example.com"
	wrong     = "what ann forgot"
)

// refused are the sign-ins that an outsider must not be able to tell apart.
var refused = map[string]struct{ email, password, subject string }{
	"an unknown e-mail":     {"eve@example.com", password, ""},
	"a wrong password":      {annsEmail, wrong, annID},
	"an empty password":     {annsEmail, "", annID},
	"an inactive account":   {"ina@example.com", password, inaID},
	"what is not an e-mail": {"ann", password, ""},
	"nothing at all":        {"", "", ""},
}

func TestSignIn(t *testing.T) {
	test(t, "gives a token that speaks for the account", func(t *testing.T, s *scene) {
		start := time.Now()
		token, err := s.SignIn(t.Context(), annsEmail, password, here)
		require.NoError(t, err)
		assert.Equal(t, time.Hour, token.ExpiresIn)
		assert.Equal(t, hashTime, time.Since(start), "only failures wait for the floor")
		assert.Equal(t, []domain.Event{{Name: domain.EventSignedIn, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)

		actor, err := s.Authenticate(token.Value)
		require.NoError(t, err)
		u, err := s.store.User(t.Context(), actor, actor.ID)
		require.NoError(t, err)
		assert.Equal(t, s.ann, u, "nothing was written")
	})
	test(t, "takes the e-mail in any letter case and the password exactly", func(t *testing.T, s *scene) {
		_, err := s.SignIn(t.Context(), "Ann@EXAMPLE.com", password, here)
		require.NoError(t, err)
		_, err = s.SignIn(t.Context(), annsEmail, strings.ToUpper(password), here)
		assert.Equal(t, domain.ErrBadCredentials, err)
	})
	for who, c := range refused {
		test(t, "refuses "+who+" as it refuses any other, after one hash and the floor", func(t *testing.T, s *scene) {
			start := time.Now()
			token, err := s.SignIn(t.Context(), c.email, c.password, here)
			assert.Equal(t, domain.ErrBadCredentials, err)
			assert.Zero(t, token)
			assert.Equal(t, floor, time.Since(start))
			assert.EqualValues(t, 1, s.hasher.verified.Load())
			assert.Zero(t, s.hasher.hashed.Load())
			assert.Equal(t, []domain.Event{{Name: domain.EventSignInFailed, SubjectID: c.subject}}, s.events)
		})
	}
	test(t, "waits no longer when the work took longer than the floor", func(t *testing.T, s *scene) {
		s.FailureFloor = hashTime / 2
		start := time.Now()
		_, err := s.SignIn(t.Context(), annsEmail, wrong, here)
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, hashTime, time.Since(start))
	})
	test(t, "does not wait for a client that has gone", func(t *testing.T, s *scene) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*hashTime)
		defer cancel()
		start := time.Now()
		_, err := s.SignIn(ctx, annsEmail, wrong, here)
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, 2*hashTime, time.Since(start))
	})
}

func TestSignInWhenSomethingFails(t *testing.T) {
	for fault, c := range map[string]struct {
		inject func(*scene, error)
		err    error
	}{
		"a store that does not answer":    {func(s *scene, err error) { s.faults.readErr = err }, domain.ErrUnavailable},
		"a store that fails unclassified": {func(s *scene, err error) { s.faults.readErr = err }, io.ErrUnexpectedEOF},
		"a hasher that is busy":           {func(s *scene, err error) { s.hasher.verifyErr = err }, domain.ErrBusy.WithRetryAfter(time.Second)},
		"a hash that cannot be read":      {func(s *scene, err error) { s.hasher.verifyErr = err }, errors.New("odd hash")},
	} {
		test(t, fault+" is not taken for a wrong password and costs no attempt", func(t *testing.T, s *scene) {
			c.inject(s, c.err)
			for range attempts + 1 {
				token, err := s.SignIn(t.Context(), annsEmail, password, here)
				assert.Equal(t, c.err, err)
				assert.Zero(t, token)
			}
			assert.Empty(t, s.events)

			c.inject(s, nil)
			s.assertAttempts(t, annsEmail, here, attempts)
		})
	}
	test(t, "is no sign-in when no token can be issued", func(t *testing.T, s *scene) {
		s.Tokens = brokenIssuer{}
		token, err := s.SignIn(t.Context(), annsEmail, password, here)
		assert.Equal(t, errNoKey, err)
		assert.Zero(t, token)
		assert.Empty(t, s.events)
	})
	test(t, "a failure gives back its own attempt and no other", func(t *testing.T, s *scene) {
		for range 4 {
			_, err := s.SignIn(t.Context(), annsEmail, wrong, here)
			assert.Equal(t, domain.ErrBadCredentials, err)
		}
		s.hasher.verifyErr = domain.ErrBusy
		_, err := s.SignIn(t.Context(), annsEmail, wrong, here)
		assert.Equal(t, domain.ErrBusy, err)
		s.faults.readErr = domain.ErrUnavailable
		_, err = s.SignIn(t.Context(), annsEmail, wrong, here)
		assert.Equal(t, domain.ErrUnavailable, err)

		s.hasher.verifyErr, s.faults.readErr = nil, nil
		s.assertAttempts(t, annsEmail, here, attempts-4)
	})
}

func TestSignInAttempts(t *testing.T) {
	for who, c := range refused {
		test(t, "are limited for "+who+", per e-mail and source", func(t *testing.T, s *scene) {
			s.assertAttempts(t, c.email, here, attempts)
			s.assertAttempts(t, c.email, "192.0.2.2", attempts)
			s.assertAttempts(t, "x"+c.email, here, attempts)
		})
	}
	test(t, "are the same in any letter case", func(t *testing.T, s *scene) {
		s.assertAttempts(t, annsEmail, here, attempts)
		s.assertAttempts(t, strings.ToUpper(annsEmail), here, 0)
	})
	test(t, "cost no hash, no wait and no look-up when none is left", func(t *testing.T, s *scene) {
		s.assertAttempts(t, annsEmail, here, attempts)
		s.faults.readErr = domain.ErrUnavailable
		verified, start := s.hasher.verified.Load(), time.Now()
		s.events = nil

		_, err := s.SignIn(t.Context(), annsEmail, password, here)
		var limited *domain.Error
		require.ErrorAs(t, err, &limited)
		assert.Equal(t, domain.ErrTooManyAttempts.Code, limited.Code)
		assert.NotZero(t, limited.RetryAfter)
		assert.Equal(t, verified, s.hasher.verified.Load())
		assert.Zero(t, time.Since(start))
		assert.Equal(t, []domain.Event{{Name: domain.EventSignInThrottled}}, s.events)
	})
	test(t, "all come back with a success", func(t *testing.T, s *scene) {
		for range attempts - 1 {
			_, err := s.SignIn(t.Context(), annsEmail, wrong, here)
			assert.Equal(t, domain.ErrBadCredentials, err)
		}
		_, err := s.SignIn(t.Context(), annsEmail, password, here)
		require.NoError(t, err)
		s.assertAttempts(t, annsEmail, here, attempts)
	})
	test(t, "are spent before they are made, so that many at once get no further", func(t *testing.T, s *scene) {
		s.faults.readTime = 5 * time.Millisecond
		var guesses sync.WaitGroup
		for range 10 * attempts {
			guesses.Go(func() { _, _ = s.SignIn(t.Context(), annsEmail, wrong, here) })
		}
		guesses.Wait()
		assert.EqualValues(t, attempts, s.hasher.verified.Load())
	})
}

// assertAttempts looks whether wrong guesses are refused as such so many times and then throttled.
func (s *scene) assertAttempts(t *testing.T, email, source string, want int) {
	t.Helper()
	for range want {
		_, err := s.SignIn(t.Context(), email, wrong, source)
		require.Equal(t, domain.ErrBadCredentials, err)
	}
	_, err := s.SignIn(t.Context(), email, wrong, source)
	require.ErrorIs(t, err, domain.ErrTooManyAttempts)
}

func TestAnOutdatedHash(t *testing.T) {
	outdated := func(t *testing.T, s *scene) {
		require.NoError(t, s.store.RehashForSignIn(t.Context(), s.ann.ID, s.ann.PasswordHash, "v0$seed$"+password))
		s.ann = s.stored(t)
	}
	test(t, "is replaced at the sign-in, and nothing else changes", func(t *testing.T, s *scene) {
		outdated(t, s)
		token, err := s.SignIn(t.Context(), annsEmail, password, here)
		require.NoError(t, err)
		s.ann.PasswordHash = "v1$1$" + password
		assert.Equal(t, s.ann, s.stored(t))
		assert.Equal(t, []domain.Event{{Name: domain.EventSignedIn, ActorID: s.ann.ID, SubjectID: s.ann.ID}}, s.events)

		actor, err := s.Authenticate(token.Value)
		require.NoError(t, err)
		_, err = s.store.User(t.Context(), actor, actor.ID)
		assert.NoError(t, err)
	})
	test(t, "stays when the password was wrong", func(t *testing.T, s *scene) {
		outdated(t, s)
		_, err := s.SignIn(t.Context(), annsEmail, wrong, here)
		assert.Equal(t, domain.ErrBadCredentials, err)
		assert.Equal(t, s.ann, s.stored(t))
	})
	for fault, inject := range map[string]func(*scene, error){
		"hasher": func(s *scene, err error) { s.hasher.hashErr = err },
		"store":  func(s *scene, err error) { s.faults.rehashErr = err },
	} {
		test(t, "stays until the next sign-in when the "+fault+" fails", func(t *testing.T, s *scene) {
			outdated(t, s)
			inject(s, domain.ErrUnavailable)
			_, err := s.SignIn(t.Context(), annsEmail, password, here)
			require.NoError(t, err)
			assert.Equal(t, s.ann, s.stored(t))

			inject(s, nil)
			_, err = s.SignIn(t.Context(), annsEmail, password, here)
			require.NoError(t, err)
			assert.False(t, s.hasher.Outdated(s.stored(t).PasswordHash))
		})
	}
}

func TestAPasswordChangeDuringSignIns(t *testing.T) {
	for _, version := range []string{"v0", "v1"} {
		test(t, "leaves no token of the old password and no way back to it, from a hash of "+version, func(t *testing.T, s *scene) {
			require.NoError(t, s.store.RehashForSignIn(t.Context(), s.ann.ID, s.ann.PasswordHash, version+"$seed$"+password))
			s.faults.readTime = 5 * time.Millisecond
			var signIns sync.WaitGroup
			var tokens []string
			for i := range 50 {
				signIns.Go(func() {
					// One begins each millisecond: the change meets them in every stage.
					time.Sleep(time.Duration(i) * time.Millisecond)
					token, err := s.SignIn(t.Context(), annsEmail, password, fmt.Sprint("source ", i))
					if err != nil {
						assert.Equal(t, domain.ErrBadCredentials, err)
						return
					}
					s.mu.Lock()
					defer s.mu.Unlock()
					tokens = append(tokens, token.Value)
				})
			}
			time.Sleep(35 * time.Millisecond)
			read := s.stored(t)
			next := read
			next.PasswordHash = "v1$new$" + wrong
			next, _ = read.Revise(next, created.Add(time.Hour))
			require.NoError(t, s.store.UpdateUser(t.Context(), read.Actor(), next, read))
			s.mu.Lock()
			early := len(tokens)
			s.mu.Unlock()
			signIns.Wait()
			require.Greater(t, len(tokens), early, "no sign-in was overtaken")

			for _, token := range tokens {
				actor, err := s.Authenticate(token)
				require.NoError(t, err)
				_, err = s.store.User(t.Context(), actor, actor.ID)
				assert.Equal(t, domain.ErrSignedOut, err)
			}
			assert.Equal(t, next, s.stored(t))
		})
	}
}

func (s *scene) stored(t *testing.T) domain.User {
	t.Helper()
	u, err := s.store.UserForSignIn(t.Context(), s.ann.Email)
	require.NoError(t, err)
	return u
}

func TestAuthenticate(t *testing.T) {
	test(t, "refuses what nobody issued", func(t *testing.T, s *scene) {
		actor, err := s.Authenticate("made up")
		assert.ErrorIs(t, err, domain.ErrInvalidToken)
		assert.Zero(t, actor)
	})
}
