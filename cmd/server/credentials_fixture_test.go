package main

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
)

// program is a client of an account, with its secret.
type program struct{ id, secret string }

// newClient creates a client of the account of c.
func (c client) newClient(body fields) program {
	c.t.Helper()
	reply := c.request("POST", "/users/me/clients", body).is(http.StatusCreated)
	return program{reply.text("client_id"), reply.text("client_secret")}
}

func (p program) form() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.id}, "client_secret": {p.secret}}
}

// signIn returns a client of the same service that is signed in as the program.
func (p program) signIn(at client) client {
	at.t.Helper()
	at.token = ""
	at.token = at.request("POST", "/auth/login", p.form()).is(http.StatusOK).text("access_token")
	return at
}

// grant is the reply to a sign-in of a person.
type grant struct{ access, refresh string }

func grantOf(r reply) grant {
	r.t.Helper()
	r.is(http.StatusOK)
	return grant{r.text("access_token"), r.text("refresh_token")}
}

// signInFully signs in to an account and returns all tokens.
func (c client) signInFully(email string) grant {
	c.t.Helper()
	return grantOf(c.request("POST", "/auth/login", signInForm(email, goodPassword)))
}

func (c client) refresh(token string) reply {
	c.t.Helper()
	return c.request("POST", "/auth/refresh", refreshForm(token))
}

// with returns c with another bearer token.
func (c client) with(token string) client {
	c.token = token
	return c
}

// gatewayStub is a Snowflake in which the caller token of a user is the name of the user.
type gatewayStub struct{}

func (gatewayStub) Identify(_ context.Context, callerToken string) (domain.SnowflakeUser, error) {
	switch callerToken {
	case "away":
		return domain.SnowflakeUser{}, domain.ErrUnavailable
	case "forged":
		return domain.SnowflakeUser{}, domain.ErrInvalidCallerToken
	}
	return domain.ParseSnowflakeUser(callerToken)
}

// newServiceBehindGateway starts a service that signs users of Snowflake in, and creates their accounts if told so.
func newServiceBehindGateway(t testing.TB, create bool) *testService {
	t.Helper()
	return startChangedService(t, nil, cheapSignInCost(), func(s *service) {
		a := s.http.Auth.(*auth.Service)
		a.Callers, a.CallerAttempts = gatewayStub{}, security.NewAttemptLimiter(10, 6*time.Second, time.Now)
		a.CreateAccounts = create
	}).waitUntilReady(t)
}

// signInAs signs in as a user of Snowflake, as the gateway would forward it.
func (c client) signInAs(user string) reply {
	c.t.Helper()
	return c.request("POST", "/auth/snowflake", nil, "Sf-Context-Current-User-Token", user)
}

// signedInBefore returns a token of the account that c is signed in to, of a sign-in some time ago.
func (r *testService) signedInBefore(t testing.TB, c client, ago time.Duration) client {
	t.Helper()
	actor, err := r.service.tokens.Verify(c.token)
	require.NoError(t, err)
	actor.AuthTime = now().Add(-ago)
	token, err := r.service.tokens.Issue(actor)
	require.NoError(t, err)
	return c.with(token.Value)
}
