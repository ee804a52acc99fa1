package domain

import "time"

// User is an account.
type User struct {
	ID       string // UUIDv7, lower case
	Email    Email
	FullName Optional[FullName]
	// PasswordHash is what the hasher made; it leaves the service in no reply and no log.
	PasswordHash string
	Active       bool
	Superuser    bool
	// Version rises by one with every change and is the ETag.
	Version int64
	// Epoch rises when password, role or Active change. Every token carries the Epoch that it
	// was issued under, so a rise ends them all.
	Epoch     int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Actor returns who this account is when it asks for something.
func (u User) Actor() Actor { return Actor{ID: u.ID, Epoch: u.Epoch, Superuser: u.Superuser} }

// Revise returns u changed to what next holds, with the counters and UpdatedAt set, and whether
// anything differs at all; if not, u comes back as it was.
func (u User) Revise(next User, now time.Time) (User, bool) {
	if next == u {
		return u, false
	}
	next.Version = u.Version + 1
	if next.PasswordHash != u.PasswordHash || next.Superuser != u.Superuser || next.Active != u.Active {
		next.Epoch = u.Epoch + 1
	}
	next.UpdatedAt = now
	return next, true
}

// NewUser is what it takes to create an account.
type NewUser struct {
	Email     Email
	Password  Password
	FullName  Optional[FullName]
	Active    bool
	Superuser bool
}

// ProfilePatch is what people may change of their own account.
type ProfilePatch struct {
	Email    Optional[Email]
	FullName Optional[Optional[FullName]]
}

// UserPatch is what a superuser may change of any account.
type UserPatch struct {
	ProfilePatch
	Password  Optional[Password]
	Active    Optional[bool]
	Superuser Optional[bool]
}

// ApplyTo returns u with the patched fields replaced; counters are [User.Revise]'s, and the
// password is the use case's, which alone can hash it.
func (p UserPatch) ApplyTo(u User) User {
	u.Email = p.Email.Or(u.Email)
	u.FullName = p.FullName.Or(u.FullName)
	u.Active = p.Active.Or(u.Active)
	u.Superuser = p.Superuser.Or(u.Superuser)
	return u
}
