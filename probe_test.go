package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// TestStray: a 401 that is refuted is not a verdict and leaves no trace, at every step of every
// call, however old the password is.
func TestStray(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{0, 2 * year} {
		// Four requests find the book and list it.
		for n := range 4 {
			t.Run(fmt.Sprintf("request %d, age %v", n+1, age), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{}, func(c *icloud.Credential) { c.Issued = c.Issued.Add(-age) })
					r.srv.Intercept = icloudtest.After(n, icloudtest.Times(1, icloudtest.Unauthorized))
					err := r.list()
					if n == 0 {
						// The 401 was for the sign-in, and the probe repeated it.
						if err != nil {
							t.Errorf("got %v, want no error", err)
						}
					} else {
						refuted(t, err)
					}
					// The same holds for a password that is two years old.
					want := icloud.Active
					if got := r.Status(); got.State != want || got.Err != nil {
						t.Errorf("got state %v with %v, want %v", got.State, got.Err, want)
					}
					if got := r.toldSoFar(); got != want.String() {
						t.Errorf("OnStatus was told %q, want %q", got, want)
					}
					r.mustList()
				})
			})
		}
	}
	t.Run("Authenticate", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, icloud.Options{})
			r.srv.Intercept = icloudtest.Times(1, icloudtest.Unauthorized)
			var err error
			if n := r.requests(func() { err = r.Authenticate(t.Context()) }); n != 2 || err != nil {
				t.Errorf("got %v after %d requests, want no error after 2", err, n)
			}
		})
	})
}

// TestAuthenticateRequests: Authenticate sends one request if iCloud accepts the password, two if
// it does not, and none after a final verdict.
func TestAuthenticateRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		auth := func() { _ = r.Authenticate(t.Context()) }
		if n := r.requests(auth); n != 1 {
			t.Errorf("accepted: got %d requests, want 1", n)
		}
		r.srv.RevokeAll()
		r.restart()
		if n := r.requests(auth); n != 2 {
			t.Errorf("refused: got %d requests, want 2", n)
		}
		if n := r.requests(auth); n != 0 {
			t.Errorf("signed out: got %d requests, want 0", n)
		}
	})
}

// TestOneHostRefuses: a 401 of one host or one collection, while the probe is accepted, says
// nothing about the password.
func TestOneHostRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.toldSoFar()
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			return req.URL.Path != "/" && icloudtest.Unauthorized(w, req)
		}
		for range 20 {
			refuted(t, r.list())
			_, err := r.Contact(t.Context(), "1.vcf")
			refuted(t, err)
			time.Sleep(time.Hour)
		}
		if got := r.toldSoFar(); got != "" {
			t.Errorf("OnStatus was told %q, want nothing", got)
		}
		r.srv.Intercept = nil
		r.mustList()
	})
}

// TestPassingRefusal is a reported case: a password is refused at first and accepted after 7
// minutes, while its owner is absent.
func TestPassingRefusal(t *testing.T) {
	t.Parallel()
	for _, remembered := range []bool{false, true} {
		t.Run(fmt.Sprintf("remembered %v", remembered), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				if remembered {
					r.mustList()
				}
				r.toldSoFar()
				r.srv.Intercept = icloudtest.For(7*time.Minute, icloudtest.Unauthorized)
				for range 7 {
					if ae := verdictOf(t, r.list()); ae.Confirmed {
						t.Fatalf("got %v, confirmed", ae)
					}
					time.Sleep(time.Minute)
				}
				r.mustList()
				if got := r.Status(); got.State != icloud.Active || got.Err != nil {
					t.Errorf("got state %v with %v, want active", got.State, got.Err)
				}
				if got, want := r.toldSoFar(), "doubted, active"; got != want {
					t.Errorf("OnStatus was told %q, want %q", got, want)
				}
				// Nothing is left of the doubt.
				time.Sleep(20 * time.Minute)
				r.srv.Intercept = icloudtest.For(time.Minute, icloudtest.Unauthorized)
				if ae := verdictOf(t, r.list()); ae.Confirmed || !ae.Refused.Equal(time.Now()) {
					t.Errorf("got %v since %v, want a new doubt", ae, ae.Refused)
				}
			})
		})
	}
}

// TestHold: while the password is Doubted, one request a minute is sent, and it is the probe.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		first := verdictOf(t, r.list())
		r.srv.Intercept = func(_ http.ResponseWriter, req *http.Request) bool {
			asked = append(asked, req.Method+" "+req.URL.Path)
			return false
		}
		start := time.Now()
		for time.Since(start) < 15*time.Minute-time.Second {
			time.Sleep(time.Second)
			for range 3 {
				if ae := verdictOf(t, r.list()); ae != first {
					t.Fatalf("got another value, %v", ae)
				}
			}
		}
		if len(asked) != 14 || len(slices.Compact(asked)) != 1 || asked[0] != "PROPFIND /" {
			t.Errorf("got requests %q, want 14 times the probe", asked)
		}
		// Another answer to the probe is returned as its own error. It changes nothing,
		// and the next probe is not earlier.
		r.srv.Intercept = icloudtest.BadGateway
		time.Sleep(time.Minute)
		status := r.Status()
		if n := r.requests(func() { noVerdict(t, r.list()) }); n != 1 {
			t.Errorf("got %d requests, want 1", n)
		}
		got := r.Status()
		got.NextTry = status.NextTry // may differ, because it is advice
		if got != status {
			t.Errorf("got status %+v, want %+v", got, status)
		}
		if n := r.requests(func() {
			if ae := verdictOf(t, r.list()); ae != first {
				t.Errorf("got another value, %v", ae)
			}
		}); n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
		time.Sleep(time.Minute)
		r.srv.Intercept = nil
		if ae := verdictOf(t, r.list()); !ae.Confirmed || ae == first || first.Confirmed {
			t.Errorf("got %v, want another value, confirmed", ae)
		}
	})
}

// TestChallenges: iCloud's 401 counts in every layout in which it may come.
func TestChallenges(t *testing.T) {
	t.Parallel()
	const basic, token = `Basic realm="MMCalDav"`, `X-MobileMe-AuthToken realm="MMCalDav"`
	for _, challenges := range [][]string{
		{basic, token}, {token, basic}, {basic + ", " + token}, {token + ", " + basic}, {token + "," + basic},
		{token}, {`basic Realm="MMCalDav"`}, {`Basic realm=MMCalDav`}, {`Basic charset="UTF-8", realm="MMCalDav"`},
		{`Negotiate`, token + ", " + basic}, {`Negotiate YWJj==, ` + basic}, {`, ,` + basic}, {`Digest realm="a, Basic realm=\"b\"", ` + basic},
		{`Basic realm = "MMCalDav"`},
	} {
		t.Run(strings.Join(challenges, " | "), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.srv.Challenges = challenges
				r.srv.RevokeAll()
				verdictOf(t, r.list())
			})
		})
	}
}

// TestConcurrentRefusal: of many calls that are refused at once, one sends the probe, and all
// return the same value.
func TestConcurrentRefusal(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 100} {
		for _, mode := range []string{"listing", "first sign-in", "redirected"} {
			t.Run(fmt.Sprintf("%s, %d calls", mode, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{})
					if mode != "first sign-in" {
						r.mustList()
					}
					r.srv.RevokeAll()
					var probes, others atomic.Int64
					r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
						switch {
						case req.URL.Path == "/":
							probes.Add(1)
						case mode == "redirected" && req.URL.RawQuery == "":
							// Each call is at another time, so that some are
							// redirected after others have their verdict.
							time.Sleep(time.Duration(others.Add(1)) * 10 * time.Second / time.Duration(n))
							w.Header().Set("Location", req.URL.Path+"?again")
							w.WriteHeader(307)
							return true
						default:
							others.Add(1)
						}
						// This is longer than it takes until all calls are under way.
						time.Sleep(time.Second)
						return false
					}
					verdicts := make([]*icloud.AuthError, n)
					var wg sync.WaitGroup
					for i := range n {
						wg.Go(func() { verdicts[i], _ = errors.AsType[*icloud.AuthError](r.list()) })
					}
					wg.Wait()
					for _, ae := range verdicts {
						if ae == nil || ae != verdicts[0] || ae.Confirmed {
							t.Fatalf("got %v, and another call %v: want one value", verdicts[0], ae)
						}
					}
					want := int64(1)
					if mode == "first sign-in" {
						want = 2 // the sign-in is a probe itself
					}
					if got := probes.Load(); got != want {
						t.Errorf("got %d probes, want %d", got, want)
					}
					if got := r.toldSoFar(); !strings.HasSuffix(got, "doubted") || strings.Count(got, "doubted") != 1 {
						t.Errorf("OnStatus was told %q", got)
					}
				})
			})
		}
	}
}

// TestConcurrentStray: one stray 401 among many calls fails at most one of them.
func TestConcurrentStray(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.toldSoFar()
		stray := icloudtest.Times(1, icloudtest.Unauthorized)
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			time.Sleep(time.Second)
			return stray(w, req)
		}
		var failed atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := r.list(); err != nil {
					refuted(t, err)
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if got := failed.Load(); got != 1 {
			t.Errorf("%d calls failed, want 1", got)
		}
		if got := r.toldSoFar(); got != "" {
			t.Errorf("OnStatus was told %q, want nothing", got)
		}
	})
}

// TestConcurrentRefuted: if one collection refuses many calls, one probe refutes all refusals,
// also those that arrive after the probe was answered.
func TestConcurrentRefuted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		var probes, others atomic.Int64
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/" {
				probes.Add(1)
				return false
			}
			time.Sleep(time.Duration(others.Add(1)) * time.Second)
			return icloudtest.Unauthorized(w, req)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := r.Contact(t.Context(), "1.vcf")
				refuted(t, err)
			})
		}
		wg.Wait()
		if got := probes.Load(); got != 1 {
			t.Errorf("got %d probes, want 1", got)
		}
	})
}

// TestAskerLeaves: if the call that sends the probe is cancelled, the next one sends it, and does
// not return the first one's error.
func TestAskerLeaves(t *testing.T) {
	t.Parallel()
	for _, accepted := range []bool{false, true} {
		t.Run(fmt.Sprintf("accepted %v", accepted), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.mustList()
				var probes atomic.Int64
				r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
					if req.URL.Path != "/" {
						return icloudtest.Unauthorized(w, req)
					}
					if probes.Add(1) == 1 {
						return icloudtest.Stall(w, req)
					}
					return !accepted && icloudtest.Unauthorized(w, req)
				}
				const n = 10
				errs := make([]error, n)
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() {
						ctx, cancel := t.Context(), context.CancelFunc(func() {})
						if i == 0 {
							ctx, cancel = context.WithTimeout(ctx, time.Minute)
						}
						defer cancel()
						time.Sleep(time.Duration(i) * time.Second)
						errs[i] = r.listCtx(ctx)
					})
				}
				wg.Wait()
				for i, err := range errs {
					switch {
					case i == 0:
						noVerdict(t, err)
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("call %d: got %v, want its deadline", i, err)
						}
					case accepted:
						refuted(t, err)
					default:
						verdictOf(t, err)
					}
				}
				if got := probes.Load(); got != 2 {
					t.Errorf("got %d probes, want 2", got)
				}
			})
		})
	}
}

// TestWaiterLeaves: a call that waits for the probe of another one returns as soon as its own
// context ends.
func TestWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/" {
				time.Sleep(time.Hour)
			}
			return icloudtest.Unauthorized(w, req)
		}
		var wg sync.WaitGroup
		wg.Go(func() { verdictOf(t, r.list()) })
		time.Sleep(time.Second)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := r.listCtx(ctx)
		noVerdict(t, err)
		if took := time.Since(start); took != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v after %v, want the deadline after a minute", err, took)
		}
		wg.Wait()
	})
}

// TestLateSuccess: a success of a call that started before a refusal refutes nothing, however
// long the verdict takes to save. A success of a call that started after it does.
func TestLateSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		start time.Duration // when the call starts that succeeds a minute later
		save  time.Duration // how long the Store takes
		want  icloud.State
	}{
		{"started before", -30 * time.Second, 0, icloud.Doubted},
		{"started before, slow Store", -30 * time.Second, 10 * time.Minute, icloud.Doubted},
		{"started after, slow Store", 30 * time.Second, 10 * time.Minute, icloud.Active},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &slowStore{Store: icloud.DirStore(t.TempDir())}
				r := newRig(t, icloud.Options{Store: store})
				r.mustList()
				r.toldSoFar()
				refusal := time.Now().Add(time.Minute)
				r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
					if req.Method == "GET" {
						time.Sleep(time.Minute)
						return false
					}
					return time.Now().Before(refusal.Add(time.Second)) && icloudtest.Unauthorized(w, req)
				}
				store.save = tt.save
				var wg sync.WaitGroup
				wg.Go(func() {
					time.Sleep(time.Until(refusal.Add(tt.start)))
					if _, err := r.Contact(t.Context(), "1.vcf"); err != nil {
						t.Errorf("the call that ends well: got %v", err)
					}
				})
				time.Sleep(time.Until(refusal))
				err := r.list()
				wg.Wait()
				if tt.want == icloud.Doubted {
					verdictOf(t, err)
				} else if err != nil {
					// The 401 was refuted before anybody was told.
					t.Errorf("got %v, want no error", err)
				}
				if got := r.Status().State; got != tt.want {
					t.Errorf("got state %v, want %v", got, tt.want)
				}
				// A new Client learns the same from the Store.
				store.save = 0
				r.restart()
				r.srv.Intercept = icloudtest.Status(500)
				_ = r.list()
				if got := r.Status().State; got != tt.want {
					t.Errorf("after a restart: got state %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestLate401: a 401 that arrives long after the probe was answered uses that answer only if
// nothing has refuted it since.
func TestLate401(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		start := time.Now()
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == "GET" {
				time.Sleep(time.Hour)
				return icloudtest.Unauthorized(w, req)
			}
			return time.Since(start) < time.Minute && icloudtest.Unauthorized(w, req)
		}
		late := make(chan error)
		go func() {
			_, err := r.Contact(t.Context(), "1.vcf")
			late <- err
		}()
		time.Sleep(time.Second)
		verdictOf(t, r.list())
		time.Sleep(10 * time.Minute)
		r.mustList()
		err := <-late
		refuted(t, err)
		if got := r.Status().State; got != icloud.Active {
			t.Errorf("got state %v, want active", got)
		}
	})
}

// TestLate401AfterSuccess: the same, but the refusal was refuted by a call that was redirected
// after it, and not by a probe.
func TestLate401AfterSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		start := time.Now()
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			switch {
			case strings.HasSuffix(req.URL.Path, "/2.vcf"):
				time.Sleep(time.Hour)
				return icloudtest.Unauthorized(w, req)
			case strings.HasSuffix(req.URL.Path, "/1.vcf") && req.URL.RawQuery == "":
				time.Sleep(2 * time.Minute)
				w.Header().Set("Location", req.URL.Path+"?again")
				w.WriteHeader(307)
				return true
			}
			return time.Since(start) < 90*time.Second && icloudtest.Unauthorized(w, req)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := r.Contact(t.Context(), "2.vcf")
			refuted(t, err)
		})
		wg.Go(func() {
			if _, err := r.Contact(t.Context(), "1.vcf"); err != nil {
				t.Errorf("got %v, want no error", err)
			}
		})
		time.Sleep(time.Minute)
		verdictOf(t, r.list())
		time.Sleep(time.Minute + time.Second)
		if got := r.Status().State; got != icloud.Active {
			t.Errorf("got state %v, want active: the redirected call has refuted it", got)
		}
		wg.Wait()
		if got := r.Status().State; got != icloud.Active {
			t.Errorf("in the end: got state %v, want active", got)
		}
	})
}

// TestRefusalSharedWithOwner: Authenticate waits for the probe of another call, and the
// refusal is nevertheless Confirmed at once, as always in Authenticate.
func TestRefusalSharedWithOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.srv.RevokeAll()
		r.srv.Intercept = func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(time.Minute)
			return false
		}
		var wg sync.WaitGroup
		wg.Go(func() { verdictOf(t, r.list()) })
		time.Sleep(30 * time.Second)
		if ae := verdictOf(t, r.Authenticate(t.Context())); !ae.Confirmed {
			t.Errorf("got %v, want confirmed", ae)
		}
		wg.Wait()
	})
}

// TestUncounted401AsksNothing: no probe is sent after a 401 that is not iCloud's own.
func TestUncounted401AsksNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			return req.URL.Path != "/" && icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`)(w, req)
		}
		if n := r.requests(func() { refuted(t, r.list()) }); n != 1 {
			t.Errorf("got %d requests, want 1", n)
		}
		if got := r.Status().State; got != icloud.Active {
			t.Errorf("got state %v, want active", got)
		}
	})
}

// TestDailyProbe: for a dead password one request a day is sent, whatever the answer is.
func TestDailyProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		verdictOf(t, r.list())
		time.Sleep(time.Hour)
		verdictOf(t, r.list())
		r.srv.Intercept = icloudtest.Status(503)
		for day := range 3 {
			n := r.requests(func() {
				for range 24 * 60 {
					time.Sleep(time.Minute)
					_ = r.list()
				}
			})
			if n != 1 {
				t.Errorf("day %d: got %d requests, want 1", day, n)
			}
		}
	})
}

// TestUnauthenticated: an answer that names no principal is not an acceptance, and changes
// nothing.
func TestUnauthenticated(t *testing.T) {
	t.Parallel()
	nobody := multistatus("<response><href>/</href><propstat><prop><current-user-principal><unauthenticated/></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>")
	for name, test := range map[string]struct{ endpoint, answer string }{
		"nobody":          {"", nobody},
		"no answer":       {"", multistatus()},
		"an empty href":   {"", strings.Replace(nobody, "<unauthenticated/>", "<href/>", 1)},
		"not found":       {"", strings.Replace(strings.Replace(nobody, "<unauthenticated/>", "<href>/p/</href>", 1), "200", "404", 1)},
		"another server":  {"https://dav.example.test/", nobody},
		"an address book": {bookURL, strings.Replace(strings.Replace(bookAnswer, "</prop>", "<current-user-principal><unauthenticated/></current-user-principal></prop>", 1), "200", "200", 1)},
	} {
		var told []icloud.State
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Endpoint:  test.endpoint,
			Transport: wire(func(*http.Request, string) *http.Response { return answer(207, test.answer) }),
			OnStatus:  func(_ context.Context, s icloud.Status) { told = append(told, s.State) },
		})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Authenticate(t.Context())
		noVerdict(t, err)
		if s := client.Status(); err == nil || s.State != icloud.Untested || !s.LastAccepted.IsZero() || told != nil {
			t.Errorf("%s: got %v, %+v, told %v", name, err, s, told)
		}
	}
}

// TestDailyProbeCancelled: if callers cancel the daily probe of a server that hangs, at most one
// probe a minute is sent.
func TestDailyProbeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.srv.RevokeAll()
		verdictOf(t, r.Authenticate(t.Context()))
		time.Sleep(25 * time.Hour)
		r.srv.Intercept = icloudtest.Stall
		n := r.requests(func() {
			for range 120 {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				_ = r.listCtx(ctx)
				cancel()
				time.Sleep(500 * time.Millisecond)
			}
		})
		if n == 0 || n > 3 {
			t.Errorf("got %d requests in two minutes, want one a minute", n)
		}
	})
}
