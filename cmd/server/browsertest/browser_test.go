package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// startBrowser starts Chromium without a window; the context is what its tabs are made from.
func startBrowser(t *testing.T) context.Context {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)),
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("hide-scrollbars", false), // they take room, as on most desktops
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has no sandbox for root
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
	require.Fail(t, "there is no Chromium on PATH", "apt-get install chromium, or say in CHROME where it is")
	return ""
}

// tab is one page in the browser, and what went wrong on it.
type tab struct {
	context.Context
	mu      sync.Mutex
	trouble []string
}

// openTab opens a tab that shares nothing with others. Trouble is every request that leaves origin,
// every error on the console and every violation of the page's policy.
func openTab(t *testing.T, browser context.Context, origin string) *tab {
	p := &tab{}
	ctx, cancel := context.WithTimeout(browser, patience)
	t.Cleanup(cancel)
	p.Context, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
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
	p.trouble = append(p.trouble, fmt.Sprintf(format, args...))
}

func (p *tab) troubles() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.trouble)
}

// expectTrouble waits for one that contains text.
func (p *tab) expectTrouble(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(p.troubles(), func(trouble string) bool { return strings.Contains(trouble, text) })
	}, patience, 10*time.Millisecond)
}

func (p *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(p, steps...), "%s", p.troubles())
}

func evaluate[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	value, err := chromedp.Run(p, chromedp.Evaluate[T](expression))
	require.NoError(t, err)
	return value
}

// press clicks on an element as soon as it is there. It does so by script: a mouse misses what moves
// while the page is still being laid out.
func press(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector)))
}

// retype puts text in place of what a field holds, key by key: scripts do not notice it otherwise.
func retype(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Focus(chromedp.CSS(selector)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).select()", selector)),
		chromedp.KeyEvent(text))
}

// look sets the width of the window, and whether people prefer light or dark pages.
func look(width int64, scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err != nil {
			return err
		}
		return chromedp.Do(ctx, chromedp.EmulateViewport(width, 900))
	})
}

// keep saves a picture of the tab in the folder that ECHO_SCREENSHOTS names, for people to look at.
func (p *tab) keep(t *testing.T, name string) {
	folder := os.Getenv("ECHO_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600))
}
