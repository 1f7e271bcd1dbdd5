package dav

import (
	"bytes"
	"unicode/utf8"
)

// This file reads references: what begins with '&', and in most cards what ends
// each line.

// usualReference returns what the reference at the start of b means, and its length, if
// it is one of the few that nearly all references are; else 0. The first of them is how
// a line of a card ends in a document that preserves its line ends: a carriage return
// that is meant to stay has to be written as a reference. iCloud and sabre/dav do; from
// the others, lines end in a line feed.
func usualReference(b []byte) (meant string, length int) {
	switch {
	case len(b) < len("&#13;\n"):
	case string(b[:6]) == "&#13;\n":
		return "\r\n", 6
	case string(b[:5]) == "&amp;":
		return "&", 5
	case string(b[:4]) == "&lt;":
		return "<", 4
	case string(b[:4]) == "&gt;":
		return ">", 4
	}
	return "", 0
}

// A referenceKind says what an '&' turned out to be.
type referenceKind uint8

const (
	goodReference referenceKind = iota

	// Well-formed, but to an entity that XML itself does not define.
	undefinedReference

	// An '&' that can only stand for itself.
	noReference

	// Its end is not in the window yet, and it might become any of the others.
	incompleteReference
)

// maxReference is how far the end of a reference is looked for. Only one that
// begins its number with many zeros could be longer.
const maxReference = 64

// reference consumes the reference at s.pos, or only its '&' if that is to stand for
// itself, and returns how many bytes that was. If it had to fill the window, slices
// of the input are not what they were.
func (s *scanner) reference(out *text) (n int, filled bool, err error) {
	// A reference that the window cuts in two is rare, and is simply read again.
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
		// Its author means an entity of the DOCTYPE's, and the card would
		// be another one without it.
		return 0, filled, s.syntax("a reference to an entity")
	}
	s.pos += n
	if kind != goodReference {
		// What follows is text like any other, and is read as such: in
		// "&&amp;" the second one is a reference.
		return n, filled, out.put("&")
	}
	return n, filled, out.putRune(c)
}

// unescape resolves the references in an attribute's value. Nobody has a reason to
// write one into the URI of a namespace, but it is the same URI.
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
		// A value is complete, so that an incomplete reference in it is
		// simply a broken one.
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

// parseReference reads the reference at the start of b, which begins with '&', and
// returns the character that it stands for. If it is not a good one, n is the length
// of the '&' alone.
func parseReference(b []byte) (c rune, n int, kind referenceKind) {
	// The search takes in all that can be in a name, so that it stops at the
	// first byte that cannot, and that has to be the end.
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
	// XML defines these five. HTML's many others are in cards only by mistake.
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

// parseNumber reads the number in a character reference. It need not be that of a
// character, but of something that a rune can hold.
func parseNumber(b []byte) (rune, bool) {
	// The x has to be a small one. "&#X41;" is not a reference.
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
		// To stop here keeps n from running over.
		if n = n*base + digit; n > utf8.MaxRune {
			return 0, false
		}
	}
	return n, len(b) > 0
}

// isChar reports whether XML 1.0 section 2.2 allows c. The halves of surrogate
// pairs, which it forbids, come out as U+FFFD, which it allows.
func isChar(c rune) bool {
	return c >= ' ' && c != 0xFFFE && c != 0xFFFF || c == '\t' || c == '\n' || c == '\r'
}
