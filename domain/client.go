package domain

import "time"

// Client is a credential of a program (RFC 6749 §2). It has the rights of its account, and works only while the
// account is active and has the client's Epoch. It never changes, except that its first use is recorded.
type Client struct {
	ID      string // UUIDv7, lower case; the client_id
	OwnerID string
	Epoch   int64  // of the account when the client was created
	Secret  string // SHA-256 of the client_secret, hexadecimal
	NewClient
	CreatedAt time.Time
	UsedAt    Optional[time.Time] // of the first use
}

// NewClient holds the fields of a client that its creator chooses.
type NewClient struct {
	Name      ClientName
	ReadOnly  bool // its tokens are for safe methods only
	ExpiresAt time.Time
}

// The limits of clients.
const (
	MaxClients        = 20 // that work, per account
	MaxClientLife     = 366 * 24 * time.Hour
	DefaultClientLife = 90 * 24 * time.Hour
)

// WorksFor reports whether the client has not ended at that time. u is its account.
func (c Client) WorksFor(u User, now time.Time) bool {
	return works(u, c.Epoch, c.ExpiresAt, now)
}

// Position returns the client's place in a list.
func (c Client) Position() Position { return Position{c.CreatedAt, c.ID} }
