package domain

import (
	"strings"
	"time"
)

// Session is a sign-in that a refresh token continues. It works only while its account is active and has the
// session's Epoch. A session holds no secret: its texts are SHA-256 hashes, and a seed that is useless without a
// secret of the session. Texts of hashes and the seed are hexadecimal.
type Session struct {
	ID      string // UUIDv7, lower case
	OwnerID string
	Epoch   int64       // of the account when it signed in
	Kind    SessionKind // how the account signed in
	Lookup  string      // hash of the part of the refresh token that never changes
	Secret  string      // hash of the secret in the newest refresh token
	// Previous is the hash of the secret before it; empty until the first refresh.
	Previous string
	// Seed is the key that makes the next secret from a secret. It never changes.
	Seed      string
	UserAgent string // that the client named at the sign-in, at most [MaxUserAgent] code points; may be empty
	// CreatedAt is the time of the sign-in.
	CreatedAt   time.Time
	RefreshedAt time.Time
	ExpiresAt   time.Time // [SessionIdle] after RefreshedAt, but never more than [SessionLife] after CreatedAt
}

// SessionKind says how an account signed in.
type SessionKind string

// The values of SessionKind.
const (
	SessionByPassword  SessionKind = "password"
	SessionBySnowflake SessionKind = "snowflake"
)

// The limits of a session.
const (
	SessionIdle = 7 * 24 * time.Hour  // without a refresh
	SessionLife = 30 * 24 * time.Hour // from the sign-in on
	// RefreshWindow is how long the previous secret still gets the same successor. It covers a reply that was lost,
	// two tabs and two instances: it is longer than the default time limit of a request and that of a client together.
	RefreshWindow = time.Minute
	// MaxSessions is how many sessions of one account cleanup keeps, the newest.
	MaxSessions  = 100
	MaxUserAgent = 200 // code points
)

// Refreshed returns s after a refresh: secret is the hash of its new secret.
func (s Session) Refreshed(secret string, now time.Time) Session {
	s.Previous, s.Secret = s.Secret, secret
	s.RefreshedAt = now
	s.ExpiresAt = now.Add(SessionIdle)
	if end := s.CreatedAt.Add(SessionLife); s.ExpiresAt.After(end) {
		s.ExpiresAt = end
	}
	return s
}

// WorksFor reports whether the session has not ended at that time. u is its account.
func (s Session) WorksFor(u User, now time.Time) bool {
	return works(u, s.Epoch, s.ExpiresAt, now)
}

// works reports whether what was made under this Epoch, and expires then, works for the account.
func works(u User, epoch int64, expires, now time.Time) bool {
	return u.Active && u.Epoch == epoch && now.Before(expires)
}

// Position returns the session's place in a list.
func (s Session) Position() Position { return Position{s.CreatedAt, s.ID} }

// UserAgentOf returns the beginning of what a client calls itself, as a text that every store returns unchanged.
func UserAgentOf(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	n := 0
	for i := range s {
		if n == MaxUserAgent {
			return strings.Clone(s[:i])
		}
		n++
	}
	return s
}
