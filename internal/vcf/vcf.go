// Package vcf reads the properties of a vCard that a listing needs, in one pass
// over its lines. It also replaces single properties without changing any other
// byte.
//
// It has no model of a card, as go-vcard has. A Reader finds what go-vcard finds,
// with these differences: \; and \N are unescaped, structured values are split
// before they are unescaped, and vCard 2.1 is understood. The package exists because
// a listing of ten thousand cards should not build ten thousand models, and because
// go-vcard needs time quadratic in the length of an inline photo.
//
// The functions of this package accept any bytes. They need time and memory linear in
// the number of bytes.
package vcf

import (
	"bytes"
	"unicode"
)

// Labeled is a value and its label, such as "home" or "School"; "" if it has none.
type Labeled struct{ Label, Value string }

// A Reader reads what a listing needs from cards, one after the other. Its methods
// return the values of the last card. The zero value is ready for use. A Reader uses its
// memory again for the next card.
type Reader struct {
	spare []byte // the scanner's

	// known has the parameters that were read before, by their text.
	known map[string]*knownParams

	// text holds all strings of a card one after the other. A single conversion
	// makes the string all of it, and the strings of the card are parts of all. aside
	// holds what may not be needed: labels, their groups, and a name made from N.
	text, aside []byte
	all         string

	// What was found so far. Everything but labels is in text.
	uid     piece
	fn, org choice
	group   bool
	entries []entry
	labels  []label
	members []piece
}

// A piece is a part of text or of aside, or one of words, which are not copied there.
// The zero piece is empty. It has positions and not bytes, because text moves when it
// grows, and becomes a string at the end.
type piece struct {
	from, to int
	word     word
}

func (p piece) empty() bool { return p.word == noWord && p.from == p.to }

// in returns the piece as a string, cut from all, which is text or aside.
func (p piece) in(all string) string {
	if p.word != noWord {
		return words[p.word-1]
	}
	return all[p.from:p.to]
}

// A choice is the best value so far of a property of which a listing needs one.
type choice struct {
	piece
	pref int
}

// loses reports whether a value of that preference replaces the choice. As with
// Card.PreferredValue of go-vcard, the first of equal ones stays. But an empty value
// never counts, so that a name is found if there is one.
func (c choice) loses(pref int) bool { return c.empty() || pref < c.pref }

// An entry is an address or a number. Until all lines are read, its label is from the
// parameters: an X-ABLabel may come before the entry, after it, or not at all. The group
// is in aside, everything else in text.
type entry struct {
	kind  kind
	value piece
	label piece
	group piece
}

// roomy is how many bytes of memory a Reader keeps from card to card. More is given
// back, so that one huge card does not take memory for ever.
const roomy = 64 << 10

// Read reads a card. It never fails: from a damaged card it reads what can be read, and
// from something that is not a card nothing. The other methods return what it has found.
// The caller may keep that.
//
// more is a text that the caller needs as a string too. Read returns it as a part of the
// same allocation.
func (r *Reader) Read(card, more []byte) (text string) {
	r.reset()
	r.text = append(r.text, more...)
	// On the stack, where changing it with each line costs least.
	s := newScanner(card, r.spare)
	s.skipStart()
	for s.scan() {
		// N is needed only if there is no FN, which usually comes after N.
		if s.level != 1 || s.kind == other || s.kind == kindN {
			continue
		}
		if params, value, ok := splitParams(s.text()[s.tail:]); ok && len(value) > 0 {
			r.property(s.kind, s.group(), r.params(params), value)
		}
	}
	name := r.fn.piece
	if name.empty() {
		s.reset(card)
		name = r.spoken(&s)
	}
	r.spare = s.spare
	r.finish(name)
	return r.all[:len(more)]
}

func (r *Reader) reset() {
	if cap(r.text)+cap(r.aside)+cap(r.spare) > roomy || cap(r.entries)+cap(r.labels)+cap(r.members) > roomy/64 {
		*r = Reader{}
	}
	r.text, r.aside = r.text[:0], r.aside[:0]
	r.uid, r.fn, r.org, r.group = piece{}, choice{}, choice{}, false
	r.entries, r.labels, r.members = r.entries[:0], r.labels[:0], r.members[:0]
}

// property reads one property. It is called only for those that a listing needs and that
// are not empty. A value is first written behind the end of text, and becomes part of text
// only if it is needed. This saves a copy of nearly every value.
func (r *Reader) property(k kind, group []byte, m *knownParams, value []byte) {
	switch start := len(r.text); k {
	case kindUID:
		// PREF does not count here: other cards refer to the first UID.
		if r.uid.empty() {
			text := m.appendText(r.text, value)
			r.uid = r.keep(skipURN(text, start), text)
		}

	case kindFN:
		if r.fn.loses(m.pref) {
			if p := r.keep(start, m.appendText(r.text, value)); !p.empty() {
				r.fn = choice{p, m.pref}
			}
		}

	case kindOrg:
		// An escaped semicolon is part of a name, as in "Bücher\; Töne".
		// Departments follow the organization. Apple writes the semicolon before
		// them even if there are none.
		for more := r.org.loses(m.pref); more; {
			var component []byte
			component, value, more = cutComponent(value)
			if p := r.keep(start, m.appendText(r.text, component)); !p.empty() {
				r.org = choice{p, m.pref}
				break
			}
		}

	case kindEmail, kindTel:
		// Every one is kept, in order, so that the first stays the first.
		text := m.appendText(r.text, value)
		from, to := trim(text, start)
		if k == kindTel && to-from >= 4 && is(text[from:from+4], "TEL:") {
			// vCard 4.0 prefers a URI. The number follows the scheme.
			from, to = trim(text[:to], from+4)
		}
		if from < to {
			label := piece{from: to, to: to + len(m.label), word: m.word}
			r.text = append(text[:to], m.label...)
			r.entries = append(r.entries, entry{k, piece{from: from, to: to}, label, r.note(group)})
		}

	case kindLabel:
		if len(group) > 0 {
			r.label(group, m.appendText(r.aside, value))
		}

	case kindKind:
		// One such line makes the card a group, so that it is not shown as a
		// person.
		if is(bytes.TrimSpace(value), "GROUP") {
			r.group = true
		}

	case kindMember:
		text := m.appendText(r.text, value)
		if p := r.keep(skipURN(text, start), text); !p.empty() {
			r.members = append(r.members, p)
		}
	}
}

// skipURN returns where the UUID begins if text[start:] is one that is written as a URI,
// otherwise start. Cards refer to each other by the URI. Before vCard 4.0, the UID of a
// card has no urn:uuid:. Without it, both are the same.
func skipURN(text []byte, start int) int {
	const urn = "URN:UUID:"
	if t := text[start:]; len(t) >= len(urn) && is(t[:len(urn)], urn) {
		start += len(urn)
	}
	return start
}

// keep makes text the Reader's text, and returns text[start:] as a piece. If that is only
// space, keep changes nothing and returns an empty piece.
func (r *Reader) keep(start int, text []byte) piece {
	if blank(text[start:]) {
		return piece{}
	}
	r.text = text
	return piece{from: start, to: len(text)}
}

// blank reports whether text has nothing but space.
func blank(text []byte) bool {
	return len(text) == 0 || !isGraphic(text[0]) && len(bytes.TrimSpace(text)) == 0
}

// isGraphic reports whether c is a visible character of ASCII.
func isGraphic(c byte) bool { return '!' <= c && c <= '~' }

// trim returns where text[from:] begins and ends without the space around it.
func trim(text []byte, from int) (int, int) {
	if n := len(text); from < n && isGraphic(text[from]) && isGraphic(text[n-1]) {
		return from, n
	}
	inner := bytes.TrimLeftFunc(text[from:], unicode.IsSpace)
	from = len(text) - len(inner)
	return from, from + len(bytes.TrimRightFunc(inner, unicode.IsSpace))
}

// spoken looks for N in a card that has no FN. The name becomes part of text.
func (r *Reader) spoken(s *scanner) piece {
	var best choice // in aside
	for s.scan() {
		if s.level != 1 || s.kind != kindN {
			continue
		}
		params, value, ok := splitParams(s.text()[s.tail:])
		if !ok || len(value) == 0 {
			continue
		}
		m := r.params(params)
		if !best.loses(m.pref) {
			continue
		}
		start := len(r.aside)
		r.aside = appendSpoken(r.aside, value, m.encoding)
		if p := (piece{from: start, to: len(r.aside)}); !p.empty() {
			best = choice{p, m.pref}
		}
	}
	start := len(r.text)
	r.text = append(r.text, r.aside[best.from:best.to]...)
	return piece{from: start, to: len(r.text)}
}

// appendSpoken appends an N in the order in which it is spoken: N begins with the family
// name, and has the prefix, such as "Dr.", after the given names. Commas stay, although
// they separate several names of one kind: go-vcard unescapes a component first, and then
// cannot distinguish them from commas in a name.
func appendSpoken(dst, value []byte, e encoding) []byte {
	var parts [5][]byte
	for i, more := 0, true; more && i < len(parts); i++ {
		parts[i], value, more = cutComponent(value)
	}
	begin := len(dst)
	for _, i := range [...]int{3, 1, 2, 0, 4} {
		if len(parts[i]) == 0 {
			continue
		}
		before := len(dst)
		if before > begin {
			dst = append(dst, ' ')
		}
		start := len(dst)
		dst = e.appendText(dst, parts[i])
		part := bytes.TrimSpace(dst[start:])
		if len(part) == 0 {
			dst = dst[:before]
			continue
		}
		// Without the space before it.
		dst = append(dst[:start], part...)
	}
	return dst
}

// finish makes the string of everything that property has read.
func (r *Reader) finish(name piece) {
	if name.empty() {
		name = r.org.piece
	}
	r.fn.piece = name
	r.applyLabels()
	r.all = string(r.text)
}

// UID returns the card's first UID, without the urn:uuid: of vCard 4.0.
func (r *Reader) UID() string { return r.uid.in(r.all) }

// Name returns FN. A card without it is named by N in the order in which it is spoken,
// or else by Org.
func (r *Reader) Name() string { return r.fn.in(r.all) }

// Org returns the organization without its departments.
func (r *Reader) Org() string { return r.org.in(r.all) }

// Group returns whether the card is a list of others, whose UIDs are Members.
func (r *Reader) Group() bool { return r.group }

// Members returns the UIDs of a group's cards, without urn:uuid:.
func (r *Reader) Members() []string {
	var members []string
	for _, m := range r.members {
		members = append(members, m.in(r.all))
	}
	return members
}

// Labels returns the addresses and the numbers of the card that r has read, each in the
// card's order, without empty ones and without space around them. Their type is the
// caller's own, which saves the caller a copy. It is not a method because methods
// have no type parameters.
func Labels[L ~struct{ Label, Value string }](r *Reader) (emails, phones []L) {
	if len(r.entries) == 0 {
		return nil, nil
	}
	// One array for both. Each ends at its capacity, so that appending to one
	// cannot reach into the other.
	all := make([]L, 0, len(r.entries))
	for _, k := range [...]kind{kindEmail, kindTel} {
		for i := range r.entries {
			if e := &r.entries[i]; e.kind == k {
				all = append(all, L(Labeled{e.label.in(r.all), e.value.in(r.all)}))
			}
		}
		if k == kindEmail && len(all) > 0 {
			emails = all[:len(all):len(all)]
		}
	}
	if len(all) > len(emails) {
		phones = all[len(emails):]
	}
	return emails, phones
}
