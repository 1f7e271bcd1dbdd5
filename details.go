// What else a card says of a person: names, addresses, dates, notes, web pages,
// relations and services.

package icloud

import (
	"sync"

	"github.com/go-icloud/icloud/internal/vcf"
)

// Details is what a card says of a person beside the fields of [Contact]: all
// that it says, and nothing that it does not. What is absent is zero.
//
// Texts are as people read them: without escapes, without space around them but
// for Note's, and always in UTF-8.
// Where a card has several values and there is room for one, it is the preferred
// one (TYPE=pref, or the least PREF), else the first. Lists begin with what is
// preferred, and else have the card's order.
type Details struct {
	// The parts of N. Several names of one kind keep the commas between them
	// that they have in the card: "Philip,Paul".
	Given, Middle, Family, Prefix, Suffix string

	// Nickname is all of NICKNAME; several are separated by ", ".
	Nickname string

	// PhoneticGiven and PhoneticFamily say how the name sounds:
	// X-PHONETIC-FIRST-NAME and X-PHONETIC-LAST-NAME.
	PhoneticGiven, PhoneticFamily string

	// Title is the position in Contact.Org, and Departments are its
	// departments, the largest first.
	Title       string
	Departments []string

	Addresses []Address

	// URLs are web pages. Apple calls the first one "HomePage".
	URLs []Labeled

	// Relations are other people, labeled by what they are to this one:
	// X-ABRELATEDNAMES, and RELATED, whose value may be the urn:uuid: of
	// another card instead of a name.
	Relations []Labeled

	// Services are accounts elsewhere, for messages or in social networks:
	// IMPP, X-SOCIALPROFILE, and properties named after a service, such as
	// X-AIM. An account that the card has more than once is listed once.
	Services []Service

	Birthday Date

	// Dates are other days to remember: X-ABDATE, and ANNIVERSARY with the
	// label "Anniversary".
	Dates []LabeledDate

	// Note is NOTE; several have an empty line between them.
	Note string

	// Categories are labels that some programs give to cards. iCloud's groups
	// are cards of their own, whose Contact.Members name this card's UID.
	Categories []string
}

// Date is a day of the Gregorian calendar, without a time zone: that of the
// place where the card was written. A part that is not known is 0. Year is 0
// too where Apple's programs write 1604, their sign for a birthday without a
// year, with or without its parameter X-APPLE-OMIT-YEAR. A day that the calendar
// does not have, or a text from which no day follows, is the zero Date.
type Date struct{ Year, Month, Day int }

// LabeledDate is a day, and what it is called.
type LabeledDate struct {
	Label string
	Date  Date
}

// Address is a postal address. Street may have several lines, separated by "\n".
// Country is a name in any language; CountryCode is the country's code of ISO
// 3166-1 in the letters of the card, which in Apple's are small ones (X-ABADR).
type Address struct {
	Label, Street, City, Region, PostalCode, Country, CountryCode, POBox, Extended string
}

// Service is an account. Service names where it is, as the card spells that:
// "Jabber", "twitter"; User is a name there, and URL the address, if the card
// has one. Each may be "".
type Service struct{ Label, Service, User, URL string }

// Details returns what VCard says of a person beside the fields of c. It reads
// the card anew each time; a listing does not pay for it. It never fails: of a
// damaged card it returns what is legible. It understands vCard 2.1, 3.0 and
// 4.0, and what Apple adds to them.
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

// detailsReaders are kept because a program that reads the details of one card
// most often reads those of all.
var detailsReaders = sync.Pool{New: func() any { return new(vcf.DetailsReader) }}

// converted returns a copy in the types of this package, and nil of nothing.
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
