package domain

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of an [Error]. The zero Kind is Internal: an error without a class must not tell the
// client anything.
type Kind uint8

// The kinds, each with the HTTP status that the HTTP adapter answers.
const (
	Internal        Kind = iota // 500: the fault is in the service
	Invalid                     // 422: the input breaks a rule
	Unauthenticated             // 401: the caller has no valid credentials
	Forbidden                   // 403: the caller may not do this
	NotFound                    // 404
	Conflict                    // 409: another entity prevents the change
	Stale                       // 412: the entity has changed since it was read
	TooMany                     // 429: the caller must slow down
	Unavailable                 // 503: the caller may try again
	InvalidGrant                // 400: a token cannot be had this way (RFC 6749 §5.2)
)

// Error is the only error type that crosses a port. [errors.Is] compares the Code. Wrap it with %w, or
// with [Error.WithCause] to add what only the log should see.
type Error struct {
	Kind    Kind
	Code    string // stable, for programs
	Message string // for people; never holds a secret
	Fields  []FieldError
	// RetryAfter is how long the client should wait before it tries again. Only TooMany and
	// Unavailable use it. If it is zero, the HTTP adapter chooses.
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

// The errors that the contracts of ports name. Clients see both texts, and programs rely on the code.
var (
	ErrSignedOut         = newError(Unauthenticated, "signed_out", "this token is no longer valid: sign in again")
	ErrInvalidToken      = newError(Unauthenticated, "invalid_token", "this token is not valid: sign in again")
	ErrBadCredentials    = newError(Unauthenticated, "bad_credentials", "incorrect e-mail or password")
	ErrInvalidGrant      = newError(InvalidGrant, "invalid_grant", "this refresh token is not valid: sign in again")
	ErrInvalidClient     = newError(Unauthenticated, "invalid_client", "unknown client_id, or wrong client_secret")
	ErrPasswordSignInOff = newError(InvalidGrant, "unsupported_grant_type",
		"this service takes no passwords: sign in with Snowflake")
	ErrSnowflakeSignInOff = newError(NotFound, "snowflake_sign_in_off",
		"this service does not offer to sign in with Snowflake: SNOWFLAKE_SIGN_IN switches it on")
	ErrNoCallerToken = newError(Unauthenticated, "no_caller_token",
		"the request carries no caller token: it must come through the gateway of Snowflake")
	ErrInvalidCallerToken = newError(Unauthenticated, "invalid_caller_token",
		"Snowflake does not accept the caller token: reload the page, or send the request again")
	ErrNoAccount = newError(Forbidden, "no_account",
		"your user in Snowflake has no active account: ask a superuser for one")
	// ErrAuthTooOld has the code of RFC 9470 §3.
	ErrAuthTooOld = newError(Unauthenticated, "insufficient_user_authentication",
		"this needs a sign-in within the last 15 minutes: sign in again, do not refresh; clients cannot do this")
	// ErrInsufficientScope has the code of RFC 6750 §3.1.
	ErrInsufficientScope = newError(Forbidden, "insufficient_scope", "a read-only client may only use GET and HEAD")
	ErrWrongPassword     = newError(Forbidden, "wrong_password", "the current password is not correct")
	ErrSuperuserRequired = newError(Forbidden, "superuser_required", "only a superuser may do this")
	ErrCannotDeleteSelf  = newError(Forbidden, "cannot_delete_self",
		"superusers cannot delete their own account: ask another superuser")
	ErrNotFound           = newError(NotFound, "not_found", "there is nothing with this id")
	ErrEmailTaken         = newError(Conflict, "email_taken", "another account has this e-mail address")
	ErrSnowflakeUserTaken = newError(Conflict, "snowflake_user_taken",
		"another account has this Snowflake user")
	ErrTooManyClients  = newError(Conflict, "too_many_clients", "an account has at most 20 clients: delete one first")
	ErrLastSuperuser   = newError(Conflict, "last_superuser", "at least one active superuser must remain")
	ErrStale           = newError(Stale, "stale", "it has changed since you read it: read it again and try again")
	ErrTooManyAttempts = newError(TooMany, "too_many_attempts", "too many attempts: wait before the next one")
	ErrBusy            = newError(Unavailable, "busy", "too much work is waiting: try again")
	ErrContended       = newError(Unavailable, "contended", "too many concurrent changes: try again")
	ErrUnavailable     = newError(Unavailable, "unavailable", "the store cannot be used at the moment: try again")
	ErrOutcomeUnknown  = newError(Unavailable, "outcome_unknown",
		"the store did not confirm the change: read before you repeat it")
	// ErrReadOnly means that the store takes no changes, and nothing was changed. What it waits for takes minutes.
	ErrReadOnly = newError(Unavailable, "read_only",
		"this service answers only reads at the moment, and nothing was changed: try again later").
		WithRetryAfter(30 * time.Second)
)

func newError(k Kind, code, message string) *Error {
	return &Error{Kind: k, Code: code, Message: message}
}

// WithRetryAfter returns a copy of e that asks the client to wait for d.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// WithCause returns e with the cause that only the log should see. [errors.Is] matches both.
func (e *Error) WithCause(cause error) error { return fmt.Errorf("%w: %w", e, cause) }

// KindOf returns the Kind of the first *Error that err wraps, or Internal if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// InvalidFields returns an error of Kind Invalid that says what is wrong with each field.
func InvalidFields(fields ...FieldError) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Message: "some fields are not valid", Fields: fields}
}
