package connect_test

import (
	"context"
	"errors"
	"html/template"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

const ownPassword = "correct horse battery"

// The first time: steps, form, and a connection.
func TestConnect(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.session = "ann"
	a := s.get(t, base)
	a.wants(t, http.StatusOK, "Connect your iCloud contacts to Acme & Sons", "account.apple.com", "Sign-In and Security",
		"App-Specific Passwords", "name it “Acme & Sons”", "Up to 25", "Apple removes all app-specific passwords",
		"What Acme & Sons will be able to read")
	cred := s.icloud.Issue()
	before := time.Now()
	a = s.post(t, base, "apple_id", "  "+cred.AppleID+" ", "password", cred.Password.Reveal(), "fresh", "yes")
	a.wants(t, http.StatusOK, "Acme & Sons is connected to iCloud", "Continue to Acme & Sons")
	if !strings.Contains(a.Body.String(), `href="https://app.acme.example/settings?tab=contacts"`) {
		t.Errorf("no way back: %s", a.Body)
	}
	saved, n := s.saved("ann")
	if n != 1 || saved.AppleID != cred.AppleID || saved.Password.Reveal() != cred.Password.Reveal() || saved.Issued.Before(before) || time.Since(saved.Issued) < 0 {
		t.Errorf("saved %d times: %+v", n, saved)
	}
	if got := s.icloud.Requests(); got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
}

// The date of issue is known only if the customer says so.
func TestNotFresh(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) { c.ReturnURL = "" })
	cred := s.icloud.Issue()
	s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK, "You can close this page")
	if saved, n := s.saved("ann"); n != 1 || !saved.Issued.IsZero() {
		t.Errorf("saved %d times, issued %v", n, saved.Issued)
	}
}

// Whichever form a password is pasted in.
func TestPasted(t *testing.T) {
	t.Parallel()
	for _, paste := range []func(string) string{
		func(p string) string { return strings.ReplaceAll(p, "-", "") },
		func(p string) string { return " " + strings.ToUpper(p) + "\r\n" },
		func(p string) string { return strings.ReplaceAll(p, "-", "–") },
		func(p string) string { return strings.ReplaceAll(p, "-", " ") },
		func(p string) string { return "\u200b" + p + "\u00a0" },
	} {
		s := newService(t, nil)
		cred := s.icloud.Issue()
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", paste(cred.Password.Reveal())).wants(t, http.StatusOK)
		if saved, _ := s.saved("ann"); saved.Password.Reveal() != cred.Password.Reveal() {
			t.Errorf("%q was not understood", paste("abcd-efgh-ijkl-mnop"))
		}
	}
}

// What is wrong is said at the field that it is about; nothing is sent where that
// can be seen before; what was entered stays, but for the password.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, appleID, password string
		fields                  string // that are marked
		says                    string
		requests                int
	}{
		{"nothing", "", "", "apple-id password", "Enter your Apple ID", 0},
		{"no password", "ann@example.com", " \t", "password", "Enter the app-specific password", 0},
		{"the account's own", "ann@example.com", ownPassword, "password", "Nothing was sent to Apple", 0},
		{"a long one of its own", "ann@example.com", strings.Repeat("x", 5000), "password", "Nothing was sent to Apple", 0},
		{"a name", "ann", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"a colon", "ann:x@example.com", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"a line break", "ann@example.com\r\nX: y", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"a zero byte", "ann@example.com\x00", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"not UTF-8", "ann\xff@example.com", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"a long address", strings.Repeat("a", 300) + "@example.com", "abcd-efgh-ijkl-mnop", "apple-id", "Enter the e-mail address", 0},
		{"markup", `"><script>alert(1)</script>@x`, ownPassword, "password", "Nothing was sent to Apple", 0},
		{"a wrong one", "ann@example.com", "abcd-efgh-ijkl-mnop", "password", "iCloud does not accept this password for this Apple ID", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, nil)
			a := s.post(t, s.link(t, "ann"), "apple_id", test.appleID, "password", test.password, "fresh", "yes")
			a.wants(t, http.StatusUnprocessableEntity, test.says, "This did not work yet", "Error: ")
			body := a.Body.String()
			for _, field := range []string{"apple-id", "password"} {
				marked := strings.Contains(body, `id="`+field+`-error"`) && strings.Contains(body, `aria-describedby="`+field+"-error ")
				if want := strings.Contains(test.fields, field); marked != want {
					t.Errorf("%s marked: %t, want %t", field, marked, want)
				}
			}
			// The first of the two has the focus.
			first, _, _ := strings.Cut(test.fields, " ")
			if n := strings.Count(body, " autofocus>"); n != 1 || !regexp.MustCompile(`<input id="`+first+`"[^>]* autofocus>`).MatchString(body) {
				t.Errorf("%d things have the focus, want %s", n, first)
			}
			if !strings.Contains(body, " checked>") {
				t.Error("what was ticked is lost")
			}
			if test.appleID == "ann@example.com" && !strings.Contains(body, `value="ann@example.com"`) {
				t.Error("the Apple ID is lost")
			}
			if strings.Contains(body, "<script") {
				t.Error("markup gets through")
			}
			if p := strings.TrimSpace(test.password); p != "" && p != "abcd-efgh-ijkl-mnop" && strings.Contains(body, p) {
				t.Error("the password is on the page")
			}
			if got := s.icloud.Requests(); got != test.requests {
				t.Errorf("got %d requests, want %d", got, test.requests)
			}
			if _, n := s.saved("ann"); n != 0 {
				t.Error("it was saved")
			}
		})
	}
}

// An Apple ID that iCloud does not know, where it says so by a 403.
func TestForbidden(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.icloud.ForbidUnknownUser = true
	cred := s.icloud.Issue()
	a := s.post(t, s.link(t, "ann"), "apple_id", "alias@example.com", "password", cred.Password.Reveal())
	a.wants(t, http.StatusUnprocessableEntity, "Check the Apple ID")
	if !strings.Contains(a.Body.String(), `id="apple-id-error"`) {
		t.Error("the field is not marked")
	}
	s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}

// What is Apple's fault is not the customer's, and the form keeps its place.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault icloudtest.Fault
		says  string
		retry string
	}{
		{"an outage", icloudtest.Status(503), "in a minute", "60"},
		{"a bad gateway", icloudtest.BadGateway, "in a minute", "60"},
		{"a throttle", icloudtest.Status(503, "Retry-After", "600"), "in 10 minutes", "600"},
		{"too many requests", icloudtest.Status(429, "Retry-After", "7200"), "in 2 hours", "7200"},
		{"a lost connection", icloudtest.Reset, "in a minute", "60"},
		{"a portal", icloudtest.CaptivePortal, "in a minute", "60"},
		{"a stray refusal of the question alone", icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`), "in a minute", "60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, nil)
			s.icloud.Intercept = icloudtest.Times(5, test.fault)
			cred := s.icloud.Issue()
			link := s.link(t, "ann")
			a := s.post(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal(), "fresh", "yes")
			a.wants(t, http.StatusServiceUnavailable, "It is not your password", "Please try again "+test.says)
			if got := a.Header().Get("Retry-After"); got != test.retry {
				t.Errorf("got Retry-After %q, want %q", got, test.retry)
			}
			if body := a.Body.String(); !a.hasForm() || !strings.Contains(body, `value="`+cred.AppleID+`"`) || !strings.Contains(body, " checked>") {
				t.Error("the form has lost its place")
			}
			if strings.Contains(a.Body.String(), `aria-invalid="true"`) {
				t.Error("a field is blamed")
			}
			// The link is as good as before.
			s.get(t, link).wants(t, http.StatusOK)
		})
	}
}

// iCloud does not answer at all: the customer is told so after a while.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.icloud.Intercept = icloudtest.Stall
		cred := s.icloud.Issue()
		began := time.Now()
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).
			wants(t, http.StatusServiceUnavailable, "It is not your password")
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		s.icloud.Close()
	})
}

// What iCloud asks to wait for is waited for, although each form has a Client of its
// own: the next one sends nothing.
func TestThrottleHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.icloud.Throttle(10 * time.Minute)
		cred := s.icloud.Issue()
		values := []string{"apple_id", cred.AppleID, "password", cred.Password.Reveal()}
		s.post(t, s.link(t, "ann"), values...).wants(t, http.StatusServiceUnavailable, "in 5 minutes")
		before := s.icloud.Requests()
		s.post(t, s.link(t, "bob"), values...).wants(t, http.StatusServiceUnavailable, "Apple asks to wait", "in 5 minutes")
		if got := s.icloud.Requests(); got != before {
			t.Errorf("%d requests were sent", got-before)
		}
		time.Sleep(11 * time.Minute)
		s.post(t, s.link(t, "ann"), values...).wants(t, http.StatusOK)
		s.icloud.Close()
	})
}

// In an incident at Apple nobody is told that their password is wrong.
func TestIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		var s *service
		s = newService(t, func(c *connect.Config) {
			c.Options = func(string) *icloud.Options {
				return &icloud.Options{Transport: s.icloud.Transport(), Fleet: fleet}
			}
		})
		// Healthy accounts of the service, all of which are refused now.
		for range 20 {
			srv := icloudtest.NewServer()
			defer srv.Close()
			client, err := icloud.New(srv.Issue(), &icloud.Options{Transport: srv.Transport(), Fleet: fleet})
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			srv.RevokeAll()
			if err := client.Authenticate(t.Context()); err == nil {
				t.Fatal("it is not refused")
			}
		}
		if _, ok := fleet.Incident(); !ok {
			t.Fatal("no incident")
		}
		s.icloud.Intercept = icloudtest.Unauthorized
		cred := s.icloud.Issue()
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).
			wants(t, http.StatusServiceUnavailable, "It is probably not your password", "Please try again in")
		s.icloud.Close()
	})
}

// A page that was opened before the account was connected, and any other form with
// another Apple ID: refused without a request.
func TestOtherAppleID(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	cred := s.icloud.Issue()
	s.session = "ann"
	s.accounts["ann"].cred.AppleID = "ann@icloud.com"
	a := s.post(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal())
	a.wants(t, http.StatusUnprocessableEntity, "belongs to the Apple ID a…@icloud.com", "Nothing was sent to Apple")
	if body := a.Body.String(); strings.Contains(body, "ann@icloud.com") || strings.Contains(body, cred.AppleID) {
		t.Error("a whole Apple ID is on the page")
	}
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
	if _, n := s.saved("ann"); n != 0 {
		t.Error("it was saved")
	}
	// Its case does not make it another one.
	s.accounts["ann"].cred.AppleID = strings.ToUpper(cred.AppleID)
	s.post(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}

// Of an Apple ID so much is shown that its owner knows it, and no more.
func TestMask(t *testing.T) {
	t.Parallel()
	for appleID, want := range map[string]string{
		"ann@icloud.com":      "a…@icloud.com",
		"Ünal@example.com":    "Ü…@example.com",
		"a@example.com":       "…@example.com",
		"nobody":              "n…",
		"x":                   "…",
		"a@b@example.com":     "…@b@example.com",
		"<b>ann</b>@evil.com": "<…@evil.com",
	} {
		s := newService(t, nil)
		s.accounts["ann"].cred.AppleID = appleID
		a := s.get(t, s.link(t, "ann"))
		a.wants(t, http.StatusOK, " "+want+" ")
		if strings.Contains(a.text, appleID) {
			t.Errorf("%s is on the page", appleID)
		}
	}
}

// Again: the reason, the new password, and the Client goes on with it.
func TestReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		client := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "connected, and the app-specific password works")
		time.Sleep(340 * 24 * time.Hour)
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, s.link(t, "ann"), "Accept-Language", "fr").wants(t, http.StatusOK, "vers le 31 décembre 2000")
		s.icloud.ChangeAccountPassword()
		_ = client.Authenticate(t.Context())
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "refuses the app-specific password at the moment")
		time.Sleep(16 * time.Minute)
		if err := client.Authenticate(t.Context()); err == nil || client.Status().State != icloud.SignedOut {
			t.Fatal(err)
		}
		link := s.link(t, "ann")
		a := s.get(t, link)
		a.wants(t, http.StatusOK, "was removed", "Nothing is lost", "a…@example.com")
		if strings.Contains(a.Body.String(), s.accounts["ann"].cred.AppleID) {
			t.Error("the whole Apple ID is on the page")
		}
		// The dead one once more.
		old, _ := s.saved("ann")
		s.post(t, link, "password", old.Password.Reveal()).wants(t, http.StatusUnprocessableEntity, "it worked once, and was removed since")
		cred := s.icloud.Issue()
		s.post(t, link, "password", cred.Password.Reveal(), "fresh", "yes").wants(t, http.StatusOK, "is connected to iCloud")
		if got := client.Status().State; got != icloud.Active {
			t.Errorf("the Client is %v", got)
		}
		s.post(t, link, "password", cred.Password.Reveal()).wants(t, http.StatusGone, "has been used")
		s.icloud.Close()
	})
}

// A web server that has no Client of the account, or one that has made no call yet,
// learns the reason from the Store that the workers share, and asks iCloud nothing.
func TestReasonFromStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := icloud.DirStore(t.TempDir())
		var s *service
		s = newService(t, func(c *connect.Config) {
			c.Options = func(string) *icloud.Options {
				return &icloud.Options{Transport: s.icloud.Transport(), Store: store}
			}
		})
		defer s.icloud.Close()
		worker := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{Store: store})
		s.accounts["ann"].keep = false
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "Here you renew the connection")
		if err := worker.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.icloud.RevokeAll()
		_ = worker.Authenticate(t.Context())
		time.Sleep(time.Hour)
		_ = worker.Authenticate(t.Context())
		before := s.icloud.Requests()
		link := s.link(t, "ann")
		s.get(t, link).wants(t, http.StatusOK, "Connect iCloud to Acme & Sons again", "was removed")
		idle := s.connected(t, "ann", s.accounts["ann"].cred, icloud.Options{Store: store})
		s.get(t, link).wants(t, http.StatusOK, "was removed")
		if s.icloud.Requests() != before {
			t.Error("iCloud was asked")
		}
		// Somebody connects it elsewhere, with a password that this Client does not have.
		cred := s.icloud.Issue()
		other, err := icloud.New(cred, &icloud.Options{Transport: s.icloud.Transport(), Store: store})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := other.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, link).wants(t, http.StatusOK, "You need not do anything")
		if idle.Status().State != icloud.SignedOut {
			t.Error("the Client is not the one that was signed out")
		}
	})
}

// A Store that fails keeps nobody from the page.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	var s *service
	s = newService(t, func(c *connect.Config) {
		c.Options = func(string) *icloud.Options {
			return &icloud.Options{Transport: s.icloud.Transport(), Store: failing{}}
		}
	})
	s.accounts["ann"].cred.AppleID = "ann@example.com"
	s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "Here you renew the connection")
	// With none to keep it in, nothing is asked; it is not the password, at least.
	s.post(t, s.link(t, "ann"), "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusServiceUnavailable, "It is not your password")
}

type failing struct{}

func (failing) Load(context.Context, string) ([]byte, error) { return nil, errors.New(ownPassword) }
func (failing) Save(context.Context, string, []byte) error   { return errors.New(ownPassword) }

// The password has come of age.
func TestExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		client := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(364 * 24 * time.Hour)
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * 24 * time.Hour)
		_ = client.Authenticate(t.Context())
		time.Sleep(time.Hour)
		_ = client.Authenticate(t.Context())
		s.get(t, s.link(t, "ann"), "Accept-Language", "de").wants(t, http.StatusOK, "sehr wahrscheinlich abgelaufen")
		s.icloud.Close()
	})
}

// The password that worked until a minute ago is entered once more: whether it is dead
// is not known yet.
func TestDoubtedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		client := s.connected(t, "ann", cred, icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.icloud.Revoke(cred.Password)
		_ = client.Authenticate(t.Context())
		time.Sleep(time.Minute)
		s.post(t, s.link(t, "ann"), "password", cred.Password.Reveal()).
			wants(t, http.StatusUnprocessableEntity, "although it has worked before", "try it again in a minute")
	})
}

// One form at a time: who waits for another for too long is told.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s *service
		s = newService(t, func(c *connect.Config) {
			c.Save = func(ctx context.Context, id string, cred icloud.Credential) error {
				time.Sleep(time.Minute)
				return s.save(ctx, id, cred)
			}
		})
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		first := form(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal())
		second := first.Clone(t.Context())
		second.Body = form(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).Body
		var group sync.WaitGroup
		group.Go(func() { s.do(t, first).wants(t, http.StatusOK) })
		time.Sleep(time.Second)
		s.do(t, second).wants(t, http.StatusServiceUnavailable, "Another form for this account", "Nothing was sent to Apple")
		group.Wait()
		if _, n := s.saved("ann"); n != 1 {
			t.Errorf("saved %d times", n)
		}
	})
}

// iCloud has said yes and the service cannot keep it: that is said, and the same
// link serves once it can.
func TestSaveFails(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.saveErr = errors.New("disk full: " + ownPassword)
	cred := s.icloud.Issue()
	link := s.link(t, "ann")
	values := []string{"apple_id", cred.AppleID, "password", cred.Password.Reveal()}
	a := s.post(t, link, values...)
	a.wants(t, http.StatusInternalServerError, "iCloud has accepted the password, but Acme & Sons could not store it")
	if strings.Contains(a.Body.String(), ownPassword) {
		t.Error("the service's error is on the page")
	}
	s.mu.Lock()
	s.saveErr = nil
	s.mu.Unlock()
	s.post(t, link, values...).wants(t, http.StatusOK, "is connected")
	s.post(t, link, values...).wants(t, http.StatusGone)
}

// A customer who closes the page at the last moment is connected all the same: with a
// Client of the account, the old password is gone by then.
func TestPageClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var s *service
	s = newService(t, func(c *connect.Config) {
		c.Save = func(ctx context.Context, id string, cred icloud.Credential) error {
			cancel()
			return errors.Join(ctx.Err(), s.save(ctx, id, cred))
		}
	})
	cred := s.icloud.Issue()
	s.do(t, form(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).WithContext(ctx)).wants(t, http.StatusOK)
}

// The options of the service cannot be used: it is not the customer's fault, and whoever
// runs the server can read why.
func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) {
		c.Options = func(string) *icloud.Options { return &icloud.Options{Endpoint: "http://not.loopback.example/"} }
	})
	var logged strings.Builder
	r := form(t, s.link(t, "ann"), "apple_id", "ann@example.com", "password", "abcd-efgh-ijkl-mnop")
	server := &http.Server{ErrorLog: log.New(&logged, "", 0)}
	s.do(t, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, server))).
		wants(t, http.StatusInternalServerError, "It is not your password", "Something is wrong at Acme & Sons")
	if text := logged.String(); !strings.HasPrefix(text, "icloud/connect: Config.Options: icloud: ") || strings.Contains(text, "ann@") || strings.Contains(text, "abcd") {
		t.Errorf("logged %q", text)
	}
}

// A template that fails for what it is shown sends no half of a page.
func TestTemplateFails(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) {
		c.Template = template.Must(template.New("").Parse(`half {{if eq .Lang "de"}}{{.NoSuchField}}{{end}}`))
	})
	var logged strings.Builder
	r := httptest.NewRequest("GET", s.link(t, "ann"), nil)
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ErrorLog: log.New(&logged, "", 0)}))
	a := s.do(t, r, "Accept-Language", "de")
	a.wants(t, http.StatusInternalServerError, "Bei Acme & Sons stimmt etwas nicht")
	if strings.Contains(a.Body.String(), "half") || a.Header().Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(logged.String(), "NoSuchField") {
		t.Errorf("got %s, logged %q", a.Body, logged.String())
	}
}

// Two who press the button at once, with one link: one of them connects.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	cred := s.icloud.Issue()
	link := s.link(t, "ann")
	var group sync.WaitGroup
	var mu sync.Mutex
	got := make(map[int]int)
	for range 8 {
		r := form(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal())
		group.Go(func() {
			a := s.do(t, r)
			mu.Lock()
			defer mu.Unlock()
			got[a.Code]++
		})
	}
	group.Wait()
	if _, n := s.saved("ann"); n != 1 || got[http.StatusOK] != 1 || got[http.StatusGone] != 7 {
		t.Errorf("saved %d times, %v", n, got)
	}
	if n := s.icloud.Requests(); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}
