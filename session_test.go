// What calls do that run side by side, or while a Reconnect runs, and what they
// do to one another.

package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// callerKey is the context key of a call's name.
type callerKey struct{}

// by gives the requests of a call a name, by which routed tells them from those of
// other calls, a request for the principal for instance.
func by(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// routed is a Transport that calls fault for each request, with the name of the call
// that sends it. If fault returns nil the request goes to srv.
func routed(srv *icloudtest.Server, fault func(caller string, req *http.Request) *http.Response) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		caller, _ := req.Context().Value(callerKey{}).(string)
		resp := fault(caller, req)
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		if resp == nil {
			return srv.Transport().RoundTrip(req)
		}
		resp.Request = req
		return resp, nil
	})
}

// stray401 is iCloud's 401.
func stray401() *http.Response {
	return answer(http.StatusUnauthorized, "", "WWW-Authenticate", `X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"`)
}

// TestReconnectSameRefusedMeanwhileAccepted: Reconnect with the password that the
// Client has meets two stray 401s. What other calls have learned of the password
// while it ran stays known.
func TestReconnectSameRefusedMeanwhileAccepted(t *testing.T) {
	t.Parallel()
	for _, store := range []bool{false, true} {
		t.Run(fmt.Sprintf("store %v", store), func(t *testing.T) {
			t.Parallel()
			t.Run("first acceptance", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { reconnectSameFirst(t, store) })
			})
			t.Run("doubt refuted", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { reconnectSameDoubt(t, store) })
			})
		})
	}
}

// reconnectSameFirst: the password is accepted for the first time while Reconnect
// waits for its answer.
func reconnectSameFirst(t *testing.T, store bool) {
	r := newRig(t, icloud.Options{})
	r.opts.Transport = routed(r.srv, func(caller string, _ *http.Request) *http.Response {
		if caller != "reconnect" {
			return nil
		}
		time.Sleep(time.Second)
		return stray401()
	})
	if store {
		r.opts.Store = &memoryStore{}
	}
	r.restart()
	var wg sync.WaitGroup
	wg.Go(func() {
		ae := verdictOf(t, r.Reconnect(by(t.Context(), "reconnect"), r.cred))
		if ae.Confirmed || ae.Err != icloud.ErrPasswordRevoked || ae.LastAccepted.IsZero() {
			t.Errorf("Reconnect: got %v, want a doubt about a password that has worked", ae)
		}
	})
	time.Sleep(500 * time.Millisecond)
	r.mustList()
	accepted := time.Now()
	wg.Wait()
	if got := r.Status(); got.State == icloud.SignedOut || got.LastAccepted.Before(accepted) {
		t.Errorf("got status %+v, want no verdict on a password that was accepted at %v", got, accepted)
	}
	time.Sleep(2 * time.Minute)
	r.mustList()
}

// reconnectSameDoubt: the password is in doubt for longer than the dwell. A probe
// that a listing has sent is accepted while Reconnect waits for its answer.
func reconnectSameDoubt(t *testing.T, store bool) {
	r := newRig(t, icloud.Options{})
	stray := false
	r.opts.Transport = routed(r.srv, func(caller string, _ *http.Request) *http.Response {
		switch {
		case caller == "reconnect":
			time.Sleep(time.Minute)
			return stray401()
		case caller == "slow":
			time.Sleep(10 * time.Second)
		case stray:
			return stray401()
		}
		return nil
	})
	if store {
		r.opts.Store = &memoryStore{}
	}
	r.restart()
	r.mustList()
	stray = true
	verdictOf(t, r.list())
	stray = false
	time.Sleep(20 * time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.listCtx(by(t.Context(), "slow")); err != nil {
			t.Errorf("the listing whose probe is accepted: got %v", err)
		}
	})
	time.Sleep(time.Second)
	started := time.Now()
	ae := verdictOf(t, r.Reconnect(by(t.Context(), "reconnect"), r.cred))
	wg.Wait()
	if ae.Confirmed || ae.Refused.Before(started) {
		t.Errorf("Reconnect: got %v, refused since %v, want a doubt that is younger than the acceptance", ae, ae.Refused)
	}
	if got := r.Status(); got.State == icloud.SignedOut || got.LastAccepted.Before(started) {
		t.Errorf("got status %+v, want no verdict on a password that was accepted after %v", got, started)
	}
}

// TestSignedOutDuringReconnect: a call of a signed-out Client gets its verdict at
// once, however long somebody's Reconnect takes.
func TestSignedOutDuringReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		verdictOf(t, r.list())
		time.Sleep(time.Hour)
		final := verdictOf(t, r.list())
		if !final.Confirmed {
			t.Fatalf("got %v, want it confirmed", final)
		}
		r.srv.Intercept = icloudtest.Stall
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		next := r.srv.Issue()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.Reconnect(ctx, next); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Reconnect: got %v, want the deadline", err)
			}
		})
		time.Sleep(time.Second)
		for name, call := range map[string]func() error{
			"Contacts": r.list,
			"Contact":  func() error { _, err := r.Contact(t.Context(), "1.vcf"); return err },
			"Sync": func() error {
				_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
				return err
			},
			"Put": func() error {
				_, err := r.Put(t.Context(), "new.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:N\r\nEND:VCARD\r\n"), "")
				return err
			},
		} {
			start := time.Now()
			if ae := verdictOf(t, call()); ae != final {
				t.Errorf("%s: got %v, want the verdict", name, ae)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("%s took %v, as long as the Reconnect", name, took)
			}
		}
		wg.Wait()
	})
}

// TestProbeRefusedAfterReconnect: a probe is sent, Reconnect is given the same
// password and iCloud accepts it, and then the probe's 401 arrives. It says nothing
// that the acceptance has not refuted.
func TestProbeRefusedAfterReconnect(t *testing.T) {
	t.Parallel()
	for _, dwell := range []time.Duration{0, -1} {
		for _, store := range []bool{false, true} {
			t.Run(fmt.Sprintf("dwell %v, store %v", dwell, store), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{Dwell: dwell})
					if store {
						r.opts.Store = &memoryStore{}
					}
					refused := 0
					r.opts.Transport = routed(r.srv, func(caller string, req *http.Request) *http.Response {
						if caller != "refused" || refused == 2 {
							return nil
						}
						refused++
						if refused == 2 {
							time.Sleep(time.Minute) // the probe
						}
						return stray401()
					})
					r.restart()
					r.mustList()
					var wg sync.WaitGroup
					wg.Go(func() {
						err := r.listCtx(by(t.Context(), "refused"))
						if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
							t.Errorf("the listing whose probe is refused: got %v, a verdict", ae)
						}
					})
					time.Sleep(time.Second)
					if err := r.Reconnect(t.Context(), r.cred); err != nil {
						t.Fatal(err)
					}
					wg.Wait()
					if refused != 2 {
						t.Fatalf("%d requests were refused, want the listing's and its probe", refused)
					}
					if got := r.Status(); got.State != icloud.Active || got.Err != nil {
						t.Errorf("got status %+v, want active", got)
					}
					r.mustList()
					if told := r.toldSoFar(); told != "active" {
						t.Errorf("OnStatus was told %q, want active alone", told)
					}
					if store {
						r.restart()
						r.mustList()
					}
				})
			})
		}
	}
}

// TestRefusedWhileStoreHangs: a refused password is asked about once a minute at
// most, also while the verdict waits for a Store that does not answer.
func TestRefusedWhileStoreHangs(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]time.Duration{
		"the first call waits":   time.Hour,
		"the first call goes on": 900 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &hangingStore{Store: &memoryStore{}}
				r := newRig(t, icloud.Options{Store: store})
				r.mustList()
				store.save = true
				r.srv.RevokeAll()
				start := time.Now()
				call := func(patience time.Duration) {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					start := time.Now()
					if err := r.listCtx(ctx); err == nil {
						t.Error("a revoked password: got no error")
					}
					if took := time.Since(start); took > patience {
						t.Errorf("a call of %v took %v", patience, took)
					}
				}
				// each calls once a second until end.
				each := func(end time.Duration) {
					for next := start.Add(time.Second); next.Before(start.Add(end)); next = next.Add(time.Second) {
						if time.Now().Before(next) {
							time.Sleep(time.Until(next))
							call(900 * time.Millisecond)
						}
					}
				}
				var wg sync.WaitGroup
				n := r.requests(func() {
					wg.Go(func() { call(first) })
					each(time.Minute)
				})
				// The first call's own, its probe, and one that could have refuted
				// both.
				if n > 3 {
					t.Errorf("got %d refused requests in a minute, want 3 at most", n)
				}
				if n := r.requests(func() { each(11 * time.Minute) }); n > 10 {
					t.Errorf("got %d refused requests in the next ten minutes, want one a minute", n)
				}
				wg.Wait()
			})
		})
	}
}

// TestPhotoDuringReconnect: a call that has waited for a probe of the old password is
// sent with the new one, if Reconnect has brought one meanwhile.
func TestPhotoDuringReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		contact := photoAt(r.srv.PutPhoto([]byte("\x89PNG\r\n\x1a\n"), "image/png"))
		r.mustList()
		r.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
		verdictOf(t, r.list())
		next := r.srv.Issue()
		sent := ""
		r.srv.Intercept = func(_ http.ResponseWriter, req *http.Request) bool {
			_, password, _ := req.BasicAuth()
			switch {
			case req.Host == "gateway.icloud.com":
				sent = password
			case req.URL.Path == "/" && password == r.cred.Password.Reveal():
				time.Sleep(time.Minute) // the probe
			}
			return false
		}
		time.Sleep(2 * time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.list() })
		time.Sleep(time.Second)
		wg.Go(func() {
			if _, _, err := r.Photo(t.Context(), contact); err != nil {
				t.Errorf("photo: got %v, want no error", err)
			}
		})
		time.Sleep(time.Second)
		if err := r.Reconnect(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if sent != next.Password.Reveal() {
			t.Error("the photo was asked for with the old password, after the Reconnect")
		}
	})
}
