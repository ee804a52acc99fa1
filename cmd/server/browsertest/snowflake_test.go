package browsertest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestThePagesOfferToSignInWithSnowflake(t *testing.T) {
	const serviceToken = "token of the service"
	snowflake := snowflaketest.New(t, engine.Rules{})
	snowflake.SetServiceToken(serviceToken)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte(serviceToken), 0o600))
	server := peertest.StartServer(t, "SNOWFLAKE_SIGN_IN=existing", "FIRST_SUPERUSER_SNOWFLAKE_USER=ADMIN",
		"SNOWFLAKE_ACCOUNT=fake", "SNOWFLAKE_PROTOCOL=http", "SNOWFLAKE_HOST="+snowflake.Host(),
		"SNOWFLAKE_PORT="+strconv.Itoa(snowflake.Port()), "SNOWFLAKE_OAUTH_TOKEN_PATH="+token)

	// The gateway gives each request a caller token of the user, and removes what the client sent.
	var user atomic.Value
	user.Store("STRANGER")
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Sf-Context-Current-User-Token", snowflake.CallerToken(serviceToken, user.Load().(string)))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(gateway.Close)

	p := openTab(t, startBrowser(t), gateway.URL)
	p.do(t, chromedp.Navigate(gateway.URL+"/"), press("li.whole a"),
		press("#snowflake button:enabled"),
		chromedp.WaitVisible(`//output[contains(., "your user in Snowflake has no active account")]`))
	p.expectProblem(t, "403")
	refusals := len(p.problems())

	user.Store("ADMIN")
	p.do(t, press("#snowflake button:enabled"), chromedp.WaitVisible(`//output[. = "You are signed in."]`))
	assert.Contains(t, p.try(t, "items-listItems"), "Details\n200")
	p.do(t, press(".auth-wrapper .btn.authorize"), chromedp.WaitVisible(chromedp.CSS(signedIn)))
	assert.Len(t, p.problems(), refusals)
}

func TestThePagesDoNotOfferASignInThatIsOff(t *testing.T) {
	origin := peertest.StartServer(t).URL
	p := openTab(t, startBrowser(t), origin)
	p.do(t, chromedp.Navigate(origin+"/"))
	assert.Zero(t, evaluate[int64](t, p, `document.querySelector("li.whole").offsetHeight`))
	p.do(t, chromedp.Navigate(origin+"/api/v1/docs"))
	assert.Zero(t, evaluate[int64](t, p, `document.querySelector("#snowflake").offsetHeight`))
}
