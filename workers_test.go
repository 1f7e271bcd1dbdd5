// Several Clients of one account on one Store, as in several processes.

package icloud_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// signedOutWorkers returns a rig and two Clients of its account that share store. Stray
// refusals for an hour, which have ended, have signed both out.
func signedOutWorkers(t *testing.T, store icloud.Store) (r *rig, a, b *icloud.Client) {
	t.Helper()
	r = newRig(t, icloud.Options{Store: store})
	r.mustList()
	a = r.Client
	r.restart()
	r.mustList()
	b = r.Client
	r.srv.Intercept = icloudtest.For(time.Hour, icloudtest.Unauthorized)
	r.Client = a
	_ = r.list()
	time.Sleep(30 * time.Minute)
	for _, r.Client = range []*icloud.Client{a, b} {
		_ = r.list()
		time.Sleep(16 * time.Minute)
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Fatalf("got %v, want it confirmed", ae)
		}
	}
	time.Sleep(time.Hour)
	r.Client = a
	return r, a, b
}

// TestWorkersRepair: one worker finds that the password works after all. The others work
// again within a minute, without sending a probe.
func TestWorkersRepair(t *testing.T) {
	t.Parallel()
	for name, repair := range map[string]func(*testing.T, *rig){
		"Reconnect": func(t *testing.T, r *rig) {
			if err := r.Reconnect(t.Context(), r.cred); err != nil {
				t.Fatal(err)
			}
		},
		"Reconnect of a new Client": func(t *testing.T, r *rig) {
			r.restart()
			if err := r.Reconnect(t.Context(), r.cred); err != nil {
				t.Fatal(err)
			}
		},
		"the daily probe": func(_ *testing.T, r *rig) {
			time.Sleep(25 * time.Hour)
			r.mustList()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, _, b := signedOutWorkers(t, &memoryStore{})
				repair(t, r)
				r.toldSoFar()
				time.Sleep(61 * time.Second)
				r.Client = b
				if n := r.requests(r.mustList); n != 1 {
					t.Errorf("the other worker's listing: got %d requests, want 1", n)
				}
				if got := r.Status(); got.State != icloud.Active || got.Err != nil {
					t.Errorf("the other worker: got status %+v, want active", got)
				}
			})
		})
	}
}

// TestWorkersLook: a SignedOut Client reads the Store at most once a minute and sends
// nothing, however often it is called.
func TestWorkersLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r, _, b := signedOutWorkers(t, store)
		r.Client = b
		same := r.Status().Err
		loads := store.loads
		if n := r.requests(func() {
			for range 10 * 60 {
				if err := r.list(); err != same {
					t.Fatalf("got %v, want the verdict and nothing else", err)
				}
				time.Sleep(time.Second)
			}
		}); n != 0 {
			t.Errorf("got %d requests in ten minutes, want 0", n)
		}
		switch n := store.loads - loads; {
		case n > 11:
			t.Errorf("got %d looks into the Store in ten minutes, want one a minute", n)
		case n < 9:
			t.Errorf("got %d looks into the Store in ten minutes, want one a minute: another worker may have repaired the verdict", n)
		}
	})
}
