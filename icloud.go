// Package icloud reads, follows and writes the contacts of iCloud accounts over
// CardDAV, and says why when an account's password stops working.
//
// A [Client] signs in with an app-specific password, which the account's owner
// generates at account.apple.com. [Client.Contacts] lists the cards while they
// arrive, [Client.Sync] follows their changes, and [Client.Put] and [Client.Delete]
// write them back. [Client.CardDAV] gives access to the rest of CardDAV.
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
// # When a password dies
//
// App-specific passwords end with age, when their owner removes them, and all at
// once when the owner changes the account's own password. iCloud answers each of
// these, and a typing error, with the same empty 401. The Client infers the reason
// from what it remembers: when the password was issued, when it first and last
// worked, and since when it is refused. The result is an [*AuthError]. It wraps
// [ErrPasswordExpired], [ErrPasswordRevoked] or [ErrPasswordRejected], holds the
// evidence, and says how certain it is.
//
// Two mistakes are costly, and the package is built to avoid both.
//
// The first is to tell a healthy customer to reconnect. A 401 may be a passing fault
// of iCloud's, or come from a proxy. So the Client sends a probe after each 401: one
// PROPFIND that shows whether the password is accepted. A refusal counts only if it
// is iCloud's own, and is final ([AuthError.Confirmed]) only if it lasts longer than
// [Options.Dwell]. Until then the password is [Doubted]: calls fail, one probe a
// minute is sent, and nothing has been decided. Act on Confirmed alone:
//
//	if ae, ok := errors.AsType[*icloud.AuthError](err); ok && ae.Confirmed {
//		return askForNewPassword(ae.Remedy())
//	}
//
// From then on the Client is [SignedOut]. Its calls return the same error without
// a request, until [Client.Reconnect] brings a password that works. One probe a day
// is sent all the same, so that a wrong verdict repairs itself.
//
// The second mistake is a failure that looks like an empty address book. A listing
// that ends without an error is complete. Everything else ends with an error, and
// then nothing may be deleted.
//
// # What is remembered
//
// What a Client learns ends with it, unless [Options.Store] keeps it. With a Store, a
// verdict survives restarts and is shared by all workers of an account, and a
// listing costs a single request once the address book is known. [DirStore] keeps
// it in files, package sqlstore in a database. [Client.Load] and [ParseStatus] say
// what is known without asking iCloud.
//
// A service of many accounts shares a [Fleet] among its Clients, which keeps an
// outage at Apple from being taken for many revocations.
//
// # What is promised
//
// The password is sent to iCloud's own hosts over https and to no other host,
// whatever a server answers. No verb of fmt, no logger and no error of this package
// prints it. Errors contain no account name, no URL path and no text of the server;
// the one exception is [Client.CardDAV]. Answers are bounded, and no input causes a
// panic. The package starts no goroutine. Its one timer limits how long a call waits
// for the Store when no verdict depends on it.
//
// Package icloudtest is a fake iCloud for tests, in which a year passes in no time.
// Package connect is the web page on which a customer enters or renews a password.
package icloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
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

	// OnStoreError, if not nil, is called when the Store begins to fail, and
	// with nil when that is over, in the goroutine of the call that noticed and
	// before that call returns. Status.StoreErr has the error meanwhile.
	OnStoreError func(context.Context, error)

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
	defaultWarn  = 30 * 24 * time.Hour
)

// DefaultLifetime is how long an app-specific password is taken to live if
// Options.Lifetime does not say otherwise. Integrators report one year; Apple
// publishes no figure, which is why age alone never makes a verdict Certain. Clients
// that share a Fleet stop believing in it when passwords are seen to live on: when
// at least 8 of them, and 12 more for each that died around its estimated end, were
// accepted both 14 days before and 14 days after it. Then there is no Expires, no
// Expiring and no verdict from age. This is assessed again at each success.
const DefaultLifetime = 365 * 24 * time.Hour

// A Client reads and writes the contacts of one account. It is safe for
// concurrent use, keeps no goroutine, and need not be closed. A call ends with its
// context; there is no other deadline.
type Client struct {
	// Behind one pointer, since fmt would print what it finds in a Client: the
	// account, and the URL of its address book.
	*session
}

// New returns a Client for an account. It does no I/O, so an unusable
// credential shows at the first call; [Client.Authenticate] asks at once. nil
// options are zero options. The error is about an argument.
func New(cred Credential, opts *Options) (*Client, error) {
	if opts == nil {
		opts = new(Options)
	}
	endpoint, gate, err := parseEndpoint(opts.Endpoint)
	if err != nil {
		return nil, err
	}
	if cred, err = cred.checked(); err != nil {
		return nil, err
	}
	s := &session{
		endpoint:     endpoint,
		transport:    transport{gate: gate, rt: opts.Transport},
		store:        opts.Store,
		key:          storeKey(endpoint, cred.AppleID),
		fleet:        opts.Fleet,
		onStatus:     opts.OnStatus,
		onStoreError: opts.OnStoreError,
		state:        *authstate.New(opts.rules(gate.ICloud()), hashPassword(cred.Password), cred.claims()),
	}
	if s.store == nil {
		s.store = noStore{}
	}
	if s.transport.rt == nil {
		s.transport.rt = http.DefaultTransport
	}
	s.estimated = opts.Lifetime == 0 && gate.ICloud()
	s.current = &credentialState{appleID: cred.AppleID, password: cred.Password, entry: s.state.Current()}
	return &Client{s}, nil
}

// parseEndpoint parses Options.Endpoint.
func parseEndpoint(endpoint string) (*url.URL, origin.Gate, error) {
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	u, gate, err := origin.New(endpoint)
	return u.Copy(), gate, err
}

// rules returns the Options that decide about dates.
func (o *Options) rules(icloud bool) authstate.Rules {
	r := authstate.Rules{
		Lifetime:  max(o.Lifetime, 0),
		Dwell:     max(o.Dwell, 0),
		Warn:      o.Warn,
		Elsewhere: !icloud,
	}
	if o.Lifetime == 0 && icloud {
		r.Lifetime = DefaultLifetime
	}
	if o.Dwell == 0 {
		r.Dwell = defaultDwell
	}
	if o.Warn == 0 {
		r.Warn = defaultWarn
	}
	return r
}

// Authenticate asks iCloud whether it accepts the password, with one request if
// it does. Call it while the password's owner is there to hear the answer: a
// password that is not known to have worked is then refused for good at once
// (an *AuthError, Confirmed), where other calls would wait for Options.Dwell.
//
// Any other error does not say whether the password is good: a *ResponseError, a
// failure of the network or of the Store, or the end of ctx.
func (c *Client) Authenticate(ctx context.Context) error {
	call := c.begin()
	_, err := c.signIn(ctx, authstate.Interactive)
	return call.end(ctx, err)
}

// Reconnect replaces the password of the account, once iCloud has accepted the
// new one, and so ends SignedOut. Nothing else of the Client is lost: sync tokens
// stay good. Calls that are under way go on with the new password. If the new
// one is refused, which is final as with [Client.Authenticate], or if there is no
// answer, the old one remains, with whatever is known of it.
//
// A credential with another AppleID is an error, before anything is sent.
func (c *Client) Reconnect(ctx context.Context, cred Credential) error {
	cred, err := cred.checked()
	if err != nil {
		return err
	}
	if !strings.EqualFold(cred.AppleID, c.appleID()) {
		return errors.New("icloud: Reconnect with another Credential.AppleID")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	call := c.begin()
	// The Store may have the book.
	if err := c.loadOnce(ctx); err != nil {
		return call.end(ctx, err)
	}
	return call.end(ctx, c.reconnect(ctx, cred))
}

// Load reads the Store and adds what it has of the account to what the Client
// knows, so that Status says what any Client of the account would say, before this
// one has made a call. Load again to see what others have learned since. It sends
// iCloud nothing, and calls OnStatus for no State. Calls side by side share one
// reading. Without a Store it does nothing. The error is the Store's, or says that
// its data is corrupt.
func (c *Client) Load(ctx context.Context) error {
	err := c.load(ctx)
	c.notifyStore(ctx)
	return err
}

// Status returns what is known of the password. This function doesn't perform
// I/O, and does not wait for any: before Load or the first call, what the Store
// knows is not known.
func (c *Client) Status() Status {
	c.lock()
	defer c.mu.Unlock()
	return c.status(time.Now())
}
