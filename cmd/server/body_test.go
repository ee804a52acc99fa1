package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestJSONIsReadStrictly(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, body := range map[string]string{
		"nothing":                             "",
		"blanks":                              " \n",
		"text":                                "title=x",
		"half a document":                     `{"title":"x"`,
		"two documents":                       `{"title":"x"}{"title":"y"}`,
		"a document and more":                 `{"title":"x"} x`,
		"a duplicate name":                    `{"title":"x","title":"y"}`,
		"an escaped duplicate name":           `{"title":"x","titl\u0065":"y"}`,
		"a duplicate name in a nested object": `{"title":{"a":1,"a":1}}`,
		"invalid UTF-8":                       "{\"title\":\"\xff\"}",
		"an overlong encoding":                "{\"title\":\"\xc0\xaf\"}",
		"an encoded surrogate":                "{\"title\":\"\xed\xa0\x80\"}",
		"a lone high surrogate":               `{"title":"\ud83d"}`,
		"a lone low surrogate":                `{"title":"\ude00"}`,
		"surrogates in the wrong order":       `{"title":"\ude00\ud83d"}`,
		"an unknown escape":                   `{"title":"\x41"}`,
		"a control character":                 "{\"title\":\"\n\"}",
		"a byte order mark":                   "\ufeff{\"title\":\"x\"}",
		"UTF-16":                              "{\x00\"\x00t\x00",
		"a comment":                           `{"title":"x"/**/}`,
		"a trailing comma":                    `{"title":"x",}`,
		"single quotes":                       `{'title':'x'}`,
		"NaN":                                 `{"title":NaN}`,
		"a number beyond float64":             `{"title":1e400}`,
		"a leading zero":                      `{"title":01}`,
		"arrays that are nested too deeply":   `{"title":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`,
	} {
		t.Run(name+" is malformed", func(t *testing.T) {
			admin.in(t).request("POST", "/items/", body).refused(http.StatusBadRequest, "malformed")
		})
	}
	assert.Empty(t, admin.request("GET", "/items/", nil).rows())
}

func TestABodyWithAnUnknownOrMissingFieldIsRefused(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for body, faults := range map[string][]string{
		`{}`:                                {"body.title"},
		`null`:                              {"body"},
		`[]`:                                {"body"},
		`"x"`:                               {"body"},
		`7`:                                 {"body"},
		`{"title":null}`:                    {"body.title"},
		`{"title":7}`:                       {"body.title"},
		`{"title":["x"]}`:                   {"body.title"},
		`{"title":{"title":"x"}}`:           {"body.title"},
		`{"title":"x","description":7}`:     {"body.description"},
		`{"title":"ok","TITLE":""}`:         {"body.TITLE"},
		`{"title":"ok","Title":"x"}`:        {"body.Title"},
		`{"TITLE":"x"}`:                     {"body.TITLE", "body.title"},
		`{"title":"x","owner_id":"x"}`:      {"body.owner_id"},
		`{"title":"x","":1,"a.b":1,"\"":1}`: {"body.", "body.a.b", `body."`},
		`{"title":"x","\u0000":1}`:          {"body.\x00"},
		`{"title":"x","__proto__":{},"😀":true}`:                                   {"body.__proto__", "body.😀"},
		`{"title":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`: {"body.title"},
	} {
		admin.request("POST", "/items/", body).faulted(faults...)
	}
	assert.Empty(t, admin.request("GET", "/items/", nil).rows())
}

func TestABodyOfAnotherMediaTypeIsRefused(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	for _, contentType := range []string{"application/json", "APPLICATION/JSON", "application/json; charset=UTF-8", `application/json;charset="utf-8"`, "application/json; charset=utf8", "application/json; charset=UTF_8"} {
		admin.request("POST", "/items/", `{"title":"x"}`, "Content-Type", contentType).is(http.StatusCreated)
	}
	for _, contentType := range []string{
		"", "application/xml", "text/xml", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"application/json; charset=latin1", "application/json; charset=utf-16", "application/json, text/plain", "application/jsonp", "*/*", ";",
	} {
		for _, body := range []string{`{"title":"x"}`, `<NewItem><title>x</title></NewItem>`, "title=x"} {
			admin.request("POST", "/items/", body, "Content-Type", contentType).refused(http.StatusUnsupportedMediaType, "unsupported_media_type")
		}
	}
	for _, contentType := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x"} {
		r.client(t).request("POST", "/auth/login", signInForm(adminEmail, adminPassword), "Content-Type", contentType).refused(http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
}

func TestABodyCannotNameAnotherEntityThanThePath(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	_, ann := admin.newAccount("ann@example.com")
	_, bob := admin.newAccount("bob@example.com")
	admin.request("PATCH", "/users/"+ann, fields{"id": bob, "full_name": "Ann"}).faulted("body.id")
	one, two := admin.newItem("one"), admin.newItem("two")
	admin.request("PATCH", one, fields{"id": strings.TrimPrefix(two, "/items/"), "title": "three"}).faulted("body.id")
	admin.request("PATCH", one+"?id="+strings.TrimPrefix(two, "/items/"), fields{"title": "three"}).is(http.StatusOK)
	assert.Equal(t, "two", admin.request("GET", two, nil).text("title"))
	assert.Equal(t, "three", admin.request("GET", one, nil).text("title"))
	admin.request("POST", "/items/", fields{"id": newID(), "title": "x"}).faulted("body.id")
}

func TestAPatchDistinguishesAbsentFromNull(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	item := "/items/" + admin.request("POST", "/items/", fields{"title": "a", "description": "b"}).is(http.StatusCreated).text("id")
	assert.Equal(t, "b", admin.request("PATCH", item, `{"title":"c"}`).is(http.StatusOK).field("description"))
	assert.Equal(t, "", admin.request("PATCH", item, `{"description":""}`).is(http.StatusOK).field("description"))
	assert.Nil(t, admin.request("PATCH", item, `{"description":null}`).is(http.StatusOK).field("description"))
	assert.Nil(t, admin.request("POST", "/items/", `{"title":"a","description":null}`).is(http.StatusCreated).field("description"))
	admin.request("PATCH", item, `{"title":null}`).faulted("body.title")

	user, id := admin.newAccount("ann@example.com")
	for who, path := range map[client]string{user: "/users/me", admin: "/users/" + id} {
		assert.Equal(t, "Ann", who.request("PATCH", path, `{"full_name":"Ann"}`).is(http.StatusOK).field("full_name"))
		assert.Equal(t, "Ann", who.request("PATCH", path, `{"email":"ann2@example.com"}`).is(http.StatusOK).field("full_name"))
		assert.Nil(t, who.request("PATCH", path, `{"full_name":null}`).is(http.StatusOK).field("full_name"))
		who.request("PATCH", path, `{"email":null}`).faulted("body.email")
	}
	admin.request("PATCH", "/users/"+id, `{"password":null,"is_active":null,"is_superuser":null}`).faulted("body.password", "body.is_active", "body.is_superuser")
	admin.request("POST", "/users/", `{"email":null,"password":null,"is_active":null,"is_superuser":null}`).
		faulted("body.email", "body.password", "body.is_active", "body.is_superuser")
	user.request("PATCH", "/users/me/password", `{"current_password":null,"new_password":null}`).faulted("body.current_password", "body.new_password")
	assert.Equal(t, true, user.request("GET", "/users/me", nil).is(http.StatusOK).field("is_active"))
}

func TestAnAccountCannotChangeItsOwnRoleOrActivation(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	user, _ := admin.newAccount("ann@example.com")
	user.request("PATCH", "/users/me", fields{"is_superuser": true, "is_active": false, "password": goodPassword, "id": newID()}).
		faulted("body.is_superuser", "body.is_active", "body.password", "body.id")
}

func TestTheSignInFormIsReadStrictly(t *testing.T) {
	t.Parallel()
	c := newService(t).client(t)
	post := func(form string) reply {
		return c.request("POST", "/auth/login", form, "Content-Type", "application/x-www-form-urlencoded")
	}
	good := signInForm(adminEmail, adminPassword).Encode()
	for _, more := range []string{
		"", "&grant_type=password", "&grant_type=", "&scope=", "&scope=a+b&client_id=x&client_secret=y", "&",
		"&remember=1&USERNAME=x", "&device[name]=x&=", "&audience=%00", // unknown (RFC 6749 §3.2)
	} {
		r := post(good + more).is(http.StatusOK)
		assert.Equal(t, "bearer", r.field("token_type"))
		assert.Equal(t, 3600.0, r.field("expires_in"))
	}
	for _, more := range []string{
		"&username=x", "&password=x", "&grant_type=password&grant_type=password", "&x=1&x=2", // repeated
		"&scope=%zz", "&scope=%", "&scope=%ff", "&%ff=1", "&a;b", // unreadable
	} {
		post(good+more).refused(http.StatusBadRequest, "malformed")
	}
	for _, notAForm := range []string{
		`{"username":"a@b.c","password":"x=hunter2"}`, `{"username":"a@b.c","password":"hunter2=x"}`, "<a>hunter2=1</a>",
	} {
		r := post(notAForm)
		r.refused(http.StatusBadRequest, "malformed")
		assert.NotContains(t, string(r.body), "hunter2")
	}
	for _, grant := range []string{"implicit", "authorization_code", "PASSWORD", "password "} {
		post(good+"&grant_type="+url.QueryEscape(grant)).refused(http.StatusBadRequest, "unsupported_grant_type")
	}
	post("").faulted("body.username", "body.password")
	post("username=&password=").faulted("body.username", "body.password")
	post("username=x&password=&nonsense=1").faulted("body.password")
	post(good + "&grant_type=refresh_token").faulted("body.refresh_token")
	post(good+"&grant_type=client_credentials").refused(http.StatusUnauthorized, "invalid_client")
}

func TestEveryProblemOfTheTokenEndpointIsAnErrorForOAuthLibraries(t *testing.T) {
	t.Parallel()
	r := newService(t)
	c := r.client(t)
	for name, tt := range map[string]struct {
		send   func() reply
		status int
		want   string
	}{
		"a wrong password": {func() reply {
			return c.request("POST", "/auth/login", signInForm(adminEmail, "wrong"))
		}, http.StatusUnauthorized, "invalid_grant"},
		"a wrong refresh token": {func() reply { return c.refresh("wrong") }, http.StatusBadRequest, "invalid_grant"},
		"a wrong client secret": {func() reply {
			return c.request("POST", "/auth/login", program{newID(), "wrong"}.form())
		}, http.StatusUnauthorized, "invalid_client"},
		"no client secret": {func() reply {
			return c.request("POST", "/auth/login", program{newID(), ""}.form())
		}, http.StatusUnauthorized, "invalid_client"},
		"a missing refresh token": {func() reply { return c.refresh("") }, http.StatusUnprocessableEntity, "invalid_request"},
		"a refresh token in JSON": {func() reply { return c.request("POST", "/auth/refresh", fields{}) }, http.StatusUnsupportedMediaType, "invalid_request"},
		"a page of another site": {func() reply {
			return c.request("POST", "/auth/refresh", refreshForm("x"), "Sec-Fetch-Site", "cross-site")
		}, http.StatusForbidden, "invalid_request"},
		"another grant": {func() reply {
			return c.request("POST", "/auth/login", url.Values{"username": {"x"}, "password": {"x"}, "grant_type": {"implicit"}})
		}, http.StatusBadRequest, "unsupported_grant_type"},
		"a repeated field": {func() reply {
			return c.request("POST", "/auth/login", url.Values{"username": {"x", "y"}})
		}, http.StatusBadRequest, "invalid_request"},
		"a missing field":    {func() reply { return c.request("POST", "/auth/login", url.Values{}) }, http.StatusUnprocessableEntity, "invalid_request"},
		"another media type": {func() reply { return c.request("POST", "/auth/login", fields{}) }, http.StatusUnsupportedMediaType, "invalid_request"},
		"a limit on attempts": {func() reply {
			return repeated(func() reply { return c.request("POST", "/auth/login", signInForm("ann@example.com", "wrong")) })
		}, http.StatusTooManyRequests, "temporarily_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			reply := tt.send().is(tt.status)
			assert.Equal(t, tt.want, reply.text("error"))
			assert.Regexp(t, `^[\x20-\x21\x23-\x5b\x5d-\x7e]+$`, reply.text("error_description"), "RFC 6749 §5.2")
			assert.Contains(t, reply.text("error_description"), reply.text("detail"))
		})
	}
	assert.Contains(t, c.request("POST", "/auth/login", url.Values{}).text("error_description"), "body.username is missing")
	for _, other := range []reply{
		c.request("GET", "/users/me", nil).is(http.StatusUnauthorized),
		c.request("POST", "/auth/logout", nil).is(http.StatusUnprocessableEntity),
		c.signInAs("ANN").is(http.StatusNotFound),
	} {
		assert.NotContains(t, string(other.body), `"error"`)
	}
}
