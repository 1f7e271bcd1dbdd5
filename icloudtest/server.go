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
// bubbles, [Server.IssueAt] makes passwords that are old already, and
// [Server.ExpireAt] ends one while a program uses it.
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
// While a program is at work, [Server.SetIntercept] does the same.
//
// What iCloud does at some times and not at others, and what is known from
// conflicting reports, are fields of the Server.
package icloudtest

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
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
// name. Its home-set points back to the host that was asked, or to HomeHost.
type Server struct {
	// Intercept, if not nil, sees each request first, and returns true if
	// it has answered it. It may end the answer early by panicking with
	// http.ErrAbortHandler. If it returns false it must have left the
	// request's body and the ResponseWriter alone. It is called
	// concurrently. While requests are under way use SetIntercept.
	Intercept Fault

	// What follows is what iCloud does at some times and not at others, what
	// reports of it conflict about, and what nobody has seen. QUIRKS.md has the
	// sources in full.

	// Redirect is the status with which contacts.icloud.com sends requests
	// on to the partition host: 301, 302, 307 or 308. Zero: it answers them
	// itself. Three projects describe a redirect, three traces show none.
	Redirect int

	// PartitionOnly makes the account's home, address book and cards known on
	// its partition host alone (or on HomeHost); elsewhere they are unknown
	// paths. Four projects find them on contacts.icloud.com too. It is for a
	// client that is to be seen keeping to the host that it was sent to.
	PartitionOnly bool

	// HomeHost is the host, with its port, of the home-set's URL where the
	// Server is not reached under iCloud's names: a second name of the same
	// machine, so that there are two hosts as at iCloud. Empty: the host that
	// was asked.
	HomeHost string

	// RefuseRootDepth makes it answer 400 to a PROPFIND with Depth 1 where
	// discovery begins, as one document has it (apple-icloud-mcp). Several
	// clients send it and work.
	RefuseRootDepth bool

	// OpenOptions makes it answer OPTIONS without a password, as one client
	// needs (Nylas sync-engine). Zero: 401, as to everything.
	OpenOptions bool

	// Challenges are the WWW-Authenticate lines of a 401. Nil: iCloud's
	// two, which come in one line or two and in either order, alternating.
	Challenges []string

	// ForbidUnknownUser makes it answer 403 to the first request of
	// discovery, instead of 401, if the user name is not an account's. Two
	// projects report that of iCloud; most do not.
	ForbidUnknownUser bool

	// RequireUserAgent makes it answer 403 to requests without a
	// User-Agent, whatever their password, as one client reports.
	RequireUserAgent bool

	// RequireHyphens makes it refuse passwords that come without the hyphens
	// that Apple shows. Zero: both are accepted, as BusyMac's "16 to 19
	// characters" says. Most programs send them, one README says to strip them
	// (tchiro88/MCP_CREATOR), and nobody has seen either refused.
	RequireHyphens bool

	// ThrottleStatus is the status of an answer that asks the account to wait:
	// 403 (reported by lrhodin/imessage), 429 or 503. Zero: 503 (keeper.sh).
	ThrottleStatus int

	// Prefixes makes it write its XML with prefixes, all declared on the
	// root, instead of a default namespace declared over and over. Both were
	// captured (timfjord/carddav).
	Prefixes bool

	// EmptyStatus makes it leave the status of properties that do not exist
	// empty, instead of 404 Not Found. The element is there. It was met once
	// (org-caldav#305, calendars).
	EmptyStatus bool

	// ContentType is what it declares a multistatus to be, right or wrong.
	// Empty: text/xml or application/xml. That it cannot be trusted is
	// python-caldav's experience.
	ContentType string

	// CDATA makes it write cards as CDATA sections, in which XML parsers turn
	// CRLF into LF. Captured on the calendar side, once.
	CDATA bool

	// Uncompressed makes it ignore Accept-Encoding. Zero: gzip for answers
	// that are worth it. No report says which iCloud does.
	Uncompressed bool

	// OmitOwnRow makes the answer to an addressbook-query without a filter
	// lack the row of the address book itself, which iCloud sends, and over
	// which some clients lose the whole list (go-webdav). It is for work with
	// such clients all the same.
	OmitOwnRow bool

	// QueryLimit is how many cards an addressbook-query lists at most; a row of
	// 507 for the address book says that there are more (RFC 6352, section
	// 8.6.1). Zero: any number. Old code of Nylas says 5,000 of iCloud; Apple's
	// calendarserver stops at 1,000 with such a row.
	QueryLimit int

	// QuietLimit makes an answer that QueryLimit has cut short look complete.
	// Whether iCloud says that there are more is not known.
	QuietLimit bool

	// PageSize is how many changes a sync-collection answer holds at most;
	// a row of 507 for the address book says that there are more (RFC 6578,
	// section 3.6). Zero: any number. iCloud has not been seen to use
	// pages.
	PageSize int

	// InlineData makes a sync-collection answer hold the cards themselves,
	// if asked for address-data. iCloud gives ETags alone, and cards are to
	// be fetched by addressbook-multiget.
	InlineData bool

	// DenyInlineData makes a sync-collection answer have a propstat of 403 for
	// address-data, if asked for it, as Apple's calendarserver does. Zero: the
	// request is passed over. InlineData goes before it.
	DenyInlineData bool

	// ExtraChanges makes a sync-collection answer report one more card,
	// which did not change. carddavclient allows for it on iCloud.
	ExtraChanges bool

	// OwnRowSlash makes the address book's own row in a sync-collection answer
	// have its final slash. Zero: it lacks it. Calendars were captured with
	// both.
	OwnRowSlash bool

	// RefuseEmptyToken makes it refuse a sync-collection without a token,
	// the first of each client, in the way of TokenRefusal. Tokens come
	// from the address book's property sync-token all the same. One project
	// reports it (OpenBubbles), two have it work.
	RefuseEmptyToken bool

	// TokenRefusal is the status that answers an unknown sync token: 400,
	// 403, 409 or 410, with an empty body; or 207, which is no refusal: all
	// cards are listed as to an empty token, and nothing says that cards may be
	// gone. Zero: 403 with the error valid-sync-token (RFC 6578, section 3.2),
	// as captured on the calendar side.
	TokenRefusal int

	// OldForms makes ETags and getctag have the forms of before 2021:
	// "C=4@U=cc79…", and FT=-@RU=…@S=4. Zero: an ETag is a time in milliseconds
	// as a number of base 36, and getctag equals the sync token.
	OldForms bool

	// OmitETag makes the answer to a PUT lack the new ETag, so that a
	// client has to ask for it (apple-icloud-mcp, calendars).
	OmitETag bool

	// RefuseIfMatchAny makes a write with If-Match: * fail with 412 although
	// the card exists, as one report has it.
	RefuseIfMatchAny bool

	// RefuseDeleteDepth makes it answer 400 to a DELETE with a Depth, which
	// one report has of calendars. RFC 4918, section 9.6.1, allows it for
	// collections.
	RefuseDeleteDepth bool

	// MaxCard is how many bytes a card may have that a program puts, and
	// MaxCards how many cards may be in the book; what is beyond is refused
	// with 403. Zero: any. Apple documents 256 KB and 50,000 (support article
	// 103188), and not what happens then.
	MaxCard, MaxCards int

	// PhotosAsURLs makes a photo that a program puts inside of a card come
	// back as a URL of the photo host, as one client reports. Zero: cards are
	// kept byte for byte, as a live probe of KashCal's found.
	PhotosAsURLs bool

	// OldPhotos makes the URLs of photos lie on a partition host, not the
	// account's, as older ones do (carddav2fb#122). Zero: gateway.icloud.com.
	OldPhotos bool

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
	s.noise(w.Header(), r)
	user, text, ok := r.BasicAuth()
	var a *Account
	if ok {
		a = s.account(user)
	}
	if a != nil {
		if wait, ok := a.throttled(time.Now()); ok {
			w.Header().Set("Retry-After", wait)
			empty(w, cmp.Or(s.ThrottleStatus, http.StatusServiceUnavailable))
			return
		}
	}
	switch {
	case s.RequireUserAgent && r.UserAgent() == "":
		empty(w, http.StatusForbidden)
	case s.OpenOptions && r.Method == http.MethodOptions && !ok:
		options(w)
	case ok && a == nil && s.ForbidUnknownUser && discovery(r):
		empty(w, http.StatusForbidden)
	case a == nil || !a.accepts(text):
		s.unauthorized(w, r)
	case s.Redirect != 0 && isCanonical(r.Host):
		w.Header().Set("Location", "https://"+a.partitionHost(r.Host)+r.URL.RequestURI())
		empty(w, s.Redirect)
	case isGateway(r.Host) || strings.HasPrefix(r.URL.Path, "/"+a.dsid+oldPhotos):
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
