// Who is signed in: PROPFIND for current-user-principal (RFC 5397), the request
// that discovery begins with, and that a probe consists of.

package icloud

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/dav"
)

// principal is what an endpoint says of whoever is signed in.
type principal struct {
	base   *url.URL // what href is relative to
	href   string   // as written
	isBook bool     // the endpoint is an address book itself
}

var errNoPrincipal = errors.New("icloud: the server does not say who is signed in (current-user-principal)")

// probeURL is where probes go: the endpoint as given, on iCloud its root.
func (s *session) probeURL() *url.URL {
	if s.gate.ICloud() {
		return s.endpoint.ResolveReference(&url.URL{Path: "/"})
	}
	return s.endpoint
}

// wellKnownURL is where discovery goes on (RFC 6764, section 5).
func (s *session) wellKnownURL() *url.URL {
	return s.endpoint.ResolveReference(&url.URL{Path: "/.well-known/carddav"})
}

// principalBody asks a URL that may be an address book what it is, too.
func (s *session) principalBody(u *url.URL) []byte {
	if u.Path == s.endpoint.Path && u.Path != "/" {
		return dav.PropfindEndpoint()
	}
	return dav.PropfindPrincipal()
}

// readPrincipal reads who is signed in. It is an error if nobody is.
func readPrincipal(resp *http.Response) (*principal, error) {
	p := &principal{base: resp.Request.URL}
	status := 0
	err := rows(resp, func(row *dav.Row) error {
		switch {
		case row.Status >= 300:
			status = row.Status
		case len(row.Principal) > 0 && !row.Unauthenticated && p.href == "":
			p.href = string(row.Principal)
		}
		// The row must be about what was asked for: a Depth that a server ignores
		// brings rows of other things.
		p.isBook = p.isBook || row.AddressBook && !row.Unauthenticated && dav.SameResource(string(row.Href), p.base)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case p.href != "" || p.isBook:
		return p, nil
	case status != 0:
		return nil, &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return nil, errNoPrincipal
}

// noDAV says whether an error shows that CardDAV is not spoken at a URL, rather than
// that it failed there.
func noDAV(err error) bool {
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return re.RetryAfter == 0 && (re.StatusCode < 500 && re.StatusCode != http.StatusUnauthorized &&
			re.StatusCode != http.StatusTooManyRequests || re.StatusCode == http.StatusNotImplemented)
	}
	return errors.Is(err, errNoPrincipal)
}
