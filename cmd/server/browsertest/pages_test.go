package browsertest

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

var update = flag.Bool("update", false, "write the screenshots of the README into docs/images")

// maxImage is the size limit of a screenshot in the repository, in bytes.
const maxImage = 150_000

func TestThePagesInABrowser(t *testing.T) {
	origin, browser := peertest.StartServer(t).URL, startBrowser(t)

	t.Run("a violation of a page's policy is a problem", func(t *testing.T) {
		p := openTab(t, browser, origin)
		p.do(t, chromedp.Navigate(origin+"/"))
		require.Empty(t, p.problems())
		evaluate[bool](t, p, `document.body.setAttribute("style", "color: red"), true`)
		p.expectProblem(t, "style-src")
	})

	t.Run("an error on the console is a problem", func(t *testing.T) {
		p := openTab(t, browser, origin)
		p.do(t, chromedp.Navigate(origin+"/"))
		require.Empty(t, p.problems())
		evaluate[bool](t, p, `console.error("it is broken"), true`)
		p.expectProblem(t, "it is broken")
	})

	t.Run("a request to another host is a problem", func(t *testing.T) {
		p := openTab(t, browser, "http://here.invalid")
		p.do(t, chromedp.Navigate(origin+"/"))
		p.expectProblem(t, origin+"/static/style.css")
	})

	for where, path := range map[string]string{"": "", " behind another host and path": "/behind/a/gateway"} {
		t.Run("Swagger UI signs in, creates an item and lists it"+where, func(t *testing.T) {
			root := origin
			if path != "" {
				root = startGateway(t, origin, path)
			}
			p := openTab(t, browser, root)
			p.do(t, chromedp.Navigate(root+path+"/api/v1/docs"), signIn("admin@example.com", "changethis"))
			const title = "snow in the browser"
			created := p.try(t, "items-createItem",
				retype("#operations-items-createItem textarea", `{"title": "`+title+`"}`))
			assert.Contains(t, created, "Details\n201")
			assert.Contains(t, created, title)
			listed := p.try(t, "items-listItems")
			assert.Contains(t, listed, "Details\n200")
			assert.Contains(t, listed, title)
			assert.Empty(t, p.problems())
		})
	}

	t.Run("Swagger UI signs in as a client behind another host and path", func(t *testing.T) {
		root := startGateway(t, origin, "/behind/a/gateway")
		p := openTab(t, browser, root)
		p.do(t, chromedp.Navigate(root+"/behind/a/gateway/api/v1/docs"), signIn("admin@example.com", "changethis"))
		created := p.try(t, "me-createClient") // with the example of the document
		require.Contains(t, created, "Details\n201")
		secrets := regexp.MustCompile(`"client_(?:id|secret)": "(.*)"`).FindAllStringSubmatch(created, -1)
		require.Len(t, secrets, 2)

		p.do(t, chromedp.Navigate(root+"/behind/a/gateway/api/v1/docs"),
			press(".btn.authorize"),
			chromedp.SendKeys(chromedp.CSS("#client_id_clientCredentials"), secrets[0][1]),
			chromedp.SendKeys(chromedp.CSS("#client_secret_clientCredentials"), secrets[1][1]),
			press(".auth-container:has(#client_id_clientCredentials) .btn.authorize"),
			chromedp.WaitVisible(chromedp.CSS(signedIn)),
			press(".btn-done"),
		)
		assert.Contains(t, p.try(t, "items-listItems"), "Details\n200")
		assert.Empty(t, p.problems())
	})

	t.Run("Swagger UI sends the form of the token endpoint", func(t *testing.T) {
		p := openTab(t, browser, origin)
		p.do(t, chromedp.Navigate(origin+"/api/v1/docs"))
		const field = `#operations-auth-login [data-property-name="password"] input`
		tokens := p.try(t, "auth-login", retype(field, "changethis"),
			chromedp.Evaluate[chromedp.Void]("document.activeElement.blur()")) // the field waits for the next key until then
		assert.Contains(t, tokens, "Details\n200")
		assert.Contains(t, tokens, `"refresh_token": "`)
		assert.Empty(t, p.problems())
	})

	t.Run("Swagger UI and ReDoc show which operations need a fresh sign-in", func(t *testing.T) {
		p := openTab(t, browser, origin)
		p.do(t, chromedp.Navigate(origin+"/api/v1/docs"),
			press("#operations-me-createClient .opblock-summary-control"),
			chromedp.WaitVisible(`//td[. = "x-fresh-sign-in"]`),
			chromedp.Navigate(origin+"/api/v1/redoc"),
			chromedp.WaitVisible(`//span[contains(., "fresh-sign-in:")]`))
		assert.Empty(t, p.problems())
	})

	t.Run("the first requests work behind another host and path", func(t *testing.T) {
		gateway := startGateway(t, origin, "/behind/a/gateway")
		p := openTab(t, browser, gateway)
		p.do(t, chromedp.Navigate(gateway+"/behind/a/gateway/"))
		commands := evaluate[string](t, p, `document.querySelector("pre").innerText`)
		assert.Contains(t, commands, "api="+gateway+"/behind/a/gateway/api/v1\n")
		output, err := exec.Command("sh", "-ec", commands).CombinedOutput()
		require.NoError(t, err, "%s", output)
		assert.Contains(t, string(output), "HTTP/1.1 201 Created")
		assert.Contains(t, string(output), `"data":[{`)
		assert.Contains(t, string(output), `"title":"Snow shovel"`)
		assert.Contains(t, string(output), `"email":"ann@example.com"`)
		assert.NotContains(t, string(output), `"code":`, "no command may be refused")
		assert.Empty(t, p.problems())
	})

	// The port of this test is random. The pictures show the default.
	const (
		defaultAddress = `document.getElementById("address").textContent = "http://127.0.0.1:8000"`
		defaultServer  = `document.querySelector(".servers option").textContent = "http://127.0.0.1:8000/api/v1"`
		belowText      = `document.querySelector(".scheme-container").scrollIntoView(), `
	)
	for name, page := range map[string]struct {
		path, ready, change string
		height              int64
	}{
		"start-page": {"/", `//h1[text() = "Echo in Snowflake"]`, defaultAddress, 1080},
		"swagger-ui": {"/api/v1/docs", `//*[@id = "operations-items-listItems"]`, belowText + defaultServer, 1080},
	} {
		t.Run("the screenshot "+name+" has at most 150 kB", func(t *testing.T) {
			p := openTab(t, browser, origin)
			p.do(t, resize(1280, page.height, "light"), chromedp.Navigate(origin+page.path), chromedp.WaitVisible(page.ready))
			evaluate[string](t, p, page.change)
			picture := p.screenshot(t)
			assert.LessOrEqual(t, len(picture), maxImage)
			if *update {
				require.NoError(t, os.WriteFile("../../../docs/images/"+name+".png", picture, 0o644))
			}
		})
	}

	for name, page := range map[string]struct{ path, ready string }{
		"index": {"/", `//h1[text() = "Echo in Snowflake"]`},
		"docs":  {"/api/v1/docs", `//*[@id = "operations-items-listItems"]`},
		"redoc": {"/api/v1/redoc", `//h2[contains(., "Sign in")]`},
	} {
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s renders %s on %d pixels", name, scheme, width), func(t *testing.T) {
					p := openTab(t, browser, origin)
					p.do(t, resize(width, 900, scheme), chromedp.Navigate(origin+page.path), chromedp.WaitVisible(page.ready))
					room := evaluate[int64](t, p, "document.documentElement.clientWidth")
					assert.LessOrEqual(t, room, width)
					assert.LessOrEqual(t, evaluate[int64](t, p, "document.documentElement.scrollWidth"), room,
						"the page must not scroll sideways")
					assert.Empty(t, p.problems())
				})
			}
		}
	}
}

// signedIn selects the button of the dialog that forgets a token.
const signedIn = `button[aria-label="Remove authorization"]`

// signIn signs in with a password in the dialog of Swagger UI.
func signIn(email, password string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		press(".btn.authorize"),
		chromedp.SendKeys(chromedp.CSS("#oauth_username"), email),
		chromedp.SendKeys(chromedp.CSS("#oauth_password"), password),
		press(".auth-container:has(#oauth_password) .btn.authorize"),
		chromedp.WaitVisible(chromedp.CSS(signedIn)),
		press(".btn-done"))
}

// try opens an operation in Swagger UI, executes it, and returns the reply that the page shows, with its
// status. The operation has its tag before its name.
func (p *tab) try(t *testing.T, operation string, fillIn ...chromedp.Action[chromedp.Void]) string {
	t.Helper()
	at := "#operations-" + operation
	p.do(t, press(at+" .opblock-summary-control"), press(at+" .try-out__btn"))
	p.do(t, fillIn...)
	p.do(t, press(at+" .execute"))
	answer, err := chromedp.Run(p, chromedp.Text(chromedp.CSS(at+" .live-responses-table")))
	require.NoError(t, err)
	return answer
}

// startGateway starts a proxy that serves origin under path and under another host name. It returns
// the origin of the proxy.
func startGateway(t *testing.T, origin, path string) string {
	t.Helper()
	target, err := url.Parse(origin)
	require.NoError(t, err)
	gateway := httptest.NewServer(http.StripPrefix(path, httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(gateway.Close)
	return strings.Replace(gateway.URL, "127.0.0.1", "localhost", 1)
}
