// export -format csv: a line for each person, with the columns of Google Contacts and
// Outlook.

package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"

	"github.com/go-icloud/icloud"
)

// csvEncoder writes CSV (RFC 4180). It keeps the persons until the end, because the number
// of columns depends on all of them, and the cards of their groups may come last.
type csvEncoder struct {
	w       *csv.Writer
	persons []*record
	groups  map[string][]string // names of groups, by the members' UIDs
}

// add keeps a person, or the members of a group.
func (e *csvEncoder) add(c *icloud.Contact, _ *recordPhoto) error {
	if !c.Group {
		e.persons = append(e.persons, newRecord(c, true))
		return nil
	}
	if e.groups == nil {
		e.groups = make(map[string][]string)
	}
	for _, uid := range c.Members {
		e.groups[uid] = append(e.groups[uid], c.Name)
	}
	return nil
}

// close writes everything. csv.Writer keeps its errors until the end.
func (e *csvEncoder) close() error {
	columns := e.columns()
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	err := e.w.Write(line)
	for _, r := range e.persons {
		for i, c := range columns {
			line[i] = c.value(r)
		}
		err = errors.Join(err, e.w.Write(line))
	}
	e.w.Flush()
	return errors.Join(err, e.w.Error())
}

// csvColumn is a column, with the function that returns a person's value.
type csvColumn struct {
	name  string
	value func(*record) string
}

// columns returns the columns: first those of Google Contacts, some of which Outlook has
// too; then the other columns of Outlook; and last two that identify the card. A program
// that imports the file takes the columns whose names it knows. A value for which one of
// the two programs has no column is in a column of the other.
func (e *csvEncoder) columns() []csvColumn {
	columns := []csvColumn{
		{"First Name", firstName},
		{"Middle Name", func(r *record) string { return r.Middle }},
		{"Last Name", func(r *record) string { return r.Family }},
		{"Phonetic First Name", func(r *record) string { return r.PhoneticGiven }},
		{"Phonetic Last Name", func(r *record) string { return r.PhoneticFamily }},
		{"Name Prefix", func(r *record) string { return r.Prefix }},
		{"Name Suffix", func(r *record) string { return r.Suffix }},
		{"Nickname", func(r *record) string { return r.Nickname }},
		{"File As", func(r *record) string { return r.Name }},
		{"Organization Name", func(r *record) string { return r.Org }},
		{"Organization Title", func(r *record) string { return r.Title }},
		{"Organization Department", func(r *record) string { return strings.Join(r.Departments, ", ") }},
		{"Birthday", func(r *record) string { return csvDate(r.Birthday) }},
		{"Notes", func(r *record) string { return r.Note }},
		{"Labels", func(r *record) string { return strings.Join(e.labels(r), " ::: ") }},
	}
	numbered := func(kind string, count func(*record) int, parts ...csvPart) {
		most := 0
		for _, r := range e.persons {
			most = max(most, count(r))
		}
		for i := range most {
			for _, part := range parts {
				columns = append(columns, csvColumn{fmt.Sprintf("%s %d - %s", kind, i+1, part.name), func(r *record) string {
					if i >= count(r) {
						return ""
					}
					return part.value(r, i)
				}})
			}
		}
	}
	values := func(kind string, of func(*record) []recordValue) {
		numbered(kind, func(r *record) int { return len(of(r)) },
			csvPart{"Label", func(r *record, i int) string { return csvLabel(of(r)[i].Label) }},
			csvPart{"Value", func(r *record, i int) string { return of(r)[i].Value }})
	}
	values("E-mail", func(r *record) []recordValue { return r.Emails })
	values("Phone", func(r *record) []recordValue { return r.Phones })
	numbered("Address", func(r *record) int { return len(r.Addresses) },
		csvPart{"Label", func(r *record, i int) string { return csvLabel(r.Addresses[i].Label) }},
		csvPart{"Street", func(r *record, i int) string { return r.Addresses[i].Street }},
		csvPart{"Extended Address", func(r *record, i int) string { return r.Addresses[i].Extended }},
		csvPart{"City", func(r *record, i int) string { return r.Addresses[i].City }},
		csvPart{"Region", func(r *record, i int) string { return r.Addresses[i].Region }},
		csvPart{"Postal Code", func(r *record, i int) string { return r.Addresses[i].PostalCode }},
		csvPart{"Country", func(r *record, i int) string { return csvCountry(r.Addresses[i]) }},
		csvPart{"PO Box", func(r *record, i int) string { return r.Addresses[i].POBox }})
	values("Website", func(r *record) []recordValue { return r.URLs })
	numbered("Event", func(r *record) int { return len(r.Dates) },
		csvPart{"Label", func(r *record, i int) string { return csvLabel(r.Dates[i].Label) }},
		csvPart{"Value", func(r *record, i int) string { return csvDate(r.Dates[i].Date) }})
	values("Relation", func(r *record) []recordValue { return r.Relations })
	// Google no longer has columns for accounts.
	numbered("Custom Field", func(r *record) int { return len(r.Services) },
		csvPart{"Label", func(r *record, i int) string { return cmp.Or(r.Services[i].Service, r.Services[i].Label) }},
		csvPart{"Value", func(r *record, i int) string { return cmp.Or(r.Services[i].User, r.Services[i].URL) }})
	columns = append(columns, outlookColumns...)
	return append(columns,
		csvColumn{"Categories", func(r *record) string { return strings.Join(e.labels(r), ";") }},
		csvColumn{"UID", func(r *record) string { return r.UID }},
		csvColumn{"ID", func(r *record) string { return r.ID }})
}

// csvPart is one of the columns of a numbered value.
type csvPart struct {
	name  string
	value func(r *record, i int) string
}

// outlookColumns are the columns for which Outlook has other names than Google.
var outlookColumns = func() []csvColumn {
	columns := []csvColumn{
		{"Title", func(r *record) string { return r.Prefix }},
		{"Suffix", func(r *record) string { return r.Suffix }},
		{"Company", func(r *record) string { return r.Org }},
		{"Department", func(r *record) string { return strings.Join(r.Departments, ", ") }},
		{"Job Title", func(r *record) string { return r.Title }},
	}
	for i, name := range []string{"E-mail Address", "E-mail 2 Address", "E-mail 3 Address"} {
		columns = append(columns, csvColumn{name, func(r *record) string { return nth(r.Emails, i) }})
	}
	// Outlook has a column for each kind of number, and for some a second one.
	for _, c := range []struct {
		name, label string
		i           int
	}{
		{"Mobile Phone", "mobile", 0},
		{"Home Phone", "home", 0},
		{"Home Phone 2", "home", 1},
		{"Business Phone", "work", 0},
		{"Business Phone 2", "work", 1},
		{"Company Main Phone", "main", 0},
		{"Home Fax", "home fax", 0},
		{"Business Fax", "work fax", 0},
		{"Pager", "pager", 0},
		{"Other Phone", "other", 0},
	} {
		columns = append(columns, csvColumn{c.name, func(r *record) string {
			var kind []recordValue
			for _, v := range r.Phones {
				if outlookPhone(v.Label) == c.label {
					kind = append(kind, v)
				}
			}
			return nth(kind, c.i)
		}})
	}
	for _, place := range []struct{ name, label string }{{"Home", "home"}, {"Business", "work"}, {"Other", ""}} {
		part := func(name string, value func(recordAddress) string) {
			columns = append(columns, csvColumn{place.name + " " + name, func(r *record) string {
				for _, a := range r.Addresses {
					label := strings.ToLower(a.Label)
					if label == place.label || place.label == "" && label != "home" && label != "work" {
						return value(a)
					}
				}
				return ""
			}})
		}
		part("Street", func(a recordAddress) string { return join("\n", a.Extended, a.Street) })
		part("City", func(a recordAddress) string { return a.City })
		part("State", func(a recordAddress) string { return a.Region })
		part("Postal Code", func(a recordAddress) string { return a.PostalCode })
		part("Country/Region", csvCountry)
		part("Address PO Box", func(a recordAddress) string { return a.POBox })
	}
	related := func(name, label string) csvColumn {
		return csvColumn{name, func(r *record) string {
			for _, v := range r.Relations {
				if strings.EqualFold(v.Label, label) {
					return v.Value
				}
			}
			return ""
		}}
	}
	return append(columns,
		csvColumn{"Web Page", func(r *record) string { return nth(r.URLs, 0) }},
		csvColumn{"Anniversary", func(r *record) string {
			for _, v := range r.Dates {
				if strings.EqualFold(v.Label, "Anniversary") {
					return csvDate(v.Date)
				}
			}
			return ""
		}},
		related("Spouse", "Spouse"), related("Manager's Name", "Manager"), related("Assistant's Name", "Assistant"))
}()

// outlookPhone returns which of Outlook's kinds of numbers a label means.
func outlookPhone(label string) string {
	switch label = strings.ToLower(label); label {
	case "cell", "iphone", "mobile", "applewatch":
		return "mobile"
	case "home", "work", "main", "home fax", "work fax", "pager":
		return label
	case "fax":
		return "work fax"
	}
	return "other"
}

// nth returns the value with index i, or "" if there is none.
func nth(values []recordValue, i int) string {
	if i >= len(values) {
		return ""
	}
	return values[i].Value
}

// firstName returns the given name. If the card has no parts of a name, it returns the whole
// name, unless that is the name of the organization, which has its own column.
func firstName(r *record) string {
	if r.Given == "" && r.Family == "" && r.Middle == "" && r.Name != r.Org {
		return r.Name
	}
	return r.Given
}

// labels returns a person's groups and categories.
func (e *csvEncoder) labels(r *record) []string {
	var labels []string
	if r.UID != "" {
		labels = append(labels, e.groups[r.UID]...)
	}
	return append(labels, r.Categories...)
}

// csvLabel returns a label in Google's spelling, if Google has it.
func csvLabel(label string) string {
	switch label {
	case "home", "work", "other", "main", "pager":
		return strings.ToUpper(label[:1]) + label[1:]
	case "cell", "iphone":
		return "Mobile"
	case "home fax":
		return "Home Fax"
	case "work fax":
		return "Work Fax"
	case "HomePage":
		return "Home Page"
	}
	return label
}

// csvCountry returns the country's name, or else its code.
func csvCountry(a recordAddress) string {
	return cmp.Or(a.Country, strings.ToUpper(a.CountryCode))
}

// csvDate returns a day as both programs write it. Without a year it is in Google's form.
// Without a month or a day it is "", because neither program accepts that.
func csvDate(d recordDate) string {
	switch {
	case d.Month == 0 || d.Day == 0:
		return ""
	case d.Year == 0:
		return fmt.Sprintf("--%02d-%02d", d.Month, d.Day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}
