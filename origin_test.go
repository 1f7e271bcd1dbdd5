package icloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
)

// watched is a Transport that answers as a small CardDAV server. A test chooses each URL in its
// answers. It records every attempt to reach a host.
type watched struct {
	principal, home, book, card string // hrefs; "" means a right one
	redirect                    string // Location of the first answer, "" for none
	status                      int    // the status of the redirect

	mu       sync.Mutex
	attempts []string // the scheme and host of each request
	writes   []string // the method, host and body of each request that was not redirected
}

const (
	gateApple = "https://contacts.icloud.com/"
	davXML    = `<?xml version="1.0" encoding="UTF-8"?><multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><response><href>%s</href><propstat><prop>%s</prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`
)

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, r.URL.Scheme+"://"+r.URL.Host)
	answer := func(status int, header, value, text string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{header: {value}}, Request: r,
			Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
		}, nil
	}
	if w.redirect != "" {
		to := w.redirect
		w.redirect = ""
		return answer(w.status, "Location", to, "")
	}
	w.writes = append(w.writes, r.Method+" "+r.URL.Host+" "+body)
	or := func(href, honest string) string {
		if href == "" {
			href = honest
		}
		return strings.ReplaceAll(href, "&", "&amp;")
	}
	prop := func(href, text string) (*http.Response, error) {
		return answer(207, "Content-Type", "application/xml", fmt.Sprintf(davXML, href, text))
	}
	switch {
	case strings.Contains(body, "current-user-principal"):
		return prop("/", "<current-user-principal><href>"+or(w.principal, "/1/principal/")+"</href></current-user-principal>")
	case strings.Contains(body, "addressbook-home-set"):
		return prop("/1/principal/", "<C:addressbook-home-set><href>"+or(w.home, "/1/home/")+"</href></C:addressbook-home-set>")
	case strings.Contains(body, "resourcetype"):
		return prop(or(w.book, "/1/home/card/"), "<resourcetype><collection/><C:addressbook/></resourcetype>")
	case r.Method == "REPORT":
		return prop(or(w.card, "/1/home/card/1.vcf"), `<getetag>"1"</getetag><C:address-data>BEGIN:VCARD&#13;
VERSION:3.0&#13;
FN:A&#13;
END:VCARD&#13;
</C:address-data>`)
	}
	return answer(201, "Etag", `"2"`, "")
}

func readAll(body io.ReadCloser) (string, error) {
	if body == nil {
		return "", nil
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return string(data), err
}

// hosts returns the hosts that were tried, except the right ones.
func (w *watched) hosts(honest string) (others []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.attempts {
		if a != honest {
			others = append(others, a)
		}
	}
	return others
}

func gateClient(t *testing.T, endpoint string, w http.RoundTripper) *icloud.Client {
	t.Helper()
	client, err := icloud.New(icloud.Credential{AppleID: "a@example.com", Password: icloud.UncheckedPassword("secret-word")},
		&icloud.Options{Endpoint: endpoint, Transport: w})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// foreign are URLs, or references, that must not be followed from contacts.icloud.com.
var foreign = []string{
	"https://icloud.com.attacker.test/x/",
	"https://evilicloud.com/x/",
	"https://contacts.icloud.com.cn/x/",
	"https://contacts.icloud.com.cn.attacker.test/x/",
	"http://contacts.icloud.com/x/",
	"http://127.0.0.1/x/",
	"ftp://contacts.icloud.com/x/",
	"https://user@contacts.icloud.com/x/",
	"https://user:pass@contacts.icloud.com/x/",
	"https://contacts.icloud.com@attacker.test/x/",
	"https://contacts.icloud.com:8443/x/",
	"https://contacts.icloud.com:80/x/",
	"https://contacts.icloud.com:0443/x/",
	"https://contacts.icloud.com:/x/",
	"https://127.0.0.1/x/",
	"https://[::1]/x/",
	"https://[::ffff:17.248.133.1]/x/",
	"https://2130706433/x/",
	"https://0x7f.1/x/",
	"https://127.1/x/",
	"https://attacker%2etest/x/",
	"https://contacts%2eicloud%2ecom/x/",
	"https://contacts.icloud.com%2eattacker.test/x/",
	`https://contacts.icloud.com\@attacker.test/x/`,
	`https://attacker.test\.icloud.com/x/`,
	`\\attacker.test/x/`,
	"https://contacts.icloud.com\n.attacker.test/x/",
	"https://contacts.icloud.com\x00.attacker.test/x/",
	"https://contacts.icloud.com%0a.attacker.test/x/",
	"https://bad..icloud.com/x/",
	"https://.icloud.com/x/",
	"https://contacts.icloud.com../x/",
	"//attacker.test/x/",
	"https:///x/",
	"https:contacts.icloud.com/x/",
	"https://contacts.ıcloud.com/x/",
	"https://contacts.icIoud.com.attacker.test/x/",
	"https://contacts.iсloud.com/x/", // a Cyrillic letter
	"https://contacts.icloud。com/x/",
	"https://xn--contacts-icloud.test/x/",
	"https://attacker.test#.icloud.com/",
	"https://attacker.test?.icloud.com/",
	"https://attacker.test/.icloud.com/",
	"javascript:alert(1)",
}

// allowed are URLs in the same domain.
var allowed = []string{
	"https://p72-contacts.icloud.com/x/",
	"https://p180-contacts.icloud.com:443/x/",
	"https://P72-CONTACTS.iCloud.COM/x/",
	"https://p72-contacts.icloud.com./x/",
	"https://contacts.icloud.com/x/",
	"HTTPS://contacts.icloud.com/x/",
	"//p72-contacts.icloud.com/x/",
	"/x/",
}

// TestGate puts each URL into every place where a server can write one, and checks which
// hosts the Client tries to reach.
func TestGate(t *testing.T) {
	t.Parallel()
	photo := func(address string) *icloud.Contact {
		return &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;VALUE=uri:" + address + "\r\nEND:VCARD\r\n")}
	}
	list := func(ctx context.Context, c *icloud.Client) (err error) {
		for _, err = range c.Contacts(ctx) {
		}
		return err
	}
	stages := []struct {
		name string
		set  func(*watched, string)
		call func(context.Context, *icloud.Client, string) error
	}{
		{"redirect", func(w *watched, u string) { w.redirect, w.status = u, 301 },
			func(ctx context.Context, c *icloud.Client, _ string) error { return list(ctx, c) }},
		{"redirect of the probe", func(w *watched, u string) { w.redirect, w.status = u, 307 },
			func(ctx context.Context, c *icloud.Client, _ string) error { return c.Authenticate(ctx) }},
		{"redirect in Reconnect", func(w *watched, u string) { w.redirect, w.status = u, 308 },
			func(ctx context.Context, c *icloud.Client, _ string) error {
				return c.Reconnect(ctx, icloud.Credential{AppleID: "a@example.com", Password: icloud.UncheckedPassword("other-word")})
			}},
		{"principal", func(w *watched, u string) { w.principal = u },
			func(ctx context.Context, c *icloud.Client, _ string) error { return list(ctx, c) }},
		{"home-set", func(w *watched, u string) { w.home = u },
			func(ctx context.Context, c *icloud.Client, _ string) error { return list(ctx, c) }},
		{"book", func(w *watched, u string) { w.book = u },
			func(ctx context.Context, c *icloud.Client, _ string) error { return list(ctx, c) }},
		{"photo", func(*watched, string) {},
			func(ctx context.Context, c *icloud.Client, u string) error {
				data, _, err := c.Photo(ctx, photo(u))
				if err == nil && data == nil {
					err = errors.New("no photo")
				}
				return err
			}},
	}
	for _, stage := range stages {
		for _, u := range foreign {
			if strings.ContainsAny(u, "\n\x00") && stage.name != "redirect" && stage.name != "photo" {
				u = strings.NewReplacer("\n", "&#10;", "\x00", "").Replace(u)
			}
			if stage.name == "photo" && (strings.ContainsAny(u, "\n\x00") || !strings.HasPrefix(u, "http")) {
				continue // it is the name of another card
			}
			t.Run(fmt.Sprintf("refused/%s/%q", stage.name, u), func(t *testing.T) {
				t.Parallel()
				w := new(watched)
				stage.set(w, u)
				err := stage.call(t.Context(), gateClient(t, "", w), u)
				switch {
				case err == nil && !strings.HasPrefix(u, `\`): // a text with a backslash is a path
					t.Error("got no error")
				case err == nil:
				case errors.As(err, new(*icloud.AuthError)):
					t.Errorf("got %v, a verdict", err)
				case strings.Contains(err.Error(), "attacker") || strings.Contains(err.Error(), "/x/"):
					t.Errorf("the error %q repeats the server's word", err)
				}
				if others := w.hosts("https://contacts.icloud.com"); len(others) > 0 {
					t.Errorf("the password was about to go to %q", others)
				}
			})
		}
		for _, u := range allowed {
			if stage.name == "photo" && !strings.HasPrefix(strings.ToLower(u), "https:") {
				continue
			}
			t.Run(fmt.Sprintf("allowed/%s/%q", stage.name, u), func(t *testing.T) {
				t.Parallel()
				w := new(watched)
				stage.set(w, u)
				err := stage.call(t.Context(), gateClient(t, "", w), u)
				if stage.name != "photo" && err != nil {
					t.Errorf("got %v, want no error", err)
				}
				want := "https://contacts.icloud.com"
				if strings.Contains(strings.ToLower(u), "p72") {
					want = "https://p72-contacts.icloud.com"
				}
				if strings.Contains(u, "p180") {
					want = "https://p180-contacts.icloud.com"
				}
				found := false
				for _, a := range w.attempts {
					found = found || a == want
				}
				if !found {
					t.Errorf("got requests to %q, want one to %q", w.attempts, want)
				}
			})
		}
	}
}

// TestGateCards: nothing is fetched from the host in a card's href; another host is an
// error of that card.
func TestGateCards(t *testing.T) {
	t.Parallel()
	for _, u := range foreign {
		if strings.ContainsAny(u, "\n\x00") || !strings.Contains(u, "attacker.test/") {
			continue
		}
		t.Run(u, func(t *testing.T) {
			t.Parallel()
			w := &watched{card: u + "1.vcf"}
			c := gateClient(t, "", w)
			for contact, err := range c.Contacts(t.Context()) {
				if contact != nil {
					_, _ = c.Contact(t.Context(), contact.ID)
					_ = c.Delete(t.Context(), contact.ID, `"1"`)
				} else if err == nil {
					t.Error("got neither a card nor an error")
				}
			}
			if others := w.hosts("https://contacts.icloud.com"); len(others) > 0 {
				t.Errorf("the password was about to go to %q", others)
			}
		})
	}
	t.Run("ids", func(t *testing.T) {
		t.Parallel()
		w := new(watched)
		c := gateClient(t, "", w)
		for _, id := range []string{"", ".", "..", "/", "//attacker.test/x", "a/b", "https://attacker.test/", "..%2f", "%2e%2e", "a\n", "%0a", "@attacker.test/", `..\x`} {
			if _, err := c.Contact(t.Context(), id); err == nil {
				t.Errorf("Contact(%q): got no error", id)
			}
			if _, err := c.Put(t.Context(), id, []byte("BEGIN:VCARD"), ""); err == nil {
				t.Errorf("Put(%q): got no error", id)
			}
			if err := c.Delete(t.Context(), id, `"1"`); err == nil {
				t.Errorf("Delete(%q): got no error", id)
			}
		}
		if len(w.attempts) > 0 {
			t.Errorf("got requests to %q, want none", w.attempts)
		}
	})
}

// TestGateStore: the password is not sent to another host because of a URL in the Store.
func TestGateStore(t *testing.T) {
	t.Parallel()
	for _, u := range foreign {
		t.Run(fmt.Sprintf("%q", u), func(t *testing.T) {
			t.Parallel()
			w := new(watched)
			for _, field := range []string{"book", "home"} {
				store := &memoryStore{}
				store.set(t, func(data map[string]any) {
					data["v"] = 1
					data["book"], data["home"] = "https://contacts.icloud.com/1/home/card/", "https://contacts.icloud.com/1/home/"
					data[field] = u
				})
				client, err := icloud.New(icloud.Credential{AppleID: "a@example.com", Password: icloud.UncheckedPassword("secret-word")},
					&icloud.Options{Store: store, Transport: w})
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range client.Contacts(t.Context()) {
					if err != nil {
						t.Errorf("%s: got %v, want the book to be looked for again", field, err)
					}
				}
				if book, err := client.CardDAV(t.Context()); err == nil {
					_, _ = book.FindAddressBooks(t.Context(), "")
				}
			}
			if others := w.hosts("https://contacts.icloud.com"); len(others) > 0 {
				t.Errorf("the password was about to go to %q", others)
			}
		})
	}
}

// TestGateEndpoint: which URLs may be an endpoint.
func TestGateEndpoint(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"":                                true,
		icloud.ChinaEndpoint:              true,
		"https://p12-contacts.icloud.com": true,
		"https://contacts.icloud.com:443": true,
		"https://dav.example.test/path/":  true,
		"https://dav.example.test:8443/":  true,
		"http://127.0.0.1:1234/":          true,
		"http://[::1]:1234/":              true,
		"http://localhost:1234/":          true,

		"http://dav.example.test/":               false,
		"http://contacts.icloud.com/":            false,
		"http://contacts.icloud.com:443/":        false,
		"http://0.0.0.0/":                        false,
		"http://127.0.0.1.attacker.test/":        false,
		"http://localhost.attacker.test/":        false,
		"https://contacts.icloud.com:8443/":      false,
		"https://user:hunter2@dav.example.test/": false,
		"https://dav.example.test/?hunter2":      false,
		"https://dav.example.test/#hunter2":      false,
		"https://":                               false,
		"dav.example.test":                       false,
		"/path":                                  false,
		"ftp://dav.example.test/":                false,
		"https://dav..example.test/":             false,
		"https://dav.exämple.test/":              false,
		"https://dav.example.test:hunter2/":      false,
		" https://dav.example.test/":             false,
		"https://hunter2 @dav.example.test/":     false,
	} {
		_, err := icloud.New(icloud.Credential{AppleID: "a", Password: icloud.UncheckedPassword("b")}, &icloud.Options{Endpoint: endpoint})
		if (err == nil) != ok {
			t.Errorf("New with endpoint %q: got %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New with endpoint %q: the error repeats it: %v", endpoint, err)
		}
	}
}

// TestGateElsewhere: another endpoint has one host and one port, and that of China has its own
// domain.
func TestGateElsewhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		endpoint, to string
		ok           bool
	}{
		{icloud.ChinaEndpoint, "https://p12-contacts.icloud.com.cn/x/", true},
		{icloud.ChinaEndpoint, "https://p12-contacts.icloud.com.cn:443/x/", true},
		{icloud.ChinaEndpoint, "https://p12-contacts.icloud.com/x/", false},
		{icloud.ChinaEndpoint, "https://contacts.icloud.com.cn.attacker.test/x/", false},
		{"https://dav.example.test/", "https://dav.example.test:443/x/", true},
		{"https://dav.example.test/", "https://DAV.example.test./x/", true},
		{"https://dav.example.test/", "https://dav.example.test:8443/x/", false},
		{"https://dav.example.test/", "https://www.dav.example.test/x/", false},
		{"https://dav.example.test/", "https://example.test/x/", false},
		{"https://dav.example.test/", "http://dav.example.test/x/", false},
		{"https://dav.example.test/", "https://contacts.icloud.com/x/", false},
		{"https://dav.example.test:8443/", "https://dav.example.test:8443/x/", true},
		{"https://dav.example.test:8443/", "https://dav.example.test/x/", false},
		{"http://127.0.0.1:1234/", "http://127.0.0.1:1234/x/", true},
		{"http://127.0.0.1:1234/", "http://127.0.0.1:1235/x/", false},
		{"http://127.0.0.1:1234/", "http://localhost:1234/x/", false},
		{"http://127.0.0.1:1234/", "http://attacker.test:1234/x/", false},
		{"http://127.0.0.1:1234/", "https://127.0.0.1:1234/x/", false},
	} {
		w := &watched{redirect: tt.to, status: 302}
		err := gateClient(t, tt.endpoint, w).Authenticate(t.Context())
		if (err == nil) != tt.ok || (len(w.attempts) == 2) != tt.ok {
			t.Errorf("from %s to %s: got %v after requests to %q", tt.endpoint, tt.to, err, w.attempts)
		}
		if err != nil && strings.HasPrefix(tt.to, "http:") && strings.HasPrefix(tt.endpoint, "https:") && !strings.Contains(err.Error(), "http") {
			t.Errorf("from %s to %s: the error does not say what was wrong: %v", tt.endpoint, tt.to, err)
		}
	}
}

// TestRedirect: with each of the four codes one request arrives with its method, body and
// password, also for writes.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w := new(watched)
			check := roundTripper(func(r *http.Request) (*http.Response, error) {
				if user, pass, _ := r.BasicAuth(); user != "a@example.com" || pass != "secret-word" {
					t.Errorf("%s %s: got user %q, password %q", r.Method, r.URL.Host, user, pass)
				}
				return w.RoundTrip(r)
			})
			c := gateClient(t, "", check)
			if err := c.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, err := range c.Contacts(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
			}
			w.redirect, w.status, w.writes = "https://p72-contacts.icloud.com:443/1/home/card/9.vcf", code, nil
			const card = "BEGIN:VCARD\r\nEND:VCARD\r\n"
			etag, err := c.Put(t.Context(), "9.vcf", []byte(card), "")
			if err != nil || etag != `"2"` {
				t.Errorf("got %q, %v", etag, err)
			}
			if want := "PUT p72-contacts.icloud.com " + card; len(w.writes) != 1 || w.writes[0] != want {
				t.Errorf("got requests %q, want %q", w.writes, want)
			}
		})
	}
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		n := 0
		c := gateClient(t, "", roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			return &http.Response{StatusCode: 301, Header: http.Header{"Location": {"/"}}, Body: http.NoBody, Request: r}, nil
		}))
		err := c.Authenticate(t.Context())
		if err == nil || errors.As(err, new(*icloud.AuthError)) || n != 6 {
			t.Errorf("got %v after %d requests, want an error after 6", err, n)
		}
	})
}

// TestPlainNetHTTP shows why package icloud follows redirects itself: with net/http the
// password does not arrive at a second server.
func TestPlainNetHTTP(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with %q arrived at another server", r.Method, r.URL, r.Header["Authorization"])
	}))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		first := httptest.NewServer(http.RedirectHandler(other.URL, code))
		c := gateClient(t, first.URL, http.DefaultTransport)
		if err := c.Authenticate(t.Context()); err == nil || errors.As(err, new(*icloud.AuthError)) {
			t.Errorf("%d: got %v, want an ordinary error", code, err)
		}
		first.Close()
	}
}

// TestTransportErrors: errors.Is and As find the errors of the network, whose text is not
// repeated, because it may name hosts and paths.
func TestTransportErrors(t *testing.T) {
	t.Parallel()
	const text = "dial p72-contacts.icloud.com/1234567/carddavhome a@example.com"
	cause := errors.New(text)
	c := gateClient(t, "", roundTripper(func(*http.Request) (*http.Response, error) { return nil, cause }))
	for range 2 {
		err := c.Authenticate(t.Context())
		if !errors.Is(err, cause) {
			t.Errorf("got %v, which is not the Transport's error", err)
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %s %q", err, err, err, err)} {
			if strings.Contains(text, "1234567") || strings.Contains(text, "example.com") {
				t.Errorf("the text %q repeats the Transport's", text)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Authenticate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	c = gateClient(t, "", roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, errors.New("a Transport that does not say why")
	}))
	if err := c.Authenticate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// TestRequestHeaders: the headers of every request.
func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	w := new(watched)
	n := 0
	c := gateClient(t, "", roundTripper(func(r *http.Request) (*http.Response, error) {
		n++
		if ua := r.UserAgent(); !strings.Contains(ua, "icloud") {
			t.Errorf("%s: got User-Agent %q", r.Method, ua)
		}
		if r.Header.Get("Cookie") != "" || r.Header.Get("Referer") != "" {
			t.Errorf("%s: got headers %v", r.Method, r.Header)
		}
		return w.RoundTrip(r)
	}))
	for range c.Contacts(t.Context()) {
	}
	if n != 4 {
		t.Errorf("got %d requests, want 4", n)
	}
	if got := bytes.Count([]byte(strings.Join(w.writes, "")), []byte("secret")); got != 0 {
		t.Error("a body holds the password")
	}
}
