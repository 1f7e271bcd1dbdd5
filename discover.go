// The way to the address book: principal, home-set, book (RFC 6764, RFC 5397,
// RFC 6352 section 7.1.1), and what a moved or forgotten one means.
//
// The first request is also the question whether the password is accepted. So a
// first listing costs four requests, and one of a remembered book a single one:
// the listing itself is trusted to say if the book is no longer there.

package icloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/origin"
)

// book is the account's address book, as it was found. It is guarded by
// Client.mu; the URL is never modified.
type book struct {
	url, home *url.URL
	suspect   bool // a 401 there was refuted: it may have moved
}

// answer is what a question to the endpoint found out beside the acceptance.
type answer struct {
	base      *url.URL // what principal is relative to
	principal string   // href, as written
	isBook    bool     // the endpoint is an address book itself
}

var (
	errNoPrincipal = errors.New("icloud: the server does not say who is signed in (current-user-principal)")
	errNoNumber    = errors.New("icloud: the server forgot the account's number in the principal, as iCloud does at times; try again later")
	errNoHome      = errors.New("icloud: the account has no home for address books (addressbook-home-set)")
	errNoBook      = errors.New("icloud: the account has no address book")
)

// front is where the question goes: the endpoint as given, on iCloud its root.
func (c *Client) front() *url.URL {
	if c.gate.ICloud() {
		return c.endpoint.ResolveReference(&url.URL{Path: "/"})
	}
	return c.endpoint
}

// wellKnown is where discovery goes on (RFC 6764, section 5).
func (c *Client) wellKnown() *url.URL {
	return c.endpoint.ResolveReference(&url.URL{Path: "/.well-known/carddav"})
}

// signIn asks the endpoint who is signed in. A 401 is asked about once more, and
// if that is accepted, it was the sign-in.
func (c *Client) signIn(ctx context.Context, present bool) (*answer, error) {
	for {
		l, ans, err := c.admit(ctx, present)
		if ans != nil || err != nil {
			return ans, err
		}
		ans, started, err := c.inquire(ctx, l)
		if errors.Is(err, errRefused) {
			ans, err = c.judge(ctx, l, started, present)
		}
		if errors.Is(err, errReplaced) {
			continue
		}
		// Not for the question: only an answer at the root is a word on the
		// password.
		if c.gate.ICloud() && elsewhere(err) {
			// iCloud's root answers; what poses as it may know better where.
			return c.whoAmI(ctx, c.wellKnown())
		}
		return ans, err
	}
}

// inquire puts the question with the password of l: PROPFIND, Depth 0, for
// current-user-principal. Only a 207 that names one is acceptance, or one that
// shows the endpoint to be an address book. errRefused is a 401 that counts.
//
// A server whose DAV is elsewhere than at its root is asked at the well-known
// URL; iCloud's is at its root.
func (c *Client) inquire(ctx context.Context, l *login) (*answer, uint64, error) {
	ans, started, err := c.inquireAt(ctx, l, c.front())
	if err == nil || c.gate.ICloud() || !elsewhere(err) {
		return ans, started, err
	}
	ans, started, second := c.inquireAt(ctx, l, c.wellKnown())
	// Of two URLs that know nothing, the caller named the first.
	if second != nil && elsewhere(second) {
		second = err
	}
	return ans, started, second
}

// elsewhere says whether an error shows that CardDAV is not spoken at a URL,
// rather than that it failed there.
func elsewhere(err error) bool {
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return re.StatusCode < 500 && re.StatusCode != http.StatusUnauthorized &&
			re.StatusCode != http.StatusTooManyRequests || re.StatusCode == http.StatusNotImplemented
	}
	return errors.Is(err, errNoPrincipal)
}

func (c *Client) inquireAt(ctx context.Context, l *login, u *url.URL) (*answer, uint64, error) {
	req, err := davRequest(ctx, "PROPFIND", u, "0", c.whoAmIBody(u))
	if err != nil {
		return nil, 0, err
	}
	resp, started, err := c.send(l, req, asking)
	if err != nil {
		return nil, 0, err
	}
	switch {
	// The judge's part, not this one's: inquire is what the judge asks with.
	case resp.StatusCode == http.StatusUnauthorized && c.counts(resp):
		discard(resp)
		return nil, started, errRefused
	case resp.StatusCode != http.StatusMultiStatus:
		discard(resp)
		return nil, started, responseError(resp)
	}
	defer resp.Body.Close()
	ans, err := readAnswer(resp)
	// weigh does not take a question's 207 for an acceptance: it may say
	// <unauthenticated/>.
	if err == nil {
		c.accepted(l, started)
	}
	return ans, started, err
}

// readAnswer reads who is signed in.
func readAnswer(resp *http.Response) (*answer, error) {
	ans := &answer{base: resp.Request.URL}
	status := 0
	err := rows(resp, func(row *dav.Row) error {
		switch {
		case row.Status >= 300:
			status = row.Status
		case len(row.Principal) > 0 && !row.Unauthenticated && ans.principal == "":
			ans.principal = string(row.Principal)
		}
		// The row must be about what was asked for: a Depth that a server ignores
		// brings rows of other things.
		ans.isBook = ans.isBook || row.AddressBook && !row.Unauthenticated && dav.SameResource(string(row.Href), ans.base)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case ans.principal != "" || ans.isBook:
		return ans, nil
	case status != 0:
		return nil, &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return nil, errNoPrincipal
}

// findBook returns the address book. It is fresh if it was found just now, and
// not remembered.
func (c *Client) findBook(ctx context.Context) (b book, fresh bool, err error) {
	// A Client that is signed out says so before anything else.
	if _, _, err := c.admit(ctx, false); err != nil {
		return book{}, false, err
	}
	c.mu.Lock()
	b = c.book
	c.mu.Unlock()
	if b.url != nil && !b.suspect {
		return b, false, nil
	}
	b, err = c.rediscover(ctx, b.url)
	return b, true, err
}

// rediscover finds the address book again, unless another call has found
// another than old meanwhile.
func (c *Client) rediscover(ctx context.Context, old *url.URL) (book, error) {
	if err := c.finding.take(ctx); err != nil {
		return book{}, err
	}
	defer c.finding.give()
	c.mu.Lock()
	b := c.book
	c.mu.Unlock()
	// Calls that met the same 404 together look once, not each.
	if b.url != nil && b.url != old && !b.suspect {
		return b, nil
	}
	b, err := c.discover(ctx)
	if err != nil {
		return book{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Known to all workers at once: each of them would spend three requests on
	// finding it.
	if c.book.url == nil || c.book.url.String() != b.url.String() {
		c.kept.dirty, c.kept.urgent = true, true
	}
	c.book = b
	return b, nil
}

// discover asks for the address book: three requests.
func (c *Client) discover(ctx context.Context) (book, error) {
	ans, err := c.start(ctx)
	if err != nil {
		return book{}, err
	}
	if ans.isBook {
		return book{url: ans.base, home: ans.base.ResolveReference(&url.URL{Path: "."})}, nil
	}
	checked, err := c.gate.Resolve(ans.base, ans.principal)
	if err != nil {
		return book{}, err
	}
	principal := checked.Copy()
	// iCloud at times forgets the account's number, answers 403 to whoever
	// follows, and means nothing by it.
	// Asked again at the root, then at the well-known URL, and no more.
	for _, u := range []*url.URL{c.front(), c.wellKnown()} {
		if principal.Path != "/principal/" {
			break
		}
		if ans, err = c.whoAmI(ctx, u); err != nil {
			return book{}, err
		}
		if checked, err = c.gate.Resolve(ans.base, ans.principal); err != nil {
			return book{}, err
		}
		principal = checked.Copy()
	}
	if principal.Path == "/principal/" && c.gate.ICloud() {
		return book{}, errNoNumber
	}
	homes, err := c.findHomes(ctx, principal)
	if err != nil {
		return book{}, err
	}
	// A home that fails ends the search: to pass over it could settle on
	// another book than the account's first.
	for _, home := range homes {
		u, err := c.findBookIn(ctx, home)
		if u != nil || err != nil {
			return book{url: u, home: home}, err
		}
	}
	return book{}, errNoBook
}

// start asks where discovery starts: at the endpoint as given, and on iCloud, if
// that knows nothing, where the question goes.
func (c *Client) start(ctx context.Context) (*answer, error) {
	if c.endpoint.Path != c.front().Path {
		ans, err := c.whoAmI(ctx, c.endpoint)
		if err == nil || !elsewhere(err) {
			return ans, err
		}
	}
	return c.signIn(ctx, false)
}

// whoAmI asks u who is signed in.
func (c *Client) whoAmI(ctx context.Context, u *url.URL) (*answer, error) {
	req, err := davRequest(ctx, "PROPFIND", u, "0", c.whoAmIBody(u))
	if err != nil {
		return nil, err
	}
	resp, l, started, err := c.exchange(req, asking)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusMultiStatus {
		defer discard(resp)
		return nil, refusal(resp)
	}
	defer resp.Body.Close()
	ans, err := readAnswer(resp)
	if err == nil {
		c.accepted(l, started)
	}
	return ans, err
}

// whoAmIBody asks a URL that may be an address book what it is, too.
func (c *Client) whoAmIBody(u *url.URL) []byte {
	if u.Path == c.endpoint.Path && u.Path != "/" {
		return dav.PropfindEndpoint()
	}
	return dav.PropfindPrincipal()
}

// findHomes asks a principal for its homes: on iCloud one, absolute, on the
// account's partition host.
func (c *Client) findHomes(ctx context.Context, principal *url.URL) ([]*url.URL, error) {
	resp, err := c.propfind(ctx, principal, "0", dav.PropfindHomeSet())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var homes []*url.URL
	var foreign error
	status := 0
	err = rows(resp, func(row *dav.Row) error {
		if row.Status >= 300 {
			status = row.Status
		}
		for _, href := range row.HomeSet {
			// Untrusted: this is where a server could send the password anywhere.
			home, err := c.gate.Resolve(resp.Request.URL, string(href))
			if err != nil {
				foreign = err // of no use, but another may be
				continue
			}
			homes = append(homes, home.Copy())
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(homes) > 0:
		return homes, nil
	case foreign != nil:
		return nil, foreign
	case status != 0:
		return nil, &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return nil, errNoHome
}

// findBookIn returns the first address book that a home lists, or nil if it
// lists none. iCloud has one, without a name.
func (c *Client) findBookIn(ctx context.Context, home *url.URL) (*url.URL, error) {
	resp, err := c.propfind(ctx, home, "1", dav.PropfindBooks())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var found *url.URL
	status := 0
	err = rows(resp, func(row *dav.Row) (err error) {
		if row.Status >= 300 {
			status = row.Status
		}
		if row.AddressBook && found == nil {
			var checked origin.URL
			checked, err = c.gate.Resolve(resp.Request.URL, string(row.Href))
			found = checked.Copy()
		}
		return err
	})
	// A refusal hidden in the 207 is not a home without books.
	if err == nil && found == nil && status != 0 {
		err = &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return found, err
}

// withBook calls f with the address book. If a remembered one turns out to be
// gone, it is looked for once more; f gets the new one if there is one, and the
// error of the old one stands otherwise.
func (c *Client) withBook(ctx context.Context, f func(u *url.URL) error) error {
	b, fresh, err := c.findBook(ctx)
	if err != nil {
		return err
	}
	err = f(b.url)
	// Found a moment ago, so looking again would find the same.
	if fresh || !gone(err) {
		c.suspect(b, err)
		return err
	}
	now, again := c.rediscover(ctx, b.url)
	switch {
	case again != nil:
		return again
	// It is where it was: the answer is about something else, and what that
	// means is f's caller's to say.
	case now.url.String() == b.url.String():
		return err
	}
	return f(now.url)
}

// gone says whether an error may mean that a URL is no longer the resource's.
func gone(err error) bool {
	re, ok := errors.AsType[*ResponseError](err)
	if !ok {
		return false
	}
	switch re.StatusCode {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// suspect remembers that the book may have moved, if it answered with a 401 that
// was refuted: a partition host that an account has left does so for good. The
// next call looks for it again.
func (c *Client) suspect(b book, err error) {
	re, ok := errors.AsType[*ResponseError](err)
	if !ok || re.StatusCode != http.StatusUnauthorized {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.book.url == b.url {
		c.book.suspect = true
	}
}
