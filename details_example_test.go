package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud"
)

// lise is a card as Apple's programs write them.
const lise = "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Apple Inc.//iOS 17.5//EN\r\n" +
	"N:Meitner;Lise;;Dr.;\r\nFN:Dr. Lise Meitner\r\nNICKNAME:Liesl\r\nORG:KWI für Chemie;Radiophysik\r\nTITLE:Professorin\r\n" +
	"EMAIL;type=INTERNET;type=WORK;type=pref:lise@kwi.example\r\nTEL;type=CELL;type=VOICE;type=pref:+49 30 5550100\r\n" +
	`item1.ADR;type=HOME;type=pref:;;Thielallee 63\nHinterhaus\; links;Berlin;;14195;Deutschland` + "\r\nitem1.X-ABADR:de\r\n" +
	"item2.X-ABLabel:Exil\r\nitem2.ADR:;;Drottninggatan 1;Stockholm;;111 51;Sverige\r\nitem2.X-ABADR:se\r\n" +
	`item3.URL;type=pref:https\://example.org/~lise` + "\r\nitem3.X-ABLabel:_$!<HomePage>!$_\r\n" +
	"item4.X-ABRELATEDNAMES;type=pref:Otto Frisch\r\nitem4.X-ABLabel:Neffe\r\n" +
	"X-JABBER;type=HOME;type=pref:lise@jabber.example\r\nIMPP;X-SERVICE-TYPE=Jabber;type=HOME;type=pref:xmpp:lise@jabber.example\r\n" +
	"X-SOCIALPROFILE;type=twitter;x-user=lise:https://twitter.com/lise\r\n" +
	"BDAY;X-APPLE-OMIT-YEAR=1604:1604-11-07\r\nitem5.X-ABDATE;type=pref:1906-02-01\r\nitem5.X-ABLabel:Promotion\r\n" +
	`NOTE:Mag Musik\; keine Bomben.\nSchreibt\, wenn man schreibt.` + "\r\nCATEGORIES:Physik,Berlin\\, Dahlem\r\n" +
	"UID:C9C1A3F7-61D5-4E0C-9D2C-5B0D0C1B7A11\r\nEND:VCARD\r\n"

// Details has what a CRM needs: labels are joined to their values, escapes are decoded,
// structured values are split, and Apple's extensions are understood.
func ExampleContact_Details() {
	server := exampleServer()
	defer server.Close()
	server.Put("lise.vcf", lise)
	client := exampleClient(server)

	for contact, err := range client.Contacts(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if contact.Group || contact.ID != "lise.vcf" {
			continue
		}
		d := contact.Details()
		fmt.Printf("name:     %q %q %q (%s)\n", d.Prefix, d.Given, d.Family, d.Nickname)
		fmt.Printf("work:     %s, %s, %q\n", d.Title, contact.Org, d.Departments)
		for _, a := range d.Addresses {
			fmt.Printf("address:  %s: %q, %s %s, %s (%s)\n", a.Label, a.Street, a.PostalCode, a.City, a.Country, a.CountryCode)
		}
		fmt.Printf("birthday: year %d, month %d, day %d\n", d.Birthday.Year, d.Birthday.Month, d.Birthday.Day)
		for _, l := range d.Dates {
			fmt.Printf("date:     %s: %d-%02d-%02d\n", l.Label, l.Date.Year, l.Date.Month, l.Date.Day)
		}
		for _, u := range d.URLs {
			fmt.Printf("page:     %s: %s\n", u.Label, u.Value)
		}
		for _, r := range d.Relations {
			fmt.Printf("relation: %s: %s\n", r.Label, r.Value)
		}
		for _, s := range d.Services {
			fmt.Printf("account:  %s at %s, %s\n", s.User, s.Service, s.URL)
		}
		fmt.Printf("tags:     %q\n", d.Categories)
		fmt.Printf("note:     %q\n", d.Note)
	}
	// Output:
	// name:     "Dr." "Lise" "Meitner" (Liesl)
	// work:     Professorin, KWI für Chemie, ["Radiophysik"]
	// address:  home: "Thielallee 63\nHinterhaus; links", 14195 Berlin, Deutschland (de)
	// address:  Exil: "Drottninggatan 1", 111 51 Stockholm, Sverige (se)
	// birthday: year 0, month 11, day 7
	// date:     Promotion: 1906-02-01
	// page:     HomePage: https://example.org/~lise
	// relation: Neffe: Otto Frisch
	// account:  lise@jabber.example at Jabber, xmpp:lise@jabber.example
	// account:  lise at twitter, https://twitter.com/lise
	// tags:     ["Physik" "Berlin, Dahlem"]
	// note:     "Mag Musik; keine Bomben.\nSchreibt, wenn man schreibt."
}

// addressValue returns an address as the value of an ADR in go-vcard, with semicolons
// between its parts (RFC 6350, section 6.3.1).
func addressValue(a icloud.Address) string {
	parts := []string{a.POBox, a.Extended, a.Street, a.City, a.Region, a.PostalCode, a.Country}
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, ";", `\;`)
	}
	return strings.Join(parts, ";")
}

// changeAddress returns the card with one of its addresses changed.
func changeAddress(contact *icloud.Contact, from, to icloud.Address) ([]byte, error) {
	card, err := contact.Card()
	if err != nil {
		return nil, err
	}
	fields := card[vcard.FieldAddress]
	for _, field := range fields {
		if field.Value == addressValue(from) {
			field.Value = addressValue(to)
			return contact.Edit(vcard.Card{vcard.FieldAddress: fields})
		}
	}
	return nil, errors.New("the card has no such address")
}

// Edit changes one address in its place. Its label, the other addresses and every other
// byte stay.
func ExampleContact_Edit_address() {
	contact := &icloud.Contact{VCard: []byte(lise)}
	from := contact.Details().Addresses[0]
	to := from
	to.Street, to.PostalCode = "Habelschwerdter Allee 45; Seminar", "14196"
	edited, err := changeAddress(contact, from, to)
	if err != nil {
		log.Fatal(err)
	}
	printChanges(lise, edited)
	// Output:
	// - item1.ADR;type=HOME;type=pref:;;Thielallee 63\nHinterhaus\; links;Berlin;;14195;Deutschland
	// + item1.ADR;TYPE=HOME;TYPE=pref:;;Habelschwerdter Allee 45\; Seminar;Berlin;;14196;Deutschland
}

// birthdayField returns a BDAY as Apple's programs write it, with a year or
// without one.
func birthdayField(d icloud.Date) *vcard.Field {
	if d.Year == 0 {
		return &vcard.Field{
			Value:  fmt.Sprintf("1604-%02d-%02d", d.Month, d.Day),
			Params: vcard.Params{"X-APPLE-OMIT-YEAR": {"1604"}},
		}
	}
	return &vcard.Field{
		Value:  fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day),
		Params: vcard.Params{"VALUE": {"date"}},
	}
}

func ExampleContact_Edit_birthday() {
	contact := &icloud.Contact{VCard: []byte(lise)}
	birthday := contact.Details().Birthday
	birthday.Year = 1878
	edited, err := contact.Edit(vcard.Card{vcard.FieldBirthday: {birthdayField(birthday)}})
	if err != nil {
		log.Fatal(err)
	}
	printChanges(lise, edited)
	// Output:
	// - BDAY;X-APPLE-OMIT-YEAR=1604:1604-11-07
	// + BDAY;VALUE=date:1878-11-07
}

// printChanges prints the lines of a card that differ, unfolded.
func printChanges(before string, after []byte) {
	unfold := func(card string) []string { return strings.Split(strings.ReplaceAll(card, "\r\n ", ""), "\r\n") }
	was, is := unfold(before), unfold(string(after))
	for i := range max(len(was), len(is)) {
		switch {
		case i >= len(is):
			fmt.Println("-", was[i])
		case i >= len(was):
			fmt.Println("+", is[i])
		case was[i] != is[i]:
			fmt.Printf("- %s\n+ %s\n", was[i], is[i])
		}
	}
}
