// OnStatus for passwords that die after an earlier verdict was wrong.

package icloud_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// die lets the password of r die, and lists until the Client is signed out.
func (r *rig) die() *icloud.AuthError {
	r.t.Helper()
	r.srv.RevokeAll()
	_ = r.list()
	time.Sleep(20 * time.Minute)
	ae := verdictOf(r.t, r.list())
	if !ae.Confirmed {
		r.t.Fatalf("got %v, want it confirmed", ae)
	}
	return ae
}

// TestToldAfterRefutedVerdict: a verdict is refuted while it is being saved, and is not reported.
// When the password dies months later, that is reported.
func TestToldAfterRefutedVerdict(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dwell   time.Duration
		restart bool
	}{
		"no dwell":                 {dwell: -1},
		"no dwell, then a restart": {dwell: -1, restart: true},
		"owner present":            {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &slowStore{Store: &memoryStore{}}
				r := newRig(t, icloud.Options{Store: store, Dwell: tt.dwell})
				if tt.dwell != 0 {
					r.mustList()
				}
				r.toldSoFar()
				refused := 0
				r.opts.Transport = routed(r.srv, func(caller string, _ *http.Request) *http.Response {
					if caller != "refused" || refused == 2 {
						return nil
					}
					refused++
					return stray401()
				})
				r.restart()
				store.save = 10 * time.Minute
				var wg sync.WaitGroup
				wg.Go(func() {
					// It does not matter here what happens after the refutation.
					if tt.dwell != 0 {
						_ = r.listCtx(by(t.Context(), "refused"))
					} else {
						_ = r.Authenticate(by(t.Context(), "refused"))
					}
				})
				time.Sleep(time.Minute)
				r.mustList() // started after the refusal, and refutes it
				wg.Wait()
				store.save = 0
				r.mustList()
				if got := r.Status().State; got != icloud.Active {
					t.Fatalf("got state %v, want active", got)
				}
				r.toldSoFar()
				if tt.restart {
					r.restart()
				}
				for range 3 {
					time.Sleep(30 * day)
					r.mustList()
				}
				r.die()
				want := "doubted, signed out"
				if tt.dwell != 0 {
					want = "signed out"
				}
				if told := r.toldSoFar(); told != want {
					t.Errorf("when the password died, OnStatus was told %q, want %q", told, want)
				}
			})
		})
	}
}

// TestToldAfterRepairedVerdict: a wrong verdict is refuted by a daily probe. A later verdict is
// reported again, once.
func TestToldAfterRepairedVerdict(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for _, by := range []string{"the daily probe", "Reconnect"} {
			t.Run(fmt.Sprintf("%s, restart %v", by, restart), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, icloud.Options{Store: &memoryStore{}})
					r.mustList()
					r.srv.Intercept = icloudtest.For(time.Hour, icloudtest.Unauthorized)
					_ = r.list()
					time.Sleep(30 * time.Minute)
					if ae := verdictOf(t, r.list()); !ae.Confirmed {
						t.Fatalf("got %v, want it confirmed", ae)
					}
					if told := r.toldSoFar(); told != "active, doubted, signed out" {
						t.Fatalf("the false verdict: OnStatus was told %q", told)
					}
					time.Sleep(25 * time.Hour)
					if by == "Reconnect" {
						if err := r.Reconnect(t.Context(), r.cred); err != nil {
							t.Fatal(err)
						}
					}
					r.mustList()
					if told := r.toldSoFar(); told != "active" {
						t.Fatalf("the repair: OnStatus was told %q", told)
					}
					if restart {
						r.restart()
					}
					time.Sleep(30 * day)
					r.mustList()
					r.die()
					if told := r.toldSoFar(); told != "doubted, signed out" {
						t.Errorf("the true death: OnStatus was told %q, want %q", told, "doubted, signed out")
					}
					r.restart()
					verdictOf(t, r.list())
					if told := r.toldSoFar(); told != "" {
						t.Errorf("after a restart OnStatus was told %q again", told)
					}
				})
			})
		}
	}
}

// TestToldAfterDroppedVerdict: while a verdict is being saved, Reconnect replaces the
// password, so the verdict is not reported. A worker that still has the old password
// reports it nevertheless.
func TestToldAfterDroppedVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Store: &memoryStore{}}
		r := newRig(t, icloud.Options{Store: store, Dwell: -1})
		r.mustList()
		other := r.Client
		r.opts.Transport = routed(r.srv, func(caller string, req *http.Request) *http.Response {
			if _, password, _ := req.BasicAuth(); caller == "refused" && password == r.cred.Password.Reveal() {
				return stray401()
			}
			return nil
		})
		r.restart()
		r.mustList()
		store.save = 10 * time.Minute
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.listCtx(by(t.Context(), "refused")); err != nil {
				t.Errorf("the listing during the Reconnect: got %v", err)
			}
		})
		time.Sleep(time.Minute)
		if err := r.Reconnect(t.Context(), r.srv.Issue()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		store.save = 0
		r.toldSoFar()

		r.Client = other
		time.Sleep(30 * day)
		r.srv.RevokeAll()
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Fatalf("got %v, want it confirmed", ae)
		}
		if told := r.toldSoFar(); told != "signed out" {
			t.Errorf("the other worker: OnStatus was told %q, want %q", told, "signed out")
		}
	})
}
