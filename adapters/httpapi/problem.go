package httpapi

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// statusOf is the one place where a kind of error becomes a status.
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
}

// httpError is what is wrong with a request as HTTP; the domain has no words for it.
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

// invalid is 422 with every field at fault, located as the client sent it: body.email, query.skip.
func invalid(fields ...FieldError) error {
	return &httpError{status: http.StatusUnprocessableEntity, code: "invalid", detail: "some fields are not valid", fields: fields}
}

// errNoToken is the answer to a request that nobody signed.
var errNoToken = failure(http.StatusUnauthorized, "not_signed_in", "sign in, and send the token as Authorization: Bearer …")

// problemOf translates an error into a problem document (RFC 9457). What it does not know becomes
// a bare 500: its text is for the log only.
func problemOf(err error) Problem {
	p := Problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal", Detail: "a fault of ours: the log has it under the request id"}
	var (
		mine  *httpError
		known *domain.Error
		echos *echo.HTTPError
	)
	switch {
	case errors.As(err, &mine):
		p.Status, p.Code, p.Detail = mine.status, mine.code, mine.detail
		if len(mine.fields) > 0 {
			p.Errors = &mine.fields
		}
	case errors.As(err, &known) && known.Kind != domain.Internal:
		p.Status, p.Code, p.Detail = statusOf[known.Kind], known.Code, known.Message
		if len(known.Fields) > 0 {
			fields := make([]FieldError, len(known.Fields))
			for i, f := range known.Fields {
				fields[i] = FieldError{Location: "body." + f.Field, Message: f.Message}
			}
			p.Errors = &fields
		}
	case errors.As(err, &echos):
		switch echos.Code {
		case http.StatusNotFound:
			p.Status, p.Code, p.Detail = echos.Code, "no_such_path", "there is nothing at this path"
		case http.StatusMethodNotAllowed:
			p.Status, p.Code, p.Detail = echos.Code, "method_not_allowed", "the header Allow lists what this path answers"
		case http.StatusBadRequest: // a parameter that the generated code could not bind
			p.Status, p.Code, p.Detail = echos.Code, "malformed", "a parameter cannot be read"
		}
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// writeProblem answers with the problem document for err. It is Echo's error handler.
func (s *Server) writeProblem(err error, c echo.Context) {
	rec := recordOf(c.Request().Context())
	p := problemOf(err)
	p.RequestId = rec.RequestID
	rec.err, rec.code = err, p.Code
	if c.Response().Committed {
		return
	}

	h := c.Response().Header()
	switch p.Status {
	case http.StatusUnauthorized:
		challenge := "Bearer"
		if errors.Is(err, domain.ErrInvalidToken) || errors.Is(err, domain.ErrSignedOut) {
			challenge = `Bearer error="invalid_token"`
		}
		h.Set(echo.HeaderWWWAuthenticate, challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set(echo.HeaderRetryAfter, retryAfter(err))
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		h.Set(echo.HeaderConnection, "close") // what is left of the body is in the way of a next request
	}
	if c.Request().ContentLength != 0 && c.Get(bodyKey) == nil {
		// Before a reply net/http reads what is left of a body, which must not take long; but a
		// little it has to, or else the client sees its connection reset before the reply. Only the
		// writer of a test has no deadlines.
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(lingering))
	}
	body, err := json.Marshal(p)
	if err != nil {
		s.Log.Error("a problem document cannot be written: " + err.Error())
	}
	// A client that is gone cannot be told; its log line stands.
	_ = c.Blob(p.Status, "application/problem+json", body)
}

const lingering = 500 * time.Millisecond

// retryAfter is the wait that err asks for in whole seconds, at least one.
func retryAfter(err error) string {
	var e *domain.Error
	wait := time.Second
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}
