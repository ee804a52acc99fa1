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
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TestTokenIssuer tests what [ports.TokenIssuer] promises. open returns an issuer that reads the
// time from now and whose keys follow from seed, which is 32 random bytes: those opened with the
// same seed have the same keys.
func TestTokenIssuer(t *testing.T, open func(t *testing.T, seed []byte, now func() time.Time) ports.TokenIssuer) {
	fixture := func(t *testing.T) (ports.TokenIssuer, *clock) {
		c := &clock{time: later}
		return open(t, newSeed(), c.now), c
	}
	t.Run("what is issued is verified", func(t *testing.T) {
		i, _ := fixture(t)
		for _, a := range []domain.Actor{
			{ID: newID(), Epoch: 1},
			{ID: newID(), Epoch: 2, Superuser: true},
			{ID: newID(), Epoch: math.MaxInt64},
		} {
			got, err := i.Verify(issue(t, i, a).Value)
			require.NoError(t, err)
			assert.Equal(t, a, got)
		}
	})
	t.Run("a token is valid until it expires, and then no more", func(t *testing.T) {
		i, clock := fixture(t)
		token := issue(t, i, anybody())
		require.Positive(t, token.ExpiresIn)
		clock.advance(token.ExpiresIn - 1)
		_, err := i.Verify(token.Value)
		require.NoError(t, err)
		clock.advance(clocksApart)
		assertRefused(t, i, token.Value)
		clock.advance(100 * 365 * 24 * time.Hour)
		assertRefused(t, i, token.Value)
	})
	t.Run("no two tokens are the same", func(t *testing.T) {
		i, _ := fixture(t)
		a, seen := anybody(), map[string]bool{}
		const many = 1000
		for range many {
			seen[issue(t, i, a).Value] = true
		}
		assert.Len(t, seen, many)
	})
	t.Run("an issuer with the same keys accepts a token and one with others does not", func(t *testing.T) {
		seed, c := newSeed(), &clock{time: later}
		a := anybody()
		token := issue(t, open(t, seed, c.now), a).Value
		got, err := open(t, seed, c.now).Verify(token)
		require.NoError(t, err)
		assert.Equal(t, a, got)
		assertRefused(t, open(t, newSeed(), c.now), token)
	})
	t.Run("a token of which one character differs is refused", func(t *testing.T) {
		i, _ := fixture(t)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		token := issue(t, i, anybody()).Value
		for pos := range token {
			next := alphabet[(strings.IndexByte(alphabet, token[pos])+1)%len(alphabet)]
			assertRefused(t, i, token[:pos]+string(next)+token[pos+1:])
			assertRefused(t, i, token[:pos]+token[pos+1:])
			assertRefused(t, i, token[:pos])
		}
		for _, last := range alphabet { // where an encoding may have bits to spare
			if other := token[:len(token)-1] + string(last); other != token {
				assertRefused(t, i, other)
			}
		}
	})
	t.Run("everything else is refused", func(t *testing.T) {
		i, _ := fixture(t)
		token := issue(t, i, anybody()).Value
		for _, other := range []string{
			"", " ", ".", "..", "...", "null", "{}", "\x00", "\xff", "🦆", "Bearer " + token, " " + token, token + " ",
			token + ".", token + "=", token + "\n", token + token, token + "." + token, strings.ToLower(token), strings.ToUpper(token),
			strings.Repeat("a", 1<<20), strings.Repeat(".", 1<<20), strings.Repeat("a.", 1<<20),
		} {
			assertRefused(t, i, other)
		}
	})
}

// clocksApart is how long after its expiry a token may still be taken for valid by an issuer whose
// clock is allowed to be late.
const clocksApart = time.Minute

// clock is a time that stands still until it is advanced.
type clock struct{ time time.Time }

func (c *clock) now() time.Time          { return c.time }
func (c *clock) advance(d time.Duration) { c.time = c.time.Add(d) }

func anybody() domain.Actor { return domain.Actor{ID: newID(), Epoch: 1} }

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

func assertRefused(t *testing.T, i ports.TokenIssuer, token string) {
	t.Helper()
	a, err := i.Verify(token)
	if assert.Zero(t, a) && assert.Error(t, err) {
		assert.ErrorIs(t, err, domain.ErrInvalidToken)
		assert.Equal(t, domain.Unauthenticated, domain.KindOf(err))
	}
}
