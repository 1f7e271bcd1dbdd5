package dav

import (
	"errors"
	"io"
)

// This file makes rows of a multistatus. The documents look like this, in any order and
// with anything in between:
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

// StatusUnknown stands for a status that cannot be read. It is not a success, and not
// known to be a 404.
const StatusUnknown = -1

// Row is what one <response> says about one resource. It and its slices are valid
// until the next call of Next. A value counts only if its propstat was successful. If
// the propstat has no status, a value counts if it is not empty.
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

	// Data is the card. HasData says that there was one, even an empty one.
	// TooLarge says that it was longer than MaxCard. It was skipped then, and
	// Data is nil.
	Data     []byte
	HasData  bool
	TooLarge bool

	// DataStatus is why there is no card: the status of its propstat. It is 0
	// if HasData, or if the response does not mention a card.
	DataStatus int

	// PropStatus is the status of the first propstat that was not successful;
	// 0 if all were.
	PropStatus int

	// Collection and AddressBook are what resourcetype says.
	Collection, AddressBook bool

	// Principal is the href of current-user-principal; nil if there is none.
	// Unauthenticated says that nobody is signed in.
	Principal       []byte
	Unauthenticated bool

	// HomeSet is addressbook-home-set. RFC 6352 section 7.1.1 allows several.
	HomeSet [][]byte
}

// success says whether the status of a propstat is a success, which is any 2xx.
func success(status int) bool { return status/100 == 2 }

// A role is the meaning of an element in its place.
type role uint8

const (
	anything role = iota // the element and everything in it are ignored
	document             // the outside of the root element, before its start tag
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

// grammar lists, for each role, its child elements that have a role too. It is all that
// this file knows of WebDAV. In any other place an element with such a name has no role,
// for example the href in a lock or an owner.
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
	noReport: nil, // the last role, so that every role is an index of the array
}

// roleOf returns the role of an element whose parent has the role parent. In an element
// without a role nothing has a role.
func roleOf(parent role, in space, name []byte) role {
	for _, e := range grammar[parent] {
		if e.space == in && e.name == string(name) {
			return e.role
		}
	}
	return anything
}

// named says whether an element whose parent has the role parent would have a role in the
// right namespace.
func named(parent role, name []byte) bool {
	return roleOf(parent, davSpace, name) != anything || roleOf(parent, cardSpace, name) != anything
}

// A span is a part of Decoder.texts. A row consists of spans, which become slices when it
// is complete. Until then the buffer may move.
type span struct{ start, end int }

func (s span) empty() bool { return s.start == s.end }

// A finding has the values of a propstat while it is not known whether they count. Most
// servers write the status last, others first.
type finding struct {
	status                  int
	etag, principal         span
	collection, addressBook bool
	unauthenticated         bool

	// hasData says that Decoder.card is of this propstat. homes is how many of
	// Decoder.homes are of earlier propstats. The card and the homes of this propstat
	// are already in the Decoder, and are removed if the propstat does not count.
	hasData bool
	homes   int
}

// A Decoder reads the rows of a multistatus while it arrives. It is not safe for
// concurrent use.
type Decoder struct {
	s scanner

	// roles are those of the open elements, from roles[1] on. roles[0] is
	// document until the root element was closed, and then anything.
	roles [MaxDepth + 1]role

	// err is what Next returns once there is an error.
	err error

	// token is the sync token, which may come before, between or after rows.
	token []byte

	// texts holds everything that was kept of the current response except its
	// card. mark is where the text of the current element begins in it.
	texts text
	mark  int
	card  text

	// What the propstats of the current response that count have so far. It
	// becomes one row for each href. next is the first href whose row was not
	// returned.
	row             Row
	hrefs           []span
	next            int
	homes           []span
	etag, principal span

	// found is what the current propstat has so far.
	found finding

	// shape is the shape of a previous row. The other fields are used to find the shape
	// of the current row. start is where the row begins in the document, from is where
	// the text of the current element begins, and values are the values so far.
	shape       shape
	start, from int64
	values      []value
}

// NewDecoder returns a Decoder that reads from r. For a row it calls Read only as often
// as it needs.
func NewDecoder(r io.Reader) *Decoder {
	d := new(Decoder)
	d.Reset(r)
	return d
}

// maxIdle is how large a buffer may be to be kept for the next document. Most cards are
// smaller, even those with a photo.
const maxIdle = 512 << 10

// Reset makes d read another document, from r, with the buffers that it has.
func (d *Decoder) Reset(r io.Reader) {
	d.s.reset(r)
	d.s.limit(MaxJunk, "bytes before the document")
	d.roles[0] = document
	d.err = nil
	d.token = d.token[:0]
	d.shape.values = d.shape.values[:0] // another document may use other namespaces
	// A Decoder may be in a pool, and should not keep megabytes there because of
	// one card.
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

// SyncToken returns the sync-token of RFC 6578; nil if the document has none. It is
// valid after Next has returned io.EOF, and until Reset: a token counts only together
// with all rows.
func (d *Decoder) SyncToken() []byte {
	if len(d.token) == 0 {
		return nil
	}
	return d.token[:len(d.token):len(d.token)]
}

// Next returns the next row. A response that lists several hrefs, as RFC 4918
// allows for those that share one status, becomes several rows.
//
// The error is io.EOF when the document is complete and the reader has returned
// io.EOF too, so that a listing that ends with io.EOF is complete. It is
// io.ErrUnexpectedEOF if the document breaks off. An error of the reader is returned
// as it is. The others are ErrNotMultistatus, ErrEncoding, *SyntaxError and
// *LimitError. After an error, Next returns the same one again.
func (d *Decoder) Next() (*Row, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.next < len(d.hrefs) {
		// Only the href changes, and nothing was read meanwhile.
		d.row.Href = d.slice(d.hrefs[d.next])
		d.next++
		return &d.row, nil
	}
	if d.err = d.read(); d.err != nil {
		return nil, d.err
	}
	return &d.row, nil
}

// read reads to the end of a response, or of the document. It does not wait for
// anything after that, so a row is returned before the next one has arrived.
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
				// Not even the first tag is XML. It may be a page in HTML,
				// or a text with "1 < 2".
				return ErrNotMultistatus
			}
			return err
		}
		switch tok {
		case startTag:
			r := roleOf(d.roles[depth], d.s.space, d.s.local)
			if depth > 0 && d.s.space == noSpace && named(d.roles[depth], d.s.local) {
				// A book must not look empty because the declaration of a
				// prefix is missing.
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
				// The reader is still read to its end, because only there
				// it reports whether the connection was cut.
				if err := d.phase(MaxJunk, "bytes after the document"); err != nil {
					return err
				}
				d.roles[0] = anything
			}
		case endOfInput:
			// The scanner returns this only if no element is open.
			if d.roles[0] == document {
				return io.ErrUnexpectedEOF // there was no root element
			}
			return io.EOF
		}
	}
}

// root checks the root element. A second one is an error, because the first of two
// documents would look like the complete answer.
func (d *Decoder) root(r role) error {
	if d.roles[0] != document {
		return d.s.syntax("a second root element")
	}
	if r != multistatus {
		return ErrNotMultistatus
	}
	return d.phase(MaxRow, "bytes in one row")
}

// phase ends one phase of the document and begins the next. It checks the bound of the
// phase that ends again, because the last check may have been before its last bytes.
func (d *Decoder) phase(max int64, what string) error {
	if err := d.s.within(); err != nil {
		return err
	}
	d.s.limit(max, what)
	return nil
}

// sink returns where the text of an element goes. It is called before each piece of
// text, because an element may have more text after a child.
func (d *Decoder) sink(r role) *text {
	switch r {
	case addressData:
		return &d.card
	case responseHref, responseStatus, propstatStatus, getETag, principalHref, homeHref, syncToken:
		return &d.texts
	}
	return nil
}

// begin prepares for the content of an element, and returns the role that it gets.
func (d *Decoder) begin(r role) role {
	if d.sink(r) == &d.texts {
		// No child of such an element has a role, so one mark is enough: in
		// "/a<b/>c" the text continues after the child.
		d.mark = len(d.texts.buf)
	}
	switch r {
	case propstat:
		d.found = finding{homes: len(d.homes)}
	case addressData:
		if d.row.HasData || d.found.hasData {
			return anything // there is one buffer, so the first card counts
		}
		d.found.hasData = true
		d.card.reset()
	// Only the presence of these matters, and not their content.
	case collection:
		d.found.collection = true
	case addressBook:
		d.found.addressBook = true
	case unauthenticated:
		d.found.unauthenticated = true
	}
	return r
}

// finish keeps the value of the element that ends. Of several values of one property it
// keeps the first that is not empty; of several statuses, the last.
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
		// The token is valid longer than the text of a row, so it is copied.
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

// value returns the text of the element that ends, without the white space around it.
// Some servers indent hrefs.
func (d *Decoder) value() span {
	v := trimLeft(d.texts.buf[d.mark:])
	start := len(d.texts.buf) - len(v)
	return span{start, start + len(trimRight(v))}
}

// status reads the text of the element that ends as a status. The text is then
// discarded, and does not count for MaxText.
func (d *Decoder) status() int {
	n := parseStatus(d.slice(d.value()))
	d.texts.buf = d.texts.buf[:d.mark]
	return n
}

// slice returns the text of a span; nil if it is empty. Appending to the slice does not
// overwrite the text after it.
func (d *Decoder) slice(s span) []byte {
	if s.empty() {
		return nil
	}
	return d.texts.buf[s.start:s.end:s.end]
}

// judge takes over the values of a propstat if its status is a success.
func (d *Decoder) judge() {
	f := &d.found
	if f.status != 0 && !success(f.status) {
		// Usually 404, with an empty element for each property that the
		// resource does not have. If there are values, the server may have
		// written them before it failed, so they do not count.
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
	// iCloud has been seen to leave a status empty. A value then counts. An
	// empty element does not, because it may also mean that there is no card.
	if f.hasData && (f.status != 0 || len(d.card.buf) > 0 || d.card.over) {
		d.row.HasData = true
	}
	d.row.Collection = d.row.Collection || f.collection
	d.row.AddressBook = d.row.AddressBook || f.addressBook
	d.row.Unauthenticated = d.row.Unauthenticated || f.unauthenticated
}

// complete makes a response's row of its spans. After that, texts and card do not change
// until the caller asks for the next row.
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

// parseStatus reads a status line: "HTTP/1.1 200 OK", or a part of it, because some
// servers write less. It returns 0 for an empty line.
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
	// Statuses begin at 100. A 0 would mean that there is no status.
	if n < 100 {
		return StatusUnknown
	}
	return n
}
