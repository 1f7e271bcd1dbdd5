package vcf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file replaces properties. A card is edited as bytes: lines that are not
// concerned are never taken apart, so what cannot be read cannot be harmed.
// First the lines concerned are found, then cuts are planned, and in the end
// all are carried out in one copy.

// A Field is one line of a property as go-vcard holds it: unescaped but for
// what parts the value, \; and ;.
type Field struct {
	Group  string
	Params map[string][]string
	Value  string
}

// A Property is a name and all lines that a card shall have of it; none to
// remove it.
type Property struct {
	Name   string
	Fields []Field
}

// Edit returns a copy of card in which the properties of these names, in any
// case, are these, and every other byte is what it was.
//
// A line that go-vcard reads as one of the new fields keeps its bytes. Lines
// that are the same at the beginning and the end of a property's list keep
// their places as well; between them the n-th new field stands where the n-th
// old one stood, and those that are more after the last. A property that the
// card did not have goes before END, several of them in the order of their
// names.
//
// With the last line that is in a group goes the group's X-ABLabel, and its
// X-ABADR, which says how to write an address. A field cannot join a group
// whose label belongs to other properties; a caller who wants that gives
// X-ABLABEL too, which leaves all labels to the caller.
//
// What cannot be written is an error, and so is a card without BEGIN or END.
// Errors do not quote the card.
func Edit(card []byte, props []Property) ([]byte, error) {
	if len(props) == 0 {
		return bytes.Clone(card), nil
	}
	e, err := newEditor(card, props)
	if err != nil {
		return nil, err
	}
	for _, j := range e.jobs {
		if err := e.replace(j); err != nil {
			return nil, err
		}
	}
	if err := e.settleGroups(); err != nil {
		return nil, err
	}
	return e.result(), nil
}

// An editor is at work on one card. Nothing is written before all is known to be
// writable.
type editor struct {
	card []byte
	eol  string // the card's own line end
	end  int    // where its END is
	jobs []*job // in the order of their names
	by   map[string]*job
	cuts []cut
	tail []byte // new lines before END
}

// A job is one property to edit.
type job struct {
	name   string    // upper case
	given  string    // as the caller writes it
	fields []Field   // what the card shall have
	old    []oldLine // what it has
}

// An oldLine is a line of a property to edit. Its name is kept because names
// differ in case from program to program, and a new line is to look like the one
// it replaces.
type oldLine struct {
	from, to int    // in the card
	name     string // as the card writes it
	group    string // lower case
	key      string // what go-vcard reads in it, "" if nothing
}

// A cut is a stretch of the card and what replaces it.
type cut struct {
	from, to int
	with     []byte
}

// newEditor checks what is asked for and finds the lines that it is about.
func newEditor(card []byte, props []Property) (*editor, error) {
	e := &editor{card: card, eol: "\r\n", end: -1, by: make(map[string]*job, len(props))}
	for _, p := range props {
		name := strings.ToUpper(p.Name)
		switch {
		case !isToken(p.Name):
			return nil, errors.New("not the name of a property")
		case name == "BEGIN" || name == "END" || name == "VERSION":
			// A change of version would change the meaning of all other lines.
			return nil, fmt.Errorf("%s cannot be edited", name)
		case e.by[name] != nil:
			// In a map the order of FN and fn is chance.
			return nil, fmt.Errorf("%s is given twice", name)
		}
		j := &job{name: name, given: p.Name, fields: p.Fields}
		e.jobs = append(e.jobs, j)
		e.by[name] = j
	}
	slices.SortFunc(e.jobs, func(a, b *job) int { return cmp.Compare(a.name, b.name) })

	var s scanner
	var upper []byte
	s.reset(card)
	for s.scan() {
		switch {
		case s.level == 0 && s.kind == kindBegin:
			if !bytes.HasSuffix(card[:s.to], []byte(e.eol)) {
				e.eol = string(s.nl)
			}
		case s.level == 0 && s.kind == kindEnd:
			e.end = s.from
		case s.level == 1 && s.tail >= 0:
			upper = appendUpper(upper[:0], s.name())
			if j := e.by[string(upper)]; j != nil {
				group := string(appendLower(nil, s.group()))
				j.old = append(j.old, oldLine{s.from, s.to, string(s.name()), group, lineKey(s.text())})
			}
		}
	}
	// There is no END of the card without its BEGIN.
	if e.end < 0 {
		return nil, errors.New("the card is not complete")
	}
	return e, nil
}

// replace plans the cuts that one property needs. What is the same at the
// beginning and at the end of its lines stays where it is, so that adding,
// removing or changing one of many leaves the others alone.
func (e *editor) replace(j *job) error {
	// Fields are compared by what go-vcard reads, which is all that the caller
	// can have meant to keep.
	keys := make([]string, len(j.fields))
	for i, f := range j.fields {
		keys[i] = fieldKey(f)
	}

	// Lines that are the same at both ends stay. In a list of addresses of which
	// one is added, removed or changed, those are all but that one.
	head, tail := 0, 0
	for n := min(len(j.old), len(keys)); head < n && j.old[head].key == keys[head]; {
		head++
	}
	for n := min(len(j.old), len(keys)) - head; tail < n && j.old[len(j.old)-1-tail].key == keys[len(keys)-1-tail]; {
		tail++
	}
	old, fields, keys := j.old[head:len(j.old)-tail], j.fields[head:len(keys)-tail], keys[head:len(keys)-tail]

	// Lines that only change their order keep their bytes too, even such as
	// could not be written anew.
	moved := make(map[string]oldLine)
	for _, o := range old {
		if o.key != "" {
			moved[o.key] = o
		}
	}

	// X-ABLabel stays X-ABLabel, though go-vcard knows it as X-ABLABEL.
	name := j.given
	if len(j.old) > 0 {
		name = j.old[0].name
	}
	lines := make([][]byte, max(len(fields), len(old)))
	for i, f := range fields {
		if o, ok := moved[keys[i]]; ok {
			lines[i] = e.card[o.from:o.to]
			continue
		}
		var err error
		if lines[i], err = e.render(name, f); err != nil {
			return err
		}
	}

	for i, o := range old {
		e.cuts = append(e.cuts, cut{o.from, o.to, lines[i]})
	}
	// What is left when every old line has its successor.
	more := bytes.Join(lines[len(old):], nil)
	switch at := head + len(old); {
	case len(more) == 0:
	case at > 0:
		// After the last line that has been kept or replaced.
		e.cuts = append(e.cuts, cut{j.old[at-1].to, j.old[at-1].to, more})
	case tail > 0:
		// All old lines are kept, and the new ones come first.
		e.cuts = append(e.cuts, cut{j.old[0].from, j.old[0].from, more})
	default:
		e.tail = append(e.tail, more...)
	}
	return nil
}

// result carries the cuts out.
func (e *editor) result() []byte {
	// Of cuts at one place the empty ones, which insert, come first, and those
	// of one property in their order.
	slices.SortStableFunc(e.cuts, func(a, b cut) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	dst := make([]byte, 0, len(e.card)+len(e.tail)+256)
	at := 0
	for _, c := range e.cuts {
		dst = append(dst, e.card[at:c.from]...)
		dst = append(dst, c.with...)
		at = c.to
	}
	dst = append(dst, e.card[at:e.end]...)
	dst = append(dst, e.tail...)
	return append(dst, e.card[e.end:]...)
}

// A crowd is what is in one group, say item1.EMAIL and item1.X-ABLabel, as far
// as an edit is concerned.
type crowd struct {
	// before and after are the edited properties that were in it and that
	// shall be, in the order of their names. others is set if there are
	// properties in it that are not edited.
	before, after []string
	others        bool

	// companions are the lines that have no meaning without the rest, and
	// labeled is set if there is an X-ABLabel among them.
	companions []cut
	labeled    bool
}

// with returns names and name. Those of one property come one after another.
func with(names []string, name string) []string {
	if len(names) > 0 && names[len(names)-1] == name {
		return names
	}
	return append(names, name)
}

// stays reports whether those whose label a group has are still in it: a
// property that is not edited, or one that is and still has a line there.
func (c *crowd) stays() bool {
	return c.others || slices.ContainsFunc(c.before, func(name string) bool {
		return slices.Contains(c.after, name)
	})
}

// isCompanion reports whether a property only tells something about the others
// of its group: what its owner calls them, and by the rules of which country
// Apple writes an address.
func isCompanion(name string) bool { return name == "X-ABLABEL" || name == "X-ABADR" }

// settleGroups removes the labels that the edit leaves without anything to
// label, and sees to it that none comes to label something else: a number
// removed from item1 must not leave its "Boat" to an address that is put
// there, nor may an address take the label of a number that stays. Labels that
// labeled nothing before are left alone.
func (e *editor) settleGroups() error {
	crowds := make(map[string]*crowd)
	of := func(group string) *crowd {
		if crowds[group] == nil {
			crowds[group] = new(crowd)
		}
		return crowds[group]
	}
	for _, j := range e.jobs {
		if isCompanion(j.name) {
			continue
		}
		for _, o := range j.old {
			if o.group != "" {
				c := of(o.group)
				c.before = with(c.before, j.name)
			}
		}
		for _, f := range j.fields {
			if f.Group != "" {
				c := of(string(appendLower(nil, []byte(f.Group))))
				c.after = with(c.after, j.name)
			}
		}
	}
	if len(crowds) == 0 {
		return nil // nothing that is edited is in a group
	}

	// Who else is in these groups? This is a second walk through the card, but
	// most edits need none, and remembering every line would take more memory
	// than the card.
	var s scanner
	var group, name []byte
	s.reset(e.card)
	for s.scan() {
		if s.level != 1 || len(s.group()) == 0 {
			continue
		}
		group = appendLower(group[:0], s.group())
		c := crowds[string(group)]
		if c == nil {
			continue
		}
		name = appendUpper(name[:0], s.name())
		switch {
		case e.by[string(name)] != nil:
			// It is counted already, or a label that is the caller's affair.
		case isCompanion(string(name)):
			c.labeled = c.labeled || s.kind == kindLabel
			c.companions = append(c.companions, cut{from: s.from, to: s.to})
		default:
			c.others = true
		}
	}

	// In order, so that of several errors the same one is returned each time.
	for _, group := range slices.Sorted(maps.Keys(crowds)) {
		c := crowds[group]
		if len(c.before) > 0 && !c.stays() {
			e.cuts = append(e.cuts, c.companions...)
			continue
		}
		for _, name := range c.after {
			if c.labeled && !slices.Contains(c.before, name) {
				return fmt.Errorf("%s: its group has a label, which belongs to something else", name)
			}
		}
	}
	return nil
}
