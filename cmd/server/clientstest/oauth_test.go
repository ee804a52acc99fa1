package clientstest

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestOAuthLibrariesUseTheThreeGrants(t *testing.T) {
	api := peertest.StartServer(t).URL + "/api/v1"
	config := oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: api + "/auth/login"}}
	person, err := config.PasswordCredentialsToken(t.Context(), "admin@example.com", "changethis")
	require.NoError(t, err)
	id, secret := createClient(t, api, config.Client(t.Context(), person))

	t.Run("golang.org/x/oauth2: password", func(t *testing.T) {
		assertSignedIn(t, api, config.Client(t.Context(), person))
		_, err := config.PasswordCredentialsToken(t.Context(), "admin@example.com", "wrong")
		assertOAuthError(t, err, "invalid_grant")
	})
	t.Run("golang.org/x/oauth2: refresh_token", func(t *testing.T) {
		expired := *person
		expired.Expiry = time.Now().Add(-time.Hour)
		source := config.TokenSource(t.Context(), &expired)
		token, err := source.Token()
		require.NoError(t, err)
		assert.NotEqual(t, person.RefreshToken, token.RefreshToken)
		assertSignedIn(t, api, oauth2.NewClient(t.Context(), source))
		expired.RefreshToken = "unknown"
		_, err = config.TokenSource(t.Context(), &expired).Token()
		assertOAuthError(t, err, "invalid_grant")
	})
	for name, style := range map[string]oauth2.AuthStyle{
		"in the form": oauth2.AuthStyleInParams, "as HTTP Basic": oauth2.AuthStyleInHeader, "as it likes": oauth2.AuthStyleAutoDetect,
	} {
		t.Run("golang.org/x/oauth2: client_credentials "+name, func(t *testing.T) {
			program := clientcredentials.Config{
				ClientID: id, ClientSecret: secret, TokenURL: api + "/auth/login", AuthStyle: style,
			}
			assertSignedIn(t, api, program.Client(t.Context()))
			program.ClientSecret = "wrong"
			_, err := program.Token(t.Context())
			assertOAuthError(t, err, "invalid_client")
		})
	}
	t.Run("authlib and requests-oauthlib", func(t *testing.T) {
		requirements, err := os.ReadFile("requirements.txt")
		require.NoError(t, err)
		python, err := venv.Python(t.Context(), "oauth", requirements, t.Output())
		require.NoError(t, err)
		w := newWorkshop(t, nil)
		w.copy("oauth.py")
		w.run(w.folder, python, "oauth.py", api, id, secret)
	})
}

// createClient creates a client of the account that program is signed in to.
func createClient(t *testing.T, api string, program *http.Client) (id, secret string) {
	t.Helper()
	reply, err := program.Post(api+"/users/me/clients", "application/json", strings.NewReader(`{"name": "a test"}`))
	require.NoError(t, err)
	defer reply.Body.Close()
	require.Equal(t, http.StatusCreated, reply.StatusCode)
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	require.NoError(t, json.NewDecoder(reply.Body).Decode(&client))
	return client.ID, client.Secret
}

// assertSignedIn checks that program can read its account.
func assertSignedIn(t *testing.T, api string, program *http.Client) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, api+"/users/me", http.NoBody)
	require.NoError(t, err)
	reply, err := program.Do(req)
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusOK, reply.StatusCode)
}

// assertOAuthError checks that the library read this error of RFC 6749.
func assertOAuthError(t *testing.T, err error, code string) {
	t.Helper()
	var refused *oauth2.RetrieveError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, code, refused.ErrorCode)
	assert.NotEmpty(t, refused.ErrorDescription)
}
