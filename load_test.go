// Thousands of Clients on one Store at once, as in a service that polls for all customers,
// also for the race detector.

package icloud_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// loadStore is a Store in a map, which counts calls.
type loadStore struct {
	mu           sync.Mutex
	data         map[string][]byte
	loads, saves int
}

func (s *loadStore) Load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	return bytes.Clone(s.data[key]), ctx.Err()
}

func (s *loadStore) Save(ctx context.Context, key string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	s.data[key] = bytes.Clone(data)
	return ctx.Err()
}

// loadTransport calls the Server without a connection between: 2,000 accounts
// on connections would be more goroutines than the race detector can follow.
type loadTransport struct{ *icloudtest.Server }

func (t loadTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	seen := r.Clone(r.Context())
	seen.Host, seen.TLS = r.URL.Host, &tls.ConnectionState{} // as a server has them
	if seen.Body == nil {
		seen.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.ServeHTTP(w, seen)
	resp := w.Result()
	for name, values := range resp.Header {
		// The Server writes some header names in lower case, as HTTP/2 does. A
		// connection would change that.
		delete(resp.Header, name)
		resp.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp.Request = r
	return resp, nil
}

// TestLoad: one password in 100 is revoked while all Clients work. That is too few for an
// incident. Each account has two workers, as during a deployment.
func TestLoad(t *testing.T) {
	const revokeEach = 100
	dir := icloud.DirStore(t.TempDir())
	inMap := &loadStore{data: make(map[string][]byte)}
	many, some := 2000, 500 // a file is synced, which takes its time
	if testing.Short() {
		many, some = 200, 100
	}
	for _, test := range []struct {
		name  string
		n     int
		store icloud.Store
		keys  func(t *testing.T) int
	}{
		{"map", many, inMap, func(*testing.T) int { return len(inMap.data) }},
		{"DirStore", some, dir, func(t *testing.T) int {
			files, err := os.ReadDir(string(dir))
			if err != nil {
				t.Fatal(err)
			}
			return len(files) // includes temporary files that were left
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			accounts := test.n
			ctx := t.Context()
			fleet := new(icloud.Fleet)
			type account struct {
				*icloudtest.Server
				cred    icloud.Credential
				workers [2]*icloud.Client
				verdict icloud.AuthError // if the password is revoked
			}
			var mu sync.Mutex
			told := make(map[string]int) // by account: how often OnStatus said SignedOut
			start := func(a *account) *icloud.Client {
				c, err := icloud.New(a.cred, &icloud.Options{
					Store: test.store, Fleet: fleet, Dwell: -1, Transport: loadTransport{a.Server},
					OnStatus: func(_ context.Context, s icloud.Status) {
						if s.State == icloud.SignedOut {
							mu.Lock()
							defer mu.Unlock()
							told[a.cred.AppleID]++
						}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			all := make([]account, accounts)
			for i := range all {
				a := &all[i]
				a.Server = icloudtest.NewServer()
				defer a.Close()
				a.Put("1.vcf", fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:%d\r\nEND:VCARD\r\n", i))
				// Backdated, because a password that is issued in the same
				// instant as it is used has a date that may count as unknown.
				a.cred = a.IssueAt(time.Now().Add(-time.Hour))
				a.workers = [2]*icloud.Client{start(a), start(a)}
			}
			// each calls f for every account, two workers each, all at once.
			each := func(f func(i int, a *account, c *icloud.Client) error) {
				t.Helper()
				var wg sync.WaitGroup
				for i := range all {
					for _, c := range all[i].workers {
						wg.Go(func() {
							if err := f(i, &all[i], c); err != nil {
								t.Errorf("account %d: %v", i, err)
							}
						})
					}
				}
				wg.Wait()
			}
			list := func(i int, c *icloud.Client) error {
				n := 0
				for contact, err := range c.Contacts(ctx) {
					if err != nil {
						return err
					}
					n++
					// Accounts must not be mixed up.
					if want := fmt.Sprint(i); contact.Name != want {
						return fmt.Errorf("got contact %q, want %q", contact.Name, want)
					}
				}
				if n != 1 {
					return fmt.Errorf("got %d contacts, want 1", n)
				}
				return nil
			}

			each(func(i int, _ *account, c *icloud.Client) error { return list(i, c) })
			if got := test.keys(t); got != accounts {
				t.Errorf("after a first listing: got %d keys, want %d", got, accounts)
			}

			for i := 0; i < accounts; i += revokeEach {
				all[i].Revoke(all[i].cred.Password)
			}
			judge := func(i int, a *account, c *icloud.Client) error {
				err := list(i, c)
				if i%revokeEach != 0 {
					return err
				}
				v, ok := errors.AsType[*icloud.AuthError](err)
				if !ok || !v.Confirmed || v.Err != icloud.ErrPasswordRevoked {
					return fmt.Errorf("got %v, want it revoked and confirmed", err)
				}
				mu.Lock()
				defer mu.Unlock()
				a.verdict = *v
				return nil
			}
			each(judge)
			if since, ok := fleet.Incident(); ok {
				t.Errorf("got an incident since %v, want none", since)
			}

			// All Clients are restarted. They know who is SignedOut, and where the
			// address books are.
			before := make([]int, accounts)
			for i := range all {
				before[i] = all[i].Requests()
				all[i].workers = [2]*icloud.Client{start(&all[i]), start(&all[i])}
			}
			each(judge)
			for i := range all {
				want := 2 // one listing of each worker
				if i%revokeEach == 0 {
					want = 0
				}
				if got := all[i].Requests() - before[i]; got != want {
					t.Errorf("account %d: got %d requests after a restart, want %d", i, got, want)
				}
			}
			if got := test.keys(t); got != accounts {
				t.Errorf("at the end: got %d keys, want %d", got, accounts)
			}
			for id, n := range told {
				// If two save at the same moment, both may report it.
				if n > 2 {
					t.Errorf("%s: told %d times that it is signed out", id, n)
				}
			}
			if want := (accounts + revokeEach - 1) / revokeEach; len(told) != want {
				t.Errorf("got %d accounts signed out, want %d", len(told), want)
			}
		})
	}
	// There are three listings by two workers each. The first saves; the second does not,
	// because an hour has not passed, unless there is a verdict.
	revoked := (many + revokeEach - 1) / revokeEach
	if most := 2*many + 2*revoked; inMap.saves > most {
		t.Errorf("got %d Saves, want %d at most", inMap.saves, most)
	}
	// Each Client loads once, and before each Save, and at times to learn of a doubt of
	// another Client.
	if most := 10*many + inMap.saves; inMap.loads > most {
		t.Errorf("got %d Loads, want %d at most", inMap.loads, most)
	}
}
