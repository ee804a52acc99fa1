package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// SignInStore is the part of a store that works before an account is signed in. Its methods take no
// Actor, and their names say so. See [Store] for the rules that hold for every method.
type SignInStore interface {
	// UserForSignIn returns the account with that e-mail, active or not. Errors: ErrNotFound.
	UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error)
	// UserForSnowflakeSignIn returns the account with that SnowflakeUser, active or not. Errors: ErrNotFound.
	UserForSnowflakeSignIn(ctx context.Context, user domain.SnowflakeUser) (domain.User, error)
	// CreateUserForSnowflakeSignIn adds u. Errors: ErrEmailTaken, ErrSnowflakeUserTaken. Of concurrent calls with
	// one SnowflakeUser, one succeeds.
	CreateUserForSnowflakeSignIn(ctx context.Context, u domain.User) error
	// RehashForSignIn replaces the account's password hash old by fresh if it is still old; otherwise
	// it changes nothing. Neither is an error. Version, Epoch and UpdatedAt stay the same.
	RehashForSignIn(ctx context.Context, userID, old, fresh string) error
}

// PasswordHasher makes and checks password hashes. Both cost much time and memory on purpose, so that calls
// have to wait for each other. Authenticated work runs before all other work that waits, and has places of
// its own to wait in. Sources take turns, and one source has at most a quarter of the places of each kind.
type PasswordHasher interface {
	// Hash returns a salted hash of plain in PHC string format. Two hashes of one password differ.
	// Errors: ErrBusy with RetryAfter if w has no place to wait in, or waits too long; ErrUnavailable if ctx
	// ends before the work begins.
	Hash(ctx context.Context, w domain.Work, plain string) (string, error)
	// Verify reports whether hash was made from plain, byte for byte. An empty hash matches nothing, but
	// costs the same work as a real one. Errors: those of Hash; Kind Internal for a hash that it cannot
	// read or that would cost too much work.
	Verify(ctx context.Context, w domain.Work, plain, hash string) (bool, error)
	// Outdated reports whether hash should be replaced when its password is next known.
	Outdated(hash string) bool
}

// TokenIssuer makes bearer tokens and verifies its own.
type TokenIssuer interface {
	// Issue returns a token that Verify turns back into a until it expires. Source of a does not matter. No two
	// tokens are the same. Versions of the service that do not know ReadOnly refuse a token with it.
	Issue(a domain.Actor) (domain.Token, error)
	// Verify returns the Actor of a token that has not expired and was made by an issuer with the same
	// keys. Its Source is empty. Errors: ErrInvalidToken for every other token.
	Verify(token string) (domain.Actor, error)
}

// CallerIdentity proves who sends a request through the gateway of Snowpark Container Services.
type CallerIdentity interface {
	// Identify returns the user in Snowflake that the gateway issued the caller token for. Snowflake confirms it with
	// each call: a name in a header proves nothing. Errors: ErrInvalidCallerToken if Snowflake refuses the token;
	// ErrBusy if too many calls run; ErrUnavailable if Snowflake did not answer, or does not accept the service
	// itself.
	Identify(ctx context.Context, callerToken string) (domain.SnowflakeUser, error)
}

// AttemptLimiter limits how often something, such as a sign-in, may be tried for each key. It is safe
// for concurrent use, and its memory is bounded for any number of keys.
type AttemptLimiter interface {
	// Take spends one attempt of key. If none is left it spends nothing and returns
	// ErrTooManyAttempts, whose RetryAfter is the time until the next attempt.
	Take(key string) error
	// Check returns what Take would return, and spends nothing.
	Check(key string) error
	// Refund returns one attempt that Take spent.
	Refund(key string)
	// Reset gives key all its attempts back.
	Reset(key string)
}
