package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// waitOf returns the ResponseError in err. It fails the test if there is none, or a verdict.
func waitOf(t *testing.T, err error) *icloud.ResponseError {
	t.Helper()
	noVerdict(t, err)
	re, ok := errors.AsType[*icloud.ResponseError](err)
	if !ok {
		t.Fatalf("got %v, want a ResponseError", err)
	}
	return re
}

// TestThrottle: how long a Client waits after each kind of answer that asks it to wait.
func TestThrottle(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, tt := range []struct {
		name   string
		status int
		header string
		want   []time.Duration // the waits of several such answers in a row
	}{
		{"too short", 503, "1", []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 64 * s, 64 * s}},
		{"zero", 503, "0", []time.Duration{2 * s, 4 * s}},
		{"longer", 503, "20", []time.Duration{20 * s, 20 * s, 20 * s, 20 * s, 32 * s, 64 * s}},
		{"429", 429, "100", []time.Duration{100 * s, 100 * s}},
		{"a week", 503, "604800", []time.Duration{24 * time.Hour, 24 * time.Hour}},
		{"more than a number", 503, strings.Repeat("9", 40), []time.Duration{24 * time.Hour}},
		{"date", 503, "Sat, 01 Jan 2000 00:10:00 GMT", []time.Duration{10 * time.Minute, 4 * s}},
		{"date of the past", 503, "Fri, 31 Dec 1999 00:00:00 GMT", []time.Duration{2 * s, 4 * s}},
		{"date of the far future", 503, "Fri, 31 Dec 9999 00:00:00 GMT", []time.Duration{24 * time.Hour}},
		{"none", 503, "", []time.Duration{0, 0}},
		{"negative", 503, "-5", []time.Duration{0}},
		{"a fraction", 503, "1.5", []time.Duration{0}},
		{"words", 429, "soon", []time.Duration{0}},
		{"another status", 500, "100", []time.Duration{0}},
		{"403, and no more", 403, "", []time.Duration{0}},
		{"403", 403, "100", []time.Duration{100 * s, 100 * s}},
		{"403, too short", 403, "1", []time.Duration{2 * s, 4 * s, 8 * s}},
		{"403, an hour at most", 403, "86400", []time.Duration{time.Hour, time.Hour}},
		{"403, date", 403, "Sat, 01 Jan 2000 00:10:00 GMT", []time.Duration{10 * time.Minute, 4 * s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				var header []string
				if tt.header != "" {
					header = []string{"Retry-After", tt.header}
				}
				fault := icloudtest.Status(tt.status, header...)
				r.srv.Intercept = fault
				for i, want := range tt.want {
					re := waitOf(t, r.Authenticate(t.Context()))
					if re.StatusCode != tt.status || re.RetryAfter != want || re.Withheld || re.Method != "PROPFIND" {
						t.Fatalf("answer %d: got %+v, want to wait for %v", i, re, want)
					}
					if want == 0 {
						if n := r.requests(func() { _ = r.list() }); n == 0 {
							t.Errorf("answer %d: got %d requests, want it not to be withheld", i, n)
						}
						continue
					}
					if n := r.requests(func() {
						for _, part := range []time.Duration{0, want / 2, want - want/2 - time.Nanosecond} {
							time.Sleep(part)
							re := waitOf(t, r.list())
							if !re.Withheld || re.StatusCode != tt.status || re.RetryAfter <= 0 || re.RetryAfter > want {
								t.Errorf("answer %d: got %+v, want it withheld", i, re)
							}
						}
					}); n != 0 {
						t.Errorf("answer %d: got %d requests, want 0", i, n)
					}
					time.Sleep(time.Nanosecond)
				}
				// After a success the waits begin again.
				r.srv.Intercept = nil
				r.mustList()
				r.srv.Intercept = fault
				if re := waitOf(t, r.Authenticate(t.Context())); tt.want[0] == 2*s && re.RetryAfter != 2*s {
					t.Errorf("after a success: got %+v, want 2 s", re)
				}
				if got := r.Status(); got.State != icloud.Active {
					t.Errorf("got state %v, want active", got.State)
				}
			})
		})
	}
}

// TestThrottleTrips: like iCloud's throttle, the server asks for half of the real wait, so
// a client that waits exactly that long is throttled again and again.
func TestThrottleTrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Throttle(time.Minute)
		n := r.requests(func() {
			for {
				err := r.list()
				if err == nil {
					break
				}
				time.Sleep(waitOf(t, err).RetryAfter)
			}
		})
		if n > 8 {
			t.Errorf("got %d requests through a minute of throttling", n)
		}
		if told := r.toldSoFar(); told != "active" {
			t.Errorf("OnStatus was told %q", told)
		}
	})
}

// TestThrottleIsTheAccounts: one answer delays all calls of the Client, also photos and
// sign-in, and many concurrent answers count as one.
func TestThrottleIsTheAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			time.Sleep(time.Second) // until all calls are under way
			return icloudtest.Status(503, "Retry-After", "1")(w, nil)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if re := waitOf(t, r.list()); re.RetryAfter != 2*time.Second {
					t.Errorf("got %+v, want the first wait: it is one occasion", re)
				}
			})
		}
		wg.Wait()
		contact := &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nPHOTO;VALUE=uri:https://gateway.icloud.com/x\r\nEND:VCARD\r\n")}
		n := r.requests(func() {
			for name, call := range map[string]func() error{
				"Contacts":     r.list,
				"Authenticate": func() error { return r.Authenticate(t.Context()) },
				"Sync": func() error {
					_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
					return err
				},
				"Contact":   func() error { _, err := r.Contact(t.Context(), "1.vcf"); return err },
				"Put":       func() error { _, err := r.Put(t.Context(), "9.vcf", []byte("x"), ""); return err },
				"Delete":    func() error { return r.Delete(t.Context(), "1.vcf", `"1"`) },
				"Photo":     func() error { _, _, err := r.Photo(t.Context(), contact); return err },
				"Reconnect": func() error { return r.Reconnect(t.Context(), r.cred) },
				"CardDAV": func() error {
					book, err := r.CardDAV(t.Context())
					if err == nil {
						_, err = book.FindAddressBooks(t.Context(), "")
					}
					return err
				},
			} {
				if re := waitOf(t, call()); !re.Withheld || re.StatusCode != 503 {
					t.Errorf("%s: got %+v, want it withheld", name, re)
				}
			}
		})
		if n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
		// Another account is not delayed, and a new Client does not know of the wait.
		r.srv.Intercept = nil
		r.restart()
		r.mustList()
	})
}

// TestThrottledInDoubt: a probe that was withheld does not count as sent, and a throttle
// does not end a verdict.
func TestThrottledInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		doubt := verdictOf(t, r.list())
		time.Sleep(20 * time.Minute)
		r.srv.Intercept = icloudtest.Status(503, "Retry-After", "90")
		if re := waitOf(t, r.list()); re.RetryAfter != 90*time.Second {
			t.Errorf("got %+v", re)
		}
		r.srv.Intercept = nil
		n := r.requests(func() {
			for range 89 {
				time.Sleep(time.Second)
				noAuthConfirmed(t, r.list())
			}
		})
		if n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
		if got := r.Status().Err; got != error(doubt) {
			t.Errorf("got %v, want the doubt to stand", got)
		}
		time.Sleep(time.Second)
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Errorf("got %v, want it confirmed as soon as it may be asked", ae)
		}
	})
}

func noAuthConfirmed(t *testing.T, err error) {
	t.Helper()
	if ae, ok := errors.AsType[*icloud.AuthError](err); err == nil || ok && ae.Confirmed {
		t.Fatalf("got %v", err)
	}
}

// TestThrottledWhileRunning: the wait also applies between the hops of a call.
func TestThrottledWhileRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		fault := icloudtest.After(2, icloudtest.Status(503, "Retry-After", "60"))
		r.srv.Intercept = fault
		if n := r.requests(func() { waitOf(t, r.list()) }); n != 3 {
			t.Errorf("got %d requests, want 3: no more after the one that was asked to wait", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if re := waitOf(t, r.listCtx(ctx)); !re.Withheld || time.Since(start) != 0 {
			t.Errorf("got %+v after %v, want it withheld at once", re, time.Since(start))
		}
	})
}

// FuzzRetryAfter: whatever a server writes, the wait is neither negative nor
// longer than a day.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "0", "120", "-1", "1.5", "9999999999999999999999", "Sat, 01 Mar 2025 12:10:00 GMT", "Saturday, 01-Mar-25 12:10:00 GMT",
		"Sat Mar  1 12:10:00 2025", fmt.Sprint(math.MaxInt64), "００", " 5 ", "5\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		wait, ok := icloud.ParseRetryAfter(s, now)
		if wait < 0 || wait > 24*time.Hour || !ok && wait != 0 {
			t.Errorf("%q: got %v, %v", s, wait, ok)
		}
	})
}

// photoAt is a contact whose photo is at url.
func photoAt(url string) *icloud.Contact {
	return &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;VALUE=uri:" + url + "\r\nEND:VCARD\r\n")}
}

// TestPhotoThrottled: photos come from another service. If it asks to wait, the caller gets that
// error, and no request of the account is delayed.
func TestPhotoThrottled(t *testing.T) {
	t.Parallel()
	for _, status := range []int{503, 429, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.mustList()
				contact := photoAt(r.srv.PutPhoto([]byte("\x89PNG\r\n\x1a\n"), "image/png"))
				fault := icloudtest.Status(status, "Retry-After", "3600")
				busy := true
				r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
					return busy && req.Host == "gateway.icloud.com" && fault(w, req)
				}
				_, _, err := r.Photo(t.Context(), contact)
				if re := waitOf(t, err); re.StatusCode != status || re.Withheld || status != 403 && re.RetryAfter != time.Hour {
					t.Errorf("photo: got %+v, want status %d and to wait for an hour", re, status)
				}
				r.mustList()
				if err := r.Authenticate(t.Context()); err != nil {
					t.Errorf("Authenticate: got %v, want no error", err)
				}
				busy = false
				if _, _, err := r.Photo(t.Context(), contact); err != nil {
					t.Errorf("the next photo: got %v, want no error", err)
				}
				if got := r.Status().State; got != icloud.Active {
					t.Errorf("got state %v, want active", got)
				}
			})
		})
	}
}

// TestForbiddenThrottle: 403 with Retry-After asks to wait. It is not taken for a moved book or a
// refused token.
func TestForbiddenThrottle(t *testing.T) {
	t.Parallel()
	calls := map[string]func(r *rig, token string) error{
		"Contacts":     func(r *rig, _ string) error { return r.list() },
		"Authenticate": func(r *rig, _ string) error { return r.Authenticate(r.t.Context()) },
		"Reconnect":    func(r *rig, _ string) error { return r.Reconnect(r.t.Context(), r.cred) },
		"Sync": func(r *rig, token string) error {
			_, err := r.Sync(r.t.Context(), token, func(icloud.Change) error { return nil })
			return err
		},
		"Sync from the beginning": func(r *rig, _ string) error {
			_, err := r.Sync(r.t.Context(), "", func(icloud.Change) error { return nil })
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				token, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				r.srv.Intercept = icloudtest.Status(403, "Retry-After", "600")
				if n := r.requests(func() {
					err := call(r, token)
					if re := waitOf(t, err); re.StatusCode != 403 || re.RetryAfter != 10*time.Minute || re.Withheld || errors.Is(err, icloud.ErrResync) {
						t.Errorf("got %v, want a 403 and to wait for ten minutes", err)
					}
				}); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
				time.Sleep(9 * time.Minute)
				if n := r.requests(func() {
					err := call(r, token)
					if re := waitOf(t, err); re.StatusCode != 403 || re.RetryAfter != time.Minute || !re.Withheld || errors.Is(err, icloud.ErrResync) {
						t.Errorf("got %v, want it withheld for the last minute", err)
					}
				}); n != 0 {
					t.Errorf("got %d requests while the account was asked to wait, want 0", n)
				}
				r.srv.Intercept = nil
				time.Sleep(time.Minute)
				if err := call(r, token); err != nil {
					t.Errorf("afterwards: got %v, want no error", err)
				}
			})
		})
	}
}

// TestForbiddenNoThrottle: a 403 with a precondition is about the request, and one to a
// GET, PUT or DELETE is about the card, even with Retry-After.
func TestForbiddenNoThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		token, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == "REPORT" && req.Header.Get("Depth") == "0" {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(403)
				_, _ = w.Write([]byte(`<error xmlns="DAV:"><valid-sync-token/></error>`))
				return true
			}
			return false
		}
		_, err = r.Sync(t.Context(), token, func(icloud.Change) error { return nil })
		if !errors.Is(err, icloud.ErrResync) {
			t.Errorf("a token that is refused by name: got %v, want ErrResync", err)
		}
		r.mustList()
		forbidden := icloudtest.Status(403, "Retry-After", "600")
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			return (req.Method == "GET" || req.Method == "PUT" || req.Method == "DELETE") && forbidden(w, req)
		}
		_, err = r.Contact(t.Context(), "1.vcf")
		noVerdict(t, err)
		r.mustList()
		_, err = r.Put(t.Context(), "new.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:N\r\nEND:VCARD\r\n"), "")
		noVerdict(t, err)
		r.mustList()
		noVerdict(t, r.Delete(t.Context(), "1.vcf", `"1"`))
		r.mustList()
	})
}
