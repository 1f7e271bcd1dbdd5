// Package fakecontrol controls a fake iCloud from outside of its process, for
// programs and tests in any language: accounts, passwords, cards, faults, and what
// was asked. There are two ways to it, HTTP with JSON and lines that a person types,
// and one code: a typed line becomes a request to the same handler.
//
// openapi.json describes the HTTP side; a test holds it against the handlers.
package fakecontrol

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// Config is what a Fake is like at its start, and after each reset.
type Config struct {
	// AppleID is the first account's.
	AppleID string

	// Endpoint is the URL at which clients reach the Fake. It is only reported.
	Endpoint string

	// HomeHost is the host of the home-set's URL where iCloud's own names are not
	// in use, and PartitionOnly keeps the account's paths to it, as the fields of
	// icloudtest.Server of the same names. Empty: the host that was asked.
	HomeHost      string
	PartitionOnly bool

	// CA is the file with the certificate to trust, if Endpoint is https. It is
	// only reported.
	CA string

	// Age is how old the first password is.
	Age time.Duration

	// Sample are the first account's cards, and Cards is how many invented ones it
	// has besides. Invent returns the n-th, from 1.
	Sample []Card
	Cards  int
	Invent func(n int) (id, vcard string)
}

// A Fake is a fake iCloud and the control of it. As an http.Handler it is the
// fake's side, for CardDAV clients; Control is the other.
type Fake struct {
	config  Config
	control http.Handler

	// settings is held to read by every request of a CardDAV client, and to write
	// while settings change, which icloudtest allows only between requests.
	settings sync.RWMutex
	world    atomic.Pointer[world]

	mu sync.Mutex // held by operations, so that there is one at a time; guards passwords
}

// world is all that a reset makes anew.
type world struct {
	srv   *icloudtest.Server
	first *account

	mu       sync.Mutex // guards what follows; never held while something is answered
	accounts map[string]*account
	order    []*account
	faults   []*fault // the latest first
	made     int      // faults so far
	log      requestLog
	aborted  context.Context // ends requests that a fault stalls
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

// reset makes everything as it was at the start: one account with a new password
// and the first cards, no faults, no requests. The Apple ID stays.
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

// ServeHTTP answers CardDAV clients, and notes what they ask.
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
	defer func() { w.note(r, began, out.status) }() // also when a fault breaks off
	w.srv.ServeHTTP(out, r.WithContext(ctx))
}
