package connect_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
)

// FuzzServeHTTP: to every request the Handler answers with one of its pages, with all
// headers and without the password. It sends to iCloud only passwords that have the form
// of an app-specific password.
func FuzzServeHTTP(f *testing.F) {
	f.Add("POST", "", "apple_id=ann%40example.com&password=correct+horse+battery", "application/x-www-form-urlencoded", "de", "")
	f.Add("GET", "link=AAAA", "", "", "fr;q=0.5, *", "https://evil.example")
	f.Add("POST", "as=%zz;", "password=%zz&&==&fresh=\x00", "application/x-www-form-urlencoded; charset=utf-8", ",,;q=", "null")
	f.Add("HEAD", "link=", "\xff", "multipart/form-data; boundary=", "\x00", "https://app.acme.example")
	const secret = "S3cret-of-the-account"
	f.Fuzz(func(t *testing.T, method, query, body, contentType, language, origin string) {
		if strings.Contains(body, secret) {
			t.Skip("it may be the Apple ID, which stays on the page")
		}
		sent := 0
		s := newService(t, func(c *connect.Config) {
			c.Options = func(string) *icloud.Options {
				return &icloud.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
					_, password, _ := r.BasicAuth()
					if _, err := icloud.ParsePassword(password); err != nil {
						t.Errorf("it goes to iCloud: %q", password)
					}
					sent++
					return nil, http.ErrHandlerTimeout
				})}
			}
		})
		s.session = "ann"
		r := httptest.NewRequest("GET", base, strings.NewReader(body+"&password="+secret))
		r.Method, r.URL.RawQuery = method, query
		for name, value := range map[string]string{"Content-Type": contentType, "Accept-Language": language, "Origin": origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 403, 405, 413, 415, 422, 503:
		default:
			t.Errorf("got status %d", w.Code)
		}
		if h := w.Header(); !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; ") || h.Get("Cache-Control") != "no-store" ||
			h.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("got headers %v", h)
		}
		if strings.Contains(w.Body.String(), secret) {
			t.Error("the password is on the page")
		}
		if _, n := s.saved("ann"); n != 0 || sent > 2 {
			t.Errorf("saved %d times, sent %d requests", n, sent)
		}
	})
}

// transport is an http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
