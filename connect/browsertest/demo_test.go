package browsertest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
)

// startDemo runs icloud-contacts demo -web, and returns its URL.
func startDemo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "icloud-contacts")
	build := exec.Command("go", "build", "-o", program, "./cmd/icloud-contacts")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	demo := exec.Command(program, "demo", "-web")
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(os.Interrupt)
		if err := demo.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/`).FindString(line)
	if url == "" {
		t.Fatalf("no URL in %q", line)
	}
	return url
}

// TestDemo clicks through the demo as a visitor does.
func TestDemo(t *testing.T) {
	t.Parallel()
	url := startDemo(t)
	b := newTab(t, desktop)
	press := func(selector string) {
		t.Helper()
		b.answered(chromedp.Click(chromedp.CSS(selector)))
	}
	text := func(selector string) string {
		t.Helper()
		text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	b.open(url, "Acme and its customers", "Emmy", "Grace")
	press(`form[action="/do/revoke/ada"] button`)
	if got := text("#ada .state"); got != "signed out" {
		t.Errorf("Ada is %q", got)
	}
	press("#ada blockquote a")
	b.examine("Connect iCloud to Acme again", "was removed")
	link := eval[string](b, "location.href")
	b.open(url)
	press(`form[action="/do/make/ada"] button`)
	made := text("#ada .made")
	b.open(link)
	b.submit([]string{password, made}, "Acme is connected to iCloud")
	press("a.button")
	b.examine()
	if got := text("#ada .state"); got != "active" {
		t.Errorf("Ada is %q", got)
	}
	b.open(link, "This link has been used")
}

// TestDemoScreens opens the demo on a phone and in dark mode.
func TestDemoScreens(t *testing.T) {
	t.Parallel()
	url := startDemo(t)
	for _, screen := range []screen{phone, dark, zoomed} {
		screen.language = "en-US" // the demo has no other language
		newTab(t, screen).open(url, "Acme and its customers")
	}
}
