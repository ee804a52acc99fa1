package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const platformToken = "token of the service"

// callerService is a service that offers to sign in with a fake of Snowflake. Unless a test says otherwise, it is in
// memory.
type callerService struct {
	*testService
	snowflake *snowflaketest.Server
}

func newCallerService(t *testing.T, settings fields) callerService {
	t.Helper()
	server := fakeSnowflake(t, engine.Rules{})
	server.SetServiceToken(platformToken)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte(platformToken), 0o600))
	all := fields{
		"SNOWFLAKE_ACCOUNT": "fake", "SNOWFLAKE_HOST": server.Host(), "SNOWFLAKE_PORT": server.Port(),
		"SNOWFLAKE_PROTOCOL": "http", "SNOWFLAKE_OAUTH_TOKEN_PATH": token,
		"SNOWFLAKE_SIGN_IN": "existing", "FIRST_SUPERUSER_SNOWFLAKE_USER": "ADMIN",
	}
	for key, value := range settings {
		all[key] = value
	}
	return callerService{newService(t, configFile(t, all)), server}
}

// issue returns a caller token that the gateway of the service issues for a user.
func (s callerService) issue(user string) string { return s.snowflake.CallerToken(platformToken, user) }

// signIn signs in with a caller token, from a source of its own.
func (s callerService) signIn(t *testing.T, token string) (domain.Actor, error) {
	t.Helper()
	auth := s.service.http.Auth
	grant, err := auth.SignInWithSnowflake(t.Context(), token, domain.Requester{Source: newID()})
	if err != nil {
		return domain.Actor{}, err
	}
	actor, err := auth.Authenticate(grant.Access.Value)
	require.NoError(t, err)
	return actor, nil
}

// account returns the account of an actor, as the store has it.
func (s callerService) account(t *testing.T, by domain.Actor) domain.User {
	t.Helper()
	u, err := s.service.storage.User(t.Context(), by, by.ID)
	require.NoError(t, err)
	return u
}

func TestAUserInSnowflakeSignsInToAnExistingAccount(t *testing.T) {
	t.Parallel()
	s := newCallerService(t, nil)
	admin, err := s.signIn(t, s.issue("ADMIN"))
	require.NoError(t, err)
	assert.True(t, admin.Superuser)
	assert.Equal(t, adminEmail, s.account(t, admin).Email.String())
	_, err = s.signIn(t, s.issue("ANN"))
	assert.ErrorIs(t, err, domain.ErrNoAccount)
	_, err = s.signIn(t, s.issue("admin"))
	assert.ErrorIs(t, err, domain.ErrNoAccount, "another user: Snowflake distinguishes letter case")
	s.admin(t) // with the password
}

func TestAUserInSnowflakeGetsAnAccount(t *testing.T) {
	t.Parallel()
	s := newCallerService(t, fields{"SNOWFLAKE_SIGN_IN": "create"})
	token := s.issue("ANN")
	ann, err := s.signIn(t, token)
	require.NoError(t, err)
	assert.False(t, ann.Superuser)
	u := s.account(t, ann)
	assert.Equal(t, u.ID+"@snowflake.invalid", u.Email.String())
	assert.Empty(t, u.PasswordHash)

	again, err := s.signIn(t, token)
	require.NoError(t, err)
	assert.Equal(t, ann.ID, again.ID)
	assert.NotEqual(t, ann.SessionID, again.SessionID, "a token that is used again signs in again")
}

func TestOnlyAProvenUserSignsIn(t *testing.T) {
	t.Parallel()
	s := newCallerService(t, fields{"SNOWFLAKE_SIGN_IN": "create"})
	expired, dropped := s.issue("ADMIN"), s.issue("DROPPED")
	later := time.Now().Add(snowflaketest.CallerTokenLife)
	s.snowflake.Now = func() time.Time { return later }
	for name, token := range map[string]string{
		"expired": expired, "forged": "ADMIN", "foreign": s.snowflake.CallerToken("token of another service", "ADMIN"),
	} {
		_, err := s.signIn(t, token)
		assert.ErrorIs(t, err, domain.ErrInvalidCallerToken, name)
	}
	s.snowflake.DropUser("DROPPED")
	_, err := s.signIn(t, dropped)
	assert.ErrorIs(t, err, domain.ErrInvalidCallerToken)
	_, err = s.signIn(t, "")
	assert.ErrorIs(t, err, domain.ErrNoCallerToken)

	token := s.issue("ADMIN")
	s.snowflake.Stop()
	_, err = s.signIn(t, token)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	s.admin(t) // with the password
}

func TestSignInWithSnowflakeOverHTTP(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]fields{
		"in memory": {},
		"with the tables in the same Snowflake": {
			"STORAGE": "snowflake", "JWT_SECRET_KEY": randomKey, "FIRST_SUPERUSER_PASSWORD": goodPassword,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCallerService(t, settings)
			post := func(header ...string) reply { return s.client(t).request("POST", "/auth/snowflake", nil, header...) }
			const header = "Sf-Context-Current-User-Token"

			signedIn := post(header, s.issue("ADMIN")).is(http.StatusOK)
			assert.NotEmpty(t, signedIn.text("refresh_token"))
			assert.Equal(t, "no-store", signedIn.header.Get("Cache-Control"))
			admin := client{t, s.origin, signedIn.text("access_token")}
			assert.Equal(t, adminEmail, admin.request("GET", "/users/me", nil).text("email"))

			post().refused(http.StatusUnauthorized, "no_caller_token")
			post(header, "").refused(http.StatusUnauthorized, "no_caller_token")
			post(header, "forged").refused(http.StatusUnauthorized, "invalid_caller_token")
			post("Sf-Context-Current-User", "ADMIN").refused(http.StatusUnauthorized, "no_caller_token")
			post(header, s.issue("ANN")).refused(http.StatusForbidden, "no_account")
			admin.request("POST", "/users/", fields{
				"email": "ann@example.com", "password": goodPassword, "snowflake_user": "ANN",
			}).is(http.StatusCreated)
			post(header, s.issue("ANN")).is(http.StatusOK)
			s.snowflake.Stop()
			post(header, s.issue("ANN")).refused(http.StatusServiceUnavailable, "unavailable")
		})
	}
	newService(t).client(t).request("POST", "/auth/snowflake", nil).refused(http.StatusNotFound, "snowflake_sign_in_off")
}

func TestAttemptsToSignInWithSnowflakeAreLimitedForEachSource(t *testing.T) {
	t.Parallel()
	s := newCallerService(t, nil)
	attempt := func(source string) error {
		_, err := s.service.http.Auth.SignInWithSnowflake(t.Context(), "forged", domain.Requester{Source: source})
		return err
	}
	for range 10 {
		require.ErrorIs(t, attempt("a"), domain.ErrInvalidCallerToken)
	}
	var refusal *domain.Error
	require.ErrorAs(t, attempt("a"), &refusal)
	assert.Equal(t, domain.ErrTooManyAttempts.Code, refusal.Code)
	assert.LessOrEqual(t, refusal.RetryAfter, 6*time.Second)
	assert.ErrorIs(t, attempt("b"), domain.ErrInvalidCallerToken)
}

func TestWithoutASettingNobodySignsInWithSnowflake(t *testing.T) {
	t.Parallel()
	r := newService(t)
	_, err := r.service.http.Auth.SignInWithSnowflake(t.Context(), "a token", domain.Requester{Source: "a"})
	assert.ErrorIs(t, err, domain.ErrSnowflakeSignInOff)
}

func TestPasswordsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := newCallerService(t, fields{"PASSWORD_SIGN_IN": "false"})
	_, err := s.service.http.Auth.SignIn(t.Context(), adminEmail, adminPassword, domain.Requester{Source: "a"})
	assert.ErrorIs(t, err, domain.ErrPasswordSignInOff)
	admin, err := s.signIn(t, s.issue("ADMIN"))
	require.NoError(t, err)
	assert.Empty(t, s.account(t, admin).PasswordHash, "the first superuser has no password")
	assert.Zero(t, s.logs.FilterMessage("sign in as "+adminEmail+" with the password "+adminPassword).Len())
}

func TestAnInvalidFirstSuperuserIsReportedWithEachKey(t *testing.T) {
	x := execute("", "config", "check", "--first-superuser=nobody", "--first-superuser-snowflake-user="+fmt.Sprintf("%0300d", 0))
	assert.Equal(t, exitBadConfig, x.code)
	assert.Equal(t, "the configuration cannot be used:\n"+
		"FIRST_SUPERUSER: must be a plain address like name@example.com\n"+
		"FIRST_SUPERUSER_SNOWFLAKE_USER: must have 1 to 255 characters, has 300\n", x.stderr)
}

func TestAnOperatorCanLinkAUserInSnowflake(t *testing.T) {
	t.Parallel()
	store := memory.New()
	admin := newServiceOn(t, store).admin(t)
	admin.newAccount("ann@example.com")
	operator := newOperator(store, security.NewCheapPasswordHasher(), newAuditLog(zap.NewNop()).record)
	link := func(email, user string) error { return linkSuperuser(t.Context(), operator, email, user) }

	require.NoError(t, link(adminEmail, "ADMIN"))
	require.NoError(t, link("Admin@Example.com", "ADMIN"), "again")
	u, err := store.UserForSnowflakeSignIn(t.Context(), snowflakeUser(t, "ADMIN"))
	require.NoError(t, err)
	assert.Equal(t, adminEmail, u.Email.String())
	admin.request("GET", "/users/me", nil).is(200) // tokens live on

	require.NoError(t, link(adminEmail, "OTHER"))
	_, err = store.UserForSnowflakeSignIn(t.Context(), snowflakeUser(t, "ADMIN"))
	require.ErrorIs(t, err, domain.ErrNotFound)

	bob := domain.User{ID: newID(), SnowflakeUser: domain.Some(snowflakeUser(t, "BOB")), Active: true, Version: 1, Epoch: 1}
	bob.Email, err = domain.ParseEmail("bob@example.com")
	require.NoError(t, err)
	require.NoError(t, store.CreateUserForSnowflakeSignIn(t.Context(), bob))
	for name, tt := range map[string]struct{ email, user, want string }{
		"no e-mail":        {"", "ANN", "--email must be a plain address like name@example.com"},
		"no user":          {adminEmail, "", "--snowflake-user must have 1 to 255 characters, has 0"},
		"nobody":           {"nobody@example.com", "ANN", "no superuser has the e-mail nobody@example.com: give that of another account, or create one with superuser create"},
		"no superuser":     {"ann@example.com", "ANN", "no superuser has the e-mail ann@example.com: give that of another account, or create one with superuser create"},
		"a user of others": {adminEmail, "BOB", "the Snowflake user BOB signs in to another account: give another user, or sign in as BOB and delete that account (DELETE /users/me)"},
	} {
		assert.EqualError(t, link(tt.email, tt.user), tt.want, name)
	}
	assert.ErrorAs(t, link("", "ANN"), new(configError))
	assert.ErrorAs(t, link(adminEmail, ""), new(configError))
}

func snowflakeUser(t *testing.T, name string) domain.SnowflakeUser {
	t.Helper()
	u, err := domain.ParseSnowflakeUser(name)
	require.NoError(t, err)
	return u
}
