package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"
)

// hostile are texts that break parsers.
var hostile = []string{
	"", " ", "\x00", "\xff\xfe", "%", "%00", "%zz", "%2e%2e%2f", "../../etc/passwd", "..;/", "\\", "'", `"`, "`", "<script>", "{{7*7}}", "${jndi:ldap://x}", "' OR 1=1 --",
	"null", "true", "[]", "{}", "{", "[", `"`, "-0", "1e400", "-1", "9223372036854775808", "0.1e-99999", "NaN", "😀", "\u202e", "\ud7ff", "é", "e\u0301",
	"*", `W/"1"`, `"1"`, "Bearer", "Bearer ", "Basic Og==", "x", "me", "users", "application/json", "text/html", "application/x-www-form-urlencoded",
	"gzip", "chunked", "bytes=0-", "100-continue", "websocket", "username=a&username=b", "a=%zz",
	strings.Repeat("[", 9000), strings.Repeat(`{"a":`, 9000), strings.Repeat("9", 5000), strings.Repeat("x", 3000),
}

var hostileHeaders = []string{
	"Authorization", "X-Authorization", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Expect", "If-Match", "If-None-Match", "X-Request-ID", "Origin", "Range",
	"Access-Control-Request-Method", "Accept", "Accept-Encoding", "Host", "Cookie", "X-Forwarded-For", "X-HTTP-Method-Override", "Upgrade", "Connection",
}

// hostileJSON draws objects with field names of the contract and arbitrary values.
func hostileJSON() *rapid.Generator[string] {
	text := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%q", rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()).Draw(t, "text"))
	})
	raw := rapid.OneOf(
		rapid.SampledFrom(hostile), text,
		rapid.SampledFrom([]string{`"\ud800"`, `"\u0000"`, `"\udc00\ud800"`, `1E+2`, `-0.0`, `1e308`, `123456789012345678901234567890`, `{"a":{"a":{}}}`, `[[],[[]]]`, `{"a":1,"a":2}`}))
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteString("{")
		for i, name := range rapid.SliceOfN(rapid.SampledFrom([]string{
			"title", "description", "email", "password", "full_name", "is_active", "is_superuser", "current_password", "new_password", "snowflake_user", "name", "read_only", "expires_at", "id", "TITLE", "",
		}), 0, 5).Draw(t, "names") {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "%q:%s", name, raw.Draw(t, "value"))
		}
		b.WriteString("}")
		return b.String()
	})
}

func TestNoRequestCausesAnInternalError(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	// A request that succeeds on the own account could end the token, so the target is another account.
	user, _ := admin.newAccount("ann@example.com", "is_superuser")
	_, other := admin.newAccount("bob@example.com")
	paths := append(slices.Clone(openPaths), "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout", "/api/v1/auth/snowflake", "/api/v1/users/me/sessions", "/api/v1/users/me/clients",
		"/api/v1/users/me/sessions/"+other, "/api/v1/users/me/clients/"+other, "/api/v1/users/me", "/api/v1/users/me/password", "/api/v1/users/", "/api/v1/items/", "/api/v1/items",
		"/api/v1/users/"+other, "/api/v1"+user.newItem("x"), "/api/v1/items/"+newID(), "/api/v1/health", "/api/v1/", "/nothing")
	contents := rapid.OneOf(hostileJSON(), rapid.SampledFrom(hostile), rapid.String(), rapid.Just(signInForm(adminEmail, "wrong").Encode()),
		rapid.SampledFrom([]string{"grant_type=client_credentials", "grant_type=client_credentials&client_id=%00&client_secret=x", "refresh_token=echo_rt_x.y", "token=%00"}))
	words := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String())

	send := func(t *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		if rapid.IntRange(0, 3).Draw(t, "longer") == 0 {
			path += "/" + words.Draw(t, "segment")
		}
		query := ""
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"skip", "limit", "cursor", "count", "x", "%zz", ";"}), 0, 3).Draw(t, "parameters") {
			query += "&" + name + "=" + words.Draw(t, "argument")
		}
		req, err := http.NewRequestWithContext(t.Context(), rapid.SampledFrom([]string{
			"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
		}).Draw(t, "method"), r.origin, strings.NewReader(contents.Draw(t, "body")))
		require.NoError(t, err)
		req.URL.Path, req.URL.RawQuery = path, strings.Map(sendable, strings.ReplaceAll(query, " ", "+"))
		req.Header.Set("Content-Type", rapid.SampledFrom([]string{"application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/xml"}).Draw(t, "type"))
		req.Header.Set("Authorization", "Bearer "+user.token)
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(hostileHeaders), 0, 3).Draw(t, "headers") {
			req.Header.Add(name, strings.Map(sendable, words.Draw(t, "header")))
		}
		answer, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		// net/http replies 501 to an unknown transfer encoding.
		if answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented {
			t.Fatalf("%s %s: %d %s", req.Method, req.URL, answer.StatusCode, body)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			send(t)
		}
	})

	for _, line := range r.logs.All() {
		require.Less(t, line.Level, zapcore.ErrorLevel, "%s %v", line.Message, line.ContextMap())
	}
	r.client(t).request("GET", "/health", nil).is(http.StatusOK)
	admin.request("GET", "/users/me", nil).is(http.StatusOK)
}

// sendable drops characters that a header or a query cannot contain.
func sendable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return -1
	}
	return c
}
