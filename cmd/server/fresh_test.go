package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// freshCall is a request that may need a fresh sign-in.
type freshCall struct {
	operation string
	method    string
	path      string // {ann} and {item} stand for ids
	body      any
	superuser bool // signed in as a superuser, not as Ann
	needs     bool // a fresh sign-in
}

// freshCalls has every operation that changes something, with bodies that differ in what they need.
var freshCalls = []freshCall{
	{"deleteMe", "DELETE", "/users/me", nil, false, true},
	{"deleteMe", "DELETE", "/users/me", nil, true, true},
	{"createClient", "POST", "/users/me/clients", fields{"name": "x"}, false, true},
	{"createClient", "POST", "/users/me/clients", fields{"name": "x", "read_only": true}, true, true},
	{"updateMe", "PATCH", "/users/me", fields{"email": "new@example.com"}, false, true},
	{"updateMe", "PATCH", "/users/me", fields{"email": nil, "nonsense": 1}, false, true},
	{"updateMe", "PATCH", "/users/me", fields{"full_name": "Ann"}, false, false},
	{"updateMe", "PATCH", "/users/me", fields{}, true, false},
	{"updateUser", "PATCH", "/users/{ann}", fields{"password": goodPassword + "!"}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"password": "short"}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"email": "new@example.com"}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"is_superuser": true}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"is_superuser": false}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"snowflake_user": "ANN"}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"snowflake_user": nil}, true, true},
	{"updateUser", "PATCH", "/users/nonsense", fields{"email": "new@example.com"}, true, true},
	{"updateUser", "PATCH", "/users/{ann}", fields{"full_name": "Ann"}, true, false},
	{"updateUser", "PATCH", "/users/{ann}", fields{"is_active": true}, true, false},
	{"updateUser", "PATCH", "/users/{ann}", fields{"email": "new@example.com"}, false, false}, // 403
	{"createUser", "POST", "/users/", fields{"email": "b@example.com", "password": goodPassword, "is_superuser": true}, true, true},
	{"createUser", "POST", "/users/", fields{"email": "b@example.com", "password": goodPassword, "snowflake_user": "B"}, true, true},
	{"createUser", "POST", "/users/", fields{"is_superuser": "yes"}, true, true},
	{"createUser", "POST", "/users/", fields{"email": "b@example.com", "password": goodPassword}, true, false},
	{"createUser", "POST", "/users/", fields{"email": "b@example.com", "password": goodPassword, "is_superuser": false, "snowflake_user": nil}, true, false},
	{"createUser", "POST", "/users/", fields{"is_superuser": true}, false, false}, // 403
	{"changePassword", "PATCH", "/users/me/password", fields{"current_password": goodPassword, "new_password": goodPassword + "!"}, false, false},
	{"deleteClient", "DELETE", "/users/me/clients/{ann}", nil, false, false},
	{"deleteSession", "DELETE", "/users/me/sessions/{ann}", nil, false, false},
	{"logoutAll", "POST", "/auth/logout-all", nil, false, false},
	{"signOutUser", "DELETE", "/users/{ann}/sessions", nil, true, false},
	{"deleteUser", "DELETE", "/users/{ann}", nil, true, false},
	{"createItem", "POST", "/items/", fields{"title": "x"}, false, false},
	{"updateItem", "PATCH", "/items/{item}", fields{"title": "x"}, false, false},
	{"deleteItem", "DELETE", "/items/{item}", nil, false, false},
}

func TestWhatHurtsNeedsAFreshSignIn(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	for n, call := range freshCalls {
		t.Run(fmt.Sprintf("%d %s %s %v", n, call.method, call.path, call.body), func(t *testing.T) {
			ann, annID := admin.in(t).newAccount(newID() + "@example.com")
			item := ann.newItem("x")
			by := ann
			if call.superuser {
				by, _ = admin.in(t).newAccount(newID()+"@example.com", "is_superuser")
			}
			p := by.newClient(fields{"name": "never fresh"})
			path := strings.NewReplacer("{ann}", annID, "/items/{item}", item).Replace(call.path)
			send := func(as client) reply { return as.request(call.method, path, call.body) }
			const age = domain.MaxAuthAge
			for name, old := range map[string]client{
				"too old": r.signedInBefore(t, by, age+2*time.Second), "a program": p.signIn(by),
			} {
				if !call.needs {
					break
				}
				refused := send(old)
				refused.refused(http.StatusUnauthorized, "insufficient_user_authentication")
				assert.Equal(t, `Bearer error="insufficient_user_authentication", max_age=900`, refused.header.Get("WWW-Authenticate"), name)
			}
			last := r.signedInBefore(t, by, age-10*time.Second)
			if !call.needs {
				last = r.signedInBefore(t, by, 24*time.Hour)
			}
			if got := send(last); got.status == http.StatusUnauthorized {
				t.Errorf("refused: %s", got.body)
			}
		})
	}
}

func TestTheTableOfFreshSignInsHasEveryChange(t *testing.T) {
	listed := map[string]bool{}
	for _, call := range freshCalls {
		listed[call.operation] = listed[call.operation] || call.needs
	}
	for _, o := range operations() {
		if o.public() || o.method == http.MethodGet {
			assert.NotContains(t, o.Extensions, "x-fresh-sign-in", o.OperationID)
			continue
		}
		needs, ok := listed[o.OperationID]
		require.True(t, ok, "%s is missing", o.OperationID)
		assert.Equal(t, needs, o.Extensions["x-fresh-sign-in"] != nil, o.OperationID)
		named, _ := o.Extensions["x-fresh-sign-in"].([]any)
		for _, field := range named {
			assert.Contains(t, o.RequestBody.Value.Content[o.mediaType()].Schema.Value.Properties, field)
		}
		for _, field := range named {
			assert.True(t, slices.ContainsFunc(freshCalls, func(c freshCall) bool {
				body, _ := c.body.(fields)
				_, sent := body[field.(string)]
				return c.operation == o.OperationID && c.needs && sent
			}), "%s has no call with %s", o.OperationID, field)
		}
	}
}

func TestARefreshDoesNotRenewTheSignIn(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	g := ann.signInFully("ann@example.com")
	before, err := r.service.tokens.Verify(g.access)
	require.NoError(t, err)
	time.Sleep(1100 * time.Millisecond) // it is in whole seconds
	after, err := r.service.tokens.Verify(grantOf(ann.refresh(g.refresh)).access)
	require.NoError(t, err)
	assert.Equal(t, before.AuthTime, after.AuthTime)
	assert.Equal(t, before.SessionID, after.SessionID)
	assert.WithinDuration(t, now(), before.AuthTime, time.Minute)
}

func TestAStaleOrReadOnlyTokenIsRefusedBeforeAnyStatementAndEverythingElse(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	f := newFixtureOn(t, store)
	ann, id := f.account("ann@example.com")
	require.NoError(t, store.DeleteUser(t.Context(), f.actorOf(ann), id, domain.Versions{}))
	old := f.signedInBefore(t, ann, time.Hour)
	old.request("DELETE", "/users/me?%zz", "{", "If-Match", strings.Repeat(`"1",`, 99)).refused(http.StatusUnauthorized, "insufficient_user_authentication")
	old.request("POST", "/users/me/clients", "x", "Content-Type", "text/plain").refused(http.StatusUnauthorized, "insufficient_user_authentication")
	old.request("PATCH", "/users/me", `{"email":1,"x":2}`, "If-Match", strings.Repeat(`"1",`, 99)).refused(http.StatusUnauthorized, "insufficient_user_authentication")
	old.request("PATCH", "/users/me", fields{"full_name": "x"}).refused(http.StatusUnauthorized, "signed_out")

	actor := f.actorOf(ann)
	actor.ReadOnly = true
	token, err := f.service.tokens.Issue(actor)
	require.NoError(t, err)
	ann.with(token.Value).request("DELETE", "/users/me", nil).refused(http.StatusForbidden, "insufficient_scope")
	ann.with(token.Value).request("POST", "/items/?%zz", "{", "Content-Type", "x").refused(http.StatusForbidden, "insufficient_scope")
	ann.with(token.Value).request("GET", "/items/", nil).refused(http.StatusUnauthorized, "signed_out")
}

// actorOf returns the actor of the token of c.
func (f fixture) actorOf(c client) domain.Actor {
	f.t.Helper()
	actor, err := f.service.tokens.Verify(c.token)
	require.NoError(f.t, err)
	return actor
}
