// Package browsertest opens the page of package connect in Chromium, as customers do:
// with a mouse, with only a keyboard, on a phone, in dark mode, and in other languages.
// axe-core examines each page, and a screenshot of each is written to the folder
// screenshots.
//
// The tests need the program chromium, and axe-core, which npm install provides. Without
// these they are skipped, or fail if ICLOUD_TEST_REQUIRE_SERVERS is set, as in .ci/run.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots is the folder of the screenshots, for a person to look at.
const screenshots = "screenshots"

// chromium is started once, with the first tab.
var (
	allocator context.Context
	axe       string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path, err := exec.LookPath("chromium")
	if err == nil {
		var source []byte
		source, err = os.ReadFile("node_modules/axe-core/axe.min.js")
		axe = string(source)
	}
	if err != nil {
		if os.Getenv("ICLOUD_TEST_REQUIRE_SERVERS") == "" {
			fmt.Println("skipped:", err)
			return 0
		}
		fmt.Println(err)
		return 1
	}
	if err := errors.Join(os.RemoveAll(screenshots), os.MkdirAll(screenshots, 0o777)); err != nil {
		fmt.Println(err)
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium has no sandbox for root, which runs CI
		chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true))
	all, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	browser, cancel := chromedp.NewContext(all)
	defer cancel()
	if err := chromedp.Do(browser); err != nil {
		fmt.Println("chromium does not start:", err)
		return 1
	}
	allocator = browser
	return m.Run()
}

// screen describes the device of a customer.
type screen struct {
	name          string
	width, height int64
	scale         float64 // pixels of the device for each pixel of CSS
	dark          bool
	language      string
}

var (
	desktop = screen{name: "desktop", width: 1280, height: 900, scale: 1, language: "en-US"}
	phone   = screen{name: "phone", width: 360, height: 740, scale: 2, language: "de-DE"}
	dark    = screen{name: "dark", width: 1280, height: 900, scale: 1, dark: true, language: "es"}
	// zoomed is as narrow as a window of 1280 pixels at 400 %, for which WCAG 2.2
	// (1.4.10) requires reflow.
	zoomed = screen{name: "zoomed", width: 320, height: 450, scale: 2, language: "fr"}
)

// tab is one tab of the browser.
type tab struct {
	t      *testing.T
	ctx    context.Context
	screen screen
	name   string // of the tab's screenshots
	shots  int

	mu   sync.Mutex
	said []string // the console's messages: errors, and what the policy has blocked
}

// newTab opens a tab without cookies.
func newTab(t *testing.T, s screen) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, screen: s, name: strings.ReplaceAll(t.Name(), "/", "-") + "-" + s.name}
	err := chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *log.EventEntryAdded:
			// The HTTP status of a page is not an error: the page explains it.
			if event.Entry.Source != log.EntrySourceNetwork {
				b.say(event.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			b.say(event.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": s.language}})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: s.scale, Mobile: s.width < 800})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	return b
}

// call sends one command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, text)
}

// do runs actions, and fails the test if one of them fails.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open opens a URL and examines the page.
func (b *tab) open(url string, parts ...string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.examine(parts...)
}

// submit fills in the form, where values are selectors and texts in turn, presses
// the button, and examines the page that comes.
func (b *tab) submit(values []string, parts ...string) {
	b.t.Helper()
	for i := 0; i < len(values); i += 2 {
		b.do(chromedp.Clear(chromedp.CSS(values[i])), chromedp.SendKeys(chromedp.CSS(values[i]), values[i+1]))
	}
	b.answered(chromedp.Click(chromedp.CSS("button[type=submit]")))
	b.examine(parts...)
}

// answered runs actions that lead to another page, and waits for that page.
func (b *tab) answered(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, action); err != nil {
		b.t.Fatal(err)
	}
}

// eval evaluates an expression of JavaScript.
func eval[T any](b *tab, expression string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// examine takes a screenshot of the page. It fails the test if axe-core finds an error, if
// the page is wider than the screen, if its policy has blocked something, or if it is in
// another language than it declares. parts are texts that must be on the page.
func (b *tab) examine(parts ...string) {
	b.t.Helper()
	b.shots++
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("%s-%02d.png", b.name, b.shots)), picture, 0o666); err != nil {
		b.t.Fatal(err)
	}
	text := eval[string](b, "document.body.innerText")
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.t.Errorf("the page does not say %q: %s", part, text)
		}
	}
	if lang := eval[string](b, "document.documentElement.lang"); lang != b.screen.language[:2] {
		b.t.Errorf("the page is in %q", lang)
	}
	if wide := eval[int64](b, "document.documentElement.scrollWidth"); wide > b.screen.width {
		b.t.Errorf("the page is %d wide, on a screen of %d", wide, b.screen.width)
	}
	// Targets are large enough for a finger: WCAG 2.2, 2.5.8, requires 24 pixels.
	if small := eval[[]string](b, `[...document.querySelectorAll("input, button, .button")]
		.filter(e => e.getBoundingClientRect().height < 24 || e.getBoundingClientRect().width < 24).map(e => e.outerHTML)`); len(small) > 0 {
		b.t.Errorf("too small to touch: %q", small)
	}
	b.axe()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.said) > 0 {
		b.t.Errorf("the console says %q", b.said)
		b.said = nil
	}
}

// axe examines the page with all rules of axe-core.
func (b *tab) axe() {
	b.t.Helper()
	var result struct {
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []string
		}
	}
	eval[chromedp.Void](b, axe)
	data := eval[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({passes: r.passes.length,
		violations: r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))}))`,
		chromedp.EvalAwaitPromise)
	if err := json.Unmarshal([]byte(data), &result); err != nil {
		b.t.Fatal(err)
	}
	if result.Passes < 10 {
		b.t.Errorf("axe-core has looked at %d things only", result.Passes)
	}
	for _, v := range result.Violations {
		b.t.Errorf("axe-core: %s: %s: %q", v.ID, v.Help, v.Nodes)
	}
}
