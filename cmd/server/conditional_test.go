package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// changeable creates each kind of entity that has a version, and says who may change it.
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
			assert.Equal(t, `"1"`, nothing.header.Get("ETag"), "nothing was changed")
			assert.JSONEq(t, string(first.body), string(nothing.body))

			changed := by.request("PATCH", path, change).is(http.StatusOK)
			assert.Equal(t, `"2"`, changed.header.Get("ETag"))
			assert.Greater(t, changed.text("updated_at"), first.text("updated_at"))
			assert.Equal(t, first.text("created_at"), changed.text("created_at"))

			same := by.request("PATCH", path, change).is(http.StatusOK)
			assert.Equal(t, `"2"`, same.header.Get("ETag"), "it was like that already")
			assert.Equal(t, `"2"`, by.request("GET", path, nil).header.Get("ETag"))
		})
	}
}

func TestAPasswordIsChangedOnlyInTheVersionThatItIsMeantFor(t *testing.T) {
	t.Parallel()
	ann, _ := newService(t).admin(t).newAccount("ann@example.com")
	change := fields{"current_password": goodPassword, "new_password": goodPassword + "!"}
	ann.request("PATCH", "/users/me/password", change, "If-Match", `"2"`).refused(http.StatusPreconditionFailed, "stale")
	ann.request("PATCH", "/users/me/password", change, "If-Match", `"1"`).is(http.StatusNoContent)
}

func TestSeveralLinesOfIfMatchAreOneList(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	req, err := http.NewRequest("PATCH", admin.origin+"/api/v1"+admin.newItem("x"), strings.NewReader(`{"title":"y"}`))
	require.NoError(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + admin.token}, "Content-Type": {"application/json"}, "If-Match": {`"of-another-service"`, `"1"`}}
	admin.send(req).is(http.StatusOK)
}

func TestAChangeIsMadeOnlyToTheVersionThatItIsMeantFor(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	for name, create := range changeable {
		t.Run(name, func(t *testing.T) {
			by, path, change := create(admin.in(t))
			by.request("PATCH", path, change).is(http.StatusOK)
			before := by.request("GET", path, nil)

			for _, other := range []string{
				`"1"`, `"3"`, `"1", "3"`, `"02"`, `"+2"`, `"-1"`, `"99999999999999999999"`, // not its version
				`W/"2"`, `w/"2"`, `W/"1", W/"2"`, // weak tags never match (RFC 9110 §13.1.1)
				`2`, `""`, `"`, `"2`, `nonsense`, `*, "1"`, `"*"`, `"2"x`, // not an ETag of ours
			} {
				by.request("PATCH", path, "{}", "If-Match", other).refused(http.StatusPreconditionFailed, "stale")
				by.request("DELETE", path, nil, "If-Match", other).refused(http.StatusPreconditionFailed, "stale")
			}
			after := by.request("GET", path, nil)
			assert.Equal(t, string(before.body), string(after.body))

			for _, its := range []string{`"2"`, `*`, ` * `, `"1", "2"`, `"2","1"`, `W/"1", "2"`} {
				r := by.request("PATCH", path, "{}", "If-Match", its).is(http.StatusOK)
				assert.Equal(t, `"2"`, r.header.Get("ETag"))
			}
			by.request("DELETE", path, nil, "If-Match", `"1", "2"`).is(http.StatusNoContent)
		})
		t.Run(name+" of any version", func(t *testing.T) {
			by, path, _ := create(admin.in(t))
			by.request("DELETE", path, nil, "If-Match", "*").is(http.StatusNoContent)
		})
	}
}
