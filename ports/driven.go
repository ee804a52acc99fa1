package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Store keeps accounts and items. Each method is one whole, atomic operation; values go in and
// come out, and no two callers ever share memory. Ids, times and versions come from the caller;
// times are UTC in whole microseconds. No update changes CreatedAt or OwnerID.
//
// A method that takes an Actor takes effect only if that account exists, is active and has that
// Epoch; otherwise it returns ErrSignedOut and changes nothing. No call that starts after a
// sign-out, deletion or password change was answered takes effect; one that already runs may.
//
// Where several refusals apply, the first of this order is returned: ErrSignedOut, ErrNotFound,
// ErrStale, then a conflict, of which ErrEmailTaken comes before ErrLastSuperuser.
//
// Every method may return an error of Kind Unavailable: ErrUnavailable when the store did not
// answer in time, or ErrOutcomeUnknown when it did not confirm a write. A call whose context has
// ended before it begins changes nothing and is ErrUnavailable; a write under way when its context
// ends may or may not take effect. Stale may be reported for an update that took effect and was
// overwritten at once.
type Store interface {
	SignInStore

	// User returns the account. Errors: ErrNotFound.
	User(ctx context.Context, by domain.Actor, id string) (domain.User, error)
	// Users lists all accounts; PasswordHash is left empty.
	Users(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error)
	// CreateUser adds u. Errors: ErrEmailTaken; of many at once with one e-mail, one succeeds.
	CreateUser(ctx context.Context, by domain.Actor, u domain.User) error
	// UpdateUser replaces the account that was read by next, if its Version is still read's; which
	// rules across accounts are concerned shows in what differs between the two.
	// Errors: ErrNotFound, ErrStale, ErrEmailTaken, and ErrLastSuperuser when no active superuser
	// would remain.
	UpdateUser(ctx context.Context, by domain.Actor, next, read domain.User) error
	// DeleteUser removes the account and all its items, if its Version is the given one or none
	// is given. Errors: ErrNotFound, ErrStale, and ErrLastSuperuser when no active superuser would
	// remain. Of overlapping deletes at least one reports success.
	DeleteUser(ctx context.Context, by domain.Actor, id string, read domain.Optional[int64]) error

	// Item returns the item if it is in scope. Errors: ErrNotFound, also for an item whose owner
	// is gone.
	Item(ctx context.Context, by domain.Actor, scope domain.Scope, id string) (domain.Item, error)
	// Items lists the items of one owner; of nobody there are none.
	Items(ctx context.Context, by domain.Actor, ownerID string, page domain.PageRequest) (domain.Page[domain.Item], error)
	// CreateItem adds i, whose OwnerID is by's.
	CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error
	// UpdateItem replaces the item of next's id by next, if it is in scope and its Version is
	// still read. Errors: ErrNotFound, ErrStale.
	UpdateItem(ctx context.Context, by domain.Actor, scope domain.Scope, next domain.Item, read int64) error
	// DeleteItem removes the item, if it is in scope and its Version is the given one or none is
	// given. Errors: ErrNotFound, ErrStale. Of overlapping deletes at least one reports success.
	DeleteItem(ctx context.Context, by domain.Actor, scope domain.Scope, id string, read domain.Optional[int64]) error

	// CreateSuperuserForOperator adds u without an Actor: it is for whoever runs the program. From
	// then on CreateFirstSuperuser returns false. Errors: ErrEmailTaken.
	CreateSuperuserForOperator(ctx context.Context, u domain.User) error
	// ResetPasswordForOperator, likewise without an Actor, gives the account of next's id the
	// PasswordHash, Version, Epoch and UpdatedAt of next, if its Version is still read.
	// Errors: ErrNotFound, ErrStale.
	ResetPasswordForOperator(ctx context.Context, next domain.User, read int64) error
}

// SignInStore is the side of a store that works before anybody is signed in. Its methods take no
// Actor, and their names say so.
type SignInStore interface {
	// UserForSignIn returns the account of that e-mail, active or not. Errors: ErrNotFound.
	UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error)
	// RehashForSignIn replaces the account's password hash by fresh if it is still stale, and
	// leaves Version, Epoch and UpdatedAt alone; otherwise it changes nothing. Neither is an error.
	RehashForSignIn(ctx context.Context, userID, stale, fresh string) error
	// CreateFirstSuperuser adds u, once in the life of an installation: it returns false and
	// changes nothing when it or CreateSuperuserForOperator ever succeeded, even if that account
	// was renamed or deleted since. Of many at once, one returns true.
	CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error)
}

// PasswordHasher makes and checks password hashes, which cost time and memory on purpose.
type PasswordHasher interface {
	// Hash returns a salted hash of plain in PHC string format. Two hashes of one password differ.
	// Errors: ErrBusy, with RetryAfter, when too many hashes are waiting; ErrUnavailable when ctx
	// ends before the work began.
	Hash(ctx context.Context, plain string) (string, error)
	// Verify reports whether hash was made from plain, byte for byte. An empty hash matches
	// nothing, after the same work as a real one. Errors: those of Hash; one of Kind Internal for
	// a hash that it cannot read or whose cost is beyond its bounds.
	Verify(ctx context.Context, plain, hash string) (bool, error)
	// Outdated reports whether hash should be replaced at the next occasion.
	Outdated(hash string) bool
}

// TokenIssuer makes bearer tokens and recognises its own.
type TokenIssuer interface {
	// Issue returns a token that Verify turns back into a, until it expires. No two are the same.
	Issue(a domain.Actor) (domain.Token, error)
	// Verify returns the Actor of a token that an issuer with the same keys made and that has not
	// expired. Errors: ErrInvalidToken, for everything else.
	Verify(token string) (domain.Actor, error)
}

// AttemptLimiter bounds how often something may be tried per key, such as a sign-in. It is safe
// for concurrent use, and its memory is bounded however many keys there are.
type AttemptLimiter interface {
	// Take spends one attempt of key. When none is left it returns ErrTooManyAttempts, whose
	// RetryAfter says when there is the next one, and spends nothing.
	Take(key string) error
	// GiveBack returns one attempt that Take spent.
	GiveBack(key string)
	// Clear gives key all its attempts back.
	Clear(key string)
}
