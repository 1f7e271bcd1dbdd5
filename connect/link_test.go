package connect_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/connect"
)

// TestBadLinks: an invalid link gets a page that explains it, without a form, with every
// method.
func TestBadLinks(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	token := strings.TrimPrefix(link, base+"?link=")
	other := newService(t, func(c *connect.Config) { c.Secret = []byte(strings.Repeat("t", 32)) })
	gone := s.link(t, "bob")
	delete(s.accounts, "bob")
	s.accounts["ben"] = &account{}

	cases := map[string]struct {
		target string
		status int
	}{
		"no token":        {base + "?link=", 400},
		"nonsense":        {base + "?link=nonsense", 400},
		"not base64":      {base + "?link=" + token[:10] + "!!" + token[12:], 400},
		"two":             {link + "&link=" + token, 400},
		"padding":         {link + "==", 400},
		"another secret":  {other.link(t, "ann"), 400},
		"very long":       {base + "?link=" + strings.Repeat("A", 1<<20), 400},
		"a broken escape": {base + "?link=%zz", 400},
		"a semicolon":     {base + "?a;link=" + token, 400},
		"no account":      {gone, 404},
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	// Change each byte, which includes the id and the date, and cut at each length.
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		cases[fmt.Sprintf("byte %d", i)] = struct {
			target string
			status int
		}{base + "?link=" + base64.RawURLEncoding.EncodeToString(changed), 400}
		cases[fmt.Sprintf("length %d", i)] = struct {
			target string
			status int
		}{base + "?link=" + base64.RawURLEncoding.EncodeToString(raw[:i]), 400}
	}
	ben := bytes.Replace(raw, []byte("ann"), []byte("ben"), 1)
	if bytes.Equal(ben, raw) {
		t.Fatal("the id is not in the token")
	}
	cases["another id"] = struct {
		target string
		status int
	}{base + "?link=" + base64.RawURLEncoding.EncodeToString(ben), 400}
	for name, c := range cases {
		for method, a := range map[string]answer{
			"GET":  s.get(t, c.target),
			"POST": s.post(t, c.target, "apple_id", "ann@example.com", "password", "abcd-efgh-ijkl-mnop"),
		} {
			if a.Code != c.status || a.hasForm() || !strings.Contains(a.text, "This page cannot be opened") {
				t.Errorf("%s, %s: got %d: %s", name, method, a.Code, a.text)
			}
		}
	}
	s.get(t, link).wants(t, http.StatusOK)
}

// TestLinkRunsOut: a link expires.
func TestLinkRunsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		link := s.link(t, "ann")
		time.Sleep(time.Hour - time.Millisecond)
		s.get(t, link).wants(t, http.StatusOK)
		time.Sleep(time.Millisecond)
		for _, a := range []answer{s.get(t, link), s.post(t, link, "apple_id", "a@b.example", "password", "abcd-efgh-ijkl-mnop")} {
			a.wants(t, http.StatusGone, "This link has expired")
			if a.hasForm() {
				t.Error("it has a form")
			}
		}
	})
}

// TestGeneration: a link does not work with any other generation, older or newer.
func TestGeneration(t *testing.T) {
	t.Parallel()
	account := connect.Account{Generation: "c"}
	s := newService(t, func(c *connect.Config) {
		c.Account = func(context.Context, string) (connect.Account, error) { return account, nil }
	})
	link := s.link(t, "ab")
	s.get(t, link).wants(t, http.StatusOK)
	for _, generation := range []string{"", "C", "bc", "cc", "c\x00"} {
		account.Generation = generation
		s.get(t, link).wants(t, http.StatusGone, "has been used")
	}
}

// TestFixation: a link that is opened in the session of another account is refused,
// because it would connect that customer's contacts to the wrong account.
func TestFixation(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	s.session = "bob"
	cred := s.icloud.Issue()
	for _, a := range []answer{s.get(t, link), s.post(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal())} {
		a.wants(t, http.StatusForbidden, "belongs to another account")
		if a.hasForm() {
			t.Error("it has a form")
		}
	}
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
	s.session = "ann"
	s.get(t, link).wants(t, http.StatusOK)
}

// TestLink: a link begins with BaseURL and nothing else, and wrong arguments are errors.
func TestLink(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	if link := s.link(t, "ann"); !strings.HasPrefix(link, base+"?") || strings.ContainsAny(link, "\r\n \"'<>") {
		t.Errorf("got %q", link)
	}
	for _, test := range []struct {
		id  string
		ttl time.Duration
	}{{"", time.Hour}, {"ann", 0}, {"ann", -time.Hour}, {"nobody", time.Hour}, {strings.Repeat("x", 10_000), time.Hour}} {
		if link, err := s.Link(t.Context(), test.id, test.ttl); err == nil || link != "" {
			t.Errorf("%.20q for %v: got %q, %v", test.id, test.ttl, link, err)
		}
	}
	gone := errors.New("gone")
	s = newService(t, func(c *connect.Config) {
		c.Account = func(context.Context, string) (connect.Account, error) { return connect.Account{}, gone }
	})
	if _, err := s.Link(t.Context(), "ann", time.Hour); !errors.Is(err, gone) {
		t.Errorf("got %v, want the service's own error", err)
	}
}
