// The differences between the servers of TestSyncModel, and the faults.

package icloud_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
)

// syncData is how a server answers a sync-collection that asks for the cards.
type syncData int

const (
	dataInline    syncData = iota
	dataIgnored            // iCloud: only ETags
	dataNotFound           // Xandikos: 404 for each card's data
	dataForbidden          // Apple's calendarserver: 403 for it
)

func (d syncData) String() string {
	return [...]string{"inline", "ignored", "404 beside the ETag", "403 beside the ETag"}[d]
}

// syncOwn is the row of the book itself.
type syncOwn int

const (
	noOwnRow syncOwn = iota
	ownRowSlash
	ownRowBare // without the slash at the end
)

// syncSpelling is how a server writes hrefs.
type syncSpelling int

const (
	spellPath     syncSpelling = iota // only the path, upper-case hex
	spellAbsolute                     // with scheme and host
	spellLower                        // lower-case hex
	spellAll                          // everything but letters and digits is escaped
	spellMarks                        // '?' and '#' raw (Cyrus, SOGo)
	spellRaw                          // only '%' is escaped
	spellVaried                       // each row in another way
	spellings
)

func (s syncSpelling) String() string {
	return [...]string{"paths", "absolute", "lower-case hex", "all escaped", "raw ? and #", "raw", "varied"}[s]
}

// syncMode is the behavior of a server.
type syncMode struct {
	apple bool // it has iCloud's host names, and its partition host changes

	// sync-collection
	noSync         int // the status if there is no sync-collection; 0 if there is one
	noEmpty        int // the status with which it refuses an empty token; 0 if it does not
	data           syncData
	reportRefused  int // the status with which it refuses the report if asked for cards; 0 if it does not
	noToken        bool
	tokenURL       bool
	page           int
	tombstones     bool // deleted cards are in a first answer too
	both           bool // a card that was created again is reported as deleted and as changed
	compares       bool // cards that were created and deleted, or are as before, are not reported
	twice          bool // each card is reported twice
	extra          bool // a card that has not changed is reported too
	tokenStatus    int
	tokenCondition string
	silent         bool // a forgotten token is treated as an empty one

	// addressbook-multiget
	depth0, respell, omitsGone, unasked bool

	// addressbook-query
	noQuery, queryLimit int

	spelling    syncSpelling
	own         syncOwn
	noETags     bool // rows without data have no ETags
	movedStatus int
	second      bool // the home has another address book; then neither moves
}

// drawSyncMode draws a server.
func drawSyncMode(r *rand.Rand) syncMode {
	m := syncMode{
		apple:       r.IntN(3) == 0,
		data:        syncData(r.IntN(4)),
		tokenURL:    r.IntN(3) == 0,
		tombstones:  r.IntN(4) == 0,
		both:        r.IntN(4) == 0,
		compares:    r.IntN(3) == 0,
		twice:       r.IntN(6) == 0,
		extra:       r.IntN(6) == 0,
		depth0:      r.IntN(3) == 0,
		respell:     r.IntN(3) == 0,
		omitsGone:   r.IntN(4) == 0,
		unasked:     r.IntN(6) == 0,
		spelling:    syncSpelling(r.IntN(int(spellings))),
		own:         syncOwn(r.IntN(3)),
		noETags:     r.IntN(15) == 0,
		silent:      r.IntN(3) == 0,
		second:      r.IntN(10) == 0,
		movedStatus: []int{http.StatusForbidden, http.StatusNotFound, http.StatusGone}[r.IntN(3)],
	}
	switch r.IntN(10) {
	case 0:
		m.noSync = []int{http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusForbidden}[r.IntN(3)]
	case 1:
		m.noEmpty = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusGone}[r.IntN(4)]
	case 2:
		m.noToken = true
	}
	if r.IntN(5) == 0 {
		m.reportRefused = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusNotImplemented}[r.IntN(5)]
	}
	// Of the two known servers that do this, one has pages and the other forgets tokens
	// without an error.
	if r.IntN(3) == 0 && !m.silent {
		m.page = 1 + r.IntN(6)
	}
	if r.IntN(6) == 0 {
		m.noQuery = []int{http.StatusMethodNotAllowed, http.StatusNotImplemented}[r.IntN(2)]
	}
	if r.IntN(5) == 0 {
		m.queryLimit = 1 + r.IntN(8)
	}
	switch r.IntN(6) {
	case 0:
		m.tokenStatus = http.StatusForbidden
	case 1:
		m.tokenStatus, m.tokenCondition = http.StatusForbidden, "valid-sync-token"
	case 2:
		m.tokenStatus = http.StatusBadRequest
	case 3:
		m.tokenStatus = http.StatusConflict
	case 4:
		m.tokenStatus = http.StatusGone
	case 5:
		m.tokenStatus = http.StatusPreconditionFailed
	}
	return m
}

// String describes what is unusual about a server.
func (m syncMode) String() string {
	var b strings.Builder
	say := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&b, ", "+format, args...)
		}
	}
	say(m.apple, "as iCloud")
	say(m.noSync != 0, "no sync-collection (%d)", m.noSync)
	say(m.noEmpty != 0, "empty token refused (%d)", m.noEmpty)
	say(m.reportRefused != 0, "data refused with the report (%d)", m.reportRefused)
	say(m.reportRefused == 0, "data %s", m.data)
	say(m.noToken, "no token")
	say(m.page > 0, "pages of %d", m.page)
	say(m.tombstones, "tombstones at first")
	say(m.both, "gone and there")
	say(m.compares, "states compared")
	say(m.twice, "rows twice")
	say(m.extra, "extra changes")
	say(m.silent, "tokens forgotten in silence")
	say(!m.silent, "tokens refused %d %s", m.tokenStatus, m.tokenCondition)
	say(m.depth0, "multiget at Depth 0 alone")
	say(m.respell, "multiget spells anew")
	say(m.omitsGone, "multiget omits what is gone")
	say(m.unasked, "multiget sends more")
	say(m.noQuery != 0, "no query (%d)", m.noQuery)
	say(m.queryLimit > 0, "query of %d", m.queryLimit)
	say(true, "hrefs %s", m.spelling)
	say(m.own == ownRowSlash, "own row")
	say(m.own == ownRowBare, "own row without slash")
	say(m.noETags, "no ETags")
	say(true, "moved: %d", m.movedStatus)
	say(m.second, "two books")
	return strings.TrimPrefix(b.String(), ", ")
}

// follows says whether the server has a sync-collection that can be followed.
func (m syncMode) follows() bool { return m.noSync == 0 && m.noEmpty == 0 && !m.noToken }

// either returns a value for iCloud or for the other server.
func (s *syncServer) either(apple, other string) string {
	if s.apple {
		return apple
	}
	return other
}

func (s *syncServer) endpoint() string { return s.either("", "https://dav.example.org/") }

// host returns the host of the book.
func (s *syncServer) host() string {
	return s.either(fmt.Sprintf("p%02d-contacts.icloud.com", 7+s.moves), "dav.example.org")
}

func (s *syncServer) principal() string { return s.either("/1234/principal", "/principals/ada") }

// home returns the path of the home-set. On the other server it has an '@', which may be
// escaped.
func (s *syncServer) home() string { return s.either("/1234/carddavhome", "/books/ada@example.org") }

func (s *syncServer) homeURL() string {
	return s.either("https://"+s.host()+":443", "") + s.home()
}

// dir returns the decoded path of the book. iCloud's does not change together with its host.
func (s *syncServer) dir() string {
	return s.home() + s.either("/card/", fmt.Sprintf("/book-%d/", s.moves))
}

// written returns the href of a card as the server writes it.
func (s *syncServer) written(name string) string { return s.writtenDir() + s.writtenName(name) }

func (s *syncServer) writtenDir() string {
	dir := s.dir()
	switch s.spelling {
	case spellAbsolute:
		return "https://" + s.host() + dir
	case spellLower, spellAll:
		return strings.ReplaceAll(dir, "@", "%40")
	}
	return dir
}

func (s *syncServer) writtenName(name string) string {
	how := s.spelling
	if how == spellVaried {
		how = syncSpelling(s.rand.IntN(int(spellVaried)))
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		switch how {
		case spellAll:
		case spellRaw:
			plain = c != '%' && c != '/'
		case spellMarks:
			plain = plain || strings.IndexByte("-._~!$&'()*+,;=:@?#", c) >= 0
		default:
			plain = plain || strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
		}
		switch {
		case plain:
			b.WriteByte(c)
		case how == spellLower:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// syncFault is a fault of one request.
type syncFault int

const (
	noFault    syncFault = iota
	faultLost            // no answer
	faultCut             // the connection breaks in the body
	faultShort           // the body ends early, as HTTP/1.0 allows
	faultXML             // the body is not XML from some place on
	faultPortal
	fault401
	fault400
	fault403
	fault403Wait
	fault404
	fault409
	fault410
	fault412
	fault500
	fault503
	fault503Wait
	faultRow // one card's row in a multiget is a 500
	syncFaults
)

var faultNames = [...]string{"none", "lost", "cut", "short", "broken XML", "portal", "401", "400", "403", "403 Retry-After", "404", "409", "410", "412", "500", "503", "503 Retry-After", "a row of 500"}

func (f syncFault) String() string { return faultNames[f] }

// blamesToken says whether the faults of the call may look like a refusal of the token. On
// iCloud one 403 is not enough.
func (s *syncServer) blamesToken() bool {
	forbidden, blamed := 0, 0
	for _, f := range s.faults {
		switch f {
		case fault403:
			forbidden++
		case fault400, fault404, fault409, fault410, fault412, fault500, faultXML:
			blamed++
		}
	}
	return blamed > 0 || forbidden > 1 || forbidden > 0 && !s.apple
}

var errSyncLost = errors.New("connection reset by peer")

// spoil applies a fault to an answer.
func (s *syncServer) spoil(r *syncRequest, a syncAnswer, fault syncFault) (syncAnswer, error) {
	status := 0
	var header http.Header
	switch fault {
	case noFault:
		return a, nil
	case faultLost:
		return a, errSyncLost
	case faultCut, faultShort, faultXML:
		if a.status/100 != 2 || a.body == "" {
			return a, nil
		}
		// A card that lacks only the end of its last line is complete.
		at := s.rand.IntN(len(a.body) - len("\r\n"))
		a.note += fmt.Sprintf(", %s at byte %d of %d", fault, at, len(a.body))
		a.body = a.body[:at]
		switch fault {
		case faultCut:
			a.cut = io.ErrUnexpectedEOF
		case faultXML:
			if r.what != "GET" { // a card is not XML
				a.body += "</nonsense>"
			}
		}
		return a, nil
	case faultPortal:
		return syncAnswer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/html"}}, body: "<html><body>Welcome to our hotel</body></html>", note: "a portal's page"}, nil
	case faultRow:
		if i := strings.Index(a.body, "<response>"); i >= 0 && r.what == "addressbook-multiget" {
			if j := strings.Index(a.body[i:], "</href>"); j >= 0 {
				k := strings.Index(a.body[i:], "</response>")
				a.body = a.body[:i+j] + "</href><status>HTTP/1.1 500 Internal Server Error</status>" + a.body[i+k:]
				a.note += ", the first of them a 500"
			}
		}
		return a, nil
	case fault401:
		status, header = http.StatusUnauthorized, http.Header{"Www-Authenticate": {`Basic realm="MMCalDav"`}}
	case fault400:
		status = http.StatusBadRequest
	case fault403:
		status = http.StatusForbidden
	case fault403Wait:
		status, header = http.StatusForbidden, http.Header{"Retry-After": {"30"}}
	case fault404:
		status = http.StatusNotFound
	case fault409:
		status = http.StatusConflict
	case fault410:
		status = http.StatusGone
	case fault412:
		status = http.StatusPreconditionFailed
	case fault500:
		status = http.StatusInternalServerError
	case fault503:
		status = http.StatusServiceUnavailable
	case fault503Wait:
		status, header = http.StatusServiceUnavailable, http.Header{"Retry-After": {"30"}}
	}
	// A 404 to a GET is not a fault: it says that the card was deleted.
	if r.what == "GET" && (status == http.StatusNotFound || status == http.StatusGone) {
		return a, nil
	}
	return syncAnswer{status: status, header: header, note: "by a fault: " + fault.String()}, nil
}
