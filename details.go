// Details has what a card says about a person and Contact does not have: parts of the
// name, addresses, dates, notes, web pages, relations and services.

package icloud

import (
	"sync"

	"github.com/go-icloud/icloud/internal/vcf"
)

// Details has what a card says about a person beyond the fields of [Contact]. A field is
// zero if the card does not have it; nothing is guessed.
//
// Texts are as people read them: in UTF-8, without escapes and, except for Note, without
// white space around them. If the card has several values for a field that holds one,
// the field has the preferred value (TYPE=pref, or the lowest PREF), else the first.
// Lists begin with the preferred values; the rest is in the card's order.
type Details struct {
	// Given, Middle, Family, Prefix and Suffix are the parts of N. If a part
	// has several names, the card's commas are between them: "Philip,Paul".
	Given, Middle, Family, Prefix, Suffix string

	// Nickname is NICKNAME. Several nicknames are separated by ", ".
	Nickname string

	// PhoneticGiven and PhoneticFamily say how the name is pronounced:
	// X-PHONETIC-FIRST-NAME and X-PHONETIC-LAST-NAME.
	PhoneticGiven, PhoneticFamily string

	// Title is the person's position in Contact.Org. Departments are the
	// person's department there and those that contain it, the largest first.
	Title       string
	Departments []string

	// Addresses are postal addresses: ADR.
	Addresses []Address

	// URLs are web pages. Apple's programs label the first one "HomePage".
	URLs []Labeled

	// Relations are other people, for example with the label "Manager":
	// X-ABRELATEDNAMES and RELATED. The value of RELATED may be the urn:uuid:
	// of another card instead of a name.
	Relations []Labeled

	// Services are accounts at messaging services and social networks: IMPP,
	// X-SOCIALPROFILE, and properties that are named after a service, such as
	// X-AIM. An account that is in the card several times is listed once.
	Services []Service

	// Birthday is BDAY.
	Birthday Date

	// Dates are other days to remember: X-ABDATE, and ANNIVERSARY with the
	// label "Anniversary".
	Dates []LabeledDate

	// Note is NOTE. Several notes have an empty line between them.
	Note string

	// Categories are labels that some programs give to cards: CATEGORIES. A
	// group in iCloud is not a category but a card, which has the UIDs of
	// other cards in Contact.Members.
	Categories []string
}

// Date is a day of the Gregorian calendar, as written in the card, without a time zone.
// A part that is not known is 0. Apple's programs write the year 1604 for a birthday
// without a year, and so Year is 0 for 1604, with or without X-APPLE-OMIT-YEAR. A day
// that does not exist and a text that is not a date are the zero Date.
type Date struct{ Year, Month, Day int }

// LabeledDate is a day and its label, which is as in [Labeled].
type LabeledDate struct {
	Label string
	Date  Date
}

// Address is a postal address. Each field may be "". Street may have several lines,
// separated by "\n". Country is a name in any language. CountryCode is a code of ISO
// 3166-1 (X-ABADR), in upper or lower case as in the card; Apple's programs write it in
// lower case. Label is as in [Labeled].
type Address struct {
	Label, Street, City, Region, PostalCode, Country, CountryCode, POBox, Extended string
}

// Service is an account at a service. The field Service is the name of the service as
// the card spells it, for example "Jabber" or "twitter". User is the name of the account,
// URL its address, and Label is as in [Labeled]. Each field may be "".
type Service struct{ Label, Service, User, URL string }

// Details returns what VCard says about a person beyond the fields of c. Each call parses
// the card. Details never fails: it returns what it can read of a
// damaged card. It understands vCard 2.1, 3.0 and 4.0, and Apple's extensions.
func (c *Contact) Details() Details {
	r := detailsReaders.Get().(*vcf.DetailsReader)
	defer detailsReaders.Put(r)
	d := r.Read(c.VCard)
	return Details{
		Given: d.Given, Middle: d.Middle, Family: d.Family, Prefix: d.Prefix, Suffix: d.Suffix,
		Nickname:      d.Nickname,
		PhoneticGiven: d.PhoneticGiven, PhoneticFamily: d.PhoneticFamily,
		Title:       d.Title,
		Departments: converted(d.Departments, func(s string) string { return s }),
		Addresses:   converted(d.Addresses, func(a vcf.Address) Address { return Address(a) }),
		URLs:        converted(d.URLs, func(l vcf.Labeled) Labeled { return Labeled(l) }),
		Relations:   converted(d.Relations, func(l vcf.Labeled) Labeled { return Labeled(l) }),
		Services:    converted(d.Services, func(s vcf.Service) Service { return Service(s) }),
		Birthday:    Date(d.Birthday),
		Dates:       converted(d.Dates, func(l vcf.LabeledDate) LabeledDate { return LabeledDate{l.Label, Date(l.Date)} }),
		Note:        d.Note,
		Categories:  converted(d.Categories, func(s string) string { return s }),
	}
}

// detailsReaders are kept, because a program that reads the details of one card usually
// reads those of all cards.
var detailsReaders = sync.Pool{New: func() any { return new(vcf.DetailsReader) }}

// converted returns a copy with the types of this package, and nil for an empty slice.
func converted[From, To any](all []From, convert func(From) To) []To {
	if len(all) == 0 {
		return nil
	}
	copied := make([]To, len(all))
	for i, v := range all {
		copied[i] = convert(v)
	}
	return copied
}
