package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestEveryKindOfErrorHasAStatus(t *testing.T) {
	for kind := domain.Internal; kind <= domain.InvalidGrant; kind++ {
		assert.NotEmpty(t, http.StatusText(statusOf[kind]), "kind %d", kind)
	}
	assert.Len(t, statusOf, int(domain.InvalidGrant)+1)
}

func TestAnErrorBecomesAProblemWithItsCode(t *testing.T) {
	internal := func(err error) Problem {
		return Problem{Type: "about:blank", Status: 500, Title: "Internal Server Error", Code: "internal", Detail: problemOf(err).Detail}
	}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{domain.ErrSignedOut, 401, "signed_out"},
		{domain.ErrInvalidToken, 401, "invalid_token"},
		{domain.ErrBadCredentials, 401, "bad_credentials"},
		{domain.ErrInvalidGrant, 400, "invalid_grant"},
		{domain.ErrPasswordSignInOff, 400, "unsupported_grant_type"},
		{domain.ErrInvalidClient, 401, "invalid_client"},
		{errNoClient, 401, "invalid_client"},
		{domain.ErrAuthTooOld, 401, "insufficient_user_authentication"},
		{domain.ErrInsufficientScope, 403, "insufficient_scope"},
		{domain.ErrNoCallerToken, 401, "no_caller_token"},
		{domain.ErrNoAccount, 403, "no_account"},
		{domain.ErrSnowflakeSignInOff, 404, "snowflake_sign_in_off"},
		{domain.ErrSnowflakeUserTaken, 409, "snowflake_user_taken"},
		{domain.ErrTooManyClients, 409, "too_many_clients"},
		{domain.ErrWrongPassword, 403, "wrong_password"},
		{domain.ErrSuperuserRequired, 403, "superuser_required"},
		{domain.ErrCannotDeleteSelf, 403, "cannot_delete_self"},
		{domain.ErrNotFound, 404, "not_found"},
		{domain.ErrEmailTaken, 409, "email_taken"},
		{domain.ErrLastSuperuser, 409, "last_superuser"},
		{domain.ErrStale, 412, "stale"},
		{domain.InvalidFields(domain.FieldError{Field: "x", Message: "y"}), 422, "invalid"},
		{domain.ErrTooManyAttempts, 429, "too_many_attempts"},
		{domain.ErrBusy, 503, "busy"},
		{domain.ErrContended, 503, "contended"},
		{domain.ErrUnavailable, 503, "unavailable"},
		{domain.ErrOutcomeUnknown, 503, "outcome_unknown"},
		{domain.ErrUnavailable.WithCause(errors.New("secret")), 503, "unavailable"},
		{fmt.Errorf("secret: %w", domain.ErrNotFound), 404, "not_found"},
		{errNotReady, 503, "not_ready"},
		{malformed("x"), 400, "malformed"},
		{tooLarge(maxBody), 413, "too_large"},
		{fmt.Errorf("secret: %w", tooLarge(maxBody)), 413, "too_large"},
		{echo.ErrNotFound, 404, "no_such_path"},
		{echo.ErrMethodNotAllowed, 405, "method_not_allowed"},
		{echo.NewHTTPError(400, "secret"), 400, "malformed"},
	} {
		p := problemOf(c.err)
		assert.Equal(t, c.status, p.Status, "%v", c.err)
		assert.Equal(t, c.code, p.Code, "%v", c.err)
		assert.Equal(t, http.StatusText(c.status), p.Title)
		assert.NotEmpty(t, p.Detail)
		assert.NotContains(t, strings.ReplaceAll(p.Detail, "client_secret", ""), "secret")
	}
	for _, err := range []error{
		errors.New("secret"), context.DeadlineExceeded, &domain.Error{Code: "secret", Message: "secret"}, echo.NewHTTPError(418, "secret"), echo.NewHTTPError(500, "secret"),
	} {
		p := problemOf(err)
		assert.Equal(t, internal(err), p, "%v", err)
		assert.NotContains(t, p.Detail, "secret")
	}
}

func TestTheLocationOfADomainFieldIsTheBody(t *testing.T) {
	p := problemOf(domain.InvalidFields(domain.FieldError{Field: "new_password", Message: "must differ"}))
	assert.Equal(t, &[]FieldError{{"body.new_password", "must differ"}}, p.Errors)
	assert.Nil(t, problemOf(domain.ErrNotFound).Errors)
}

// newFailingServer returns a Server on which the list of items fails with err. The function returns the
// fields of its one log line.
func newFailingServer(t *testing.T, err error) (*Server, func() map[string]any) {
	s, logs := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{}, err
	}})
	return s, func() map[string]any {
		t.Helper()
		lines := logs.TakeAll()
		require.Len(t, lines, 1)
		fields := lines[0].ContextMap()
		fields["level"] = lines[0].Level
		return fields
	}
}

func TestAnInternalErrorIsLoggedOnceAndHiddenFromTheClient(t *testing.T) {
	s, logged := newFailingServer(t, errors.New("SELECT password FROM users"))
	w := send(s, "GET", "/api/v1/items/", nil, "X-Request-ID", "the-id")
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Equal(t, "internal", problem(t, w).Code)
	assert.NotContains(t, w.Body.String(), "SELECT")

	line := logged()
	assert.Equal(t, zapcore.ErrorLevel, line["level"])
	assert.Equal(t, "the-id", line["request_id"])
	assert.Equal(t, "SELECT password FROM users", line["error"])
}

func TestAPanicFailsOnlyItsOwnRequest(t *testing.T) {
	s, logs := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		panic("out of cheese")
	}})
	w := send(s, "GET", "/api/v1/items/", nil, "X-Request-ID", "the-id")
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.NotContains(t, w.Body.String(), "cheese")
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	problem(t, w)

	require.Equal(t, 1, logs.Len())
	line := logs.All()[0].ContextMap()
	assert.Equal(t, "the-id", line["request_id"])
	assert.Contains(t, line["error"], "panic: out of cheese")
	assert.Contains(t, line["error"], "problem_test.go", "the place of the panic")

	assert.Equal(t, http.StatusOK, send(s, "GET", "/livez", nil).Code)
}

func TestAnAbortedReplyStaysAborted(t *testing.T) {
	s, _ := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		panic(http.ErrAbortHandler)
	}})
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { send(s, "GET", "/api/v1/items/", nil) })
}

func TestAnErrorAfterTheStartOfTheReplyIsOnlyLogged(t *testing.T) {
	s, logs := newServer(t, useCases{})
	c := s.contract
	(&openRoutes{routes{s.echo}, c}).GET("/broken", func(c echo.Context) error {
		return errors.Join(c.String(http.StatusOK, "half"), errors.New("the rest failed"))
	})
	w := send(s, "GET", "/broken", nil)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "half", w.Body.String())
	require.Equal(t, 1, logs.Len())
}

func TestAReplyThatAsksToWaitHasTheSecondsInRetryAfter(t *testing.T) {
	for want, err := range map[string]error{
		"1":  domain.ErrUnavailable,
		"2":  domain.ErrBusy.WithRetryAfter(1001 * time.Millisecond),
		"60": domain.ErrTooManyAttempts.WithRetryAfter(time.Minute),
		"3":  fmt.Errorf("wrapped: %w", domain.ErrTooManyAttempts.WithRetryAfter(3*time.Second)),
	} {
		s, _ := newFailingServer(t, err)
		assert.Equal(t, want, send(s, "GET", "/api/v1/items/", nil).Header().Get("Retry-After"))
	}
	s, _ := newFailingServer(t, domain.ErrNotFound.WithRetryAfter(time.Minute))
	assert.Empty(t, send(s, "GET", "/api/v1/items/", nil).Header().Get("Retry-After"))
}

func TestTheChallengeSaysWhatIsWrongWithTheToken(t *testing.T) {
	for err, want := range map[error]string{
		domain.ErrSignedOut: `Bearer error="invalid_token"`, domain.ErrInvalidToken: `Bearer error="invalid_token"`, domain.ErrBadCredentials: "Bearer", errNoToken: "Bearer",
		domain.ErrAuthTooOld:        `Bearer error="insufficient_user_authentication", max_age=900`,
		domain.ErrInsufficientScope: `Bearer error="insufficient_scope"`,
		domain.ErrSuperuserRequired: "", domain.ErrNoAccount: "", domain.ErrNotFound: "", domain.ErrInvalidGrant: "",
	} {
		s, _ := newFailingServer(t, err)
		assert.Equal(t, want, send(s, "GET", "/api/v1/items/", nil).Header().Get("WWW-Authenticate"))
	}
}

func TestAnUnreadBodyClosesTheConnection(t *testing.T) {
	s, _ := newServer(t, useCases{})
	w := send(s, "POST", "/api/v1/items/", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	assert.Equal(t, "close", w.Header().Get("Connection"))
	assert.Empty(t, send(s, "POST", "/api/v1/items/", strings.NewReader("{")).Header().Get("Connection"))
}
