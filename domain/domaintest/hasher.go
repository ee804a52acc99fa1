package domaintest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Hasher is a fake password hasher, as ports.PasswordHasher describes it, whose hashes cost no work. A hash
// reads version$salt$password. The salt is the number of the hash: the first hash of "secret" is
// "v1$1$secret". Hashes of version v0 are outdated.
type Hasher struct {
	Duration           time.Duration // of each call of Hash or Verify
	HashErr, VerifyErr error         // what Hash and Verify fail with
	Hashed, Verified   atomic.Int64  // calls so far

	mu   sync.Mutex
	work []domain.Work // of the calls so far
}

// Work returns the Work of the calls so far.
func (h *Hasher) Work() []domain.Work {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.work)
}

func (h *Hasher) do(w domain.Work) {
	h.mu.Lock()
	h.work = append(h.work, w)
	h.mu.Unlock()
	time.Sleep(h.Duration)
}

// Hash returns a new hash of plain.
func (h *Hasher) Hash(_ context.Context, w domain.Work, plain string) (string, error) {
	h.do(w)
	return fmt.Sprintf("v1$%d$%s", h.Hashed.Add(1), plain), h.HashErr
}

// Verify reports whether hash was made from plain.
func (h *Hasher) Verify(_ context.Context, w domain.Work, plain, hash string) (bool, error) {
	h.do(w)
	h.Verified.Add(1)
	parts := strings.SplitN(hash, "$", 3)
	return len(parts) == 3 && parts[2] == plain, h.VerifyErr
}

// Outdated reports whether hash has version v0.
func (*Hasher) Outdated(hash string) bool { return strings.HasPrefix(hash, "v0$") }
