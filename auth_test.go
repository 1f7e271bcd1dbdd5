package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

const (
	day  = 24 * time.Hour
	year = icloud.DefaultLifetime
)

// noon is where the clock of tables begins. Days are counted from it.
var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns noon and so many days; a fraction is a part of a day.
func at(days float64) time.Time {
	return noon.Add(time.Duration(days * float64(day)))
}

// rig is a consumer with its fake iCloud: it notes what OnStatus tells it.
type rig struct {
	*icloud.Client
	t    *testing.T
	srv  *icloudtest.Server
	cred icloud.Credential
	opts icloud.Options

	mu   sync.Mutex
	told []string
}

const rigCards = 3

// newRig returns a Client with a new password, on a book of rigCards cards. It
// must be called in a bubble.
func newRig(t *testing.T, opts icloud.Options, change ...func(*icloud.Credential)) *rig {
	t.Helper()
	r := &rig{t: t, srv: icloudtest.NewServer(), opts: opts}
	t.Cleanup(r.srv.Close)
	for i := range rigCards {
		r.srv.Put(fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Person %d\r\nUID:%d\r\nEND:VCARD\r\n", i, i))
	}
	r.cred = r.srv.Issue()
	for _, f := range change {
		f(&r.cred)
	}
	if opts.Transport == nil {
		r.opts.Transport = r.srv.Transport()
	}
	r.opts.OnStatus = func(ctx context.Context, s icloud.Status) {
		r.mu.Lock()
		r.told = append(r.told, s.State.String())
		r.mu.Unlock()
		if opts.OnStatus != nil {
			opts.OnStatus(ctx, s)
		}
	}
	r.restart()
	return r
}

// restart replaces the Client by a new one, as a restart of the program does.
func (r *rig) restart() {
	r.t.Helper()
	client, err := icloud.New(r.cred, &r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Client = client
}

// list lists the book, which must be whole if there is no error.
func (r *rig) list() error { return r.listCtx(r.t.Context()) }

func (r *rig) listCtx(ctx context.Context) (err error) {
	n := 0
	for contact, e := range r.Contacts(ctx) {
		if contact != nil {
			n++
		}
		err = e
	}
	if err == nil && n < rigCards {
		r.t.Errorf("listing ended without an error after %d cards of %d", n, rigCards)
	}
	return err
}

// mustList lists the book, and expects no error.
func (r *rig) mustList() {
	r.t.Helper()
	if err := r.list(); err != nil {
		r.t.Fatalf("listing: got %v, want no error", err)
	}
}

// requests returns how many requests f costs.
func (r *rig) requests(f func()) int {
	before := r.srv.Requests()
	f()
	return r.srv.Requests() - before
}

// toldSoFar returns, and forgets, what OnStatus was told.
func (r *rig) toldSoFar() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := strings.Join(r.told, ", ")
	r.told = nil
	return told
}

// verdictOf returns the AuthError in err, which must be there.
func verdictOf(t *testing.T, err error) *icloud.AuthError {
	t.Helper()
	ae, ok := errors.AsType[*icloud.AuthError](err)
	if !ok {
		t.Fatalf("got error %v, want an AuthError", err)
	}
	return ae
}

// noVerdict checks that err is an error, and says nothing about the password.
func noVerdict(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
		t.Fatalf("got %v, want an error that is no verdict", ae)
	}
	for _, verdict := range []error{icloud.ErrPasswordExpired, icloud.ErrPasswordRevoked, icloud.ErrPasswordRejected} {
		if errors.Is(err, verdict) {
			t.Fatalf("got %v, want an error that is no verdict", err)
		}
	}
}

// refuted checks that err is the 401 that was refuted.
func refuted(t *testing.T, err error) {
	t.Helper()
	noVerdict(t, err)
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %v, want a ResponseError with status 401", err)
	}
}

// TestVerdict lives the rows of the table through: what a service is told, at
// first and for good, and with which dates.
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
		dates     string // issued, expires, last accepted, account changed: in days
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

// TestStray: a 401 that is refuted is no verdict and leaves no trace, wherever
// in a call it comes, however old the password, and whoever asks.
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
						// It was the sign-in, and the question was its repetition.
						if err != nil {
							t.Errorf("got %v, want no error", err)
						}
					} else {
						refuted(t, err)
					}
					// At two years of age too: it has outlived every estimate.
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

// TestAuthenticateRequests: one request if iCloud accepts, two if it does not,
// none once that is final.
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

// TestOneHostRefuses: a 401 on one host, or on one collection, while sign-in is
// accepted, is about that host.
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

// TestPassingRefusal is the case of the field data: refused at first, accepted
// after 7 minutes, and nobody was there to see it.
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
				// The doubt is gone with all that belonged to it.
				time.Sleep(20 * time.Minute)
				r.srv.Intercept = icloudtest.For(time.Minute, icloudtest.Unauthorized)
				if ae := verdictOf(t, r.list()); ae.Confirmed || !ae.Refused.Equal(time.Now()) {
					t.Errorf("got %v since %v, want a new doubt", ae, ae.Refused)
				}
			})
		})
	}
}

// TestHold: while in doubt, one request a minute goes out, and that is the
// question.
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
			t.Errorf("got requests %q, want 14 times the question", asked)
		}
		// It is answered by something else: that is its own error, changes
		// nothing, and does not bring the next question nearer.
		r.srv.Intercept = icloudtest.BadGateway
		time.Sleep(time.Minute)
		status := r.Status()
		if n := r.requests(func() { noVerdict(t, r.list()) }); n != 1 {
			t.Errorf("got %d requests, want 1", n)
		}
		got := r.Status()
		got.NextTry = status.NextTry // advice, not state
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

// TestLatch: once confirmed, the same value and no requests, but for one
// question a day, which repairs everything if it is accepted.
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
		// The verdict proved wrong, so the next one is news again.
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

// TestFlapping: whatever the rhythm in which 401 and 207 alternate, the owner is
// told at most once, and a server that recovers is believed.
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
					if requests > 6*200 { // the way to the book, in a bad case
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

// notEvidence are answers from which nothing follows for the password.
var notEvidence = map[string]icloudtest.Fault{
	"proxy 407":               icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`),
	"proxy 401":               icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`),
	"401 without a challenge": icloudtest.Status(401),
	"401 that names the realm elsewhere": icloudtest.Status(401, "X-Realm", `Basic realm="MMCalDav"`, "WWW-Authenticate",
		`Basic realm="proxy", Digest realm="x", note="realm=MMCalDav"`),
	"401 with a realm like it":    icloudtest.Status(401, "WWW-Authenticate", `Basic realm="MMCalDav2", Negotiate`),
	"401 with a broken challenge": icloudtest.Status(401, "WWW-Authenticate", `Basic realm="MMCalDav`),
	"captive portal":              icloudtest.CaptivePortal,
	"portal behind a redirect":    icloudtest.Status(302, "Location", "https://portal.test/login"),
	"portal behind http":          icloudtest.Status(302, "Location", "http://contacts.icloud.com/"),
	"redirect to itself":          icloudtest.Status(302, "Location", "/"),
	"redirect to nowhere":         icloudtest.Status(302),
	"see other":                   icloudtest.Status(303, "Location", "/"),
	"reset":                       icloudtest.Reset,
	"bad gateway":                 icloudtest.BadGateway,
	"503":                         icloudtest.Status(503),
	"503 for a minute":            icloudtest.Status(503, "Retry-After", "60"),
	"429":                         icloudtest.Status(429),
	"421":                         icloudtest.Status(421),
	"403":                         icloudtest.Status(403),
	"400":                         icloudtest.Status(400),
	"500":                         icloudtest.Status(500),
	"204":                         icloudtest.Status(204),
	"207 without a body":          icloudtest.Status(207),
	"200 without a body":          icloudtest.Status(200),
	"304":                         icloudtest.Status(304),
	"authentication failed": func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "401 Unauthorized: authentication failed, MMCalDav")
		return true
	},
	"stall": icloudtest.Stall,
}

// TestNotEvidence: none of these is a verdict or changes the state: not at the
// first sign-in, not in a listing, not as the answer to the question after a
// 401, not in doubt, and not when signed out.
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

// TestNotEvidenceAuthenticate: the owner is there, and still nothing is decided.
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

// TestAnotherBook: a 403 on somebody else's path, or on the principal that lacks
// its number, says nothing.
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

// TestPortalIsNoAcceptance: a doubt is cleared by iCloud's word alone, not by a
// page that a network puts in its place.
func TestPortalIsNoAcceptance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		doubt := verdictOf(t, r.list())
		for _, answer := range []icloudtest.Fault{
			icloudtest.CaptivePortal, icloudtest.Status(200), icloudtest.Status(201), icloudtest.Status(204), icloudtest.Status(207),
			// Nobody is signed in.
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

// TestMisleadingText: only statuses and challenges are read. Texts, in cards, in
// answers, in a Store's or a Transport's errors, are not.
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

// roundTripper is a Transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTransportFollowsRedirects: a Transport that is an http.Client in disguise
// loses the password on the way to the partition host, and gets iCloud's own 401
// for it. That says nothing of the password, which was not there.
func TestTransportFollowsRedirects(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.srv.Redirect = code
				inner := &http.Client{Transport: r.srv.Transport()}
				r.opts.Transport = roundTripper(inner.Do)
				r.restart()
				noVerdict(t, r.Authenticate(t.Context()))
				noVerdict(t, r.list())
				if got := r.Status().State; got != icloud.Untested {
					t.Errorf("got state %v, want untested", got)
				}
			})
		})
	}
}

// TestPhotoIsNoEvidence: a photo's host refuses and accepts whom it wants.
func TestPhotoIsNoEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		url := r.srv.PutPhoto([]byte("\x89PNG\r\n\x1a\n"), "image/png")
		contact := &icloud.Contact{VCard: []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;VALUE=uri:" + url + "\r\nEND:VCARD\r\n")}
		r.mustList()
		before := r.Status()
		r.toldSoFar()
		r.srv.Intercept = icloudtest.Unauthorized // and the question, if there were one
		for range 5 {
			_, _, err := r.Photo(t.Context(), contact)
			refuted(t, err)
			time.Sleep(time.Hour)
		}
		if got := r.Status(); got != before {
			t.Errorf("got status %+v, want %+v", got, before)
		}
		// Nor does its success refute anything.
		slow := make(chan error)
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.Host == "gateway.icloud.com" {
				time.Sleep(time.Minute)
				return false
			}
			return icloudtest.Unauthorized(w, req)
		}
		go func() {
			_, _, err := r.Photo(t.Context(), contact)
			slow <- err
		}()
		verdictOf(t, r.list())
		if err := <-slow; err != nil {
			t.Errorf("photo: got %v, want no error", err)
		}
		if got := r.Status().State; got != icloud.Doubted {
			t.Errorf("got state %v, want doubted", got)
		}
	})
}

// TestConcurrentRefusal: of many calls that meet one refusal, one asks, and all
// get the same value.
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
					var questions, others atomic.Int64
					r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
						switch {
						case req.URL.Path == "/":
							questions.Add(1)
						case mode == "redirected" && req.URL.RawQuery == "":
							// Each at another time, so that some of them are
							// sent on when others have had their verdict.
							time.Sleep(time.Duration(others.Add(1)) * 10 * time.Second / time.Duration(n))
							w.Header().Set("Location", req.URL.Path+"?again")
							w.WriteHeader(307)
							return true
						default:
							others.Add(1)
						}
						// Longer than it takes for all to be under way.
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
						want = 2 // the sign-in is one itself
					}
					if got := questions.Load(); got != want {
						t.Errorf("got %d questions, want %d", got, want)
					}
					if got := r.toldSoFar(); !strings.HasSuffix(got, "doubted") || strings.Count(got, "doubted") != 1 {
						t.Errorf("OnStatus was told %q", got)
					}
				})
			})
		}
	}
}

// TestConcurrentStray: one stray 401 among many calls fails one of them at most.
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

// TestConcurrentRefuted: where one collection refuses many calls, one question
// refutes them all, those too that hear of their 401 when it has been answered.
func TestConcurrentRefuted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		var questions, others atomic.Int64
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/" {
				questions.Add(1)
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
		if got := questions.Load(); got != 1 {
			t.Errorf("got %d questions, want 1", got)
		}
	})
}

// TestAskerLeaves: if the call that asks is cancelled, the next one asks; it does
// not get the first one's error.
func TestAskerLeaves(t *testing.T) {
	t.Parallel()
	for _, accepted := range []bool{false, true} {
		t.Run(fmt.Sprintf("accepted %v", accepted), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.mustList()
				var questions atomic.Int64
				r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
					if req.URL.Path != "/" {
						return icloudtest.Unauthorized(w, req)
					}
					if questions.Add(1) == 1 {
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
				if got := questions.Load(); got != 2 {
					t.Errorf("got %d questions, want 2", got)
				}
			})
		})
	}
}

// TestWaiterLeaves: a call that waits for another's question ends with its own
// context, at once.
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

// TestLateSuccess: a call that was already running when another was refused, and
// ends well, refutes nothing, however long the verdict takes to save; one that
// started after the refusal does.
func TestLateSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		start time.Duration // of the call that ends well, a minute later
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
					// The 401 was refuted before it was told to anyone.
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

// TestLate401: a 401 that arrives long after the question was answered shares
// the answer only if nothing has refuted it since.
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

// TestLate401AfterSuccess: the same where it was no question that refuted it, but a
// call that a redirect sent on after the refusal.
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

// TestRefusalSharedWithOwner: Authenticate, which waits for the question of an
// unattended call, is still the owner's.
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

// TestClockSetBack: a clock that was set back by a day makes no verdict surer and
// no password healthier than it is; at the latest when it is where it was, all
// goes on as ever.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	// Bubbles begin at the same time, so in the second one the dates of the
	// first lie in the future.
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

// failingStore fails.
type failingStore struct{ err error }

func (s failingStore) Load(context.Context, string) ([]byte, error) { return nil, s.err }
func (s failingStore) Save(context.Context, string, []byte) error   { return s.err }

// slowStore takes its time to save.
type slowStore struct {
	icloud.Store
	save time.Duration
}

func (s *slowStore) Save(ctx context.Context, key string, data []byte) error {
	select {
	case <-time.After(s.save):
		return s.Store.Save(ctx, key, data)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestOnStatusCallsBack: OnStatus may call every method, whatever call it is
// told in, and nothing deadlocks, which a bubble would notice.
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
			// At the first sign-in and during discovery, in doubt, when that
			// is cleared, when it is not, and when the latch opens.
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

// TestUncounted401AsksNothing: a 401 that is not iCloud's own is not even worth a
// question, which may be answered by the truth about another matter.
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

// TestDailyQuestion: a password that is known to be dead costs one request a day,
// whatever becomes of it.
func TestDailyQuestion(t *testing.T) {
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

// TestUnauthenticated: an answer that names nobody is no acceptance, wherever it
// comes from, and changes nothing.
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

// TestOnStatusOfTheCall: a change is reported in the call that made it, each change
// by itself, and before the cards that came with it.
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

// TestDailyQuestionCancelled: callers without patience do not ask a server that
// hangs about a dead password more than once a minute.
func TestDailyQuestionCancelled(t *testing.T) {
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
