// Calls that run concurrently with each other or with a Reconnect, and verdicts.

package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// callerKey is the context key of a call's name.
type callerKey struct{}

// by gives the requests of a call a name, so that routed knows which call has sent a request.
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

// TestReconnectSameRefusedMeanwhileAccepted: Reconnect with the Client's present password gets
// two stray 401s. The Client does not forget what other calls have learned of the password
// meanwhile.
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

// reconnectSameDoubt: the password is Doubted for longer than the dwell. The probe of a listing
// is accepted while Reconnect waits for its answer.
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

// TestProbeRefusedAfterReconnect: a probe is sent, then a Reconnect with the same password is
// accepted, and then the probe's 401 arrives. The acceptance has refuted it.
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

// TestRefusedWhileStoreHangs: at most one probe a minute is sent for a refused password, also
// while the verdict waits for a Store that does not answer.
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
				// The first call's request, its probe, and one request that could
				// have refuted both.
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

// TestPhotoDuringReconnect: a call that has waited for a probe of the old password uses the new
// one, if a Reconnect has replaced it meanwhile.
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

// TestVerdict has a row for each kind of evidence: the first verdict and the final one, with
// their dates.
func TestVerdict(t *testing.T) {
	t.Parallel()
	unknownIssue := func(c *icloud.Credential) { c.Issued = time.Time{} }
	daily := func(r *rig, days int) {
		for range days {
			r.mustList()
			time.Sleep(day)
		}
	}
	for _, tt := range []struct {
		name      string
		opts      icloud.Options
		change    func(*icloud.Credential)
		live      func(*rig)
		err       error
		certainty icloud.Certainty
		at        int    // the day of the refusal
		dates     string // issued, expires, last accepted, account changed, in days
	}{
		{
			name: "revoked", err: icloud.ErrPasswordRevoked, certainty: icloud.Likely, at: 100, dates: "0 365 99 -",
			live: func(r *rig) { daily(r, 100); r.srv.Revoke(r.cred.Password) },
		},
		{
			name: "expired", err: icloud.ErrPasswordExpired, certainty: icloud.Likely, at: 365, dates: "0 365 364 -",
			live: func(r *rig) { daily(r, 365) },
		},
		{
			name: "unused across the end", err: icloud.ErrPasswordExpired, certainty: icloud.Possible, at: 600, dates: "0 365 9 -",
			live: func(r *rig) { daily(r, 10); time.Sleep(590 * day) },
		},
		{
			name: "never worked", err: icloud.ErrPasswordRejected, certainty: icloud.Likely, at: 0, dates: "0 365 - -",
			live: func(r *rig) { r.srv.Revoke(r.cred.Password) },
		},
		{
			name: "never worked, old", err: icloud.ErrPasswordExpired, certainty: icloud.Possible, at: 400, dates: "0 365 - -",
			live: func(*rig) { time.Sleep(400 * day) },
		},
		{
			name: "worked past its end", err: icloud.ErrPasswordRevoked, certainty: icloud.Likely, at: 60, dates: "0 30 59 -",
			opts: icloud.Options{Lifetime: 30 * day},
			live: func(r *rig) { daily(r, 60); r.srv.Revoke(r.cred.Password) },
		},
		{
			name: "no lifetime", err: icloud.ErrPasswordRevoked, certainty: icloud.Likely, at: 365, dates: "0 - 364 -",
			opts: icloud.Options{Lifetime: -1},
			live: func(r *rig) { daily(r, 365) },
		},
		{
			name: "issue unknown, revoked", err: icloud.ErrPasswordRevoked, certainty: icloud.Possible, at: 100, dates: "- 365 99 -",
			change: unknownIssue, live: func(r *rig) { daily(r, 100); r.srv.Revoke(r.cred.Password) },
		},
		{
			name: "issue unknown, expired", err: icloud.ErrPasswordExpired, certainty: icloud.Possible, at: 365, dates: "- 365 364 -",
			change: unknownIssue, live: func(r *rig) { daily(r, 365) },
		},
		{
			name: "issue unknown, connected after 20 days", err: icloud.ErrPasswordExpired, certainty: icloud.Possible, at: 365, dates: "- 385 364 -",
			change: unknownIssue, live: func(r *rig) { time.Sleep(20 * day); daily(r, 345) },
		},
		{
			name: "issue in the future", err: icloud.ErrPasswordRevoked, certainty: icloud.Possible, at: 3, dates: "- 365 2 -",
			change: func(c *icloud.Credential) { c.Issued = c.Issued.AddDate(1, 0, 0) },
			live:   func(r *rig) { daily(r, 3); r.srv.Revoke(r.cred.Password) },
		},
		{
			name: "the caller's memory", err: icloud.ErrPasswordRevoked, certainty: icloud.Likely, at: 50, dates: "0 365 49 -",
			live: func(r *rig) {
				time.Sleep(50 * day)
				r.srv.RevokeAll()
				r.cred.LastAccepted = time.Now().Add(-day)
				r.restart()
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				days := func(d time.Time) string {
					if d.IsZero() {
						return "-"
					}
					return fmt.Sprint(d.Sub(start).Hours() / 24)
				}
				change := []func(*icloud.Credential){}
				if tt.change != nil {
					change = append(change, tt.change)
				}
				r := newRig(t, tt.opts, change...)
				tt.live(r)
				check := func(confirmed bool) {
					t.Helper()
					ae := verdictOf(t, r.list())
					if ae.Err != tt.err || ae.Certainty != tt.certainty || ae.Confirmed != confirmed {
						t.Errorf("got %v (%v, confirmed %v), want %v (%v, confirmed %v)", ae.Err, ae.Certainty, ae.Confirmed, tt.err, tt.certainty, confirmed)
					}
					if got, want := days(ae.Refused), fmt.Sprint(tt.at); got != want {
						t.Errorf("refused since day %s, want %s", got, want)
					}
					dates := strings.Join([]string{days(ae.Issued), days(ae.Expires), days(ae.LastAccepted), days(ae.AccountChanged)}, " ")
					if dates != tt.dates {
						t.Errorf("got dates %q, want %q", dates, tt.dates)
					}
					if status := r.Status(); status.Err != error(ae) {
						t.Errorf("Status has another error, %v", status.Err)
					}
				}
				check(false)
				if got := r.Status().State; got != icloud.Doubted {
					t.Errorf("got state %v, want doubted", got)
				}
				time.Sleep(15*time.Minute - time.Second)
				check(false)
				time.Sleep(time.Minute)
				check(true)
				if got := r.Status().State; got != icloud.SignedOut {
					t.Errorf("got state %v, want signed out", got)
				}
			})
		})
	}
}

// TestVerdictAtOnce has the two cases that need no waiting.
func TestVerdictAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		change    func(*icloud.Credential) // 10 days after the issue
		ask       func(*rig) error
		opts      icloud.Options
		err       error
		certainty icloud.Certainty
		confirmed bool
	}{
		{
			name: "account changed, unattended", ask: (*rig).list,
			change: func(c *icloud.Credential) {
				c.LastAccepted, c.AccountChanged = time.Now().Add(-2*day), time.Now().Add(-day)
			},
			err: icloud.ErrPasswordRevoked, certainty: icloud.Certain, confirmed: true,
		},
		{
			name: "never worked, attended", ask: func(r *rig) error { return r.Authenticate(r.t.Context()) },
			err: icloud.ErrPasswordRejected, certainty: icloud.Likely, confirmed: true,
		},
		{
			name: "never worked, unattended", ask: (*rig).list,
			err: icloud.ErrPasswordRejected, certainty: icloud.Likely,
		},
		{
			name: "worked once, attended", ask: func(r *rig) error { return r.Authenticate(r.t.Context()) },
			change: func(c *icloud.Credential) { c.LastAccepted = time.Now().Add(-day) },
			err:    icloud.ErrPasswordRevoked, certainty: icloud.Likely,
		},
		{
			name: "worked once, no dwell", ask: (*rig).list, opts: icloud.Options{Dwell: -1},
			change: func(c *icloud.Credential) { c.LastAccepted = time.Now().Add(-day) },
			err:    icloud.ErrPasswordRevoked, certainty: icloud.Likely, confirmed: true,
		},
		{
			name: "two years old, unattended", ask: (*rig).list,
			change: func(c *icloud.Credential) { c.Issued = time.Now().Add(-2 * year) },
			err:    icloud.ErrPasswordExpired, certainty: icloud.Possible,
		},
		{
			name: "two years old and worked yesterday", ask: (*rig).list,
			change: func(c *icloud.Credential) {
				c.Issued, c.LastAccepted = time.Now().Add(-2*year), time.Now().Add(-day)
			},
			err: icloud.ErrPasswordRevoked, certainty: icloud.Likely,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, tt.opts)
				r.srv.RevokeAll()
				time.Sleep(10 * day)
				if tt.change != nil {
					tt.change(&r.cred)
				}
				r.restart()
				ae := verdictOf(t, tt.ask(r))
				if ae.Err != tt.err || ae.Certainty != tt.certainty || ae.Confirmed != tt.confirmed {
					t.Errorf("got %v (%v, confirmed %v), want %v (%v, confirmed %v)", ae.Err, ae.Certainty, ae.Confirmed, tt.err, tt.certainty, tt.confirmed)
				}
			})
		})
	}
}

// TestLatch: after a Confirmed verdict calls return the same value without a request, except one
// probe a day. If that is accepted, the Client works again.
func TestLatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Intercept = icloudtest.For(40*day, icloudtest.Unauthorized)
		_ = r.list()
		time.Sleep(15 * time.Minute)
		final := verdictOf(t, r.list())
		if !final.Confirmed {
			t.Fatalf("got %v, want confirmed", final)
		}
		if got, want := r.toldSoFar(), "active, doubted, signed out"; got != want {
			t.Errorf("OnStatus was told %q, want %q", got, want)
		}
		hours := 39*24 - 2
		n := r.requests(func() {
			for range hours {
				if ae := verdictOf(t, r.list()); ae != final {
					t.Fatalf("got another value, %v", ae)
				}
				_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
				if ae := verdictOf(t, err); ae != final {
					t.Fatalf("Sync: got another value, %v", ae)
				}
				if ae := verdictOf(t, r.Authenticate(t.Context())); ae != final {
					t.Fatalf("Authenticate: got another value, %v", ae)
				}
				time.Sleep(time.Hour)
			}
		})
		if want := hours / 24; n != want {
			t.Errorf("got %d requests in %d days, want %d", n, hours/24, want)
		}
		time.Sleep(3 * day)
		r.mustList()
		if got := r.Status(); got.State != icloud.Active || got.Err != nil {
			t.Errorf("got state %v with %v, want active", got.State, got.Err)
		}
		if got, want := r.toldSoFar(), "active"; got != want {
			t.Errorf("OnStatus was told %q, want %q", got, want)
		}
		// The verdict was wrong, so the next one is reported again.
		r.srv.RevokeAll()
		_ = r.list()
		time.Sleep(time.Hour)
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Errorf("got %v, want confirmed", ae)
		}
		if got, want := r.toldSoFar(), "doubted, signed out"; got != want {
			t.Errorf("OnStatus was told %q, want %q", got, want)
		}
	})
}

// TestFlapping: 401 and 207 alternate in various rhythms. The owner is told at most once, and
// the Client works when the server has recovered.
func TestFlapping(t *testing.T) {
	t.Parallel()
	for _, bad := range []int{1, 2, 3, 5} {
		for _, good := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%d of %d", bad, bad+good), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{})
					r.mustList()
					var n atomic.Int64
					r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
						return int(n.Add(1))%(bad+good) < bad && icloudtest.Unauthorized(w, req)
					}
					requests := r.requests(func() {
						for range 200 {
							_ = r.list()
							time.Sleep(5 * time.Minute)
						}
					})
					if requests > 6*200 { // finding the book takes up to six requests
						t.Errorf("got %d requests for 200 calls", requests)
					}
					r.srv.Intercept = nil
					time.Sleep(day)
					r.mustList()
					if got := r.Status().State; got != icloud.Active {
						t.Errorf("got state %v, want active", got)
					}
					if told := r.toldSoFar(); strings.Count(told, "signed out") > 1 {
						t.Errorf("OnStatus was told %q", told)
					}
				})
			})
		}
	}
}

// TestNotEvidence: none of these answers is a verdict or changes the state: at the first
// sign-in, in a listing, as the answer to the probe after a 401, while Doubted, and while
// SignedOut.
func TestNotEvidence(t *testing.T) {
	t.Parallel()
	// after401 is a 401, and then fault for as long as it lasts.
	after401 := func(fault icloudtest.Fault) icloudtest.Fault {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) bool {
			if n.Add(1) == 1 {
				return icloudtest.Unauthorized(w, r)
			}
			return fault(w, r)
		}
	}
	for name, fault := range notEvidence {
		for _, stage := range []struct {
			name    string
			prepare func(*rig)
			wrap    func(icloudtest.Fault) icloudtest.Fault
		}{
			{"sign-in", func(*rig) {}, nil},
			{"sign-in after a 401", func(*rig) {}, after401},
			{"listing", (*rig).mustList, nil},
			{"listing after a 401", (*rig).mustList, after401},
			{"in doubt", func(r *rig) {
				r.mustList()
				r.srv.RevokeAll()
				_ = r.list()
				time.Sleep(20 * time.Minute)
			}, nil},
			{"signed out", func(r *rig) {
				r.srv.RevokeAll()
				_ = r.Authenticate(r.t.Context())
				time.Sleep(25 * time.Hour)
			}, nil},
		} {
			t.Run(stage.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{})
					stage.prepare(r)
					before := r.Status()
					r.toldSoFar()
					r.srv.Intercept = fault
					if stage.wrap != nil {
						r.srv.Intercept = stage.wrap(fault)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := r.listCtx(ctx)
					noVerdict(t, err)
					got := r.Status()
					got.NextTry = before.NextTry // advice, not state
					if got != before {
						t.Errorf("after %v: got status %+v, want %+v", err, got, before)
					}
					if told := r.toldSoFar(); told != "" {
						t.Errorf("OnStatus was told %q, want nothing", told)
					}
				})
			})
		}
	}
}

// TestNotEvidenceAuthenticate: these answers decide nothing in Authenticate either.
func TestNotEvidenceAuthenticate(t *testing.T) {
	t.Parallel()
	for name, fault := range notEvidence {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.srv.Intercept = fault
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				noVerdict(t, r.Authenticate(ctx))
				if got := r.Status().State; got != icloud.Untested {
					t.Errorf("got state %v, want untested", got)
				}
				other := r.srv.Issue()
				noVerdict(t, r.Reconnect(ctx, other))
				if got := r.Status().State; got != icloud.Untested {
					t.Errorf("after Reconnect: got state %v, want untested", got)
				}
			})
		})
	}
}

// TestForbidden: a 403 for another account's path, or for the principal without the account's
// number, says nothing about the password.
func TestForbidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.srv.ForbidUnknownUser = true
		r.cred.AppleID = "somebody@example.com"
		r.restart()
		noVerdict(t, r.Authenticate(t.Context()))
		noVerdict(t, r.list())
		if got := r.Status().State; got != icloud.Untested {
			t.Errorf("got state %v, want untested", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.srv.Intercept = icloudtest.MissingDSID
		noVerdict(t, r.list())
		if got := r.Status(); got.State != icloud.Active || got.Err != nil {
			t.Errorf("got state %v with %v, want active", got.State, got.Err)
		}
	})
}

// TestPortalIsNoAcceptance: only an answer of iCloud ends a doubt, and not the page of a captive
// portal.
func TestPortalIsNoAcceptance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		doubt := verdictOf(t, r.list())
		for _, answer := range []icloudtest.Fault{
			icloudtest.CaptivePortal, icloudtest.Status(200), icloudtest.Status(201), icloudtest.Status(204), icloudtest.Status(207),
			// The answer names no principal.
			func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(207)
				_, _ = io.WriteString(w, `<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><current-user-principal>`+
					`<unauthenticated/></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`)
				return true
			},
			func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(207)
				_, _ = io.WriteString(w, `<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><current-user-principal/>`+
					`</prop><status>HTTP/1.1 404 Not Found</status></propstat></response></multistatus>`)
				return true
			},
		} {
			time.Sleep(2 * time.Minute)
			r.srv.Intercept = answer
			for _, call := range []func() error{
				r.list,
				func() error { _, err := r.Contact(t.Context(), "1.vcf"); return err },
				func() error {
					_, err := r.Put(t.Context(), "9.vcf", []byte("BEGIN:VCARD\r\nEND:VCARD\r\n"), "")
					return err
				},
			} {
				if err := call(); err == nil {
					t.Error("got no error")
				}
				if got := r.Status(); got.Err != error(doubt) {
					t.Errorf("got status %+v, want the doubt to stand", got)
				}
			}
		}
	})
}

// TestMisleadingText: only statuses and challenges decide. Texts in cards, in answers, and in
// errors of a Store or a Transport do not.
func TestMisleadingText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.srv.Put("0.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:401 Unauthorized\r\nNOTE:authentication failed\r\nEND:VCARD\r\n")
		r.mustList()
		r.opts.Store = failingStore{errors.New("pq: password authentication failed for user (401 Unauthorized)")}
		r.restart()
		noVerdict(t, r.list())
		noVerdict(t, r.Authenticate(t.Context()))
		r.opts.Store = nil
		r.opts.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("401 Unauthorized: authentication failed")
		})
		r.restart()
		noVerdict(t, r.list())
		if got := r.Status().State; got != icloud.Untested {
			t.Errorf("got state %v, want untested", got)
		}
	})
}

// TestClockSetBack: a clock that was set back by a day makes no verdict more certain and no
// password healthier. When the clock has reached its earlier time, everything works as before.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	// All bubbles begin at the same time, so the dates of the first one are in the future
	// in the second one.
	dir := t.TempDir()
	var cred icloud.Credential
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: icloud.DirStore(dir)})
		cred = r.cred
		time.Sleep(25 * time.Hour)
		r.mustList()
		r.srv.RevokeAll()
		if ae := verdictOf(t, r.list()); ae.Confirmed {
			t.Errorf("got %v, want a doubt", ae)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: icloud.DirStore(dir)})
		r.srv.Intercept = icloudtest.Unauthorized
		r.cred = cred
		r.restart()
		time.Sleep(time.Hour)
		for range 24 {
			ae := verdictOf(t, r.list())
			if ae.Certainty == icloud.Certain || ae.Err != icloud.ErrPasswordRevoked {
				t.Errorf("got %v (%v)", ae, ae.Certainty)
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Hour)
		_ = r.list() // the first refusal after that acceptance
		time.Sleep(20 * time.Minute)
		if ae := verdictOf(t, r.list()); !ae.Confirmed || ae.LastAccepted.After(time.Now()) || ae.Refused.After(time.Now()) {
			t.Errorf("got %v, want it confirmed, with no date in the future", ae)
		}
	})
}

// TestOnStatusCallsBack: OnStatus may call every method, during every call. A deadlock would fail
// the bubble.
func TestOnStatusCallsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		var depth, calls atomic.Int64
		var other icloud.Credential
		everything := func(ctx context.Context, _ icloud.Status) {
			calls.Add(1)
			if depth.Add(1) > 1 {
				depth.Add(-1)
				return
			}
			defer depth.Add(-1)
			_ = r.Status()
			_ = r.Authenticate(ctx)
			_ = r.list()
			_, _ = r.Sync(ctx, "", func(icloud.Change) error { return nil })
			_, _ = r.Contact(ctx, "1.vcf")
			etag, _ := r.Put(ctx, "new.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:New\r\nEND:VCARD\r\n"), "")
			_ = r.Delete(ctx, "new.vcf", etag)
			_, _, _ = r.Photo(ctx, &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nPHOTO;VALUE=uri:https://gateway.icloud.com/x\r\nEND:VCARD\r\n")})
			if book, err := r.CardDAV(ctx); err == nil {
				_, _ = book.FindAddressBooks(ctx, "")
			}
			_ = r.Reconnect(ctx, other)
		}
		r = newRig(t, icloud.Options{Store: icloud.DirStore(t.TempDir()), OnStatus: everything})
		other = icloud.Credential{AppleID: r.cred.AppleID, Password: icloud.UncheckedPassword("never-good-pass-word")}
		calling := map[string]func() error{
			"Authenticate": func() error { return r.Authenticate(t.Context()) },
			"Contacts":     r.list,
			"Sync": func() error {
				_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
				return err
			},
			"Contact": func() error { _, err := r.Contact(t.Context(), "1.vcf"); return err },
			"CardDAV": func() error {
				book, err := r.CardDAV(t.Context())
				if err == nil {
					_, err = book.FindAddressBooks(t.Context(), "")
				}
				return err
			},
			"Reconnect": func() error {
				return r.Reconnect(t.Context(), r.cred)
			},
		}
		for name, call := range calling {
			// At the first sign-in, during discovery, when a doubt begins and ends,
			// when it is confirmed, and when a probe refutes the verdict.
			r.cred = r.srv.Issue()
			r.restart()
			before := calls.Load()
			_ = call()
			r.srv.Intercept = icloudtest.For(2*day, icloudtest.Unauthorized)
			_ = call()
			time.Sleep(20 * time.Minute)
			_ = call()
			time.Sleep(3 * day)
			_ = call()
			if calls.Load() < before+2 {
				t.Errorf("%s: OnStatus was told %s", name, r.toldSoFar())
			}
		}
	})
}

// TestOnStatusOfTheCall: OnStatus is called for each change, during the call that made it, and
// before the cards that came with it.
func TestOnStatusOfTheCall(t *testing.T) {
	t.Parallel()
	type key struct{}
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Put("a.vcf", card("a"))
	srv.Put("b.vcf", card("b"))
	var told []string
	client, err := icloud.New(srv.Issue(), &icloud.Options{
		Transport: srv.Transport(),
		OnStatus: func(ctx context.Context, s icloud.Status) {
			told = append(told, fmt.Sprint(ctx.Value(key{}), " ", s.State))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	outer, inner := context.WithValue(t.Context(), key{}, "outer"), context.WithValue(t.Context(), key{}, "inner")
	for _, err := range client.Contacts(outer) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Contact(inner, "a.vcf"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(told, ", "); got != "outer active" {
		t.Errorf("got %q", got)
	}
	told = nil
	fresh, err := icloud.New(srv.Issue(), &icloud.Options{Transport: srv.Transport(), OnStatus: func(_ context.Context, s icloud.Status) { told = append(told, s.State.String()) }})
	if err != nil {
		t.Fatal(err)
	}
	srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if len(told) > 0 {
			return icloudtest.Unauthorized(w, r)
		}
		return false
	}
	if _, err := fresh.Sync(outer, "", func(icloud.Change) error { return nil }); err == nil {
		t.Error("a sync whose multiget was refused has no error")
	}
	if got := strings.Join(told, ", "); got != "active, doubted" {
		t.Errorf("got %q", got)
	}
}
