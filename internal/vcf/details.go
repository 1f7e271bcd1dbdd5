package vcf

import (
	"bytes"
	"cmp"
	"fmt"
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
	meta    meta            // of the line that is being read
	text    strings.Builder // of which the strings of one card are pieces
	scratch []byte
	details Details

	// The preference of what details has already, where there is one value.
	n, nickname, title, birthday, phoneticGiven, phoneticFamily preference
	org                                                         preference

	addresses       list[Address]
	urls, relations list[string]
	services        list[Service]
	dates           list[Date]
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

// A list is of values with what there is to know of them until all lines are
// read.
type list[T any] []listed[T]

type listed[T any] struct {
	value T
	mark
}

// A mark is what goes with a value: how much it is preferred, and what the
// TYPEs call it. The group, in lower case, may have another label.
type mark struct {
	pref         int
	label, group string
}

// grouped is the value of a line that tells something about others in its
// group.
type grouped struct{ group, value string }

// Read returns what card says. It never fails: of a damaged card it returns
// what is legible. The Details and their slices are good until the next Read,
// their strings as long as anybody keeps them.
func (r *DetailsReader) Read(card []byte) *Details {
	r.reset(card)
	s := &r.scanner
	for s.scan() {
		if s.level != 1 || s.tail < 0 {
			continue
		}
		d := detailOf(s.name)
		if d == nil {
			continue
		}
		if params, value, ok := splitParams(s.text()[s.tail:]); ok && (len(value) > 0 || d.kind == detailProfile) {
			r.meta.read(params)
			r.property(d, params, value)
		}
	}
	return r.finish()
}

func (r *DetailsReader) reset(card []byte) {
	if cap(r.scratch)+cap(r.scanner.spare) > roomy || max(
		cap(r.addresses), cap(r.urls), cap(r.relations), cap(r.services), cap(r.dates), cap(r.notes), cap(r.labels), cap(r.countries),
		cap(r.details.Departments), cap(r.details.Categories),
	) > roomy/256 {
		*r = DetailsReader{}
	}
	r.text = strings.Builder{}
	r.n, r.nickname, r.title, r.org, r.birthday, r.phoneticGiven, r.phoneticFamily = 0, 0, 0, 0, 0, 0, 0
	r.addresses, r.urls, r.relations = emptied(r.addresses), emptied(r.urls), emptied(r.relations)
	r.services, r.dates, r.notes = emptied(r.services), emptied(r.dates), emptied(r.notes)
	r.labels, r.countries = emptied(r.labels), emptied(r.countries)
	d := &r.details
	*d = Details{
		Departments: emptied(d.Departments),
		Addresses:   emptied(d.Addresses),
		URLs:        emptied(d.URLs),
		Relations:   emptied(d.Relations),
		Services:    emptied(d.Services),
		Dates:       emptied(d.Dates),
		Categories:  emptied(d.Categories),
	}
	r.scanner.reset(card)
	// Little of a card is anything but text, or else it is a photo.
	r.text.Grow(min(len(card)/2, 512))
}

// emptied returns s for another use. A string that is left behind in it would
// keep the text of its whole card alive.
func emptied[S ~[]T, T any](s S) S {
	clear(s)
	return s[:0]
}

// property takes one property in.
func (r *DetailsReader) property(d *detail, params, value []byte) {
	switch m, out := &r.meta, &r.details; d.kind {
	case detailName:
		r.name(params, value)

	case detailNickname:
		if r.nickname.yields(m.pref) {
			if names := r.values(value); len(names) > 0 {
				out.Nickname = strings.Join(names, ", ")
				r.nickname.set(m.pref)
			}
		}

	case detailTitle:
		r.choose(&out.Title, &r.title, value)

	case detailPhoneticGiven:
		r.choose(&out.PhoneticGiven, &r.phoneticGiven, value)

	case detailPhoneticFamily:
		r.choose(&out.PhoneticFamily, &r.phoneticFamily, value)

	case detailSound:
		// SOUND;X-IRMC-N is how Japanese telephones of the time of vCard 2.1
		// spell the name. Any other is a recording.
		if hasType(params, "X-IRMC-N") {
			r.phonetic(value)
		}

	case detailOrg:
		r.departments(value)

	case detailAddress:
		var a Address
		for _, part := range [...]*string{&a.POBox, &a.Extended, &a.Street, &a.City, &a.Region, &a.PostalCode, &a.Country} {
			var component []byte
			component, value, _ = cutComponent(value)
			*part = r.trimmed(component)
		}
		if a != (Address{}) {
			// RFC 8605 has for vCard 4.0 what Apple keeps in X-ABADR.
			a.CountryCode = r.add(param(params, "CC"))
			r.addresses = append(r.addresses, listed[Address]{a, r.mark(r.typeLabel(params))})
		}

	case detailCountry:
		if len(r.scanner.group) > 0 {
			if code := r.trimmed(value); code != "" {
				r.countries = append(r.countries, grouped{r.group(), code})
			}
		}

	case detailLabel:
		if len(r.scanner.group) > 0 {
			if label := r.ownLabel(value); label != "" {
				r.labels = append(r.labels, grouped{r.group(), label})
			}
		}

	case detailURL:
		if u := r.url(value); u != "" {
			r.urls = append(r.urls, listed[string]{u, r.mark(r.typeLabel(params))})
		}

	case detailRelation:
		if name := r.trimmed(value); name != "" {
			r.relations = append(r.relations, listed[string]{name, r.mark(cmp.Or(r.typeLabel(params), d.word))})
		}

	case detailIMPP, detailProfile, detailAccount:
		if s := r.service(d, params, value); s != (Service{Service: s.Service}) {
			label := r.typeLabel(params)
			if d.kind == detailProfile {
				label = r.placeLabel(params) // the other TYPE is the service
			}
			r.services = append(r.services, listed[Service]{s, r.mark(label)})
		}

	case detailBirthday:
		if r.birthday.yields(m.pref) {
			if date, ok := r.date(params, value); ok {
				out.Birthday = date
				r.birthday.set(m.pref)
			}
		}

	case detailDate:
		if date, ok := r.date(params, value); ok {
			r.dates = append(r.dates, listed[Date]{date, r.mark(cmp.Or(r.typeLabel(params), d.word))})
		}

	case detailNote:
		if note := r.value(value); strings.TrimSpace(note) != "" {
			r.notes = append(r.notes, note)
		}

	case detailCategories:
		out.Categories = append(out.Categories, r.values(value)...)
	}
}

// name takes an N in, all of it or nothing: the family of one and the given
// name of another would be nobody's name.
func (r *DetailsReader) name(params, value []byte) {
	// RFC 9554 has names for the ear in N's of their own.
	if param(params, "PHONETIC") != nil {
		r.phonetic(value)
		return
	}
	if !r.n.yields(r.meta.pref) {
		return
	}
	var parts [5]string
	for i := range parts {
		var component []byte
		component, value, _ = cutComponent(value)
		parts[i] = r.trimmed(component)
	}
	if parts == [5]string{} {
		return
	}
	d := &r.details
	d.Family, d.Given, d.Middle, d.Prefix, d.Suffix = parts[0], parts[1], parts[2], parts[3], parts[4]
	r.n.set(r.meta.pref)
}

// phonetic takes in a whole name as it sounds, in the order of N.
func (r *DetailsReader) phonetic(value []byte) {
	family, rest, _ := cutComponent(value)
	given, _, _ := cutComponent(rest)
	r.choose(&r.details.PhoneticFamily, &r.phoneticFamily, family)
	r.choose(&r.details.PhoneticGiven, &r.phoneticGiven, given)
}

// departments takes an ORG in: what follows the component that is Fields.Org,
// which is the first that is not empty.
func (r *DetailsReader) departments(value []byte) {
	if !r.org.yields(r.meta.pref) {
		return
	}
	// A line that names nothing appends nothing, and leaves what was found.
	found, named := r.details.Departments[:0], false
	for more := true; more; {
		var component []byte
		component, value, more = cutComponent(value)
		name := r.trimmed(component)
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
		r.org.set(r.meta.pref)
	}
}

// choose takes a value in where there is one.
func (r *DetailsReader) choose(text *string, p *preference, value []byte) {
	if p.yields(r.meta.pref) {
		if v := r.trimmed(value); v != "" {
			*text = v
			p.set(r.meta.pref)
		}
	}
}

// mark returns what goes with the value of this line.
func (r *DetailsReader) mark(label string) mark {
	return mark{r.meta.pref, label, r.group()}
}

// group returns the line's group. It is lowered, because groups are the same in
// any case.
func (r *DetailsReader) group() string {
	if len(r.scanner.group) == 0 {
		return ""
	}
	r.scratch = appendLower(r.scratch[:0], r.scanner.group)
	return r.add(r.scratch)
}

// date reads the date that a property is.
func (r *DetailsReader) date(params, value []byte) (Date, bool) {
	// Another calendar has other months.
	if c := param(params, "CALSCALE"); c != nil && !is(c, "GREGORIAN") {
		return Date{}, false
	}
	return parseDate(r.decoded(value), param(params, "X-APPLE-OMIT-YEAR"))
}

// url reads an address of the Web. Apple's old programs write http\://, and
// others have added a backslash each time that they have rewritten the card. No
// URL has one there.
func (r *DetailsReader) url(value []byte) string {
	text := bytes.TrimSpace(r.decoded(value))
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
	d.Services = once(d.Services, sameService, mergeService)
	for _, l := range preferred(r.dates) {
		d.Dates = append(d.Dates, LabeledDate{cmp.Or(labels.of(l.group), l.label), l.value})
	}
	d.Dates = once(d.Dates, sameDate, nil)
	return d
}

// preferred puts what is preferred first.
func preferred[T any](l list[T]) list[T] {
	if len(l) < 2 {
		return l
	}
	slices.SortStableFunc(l, func(a, b listed[T]) int { return cmp.Compare(a.pref, b.pref) })
	return l
}

// once returns all without those that say what an earlier one has said: those
// of the same key, which is not "". They are merged into the earlier one.
func once[T any](all []T, key func(T) string, merge func(into *T, from T)) []T {
	if len(all) < 2 {
		return all
	}
	first := make(map[string]int, len(all))
	kept := all[:0]
	for _, v := range all {
		k := key(v)
		if i, ok := first[k]; ok && k != "" {
			if merge != nil {
				merge(&kept[i], v)
			}
			continue
		}
		first[k] = len(kept)
		kept = append(kept, v)
	}
	clear(all[len(kept):])
	return kept
}

// sameDate is equal for two dates of one name. Programs that know of more than
// one property for an anniversary write it in each.
func sameDate(l LabeledDate) string {
	return fmt.Sprint(strings.ToLower(l.Label), l.Date)
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
			g.first[a.group] = a.value
		}
	}
	return g
}

// of returns the first value that a group has, "" if it has none.
func (g groups) of(group string) string {
	switch {
	case group == "":
		return ""
	case g.first != nil:
		return g.first[group]
	}
	for _, a := range g.all {
		if a.group == group {
			return a.value
		}
	}
	return ""
}
