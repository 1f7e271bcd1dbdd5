// Filters of addressbook-query, evaluated as iCloud does, which differs from RFC 6352.

package icloudtest

import (
	"slices"
	"strings"
)

// A filter chooses cards (RFC 6352, section 10.5). How iCloud evaluates it is known from the
// tests that carddavclient's authors run against a real account. The prop-filters are joined
// by "anyof", whatever the filter's attribute test says. Names are case-sensitive.
// param-filters are ignored.
type filter []propFilter

// A propFilter is a condition on the properties with a name.
type propFilter struct {
	group, name string // an empty group matches every property, also one without a group
	undefined   bool   // is-not-defined
	all         bool   // whether a value must pass all matches, and not only one
	matches     []textMatch
}

// A textMatch is a condition on a value (RFC 6352, section 10.5.4).
type textMatch struct {
	text   string
	how    func(value, text string) bool
	octet  bool // whether it is case-sensitive
	negate bool
}

// newFilter reads the filter of a query. It is nil, and every card passes, if there is no
// filter or if it has no prop-filter. ok is false if the RFC does not allow the filter.
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
		// One value must pass alone. The matches are not distributed over several
		// properties with the name.
		if p.value(l.text()) && !p.undefined {
			return true
		}
		defined = true
	}
	return p.undefined && !defined
}

// value says whether a value passes the matches. Without matches every value does.
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
