package connect_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/connect"
)

const ownPassword = "correct horse battery"

// TestConnect: a customer connects for the first time.
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

// TestNotFresh: the date of issue is known only if the customer says that the password is
// new.
func TestNotFresh(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) { c.ReturnURL = "" })
	cred := s.icloud.Issue()
	s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK, "You can close this page")
	if saved, n := s.saved("ann"); n != 1 || !saved.Issued.IsZero() {
		t.Errorf("saved %d times, issued %v", n, saved.Issued)
	}
}

// TestPasted: a password may be pasted in several forms.
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

// TestFields: an error is shown at its field. If the page can see it by itself, nothing is
// sent. The form keeps what was entered, except the password.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, appleID, password string
		fields                  string // the fields that are marked
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
			// The first marked field has the focus.
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

// TestOtherAppleID: a form with another Apple ID is refused without a request. It may come
// from a page that was opened before the account was connected.
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
	// The case of an Apple ID does not matter.
	s.accounts["ann"].cred.AppleID = strings.ToUpper(cred.AppleID)
	s.post(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}
