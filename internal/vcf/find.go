package vcf

import (
	"bytes"
	"slices"
)

// Unfold returns data with every content line on one line that ends in CRLF.
// It ends with the first card, and leaves out the cards inside it.
//
// It is made for go-vcard, which then finds the same properties as a Reader.
// Left to itself go-vcard takes time and memory quadratic in the length of a
// photo, fails on a folded last line that lacks a line end, takes the END of
// an inner card for the end of the outer one, and breaks quoted-printable
// values apart.
func Unfold(card []byte) []byte {
	var s scanner
	s.reset(card)
	// Unfolding makes a card shorter, but for the CR that a line may lack.
	dst := make([]byte, 0, len(card)+64)
	for s.scan() {
		if s.level > 1 {
			continue
		}
		start := len(dst)
		dst = s.appendText(dst)
		if len(dst) > start && (dst[start] == ' ' || dst[start] == '\t') {
			// A fold of an empty line. It would become one of the line before.
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

// A Param is one value of a parameter. Where vCard 2.1 leaves out the name, it
// is the one that is meant: TYPE, ENCODING or VALUE.
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

// Find returns the card's first property of that name that has a value, or else the
// first of that name. The name is given in upper case and matched in any case, in
// whatever group. Like a Reader it sees neither inner cards nor lines whose value
// cannot be told.
func Find(card []byte, name string) (first Line, found bool) {
	var s scanner
	s.reset(card)
	for s.scan() {
		if s.level != 1 || !is(s.name(), name) {
			continue
		}
		params, value, ok := splitParams(s.text()[s.tail:])
		// Some programs leave an empty PHOTO in front of the photo.
		empty := len(bytes.TrimSpace(value)) == 0
		if !ok || empty && found {
			continue
		}
		// The scanner ends here, so that its memory, in which value may be, is
		// free to be handed out.
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
