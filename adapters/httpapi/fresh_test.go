package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestTheDocumentSaysWhichOperationsNeedAFreshSignIn(t *testing.T) {
	for name, tt := range map[string]struct {
		extension any
		want      freshness
		fails     bool
	}{
		"none":                        {nil, freshness{}, false},
		"always":                      {true, freshness{always: true}, false},
		"with some fields":            {[]any{"email", "password"}, freshness{fields: []string{"email", "password"}}, false},
		"a text is a mistake":         {"email", freshness{}, true},
		"a field by itself is, too":   {map[string]any{"email": true}, freshness{}, true},
		"never is as good as nothing": {false, freshness{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			op := &openapi3.Operation{Extensions: map[string]any{}}
			if tt.extension != nil {
				op.Extensions["x-fresh-sign-in"] = tt.extension
			}
			got, err := newFreshness(op)
			assert.Equal(t, tt.fails, err != nil)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestAFreshSignInIsRequiredBeforeTheUseCaseAndTheFaultsOfTheBody(t *testing.T) {
	asked := 0
	s, _ := newServer(t, useCases{
		authenticate: func(token string) (domain.Actor, error) {
			return domain.Actor{ID: "an account", Superuser: token == "superuser"}, nil
		},
		requireFresh: func(by domain.Actor) error {
			asked++
			assert.Equal(t, "an account", by.ID)
			assert.Equal(t, "192.0.2.1", by.Source)
			return domain.ErrAuthTooOld
		},
	})
	for _, tt := range []struct{ method, path, token, body, code string }{
		{"DELETE", "/users/me", "x", "", "insufficient_user_authentication"},
		{"POST", "/users/me/clients", "x", "{", "insufficient_user_authentication"},
		{"PATCH", "/users/me", "x", `{"email":1}`, "insufficient_user_authentication"},
		{"PATCH", "/users/me", "x", `{"email":"a@b.c"`, "malformed"}, // what it asks for is unknown
		{"PATCH", "/users/me", "x", `{"emails":1}`, "invalid"},
		{"PATCH", "/users/me", "x", `["email"]`, "invalid"},
		{"PATCH", "/users/x", "superuser", `{"password":null}`, "insufficient_user_authentication"},
		{"PATCH", "/users/x", "x", `{"password":null}`, "invalid"},
		{"POST", "/users/", "superuser", `{"is_superuser":[]}`, "insufficient_user_authentication"},
		{"POST", "/users/", "superuser", `{"is_superuser":false,"snowflake_user":null}`, "invalid"},
		{"POST", "/users/", "x", `{"is_superuser":true}`, "invalid"},
	} {
		asked = 0
		w := send(s, tt.method, "/api/v1"+tt.path, strings.NewReader(tt.body), "Authorization", "Bearer "+tt.token)
		assert.Equal(t, tt.code, problem(t, w).Code, "%+v", tt)
		assert.Equal(t, tt.code == "insufficient_user_authentication", asked == 1, "%+v", tt)
	}
}

func TestAReadOnlyTokenIsForSafeMethodsOnly(t *testing.T) {
	s, logs := newServer(t, useCases{authenticate: func(string) (domain.Actor, error) {
		return domain.Actor{ID: "an account", ReadOnly: true}, nil
	}})
	for route, op := range s.contract.operations {
		if op.public || route.method == http.MethodGet || route.method == http.MethodHead {
			continue
		}
		w := send(s, route.method, strings.Replace(route.path, ":id", "x", 1), unreadable{t})
		assert.Equal(t, "insufficient_scope", problem(t, w).Code, route)
		line := logs.TakeAll()
		require.Len(t, line, 1)
		assert.Equal(t, "an account", line[0].ContextMap()["account_id"])
	}
}
