// A small service that follows the contacts of its customers. It has the page on which they
// connect, the worker that syncs, the notices by mail, the status page, and the deletion of
// a customer. Copy what you need, and replace the maps by tables of your database.

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
)

// customer is a row of your table of customers.
type customer struct {
	id            string
	cred          icloud.Credential // encrypt the password like your other secrets
	version       int               // of cred; 0 before the first
	token         string            // of the last sync
	book          map[string]string // vCards by ID; stored with token in one transaction
	synced, due   time.Time         // when the last sync succeeded, and when the next one is due
	warned, ended int               // the versions of cred for which the mails about a near end and a dead password were sent
	worker        *worker
}

// worker is what the process that syncs keeps in memory for a customer.
type worker struct {
	mu     sync.Mutex // held during a sync
	client *icloud.Client
	used   icloud.Credential // the one that client has
}

// store is sqlstore.Store or icloud.DirStore.
type store interface {
	icloud.Store
	Forget(ctx context.Context, key string) error
}

type service struct {
	store   store
	options icloud.Options // with Store, and one Fleet for all
	every   time.Duration  // between two syncs of a customer
	page    *connect.Handler
	mail    func(ctx context.Context, customer, text, link string)

	mu        sync.Mutex
	customers map[string]*customer // the table
}

// newService returns a service whose page is at url. session returns the id of the customer
// who is signed in.
func newService(url string, secret []byte, kept store, options icloud.Options, session func(*http.Request) (string, error)) (s *service, err error) {
	s = &service{store: kept, options: options, every: time.Hour, customers: make(map[string]*customer)}
	s.options.Store, s.options.Fleet = kept, new(icloud.Fleet)
	s.page, err = connect.New(connect.Config{
		Product: "Acme", BaseURL: url, Secret: secret,
		Account: s.account, Save: s.save, Identify: session,
		Options: func(string) *icloud.Options { o := s.options; return &o },
	})
	return s, err
}

// add adds a customer who has not connected yet.
func (s *service) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.customers[id] = &customer{id: id, book: make(map[string]string), worker: new(worker)}
}

// row reads and changes a customer's row. It stands for a transaction.
func (s *service) row(id string, change func(*customer)) (customer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.customers[id]
	if !ok {
		return customer{}, errors.New("no such customer")
	}
	change(c)
	return *c, nil
}

func read(*customer) {}

// account and save are for the page. The page does not use the workers, and may be served by
// another process.
func (s *service) account(_ context.Context, id string) (connect.Account, error) {
	c, err := s.row(id, read)
	return connect.Account{AppleID: c.cred.AppleID, Generation: fmt.Sprint(c.version)}, err
}

func (s *service) save(_ context.Context, id string, cred icloud.Credential) error {
	_, err := s.row(id, func(c *customer) { c.cred, c.version, c.due = cred, c.version+1, time.Now() })
	return err
}

// work syncs the customers who are due, until ctx ends.
func (s *service) work(ctx context.Context) {
	for ctx.Err() == nil {
		for _, id := range s.due() {
			s.sync(ctx, id)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
}

// due returns the customers who are connected and due.
func (s *service) due() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.customers {
		if c.version > 0 && !c.due.After(time.Now()) {
			ids = append(ids, id)
		}
	}
	return ids
}

// sync updates the contacts of one customer, and sets the time of the next sync.
func (s *service) sync(ctx context.Context, id string) {
	c, err := s.row(id, read)
	if err != nil {
		return // the customer has left meanwhile
	}
	w := c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, err = s.row(id, read); err != nil {
		return
	}
	// The random part spreads the syncs, so that the Fleet always has recent answers to other
	// accounts.
	next := time.Now().Add(s.every*9/10 + rand.N(s.every/5))
	// A server that does not answer must not keep the worker from the other customers.
	call, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err = s.current(call, w, c); err == nil {
		err = s.follow(call, w.client, c)
	}
	if w.client != nil {
		status := w.client.Status()
		// The process may have been killed before it sent the mail for an OnStatus.
		s.tell(ctx, id, w.used, status)
		switch {
		case !status.Replaced.IsZero() || errors.Is(err, icloud.ErrResync):
			next = time.Now() // read the row again; after ErrResync, sync from ""
		case !status.NextTry.IsZero():
			next = status.NextTry
		}
	}
	_, _ = s.row(id, func(row *customer) {
		if row.version == c.version { // otherwise save has set due, for the new password
			row.due = next
		}
	})
}

// current makes the worker's Client, or gives it the password that the customer has entered
// since.
func (s *service) current(ctx context.Context, w *worker, c customer) (err error) {
	switch {
	case w.client == nil:
		options := s.options
		options.OnStatus = func(ctx context.Context, status icloud.Status) { s.tell(ctx, c.id, w.used, status) }
		w.used = c.cred
		w.client, err = icloud.New(c.cred, &options)
	case !w.used.Password.Equal(c.cred.Password):
		if err = w.client.Reconnect(ctx, c.cred); err == nil {
			w.used = c.cred
		}
	}
	return err
}

// follow syncs as docs/connecting-customers.md describes.
func (s *service) follow(ctx context.Context, client *icloud.Client, c customer) error {
	var changes []icloud.Change // that guide shows how to store many changes in batches
	next, err := client.Sync(ctx, c.token, func(change icloud.Change) error {
		changes = append(changes, change)
		return nil
	})
	partial, _ := errors.AsType[*icloud.PartialError](err)
	keep := make(map[string]bool)
	_, _ = s.row(c.id, func(row *customer) {
		for _, change := range changes {
			if keep[change.ID] = change.Contact != nil; change.Contact == nil {
				delete(row.book, change.ID)
			} else {
				row.book[change.ID] = string(change.Contact.VCard)
			}
		}
		row.token = next
		if err != nil && partial == nil {
			return
		}
		row.synced = time.Now()
		if partial != nil {
			for _, card := range partial.Cards {
				keep[card.ID] = true
			}
		}
		if c.token == "" { // delete what a complete run has not reported
			maps.DeleteFunc(row.book, func(id, _ string) bool { return !keep[id] })
		}
	})
	return err
}

// tell sends the mails about the status of a customer's password, each once for a password.
func (s *service) tell(ctx context.Context, id string, used icloud.Credential, status icloud.Status) {
	var text string
	_, _ = s.row(id, func(c *customer) {
		ae, _ := errors.AsType[*icloud.AuthError](status.Err)
		switch {
		case !c.cred.Password.Equal(used.Password): // the customer has entered another one
		case status.State == icloud.Expiring && c.warned < c.version:
			c.warned = c.version
			text = "Your connection to iCloud may stop working around " + status.Expires.Format("2 January") + "."
		case status.State == icloud.SignedOut && c.ended < c.version && ae != nil:
			c.ended = c.version
			text = ae.Remedy()
		case status.State == icloud.Active && c.ended == c.version && c.version > 0:
			c.ended = 0
			text = "Your connection to iCloud works again. There is nothing to do."
		}
	})
	if text != "" {
		if link, err := s.page.Link(ctx, id, 60*24*time.Hour); err == nil {
			s.mail(ctx, id, text, link)
		}
	}
}

// status is a page for support staff. It shows what the Store has, without a Client. With
// sqlstore, Store.Attention lists the customers who have to do something.
func (s *service) status(w http.ResponseWriter, r *http.Request) {
	c, err := s.row(r.PathValue("id"), read)
	key, keyErr := icloud.AccountKey(s.options.Endpoint, c.cred.AppleID)
	data, loadErr := s.store.Load(r.Context(), key)
	status, parseErr := icloud.ParseStatus(data)
	if err = errors.Join(err, keyErr, loadErr, parseErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%v, synced %s\n", status.State, c.synced.Format(time.DateTime))
	if ae, ok := errors.AsType[*icloud.AuthError](status.Err); ok {
		fmt.Fprintf(w, "%v\n%s\n", ae, ae.Remedy())
	}
}

// forget deletes everything about a customer.
func (s *service) forget(ctx context.Context, id string) error {
	c, err := s.row(id, func(*customer) { delete(s.customers, id) })
	if err != nil || c.version == 0 {
		return err
	}
	// A Client that is still in use would save its data again.
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	key, err := icloud.AccountKey(s.options.Endpoint, c.cred.AppleID)
	if err == nil {
		err = s.store.Forget(ctx, key)
	}
	return err
}
