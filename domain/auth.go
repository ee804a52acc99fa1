package domain

import "time"

// Actor is the account that makes a request, as its verified token says. The store checks it: a call
// takes effect only if that account exists, is active and has that Epoch. The zero Actor is always
// refused.
type Actor struct {
	ID        string
	Epoch     int64
	Superuser bool
	TokenID   string // of the token that the request carries; no two tokens have the same
	Source    string // the client that sent the request, as the receiver of the request names it
}

// Work returns the Work that the actor asks for.
func (a Actor) Work() Work { return Work{Source: a.Source, Authenticated: true} }

// Work says for which client expensive work is done. Authenticated work goes first, and one source has
// only a share of the places in a queue.
type Work struct {
	Source        string // the client; empty for the operator of the installation
	Authenticated bool   // the client is signed in, or is the operator
}

// Token is a bearer token (RFC 6750) and its lifetime.
type Token struct {
	Value     string
	ExpiresIn time.Duration
}

// Event is an entry of the audit log: which account did what to which account or item, and from where.
type Event struct {
	Name      string // one of the Event constants
	ActorID   string // empty if no account is signed in
	SubjectID string // the account that was affected, or the owner of the item; empty if unknown
	ItemID    string // the item that was affected; empty if it is an account
	Source    string // the client, as in [Actor]; empty for the operator of the installation
}

// The names of events.
const (
	EventSignedIn        = "signed_in"
	EventSignInFailed    = "sign_in_failed"
	EventSignInThrottled = "sign_in_throttled"
	// EventPasswordHashUnreadable is a refused sign-in to an account that needs a new password: its stored
	// hash has an unknown format, or a cost out of bounds.
	EventPasswordHashUnreadable = "password_hash_unreadable"
	EventFirstSuperuserCreated  = "first_superuser_created"
	EventUserCreated            = "user_created"
	EventProfileChanged         = "profile_changed"
	EventPasswordChanged        = "password_changed"
	EventPasswordCheckFailed    = "password_check_failed"
	EventPasswordCheckThrottled = "password_check_throttled"
	EventRoleChanged            = "role_changed"
	EventActivationChanged      = "activation_changed"
	EventUserDeleted            = "user_deleted"
	// The events of items are about the items of other accounts than the actor's.
	EventItemRead    = "item_read"
	EventItemChanged = "item_changed"
	EventItemDeleted = "item_deleted"
)
