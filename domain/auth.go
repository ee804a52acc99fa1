package domain

import "time"

// Actor is the account that makes a request, as its verified token says. The store checks it: a call
// takes effect only if that account exists, is active and has that Epoch. The zero Actor is always
// refused.
type Actor struct {
	ID        string
	Epoch     int64
	Superuser bool
	SessionID string    // of the session that the token belongs to; empty for the token of a [Client]
	AuthTime  time.Time // when a person last proved who they are, in whole seconds; zero for the token of a [Client]
	ReadOnly  bool      // the token is for safe methods only
	Source    string    // the client that sent the request, as the receiver of the request names it
}

// MaxAuthAge is how old a sign-in may be for what hurts most, such as a new e-mail.
const MaxAuthAge = 15 * time.Minute

// Fresh reports whether a person signed in at most [MaxAuthAge] before now.
func (a Actor) Fresh(now time.Time) bool {
	return !a.AuthTime.IsZero() && now.Sub(a.AuthTime) <= MaxAuthAge
}

// Work returns the Work that the actor asks for.
func (a Actor) Work() Work { return Work{Source: a.Source, Authenticated: true} }

// Work says for which client expensive work is done. Authenticated work goes first, and one source has
// only a share of the places in a queue.
type Work struct {
	Source        string // the client; empty for the operator of the installation
	Authenticated bool   // the client is signed in, or is the operator
}

// Requester says where a sign-in comes from.
type Requester struct {
	Source    string // the client, as in [Actor]
	UserAgent string // what the client calls itself; may be empty
}

// Token is a token and its lifetime.
type Token struct {
	Value     string
	ExpiresIn time.Duration
}

// Grant is what a client gets for signing in or refreshing (RFC 6749 §5.1).
type Grant struct {
	Access  Token           // a bearer token (RFC 6750)
	Refresh Optional[Token] // absent for a [Client], and if the store could not keep a session
}

// Event is an entry of the audit log: which account did what to which account or item, and from where.
type Event struct {
	Name      string // one of the Event constants
	ActorID   string // empty if no account is signed in
	SubjectID string // the account that was affected, or the owner of the item; empty if unknown
	ObjectID  string // the item, session or client that was affected; empty if it is an account
	// Kind says how the account signed in; empty if the event is no sign-in.
	Kind   SessionKind
	Source string // the client, as in [Actor]; empty for the operator of the installation
}

// The names of events.
const (
	EventSignedIn        = "signed_in"
	EventSignInFailed    = "sign_in_failed"
	EventSignInThrottled = "sign_in_throttled"
	// EventRefreshTokenReused means that a refresh token was used that had been replaced. Its session ended,
	// because a thief and the owner may both have a token of it.
	EventRefreshTokenReused  = "refresh_token_reused"
	EventSignedOut           = "signed_out" // of one session
	EventSignedOutEverywhere = "signed_out_everywhere"
	EventClientCreated       = "client_created"
	EventClientFirstUsed     = "client_first_used"
	EventClientSignInFailed  = "client_sign_in_failed"
	EventClientDeleted       = "client_deleted"
	// EventSnowflakeUserChanged means that an account was linked to a user of Snowflake, or that the link was
	// removed.
	EventSnowflakeUserChanged = "snowflake_user_changed"
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
