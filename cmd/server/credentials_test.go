package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// sessions returns the rows of the list of one's own sessions.
func (c client) sessions() []map[string]any {
	c.t.Helper()
	return c.request("GET", "/users/me/sessions", nil).is(http.StatusOK).rows()
}

// clients returns the rows of the list of one's own clients.
func (c client) clients() []map[string]any {
	c.t.Helper()
	return c.request("GET", "/users/me/clients", nil).is(http.StatusOK).rows()
}

// works reports whether the bearer token of c does.
func (c client) works() bool {
	c.t.Helper()
	return c.request("GET", "/users/me", nil).status == http.StatusOK
}

// audited returns the names of the audit events about that account since the last call.
func (r *testService) audited(subject string) (names []string) {
	for _, line := range r.logs.TakeAll() {
		if c := line.ContextMap(); line.Message == "audit" && c["subject_id"] == subject {
			names = append(names, fmt.Sprint(c["event"]))
		}
	}
	return names
}

func TestARefreshTokenIsReplacedByEachUse(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, id := r.admin(t).newAccount("ann@example.com")
	first := ann.signInFully("ann@example.com")
	r.audited(id)
	second := grantOf(ann.refresh(first.refresh))
	third := grantOf(ann.request("POST", "/auth/login", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {second.refresh}, "client_id": {"ignored"},
	}, "Authorization", "Basic aWdub3JlZDo="))
	for _, g := range []grant{first, second, third} {
		assert.Regexp(t, `^echo_rt_[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$`, g.refresh)
		assert.True(t, ann.with(g.access).works(), "access tokens live for their lifetime")
	}
	assert.Len(t, slices.Compact([]string{first.refresh, second.refresh, third.refresh}), 3)
	assert.Len(t, ann.sessions(), 2, "of newAccount and of this test")
	assert.Empty(t, r.audited(id), "a refresh is no audit event")
}

func TestAReplacedRefreshTokenGivesTheSameSuccessorForAMinute(t *testing.T) {
	t.Parallel()
	ann, _ := newService(t).admin(t).newAccount("ann@example.com")
	first := ann.signInFully("ann@example.com")
	second := grantOf(ann.refresh(first.refresh))
	again := grantOf(ann.refresh(first.refresh))
	assert.Equal(t, second.refresh, again.refresh)
	assert.NotEqual(t, second.access, again.access)
	assert.True(t, ann.with(again.access).works())
}

func TestAnOlderRefreshTokenEndsItsSession(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, id := r.admin(t).newAccount("ann@example.com")
	first := ann.signInFully("ann@example.com")
	second := grantOf(ann.refresh(first.refresh))
	third := grantOf(ann.refresh(second.refresh))
	require.Len(t, ann.sessions(), 2)
	r.audited(id)
	for _, stolen := range []string{first.refresh, third.refresh, second.refresh} {
		refused := ann.refresh(stolen)
		refused.refused(http.StatusBadRequest, "invalid_grant")
		assert.Equal(t, "invalid_grant", refused.text("error"))
		assert.NotEmpty(t, refused.text("error_description"))
		assert.Empty(t, refused.header.Get("WWW-Authenticate"))
	}
	assert.Len(t, ann.sessions(), 1)
	assert.Equal(t, []string{"refresh_token_reused"}, r.audited(id))
	assert.True(t, ann.works(), "the other session does not end")
}

func TestATextThatIsNoRefreshTokenIsAnInvalidGrant(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	valid := grantOf(admin.request("POST", "/auth/login", signInForm(adminEmail, adminPassword))).refresh
	for _, text := range []string{
		"unknown", admin.token, strings.TrimPrefix(valid, "echo_rt_"), valid + "x", strings.ToUpper(valid), valid[:len(valid)-1] + "*", "echo_rt_.", "\x00", valid + "\n",
	} {
		admin.refresh(text).refused(http.StatusBadRequest, "invalid_grant")
	}
	admin.refresh("").faulted("body.refresh_token")
	admin.request("POST", "/auth/login", url.Values{"grant_type": {"refresh_token"}}).faulted("body.refresh_token")
	admin.request("POST", "/auth/login", url.Values{"grant_type": {"password"}, "refresh_token": {valid}}).faulted("body.username", "body.password")
	admin.request("POST", "/auth/login", url.Values{"grant_type": {"implicit"}, "refresh_token": {valid}}).refused(http.StatusBadRequest, "unsupported_grant_type")
	grantOf(admin.refresh(valid)) // nothing of this has ended the session
}

func TestLogoutEndsTheSessionOfItsToken(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, id := r.admin(t).newAccount("ann@example.com")
	anonymous := r.client(t)
	for name, logout := range map[string]func(g grant) reply{
		"with a refresh token": func(g grant) reply {
			return anonymous.request("POST", "/auth/logout", url.Values{"token": {g.refresh}})
		},
		"with a refresh token beside an invalid bearer": func(g grant) reply {
			return anonymous.with("x").request("POST", "/auth/logout", url.Values{"token": {g.refresh}, "token_type_hint": {"refresh_token"}})
		},
		"with a bearer and no body": func(g grant) reply { return ann.with(g.access).request("POST", "/auth/logout", nil) },
		"with a bearer and no media type": func(g grant) reply {
			return ann.with(g.access).request("POST", "/auth/logout", strings.NewReader("x"), "Content-Type", "")
		},
		"with a bearer and an empty body of JSON": func(g grant) reply {
			return ann.with(g.access).request("POST", "/auth/logout", "", "Content-Type", "application/json")
		},
		"with a bearer and an empty form": func(g grant) reply { return ann.with(g.access).request("POST", "/auth/logout", url.Values{}) },
	} {
		t.Run(name, func(t *testing.T) {
			g := ann.signInFully("ann@example.com")
			before := len(ann.sessions())
			r.audited(id)
			logout(g).is(http.StatusNoContent)
			ann.refresh(g.refresh).refused(http.StatusBadRequest, "invalid_grant")
			assert.Len(t, ann.sessions(), before-1)
			assert.True(t, ann.with(g.access).works(), "it ends with its lifetime")
			assert.Equal(t, []string{"signed_out"}, r.audited(id))
			logout(g).is(http.StatusNoContent)
			assert.Empty(t, r.audited(id), "nothing was ended")
		})
	}
	assert.True(t, ann.works())
}

func TestLogoutSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newService(t)
	c := r.client(t)
	c.request("POST", "/auth/logout", url.Values{"token": {"unknown"}}).is(http.StatusNoContent)
	c.request("POST", "/auth/logout", nil).faulted("body.token")
	c.request("POST", "/auth/logout", url.Values{"refresh_token": {"x"}}).faulted("body.token")
	c.request("POST", "/auth/logout", fields{"token": "x"}).refused(http.StatusUnsupportedMediaType, "unsupported_media_type")
	c.with("x").request("POST", "/auth/logout", nil).refused(http.StatusUnauthorized, "invalid_token")
	reader := r.admin(t).newClient(fields{"name": "reader", "read_only": true}).signIn(c)
	reader.request("POST", "/auth/logout", nil).refused(http.StatusForbidden, "insufficient_scope")
}

func TestSigningOutEverywhereEndsTokensSessionsAndClients(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	for name, tt := range map[string]struct {
		end   func(ann client, id string) reply
		event string
	}{
		"by the account": {func(ann client, _ string) reply { return ann.request("POST", "/auth/logout-all", nil) }, "signed_out_everywhere"},
		"by a superuser": {func(_ client, id string) reply { return admin.request("DELETE", "/users/"+id+"/sessions", nil) }, "signed_out_everywhere"},
		"with another password": {func(ann client, _ string) reply {
			return ann.request("PATCH", "/users/me/password", fields{"current_password": goodPassword, "new_password": "another " + goodPassword})
		}, "password_changed"},
	} {
		t.Run(name, func(t *testing.T) {
			email := newID() + "@example.com"
			ann, id := admin.in(t).newAccount(email)
			g := ann.signInFully(email)
			p := ann.newClient(fields{"name": "a program"})
			program := p.signIn(ann)
			r.audited(id)
			tt.end(ann, id).is(http.StatusNoContent)
			assert.Equal(t, []string{tt.event}, r.audited(id))
			for _, ended := range []client{ann, ann.with(g.access), program} {
				ended.request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "signed_out")
			}
			ann.refresh(g.refresh).refused(http.StatusBadRequest, "invalid_grant")
			ann.request("POST", "/auth/login", p.form()).refused(http.StatusUnauthorized, "invalid_client")
			if tt.event == "password_changed" {
				return
			}
			ann = ann.signIn(email, goodPassword)
			assert.Len(t, ann.sessions(), 1, "only the newest is live")
			assert.Empty(t, ann.clients())
		})
	}
	admin.request("DELETE", "/users/"+newID()+"/sessions", nil).refused(http.StatusNotFound, "not_found")
}

func TestTheListOfSessionsHasThoseOfTheAccount(t *testing.T) {
	t.Parallel()
	r := newServiceBehindGateway(t, false)
	admin := r.admin(t)
	ann, id := admin.newAccount("ann@example.com")
	admin.request("PATCH", "/users/"+id, fields{"snowflake_user": "ANN"}).is(http.StatusOK)
	long := strings.Repeat("é", domain.MaxUserAgent+1)
	before := now()
	ann.request("POST", "/auth/login", signInForm("ann@example.com", goodPassword), "User-Agent", long).is(http.StatusOK)
	ann.signInAs("ANN").is(http.StatusOK)

	rows := ann.sessions()
	require.Len(t, rows, 3)
	assert.Equal(t, []any{"snowflake", "password", "password"}, []any{rows[0]["kind"], rows[1]["kind"], rows[2]["kind"]})
	assert.Equal(t, long[:len("é")*domain.MaxUserAgent], rows[1]["user_agent"])
	for _, row := range rows[:2] {
		assert.Equal(t, row["created_at"], row["refreshed_at"])
		ends, err := time.Parse(time.RFC3339, row["expires_at"].(string))
		require.NoError(t, err)
		assert.WithinDuration(t, before.Add(domain.SessionIdle), ends, time.Minute)
	}
	ended := "/users/me/sessions/" + rows[1]["id"].(string)
	admin.request("DELETE", ended, nil).refused(http.StatusNotFound, "not_found")
	ann.request("DELETE", "/users/me/sessions/"+strings.ToUpper(rows[1]["id"].(string)), nil).is(http.StatusNoContent)
	ann.request("DELETE", ended, nil).refused(http.StatusNotFound, "not_found")
	assert.Len(t, ann.sessions(), 2)
}

func TestListsOfCredentialsArePagedLikeAllOthers(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	for range 4 {
		ann.signInFully("ann@example.com")
		ann.newClient(fields{"name": "a program"})
	}
	cursors := map[string]string{}
	for path, size := range map[string]int{"/users/me/sessions": 5, "/users/me/clients": 4} {
		all := ann.request("GET", path, nil).is(http.StatusOK)
		assert.EqualValues(t, size, all.field("count"))
		assert.Nil(t, all.field("next_cursor"))
		first := ann.request("GET", path+"?limit=3&count=false", nil).is(http.StatusOK)
		assert.Nil(t, first.field("count"))
		cursors[path] = first.text("next_cursor")
		rest := ann.request("GET", path+"/?cursor="+cursors[path], nil).is(http.StatusOK)
		assert.Equal(t, all.rows(), append(first.rows(), rest.rows()...))
		assert.Equal(t, all.rows()[1:2], ann.request("GET", path+"?skip=1&limit=1", nil).rows())
	}
	ann.request("GET", "/users/me/sessions?cursor="+cursors["/users/me/clients"], nil).faulted("query.cursor")
	ann.request("GET", "/users/me/clients?cursor="+cursors["/users/me/sessions"], nil).faulted("query.cursor")
}

func TestAClientSignsInWithItsSecret(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	ann, id := admin.newAccount("ann@example.com")
	r.audited(id)
	created := ann.request("POST", "/users/me/clients", fields{"name": "nightly report"}).is(http.StatusCreated)
	p := program{created.text("client_id"), created.text("client_secret")}
	assert.Equal(t, "/api/v1/users/me/clients/"+p.id, created.header.Get("Location"))
	assert.Empty(t, created.header.Get("ETag"))
	assert.Regexp(t, `^echo_cs_[A-Za-z0-9_-]{43}$`, p.secret)
	assert.Nil(t, ann.clients()[0]["used_at"])

	form := ann.request("POST", "/auth/login", p.form()).is(http.StatusOK)
	assert.NotContains(t, string(form.body), "refresh")
	used := ann.clients()[0]["used_at"]
	assert.NotNil(t, used)
	basic := basicAuth(p.id, p.secret)
	grant := url.Values{"grant_type": {"client_credentials"}}
	header := ann.request("POST", "/auth/login", grant, "Authorization", basic).is(http.StatusOK)
	grant.Set("client_id", p.id) // as some libraries do
	ann.request("POST", "/auth/login", grant, "Authorization", basic).is(http.StatusOK)
	assert.Equal(t, used, ann.clients()[0]["used_at"], "the first use")
	for _, token := range []string{form.text("access_token"), header.text("access_token")} {
		assert.Equal(t, "ann@example.com", ann.with(token).request("GET", "/users/me", nil).is(http.StatusOK).text("email"))
		ann.with(token).newItem("by a program")
	}
	assert.Equal(t, []string{"client_created", "client_first_used"}, r.audited(id))

	program := p.signIn(ann)
	admin.request("DELETE", "/users/me/clients/"+p.id, nil).refused(http.StatusNotFound, "not_found")
	ann.request("DELETE", "/users/me/clients/"+p.id, nil).is(http.StatusNoContent)
	ann.request("POST", "/auth/login", p.form()).refused(http.StatusUnauthorized, "invalid_client")
	assert.True(t, program.works(), "its tokens end with their lifetime")
	assert.Equal(t, []string{"client_deleted"}, r.audited(id)[:1])
}

func basicAuth(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(password))
	return r.Header.Get("Authorization")
}

func TestAClientThatCannotProveItselfGetsTheErrorOfTheStandard(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.admin(t).newClient(fields{"name": "a program"})
	for name, tt := range map[string]struct {
		id, secret, authorization string
		status                    int
		code                      string
	}{
		"in another letter case":             {strings.ToUpper(p.id), p.secret, "", 200, ""},
		"with another scheme beside":         {p.id, p.secret, "Negotiate x", 200, ""},
		"with a wrong secret":                {p.id, p.secret + "x", "", 401, "invalid_client"},
		"with an unknown id":                 {newID(), p.secret, "", 401, "invalid_client"},
		"with an id that is none":            {"x\x00", p.secret, "", 401, "invalid_client"},
		"with an id in another notation":     {"{" + p.id + "}", p.secret, "", 401, "invalid_client"},
		"without an id":                      {"", p.secret, "", 401, "invalid_client"},
		"without a secret":                   {p.id, "", "", 401, "invalid_client"},
		"without anything":                   {"", "", "", 401, "invalid_client"},
		"with a wrong secret in the header":  {"", "", basicAuth(p.id, "wrong"), 401, "invalid_client"},
		"with an unreadable header":          {"", "", "Basic *", 401, "invalid_client"},
		"with a wrong escape in the header":  {"", "", "Basic " + "JXp6OnNlY3JldA==", 401, "invalid_client"},
		"with both":                          {p.id, p.secret, basicAuth(p.id, p.secret), 400, "malformed"},
		"with another id beside the header":  {newID(), "", basicAuth(p.id, p.secret), 400, "malformed"},
		"with a secret beside an empty pair": {"", p.secret, "Basic Og==", 400, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			form := program{tt.id, tt.secret}.form()
			reply := r.client(t).request("POST", "/auth/login", form, "Authorization", tt.authorization)
			if tt.status == 200 {
				reply.is(http.StatusOK)
				return
			}
			reply.refused(tt.status, tt.code)
			assert.Equal(t, map[int]string{401: "invalid_client", 400: "invalid_request"}[tt.status], reply.text("error"))
			challenge := ""
			if tt.status == 401 {
				challenge = "Bearer"
				if tt.authorization != "" {
					challenge = `Basic realm="clients"`
				}
			}
			assert.Equal(t, challenge, reply.header.Get("WWW-Authenticate"))
			assert.NotContains(t, string(reply.body), p.secret)
		})
	}
}

func TestAReadOnlyClientCanOnlyRead(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	reader := admin.newClient(fields{"name": "reader", "read_only": true}).signIn(admin)
	assert.True(t, admin.clients()[0]["read_only"].(bool))
	for _, o := range operations() {
		if o.public() {
			continue
		}
		t.Run(o.OperationID, func(t *testing.T) {
			reply := reader.in(t).request(o.method, strings.Replace(o.path, "{id}", "nonsense", 1), "{", "Content-Type", "text/plain")
			if o.method == http.MethodGet {
				assert.NotEqual(t, http.StatusForbidden, reply.status)
				return
			}
			reply.refused(http.StatusForbidden, "insufficient_scope")
			assert.Equal(t, `Bearer error="insufficient_scope"`, reply.header.Get("WWW-Authenticate"))
		})
	}
	reader.request("GET", "/users/", nil).is(http.StatusOK) // with the rights of its account
	reader.request("HEAD", "/users/me", nil).is(http.StatusOK)
}

func TestAnAccountHasAtMostTwentyClients(t *testing.T) {
	t.Parallel()
	ann, _ := newService(t).admin(t).newAccount("ann@example.com")
	var last program
	for range domain.MaxClients {
		last = ann.newClient(fields{"name": "a program"})
	}
	ann.request("POST", "/users/me/clients", fields{"name": "one too many"}).refused(http.StatusConflict, "too_many_clients")
	ann.request("DELETE", "/users/me/clients/"+last.id, nil).is(http.StatusNoContent)
	ann.newClient(fields{"name": "in its place"})
	assert.Len(t, ann.clients(), domain.MaxClients)
}

func TestAClientEndsAtMost366DaysFromNow(t *testing.T) {
	t.Parallel()
	ann, _ := newService(t).admin(t).newAccount("ann@example.com")
	create := func(expiry any) reply {
		return ann.request("POST", "/users/me/clients", fields{"name": "a program", "expires_at": expiry})
	}
	at := func(d time.Duration) string { return now().Add(d).Format(time.RFC3339Nano) }
	end := now().Add(time.Hour)
	zoned := end.In(time.FixedZone("", 5*3600+1800)).Format("2006-01-02T15:04:05.000000999-07:00")
	for sent, shown := range map[string]string{
		at(domain.MaxClientLife - time.Minute): "",
		zoned:                                  end.Truncate(time.Second).Format("2006-01-02T15:04:05.000000Z"),
	} {
		got := create(sent).is(http.StatusCreated).text("expires_at")
		if shown != "" {
			assert.Equal(t, shown, got)
		}
	}
	for _, bad := range []any{
		at(-time.Second), at(domain.MaxClientLife + time.Minute), "9999-12-31T23:59:59Z", "", "tomorrow", "2030-02-30T00:00:00Z", "2030-01-01T00:00:00",
		"2030-01-01", 1893456000, nil, "0001-01-01T00:00:00Z", "0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00.0000009Z",
	} {
		create(bad).faulted("body.expires_at")
	}
	byDefault := ann.request("POST", "/users/me/clients", fields{"name": "a program"}).is(http.StatusCreated)
	ends, err := time.Parse(time.RFC3339, byDefault.text("expires_at"))
	require.NoError(t, err)
	assert.WithinDuration(t, now().Add(domain.DefaultClientLife), ends, time.Minute)
	assert.Equal(t, false, byDefault.field("read_only"))
	ann.request("POST", "/users/me/clients", fields{"read_only": "yes", "scope": "x"}).faulted("body.name", "body.read_only", "body.scope")
}

func TestASignInWithSnowflakeFindsTheAccountOfTheUser(t *testing.T) {
	t.Parallel()
	r := newServiceBehindGateway(t, false)
	admin := r.admin(t)
	ann, id := admin.newAccount("ann@example.com")
	c := r.client(t)
	c.signInAs("ANN").refused(http.StatusForbidden, "no_account")
	assert.Nil(t, ann.request("GET", "/users/me", nil).field("snowflake_user"))
	admin.request("PATCH", "/users/"+id, fields{"snowflake_user": "ANN"}).is(http.StatusOK)
	g := grantOf(c.signInAs("ANN"))
	assert.Equal(t, "ANN", c.with(g.access).request("GET", "/users/me", nil).is(http.StatusOK).text("snowflake_user"))
	grantOf(c.refresh(g.refresh))
	c.signInAs("ann").refused(http.StatusForbidden, "no_account")
	c.signInAs("").refused(http.StatusUnauthorized, "no_caller_token")
	c.signInAs("forged").refused(http.StatusUnauthorized, "invalid_caller_token")
	newService(t).client(t).signInAs("ANN").refused(http.StatusNotFound, "snowflake_sign_in_off")

	created := newServiceBehindGateway(t, true).client(t)
	created.token = grantOf(created.signInAs("Bob Ünüsual")).access
	bob := created.request("GET", "/users/me", nil).is(http.StatusOK)
	assert.Equal(t, bob.text("id")+"@snowflake.invalid", bob.text("email"))
	assert.Equal(t, "Bob Ünüsual", bob.text("full_name"))
}
