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

// This file replaces properties. A card is edited as bytes. Lines of other properties are
// not parsed, so they cannot be damaged, even if they cannot be read. The edit first finds
// the lines of the properties, then plans the cuts, and then makes all of them in one
// copy.

// A Field is one line of a property as go-vcard has it: unescaped, except that ; separates
// components and \; is a semicolon in one.
type Field struct {
	Group  string
	Params map[string][]string
	Value  string
}

// A Property is a name and all lines with this name that the card is to have. Without
// Fields the property is removed.
type Property struct {
	Name   string
	Fields []Field
}

// Edit returns a copy of card in which props replace the properties with their names, in
// any case. Every other byte stays as it is.
//
// A line that go-vcard reads as one of the new fields keeps its bytes. Lines that are the
// same at the beginning and at the end of a property's list keep their places too.
// Between them, the n-th new field takes the place of the n-th old one, and further fields
// follow the last one. A property that the card did not have is written before END,
// several of them in the order of their names.
//
// When the last other line of a group is removed, its X-ABLabel and X-ABADR are removed
// too. X-ABADR is the country whose rules Apple's programs use to write an address. It is
// an error to add a field to a group whose label belongs to other properties. A caller
// that wants this gives X-ABLABEL too, and then decides about all labels.
//
// It is an error if a field cannot be written, or if the card has no BEGIN or no END.
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

// An editor edits one card. It writes nothing before it has checked everything.
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
	fields []Field   // the new lines
	old    []oldLine // the lines that the card has
}

// An oldLine is a line of a property to edit. It has the name as written, because programs
// write names in different cases, and a new line has the name of the one that it replaces.
type oldLine struct {
	from, to int    // in the card
	name     string // as the card writes it
	group    string // lower case
	key      string // what go-vcard reads in it, "" if nothing
}

// A cut is a part of the card and what replaces it.
type cut struct {
	from, to int
	with     []byte
}

// newEditor checks props and finds the lines of these properties.
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
			// The caller has them in a map, in which FN and fn have no order.
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
	// The scanner finds no END of a card without its BEGIN.
	if e.end < 0 {
		return nil, errors.New("the card is not complete")
	}
	return e, nil
}

// replace plans the cuts of one property. Lines that are the same at the beginning and at
// the end stay where they are. So adding, removing or changing one of many does not change
// the others.
func (e *editor) replace(j *job) error {
	// Fields are compared as go-vcard reads them, because this is what the caller has
	// seen.
	keys := make([]string, len(j.fields))
	for i, f := range j.fields {
		keys[i] = fieldKey(f)
	}

	// Lines that are the same at both ends stay. If one of several addresses is added,
	// removed or changed, these are all others.
	head, tail := 0, 0
	for n := min(len(j.old), len(keys)); head < n && j.old[head].key == keys[head]; {
		head++
	}
	for n := min(len(j.old), len(keys)) - head; tail < n && j.old[len(j.old)-1-tail].key == keys[len(keys)-1-tail]; {
		tail++
	}
	old, fields, keys := j.old[head:len(j.old)-tail], j.fields[head:len(keys)-tail], keys[head:len(keys)-tail]

	// Lines that only change their order keep their bytes too, even if they could not be
	// written again.
	moved := make(map[string]oldLine)
	for _, o := range old {
		if o.key != "" {
			moved[o.key] = o
		}
	}

	// X-ABLabel stays X-ABLabel, although go-vcard calls it X-ABLABEL.
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
	// The new lines that replace no old line.
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

// result makes the cuts.
func (e *editor) result() []byte {
	// At one place, cuts that only insert come first, and those of one property in their
	// order.
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

// A crowd has the lines of one group, for example item1.EMAIL and item1.X-ABLabel, as far
// as an edit concerns them.
type crowd struct {
	// before has the edited properties that were in the group, and after those that
	// will be, in the order of their names. others says that the group has properties
	// that are not edited.
	before, after []string
	others        bool

	// companions are the X-ABLabels and X-ABADRs. labeled says that there is an
	// X-ABLabel among them.
	companions []cut
	labeled    bool
}

// with returns names with name, each once. Equal names come one after another.
func with(names []string, name string) []string {
	if len(names) > 0 && names[len(names)-1] == name {
		return names
	}
	return append(names, name)
}

// stays reports whether a property to which the group's label belongs is still in the
// group: one that is not edited, or one that is edited and still has a line there.
func (c *crowd) stays() bool {
	return c.others || slices.ContainsFunc(c.before, func(name string) bool {
		return slices.Contains(c.after, name)
	})
}

// isCompanion reports whether a property is only about the others of its group: their
// label, or the country whose rules Apple uses to write an address.
func isCompanion(name string) bool { return name == "X-ABLABEL" || name == "X-ABADR" }

// settleGroups removes the labels whose properties the edit removes, and makes sure that no
// label gets to another property. If a number with the label "Boat" is removed from item1,
// an address that is put there must not get this label, and neither may it share the
// label of a number that stays. Labels that belonged to nothing before are not removed.
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

	// Find the other lines of these groups. This reads the card a second time, but most
	// edits do not need it, and remembering every line would take more memory than the
	// card.
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
			// It was counted above, or it is a label that the caller edits.
		case isCompanion(string(name)):
			c.labeled = c.labeled || s.kind == kindLabel
			c.companions = append(c.companions, cut{from: s.from, to: s.to})
		default:
			c.others = true
		}
	}

	// In a fixed order, so that of several errors always the same one is returned.
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
