// The product of demo -web: what a service keeps about its customers and does for them,
// and what can happen to their passwords at Apple.

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

// maxLog is how many events are kept for each customer.
const maxLog = 6

// product is the service. It keeps in memory what a real one has in a database.
type product struct {
	srv       *icloudtest.Server
	page      *connect.Handler
	customers []*customer

	mu sync.Mutex // guards the fields of the customers that change
}

// customer is one account of the product, and its owner.
type customer struct {
	ID, Name string
	apple    *icloudtest.Account
	dwell    time.Duration

	story string // the situation at the start; "" once something else has happened

	// What the product has on record: see Config.Account and Config.Save.
	cred       icloud.Credential
	generation int
	client     *icloud.Client // nil if not connected yet

	contacts int       // the number of contacts in the latest successful sync
	synced   time.Time // when that was; zero if none has succeeded
	failure  string    // the error of the latest sync, or ""
	log      []string  // the latest events, oldest first
	mail     *mail     // the latest mail
	made     icloud.Password
	fault    icloudtest.Fault // nil if iCloud works
	trouble  string           // the name of fault
}

// mail is a mail that the product sends when the customer has something to do.
type mail struct {
	Sent, Subject, Text, Link string
}

// newProduct makes the product and its customers, each in another situation.
func newProduct(ctx context.Context, url string) (*product, error) {
	d := &product{srv: icloudtest.NewServer()}
	d.srv.SetIntercept(d.intercept)
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	var err error
	d.page, err = connect.New(connect.Config{
		Product:  "Acme",
		BaseURL:  url + "icloud/",
		Secret:   secret,
		Account:  d.account,
		Save:     d.save,
		Identify: d.session,
		Options:  d.options,
		// The demo's own page stands for the settings page of the product.
		ReturnURL: "/",
	})
	if err != nil {
		return nil, err
	}

	now := time.Now()
	age := func(days int) time.Time { return now.Add(-time.Duration(days) * day) }
	for _, c := range []*customer{
		{ID: "ada", Name: "Ada", story: "All is well.", dwell: -1},
		{ID: "emmy", Name: "Emmy", story: "Her password was made 344 days ago, and ends in three weeks.", dwell: -1},
		{ID: "pal", Name: "Pál", story: "His password was made more than a year ago.", dwell: -1},
		{ID: "sofya", Name: "Sofya", story: "She has removed her password at Apple.", dwell: -1},
		{ID: "zu", Name: "Zu", story: "iCloud refuses his good password, and will accept it again."},
		{ID: "grace", Name: "Grace", story: "A new customer, who has not connected yet.", dwell: -1},
	} {
		c.apple = d.srv.Account(c.ID + "@example.com")
		for _, card := range sample {
			c.apple.Put(card.id, vcf(card.lines))
		}
		d.customers = append(d.customers, c)
		switch c.ID {
		case "ada":
			c.cred = c.apple.IssueAt(age(100))
		case "emmy":
			c.cred = c.apple.IssueAt(age(344))
		case "pal":
			c.cred = c.apple.IssueAt(age(366))
			c.cred.LastAccepted = age(2)
		case "sofya", "zu":
			c.cred = c.apple.IssueAt(age(100))
			c.cred.LastAccepted = now.Add(-time.Hour)
		case "grace":
			continue
		}
		if c.client, err = icloud.New(c.cred, d.options(c.ID)); err != nil {
			return nil, err
		}
		if c.ID == "sofya" {
			c.apple.Revoke(c.cred.Password)
		}
		if c.ID == "zu" {
			c.fault, c.trouble = icloudtest.Unauthorized, "stray refusals"
		}
		d.sync(ctx, c)
	}
	return d, nil
}

// find returns a customer, or nil.
func (d *product) find(id string) *customer {
	i := slices.IndexFunc(d.customers, func(c *customer) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return d.customers[i]
}

// account is connect.Config.Account.
func (d *product) account(_ context.Context, id string) (connect.Account, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.find(id)
	if c == nil {
		return connect.Account{}, errors.New("no such customer")
	}
	return connect.Account{AppleID: c.cred.AppleID, Generation: strconv.Itoa(c.generation), Client: c.client}, nil
}

// save is connect.Config.Save.
func (d *product) save(ctx context.Context, id string, cred icloud.Credential) error {
	d.mu.Lock()
	c := d.find(id)
	c.cred = cred
	c.generation++
	c.story = ""
	c.note("a new password is saved")
	client := c.client
	d.mu.Unlock()
	if client == nil {
		client, err := icloud.New(cred, d.options(id))
		if err != nil {
			return err
		}
		d.mu.Lock()
		c.client = client
		d.mu.Unlock()
	}
	d.sync(ctx, c)
	return nil
}

// session is connect.Config.Identify. It takes a parameter instead of a cookie, so that one
// visitor can be every customer.
func (d *product) session(r *http.Request) (string, error) {
	id := r.URL.Query().Get("as")
	if d.find(id) == nil {
		return "", errors.New("nobody is signed in")
	}
	return id, nil
}

// options is connect.Config.Options, and also the options of all other Clients.
func (d *product) options(id string) *icloud.Options {
	return &icloud.Options{
		Transport: d.srv.Transport(),
		Dwell:     d.find(id).dwell,
		OnStatus:  func(ctx context.Context, s icloud.Status) { d.changed(ctx, d.find(id), s) },
	}
}

// changed is icloud.Options.OnStatus. It sends a mail only if the customer has something to
// do.
func (d *product) changed(ctx context.Context, c *customer, s icloud.Status) {
	m := &mail{Sent: time.Now().Format("15:04:05")}
	switch auth, _ := errors.AsType[*icloud.AuthError](s.Err); {
	case s.State == icloud.Expiring:
		m.Subject = "Your iCloud connection will end soon"
		m.Text = "Your connection to iCloud may stop working around " + s.Expires.Format("2 January 2006") +
			". A new app-specific password takes a minute, and nothing is interrupted."
	case s.State == icloud.SignedOut && auth != nil:
		m.Subject = "Please connect iCloud again"
		m.Text = auth.Remedy()
	default:
		m = nil
	}
	if m != nil {
		link, err := d.page.Link(ctx, c.ID, 7*day)
		if err != nil {
			link = ""
		}
		m.Link = link
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.note("OnStatus: " + s.State.String())
	if m != nil {
		c.mail = m
		c.note("a mail is sent")
	}
}

// note adds an event to the log. product.mu is held.
func (c *customer) note(text string) {
	c.log = append(c.log, time.Now().Format("15:04:05 ")+text)
	c.log = c.log[max(0, len(c.log)-maxLog):]
}

// sync lists the contacts of a customer, as a service does every hour.
func (d *product) sync(ctx context.Context, c *customer) {
	d.mu.Lock()
	client := c.client
	d.mu.Unlock()
	if client == nil {
		return
	}
	n := 0
	var failure error
	for _, err := range client.Contacts(ctx) {
		if err != nil {
			failure = err
			break
		}
		n++
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if failure != nil {
		c.failure = failure.Error()
		return
	}
	c.contacts, c.synced, c.failure = n, time.Now(), ""
}

// intercept answers the requests of a customer with the customer's fault, if there is one.
func (d *product) intercept(w http.ResponseWriter, r *http.Request) bool {
	user, _, _ := r.BasicAuth()
	d.mu.Lock()
	var fault icloudtest.Fault
	for _, c := range d.customers {
		if strings.EqualFold(user, c.apple.AppleID()) {
			fault = c.fault
		}
	}
	d.mu.Unlock()
	return fault != nil && fault(w, r)
}

// act does what a button says, for example at Apple. Then the product syncs and so learns
// of it.
func (d *product) act(ctx context.Context, c *customer, action string) error {
	d.mu.Lock()
	cred, client := c.cred, c.client
	d.mu.Unlock()
	set := func(fault icloudtest.Fault, trouble string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		c.fault, c.trouble = fault, trouble
	}
	if action != "make" && action != "sync" {
		d.mu.Lock()
		c.story = ""
		d.mu.Unlock()
	}
	switch {
	case action == "make":
		// At most one unused password is kept, because an account can have 25.
		d.mu.Lock()
		if c.made.Reveal() != "" && !c.made.Equal(cred.Password) {
			c.apple.Revoke(c.made)
		}
		c.made = c.apple.Issue().Password
		d.mu.Unlock()
		return nil
	case client == nil:
		return errors.New("not connected yet")
	case action == "expire":
		// A year cannot pass at once, so an older password takes the place of this
		// one. It last worked the day before it expired.
		c.apple.Revoke(cred.Password)
		old := c.apple.IssueAt(time.Now().Add(-366 * day))
		old.LastAccepted = time.Now().Add(-2 * day)
		aged, err := icloud.New(old, d.options(c.ID))
		if err != nil {
			return err
		}
		d.mu.Lock()
		c.cred, c.client = old, aged
		c.generation++
		d.mu.Unlock()
	case action == "revoke":
		c.apple.Revoke(cred.Password)
	case action == "change":
		c.apple.ChangeAccountPassword()
	case action == "outage":
		set(icloudtest.Status(http.StatusServiceUnavailable), "outage")
	case action == "stray" && c.dwell >= 0:
		// Without a Dwell, the first stray refusal would be final.
		set(icloudtest.Unauthorized, "stray refusals")
	case action == "mend":
		set(nil, "")
	case action != "sync":
		return errors.New("no such button")
	}
	d.sync(ctx, c)
	return nil
}
