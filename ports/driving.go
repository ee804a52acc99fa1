package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Auth signs accounts in and verifies their tokens.
type Auth interface {
	// SignIn returns a token for the account with that e-mail and password. source identifies the
	// client. Failures are limited for each pair of e-mail and source, for each source, and for each e-mail
	// over all sources; the last limit does not apply to sources from which the account has signed in.
	// Errors: ErrBadCredentials, in the same time whether the account is unknown, is inactive, has another
	// password or a hash that cannot be read; ErrTooManyAttempts; ErrBusy.
	SignIn(ctx context.Context, email, password, source string) (domain.Token, error)
	// Authenticate returns the Actor of the token, without a Source. It does not ask the store, so the account
	// may be gone: the store checks the Actor with each call. Errors: ErrInvalidToken.
	Authenticate(token string) (domain.Actor, error)
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
	// after too many of these with one token from one source; Kind Invalid if the new password is the
	// current one, or little more than the e-mail of the account or the name of the service.
	ChangePassword(
		ctx context.Context, by domain.Actor, current string, next domain.Password, ifVersion domain.Versions,
	) error
	// DeleteSelf deletes the account and its items. Errors: ErrCannotDeleteSelf.
	DeleteSelf(ctx context.Context, by domain.Actor, ifVersion domain.Versions) error

	Get(ctx context.Context, by domain.Actor, id string) (domain.User, error)
	List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error)
	// Create may return ErrEmailTaken, and an error of Kind Invalid for the password as ChangePassword does.
	Create(ctx context.Context, by domain.Actor, in domain.NewUser) (domain.User, error)
	// Update may return ErrEmailTaken and ErrLastSuperuser, and an error of Kind Invalid for the password as
	// ChangePassword does.
	Update(
		ctx context.Context, by domain.Actor, id string, p domain.UserPatch, ifVersion domain.Versions,
	) (domain.User, error)
	// Delete deletes the account and its items. Errors: ErrCannotDeleteSelf, ErrLastSuperuser.
	Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error
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
