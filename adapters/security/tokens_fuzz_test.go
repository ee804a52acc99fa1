package security_test

import (
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// FuzzVerifyToken checks that Verify accepts only the one token that was signed with the key.
func FuzzVerifyToken(f *testing.F) {
	i := newIssuer(f, key)
	header, _ := parsed(f, issued(f, i))
	genuine := forge(marshal(header), fmt.Sprintf(`{"iss":"echo-in-snowflake","aud":"echo-in-snowflake","sub":%q,"iat":%d,"exp":%d,"jti":"7","ver":3,"sup":true}`,
		someone.ID, noon.Unix(), noon.Unix()+60), crypto.SHA256, key)
	for _, seed := range []string{genuine, otherSpelling(genuine), genuine + ".", genuine + "\n", "..", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		a, err := i.Verify(token)
		if token == genuine {
			require.NoError(t, err)
			require.Equal(t, someone, a)
			return
		}
		require.ErrorIs(t, err, domain.ErrInvalidToken)
		require.Zero(t, a)
	})
}

// FuzzVerifySignedClaims checks that Verify refuses impossible accounts and unlimited lifetimes even if
// the signature is valid.
func FuzzVerifySignedClaims(f *testing.F) {
	i := newIssuer(f, key)
	tomorrow, err := security.NewTokenIssuer(time.Hour, func() time.Time { return noon.Add(25 * time.Hour) }, key)
	require.NoError(f, err)
	header, claims := parsed(f, issued(f, i))
	f.Add(marshal(claims))
	f.Add(strings.Replace(marshal(claims), `"exp":`, `"exp":1e18,"x":`, 1))
	f.Add("null")
	f.Fuzz(func(t *testing.T, claims string) {
		token := forge(marshal(header), claims, crypto.SHA256, key)
		a, err := i.Verify(token)
		if err != nil {
			require.ErrorIs(t, err, domain.ErrInvalidToken)
			require.Zero(t, a)
			return
		}
		_, err = i.Issue(a)
		require.NoError(t, err, "%+v cannot exist", a)
		_, err = tomorrow.Verify(token)
		require.ErrorIs(t, err, domain.ErrInvalidToken)
	})
}
