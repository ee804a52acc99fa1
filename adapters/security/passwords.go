package security

import (
	"context"
	"crypto/rand"
	"runtime"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// PasswordHasher implements [ports.PasswordHasher] with argon2id (RFC 9106). It also verifies
// bcrypt hashes ($2a$, $2b$, $2y$), as byte for byte as those are, which is up to the 72nd, and
// calls them outdated.
type PasswordHasher struct{ queue *queue }

var _ ports.PasswordHasher = (*PasswordHasher)(nil)

// How many hashes may wait for a processor, and for how long. A hash takes 19 MiB while it is made
// and nothing while it waits.
const (
	maxWaiting = 64
	maxWait    = time.Second
)

// NewPasswordHasher returns one that makes as many hashes at a time as there are processors to use.
func NewPasswordHasher() *PasswordHasher {
	return &PasswordHasher{newQueue(runtime.GOMAXPROCS(0), maxWaiting, maxWait)}
}

// Load returns how many hashes are being made or verified, and how many wait for that.
func (h *PasswordHasher) Load() (working, waiting int) { return h.queue.load() }

// Hash implements [ports.PasswordHasher].
func (h *PasswordHasher) Hash(ctx context.Context, plain string) (string, error) {
	var hash string
	err := h.queue.do(ctx, func() {
		salt := make([]byte, saltLength)
		_, _ = rand.Read(salt) // never fails
		hash = newArgon2id(plain, salt, current, keyLength).String()
	})
	return hash, err
}

// Verify implements [ports.PasswordHasher].
func (h *PasswordHasher) Verify(ctx context.Context, plain, hash string) (bool, error) {
	stored, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	var matches bool
	err = h.queue.do(ctx, func() { matches = stored.matches(plain) })
	return matches, err
}

// Outdated implements [ports.PasswordHasher]: it is true for all but what Hash returns today.
func (h *PasswordHasher) Outdated(hash string) bool {
	stored, err := parseArgon2id(hash)
	return err != nil || !stored.isCurrent()
}
