package vcf

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// This file reads what a listing does not need: everything else that a card says about a
// person. It is one pass over the lines, as in a Reader, and chooses the same values:
// Departments are those of Reader.Org, and the parts of the name are from the N that
// Reader.Name uses.

// Details has what a card says and a Reader does not read. A field is zero if the card does
// not have it.
type Details struct {
	Given, Middle, Family, Prefix, Suffix, Nickname, PhoneticGiven, PhoneticFamily string

	Title       string
	Departments []string

	// The lists begin with the preferred values and then follow the card's order.
	Addresses       []Address
	URLs, Relations []Labeled
	Services        []Service
	Birthday        Date
	Dates           []LabeledDate

	Note       string
	Categories []string
}

// An Address is an ADR with the code of the country, which Apple writes as X-ABADR.
type Address struct{ Label, Street, City, Region, PostalCode, Country, CountryCode, POBox, Extended string }

// A Service is an account at a messaging service or a social network.
type Service struct{ Label, Service, User, URL string }

// A LabeledDate is a day and its label.
type LabeledDate struct {
	Label string
	Date  Date
}

// A DetailsReader reads the Details of cards. The zero value is ready for use. It uses its
// memory again for the next card.
type DetailsReader struct {
	scanner scanner
	text    strings.Builder // the strings of one card are parts of it
	scratch []byte
	details Details

	// The preferences of the single values that details has already.
	n, nickname, title, birthday, phoneticGiven, phoneticFamily preference
	org                                                         preference

	addresses       []listed[Address]
	urls, relations []listed[string]
	services        []listed[Service]
	dates           []listed[Date]
	notes           []string

	// The values that belong to all lines of a group.
	labels, countries []grouped
}

// A preference is that of the value that was chosen so far; 0 if there is none.
type preference int

// yields reports whether a value of that preference replaces the chosen one. The first of
// equal ones stays.
func (p preference) yields(pref int) bool { return p == 0 || pref < int(p)-1 }

// set notes the preference of the value that was chosen now.
func (p *preference) set(pref int) { *p = preference(max(pref, 0) + 1) }

// A listed is a value of a list, with what is needed until all lines are read.
type listed[T any] struct {
	value T
	mark
}

// A mark has the preference of a value and the label from its TYPEs. Its group may have
// another label.
type mark struct {
	pref  int
	label string
	group []byte
}

// grouped is the value of a line that is about the other lines of its group.
type grouped struct {
	group []byte
	value string
}

// Read returns the Details of card. It never fails: from a damaged card it returns what
// can be read. The Details and their slices are valid until the next Read, their strings
// for ever.
func (r *DetailsReader) Read(card []byte) *Details {
	r.reset(card)
	s := &r.scanner
	var t tags // of the line that is being read
	for s.scan() {
		if s.level != 1 || s.tail < 0 {
			continue
		}
		d := detailOf(s.name())
		if d == nil {
			continue
		}
		if params, value, ok := splitParams(s.text()[s.tail:]); ok && (len(value) > 0 || d.kind == detailProfile) {
			if len(params) > 0 {
				t.read(params)
				r.property(d, &t, value)
			} else {
				r.property(d, &untagged, value)
			}
		}
	}
	return r.finish()
}

// untagged are the tags of a line without parameters.
var untagged = tags{pref: 100}

func (r *DetailsReader) reset(card []byte) {
	if cap(r.scratch)+cap(r.scanner.spare) > roomy || max(
		cap(r.addresses), cap(r.urls), cap(r.relations), cap(r.services), cap(r.dates), cap(r.notes), cap(r.labels), cap(r.countries),
		cap(r.details.Departments), cap(r.details.Categories),
	) > roomy/256 {
		*r = DetailsReader{}
	}
	r.text = strings.Builder{}
	r.n, r.nickname, r.title, r.org, r.birthday, r.phoneticGiven, r.phoneticFamily = 0, 0, 0, 0, 0, 0, 0
	empty(&r.addresses)
	empty(&r.urls)
	empty(&r.relations)
	empty(&r.services)
	empty(&r.dates)
	empty(&r.notes)
	empty(&r.labels)
	empty(&r.countries)
	d := &r.details
	empty(&d.Departments)
	empty(&d.Addresses)
	empty(&d.URLs)
	empty(&d.Relations)
	empty(&d.Services)
	empty(&d.Dates)
	empty(&d.Categories)
	*d = Details{
		Departments: d.Departments,
		Addresses:   d.Addresses,
		URLs:        d.URLs,
		Relations:   d.Relations,
		Services:    d.Services,
		Dates:       d.Dates,
		Categories:  d.Categories,
	}
	r.scanner.reset(card)
	// The rest of a card is names of properties, or a photo.
	r.text.Grow(min(len(card)/2, 1<<10))
}

// empty empties s and keeps its array. A string that stayed in the array would keep the
// text of its whole card in memory.
func empty[T any](s *[]T) {
	if len(*s) > 0 {
		clear(*s)
		*s = (*s)[:0]
	}
}

// property reads one property.
func (r *DetailsReader) property(d *detail, t *tags, value []byte) {
	switch out := &r.details; d.kind {
	case detailName:
		r.name(t, value)

	case detailNickname:
		if r.nickname.yields(t.pref) {
			if names := r.appendValues(nil, t, value); len(names) > 0 {
				out.Nickname = strings.Join(names, ", ")
				r.nickname.set(t.pref)
			}
		}

	case detailTitle:
		r.choose(&out.Title, &r.title, t, value)

	case detailPhoneticGiven:
		r.choose(&out.PhoneticGiven, &r.phoneticGiven, t, value)

	case detailPhoneticFamily:
		r.choose(&out.PhoneticFamily, &r.phoneticFamily, t, value)

	case detailSound:
		// In SOUND;X-IRMC-N, Japanese telephones of the time of vCard 2.1 write
		// how the name is pronounced. Any other SOUND is a recording.
		if t.irmc {
			r.phonetic(t, value)
		}

	case detailOrg:
		r.departments(t, value)

	case detailAddress:
		var a Address
		for _, part := range [...]*string{&a.POBox, &a.Extended, &a.Street, &a.City, &a.Region, &a.PostalCode, &a.Country} {
			var component []byte
			component, value, _ = cutComponent(value)
			*part = r.trimmed(t, component)
		}
		if a != (Address{}) {
			// In vCard 4.0 the code is in the parameter CC (RFC 8605).
			a.CountryCode = r.add(t.country)
			r.addresses = append(r.addresses, listed[Address]{a, r.mark(t, r.lower(t.label))})
		}

	case detailCountry:
		if len(r.scanner.group()) > 0 {
			if code := r.trimmed(t, value); code != "" {
				r.countries = append(r.countries, grouped{r.group(), code})
			}
		}

	case detailLabel:
		if len(r.scanner.group()) > 0 {
			if label := r.ownLabel(t, value); label != "" {
				r.labels = append(r.labels, grouped{r.group(), label})
			}
		}

	case detailURL:
		if u := r.url(t, value); u != "" {
			r.urls = append(r.urls, listed[string]{u, r.mark(t, r.lower(t.label))})
		}

	case detailRelation:
		if name := r.trimmed(t, value); name != "" {
			r.relations = append(r.relations, listed[string]{name, r.mark(t, cmp.Or(r.lower(t.label), d.word))})
		}

	case detailIMPP, detailProfile, detailAccount:
		s, label := r.service(d, t, value)
		if s.User != "" || s.URL != "" {
			r.services = append(r.services, listed[Service]{s, r.mark(t, label)})
		}

	case detailBirthday:
		if r.birthday.yields(t.pref) {
			if date, ok := r.date(t, value); ok {
				out.Birthday = date
				r.birthday.set(t.pref)
			}
		}

	case detailDate:
		if date, ok := r.date(t, value); ok {
			r.dates = append(r.dates, listed[Date]{date, r.mark(t, cmp.Or(r.lower(t.label), d.word))})
		}

	case detailNote:
		if note := r.value(t, value); strings.TrimSpace(note) != "" {
			r.notes = append(r.notes, note)
		}

	case detailCategories:
		out.Categories = r.appendValues(out.Categories, t, value)
	}
}

// name reads an N. All parts are from the same N: the family name of one and the given
// name of another are not a person's name.
func (r *DetailsReader) name(t *tags, value []byte) {
	// With RFC 9554, a separate N may say how the name is pronounced.
	if t.phonetic {
		r.phonetic(t, value)
		return
	}
	if !r.n.yields(t.pref) {
		return
	}
	var parts [5]string
	for i := range parts {
		var component []byte
		component, value, _ = cutComponent(value)
		parts[i] = r.trimmed(t, component)
	}
	if parts == [5]string{} {
		return
	}
	d := &r.details
	d.Family, d.Given, d.Middle, d.Prefix, d.Suffix = parts[0], parts[1], parts[2], parts[3], parts[4]
	r.n.set(t.pref)
}

// phonetic reads how a name is pronounced, with the components of N.
func (r *DetailsReader) phonetic(t *tags, value []byte) {
	family, rest, _ := cutComponent(value)
	given, _, _ := cutComponent(rest)
	r.choose(&r.details.PhoneticFamily, &r.phoneticFamily, t, family)
	r.choose(&r.details.PhoneticGiven, &r.phoneticGiven, t, given)
}

// departments reads the departments of an ORG. They follow the component that is
// Reader.Org, which is the first that is not empty.
func (r *DetailsReader) departments(t *tags, value []byte) {
	if !r.org.yields(t.pref) {
		return
	}
	// A line without any name appends nothing, and the earlier departments stay.
	found, named := r.details.Departments[:0], false
	for more := true; more; {
		var component []byte
		component, value, more = cutComponent(value)
		name := r.trimmed(t, component)
		switch {
		case name == "":
		case !named:
			named = true
		default:
			found = append(found, name)
		}
	}
	if named {
		r.details.Departments = found
		r.org.set(t.pref)
	}
}

// choose sets text to the value of a line if that is preferred and not empty.
func (r *DetailsReader) choose(text *string, p *preference, t *tags, value []byte) {
	if p.yields(t.pref) {
		if v := r.trimmed(t, value); v != "" {
			*text = v
			p.set(t.pref)
		}
	}
}

// mark returns the mark of a value of this line.
func (r *DetailsReader) mark(t *tags, label string) mark {
	return mark{t.pref, label, r.group()}
}

// group returns the line's group. If the line is not folded, it is part of the card.
func (r *DetailsReader) group() []byte {
	if r.scanner.folded {
		return bytes.Clone(r.scanner.group())
	}
	return r.scanner.group()
}

// date reads the date of a property.
func (r *DetailsReader) date(t *tags, value []byte) (Date, bool) {
	// Another calendar has other months.
	if c := t.calendar; c != nil && !is(c, "GREGORIAN") {
		return Date{}, false
	}
	return parseDate(r.decoded(t, value), t.omit)
}

// url reads a URL. Apple's old programs write http\://, and other programs have added a
// backslash each time that they rewrote the card. No URL has one there.
func (r *DetailsReader) url(t *tags, value []byte) string {
	text := bytes.TrimSpace(r.decoded(t, value))
	if scheme, rest, ok := bytes.Cut(text, []byte(":")); ok {
		if bare := bytes.TrimRight(scheme, `\`); len(bare) < len(scheme) {
			text = slices.Concat(bare, []byte(":"), rest)
		}
	}
	return r.add(text)
}

// finish makes the Details of everything that property has read.
func (r *DetailsReader) finish() *Details {
	d := &r.details
	d.Note = strings.Join(r.notes, "\n\n")
	labels, countries := newGroups(r.labels), newGroups(r.countries)
	for _, l := range preferred(r.addresses) {
		l.value.Label = cmp.Or(labels.of(l.group), l.label)
		l.value.CountryCode = cmp.Or(countries.of(l.group), l.value.CountryCode)
		d.Addresses = append(d.Addresses, l.value)
	}
	for _, l := range preferred(r.urls) {
		d.URLs = append(d.URLs, Labeled{cmp.Or(labels.of(l.group), l.label), l.value})
	}
	for _, l := range preferred(r.relations) {
		d.Relations = append(d.Relations, Labeled{cmp.Or(labels.of(l.group), l.label), l.value})
	}
	d.Services = slices.Grow(d.Services, len(r.services))
	for _, l := range preferred(r.services) {
		l.value.Label = cmp.Or(labels.of(l.group), l.label)
		d.Services = append(d.Services, l.value)
	}
	d.Services = once(d.Services, accountOf, mergeAccount)
	for _, l := range preferred(r.dates) {
		d.Dates = append(d.Dates, LabeledDate{cmp.Or(labels.of(l.group), l.label), l.value})
	}
	d.Dates = once(d.Dates, dateKey, func(*LabeledDate, LabeledDate) {})
	return d
}

// preferred sorts the preferred values first.
func preferred[T any](l []listed[T]) []listed[T] {
	if len(l) < 2 {
		return l
	}
	slices.SortStableFunc(l, func(a, b listed[T]) int { return cmp.Compare(a.pref, b.pref) })
	return l
}

// once removes the values that have the same key as an earlier one, and merges them into
// that.
func once[T any, K comparable](all []T, key func(T) K, merge func(into *T, from T)) []T {
	if len(all) < 2 {
		return all
	}
	var room [8]K
	keys, kept := room[:0], all[:0]
	var index map[K]int // nil while there are few
	for _, v := range all {
		k := key(v)
		i, known := index[k]
		if index == nil {
			i = slices.Index(keys, k)
			known = i >= 0
		}
		if known {
			merge(&kept[i], v)
			continue
		}
		if index == nil && len(keys) == len(room) {
			index = make(map[K]int, len(all))
			for i, k := range keys {
				index[k] = i
			}
		}
		if index != nil {
			index[k] = len(kept)
		} else {
			keys = append(keys, k)
		}
		kept = append(kept, v)
	}
	clear(all[len(kept):])
	return kept
}

// dateKey is equal for equal dates whose labels differ at most in case. Programs that know
// several properties for an anniversary write it in each of them.
func dateKey(l LabeledDate) LabeledDate {
	l.Label = strings.ToLower(l.Label)
	return l
}

// A groups finds the value that belongs to a group.
type groups struct {
	all   []grouped
	first map[string]string
}

// newGroups makes an index if there are many values. No real card has so many, but a
// server may send them, and the time must not be quadratic.
func newGroups(all []grouped) groups {
	g := groups{all: all}
	if len(all) > 16 {
		g.first = make(map[string]string, len(all))
		for _, a := range slices.Backward(all) {
			g.first[string(appendLower(nil, a.group))] = a.value
		}
	}
	return g
}

// of returns the first value of a group, in any case; "" if it has none.
func (g groups) of(group []byte) string {
	switch {
	case len(group) == 0:
		return ""
	case g.first != nil:
		return g.first[string(appendLower(nil, group))]
	}
	for _, a := range g.all {
		if len(a.group) == len(group) && bytes.EqualFold(a.group, group) {
			return a.value
		}
	}
	return ""
}
