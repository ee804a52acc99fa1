package domain

import "time"

// User is an account.
type User struct {
	ID       string // UUIDv7, lower case
	Email    Email
	FullName Optional[FullName]
	// PasswordHash comes from the password hasher. It appears in no reply and no log. It is empty if the account
	// has no password.
	PasswordHash string
	// SnowflakeUser signs in to this account by proving its name to Snowflake. No other account has it.
	SnowflakeUser Optional[SnowflakeUser]
	Active        bool
	Superuser     bool
	// Version increases by one with every change. It is the ETag.
	Version int64
	// Epoch increases by one when PasswordHash, Active or Superuser changes, when a SnowflakeUser is removed or
	// replaced, and when the account signs out everywhere. Tokens, sessions and clients carry the Epoch under which
	// they were made, and are valid only for that Epoch.
	Epoch     int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Actor returns the Actor of a request that this account makes now.
func (u User) Actor() Actor { return Actor{ID: u.ID, Epoch: u.Epoch, Superuser: u.Superuser} }

// SignedOut returns u after a sign-out everywhere, for [User.Revise].
func (u User) SignedOut() User {
	u.Epoch++
	return u
}

// Revise returns next as the version that follows u: it sets Version, Epoch and UpdatedAt. If next equals
// u, it returns u and false.
func (u User) Revise(next User, now time.Time) (revised User, differs bool) {
	if next == u {
		return u, false
	}
	next.Version = u.Version + 1
	_, linked := u.SnowflakeUser.Get()
	unlinks := linked && next.SnowflakeUser != u.SnowflakeUser
	if next.PasswordHash != u.PasswordHash || next.Superuser != u.Superuser || next.Active != u.Active || unlinks {
		next.Epoch = u.Epoch + 1
	}
	next.UpdatedAt = now
	return next, true
}

// NewUser holds the fields of an account that its creator chooses.
type NewUser struct {
	Email     Email
	Password  Password
	FullName  Optional[FullName]
	Active    bool
	Superuser bool

	SnowflakeUser Optional[SnowflakeUser]
}

// ProfilePatch holds new values for the fields that an account may change of itself. An absent field stays
// as it is.
type ProfilePatch struct {
	Email    Optional[Email]
	FullName Optional[Optional[FullName]]
}

// UserPatch holds new values for the fields that a superuser may change of any account. An absent field
// stays as it is.
type UserPatch struct {
	ProfilePatch
	Password  Optional[Password]
	Active    Optional[bool]
	Superuser Optional[bool]

	SnowflakeUser Optional[Optional[SnowflakeUser]]
}

// ApplyTo returns u with the fields that p holds, except Password, which the use case must hash first.
// [User.Revise] sets the counters and UpdatedAt.
func (p UserPatch) ApplyTo(u User) User {
	u.Email = p.Email.Or(u.Email)
	u.FullName = p.FullName.Or(u.FullName)
	u.Active = p.Active.Or(u.Active)
	u.Superuser = p.Superuser.Or(u.Superuser)
	u.SnowflakeUser = p.SnowflakeUser.Or(u.SnowflakeUser)
	return u
}
