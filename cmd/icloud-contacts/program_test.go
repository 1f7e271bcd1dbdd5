package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-vcard"
	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// home is a program that reaches a fake under iCloud's own host names, where passwords have a
// form and a lifetime. Scripts cannot do that.
type home struct {
	*program
	srv      *icloudtest.Server
	cred     icloud.Credential
	out, err *safeBuffer
	env      map[string]string
}

func newHome(t *testing.T) *home {
	t.Helper()
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	cred := srv.Issue()
	h := &home{srv: srv, cred: cred, out: new(safeBuffer), err: new(safeBuffer), env: map[string]string{
		"ICLOUD_APPLE_ID":     cred.AppleID,
		"ICLOUD_APP_PASSWORD": cred.Password.Reveal(),
		"XDG_STATE_HOME":      t.TempDir(),
	}}
	h.program = &program{in: strings.NewReader(""), out: h.out, err: h.err, transport: srv.Transport(),
		getenv: func(name string) string { return h.env[name] }}
	return h
}

// safeBuffer is a buffer to which a program writes while a test reads it.
type safeBuffer struct {
	mu  sync.Mutex
	b   bytes.Buffer
	err error
}

// fail makes all further writes fail.
func (s *safeBuffer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.b.Write(p)
}

// take returns what was written since the last call.
func (s *safeBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// TestHelp: the help of each command fits a terminal, explains every flag and has examples.
func TestHelp(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for _, c := range commands {
		if got := h.run(t.Context(), []string{"help", c.name}); got != ok {
			t.Errorf("help %s: exit status %d", c.name, got)
		}
		text := h.out.take()
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("help %s: %d columns: %s", c.name, n, line)
			}
		}
		h.env["COLUMNS"] = "40"
		h.run(t.Context(), []string{"help", c.name})
		h.run(t.Context(), []string{"help"})
		delete(h.env, "COLUMNS")
		for line := range strings.Lines(h.out.take()) {
			if line = strings.TrimSpace(line); utf8.RuneCountInString(line) > 40 && strings.Contains(strings.TrimSuffix(line, ` \`), " ") {
				t.Errorf("help %s on 40 columns: %s", c.name, line)
			}
		}
		f := flag.NewFlagSet("", flag.ContinueOnError)
		c.setup(f)
		f.VisitAll(func(g *flag.Flag) {
			if g.Usage == "" || !strings.Contains(text, "\n  -"+g.Name) {
				t.Errorf("help %s does not explain -%s", c.name, g.Name)
			}
		})
		if !strings.Contains(text, "\nExamples:\n  icloud-contacts "+c.name) {
			t.Errorf("help %s has no example: %s", c.name, text)
		}
	}
}

// TestParse: flags may follow arguments.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args, rest []string
		json       bool
		o          string
	}{
		{nil, nil, false, ""},
		{[]string{"-json", "ada"}, []string{"ada"}, true, ""},
		{[]string{"ada", "-json", "ben", "-o", "x"}, []string{"ada", "ben"}, true, "x"},
		{[]string{"ada", "--", "-json", "--"}, []string{"ada", "-json", "--"}, false, ""},
		{[]string{"-o", "x", "-"}, []string{"-"}, false, "x"},
	} {
		f := flag.NewFlagSet("", flag.ContinueOnError)
		json, o := f.Bool("json", false, ""), f.String("o", "", "")
		rest, err := parse(f, test.args)
		if err != nil || !slices.Equal(rest, test.rest) || *json != test.json || *o != test.o {
			t.Errorf("%q: got %q, %t, %q, %v", test.args, rest, *json, *o, err)
		}
	}
}

// TestReport: each kind of error has its exit status.
func TestReport(t *testing.T) {
	t.Parallel()
	refused := &icloud.AuthError{Err: icloud.ErrPasswordRevoked}
	confirmed := &icloud.AuthError{Err: icloud.ErrPasswordRevoked, Confirmed: true}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		err    error
		ctx    context.Context
		status int
		lines  int
	}{
		{nil, t.Context(), 0, 0},
		{errors.New("x"), t.Context(), 1, 1},
		{refused, t.Context(), 1, 1},
		{confirmed, t.Context(), 2, 1},
		{fmt.Errorf("the list: %w", confirmed), t.Context(), 2, 1},
		{errors.Join(confirmed, errors.New("and the store")), t.Context(), 2, 1},
		{told{confirmed}, t.Context(), 2, 0},
		{told{refused}, t.Context(), 1, 0},
		{misuse("x"), t.Context(), 64, 1},
		{fmt.Errorf("x: %w", context.Canceled), over, 130, 0},
		{errors.New("x"), over, 1, 1},
		// The end of another context is not an interruption.
		{context.Canceled, t.Context(), 1, 1},
		{errors.Join(slices.Repeat([]error{errors.New("card")}, 1000)...), t.Context(), 1, 1},
	} {
		h := newHome(t)
		if got := h.report(test.ctx, test.err); got != test.status {
			t.Errorf("%v: exit status %d, want %d", test.err, got, test.status)
		}
		text := h.err.take()
		if got := strings.Count(text, "\n"); got != test.lines || len(text) > 200 {
			t.Errorf("%v: got %q, want %d lines", test.err, text, test.lines)
		}
		if strings.Contains(text, "icloud-contacts: icloud:") {
			t.Errorf("the prefix is there twice: %q", text)
		}
	}
}

// TestNoSecrets: no output contains the Apple ID or the password, whatever fails.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	commands := [][]string{
		{"check"}, {"check", "-json"}, {"list"}, {"list", "-json"}, {"export"}, {"export", "-photos"}, {"watch", "-once"},
		{"check", "-state", "STATE"}, {"watch", "-once", "-state", "STATE"},
	}
	faults := map[string]func(h *home){
		"none":          func(*home) {},
		"400":           func(h *home) { h.srv.Intercept = icloudtest.Status(400) },
		"500":           func(h *home) { h.srv.Intercept = icloudtest.Status(500) },
		"502":           func(h *home) { h.srv.Intercept = icloudtest.BadGateway },
		"portal":        func(h *home) { h.srv.Intercept = icloudtest.CaptivePortal },
		"reset":         func(h *home) { h.srv.Intercept = icloudtest.Reset },
		"later reset":   func(h *home) { h.srv.Intercept = icloudtest.After(2, icloudtest.Reset) },
		"cut":           func(h *home) { h.srv.Intercept = icloudtest.Cut(150) },
		"throttled":     func(h *home) { h.srv.Throttle(time.Hour) },
		"missing dsid":  func(h *home) { h.srv.Intercept = icloudtest.MissingDSID },
		"stray 401":     func(h *home) { h.srv.Intercept = icloudtest.Times(1, icloudtest.Unauthorized) },
		"revoked":       func(h *home) { h.srv.Revoke(h.cred.Password) },
		"no network":    func(h *home) { h.transport = deaf{} },
		"own password":  func(h *home) { h.env["ICLOUD_APP_PASSWORD"] = "hunter2-secret" },
		"mistyped":      func(h *home) { h.env["ICLOUD_APP_PASSWORD"] = "aaaa-bbbb-cccc-dddd" },
		"endpoint":      func(h *home) { h.env["ICLOUD_ENDPOINT"] = "https://icloud.example/secret-path" },
		"bad endpoint":  func(h *home) { h.env["ICLOUD_ENDPOINT"] = "https://u:secret-path@icloud.com" },
		"state in file": func(h *home) { _ = os.WriteFile(h.env["STATE"], nil, 0o600) },
	}
	for name, break_ := range faults {
		for _, args := range commands {
			h := newHome(t)
			h.srv.Put("id-is-secret.vcf", vcf("UID:1\nFN:Ada"))
			h.env["STATE"] = filepath.Join(t.TempDir(), "state")
			break_(h)
			args := slices.Clone(args)
			if i := slices.Index(args, "STATE"); i >= 0 {
				args[i] = h.env["STATE"]
			}
			status := h.run(t.Context(), args)
			out, text := h.out.take(), h.err.take()
			for _, secret := range []string{h.cred.AppleID, h.cred.Password.Reveal(), "hunter2", "aaaa-bbbb", "secret-path", "/principal", "carddavhome", "goroutine "} {
				if strings.Contains(out+text, secret) {
					t.Errorf("%s, %q: %q is printed: %s%s", name, args, secret, out, text)
				}
			}
			if strings.Contains(text, "id-is-secret") {
				t.Errorf("%s, %q: the ID is printed: %s", name, args, text)
			}
			if (status != ok) != (text != "") && args[0] != "check" || strings.Count(text, "\n") > 1 {
				t.Errorf("%s, %q: exit status %d with errors %q, want one line or none", name, args, status, text)
			}
		}
	}
}

// deaf is a network whose errors contain host names.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("dial %s/secret-path: no route", r.URL)
}

// TestCheckOnICloud: on iCloud the remedy names Apple's page, and the verdict uses the
// lifetime.
func TestCheckOnICloud(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	old := h.srv.IssueAt(time.Now().AddDate(0, 0, -366))
	h.env["ICLOUD_APP_PASSWORD"] = old.Password.Reveal()
	h.env["ICLOUD_APP_PASSWORD_ISSUED"] = old.Issued.Format(time.RFC3339)
	if got := h.run(t.Context(), []string{"check"}); got != dead {
		t.Errorf("exit status %d, want %d", got, dead)
	}
	text := h.out.take()
	for _, want := range []string{"refused: expired, possible\n", "account.apple.com", "generated      " + old.Issued.UTC().Format(time.DateOnly)} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
	if errs := h.err.take(); errs != "" {
		t.Errorf("errors: %s", errs)
	}
}

// TestWatchForAYear: watch runs for a year, until the password has expired. It prints each
// line at the right time.
func TestWatchForAYear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.env["ICLOUD_APP_PASSWORD_ISSUED"] = h.cred.Issued.Format(time.RFC3339)
		h.srv.Put("ada.vcf", vcf("UID:1\nFN:Ada"))
		status := make(chan int, 1)
		go func() { status <- h.run(t.Context(), []string{"watch", "-state", dir, "-interval", "24h"}) }()
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := h.out.take()
			if strings.Count(got, "\n") != len(want) {
				t.Errorf("%s: got %q, want %d lines", what, got, len(want))
			}
			for _, w := range want {
				if !strings.Contains(got, w+"\n") {
					t.Errorf("%s: got %q, want %q in it", what, got, w)
				}
			}
			if errs := h.err.take(); errs != "" {
				t.Errorf("%s: errors: %s", what, errs)
			}
		}
		expect("start", "password    active, until about 2000-12-31", "following   1 contacts")
		h.srv.Put("ben.vcf", vcf("UID:2\nFN:Ben"))
		time.Sleep(24 * time.Hour)
		expect("a change", "added       Ben")
		time.Sleep(333 * 24 * time.Hour)
		expect("nothing for months")
		time.Sleep(3 * 24 * time.Hour)
		expect("warning", "password    expiring, until about 2000-12-31")
		time.Sleep(time.Until(h.cred.Issued.Add(icloud.DefaultLifetime + time.Hour)))
		final := h.cred.Issued.Add(icloud.DefaultLifetime + 15*time.Minute).Local().Format("15:04")
		expect("the end", "password    doubted: expired, likely; final from "+final)
		select {
		case got := <-status:
			t.Fatalf("it has ended with status %d before the refusal has lasted", got)
		default:
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := h.out.take(); !strings.HasSuffix(got, "password    signed out: expired, likely\n") {
			t.Errorf("got %q", got)
		}
		if got := <-status; got != dead {
			t.Errorf("exit status %d, want %d", got, dead)
		}
		want := time.Now().Add(-time.Hour).Format(time.DateTime) + "  ended       password expired (likely, refused since 2000-12-31, " +
			"issued 2000-01-01, estimated to expire 2000-12-31, last accepted 2000-12-30)\n"
		if got := h.err.take(); got != want {
			t.Errorf("errors: %q, want %q", got, want)
		}
	})
}

// TestWatchRetryAfter: watch waits as long as the server asks, and says so once.
func TestWatchRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		ctx, cancel := context.WithCancel(t.Context())
		status := make(chan int, 1)
		go func() { status <- h.run(ctx, []string{"watch", "-interval", "1s"}) }()
		synctest.Wait()
		h.srv.Throttle(time.Hour)
		before := h.srv.Requests()
		time.Sleep(55 * time.Minute)
		if got := h.srv.Requests() - before; got > 20 {
			t.Errorf("%d requests while throttled for an hour, want few", got)
		}
		if got := h.err.take(); got != "2000-01-01 00:00:01  connection  the server asks to wait: 29m59s (503)\n" {
			t.Errorf("errors: %q, want one line", got)
		}
		h.out.take()
		time.Sleep(40 * time.Minute)
		if got := h.err.take(); !regexp.MustCompile(`^2000-01-01 01:\d\d:\d\d  connection  back after 1h\d+m\d+s\n$`).MatchString(got) {
			t.Errorf("when it is over: %q", got)
		}
		h.srv.Put("ada.vcf", vcf("UID:1\nFN:Ada"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := h.out.take(); !strings.Contains(got, "added       Ada") {
			t.Errorf("after the wait: %q", got)
		}
		// If it is interrupted while it sleeps, it ends at once.
		cancel()
		synctest.Wait()
		if got := <-status; got != ok {
			t.Errorf("exit status %d, want %d", got, ok)
		}
	})
}

// TestPause: watch waits until NextTry, and at least for the interval.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			next time.Duration // from now; 0 means at once
			want time.Duration
		}{
			{0, time.Minute},
			{-time.Hour, time.Minute},
			{time.Second, time.Minute},
			{time.Hour, time.Hour},
		} {
			var s icloud.Status
			if test.next != 0 {
				s.NextTry = time.Now().Add(test.next)
			}
			if got := pause(s, time.Minute); got != test.want {
				t.Errorf("%v: got %v, want %v", test.next, got, test.want)
			}
		}
	})
}

// TestWatchOutage: watch reports a fault once, and its end, and sends fewer and fewer
// requests to a server that fails.
func TestWatchOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		ctx, cancel := context.WithCancel(t.Context())
		status := make(chan int, 1)
		go func() { status <- h.run(ctx, []string{"watch", "-interval", "1s"}) }()
		synctest.Wait()
		h.srv.SetIntercept(icloudtest.Status(500))
		before := h.srv.Requests()
		time.Sleep(30 * time.Minute)
		h.srv.SetIntercept(nil)
		if got := h.srv.Requests() - before; got < 3 || got > 20 {
			t.Errorf("%d requests in an outage of half an hour, want few", got)
		}
		if got := h.err.take(); got != "2000-01-01 00:00:01  connection  the server has a fault: 500 Internal Server Error\n" {
			t.Errorf("errors: %q, want one line", got)
		}
		time.Sleep(time.Hour)
		if got := h.err.take(); !regexp.MustCompile(`^2000-01-01 00:\d\d:\d\d  connection  back after \d+m\d+s\n$`).MatchString(got) {
			t.Errorf("when it is over: %q", got)
		}
		cancel()
		if got := <-status; got != ok {
			t.Errorf("exit status %d, want %d", got, ok)
		}
	})
}

// TestWatchEnds: watch ends at once if it cannot print or keep the changes.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		state  string
		break_ func(h *home, state string)
	}{
		"no folder at the start": {filepath.Join(dir, "file", "state"), func(*home, string) {}},
		"no folder any more": {filepath.Join(dir, "folder"), func(_ *home, state string) {
			if err := errors.Join(os.RemoveAll(state), os.WriteFile(state, nil, 0o600)); err != nil {
				t.Error(err)
			}
		}},
		"no output any more": {filepath.Join(dir, "other"), func(h *home, _ string) { h.out.fail(errors.New("disk full")) }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				ctx, cancel := context.WithCancel(t.Context())
				status := make(chan int, 1)
				go func() { status <- h.run(ctx, []string{"watch", "-interval", "1m", "-state", test.state}) }()
				synctest.Wait()
				test.break_(h, test.state)
				h.srv.Put("ada.vcf", vcf("UID:1\nFN:Ada"))
				time.Sleep(10 * time.Minute)
				cancel()
				if got := <-status; got != failed {
					t.Errorf("exit status %d, want %d", got, failed)
				}
				if got := h.err.take(); strings.Count(got, "\n") != 1 {
					t.Errorf("errors: %q", got)
				}
			})
		})
	}
}

// TestExportPhotos: photos that iCloud keeps outside of the cards are put into them.
func TestExportPhotos(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	picture := append([]byte("\xff\xd8\xff\xe0"), bytes.Repeat([]byte("picture"), 100)...)
	h.srv.Put("ada.vcf", vcf("UID:1\nFN:Ada\nPHOTO;X-ABCROP-RECTANGLE=ABClipRect_1&0&14&381&381&x;VALUE=uri:"+h.srv.PutPhoto(picture, "image/jpeg")))
	h.srv.Put("ben.vcf", vcf("UID:2\nFN:Ben\nPHOTO;ENCODING=b;TYPE=PNG:"+dot))
	h.srv.Put("cyd.vcf", vcf("UID:3\nFN:Cyd\nPHOTO;VALUE=uri:https://gateway.icloud.com/contacts/1/gone"))
	h.srv.Put("dan.vcf", vcf("UID:4\nFN:Dan\nPHOTO;VALUE=uri:https://photos.example/dan.jpg"))
	h.srv.Put("eve.vcf", vcf("UID:5\nFN:Eve"))

	if got := h.run(t.Context(), []string{"export", "-photos"}); got != ok {
		t.Fatalf("exit status %d: %s", got, h.err.take())
	}
	if got := h.err.take(); got != "icloud-contacts: photos that could not be fetched: 2\n" {
		t.Errorf("errors: %q", got)
	}
	text := h.out.take()
	cards := make(map[string]vcard.Card)
	for dec := vcard.NewDecoder(strings.NewReader(text)); ; {
		card, err := dec.Decode()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		cards[card.Value("FN")] = card
	}
	if len(cards) != 5 {
		t.Errorf("got %d cards, want 5", len(cards))
	}
	first := text[:strings.Index(text, "END:VCARD")+11]
	c := icloud.Contact{VCard: []byte(first)}
	client, err := icloud.New(h.cred, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, mediaType, err := client.Photo(t.Context(), &c)
	if err != nil || !bytes.Equal(data, picture) || mediaType != "image/jpeg" {
		t.Errorf("the photo: %d bytes, %s, %v; want %d of JPEG", len(data), mediaType, err, len(picture))
	}
	if got := cards["Ada"].Get("PHOTO").Params.Get("X-ABCROP-RECTANGLE"); got == "" {
		t.Error("Apple's crop rectangle is lost")
	}
	if got := cards["Ben"].Value("PHOTO"); got != dot {
		t.Errorf("a photo within its card has become %q", got)
	}
	if got := cards["Cyd"].Value("PHOTO"); got != "https://gateway.icloud.com/contacts/1/gone" {
		t.Errorf("the address of a lost photo has become %q", got)
	}
	for line := range strings.Lines(first) {
		if len(line) > 77 {
			t.Errorf("a line of %d bytes; 75 and CRLF are allowed", len(line))
		}
	}

	// They are in JSON too. Without -photos, none is fetched.
	if got := h.run(t.Context(), []string{"export", "-photos", "-format", "json"}); got != ok {
		t.Errorf("exit status %d", got)
	}
	if got := h.out.take(); strings.Count(got, `"photo":{"type":"image/`) != 2 {
		t.Errorf("got %s, want two photos", got)
	}
	h.err.take()
	asked := 0
	h.srv.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Host == "gateway.icloud.com" {
			asked++
		}
		return false
	}
	h.run(t.Context(), []string{"export"})
	if got := h.out.take(); asked != 0 || !strings.Contains(got, "gateway.icloud.com") {
		t.Errorf("%d photos asked for", asked)
	}

	// A passing fault ends the export, because the next export may get the photo.
	h.srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		return r.Host == "gateway.icloud.com" && icloudtest.Status(503)(w, r)
	}
	name := filepath.Join(t.TempDir(), "all.vcf")
	if got := h.run(t.Context(), []string{"export", "-photos", "-o", name}); got != failed {
		t.Errorf("exit status %d, want %d", got, failed)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("a file is left")
	}
}

// TestExportInterrupted: an interruption leaves no file.
func TestExportInterrupted(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	fill(h.srv, 10)
	ctx, cancel := context.WithCancel(t.Context())
	h.srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "REPORT" {
			return false
		}
		cancel()
		return icloudtest.Stall(w, r)
	}
	dir := t.TempDir()
	if got := h.run(ctx, []string{"export", "-o", filepath.Join(dir, "all.vcf")}); got != interrupted {
		t.Errorf("exit status %d, want %d", got, interrupted)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"Zoë 祖冲之 👩\u200d🔬":       "Zoë 祖冲之 👩\u200d🔬",
		"a\r\nb\tc\nd\u2028e":    "a b c d e",
		"\x1b[2J\x00\x7f":        "\ufffd[2J\ufffd\ufffd",
		"\u009b31m":              "\ufffd31m",
		"\x9b31m":                "\ufffd31m",
		"\u202eabc\u2066":        "\ufffdabc\ufffd",
		"\rover":                 "\ufffdover",
		"Persian \u200c is kept": "Persian \u200c is kept",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		line, err := jsonLine(map[string]string{"x": in})
		if err != nil || bytes.ContainsFunc(line, func(r rune) bool { return r != '\n' && visible(string(r)) != string(r) }) {
			t.Errorf("%q: as JSON %q, %v", in, line, err)
		}
	}
	var b bytes.Buffer
	if n, err := (screen{&b}).Write([]byte("N:\x1b[2J\r\nFN:x\r\n")); err != nil || n != 14 || b.String() != "N:\ufffd[2J\nFN:x\n" {
		t.Errorf("screen: %q, %d, %v", b.String(), n, err)
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   string
		n    int
		want string
	}{
		{"ada", 5, "ada  "},
		{"ada", 3, "ada"},
		{"lovelace", 5, "love…"},
		{"祖冲之", 6, "祖冲之"},
		{"祖冲之", 5, "祖冲…"},
		{"祖冲之", 4, "祖… "},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"👩\u200d🔬👩\u200d🔬", 3, "👩\u200d🔬…"},
		{"", 2, "  "},
	} {
		got := fit(test.in, test.n)
		if got != test.want || uniseg.StringWidth(got) != test.n {
			t.Errorf("fit(%q, %d): got %q", test.in, test.n, got)
		}
	}
	for _, width := range []int{10, 20, 40, 59, 60, 80, unlimited} {
		tab := table{rows: []row{{"a long name of somebody", "an-even-longer@address.of.somebody.example", "+44 20 7946 0843"}}}
		sum := -2
		for _, n := range tab.widths(width, header) {
			sum += n + 2
		}
		if sum > width {
			t.Errorf("a table for %d columns takes %d", width, sum)
		}
	}
	for line := range strings.Lines(wrap("some words, and averyverylongone, are wrapped", "    ", 16)) {
		if n := len(strings.TrimSpace(line)); len(line) > 17 && n != len("averyverylongone,") {
			t.Errorf("a line of %d columns: %q", len(line), line)
		}
	}
}

// fakeOf runs the command fake until the test ends. It waits until the environment is
// printed, and returns a writer for the typed commands.
func (h *home) fakeOf(t *testing.T, args ...string) (stdin io.Writer) {
	t.Helper()
	r, w := io.Pipe()
	h.in = r
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() { status <- h.run(ctx, append([]string{"fake"}, args...)) }()
	t.Cleanup(func() {
		cancel()
		w.Close()
		if got := <-status; got != ok {
			t.Errorf("fake: exit status %d: %s", got, h.err.take())
		}
	})
	return w
}

// await waits until a text was printed, and returns the whole output.
func (s *safeBuffer) await(t *testing.T, want string) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		text := s.b.String()
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return text
		}
	}
	t.Fatalf("no %q in %q", want, s.take())
	return ""
}

// TestFakeObeys: the fake executes typed commands and prints one line for each. No input
// causes a panic.
func TestFakeObeys(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	in := h.fakeOf(t)
	h.out.await(t, "PASSWORD_ISSUED=")
	lines := []string{
		"", "  ", "add", "add \x1b[2J/../?#", "add .", "add ..", "add Ada\rBen", "remove nobody", "remove /", "expire -1s", "expire 1e9h",
		"expire 5s", "throttle x", "throttle 1s", "throttle 0s", "revoke now", "revoke", "issue", "forget", "\x1b[2J" + strings.Repeat("x", 300),
		"outage", "401 -1s", "outage 0s", "401 0s", "requests", "set", "generate 2", "reset",
	}
	for range 60 { // more than an account can have at a time
		lines = append(lines, "issue")
	}
	if _, err := io.WriteString(in, strings.Join(lines, "\n")+"\nheal\n"); err != nil {
		t.Fatal(err)
	}
	h.err.await(t, "done\nicloud-contacts: 25 app-specific passwords are active, and Apple allows no more; revoke one\n")
	for strings.Count(h.err.await(t, ""), "\n") < len(lines)-2+1 {
		time.Sleep(time.Millisecond)
	}
	errs := h.err.take()
	if strings.Contains(errs, "\x1b") || strings.Contains(errs, "panic") {
		t.Errorf("errors: %q", errs)
	}
	for _, want := range []string{
		"not understood: revoke now; see", "not understood: \ufffd[2Jxxx", "no such contact: nobody", "add needs a name, as in: add Ada",
		"expire needs a time", "throttle needs a time", "outage needs a time", "401 needs a time",
		"done; 0 requests\n", `"redirect":0`, "done; 2 cards\n", "takes its end for an expiry",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("errors: %q, want %q in it", errs, want)
		}
	}
	for line := range strings.Lines(errs) {
		if !strings.HasPrefix(line, "done") && !strings.HasPrefix(line, "icloud-contacts: ") {
			t.Errorf("a line that begins otherwise: %q", line)
		}
	}
	// These are the password at the start, the one before the reset, the one of the
	// reset, and as many as an account can have.
	if got := strings.Count(h.out.take(), "export ICLOUD_APP_PASSWORD="); got != 3+24 {
		t.Errorf("%d passwords, want 27", got)
	}
}

// TestFakeFaults: faults of the fake happen and end. A password that expires while a program
// runs is reported as expired, not as revoked.
func TestFakeFaults(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	in := h.fakeOf(t)
	for line := range strings.Lines(h.out.await(t, "PASSWORD_ISSUED=")) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			h.env[name] = value
		}
	}
	told := func(line string) {
		t.Helper()
		h.err.take()
		if _, err := fmt.Fprintln(in, line); err != nil {
			t.Fatal(err)
		}
		h.err.await(t, "done")
		h.err.take()
	}
	client := &home{out: new(safeBuffer), err: new(safeBuffer)}
	client.program = &program{in: strings.NewReader(""), out: client.out, err: client.err, getenv: func(name string) string { return h.env[name] }}
	dir := t.TempDir()
	expect := func(what string, args []string, status int, text string) {
		t.Helper()
		if got := client.run(t.Context(), args); got != status {
			t.Errorf("%s: exit status %d, want %d", what, got, status)
		}
		if got := client.out.take() + client.err.take(); !strings.Contains(got, text) {
			t.Errorf("%s: got %q, want %q in it", what, got, text)
		}
	}
	check := []string{"check", "-state", dir}
	expect("healthy", check, ok, "accepted")
	told("outage 1h")
	expect("outage", check, failed, "unavailable: 503")
	told("outage 0s")
	expect("after it", check, ok, "accepted")
	told("401 10m")
	expect("stray refusals", []string{"check", "-state", t.TempDir()}, dead, "refused")
	told("heal")
	expect("after them", check, ok, "accepted")
	told("expire")
	expect("expired", append(check, "-dwell", "0"), dead, "expired, likely")
}

// TestFakeJSON: with -json there is a line of JSON for the start and for each typed line.
// With -exit-with-stdin the fake ends together with the program that started it.
func TestFakeJSON(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.in = strings.NewReader("expire 1h\nnonsense\nissue\n")
	if got := h.run(t.Context(), []string{"fake", "-json", "-control", "127.0.0.1:0", "-exit-with-stdin"}); got != ok {
		t.Fatalf("exit status %d: %s", got, h.err.take())
	}
	var lines []map[string]any
	for line := range strings.Lines(h.out.take()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, v)
	}
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4", len(lines))
	}
	for _, name := range []string{"endpoint", "control", "apple_id", "password", "issued", "expires", "hosts"} {
		if lines[0][name] == nil {
			t.Errorf("no %s at the start: %v", name, lines[0])
		}
	}
	for i, want := range []float64{200, 400, 200} {
		if lines[i+1]["status"] != want || lines[i+1]["typed"] == "" || lines[i+1]["answer"] == nil {
			t.Errorf("line %d: %v, want status %v", i+1, lines[i+1], want)
		}
	}
	if errs := h.err.take(); errs != "" {
		t.Errorf("errors: %s", errs)
	}
}

// TestFakeTLS: with -tls there is a certificate to trust, and the home-set and the address
// book are only on the second host.
func TestFakeTLS(t *testing.T) {
	t.Parallel()
	h, dir := newHome(t), t.TempDir()
	h.fakeOf(t, "-tls", dir, "-json")
	var start struct {
		Endpoint, Home, CA, Password string
		AppleID                      string `json:"apple_id"`
		Hosts                        []string
	}
	if err := json.Unmarshal([]byte(h.out.await(t, "\n")), &start); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(start.CA)
	pool := x509.NewCertPool()
	if err != nil || filepath.Dir(start.CA) != dir || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("the certificate in %s: %v", start.CA, err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(start.Endpoint, "https://"), "/"))
	if !strings.HasPrefix(start.Endpoint, "https://localhost:") || start.Home != "https://127.0.0.1:"+port+"/" {
		t.Errorf("endpoint %s, home %s; want two hosts", start.Endpoint, start.Home)
	}
	// A client that uses the host of the home-set finds the address book; a client that
	// drops the host does not.
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	ask := func(method, url, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(start.AppleID, start.Password)
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	_, text := ask("PROPFIND", start.Endpoint, `<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`)
	principal := regexp.MustCompile(`/\d+/principal/`).FindString(text)
	_, text = ask("PROPFIND", start.Endpoint+principal[1:], `<propfind xmlns="DAV:"><prop><C:addressbook-home-set xmlns:C="urn:ietf:params:xml:ns:carddav"/></prop></propfind>`)
	homeSet := regexp.MustCompile(`https://[^<]*`).FindString(text)
	if !strings.HasPrefix(homeSet, start.Home) {
		t.Fatalf("the home-set is %q, want one at %s", homeSet, start.Home)
	}
	if status, _ := ask("PROPFIND", homeSet, ""); status != 207 {
		t.Errorf("the home answers %d", status)
	}
	if status, _ := ask("PROPFIND", strings.Replace(homeSet, start.Home, start.Endpoint, 1), ""); status != 400 {
		t.Errorf("the home on the endpoint's host answers %d, want 400", status)
	}
	web.CloseIdleConnections()

	// Package icloud works there under iCloud's own host names.
	to := strings.TrimSuffix(strings.TrimPrefix(start.Home, "https://"), "/")
	var dialled []string
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		return new(net.Dialer).DialContext(ctx, network, to)
	}}
	defer transport.CloseIdleConnections()
	client, err := icloud.New(icloud.Credential{AppleID: start.AppleID, Password: icloud.UncheckedPassword(start.Password)}, &icloud.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range client.Contacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(sample) || len(dialled) < 2 {
		t.Errorf("%d contacts by %q, want %d", n, dialled, len(sample))
	}
	for _, addr := range dialled {
		if host, _, _ := strings.Cut(addr, ":"); !slices.Contains(start.Hosts, host) {
			t.Errorf("%s is not among the hosts %q", host, start.Hosts)
		}
	}
}

// hidden wraps an error without its text, as package icloud does.
type hidden struct{ err error }

func (hidden) Error() string   { return "icloud: PROPFIND: the connection failed" }
func (h hidden) Unwrap() error { return h.err }

// TestExplain: every failure has a plain text, and the text around it is kept.
func TestExplain(t *testing.T) {
	t.Parallel()
	refused := hidden{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	full := &fs.PathError{Op: "write", Path: "/dev/full", Err: syscall.ENOSPC}
	told := stateError{"dir", &fs.PathError{Op: "open", Path: "dir/0123", Err: fs.ErrPermission}, true}
	card := &icloud.CardError{Err: &icloud.ResponseError{Method: "REPORT", StatusCode: 500}}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("icloud: x"), "x"},
		{&icloud.ResponseError{Method: "PROPFIND", StatusCode: 503, RetryAfter: 1500 * time.Millisecond}, "the server asks to wait: 2 s (503)"},
		{&icloud.ResponseError{StatusCode: 429, RetryAfter: time.Hour, Withheld: true}, "nothing was sent: the server has asked to wait, 1h0m0s left (429)"},
		{&icloud.ResponseError{StatusCode: 503}, "the server is unavailable: 503 Service Unavailable"},
		{&icloud.ResponseError{Method: "PROPFIND", StatusCode: 404}, "the server answered 404 Not Found to PROPFIND"},
		{fmt.Errorf("the list is not complete: %w", &icloud.ResponseError{StatusCode: 500}), "the list is not complete: the server has a fault: 500 Internal Server Error"},
		{card, "a card could not be fetched: the server has a fault: 500 Internal Server Error"},
		{errors.Join(full, full), "write /dev/full: no space left on device"},
		{errors.Join(outputError{full}, outputError{full}), "write /dev/full: no space left on device"},
		{errors.Join(errors.New("a"), errors.New("b"), errors.New("c"), errors.New("d")), "a; b; and 2 more"},
		{told, "the state folder dir cannot be written, and nothing is remembered: permission denied"},
		{errors.Join(errors.New("a"), told), "a"},
		{refused, "the connection failed: refused"},
		{fmt.Errorf("a\x1b[2J"), "a\ufffd[2J"},
		{guess{&icloud.AuthError{Err: icloud.ErrPasswordRejected, Confirmed: true}, "with -state none nothing is remembered"},
			"password rejected (possible); with -state none nothing is remembered, so it is a mistake, a revoked password or a passing fault"},
	} {
		if got := explain(test.err); got != test.want {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}

// TestConnection: the reason why a connection failed is found in the errors that package
// icloud wraps.
func TestConnection(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // the failed handshake would be logged
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	fails := func(err error) http.RoundTripper {
		return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}
	}
	for _, test := range []struct {
		endpoint  string
		transport http.RoundTripper
		cause     string
	}{
		{untrusted.URL, nil, "tls"},
		{"https" + strings.TrimPrefix(plain.URL, "http"), nil, "tls"},
		{"http://127.0.0.1:1/", nil, "refused"},
		{"https://icloud.example", fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "secret", IsNotFound: true}}), "dns"},
		{"https://icloud.example", fails(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), "timeout"},
		{"https://icloud.example", fails(&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}), "unreachable"},
		{"https://icloud.example", fails(&net.OpError{Op: "dial", Err: errors.New("secret")}), "network"},
		{"https://icloud.example", fails(io.EOF), "broken"},
	} {
		h := newHome(t)
		h.transport = test.transport
		if got := h.run(t.Context(), []string{"check", "-json", "-endpoint", test.endpoint}); got != failed {
			t.Errorf("%s: exit status %d, want %d", test.cause, got, failed)
		}
		want := `{"accepted":null,"error":"connection","cause":"` + test.cause + `"}` + "\n"
		if got := h.out.take(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := h.err.take(); !strings.HasPrefix(got, "icloud-contacts: the connection ") || strings.Contains(got, "secret") {
			t.Errorf("%s: errors: %q", test.cause, got)
		}
	}
}

// TestCheckSchedule: check shows the times of the next probe and of the final refusal as
// package icloud computes them.
func TestCheckSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		check := []string{"check", "-json"}
		h.run(t.Context(), check)
		h.srv.Revoke(h.cred.Password)
		h.out.take()
		refused := time.Now().UTC()
		for range 2 { // the second check sends nothing and uses what the first has saved
			if got := h.run(t.Context(), check); got != failed {
				t.Errorf("exit status %d, want %d", got, failed)
			}
			var a answer
			if err := json.Unmarshal([]byte(h.out.take()), &a); err != nil || a.NextTry == nil || a.Final == nil {
				t.Fatalf("got %+v, %v", a, err)
			}
			if !a.NextTry.Equal(refused.Add(time.Minute)) || !a.Final.Equal(refused.Add(15*time.Minute)) || a.Remedy != "" {
				t.Errorf("next try %v, final %v after the refusal: %+v", a.NextTry.Sub(refused), a.Final.Sub(refused), a)
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(15 * time.Minute)
		if got := h.run(t.Context(), check); got != dead {
			t.Errorf("exit status %d, want %d", got, dead)
		}
	})
}

// TestCheckInCron: cron runs check once an hour. A passing fault is not final, because the
// state folder says that the password has worked.
func TestCheckInCron(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		for hour := range 48 {
			fault := hour%5 == 4
			want := ok
			if h.srv.SetIntercept(nil); fault {
				h.srv.SetIntercept(icloudtest.Unauthorized)
				want = failed
			}
			if got := h.run(t.Context(), []string{"check"}); got != want {
				t.Errorf("hour %d: exit status %d, want %d", hour, got, want)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestDefaultFolder: the folder that is used without -state.
func TestDefaultFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir() // an absolute path on every system
	for _, test := range []struct {
		goos string
		env  map[string]string
		want string
	}{
		{"linux", map[string]string{"HOME": root}, ".local/state/icloud-contacts"},
		{"linux", map[string]string{"HOME": "/other", "XDG_STATE_HOME": root}, "icloud-contacts"},
		{"linux", map[string]string{"HOME": root, "XDG_STATE_HOME": "relative"}, ".local/state/icloud-contacts"},
		{"linux", map[string]string{"LocalAppData": root}, ""},
		{"darwin", map[string]string{"HOME": root}, "Library/Application Support/icloud-contacts"},
		{"darwin", map[string]string{"XDG_STATE_HOME": root}, "icloud-contacts"},
		{"windows", map[string]string{"LocalAppData": root, "HOME": "/other"}, "icloud-contacts"},
		{"windows", map[string]string{"HOME": root}, ""},
		{"linux", nil, ""},
	} {
		got, err := defaultFolder(test.goos, func(name string) string { return test.env[name] })
		want := ""
		if test.want != "" {
			want = filepath.Join(root, filepath.FromSlash(test.want))
		}
		if _, usage := errors.AsType[misuse](err); got != want || usage != (want == "") {
			t.Errorf("%s, %v: got %q, %v, want %q", test.goos, test.env, got, err, want)
		}
	}
}

// TestDate: a date of issue in the future is an error. The present day is accepted in every
// time zone.
func TestDate(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	for text, ok := range map[string]bool{
		"2024-01-31": true,
		now.Add(13 * time.Hour).Format(time.DateOnly): true,
		now.AddDate(0, 0, 3).Format(time.DateOnly):    false,
		now.Add(30 * time.Hour).Format(time.RFC3339):  false,
		"31.1.2026": false,
		now.Add(-30 * time.Second).Format(time.RFC3339): true,
	} {
		var d date
		if err := d.Set(text); (err == nil) != ok || d.After(time.Now()) {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
}
