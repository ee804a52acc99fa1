package browsertest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestThePagesInABrowser(t *testing.T) {
	url, browser := startServer(t), startBrowser(t)

	t.Run("what a page's policy forbids is noticed", func(t *testing.T) {
		p := openTab(t, browser, url)
		p.do(t, chromedp.Navigate(url+"/"))
		require.Empty(t, p.troubles())
		evaluate[bool](t, p, `document.body.setAttribute("style", "color: red"), true`)
		p.expectTrouble(t, "style-src")
	})

	t.Run("what a script complains about is noticed", func(t *testing.T) {
		p := openTab(t, browser, url)
		p.do(t, chromedp.Navigate(url+"/"))
		require.Empty(t, p.troubles())
		evaluate[bool](t, p, `console.error("it is broken"), true`)
		p.expectTrouble(t, "it is broken")
	})

	t.Run("a request to elsewhere is noticed", func(t *testing.T) {
		p := openTab(t, browser, "http://here.invalid")
		p.do(t, chromedp.Navigate(url+"/"))
		p.expectTrouble(t, url+"/static/style.css")
	})

	t.Run("Swagger UI signs in, creates an item and lists it", func(t *testing.T) {
		p := openTab(t, browser, url)
		p.do(t, chromedp.Navigate(url+"/api/v1/docs"),
			press(".btn.authorize"),
			chromedp.SendKeys(chromedp.CSS("#oauth_username"), "admin@example.com"),
			chromedp.SendKeys(chromedp.CSS("#oauth_password"), "changethis"),
			press(".auth-container:has(#oauth_password) .btn.authorize"),
			chromedp.WaitVisible(`//button[contains(., "Logout")]`),
			press(".btn-done"),
		)
		const title = "snow in the browser"
		created := p.try(t, "createItem",
			retype("#operations-items-createItem textarea", `{"title": "`+title+`"}`))
		assert.Contains(t, created, "Details\n201")
		assert.Contains(t, created, title)
		listed := p.try(t, "listItems")
		assert.Contains(t, listed, "Details\n200")
		assert.Contains(t, listed, title)
		assert.Empty(t, p.troubles())
	})

	for name, page := range map[string]struct{ path, ready string }{
		"index": {"/", `//h1[text() = "Echo in Snowflake"]`},
		"docs":  {"/api/v1/docs", `//*[@id = "operations-items-listItems"]`},
		"redoc": {"/api/v1/redoc", `//h2[contains(., "Sign in")]`},
	} {
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s renders %s on %d pixels", name, scheme, width), func(t *testing.T) {
					p := openTab(t, browser, url)
					p.do(t, look(width, scheme), chromedp.Navigate(url+page.path), chromedp.WaitVisible(page.ready))
					room := evaluate[int64](t, p, "document.documentElement.clientWidth")
					assert.LessOrEqual(t, room, width)
					assert.LessOrEqual(t, evaluate[int64](t, p, "document.documentElement.scrollWidth"), room, "it must not scroll sideways")
					p.keep(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
					assert.Empty(t, p.troubles())
				})
			}
		}
	}
}

// try opens an operation of the items in Swagger UI, executes it and returns the answer that it
// shows, its status included.
func (p *tab) try(t *testing.T, operation string, fillIn ...chromedp.Action[chromedp.Void]) string {
	t.Helper()
	at := "#operations-items-" + operation
	p.do(t, press(at+" .opblock-summary-control"), press(at+" .try-out__btn"))
	p.do(t, fillIn...)
	p.do(t, press(at+" .execute"))
	answer, err := chromedp.Run(p, chromedp.Text(chromedp.CSS(at+" .live-responses-table")))
	require.NoError(t, err)
	return answer
}
