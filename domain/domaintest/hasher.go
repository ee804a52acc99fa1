package domaintest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Hasher is a fake password hasher, as ports.PasswordHasher describes it, whose hashes cost no work. A hash
// reads version$salt$password. The salt is the number of the hash: the first hash of "secret" is
// "v1$1$secret". Hashes of version v0 are outdated.
type Hasher struct {
	Duration           time.Duration // of each call of Hash or Verify
	HashErr, VerifyErr error         // what Hash and Verify fail with
	Hashed, Verified   atomic.Int64  // calls so far
}

// Hash returns a new hash of plain.
func (h *Hasher) Hash(_ context.Context, plain string) (string, error) {
	time.Sleep(h.Duration)
	return fmt.Sprintf("v1$%d$%s", h.Hashed.Add(1), plain), h.HashErr
}

// Verify reports whether hash was made from plain.
func (h *Hasher) Verify(_ context.Context, plain, hash string) (bool, error) {
	time.Sleep(h.Duration)
	h.Verified.Add(1)
	parts := strings.SplitN(hash, "$", 3)
	return len(parts) == 3 && parts[2] == plain, h.VerifyErr
}

// Outdated reports whether hash has version v0.
func (*Hasher) Outdated(hash string) bool { return strings.HasPrefix(hash, "v0$") }
