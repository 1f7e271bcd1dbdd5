// Discovery of the address book: principal, home-set, book (RFC 6764, RFC 5397, RFC 6352
// section 7.1.1), and what happens if a book has moved or is not known any more.
//
// The first request also shows whether the password is accepted. So a first listing
// costs four requests, and one of a remembered book a single one: the listing itself
// shows if the book is no longer there.

package icloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/dav"
)

// book is the account's address book, as it was found. It is guarded by session.mu.
type book struct {
	at      *addresses // never modified; nil if the book is not known
	suspect bool       // a probe has refuted a 401 there: the book may have moved
}

// addresses are the URLs of an address book and of its home-set. As text they take less
// memory in an idle Client than as url.URLs. A book has a pointer to them so that fmt does
// not print them.
type addresses struct{ book, home string }

func newBook(u, home *url.URL) book {
	return book{at: &addresses{u.String(), home.String()}}
}

// saved returns the URLs as they are saved, "" if they are not known.
func (b book) saved() (address, home string) {
	if b.at == nil {
		return "", ""
	}
	return b.at.book, b.at.home
}

// resolve returns the URL of an address, if the password may be sent there.
func (s *session) resolve(address string) (*url.URL, error) {
	checked, err := s.gate.Resolve(s.endpoint, address)
	return checked.Copy(), err
}

var (
	errNoNumber = errors.New("icloud: the server forgot the account's number in the principal, as iCloud does at times; try again later")
	errNoHome   = errors.New("icloud: the account has no home for address books (addressbook-home-set)")
	errNoBook   = errors.New("icloud: the account has no address book")
)

// signIn asks for the principal. If the answer is a 401 and the probe that follows it is
// accepted, the probe was the sign-in.
func (s *session) signIn(ctx context.Context, by authstate.Caller) (*principal, error) {
	for {
		cs, found, err := s.authorize(ctx, by)
		if found != nil || err != nil {
			return found, err
		}
		found, sent, err := s.askPrincipal(ctx, cs)
		if errors.Is(err, errRefused) {
			found, err = s.check401(ctx, cs, sent, by)
		}
		switch {
		case errors.Is(err, errReplaced):
			continue
		// On iCloud the root answers. A server that imitates iCloud may answer elsewhere.
		// No probe is sent there: only an answer at the root is evidence about the
		// password.
		case s.gate.ICloud() && noDAV(err):
			return s.findPrincipal(ctx, s.wellKnownURL())
		}
		return found, err
	}
}

// findBook returns the address book. fresh says that it was found just now and was not
// remembered.
func (s *session) findBook(ctx context.Context) (b book, fresh bool, err error) {
	// A Client that is signed out returns its AuthError before any other error.
	if _, _, err := s.authorize(ctx, authstate.Unattended); err != nil {
		return book{}, false, err
	}
	s.lock()
	b = s.book
	s.mu.Unlock()
	if b.at != nil && !b.suspect {
		return b, false, nil
	}
	b, err = s.rediscover(ctx, b.at)
	return b, true, err
}

// rediscover finds the address book again, unless another call has found one that is
// not old meanwhile.
func (s *session) rediscover(ctx context.Context, old *addresses) (book, error) {
	if err := s.finding.take(ctx); err != nil {
		return book{}, err
	}
	defer s.finding.give()
	s.lock()
	b := s.book
	s.mu.Unlock()
	// Concurrent calls that got the same 404 share one discovery.
	if b.at != nil && b.at != old && !b.suspect {
		return b, nil
	}
	b, err := s.discover(ctx, old)
	if err != nil {
		return book{}, err
	}
	s.lock()
	defer s.mu.Unlock()
	s.setBook(b)
	return b, nil
}

// discover asks for the address book: three requests. old is the one that was known
// before, or nil.
func (s *session) discover(ctx context.Context, old *addresses) (book, error) {
	found, err := s.start(ctx)
	if err != nil {
		return book{}, err
	}
	if found.isBook {
		return newBook(found.base, found.base.ResolveReference(&url.URL{Path: "."})), nil
	}
	checked, err := s.gate.Resolve(found.base, found.href)
	if err != nil {
		return book{}, err
	}
	principal := checked.Copy()
	// At times iCloud sends a principal without the account's number, and answers 403 to
	// a client that follows it. This says nothing about the password. So ask again at
	// the root, then once at the well-known URL.
	for _, u := range []*url.URL{s.probeURL(), s.wellKnownURL()} {
		if principal.Path != "/principal/" {
			break
		}
		if found, err = s.findPrincipal(ctx, u); err != nil {
			return book{}, err
		}
		if checked, err = s.gate.Resolve(found.base, found.href); err != nil {
			return book{}, err
		}
		principal = checked.Copy()
	}
	if principal.Path == "/principal/" && s.gate.ICloud() {
		return book{}, errNoNumber
	}
	homes, err := s.findHomes(ctx, principal)
	if err != nil {
		return book{}, err
	}
	// A home-set that fails ends the search. Without it, the first book found might not
	// be the account's first book.
	for _, home := range homes {
		u, err := s.findBookIn(ctx, home, func(u *url.URL) bool { return old != nil && u.String() == old.book })
		if err != nil {
			return book{}, err
		}
		if u != nil {
			return newBook(u, home), nil
		}
	}
	return book{}, errNoBook
}

// start sends the first request of discovery to the endpoint as given. On iCloud, if
// there is no CardDAV at that URL, it sends it to the URL of probes.
func (s *session) start(ctx context.Context) (*principal, error) {
	if s.endpoint.Path != s.probeURL().Path {
		found, err := s.findPrincipal(ctx, s.endpoint)
		if err == nil || !noDAV(err) {
			return found, err
		}
	}
	return s.signIn(ctx, authstate.Unattended)
}

// findPrincipal asks u for the principal.
func (s *session) findPrincipal(ctx context.Context, u *url.URL) (*principal, error) {
	req, err := davRequest(ctx, "PROPFIND", u, "0", s.principalBody(u))
	if err != nil {
		return nil, err
	}
	resp, cs, sent, err := s.exchange(req, principalRequest)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusMultiStatus {
		defer discard(resp)
		return nil, refusal(resp)
	}
	defer resp.Body.Close()
	found, err := readPrincipal(resp)
	if err == nil {
		s.accepted(cs, sent)
	}
	return found, err
}

// findHomes asks a principal for its home-sets. iCloud sends one: an absolute URL on the
// account's partition host.
func (s *session) findHomes(ctx context.Context, principal *url.URL) ([]*url.URL, error) {
	resp, err := s.propfind(ctx, principal, "0", dav.PropfindHomeSet())
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
			// The URL is not trusted: a server could use it to get the password sent to
			// another host.
			home, err := s.gate.Resolve(resp.Request.URL, string(href))
			if err != nil {
				foreign = err // not usable, but another home-set may be
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

// otherBook returns the wanted address book if the account has several and it is one of
// them, else nil. The session uses that book from now on.
func (s *session) otherBook(ctx context.Context, wanted func(*url.URL) bool) (*url.URL, error) {
	s.mu.Lock()
	b := s.book
	s.mu.Unlock()
	// iCloud has one book, and an endpoint that names a book means that one.
	if s.gate.ICloud() || b.at == nil {
		return nil, nil
	}
	known, err := s.resolve(b.at.book)
	if err != nil || dav.DirPath(known.Path) == dav.DirPath(s.endpoint.Path) {
		return nil, err
	}
	home, err := s.resolve(b.at.home)
	if err != nil {
		return nil, err
	}
	u, err := s.findBookIn(ctx, home, wanted)
	if err != nil || u == nil || !wanted(u) {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setBook(newBook(u, home))
	return u, nil
}

// findBookIn returns the wanted address book of a home-set, else the first one that is
// listed, or nil if none is. Servers list several books in any order. iCloud has one book,
// without a name.
func (s *session) findBookIn(ctx context.Context, home *url.URL, wanted func(*url.URL) bool) (*url.URL, error) {
	resp, err := s.propfind(ctx, home, "1", dav.PropfindBooks())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var found *url.URL
	status := 0
	err = rows(resp, func(row *dav.Row) error {
		if row.Status >= 300 {
			status = row.Status
		}
		if !row.AddressBook || found != nil && wanted(found) {
			return nil
		}
		checked, err := s.gate.Resolve(resp.Request.URL, string(row.Href))
		if u := checked.Copy(); found == nil || err == nil && wanted(u) {
			found = u
			return err
		}
		return nil
	})
	// A refusal inside of the 207 does not mean that the home-set has no books.
	if err == nil && found == nil && status != 0 {
		err = &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return found, err
}

// withBook calls f with the address book. If f finds that a remembered book is gone,
// withBook looks for the book again. If it has moved, f is called with the new URL.
// Otherwise withBook returns the first error of f, or the error of the search.
func (s *session) withBook(ctx context.Context, f func(u *url.URL) error) error {
	b, fresh, err := s.findBook(ctx)
	if err != nil {
		return err
	}
	u, err := s.resolve(b.at.book)
	if err != nil {
		return err
	}
	err = f(u)
	// The book was found just now, so another discovery would find the same.
	if fresh || !gone(err) {
		s.suspect(b, err)
		return err
	}
	now, again := s.rediscover(ctx, b.at)
	if again != nil {
		return again
	}
	// If the book has not moved, the answer is about something else. The caller decides
	// what it means.
	if now.at.book == b.at.book {
		return err
	}
	if u, again = s.resolve(now.at.book); again != nil {
		return again
	}
	return f(u)
}

// setBook notes where the book was found. The caller holds s.mu.
func (s *session) setBook(b book) {
	address, home := b.saved()
	if oldAddress, oldHome := s.book.saved(); address != oldAddress || home != oldHome {
		s.state.FoundBook()
	}
	s.book = b
}

// recallBook takes the book from the Store, if none is known. It checks the URL, because
// somebody else may be able to write to the Store. The caller holds s.mu.
func (s *session) recallBook(address, homeAddress string) {
	if s.book.at != nil || address == "" || homeAddress == "" {
		return
	}
	u, err1 := s.resolve(address)
	home, err2 := s.resolve(homeAddress)
	if err1 == nil && err2 == nil {
		s.book = newBook(u, home)
	}
}

// gone says whether an error may mean that a resource has moved.
func gone(err error) bool {
	re, ok := errors.AsType[*ResponseError](err)
	if !ok || re.RetryAfter > 0 { // a 403 that asks to wait
		return false
	}
	switch re.StatusCode {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// suspect notes that the book may have moved, if it answered with a 401 that was refuted.
// A partition host that an account has left answers so to every request. The next call
// looks for the book again.
func (s *session) suspect(b book, err error) {
	re, ok := errors.AsType[*ResponseError](err)
	if !ok || re.StatusCode != http.StatusUnauthorized {
		return
	}
	s.lock()
	defer s.mu.Unlock()
	if s.book.at == b.at {
		s.book.suspect = true
	}
}
