package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// The prefixes let scanners of source code and logs recognise a leaked secret.
const (
	refreshPrefix = "echo_rt_"
	clientPrefix  = "echo_cs_"
)

// Lengths in bytes.
const (
	lookupSize = 16
	secretSize = 32
)

// text writes the random parts of tokens. It has one text for each value.
var text = base64.RawURLEncoding.Strict()

// refreshToken is a refresh token: a part that finds its session and never changes, and a secret that each refresh
// replaces.
type refreshToken struct{ lookup, secret string }

func newRefreshToken() refreshToken {
	return refreshToken{lookup: randomText(lookupSize), secret: randomText(secretSize)}
}

// parseRefreshToken reports false for a text that this service did not make.
func parseRefreshToken(s string) (refreshToken, bool) {
	rest, ok := strings.CutPrefix(s, refreshPrefix)
	lookup, secret, found := strings.Cut(rest, ".")
	return refreshToken{lookup, secret}, ok && found && isText(lookup, lookupSize) && isText(secret, secretSize)
}

func (t refreshToken) String() string { return refreshPrefix + t.lookup + "." + t.secret }

// successor returns the token that replaces t: its secret is HMAC-SHA256(seed, secret of t). So two instances that
// refresh with t at the same time return the same token, and none has to keep it.
func (t refreshToken) successor(seed string) refreshToken {
	mac := hmac.New(sha256.New, []byte(seed))
	mac.Write([]byte(t.secret))
	return refreshToken{t.lookup, text.EncodeToString(mac.Sum(nil))}
}

// isText reports whether s is what text makes of size bytes.
func isText(s string, size int) bool {
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 ignores them
		return false
	}
	decoded, err := text.DecodeString(s)
	return err == nil && len(decoded) == size
}

func randomText(size int) string { return text.EncodeToString(randomBytes(size)) }

func randomBytes(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}

// hashOf returns the SHA-256 of a secret, hexadecimal. A slow hash would not protect more: 128 random bits
// cannot be guessed.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// equal compares two hashes in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewClientSecret returns a new client_secret of 256 random bits, and its hash for the store.
func NewClientSecret() (secret, hash string) {
	secret = clientPrefix + randomText(secretSize)
	return secret, hashOf(secret)
}
