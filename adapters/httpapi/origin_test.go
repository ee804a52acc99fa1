package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/static"
)

func TestAPageOfAForeignSiteCannotSignIn(t *testing.T) {
	const ours, foreign = "https://app.example.net", "https://evil.example"
	signIns := 0
	u := useCases{signIn: func(string, string, domain.Requester) (domain.Grant, error) {
		signIns++
		return someGrant(), nil
	}}
	status := func(s *Server, headers ...string) int {
		signIns = 0
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
		w := send(s, "POST", "/api/v1/auth/login", strings.NewReader("username=a&password=b"), headers...)
		if w.Code == http.StatusForbidden {
			assert.Equal(t, "cross_site", problem(t, w).Code)
			assert.Zero(t, signIns, "it must not count as an attempt")
		}
		return w.Code
	}
	for _, tt := range []struct {
		origins []string // of CORS_ORIGINS
		headers []string
		want    int
	}{
		{nil, nil, 200}, // a program
		{nil, []string{"Origin", "http://example.com", "Sec-Fetch-Site", "same-origin"}, 200},
		{nil, []string{"Origin", "http://example.com"}, 200}, // the host that httptest's requests name
		{nil, []string{"Sec-Fetch-Site", "none"}, 200},
		{nil, []string{"Origin", foreign, "Sec-Fetch-Site", "cross-site"}, 403},
		{nil, []string{"Origin", foreign, "Sec-Fetch-Site", "same-site"}, 403},
		{nil, []string{"Origin", foreign}, 403},
		{nil, []string{"Origin", "null"}, 403},
		{[]string{ours}, []string{"Origin", ours, "Sec-Fetch-Site", "cross-site"}, 200},
		{[]string{ours}, []string{"Origin", ours}, 200},
		{[]string{ours}, []string{"Origin", foreign, "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"*"}, []string{"Origin", foreign, "Sec-Fetch-Site", "cross-site"}, 200},
	} {
		s, err := New(Options{
			Docs: true,
			Auth: u, Users: u.Users, Items: items{useCases: u}, Log: zap.NewNop(), Pages: static.Files,
			Prefix: "/api/v1", RequestTimeout: time.Second, CORSOrigins: tt.origins,
		})
		require.NoError(t, err)
		assert.Equal(t, tt.want, status(s, tt.headers...), "%v with %v", tt.headers, tt.origins)
	}
	forms := map[string]string{"login": "username=a&password=b", "refresh": "refresh_token=a", "logout": "token=a", "logout-all": "", "snowflake": ""}
	s, _ := newServer(t, useCases{})
	for path, form := range forms { // their use cases are not reached: they would panic
		w := send(s, "POST", "/api/v1/auth/"+path, strings.NewReader(form), "Sec-Fetch-Site", "cross-site")
		assert.Equal(t, http.StatusForbidden, w.Code, path)
		assert.Equal(t, "cross_site", problem(t, w).Code, path)
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
	}
	for route := range s.contract.operations {
		if path, below := strings.CutPrefix(route.path, "/api/v1/auth/"); below {
			assert.Contains(t, forms, path)
		}
	}
	s, _ = newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{}, nil
	}})
	assert.Equal(t, http.StatusOK, send(s, "GET", "/api/v1/items/", nil, "Sec-Fetch-Site", "cross-site").Code,
		"a token is never sent by the browser itself")
}

func TestTheDefaultsOfDevelopmentAnswerOnLoopbackNamesOnly(t *testing.T) {
	s, err := New(Options{
		Docs: true,
		Log:  zap.NewNop(), Pages: static.Files, Prefix: "/api/v1", RequestTimeout: time.Second, OnlyLoopback: true,
	})
	require.NoError(t, err)
	status := func(host string) int {
		r := httptest.NewRequest("GET", "/livez", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			assert.Equal(t, "not_loopback", problem(t, w).Code)
			assert.Contains(t, problem(t, w).Detail, "FIRST_SUPERUSER_PASSWORD", "what to do")
		}
		return w.Code
	}
	for _, own := range []string{
		"localhost", "LOCALHOST:8000", "localhost.", "app.localhost:1", "127.0.0.1", "127.1.2.3:8000", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]",
		"", // HTTP/1.0, which no browser speaks
	} {
		assert.Equal(t, http.StatusOK, status(own), own)
	}
	for _, foreign := range []string{
		"example.com", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "10.0.0.1", "[2001:db8::1]:80", "0.0.0.0", "a b",
	} {
		assert.Equal(t, http.StatusMisdirectedRequest, status(foreign), foreign)
	}
}
