package vcf

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// This file reads what a listing leaves aside: everything else that a card says
// of a person. It is one pass over the lines, like a Reader's, and takes the
// same value where both read one: Departments are those of Fields.Org, and a
// name is made of the N that Fields.Name would be.

// Details is what a card says beside Fields. What it does not say is zero.
type Details struct {
	Given, Middle, Family, Prefix, Suffix, Nickname, PhoneticGiven, PhoneticFamily string

	Title       string
	Departments []string

	// The lists begin with what the card prefers, and else have its order.
	Addresses       []Address
	URLs, Relations []Labeled
	Services        []Service
	Birthday        Date
	Dates           []LabeledDate

	Note       string
	Categories []string
}

// An Address is an ADR, and the country's code that Apple keeps beside it.
type Address struct{ Label, Street, City, Region, PostalCode, Country, CountryCode, POBox, Extended string }

// A Service is an account elsewhere.
type Service struct{ Label, Service, User, URL string }

// A LabeledDate is a day and what its owner calls it.
type LabeledDate struct {
	Label string
	Date  Date
}

// A DetailsReader reads the Details of cards. The zero value is ready; what
// memory it needs for one card serves for the next.
type DetailsReader struct {
	scanner scanner
	text    strings.Builder // of which the strings of one card are pieces
	scratch []byte
	details Details

	// The preference of what details has already, where there is one value.
	n, nickname, title, birthday, phoneticGiven, phoneticFamily preference
	org                                                         preference

	addresses       []listed[Address]
	urls, relations []listed[string]
	services        []listed[Service]
	dates           []listed[Date]
	notes           []string

	// What belongs to all lines of a group.
	labels, countries []grouped
}

// A preference is that of the value which has been chosen so far; 0 is none.
type preference int

// yields reports whether a value of that preference replaces the one chosen.
// The first of equals stays.
func (p preference) yields(pref int) bool { return p == 0 || pref < int(p)-1 }

// set notes the preference of the value that is chosen now.
func (p *preference) set(pref int) { *p = preference(max(pref, 0) + 1) }

// A listed is a value of a list with what there is to know of it until all lines
// are read.
type listed[T any] struct {
	value T
	mark
}

// A mark is what goes with a value: how much it is preferred, and what the
// TYPEs call it. The group may have another label.
type mark struct {
	pref  int
	label string
	group []byte
}

// grouped is the value of a line that tells something about others in its
// group.
type grouped struct {
	group []byte
	value string
}

// Read returns what card says. It never fails: of a damaged card it returns
// what is legible. The Details and their slices are good until the next Read,
// their strings as long as anybody keeps them.
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

// untagged is what no parameters say.
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
	// Little of a card is anything but text, or else it is a photo.
	r.text.Grow(min(len(card)/2, 1<<10))
}

// empty empties s for another use. A string that is left behind in it would keep
// the text of its whole card alive.
func empty[T any](s *[]T) {
	if len(*s) > 0 {
		clear(*s)
		*s = (*s)[:0]
	}
}

// property takes one property in.
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
		// SOUND;X-IRMC-N is how Japanese telephones of the time of vCard 2.1
		// spell the name. Any other is a recording.
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
			// RFC 8605 has for vCard 4.0 what Apple keeps in X-ABADR.
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

// name takes an N in, all of it or nothing: the family of one and the given
// name of another would be nobody's name.
func (r *DetailsReader) name(t *tags, value []byte) {
	// RFC 9554 has names for the ear in N's of their own.
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

// phonetic takes in a whole name as it sounds, in the order of N.
func (r *DetailsReader) phonetic(t *tags, value []byte) {
	family, rest, _ := cutComponent(value)
	given, _, _ := cutComponent(rest)
	r.choose(&r.details.PhoneticFamily, &r.phoneticFamily, t, family)
	r.choose(&r.details.PhoneticGiven, &r.phoneticGiven, t, given)
}

// departments takes an ORG in: what follows the component that is Fields.Org,
// which is the first that is not empty.
func (r *DetailsReader) departments(t *tags, value []byte) {
	if !r.org.yields(t.pref) {
		return
	}
	// A line that names nothing appends nothing, and leaves what was found.
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

// choose takes a value in where there is one.
func (r *DetailsReader) choose(text *string, p *preference, t *tags, value []byte) {
	if p.yields(t.pref) {
		if v := r.trimmed(t, value); v != "" {
			*text = v
			p.set(t.pref)
		}
	}
}

// mark returns what goes with the value of this line.
func (r *DetailsReader) mark(t *tags, label string) mark {
	return mark{t.pref, label, r.group()}
}

// group returns the line's group, which is part of the card if it can be.
func (r *DetailsReader) group() []byte {
	if r.scanner.folded {
		return bytes.Clone(r.scanner.group())
	}
	return r.scanner.group()
}

// date reads the date that a property is.
func (r *DetailsReader) date(t *tags, value []byte) (Date, bool) {
	// Another calendar has other months.
	if c := t.calendar; c != nil && !is(c, "GREGORIAN") {
		return Date{}, false
	}
	return parseDate(r.decoded(t, value), t.omit)
}

// url reads an address of the Web. Apple's old programs write http\://, and
// others have added a backslash each time that they have rewritten the card. No
// URL has one there.
func (r *DetailsReader) url(t *tags, value []byte) string {
	text := bytes.TrimSpace(r.decoded(t, value))
	if scheme, rest, ok := bytes.Cut(text, []byte(":")); ok {
		if bare := bytes.TrimRight(scheme, `\`); len(bare) < len(scheme) {
			text = slices.Concat(bare, []byte(":"), rest)
		}
	}
	return r.add(text)
}

// finish makes Details of what property took in.
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

// preferred puts what is preferred first.
func preferred[T any](l []listed[T]) []listed[T] {
	if len(l) < 2 {
		return l
	}
	slices.SortStableFunc(l, func(a, b listed[T]) int { return cmp.Compare(a.pref, b.pref) })
	return l
}

// once returns all without those that say what an earlier one has said, which are
// those of the same key. They are merged into the earlier one.
func once[T any, K comparable](all []T, key func(T) K, merge func(into *T, from T)) []T {
	if len(all) < 2 {
		return all
	}
	var room [8]K
	keys, kept := room[:0], all[:0]
	var index map[K]int // once there are many
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

// dateKey is equal for two dates of one name. Programs that know of more than one
// property for an anniversary write it in each.
func dateKey(l LabeledDate) LabeledDate {
	l.Label = strings.ToLower(l.Label)
	return l
}

// A groups finds what belongs to a group.
type groups struct {
	all   []grouped
	first map[string]string
}

// newGroups makes an index where there are many, as nobody has, but somebody
// may send: the time must not be their square.
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

// of returns the first value that a group has, "" if it has none. Groups are the
// same in any case.
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
