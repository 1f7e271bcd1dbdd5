package vcf

import (
	"bytes"
	"slices"
)

// Unfold returns data with every content line on one line that ends in CRLF.
// It ends with the first card, and leaves out the cards inside it.
//
// From its result go-vcard reads the same properties as a Reader. From the card itself,
// go-vcard needs time and memory quadratic in the length of a photo, fails on a folded
// last line without a line end, takes the END of an inner card for the end of the outer
// one, and splits quoted-printable values.
func Unfold(card []byte) []byte {
	var s scanner
	s.reset(card)
	// Unfolding makes a card shorter, except for lines that have no CR.
	dst := make([]byte, 0, len(card)+64)
	for s.scan() {
		if s.level > 1 {
			continue
		}
		start := len(dst)
		dst = s.appendText(dst)
		if len(dst) > start && (dst[start] == ' ' || dst[start] == '\t') {
			// A line that begins with space would become a fold of the line
			// before. As a fold of an empty line it stays separate.
			dst = slices.Insert(dst, start, '\r', '\n', ' ')
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// A Line is one property, unfolded.
type Line struct {
	Group, Name string  // as written
	Params      []Param // one for each value, in the card's order
	Value       []byte  // as written; may be part of the card's own bytes
}

// A Param is one value of a parameter. If vCard 2.1 leaves out the name, Name is the one
// that is meant: TYPE, ENCODING or VALUE.
type Param struct{ Name, Value string }

// Param returns the first value of a parameter, "" if there is none. Its name,
// given in upper case, is matched in any case.
func (l Line) Param(name string) string {
	for _, p := range l.Params {
		if is([]byte(p.Name), name) {
			return p.Value
		}
	}
	return ""
}

// Text returns the value as a person reads it: unescaped, and decoded if it is
// quoted-printable.
func (l Line) Text() string {
	e := encoding{quoted: is([]byte(l.Param("ENCODING")), "QUOTED-PRINTABLE"), charset: []byte(l.Param("CHARSET"))}
	return string(e.appendText(nil, l.Value))
}

// Find returns the card's first property of that name that has a value, or else the first
// of that name. The name is given in upper case and matched in any case, in any group. Like
// a Reader it ignores inner cards, and lines of which splitParams finds no value.
func Find(card []byte, name string) (first Line, found bool) {
	var s scanner
	s.reset(card)
	for s.scan() {
		if s.level != 1 || !is(s.name(), name) {
			continue
		}
		params, value, ok := splitParams(s.text()[s.tail:])
		// Some programs write an empty PHOTO before the photo.
		empty := len(bytes.TrimSpace(value)) == 0
		if !ok || empty && found {
			continue
		}
		// value may be in the scanner's memory. It can be returned because the
		// scanner is not used any more.
		line := Line{Group: string(s.group()), Name: string(s.name()), Value: value}
		for len(params) > 0 {
			var name, list []byte
			name, list, params = cutParam(params)
			for more := true; more; more = len(list) > 0 {
				var v []byte
				v, list = cutValue(list)
				line.Params = append(line.Params, Param{string(name), string(v)})
			}
		}
		if !empty {
			return line, true
		}
		line.Value = nil
		first, found = line, true
	}
	return first, found
}
