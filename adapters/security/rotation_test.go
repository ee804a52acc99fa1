package security_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestATokenOfThePreviousKeyIsAcceptedUntilThatKeyIsRemoved(t *testing.T) {
	previous, i := newIssuer(t, otherKey), newIssuer(t, otherKey)
	old := issued(t, i)
	require.NoError(t, i.Rotate(key, otherKey))
	for range 2 { // verified, then found in the cache
		a, err := i.Verify(old)
		require.NoError(t, err)
		assert.Equal(t, someone, a)
	}
	_, err := previous.Verify(issued(t, i))
	require.ErrorIs(t, err, domain.ErrInvalidToken, "an accepted key does not sign")

	require.NoError(t, i.Rotate(key))
	_, err = i.Verify(old)
	require.ErrorIs(t, err, domain.ErrInvalidToken)
	_, err = i.Verify(issued(t, i))
	require.NoError(t, err)
}

func TestATokenOfTheNextKeyIsAcceptedBeforeThatKeySigns(t *testing.T) {
	i := newIssuer(t, key, otherKey)
	_, err := i.Verify(issued(t, newIssuer(t, otherKey)))
	require.NoError(t, err)
	_, err = newIssuer(t, key).Verify(issued(t, i))
	require.NoError(t, err)
}

func TestTheSigningKeyMayBeAmongTheAcceptedKeys(t *testing.T) {
	i := newIssuer(t, key, otherKey, key, key)
	_, err := newIssuer(t, key).Verify(issued(t, i))
	require.NoError(t, err)
	_, err = i.Verify(issued(t, newIssuer(t, otherKey)))
	require.NoError(t, err)
}

func TestATokenThatIsVerifiedWhileItsKeyIsRemovedIsNotCached(t *testing.T) {
	var i *security.TokenIssuer
	var rotate sync.Once
	remove := func() { assert.NoError(t, i.Rotate(otherKey)) }
	now := func() time.Time { // called after the signature was verified
		rotate.Do(remove)
		return noon
	}
	var err error
	i, err = security.NewTokenIssuer(time.Hour, now, key)
	require.NoError(t, err)
	old := issued(t, newIssuer(t, key))
	_, err = i.Verify(old)
	require.NoError(t, err, "the verification began before the rotation")
	_, err = i.Verify(old)
	require.ErrorIs(t, err, domain.ErrInvalidToken)
}

func TestUnfitKeysChangeNothing(t *testing.T) {
	i := newIssuer(t, key, otherKey)
	for _, keys := range [][][]byte{{nil}, {key[:31]}, {key, key[:31]}, {otherKey, key, nil}} {
		require.Error(t, i.Rotate(keys[0], keys[1:]...))
		_, err := newIssuer(t, key).Verify(issued(t, i))
		require.NoError(t, err)
		_, err = i.Verify(issued(t, newIssuer(t, otherKey)))
		require.NoError(t, err)
	}
}

func TestTheIssuerCopiesItsKeys(t *testing.T) {
	mine, accepted := []byte(string(key)), []byte(string(otherKey))
	i := newIssuer(t, mine, accepted)
	clear(mine)
	clear(accepted)
	_, err := newIssuer(t, key).Verify(issued(t, i))
	require.NoError(t, err)
	_, err = i.Verify(issued(t, newIssuer(t, otherKey)))
	require.NoError(t, err)
}

func TestNoTokenIsRefusedWhileAcceptedKeysAreRotated(t *testing.T) {
	i := newIssuer(t, key, otherKey)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 500 {
				token, err := i.Issue(someone)
				if assert.NoError(t, err) {
					_, err = i.Verify(token.Value)
					assert.NoError(t, err)
				}
			}
		})
	}
	for range 250 {
		assert.NoError(t, i.Rotate(otherKey, key))
		assert.NoError(t, i.Rotate(key, otherKey))
	}
	clients.Wait()
}
