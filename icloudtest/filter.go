// Filters of addressbook-query, evaluated as iCloud does, which is not as RFC
// 6352 has it.

package icloudtest

import (
	"slices"
	"strings"
)

// A filter is what a query asks of a card (RFC 6352, section 10.5). What iCloud
// makes of it is known from the tests that carddavclient's authors run against a
// real account: it has the prop-filters, joined by "anyof" whatever the filter's
// attribute test says; names must match letter by letter; param-filters are passed
// over. A limit and a choice of properties are passed over too, elsewhere.
type filter []propFilter

// A propFilter asks for a property of a name, and something of its value.
type propFilter struct {
	group, name string // the group is empty for any, and for none
	undefined   bool   // that there is no such property
	all         bool   // a value must pass all matches; else one of them
	matches     []textMatch
}

// A textMatch asks something of a value (RFC 6352, section 10.5.4).
type textMatch struct {
	text   string
	how    func(value, text string) bool
	octet  bool // letters in upper and lower case differ
	negate bool
}

// newFilter reads the filter of a query. None, or one without a prop-filter, lets
// every card pass, and is nil. False is a filter that the RFC does not know.
func newFilter(query *node) (f filter, ok bool) {
	root := query.kid(carddav("filter"))
	if root == nil {
		return nil, true
	}
	for _, kid := range root.kids {
		if kid.name != carddav("prop-filter") {
			continue
		}
		p := propFilter{name: kid.attrs["name"], all: kid.attrs["test"] == "allof"}
		if p.name == "" {
			return nil, false
		}
		if group, name, ok := strings.Cut(p.name, "."); ok {
			p.group, p.name = group, name
		}
		for _, sub := range kid.kids {
			switch sub.name {
			case carddav("is-not-defined"):
				p.undefined = true
			case carddav("text-match"):
				m := textMatch{text: sub.text, octet: sub.attrs["collation"] == "i;octet", negate: sub.attrs["negate-condition"] == "yes"}
				switch sub.attrs["match-type"] {
				case "", "contains":
					m.how = strings.Contains
				case "equals":
					m.how = func(value, text string) bool { return value == text }
				case "starts-with":
					m.how = strings.HasPrefix
				case "ends-with":
					m.how = strings.HasSuffix
				default:
					return nil, false
				}
				p.matches = append(p.matches, m)
			}
		}
		f = append(f, p)
	}
	return f, true
}

// passes says whether a card passes the filter.
func (f filter) passes(vcard string) bool {
	if f == nil {
		return true
	}
	properties := lines(vcard)
	return slices.ContainsFunc(f, func(p propFilter) bool { return p.passes(properties) })
}

func (p propFilter) passes(properties []line) bool {
	defined := false
	for _, l := range properties {
		if l.name != p.name || p.group != "" && l.group != p.group {
			continue
		}
		// One value must pass by itself; what is asked of it is not spread over
		// several properties of the name.
		if p.value(l.text()) && !p.undefined {
			return true
		}
		defined = true
	}
	return p.undefined && !defined
}

// value says whether a value passes the matches. Without any, all do.
func (p propFilter) value(value string) bool {
	if len(p.matches) == 0 {
		return true
	}
	if p.all {
		return !slices.ContainsFunc(p.matches, func(m textMatch) bool { return !m.passes(value) })
	}
	return slices.ContainsFunc(p.matches, func(m textMatch) bool { return m.passes(value) })
}

func (m textMatch) passes(value string) bool {
	text := m.text
	if !m.octet {
		value, text = strings.ToLower(value), strings.ToLower(text)
	}
	return m.how(value, text) != m.negate
}
