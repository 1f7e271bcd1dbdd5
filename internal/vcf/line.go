package vcf

import (
	"bytes"
	"slices"
)

// A content line is a property, however long. It is written as physical lines
// of about 75 octets, of which all but the first begin with a space:
//
//	NOTE:This line is fol
//	 ded, and the space is not part of the text.
//
// This file finds the lines of a card: where a content line begins and ends,
// what property it is, and whether it belongs to the card itself or to another
// one inside it. Everything else in the package walks with it.

// A kind is what a property means to a listing. Most mean nothing to it, and
// are passed over unread.
type kind uint8

const (
	other kind = iota
	kindBegin
	kindEnd
	kindUID
	kindFN
	kindN
	kindOrg
	kindEmail
	kindTel
	kindLabel
	kindKind
	kindMember
)

// known holds the properties that mean something, by the length of their name.
// Most lines of a card do not matter, and the length alone says so of nearly
// all of them.
var known = [...][]struct {
	name string
	kind kind
}{
	1: {{"N", kindN}},
	2: {{"FN", kindFN}},
	3: {{"TEL", kindTel}, {"UID", kindUID}, {"ORG", kindOrg}, {"END", kindEnd}},
	4: {{"KIND", kindKind}},
	5: {{"EMAIL", kindEmail}, {"BEGIN", kindBegin}},
	6: {{"MEMBER", kindMember}},
	9: {{"X-ABLABEL", kindLabel}},
	// The names that Apple uses in vCard 3.0 for what 4.0 calls KIND and
	// MEMBER.
	24: {{"X-ADDRESSBOOKSERVER-KIND", kindKind}},
	26: {{"X-ADDRESSBOOKSERVER-MEMBER", kindMember}},
}

func classify(name []byte) kind {
	if len(name) >= len(known) {
		return other
	}
	for _, k := range known[len(name)] {
		if is(name, k.name) {
			return k.kind
		}
	}
	return other
}

// is reports whether b is the word, which is given in upper case. Only ASCII
// letters have a case here: bytes.EqualFold would take a Kelvin sign for a K.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// A scanner walks the content lines of the first card in data, and ends after
// that card's END. What stands before BEGIN is walked too, because Unfold must
// leave it to go-vcard to refuse it.
type scanner struct {
	data []byte
	next int  // where the following line begins
	open int  // how many cards are open: more than one inside a card that contains another
	nl   byte // what ends a physical line

	// data[from:to] is the current content line, with its folds and line ends.
	from, to int

	// level says whose line it is. 0: nobody's, or the BEGIN or END of the
	// card. 1: a property of the card. More: of a card inside the card, as
	// vCard 2.1 has them in AGENT.
	level int

	// kind, group and name are what it begins with: EMAIL, "item1" and "Email"
	// of item1.Email. They are part of the line's text, in which tail is where
	// the name ends, at ':' or ';'. It is -1 if the line is no property.
	kind        kind
	group, name []byte
	tail        int

	// head is the first physical line without its end. If the line is folded
	// there are more, and if it is soft they follow soft line breaks of
	// quoted-printable.
	head         []byte
	folded, soft bool

	// whole is the unfolded text once it has been asked for, in the memory of
	// spare, which serves all lines.
	whole, spare []byte
}

// reset starts over with other data.
//
// Lines end in CRLF or LF, and a CR elsewhere is text. In a card without any
// LF, though, a CR can be nothing but a line end, and there are servers that
// store such cards and hand them out again.
func (s *scanner) reset(data []byte) {
	*s = scanner{data: data, nl: '\n', spare: s.spare}
	if bytes.IndexByte(data, '\n') < 0 {
		s.nl = '\r'
	}
	// A byte order mark is no part of a card, but some exporters put one.
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		s.next = len("\ufeff")
	}
}

// scan goes to the following content line, and reports whether there is one.
func (s *scanner) scan() bool {
	// Only the card's own END leaves this kind with no card open. What follows
	// it is not looked at.
	if s.next >= len(s.data) || (s.open == 0 && s.kind == kindEnd) {
		return false
	}
	s.cut()
	// The first physical line has the name, so that a folded line that does
	// not matter is not unfolded.
	s.group, s.name, s.tail = splitName(s.head)
	if s.tail < 0 && s.folded {
		// Nothing forbids a fold inside the name.
		s.group, s.name, s.tail = splitName(s.text())
	}
	s.kind, s.level = other, s.open
	if s.tail < 0 {
		return true
	}
	s.kind = classify(s.name)
	switch {
	case s.kind != kindBegin && s.kind != kindEnd:
	case !s.ofCard(), s.kind == kindEnd && s.open == 0:
		// BEGIN:VCALENDAR, or the END of nothing: a property like any other.
		s.kind = other
	case s.kind == kindBegin:
		s.open++
		if s.open > 1 {
			s.level = s.open // an inner card's BEGIN and END are of its own level
		}
	default:
		s.open--
		if s.open == 0 {
			s.level = 0
		}
	}
	return true
}

// ofCard reports whether a BEGIN or an END is that of a vCard.
func (s *scanner) ofCard() bool {
	_, value, ok := splitParams(s.text()[s.tail:])
	return ok && is(bytes.TrimSpace(value), "VCARD")
}

// cut finds the extent of the content line at next: a physical line and those
// that continue it. It looks at their ends only, so that a photo is passed at
// nearly the speed of bytes.IndexByte.
func (s *scanner) cut() {
	at := s.next
	end, after := lineEnd(s.data, at, s.nl)
	s.from, s.to, s.next = at, after, after
	s.head, s.folded, s.soft, s.whole = s.data[at:end], false, false, nil
	for asked := false; after < len(s.data); {
		soft := false
		if end > at && s.data[end-1] == '=' {
			// In the quoted-printable of vCard 2.1 this is a soft line break:
			// what follows belongs to the value without being indented, even
			// if it looks like another property. Base64 may end in '=' as
			// well, so the parameters must tell. They are asked once, lest a
			// line of many '=' takes time squared.
			if !asked {
				asked, s.soft = true, quotedPrintable(s.head)
			}
			soft = s.soft
		}
		if c := s.data[after]; !soft && c != ' ' && c != '\t' {
			break
		}
		s.folded, at = true, after
		end, after = lineEnd(s.data, at, s.nl)
		s.to, s.next = after, after
	}
}

// lineEnd finds the end of the physical line that begins at from, without and
// with its line end.
func lineEnd(data []byte, from int, nl byte) (end, after int) {
	end, after = len(data), len(data)
	if i := bytes.IndexByte(data[from:], nl); i >= 0 {
		end, after = from+i, from+i+1
	}
	// More than one CR comes from programs that translate LF to CRLF once too
	// often.
	for end > from && data[end-1] == '\r' {
		end--
	}
	return end, after
}

// text is the content line unfolded. It is good until the following scan. Most
// lines are short and have no folds; they are not copied.
func (s *scanner) text() []byte {
	if !s.folded {
		return s.head
	}
	return s.unfolded()
}

// unfolded is text for a folded line.
func (s *scanner) unfolded() []byte {
	if s.whole == nil {
		s.spare = s.appendText(slices.Grow(s.spare[:0], s.to-s.from))
		s.whole = s.spare
	}
	return s.whole
}

// appendText appends the unfolded content line to dst. Bytes are joined here,
// not characters: folds inside a character of several bytes are bad style, but
// real.
func (s *scanner) appendText(dst []byte) []byte {
	raw := s.data[:s.to]
	for at := s.from; ; {
		end, after := lineEnd(raw, at, s.nl)
		switch {
		case after == len(raw):
			return append(dst, raw[at:end]...)
		case s.soft && end > at && raw[end-1] == '=':
			dst = append(dst, raw[at:end-1]...)
			at = after // a space after a soft line break is part of the value
		default:
			dst = append(dst, raw[at:end]...)
			at = after + 1 // the space of a fold is not
		}
	}
}

// splitName finds a line's group and name; tail is where the name ends, -1 if
// the line has none. Both end at the first character that can end them,
// whatever they are made of: whether they are legal does not matter for
// reading, and go-vcard reads them so.
func splitName(line []byte) (group, name []byte, tail int) {
	from := 0
	for i, c := range line {
		switch c {
		case '.':
			if group == nil {
				group, from = line[:i], i+1
			}
		case ':', ';':
			return group, line[from:i], i
		}
	}
	return nil, nil, -1
}
