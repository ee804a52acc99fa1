package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheTokenMayComeInEitherHeader(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	ann, _ := admin.newAccount("ann@example.com")
	anonymous := r.client(t)
	for name, c := range map[string]struct {
		authorization, xAuthorization string
		status                        int
		code                          string
	}{
		"alone in Authorization":               {"Bearer " + ann.token, "", 200, ""},
		"alone in X-Authorization":             {"", "Bearer " + ann.token, 200, ""},
		"with a token for a gateway":           {`Snowflake Token="secret"`, "Bearer " + ann.token, 200, ""},
		"with basic authentication":            {"Basic YTpi", "Bearer " + ann.token, 200, ""},
		"in both":                              {"Bearer " + ann.token, "Bearer " + ann.token, 200, ""},
		"with the scheme in lower case":        {"bearer " + ann.token, "", 200, ""},
		"with the scheme in upper case":        {"", "BEARER " + ann.token, 200, ""},
		"after two spaces":                     {"Bearer  " + ann.token, "", 200, ""},
		"and another in the other header":      {"Bearer " + ann.token, "Bearer " + admin.token, 400, "malformed"},
		"of another scheme":                    {"Basic YTpi", "", 401, "not_signed_in"},
		"of another scheme in X-Authorization": {"", "Basic YTpi", 401, "not_signed_in"},
		"without a scheme":                     {ann.token, ann.token, 401, "not_signed_in"},
		"missing after its scheme":             {"Bearer", "Bearer ", 401, "not_signed_in"},
		"broken":                               {"Bearer " + ann.token + "x", "", 401, "invalid_token"},
		"invented":                             {"", "Bearer nonsense", 401, "invalid_token"},
		"invented, with more text after it":    {"Bearer x y", "", 401, "invalid_token"},
		"longer than any token":                {"Bearer " + strings.Repeat("x", 4000), "", 401, "invalid_token"},
		"not valid UTF-8":                      {"Bearer \xff", "", 401, "invalid_token"},
		"a broken token in the other header":   {"Bearer x", "Bearer " + ann.token, 400, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := anonymous.in(t).request("GET", "/users/me", nil,
				"Authorization", c.authorization, "X-Authorization", c.xAuthorization)
			if c.status == 200 {
				assert.Equal(t, "ann@example.com", r.is(http.StatusOK).text("email"))
				return
			}
			r.refused(c.status, c.code)
			assert.Equal(t, map[string]string{
				"not_signed_in": `Bearer`, "invalid_token": `Bearer error="invalid_token"`,
			}[c.code], r.header.Get("WWW-Authenticate"))
			assert.NotContains(t, string(r.body), ann.token)
		})
	}
}

func TestARequestWithoutAValidTokenIs401WhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	r := newService(t)
	for name, c := range map[string]client{
		"without a token": r.client(t), "with an invented token": {t, r.origin, "x"},
	} {
		for _, o := range operations() {
			if o.public() {
				continue
			}
			t.Run(o.OperationID+" "+name, func(t *testing.T) {
				for path, body := range map[string]string{
					o.path:                  `{"title":`,
					o.path + "?%zz&limit=x": "",
					strings.Replace(o.path, "{id}", newID(), 1): `{"nonsense":1}`,
				} {
					r := c.in(t).request(o.method, path, body, "Content-Type", "text/plain", "If-Match", "x")
					r.is(http.StatusUnauthorized)
				}
			})
		}
	}
}

func TestAllTokensOfAnAccountEndImmediately(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	patch := func(change fields) func(client, string) {
		return func(_ client, id string) { admin.request("PATCH", "/users/"+id, change).is(200) }
	}
	for name, end := range map[string]func(account client, id string){
		"when it is deactivated":            patch(fields{"is_active": false}),
		"when it is demoted":                patch(fields{"is_superuser": false}),
		"when it is given another password": patch(fields{"password": goodPassword + "!"}),
		"when it is deleted":                func(_ client, id string) { admin.request("DELETE", "/users/"+id, nil).is(204) },
		"when it changes its password": func(account client, _ string) {
			change := fields{"current_password": goodPassword, "new_password": goodPassword + "!"}
			account.request("PATCH", "/users/me/password", change).is(204)
		},
	} {
		t.Run(name, func(t *testing.T) {
			email := newID() + "@example.com"
			one, id := admin.in(t).newAccount(email, "is_superuser")
			two := one.signIn(email, goodPassword)
			end(one, id)
			for _, o := range operations() {
				if o.public() {
					continue
				}
				for _, token := range []client{one, two} {
					// The middleware cannot know it; every use case must learn it from the store.
					r := token.request(o.method, strings.Replace(o.path, "{id}", id, 1), o.body(account{email: email}))
					r.refused(http.StatusUnauthorized, "signed_out")
					assert.Equal(t, `Bearer error="invalid_token"`, r.header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}

func TestATokenStaysValidAfterAChangeOfNameOrEmail(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	ann, id := admin.newAccount("ann@example.com")
	ann.request("PATCH", "/users/me", fields{"email": "anna@example.com", "full_name": "Anna"}).is(http.StatusOK)
	admin.request("PATCH", "/users/"+id, fields{"email": "annie@example.com", "is_active": true}).is(http.StatusOK)
	assert.Equal(t, "annie@example.com", ann.request("GET", "/users/me", nil).is(http.StatusOK).text("email"))
}

func TestATokenOfAnotherServiceIsRefused(t *testing.T) {
	t.Parallel()
	one, two := newService(t), newService(t)
	foreign := client{t, two.origin, one.admin(t).token}
	foreign.request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "invalid_token")
}

func TestARefusedSignInTakesAtLeastHalfASecond(t *testing.T) {
	t.Parallel()
	r := startServiceWith(t, nil, standardSignInCost()).waitUntilReady(t)
	for _, email := range []string{adminEmail, "unknown@example.com"} {
		begin := time.Now()
		r.client(t).request("POST", "/auth/login", signInForm(email, "wrong")).is(http.StatusUnauthorized)
		assert.GreaterOrEqual(t, time.Since(begin), 500*time.Millisecond, email)
	}
}

func TestAllRefusedSignInsHaveTheSameReply(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	_, id := admin.newAccount("inactive@example.com")
	admin.request("PATCH", "/users/"+id, fields{"is_active": false}).is(http.StatusOK)
	replies := map[string]bool{}
	for email, password := range map[string]string{
		adminEmail:             "wrong",
		"unknown@example.com":  goodPassword,
		"inactive@example.com": goodPassword,
		"not an e-mail":        "x",
		"x\x00@example.com":    "\x00",
	} {
		reply := r.client(t).request("POST", "/auth/login", signInForm(email, password), "X-Request-ID", "same")
		reply.refused(http.StatusUnauthorized, "bad_credentials")
		replies[fmt.Sprint(reply.status, string(reply.body), reply.header.Get("WWW-Authenticate"))] = true
	}
	assert.Len(t, replies, 1)
}

func TestTenRefusedSignInsInARowBlockTheAccountForAWhile(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	admin.newAccount("ann@example.com")
	// fail makes attempts, three concurrently in each round. An attempt that finds the hasher busy does not
	// count.
	fail := func(rounds int) (tried int, blocked []reply) {
		for i := range rounds {
			replies := make(chan reply, 3)
			for j := range cap(replies) {
				go func() { // the service must ignore sources that a client invents
					source := fmt.Sprintf("203.0.113.%d", 3*i+j)
					attempt := func() reply {
						return r.client(t).request("POST", "/auth/login", signInForm("ann@example.com", "wrong"),
							"X-Forwarded-For", source, "X-Real-IP", source, "Forwarded", "for="+source)
					}
					reply := attempt()
					for reply.status == http.StatusServiceUnavailable {
						reply = attempt()
					}
					replies <- reply
				}()
			}
			for range cap(replies) {
				if reply := <-replies; reply.status == http.StatusUnauthorized {
					tried++
				} else {
					blocked = append(blocked, reply)
				}
			}
		}
		return tried, blocked
	}
	tried, blocked := fail(3)
	require.Equal(t, 9, tried)
	require.Empty(t, blocked)
	r.client(t).signIn("ann@example.com", goodPassword) // resets the count

	tried, blocked = fail(5)
	assert.GreaterOrEqual(t, tried, 10) // one more every six seconds
	require.NotEmpty(t, blocked)
	blocked = append(blocked, r.client(t).request("POST", "/auth/login", signInForm("ANN@example.com", goodPassword)))
	for _, reply := range blocked {
		reply.refused(http.StatusTooManyRequests, "too_many_attempts")
		assert.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, reply.header.Get("Retry-After"))
	}
	r.admin(t) // other accounts are not blocked
}
