package security

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestGenerationsKeepTheNewestEntriesAndTheLastValueOfEach(t *testing.T) {
	g := generations[int, int]{max: 4}
	for k := range 10 {
		if g.full() {
			g.age()
		}
		g.set(k, k)
		assert.LessOrEqual(t, len(g.young)+len(g.old), 8)
	}
	for k, want := range []bool{4: true, 5: true, 6: true, 7: true, 8: true, 9: true} {
		_, known := g.get(k)
		assert.Equal(t, want, known, k)
	}
	g.set(4, 40) // it is young again
	g.age()
	v, known := g.get(4)
	assert.True(t, known)
	assert.Equal(t, 40, v)
	g.forget(4)
	_, known = g.get(4)
	assert.False(t, known)
	assert.Len(t, g.old, 2)
}

func TestTheNumberOfRememberedTokensIsLimited(t *testing.T) {
	i, err := NewTokenIssuer(time.Hour, time.Now, []byte("0123456789abcdef0123456789ABCDEF"))
	require.NoError(t, err)
	remembered := &i.ring.Load().verified
	for n := range 3 * maxRemembered {
		remembered.add(fmt.Sprint(n), claims{})
	}
	assert.LessOrEqual(t, len(remembered.claims.young)+len(remembered.claims.old), 2*maxRemembered)
	token, err := i.Issue(domain.Actor{ID: "01890a5d-ac96-774b-bcce-b302099a8057", Epoch: 1})
	require.NoError(t, err)
	_, err = i.Verify(token.Value)
	require.NoError(t, err)
	_, known := remembered.get(token.Value)
	assert.True(t, known)
}
