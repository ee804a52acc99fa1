package security

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// storedHash is a parsed hash that costs no more than the bounds allow.
type storedHash interface {
	matches(plain string) bool
}

// The texts contain no part of the hash, because errors are logged.
var (
	errUnreadableHash = errors.New("the stored password hash has an unknown format")
	errCostlyHash     = errors.New("the stored password hash has a cost or a length out of bounds")
)

// parseHash parses an argon2id or a bcrypt hash. Errors: errUnreadableHash, errCostlyHash.
func parseHash(s string) (storedHash, error) {
	if bcryptSyntax.MatchString(s) {
		return parseBcrypt(s)
	}
	return parseArgon2id(s)
}

// argon2idCost is the cost of one hash (RFC 9106 §3.1).
type argon2idCost struct {
	memory  uint32 // KiB
	time    uint32 // passes over the memory
	threads uint8
}

var (
	// standardCost is the lowest memory cost that the OWASP Password Storage Cheat Sheet recommends
	// with two passes. It is the lowest because every processor takes this memory.
	standardCost = argon2idCost{memory: 19 * 1024, time: 2, threads: 1}
	// cheapestCost is the least that argon2id allows (RFC 9106 §3.1).
	cheapestCost = argon2idCost{memory: 8, time: 1, threads: 1}
)

const (
	saltLength = 16 // bytes
	keyLength  = 32 // bytes
)

// argon2idHash is a parsed hash in PHC string format.
type argon2idHash struct {
	cost argon2idCost
	salt []byte
	key  []byte
}

func newArgon2id(plain string, salt []byte, cost argon2idCost, length uint32) argon2idHash {
	key := argon2.IDKey([]byte(plain), salt, cost.time, cost.memory, cost.threads, length)
	return argon2idHash{cost, salt, key}
}

func (h argon2idHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.memory, h.cost.time, h.cost.threads,
		phcBase64.EncodeToString(h.salt), phcBase64.EncodeToString(h.key))
}

// The PHC string format demands base64 without padding and exactly one spelling of each value.
var (
	phcBase64      = base64.RawStdEncoding.Strict()
	argon2idSyntax = regexp.MustCompile(`^\$argon2id\$v=19` +
		`\$m=([1-9]\d{0,8}),t=([1-9]\d{0,8}),p=([1-9]\d{0,8})` +
		`\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)
)

func parseArgon2id(s string) (argon2idHash, error) {
	parts := argon2idSyntax.FindStringSubmatch(s)
	if parts == nil {
		return argon2idHash{}, errUnreadableHash
	}
	var numbers [3]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(parts[1+i]) // at most nine digits
	}
	memory, time, threads := numbers[0], numbers[1], numbers[2]
	salt, saltErr := phcBase64.DecodeString(parts[4])
	key, keyErr := phcBase64.DecodeString(parts[5])
	switch {
	case saltErr != nil || keyErr != nil:
		return argon2idHash{}, errUnreadableHash
	case !within(memory, 8*threads, 64*1024), !within(time, 1, 5), !within(threads, 1, 4),
		!within(len(salt), 8, 64), !within(len(key), 16, 64):
		return argon2idHash{}, errCostlyHash
	}
	return argon2idHash{argon2idCost{uint32(memory), uint32(time), uint8(threads)}, salt, key}, nil
}

func within(n, least, most int) bool { return least <= n && n <= most }

func (h argon2idHash) matches(plain string) bool {
	computed := newArgon2id(plain, h.salt, h.cost, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(computed.key, h.key) == 1
}

// noHash stands in for the hash of an account that does not exist. Verifying it costs as much as
// verifying a current hash, so the time of a sign-in does not reveal whether the account exists.
type noHash struct{ cost argon2idCost }

func (h noHash) matches(plain string) bool {
	newArgon2id(plain, make([]byte, saltLength), h.cost, keyLength)
	return false
}

// bcryptHash is a hash that the predecessor of this service stored.
type bcryptHash string

const maxBcryptCost = 14 // a base-2 logarithm; about one second

var bcryptSyntax = regexp.MustCompile(`^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$`)

func parseBcrypt(s string) (bcryptHash, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || cost > maxBcryptCost {
		return "", errCostlyHash
	}
	return bcryptHash(s), nil
}

// matches compares only the first 72 bytes, because bcrypt hashes no more. It refuses a password with
// a NUL: bcrypt treats a password and its repetition after a NUL as equal, and the predecessor never
// accepted a NUL.
func (h bcryptHash) matches(plain string) bool {
	err := bcrypt.CompareHashAndPassword([]byte(h), []byte(plain[:min(len(plain), 72)]))
	return err == nil && !strings.ContainsRune(plain, 0)
}
