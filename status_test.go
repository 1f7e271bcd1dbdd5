// What Status and Load know between calls.

package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// replacedWorkers returns a rig and two Clients that share a Store. Both know that their
// password is dead; then a gets another one.
func replacedWorkers(t *testing.T, store icloud.Store) (r *rig, a, b *icloud.Client, next icloud.Credential) {
	t.Helper()
	r = newRig(t, icloud.Options{Store: store})
	r.mustList()
	a = r.Client
	r.restart()
	r.mustList()
	b = r.Client
	r.die()
	r.Client = a
	_ = r.list()
	time.Sleep(20 * time.Minute)
	if ae := verdictOf(t, r.list()); !ae.Confirmed {
		t.Fatalf("got %v, want it confirmed", ae)
	}
	time.Sleep(time.Hour)
	next = r.srv.Issue()
	if err := r.Reconnect(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	r.toldSoFar()
	return r, a, b, next
}

// TestReplaced: one worker gets another password. The others stay SignedOut, because the Store
// has no passwords, and Status.Replaced says since when another password works.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(*testing.T, *rig){
		"a call": func(t *testing.T, r *rig) {
			same := r.Status().Err
			if err := r.list(); err != same {
				t.Errorf("got %v, want the verdict and nothing else", err)
			}
		},
		"Load": func(t *testing.T, r *rig) {
			if err := r.Load(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"Load of a new Client": func(t *testing.T, r *rig) {
			r.restart()
			if err := r.Load(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, _, b, next := replacedWorkers(t, &memoryStore{})
				replaced := time.Now()
				time.Sleep(61 * time.Second)
				r.Client = b
				if n := r.requests(func() { look(t, r) }); n != 0 {
					t.Errorf("got %d requests, want 0", n)
				}
				got := r.Status()
				if ae := verdictOf(t, got.Err); got.State != icloud.SignedOut || !ae.Confirmed || !got.Replaced.Equal(replaced) {
					t.Errorf("got status %+v, want signed out and replaced at %v", got, replaced)
				}
				if told := r.toldSoFar(); told != "" {
					t.Errorf("OnStatus was told %q, want nothing", told)
				}
				if err := r.Reconnect(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				if got := r.Status(); got.State != icloud.Active || !got.Replaced.IsZero() {
					t.Errorf("after Reconnect: got status %+v, want active, and not replaced", got)
				}
				r.mustList()
			})
		})
	}
}

// TestNotReplaced: Replaced is zero if the other password worked only before this one was
// refused, or while this one works or is Doubted.
func TestNotReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: &memoryStore{}})
		r.mustList()
		next := r.srv.Issue()
		if err := r.Reconnect(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		r.restart() // with the first password
		r.mustList()
		time.Sleep(time.Hour)
		check := func(when string, want icloud.State) {
			t.Helper()
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := r.Status(); got.State != want || !got.Replaced.IsZero() {
				t.Errorf("%s: got status %+v, want %v and not replaced", when, got, want)
			}
		}
		check("both work", icloud.Active)
		r.srv.RevokeAll()
		_ = r.list()
		check("in doubt", icloud.Doubted)
		time.Sleep(time.Hour)
		_ = r.list()
		check("both are dead", icloud.SignedOut)
	})
}

// TestLoadKnows: after Load a Client that has made no call says the same as the worker's Client,
// in every state, without a request and without a call of OnStatus.
func TestLoadKnows(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*rig){
		"untested": func(*rig) {},
		"active":   (*rig).mustList,
		"expiring": func(r *rig) { r.mustList(); time.Sleep(350 * day); r.mustList() },
		"outlived": func(r *rig) {
			r.mustList()
			time.Sleep(364 * day)
			r.mustList()
			time.Sleep(20 * day)
			r.mustList()
		},
		"doubted":    func(r *rig) { r.mustList(); r.srv.RevokeAll(); _ = r.list() },
		"signed out": func(r *rig) { r.mustList(); r.die() },
		"expired": func(r *rig) {
			r.mustList()
			time.Sleep(364 * day)
			r.mustList()
			time.Sleep(2 * day)
			r.die()
		},
		"rejected": func(r *rig) { r.srv.RevokeAll(); _ = r.Authenticate(r.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &memoryStore{}
				r := newRig(t, icloud.Options{Store: store})
				if name == "outlived" {
					// The passwords of the fake expire after a year.
					r.cred = r.srv.IssueAt(time.Now().Add(30 * day))
					r.cred.Issued = time.Now()
					r.restart()
				}
				prepare(r)
				worker := r.Status()
				r.toldSoFar()
				r.restart()
				if n := r.requests(func() {
					for range 2 {
						if err := r.Load(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}); n != 0 {
					t.Errorf("got %d requests, want 0", n)
				}
				got := r.Status()
				var a, b icloud.AuthError
				if worker.Err != nil && got.Err != nil {
					a, b = *verdictOf(t, worker.Err), *verdictOf(t, got.Err)
				}
				if (worker.Err == nil) != (got.Err == nil) || a != b {
					t.Errorf("got %+v, want %+v", got.Err, worker.Err)
				}
				got.Err, worker.Err = nil, nil
				if got != worker {
					t.Errorf("got status %+v, want %+v", got, worker)
				}
				if told := r.toldSoFar(); told != "" {
					t.Errorf("OnStatus was told %q, want nothing", told)
				}
			})
		})
	}
}

// TestLoadOnce: each Load reads the Store once, and concurrent calls share one read.
func TestLoadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		for want := range 3 {
			if store.loads != want {
				t.Fatalf("got %d loads, want %d", store.loads, want)
			}
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		store.failLoad = errors.New("no connection")
		err := r.Load(t.Context())
		noVerdict(t, err)
		if !errors.Is(err, store.failLoad) {
			t.Errorf("got %v, want it to wrap the Store's error", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Load(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		slow := &slowLoads{Store: store}
		r := newRig(t, icloud.Options{Store: slow})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := r.Load(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if store.loads > 2 {
			t.Errorf("ten calls side by side: got %d loads, want them shared", store.loads)
		}
		// Without a Store there is nothing to load.
		r.opts.Store = nil
		r.restart()
		if err := r.Load(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// slowLoads takes a second to load.
type slowLoads struct{ icloud.Store }

func (s *slowLoads) Load(ctx context.Context, key string) ([]byte, error) {
	select {
	case <-time.After(time.Second):
		return s.Store.Load(ctx, key)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestNextTry: when another call is worth making, in each state.
func TestNextTry(t *testing.T) {
	t.Parallel()
	in := func(t *testing.T, r *rig, when string, want time.Duration) {
		t.Helper()
		at := time.Time{}
		if want > 0 {
			at = time.Now().Add(want)
		}
		if got := r.Status().NextTry; !got.Equal(at) {
			t.Errorf("%s: got NextTry %v, want %v, in %v", when, got, at, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: &memoryStore{}})
		in(t, r, "untested", 0)
		r.mustList()
		in(t, r, "active", 0)
		r.srv.RevokeAll()
		ae := verdictOf(t, r.list())
		in(t, r, "doubted", time.Minute)
		if got := r.Status().Final; !got.Equal(ae.Refused.Add(15 * time.Minute)) {
			t.Errorf("got Final %v, want a quarter of an hour after the refusal", got)
		}
		time.Sleep(20 * time.Second)
		_ = r.list()
		in(t, r, "doubted, 20 seconds later", 40*time.Second)
		time.Sleep(time.Hour)
		_ = r.list()
		in(t, r, "signed out", 24*time.Hour)
		if got := r.Status().Final; !got.IsZero() {
			t.Errorf("signed out: got Final %v, want zero", got)
		}
		r.restart()
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		in(t, r, "signed out, after a restart", 24*time.Hour)
		if err := r.Reconnect(t.Context(), r.srv.Issue()); err != nil {
			t.Fatal(err)
		}
		in(t, r, "connected again", 0)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Intercept = icloudtest.Times(1, icloudtest.Status(503, "Retry-After", "600"))
		waitOf(t, r.list())
		in(t, r, "throttled", 10*time.Minute)
		time.Sleep(10 * time.Minute)
		r.mustList()
		in(t, r, "after the wait", 0)
	})
	for name, fault := range map[string]icloudtest.Fault{
		"503": icloudtest.Status(503), "500": icloudtest.Status(500), "502": icloudtest.BadGateway, "reset": icloudtest.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.mustList()
				r.srv.Intercept = fault
				want := time.Minute
				for i := range 10 {
					// Concurrent failures count once.
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() { noVerdict(t, r.list()) })
					}
					wg.Wait()
					in(t, r, fmt.Sprintf("failure %d", i), want)
					time.Sleep(want)
					want = min(2*want, time.Hour)
				}
				// The failure of a photo or a card is not one of the account.
				r.srv.Intercept = nil
				r.mustList()
				in(t, r, "after a success", 0)
				r.srv.Intercept = fault
				_, _, err := r.Photo(t.Context(), photoAt("https://gateway.icloud.com/contacts/1/photo"))
				noVerdict(t, err)
				in(t, r, "after a photo", 0)
			})
		})
	}
}

// TestStoreErr: Status has the error of a Store that fails, and OnStoreError is called when that
// begins and when it ends.
func TestStoreErr(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		var told []error
		r := newRig(t, icloud.Options{Store: store, OnStoreError: func(_ context.Context, err error) { told = append(told, err) }})
		r.mustList()
		if got := r.Status().StoreErr; got != nil || told != nil {
			t.Errorf("got StoreErr %v, told %v, want none", got, told)
		}
		store.failSave = errors.New("disk full")
		for range 5 {
			time.Sleep(2 * time.Hour)
			r.mustList()
			if got := r.Status().StoreErr; !errors.Is(got, store.failSave) {
				t.Errorf("got StoreErr %v, want it to wrap the Store's error", got)
			}
		}
		if len(told) != 1 || !errors.Is(told[0], store.failSave) {
			t.Errorf("OnStoreError was told %v, want the error once", told)
		}
		store.failSave = nil
		time.Sleep(2 * time.Hour)
		r.mustList()
		if got := r.Status().StoreErr; got != nil || len(told) != 2 || told[1] != nil {
			t.Errorf("got StoreErr %v, told %v, want none, and to be told that it is over", got, told)
		}
	})
}

// TestStoreErrOfADeadline: if the deadline of a call passes while iCloud does not answer, a Store
// that works is not blamed.
func TestStoreErrOfADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []error
		r := newRig(t, icloud.Options{Store: &memoryStore{}, OnStoreError: func(_ context.Context, err error) { told = append(told, err) }})
		r.mustList()
		time.Sleep(2 * time.Minute)
		r.mustList()
		r.srv.Intercept = icloudtest.Stall
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			err := r.listCtx(ctx)
			cancel()
			noVerdict(t, err)
			if got := r.Status().StoreErr; got != nil || told != nil {
				t.Fatalf("got StoreErr %v, and OnStoreError was told %v, want none", got, told)
			}
		}
	})
}
