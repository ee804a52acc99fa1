package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/static"
)

// useCases are stubs. A stub that a test does not set panics.
type useCases struct {
	ports.Auth
	Users        ports.Users
	Credentials  ports.Credentials
	signIn       func(email, password string, from domain.Requester) (domain.Grant, error)
	authenticate func(token string) (domain.Actor, error)
	requireFresh func(by domain.Actor) error
	items        func(ctx context.Context, page domain.PageRequest) (domain.Page[domain.Item], error)
}

func (u useCases) SignIn(_ context.Context, email, password string, from domain.Requester) (domain.Grant, error) {
	return u.signIn(email, password, from)
}

func (u useCases) RequireFresh(by domain.Actor) error {
	if u.requireFresh != nil {
		return u.requireFresh(by)
	}
	return nil
}

// someGrant is what a sign-in returns.
func someGrant() domain.Grant {
	return domain.Grant{
		Access:  domain.Token{Value: "x", ExpiresIn: time.Minute},
		Refresh: domain.Some(domain.Token{Value: "y", ExpiresIn: time.Hour}),
	}
}

func (u useCases) Authenticate(token string) (domain.Actor, error) {
	if u.authenticate != nil {
		return u.authenticate(token)
	}
	if token != "good" {
		return domain.Actor{}, domain.ErrInvalidToken
	}
	return domain.Actor{ID: "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f", Epoch: 1}, nil
}

// items implements the use cases of items by stubs.
type items struct {
	ports.Items
	useCases
}

func (i items) List(ctx context.Context, _ domain.Actor, page domain.PageRequest) (domain.Page[domain.Item], error) {
	return i.useCases.items(ctx, page)
}

// newServer returns a Server on the stubs u, and its log.
func newServer(t testing.TB, u useCases) (*Server, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	s, err := New(Options{
		Docs: true,
		Auth: u, Users: u.Users, Credentials: u.Credentials, Items: items{useCases: u},
		Log: zap.New(core), Pages: static.Files,
		Name: "Echo", Version: "1", Storage: "memory", Prefix: "/api/v1", RequestTimeout: 10 * time.Second, TrustTraceparent: true,
	})
	require.NoError(t, err)
	return s, logs
}

// send sends a request with a valid token. Headers are names and values in turn.
func send(s *Server, method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// problem decodes the problem document of a reply.
func problem(t testing.TB, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p, json.RejectUnknownMembers(true)))
	assert.Equal(t, w.Code, p.Status)
	assert.Equal(t, http.StatusText(w.Code), p.Title)
	assert.Equal(t, w.Header().Get("X-Request-ID"), p.RequestId)
	return p
}

func TestTheRoutesAreThoseOfTheDocument(t *testing.T) {
	s, _ := newServer(t, useCases{})
	routes := map[routeKey]bool{}
	for _, r := range s.echo.Routes() {
		if r.Method != echo.RouteNotFound && !s.contract.open[r.Path] {
			routes[routeKey{r.Method, r.Path}] = true
		}
	}
	for key := range s.contract.operations {
		assert.True(t, routes[key], "%v is in the document and has no route", key)
	}
	for key := range routes {
		assert.Contains(t, s.contract.operations, key, "the route is not in the document")
	}

	probes := []string{"/livez", "/readyz"}
	for path := range s.contract.open {
		if path == "/" || path == "/api/v1/openapi.json" || strings.HasPrefix(path, "/static/") ||
			strings.HasPrefix(path, "/api/v1/docs") || strings.HasPrefix(path, "/api/v1/redoc") {
			continue // pages and their files
		}
		assert.Contains(t, probes, path, "an unknown open route")
	}
}

func TestARouteOutsideTheDocumentAndTheOpenRoutesIsRefused(t *testing.T) {
	s, _ := newServer(t, useCases{})
	reached := func(c echo.Context) error { return errors.New("the handler was reached") }
	s.echo.GET("/api/v1/extra", reached)
	s.echo.Any("/api/v1/items/:id/extra", reached)
	s.echo.PUT("/api/v1/items/", reached)
	assert.Equal(t, "no_such_path", problem(t, send(s, "GET", "/api/v1/extra", nil)).Code)
	assert.Equal(t, "no_such_path", problem(t, send(s, "POST", "/api/v1/items/x/extra", nil)).Code)
	assert.Equal(t, "no_such_path", problem(t, send(s, "PUT", "/api/v1/items/", nil)).Code)
}

// unreadable fails its test if it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestABodyIsReadOnlyAfterAuthentication(t *testing.T) {
	s, _ := newServer(t, useCases{})
	for _, authorization := range []string{"", "Bearer bad", "Basic YTpi"} {
		w := send(s, "POST", "/api/v1/items/", unreadable{t}, "Authorization", authorization)
		assert.Equal(t, http.StatusUnauthorized, w.Code)
	}
	assert.Equal(t, http.StatusUnsupportedMediaType, send(s, "POST", "/api/v1/items/", unreadable{t}, "Content-Type", "text/xml").Code)
	assert.Equal(t, http.StatusBadRequest, send(s, "POST", "/api/v1/items/?%zz", unreadable{t}).Code)
}

func TestTheSourceOfASignInIsThePeerAddressAndNoForwardedOne(t *testing.T) {
	var sources []string
	s, _ := newServer(t, useCases{signIn: func(_, _ string, from domain.Requester) (domain.Grant, error) {
		sources = append(sources, from.Source)
		return someGrant(), nil
	}})
	w := send(s, "POST", "/api/v1/auth/login", strings.NewReader("username=a&password=b"), "Content-Type", "application/x-www-form-urlencoded",
		"X-Forwarded-For", "203.0.113.1", "X-Real-IP", "203.0.113.2", "Forwarded", "for=203.0.113.3")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	assert.JSONEq(t, `{"access_token":"x","token_type":"bearer","expires_in":60,"refresh_token":"y","refresh_expires_in":3600}`,
		w.Body.String())
	assert.Equal(t, []string{"192.0.2.1"}, sources, "the address of httptest's client")
}

func TestAUseCaseGetsTheContextOfItsRequest(t *testing.T) {
	type key struct{}
	s, _ := newServer(t, useCases{items: func(ctx context.Context, _ domain.PageRequest) (domain.Page[domain.Item], error) {
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
		assert.Equal(t, "value", ctx.Value(key{}))
		assert.Equal(t, "the-id", requestinfo.FromContext(ctx).RequestID)
		return domain.Page[domain.Item]{}, nil
	}})
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), key{}, "value"), "GET", "/api/v1/items/", nil)
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("X-Request-ID", "the-id")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Empty(t, requestinfo.FromContext(t.Context()).RequestID, "without a request")
}

func TestAServerHasTheLimitsOfTheContract(t *testing.T) {
	s, _ := newServer(t, useCases{})
	h := s.HTTPServer()
	assert.Equal(t, 5*time.Second, h.ReadHeaderTimeout)
	assert.Equal(t, 10*time.Second, h.ReadTimeout)
	assert.Greater(t, h.WriteTimeout, h.ReadTimeout, "a 408 needs time to be written")
	assert.Positive(t, h.IdleTimeout)
	assert.Equal(t, 16<<10, h.MaxHeaderBytes+4096, "net/http allows 4096 bytes more")
	s.RequestTimeout = time.Second
	assert.Equal(t, time.Second, s.HTTPServer().ReadHeaderTimeout, "at most the time of the whole request")
}

func TestReadinessNeverGoesBack(t *testing.T) {
	s, _ := newServer(t, useCases{})
	for _, step := range []struct {
		set    State
		state  string
		status int
		store  string
	}{
		{Starting, "starting", 503, "not reached yet"}, {Ready, "ready", 200, "reached"}, {Starting, "ready", 200, "reached"},
		{Draining, "draining", 503, "reached"}, {Ready, "draining", 503, "reached"},
	} {
		s.SetState(step.set)
		w := send(s, "GET", "/readyz", nil)
		assert.Equal(t, step.status, w.Code)
		assert.JSONEq(t, `{"status":"`+step.state+`","storage":"memory","store":"`+step.store+`"}`, w.Body.String())
		assert.Equal(t, step.status == 503, w.Header().Get("Retry-After") != "")
		assert.Equal(t, step.state == "draining", w.Header().Get("Connection") == "close", "the next request goes to another instance")

		health := send(s, "GET", "/api/v1/health", nil, "Authorization", "")
		assert.Equal(t, step.status, health.Code)
		if step.status == 503 {
			assert.Equal(t, "not_ready", problem(t, health).Code)
		}
		assert.Equal(t, http.StatusOK, send(s, "GET", "/livez", nil).Code)
	}
}
