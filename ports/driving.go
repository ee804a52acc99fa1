package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Auth signs accounts in and verifies their tokens.
type Auth interface {
	// SignIn returns tokens for the account with that e-mail and password. Failures are limited for each pair of
	// e-mail and source, for each source, and for each e-mail over all sources; the last limit does not apply to
	// sources from which the account has signed in. Errors: ErrBadCredentials, in the same time whether the account
	// is unknown, is inactive, has another password or a hash that cannot be read; ErrTooManyAttempts; ErrBusy;
	// ErrPasswordSignInOff.
	SignIn(ctx context.Context, email, password string, from domain.Requester) (domain.Grant, error)
	// SignInWithSnowflake returns tokens for the account of the user in Snowflake that the caller token of the
	// gateway proves. The service can be set to create that account. Errors: ErrSnowflakeSignInOff;
	// ErrNoCallerToken if the token is empty; ErrInvalidCallerToken; ErrNoAccount, also if the account is inactive;
	// ErrTooManyAttempts; ErrBusy.
	SignInWithSnowflake(ctx context.Context, callerToken string, from domain.Requester) (domain.Grant, error)
	// Refresh returns new tokens for the session of the refresh token, which is replaced. For RefreshWindow the
	// replaced token returns the same successor. A token that was replaced earlier ends the session. Failures count
	// in the limit of the source. Errors: ErrInvalidGrant, ErrTooManyAttempts.
	Refresh(ctx context.Context, refreshToken, source string) (domain.Grant, error)
	// SignInClient returns a token for a program with that client_id and client_secret. Failures count in the limit
	// of the source. Errors: ErrInvalidClient, ErrTooManyAttempts.
	SignInClient(ctx context.Context, id, secret, source string) (domain.Token, error)
	// SignOut ends the session of the refresh token. An unknown token is no error. The tokens that Refresh returned
	// before live until they expire.
	SignOut(ctx context.Context, refreshToken, source string) error
	// SignOutSession is SignOut for the session that the actor's token belongs to.
	SignOutSession(ctx context.Context, by domain.Actor) error
	// Authenticate returns the Actor of the token, without a Source. It does not ask the store, so the account
	// may be gone: the store checks the Actor with each call. Errors: ErrInvalidToken.
	Authenticate(token string) (domain.Actor, error)
	// RequireFresh returns ErrAuthTooOld unless the actor's person signed in within MaxAuthAge. It does not ask the
	// store.
	RequireFresh(by domain.Actor) error
}

// Users manages accounts: the actor's own, and for superusers all others.
//
// If ifVersion does not allow the account's Version, a change returns ErrStale. If ifVersion allows every
// Version, a change that loses to a concurrent one is applied again to the newer account. After 32 tries
// it returns ErrContended.
//
// Every method may return ErrSignedOut. A method for other accounts may return ErrSuperuserRequired,
// and ErrNotFound for an unknown id.
type Users interface {
	Self(ctx context.Context, by domain.Actor) (domain.User, error)
	// UpdateSelf may return ErrEmailTaken, and after too many of these ErrTooManyAttempts.
	UpdateSelf(
		ctx context.Context, by domain.Actor, p domain.ProfilePatch, ifVersion domain.Versions,
	) (domain.User, error)
	// ChangePassword ends every token of the account. Errors: ErrWrongPassword; ErrTooManyAttempts
	// after too many of these in one session from one source; Kind Invalid if the new password is the
	// current one, or little more than the e-mail of the account or the name of the service.
	ChangePassword(
		ctx context.Context, by domain.Actor, current string, next domain.Password, ifVersion domain.Versions,
	) error
	// SignOutSelf ends all tokens, sessions and clients of the account.
	SignOutSelf(ctx context.Context, by domain.Actor) error
	// DeleteSelf deletes the account and its items. Errors: ErrCannotDeleteSelf.
	DeleteSelf(ctx context.Context, by domain.Actor, ifVersion domain.Versions) error

	Get(ctx context.Context, by domain.Actor, id string) (domain.User, error)
	List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error)
	// SignOut ends all tokens, sessions and clients of the account.
	SignOut(ctx context.Context, by domain.Actor, id string) error
	// Create may return ErrEmailTaken and ErrSnowflakeUserTaken, and an error of Kind Invalid for the password as
	// ChangePassword does.
	Create(ctx context.Context, by domain.Actor, in domain.NewUser) (domain.User, error)
	// Update may return ErrEmailTaken, ErrSnowflakeUserTaken and ErrLastSuperuser, and an error of Kind Invalid for
	// the password as ChangePassword does.
	Update(
		ctx context.Context, by domain.Actor, id string, p domain.UserPatch, ifVersion domain.Versions,
	) (domain.User, error)
	// Delete deletes the account and its items. Errors: ErrCannotDeleteSelf, ErrLastSuperuser.
	Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error
}

// Credentials manages the sessions and clients of the actor's own account. Every method may return ErrSignedOut.
type Credentials interface {
	// Sessions returns a page of the sessions that work.
	Sessions(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.Session], error)
	// EndSession ends a session. Its access tokens live until they expire. Errors: ErrNotFound.
	EndSession(ctx context.Context, by domain.Actor, id string) error
	// Clients returns a page of the clients that work.
	Clients(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.Client], error)
	// CreateClient returns the client and its secret, which is shown only this once. Without an expiry, the client
	// works for DefaultClientLife. Errors: ErrTooManyClients; Kind Invalid if ExpiresAt is not between now and
	// MaxClientLife from now.
	CreateClient(
		ctx context.Context, by domain.Actor, in domain.NewClient,
	) (c domain.Client, secret string, err error)
	// DeleteClient deletes a client. Its tokens live until they expire. Errors: ErrNotFound.
	DeleteClient(ctx context.Context, by domain.Actor, id string) error
}

// Items manages items: the actor's own, and for superusers all. For an item that the actor may not reach,
// a method returns ErrNotFound, as if it did not exist, so that ids cannot be probed. ifVersion works as in
// [Users]. Every method may return ErrSignedOut.
type Items interface {
	// List returns a page of the actor's own items, also for a superuser.
	List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.Item], error)
	Create(ctx context.Context, by domain.Actor, in domain.ItemContent) (domain.Item, error)
	Get(ctx context.Context, by domain.Actor, id string) (domain.Item, error)
	Update(
		ctx context.Context, by domain.Actor, id string, p domain.ItemPatch, ifVersion domain.Versions,
	) (domain.Item, error)
	Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error
}
