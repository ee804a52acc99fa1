package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// startBrowser starts Chromium without a window and returns the context that [openTab] needs.
func startBrowser(t *testing.T) context.Context {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)),
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("hide-scrollbars", false), // they need space, as on most desktops
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox for root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

func findChromium(t *testing.T) string {
	if path := os.Getenv("CHROME"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.Fail(t, "Chromium is not on PATH", "run apt-get install chromium, or set CHROME to its path")
	return ""
}

// tab is one page in the browser, with the problems that it had.
type tab struct {
	context.Context
	mu   sync.Mutex
	seen []string
}

// openTab opens a tab that shares nothing with other tabs. A problem is a request to another origin, an
// error on the console, or a violation of the page's policy.
func openTab(t *testing.T, browser context.Context, origin string) *tab {
	p := &tab{}
	ctx, cancel := context.WithTimeout(browser, maxWait)
	t.Cleanup(cancel)
	p.Context, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			url := e.Request.URL
			own := strings.HasPrefix(url, origin+"/") || strings.HasPrefix(url, "data:") || strings.HasPrefix(url, "blob:")
			if !own {
				p.note("request: %s", url)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
				p.note("%s: %s", e.Entry.Source, e.Entry.Text)
			}
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError {
				for _, arg := range e.Args {
					p.note("console: %s%s", arg.Value, arg.Description)
				}
			}
		case *runtime.EventExceptionThrown:
			p.note("exception: %v", e.ExceptionDetails)
		}
	}))
	t.Cleanup(cancel)
	return p
}

func (p *tab) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, fmt.Sprintf(format, args...))
}

func (p *tab) problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// expectProblem waits for a problem that contains text.
func (p *tab) expectProblem(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(p.problems(), func(problem string) bool { return strings.Contains(problem, text) })
	}, maxWait, 10*time.Millisecond)
}

func (p *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(p, steps...), "%s", p.problems())
}

func evaluate[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	value, err := chromedp.Run(p, chromedp.Evaluate[T](expression))
	require.NoError(t, err)
	return value
}

// press clicks an element as soon as it is visible. It clicks by script, because a mouse click can miss
// an element that moves while the page loads.
func press(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector)))
}

// retype replaces the text of a field, key by key, because scripts do not notice other changes.
func retype(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Focus(chromedp.CSS(selector)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).select()", selector)),
		chromedp.KeyEvent(text))
}

// resize sets the size of the window in pixels, and the preferred colour scheme (light or dark).
func resize(width, height int64, scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err != nil {
			return err
		}
		return chromedp.Do(ctx, chromedp.EmulateViewport(width, height))
	})
}

// screenshot returns what the window shows, without scrollbars, as PNG.
func (p *tab) screenshot(t *testing.T) []byte {
	t.Helper()
	hide := func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true})
		return err
	}
	p.do(t, chromedp.Func(hide))
	picture, err := chromedp.Run(p, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	return picture
}
