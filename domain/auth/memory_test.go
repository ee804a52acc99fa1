package auth

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKnownSourcesRememberTheNewestPairs(t *testing.T) {
	var k knownSources
	assert.False(t, k.has("0", "a"))
	for i := range maxEntries {
		k.add(fmt.Sprint(i), "a")
	}
	k.add("0", "a") // it signs in again
	assert.True(t, k.has("1", "a"))
	k.add("one more", "a")
	for account, want := range map[string]bool{"0": true, "1": false, "2": true, "one more": true} {
		assert.Equal(t, want, k.has(account, "a"), account)
	}
	assert.Equal(t, maxEntries, k.pairs.Len())
	assert.Len(t, k.elements, maxEntries)
	assert.Len(t, k.byAccount, maxEntries)
}

func TestAccountIDsAreLimited(t *testing.T) {
	var a accountIDs
	for i := range maxEntries {
		a.add(fmt.Sprint(i), "id")
	}
	assert.Equal(t, "id", a.of("0"))
	a.add("one more", "its id")
	assert.Equal(t, "its id", a.of("one more"))
	assert.Len(t, a.ids, 1)
}
