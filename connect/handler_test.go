package connect_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/connect"
)

// TestHeaders: every answer has the security headers.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	foreign := form(t, link, "password", "abcd-efgh-ijkl-mnop")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	nonces := make(map[string]bool)
	for name, a := range map[string]answer{
		"the form":     s.get(t, link),
		"no session":   s.get(t, base),
		"no link":      s.get(t, base+"?link=x"),
		"a head":       s.do(t, httptest.NewRequest("HEAD", link, nil)),
		"a method":     s.do(t, httptest.NewRequest("DELETE", link, nil)),
		"options":      s.do(t, httptest.NewRequest("OPTIONS", link, nil)),
		"another site": s.do(t, foreign),
		"an error":     s.post(t, link, "apple_id", "ann@example.com", "password", ownPassword),
		"too much":     s.post(t, link, "apple_id", strings.Repeat("x", 20_000)),
		"no form":      s.do(t, httptest.NewRequest("POST", link, strings.NewReader("{}"))),
		"connected":    s.connects(t),
	} {
		h := a.Header()
		for header, want := range map[string]string{
			"Cache-Control":                "no-store",
			"Content-Type":                 "text/html; charset=utf-8",
			"Content-Language":             "en",
			"Vary":                         "Accept-Language",
			"Referrer-Policy":              "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"X-Robots-Tag":                 "noindex, nofollow",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: got %s: %q, want %q", name, header, got, want)
			}
		}
		policy := regexp.MustCompile(`^default-src 'none'; style-src 'nonce-([A-Z2-7]{26})'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$`).
			FindStringSubmatch(h.Get("Content-Security-Policy"))
		if policy == nil {
			t.Errorf("%s: got policy %q", name, h.Get("Content-Security-Policy"))
			continue
		}
		if nonces[policy[1]] {
			t.Errorf("%s: the nonce comes twice", name)
		}
		nonces[policy[1]] = true
		if body := a.Body.String(); name == "a head" {
			if body != "" || h.Get("Content-Length") == "0" {
				t.Errorf("%s: got %d bytes", name, len(body))
			}
		} else if !strings.Contains(body, `<style nonce="`+policy[1]+`">`) || strings.Contains(body, "style=") ||
			strings.Contains(body, "<script") || regexp.MustCompile(` on[a-z]+=`).MatchString(body) || len(h["Set-Cookie"]) > 0 {
			t.Errorf("%s: the policy forbids what is on the page: %s", name, body)
		}
		// The page loads nothing, and its only link to another site is to Apple's.
		for _, u := range regexp.MustCompile(`(?:src|href|action)="([^"#][^"]*)"`).FindAllStringSubmatch(a.Body.String(), -1) {
			if u[1] != "https://account.apple.com" && u[1] != "https://app.acme.example/settings?tab=contacts" {
				t.Errorf("%s: it leads to %s", name, u[1])
			}
		}
	}
}

// connects connects the account bob.
func (s *service) connects(t *testing.T) answer {
	t.Helper()
	cred := s.icloud.Issue()
	return s.post(t, s.link(t, "bob"), "apple_id", cred.AppleID, "password", cred.Password.Reveal())
}

// TestMethods: only GET, HEAD and POST are served, and only POST changes anything.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "LINK"} {
		a := s.do(t, httptest.NewRequest(method, link, nil))
		a.wants(t, http.StatusMethodNotAllowed, "Open it in a browser")
		if got := a.Header().Get("Allow"); got != "GET, HEAD, POST" || a.hasForm() {
			t.Errorf("%s: got Allow %q", method, got)
		}
	}
	// A mail scanner may fetch a link any number of times.
	for range 50 {
		s.get(t, link).wants(t, http.StatusOK)
		s.do(t, httptest.NewRequest("HEAD", link, nil)).wants(t, http.StatusOK)
	}
	cred := s.icloud.Issue()
	// The fields of the form do not count in the URL.
	s.get(t, link+"&"+url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()).wants(t, http.StatusOK)
	s.post(t, link+"&"+url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()).wants(t, http.StatusUnprocessableEntity)
	s.post(t, link+"&password="+cred.Password.Reveal(), "apple_id", cred.AppleID).wants(t, http.StatusUnprocessableEntity, "Enter the app-specific password")
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
	s.post(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}

// TestCrossOrigin: forms from other sites are refused before their body is read. The
// page's own form is accepted even behind a proxy that changes the Host header.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		headers []string
		ok      bool
	}{
		{nil, true}, // not a browser
		{[]string{"Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Sec-Fetch-Site", "none"}, true},
		{[]string{"Origin", "https://app.acme.example"}, true},
		{[]string{"Origin", "https://app.acme.example", "Host", "10.0.0.7:8080"}, true},
		{[]string{"Origin", "https://app.acme.example:8443", "Host", "10.0.0.7:8080"}, false},
		{[]string{"Sec-Fetch-Site", "same-origin", "Origin", "https://app.acme.example", "Host", "10.0.0.7:8080"}, true},
		{[]string{"Sec-Fetch-Site", "cross-site"}, false},
		{[]string{"Sec-Fetch-Site", "same-site"}, false},
		{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{[]string{"Origin", "https://evil.example"}, false},
		{[]string{"Origin", "https://app.acme.example.evil.example"}, false},
		{[]string{"Origin", "null"}, false},
	} {
		s := newService(t, nil)
		s.session = "ann"
		cred := s.icloud.Issue()
		r := form(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal())
		for i := 0; i < len(test.headers); i += 2 {
			if r.Header.Set(test.headers[i], test.headers[i+1]); test.headers[i] == "Host" {
				r.Host = test.headers[i+1]
			}
		}
		a := s.do(t, r)
		if _, n := s.saved("ann"); (n == 1) != test.ok || (a.Code == http.StatusOK) != test.ok {
			t.Errorf("%q: got %d, saved %d times", test.headers, a.Code, n)
		}
		if !test.ok {
			a.wants(t, http.StatusForbidden, "was sent from another site")
			if s.icloud.Requests() != 0 || a.hasForm() {
				t.Errorf("%q: not refused at once", test.headers)
			}
		}
	}
}

// TestOrigin: browsers write an origin in lower case and without the default port, and
// BaseURL may be written otherwise.
func TestOrigin(t *testing.T) {
	t.Parallel()
	for url, origin := range map[string]string{
		"https://App.Acme.Example:443":  "https://app.acme.example",
		"https://app.acme.example:8443": "https://app.acme.example:8443",
		"http://localhost:80/x":         "http://localhost",
		"http://[::1]:8080/x/":          "http://[::1]:8080",
	} {
		s := newService(t, func(c *connect.Config) { c.BaseURL = url })
		link := s.link(t, "ann")
		s.get(t, link).wants(t, http.StatusOK)
		r := form(t, link, "apple_id", "", "password", "")
		r.Host = "10.0.0.7:8080"
		r.Header.Set("Origin", origin)
		s.do(t, r).wants(t, http.StatusUnprocessableEntity)
	}
}

// TestNothingReflected: a request cannot choose the page to which the customer returns,
// and no header repeats a part of it.
func TestNothingReflected(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.session = "ann"
	for _, target := range []string{
		base + "?return=https://evil.example/&next=//evil.example&ReturnURL=javascript:alert(1)",
		"https://evil.example/icloud/?x=%0d%0aSet-Cookie:%20a=b",
		base + "%0d%0aX-Evil:1/%3Cscript%3E?q=%3Cscript%3E",
	} {
		cred := s.icloud.Issue()
		s.accounts["ann"].cred.AppleID = ""
		for _, a := range []answer{
			s.get(t, target, "X-Forwarded-Host", "evil.example", "Referer", "https://evil.example/", "Accept-Language", "evil\r\nX-Evil: 1"),
			s.post(t, target, "apple_id", cred.AppleID, "password", cred.Password.Reveal(), "return", "https://evil.example/"),
		} {
			a.wants(t, http.StatusOK)
			dump := fmt.Sprint(a.Header(), a.Body)
			if strings.Contains(strings.ToLower(dump), "evil") || strings.Contains(dump, "<script") || a.Header().Get("Location") != "" {
				t.Errorf("%s is reflected: %s", target, dump)
			}
		}
		s.icloud.Revoke(cred.Password)
	}
}
