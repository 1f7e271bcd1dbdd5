package dav

import (
	"errors"
	"io"
)

// This file gives the tags a meaning: it is where a multistatus becomes rows. The
// documents look like this, in any order and with anything in between:
//
//	multistatus
//		response               one row
//			href
//			status             of the response, or else
//			propstat           one for each status that its properties have
//				prop
//					getetag, address-data, resourcetype, ...
//				status         of these properties
//		sync-token

// StatusUnknown stands for a status that is there but cannot be read. It is no
// success, and it is not known to be a 404 either.
const StatusUnknown = -1

// Row is what one <response> says about one resource. It and its slices are valid
// until the next call of Next. A value counts only if its propstat was successful;
// a propstat without a status is taken for successful if the value is not empty.
type Row struct {
	// Href names the resource, as the server wrote it: a path with or without
	// percent signs, or an absolute URL. It is nil if there is none.
	Href []byte

	// Status is that of the response as a whole. It is 0 if there is none,
	// which is usual for a resource that exists.
	Status int

	// ETag is as the server wrote it, with quotes or without, weak or strong.
	// It is nil if there is none.
	ETag []byte

	// Data is the card. HasData says that there was one, be it empty or
	// TooLarge: longer than MaxCard, so that it was skipped, and Data is nil.
	Data     []byte
	HasData  bool
	TooLarge bool

	// DataStatus is why there is no card: the status of its propstat. It is 0
	// if HasData, or if the answer does not speak of a card.
	DataStatus int

	// PropStatus is the status of the first propstat that was not successful;
	// 0 if all were.
	PropStatus int

	// Collection and AddressBook are what resourcetype says.
	Collection, AddressBook bool

	// Principal is the href of current-user-principal; nil if there is none.
	// Unauthenticated is what stands in its place if nobody is signed in.
	Principal       []byte
	Unauthenticated bool

	// HomeSet is addressbook-home-set. RFC 6352 section 7.1.1 allows several.
	HomeSet [][]byte
}

// A 2xx other than 200 says the same of a property.
func success(status int) bool { return status/100 == 2 }

// A role is what an element means where it stands.
type role uint8

const (
	anything role = iota // of no interest, with all that is in it
	document             // the outside of the root element, before that is seen
	multistatus
	syncToken
	response
	responseHref
	responseStatus
	propstat
	propstatStatus
	prop
	getETag
	addressData
	resourceType
	collection
	addressBook
	principal
	principalHref
	unauthenticated
	homeSet
	homeHref
	errorDocument // the root element of an error's body: see Precondition
	noSyncToken
	noReport
)

// grammar lists, for each role, the elements in it that have a role themselves. It
// is all that is known of WebDAV here. An element that has a name of ours in any
// other place, such as the href in a lock or an owner, has no role.
var grammar = [...][]struct {
	space space
	name  string
	role  role
}{
	document: {
		{davSpace, "multistatus", multistatus},
		{davSpace, "error", errorDocument},
	},
	multistatus: {
		{davSpace, "response", response},
		{davSpace, "sync-token", syncToken},
	},
	response: {
		{davSpace, "href", responseHref},
		{davSpace, "propstat", propstat},
		{davSpace, "status", responseStatus},
	},
	propstat: {
		{davSpace, "prop", prop},
		{davSpace, "status", propstatStatus},
	},
	prop: {
		{davSpace, "getetag", getETag},
		{cardSpace, "address-data", addressData},
		{davSpace, "resourcetype", resourceType},
		{davSpace, "current-user-principal", principal},
		{cardSpace, "addressbook-home-set", homeSet},
	},
	resourceType: {
		{davSpace, "collection", collection},
		{cardSpace, "addressbook", addressBook},
	},
	principal: {
		{davSpace, "href", principalHref},
		{davSpace, "unauthenticated", unauthenticated},
	},
	homeSet: {
		{davSpace, "href", homeHref},
	},
	errorDocument: {
		{davSpace, "valid-sync-token", noSyncToken},
		{davSpace, "supported-report", noReport},
	},
	noReport: nil, // the last one: every role is an index
}

// roleOf returns the role of an element that stands in one of the role parent. What
// stands in an element without a role has none either, however it is called.
func roleOf(parent role, in space, name []byte) role {
	for _, e := range grammar[parent] {
		if e.space == in && e.name == string(name) {
			return e.role
		}
	}
	return anything
}

// named says whether an element would have a role in one of the role parent, if it were
// in the right namespace.
func named(parent role, name []byte) bool {
	return roleOf(parent, davSpace, name) != anything || roleOf(parent, cardSpace, name) != anything
}

// A span is a part of Decoder.texts. A row is put together of spans, and they become
// slices when it is complete: until then the buffer may move.
type span struct{ start, end int }

func (s span) empty() bool { return s.start == s.end }

// A finding is what a propstat holds, while it is not known whether that counts:
// its status comes last with most servers, and first with others.
type finding struct {
	status                  int
	etag, principal         span
	collection, addressBook bool
	unauthenticated         bool

	// hasData says that Decoder.card is of this propstat, and homes how many
	// of Decoder.homes are not. Those two have a place of their own from the
	// start, and are given up if the propstat does not count.
	hasData bool
	homes   int
}

// A Decoder reads the rows of a multistatus while it arrives. It is not safe for
// concurrent use.
type Decoder struct {
	s scanner

	// roles are those of the open elements, from roles[1] on. roles[0] is of
	// what is around them all: a document, until its root element was closed.
	roles [MaxDepth + 1]role

	// err is what Next returns once there is an error.
	err error

	// token is the sync token, which may come before, between or after rows.
	token []byte

	// texts holds all that was kept of the current response but its card, and
	// mark is where the text of the current element begins in it.
	texts text
	mark  int
	card  text

	// What the current response has shown so far, found in the propstats that
	// counted. It becomes the row, one for each href; next is the first of
	// them that was not returned.
	row             Row
	hrefs           []span
	next            int
	homes           []span
	etag, principal span

	// found is what the current propstat has shown so far.
	found finding

	// shape is that of a previous row. The others are there to find the shape of the
	// current one: start is where it begins in the document, from is where the text of
	// the current element begins, and values are those that it has shown so far.
	shape       shape
	start, from int64
	values      []value
}

// NewDecoder returns a Decoder that reads from r. It reads no more than it needs for
// the next row, apart from what r delivers in the same call.
func NewDecoder(r io.Reader) *Decoder {
	d := new(Decoder)
	d.Reset(r)
	return d
}

// maxIdle is how large a buffer is worth keeping from one document to the next.
// Most cards are smaller than this, even those with a photo.
const maxIdle = 512 << 10

// Reset makes d read another document, from r, with the buffers that it has.
func (d *Decoder) Reset(r io.Reader) {
	d.s.reset(r)
	d.s.limit(MaxJunk, "bytes before the document")
	d.roles[0] = document
	d.err = nil
	d.token = d.token[:0]
	d.shape.values = d.shape.values[:0] // another document may use other namespaces
	// A Decoder may wait in a pool, and should not hold on to megabytes there
	// because of one card.
	if cap(d.card.buf) > maxIdle {
		d.card.buf = nil
	}
	// The buffer of the texts is kept whatever its size: MaxText is not much.
	d.texts = text{buf: d.texts.buf, max: MaxText}
	d.card = text{buf: d.card.buf, max: MaxCard, lenient: true}
	d.clear()
}

// clear forgets the last response.
func (d *Decoder) clear() {
	d.row = Row{HomeSet: d.row.HomeSet[:0]}
	d.texts.reset()
	d.card.reset()
	d.hrefs, d.next = d.hrefs[:0], 0
	d.homes = d.homes[:0]
	d.etag, d.principal = span{}, span{}
	d.values = d.values[:0]
}

// SyncToken returns the sync-token of RFC 6578 that came with the rows; nil if none
// did. It is valid after Next has returned io.EOF, and until Reset: a token counts
// only together with all rows.
func (d *Decoder) SyncToken() []byte {
	if len(d.token) == 0 {
		return nil
	}
	return d.token[:len(d.token):len(d.token)]
}

// Next returns the next row. A response that lists several hrefs, as RFC 4918
// allows for those that share one status, is as many rows.
//
// The error is io.EOF when the document is complete and the reader has ended
// without an error of its own, so that a listing that ends with io.EOF is whole.
// A document that breaks off is io.ErrUnexpectedEOF, an error of the reader is
// returned as it is, and the rest are ErrNotMultistatus, ErrEncoding,
// *SyntaxError and *LimitError. After an error, Next returns the same one again.
func (d *Decoder) Next() (*Row, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.next < len(d.hrefs) {
		// Nothing but the name changes, and nothing was read meanwhile.
		d.row.Href = d.slice(d.hrefs[d.next])
		d.next++
		return &d.row, nil
	}
	if d.err = d.read(); d.err != nil {
		return nil, d.err
	}
	return &d.row, nil
}

// read reads to the end of a response, or of the document. It asks for nothing
// beyond that: a row is returned while the next one is still on its way.
func (d *Decoder) read() error {
	d.clear()
	if ok, err := d.alike(); ok || err != nil {
		return err
	}
	for {
		depth := len(d.s.open)
		tok, err := d.s.next(d.sink(d.roles[depth]))
		if err != nil {
			if _, ok := errors.AsType[*SyntaxError](err); ok && depth == 0 && d.roles[0] == document {
				// Not even its first tag is XML: a page in HTML, or
				// somebody's "1 < 2".
				return ErrNotMultistatus
			}
			return err
		}
		switch tok {
		case startTag:
			r := roleOf(d.roles[depth], d.s.space, d.s.local)
			if depth > 0 && d.s.space == noSpace && named(d.roles[depth], d.s.local) {
				// A book whose rows have lost their declaration must not
				// look empty.
				return d.s.syntax("an undeclared prefix")
			}
			if depth == 0 {
				if err := d.root(r); err != nil {
					return err
				}
			}
			r = d.begin(r)
			d.roles[depth+1] = r
			switch {
			case r == response:
				d.start = d.s.tagAt
			case varies(r):
				d.from = d.s.offset()
			}
		case endTag:
			r := d.roles[depth]
			d.finish(r)
			switch r {
			case responseHref, getETag, addressData:
				d.note(r)
			case response:
				d.learn()
				return d.phase(MaxRow, "bytes in one row")
			case multistatus:
				// The reader is still asked for its end: only there it
				// says whether the transport was cut.
				if err := d.phase(MaxJunk, "bytes after the document"); err != nil {
					return err
				}
				d.roles[0] = anything
			}
		case endOfInput:
			// The scanner sees to it that no element is open.
			if d.roles[0] == document {
				return io.ErrUnexpectedEOF // there was no root element
			}
			return io.EOF
		}
	}
}

// root judges the root element, and any that comes after it: two documents in one
// answer are not what was asked for, and half of them would look complete.
func (d *Decoder) root(r role) error {
	if d.roles[0] != document {
		return d.s.syntax("a second root element")
	}
	if r != multistatus {
		return ErrNotMultistatus
	}
	return d.phase(MaxRow, "bytes in one row")
}

// phase ends one phase of the document and begins the next. The bound of the one
// that ends is checked once more, because the last of it may have been in the window
// when it was checked before.
func (d *Decoder) phase(max int64, what string) error {
	if err := d.s.within(); err != nil {
		return err
	}
	d.s.limit(max, what)
	return nil
}

// sink returns where the text of an element goes. It is asked before each piece of
// text, because an element may have more of it behind a child.
func (d *Decoder) sink(r role) *text {
	switch r {
	case addressData:
		return &d.card
	case responseHref, responseStatus, propstatStatus, getETag, principalHref, homeHref, syncToken:
		return &d.texts
	}
	return nil
}

// begin prepares for what is in an element, and returns the role that it gets.
func (d *Decoder) begin(r role) role {
	if d.sink(r) == &d.texts {
		// An element within such a one has no role, so that one mark is
		// enough: "/a<b/>c" goes on where it was.
		d.mark = len(d.texts.buf)
	}
	switch r {
	case propstat:
		d.found = finding{homes: len(d.homes)}
	case addressData:
		if d.row.HasData || d.found.hasData {
			return anything // there is one buffer: the first card is the card
		}
		d.found.hasData = true
		d.card.reset()
	// These are there or not there; what is in them does not matter.
	case collection:
		d.found.collection = true
	case addressBook:
		d.found.addressBook = true
	case unauthenticated:
		d.found.unauthenticated = true
	}
	return r
}

// finish takes in what an element held. Of several values for one property the
// first that is not empty is kept; of several statuses, the last.
func (d *Decoder) finish(r role) {
	switch r {
	case responseHref:
		if v := d.value(); !v.empty() {
			d.hrefs = append(d.hrefs, v)
		}
	case responseStatus:
		d.row.Status = d.status()
	case propstatStatus:
		d.found.status = d.status()
	case getETag:
		if v := d.value(); d.found.etag.empty() {
			d.found.etag = v
		}
	case principalHref:
		if v := d.value(); d.found.principal.empty() {
			d.found.principal = v
		}
	case homeHref:
		if v := d.value(); !v.empty() {
			d.homes = append(d.homes, v)
		}
	case syncToken:
		// It outlives the row that it stands beside.
		if v := d.value(); len(d.token) == 0 {
			d.token = append(d.token, d.slice(v)...)
		}
		d.texts.buf = d.texts.buf[:d.mark]
	case propstat:
		d.judge()
	case response:
		d.complete()
	}
}

// value returns the text of the element that ends, without the white space around
// it: servers indent hrefs.
func (d *Decoder) value() span {
	v := trimLeft(d.texts.buf[d.mark:])
	start := len(d.texts.buf) - len(v)
	return span{start, start + len(trimRight(v))}
}

// status reads the text of the element that ends as a status. Its text is not
// needed any longer, and does not count for MaxText.
func (d *Decoder) status() int {
	n := parseStatus(d.slice(d.value()))
	d.texts.buf = d.texts.buf[:d.mark]
	return n
}

// slice returns what a span stands for; nil if that is nothing. To append to it does
// not reach what is behind.
func (d *Decoder) slice(s span) []byte {
	if s.empty() {
		return nil
	}
	return d.texts.buf[s.start:s.end:s.end]
}

// judge takes over what a propstat holds, if its status allows that.
func (d *Decoder) judge() {
	f := &d.found
	if f.status != 0 && !success(f.status) {
		// Usually 404, with an empty element for each property that the
		// resource does not have. Other values are not the server's last
		// word: it may have written them before it failed.
		if d.row.PropStatus == 0 {
			d.row.PropStatus = f.status
		}
		if f.hasData && d.row.DataStatus == 0 {
			d.row.DataStatus = f.status
		}
		d.homes = d.homes[:f.homes]
		return
	}
	// The first propstat that has a value wins. There should be no second one that
	// succeeded with the same property.
	if d.etag.empty() {
		d.etag = f.etag
	}
	if d.principal.empty() {
		d.principal = f.principal
	}
	// iCloud has been seen to leave a status empty. A value is then proof
	// enough. An empty element is not: it might as well say that there is none.
	if f.hasData && (f.status != 0 || len(d.card.buf) > 0 || d.card.over) {
		d.row.HasData = true
	}
	d.row.Collection = d.row.Collection || f.collection
	d.row.AddressBook = d.row.AddressBook || f.addressBook
	d.row.Unauthenticated = d.row.Unauthenticated || f.unauthenticated
}

// complete makes a response's row of its spans. From here on texts and card are not
// touched until the caller asks for the next row.
func (d *Decoder) complete() {
	row := &d.row
	if len(d.hrefs) > 0 {
		row.Href = d.slice(d.hrefs[0])
		d.next = 1
	}
	row.ETag = d.slice(d.etag)
	row.Principal = d.slice(d.principal)
	for _, home := range d.homes {
		row.HomeSet = append(row.HomeSet, d.slice(home))
	}
	if !row.HasData {
		return
	}
	row.DataStatus = 0
	row.TooLarge = d.card.over
	if !row.TooLarge {
		row.Data = d.card.buf[:len(d.card.buf):len(d.card.buf)]
	}
}

// parseStatus reads a status line: "HTTP/1.1 200 OK", or as much of it as servers
// bother to write. An empty one is 0, as if it were not there.
func parseStatus(line []byte) int {
	if len(line) == 0 {
		return 0
	}
	if len(line) > 5 && string(line[:5]) == "HTTP/" {
		for len(line) > 0 && !isSpace(line[0]) {
			line = line[1:]
		}
		line = trimLeft(line)
	}
	// Three digits and no more: "HTTP/1.1 2000" is not a success.
	if len(line) < 3 || len(line) > 3 && !isSpace(line[3]) {
		return StatusUnknown
	}
	n := 0
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return StatusUnknown
		}
		n = n*10 + int(c-'0')
	}
	// Statuses begin at 100; a 0 would say that there is none.
	if n < 100 {
		return StatusUnknown
	}
	return n
}
