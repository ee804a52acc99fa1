package security

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TokenIssuer implements [ports.TokenIssuer] with JSON Web Tokens (RFC 7519) in the profile of
// RFC 9068, signed with HMAC-SHA-256. A token cannot choose how it is verified, except that its kid
// selects one of our own keys.
type TokenIssuer struct {
	ring     atomic.Pointer[ring]
	lifetime time.Duration
	now      func() time.Time
	parser   *jwt.Parser
}

// ring is an immutable set of keys with a cache of the tokens that were verified with them.
type ring struct {
	keys     map[string][]byte // by kid
	kid      string            // of the key that signs
	verified verifiedTokens
}

// verifiedTokens maps the full text of a verified token to its claims. A client sends the same token with
// every request, and verifying it costs more than the rest of a request to the memory store. An entry can
// become wrong only because the token expires, which Verify checks. Rotate drops the cache with its ring, and
// so every entry that depends on a removed key.
type verifiedTokens struct {
	mu     sync.RWMutex
	claims generations[string, claims]
}

func (v *verifiedTokens) get(token string) (claims, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.claims.get(token)
}

func (v *verifiedTokens) add(token string, c claims) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claims.full() {
		v.claims.age()
	}
	v.claims.set(token, c)
}

var _ ports.TokenIssuer = (*TokenIssuer)(nil)

const (
	// MinKeyLength is the minimum length of a signing key in bytes (RFC 7518 §3.2).
	MinKeyLength = 32
	// MaxTokenLifetime limits the lifetime of every token, also of one that another instance signed.
	MaxTokenLifetime = 24 * time.Hour

	issuer = "echo-in-snowflake" // also the audience: the service issues tokens to itself
	// readAudience is the audience of tokens for safe methods only. Versions of the service that do not know them
	// refuse them, instead of giving them all rights.
	readAudience  = issuer + "/read"
	tokenType     = "at+jwt" // RFC 9068 §2.1
	maxTokenBytes = 2048
	maxRemembered = 4096 // verified tokens, a few MiB in two generations

	// clockSkew is the accepted difference between the clocks of two instances.
	clockSkew = 5 * time.Second
)

// NewTokenIssuer returns an issuer that signs with key. It also accepts tokens that were signed with
// one of the accepted keys. Tokens are valid for lifetime, between one second and [MaxTokenLifetime].
// An error says which key is unfit and why, and does not contain the key.
func NewTokenIssuer(
	lifetime time.Duration, now func() time.Time, key []byte, accepted ...[]byte,
) (*TokenIssuer, error) {
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
			jwt.WithAudience(issuer, readAudience),
			jwt.WithLeeway(clockSkew),
			jwt.WithTimeFunc(now),
		),
	}
	if err := i.Rotate(key, accepted...); err != nil {
		return nil, err
	}
	return i, nil
}

// Rotate replaces all keys in one step: from now on key signs, and Verify accepts only tokens of key
// and of the accepted keys. For an unfit key it returns an error, as [NewTokenIssuer] does, and changes
// nothing. It is safe for concurrent use with Issue and Verify.
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
	r := &ring{keys: keys, kid: keyID(key)}
	r.verified.claims.max = maxRemembered
	i.ring.Store(r)
	return nil
}

// checkKey refuses keys that cannot be random. Package config knows the placeholders, and where one of
// them may be used.
func checkKey(key []byte) error {
	const advice = "give at least 32 random bytes, for example what `openssl rand -base64 32` prints"
	if len(key) < MinKeyLength {
		return fmt.Errorf("has %d bytes: %s", len(key), advice)
	}
	distinct := map[byte]bool{}
	for _, b := range key {
		distinct[b] = true
	}
	if len(distinct) < 8 { // even 32 random hexadecimal digits have more
		return fmt.Errorf("has only %d distinct byte values: %s", len(distinct), advice)
	}
	return nil
}

// keyID returns a name for key that does not reveal it. It depends on the key alone, so that all
// instances agree.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("echo-in-snowflake kid\x00"), key...))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// claims holds the claims of RFC 9068 §2.2 that this service needs, and some of its own. Times are whole
// seconds since 1970. This is stricter than RFC 7519: a fraction or an exponent does not parse.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	NotBefore int64  `json:"nbf,omitempty"` // Issue does not set it; Verify checks it
	ID        string `json:"jti"`
	Epoch     int64  `json:"ver"` // of the account when the token was issued
	Superuser bool   `json:"sup"`
	SessionID string `json:"sid,omitempty"`       // OpenID Connect Front-Channel Logout §3
	AuthTime  int64  `json:"auth_time,omitempty"` // RFC 9068 §2.2.1
}

func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return seconds(c.IssuedAt), nil }
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return seconds(c.ExpiresAt), nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return seconds(c.NotBefore), nil }

// seconds returns the time n seconds after 1970, or nil for 0, which means that the claim is missing.
func seconds(n int64) *jwt.NumericDate {
	if n == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(n, 0))
}

// Reasons to refuse a token, in addition to those of the library.
var (
	errTooLong     = errors.New("token is longer than 2 KiB")
	errWrongType   = errors.New("token has the wrong type")
	errCritical    = errors.New("token has a crit header")
	errUnknownKey  = errors.New("token is signed with an unknown key")
	errBadLifetime = errors.New("token has no lifetime, or a lifetime that is too long")
	errBadActor    = errors.New("token names an impossible account")
	errNoID        = errors.New("token has no id")
)

// Validate implements [jwt.ClaimsValidator]. It adds to the checks of the parser.
func (c *claims) Validate() error {
	if c.IssuedAt < 1 || c.ExpiresAt-c.IssuedAt > int64(MaxTokenLifetime/time.Second) {
		return errBadLifetime
	}
	if id, err := uuid.Parse(c.Subject); err != nil || id.String() != c.Subject || c.Epoch < 1 {
		return errBadActor
	}
	if c.ID == "" {
		return errNoID
	}
	return nil
}

// Issue implements [ports.TokenIssuer]. It returns an error of Kind Internal for an Actor that no
// account can have.
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
		SessionID: a.SessionID,
	}
	if a.ReadOnly {
		c.Audience = readAudience
	}
	if !a.AuthTime.IsZero() {
		c.AuthTime = a.AuthTime.Unix()
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
	if strings.ContainsAny(token, "\r\n") { // encoding/base64 ignores them
		return domain.Actor{}, domain.ErrInvalidToken.WithCause(jwt.ErrTokenMalformed)
	}
	r := i.ring.Load() // only once: a token that one ring verified must not enter the cache of another
	c, known := r.verified.get(token)
	if !known {
		if _, err := i.parser.ParseWithClaims(token, &c, r.keyOf); err != nil {
			return domain.Actor{}, domain.ErrInvalidToken.WithCause(err)
		}
		r.verified.add(token, c)
	} else if !i.now().Before(time.Unix(c.ExpiresAt, 0).Add(clockSkew)) {
		return domain.Actor{}, domain.ErrInvalidToken.WithCause(jwt.ErrTokenExpired)
	}
	return c.actor(), nil
}

func (c *claims) actor() domain.Actor {
	a := domain.Actor{
		ID: c.Subject, Epoch: c.Epoch, Superuser: c.Superuser,
		SessionID: c.SessionID, ReadOnly: c.Audience == readAudience,
	}
	if c.AuthTime != 0 {
		a.AuthTime = time.Unix(c.AuthTime, 0).UTC()
	}
	return a
}

// keyOf implements [jwt.Keyfunc].
func (r *ring) keyOf(token *jwt.Token) (any, error) {
	if token.Header["typ"] != tokenType {
		return nil, errWrongType
	}
	if _, ok := token.Header["crit"]; ok { // this service knows no critical extension (RFC 7515 §4.1.11)
		return nil, errCritical
	}
	kid, _ := token.Header["kid"].(string)
	key, ok := r.keys[kid]
	if !ok {
		return nil, errUnknownKey
	}
	return key, nil
}
