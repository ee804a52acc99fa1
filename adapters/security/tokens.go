package security

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	issuer    = "echo-in-snowflake"
	tokenType = "at+jwt" // RFC 9068 §2.1

	leastKey     = 32 // bytes: RFC 7518 §3.2 asks for as many as the hash has
	mostToken    = 2 << 10
	mostLifetime = 24 * time.Hour
	clockSkew    = 5 * time.Second // between instances
)

// TokenIssuer implements [ports.TokenIssuer] with JSON Web Tokens (RFC 7519) signed with HMAC
// SHA-256.
type TokenIssuer struct {
	lifetime time.Duration
	now      func() time.Time
	kid      string // of the key that signs
	keys     map[string][]byte
	parser   *jwt.Parser
}

var _ ports.TokenIssuer = (*TokenIssuer)(nil)

// claims are those of RFC 7519 and two of ours.
type claims struct {
	jwt.RegisteredClaims
	Epoch     int64 `json:"ver"`
	Superuser bool  `json:"sup"`
}

// NewTokenIssuer returns a TokenIssuer that signs with current and recognises what was signed with
// it or one of previous. lifetime is at most a day. It refuses keys of less than 32 bytes, and such
// as no random source makes.
func NewTokenIssuer(lifetime time.Duration, now func() time.Time, current []byte, previous ...[]byte) (*TokenIssuer, error) {
	if lifetime < time.Second || lifetime > mostLifetime {
		return nil, fmt.Errorf("a token's lifetime must be between a second and %s", mostLifetime)
	}
	keys := map[string][]byte{}
	for _, key := range append([][]byte{current}, previous...) {
		if len(key) < leastKey || bytes.Count(key, key[:1]) == len(key) {
			return nil, fmt.Errorf("a signing key must have at least %d random bytes", leastKey)
		}
		keys[keyID(key)] = bytes.Clone(key)
	}
	return &TokenIssuer{
		lifetime: lifetime,
		now:      now,
		kid:      keyID(current),
		keys:     keys,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(issuer),
			jwt.WithStrictDecoding(), // else one signature has four spellings
			jwt.WithLeeway(clockSkew),
			jwt.WithTimeFunc(now),
		),
	}, nil
}

// keyID names a key without telling anything of it.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte(issuer+" key id "), key...))
	return hex.EncodeToString(sum[:8])
}

// Issue implements [ports.TokenIssuer].
func (i *TokenIssuer) Issue(a domain.Actor) (domain.Token, error) {
	now := i.now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{issuer},
			Subject:   a.ID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(i.lifetime)),
			ID:        uuid.NewString(),
		},
		Epoch:     a.Epoch,
		Superuser: a.Superuser,
	})
	token.Header["typ"] = tokenType
	token.Header["kid"] = i.kid
	signed, err := token.SignedString(i.keys[i.kid])
	if err != nil {
		return domain.Token{}, fmt.Errorf("sign a token: %w", err)
	}
	return domain.Token{Value: signed, ExpiresIn: i.lifetime}, nil
}

// Verify implements [ports.TokenIssuer].
func (i *TokenIssuer) Verify(token string) (domain.Actor, error) {
	if len(token) > mostToken {
		return domain.Actor{}, domain.ErrInvalidToken.Because(errors.New("it is too long"))
	}
	var c claims
	if _, err := i.parser.ParseWithClaims(token, &c, i.keyOf); err != nil {
		return domain.Actor{}, domain.ErrInvalidToken.Because(err)
	}
	switch {
	case c.IssuedAt == nil || c.ExpiresAt.Sub(c.IssuedAt.Time) > mostLifetime:
		return domain.Actor{}, domain.ErrInvalidToken.Because(errors.New("it lives too long"))
	case uuid.Validate(c.Subject) != nil || c.Epoch < 1:
		return domain.Actor{}, domain.ErrInvalidToken.Because(errors.New("it names no account"))
	}
	return domain.Actor{ID: c.Subject, Epoch: c.Epoch, Superuser: c.Superuser}, nil
}

// keyOf checks the header (RFC 8725 §3) and looks the key up; kid is never anything but a key of
// this map.
func (i *TokenIssuer) keyOf(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("it has critical extensions")
	}
	if t.Header["typ"] != tokenType {
		return nil, errors.New("it is no access token")
	}
	kid, _ := t.Header["kid"].(string)
	key, known := i.keys[kid]
	if !known {
		return nil, errors.New("its key is not known")
	}
	return key, nil
}
