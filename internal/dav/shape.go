package dav

import "bytes"

// This file remembers the shape of a row. A server writes all rows of an answer alike,
// but for the name, the ETag and the card in them. So most rows need not be read tag by
// tag: they are compared with one that was.

// A shape is what a row consists of but for its values, and what that says. It says the
// same wherever it is met again in a document: all rows stand in the same element, and
// what is declared in a row ends with it.
type shape struct {
	// text is what stands before the first value, between every two, and after the
	// last one. A shape without values is none.
	text   []byte
	values []shapeValue

	row Row // without its slices
}

// A shapeValue is a value in a shape.
type shapeValue struct {
	role role // of the element that holds it
	end  int  // of the text before it, in shape.text
}

// A value is the text in an element, by its place in the document.
type value struct {
	role     role
	from, to int64
}

// maxValues is how many values a shape can have.
const maxValues = 3

// varies reports whether rows of one shape may differ in what an element of the role
// holds. All else, such as a status, belongs to the shape.
func varies(r role) bool { return r == responseHref || r == getETag || r == addressData }

// note notes the value of the element that ends. One more than a shape can have is enough
// to know that there is no shape.
func (d *Decoder) note(r role) {
	if len(d.values) <= maxValues {
		d.values = append(d.values, value{r, d.from, d.s.tagAt})
	}
}

// learn takes over the shape of the row that has just been read. A row that has none, or
// that is not in the window as a whole, leaves the shape that there is. If a value is more
// than text, such as a CDATA section, rows with text in its place have the same shape.
func (d *Decoder) learn() {
	if d.start < d.s.base || !d.regular() {
		return
	}
	row := d.s.buf[d.start-d.s.base : d.s.pos]
	sh := &d.shape
	sh.text, sh.values = sh.text[:0], sh.values[:0]
	at := d.start
	for _, v := range d.values {
		sh.text = append(sh.text, row[at-d.start:v.from-d.start]...)
		sh.values = append(sh.values, shapeValue{v.role, len(sh.text)})
		at = v.to
	}
	sh.text = append(sh.text, row[at-d.start:]...)
	sh.row = d.row
	sh.row.Href, sh.row.ETag, sh.row.Data, sh.row.HomeSet = nil, nil, nil, nil
}

// regular reports whether the values that were noted are one href and, as far as the row
// has them, one ETag and one card, and whether there are no others in the row.
func (d *Decoder) regular() bool {
	want := 1
	if d.row.ETag != nil {
		want++
	}
	if len(d.row.Data) > 0 {
		want++
	}
	// What is in the row was noted, so that as many are these.
	return len(d.values) == want && len(d.hrefs) == 1 && d.row.Principal == nil && len(d.row.HomeSet) == 0
}

// alike reads the next row if that has the shape of one before. If it has not, or is not
// in the window as a whole, nothing is consumed, and ok is false.
func (d *Decoder) alike() (ok bool, err error) {
	sh := &d.shape
	if len(sh.values) == 0 {
		return false, nil
	}
	// iCloud leaves a line empty between rows.
	at := d.s.pos
	for at < d.s.end && d.s.buf[at] == '\n' {
		at++
	}
	window := d.s.buf[:d.s.end]
	var values [maxValues]struct{ from, to int }
	text := 0
	for i, v := range sh.values {
		before := sh.text[text:v.end]
		if !bytes.HasPrefix(window[at:], before) {
			return false, nil
		}
		at += len(before)
		text = v.end
		// An empty one might mean something else.
		n := bytes.IndexByte(window[at:], '<')
		if n <= 0 {
			return false, nil
		}
		values[i].from, values[i].to = at, at+n
		at += n
	}
	if !bytes.HasPrefix(window[at:], sh.text[text:]) {
		return false, nil
	}
	d.found = finding{}
	for i, v := range sh.values {
		out := d.sink(v.role)
		d.begin(v.role)
		d.s.pos = values[i].from
		out.beginPiece()
		if err := d.s.characters(window[values[i].from:values[i].to], out); err != nil {
			return false, err
		}
		d.finish(v.role)
	}
	d.s.pos = at + len(sh.text) - text
	homes := d.row.HomeSet
	d.row = sh.row
	d.row.HomeSet = homes
	d.etag = d.found.etag
	d.complete()
	return true, d.phase(MaxRow, "bytes in one row")
}
