package icloud_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// detailsOf returns the Details of a card that is made of lines.
func detailsOf(lines ...string) icloud.Details {
	contact := icloud.Contact{VCard: []byte("BEGIN:VCARD\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCARD\r\n")}
	return contact.Details()
}

func TestDetails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  icloud.Details
	}{
		{"of an iPhone", []string{"VERSION:3.0", "PRODID:-//Apple Inc.//iPhone OS 18.0//EN", "N:山田;太郎;;;", "X-PHONETIC-FIRST-NAME:たろう", "X-PHONETIC-LAST-NAME:やまだ",
			"ORG:株式会社;営業部", "item1.ADR;type=WORK;type=pref:;;丸の内1-1\\nビル\\; 3F;千代田区;東京都;100-0005;日本", "item1.X-ABADR:jp", "item1.X-APPLE-SUBLOCALITY:丸の内",
			"item2.URL;type=pref:https\\://example.jp", "item2.X-ABLabel:_$!<HomePage>!$_", "item3.IMPP;X-SERVICE-TYPE=Line;x-bundleidentifiers=a\\, b:x-apple:taro%20y",
			"item3.X-ABLabel:LINE", "item4.X-ABRELATEDNAMES:花子", "item4.X-ABLabel:_$!<Spouse>!$_", "BDAY;X-APPLE-OMIT-YEAR=1604:1604-02-29"},
			icloud.Details{
				Given: "太郎", Family: "山田", PhoneticGiven: "たろう", PhoneticFamily: "やまだ", Departments: []string{"営業部"},
				Addresses: []icloud.Address{{Label: "work", Street: "丸の内1-1\nビル; 3F", City: "千代田区", Region: "東京都", PostalCode: "100-0005", Country: "日本", CountryCode: "jp"}},
				URLs:      []icloud.Labeled{{Label: "HomePage", Value: "https://example.jp"}},
				Relations: []icloud.Labeled{{Label: "Spouse", Value: "花子"}},
				Services:  []icloud.Service{{Label: "LINE", Service: "Line", User: "taro y"}},
				Birthday:  icloud.Date{Month: 2, Day: 29},
			}},
		{"of another program, in 4.0", []string{"VERSION:4.0", "N:Stevenson;John;Philip,Paul;Dr.;Jr.,M.D.", "NICKNAME;PREF=2:JP", "NICKNAME;PREF=1:Jim,Jimmie", "TITLE:Research Scientist",
			`ADR;GEO="geo:12.3457,78.910";LABEL="123 Main St.\nAny";TYPE=work:;;123 Main St.;Any Town;CA;91921-1234;U.S.A.`, "ADR;TYPE=home;PREF=1:;Apt 2;5 Side St.;;;;",
			"BDAY:--0203", "ANNIVERSARY:20090808T1430-0500", "RELATED;TYPE=friend:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "IMPP;PREF=1:xmpp:john@example.com",
			`CATEGORIES:INTERNET,IETF\,W3C`, "NOTE:a", "NOTE:b"},
			icloud.Details{
				Given: "John", Middle: "Philip,Paul", Family: "Stevenson", Prefix: "Dr.", Suffix: "Jr.,M.D.", Nickname: "Jim, Jimmie", Title: "Research Scientist",
				Addresses: []icloud.Address{
					{Label: "home", Extended: "Apt 2", Street: "5 Side St."},
					{Label: "work", Street: "123 Main St.", City: "Any Town", Region: "CA", PostalCode: "91921-1234", Country: "U.S.A."},
				},
				Relations:  []icloud.Labeled{{Label: "friend", Value: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}},
				Services:   []icloud.Service{{Service: "Jabber", User: "john@example.com", URL: "xmpp:john@example.com"}},
				Birthday:   icloud.Date{Month: 2, Day: 3},
				Dates:      []icloud.LabeledDate{{Label: "Anniversary", Date: icloud.Date{Year: 2009, Month: 8, Day: 8}}},
				Note:       "a\n\nb",
				Categories: []string{"INTERNET", "IETF,W3C"},
			}},
		{"of an old telephone, in 2.1", []string{"VERSION:2.1", "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg;;;", "TEL;CELL;PREF:1",
			"ADR;HOME;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:;;Am Markt=3B 2=0D=0AHinten;K=F6ln;;50667;Deutsch=", "land", "BDAY:19850412", "X-SKYPE-USERNAME:joerg"},
			icloud.Details{
				Given: "Jörg", Family: "Müller",
				Addresses: []icloud.Address{{Label: "home", Street: "Am Markt; 2\nHinten", City: "Köln", PostalCode: "50667", Country: "Deutschland"}},
				Services:  []icloud.Service{{Service: "Skype", User: "joerg"}},
				Birthday:  icloud.Date{Year: 1985, Month: 4, Day: 12},
			}},
		{"of nothing else", []string{"VERSION:3.0", "FN:x", "EMAIL:a@example.org", "ADR:;;;;;;", "BDAY;VALUE=text:in spring", "NOTE: ", "URL:", "X-UNKNOWN:y"}, icloud.Details{}},
	} {
		if got := detailsOf(tt.lines...); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", tt.name, got, tt.want)
		}
	}
}

func TestDetailsNeverFails(t *testing.T) {
	t.Parallel()
	for _, card := range []string{"", "\n", "BEGIN:VCARD", "END:VCARD", "\x00\xff", "no card", "BEGIN:VCARD\nADR", "BEGIN:VCARD\nBDAY;:\nEND:VCARD"} {
		if got := (&icloud.Contact{VCard: []byte(card)}).Details(); !reflect.DeepEqual(got, icloud.Details{}) {
			t.Errorf("%q: got %+v", card, got)
		}
	}
	// The part that was read is returned.
	half := &icloud.Contact{VCard: []byte(lise[:strings.Index(lise, "item2.")])}
	if d := half.Details(); d.Family != "Meitner" || len(d.Addresses) != 1 || d.Addresses[0].CountryCode != "de" {
		t.Errorf("of half a card got %+v", d)
	}
}

// TestDetailsConcurrent: changes of Details affect neither the Contact nor other Details,
// and calls may be concurrent.
func TestDetailsConcurrent(t *testing.T) {
	t.Parallel()
	contact := &icloud.Contact{VCard: []byte(lise)}
	want := contact.Details()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			other := icloud.Contact{VCard: fmt.Appendf(nil, "BEGIN:VCARD\nN:%d;\nADR:;;%d\nNOTE:%d\nEND:VCARD\n", i, i, i)}
			for range 200 {
				d := other.Details()
				if text := fmt.Sprint(i); d.Family != text || d.Addresses[0].Street != text || d.Note != text {
					t.Errorf("%d: got %+v", i, d)
					return
				}
				d = contact.Details()
				if !reflect.DeepEqual(d, want) {
					t.Errorf("got %+v, want %+v", d, want)
					return
				}
				d.Addresses[0].Street, d.Departments[0], d.Categories[0] = "mine", "mine", "mine"
			}
		})
	}
	wg.Wait()
	if string(contact.VCard) != lise {
		t.Error("the card was changed")
	}
}

// TestMembersJoin: members name UIDs in every version, also in vCard 4.0, where the UID is a URI.
func TestMembersJoin(t *testing.T) {
	t.Parallel()
	server := icloudtest.NewServer()
	defer server.Close()
	card := func(version, lines string) string {
		return strings.ReplaceAll("BEGIN:VCARD\nVERSION:"+version+"\n"+lines+"\nEND:VCARD\n", "\n", "\r\n")
	}
	server.Put("a.vcf", card("4.0", "UID:urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1\nFN:A"))
	server.Put("b.vcf", card("4.0", "UID;VALUE=uri:URN:UUID:03a0e51f-d1aa-4385-8a53-e29025acd8af\nFN:B"))
	server.Put("c.vcf", card("3.0", "UID:C9C1A3F7-61D5-4E0C-9D2C-5B0D0C1B7A11\nFN:C"))
	server.Put("d.vcf", card("4.0", "UID:tag:example.org,2026:d\nFN:D"))
	server.Put("group.vcf", card("4.0", "UID:urn:uuid:b8767877-b4a1-4c70-9acc-505d3819e519\nKIND:group\nFN:All\n"+
		"MEMBER:urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1\nMEMBER:Urn:Uuid:03a0e51f-d1aa-4385-8a53-e29025acd8af\n"+
		"MEMBER:urn:uuid:C9C1A3F7-61D5-4E0C-9D2C-5B0D0C1B7A11\nMEMBER:tag:example.org,2026:d\nMEMBER:urn:uuid:gone"))
	client, err := icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string)
	var group *icloud.Contact
	for contact, err := range client.Contacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names[contact.UID] = contact.Name
		if contact.Group {
			group = contact
		}
	}
	got := ""
	for _, uid := range group.Members {
		got += names[uid]
	}
	if got != "ABCD" {
		t.Errorf("the members are %q, want ABCD; UIDs are %q, members %q", got, names, group.Members)
	}
}

// TestEditFromDetails: an address is changed as in docs/cards.md, in every card of the book
// that has one, and nothing else changes.
func TestEditFromDetails(t *testing.T) {
	t.Parallel()
	changed := 0
	for _, contact := range append(book(t), &icloud.Contact{VCard: []byte(lise)}) {
		want := contact.Details()
		for i, from := range want.Addresses {
			to := from
			to.Street, to.Extended, to.Country = "1; New, St\\\nRear: 2", "c/o A;B", ""
			card, err := changeAddress(contact, from, to)
			if err != nil {
				t.Fatalf("%v:\n%s", err, contact.VCard)
			}
			changed++
			edited := &icloud.Contact{VCard: card}
			got := edited.Details()
			want.Addresses[i] = to
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got\n%+v\nwant\n%+v", got, want)
			}
			want.Addresses[i] = from
			before, after := withoutADR(contact.VCard), withoutADR(card)
			if before != after {
				t.Fatalf("got\n%s\nwant\n%s", after, before)
			}
		}
	}
	if changed < 100 {
		t.Errorf("changed %d addresses, want at least 100", changed)
	}

	// The country's code changes too, and that of the other address does not.
	contact := &icloud.Contact{VCard: []byte(lise)}
	card, err := contact.Card()
	if err != nil {
		t.Fatal(err)
	}
	codes := card["X-ABADR"]
	for _, code := range codes {
		if code.Group == card["ADR"][0].Group {
			code.Value = "at"
		}
	}
	edited, err := contact.Edit(vcard.Card{"X-ABADR": codes})
	if err != nil {
		t.Fatal(err)
	}
	d := (&icloud.Contact{VCard: edited}).Details()
	if got := d.Addresses[0].CountryCode + d.Addresses[1].CountryCode; got != "atse" || d.Addresses[1].Label != "Exil" {
		t.Errorf("got %+v", d.Addresses)
	}
}

// withoutADR returns the lines of a card without its addresses, unfolded.
func withoutADR(card []byte) string {
	text := strings.ReplaceAll(string(card), "\r\n ", "")
	return regexp.MustCompile(`(?im)^([^.:\r\n]*\.)?ADR[;:].*\n`).ReplaceAllString(text, "")
}

// book returns the contacts of testdata/book.vcf.
func book(t testing.TB) (contacts []*icloud.Contact) {
	t.Helper()
	text, err := os.ReadFile("testdata/book.vcf")
	if err != nil {
		t.Fatal(err)
	}
	for card := range strings.SplitAfterSeq(string(text), "END:VCARD\r\n") {
		if card != "" {
			contacts = append(contacts, &icloud.Contact{VCard: []byte(card)})
		}
	}
	return contacts
}

// BenchmarkDetails compares Details with decoding by go-vcard, for the cards of an address
// book and for one card with all properties.
func BenchmarkDetails(b *testing.B) {
	for name, contacts := range map[string][]*icloud.Contact{"book": book(b), "one": {{VCard: []byte(lise)}}} {
		b.Run(name+"/Details", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range contacts {
					c.Details()
				}
			}
		})
		b.Run(name+"/go-vcard", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range contacts {
					if _, err := c.Card(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
