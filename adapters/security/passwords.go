// Package security makes and checks what people prove who they are with: password hashes, bearer
// tokens, and limits on guessing. It knows no account and no store; who may sign in is a use
// case's decision.
package security

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// cost is what an argon2id hash takes: memory in KiB, passes, lanes.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

// The cost of new hashes is OWASP's first recommendation for argon2id; what a stored hash may ask
// for is bounded, so that whoever can write one cannot stop the service with it.
var (
	newCost  = cost{memory: 19 << 10, passes: 2, lanes: 1}
	mostCost = cost{memory: 64 << 10, passes: 5, lanes: 4}
)

const (
	saltSize      = 16
	keySize       = 32
	mostBcrypt    = 14
	bcryptBytes   = 72 // bcrypt looks at no more of a password
	mostWaiting   = 64
	longestWait   = time.Second
	busyRetryTime = time.Second
)

// PasswordHasher implements [ports.PasswordHasher] with argon2id (RFC 9106), and verifies the
// bcrypt hashes of the service that this one replaces. As many hashes as there are CPUs are made at
// once: each takes 19 MiB, so that without a bound a burst of sign-ins would take all memory.
type PasswordHasher struct {
	running chan struct{}
	waiting chan struct{}
}

var _ ports.PasswordHasher = (*PasswordHasher)(nil)

// NewPasswordHasher returns a PasswordHasher with a queue of its own.
func NewPasswordHasher() *PasswordHasher {
	return &PasswordHasher{
		running: make(chan struct{}, runtime.GOMAXPROCS(0)),
		waiting: make(chan struct{}, mostWaiting),
	}
}

// Hash implements [ports.PasswordHasher].
func (h *PasswordHasher) Hash(ctx context.Context, plain string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return phc{newCost, salt, newCost.key(plain, salt, keySize)}.String(), nil
}

// Verify implements [ports.PasswordHasher].
func (h *PasswordHasher) Verify(ctx context.Context, plain, hash string) (bool, error) {
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()
	switch {
	case hash == "":
		newCost.key(plain, make([]byte, saltSize), keySize)
		return false, nil
	case strings.HasPrefix(hash, "$2"):
		return verifyBcrypt(plain, hash)
	}
	stored, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	key := stored.cost.key(plain, stored.salt, uint32(len(stored.key)))
	return subtle.ConstantTimeCompare(key, stored.key) == 1, nil
}

// Outdated implements [ports.PasswordHasher]: true for bcrypt, and for argon2id of another cost.
func (h *PasswordHasher) Outdated(hash string) bool {
	stored, err := parsePHC(hash)
	return err != nil || stored.cost != newCost
}

// acquire waits for its turn, first come first served, and not for long: whoever is told at once
// that too many are waiting can try elsewhere.
func (h *PasswordHasher) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.Because(err)
	}
	select {
	case h.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return domain.ErrBusy.After(busyRetryTime)
	}
	patience := time.NewTimer(longestWait)
	defer patience.Stop()
	select {
	case h.running <- struct{}{}:
		return nil
	case <-patience.C:
		return domain.ErrBusy.After(busyRetryTime)
	case <-ctx.Done():
		return domain.ErrUnavailable.Because(ctx.Err())
	}
}

func (h *PasswordHasher) release() { <-h.running }

func verifyBcrypt(plain, hash string) (bool, error) {
	if n, err := bcrypt.Cost([]byte(hash)); err != nil || n > mostBcrypt {
		return false, errUnreadable
	}
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(plain[:min(len(plain), bcryptBytes)]))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return false, nil
	}
	return false, errUnreadable
}

// errUnreadable does not say what it could not read: it is a hash.
var errUnreadable = &domain.Error{Kind: domain.Internal, Code: "unreadable_hash", Message: "a stored password hash cannot be read, or costs more than allowed"}

func (c cost) key(plain string, salt []byte, size uint32) []byte {
	return argon2.IDKey([]byte(plain), salt, c.passes, c.memory, c.lanes, size)
}

// phc is an argon2id hash in the PHC string format.
type phc struct {
	cost      cost
	salt, key []byte
}

var (
	phcText   = base64.RawStdEncoding.Strict()
	phcSyntax = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d{0,2}),p=([1-9]\d{0,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$`)
)

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.cost.memory, p.cost.passes, p.cost.lanes, phcText.EncodeToString(p.salt), phcText.EncodeToString(p.key))
}

func parsePHC(hash string) (phc, error) {
	m := phcSyntax.FindStringSubmatch(hash)
	if m == nil {
		return phc{}, errUnreadable
	}
	// The syntax leaves no room for errors but those of the last bits of the base64 texts.
	memory, _ := strconv.ParseUint(m[1], 10, 32)
	passes, _ := strconv.ParseUint(m[2], 10, 32)
	lanes, _ := strconv.ParseUint(m[3], 10, 32)
	salt, saltErr := phcText.DecodeString(m[4])
	key, keyErr := phcText.DecodeString(m[5])
	if saltErr != nil || keyErr != nil ||
		memory > uint64(mostCost.memory) || passes > uint64(mostCost.passes) || lanes > uint64(mostCost.lanes) {
		return phc{}, errUnreadable
	}
	return phc{cost{uint32(memory), uint32(passes), uint8(lanes)}, salt, key}, nil
}
