package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheTokenMayComeInEitherHeader(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	ann, _ := admin.newAccount("ann@example.com")
	nobody := r.client(t)
	for name, c := range map[string]struct {
		authorization, xAuthorization string
		status                        int
		code                          string
	}{
		"alone in Authorization":                 {"Bearer " + ann.token, "", 200, ""},
		"alone in X-Authorization":               {"", "Bearer " + ann.token, 200, ""},
		"beside a gateway's own token":           {`Snowflake Token="secret"`, "Bearer " + ann.token, 200, ""},
		"beside basic authentication":            {"Basic YTpi", "Bearer " + ann.token, 200, ""},
		"in both":                                {"Bearer " + ann.token, "Bearer " + ann.token, 200, ""},
		"with the scheme in lower case":          {"bearer " + ann.token, "", 200, ""},
		"with the scheme in upper case":          {"", "BEARER " + ann.token, 200, ""},
		"after two spaces":                       {"Bearer  " + ann.token, "", 200, ""},
		"and another in the other header":        {"Bearer " + ann.token, "Bearer " + admin.token, 400, "malformed"},
		"of another scheme":                      {"Basic YTpi", "", 401, "not_signed_in"},
		"of another scheme in X-Authorization":   {"", "Basic YTpi", 401, "not_signed_in"},
		"without a scheme":                       {ann.token, ann.token, 401, "not_signed_in"},
		"missing after its scheme":               {"Bearer", "Bearer ", 401, "not_signed_in"},
		"broken":                                 {"Bearer " + ann.token + "x", "", 401, "invalid_token"},
		"made up":                                {"", "Bearer nonsense", 401, "invalid_token"},
		"made up, with something behind":         {"Bearer x y", "", 401, "invalid_token"},
		"longer than any token":                  {"Bearer " + strings.Repeat("x", 4000), "", 401, "invalid_token"},
		"not text":                               {"Bearer \xff", "", 401, "invalid_token"},
		"a broken one beside that of the header": {"Bearer x", "Bearer " + ann.token, 400, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := nobody.in(t).request("GET", "/users/me", nil, "Authorization", c.authorization, "X-Authorization", c.xAuthorization)
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

func TestWhatANobodySendsIsNotLookedAt(t *testing.T) {
	t.Parallel()
	r := newService(t)
	for name, c := range map[string]client{"without a token": r.client(t), "with a token of nobody's": {t, r.origin, "x"}} {
		for _, o := range operations() {
			if o.public() {
				continue
			}
			t.Run(o.OperationID+" "+name, func(t *testing.T) {
				for path, body := range map[string]string{
					o.path: `{"title":`, o.path + "?%zz&limit=x": "", strings.Replace(o.path, "{id}", newID(), 1): `{"nonsense":1}`,
				} {
					c.in(t).request(o.method, path, body, "Content-Type", "text/plain", "If-Match", "x").is(http.StatusUnauthorized)
				}
			})
		}
	}
}

func TestEveryTokenOfAnAccountEndsAtOnceWithWhatItStoodFor(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, end := range map[string]func(account client, id string){
		"when it is deactivated": func(_ client, id string) { admin.request("PATCH", "/users/"+id, fields{"is_active": false}).is(200) },
		"when it is demoted":     func(_ client, id string) { admin.request("PATCH", "/users/"+id, fields{"is_superuser": false}).is(200) },
		"when it is deleted":     func(_ client, id string) { admin.request("DELETE", "/users/"+id, nil).is(204) },
		"when it is given another password": func(_ client, id string) {
			admin.request("PATCH", "/users/"+id, fields{"password": goodPassword + "!"}).is(200)
		},
		"when it changes its password": func(account client, _ string) {
			account.request("PATCH", "/users/me/password", fields{"current_password": goodPassword, "new_password": goodPassword + "!"}).is(204)
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
					// The guard cannot know; every use case has to hear it from the store.
					r := token.request(o.method, strings.Replace(o.path, "{id}", id, 1), o.body(email))
					r.refused(http.StatusUnauthorized, "signed_out")
					assert.Equal(t, `Bearer error="invalid_token"`, r.header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}

func TestATokenOutlivesANewNameAndANewEmail(t *testing.T) {
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
	stranger := client{t, two.origin, one.admin(t).token}
	stranger.request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "invalid_token")
}

func TestASignInThatFailsSaysNeverWhy(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	_, id := admin.newAccount("inactive@example.com")
	admin.request("PATCH", "/users/"+id, fields{"is_active": false}).is(http.StatusOK)
	answers := map[string]bool{}
	for email, password := range map[string]string{
		adminEmail: "wrong", "nobody@example.com": goodPassword, "inactive@example.com": goodPassword, "not an e-mail": "x", "x\x00@example.com": "\x00",
	} {
		reply := r.client(t).request("POST", "/auth/login", signInForm(email, password), "X-Request-ID", "same")
		reply.refused(http.StatusUnauthorized, "bad_credentials")
		answers[fmt.Sprint(reply.status, string(reply.body), reply.header.Get("WWW-Authenticate"))] = true
	}
	assert.Len(t, answers, 1)
}

func TestTenFailedSignInsInARowMakeTheAccountWait(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	admin.newAccount("ann@example.com")
	// fail makes attempts, three at a time. One that finds too much hashing under way is none.
	fail := func(rounds int) (tried int, refused []reply) {
		for i := range rounds {
			replies := make(chan reply, 3)
			for j := range cap(replies) {
				go func() { // a source that a client makes up is none
					source := fmt.Sprintf("203.0.113.%d", 3*i+j)
					attempt := func() reply {
						return r.client(t).request("POST", "/auth/login", signInForm("ann@example.com", "wrong"),
							"X-Forwarded-For", source, "X-Real-IP", source, "Forwarded", "for="+source)
					}
					answer := attempt()
					for answer.status == http.StatusServiceUnavailable {
						answer = attempt()
					}
					replies <- answer
				}()
			}
			for range cap(replies) {
				if answer := <-replies; answer.status == http.StatusUnauthorized {
					tried++
				} else {
					refused = append(refused, answer)
				}
			}
		}
		return tried, refused
	}
	tried, refused := fail(3)
	require.Equal(t, 9, tried)
	require.Empty(t, refused)
	r.client(t).signIn("ann@example.com", goodPassword) // which clears them

	tried, refused = fail(5)
	assert.GreaterOrEqual(t, tried, 10) // one more each six seconds
	require.NotEmpty(t, refused)
	for _, reply := range append(refused, r.client(t).request("POST", "/auth/login", signInForm("ANN@example.com", goodPassword))) {
		reply.refused(http.StatusTooManyRequests, "too_many_attempts")
		assert.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, reply.header.Get("Retry-After"))
	}
	r.admin(t) // others are not affected
}
