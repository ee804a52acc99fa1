package portstest

import (
	"crypto/rand"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TestTokenIssuer tests the contract of [ports.TokenIssuer]. open returns an issuer that reads the time from
// now and derives its keys from seed, which is 32 random bytes. Issuers with the same seed have the same keys.
func TestTokenIssuer(t *testing.T, open func(t *testing.T, seed []byte, now func() time.Time) ports.TokenIssuer) {
	newFixture := func(t *testing.T) (ports.TokenIssuer, *clock) {
		c := &clock{time: domaintest.Created}
		return open(t, newSeed(), c.now), c
	}
	t.Run("a token verifies as the actor that it was issued for", func(t *testing.T) {
		i, _ := newFixture(t)
		for _, a := range []domain.Actor{
			{ID: domaintest.NewID(), Epoch: 1},
			{ID: domaintest.NewID(), Epoch: 2, Superuser: true},
			{ID: domaintest.NewID(), Epoch: math.MaxInt64},
			{ID: domaintest.NewID(), Epoch: 1, SessionID: domaintest.NewID(), AuthTime: signedInAt},
			{ID: domaintest.NewID(), Epoch: 1, AuthTime: signedInAt},
			{ID: domaintest.NewID(), Epoch: 1, ReadOnly: true},
			{ID: domaintest.NewID(), Epoch: 1, Superuser: true, ReadOnly: true},
		} {
			assertActor(t, i, a, issue(t, i, a).Value)
		}
	})
	t.Run("a token carries the time of the sign-in in whole seconds", func(t *testing.T) {
		i, _ := newFixture(t)
		want := domain.Actor{ID: domaintest.NewID(), Epoch: 1, SessionID: domaintest.NewID(), AuthTime: signedInAt}
		precise := want
		precise.AuthTime = signedInAt.Add(time.Second - time.Microsecond)
		assertActor(t, i, want, issue(t, i, precise).Value)
	})
	t.Run("a token does not carry the source of the actor it was issued for", func(t *testing.T) {
		i, _ := newFixture(t)
		a := someActor()
		old := a
		old.Source = "192.0.2.1"
		assertActor(t, i, a, issue(t, i, old).Value)
	})
	t.Run("a token is valid for many requests, and no other token is the same", func(t *testing.T) {
		i, _ := newFixture(t)
		a, seen := someActor(), map[string]bool{}
		const many = 1000
		for range many {
			token := issue(t, i, a).Value
			assertActor(t, i, a, token)
			assertActor(t, i, a, token)
			seen[token] = true
		}
		assert.Len(t, seen, many)
	})
	t.Run("a token is valid until it expires", func(t *testing.T) {
		i, clock := newFixture(t)
		token := issue(t, i, someActor())
		require.Positive(t, token.ExpiresIn)
		clock.advance(token.ExpiresIn - 1)
		_, err := i.Verify(token.Value)
		require.NoError(t, err)
		clock.advance(maxClockSkew)
		assertRefused(t, i, token.Value)
		clock.advance(100 * 365 * 24 * time.Hour)
		assertRefused(t, i, token.Value)
	})
	t.Run("no two tokens are the same", func(t *testing.T) {
		i, _ := newFixture(t)
		a, seen := someActor(), map[string]bool{}
		const many = 1000
		for range many {
			seen[issue(t, i, a).Value] = true
		}
		assert.Len(t, seen, many)
	})
	t.Run("an issuer with the same keys accepts a token, and one with other keys refuses it", func(t *testing.T) {
		seed, c := newSeed(), &clock{time: domaintest.Created}
		a := someActor()
		token := issue(t, open(t, seed, c.now), a).Value
		assertActor(t, open(t, seed, c.now), a, token)
		assertRefused(t, open(t, newSeed(), c.now), token)
	})
	t.Run("a token with one wrong or missing character is refused", func(t *testing.T) {
		i, _ := newFixture(t)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		token := issue(t, i, someActor()).Value
		for pos := range token {
			next := alphabet[(strings.IndexByte(alphabet, token[pos])+1)%len(alphabet)]
			assertRefused(t, i, token[:pos]+string(next)+token[pos+1:])
			assertRefused(t, i, token[:pos]+token[pos+1:])
			assertRefused(t, i, token[:pos])
		}
		for _, last := range alphabet { // an encoding may ignore some bits of its last character
			if other := token[:len(token)-1] + string(last); other != token {
				assertRefused(t, i, other)
			}
		}
	})
	t.Run("every other text is refused", func(t *testing.T) {
		i, _ := newFixture(t)
		token := issue(t, i, someActor()).Value
		for _, other := range []string{
			"", " ", ".", "..", "...", "null", "{}", "\x00", "\xff", "🦆",
			"Bearer " + token, " " + token, token + " ", token + ".", token + "=", token + "\n",
			token + token, token + "." + token, strings.ToLower(token), strings.ToUpper(token),
			strings.Repeat("a", 1<<20), strings.Repeat(".", 1<<20), strings.Repeat("a.", 1<<20),
		} {
			assertRefused(t, i, other)
		}
	})
}

// maxClockSkew is the longest time after its expiry for which an issuer may still accept a token, because the
// clock of the issuer that made it may be ahead.
const maxClockSkew = time.Minute

// signedInAt is a time of a sign-in, before the clock starts.
var signedInAt = domaintest.Created.Add(-time.Hour).Truncate(time.Second)

// clock is a fake clock. Only advance moves it.
type clock struct{ time time.Time }

func (c *clock) now() time.Time          { return c.time }
func (c *clock) advance(d time.Duration) { c.time = c.time.Add(d) }

func someActor() domain.Actor { return domain.Actor{ID: domaintest.NewID(), Epoch: 1} }

func newSeed() []byte {
	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails
	return seed
}

func issue(t *testing.T, i ports.TokenIssuer, a domain.Actor) domain.Token {
	t.Helper()
	token, err := i.Issue(a)
	require.NoError(t, err)
	return token
}

// assertActor checks that the token verifies as the actor want.
func assertActor(t *testing.T, i ports.TokenIssuer, want domain.Actor, token string) {
	t.Helper()
	got, err := i.Verify(token)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func assertRefused(t *testing.T, i ports.TokenIssuer, token string) {
	t.Helper()
	a, err := i.Verify(token)
	if assert.Zero(t, a) && assert.Error(t, err) {
		assert.ErrorIs(t, err, domain.ErrInvalidToken)
		assert.Equal(t, domain.Unauthenticated, domain.KindOf(err))
	}
}
