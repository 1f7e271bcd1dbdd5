package dav

import (
	"bytes"
	"unicode/utf8"
)

// This file reads references, which begin with '&'. In most cards there is one at the end
// of each line.

// usualReference returns the character that the reference at the start of b means, and the
// length of the reference, if it is one of the few that are usual; otherwise the length 0.
// "&#13;" is at the end of each line of a card in a document that keeps line ends: XML changes
// a carriage return that is not written as a reference. iCloud and sabre/dav write it so. With
// other servers, the lines end with a line feed.
func usualReference(b []byte) (meant byte, length int) {
	switch {
	case len(b) < len("&#13;"):
	case string(b[:5]) == "&#13;":
		return '\r', 5
	case string(b[:5]) == "&amp;":
		return '&', 5
	case string(b[:4]) == "&lt;":
		return '<', 4
	case string(b[:4]) == "&gt;":
		return '>', 4
	}
	return 0, 0
}

// A referenceKind says what an '&' begins.
type referenceKind uint8

const (
	goodReference referenceKind = iota

	// A well-formed reference to an entity that XML does not define.
	undefinedReference

	// No reference: the '&' can only stand for itself.
	noReference

	// The end is not in the window yet, so it may be any of the others.
	incompleteReference
)

// maxReference is the length at which the search for the end of a reference stops. Only a
// number with many zeros in front could be longer.
const maxReference = 64

// reference consumes the reference at s.pos, or only its '&' if that stands for itself. It
// returns how many bytes that was. filled says that it has read more, so that slices of
// the input are not valid any more.
func (s *scanner) reference(out *text) (n int, filled bool, err error) {
	// Few references are cut in two by the end of the window. They are parsed again.
	c, n, kind := parseReference(s.buf[s.pos:s.end])
	for kind == incompleteReference {
		filled = true
		if err := s.fill(); err != nil {
			return 0, filled, unexpected(err)
		}
		c, n, kind = parseReference(s.buf[s.pos:s.end])
	}
	switch {
	case !out.lenient && (kind != goodReference || !isChar(c)):
		return 0, filled, s.syntax("an ampersand that starts no reference")
	case kind == undefinedReference && s.doctype:
		// It may be to an entity of the DOCTYPE, without which the card
		// would be wrong.
		return 0, filled, s.syntax("a reference to an entity")
	}
	s.pos += n
	if kind != goodReference {
		// Only the '&' was consumed, so a reference may follow, as in
		// "&&amp;".
		return n, filled, out.put("&")
	}
	return n, filled, out.putRune(c)
}

// unescape resolves the references in an attribute's value. Nobody needs one in the URI of
// a namespace, but it would be the same URI.
func (s *scanner) unescape(value []byte) ([]byte, error) {
	s.scratch.reset()
	for {
		before, _, found := bytes.Cut(value, []byte("&"))
		if err := s.scratch.add(before, true); err != nil {
			return nil, err
		}
		if !found {
			return s.scratch.buf, nil
		}
		value = value[len(before):]
		// The value is complete, so an incomplete reference in it is
		// broken.
		c, n, kind := parseReference(value)
		if kind != goodReference || !isChar(c) {
			return nil, s.syntax("an ampersand that starts no reference")
		}
		if err := s.scratch.putRune(c); err != nil {
			return nil, err
		}
		value = value[n:]
	}
}

// parseReference reads the reference at the start of b, which begins with '&'. It returns
// the character that the reference stands for, and the length. If the kind is not
// goodReference, n is the length of the '&' alone.
func parseReference(b []byte) (c rune, n int, kind referenceKind) {
	// The first byte that cannot be in a name must be the end.
	end := len("&")
	if end < len(b) && b[end] == '#' {
		end++
	}
	for end < len(b) && nameByte[b[end]] && end < maxReference {
		end++
	}
	if end == len(b) {
		return 0, 1, incompleteReference
	}
	if b[end] != ';' {
		return 0, 1, noReference
	}
	name := b[len("&"):end]
	if number, ok := bytes.CutPrefix(name, []byte("#")); ok {
		if c, ok = parseNumber(number); !ok {
			return 0, 1, noReference
		}
		return c, end + 1, goodReference
	}
	// XML defines only these five. The many others of HTML are in cards by mistake.
	switch string(name) {
	case "lt":
		c = '<'
	case "gt":
		c = '>'
	case "amp":
		c = '&'
	case "apos":
		c = '\''
	case "quot":
		c = '"'
	default:
		if nameLen(name) == 0 {
			return 0, 1, noReference
		}
		return 0, 1, undefinedReference
	}
	return c, end + 1, goodReference
}

// parseNumber reads the number in a character reference. It need not be the number of a
// character, but must fit into a rune.
func parseNumber(b []byte) (rune, bool) {
	// The x must be lower case: "&#X41;" is not a reference.
	base := rune(10)
	if len(b) > 0 && b[0] == 'x' {
		base, b = 16, b[1:]
	}
	n := rune(0)
	for _, c := range b {
		digit := base
		switch {
		case '0' <= c && c <= '9':
			digit = rune(c - '0')
		case 'a' <= c && c <= 'f':
			digit = rune(c-'a') + 10
		case 'A' <= c && c <= 'F':
			digit = rune(c-'A') + 10
		}
		if digit >= base {
			return 0, false
		}
		// Stop here, so that n does not overflow.
		if n = n*base + digit; n > utf8.MaxRune {
			return 0, false
		}
	}
	return n, len(b) > 0
}

// isChar reports whether XML 1.0, section 2.2, allows c. It forbids the halves of surrogate
// pairs too, but these are read as U+FFFD, which it allows.
func isChar(c rune) bool {
	return c >= ' ' && c != 0xFFFE && c != 0xFFFF || c == '\t' || c == '\n' || c == '\r'
}
