package security

import (
	"context"
	"crypto/rand"
	"runtime"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// PasswordHasher implements [ports.PasswordHasher] with argon2id (RFC 9106). It also verifies bcrypt
// hashes ($2a$, $2b$, $2y$), but only up to byte 72 of a password, because bcrypt ignores the rest. It
// reports bcrypt hashes as outdated.
type PasswordHasher struct {
	cost  argon2idCost // of new hashes
	queue *workQueue
}

var _ ports.PasswordHasher = (*PasswordHasher)(nil)

// How many hashes may wait for a processor in each lane, and for how long. A hash takes 19 MiB while it is computed
// and nothing while it waits.
const (
	maxWaiting = 64
	maxWait    = time.Second
)

// NewPasswordHasher returns a hasher that computes as many hashes concurrently as there are processors.
func NewPasswordHasher() *PasswordHasher { return newPasswordHasher(standardCost) }

// NewCheapPasswordHasher returns a hasher for tests that do not test hashing. Its hashes take microseconds
// and do not protect a password. They are current for it, and outdated for a hasher of
// [NewPasswordHasher]. No configuration leads here: a test fails if code of the program calls it.
func NewCheapPasswordHasher() *PasswordHasher { return newPasswordHasher(cheapestCost) }

func newPasswordHasher(cost argon2idCost) *PasswordHasher {
	return &PasswordHasher{cost, newWorkQueue(runtime.GOMAXPROCS(0), maxWaiting, maxWait)}
}

// Load returns how many hashes are being made or verified, and how many calls wait to do so.
func (h *PasswordHasher) Load() (running, waiting int) { return h.queue.load() }

// Hash implements [ports.PasswordHasher].
func (h *PasswordHasher) Hash(ctx context.Context, w domain.Work, plain string) (string, error) {
	var hash string
	err := h.queue.do(ctx, w, func() {
		salt := make([]byte, saltLength)
		_, _ = rand.Read(salt) // never fails
		hash = newArgon2id(plain, salt, h.cost, keyLength).String()
	})
	return hash, err
}

// Verify implements [ports.PasswordHasher].
func (h *PasswordHasher) Verify(ctx context.Context, w domain.Work, plain, hash string) (bool, error) {
	stored, err := h.parse(hash)
	if err != nil {
		return false, err
	}
	var matches bool
	err = h.queue.do(ctx, w, func() { matches = stored.matches(plain) })
	return matches, err
}

func (h *PasswordHasher) parse(hash string) (storedHash, error) {
	if hash == "" {
		return noHash{h.cost}, nil
	}
	return parseHash(hash)
}

// Outdated implements [ports.PasswordHasher]. It is true for every hash with another format, cost or
// length than Hash uses now.
func (h *PasswordHasher) Outdated(hash string) bool {
	stored, err := parseArgon2id(hash)
	return err != nil || stored.cost != h.cost || len(stored.salt) != saltLength || len(stored.key) != keyLength
}
