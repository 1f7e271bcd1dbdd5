// Package fakecontrol controls a fake iCloud from outside of its process, for programs and
// tests in any language: its accounts, passwords, cards and faults, and its log of requests.
// It is controlled by HTTP with JSON, or by lines that a person types. A typed line becomes
// a request to the same handler.
//
// openapi.json describes the HTTP operations; a test compares it with the handlers.
package fakecontrol

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// Config is the state of a Fake at its start and after each reset.
type Config struct {
	// AppleID is that of the first account.
	AppleID string

	// Endpoint is the URL at which clients reach the Fake. It is only reported.
	Endpoint string

	// HomeHost and PartitionOnly are as in icloudtest.Server.
	HomeHost      string
	PartitionOnly bool

	// CA is the file with the certificate to trust, if Endpoint is https. It is
	// only reported.
	CA string

	// Age is how old the first password is.
	Age time.Duration

	// Sample are the cards of the first account, and Cards is how many invented cards
	// it has besides. Invent returns the n-th invented card; n begins at 1.
	Sample []Card
	Cards  int
	Invent func(n int) (id, vcard string)
}

// A Fake is a fake iCloud that can be controlled. As an http.Handler it serves CardDAV
// clients; Control returns the handler that controls it.
type Fake struct {
	config  Config
	control http.Handler

	// settings is read-locked by every request of a CardDAV client, and write-locked
	// while settings change, because icloudtest allows that only between requests.
	settings sync.RWMutex
	world    atomic.Pointer[world]

	mu sync.Mutex // held during each operation; guards the passwords of accounts
}

// world is the state that a reset replaces.
type world struct {
	srv   *icloudtest.Server
	first *account

	mu       sync.Mutex // guards what follows; never held while an answer is written
	accounts map[string]*account
	order    []*account
	faults   []*fault // the latest first
	made     int      // how many faults were made
	log      requestLog
	aborted  context.Context // when it ends, requests that a fault stalls end
	abort    context.CancelFunc
}

// New starts a Fake. Close it after use.
func New(config Config) *Fake {
	f := &Fake{config: config}
	f.control = f.routes()
	f.reset()
	return f
}

// Close ends the Fake.
func (f *Fake) Close() { f.world.Load().close() }

func (w *world) close() {
	w.mu.Lock()
	w.abort()
	w.mu.Unlock()
	w.srv.Close()
}

// Control returns the handler of the control port.
func (f *Fake) Control() http.Handler { return f.control }

// Start returns the first account's credential, as the control port reports it.
func (f *Fake) Start() Credential {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.world.Load().first
	return f.credential(first, first.passwords[0])
}

// reset returns to the state at the start: one account with the same Apple ID, a new password
// and the cards of the Config, no faults, and an empty log of requests.
func (f *Fake) reset() *account {
	w := &world{srv: icloudtest.NewServer(), accounts: make(map[string]*account)}
	w.aborted, w.abort = context.WithCancel(context.Background())
	w.srv.HomeHost, w.srv.PartitionOnly = f.config.HomeHost, f.config.PartitionOnly
	w.srv.SetIntercept(w.intercept)
	w.first = w.add(f.config.AppleID)
	w.first.issue(time.Now().Add(-f.config.Age))
	for _, c := range f.config.Sample {
		w.first.Put(c.ID, c.VCard)
	}
	f.invent(w.first, f.config.Cards)
	if old := f.world.Swap(w); old != nil {
		old.close()
	}
	return w.first
}

// ServeHTTP answers CardDAV clients, and logs their requests.
func (f *Fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.settings.RLock()
	defer f.settings.RUnlock()
	w := f.world.Load()
	w.mu.Lock()
	aborted := w.aborted
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(aborted, cancel)()
	out := &recorder{ResponseWriter: rw}
	began := time.Now()
	defer func() { w.note(r, began, out.status) }() // deferred, because a fault may panic
	w.srv.ServeHTTP(out, r.WithContext(ctx))
}
