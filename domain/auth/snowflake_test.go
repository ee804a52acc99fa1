package auth_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// callers is a fake of ports.CallerIdentity: the user of each token that it knows.
type callers map[string]string

func (c callers) Identify(_ context.Context, token string) (domain.SnowflakeUser, error) {
	switch name, known := c[token]; {
	case token == "unavailable":
		return domain.SnowflakeUser{}, domain.ErrUnavailable
	case !known:
		return domain.SnowflakeUser{}, domain.ErrInvalidCallerToken
	default:
		return domain.ParseSnowflakeUser(name)
	}
}

// runSnowflake is run with a service that offers to sign in with Snowflake, where ANN is Ann and INA is Ina.
func runSnowflake(t *testing.T, name string, test func(*testing.T, *fixture)) {
	run(t, name, func(t *testing.T, s *fixture) {
		s.Callers = callers{"of ann": "ANN", "of ina": "INA", "of eve": "EVE"}
		s.CallerAttempts = security.NewAttemptLimiter(attempts, time.Hour, time.Now)
		for user, u := range map[string]domain.User{"ANN": ann, "INA": ina} {
			old, err := s.store.User(t.Context(), ann.Actor(), u.ID)
			require.NoError(t, err)
			linked := domaintest.RevisedUser(old, domaintest.WithSnowflakeUser(user))
			require.NoError(t, s.store.UpdateUser(t.Context(), ann.Actor(), linked, old))
		}
		test(t, s)
	})
}

func (s *fixture) assertSnowflakeRefusal(t *testing.T, token string, want error, events ...domain.Event) {
	t.Helper()
	s.events = nil
	g, err := s.SignInWithSnowflake(t.Context(), token, from(source))
	assert.ErrorIs(t, err, want)
	assert.Zero(t, g)
	assert.Equal(t, events, s.events)
}

func TestSignInWithSnowflake(t *testing.T) {
	refused := func(subject string) domain.Event {
		return domain.Event{
			Name: domain.EventSignInFailed, SubjectID: subject, Kind: domain.SessionBySnowflake, Source: source,
		}
	}
	runSnowflake(t, "signs the account of the user in, as often as the token proves it", func(t *testing.T, s *fixture) {
		g, err := s.SignInWithSnowflake(t.Context(), "of ann", from(source))
		require.NoError(t, err)
		s.assertSignedIn(t, domain.SessionBySnowflake)
		assert.Equal(t, domain.SessionBySnowflake, s.sessions(t)[0].Kind)
		s.refresh(t, refreshToken(t, g))
		actor, err := s.Authenticate(g.Access.Value)
		require.NoError(t, err)
		assert.NoError(t, s.RequireFresh(actor))
		_, err = s.SignInWithSnowflake(t.Context(), "of ann", from(source))
		require.NoError(t, err)
		assert.Len(t, s.sessions(t), 2)
		assert.Zero(t, s.hasher.Verified.Load())
	})
	runSnowflake(t, "refuses a user without an active account", func(t *testing.T, s *fixture) {
		s.assertSnowflakeRefusal(t, "of eve", domain.ErrNoAccount, refused(""))
		s.assertSnowflakeRefusal(t, "of ina", domain.ErrNoAccount, refused(ina.ID))
	})
	runSnowflake(t, "refuses what Snowflake does not confirm", func(t *testing.T, s *fixture) {
		s.assertSnowflakeRefusal(t, "", domain.ErrNoCallerToken)
		s.assertSnowflakeRefusal(t, "forged", domain.ErrInvalidCallerToken, refused(""))
		s.assertSnowflakeRefusal(t, "unavailable", domain.ErrUnavailable)
		s.faulty.readErr = domain.ErrUnavailable
		s.assertSnowflakeRefusal(t, "of ann", domain.ErrUnavailable)
	})
	run(t, "is off unless the service can prove who calls", func(t *testing.T, s *fixture) {
		s.assertSnowflakeRefusal(t, "of ann", domain.ErrSnowflakeSignInOff)
	})
	runSnowflake(t, "is limited for each source, also if it succeeds", func(t *testing.T, s *fixture) {
		for range attempts {
			_, err := s.SignInWithSnowflake(t.Context(), "of ann", from(source))
			require.NoError(t, err)
		}
		throttled := domain.Event{
			Name: domain.EventSignInThrottled, Kind: domain.SessionBySnowflake, Source: source,
		}
		s.assertSnowflakeRefusal(t, "of ann", domain.ErrTooManyAttempts, throttled)
		s.assertSnowflakeRefusal(t, "", domain.ErrNoCallerToken)
		_, err := s.SignInWithSnowflake(t.Context(), "of ann", from("192.0.2.2"))
		assert.NoError(t, err)
	})
}

func TestSignInWithSnowflakeCreatesAccounts(t *testing.T) {
	account := func(t *testing.T, s *fixture) domain.User {
		u, err := s.store.UserForSnowflakeSignIn(t.Context(), domaintest.SnowflakeUser("EVE"))
		require.NoError(t, err)
		return u
	}
	runSnowflake(t, "ordinary ones without a password, once", func(t *testing.T, s *fixture) {
		s.CreateAccounts = true
		for range 2 {
			_, err := s.SignInWithSnowflake(t.Context(), "of eve", from(source))
			require.NoError(t, err)
		}
		u := account(t, s)
		assert.Equal(t, domain.User{
			ID: u.ID, Email: domaintest.Email(u.ID + "@snowflake.invalid"), FullName: domaintest.FullName("EVE"),
			SnowflakeUser: domain.Some(domaintest.SnowflakeUser("EVE")), Active: true,
			Version: 1, Epoch: 1, CreatedAt: s.Now(), UpdatedAt: s.Now(),
		}, u)
		require.Len(t, s.events, 4)
		assert.Equal(t, []domain.Event{
			{Name: domain.EventUserCreated, SubjectID: u.ID, Source: source},
			{Name: domain.EventSnowflakeUserChanged, SubjectID: u.ID, Source: source},
		}, s.events[:2])
		_, err := s.SignIn(t.Context(), u.Email.String(), "", from(source))
		assert.ErrorIs(t, err, domain.ErrBadCredentials)
	})
	runSnowflake(t, "one for concurrent sign-ins of one user", func(t *testing.T, s *fixture) {
		s.CreateAccounts, s.faulty.readTime = true, time.Millisecond
		var tabs sync.WaitGroup
		for range attempts {
			tabs.Go(func() {
				_, err := s.SignInWithSnowflake(t.Context(), "of eve", from(source))
				assert.NoError(t, err)
			})
		}
		tabs.Wait()
		page, err := s.store.Sessions(t.Context(), account(t, s).Actor(), s.Now(), domain.PageRequest{Limit: 100})
		require.NoError(t, err)
		assert.Len(t, page.Rows, attempts)
	})
	runSnowflake(t, "none while the store is read-only", func(t *testing.T, s *fixture) {
		s.CreateAccounts, s.faulty.createErr = true, domain.ErrReadOnly
		s.assertSnowflakeRefusal(t, "of eve", domain.ErrReadOnly)
	})
	runSnowflake(t, "none for an inactive account", func(t *testing.T, s *fixture) {
		s.CreateAccounts = true
		_, err := s.SignInWithSnowflake(t.Context(), "of ina", from(source))
		assert.ErrorIs(t, err, domain.ErrNoAccount)
	})
	runSnowflake(t, "for names of every length", func(t *testing.T, s *fixture) {
		s.CreateAccounts = true
		s.Callers = callers{"long": strings.Repeat("Ü", domain.MaxSnowflakeUser)}
		_, err := s.SignInWithSnowflake(t.Context(), "long", from(source))
		assert.NoError(t, err)
	})
}

func TestPasswordsCanBeSwitchedOff(t *testing.T) {
	run(t, "the refusal costs no read and no hash", func(t *testing.T, s *fixture) {
		s.NoPasswords, s.faulty.readErr = true, domain.ErrUnavailable
		_, err := s.SignIn(t.Context(), annEmail, correct, from(source))
		assert.ErrorIs(t, err, domain.ErrPasswordSignInOff)
		assert.Zero(t, s.hasher.Verified.Load())
	})
}
