package dav

import "bytes"

// This file reads a row by comparing it with a previous row. The rows of an answer differ
// in three values: the href, the ETag and the card. A server writes everything else in the
// same way in each row. So the Decoder reads one row tag by tag and remembers its shape:
// the text around the values. If the next row has the same text around its values, it is
// not read tag by tag.

// A shape is the text of a row without its values, and the Row that this text means. The
// text means the same in every row of a document, because all rows are in the same element,
// and a namespace that a row declares ends with that row.
type shape struct {
	// text is the text before the first value, then the text between the values, then the
	// text after the last one. A shape without values matches nothing.
	text   []byte
	values []shapeValue

	row Row // without its slices
}

// A shapeValue is the place of a value in a shape.
type shapeValue struct {
	role role // of the element whose text it is
	end  int  // where in shape.text the text before the value ends
}

// A value is a value of the row that is being read tag by tag. from and to are positions in
// the document.
type value struct {
	role     role
	from, to int64
}

// maxValues is how many values a shape can have.
const maxValues = 3

// varies reports whether the text of an element with this role is a value. All other text,
// such as a status, is part of the shape.
func varies(r role) bool { return r == responseHref || r == getETag || r == addressData }

// note notes the value of the element that ends. It notes at most one more than a shape can
// have, which is enough to see that the row has no shape.
func (d *Decoder) note(r role) {
	if len(d.values) <= maxValues {
		d.values = append(d.values, value{r, d.from, d.s.tagAt})
	}
}

// learn remembers the shape of the row that was just read tag by tag. If the row has no
// shape, or if its beginning is not in the window any more, the previous shape stays. What
// is between the tags of a value, such as a comment or a CDATA section, is not part of the
// shape.
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

// regular reports whether the row that was just read has a shape. It has one if it has
// exactly one href, at most one ETag and at most one card, and nothing that Row holds in
// other slices.
func (d *Decoder) regular() bool {
	want := 1
	if d.row.ETag != nil {
		want++
	}
	if len(d.row.Data) > 0 {
		want++
	}
	// Every value was noted. So if the numbers are equal, there are no values besides these,
	// for example in a propstat that did not count.
	return len(d.values) == want && len(d.hrefs) == 1 && d.row.Principal == nil && len(d.row.HomeSet) == 0
}

// alike reads the next row if it has the remembered shape. If it has another one, or if its
// end is not in the window yet, ok is false and nothing is consumed.
func (d *Decoder) alike() (ok bool, err error) {
	sh := &d.shape
	if len(sh.values) == 0 {
		return false, nil
	}
	// iCloud writes line ends between rows.
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
		// An empty value does not count, or depends on the status beside it. So a row with
		// one is read tag by tag.
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
		// This reads no input, which would invalidate window: the '<' behind the value ends
		// a reference that the value does not.
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
