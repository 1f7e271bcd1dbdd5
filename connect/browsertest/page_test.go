package browsertest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

// service is a product with one customer, on a port of this machine.
type service struct {
	page   *connect.Handler
	icloud *icloudtest.Server
	url    string

	mu      sync.Mutex
	session bool // whether the customer is signed in
	cred    icloud.Credential
	saves   int
	client  *icloud.Client
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{icloud: icloudtest.NewServer(), session: true}
	t.Cleanup(s.icloud.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	s.page, err = connect.New(connect.Config{
		Product:   "Acme",
		BaseURL:   s.url + "/icloud/",
		Secret:    []byte(strings.Repeat("s", 32)),
		Account:   s.account,
		Save:      s.save,
		Identify:  s.identify,
		Options:   func(string) *icloud.Options { return &icloud.Options{Transport: s.icloud.Transport()} },
		ReturnURL: "/settings",
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/icloud/", s.page)
	mux.HandleFunc("/settings", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("<!DOCTYPE html><html lang=en><title>Acme</title><main><h1>Settings of Acme</h1></main>"))
	})
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	server.Start()
	t.Cleanup(server.Close)
	return s
}

func (s *service) account(context.Context, string) (connect.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connect.Account{AppleID: s.cred.AppleID, Generation: strconv.Itoa(s.saves), Client: s.client}, nil
}

func (s *service) save(_ context.Context, _ string, cred icloud.Credential) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred, s.saves = cred, s.saves+1
	return nil
}

func (s *service) identify(*http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.session {
		return "", errors.New("not signed in")
	}
	return "ann", nil
}

// saved returns the credential that was saved last, and the number of saves.
func (s *service) saved() (icloud.Credential, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred, s.saves
}

// died connects the account with the dead password that kill returns, so that it is signed
// out, and returns the link that the customer gets.
func (s *service) died(t *testing.T, kill func() icloud.Credential) (link string) {
	t.Helper()
	cred := kill()
	client, err := icloud.New(cred, &icloud.Options{Transport: s.icloud.Transport(), Dwell: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Authenticate(t.Context()); err == nil || client.Status().State != icloud.SignedOut {
		t.Fatal("it is not dead")
	}
	s.mu.Lock()
	s.cred, s.client, s.saves, s.session = cred, client, 1, false
	s.mu.Unlock()
	if link, err = s.page.Link(t.Context(), "ann", time.Hour); err != nil {
		t.Fatal(err)
	}
	return link
}

// expired is a password that was generated more than a year ago and worked until its end.
func (s *service) expired() icloud.Credential {
	cred := s.icloud.IssueAt(time.Now().Add(-366 * 24 * time.Hour))
	cred.LastAccepted = cred.Issued.Add(364 * 24 * time.Hour)
	return cred
}

// revoked is a password that its owner has removed.
func (s *service) revoked() icloud.Credential {
	cred := s.icloud.IssueAt(time.Now().Add(-100 * 24 * time.Hour))
	cred.LastAccepted = time.Now().Add(-time.Hour)
	s.icloud.Revoke(cred.Password)
	return cred
}

const (
	appleID  = "#apple-id"
	password = "#password"
)

// TestConnect: a customer connects for the first time, and makes every mistake.
func TestConnect(t *testing.T) {
	for _, screen := range []screen{desktop, phone} {
		t.Run(screen.language, func(t *testing.T) {
			t.Parallel()
			say := func(english, german string) string {
				if screen.language == "de-DE" {
					return german
				}
				return english
			}
			s := newService(t)
			b := newTab(t, screen)
			cred := s.icloud.Issue()
			b.open(s.url+"/icloud/", say("Connect your iCloud contacts to Acme", "iCloud-Kontakte mit Acme verbinden"))

			b.submit([]string{appleID, cred.AppleID, password, "correct horse battery"},
				say("Nothing was sent to Apple", "An Apple wurde nichts gesendet"))
			if id := eval[string](b, "document.activeElement.id"); id != "password" {
				t.Errorf("the focus is at %q", id)
			}
			if kept := eval[string](b, `document.querySelector("#apple-id").value`); kept != cred.AppleID {
				t.Errorf("the Apple ID is %q now", kept)
			}
			if n := s.icloud.Requests(); n != 0 {
				t.Errorf("%d requests were sent", n)
			}

			b.submit([]string{password, "abcd-efgh-ijkl-mnop"},
				say("iCloud does not accept this password", "iCloud nimmt dieses Passwort für diese Apple-ID nicht an"))
			if typed := eval[string](b, `document.querySelector("#password").value`); typed != "" {
				t.Error("the password has come back")
			}

			s.icloud.Throttle(10 * time.Minute)
			b.submit([]string{password, cred.Password.Reveal()},
				say("It is not your password", "An Ihrem Passwort liegt es nicht"), say("in 5 minutes", "in 5 Minuten"))
			s.icloud.Throttle(0)
			b.submit([]string{password, cred.Password.Reveal()},
				say("It is not your password", "An Ihrem Passwort liegt es nicht"))
			if _, n := s.saved(); n != 0 {
				t.Error("it was saved")
			}
		})
	}
}

// TestOutage: after an outage the customer enters only the password again.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.icloud.Intercept = icloudtest.Times(1, icloudtest.Status(503))
	b := newTab(t, desktop)
	cred := s.icloud.Issue()
	b.open(s.url+"/icloud/", "App-specific password")
	b.do(chromedp.Click(chromedp.CSS("#fresh")))
	b.submit([]string{appleID, cred.AppleID, password, cred.Password.Reveal()}, "It is not your password", "Please try again in a minute")
	b.submit([]string{password, strings.ToUpper(strings.ReplaceAll(cred.Password.Reveal(), "-", " "))}, "Acme is connected to iCloud")
	saved, n := s.saved()
	if n != 1 || saved.AppleID != cred.AppleID || saved.Password.Reveal() != cred.Password.Reveal() || saved.Issued.IsZero() {
		t.Errorf("saved %d times: %+v", n, saved)
	}
	b.answered(chromedp.Click(chromedp.CSS("a.button")))
	if title := eval[string](b, "document.title"); title != "Acme" {
		t.Errorf("it goes on at %q", title)
	}
}

// TestReconnect: the link in a mail shows the reason, takes a new password, and then no
// longer works.
func TestReconnect(t *testing.T) {
	for _, test := range []struct {
		screen
		kill                    func(*service) icloud.Credential
		reason, done, used, old string
	}{
		{phone, (*service).expired, "sehr wahrscheinlich abgelaufen", "Acme ist mit iCloud verbunden", "wurde schon verwendet", "nicht mehr an"},
		{dark, (*service).revoked, "se eliminó", "Acme está conectado con iCloud", "ya se ha usado", "ya no acepta"},
		{zoomed, (*service).expired, "très probablement arrivé en fin de validité", "Acme est connecté à iCloud", "a déjà été utilisé", "n’accepte plus"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			link := s.died(t, func() icloud.Credential { return test.kill(s) })
			dead, _ := s.saved()
			b := newTab(t, test.screen)
			b.open(link, test.reason, "…@example.com")
			if html := eval[string](b, "document.documentElement.outerHTML"); strings.Contains(html, dead.AppleID) {
				t.Error("the whole Apple ID is on the page")
			}
			b.submit([]string{password, dead.Password.Reveal()}, test.old)
			cred := s.icloud.Issue()
			b.submit([]string{password, cred.Password.Reveal()}, test.done)
			if saved, n := s.saved(); n != 2 || saved.Password.Reveal() != cred.Password.Reveal() {
				t.Errorf("saved %d times", n)
			}
			b.open(link, test.used)
			if forms := eval[int64](b, "document.forms.length"); forms != 0 {
				t.Error("it has a form")
			}
		})
	}
}

// TestAnotherAppleID: in a second tab, which was opened before the account was connected,
// the customer enters another Apple ID.
func TestAnotherAppleID(t *testing.T) {
	t.Parallel()
	s := newService(t)
	mine, theirs := s.icloud.Issue(), icloudtest.NewServer()
	defer theirs.Close()
	stale, b := newTab(t, desktop), newTab(t, desktop)
	stale.name += "-stale"
	stale.open(s.url+"/icloud/", "Apple ID")
	b.open(s.url+"/icloud/", "Apple ID")
	b.submit([]string{appleID, mine.AppleID, password, mine.Password.Reveal()}, "Acme is connected to iCloud")
	before := s.icloud.Requests()
	other := theirs.Issue()
	stale.submit([]string{appleID, other.AppleID, password, other.Password.Reveal()}, "This connection belongs to the Apple ID", "Nothing was sent to Apple")
	if s.icloud.Requests() != before || theirs.Requests() != 0 {
		t.Error("something was sent")
	}
	if saved, n := s.saved(); n != 1 || saved.AppleID != mine.AppleID {
		t.Error("it was saved")
	}
}

// TestKeyboard uses only the keyboard: the focus moves in the order of the page and is
// visible, and Enter sends the form.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := newService(t)
	b := newTab(t, desktop)
	cred := s.icloud.Issue()
	b.open(s.url + "/icloud/")
	const here = `(e => e.id || e.host || e.type)(document.activeElement)`
	tabTo := func(want string) {
		t.Helper()
		b.do(chromedp.KeyEvent(kb.Tab))
		if got := eval[string](b, here); got != want {
			t.Errorf("the focus is at %q, want %q", got, want)
		}
		if outline := eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
			t.Errorf("at %q nobody can see the focus", want)
		}
	}
	tabTo("account.apple.com")
	tabTo("apple-id")
	b.do(chromedp.KeyEvent(cred.AppleID))
	tabTo("password")
	b.do(chromedp.KeyEvent(cred.Password.Reveal()))
	tabTo("fresh")
	b.do(chromedp.KeyEvent(" "))
	tabTo("submit")
	b.answered(chromedp.KeyEvent(kb.Enter))
	b.examine("Acme is connected to iCloud")
	if saved, n := s.saved(); n != 1 || saved.Issued.IsZero() {
		t.Errorf("saved %d times, issued %v", n, saved.Issued)
	}
}

// TestAnotherSite: a customer who is signed in sends the form of another site.
func TestAnotherSite(t *testing.T) {
	t.Parallel()
	s := newService(t)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang=en><title>Win</title><form method=post action="` + s.url + `/icloud/">` +
			`<input name=apple_id value=evil@example.com><input name=password value=abcd-efgh-ijkl-mnop><button type=submit>Win</button></form>`))
	}))
	defer evil.Close()
	b := newTab(t, desktop)
	// Another name of the same machine counts as another site.
	b.do(chromedp.Navigate(strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)))
	b.submit(nil, "was sent from another site")
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
}

// TestNoSession: without a session and without a link the page says what to do. A frame
// in another site shows nothing.
func TestNoSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.session = false
	b := newTab(t, phone)
	b.open(s.url+"/icloud/", "Melden Sie sich zuerst bei Acme an")
	b.open(s.url+"/icloud/?link=nonsense", "Dieser Link ist nicht vollständig")
}
