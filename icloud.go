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
// An app-specific password stops working when it is too old, when its owner removes
// it, or when the owner changes the account's own password, which removes all
// app-specific passwords. iCloud answers each of these, and a typing error, with the
// same empty 401. The Client infers the reason from what it remembers: when the
// password was issued, when it first and last worked, and since when it is refused.
// The result is an [*AuthError]. It wraps [ErrPasswordExpired], [ErrPasswordRevoked]
// or [ErrPasswordRejected], holds the evidence, and says how certain the reason is.
//
// The package is built to avoid two costly mistakes.
//
// The first is to tell a healthy customer to reconnect. A 401 may be a passing fault
// of iCloud's, or come from a proxy. So the Client sends a probe after each 401: one
// PROPFIND that shows whether the password is accepted. A refusal counts only if it
// comes from iCloud itself. It is final ([AuthError.Confirmed]) only if it lasts for
// [Options.Dwell]. Until then the password is [Doubted]: calls fail, at most one probe
// a minute is sent, and nothing has been decided. Act on Confirmed only:
//
//	if ae, ok := errors.AsType[*icloud.AuthError](err); ok && ae.Confirmed {
//		return askForNewPassword(ae.Remedy())
//	}
//
// After a Confirmed refusal the Client is [SignedOut]. Its calls return the same error
// without a request, until [Client.Reconnect] succeeds with a new password. Once a day
// one call sends a probe. If iCloud accepts it, the verdict was wrong and the Client
// works again.
//
// The second mistake is to take a failure for an empty address book. A listing that ends
// without an error is complete. Any other listing ends with an error; then delete
// nothing.
//
// # What is remembered
//
// A Client keeps what it learns in memory, and in [Options.Store] if there is one. With
// a Store, a verdict survives restarts and is shared by all workers of an account, and
// a listing costs a single request once the address book is known. [DirStore] keeps
// it in files, package sqlstore in a database. [Client.Load] and [ParseStatus] return what
// is known without a request to iCloud.
//
// A service with many accounts shares a [Fleet] among its Clients. It recognizes an
// outage at Apple, which would otherwise look like many revocations.
//
// # What is promised
//
// Whatever a server answers, the password is sent only to iCloud's own hosts, or to the
// host of [Options.Endpoint], and only over https, except on loopback addresses. fmt,
// loggers and the errors of this package never print the password. Errors contain no
// account name, no URL path and no text of the server; the only exception is
// [Client.CardDAV]. The size of answers is limited, and no input causes a panic. The
// package starts no goroutine. Its only timer limits how long a call waits for the Store
// when no verdict depends on the Store.
//
// Package icloudtest is a fake iCloud for tests. With testing/synctest, a year passes in
// such a test at once.
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

// Options changes how a Client works. The zero value of each field is what most
// services want. New copies the Options.
type Options struct {
	// Endpoint is the CardDAV server: "" for iCloud, ChinaEndpoint for
	// accounts in mainland China, or the https URL of another server. That
	// URL may have a path, and may be the URL of an address book. http is
	// allowed on loopback addresses, for tests.
	Endpoint string

	// Store keeps what Clients learn about the password and the account. If
	// nil, a Client keeps it in memory only, and a new Client knows nothing:
	// it takes a password that worked yesterday for one that has never
	// worked, and a program that runs for less than Dwell never gets a
	// Confirmed refusal from Contacts or Sync.
	Store Store

	// Lifetime is how long a password is assumed to live after its issue. 0
	// means DefaultLifetime on iCloud and no limit on other servers. A
	// negative value means no limit.
	Lifetime time.Duration

	// Dwell is how long a refusal must last before it is Confirmed. 0 means
	// 15 minutes, which is longer than every passing fault that has been
	// reported. A negative value makes the first refusal final.
	Dwell time.Duration

	// Warn is how long before Status.Expires the State becomes Expiring. 0
	// means 30 days. A negative Warn is a time after Expires.
	Warn time.Duration

	// Fleet recognizes an incident at Apple, which would otherwise look like
	// many revocations. Share one among the Clients of a process. If nil,
	// each Client judges by itself.
	Fleet *Fleet

	// OnStatus, if not nil, is called when the State has changed, in the
	// goroutine of the call that changed it and before that call returns.
	// It may be called concurrently, and concurrent changes may arrive in
	// either order: Client.Status has the current State. SignedOut is
	// reported at most once for each verdict, by one of the Clients that
	// share a Store; two Clients that confirm it in the same instant may both
	// report it. OnStatus may call the Client.
	OnStatus func(context.Context, Status)

	// OnStoreError, if not nil, is called with an error when the Store begins
	// to fail, and with nil when it works again, in the goroutine of the call
	// that noticed it and before that call returns. While the Store fails,
	// Status.StoreErr has the error.
	OnStoreError func(context.Context, error)

	// Transport sends the requests, which contain the password. It must not
	// follow redirects (a *http.Transport does not) and must be safe for
	// concurrent use. nil means http.DefaultTransport. Its HTTP/2 buffers up
	// to 4 MiB of an answer, which is most of the memory that a listing
	// needs; http.HTTP2Config.MaxReceiveBufferPerStream makes that less.
	Transport http.RoundTripper
}

// ChinaEndpoint is the [Options.Endpoint] for accounts in mainland China.
const ChinaEndpoint = "https://contacts.icloud.com.cn"

// defaultEndpoint is the endpoint for all other accounts of iCloud.
const defaultEndpoint = "https://contacts.icloud.com"

const (
	defaultDwell = 15 * time.Minute
	defaultWarn  = 30 * 24 * time.Hour
)

// DefaultLifetime is how long an app-specific password is assumed to live if
// Options.Lifetime is 0. Integrators report one year. Apple publishes no figure, so age
// alone never makes a verdict Certain.
//
// Clients that share a [Fleet] stop using DefaultLifetime when enough passwords have
// outlived it: at least 8, and 12 more for each password that died around its
// estimated end. A password has outlived it if it was accepted both 14 days before and
// 14 days after its estimated end. Then Expires is zero, the State is never Expiring,
// and no verdict follows from age. The Fleet decides this again at each success.
const DefaultLifetime = 365 * 24 * time.Hour

// A Client reads and writes the contacts of one account. Make it with [New]; the zero
// Client is not usable. A Client is safe for concurrent use, starts no goroutine, and
// need not be closed. A call ends when its context ends; there is no other deadline.
//
// The methods with a context and an error share these errors, and add their own:
//
//   - an [*AuthError]: the password is refused, at the moment or for good;
//   - a [*ResponseError]: another answer that is not success, or a request that was
//     not sent because the server has asked the account to wait;
//   - an error that wraps what the network, ctx or the Store returned;
//   - an error about an argument or about an answer that makes no sense.
//
// Errors may be joined: a verdict that could not be saved comes with the error of the
// Store. errors.Is and errors.AsType find both.
type Client struct {
	// Behind one pointer, since fmt would print what it finds in a Client: the
	// account, and the URL of its address book.
	*session
}

// New returns a Client for an account. It does no I/O, so a refused password shows at
// the first call; call [Client.Authenticate] to know at once. A nil opts is equivalent
// to zero Options. New returns an error if the Apple ID is empty or contains a colon or
// a control character, if the password is empty or contains a control character, or if
// Options.Endpoint is not a URL to which a password may be sent.
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

// parseEndpoint parses Options.Endpoint. The URL must not be modified: all Clients with the
// default endpoint have the same one.
func parseEndpoint(endpoint string) (*url.URL, origin.Gate, error) {
	if endpoint == "" {
		return defaultURL, defaultGate, nil
	}
	u, gate, err := origin.New(endpoint)
	return u.Copy(), gate, err
}

// The default endpoint, parsed. It is a constant, so there is no error.
var defaultURL, defaultGate = func() (*url.URL, origin.Gate) {
	u, gate, _ := origin.New(defaultEndpoint)
	return u.Copy(), gate
}()

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

// Authenticate asks iCloud whether it accepts the password. It costs one request if
// the password is accepted. Call it while the password's owner waits for the answer: if
// the password is not known to have worked, a refusal is Confirmed at once, where other
// calls would wait for Options.Dwell.
//
// The error is an [*AuthError] if the password was refused. Any other error does not
// say whether the password is good.
func (c *Client) Authenticate(ctx context.Context) error {
	call := c.begin()
	_, err := c.signIn(ctx, authstate.Interactive)
	return call.end(ctx, err)
}

// Reconnect asks iCloud whether it accepts cred. If so, it replaces the Client's
// credential, and a Client that was SignedOut works again. Sync tokens stay valid, and
// calls that are under way continue with the new password.
//
// With any error the Client keeps the old credential and what it knows of it. The error
// is an [*AuthError] if the new password was refused; when it is Confirmed is decided
// as in [Client.Authenticate]. A credential that [New] would not accept, or one with
// another AppleID, is an error before anything is sent.
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

// Load reads the Store and adds what it has about the account to what the Client
// knows. Then Status says what any other Client of the account would say. Call Load
// again to learn what other Clients have saved since. Load sends no request and does
// not call OnStatus. Concurrent calls share one read of the Store. Without a Store it
// does nothing. The error wraps the error of the Store or of ctx, or says that the
// Store's data is corrupt.
func (c *Client) Load(ctx context.Context) error {
	err := c.load(ctx)
	c.notifyStore(ctx)
	return err
}

// Status returns what the Client knows of its password. It performs no I/O and never
// waits for a call that does. So before Load or the first call it does not know what is
// in the Store.
func (c *Client) Status() Status {
	c.lock()
	defer c.mu.Unlock()
	return c.status(time.Now())
}
