package ports

// Store keeps accounts, items and credentials. Each method is one complete, atomic operation. Values go in and come
// out; callers share no memory with the store or with each other. Ids, times and versions come from
// the caller; times are UTC in whole microseconds. No update changes ID, OwnerID or CreatedAt.
//
// A method that takes an Actor takes effect only if that account exists, is active and has that Epoch. Otherwise it
// returns ErrSignedOut and changes nothing. No other field of the Actor matters. A call that starts after a
// sign-out, deletion or password change was answered never takes effect; one that is already running may.
//
// If several refusals apply, the method returns the first in this order: ErrSignedOut, ErrNotFound,
// ErrStale, then conflicts in this order: ErrEmailTaken, ErrSnowflakeUserTaken, ErrLastSuperuser.
//
// Every method may return an error of Kind Unavailable: ErrUnavailable if the store did not answer in
// time, ErrOutcomeUnknown if it did not confirm a write, ErrBusy or ErrContended if too many calls
// competed. A call whose context has ended before it begins changes nothing and returns ErrUnavailable. A
// write that is running when its context ends may or may not take effect. ErrStale may be reported for an
// update that took effect and was overwritten immediately.
type Store interface {
	UserStore
	ItemStore
	SessionStore
	ClientStore
	SignInStore
	OperatorStore
	CleanupStore
}
