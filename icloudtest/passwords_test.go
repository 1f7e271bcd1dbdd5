package icloudtest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const year = 365 * 24 * time.Hour

// accepted sends the first request of discovery, and says whether the password was accepted.
func (s *session) accepted(user, password string) bool {
	s.t.Helper()
	t := *s
	t.cred = icloud.Credential{AppleID: user, Password: icloud.UncheckedPassword(password)}
	switch a := t.do("PROPFIND", canonical+"/", askPrincipal); a.StatusCode {
	case http.StatusMultiStatus:
		return true
	case http.StatusUnauthorized:
		return false
	default:
		s.t.Fatalf("got %s, want 207 or 401", a.Status)
		return false
	}
}

func (s *session) alive(cred icloud.Credential) bool {
	s.t.Helper()
	return s.accepted(cred.AppleID, cred.Password.Reveal())
}

func TestPasswordForm(t *testing.T) {
	t.Parallel()
	a, b := icloudtest.NewServer(), icloudtest.NewServer()
	defer a.Close()
	defer b.Close()
	seen := make(map[string]bool)
	for _, s := range []*icloudtest.Server{a, b} {
		for range 25 {
			cred := s.Issue()
			text := cred.Password.Reveal()
			parsed, err := icloud.ParsePassword(text)
			if err != nil || parsed.Reveal() != text {
				t.Errorf("%q does not have Apple's form: %v", text, err)
			}
			if seen[text] {
				t.Errorf("%q was issued twice", text)
			}
			seen[text] = true
			if cred.Issued.IsZero() || !cred.LastAccepted.IsZero() || !cred.AccountChanged.IsZero() {
				t.Errorf("got %+v, want no date but that of the issue", cred)
			}
		}
	}
	if x, y := a.IssueAt(time.Time{}), b.IssueAt(time.Time{}); x.AppleID == y.AppleID {
		t.Errorf("two Servers are both %q, want two accounts", x.AppleID)
	}
}

func TestPasswordAsTyped(t *testing.T) {
	t.Parallel()
	s := start(t)
	user, password := s.cred.AppleID, s.cred.Password.Reveal()
	for _, test := range []struct {
		what, user, password string
		want                 bool
	}{
		{"as shown", user, password, true},
		{"without hyphens", user, strings.ReplaceAll(password, "-", ""), true},
		{"user in upper case", strings.ToUpper(user), password, true},
		{"another user", "x" + user, password, false},
		{"no user", "", password, false},
		{"no password", user, "", false},
		{"mistyped", user, password[:18] + string('a'+(password[18]-'a'+1)%26), false},
		{"with white space", user, password + " ", false},
		{"in upper case", user, strings.ToUpper(password), false},
		{"the account's own", user, "Correct horse 1!", false},
		{"of another account", user, start(t).cred.Password.Reveal(), false},
	} {
		if got := s.accepted(test.user, test.password); got != test.want {
			t.Errorf("%s: accepted %v, want %v", test.what, got, test.want)
		}
	}
}

func TestRequireHyphens(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.RequireHyphens = true
	password := s.cred.Password.Reveal()
	if !s.accepted(s.cred.AppleID, password) || s.accepted(s.cred.AppleID, strings.ReplaceAll(password, "-", "")) {
		t.Error("want the password accepted with its hyphens alone")
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		if !s.cred.Issued.Equal(time.Now()) {
			t.Errorf("issued %v, want now, %v", s.cred.Issued, time.Now())
		}
		time.Sleep(year - time.Nanosecond)
		if !s.alive(s.cred) {
			t.Error("refused within its year")
		}
		time.Sleep(time.Nanosecond)
		if s.alive(s.cred) {
			t.Error("accepted after its year")
		}
		if again := s.srv.Issue(); !s.alive(again) {
			t.Error("a new one is refused after another has expired")
		}
	})
}

func TestIssueAt(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, test := range []struct {
		age  time.Duration
		want bool
	}{
		{0, true},
		{-time.Hour, true}, // the clock of another machine may be ahead
		{year - time.Hour, true},
		{year + time.Second, false},
		{3 * year, false},
	} {
		at := time.Now().Add(-test.age)
		cred := s.srv.IssueAt(at)
		if !cred.Issued.Equal(at) {
			t.Errorf("issued %v, want %v", cred.Issued, at)
		}
		if got := s.alive(cred); got != test.want {
			t.Errorf("issued %v ago: accepted %v, want %v", test.age, got, test.want)
		}
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := s.srv.Issue()
	s.srv.Revoke(icloud.Password{})
	s.srv.Revoke(icloud.UncheckedPassword("aaaa-bbbb-cccc-dddd"))
	if !s.alive(s.cred) || !s.alive(other) {
		t.Error("refused after the revocation of passwords that are not there")
	}
	s.srv.Revoke(s.cred.Password)
	s.srv.Revoke(s.cred.Password)
	if s.alive(s.cred) || !s.alive(other) {
		t.Error("want the one that was revoked refused, and the other accepted")
	}
	for what, revoke := range map[string]func(){"RevokeAll": s.srv.RevokeAll, "ChangeAccountPassword": s.srv.ChangeAccountPassword} {
		a, b := s.srv.Issue(), s.srv.Issue()
		revoke()
		if s.alive(a) || s.alive(b) {
			t.Errorf("accepted after %s", what)
		}
		if !s.alive(s.srv.Issue()) {
			t.Errorf("one issued after %s is refused", what)
		}
	}
}

func TestAtMost25(t *testing.T) {
	t.Parallel()
	panics := func(f func()) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		f()
		return false
	}
	s := icloudtest.NewServer()
	defer s.Close()
	s.IssueAt(time.Now().Add(-2 * year)) // not active, because it has expired
	var last icloud.Credential
	for i := range 25 {
		if panics(func() { last = s.Issue() }) {
			t.Fatalf("password %d panics, want 25", i+1)
		}
	}
	if !panics(func() { s.Issue() }) {
		t.Error("password 26 does not panic")
	}
	if panics(func() { s.IssueAt(time.Now().Add(-2 * year)) }) {
		t.Error("one more that has expired panics")
	}
	s.Revoke(last.Password)
	if panics(func() { s.Issue() }) {
		t.Error("panics although one was revoked")
	}
	s.ChangeAccountPassword()
	for range 25 {
		s.Issue()
	}
}
