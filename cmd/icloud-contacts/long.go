// list -long: each contact in full, for people.

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
)

// long shows contacts in full. It keeps the lines of each contact, as a table does, and the
// groups.
type long struct {
	entries []longEntry
	groups  map[string][]string // names of groups, by the members' UIDs
	names   map[string]string   // names of all contacts, by UID
}

// longEntry is one contact.
type longEntry struct {
	name, uid string
	members   []string // the UIDs of a group's members
	lines     []longLine
}

// longLine is a line with its label. If a value has several lines, only the first one has a
// label.
type longLine struct{ label, text string }

// see keeps the names of groups and of their members. It is called for all contacts, also
// for those that are not shown.
func (l *long) see(c *icloud.Contact) {
	if l.groups == nil {
		l.groups, l.names = make(map[string][]string), make(map[string]string)
	}
	if c.UID != "" {
		l.names[c.UID] = longName(c)
	}
	for _, uid := range c.Members {
		l.groups[uid] = append(l.groups[uid], longName(c))
	}
}

// add adds a contact to show.
func (l *long) add(c *icloud.Contact) {
	l.entries = append(l.entries, longEntry{longName(c), c.UID, c.Members, longLines(c)})
}

func longName(c *icloud.Contact) string { return cmp.Or(c.Name, "(no name)") }

// longLines returns the lines of a contact, the most useful first.
func longLines(c *icloud.Contact) (lines []longLine) {
	d := c.Details()
	add := func(label, text string) {
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				label = ""
			}
			lines = append(lines, longLine{visible(label), visible(line)})
		}
	}
	some := func(label, text string) {
		if text != "" {
			add(label, text)
		}
	}
	some("nickname", d.Nickname)
	some("reads", join(" ", d.PhoneticGiven, d.PhoneticFamily))
	some("job", join(", ", append([]string{d.Title, otherThan(c.Org, c.Name)}, d.Departments...)...))
	for _, v := range c.Emails {
		add(cmp.Or(v.Label, "e-mail"), v.Value)
	}
	for _, v := range c.Phones {
		add(cmp.Or(v.Label, "phone"), v.Value)
	}
	for _, a := range d.Addresses {
		add(cmp.Or(a.Label, "address"), addressLines(a))
	}
	for _, v := range d.URLs {
		add(cmp.Or(v.Label, "page"), v.Value)
	}
	for _, s := range d.Services {
		add(cmp.Or(s.Service, s.Label, "account"), join("  ", s.User, s.URL))
	}
	if d.Birthday != (icloud.Date{}) {
		add("birthday", longDate(d.Birthday))
	}
	for _, v := range d.Dates {
		add(cmp.Or(v.Label, "date"), longDate(v.Date))
	}
	for _, v := range d.Relations {
		add(cmp.Or(v.Label, "related"), v.Value)
	}
	some("categories", join(", ", d.Categories...))
	some("note", strings.TrimSpace(strings.ReplaceAll(d.Note, "\r\n", "\n")))
	return lines
}

// join joins those texts that are not empty.
func join(separator string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), separator)
}

// otherThan returns text, or "" if it is the same as other.
func otherThan(text, other string) string {
	if text == other {
		return ""
	}
	return text
}

// addressLines returns an address as on a letter. The order of city, region and postal code
// differs between countries; this order is understood everywhere.
func addressLines(a icloud.Address) string {
	return join("\n", a.POBox, a.Extended, strings.TrimSpace(strings.ReplaceAll(a.Street, "\r\n", "\n")),
		join(" ", a.PostalCode, a.City), a.Region, cmp.Or(a.Country, strings.ToUpper(a.CountryCode)))
}

// longDate returns what is known of a day: "7 November 1878", "7 November".
func longDate(d icloud.Date) string {
	var parts []string
	if d.Day > 0 {
		parts = append(parts, fmt.Sprint(d.Day))
	}
	if d.Month > 0 {
		parts = append(parts, time.Month(d.Month).String())
	}
	if d.Year > 0 {
		parts = append(parts, fmt.Sprint(d.Year))
	}
	return strings.Join(parts, " ")
}

// write writes the contacts, sorted by name, with an empty line between them.
func (l *long) write(w *bufio.Writer, p *program) {
	slices.SortStableFunc(l.entries, func(a, b longEntry) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), strings.Compare(a.uid, b.uid))
	})
	width := p.width(p.out, unlimited)
	for i, e := range l.entries {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, p.paint(p.out, bold, visible(e.name)))
		lines := e.lines
		for j, uid := range e.members {
			label := ""
			if j == 0 {
				label = "members"
			}
			lines = append(lines, longLine{label, visible(cmp.Or(l.names[uid], "(not in the address book)"))})
		}
		if groups := l.groups[e.uid]; e.uid != "" && len(groups) > 0 {
			lines = append(lines, longLine{"groups", visible(strings.Join(groups, ", "))})
		}
		column := 0
		for _, line := range lines {
			column = max(column, uniseg.StringWidth(line.label))
		}
		column = min(column, 16, max(width/3, 4))
		for _, line := range lines {
			l.line(w, line, column, width)
		}
	}
}

// line writes one line. If it is too long, it is broken between words.
func (l *long) line(w *bufio.Writer, line longLine, column, width int) {
	head := "  " + fit(line.label, column) + "  "
	indent := strings.Repeat(" ", uniseg.StringWidth(head))
	text := line.text
	if uniseg.StringWidth(head)+uniseg.StringWidth(text) > width {
		text = strings.TrimSuffix(strings.TrimPrefix(wrap(text, indent, width), indent), "\n")
	}
	fmt.Fprintln(w, strings.TrimRight(head+text, " "))
}
