package vcf

import (
	"bytes"
	"slices"
)

// A content line is a property. It is written as one or more physical lines of about 75
// octets. All but the first begin with a space:
//
//	NOTE:This line is fol
//	 ded, and the space is not part of the text.
//
// This file finds the lines of a card: where a content line begins and ends, which
// property it is, and whether it belongs to the card itself or to a card inside it.
// Everything else in the package uses it.

// A kind is what a property means to a listing. Most properties are of the kind other,
// and are skipped.
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

// known has the properties that a listing needs, by the length of their name. Most lines
// of a card are not needed, and for nearly all of them the length alone shows it.
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

// is reports whether b is the word, in any case. The word is given in upper case. Only
// ASCII letters have a case here: for bytes.EqualFold a Kelvin sign is a K.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if w := word[i]; c != w && (c != w|0x20 || c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// A scanner reads the content lines of the first card in data, and ends after that card's
// END. It reads the lines before BEGIN too, because Unfold must pass them to go-vcard,
// which refuses them.
type scanner struct {
	data []byte
	next int  // where the following line begins
	open int  // how many cards are open: more than one inside a card that contains another
	nl   byte // the last byte of a physical line

	// data[from:to] is the current content line, with its folds and line ends.
	from, to int

	// level says where the line is. 0: outside the card, or its BEGIN or END.
	// 1: a property of the card. More: in a card inside the card, as vCard 2.1 has
	// them in AGENT.
	level int

	// kind is the kind of the property. In the line's text, tail is where the name
	// ends, at ':' or ';', or -1 if the line is no property. dot is where the group
	// before the name ends, or -1 if there is none.
	kind      kind
	dot, tail int

	// data[from:headTo] is the first physical line without its end. folded says that
	// there are more. soft says that they follow soft line breaks of quoted-printable.
	headTo       int
	folded, soft bool

	// spare is memory for all lines. joined says that it has the unfolded text of the
	// current one.
	spare  []byte
	joined bool
}

// reset starts over with other data.
//
// Lines end in CRLF or LF, and a CR elsewhere is text. But in a card without any LF, a CR
// is a line end. Some servers store such cards and send them again.
func (s *scanner) reset(data []byte) { *s = newScanner(data, s.spare) }

// newScanner returns a scanner that has been reset, with spare memory.
func newScanner(data, spare []byte) scanner {
	s := scanner{data: data, nl: '\n', spare: spare}
	if bytes.IndexByte(data, '\n') < 0 {
		s.nl = '\r'
	}
	// A byte order mark is not part of a card, but some exporters write one.
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		s.next = len("\ufeff")
	}
	return s
}

// usualStart is how nearly every card of iCloud begins.
const usualStart = "BEGIN:VCARD\r\nVERSION:3.0\r\n"

// skipStart skips the usual start of a card, which says nothing to a listing.
func (s *scanner) skipStart() {
	if n := len(usualStart); len(s.data) > n && string(s.data[:n]) == usualStart && !isFold(s.data[n]) {
		s.next, s.open = n, 1
	}
}

// scan goes to the following content line, and reports whether there is one.
func (s *scanner) scan() bool {
	// The last line was the card's own END if it was an END and no card is open.
	// Nothing after it is read.
	if s.next >= len(s.data) || (s.open == 0 && s.kind == kindEnd) {
		return false
	}
	// This does the same as lineEnd. Most content lines are one physical line, and a
	// call would be a large part of their cost.
	at, end, after := s.next, len(s.data), len(s.data)
	if i := bytes.IndexByte(s.data[at:], s.nl); i >= 0 {
		end, after = at+i, at+i+1
	}
	for end > at && s.data[end-1] == '\r' {
		end--
	}
	s.from, s.headTo, s.to, s.next = at, end, after, after
	s.folded, s.soft, s.joined = false, false, false
	if after < len(s.data) && (isFold(s.data[after]) || end > at && s.data[end-1] == '=') {
		s.cutFolds()
	}
	// The first physical line usually has the whole name, so a folded line that is not
	// needed is not unfolded.
	line := s.data[at:end]
	s.dot, s.tail = splitName(line)
	if s.tail < 0 && s.folded {
		// There may be a fold inside the name.
		line = s.text()
		s.dot, s.tail = splitName(line)
	}
	s.kind, s.level = other, s.open
	if s.tail < 0 {
		return true
	}
	s.kind = classify(line[s.dot+1 : s.tail])
	if s.kind == kindBegin || s.kind == kindEnd {
		s.nest()
	}
	return true
}

// nest handles a BEGIN or an END.
func (s *scanner) nest() {
	switch {
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
}

// ofCard reports whether a BEGIN or an END is that of a vCard.
func (s *scanner) ofCard() bool {
	tail := s.text()[s.tail:]
	if string(tail) == ":VCARD" {
		return true // nearly all programs write it so
	}
	_, value, ok := splitParams(tail)
	return ok && is(bytes.TrimSpace(value), "VCARD")
}

// isFold reports whether a physical line that begins with c continues the one before.
func isFold(c byte) bool { return c == ' ' || c == '\t' }

// cutFolds finds the physical lines that continue the first one, which scan has found. It
// looks only at their ends, so that a photo is skipped nearly as fast as by
// bytes.IndexByte.
func (s *scanner) cutFolds() {
	at, end, after := s.from, s.headTo, s.next
	for asked := false; after < len(s.data); {
		soft := false
		if end > at && s.data[end-1] == '=' {
			// In the quoted-printable of vCard 2.1 this is a soft line break:
			// the next line belongs to the value without an indent, even if it
			// looks like another property. Base64 may end in '=' too, so the
			// parameters decide. They are read only once, because otherwise a
			// line of many '=' would take quadratic time.
			if !asked {
				asked, s.soft = true, quotedPrintable(s.head())
			}
			soft = s.soft
		}
		if !soft && !isFold(s.data[after]) {
			break
		}
		s.folded, at = true, after
		end, after = lineEnd(s.data, at, s.nl)
		s.to, s.next = after, after
	}
}

// lineEnd returns the end of the physical line that begins at from, without its line end
// and with it.
func lineEnd(data []byte, from int, nl byte) (end, after int) {
	end, after = len(data), len(data)
	if i := bytes.IndexByte(data[from:], nl); i >= 0 {
		end, after = from+i, from+i+1
	}
	// Programs that translate LF to CRLF twice write more than one CR.
	for end > from && data[end-1] == '\r' {
		end--
	}
	return end, after
}

// head is the first physical line.
func (s *scanner) head() []byte { return s.data[s.from:s.headTo] }

// name returns the property's name: "Email" of item1.Email. It is valid as long as text.
func (s *scanner) name() []byte {
	if s.tail < 0 {
		return nil
	}
	return s.start()[s.dot+1 : s.tail]
}

// group returns the property's group: "item1" of item1.Email. It is valid as long as
// text.
func (s *scanner) group() []byte {
	if s.dot < 0 {
		return nil
	}
	return s.start()[:s.dot]
}

// start returns the part of the text that has the name. A line whose name is folded was
// unfolded before.
func (s *scanner) start() []byte {
	if s.joined {
		return s.spare
	}
	return s.head()
}

// text returns the unfolded content line. It is valid until the next scan. Most lines are
// short and have no folds, and are not copied.
func (s *scanner) text() []byte {
	if !s.folded {
		return s.head()
	}
	return s.unfolded()
}

// unfolded is text for a folded line.
func (s *scanner) unfolded() []byte {
	if !s.joined {
		s.spare = s.appendText(slices.Grow(s.spare[:0], s.to-s.from))
		s.joined = true
	}
	return s.spare
}

// appendText appends the unfolded content line to dst. It joins bytes and not characters,
// because some programs fold inside a character of several bytes.
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
			at = after + 1 // the space of a fold is not part of it
		}
	}
}

// splitName returns where a line's group and name end, or -1 for one that it does not
// have. Both end at the first character that can end them, and may have any characters,
// as with go-vcard.
func splitName(line []byte) (dot, tail int) {
	dot = -1
	for i, c := range line {
		switch c {
		case '.':
			if dot < 0 {
				dot = i
			}
		case ':', ';':
			return dot, i
		}
	}
	return -1, -1
}
