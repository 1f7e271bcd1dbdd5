package icloud_test

import (
	"context"
	"errors"
	"fmt"
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

// TestReconnect: in every state a good password makes the Client Active, and sync tokens stay
// valid.
func TestReconnect(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*rig){
		"untested": func(*rig) {},
		"active":   (*rig).mustList,
		"doubted":  func(r *rig) { r.mustList(); r.srv.RevokeAll(); _ = r.list() },
		"signed out": func(r *rig) {
			r.mustList()
			r.srv.RevokeAll()
			_ = r.list()
			time.Sleep(time.Hour)
			_ = r.list()
		},
		"expired": func(r *rig) {
			r.mustList()
			time.Sleep(366 * day)
			_ = r.list()
			time.Sleep(time.Hour)
			_ = r.list()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				token := ""
				if name != "untested" {
					next, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
					if err != nil {
						t.Fatal(err)
					}
					token = next
				}
				prepare(r)
				r.toldSoFar()
				was := r.Status().State
				next := r.srv.Issue()
				next.LastAccepted = time.Time{}
				if n := r.requests(func() {
					if err := r.Reconnect(t.Context(), next); err != nil {
						t.Fatal(err)
					}
				}); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
				status := r.Status()
				if status.State != icloud.Active || status.Err != nil || !status.Issued.Equal(next.Issued) || !status.LastAccepted.Equal(time.Now()) {
					t.Errorf("got status %+v", status)
				}
				want := "active"
				if was == icloud.Active {
					want = ""
				}
				if told := r.toldSoFar(); told != want {
					t.Errorf("OnStatus was told %q, want %q", told, want)
				}
				r.mustList()
				if token != "" {
					n := 0
					if _, err := r.Sync(t.Context(), token, func(icloud.Change) error { n++; return nil }); err != nil || n != 0 {
						t.Errorf("Sync with the old token: got %d changes, %v", n, err)
					}
				}
				// It is judged by its own dates, not by those of the old password.
				r.srv.RevokeAll()
				ae := verdictOf(t, r.list())
				if ae.Confirmed || ae.Err != icloud.ErrPasswordRevoked || !ae.Refused.Equal(time.Now()) || !ae.Issued.Equal(next.Issued) {
					t.Errorf("got %v", ae)
				}
			})
		})
	}
}

// TestReconnectRefused: the Client keeps the old password and what it knows of it.
func TestReconnectRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.toldSoFar()
		wrong := icloud.Credential{AppleID: r.cred.AppleID, Password: icloud.UncheckedPassword("aaaa-bbbb-cccc-dddd")}
		before := r.Status()
		ae := verdictOf(t, r.Reconnect(t.Context(), wrong))
		if ae.Err != icloud.ErrPasswordRejected || !ae.Confirmed || ae.Certainty != icloud.Likely {
			t.Errorf("got %v", ae)
		}
		if got := r.Status(); got != before {
			t.Errorf("got status %+v, want %+v", got, before)
		}
		r.mustList()

		// A SignedOut Client stays so, with the same AuthError.
		r.srv.RevokeAll()
		_ = r.list()
		time.Sleep(time.Hour)
		final := verdictOf(t, r.list())
		r.toldSoFar()
		if ae := verdictOf(t, r.Reconnect(t.Context(), wrong)); ae == final || ae.Err != icloud.ErrPasswordRejected {
			t.Errorf("got %v", ae)
		}
		if n := r.requests(func() {
			if ae := verdictOf(t, r.list()); ae != final {
				t.Errorf("got %v, want the old password's verdict", ae)
			}
		}); n != 0 {
			t.Errorf("got %d requests, want 0", n)
		}
		if told := r.toldSoFar(); told != "" {
			t.Errorf("OnStatus was told %q, want nothing", told)
		}
		// Reconnect with the same password sends a request even while SignedOut, and
		// returns the same verdict.
		if n := r.requests(func() { verdictOf(t, r.Reconnect(t.Context(), r.cred)) }); n != 2 {
			t.Errorf("got %d requests, want 2", n)
		}
		// A single stray 401 does not refuse a good password.
		next := r.srv.Issue()
		r.srv.Intercept = icloudtest.Times(1, icloudtest.Unauthorized)
		if err := r.Reconnect(t.Context(), next); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		r.mustList()
	})
}

// TestReconnectSame: the owner enters the present password again.
func TestReconnectSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// A password that has never worked: the refusal is final.
		r := newRig(t, icloud.Options{})
		r.srv.RevokeAll()
		verdictOf(t, r.list())
		ae := verdictOf(t, r.Reconnect(t.Context(), r.cred))
		if !ae.Confirmed {
			t.Errorf("got %v, want confirmed", ae)
		}
		if got := r.Status(); got.State != icloud.SignedOut || got.Err != error(ae) {
			t.Errorf("got status %+v, want signed out with the verdict", got)
		}
		if told := r.toldSoFar(); told != "doubted, signed out" {
			t.Errorf("OnStatus was told %q", told)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// A passing refusal has signed the Client out.
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.Intercept = icloudtest.For(time.Hour, icloudtest.Unauthorized)
		_ = r.list()
		time.Sleep(59 * time.Minute)
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Fatalf("got %v, want confirmed", ae)
		}
		time.Sleep(time.Hour)
		first := r.Status().LastAccepted
		if err := r.Reconnect(t.Context(), r.cred); err != nil {
			t.Fatal(err)
		}
		if got := r.Status(); got.State != icloud.Active || !got.LastAccepted.After(first) {
			t.Errorf("got status %+v", got)
		}
		r.mustList()
	})
}

// TestReconnectAnother: another account is an error before anything is sent or
// loaded.
func TestReconnectAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		r := newRig(t, icloud.Options{Store: store})
		good := r.srv.Issue()
		for _, cred := range []icloud.Credential{
			{AppleID: "somebody@example.com", Password: good.Password},
			{AppleID: "", Password: good.Password},
			{AppleID: good.AppleID},
			{AppleID: good.AppleID, Password: icloud.UncheckedPassword("line\nbreak")},
		} {
			if n := r.requests(func() { noVerdict(t, r.Reconnect(t.Context(), cred)) }); n != 0 || store.loads != 0 {
				t.Errorf("%v: got %d requests and %d loads, want none", cred, n, store.loads)
			}
		}
		// Another spelling is not another account.
		good.AppleID = "  " + string(good.AppleID[0]-'a'+'A') + good.AppleID[1:]
		if err := r.Reconnect(t.Context(), good); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// TestReconnectOpen: a Reconnect without an answer changes nothing, and may be repeated.
func TestReconnectOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		r.srv.RevokeAll()
		_ = r.list()
		next := r.srv.Issue()
		before := r.Status()
		var well atomic.Bool
		r.srv.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			return !well.Load() && icloudtest.Stall(w, req)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Reconnect(ctx, next); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		got := r.Status()
		got.NextTry = before.NextTry // may differ, because it is advice
		if got != before {
			t.Errorf("got status %+v, want %+v", got, before)
		}
		well.Store(true)
		if err := r.Reconnect(t.Context(), next); err != nil {
			t.Error(err)
		}
		r.mustList()
	})
}

// TestReconnectWhileCallsRun: while a hundred calls run, the old password dies and a good one
// replaces it. No call fails because of the refusal of the old password.
func TestReconnectWhileCallsRun(t *testing.T) {
	t.Parallel()
	for _, revoke := range []string{"before", "before, and in doubt", "while asked", "never"} {
		t.Run(revoke, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{Store: icloud.DirStore(t.TempDir())})
				r.mustList()
				old := r.cred
				next := r.srv.Issue()
				if revoke == "before, and in doubt" {
					r.srv.Revoke(old.Password)
					verdictOf(t, r.list())
				}
				var n atomic.Int64
				r.srv.Intercept = func(_ http.ResponseWriter, req *http.Request) bool {
					_, password, _ := req.BasicAuth()
					// The new password's probe is answered while the calls are
					// under way and 401s arrive.
					switch {
					case req.URL.Path == "/" && password == next.Password.Reveal():
						time.Sleep(5 * time.Second)
					case req.URL.Path == "/":
						t.Error("the old password was asked about")
					default:
						time.Sleep(time.Duration(n.Add(1)*100) * time.Millisecond)
					}
					return false
				}
				if strings.HasPrefix(revoke, "before") {
					r.srv.Revoke(old.Password)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					time.Sleep(time.Millisecond)
					if err := r.Reconnect(t.Context(), next); err != nil {
						t.Errorf("Reconnect: got %v", err)
					}
				})
				time.Sleep(2 * time.Millisecond)
				for i := range 100 {
					wg.Go(func() {
						var err error
						switch i % 4 {
						case 0, 1:
							err = r.list()
						case 2:
							_, err = r.Contact(t.Context(), "1.vcf")
						case 3:
							id := fmt.Sprintf("new-%d.vcf", i)
							var etag string
							if etag, err = r.Put(t.Context(), id, []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:New\r\nEND:VCARD\r\n"), ""); err == nil {
								err = r.Delete(t.Context(), id, etag)
							}
						}
						if err != nil && i%4 > 1 {
							t.Errorf("call %d: got %v, want no error", i, err)
						}
						if _, ok := errors.AsType[*icloud.AuthError](err); ok {
							t.Errorf("call %d: got %v, a verdict", i, err)
						}
					})
				}
				if revoke == "while asked" {
					time.Sleep(2 * time.Second)
					r.srv.Revoke(old.Password)
				}
				wg.Wait()
				if got := r.Status(); got.State != icloud.Active || got.Err != nil {
					t.Errorf("got status %+v, want active", got)
				}
			})
		})
	}
}

// TestReconnectConcurrently: many concurrent Reconnects with good and bad passwords; in the end
// the Client has a good one.
func TestReconnectConcurrently(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{Store: &memoryStore{}})
		r.mustList()
		var wg sync.WaitGroup
		for i := range 20 {
			cred := icloud.Credential{AppleID: r.cred.AppleID, Password: icloud.UncheckedPassword(fmt.Sprint("wrong", i))}
			if i%2 == 0 {
				cred = r.srv.Issue()
			}
			wg.Go(func() {
				err := r.Reconnect(t.Context(), cred)
				if (err == nil) != (i%2 == 0) {
					t.Errorf("Reconnect %d: got %v", i, err)
				}
			})
			wg.Go(func() { _ = r.list() })
		}
		wg.Wait()
		r.mustList()
		if got := r.Status().State; got != icloud.Active {
			t.Errorf("got state %v, want active", got)
		}
	})
}

// TestReconnectBack: the Client remembers without a Store that an earlier password has worked,
// although another one has replaced it in between.
func TestReconnectBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, icloud.Options{})
		r.mustList()
		first, second := r.cred, r.srv.Issue()
		if err := r.Reconnect(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		r.srv.Revoke(first.Password)
		ae := verdictOf(t, r.Reconnect(t.Context(), first))
		if !errors.Is(ae, icloud.ErrPasswordRevoked) || ae.Confirmed || ae.LastAccepted.IsZero() {
			t.Errorf("got %v, want it revoked, and a doubt", ae)
		}
		r.mustList()
	})
}

// TestReconnectCancelled: a call whose context has ended before sends nothing and changes
// nothing, even if the Transport ignores the context.
func TestReconnectCancelled(t *testing.T) {
	t.Parallel()
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	client, err := icloud.New(srv.Issue(), &icloud.Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return srv.Transport().RoundTrip(r.WithContext(context.Background()))
	})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Reconnect(ctx, srv.Issue()); !errors.Is(err, context.Canceled) || srv.Requests() != 0 {
		t.Errorf("got %v after %d requests", err, srv.Requests())
	}
}

// TestReconnectPanics: if the Transport panics in one call and the program recovers, later calls
// work.
func TestReconnectPanics(t *testing.T) {
	t.Parallel()
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	broken := true
	client, err := icloud.New(srv.Issue(), &icloud.Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if broken {
			panic("a Transport's fault")
		}
		return srv.Transport().RoundTrip(r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	next := srv.Issue()
	func() {
		defer func() { _ = recover() }()
		_ = client.Reconnect(t.Context(), next)
	}()
	broken = false
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.Reconnect(ctx, next); err != nil {
		t.Error(err)
	}
}
