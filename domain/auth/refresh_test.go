package auth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// signIn signs Ann in and returns her refresh token. It forgets the event.
func (s *fixture) signIn(t *testing.T) string {
	t.Helper()
	g, err := s.SignIn(t.Context(), annEmail, correct, from(source))
	require.NoError(t, err)
	s.events = nil
	return refreshToken(t, g)
}

func refreshToken(t *testing.T, g domain.Grant) string {
	t.Helper()
	token, ok := g.Refresh.Get()
	require.True(t, ok, "no refresh token")
	return token.Value
}

// refresh refreshes and returns the new refresh token.
func (s *fixture) refresh(t *testing.T, token string) string {
	t.Helper()
	g, err := s.Refresh(t.Context(), token, source)
	require.NoError(t, err)
	return refreshToken(t, g)
}

// assertEnded checks that no refresh with the token succeeds.
func (s *fixture) assertEnded(t *testing.T, token string) {
	t.Helper()
	g, err := s.Refresh(t.Context(), token, source)
	assert.ErrorIs(t, err, domain.ErrInvalidGrant)
	assert.Zero(t, g)
}

// signOutAnn raises the Epoch of Ann's account.
func (s *fixture) signOutAnn(t *testing.T) {
	t.Helper()
	u := s.storedAnn(t)
	next, _ := u.Revise(u.SignedOut(), s.Now())
	require.NoError(t, s.store.UpdateUser(t.Context(), u.Actor(), next, u))
}

func TestSignInStartsASession(t *testing.T) {
	run(t, "its tokens name the session and the time of the sign-in", func(t *testing.T, s *fixture) {
		g, err := s.SignIn(t.Context(), annEmail, correct, domain.Requester{
			Source: source, UserAgent: strings.Repeat("ü", 300) + "\x00\xff",
		})
		require.NoError(t, err)
		session := s.sessions(t)[0]
		assert.Equal(t, domain.SessionByPassword, session.Kind)
		assert.Equal(t, strings.Repeat("ü", domain.MaxUserAgent), session.UserAgent)
		assert.Equal(t, s.Now(), session.CreatedAt)
		assert.Equal(t, s.Now().Add(domain.SessionIdle), session.ExpiresAt)
		actor, err := s.Authenticate(g.Access.Value)
		require.NoError(t, err)
		assert.Equal(t, session.ID, actor.SessionID)
		assert.Equal(t, session.CreatedAt.Truncate(time.Second), actor.AuthTime)
		refresh, _ := g.Refresh.Get()
		assert.Equal(t, domain.SessionIdle, refresh.ExpiresIn)
		assert.Regexp(t, `^echo_rt_[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$`, refresh.Value)
		lookup, secret, _ := strings.Cut(strings.TrimPrefix(refresh.Value, "echo_rt_"), ".")
		for _, part := range []string{lookup, secret} {
			assert.NotContains(t, fmt.Sprintf("%+v", session), part, "the store holds a part of the token")
		}
	})
	run(t, "a store that cannot keep it gives a sign-in without a refresh token", func(t *testing.T, s *fixture) {
		s.faulty.sessionErr = domain.ErrReadOnly
		g, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		assert.Zero(t, g.Refresh)
		actor, err := s.Authenticate(g.Access.Value)
		require.NoError(t, err)
		assert.Empty(t, actor.SessionID)
		assert.NoError(t, s.RequireFresh(actor))
		assert.NoError(t, s.SignOutSession(t.Context(), actor))
		assert.Empty(t, s.sessions(t))
		assert.Equal(t, []domain.Event{{
			Name: domain.EventSignedIn, ActorID: ann.ID, SubjectID: ann.ID, Kind: domain.SessionByPassword, Source: source,
		}}, s.events)
	})
	for fault, want := range map[error]error{
		domain.ErrUnavailable: domain.ErrUnavailable,
		domain.ErrSignedOut:   domain.ErrContended, // the account has changed since it was read
	} {
		run(t, "a store that answers "+fault.Error()+" lets no account in", func(t *testing.T, s *fixture) {
			s.faulty.sessionErr = fault
			g, err := s.SignIn(t.Context(), annEmail, correct, from(source))
			assert.ErrorIs(t, err, want)
			assert.Zero(t, g)
			assert.Empty(t, s.events)
		})
	}
}

func TestRefresh(t *testing.T) {
	run(t, "replaces the refresh token and keeps session, account and time of the sign-in", func(t *testing.T, s *fixture) {
		first := s.signIn(t)
		before := s.sessions(t)[0]
		time.Sleep(time.Hour)
		g, err := s.Refresh(t.Context(), first, source)
		require.NoError(t, err)
		assert.NotEqual(t, first, refreshToken(t, g))
		after := s.sessions(t)[0]
		assert.Equal(t, before.Refreshed(after.Secret, s.Now()), after)
		actor, err := s.Authenticate(g.Access.Value)
		require.NoError(t, err)
		assert.Equal(t, before.ID, actor.SessionID)
		assert.Equal(t, before.CreatedAt.Truncate(time.Second), actor.AuthTime)
		assert.ErrorIs(t, s.RequireFresh(actor), domain.ErrAuthTooOld)
		_, err = s.store.User(t.Context(), actor, ann.ID)
		assert.NoError(t, err)
		assert.Empty(t, s.events, "a refresh is no audit event")
	})
	run(t, "gives the replaced token the same successor for a minute and writes nothing", func(t *testing.T, s *fixture) {
		first := s.signIn(t)
		second := s.refresh(t, first)
		session := s.sessions(t)[0]
		for range 3 {
			time.Sleep(domain.RefreshWindow/3 - 1)
			g, err := s.Refresh(t.Context(), first, source)
			require.NoError(t, err)
			assert.Equal(t, second, refreshToken(t, g))
			token, _ := g.Refresh.Get()
			assert.Equal(t, session.ExpiresAt.Sub(s.Now()), token.ExpiresIn)
			assert.Equal(t, session, s.sessions(t)[0])
		}
		s.refresh(t, second)
		assert.Empty(t, s.events)
	})
	run(t, "ends the session if a replaced token is used later, once and with an event", func(t *testing.T, s *fixture) {
		first := s.signIn(t)
		session := s.sessions(t)[0]
		second := s.refresh(t, first)
		time.Sleep(domain.RefreshWindow)
		s.assertEnded(t, first)
		s.assertEnded(t, second)
		s.assertEnded(t, first)
		assert.Empty(t, s.sessions(t))
		assert.Equal(t, []domain.Event{{
			Name: domain.EventRefreshTokenReused, SubjectID: ann.ID, ObjectID: session.ID, Source: source,
		}}, s.events)
	})
	run(t, "ends the session if a token before the replaced one is used, also immediately", func(t *testing.T, s *fixture) {
		first := s.signIn(t)
		third := s.refresh(t, s.refresh(t, first))
		s.assertEnded(t, first)
		s.assertEnded(t, third)
	})
	run(t, "ends the session if the secret was never one of it", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		s.assertEnded(t, token[:len(token)-43]+strings.Repeat("A", 43))
		s.assertEnded(t, token)
	})
	run(t, "lets a session idle for a week and live for thirty days", func(t *testing.T, s *fixture) {
		idle, alive := s.signIn(t), s.signIn(t)
		for range 4 {
			time.Sleep(domain.SessionIdle - time.Second)
			alive = s.refresh(t, alive)
		}
		s.assertEnded(t, idle)
		time.Sleep(2*24*time.Hour + 3*time.Second)
		g, err := s.Refresh(t.Context(), alive, source)
		require.NoError(t, err)
		token, _ := g.Refresh.Get()
		assert.Equal(t, time.Second, token.ExpiresIn)
		time.Sleep(time.Second)
		s.assertEnded(t, token.Value)
		assert.Empty(t, s.events, "a session that ends by itself is no event")
	})
	for name, end := range map[string]func(*testing.T, *fixture){
		"a sign-out everywhere": func(t *testing.T, s *fixture) { s.signOutAnn(t) },
		"a deletion": func(t *testing.T, s *fixture) {
			require.NoError(t, s.store.CreateUser(t.Context(), ann.Actor(), domaintest.User(domaintest.Superuser)))
			require.NoError(t, s.store.DeleteUser(t.Context(), ann.Actor(), ann.ID, domain.Versions{}))
		},
	} {
		run(t, "is refused after "+name, func(t *testing.T, s *fixture) {
			first := s.signIn(t)
			second := s.refresh(t, first)
			end(t, s)
			s.assertEnded(t, first)
			s.assertEnded(t, second)
			assert.Empty(t, s.events)
		})
	}
	run(t, "gives concurrent calls with one token the same successor", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		s.faulty.readTime = time.Millisecond
		successors := make([]string, 32)
		var clients sync.WaitGroup
		for i := range successors {
			clients.Go(func() { successors[i] = s.refresh(t, token) })
		}
		clients.Wait()
		for _, successor := range successors {
			assert.Equal(t, successors[0], successor)
		}
		s.refresh(t, successors[0])
		assert.Empty(t, s.events)
	})
}

func TestRefreshFailures(t *testing.T) {
	const wellFormed = "echo_rt_AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	run(t, "a text that is no refresh token is refused without a read", func(t *testing.T, s *fixture) {
		valid := s.signIn(t)
		s.faulty.readErr = domain.ErrUnavailable
		for _, token := range []string{
			"", "echo_rt_", valid[1:], valid + "A", valid[:len(valid)-1], strings.Replace(valid, ".", "", 1),
			strings.ToUpper(valid[:8]) + valid[8:], valid[:8] + "\n" + valid[8:], valid + "\n", wellFormed[:73] + "B",
		} {
			s.assertEnded(t, token)
		}
	})
	run(t, "count in the budget of the source, and successes do not", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		for range 2 * sourceAttempts {
			token = s.refresh(t, token)
		}
		for i := range sourceAttempts {
			s.assertEnded(t, []string{wellFormed, "no token"}[i%2])
		}
		for _, candidate := range []string{wellFormed, "no token", token} {
			_, err := s.Refresh(t.Context(), candidate, source)
			assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
		}
		assert.ErrorIs(t, s.SignOut(t.Context(), token, source), domain.ErrTooManyAttempts)
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
		_, err = s.Refresh(t.Context(), token, "192.0.2.2")
		assert.NoError(t, err)
	})
	run(t, "concurrent successes do not count either", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		s.SourceAttempts = slowRefund{s.SourceAttempts}
		var refreshes sync.WaitGroup
		for range 2 * sourceAttempts {
			refreshes.Go(func() {
				_, err := s.Refresh(t.Context(), token, source)
				assert.NoError(t, err)
			})
		}
		refreshes.Wait()
	})
	run(t, "a store that does not answer is unavailable and costs no attempt", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		s.faulty.readErr = domain.ErrUnavailable
		for range sourceAttempts + 1 {
			_, err := s.Refresh(t.Context(), token, source)
			require.ErrorIs(t, err, domain.ErrUnavailable)
			require.ErrorIs(t, s.SignOut(t.Context(), token, source), domain.ErrUnavailable)
		}
		s.faulty.readErr = nil
		s.refresh(t, token)
	})
	run(t, "a store that cannot end a reused session says so", func(t *testing.T, s *fixture) {
		first := s.signIn(t)
		s.refresh(t, s.refresh(t, first))
		s.faulty.endErr = domain.ErrUnavailable
		_, err := s.Refresh(t.Context(), first, source)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.Empty(t, s.events)
		s.faulty.endErr = nil
		s.assertEnded(t, first)
	})
}

func TestSignOut(t *testing.T) {
	signOuts := map[string]func(*testing.T, *fixture, domain.Grant){
		"with the refresh token": func(t *testing.T, s *fixture, g domain.Grant) {
			require.NoError(t, s.SignOut(t.Context(), refreshToken(t, g), source))
		},
		"with a refresh token that was replaced": func(t *testing.T, s *fixture, g domain.Grant) {
			s.refresh(t, refreshToken(t, g))
			time.Sleep(time.Hour)
			require.NoError(t, s.SignOut(t.Context(), refreshToken(t, g), source))
		},
		"with the access token": func(t *testing.T, s *fixture, g domain.Grant) {
			actor, err := s.Authenticate(g.Access.Value)
			require.NoError(t, err)
			actor.Source = source
			require.NoError(t, s.SignOutSession(t.Context(), actor))
		},
	}
	for name, signOut := range signOuts {
		run(t, name+" ends the session and no other, and access tokens live on", func(t *testing.T, s *fixture) {
			other := s.signIn(t)
			g, err := s.SignIn(t.Context(), annEmail, correct, from(source))
			require.NoError(t, err)
			actor, err := s.Authenticate(g.Access.Value)
			require.NoError(t, err)
			s.events = nil
			for range 2 { // the second time, there is no session
				signOut(t, s, g)
				if name == "with a refresh token that was replaced" {
					break
				}
			}
			s.assertEnded(t, refreshToken(t, g))
			s.refresh(t, other)
			_, err = s.store.User(t.Context(), actor, ann.ID)
			assert.NoError(t, err)
			assert.Equal(t, []domain.Event{{
				Name: domain.EventSignedOut, ActorID: ann.ID, SubjectID: ann.ID, ObjectID: actor.SessionID, Source: source,
			}}, s.events)
		})
	}
	run(t, "with an unknown token is no error, but counts in the budget of the source", func(t *testing.T, s *fixture) {
		unknown := "echo_rt_AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		for i := range sourceAttempts {
			require.NoError(t, s.SignOut(t.Context(), []string{unknown, "no token"}[i%2], source))
		}
		assert.ErrorIs(t, s.SignOut(t.Context(), unknown, source), domain.ErrTooManyAttempts)
		assert.Empty(t, s.events)
	})
	run(t, "that the store does not confirm is an error", func(t *testing.T, s *fixture) {
		token := s.signIn(t)
		s.faulty.endErr = domain.ErrOutcomeUnknown
		assert.ErrorIs(t, s.SignOut(t.Context(), token, source), domain.ErrOutcomeUnknown)
		assert.Empty(t, s.events)
	})
}

func TestRefreshAgainstSignOut(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *fixture, string){
		"logout": func(t *testing.T, s *fixture, token string) {
			assert.NoError(t, s.SignOut(t.Context(), token, source))
		},
		"a sign-out everywhere": func(t *testing.T, s *fixture, _ string) { s.signOutAnn(t) },
	} {
		run(t, "no refresh works after "+name+" that came between", func(t *testing.T, s *fixture) {
			token := s.signIn(t)
			s.faulty.readTime = 5 * time.Millisecond
			var refreshes sync.WaitGroup
			refused := 0
			for i := range 50 {
				refreshes.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					if _, err := s.Refresh(t.Context(), token, fmt.Sprint(i)); err != nil {
						assert.ErrorIs(t, err, domain.ErrInvalidGrant)
						s.mu.Lock()
						defer s.mu.Unlock()
						refused++
					}
				})
			}
			time.Sleep(25 * time.Millisecond)
			end(t, s, token)
			refreshes.Wait()
			assert.Greater(t, refused, 10)
			s.assertEnded(t, token)
		})
	}
}

func TestRequireFresh(t *testing.T) {
	run(t, "asks for a sign-in in the last fifteen minutes", func(t *testing.T, s *fixture) {
		g, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		require.NoError(t, err)
		actor, err := s.Authenticate(g.Access.Value)
		require.NoError(t, err)
		require.NoError(t, s.RequireFresh(actor))
		time.Sleep(actor.AuthTime.Add(domain.MaxAuthAge).Sub(s.Now()))
		require.NoError(t, s.RequireFresh(actor))
		time.Sleep(time.Microsecond)
		assert.ErrorIs(t, s.RequireFresh(actor), domain.ErrAuthTooOld)
		assert.ErrorIs(t, s.RequireFresh(domain.Actor{ID: ann.ID}), domain.ErrAuthTooOld)
	})
}
