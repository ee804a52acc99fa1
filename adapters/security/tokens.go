package security

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TokenIssuer implements [ports.TokenIssuer] with JSON Web Tokens (RFC 7519) in the profile of
// RFC 9068, signed with HMAC-SHA-256. Nothing in a token chooses how it is verified, save that its
// kid picks one of our own keys.
type TokenIssuer struct {
	ring     atomic.Pointer[ring]
	lifetime time.Duration
	now      func() time.Time
	parser   *jwt.Parser
}

// ring is the keys of one time, which never change, and what was verified with them.
type ring struct {
	keys map[string][]byte // by kid
	kid  string            // of the key that signs
	// verified holds what was found in tokens, by the whole text of each: a client sends the same
	// one with every request, and to verify it costs more than the rest of a request in memory.
	// Nothing but the passing of time can make it untrue. It ends with the ring, and with it all
	// that was found under a key that is gone.
	verified *lru.Cache[string, claims]
}

var _ ports.TokenIssuer = (*TokenIssuer)(nil)

const (
	// MinKeyLength is the least length of a signing key in bytes (RFC 7518 §3.2).
	MinKeyLength = 32
	// MaxTokenLifetime is the longest that a token may be valid, whoever signed it.
	MaxTokenLifetime = 24 * time.Hour

	issuer        = "echo-in-snowflake" // also the audience: we issue tokens to ourselves
	tokenType     = "at+jwt"            // RFC 9068 §2.1
	maxTokenBytes = 2048
	maxRemembered = 4096 // verified tokens, a few MiB

	// clockSkew is how far the clocks of two instances may be apart.
	clockSkew = 5 * time.Second
)

// NewTokenIssuer returns one that signs with key and also accepts the tokens of the accepted keys.
// Tokens are valid for lifetime, at most [MaxTokenLifetime]. The error says which key is
// unfit and why, and never shows it.
func NewTokenIssuer(lifetime time.Duration, now func() time.Time, key []byte, accepted ...[]byte) (*TokenIssuer, error) {
	if lifetime < time.Second || lifetime > MaxTokenLifetime {
		return nil, fmt.Errorf("a token lifetime of %v is not between 1s and %v", lifetime, MaxTokenLifetime)
	}
	i := &TokenIssuer{
		lifetime: lifetime, now: now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithStrictDecoding(),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(issuer),
			jwt.WithLeeway(clockSkew),
			jwt.WithTimeFunc(now),
		),
	}
	if err := i.Rotate(key, accepted...); err != nil {
		return nil, err
	}
	return i, nil
}

// Rotate replaces all keys at once: from now on tokens are signed with key, and only those of key
// and of the accepted keys are good. An unfit key is an error as with [NewTokenIssuer], and changes
// nothing. It may be called while tokens are issued and verified.
func (i *TokenIssuer) Rotate(key []byte, accepted ...[]byte) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("the signing key %w", err)
	}
	keys := map[string][]byte{keyID(key): bytes.Clone(key)}
	for _, k := range accepted {
		if err := checkKey(k); err != nil {
			return fmt.Errorf("an accepted key %w", err)
		}
		keys[keyID(k)] = bytes.Clone(k)
	}
	verified, err := lru.New[string, claims](maxRemembered)
	if err != nil {
		return err
	}
	i.ring.Store(&ring{keys: keys, kid: keyID(key), verified: verified})
	return nil
}

// checkKey refuses what nobody drew at random. Which words make a placeholder, and where one may
// be used all the same, is for the configuration to say.
func checkKey(key []byte) error {
	const cure = "give at least 32 random bytes, for example what `openssl rand -base64 32` prints"
	if len(key) < MinKeyLength {
		return fmt.Errorf("has %d bytes: %s", len(key), cure)
	}
	distinct := map[byte]bool{}
	for _, b := range key {
		distinct[b] = true
	}
	if len(distinct) < 8 { // fewer than even 32 random hexadecimal digits have
		return fmt.Errorf("has only %d distinct byte values: %s", len(distinct), cure)
	}
	return nil
}

// keyID names a key without revealing it. It follows from the key, so that all instances agree.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("echo-in-snowflake kid\x00"), key...))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// claims are those of RFC 9068 §2.2 that this service needs, and two of its own. Times are whole
// seconds since 1970, which is stricter than RFC 7519: a fraction or an exponent does not parse.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	NotBefore int64  `json:"nbf,omitempty"` // we set none, and honour it
	ID        string `json:"jti"`
	Epoch     int64  `json:"ver"` // the account's, when the token was issued
	Superuser bool   `json:"sup"`
}

func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return seconds(c.IssuedAt), nil }
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return seconds(c.ExpiresAt), nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return seconds(c.NotBefore), nil }

// seconds returns nil for 0, which is a time that was not given.
func seconds(n int64) *jwt.NumericDate {
	if n == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(n, 0))
}

// Why a token is refused, beyond what the library knows.
var (
	errTooLong     = errors.New("token is longer than 2 KiB")
	errWrongType   = errors.New("token is of another type")
	errCritical    = errors.New("token has a crit header")
	errUnknownKey  = errors.New("token is signed with an unknown key")
	errBadLifetime = errors.New("token has no lifetime, or one that is too long")
	errBadActor    = errors.New("token speaks for nobody that there could be")
)

// Validate implements [jwt.ClaimsValidator], in addition to what the parser checks.
func (c *claims) Validate() error {
	if c.IssuedAt < 1 || c.ExpiresAt-c.IssuedAt > int64(MaxTokenLifetime/time.Second) {
		return errBadLifetime
	}
	if id, err := uuid.Parse(c.Subject); err != nil || id.String() != c.Subject || c.Epoch < 1 {
		return errBadActor
	}
	return nil
}

// Issue implements [ports.TokenIssuer]. An Actor that no account can have is an Internal error.
func (i *TokenIssuer) Issue(a domain.Actor) (domain.Token, error) {
	now := i.now()
	c := &claims{
		Issuer:    issuer,
		Audience:  issuer,
		Subject:   a.ID,
		IssuedAt:  now.Unix(),
		ExpiresAt: now.Add(i.lifetime).Unix(),
		ID:        rand.Text(),
		Epoch:     a.Epoch,
		Superuser: a.Superuser,
	}
	if err := c.Validate(); err != nil {
		return domain.Token{}, err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header["typ"] = tokenType
	r := i.ring.Load()
	token.Header["kid"] = r.kid
	signed, err := token.SignedString(r.keys[r.kid])
	if err != nil {
		return domain.Token{}, err
	}
	return domain.Token{Value: signed, ExpiresIn: i.lifetime}, nil
}

// Verify implements [ports.TokenIssuer].
func (i *TokenIssuer) Verify(token string) (domain.Actor, error) {
	if len(token) > maxTokenBytes {
		return domain.Actor{}, domain.ErrInvalidToken.WithCause(errTooLong)
	}
	if strings.ContainsAny(token, "\r\n") { // encoding/base64 passes over them
		return domain.Actor{}, domain.ErrInvalidToken.WithCause(jwt.ErrTokenMalformed)
	}
	r := i.ring.Load() // once: what one ring has verified, another must not remember
	c, known := r.verified.Get(token)
	if !known {
		if _, err := i.parser.ParseWithClaims(token, &c, r.keyOf); err != nil {
			return domain.Actor{}, domain.ErrInvalidToken.WithCause(err)
		}
		r.verified.Add(token, c)
	} else if !i.now().Before(time.Unix(c.ExpiresAt, 0).Add(clockSkew)) {
		return domain.Actor{}, domain.ErrInvalidToken.WithCause(jwt.ErrTokenExpired)
	}
	return domain.Actor{ID: c.Subject, Epoch: c.Epoch, Superuser: c.Superuser}, nil
}

// keyOf implements [jwt.Keyfunc].
func (r *ring) keyOf(token *jwt.Token) (any, error) {
	if token.Header["typ"] != tokenType {
		return nil, errWrongType
	}
	if _, ok := token.Header["crit"]; ok { // we understand none (RFC 7515 §4.1.11)
		return nil, errCritical
	}
	kid, _ := token.Header["kid"].(string)
	key, ok := r.keys[kid]
	if !ok {
		return nil, errUnknownKey
	}
	return key, nil
}
