package browser

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// patience is how long the page may take to show something. It passes only if the test fails.
const patience = time.Minute

// findBrowser returns the path of a browser on this machine, or skips the test.
func findBrowser(t *testing.T) string {
	t.Helper()
	names := []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no browser is found, so the page is not tested: install one of %s", strings.Join(names, ", "))
	return ""
}

// startBrowser starts the browser, which ends with the test. Each context that is made from its context is a tab.
func startBrowser(t *testing.T, path string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // which root and containers cannot have; only the bank's own page is opened
		chromedp.WSURLReadTimeout(2*patience),
		chromedp.Flag("lang", "en-GB"),
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		require.NoError(t, chromedp.Cancel(ctx))
		end()
		chromedp.FromContext(ctx).Allocator.Wait()
	})
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// tab is a tab of the browser, of some width.
type tab struct {
	t     *testing.T
	ctx   context.Context
	width int

	mu     sync.Mutex
	errors []string // that the browser noted
}

// openTab opens a page. The tab is closed when the test ends, which fails if the browser has noted errors until then.
func openTab(t *testing.T, browser context.Context, width int, url string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser)
	o := &tab{t: t, ctx: ctx, width: width}
	require.NoError(t, chromedp.Listen(ctx, o.note)) // opens the tab, which a context with a deadline would close
	t.Cleanup(func() {
		closeTab()
		o.mu.Lock()
		defer o.mu.Unlock()
		require.Empty(t, o.errors, "the browser noted errors")
	})
	o.run(chromedp.EmulateViewport(int64(width), 800), chromedp.Navigate(url))
	o.shows("live", `document.getElementById("link").textContent`)
	return o
}

// note notes errors: scripts that fail, and what the page's security policy forbids.
func (o *tab) note(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		o.errors = append(o.errors, text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			o.errors = append(o.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (o *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	o.t.Helper()
	act(o, chromedp.Steps(actions...))
}

// act acts on the page, and returns the answer.
func act[T any](o *tab, action chromedp.Action[T]) T {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	require.NoError(o.t, err)
	return v
}

// value returns the value of an expression on the page.
func value[T any](o *tab, expression string) T {
	o.t.Helper()
	return act(o, chromedp.Evaluate[T](expression))
}

// shows waits until an expression is what is wanted, and checks that the page fits into the tab.
func (o *tab) shows(want any, expression string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for got := value[any](o, expression); ; got = value[any](o, expression) {
		if fmt.Sprint(got) == fmt.Sprint(want) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.Equalf(o.t, want, got, "%s at a width of %d", expression, o.width)
		}
	}
	o.fits()
}

// fits fails where the page could be scrolled sideways.
func (o *tab) fits() {
	o.t.Helper()
	require.Equal(o.t, o.width, value[int](o, `innerWidth`))
	require.LessOrEqual(o.t, value[int](o, `document.documentElement.scrollWidth`), o.width, "the page must not scroll sideways")
}

// hand is how a customer works the page.
type hand interface {
	press(o *tab, selector string)      // a button, a link
	fill(o *tab, selector, text string) // an empty field
	choose(o *tab, selector string)     // one of several radio buttons
}

// keyboard works the page with keys alone.
type keyboard struct{}

func (k keyboard) press(o *tab, selector string) {
	o.t.Helper()
	k.reach(o, selector)
	o.run(chromedp.KeyEvent(kb.Enter))
}

func (k keyboard) fill(o *tab, selector, text string) {
	o.t.Helper()
	k.reach(o, selector)
	o.run(chromedp.KeyEvent(text))
	require.Equal(o.t, text, value[string](o, `document.activeElement.value`))
}

// choose reaches the one of the group that is chosen, and goes on from there with an arrow.
func (k keyboard) choose(o *tab, selector string) {
	o.t.Helper()
	group := fmt.Sprintf(`input[name="%s"]`, value[string](o, fmt.Sprintf(`document.querySelector(%q).name`, selector)))
	k.reach(o, group)
	for range value[int](o, fmt.Sprintf(`document.querySelectorAll(%q).length`, group)) {
		if value[bool](o, fmt.Sprintf(`document.querySelector(%q).checked`, selector)) {
			return
		}
		o.run(chromedp.KeyEvent(kb.ArrowRight))
	}
	require.Failf(o.t, "no arrow leads there", "%s", selector)
}

// reach presses Tab until an element has the focus. It fails if a person could not see the focus.
func (keyboard) reach(o *tab, selector string) {
	o.t.Helper()
	var way []string
	for range 80 {
		if value[bool](o, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			require.NotEqual(o.t, "none", value[string](o, `(() => {
				const e = document.activeElement;
				return getComputedStyle(e.type === "radio" ? e.nextElementSibling : e).outlineStyle;
			})()`), "the focus on %s cannot be seen", selector)
			return
		}
		o.run(chromedp.KeyEvent(kb.Tab))
		way = append(way, value[string](o, `document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)`))
	}
	require.Failf(o.t, "Tab does not lead there", "%s; it led to %q", selector, way)
}

// mouse clicks, and types into what it has clicked.
type mouse struct{}

func (mouse) press(o *tab, selector string) {
	o.t.Helper()
	o.run(chromedp.Click(chromedp.CSS(selector)))
}

func (m mouse) fill(o *tab, selector, text string) {
	o.t.Helper()
	m.press(o, selector)
	o.run(chromedp.KeyEvent(text))
}

func (m mouse) choose(o *tab, selector string) {
	o.t.Helper()
	m.press(o, selector)
	require.True(o.t, value[bool](o, fmt.Sprintf(`document.querySelector(%q).checked`, selector)))
}
