// Package icloudtest is a fake iCloud: one account's contacts behind
// CardDAV, in memory, for the tests of programs that use package icloud,
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
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is a fake iCloud with one account, one address book in it, and
// no password yet. Make it with [NewServer].
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
	// concurrently.
	Intercept func(http.ResponseWriter, *http.Request) bool

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

	account  account
	requests atomic.Int64
	pipe     *pipe // the way to it without a network

	// mu guards what follows. It is never held while an answer is written:
	// a client may be slow to read it, and in a bubble waiting for a mutex
	// would stop the clock.
	mu        sync.Mutex
	passwords passwords
	book      book
	photos    map[string]photo
	rand      *rand.Rand
	refusals  int // 401s answered, and so the layout of the next
	throttle  throttle
}

// account is whom a Server serves: facts that iCloud assigns once.
type account struct {
	appleID   string
	dsid      string // "directory services identifier", the number in every path
	partition string // the partition host begins with it: "p07", "p133"
}

// accounts counts those of this process, so that no two Servers share one,
// and a test of a fleet can keep them in one Store.
var accounts atomic.Uint64

// NewServer starts a Server. Close it after use.
func NewServer() *Server {
	n := accounts.Add(1)
	s := &Server{
		account: account{
			appleID: fmt.Sprintf("account%d@example.com", n),
			dsid:    fmt.Sprint(8034500000 + n*7919),
			// Partitions seen are 1 to 180; below 100 they have two digits.
			partition: fmt.Sprintf("p%02d", n*37%180+1),
		},
		passwords: make(passwords),
		photos:    make(map[string]photo),
		// The same noise in every run: what a test shows today it shows
		// tomorrow.
		rand: rand.New(rand.NewPCG(1, 2)),
	}
	s.book = newBook(s.account.dsid)
	s.pipe = newPipe(s)
	return s
}

// Close ends the Server, every connection to it, and with them its
// goroutines and those of its Transport. Calling it again does nothing.
func (s *Server) Close() { s.pipe.close() }

// Requests returns how many requests have reached the Server, answered by
// Intercept or not.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Put adds a card to the address book, or replaces the card of that id. The
// id is the last segment of the card's URL, as written there, with the
// ending ".vcf" if it has one. The text is kept as it is, well-formed or
// not; iCloud's cards have CRLF at the ends of lines. Put panics if the id
// cannot be a segment of a URL.
func (s *Server) Put(id, vcard string) {
	if !segment(id) {
		panic(fmt.Sprintf("icloudtest: Put: %q cannot be the last segment of a URL", id))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.put(id, vcard)
}

// Delete removes the card of that id from the address book. If there is
// none it does nothing.
func (s *Server) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.delete(id)
}

// ForgetTokens makes every sync token issued so far invalid, as servers do
// after some time or when a book is restored.
func (s *Server) ForgetTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.forgetTokens()
}

// serverKey is the context key under which Faults find their Server.
type serverKey struct{}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	r = r.WithContext(context.WithValue(r.Context(), serverKey{}, s))
	if s.Intercept != nil && s.Intercept(w, r) {
		return
	}
	s.serve(w, r)
}

// serve answers as iCloud does: who asks comes first, then what for.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.noise(w.Header())
	if wait, ok := s.throttled(time.Now()); ok {
		w.Header().Set("Retry-After", wait)
		empty(w, http.StatusServiceUnavailable)
		return
	}
	if s.RequireUserAgent && r.UserAgent() == "" {
		empty(w, http.StatusForbidden)
		return
	}
	switch s.judge(r) {
	case unknownUser:
		if s.ForbidUnknownUser && discovery(r) {
			empty(w, http.StatusForbidden)
			return
		}
		fallthrough
	case refused:
		s.unauthorized(w)
		return
	}
	if s.Redirect != 0 && isCanonical(r.Host) {
		w.Header().Set("Location", "https://"+s.partitionHost(r.Host)+r.URL.RequestURI())
		empty(w, s.Redirect)
		return
	}
	if isGateway(r.Host) {
		s.servePhoto(w, r)
		return
	}
	s.route(w, r)
}

// empty answers with a status, no body, and a length that says so.
func empty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
