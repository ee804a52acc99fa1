package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// changeable creates an entity of each kind that has a version. It returns a client that may change it.
var changeable = map[string]func(admin client) (by client, path string, change fields){
	"an account": func(admin client) (client, string, fields) {
		_, id := admin.newAccount(newID() + "@example.com")
		return admin, "/users/" + id, fields{"full_name": "Ann"}
	},
	"one's own account": func(admin client) (client, string, fields) {
		user, _ := admin.newAccount(newID() + "@example.com")
		return user, "/users/me", fields{"full_name": "Ann"}
	},
	"an item": func(admin client) (client, string, fields) {
		return admin, admin.newItem("Snow shovel"), fields{"title": "Ice scraper"}
	},
}

func TestTheETagIsTheVersionOfAnEntity(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, create := range changeable {
		t.Run(name, func(t *testing.T) {
			by, path, change := create(admin.in(t))
			first := by.request("GET", path, nil).is(http.StatusOK)
			assert.Equal(t, `"1"`, first.header.Get("ETag"))

			nothing := by.request("PATCH", path, "{}").is(http.StatusOK)
			assert.Equal(t, `"1"`, nothing.header.Get("ETag"), "nothing changed")
			assert.JSONEq(t, string(first.body), string(nothing.body))

			changed := by.request("PATCH", path, change).is(http.StatusOK)
			assert.Equal(t, `"2"`, changed.header.Get("ETag"))
			assert.Greater(t, changed.text("updated_at"), first.text("updated_at"))
			assert.Equal(t, first.text("created_at"), changed.text("created_at"))

			same := by.request("PATCH", path, change).is(http.StatusOK)
			assert.Equal(t, `"2"`, same.header.Get("ETag"), "it had this value already")
			assert.Equal(t, `"2"`, by.request("GET", path, nil).header.Get("ETag"))
		})
	}
}

func TestAPasswordChangeIsRefusedIfIfMatchNamesAnotherVersion(t *testing.T) {
	t.Parallel()
	ann, _ := newService(t).admin(t).newAccount("ann@example.com")
	change := fields{"current_password": goodPassword, "new_password": goodPassword + "!"}
	ann.request("PATCH", "/users/me/password", change, "If-Match", `"2"`).refused(http.StatusPreconditionFailed, "stale")
	ann.request("PATCH", "/users/me/password", change, "If-Match", tags(17)).refused(http.StatusBadRequest, "malformed")
	ann.request("PATCH", "/users/me/password", change, "If-Match", `W/"1", "2"`).is(http.StatusNoContent)
}

func TestSeveralLinesOfIfMatchAreOneList(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	req, err := http.NewRequest("PATCH", admin.origin+"/api/v1"+admin.newItem("x"), strings.NewReader(`{"title":"y"}`))
	require.NoError(t, err)
	req.Header = http.Header{
		"Authorization": {"Bearer " + admin.token}, "Content-Type": {"application/json"},
		"If-Match": {`"of-another-service"`, `"1"`},
	}
	admin.send(req).is(http.StatusOK)
}

// matching are values of If-Match that allow version 2.
var matching = []string{
	`"2"`, ` "2" `, `"1", "2"`, `"2","1"`, `"2", "3"`, `"1","2","3"`, `"3", , "2",`, `"not ours", "2"`, `"a,b", "2"`, // strong
	`W/"2"`, `W/"1", W/"2"`, `W/"2", "3"`, `W/"1", "2"`, // weak: proxies weaken tags
	`*`, ` * `,
	tags(16), `"2"` + strings.Repeat(`, "x"`, 15), // as many tags as are allowed
}

// notMatching are values of If-Match that do not allow version 2.
var notMatching = []string{
	`"1"`, `"3"`, `"1", "3"`, `W/"1"`, `W/"3", "1"`, `"02"`, `"+2"`, `"-1"`, `"99999999999999999999"`, // other versions
	`"x"`, `""`, `W/""`, `"*"`, `"1,2"`, `"2 "`, // tags that are not ours
	`2`, `"`, `"2`, `nonsense`, `"2"x`, `w/"2"`, `W/2`, `W/ "2"`, `*, "2"`, `"2", *`, `"2" "3"`, // not a list of tags
}

// tags returns a list of n entity tags, the last of which is of version 2.
func tags(n int) string { return strings.Repeat(`"x", `, n-1) + `"2"` }

func TestAChangeIsRefusedIfIfMatchDoesNotAllowTheVersion(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, create := range changeable {
		t.Run(name, func(t *testing.T) {
			by, path, change := create(admin.in(t))
			by.request("PATCH", path, change).is(http.StatusOK)
			before := by.request("GET", path, nil)
			for _, value := range notMatching {
				by.request("PATCH", path, "{}", "If-Match", value).refused(http.StatusPreconditionFailed, "stale")
				by.request("DELETE", path, nil, "If-Match", value).refused(http.StatusPreconditionFailed, "stale")
			}
			for _, value := range []string{tags(17), `"2"` + strings.Repeat(`, W/"2"`, 16)} {
				by.request("PATCH", path, "{}", "If-Match", value).refused(http.StatusBadRequest, "malformed")
				by.request("DELETE", path, nil, "If-Match", value).refused(http.StatusBadRequest, "malformed")
			}
			assert.Equal(t, string(before.body), string(by.request("GET", path, nil).body))
		})
	}
}

func TestAChangeTakesEffectIfIfMatchAllowsTheVersion(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, create := range changeable {
		t.Run(name, func(t *testing.T) {
			by, path, change := create(admin.in(t))
			by.request("PATCH", path, change).is(http.StatusOK)
			for _, value := range matching {
				r := by.request("PATCH", path, "{}", "If-Match", value).is(http.StatusOK)
				assert.Equal(t, `"2"`, r.header.Get("ETag"))
			}
		})
		for _, value := range []string{`"2"`, `"2", "3"`, `"1", "2"`, `W/"2"`, `"3", W/"2"`, `*`, tags(16)} {
			t.Run(name+" can be deleted with "+value, func(t *testing.T) {
				by, path, change := create(admin.in(t))
				by.request("PATCH", path, change).is(http.StatusOK)
				by.request("DELETE", path, nil, "If-Match", value).is(http.StatusNoContent)
			})
		}
	}
}

func TestIfMatchWithAStarIsNotFoundIfNothingExists(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for _, collection := range []string{"/items/", "/users/"} {
		for _, value := range []string{`*`, `"1"`} {
			admin.request("PATCH", collection+newID(), "{}", "If-Match", value).refused(http.StatusNotFound, "not_found")
			admin.request("DELETE", collection+newID(), nil, "If-Match", value).refused(http.StatusNotFound, "not_found")
		}
	}
}
