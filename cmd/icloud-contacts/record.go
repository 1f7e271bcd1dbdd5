// A contact in JSON, as list -json and export -format json write it.

package main

import "github.com/go-icloud/icloud"

// record is a contact in JSON. Other programs depend on its names, which must not change;
// docs/contact.schema.json describes them. Fields that a contact does not have are omitted.
type record struct {
	ID     string        `json:"id"`
	UID    string        `json:"uid,omitempty"`
	Name   string        `json:"name"`
	Org    string        `json:"org,omitempty"`
	Emails []recordValue `json:"emails,omitempty"`
	Phones []recordValue `json:"phones,omitempty"`
	recordDetails
	Group   bool         `json:"group,omitempty"`
	Members []string     `json:"members,omitempty"` // UIDs
	Photo   *recordPhoto `json:"photo,omitempty"`
}

// recordDetails are the icloud.Details.
type recordDetails struct {
	Prefix         string            `json:"prefix,omitempty"`
	Given          string            `json:"given,omitempty"`
	Middle         string            `json:"middle,omitempty"`
	Family         string            `json:"family,omitempty"`
	Suffix         string            `json:"suffix,omitempty"`
	Nickname       string            `json:"nickname,omitempty"`
	PhoneticGiven  string            `json:"phoneticGiven,omitempty"`
	PhoneticFamily string            `json:"phoneticFamily,omitempty"`
	Title          string            `json:"title,omitempty"`
	Departments    []string          `json:"departments,omitempty"`
	Addresses      []recordAddress   `json:"addresses,omitempty"`
	URLs           []recordValue     `json:"urls,omitempty"`
	Relations      []recordValue     `json:"relations,omitempty"`
	Services       []recordService   `json:"services,omitempty"`
	Birthday       recordDate        `json:"birthday,omitzero"`
	Dates          []recordNamedDate `json:"dates,omitempty"`
	Note           string            `json:"note,omitempty"`
	Categories     []string          `json:"categories,omitempty"`
}

// recordValue is an icloud.Labeled.
type recordValue struct {
	Label string `json:"label,omitempty"`
	Value string `json:"value"`
}

// recordAddress is a postal address.
type recordAddress struct {
	Label       string `json:"label,omitempty"`
	Street      string `json:"street,omitempty"`
	City        string `json:"city,omitempty"`
	Region      string `json:"region,omitempty"`
	PostalCode  string `json:"postalCode,omitempty"`
	Country     string `json:"country,omitempty"`
	CountryCode string `json:"countryCode,omitempty"`
	POBox       string `json:"poBox,omitempty"`
	Extended    string `json:"extended,omitempty"`
}

// recordService is an account elsewhere.
type recordService struct {
	Label   string `json:"label,omitempty"`
	Service string `json:"service,omitempty"`
	User    string `json:"user,omitempty"`
	URL     string `json:"url,omitempty"`
}

// recordDate is a day. Parts that are not known are omitted.
type recordDate struct {
	Year  int `json:"year,omitempty"`
	Month int `json:"month,omitempty"`
	Day   int `json:"day,omitempty"`
}

// recordNamedDate is an icloud.LabeledDate.
type recordNamedDate struct {
	Label string     `json:"label,omitempty"`
	Date  recordDate `json:"date"`
}

// recordPhoto is a photo. Only export -photos has it.
type recordPhoto struct {
	Type string `json:"type"`
	Data []byte `json:"data"` // base64
}

// newRecord copies the fields of a Contact, with its Details or without. It omits the card
// itself, which export -format vcf has.
func newRecord(c *icloud.Contact, details bool) *record {
	r := &record{
		ID: c.ID, UID: c.UID, Name: c.Name, Org: c.Org, Emails: recordValues(c.Emails), Phones: recordValues(c.Phones),
		Group: c.Group, Members: c.Members,
	}
	if details {
		r.recordDetails = newRecordDetails(c.Details())
	}
	return r
}

func newRecordDetails(d icloud.Details) recordDetails {
	r := recordDetails{
		Prefix: d.Prefix, Given: d.Given, Middle: d.Middle, Family: d.Family, Suffix: d.Suffix,
		Nickname: d.Nickname, PhoneticGiven: d.PhoneticGiven, PhoneticFamily: d.PhoneticFamily,
		Title: d.Title, Departments: d.Departments,
		URLs: recordValues(d.URLs), Relations: recordValues(d.Relations),
		Birthday: recordDate(d.Birthday), Note: d.Note, Categories: d.Categories,
	}
	for _, a := range d.Addresses {
		r.Addresses = append(r.Addresses, recordAddress(a))
	}
	for _, s := range d.Services {
		r.Services = append(r.Services, recordService(s))
	}
	for _, l := range d.Dates {
		r.Dates = append(r.Dates, recordNamedDate{l.Label, recordDate(l.Date)})
	}
	return r
}

func recordValues(all []icloud.Labeled) (values []recordValue) {
	for _, l := range all {
		values = append(values, recordValue(l))
	}
	return values
}
