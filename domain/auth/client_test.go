package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// addClient adds a client of Ann and returns it with its secret.
func (s *fixture) addClient(t *testing.T, changes ...func(*domain.Client)) (domain.Client, string) {
	t.Helper()
	secret, hash := auth.NewClientSecret()
	c := domaintest.Client(ann, append(changes, func(c *domain.Client) {
		c.Secret, c.CreatedAt, c.ExpiresAt = hash, s.Now(), s.Now().Add(domain.DefaultClientLife)
	})...)
	require.NoError(t, s.store.CreateClient(t.Context(), s.storedAnn(t).Actor(), c))
	return c, secret
}

// signInClient signs a client in and returns the actor of its token.
func (s *fixture) signInClient(t *testing.T, id, secret string) domain.Actor {
	t.Helper()
	token, err := s.SignInClient(t.Context(), id, secret, source)
	require.NoError(t, err)
	actor, err := s.Authenticate(token.Value)
	require.NoError(t, err)
	return actor
}

func TestSignInClient(t *testing.T) {
	run(t, "a client has the rights of its account, and is never fresh", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t)
		assert.Regexp(t, `^echo_cs_[A-Za-z0-9_-]{43}$`, secret)
		assert.NotContains(t, c.Secret, strings.TrimPrefix(secret, "echo_cs_"))
		actor := s.signInClient(t, c.ID, secret)
		assert.Equal(t, ann.Actor(), actor)
		assert.ErrorIs(t, s.RequireFresh(actor), domain.ErrAuthTooOld)
		assert.NoError(t, s.SignOutSession(t.Context(), actor))
	})
	run(t, "the token of a read-only client says so", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t, func(c *domain.Client) { c.ReadOnly = true })
		assert.True(t, s.signInClient(t, c.ID, secret).ReadOnly)
	})
	run(t, "only the first use is an event", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t)
		for range 3 {
			s.signInClient(t, c.ID, secret)
		}
		assert.Equal(t, []domain.Event{{
			Name: domain.EventClientFirstUsed, ActorID: ann.ID, SubjectID: ann.ID, ObjectID: c.ID, Source: source,
		}}, s.events)
	})
	run(t, "a first use that cannot be recorded is a sign-in without the event", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t)
		s.faulty.useErr = domain.ErrReadOnly
		s.signInClient(t, c.ID, secret)
		assert.Empty(t, s.events)
		s.faulty.useErr = nil
		s.signInClient(t, c.ID, secret)
		assert.Len(t, s.events, 1)
	})
}

func TestSignInClientRefusals(t *testing.T) {
	for name, refused := range map[string]func(*testing.T, *fixture, *domain.Client, *string){
		"an unknown client_id": func(_ *testing.T, _ *fixture, c *domain.Client, _ *string) { c.ID = domaintest.NewID() },
		"an empty secret":      func(_ *testing.T, _ *fixture, _ *domain.Client, secret *string) { *secret = "" },
		"another secret": func(_ *testing.T, _ *fixture, _ *domain.Client, secret *string) {
			*secret, _ = auth.NewClientSecret()
		},
		"the stored hash":        func(_ *testing.T, _ *fixture, c *domain.Client, secret *string) { *secret = c.Secret },
		"an expired client":      func(_ *testing.T, _ *fixture, _ *domain.Client, _ *string) { time.Sleep(domain.DefaultClientLife) },
		"a sign-out everywhere":  func(t *testing.T, s *fixture, _ *domain.Client, _ *string) { s.signOutAnn(t) },
		"a client of no account": func(t *testing.T, s *fixture, c *domain.Client, _ *string) { s.deleteClient(t, c.ID) },
	} {
		run(t, name, func(t *testing.T, s *fixture) {
			c, secret := s.addClient(t)
			refused(t, s, &c, &secret)
			token, err := s.SignInClient(t.Context(), c.ID, secret, source)
			assert.ErrorIs(t, err, domain.ErrInvalidClient)
			assert.Zero(t, token)
			require.Len(t, s.events, 1)
			assert.Equal(t, domain.EventClientSignInFailed, s.events[0].Name)
			assert.Equal(t, source, s.events[0].Source)
		})
	}
	run(t, "count in the budget of the source, and successes do not", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t)
		for range 2 * sourceAttempts {
			s.signInClient(t, c.ID, secret)
		}
		for range sourceAttempts {
			_, err := s.SignInClient(t.Context(), c.ID, "wrong", source)
			require.ErrorIs(t, err, domain.ErrInvalidClient)
		}
		_, err := s.SignInClient(t.Context(), c.ID, secret, source)
		assert.ErrorIs(t, err, domain.ErrTooManyAttempts)
		_, err = s.SignInClient(t.Context(), c.ID, secret, "192.0.2.2")
		assert.NoError(t, err)
	})
	run(t, "a store that does not answer is unavailable and costs no attempt", func(t *testing.T, s *fixture) {
		c, secret := s.addClient(t)
		s.faulty.readErr = domain.ErrUnavailable
		for range sourceAttempts + 1 {
			_, err := s.SignInClient(t.Context(), c.ID, secret, source)
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
		assert.Empty(t, s.events)
		s.faulty.readErr = nil
		s.signInClient(t, c.ID, secret)
	})
}

func (s *fixture) deleteClient(t *testing.T, id string) {
	t.Helper()
	require.NoError(t, s.store.DeleteClient(t.Context(), ann.Actor(), id))
}
