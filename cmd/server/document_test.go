package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	waitLimit    = 10 * time.Second
	pollInterval = 2 * time.Millisecond
)

// document is openapi.yaml, read from the file and not from the service.
var document = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromFile("../../adapters/httpapi/openapi.yaml")
	if err != nil {
		panic(err)
	}
	return doc
})

// operationOf returns the operation of a path below the prefix, or nil. It prefers a path without parameters.
// A list may come with or without a slash at its end.
func operationOf(method, path string) *routers.Route {
	switch path {
	case "/users", "/items":
		path += "/"
	case "/users/me/sessions/", "/users/me/clients/":
		path = strings.TrimSuffix(path, "/")
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found *routers.Route
	for template, item := range document().Paths.Map() {
		pattern := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(template, `[^/]+`)
		op := item.GetOperation(method)
		if op == nil || !regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			continue
		}
		if found == nil || strings.Count(template, "{") < strings.Count(found.Path, "{") {
			found = &routers.Route{Spec: document(), Path: template, PathItem: item, Method: method, Operation: op}
		}
	}
	return found
}

// general are the statuses that any request may get. The document's description lists them.
var general = map[int]bool{
	http.StatusMethodNotAllowed: true, http.StatusRequestURITooLong: true,
	http.StatusRequestHeaderFieldsTooLarge: true, http.StatusMisdirectedRequest: true, http.StatusInternalServerError: true,
}

// checkReply checks a reply against the document, and the headers that every reply has.
func checkReply(t testing.TB, req *http.Request, r reply) {
	t.Helper()
	what := req.Method + " " + req.URL.Path
	assert.Regexp(t, `^[A-Za-z0-9._-]{1,128}$`, r.header.Get("X-Request-ID"), what)
	assert.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"), what)
	assert.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"), what)
	assert.Contains(t, r.header.Get("Content-Security-Policy"), "default-src 'none'", what)
	if r.status >= 400 && req.Method != http.MethodHead && len(r.body) > 0 && !strings.HasPrefix(req.URL.Path, "/readyz") {
		assert.Equal(t, "application/problem+json", r.header.Get("Content-Type"), what)
		assert.Equal(t, r.header.Get("X-Request-ID"), r.text("request_id"), what)
	}

	path, below := strings.CutPrefix(req.URL.Path, "/api/v1")
	if !below || encodedSlash.MatchString(req.URL.EscapedPath()) {
		return
	}
	route := operationOf(req.Method, path)
	if route == nil || general[r.status] || req.Method == http.MethodHead {
		return
	}
	if route.Operation.Security == nil && r.status != http.StatusUnauthorized && r.status != http.StatusBadRequest {
		assert.Equal(t, "no-store", r.header.Get("Cache-Control"), what)
	}
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
		Status:                 r.status,
		Header:                 r.header,
		Body:                   io.NopCloser(bytes.NewReader(r.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	require.NoError(t, err, "%s: %d %s", what, r.status, r.body)
}

// encodedSlash matches escaped paths that look like other paths after decoding.
var encodedSlash = regexp.MustCompile("(?i)%2f")

func TestTheDocumentIsValidOpenAPI(t *testing.T) {
	assert.NoError(t, document().Validate(t.Context()))
}

func TestAnInstallationNeedNotPublishItsDocument(t *testing.T) {
	t.Parallel()
	r := newService(t, "--docs=off")
	for _, path := range []string{"/", "/static/style.css", "/api/v1/docs", "/api/v1/redoc", "/api/v1/openapi.json"} {
		assert.Equal(t, http.StatusNotFound, r.status(path), path)
	}
	assert.Equal(t, http.StatusOK, r.status("/livez"))
	r.admin(t).newItem("x")
	assert.Zero(t, r.logs.FilterMessageSnippet("documentation").Len())
}
