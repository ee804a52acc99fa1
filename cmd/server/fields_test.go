package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestTextIsReturnedExactlyAsItWasSent(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	_, id := admin.newAccount("ann@example.com")
	for _, text := range []string{
		"x", " ", " x ", "\n", "\r\n\t", `'"` + "`" + `\`, `\u0041 %41 &amp; </script>`, "e\u0301 \u00e9", "😀👩‍👩‍👧", "\u202e\ufeff\u0001\u007f",
		"'; DROP TABLE items; --", "null", "7", "\ufffd", "\u2028\u2029", strings.Repeat("😀", 255),
	} {
		item := admin.request("POST", "/items/", fields{"title": text, "description": text}).is(http.StatusCreated)
		for _, r := range []reply{item, admin.request("GET", "/items/"+item.text("id"), nil), admin.request("PATCH", "/items/"+item.text("id"), fields{"title": text})} {
			assert.Equal(t, text, r.is2xx().text("title"))
			assert.Equal(t, text, r.text("description"))
		}
		assert.Equal(t, text, admin.request("PATCH", "/users/"+id, fields{"full_name": text}).is(http.StatusOK).text("full_name"))
		assert.Equal(t, text, admin.request("GET", "/items/?limit=1", nil).rows()[0]["title"])
	}
	assert.Equal(t, "😀", admin.request("POST", "/items/", `{"title":"\ud83d\ude00"}`).is(http.StatusCreated).text("title"))
}

func TestASuperuserLinksAccountsToUsersOfSnowflake(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	ann, annID := admin.newAccount("ann@example.com")
	link := func(id string, user any) reply {
		return admin.request("PATCH", "/users/"+id, fields{"snowflake_user": user})
	}
	assert.Equal(t, "ANN", link(annID, "ANN").is(http.StatusOK).text("snowflake_user"))
	assert.Equal(t, "ANN", ann.request("GET", "/users/me", nil).is(http.StatusOK).text("snowflake_user"), "the token does not end")
	bob := fields{"email": "bob@example.com", "password": goodPassword, "snowflake_user": "ANN"}
	admin.request("POST", "/users/", bob).refused(http.StatusConflict, "snowflake_user_taken")
	bob["email"] = "ann@example.com"
	admin.request("POST", "/users/", bob).refused(http.StatusConflict, "email_taken")
	bob["email"], bob["snowflake_user"] = "bob@example.com", "ann" // names in quotes distinguish letter case
	bobID := admin.request("POST", "/users/", bob).is(http.StatusCreated).text("id")
	link(bobID, "ANN").refused(http.StatusConflict, "snowflake_user_taken")
	link(annID, strings.Repeat("😀", domain.MaxSnowflakeUser)).is(http.StatusOK)
	for _, bad := range []any{"", strings.Repeat("😀", domain.MaxSnowflakeUser+1), "a\x00b", 7} {
		link(annID, bad).faulted("body.snowflake_user")
	}
	assert.Nil(t, link(annID, nil).is(http.StatusOK).field("snowflake_user"))
	link(bobID, "ANN").is(http.StatusOK)
	ann.request("PATCH", "/users/me", fields{"snowflake_user": "ANN"}).faulted("body.snowflake_user")
}

func TestLengthsAreCountedInCodePoints(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	item := admin.newItem("x")
	_, id := admin.newAccount("ann@example.com")
	for _, at := range []struct {
		path, field string
		most        int
	}{{item, "title", 255}, {item, "description", 5000}, {"/users/" + id, "full_name", 255}, {"/users/me", "full_name", 255}} {
		admin.request("PATCH", at.path, fields{at.field: strings.Repeat("😀", at.most)}).is(http.StatusOK)
		admin.request("PATCH", at.path, fields{at.field: strings.Repeat("😀", at.most+1)}).faulted("body." + at.field)
		admin.request("PATCH", at.path, fields{at.field: "a\x00b"}).faulted("body." + at.field)
	}
	admin.request("PATCH", item, fields{"title": ""}).faulted("body.title")
	admin.request("PATCH", item, fields{"description": ""}).is(http.StatusOK)
	admin.request("PATCH", "/users/"+id, fields{"full_name": ""}).is(http.StatusOK)

	admin.request("PATCH", "/users/"+id, fields{"password": "üäößéèêë"}).is(http.StatusOK)
	admin.request("PATCH", "/users/"+id, fields{"password": strings.Repeat("üäößéèê😀", 16)}).is(http.StatusOK)
	for _, bad := range []string{"", "seven77", strings.Repeat("ü", 7), strings.Repeat("x", 129), "nul\x00inside"} {
		admin.request("PATCH", "/users/"+id, fields{"password": bad}).faulted("body.password")
	}
}

func TestAnEmailIsAPlainAddressInAnyLetterCase(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	_, id := admin.newAccount("ann@example.com")
	for sent, kept := range map[string]string{
		"Ann.X+tag@Sub.EXAMPLE.com":            "ann.x+tag@sub.example.com",
		"a@localhost":                          "a@localhost",
		"a@xn--bcher-kva.example":              "a@xn--bcher-kva.example",
		strings.Repeat("l", 64) + "@a.example": strings.Repeat("l", 64) + "@a.example",
	} {
		assert.Equal(t, kept, admin.request("PATCH", "/users/"+id, fields{"email": sent}).is(http.StatusOK).text("email"))
	}
	for _, bad := range []string{
		"", "a", "@", "a@", "@b", "a@b@c", "a b@c", `"a"@b`, "Ann <ann@b>", "a(c)@b", "a@b.", "a@-b", "a@[127.0.0.1]", "a..b@c", " a@b", "a@b\n", "a\x00@b",
		"ä@b", "a@bücher.example", strings.Repeat("l", 65) + "@b", "a@" + strings.Repeat("b", 64), strings.Repeat("x", 300) + "@b",
	} {
		r := admin.request("PATCH", "/users/"+id, fields{"email": bad}).is(http.StatusUnprocessableEntity)
		assert.Contains(t, r.faults(), "body.email", "%q", bad)
	}
	admin.request("PATCH", "/users/"+id, fields{"email": "ADMIN@Example.Com"}).refused(http.StatusConflict, "email_taken")
	admin.request("POST", "/users/", fields{"email": "ADMIN@Example.Com", "password": goodPassword}).refused(http.StatusConflict, "email_taken")
	admin.request("PATCH", "/users/"+id, fields{"email": "Ann@Example.Com"}).is(http.StatusOK)
	admin.signIn("aNN@eXAMPLE.cOM", goodPassword)
}

func TestOneReplyNamesEveryFaultyField(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	user := fields{
		"email": "not plain", "password": "short", "full_name": strings.Repeat("x", 256), "is_active": "yes", "is_superuser": 1, "role": "admin",
	}
	all := []string{"body.email", "body.password", "body.full_name", "body.is_active", "body.is_superuser", "body.role"}
	admin.request("POST", "/users/", user).faulted(all...)
	admin.request("PATCH", "/users/nonsense", user).faulted(append(all, "path.id")...)
	admin.request("POST", "/items/", fields{"title": "", "description": "a\x00", "price": 7}).faulted("body.title", "body.description", "body.price")
	admin.request("GET", "/items/?skip=-1&limit=0&count=perhaps&cursor="+strings.Repeat("x", 101), nil).
		faulted("query.skip", "query.limit", "query.count", "query.cursor")
	admin.request("PATCH", "/users/me/password", fields{"new_password": "password"}).faulted("body.current_password", "body.new_password")
}

func TestNoReplyRepeatsAPassword(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	user, id := admin.newAccount("ann@example.com")
	for _, secret := range []any{
		"hunt3r2", "hunt3r2" + strings.Repeat("x", 128), "hunt3r2\x00long", []string{"hunt3r2"}, fields{"hunt3r2": 1}, "hunt3r2 is fine",
	} {
		for _, reply := range []reply{
			admin.request("POST", "/users/", fields{"email": "not plain", "password": secret}),
			admin.request("PATCH", "/users/"+id, fields{"email": "not plain", "password": secret}),
			user.request("PATCH", "/users/me/password", fields{"current_password": secret, "new_password": secret}),
			admin.request("POST", "/users/", fields{"email": newID() + "@example.com", "password": secret}),
		} {
			assert.NotContains(t, string(reply.body), "hunt3r2", reply.call)
		}
	}
	reply := r.client(t).request("POST", "/auth/login", signInForm(adminEmail, "hunt3r2"))
	assert.NotContains(t, string(reply.body), "hunt3r2")
	reply = admin.request("POST", "/users/", `{"password":"hunt3r2"`)
	assert.NotContains(t, string(reply.body), "hunt3r2")
}

func TestACommonPasswordIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	user, id := admin.newAccount("ann@example.com")
	for _, common := range []string{"password", "PassWord", "12345678", "changethis"} {
		admin.request("POST", "/users/", fields{"email": "bob@example.com", "password": common}).faulted("body.password")
		admin.request("PATCH", "/users/"+id, fields{"password": common}).faulted("body.password")
		user.request("PATCH", "/users/me/password", fields{"current_password": goodPassword, "new_password": common}).faulted("body.new_password")
	}
	user.request("PATCH", "/users/me/password", fields{"current_password": goodPassword, "new_password": goodPassword}).faulted("body.new_password")
}
