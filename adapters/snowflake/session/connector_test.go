package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
)

func TestTheQueryTagNamesTheRoute(t *testing.T) {
	ctx := requestinfo.NewContext(t.Context(), &requestinfo.Info{RequestID: "r1", Route: "/api/v1/items/:id", TraceID: "t1"})
	assert.Equal(t, `{"app":"echo-in-snowflake","v":"v1.2.3","route":"/api/v1/items/:id","rid":"r1","trace":"t1"}`, queryTag(ctx, "v1.2.3"))
	assert.Equal(t, `{"app":"echo-in-snowflake","v":"v1","route":"","rid":"","trace":""}`, queryTag(t.Context(), "v1"))
}

func TestTheQueryTagIsBounded(t *testing.T) {
	long := strings.Repeat("\x01<é", 5000)
	tag := queryTag(requestinfo.NewContext(t.Context(), &requestinfo.Info{RequestID: long, Route: long, TraceID: long}), long)
	assert.LessOrEqual(t, len(tag), 2000)
	assert.True(t, json.Valid([]byte(tag)))
}

func TestASessionLimitsStatementsAndLocksToTheRequest(t *testing.T) {
	for timeout, want := range map[time.Duration][2]string{
		10 * time.Second:       {"10", "4"},
		time.Second:            {"2", "1"},
		200 * time.Millisecond: {"2", "1"},
	} {
		p, hybrid := parameters(timeout), hybridParameters(timeout)
		assert.Equal(t, want, [2]string{p["STATEMENT_TIMEOUT_IN_SECONDS"], p["LOCK_TIMEOUT"]}, timeout)
		assert.Equal(t, p["LOCK_TIMEOUT"], hybrid["HYBRID_TABLE_LOCK_TIMEOUT"], timeout)
	}
}

func TestEachWayToSignInReachesTheDriver(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		auth Auth
		want sf.Config
	}{
		"the platform's token": {Auth{TokenPath: "/t"}, sf.Config{Authenticator: sf.AuthTypeOAuth}},
		"a password":           {Auth{User: "u", Password: "p"}, sf.Config{Authenticator: sf.AuthTypeSnowflake, User: "u", Password: "p"}},
		"a key pair":           {Auth{User: "u", PrivateKey: key}, sf.Config{Authenticator: sf.AuthTypeJwt, User: "u", PrivateKey: key}},
		"an access token":      {Auth{User: "u", PAT: "x"}, sf.Config{Authenticator: sf.AuthTypePat, User: "u", Token: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var c sf.Config
			tt.auth.prepare(&c)
			assert.Equal(t, tt.want, c)
		})
	}
}

func TestTheTokenFileIsReadAtEachLoginAndTrimmed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	login := func() (string, error) {
		var c sf.Config
		err := Auth{TokenPath: path}.readToken(&c)
		return c.Token, err
	}
	_, err := login()
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = login()
	require.ErrorContains(t, err, path+" is empty")

	for _, token := range []string{"first", "second"} {
		require.NoError(t, os.WriteFile(path, []byte(" "+token+"\n"), 0o600))
		got, err := login()
		require.NoError(t, err)
		assert.Equal(t, token, got)
	}
}

func TestAPrivateKeyIsReadOrItsFaultNamed(t *testing.T) {
	encode := func(kind string, key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	got, err := ParsePrivateKey(encode("PRIVATE KEY", key))
	require.NoError(t, err)
	assert.True(t, key.Equal(got))
	got, err = ParsePrivateKey(strings.ReplaceAll(encode("PRIVATE KEY", key), "\n", `\n`))
	require.NoError(t, err)
	assert.True(t, key.Equal(got))

	_, other, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for text, want := range map[string]string{
		"nonsense": "is not PEM",
		strings.ReplaceAll(encode("PRIVATE KEY", key), "\n", " "):                                 "is damaged: keep the lines",
		encode("PRIVATE KEY", other):                                                              "is not an RSA key",
		string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})): "openssl pkcs8 -topk8 -nocrypt",
	} {
		_, err := ParsePrivateKey(text)
		require.ErrorContains(t, err, want)
	}
}

// A session without READ_LATEST_WRITES could miss the latest commits for the hour that a session lives.
func TestASessionThatIsBusyDuringUseHybridTablesIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	arrived := make(chan struct{})
	var once sync.Once
	f.server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
		if strings.HasPrefix(q.SQL, "SELECT") {
			once.Do(func() { close(arrived) })
			return &snowflaketest.Fault{Delay: 200 * time.Millisecond}
		}
		return nil
	})
	busy := make(chan error, 1)
	go func() { busy <- f.read(t.Context()) }()
	<-arrived
	f.UseHybridTables()
	require.NoError(t, <-busy)
	before := f.server.Logins()
	require.NoError(t, f.read(t.Context()))
	assert.Equal(t, before+1, f.server.Logins(), "a new session, which has the parameter")
}
