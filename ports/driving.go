package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Auth signs people in and recognises them afterwards.
type Auth interface {
	// SignIn returns a token for the account of that e-mail and password. source is where the
	// attempt comes from; failures are limited per pair of e-mail and source.
	// Errors: ErrBadCredentials, in the same time whether the account is unknown, inactive or has
	// another password; ErrTooManyAttempts; ErrBusy.
	SignIn(ctx context.Context, email, password, source string) (domain.Token, error)
	// Authenticate returns whom the token speaks for, without asking the store.
	// Errors: ErrInvalidToken.
	Authenticate(token string) (domain.Actor, error)
}

// Users is the administration of accounts, one's own and others'. In ifVersion the caller may say
// which Version a change is meant for: at any other it is refused with ErrStale. Without it, a
// change that others overtook is made again on top of theirs.
// Every method may return ErrSignedOut; what acts on others' accounts may return
// ErrSuperuserRequired, and ErrNotFound for an id that is nobody's.
type Users interface {
	Self(ctx context.Context, by domain.Actor) (domain.User, error)
	// UpdateSelf may return ErrEmailTaken, and after too many of these ErrTooManyAttempts.
	UpdateSelf(ctx context.Context, by domain.Actor, p domain.ProfilePatch, ifVersion domain.Optional[int64]) (domain.User, error)
	// ChangePassword ends every token of the account. Errors: ErrWrongPassword, an Invalid error
	// when the new password is the current one, ErrTooManyAttempts after too many wrong ones.
	ChangePassword(ctx context.Context, by domain.Actor, current string, next domain.Password, ifVersion domain.Optional[int64]) error
	// DeleteSelf deletes the account with its items. Errors: ErrCannotDeleteSelf.
	DeleteSelf(ctx context.Context, by domain.Actor, ifVersion domain.Optional[int64]) error

	Get(ctx context.Context, by domain.Actor, id string) (domain.User, error)
	List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error)
	// Create may return ErrEmailTaken.
	Create(ctx context.Context, by domain.Actor, in domain.NewUser) (domain.User, error)
	// Update may return ErrEmailTaken and ErrLastSuperuser.
	Update(ctx context.Context, by domain.Actor, id string, p domain.UserPatch, ifVersion domain.Optional[int64]) (domain.User, error)
	// Delete deletes the account with its items. Errors: ErrCannotDeleteSelf, ErrLastSuperuser.
	Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Optional[int64]) error
}

// Items is what people do with items: each with their own, superusers with all. An item out of
// reach is ErrNotFound, so that ids cannot be probed. ifVersion is as in [Users], and every method
// may return ErrSignedOut.
type Items interface {
	// List lists the actor's own items.
	List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.Item], error)
	Create(ctx context.Context, by domain.Actor, in domain.NewItem) (domain.Item, error)
	Get(ctx context.Context, by domain.Actor, id string) (domain.Item, error)
	Update(ctx context.Context, by domain.Actor, id string, p domain.ItemPatch, ifVersion domain.Optional[int64]) (domain.Item, error)
	Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Optional[int64]) error
}
