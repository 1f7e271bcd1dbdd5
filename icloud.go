// Package icloud reads, follows and writes the contacts of iCloud accounts over
// CardDAV, and says why when an account's password stops working.
//
// A [Client] signs in with an app-specific password, which the account's owner
// generates at account.apple.com. [Client.Contacts] lists the cards while they
// arrive, [Client.Sync] follows their changes, [Client.Put] and [Client.Delete]
// write them back, and [Client.CardDAV] is the door to everything else.
//
//	password, err := icloud.ParsePassword(entered)
//	...
//	client, err := icloud.New(icloud.Credential{AppleID: appleID, Password: password}, nil)
//	...
//	for contact, err := range client.Contacts(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(contact.Name)
//	}
//
// # When the password dies
//
// App-specific passwords die: of age, when their owner removes them, and all at
// once when the owner changes the account's own password. iCloud answers each of
// these, and a typing error, with the same empty 401. What the server does not
// say, the Client infers from what it remembers: when the password was issued,
// when it first and last worked, since when it is refused. The result is an
// [*AuthError] that wraps [ErrPasswordExpired], [ErrPasswordRevoked] or
// [ErrPasswordRejected], gives its evidence, and says how sure it is.
//
// Two mistakes are costly, and the package is built to avoid both.
//
// A healthy customer must not be told to reconnect. iCloud's 401 is at times a
// passing fault, and a proxy's is none of iCloud's. So a 401 is asked about once
// more, counts only if it is iCloud's own, and becomes final
// ([AuthError.Confirmed]) only if it outlasts [Options.Dwell]. Until then the
// password is [Doubted]: calls fail, one question a minute goes out, and nothing
// has been decided. Act on Confirmed alone:
//
//	if ae, ok := errors.AsType[*icloud.AuthError](err); ok && ae.Confirmed {
//		return askForNewPassword(ae.Remedy())
//	}
//
// From then on the Client is [SignedOut]. Its calls return the same error without
// a request, until [Client.Reconnect] brings a password that works; should the
// verdict have been wrong, a question a day finds out.
//
// A failure must not look like an empty address book. A listing that ends without
// an error is complete; everything else ends with an error, and then nothing is
// to be deleted.
//
// # What is remembered
//
// The memory ends with the Client unless [Options.Store] keeps it. With one, a
// verdict survives restarts, is shared by all workers of an account, and a
// remembered account is listed by a single request. [DirStore] keeps it in files,
// package sqlstore in a database. A service of many accounts also shares a
// [Fleet] among its Clients, so that an hour's outage at Apple is not taken for
// a thousand revocations.
//
// # What is promised
//
// The password goes to iCloud's own hosts over https, and to nobody else, whatever
// a server answers; no verb of fmt, no logger and no error of this package prints
// it. Errors contain no account name, no URL path and no text of the server, with
// the one exception of [Client.CardDAV]. Answers are bounded, and no input
// panics. The package starts no goroutine and no timer.
//
// Package icloudtest is a fake iCloud for your own tests, in which a year passes
// in no time.
package icloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-icloud/icloud/internal/origin"
)

// Options are all optional: nil options are zero options, and the zero value of
// each field is what most services want.
type Options struct {
	// Endpoint is the CardDAV server: "" for iCloud, ChinaEndpoint for
	// accounts kept in mainland China, or the https URL of another server,
	// which may carry a context path and may itself name an address book.
	// http is allowed on loopback addresses, for tests.
	Endpoint string

	// Store keeps what is learned of the password and the account beyond the
	// life of the Client. With nil it ends with the Client: then a program
	// that runs for less than Dwell never gets a Confirmed refusal from
	// Contacts or Sync, and a password that worked last night has never
	// worked.
	Store Store

	// Lifetime is how long the password is taken to live from its issue. 0
	// means DefaultLifetime on iCloud, and without end elsewhere; negative
	// means without end.
	Lifetime time.Duration

	// Dwell is how long a refusal must last before it is Confirmed. 0 means
	// 15 minutes, which outlasts every passing fault that has been reported;
	// negative means that the first refusal is final.
	Dwell time.Duration

	// Warn is how long before Status.Expires the State becomes Expiring. 0
	// means 30 days.
	Warn time.Duration

	// Fleet, if it is shared by the Clients of a process, keeps an incident at
	// Apple from being taken for many revocations. With nil each Client
	// judges by itself.
	Fleet *Fleet

	// OnStatus, if not nil, is called when State has changed, in the
	// goroutine of the call that changed it and before that call returns.
	// Concurrent changes may arrive in either order; Client.Status is the
	// truth. SignedOut is reported at most once for a password, by one of the
	// Clients that share a Store; two that confirm it in the same instant may
	// both report it. OnStatus may call the Client.
	OnStatus func(context.Context, Status)

	// Transport sends the requests, Authorization included. It must not
	// follow redirects; a *http.Transport does not. With nil it is
	// http.DefaultTransport, whose HTTP/2 buffers up to 4 MiB of an answer
	// that is not read yet: most of what a listing holds, and less with
	// http.HTTP2Config.MaxReceiveBufferPerStream.
	Transport http.RoundTripper
}

// Endpoints of iCloud's CardDAV service.
const (
	defaultEndpoint = "https://contacts.icloud.com"

	// ChinaEndpoint is the Options.Endpoint of accounts that iCloud keeps in
	// mainland China.
	ChinaEndpoint = "https://contacts.icloud.com.cn"
)

const (
	defaultDwell = 15 * time.Minute
	defaultWarn  = 30 * day
)

// A Client reads and writes the contacts of one account. It is safe for
// concurrent use, keeps no goroutine and no timer, and need not be closed. A
// call ends with its context; there is no other deadline.
type Client struct {
	endpoint  *url.URL
	gate      origin.Gate
	rules     rules
	transport http.RoundTripper
	store     Store
	fleet     *Fleet
	account   uint64 // for fleet
	onStatus  func(context.Context, Status)
	key       string // of the account, in store

	keeping turn // held while store is used
	finding turn // held during discovery
	joining turn // held during Reconnect

	mu        sync.Mutex // guards what follows; never held during I/O or a callback
	login     *login
	past      saved // what is known of passwords that Reconnect has tried or replaced
	book      book
	question  *question
	reconnect chan struct{} // closed when the Reconnect under way has ended; or nil
	throttle  throttle
	events    uint64 // counts requests and refusals, to order them
	reported  State
	kept      kept
}

// login is one password and what is remembered of it. Reconnect replaces it
// whole, so that a request knows which password it was sent with.
type login struct {
	cred   Credential
	memory memory // guarded by Client.mu

	// refused and answered are the counts of Client.events at the latest
	// refusal and at the latest end of a question, whose outcome is answer;
	// accepted is that at which the latest request started that was accepted.
	refused  uint64
	accepted uint64
	answered uint64
	answer   *question
}

// New returns a Client for an account. It does no I/O, so an unusable
// credential shows at the first call; [Client.Authenticate] asks at once. nil
// options are zero options. The error is about an argument.
func New(cred Credential, opts *Options) (*Client, error) {
	if opts == nil {
		opts = new(Options)
	}
	endpoint := opts.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	at, g, err := origin.New(endpoint)
	if err != nil {
		return nil, err
	}
	u := at.Copy()
	cred, err = checkCredential(cred)
	if err != nil {
		return nil, err
	}
	c := &Client{
		endpoint:  u,
		gate:      g,
		transport: opts.Transport,
		store:     opts.Store,
		fleet:     opts.Fleet,
		onStatus:  opts.OnStatus,
		key:       storeKey(u, cred.AppleID),
		keeping:   newTurn(),
		finding:   newTurn(),
		joining:   newTurn(),
		login:     &login{cred: cred},
		rules: rules{
			lifetime:  max(opts.Lifetime, 0),
			dwell:     max(opts.Dwell, 0),
			warn:      opts.Warn,
			elsewhere: !g.ICloud(),
		},
	}
	if opts.Lifetime == 0 && g.ICloud() {
		c.rules.lifetime = DefaultLifetime
	}
	if opts.Dwell == 0 {
		c.rules.dwell = defaultDwell
	}
	if opts.Warn == 0 {
		c.rules.warn = defaultWarn
	}
	if c.transport == nil {
		c.transport = http.DefaultTransport
	}
	c.account = fleetAccount(c.key)
	return c, nil
}

// checkCredential returns cred without the white space that people paste around
// an Apple ID, or says what could not be sent by Basic authentication.
func checkCredential(cred Credential) (Credential, error) {
	cred.AppleID = strings.TrimSpace(cred.AppleID)
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case cred.AppleID == "":
		return cred, errors.New("icloud: Credential.AppleID is empty")
	case strings.ContainsRune(cred.AppleID, ':') || strings.ContainsFunc(cred.AppleID, control):
		// RFC 7617, section 2: a colon would end the user name.
		return cred, errors.New("icloud: Credential.AppleID contains a colon or a control character")
	case cred.Password.Reveal() == "":
		return cred, errors.New("icloud: Credential.Password is empty")
	case strings.ContainsFunc(cred.Password.Reveal(), control):
		return cred, errors.New("icloud: Credential.Password contains a control character")
	}
	return cred, nil
}

// Authenticate asks iCloud whether it accepts the password, with one request if
// it does. Call it while the password's owner is there to hear the answer: a
// password that is not known to have worked is then refused for good at once
// (an *AuthError, Confirmed), where other calls would wait for Options.Dwell.
//
// Any other error leaves the question open: a *ResponseError, a failure of the
// network, of the Store, or the end of ctx.
func (c *Client) Authenticate(ctx context.Context) error {
	_, err := c.signIn(ctx, true)
	return c.settle(ctx, err)
}

// Status returns what is known of the password. This function doesn't perform
// I/O, and does not wait for any: before the first call with a Store, what the
// Store knows is not known.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.login.memory.status(c.login.cred, c.rules, time.Now())
}

// report calls OnStatus if the state has changed since it was last reported.
func (c *Client) report(ctx context.Context) {
	c.mu.Lock()
	status := c.login.memory.status(c.login.cred, c.rules, time.Now())
	changed := status.State != c.reported
	c.reported = status.State
	// A new Client must not report it again.
	c.kept.urgent = c.kept.urgent || changed && c.kept.dirty
	if status.State == SignedOut {
		// The memory of having told is saved with the verdict, before this:
		// twice is worse than, after a crash at this very point, never.
		changed = changed && c.kept.tell
		c.kept.tell = false
	}
	c.mu.Unlock()
	if changed && c.onStatus != nil {
		c.onStatus(ctx, status)
	}
}

// turn is a lock that is waited for no longer than a context lasts.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turn) give() { <-t }
