// Package icloudtest is a fake iCloud for tests and demonstrations. It serves the contacts
// of one or more accounts over CardDAV, from memory, and shows a program what happens
// when a password dies.
//
//	srv := icloudtest.NewServer()
//	defer srv.Close()
//	srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ada\r\nEND:VCARD\r\n")
//	cred := srv.Issue()
//	client, err := icloud.New(cred, &icloud.Options{Transport: srv.Transport()})
//
// [Server.Transport] reaches the Server under iCloud's real host names, so the program
// under test need not know that it is tested. The Server also imitates iCloud's quirks:
// the same empty 401 for every reason, an address book on another host, and XML that
// declares its namespace on nested elements again. QUIRKS.md in the root of the repository
// lists them with sources.
//
// # Time
//
// Passwords live for a year by [time.Now]. In a bubble of testing/synctest a year passes at
// once:
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := icloudtest.NewServer() // inside of the bubble
//		defer srv.Close()             // ends its goroutines, as the bubble requires
//		...
//		time.Sleep(366 * 24 * time.Hour)
//
// A bubble begins on 2000-01-01 at midnight UTC, so the real present is in its future.
// Create and close the Server inside of the bubble; otherwise the time in the bubble does
// not pass. Outside of a bubble, [Server.IssueAt] makes passwords that are already old, and
// [Server.ExpireAt] lets a password expire while a program uses it.
//
// # Faults
//
// [Server.Intercept] gets every request before the Server does, and may answer it. This
// package has Faults to put there. They can be limited to some requests or to some time:
//
//	srv.Intercept = icloudtest.For(time.Hour, icloudtest.Status(503)) // an hour's outage
//	srv.Intercept = icloudtest.Times(1, icloudtest.Unauthorized)      // one stray 401
//
// [Server.SetIntercept] does the same while requests are under way.
//
// The fields of the Server are for behavior that iCloud shows only at times, or that
// reports disagree about.
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

// A Server is a fake iCloud. Make it with [NewServer]. It has one account at first, with
// an empty address book and no password. The Server's own methods are about that account;
// [Server.Account] adds others.
//
// The methods are safe for concurrent use. The fields must not be changed while a request
// is under way. Their zero values imitate iCloud as most sources describe it.
//
// A Server is an [http.Handler], for programs to which no Transport can be given: served by
// [net/http/httptest.NewServer], it accepts any host name. Its home-set is then on the host
// that was asked, or on HomeHost.
type Server struct {
	// Intercept, if not nil, gets each request first. It returns true if it has
	// answered the request. If it returns false, it must not have used the
	// ResponseWriter or the request's body. To end an answer early it may panic
	// with http.ErrAbortHandler. It is called concurrently. Use SetIntercept to
	// change it while requests are under way.
	Intercept Fault

	// The fields from here on are for behavior that iCloud shows only at times, that
	// reports disagree about, or that nobody has seen. QUIRKS.md has all sources.

	// Redirect is the status with which contacts.icloud.com redirects requests to
	// the partition host: 301, 302, 307 or 308. Zero means no redirect. Three
	// projects describe a redirect, and three traces show none.
	Redirect int

	// PartitionOnly makes the account's home, address book and cards unknown on
	// all hosts but its partition host (or HomeHost). Four projects find them on
	// contacts.icloud.com too. The field shows whether a client uses the host that
	// it was sent to.
	PartitionOnly bool

	// HomeHost is the host, with its port, of the home-set's URL for requests that
	// do not use iCloud's host names. It is a second name of the same machine, so
	// that there are two hosts as at iCloud. Empty means the host that was asked.
	HomeHost string

	// RefuseRootDepth makes the Server answer 400 to a PROPFIND with Depth 1 at the
	// paths where discovery begins, as one document says (apple-icloud-mcp). Several
	// clients send Depth 1 there without trouble.
	RefuseRootDepth bool

	// OpenOptions makes the Server answer OPTIONS without a password, as one client
	// needs (Nylas sync-engine). If false, the answer is 401.
	OpenOptions bool

	// Challenges are the WWW-Authenticate lines of a 401. Nil means iCloud's two
	// challenges, in each of their captured layouts in turn: one line or two, and
	// either order.
	Challenges []string

	// ForbidUnknownUser makes the Server answer 403, instead of 401, to the first
	// request of discovery if the user name is unknown. Two projects report 403
	// from iCloud, and most report 401.
	ForbidUnknownUser bool

	// RequireUserAgent makes the Server answer 403 to a request without
	// User-Agent, whatever its password is. One client reports this.
	RequireUserAgent bool

	// RequireHyphens makes the Server refuse a password without the hyphens that
	// Apple shows. If false, both forms are accepted, as BusyMac's "16 to 19
	// characters" says. Most programs send the hyphens, one README says to remove
	// them (tchiro88/MCP_CREATOR), and nobody reports that either is refused.
	RequireHyphens bool

	// ThrottleStatus is the status of an answer that asks the account to wait: 403
	// (reported by lrhodin/imessage), 429 or 503. Zero means 503 (keeper.sh).
	ThrottleStatus int

	// Prefixes makes the Server write XML with prefixes that are declared on the
	// root, instead of a default namespace that nested elements declare again. Both
	// were captured (timfjord/carddav).
	Prefixes bool

	// EmptyStatus makes the status element of missing properties empty, instead of
	// 404 Not Found. This was seen once (org-caldav#305, calendars).
	EmptyStatus bool

	// ContentType is the Content-Type of a multistatus, right or wrong. Empty means
	// text/xml or application/xml. python-caldav reports that it cannot be trusted.
	ContentType string

	// CDATA makes the Server write cards as CDATA sections, in which XML parsers
	// turn CRLF into LF. This was captured once, from a calendar host.
	CDATA bool

	// Uncompressed makes the Server ignore Accept-Encoding. If false, it compresses
	// answers of more than 1400 bytes with gzip. No report says what iCloud does.
	Uncompressed bool

	// OmitOwnRow makes the answer to an addressbook-query without a filter lack the
	// row of the address book itself. iCloud sends that row, and some clients lose
	// the whole list over it (go-webdav). Use OmitOwnRow to test with such clients.
	OmitOwnRow bool

	// QueryLimit is how many cards an addressbook-query lists at most. If there are
	// more, the address book gets a row of 507 (RFC 6352, section 8.6.1). Zero means
	// no limit. Old code of Nylas says that iCloud lists 5,000; Apple's
	// calendarserver lists 1,000 and sends such a row.
	QueryLimit int

	// QuietLimit makes an answer that QueryLimit has cut short look complete, without
	// a row of 507. Which of them iCloud does is not known.
	QuietLimit bool

	// PageSize is how many changes an answer to a sync-collection has at most. If
	// there are more, the address book gets a row of 507 (RFC 6578, section 3.6).
	// Zero means no limit. Nobody has seen iCloud use pages.
	PageSize int

	// InlineData makes an answer to a sync-collection contain the cards, if the
	// request asks for address-data. iCloud sends only ETags, and the client gets
	// the cards by addressbook-multiget.
	InlineData bool

	// DenyInlineData makes an answer to a sync-collection have a propstat of 403 for
	// address-data, if the request asks for it, as Apple's calendarserver does. If
	// false, the Server ignores that part of the request. InlineData has precedence.
	DenyInlineData bool

	// ExtraChanges makes an answer to a sync-collection report one more card, which
	// did not change. carddavclient expects this from iCloud.
	ExtraChanges bool

	// OwnRowSlash gives the address book's own row in an answer to a sync-collection
	// its final slash. If false, the slash is missing. Both were captured from
	// calendar hosts.
	OwnRowSlash bool

	// RefuseEmptyToken makes the Server refuse a sync-collection without a token,
	// with the answer that TokenRefusal selects. The address book's property
	// sync-token still has a token. One project reports such a refusal
	// (OpenBubbles), and two report success.
	RefuseEmptyToken bool

	// TokenRefusal is the status of the answer to an unknown sync token: 400, 403,
	// 409 or 410 with an empty body; or 207, which lists all cards as for an empty
	// token and does not say that cards may have been deleted. Zero means 403 with
	// the error valid-sync-token (RFC 6578, section 3.2), as captured from a
	// calendar host.
	TokenRefusal int

	// OldForms makes ETags and getctag have the forms from before 2021, such as
	// "C=4@U=cc79…" and FT=-@RU=…@S=4. If false, an ETag is a time in milliseconds in
	// base 36, and getctag equals the sync token.
	OldForms bool

	// OmitETag makes the answer to a PUT lack the new ETag, so that a client has to
	// ask for it (apple-icloud-mcp, calendars).
	OmitETag bool

	// RefuseIfMatchAny makes a write with If-Match: * fail with 412 although the
	// card exists, as one report says.
	RefuseIfMatchAny bool

	// RefuseDeleteDepth makes the Server answer 400 to a DELETE with a Depth header,
	// as one report about calendars says. RFC 4918, section 9.6.1, allows the header
	// for collections.
	RefuseDeleteDepth bool

	// MaxCard is how many bytes a card may have, and MaxCards how many cards the
	// address book may have. A PUT beyond a limit is refused with 403; the method
	// Put has no limit. Zero means no limit. Apple documents 256 KB and 50,000
	// (support article 103188), but not what happens beyond.
	MaxCard, MaxCards int

	// PhotosAsURLs makes the Server replace a photo in a card that a program puts by
	// a URL on the photo host, as one client reports. If false, cards stay as they
	// are, byte for byte, as KashCal found on a real account.
	PhotosAsURLs bool

	// OldPhotos makes the URLs of photos lie on a partition host other than the
	// account's, as those of older photos do (carddav2fb#122). If false, they lie on
	// gateway.icloud.com.
	OldPhotos bool

	intercept atomic.Pointer[Fault] // if nil, the field Intercept applies
	requests  atomic.Int64
	pipe      *pipe // reaches the Server without a network
	first     *Account

	// mu guards what follows. It is never held while an answer is written.
	mu       sync.Mutex
	accounts map[string]*Account // by Apple ID in lower case
	numbers  map[string]bool     // the DSIDs in use
	rand     *rand.Rand
	refusals int // the number of 401s, which chooses the layout of the next one
}

// NewServer starts a Server, which the caller must Close after use.
func NewServer() *Server {
	s := &Server{
		accounts: make(map[string]*Account),
		numbers:  make(map[string]bool),
		// The seed is fixed, so that tests are repeatable.
		rand: rand.New(rand.NewPCG(1, 2)),
	}
	s.first = s.Account(firstAppleID())
	s.pipe = newPipe(s)
	return s
}

// Close ends the Server and all connections to it. Then its goroutines and those of its
// Transport end too. Closing a Server again does nothing.
func (s *Server) Close() { s.pipe.close() }

// Requests returns how many requests the Server has received, for all accounts together.
// It counts requests that name no account and those that Intercept has answered.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// SetIntercept replaces [Server.Intercept]. It may be called while requests are under way,
// and applies to requests that arrive later. Nil means no Intercept. After the first call
// of SetIntercept the Server ignores the field.
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

// serve answers as iCloud does. It checks the account and the password before the rest of the
// request.
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

// empty answers with a status and a Content-Length of 0.
func empty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
