package main

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// costs returns the table of docs/snowflake-store.md: calls of the API, and the number of requests to
// Snowflake that each makes on an open connection.
func costs(t *testing.T, admin client) []struct {
	call string
	do   func()
	want int
} {
	ann, annID := admin.newAccount("ann@example.com")
	_, benID := admin.newAccount("ben@example.com")
	cid, _ := admin.newAccount("cid@example.com")
	dan, _ := admin.newAccount("dan@example.com")
	eve, _ := admin.newAccount("eve@example.com")
	asEve := eve.request("POST", "/auth/login", signInForm("eve@example.com", goodPassword)).is(200)
	eve.token = asEve.text("access_token")
	refresh := url.Values{"refresh_token": {asEve.text("refresh_token")}}
	logout := url.Values{"token": {asEve.text("refresh_token")}}
	program := eve.request("POST", "/users/me/clients", fields{"name": "a program"}).is(201)
	secret := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {program.text("client_id")},
		"client_secret": {program.text("client_secret")},
	}
	sessions := eve.request("GET", "/users/me/sessions", nil).is(200).rows()
	older := "/users/me/sessions/" + sessions[len(sessions)-1]["id"].(string)
	kept, dropped, others := ann.newItem("kept"), ann.newItem("dropped"), ann.newItem("of another account")
	newPassword := fields{"current_password": goodPassword, "new_password": goodPassword + "!"}
	newUser := fields{"email": "new@example.com", "password": goodPassword}
	do := func(c client, method, path string, body any, status int) func() {
		return func() { c.request(method, path, body).is(status) }
	}
	return []struct {
		call string
		do   func()
		want int
	}{
		{"GET /users/me", do(ann, "GET", "/users/me", nil, 200), 1},
		{"GET /users/", do(admin, "GET", "/users/", nil, 200), 1},
		{"GET /users/{id}", do(admin, "GET", "/users/"+annID, nil, 200), 1},
		{"GET /items/", do(ann, "GET", "/items/", nil, 200), 1},
		{"GET /items/{id}", do(ann, "GET", kept, nil, 200), 1},
		{"POST /items/", do(ann, "POST", "/items/", fields{"title": "new"}, 201), 1},
		{"DELETE /items/{id}", do(ann, "DELETE", dropped, nil, 204), 1},
		{"DELETE /items/{id}, which is gone", do(ann, "DELETE", dropped, nil, 404), 2},
		{"DELETE /items/{id}, as a superuser", do(admin, "DELETE", others, nil, 204), 2},
		{"PATCH /items/{id}", do(ann, "PATCH", kept, fields{"title": "other"}, 200), 2},
		{"POST /auth/login", do(admin, "POST", "/auth/login", signInForm("ann@example.com", goodPassword), 200), 2},
		{"POST /auth/refresh", do(eve, "POST", "/auth/refresh", refresh, 200), 2},
		{"POST /auth/refresh, again within a minute", do(eve, "POST", "/auth/refresh", refresh, 200), 1},
		{"POST /auth/login, a client for the first time", do(eve, "POST", "/auth/login", secret, 200), 2},
		{"POST /auth/login, a client", do(eve, "POST", "/auth/login", secret, 200), 1},
		{"GET /users/me/sessions", do(eve, "GET", "/users/me/sessions", nil, 200), 1},
		{"DELETE /users/me/sessions/{id}", do(eve, "DELETE", older, nil, 204), 1},
		{"GET /users/me/clients", do(eve, "GET", "/users/me/clients", nil, 200), 1},
		{"POST /users/me/clients", do(eve, "POST", "/users/me/clients", fields{"name": "another"}, 201), 4},
		{"DELETE /users/me/clients/{id}", do(eve, "DELETE", "/users/me/clients/"+program.text("client_id"), nil, 204), 1},
		{"POST /auth/logout, with a refresh token", do(eve, "POST", "/auth/logout", logout, 204), 2},
		{"POST /auth/logout, with a bearer token alone", do(ann, "POST", "/auth/logout", nil, 204), 1},
		{"POST /auth/logout-all", do(eve, "POST", "/auth/logout-all", nil, 204), 2},
		{"DELETE /users/{id}/sessions", do(admin, "DELETE", "/users/"+benID+"/sessions", nil, 204), 2},
		{"PATCH /users/me, a name", do(ann, "PATCH", "/users/me", fields{"full_name": "Ann"}, 200), 2},
		{"PATCH /users/me, an e-mail", do(ann, "PATCH", "/users/me", fields{"email": "ann2@example.com"}, 200), 5},
		{"PATCH /users/me/password", do(cid, "PATCH", "/users/me/password", newPassword, 204), 2},
		{"PATCH /users/{id}, a name", do(admin, "PATCH", "/users/"+benID, fields{"full_name": "Ben"}, 200), 2},
		{"PATCH /users/{id}, a user of Snowflake", do(admin, "PATCH", "/users/"+benID, fields{"snowflake_user": "BEN"}, 200), 5},
		{"PATCH /users/{id}, a new superuser", do(admin, "PATCH", "/users/"+benID, fields{"is_superuser": true}, 200), 2},
		{"PATCH /users/{id}, a superuser no more", do(admin, "PATCH", "/users/"+benID, fields{"is_superuser": false}, 200), 5},
		{"POST /users/", do(admin, "POST", "/users/", newUser, 201), 4},
		{"POST /users/, an e-mail that is taken", do(admin, "POST", "/users/", newUser, 409), 5},
		{"DELETE /users/{id}", do(admin, "DELETE", "/users/"+benID, nil, 204), 7},
		{"DELETE /users/me", do(dan, "DELETE", "/users/me", nil, 204), 7},
		{"any, with a token that has ended", do(dan, "GET", "/items/", nil, 401), 1},
		{"GET /health", do(ann, "GET", "/health", nil, 200), 0},
	}
}

func TestEachCallCostsWhatItsTableSays(t *testing.T) {
	t.Parallel()
	r, server := newServiceOnSnowflake(t)
	table := "| call | requests to Snowflake |\n|---|---|\n"
	for _, c := range costs(t, r.admin(t)) {
		server.Reset()
		c.do()
		assert.Len(t, server.Requests(), c.want, c.call)
		table += fmt.Sprintf("| %s | %d |\n", c.call, c.want)
	}

	legacy, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	require.NoError(t, err)
	server.Exec("UPDATE users SET password_hash = ? WHERE email = ?", string(legacy), "ann2@example.com")
	server.Reset()
	r.client(t).signIn("ann2@example.com", goodPassword)
	assert.Len(t, server.Requests(), 3)
	table += "| POST /auth/login, with a hash that is brought up to date | 3 |\n"

	server.Reset()
	for _, probe := range []string{"/livez", "/readyz"} {
		assert.Equal(t, http.StatusOK, r.status(probe))
	}
	assert.Empty(t, server.Requests())
	table += "| /livez, /readyz | 0 |\n"

	checkTable(t, "docs/snowflake-store.md", "cost", table)
}

func TestAConnectionLogsInOnce(t *testing.T) {
	t.Parallel()
	const clients, requests = 8, 1000
	r, server := newServiceOnSnowflake(t)
	admin := r.admin(t)
	server.Reset()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range requests / clients {
				admin.request("GET", "/users/me", nil).is(http.StatusOK)
			}
		})
	}
	all.Wait()
	assert.LessOrEqual(t, server.Logins(), clients)
	assert.Equal(t, requests, server.Statements())
}
