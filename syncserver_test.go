// A CardDAV server for TestSyncModel: a book with its whole history, and the differences
// between servers. It shares no code with icloudtest, so that the two understand the protocol
// independently.

package icloud_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// syncCard is a card of the book.
type syncCard struct {
	version int
	text    string
	rev     int // the revision of its last change
}

func (c syncCard) etag() string { return fmt.Sprintf(`"v%d"`, c.version) }

// syncState is the card of a name from a revision on; its text is "" if there is none.
type syncState struct {
	rev  int
	text string
}

// syncTrouble is what is wrong with a card for some time, also if the card changes.
type syncTrouble int

const (
	noTrouble   syncTrouble = iota
	passedOver              // a multiget omits it; GET sends it
	neverSent               // a multiget omits it, and GET does not send it
	breaksFor               // every report that would send it is a 500; GET sends it
	breaksAlone             // every report that would send it is a 500, and so is GET
	breaksXML               // every report that would send it is not XML from there on; GET sends it
	forbidden               // every report gives 403 for its data, and so does GET
	troubles
)

func (t syncTrouble) String() string {
	return [...]string{"no trouble", "passed over by reports", "never sent", "breaks reports", "breaks reports and GET", "breaks XML", "forbidden"}[t]
}

// got says whether a GET gets a card with this trouble.
func (t syncTrouble) got() bool { return t != neverSent && t != breaksAlone && t != forbidden }

// syncServer is the server, and the RoundTripper that reaches it.
type syncServer struct {
	syncMode
	rand *rand.Rand
	log  func(format string, args ...any)

	rev     int
	cards   map[string]*syncCard   // by name, decoded
	history map[string][]syncState // by name
	trouble map[string]syncTrouble // by name
	serial  int                    // the number of the last token
	purged  int                    // tokens up to this serial are forgotten
	// untold has, by the serial of a page's token, the changed cards that no page has
	// reported yet, as the holder of the token knows them.
	untold map[int]map[string]string
	moves  int
	known  bool // the Client or its Store knows the book

	// around is called before and after each request is answered. Other programs change
	// the book at these times.
	around func()
	// fault returns the fault of a request.
	fault func(r *syncRequest) syncFault

	// About the present call: the number of requests, their faults, and how often the
	// book moved or tokens were forgotten meanwhile.
	requests  int
	faults    []syncFault
	disturbed int
	used      map[string]int // the number of faults, by kind
	endless   int            // the largest number of requests
}

// syncRequest is a request as a server reads it.
type syncRequest struct {
	*http.Request
	path string // decoded
	body string
	what string // the report's name, or the method
}

// syncAnswer is an answer.
type syncAnswer struct {
	status int
	header http.Header
	body   string
	note   string
	cut    error // the error with which the body ends
}

func newSyncServer(mode syncMode, random *rand.Rand, log func(string, ...any)) *syncServer {
	return &syncServer{
		syncMode: mode, rand: random, log: log,
		cards: make(map[string]*syncCard), history: make(map[string][]syncState), trouble: make(map[string]syncTrouble), untold: make(map[int]map[string]string),
		around: func() {}, fault: func(*syncRequest) syncFault { return noFault }, used: make(map[string]int),
	}
}

// put creates or changes a card.
func (s *syncServer) put(name string) {
	s.rev++
	text := fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:%s &<v%d>\r\nEND:VCARD\r\n", strings.NewReplacer(",", "", ";", "").Replace(name), name, s.rev)
	s.set(name, &syncCard{version: s.rev, text: text, rev: s.rev})
	s.log("  put %q, now v%d", name, s.rev)
}

// delete deletes a card.
func (s *syncServer) delete(name string) {
	s.rev++
	s.set(name, nil)
	s.log("  delete %q", name)
}

// rename gives a card another name. It keeps its ETag and text.
func (s *syncServer) rename(from, to string) {
	c := *s.cards[from]
	s.rev++
	s.set(from, nil)
	s.rev++
	c.rev = s.rev
	s.set(to, &c)
	s.log("  rename %q to %q", from, to)
}

func (s *syncServer) set(name string, c *syncCard) {
	text := ""
	if c == nil {
		delete(s.cards, name)
	} else {
		s.cards[name] = c
		text = c.text
	}
	s.history[name] = append(s.history[name], syncState{s.rev, text})
}

// forgetTokens makes the server forget all tokens that were issued.
func (s *syncServer) forgetTokens() {
	s.purged = s.serial
	s.log("  the server forgets its tokens")
}

// move gives the book another URL.
func (s *syncServer) move() {
	s.moves++
	s.log("  the book moves to %s%s", s.host(), s.dir())
}

// between returns the texts of a name from one revision to another.
func (s *syncServer) between(name string, from, to int) []string {
	texts := []string{""}
	for _, state := range s.history[name] {
		if state.rev <= from {
			texts[0] = state.text
		} else if state.rev <= to {
			texts = append(texts, state.text)
		}
	}
	return texts
}

// nameOf returns the name of the card that an href means.
func (s *syncServer) nameOf(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, s.dir())
	return name, ok && name != ""
}

// RoundTrip answers a request without a connection.
func (s *syncServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	r, err := readSync(req)
	if err != nil {
		return nil, err
	}
	s.requests++
	s.used[r.what]++
	if s.requests > s.endless {
		s.log("    %s: one request too many", r.what)
		return nil, errSyncEndless
	}
	s.around()
	fault := s.fault(r)
	if fault != noFault {
		s.faults = append(s.faults, fault)
	}
	a := s.answer(r)
	a, err = s.spoil(r, a, fault)
	if err != nil {
		s.log("    %s: %v", r.line(), err)
		return nil, err
	}
	s.log("    %s: %d %s", r.line(), a.status, a.note)
	s.around()
	resp := &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Request: req, ContentLength: -1,
		Body: io.NopCloser(io.MultiReader(strings.NewReader(a.body), syncEnd{a.cut})),
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	if strings.HasPrefix(a.body, "<?xml") {
		resp.Header.Set("Content-Type", "application/xml; charset=utf-8")
	}
	return resp, nil
}

// syncEnd is a reader that returns the error with which a body ends.
type syncEnd struct{ err error }

func (e syncEnd) Read([]byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	return 0, io.EOF
}

var errSyncEndless = errors.New("more requests than any run should need")

// readSync reads a request as a server does: the path ends at a '?' that is not escaped.
func readSync(req *http.Request) (*syncRequest, error) {
	r := &syncRequest{Request: req, what: req.Method}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		r.body = string(body)
	}
	raw, _, _ := strings.Cut(req.URL.RequestURI(), "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, fmt.Errorf("a path that cannot be decoded: %q", raw)
	}
	r.path = path
	if req.Method == "REPORT" {
		for _, report := range []string{"sync-collection", "addressbook-multiget", "addressbook-query"} {
			if strings.Contains(r.body, report) {
				r.what = report
			}
		}
	}
	return r, nil
}

// line returns the request for the log of a failure.
func (r *syncRequest) line() string {
	s := r.what
	switch r.what {
	case "sync-collection":
		s += fmt.Sprintf(" %q", r.element("sync-token"))
		if !r.data() {
			s += " without data"
		}
	case "addressbook-multiget":
		s += fmt.Sprintf(" %q", r.hrefs())
	case "PROPFIND":
		s += " " + r.path + " Depth " + r.Header.Get("Depth")
	case "GET":
		s += " " + r.URL.RequestURI()
	}
	return s
}

// data says whether a report asks for cards.
func (r *syncRequest) data() bool { return strings.Contains(r.body, "address-data") }

// texts returns the texts of all elements with a name.
func (r *syncRequest) texts(name string) (texts []string) {
	d := xml.NewDecoder(strings.NewReader(r.body))
	for {
		tok, err := d.Token()
		if err != nil {
			return texts
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == name {
			var text string
			if d.DecodeElement(&text, &start) == nil {
				texts = append(texts, text)
			}
		}
	}
}

func (r *syncRequest) element(name string) string {
	if texts := r.texts(name); len(texts) > 0 {
		return texts[0]
	}
	return ""
}

func (r *syncRequest) hrefs() []string { return r.texts("href") }

const syncOpen = `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">`

func multi(note string, rows ...string) syncAnswer {
	return syncAnswer{status: http.StatusMultiStatus, body: syncOpen + strings.Join(rows, "\n") + "</multistatus>", note: note}
}

func refuseSync(status int, condition string) syncAnswer {
	if condition == "" {
		return syncAnswer{status: status}
	}
	return syncAnswer{status: status, note: condition, body: `<?xml version="1.0" encoding="utf-8"?><error xmlns="DAV:"><` + condition + `/></error>`}
}

// answer returns the answer without faults.
func (s *syncServer) answer(r *syncRequest) syncAnswer {
	book := strings.TrimSuffix(s.dir(), "/")
	switch at := strings.TrimSuffix(r.path, "/"); {
	// An account is on one partition host; contacts.icloud.com serves all accounts.
	case s.apple && r.URL.Hostname() != "contacts.icloud.com" && r.URL.Hostname() != s.host():
		return refuseSync(s.movedStatus, "")
	case r.what == "PROPFIND" && at == s.home():
		return s.books(r)
	case r.what == "PROPFIND" && at == s.principal():
		return multi("home-set", fmt.Sprintf(`<response><href>%s/</href><propstat><prop><C:addressbook-home-set><href>%s/</href></C:addressbook-home-set></prop><status>HTTP/1.1 200 OK</status></propstat></response>`, s.principal(), s.homeURL()))
	case r.what == "PROPFIND" && (at == "" || at == "/.well-known/carddav"):
		return multi("principal", fmt.Sprintf(`<response><href>/</href><propstat><prop><current-user-principal><href>%s/</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>`, s.principal()))
	case s.second && at == s.home()+"/second":
		s.used["another book"]++
		return multi("an empty book", "<sync-token>1</sync-token>")
	case at == book && r.what == "PROPFIND":
		return s.members(r)
	case at == book && r.what == "sync-collection":
		return s.collection(r)
	case at == book && r.what == "addressbook-multiget":
		return s.multiget(r)
	case at == book && r.what == "addressbook-query":
		return s.query(r)
	case at != book && r.what == "GET":
		return s.get(r)
	}
	return refuseSync(s.movedStatus, "")
}

// books lists the one or two address books of the home. Their order changes once the Client
// knows the first one.
func (s *syncServer) books(*syncRequest) syncAnswer {
	const row = `<response><href>%s</href><propstat><prop><resourcetype>%s</resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response>`
	books := []string{fmt.Sprintf(row, s.writtenDir(), `<collection/><C:addressbook/>`)}
	if s.second {
		books = append(books, fmt.Sprintf(row, s.home()+"/second/", `<collection/><C:addressbook/>`))
		if s.known && s.rand.IntN(2) == 0 {
			slices.Reverse(books)
		}
	}
	return multi(fmt.Sprintf("%d books", len(books)), append([]string{fmt.Sprintf(row, s.home()+"/", `<collection/>`)}, books...)...)
}

// ownRow returns the row of the book itself.
func (s *syncServer) ownRow(of string) []string {
	href := s.writtenDir()
	switch s.own {
	case noOwnRow:
		return nil
	case ownRowBare:
		href = strings.TrimSuffix(href, "/")
	}
	return []string{`<response><href>` + href + `</href><propstat><prop>` + of + `</prop><status>HTTP/1.1 404 Not Found</status></propstat></response>`}
}

// listed returns the row of a card without its data.
func (s *syncServer) listed(name string) string { return s.row(s.written(name), s.cards[name], "", 0) }

// row returns the row of a card with its data, with a status for the data in another propstat,
// or with neither.
func (s *syncServer) row(href string, c *syncCard, data string, refused int) string {
	found := "<getetag>" + escapeXML(c.etag()) + "</getetag>"
	if s.noETags && data == "" {
		found = "<resourcetype/>"
	}
	row := "<response><href>" + escapeXML(href) + "</href><propstat><prop>" + found + data + "</prop><status>HTTP/1.1 200 OK</status></propstat>"
	if refused != 0 {
		row += fmt.Sprintf("<propstat><prop><C:address-data/></prop><status>HTTP/1.1 %d %s</status></propstat>", refused, http.StatusText(refused))
	}
	return row + "</response>"
}

func goneRow(href string) string {
	return "<response><href>" + escapeXML(href) + "</href><status>HTTP/1.1 404 Not Found</status></response>"
}

func escapeXML(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;").Replace(text)
}

// sent returns the row of a card with its data, as its trouble changes it; "" if the report
// omits the card. A status other than 0 ends the report: with 207 the row is not XML, with any
// other status the answer has no rows.
func (s *syncServer) sent(href, name string) (row string, status int) {
	c := s.cards[name]
	data := "<C:address-data>" + escapeXML(c.text) + "</C:address-data>"
	switch s.trouble[name] {
	case passedOver, neverSent:
		return "", 0
	case breaksFor, breaksAlone:
		return "", http.StatusInternalServerError
	case breaksXML:
		return s.row(href, c, strings.Replace(data, "</C:address-data>", "</C:address>", 1), 0), http.StatusMultiStatus
	case forbidden:
		return s.row(href, c, "", http.StatusForbidden), 0
	}
	return s.row(href, c, data, 0), 0
}

// members answers a PROPFIND of the book.
func (s *syncServer) members(r *syncRequest) syncAnswer {
	if r.Header.Get("Depth") == "0" {
		return multi("the book", `<response><href>`+s.writtenDir()+`</href><propstat><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response>`)
	}
	rows := s.ownRow("<getetag/>")
	for _, name := range s.names() {
		rows = append(rows, s.listed(name))
	}
	return multi(fmt.Sprintf("%d ETags", len(s.cards)), rows...)
}

// names returns the names of all cards, in the server's order.
func (s *syncServer) names() []string {
	names := make([]string, 0, len(s.cards))
	for name := range s.cards {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return s.cards[a].rev - s.cards[b].rev })
	return names
}

func (s *syncServer) get(r *syncRequest) syncAnswer {
	name, ok := s.nameOf(r.path)
	c := s.cards[name]
	switch {
	case !ok, c == nil:
		return syncAnswer{status: http.StatusNotFound}
	case s.trouble[name] == neverSent, s.trouble[name] == forbidden:
		return syncAnswer{status: http.StatusForbidden, note: s.trouble[name].String()}
	case s.trouble[name] == breaksAlone:
		return syncAnswer{status: http.StatusInternalServerError, note: s.trouble[name].String()}
	}
	return syncAnswer{status: http.StatusOK, header: http.Header{"Etag": {c.etag()}, "Content-Type": {"text/vcard; charset=utf-8"}}, body: c.text}
}

// query answers an addressbook-query.
func (s *syncServer) query(r *syncRequest) syncAnswer {
	if s.noQuery != 0 {
		return refuseSync(s.noQuery, "")
	}
	rows := s.ownRow("<getetag/><C:address-data/>")
	for i, name := range s.names() {
		if s.queryLimit > 0 && i == s.queryLimit {
			rows = append(rows, s.moreRow())
			return multi("and more", rows...)
		}
		row, status := s.sent(s.written(name), name)
		if status == http.StatusInternalServerError {
			return syncAnswer{status: status, note: name}
		}
		if row == "" {
			row = s.listed(name) // listed without its data
		}
		rows = append(rows, row)
		if status != 0 {
			return multi("broken by "+name, rows...)
		}
	}
	return multi(fmt.Sprintf("%d cards", len(s.cards)), rows...)
}

// moreRow says that an answer is not complete (RFC 6578, section 3.6).
func (s *syncServer) moreRow() string {
	return `<response><href>` + s.writtenDir() + `</href><status>HTTP/1.1 507 Insufficient Storage</status><error><number-of-matches-within-limits/></error></response>`
}

func (s *syncServer) multiget(r *syncRequest) syncAnswer {
	if s.depth0 && r.Header.Get("Depth") != "0" {
		return refuseSync(http.StatusBadRequest, "")
	}
	if i := strings.Index(r.body, "prop>"); i < 0 || i > strings.Index(r.body, "href>") {
		return multi("in another order than the DTD's")
	}
	var rows []string
	for _, href := range r.hrefs() {
		path, err := url.PathUnescape(href)
		name, ok := s.nameOf(path)
		if err != nil || !strings.HasPrefix(href, "/") || !ok {
			return syncAnswer{status: http.StatusBadRequest, note: href}
		}
		if s.respell {
			href = s.written(name)
		}
		switch s.cards[name] {
		case nil:
			if !s.omitsGone {
				rows = append(rows, goneRow(href))
			}
			continue
		}
		row, status := s.sent(href, name)
		if status == http.StatusInternalServerError {
			return syncAnswer{status: status, note: name}
		}
		rows = append(rows, row)
		if status != 0 {
			return multi("broken by "+name, rows...)
		}
	}
	if names := s.names(); s.unasked && len(names) > 0 {
		if row, status := s.sent(s.written(names[0]), names[0]); status == 0 {
			rows = append(rows, row, row)
		}
	}
	return multi(fmt.Sprintf("%d rows", len(rows)), rows...)
}

// collection answers a sync-collection.
func (s *syncServer) collection(r *syncRequest) syncAnswer {
	token, data := r.element("sync-token"), r.data()
	switch {
	case s.noSync != 0 && s.noSync != http.StatusForbidden:
		return refuseSync(s.noSync, "")
	case s.noSync != 0:
		return refuseSync(s.noSync, "supported-report")
	case r.Header.Get("Depth") != "0" && r.Header.Get("Depth") != "":
		return refuseSync(http.StatusBadRequest, "")
	case token == "" && s.noEmpty != 0:
		return refuseSync(s.noEmpty, "")
	case data && s.reportRefused != 0:
		return refuseSync(s.reportRefused, "")
	}
	serial, since, first, forgotten := 0, 0, token == "", false
	if first {
		s.used["from the beginning"]++
	} else {
		var ok bool
		serial, since, ok = s.parseToken(token)
		forgotten = !ok || serial <= s.purged
		switch {
		case ok && forgotten && s.silent:
			// DAViCal answers with every card and no tombstone.
			first, since = true, 0
			s.used["silent"]++
		case forgotten:
			s.used["refused"]++
			return refuseSync(s.tokenStatus, s.tokenCondition)
		}
	}
	type change struct {
		name string
		rev  int
		gone bool
	}
	var changes []change
	had := make(map[string]string)
	for name, states := range s.history {
		last := states[len(states)-1]
		c := change{name, last.rev, last.text == ""}
		// Radicale and Xandikos compare two states of the book. A card that was created
		// and deleted in between is not reported.
		was, untold := s.untold[serial][name]
		if !untold {
			was = s.between(name, since, since)[0]
		}
		had[name] = was
		if s.compares && !first && was == last.text {
			continue
		}
		if last.rev > since && (!c.gone || !first || s.tombstones && !forgotten) {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return a.rev - b.rev })
	upTo, more := s.rev, false
	if s.page > 0 && len(changes) > s.page {
		changes, more = changes[:s.page], true
		upTo = changes[s.page-1].rev
	}
	var rows []string
	if !first || len(changes) > 0 {
		rows = s.ownRow("<getetag/>")
	}
	for _, c := range changes {
		if c.gone {
			rows = append(rows, goneRow(s.written(c.name)))
			continue
		}
		row, status := s.changed(c.name, data)
		if status == http.StatusInternalServerError {
			return syncAnswer{status: status, note: c.name}
		}
		// Some servers report a card that was created again as deleted and as changed.
		anew := slices.ContainsFunc(s.history[c.name], func(at syncState) bool { return at.rev > since && at.text == "" })
		pair := []string{row}
		if s.both && !first && anew && status == 0 {
			pair = append(pair, goneRow(s.written(c.name)))
			// The order varies; within pages the deletion comes first.
			if s.rand.IntN(2) == 0 {
				slices.Reverse(pair)
			}
		}
		rows = append(rows, pair...)
		if status != 0 {
			return multi("broken by "+c.name, rows...)
		}
		if s.twice {
			rows = append(rows, row)
		}
	}
	if s.extra && !first && len(s.cards) > 6 {
		if name := s.names()[0]; s.trouble[name] == noTrouble {
			rows = append(rows, s.listed(name))
		}
	}
	if more {
		rows = append(rows, s.moreRow())
		s.used["page"]++
	}
	if s.noToken {
		return multi(fmt.Sprintf("%d changes, no token", len(changes)), rows...)
	}
	s.serial++
	if more {
		// A page's token means what its holder was told (RFC 6578, section 3.6). That is
		// not the book of any revision, because a card that a later page reports may have
		// changed before.
		maps.DeleteFunc(had, func(name, _ string) bool {
			states := s.history[name]
			return states[len(states)-1].rev <= upTo
		})
		s.untold[s.serial] = had
	}
	next := s.token(s.serial, upTo)
	return multi(fmt.Sprintf("%d changes, %q", len(changes), next), append(rows, "<sync-token>"+escapeXML(next)+"</sync-token>")...)
}

// changed returns the row of a changed card in a sync-collection.
func (s *syncServer) changed(name string, data bool) (row string, status int) {
	if !data {
		return s.listed(name), 0
	}
	switch s.data {
	case dataInline:
		row, status = s.sent(s.written(name), name)
		if row == "" {
			row = s.listed(name)
		}
		return row, status
	case dataNotFound:
		return s.row(s.written(name), s.cards[name], "", http.StatusNotFound), 0
	case dataForbidden:
		return s.row(s.written(name), s.cards[name], "", http.StatusForbidden), 0
	}
	return s.listed(name), 0
}

func (s *syncServer) token(serial, rev int) string {
	if s.tokenURL {
		return fmt.Sprintf("http://example.org/ns/sync/%d?rev=%d&x=/+", serial, rev)
	}
	return fmt.Sprintf("HwoQ/%d+%d==", serial, rev)
}

func (s *syncServer) parseToken(token string) (serial, rev int, ok bool) {
	form := "HwoQ/%d+%d=="
	if s.tokenURL {
		form = "http://example.org/ns/sync/%d?rev=%d&x=/+"
	}
	n, _ := fmt.Sscanf(token, form, &serial, &rev)
	return serial, rev, n == 2 && token == s.token(serial, rev)
}
