package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// statusOf is the one place that maps kinds of errors to statuses.
var statusOf = map[domain.Kind]int{
	domain.Internal:        http.StatusInternalServerError,
	domain.Invalid:         http.StatusUnprocessableEntity,
	domain.Unauthenticated: http.StatusUnauthorized,
	domain.Forbidden:       http.StatusForbidden,
	domain.NotFound:        http.StatusNotFound,
	domain.Conflict:        http.StatusConflict,
	domain.Stale:           http.StatusPreconditionFailed,
	domain.TooMany:         http.StatusTooManyRequests,
	domain.Unavailable:     http.StatusServiceUnavailable,
	domain.InvalidGrant:    http.StatusBadRequest,
}

// httpError is a fault of a request that the domain does not know, such as a malformed body.
type httpError struct {
	status       int
	code, detail string
	fields       []FieldError
}

func (e *httpError) Error() string { return e.code + ": " + e.detail }

func failure(status int, code, detail string) error {
	return &httpError{status: status, code: code, detail: detail}
}

func malformed(detail string) error { return failure(http.StatusBadRequest, "malformed", detail) }

// maxFaults is the number of faults that a 422 lists. Without it, a small body could cause a large reply.
const maxFaults = 20

// invalid returns a 422 that lists the faults. Their locations are those of the request, such as body.email
// and query.skip.
func invalid(faults ...FieldError) error {
	e := &httpError{
		status: http.StatusUnprocessableEntity, code: "invalid", detail: "some fields are not valid", fields: faults,
	}
	if more := len(faults) - maxFaults; more > 0 {
		e.fields = faults[:maxFaults]
		e.detail = fmt.Sprintf("some fields are not valid: %d are listed, %d more are not", maxFaults, more)
	}
	return e
}

// errNoToken is the error for a request without a bearer token.
var errNoToken = failure(http.StatusUnauthorized,
	"not_signed_in", "sign in, and send the token as Authorization: Bearer …")

// problemOf translates an error into a problem document (RFC 9457). An unknown error becomes a bare 500,
// because its text is only for the log.
func problemOf(err error) Problem {
	p := Problem{
		Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal",
		Detail: "a fault of ours: the log has it under the request id",
	}
	var (
		httpErr   *httpError
		domainErr *domain.Error
		echoErr   *echo.HTTPError
	)
	switch {
	case errors.As(err, &httpErr):
		p.Status, p.Code, p.Detail = httpErr.status, httpErr.code, httpErr.detail
		if len(httpErr.fields) > 0 {
			p.Errors = &httpErr.fields
		}
	case errors.As(err, &domainErr) && domainErr.Kind != domain.Internal:
		p.Status, p.Code, p.Detail = statusOf[domainErr.Kind], domainErr.Code, domainErr.Message
		if len(domainErr.Fields) > 0 {
			fields := make([]FieldError, len(domainErr.Fields))
			for i, f := range domainErr.Fields {
				fields[i] = FieldError{Location: "body." + f.Field, Message: f.Message}
			}
			p.Errors = &fields
		}
	case errors.As(err, &echoErr):
		switch echoErr.Code {
		case http.StatusNotFound:
			p.Status, p.Code, p.Detail = echoErr.Code, "no_such_path", "there is nothing at this path"
		case http.StatusMethodNotAllowed:
			p.Status, p.Code = echoErr.Code, "method_not_allowed"
			p.Detail = "the header Allow lists the methods of this path"
		case http.StatusBadRequest: // the generated code could not bind a parameter
			p.Status, p.Code, p.Detail = echoErr.Code, "malformed", "a parameter cannot be read"
		}
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// addOAuthError adds the fields of an error of the token endpoint to p. OAuth libraries read them, and take a
// reply without them for a token.
func addOAuthError(p *Problem) {
	code, description := "invalid_request", p.Detail
	switch {
	case p.Code == domain.ErrBadCredentials.Code:
		code = domain.ErrInvalidGrant.Code
	case p.Code == domain.ErrInvalidGrant.Code, p.Code == domain.ErrInvalidClient.Code, p.Code == codeUnsupportedGrant:
		code = p.Code
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable:
		code = "temporarily_unavailable" // RFC 6749 §5.2 has no such code; this one is from §4.1.2.1
	case p.Status >= http.StatusInternalServerError:
		code = "server_error" // also from §4.1.2.1
	}
	if p.Errors != nil {
		for _, fault := range *p.Errors {
			description += "; " + fault.Location + " " + fault.Message
		}
	}
	p.Error, p.ErrorDescription = &code, &description
}

// statusClientLeft is the status of a request whose client closed the connection before the reply, in logs and
// metrics. Other servers use the same number. A client that closed only its sending half still gets the problem
// document: without a reply of ours, net/http would send 200.
const statusClientLeft = 499

// clientLeft reports whether p is only the consequence of a client that closed its connection.
func clientLeft(ctx context.Context, err error, p Problem) bool {
	return errors.Is(ctx.Err(), context.Canceled) &&
		(p.Status == http.StatusServiceUnavailable || errors.Is(err, context.Canceled))
}

// writeProblem replies with the problem document for err. It is Echo's error handler.
func (s *Server) writeProblem(err error, c echo.Context) {
	data := dataOf(c)
	p := problemOf(err)
	p.RequestId = data.RequestID
	data.err, data.code = err, p.Code
	if c.Response().Committed {
		if errors.As(err, new(*cutError)) {
			data.code = "reply_cut"
		}
		return
	}
	if data.left = clientLeft(c.Request().Context(), err, p); data.left {
		data.code = "client_left"
	}
	if c.Path() == s.tokenPath() || c.Path() == s.refreshPath() {
		addOAuthError(&p)
	}

	h := c.Response().Header()
	h.Del(headerETag) // a reply that could not be written has set these
	h.Del(echo.HeaderLocation)
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set(echo.HeaderWWWAuthenticate, challengeOf(err, c.Request()))
	case http.StatusForbidden:
		if errors.Is(err, domain.ErrInsufficientScope) {
			h.Set(echo.HeaderWWWAuthenticate, `Bearer error="insufficient_scope"`) // RFC 6750 §3.1
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set(echo.HeaderRetryAfter, retryAfter(err))
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		h.Set(echo.HeaderConnection, "close") // the rest of the body is in the way of the next request
	}
	if data.body == nil {
		limitDrain(c)
	}
	body, err := json.Marshal(p)
	if err != nil {
		s.Log.Error("a problem document cannot be written: " + err.Error())
	}
	// An error means that the client has gone. The log line of the request is written in any case.
	_ = c.Blob(p.Status, "application/problem+json", body)
}

// challengeOf returns the header WWW-Authenticate of a 401 for err.
func challengeOf(err error, r *http.Request) string {
	switch {
	case errors.Is(err, domain.ErrInvalidToken), errors.Is(err, domain.ErrSignedOut):
		return `Bearer error="invalid_token"` // RFC 6750 §3.1
	case errors.Is(err, domain.ErrAuthTooOld): // RFC 9470 §3
		return fmt.Sprintf(`Bearer error="%s", max_age=%.0f`, domain.ErrAuthTooOld.Code, domain.MaxAuthAge.Seconds())
	case errors.Is(err, domain.ErrInvalidClient) && usesBasic(r):
		return `Basic realm="clients"` // RFC 6749 §5.2
	}
	return "Bearer"
}

// retryAfter returns the wait that err asks for in whole seconds, at least one.
func retryAfter(err error) string {
	var e *domain.Error
	wait := time.Second
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}
