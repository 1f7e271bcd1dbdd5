// Package icloudtest is a fake iCloud: the contacts of one account or many
// behind CardDAV, in memory, for the tests of programs that use package icloud,
// and for showing what happens when a password dies.
//
//	srv := icloudtest.NewServer()
//	defer srv.Close()
//	srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ada\r\nEND:VCARD\r\n")
//	cred := srv.Issue()
//	client, err := icloud.New(cred, &icloud.Options{Transport: srv.Transport()})
//
// [Server.Transport] reaches the Server under iCloud's real host names, so
// that nothing in the program under test need know that it is tested. The
// Server imitates iCloud's faults along with its virtues: the one empty 401
// for every reason, a partition host that differs from the one asked, XML
// that declares its namespaces over and over. QUIRKS.md in the root of the
// repository lists them, with sources.
//
// # Time
//
// Passwords live for a year, by [time.Now]. In a bubble of testing/synctest
// a year passes in a moment:
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := icloudtest.NewServer() // inside of the bubble
//		defer srv.Close()             // so that its goroutines end with it
//		...
//		time.Sleep(366 * 24 * time.Hour)
//
// A bubble begins on 2000-01-01, at midnight UTC: dates from outside of it
// lie in its future. The Server must be created and closed inside of the
// bubble, or the bubble cannot tell that all is waiting. Outside of
// bubbles, [Server.IssueAt] makes passwords that are old already.
//
// # Faults
//
// [Server.Intercept] sees every request before the Server does and may
// answer it. The Faults of this package have its form, and can be limited
// to some requests or some time:
//
//	srv.Intercept = icloudtest.For(time.Hour, icloudtest.Status(503)) // an hour's outage
//	srv.Intercept = icloudtest.Times(1, icloudtest.Unauthorized)      // one stray 401
//
// What iCloud does at some times and not at others, and what is known from
// conflicting reports, are fields of the Server.
package icloudtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is a fake iCloud. It has one account with an empty address book and
// no password yet, which its own methods are about; [Server.Account] adds
// others. Make it with [NewServer].
//
// Its methods may be called at any time and concurrently. Its fields may be
// set while no request is under way; each one's zero value is iCloud as it
// mostly is.
//
// A Server is an [http.Handler] too, for programs that cannot be given a
// Transport: behind [net/http/httptest.NewServer] it answers to any host
// name, and its home-set points back to the host that was asked, because no
// partition host is there. On such a host, and only there, the answer to an
// addressbook-query lacks the row of the address book itself, over which
// some clients lose the whole list.
type Server struct {
	// Intercept, if not nil, sees each request first, and returns true if
	// it has answered it. It may end the answer early by panicking with
	// http.ErrAbortHandler. If it returns false it must have left the
	// request's body and the ResponseWriter alone. It is called
	// concurrently. While requests are under way use SetIntercept.
	Intercept Fault

	// Redirect is the status with which contacts.icloud.com sends requests
	// on to the partition host: 301, 302, 307 or 308. Zero: it answers them
	// itself.
	Redirect int

	// Challenges are the WWW-Authenticate lines of a 401. Nil: iCloud's
	// two, which come in one line or two and in either order, alternating.
	Challenges []string

	// ForbidUnknownUser makes it answer 403 to the first request of
	// discovery, instead of 401, if the user name is not the account's. Two
	// projects report that of iCloud; most do not.
	ForbidUnknownUser bool

	// RequireUserAgent makes it answer 403 to requests without a
	// User-Agent, whatever their password, as one client reports.
	RequireUserAgent bool

	// Prefixes makes it write its XML with prefixes, all declared on the
	// root, instead of a default namespace declared over and over.
	Prefixes bool

	// EmptyStatus makes it leave the status of properties that do not exist
	// empty, instead of 404 Not Found. The element is there.
	EmptyStatus bool

	// ContentType is what it declares a multistatus to be, right or wrong.
	// Empty: text/xml or application/xml.
	ContentType string

	// PageSize is how many changes a sync-collection answer holds at most;
	// a row of 507 for the address book says that there are more (RFC 6578,
	// section 3.6). Zero: any number. iCloud has not been seen to use
	// pages.
	PageSize int

	// InlineData makes a sync-collection answer hold the cards themselves,
	// if asked for address-data. iCloud gives ETags alone, and cards are to
	// be fetched by addressbook-multiget.
	InlineData bool

	// ExtraChanges makes a sync-collection answer report one more card,
	// which did not change.
	ExtraChanges bool

	// RefuseEmptyToken makes it refuse a sync-collection without a token,
	// the first of each client, in the way of TokenRefusal. Tokens come
	// from the address book's property sync-token all the same.
	RefuseEmptyToken bool

	// TokenRefusal is the status that answers an unknown sync token: 400,
	// 403, 409 or 410, with an empty body. Zero: 403 with the error
	// valid-sync-token (RFC 6578, section 3.2).
	TokenRefusal int

	// OmitETag makes the answer to a PUT lack the new ETag, so that a
	// client has to ask for it.
	OmitETag bool

	intercept atomic.Pointer[Fault] // nil: the field Intercept counts
	requests  atomic.Int64
	pipe      *pipe // the way to it without a network
	first     *Account

	// mu guards what follows. It is never held while an answer is written.
	mu       sync.Mutex
	accounts map[string]*Account // by Apple ID in lower case
	numbers  map[string]bool     // the DSIDs that are taken
	rand     *rand.Rand
	refusals int // 401s answered, and so the layout of the next
}

// NewServer starts a Server. Close it after use.
func NewServer() *Server {
	s := &Server{
		accounts: make(map[string]*Account),
		numbers:  make(map[string]bool),
		// The same noise in every run: what a test shows today it shows
		// tomorrow.
		rand: rand.New(rand.NewPCG(1, 2)),
	}
	s.first = s.Account(firstAppleID())
	s.pipe = newPipe(s)
	return s
}

// Close ends the Server, every connection to it, and with them its
// goroutines and those of its Transport. Calling it again does nothing.
func (s *Server) Close() { s.pipe.close() }

// Requests returns how many requests have reached the Server, answered by
// Intercept or not, for any account or none.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// SetIntercept replaces [Server.Intercept], at any time: requests that come
// from now on meet f, and those under way have met what was there before. Nil:
// none. From the first call on the field is not looked at any more.
func (s *Server) SetIntercept(f Fault) { s.intercept.Store(&f) }

// serverKey is the context key under which Faults find their Server.
type serverKey struct{}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if user, _, ok := r.BasicAuth(); ok {
		if a := s.account(user); a != nil {
			a.requests.Add(1)
		}
	}
	r = r.WithContext(context.WithValue(r.Context(), serverKey{}, s))
	fault := s.Intercept
	if set := s.intercept.Load(); set != nil {
		fault = *set
	}
	if fault != nil && fault(w, r) {
		return
	}
	s.serve(w, r)
}

// serve answers as iCloud does: who asks comes first, then what for.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.noise(w.Header())
	user, text, ok := r.BasicAuth()
	var a *Account
	if ok {
		a = s.account(user)
	}
	if a != nil {
		if wait, ok := a.throttled(time.Now()); ok {
			w.Header().Set("Retry-After", wait)
			empty(w, http.StatusServiceUnavailable)
			return
		}
	}
	switch {
	case s.RequireUserAgent && r.UserAgent() == "":
		empty(w, http.StatusForbidden)
	case ok && a == nil && s.ForbidUnknownUser && discovery(r):
		empty(w, http.StatusForbidden)
	case a == nil || !a.accepts(text):
		s.unauthorized(w)
	case s.Redirect != 0 && isCanonical(r.Host):
		w.Header().Set("Location", "https://"+a.partitionHost(r.Host)+r.URL.RequestURI())
		empty(w, s.Redirect)
	case isGateway(r.Host):
		a.servePhoto(w, r)
	default:
		a.route(w, r)
	}
}

// empty answers with a status, no body, and a length that says so.
func empty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
