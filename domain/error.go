package domain

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what class of failure an [Error] is. The zero Kind is Internal, so that an error which
// nobody classified fails closed.
type Kind uint8

// The kinds of failure, with the HTTP status that each becomes at the edge.
const (
	Internal        Kind = iota // 500: a fault of ours
	Invalid                     // 422: the input breaks a rule
	Unauthenticated             // 401: nobody that we know is asking
	Forbidden                   // 403: the one who asks may not do this
	NotFound                    // 404
	Conflict                    // 409: the state of something else forbids it
	Stale                       // 412: it changed since it was read
	TooMany                     // 429: slow down
	Unavailable                 // 503: try again
)

// Error is the one error type that crosses a port. Two errors are the same for [errors.Is] when
// their Code is; wrap with %w to add a cause.
type Error struct {
	Kind    Kind
	Code    string // stable, for programs
	Message string // for people; never holds a secret
	Fields  []FieldError
	// RetryAfter is how long to wait before it is worth trying again; only TooMany and
	// Unavailable use it, and zero leaves the choice to the edge.
	RetryAfter time.Duration
}

// FieldError says what is wrong with one field of the input.
type FieldError struct {
	Field   string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is reports whether target is an *Error of the same Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The errors that ports and use cases promise by name.
var (
	ErrSignedOut         = &Error{Kind: Unauthenticated, Code: "signed_out", Message: "this token is no longer valid: sign in again"}
	ErrInvalidToken      = &Error{Kind: Unauthenticated, Code: "invalid_token", Message: "this token is not valid: sign in again"}
	ErrBadCredentials    = &Error{Kind: Unauthenticated, Code: "bad_credentials", Message: "incorrect e-mail or password"}
	ErrWrongPassword     = &Error{Kind: Forbidden, Code: "wrong_password", Message: "the current password is not correct"}
	ErrSuperuserRequired = &Error{Kind: Forbidden, Code: "superuser_required", Message: "only a superuser may do this"}
	ErrCannotDeleteSelf  = &Error{Kind: Forbidden, Code: "cannot_delete_self", Message: "superusers cannot delete their own account: another superuser has to"}
	ErrNotFound          = &Error{Kind: NotFound, Code: "not_found", Message: "there is nothing with this id"}
	ErrEmailTaken        = &Error{Kind: Conflict, Code: "email_taken", Message: "another account has this e-mail address"}
	ErrLastSuperuser     = &Error{Kind: Conflict, Code: "last_superuser", Message: "at least one active superuser must remain"}
	ErrStale             = &Error{Kind: Stale, Code: "stale", Message: "it was changed meanwhile: read it again and repeat the change"}
	ErrTooManyAttempts   = &Error{Kind: TooMany, Code: "too_many_attempts", Message: "too many attempts: wait before the next one"}
	ErrBusy              = &Error{Kind: Unavailable, Code: "busy", Message: "too much work is waiting: try again"}
	ErrContended         = &Error{Kind: Unavailable, Code: "contended", Message: "others kept changing it: try again"}
	ErrUnavailable       = &Error{Kind: Unavailable, Code: "unavailable", Message: "the store did not answer in time: try again"}
	ErrOutcomeUnknown    = &Error{Kind: Unavailable, Code: "outcome_unknown", Message: "the store did not confirm the change: read before you repeat it"}
)

// WithRetryAfter returns a copy of e that asks the client to wait for d.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// WithCause wraps e around the cause that only the log should see.
func (e *Error) WithCause(cause error) error { return fmt.Errorf("%w: %w", e, cause) }

// KindOf returns the Kind of the first *Error in err's chain, and Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Checks collects what is wrong with several fields, so that a client learns of all at once.
type Checks struct{ fields []FieldError }

// Check parses raw with parse and notes a failure under the field's name.
func Check[T any](c *Checks, field, raw string, parse func(string) (T, error)) T {
	v, err := parse(raw)
	if err != nil {
		c.fields = append(c.fields, FieldError{Field: field, Message: err.Error()})
	}
	return v
}

// CheckOptional is Check for a value that may be absent; what is absent is not parsed.
func CheckOptional[T any](c *Checks, field string, raw Optional[string], parse func(string) (T, error)) Optional[T] {
	s, ok := raw.Get()
	if !ok {
		return Optional[T]{}
	}
	return Some(Check(c, field, s, parse))
}

// Err returns an Invalid error that names every field at fault, or nil.
func (c *Checks) Err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return InvalidFields(c.fields...)
}

// InvalidFields is the error of kind Invalid for the given fields.
func InvalidFields(fields ...FieldError) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Message: "some fields are not valid", Fields: fields}
}
