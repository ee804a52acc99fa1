package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// corsHeaders returns the names of the CORS headers of a reply.
func corsHeaders(r reply) []string {
	var names []string
	for name := range r.header {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	return names
}

func TestOtherOriginsCannotReadRepliesByDefault(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	assert.Empty(t, corsHeaders(admin.request("GET", "/items/", nil, "Origin", "https://app.example.com").is(http.StatusOK)))
	preflight := admin.request("OPTIONS", "/items/", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST").is(http.StatusNoContent)
	assert.Empty(t, corsHeaders(preflight))
}

func TestConfiguredOriginsCanReadReplies(t *testing.T) {
	t.Parallel()
	const ours, other = "https://app.example.com", "http://localhost:3000"
	r := newService(t, "--cors-origins="+ours+","+other)
	admin := r.admin(t)
	for _, reply := range []reply{
		admin.request("GET", "/items/", nil, "Origin", ours).is(200),
		admin.request("POST", "/items/", "{", "Origin", ours).is(400),
		r.client(t).request("GET", "/items/", nil, "Origin", ours).is(401),
		admin.request("GET", "/nothing", nil, "Origin", ours).is(404),
		admin.request("PUT", "/items/", nil, "Origin", ours).is(405),
		admin.request("POST", "/items/", strings.Repeat(" ", 64<<10+1), "Origin", ours).is(413),
	} {
		assert.Equal(t, ours, reply.header.Get("Access-Control-Allow-Origin"), reply.call)
		assert.Empty(t, reply.header.Get("Access-Control-Allow-Credentials"), reply.call)
		assert.Contains(t, reply.header.Values("Vary"), "Origin", reply.call)
		exposed := reply.header.Get("Access-Control-Expose-Headers")
		for _, header := range []string{"ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"} {
			assert.Contains(t, strings.ToLower(exposed), strings.ToLower(header), reply.call)
		}
	}
	assert.Equal(t, other, admin.request("GET", "/items/", nil, "Origin", other).header.Get("Access-Control-Allow-Origin"))

	preflight := r.client(t).request("OPTIONS", "/items/", nil, "Origin", ours, "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "authorization,if-match").is(http.StatusNoContent)
	assert.Equal(t, ours, preflight.header.Get("Access-Control-Allow-Origin"))
	assert.Empty(t, preflight.header.Get("Access-Control-Allow-Credentials"))
	assert.Equal(t, "600", preflight.header.Get("Access-Control-Max-Age"))
	for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "DELETE"} {
		assert.Contains(t, preflight.header.Get("Access-Control-Allow-Methods"), method)
	}
	for _, header := range []string{"Authorization", "X-Authorization", "Content-Type", "If-Match", "X-Request-ID", "traceparent", "tracestate", "baggage", "X-Requested-With"} {
		assert.Contains(t, strings.ToLower(preflight.header.Get("Access-Control-Allow-Headers")), strings.ToLower(header))
	}

	for _, stranger := range []string{"https://evil.example.com", "http://app.example.com", "https://app.example.com.evil.example", "https://app.example.com:444", "null", "*"} {
		for _, reply := range []reply{
			admin.request("GET", "/items/", nil, "Origin", stranger).is(http.StatusOK),
			admin.request("OPTIONS", "/items/", nil, "Origin", stranger, "Access-Control-Request-Method", "POST").is(http.StatusNoContent),
		} {
			assert.Empty(t, reply.header.Get("Access-Control-Allow-Origin"), stranger)
		}
	}
}

func TestAllOriginsCanBeAllowedButWithoutCredentials(t *testing.T) {
	t.Parallel()
	c := newService(t, "--cors-origins=*").client(t)
	for _, reply := range []reply{
		c.request("GET", "/health", nil, "Origin", "https://app.example.com").is(http.StatusOK),
		c.request("OPTIONS", "/health", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET").is(http.StatusNoContent),
	} {
		assert.Equal(t, "*", reply.header.Get("Access-Control-Allow-Origin"))
		assert.Empty(t, reply.header.Get("Access-Control-Allow-Credentials"))
	}
}
