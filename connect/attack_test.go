package connect_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/connect"
)

// Every answer has them, whatever was asked.
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
		// Nothing is loaded, and the one link that leads away is Apple's.
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

// Methods: only these three do anything, and only POST changes anything.
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
	// A scanner of mails fetches a link as often as it likes.
	for range 50 {
		s.get(t, link).wants(t, http.StatusOK)
		s.do(t, httptest.NewRequest("HEAD", link, nil)).wants(t, http.StatusOK)
	}
	cred := s.icloud.Issue()
	// The form in the URL is not a form.
	s.get(t, link+"&"+url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()).wants(t, http.StatusOK)
	s.post(t, link+"&"+url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()).wants(t, http.StatusUnprocessableEntity)
	s.post(t, link+"&password="+cred.Password.Reveal(), "apple_id", cred.AppleID).wants(t, http.StatusUnprocessableEntity, "Enter the app-specific password")
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
	s.post(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}

// What is no good link gets a page in plain words, and no form, whichever method.
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
	// Each byte, the id and the date among them, and each length.
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

// A link runs out.
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
			a.wants(t, http.StatusGone, "This link has run out")
			if a.hasForm() {
				t.Error("it has a form")
			}
		}
	})
}

// Any other generation, older or newer, makes a link dead.
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

// Fixation: somebody's link that is opened in another's session would connect that
// other's contacts to the wrong account.
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

// Forms of other sites are refused before anything is read of them, and a proxy
// that changes Host does not make our own one of them.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		headers []string
		ok      bool
	}{
		{nil, true}, // no browser
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

// Browsers name an origin in lower case and without a default port, however BaseURL
// is written.
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

// Nothing of a request decides where the customer goes afterwards, or what is in a
// header.
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

// The attempts of an account are bounded; another account's are its own.
func TestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		guess := func(id, appleID string, n int) answer {
			return s.post(t, s.link(t, id), "apple_id", appleID, "password", fmt.Sprintf("abcd-efgh-ijkl-mn%c%c", 'a'+n/26, 'a'+n%26))
		}
		for n := range 100 {
			a := guess("ann", fmt.Sprintf("victim%d@example.com", n), n)
			if n < 10 {
				a.wants(t, http.StatusUnprocessableEntity, "iCloud does not accept")
				continue
			}
			a.wants(t, http.StatusTooManyRequests, "many tries in a short time", "in 15 minutes", "Nothing was sent to Apple")
			if got := a.Header().Get("Retry-After"); got != "900" || !a.hasForm() {
				t.Errorf("got Retry-After %q", got)
			}
		}
		if got := s.icloud.Requests(); got != 20 {
			t.Errorf("got %d requests, want two for each of 10 guesses", got)
		}
		// The account's own password is no attempt, and no way around.
		for range 20 {
			s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", ownPassword).wants(t, http.StatusUnprocessableEntity)
		}
		s.post(t, s.link(t, "bob"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
		time.Sleep(15 * time.Minute)
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)

		// One Apple ID, by many accounts.
		for n := range 10 {
			id := fmt.Sprint("mallory", n)
			s.accounts[id] = &account{}
			for range 5 {
				guess(id, "VICTIM@example.com", n)
			}
		}
		if got := s.icloud.Requests(); got != 22+2*30 {
			t.Errorf("got %d requests, want two for each of 30 guesses more", got)
		}
		s.accounts["eve"] = &account{}
		guess("eve", "victim@example.com", 1).wants(t, http.StatusTooManyRequests)
		guess("eve", "other@example.com", 1).wants(t, http.StatusUnprocessableEntity)
	})
}

// Success is not an attempt that counts against the next.
func TestAttemptsForgiven(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.session = "ann"
	cred := s.icloud.Issue()
	for range 3 {
		for range 9 {
			s.post(t, base, "apple_id", cred.AppleID, "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusUnprocessableEntity)
		}
		s.post(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
	}
}

// What an hour of tries has left in memory is gone with the next one.
func TestMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		for n := range 200 {
			id := fmt.Sprint("account", n)
			s.accounts[id] = &account{}
			s.post(t, s.link(t, id), "apple_id", fmt.Sprintf("%d@example.com", n), "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusUnprocessableEntity)
		}
		if n := s.Kept(); n != 400 {
			t.Errorf("%d things are kept of 200 accounts with an Apple ID each", n)
		}
		time.Sleep(time.Hour)
		s.connects(t)
		if n := s.Kept(); n != 1 {
			t.Errorf("%d things are kept, want the Apple ID that was asked about last", n)
		}
	})
}

// Bodies that are no form, or too much of one.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	link := s.link(t, "ann")
	send := func(contentType string, body io.Reader) answer {
		r := httptest.NewRequestWithContext(t.Context(), "POST", link, body)
		r.Header.Set("Content-Type", contentType)
		return s.do(t, r)
	}
	const urlencoded = "application/x-www-form-urlencoded"
	endless := &counter{Reader: zeros{}}
	for name, test := range map[string]struct {
		answer
		status int
	}{
		"64 MiB":           {send(urlencoded, io.LimitReader(endless, 64<<20)), 413},
		"many fields":      {send(urlencoded, strings.NewReader(strings.Repeat("a=b&", 10_000))), 413},
		"a broken escape":  {send(urlencoded, strings.NewReader("password=%zz")), 400},
		"json":             {send("application/json", strings.NewReader(`{"password":"x"}`)), 415},
		"multipart":        {send("multipart/form-data; boundary=x", strings.NewReader("--x--")), 415},
		"text":             {send("text/plain", strings.NewReader("password=x")), 415},
		"no type":          {send("", strings.NewReader("password=x")), 415},
		"a type of no use": {send(";;;", strings.NewReader("password=x")), 415},
		"a lost body":      {send(urlencoded, io.MultiReader(strings.NewReader("a=b"), broken{})), 400},
	} {
		if test.Code != test.status || test.hasForm() || !strings.Contains(test.text, "Nothing was sent to Apple") {
			t.Errorf("%s: got %d: %s", name, test.Code, test.text)
		}
	}
	if endless.n > 64<<10 {
		t.Errorf("%d bytes were read of a form that is too large", endless.n)
	}
	// Twice the same field: the first counts, and nothing breaks.
	send(urlencoded, strings.NewReader("apple_id=a&apple_id=b&password=c&password=d&password")).wants(t, http.StatusUnprocessableEntity)
	if s.icloud.Requests() != 0 {
		t.Error("something was sent")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// A body that does not come: an answer after ten seconds, and the connection is
// free, whatever the server's own limits are.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for name, drip := range map[string]time.Duration{"nothing more": 0, "a byte a second": time.Second} {
		for _, foreign := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", of another site: ", foreign), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newService(t, nil)
					defer s.icloud.Close()
					conn := serve(t, s)
					link := s.link(t, "ann")
					header := ""
					if foreign {
						header = "Origin: https://evil.example\r\n"
					}
					began := time.Now()
					fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.acme.example\r\n%sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n",
						strings.TrimPrefix(link, "https://app.acme.example"), header)
					if drip > 0 {
						var dripping sync.WaitGroup
						defer dripping.Wait() // until the server has closed the connection
						dripping.Go(func() {
							for err := error(nil); err == nil; time.Sleep(drip) {
								_, err = conn.Write([]byte("a"))
							}
						})
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					want := http.StatusRequestTimeout
					if foreign {
						want = http.StatusForbidden
					}
					if resp.StatusCode != want {
						t.Errorf("got %d, want %d", resp.StatusCode, want)
					}
					_, _ = io.Copy(io.Discard, conn)
					if took := time.Since(began); took > 11*time.Second {
						t.Errorf("the connection was held for %v", took)
					}
				})
			})
		}
	}
}

// The limit of a form is none of what follows: iCloud may take longer than a form
// may, also where something before the Handler has read the form, and the next
// request on the connection is as good as the first.
func TestSlowICloud(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t, nil)
			defer s.icloud.Close()
			s.icloud.Intercept = func(http.ResponseWriter, *http.Request) bool { time.Sleep(15 * time.Second); return false }
			conn := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if early {
					_ = r.FormValue("csrf_token")
				}
				s.ServeHTTP(w, r)
			}))
			cred := s.icloud.Issue()
			body := url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}}.Encode()
			link := strings.TrimPrefix(s.link(t, "ann"), "https://app.acme.example")
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.acme.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", link, len(body), body)
			reader := bufio.NewReader(conn)
			for _, want := range []int{http.StatusOK, http.StatusGone} {
				resp, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != want {
					t.Errorf("got %d, want %d", resp.StatusCode, want)
				}
				if want == http.StatusOK {
					time.Sleep(time.Minute)
					fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: app.acme.example\r\n\r\n", link)
				}
			}
		})
	}
}

// serve serves h on a connection in memory, which keeps a bubble's clock
// going, and has deadlines.
func serve(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	listener := &one{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- there
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		_ = here.Close()
		_ = server.Close()
	})
	return here
}

// one is a listener with one connection.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error   { close(l.closed); return nil }
func (l *one) Addr() net.Addr { return &net.UnixAddr{Name: "page", Net: "pipe"} }
