package security_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var (
	key      = []byte("0123456789abcdef0123456789ABCDEF")
	otherKey = []byte("fedcba9876543210FEDCBA9876543210")
	someone  = domain.Actor{ID: "01890a5d-ac96-774b-bcce-b302099a8057", Epoch: 3, Superuser: true}
	noon     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

func atNoon() time.Time { return noon }

func newIssuer(t testing.TB, key []byte, accepted ...[]byte) *security.TokenIssuer {
	t.Helper()
	i, err := security.NewTokenIssuer(time.Hour, atNoon, key, accepted...)
	require.NoError(t, err)
	return i
}

func issued(t testing.TB, i *security.TokenIssuer) string {
	t.Helper()
	token, err := i.Issue(someone)
	require.NoError(t, err)
	return token.Value
}

type object = map[string]any

// parsed returns header and claims of a token.
func parsed(t testing.TB, token string) (header, claims object) {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	for i, into := range []*object{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, into))
	}
	return header, claims
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// forge signs header and claims. They need not be JSON, and hash need not be SHA-256.
func forge(header, claims string, hash crypto.Hash, key []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(hash.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// with returns a copy of o with name set, or deleted when value is nil.
func with(o object, name string, value any) object {
	o = maps.Clone(o)
	if o[name] = value; value == nil {
		delete(o, name)
	}
	return o
}

func TestATokenHasTheDocumentedClaimsAndNoOthers(t *testing.T) {
	i := newIssuer(t, key)
	header, claims := parsed(t, issued(t, i))
	assert.Equal(t, object{"alg": "HS256", "typ": "at+jwt", "kid": header["kid"]}, header)
	assert.Regexp(t, `^[A-Za-z0-9_-]{11}$`, header["kid"])
	assert.Equal(t, object{
		"iss": "echo-in-snowflake", "aud": "echo-in-snowflake", "sub": someone.ID, "ver": 3.0, "sup": true,
		"iat": float64(noon.Unix()), "exp": float64(noon.Add(time.Hour).Unix()), "jti": claims["jti"],
	}, claims)
	assert.NotEmpty(t, claims["jti"])

	actor := someone
	actor.SessionID, actor.AuthTime, actor.ReadOnly = "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f", noon.Add(-time.Minute), true
	token, err := i.Issue(actor)
	require.NoError(t, err)
	_, more := parsed(t, token.Value)
	claims = with(claims, "jti", more["jti"])
	claims = with(claims, "aud", "echo-in-snowflake/read")
	claims = with(claims, "sid", actor.SessionID)
	assert.Equal(t, with(claims, "auth_time", float64(actor.AuthTime.Unix())), more)
}

// Versions of the service that do not know tokens for safe methods only ask for the audience of all other tokens.
func TestAnEarlierVersionRefusesAReadOnlyToken(t *testing.T) {
	i := newIssuer(t, key)
	for readOnly, want := range map[bool]error{false: nil, true: jwt.ErrTokenInvalidAudience} {
		actor := someone
		actor.ReadOnly = readOnly
		token, err := i.Issue(actor)
		require.NoError(t, err)
		_, err = jwt.Parse(token.Value, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithAudience("echo-in-snowflake"), jwt.WithTimeFunc(func() time.Time { return noon }))
		assert.ErrorIs(t, err, want)
	}
}

func TestATokenIsIssuedOnlyForAnActorThatCanExist(t *testing.T) {
	i := newIssuer(t, key)
	for name, a := range map[string]domain.Actor{
		"the zero actor":        {},
		"an id that is no UUID": {ID: "42", Epoch: 1},
		"an upper-case id":      {ID: strings.ToUpper(someone.ID), Epoch: 1},
		"an id in braces":       {ID: "{" + someone.ID + "}", Epoch: 1},
		"no epoch":              {ID: someone.ID},
		"a negative epoch":      {ID: someone.ID, Epoch: -1},
	} {
		token, err := i.Issue(a)
		require.Error(t, err, name)
		assert.Equal(t, domain.Internal, domain.KindOf(err), name)
		assert.Zero(t, token, name)
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	i := newIssuer(t, key)
	genuine := issued(t, i)
	header, claims := parsed(t, genuine)
	parts := strings.Split(genuine, ".")
	kid := header["kid"].(string)
	otherKid, _ := parsed(t, issued(t, newIssuer(t, otherKey)))

	sign := func(header, claims object) string { return forge(marshal(header), marshal(claims), crypto.SHA256, key) }
	headed := func(name string, value any) string { return sign(with(header, name, value), claims) }
	claimed := func(name string, value any) string { return sign(header, with(claims, name, value)) }
	signedBy := func(key []byte) string { return forge(marshal(header), marshal(claims), crypto.SHA256, key) }
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	raw := func(header, claims string) string { return forge(header, claims, crypto.SHA256, key) }
	last := strings.LastIndexByte(genuine, '.') + 1
	rsaToken, rsaKey := rsaSigned(t, header, claims)

	_, err := i.Verify(sign(header, claims))
	require.NoError(t, err, "a genuine token is accepted")

	for name, forged := range map[string]string{
		"alg none":                           strings.Join([]string{b64(marshal(with(header, "alg", "none"))), parts[1], ""}, "."),
		"alg none with the signature":        strings.Join([]string{b64(marshal(with(header, "alg", "none"))), parts[1], parts[2]}, "."),
		"alg None, signed":                   headed("alg", "None"),
		"alg NONE, signed":                   headed("alg", "NONE"),
		"alg hs256":                          headed("alg", "hs256"),
		"no alg":                             headed("alg", nil),
		"alg null":                           raw(strings.Replace(marshal(header), `"HS256"`, "null", 1), marshal(claims)),
		"alg that is a list":                 headed("alg", []string{"HS256"}),
		"HS384":                              forge(marshal(with(header, "alg", "HS384")), marshal(claims), crypto.SHA384, key),
		"HS512":                              forge(marshal(with(header, "alg", "HS512")), marshal(claims), crypto.SHA512, key),
		"HS512 under the name of HS256":      forge(marshal(header), marshal(claims), crypto.SHA512, key),
		"RS256 with the client's own key":    rsaToken,
		"RS256 signed with our key":          headed("alg", "RS256"),
		"HS256 keyed with an RSA public key": signedBy(rsaKey),

		"no signature":                    parts[0] + "." + parts[1] + ".",
		"two parts":                       parts[0] + "." + parts[1],
		"four parts":                      genuine + "." + parts[2],
		"a trailing dot":                  genuine + ".",
		"a leading dot":                   "." + genuine,
		"a truncated signature":           genuine[:len(genuine)-2],
		"half a signature":                genuine[:len(genuine)-22],
		"padding":                         genuine + "=",
		"the same bits spelled otherwise": otherSpelling(genuine),
		"a line feed in the signature":    genuine[:last+5] + "\n" + genuine[last+5:],
		"a carriage return at the end":    genuine + "\r",
		"another alphabet":                strings.NewReplacer("-", "+", "_", "/").Replace(withDash(t, i)),
		"other claims":                    strings.Join([]string{parts[0], b64(marshal(with(claims, "ver", 4))), parts[2]}, "."),
		"a header in another order":       strings.Join([]string{b64(`{"typ":"at+jwt","alg":"HS256","kid":"` + kid + `"}`), parts[1], parts[2]}, "."),
		"a signature over nothing":        strings.Join([]string{parts[0], parts[1], strings.Split(raw("", ""), ".")[2]}, "."),
		"an empty key":                    signedBy(nil),
		"a key of zeros":                  signedBy(make([]byte, 32)),
		"the key in hexadecimal":          signedBy(fmt.Appendf(nil, "%x", key)),
		"the kid as the key":              signedBy([]byte(kid)),
		"another key under our kid":       signedBy(otherKey),

		"no kid":                          headed("kid", nil),
		"an empty kid":                    headed("kid", ""),
		"an unknown kid":                  headed("kid", "AAAAAAAAAAA"),
		"a kid that is a path":            headed("kid", "../../../../../../dev/null"),
		"a kid that is a query":           headed("kid", "' UNION SELECT 'key"),
		"a kid that is a number":          headed("kid", 0),
		"a kid that is a list":            headed("kid", []string{kid}),
		"the kid of a key we do not have": forge(marshal(otherKid), marshal(claims), crypto.SHA256, otherKey),
		"the client's key in the header":  forge(marshal(with(header, "jwk", object{"kty": "oct", "k": b64(string(otherKey))})), marshal(claims), crypto.SHA256, otherKey),
		"the address of a key":            forge(marshal(with(header, "jku", "https://example.com/keys")), marshal(claims), crypto.SHA256, otherKey),

		"typ JWT":               headed("typ", "JWT"),
		"no typ":                headed("typ", nil),
		"typ in capitals":       headed("typ", "AT+JWT"),
		"typ that is an object": headed("typ", object{}),
		"crit":                  headed("crit", []string{"exp"}),
		"an empty crit":         headed("crit", []string{}),
		"crit null":             raw(strings.Replace(marshal(header), "{", `{"crit":null,`, 1), marshal(claims)),

		"no exp":                    claimed("exp", nil),
		"exp null":                  raw(marshal(header), strings.Replace(marshal(claims), `"exp":`, `"exp":null,"x":`, 1)),
		"exp that is text":          claimed("exp", fmt.Sprint(at(time.Hour))),
		"exp zero":                  claimed("exp", 0),
		"exp negative":              claimed("exp", -1),
		"exp in the past":           claimed("exp", at(-time.Minute)),
		"exp 1e18":                  raw(marshal(header), strings.Replace(marshal(claims), `"exp":`, `"exp":1e18,"x":`, 1)),
		"exp 10^18":                 claimed("exp", int64(1e18)),
		"the largest exp":           claimed("exp", int64(math.MaxInt64)),
		"the smallest exp":          claimed("exp", int64(math.MinInt64)),
		"exp infinite":              raw(marshal(header), strings.Replace(marshal(claims), `"exp":`, `"exp":1e999,"x":`, 1)),
		"valid for more than a day": claimed("exp", at(24*time.Hour+time.Second)),
		"no iat":                    claimed("iat", nil),
		"iat zero":                  claimed("iat", 0),
		"iat negative":              claimed("iat", int64(math.MinInt64)),
		"iat in the future":         claimed("iat", at(time.Minute)),
		"iat more than a day ago":   claimed("iat", at(-24*time.Hour)),
		"nbf in the future":         claimed("nbf", at(time.Minute)),
		"iss of another":            claimed("iss", "another-service"),
		"no iss":                    claimed("iss", nil),
		"aud of another":            claimed("aud", "another-service"),
		"no aud":                    claimed("aud", nil),
		"an empty aud":              claimed("aud", []string{}),
		"no sub":                    claimed("sub", nil),
		"a sub that is no UUID":     claimed("sub", "admin"),
		"a sub with something more": claimed("sub", someone.ID+"\x00"),
		"a sub that is a number":    claimed("sub", 1),
		"no ver":                    claimed("ver", nil),
		"no jti":                    claimed("jti", nil),
		"an empty jti":              claimed("jti", ""),
		"a jti that is a number":    claimed("jti", 7),
		"ver zero":                  claimed("ver", 0),
		"ver negative":              claimed("ver", -3),
		"ver with a fraction":       claimed("ver", 3.5),
		"ver that is text":          claimed("ver", "3"),
		"sup that is text":          claimed("sup", "true"),
		"sup that is a number":      claimed("sup", 1),
		"sid that is a number":      claimed("sid", 1),
		"auth_time that is text":    claimed("auth_time", "1"),
		"auth_time with a fraction": claimed("auth_time", 1.5),
		"aud of another suffix":     claimed("aud", "echo-in-snowflake/write"),
		"an expired exp after a good one": raw(marshal(header),
			strings.TrimSuffix(marshal(claims), "}")+fmt.Sprintf(`,"exp":%d}`, at(-time.Hour))),

		"claims that are null":    raw(marshal(header), "null"),
		"claims that are a list":  raw(marshal(header), "["+marshal(claims)+"]"),
		"claims that are text":    raw(marshal(header), `"`+someone.ID+`"`),
		"claims and more":         raw(marshal(header), marshal(claims)+"{}"),
		"claims cut off":          raw(marshal(header), strings.TrimSuffix(marshal(claims), "}")),
		"no claims":               raw(marshal(header), ""),
		"a header that is null":   raw("null", marshal(claims)),
		"a header that is a list": raw("["+marshal(header)+"]", marshal(claims)),
		"no header":               raw("", marshal(claims)),
		"depth":                   raw(marshal(header), strings.Repeat("[", 700)+strings.Repeat("]", 700)),
		"more than 2 KiB":         claimed("padding", strings.Repeat("x", 2048)),
		"an encrypted token":      "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
	} {
		t.Run(name, func(t *testing.T) {
			a, err := i.Verify(forged)
			require.ErrorIs(t, err, domain.ErrInvalidToken)
			assert.Zero(t, a)
			for _, part := range strings.Split(forged, ".") {
				if raw, _ := base64.RawURLEncoding.DecodeString(part); len(raw) > 8 {
					assert.NotContains(t, err.Error(), part, "the error quotes the token")
					assert.NotContains(t, err.Error(), string(raw), "the error quotes the token")
				}
			}
		})
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// otherSpelling changes a bit of the last character that the signature does not use.
func otherSpelling(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

// withDash returns a token that is spelled differently in the two alphabets of base64.
func withDash(t *testing.T, i *security.TokenIssuer) string {
	for {
		if token := issued(t, i); strings.ContainsAny(token, "-_") {
			return token
		}
	}
}

// rsaSigned returns a token that is signed with a new RSA key, and the public key.
func rsaSigned(t *testing.T, header, claims object) (string, []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(claims))
	token.Header = with(header, "alg", "RS256")
	signed, err := token.SignedString(private)
	require.NoError(t, err)
	return signed, private.N.Bytes()
}

func TestTheLastOfDuplicateClaimsCounts(t *testing.T) { // RFC 7519 §4
	i := newIssuer(t, key)
	header, claims := parsed(t, issued(t, i))
	twice := forge(marshal(header), strings.Replace(marshal(claims), "{", `{"ver":9,`, 1), crypto.SHA256, key)
	a, err := i.Verify(twice)
	require.NoError(t, err)
	assert.Equal(t, someone, a)
}

func TestClaimsOfALaterVersionAreIgnored(t *testing.T) { // RFC 7519 §4
	i := newIssuer(t, key)
	header, claims := parsed(t, issued(t, i))
	later := forge(marshal(header), marshal(with(claims, "later", true)), crypto.SHA256, key)
	a, err := i.Verify(later)
	require.NoError(t, err)
	assert.Equal(t, someone, a)
}

func TestClocksMayBeFiveSecondsApart(t *testing.T) {
	i := newIssuer(t, key)
	header, claims := parsed(t, issued(t, i))
	verify := func(name string, d time.Duration) error {
		_, err := i.Verify(forge(marshal(header), marshal(with(claims, name, noon.Add(d).Unix())), crypto.SHA256, key))
		return err
	}
	require.NoError(t, verify("iat", 5*time.Second))
	require.NoError(t, verify("exp", -4*time.Second))
	assert.ErrorIs(t, verify("iat", 6*time.Second), jwt.ErrTokenUsedBeforeIssued)
	assert.ErrorIs(t, verify("exp", -5*time.Second), jwt.ErrTokenExpired)
}

func TestAShorterLifetimeDoesNotEndTokensThatWereIssuedBefore(t *testing.T) {
	long, err := security.NewTokenIssuer(security.MaxTokenLifetime, atNoon, key)
	require.NoError(t, err)
	_, err = newIssuer(t, key).Verify(issued(t, long))
	assert.NoError(t, err)
}

func TestUnfitKeysAreRefusedAndNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		key     []byte
		problem string
	}{
		"no key":               {nil, "has 0 bytes"},
		"31 bytes":             {key[:31], "has 31 bytes"},
		"a template's default": {[]byte("changethis"), "has 10 bytes"},
		"zeros":                {make([]byte, 32), "has only 1 distinct byte values"},
		"one letter":           {bytes.Repeat([]byte("x"), 64), "has only 1 distinct byte values"},
		"a repeated word":      {bytes.Repeat([]byte("secret"), 8), "has only 5 distinct byte values"},
	} {
		t.Run(name, func(t *testing.T) {
			for role, construct := range map[string]func() (*security.TokenIssuer, error){
				"the signing key": func() (*security.TokenIssuer, error) { return security.NewTokenIssuer(time.Hour, atNoon, c.key) },
				"an accepted key": func() (*security.TokenIssuer, error) { return security.NewTokenIssuer(time.Hour, atNoon, key, c.key) },
			} {
				i, err := construct()
				assert.Nil(t, i)
				require.EqualError(t, err, role+" "+c.problem+": give at least 32 random bytes, for example what `openssl rand -base64 32` prints")
			}
		})
	}
}

func TestALifetimeIsBetweenASecondAndADay(t *testing.T) {
	for lifetime, fits := range map[time.Duration]bool{
		-time.Hour: false, 0: false, time.Millisecond: false, time.Second: true,
		24 * time.Hour: true, 24*time.Hour + 1: false,
	} {
		_, err := security.NewTokenIssuer(lifetime, atNoon, key)
		assert.Equal(t, fits, err == nil, "%v: %v", lifetime, err)
	}
}
