package dav_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-icloud/icloud/internal/dav"
)

// row is a dav.Row that can be kept and compared.
type row struct {
	Href                    string
	Status                  int
	ETag, Data              string
	HasData, TooLarge       bool
	DataStatus, PropStatus  int
	Collection, AddressBook bool
	Principal               string
	Unauthenticated         bool
	HomeSet                 string // each ended by a newline
}

func keep(r *dav.Row) row {
	kept := row{
		Href: string(r.Href), Status: r.Status, ETag: string(r.ETag), Data: string(r.Data),
		HasData: r.HasData, TooLarge: r.TooLarge, DataStatus: r.DataStatus, PropStatus: r.PropStatus,
		Collection: r.Collection, AddressBook: r.AddressBook, Principal: string(r.Principal),
		Unauthenticated: r.Unauthenticated,
	}
	for _, home := range r.HomeSet {
		kept.HomeSet += string(home) + "\n"
	}
	return kept
}

// String lists the fields that are not zero.
func (r row) String() string {
	var b strings.Builder
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			fmt.Fprintf(&b, " %s:%.200q", v.Type().Field(i).Name, fmt.Sprint(f))
		}
	}
	return "{" + strings.TrimSpace(b.String()) + "}"
}

// decode reads a document to its end. The error is nil if it reached the end.
func decode(r io.Reader) (rows []row, token string, err error) {
	return decodeWith(dav.NewDecoder(r))
}

func decodeWith(d *dav.Decoder) (rows []row, token string, err error) {
	for {
		r, err := d.Next()
		if err == io.EOF {
			return rows, string(d.SyncToken()), nil
		}
		if err != nil {
			return rows, "", err
		}
		rows = append(rows, keep(r))
	}
}

func decodeString(doc string) ([]row, string, error) { return decode(strings.NewReader(doc)) }

// compare fails the test at the first difference between two lists of rows.
func compare(t *testing.T, what string, got, want []row) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: row %d:\n got %v\nwant %v", what, i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: got %d rows, want %d", what, len(got), len(want))
	}
}

// ms wraps responses in a root element that declares the usual namespaces.
func ms(responses string) string {
	return `<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">` + responses + `</multistatus>`
}

// member wraps properties in a response with one successful propstat.
func member(props string) string {
	return ms(`<response><href>/a.vcf</href><propstat><prop>` + props + `</prop><status>HTTP/1.1 200 OK</status></propstat></response>`)
}

// answers are well-formed documents.
var answers = []struct {
	name  string
	doc   string
	rows  []row
	token string
}{
	{name: "no rows", doc: ms(``)},
	{name: "no rows, closed at once", doc: `<multistatus xmlns="DAV:"/>`},
	{
		name: "iCloud",
		doc: `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>

<multistatus xmlns="DAV:">

  <response xmlns="DAV:">
    <href>/1/carddavhome/card/a.vcf</href>
    <propstat>
      <prop>
        <getetag xmlns="DAV:">"C=4@U=cc"</getetag>
        <address-data xmlns="urn:ietf:params:xml:ns:carddav">BEGIN:VCARD&#13;
FN:A &amp; B&#13;
END:VCARD&#13;
</address-data>
      </prop>
      <status>HTTP/1.1 200 OK</status>
    </propstat>
  </response>

</multistatus>
`,
		rows: []row{{Href: "/1/carddavhome/card/a.vcf", ETag: `"C=4@U=cc"`, HasData: true,
			Data: "BEGIN:VCARD\r\nFN:A & B\r\nEND:VCARD\r\n"}},
	},
	{
		name: "status before prop, and a second propstat that failed",
		doc: ms(`<response><href>/a</href><propstat><status>HTTP/1.1 200 OK</status><prop><getetag>"1"</getetag></prop></propstat>` +
			`<propstat><status>HTTP/1.1 404 Not Found</status><prop><C:address-data/></prop></propstat></response>`),
		rows: []row{{Href: "/a", ETag: `"1"`, DataStatus: 404, PropStatus: 404}},
	},
	{
		name: "a card that may not be read",
		doc: ms(`<response><href>/a</href><propstat><prop><C:address-data/></prop><status>HTTP/1.1 403 Forbidden</status></propstat>` +
			`<propstat><prop><getetag>"1"</getetag></prop><status>HTTP/1.1 200 OK</status></propstat></response>`),
		rows: []row{{Href: "/a", ETag: `"1"`, DataStatus: 403, PropStatus: 403}},
	},
	{
		name: "a value in a propstat that failed does not count",
		doc: ms(`<response><href>/a</href><propstat><prop><getetag>"old"</getetag><C:address-data>old</C:address-data>` +
			`<resourcetype><collection/><C:addressbook/></resourcetype><current-user-principal><href>/p</href><unauthenticated/></current-user-principal>` +
			`<C:addressbook-home-set><href>/h</href></C:addressbook-home-set></prop><status>HTTP/1.1 500 No</status></propstat></response>`),
		rows: []row{{Href: "/a", DataStatus: 500, PropStatus: 500}},
	},
	{
		name: "a propstat that failed takes nothing from one before it or after it",
		doc: ms(`<response><href>/a</href>` +
			`<propstat><prop><getetag>"x"</getetag><C:address-data>x</C:address-data></prop><status>HTTP/1.1 500 No</status></propstat>` +
			`<propstat><prop><getetag>"1"</getetag><C:address-data>card</C:address-data></prop><status>HTTP/1.1 200 OK</status></propstat>` +
			`<propstat><prop><getetag>"y"</getetag><C:address-data>y</C:address-data></prop><status>HTTP/1.1 404 No</status></propstat></response>`),
		rows: []row{{Href: "/a", ETag: `"1"`, HasData: true, Data: "card", PropStatus: 500}},
	},
	{
		name: "the first of two values",
		doc: member(`<getetag/><getetag>"1"</getetag><getetag>"2"</getetag><C:address-data>one</C:address-data>` +
			`<C:address-data>two</C:address-data>`),
		rows: []row{{Href: "/a.vcf", ETag: `"1"`, HasData: true, Data: "one"}},
	},
	{
		name: "the first of two propstats",
		doc: ms(`<response><href>/a</href>` +
			`<propstat><prop><getetag>"1"</getetag><current-user-principal><href>/p</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat>` +
			`<propstat><prop><getetag>"2"</getetag><current-user-principal><href>/q</href></current-user-principal><C:address-data>card</C:address-data></prop>` +
			`<status>HTTP/1.1 206 Partial</status></propstat></response>`),
		rows: []row{{Href: "/a", ETag: `"1"`, Principal: "/p", HasData: true, Data: "card"}},
	},
	{
		name: "empty and missing statuses are proof of what is there only",
		doc: ms(`<response><href>/a</href><propstat><prop><getetag>"1"</getetag><C:address-data>card</C:address-data></prop><status/></propstat></response>` +
			`<response><href>/b</href><propstat><prop><getetag>"2"</getetag><C:address-data/></prop></propstat></response>` +
			`<response><href>/c</href><status> </status></response>`),
		rows: []row{
			{Href: "/a", ETag: `"1"`, HasData: true, Data: "card"},
			{Href: "/b", ETag: `"2"`},
			{Href: "/c"},
		},
	},
	{
		name: "an empty card",
		doc:  member(`<C:address-data/>`),
		rows: []row{{Href: "/a.vcf", HasData: true}},
	},
	{
		name: "statuses that say nothing",
		doc: ms(`<response><href>/a</href><status>gone fishing</status></response>` +
			`<response><href>/b</href><propstat><prop><C:address-data>x</C:address-data></prop><status>HTTP/1.1 OK</status></propstat></response>` +
			`<response><href>/c</href><status>HTTP/1.1 99</status></response>` +
			`<response><href>/d</href><status>HTTP/1.1 2000</status></response>` +
			`<response><href>/e</href><status>HTTP/1.1</status></response>` +
			`<response><href>/f</href><status>HTTP/1.1 099 x</status></response>`),
		rows: []row{
			{Href: "/a", Status: -1},
			{Href: "/b", DataStatus: -1, PropStatus: -1},
			{Href: "/c", Status: -1},
			{Href: "/d", Status: -1},
			{Href: "/e", Status: -1},
			{Href: "/f", Status: -1},
		},
	},
	{
		name: "statuses in other forms",
		doc: ms(`<response><href>/a</href><status>HTTP/1.1 404</status></response>` +
			`<response><href>/b</href><status>  HTTP/2   410
 Gone </status></response>` +
			`<response><href>/c</href><status>507 Insufficient Storage</status></response>`),
		rows: []row{
			{Href: "/a", Status: 404},
			{Href: "/b", Status: 410},
			{Href: "/c", Status: 507},
		},
	},
	{
		name: "none of the properties",
		doc: ms(`<response><href>/a</href><propstat><prop><getetag/><C:address-data/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>` +
			`<response><href>/b</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat>` +
			`<propstat><prop><C:address-data/></prop><status>HTTP/1.1 410 Gone</status></propstat></response>` +
			`<response><href>/c</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat>` +
			`<propstat><prop><C:address-data/></prop><status>HTTP/1.1 403 Forbidden</status></propstat></response>` +
			`<response><href>/d</href><status>HTTP/1.1 403 Forbidden</status></response>` +
			`<response><href>/e</href></response>` +
			`<response><href>/f</href><status>HTTP/1.1 500 No</status><propstat><prop><getetag/></prop><status>HTTP/1.1 404 No</status></propstat></response>`),
		rows: []row{
			{Href: "/a", DataStatus: 404, PropStatus: 404},
			{Href: "/b", DataStatus: 410, PropStatus: 404},
			{Href: "/c", DataStatus: 403, PropStatus: 404},
			{Href: "/d", Status: 403},
			{Href: "/e"},
			{Href: "/f", Status: 500, PropStatus: 404},
		},
	},
	{
		name: "several hrefs share one status",
		doc: ms(`<response><href>/a</href><href> /b </href><href/><href>/c</href><status>HTTP/1.1 404 Not Found</status></response>` +
			`<response><href>/d</href></response>`),
		rows: []row{
			{Href: "/a", Status: 404},
			{Href: "/b", Status: 404},
			{Href: "/c", Status: 404},
			{Href: "/d"},
		},
	},
	{
		name: "responses without an href",
		doc:  ms(`<response/><response><href> </href></response><response><status>HTTP/1.1 200 OK</status></response>`),
		rows: []row{{}, {}, {Status: 200}},
	},
	{
		name: "sync-token before, between or after",
		doc: ms(`<response><href>/a</href><sync-token>no</sync-token><propstat><prop><sync-token>no</sync-token></prop></propstat></response>` +
			"<sync-token/>\n<sync-token>\n HwoQ&amp;Eg==\n</sync-token><sync-token>second</sync-token><response/>"),
		rows:  []row{{Href: "/a"}, {}},
		token: "HwoQ&Eg==",
	},
	{
		name: "who is signed in",
		doc: member(`<current-user-principal><href>
  /123/principal/ </href></current-user-principal><resourcetype><collection/><principal/></resourcetype>`),
		rows: []row{{Href: "/a.vcf", Principal: "/123/principal/", Collection: true}},
	},
	{
		name: "nobody is signed in",
		doc:  member(`<current-user-principal><unauthenticated/></current-user-principal>`),
		rows: []row{{Href: "/a.vcf", Unauthenticated: true}},
	},
	{
		name: "homes",
		doc: member(`<C:addressbook-home-set><href>https://p133-contacts.icloud.com:443/1/carddavhome/</href><href/>` +
			`<href>/two/</href></C:addressbook-home-set>`),
		rows: []row{{Href: "/a.vcf", HomeSet: "https://p133-contacts.icloud.com:443/1/carddavhome/\n/two/\n"}},
	},
	{
		name: "an address book",
		doc:  member(`<resourcetype><C:addressbook/><x/><collection/></resourcetype>`),
		rows: []row{{Href: "/a.vcf", Collection: true, AddressBook: true}},
	},
	{
		name: "names in other places mean nothing",
		doc: ms(`<href>/no</href><propstat/><status>HTTP/1.1 500</status>` +
			`<response><prop><getetag>"no"</getetag></prop><getetag>"no"</getetag><error><href>/no</href></error>` +
			`<href>/a<x>/no</x>/b</href>` +
			`<propstat><getetag>"no"</getetag><href>/no</href><prop><status>HTTP/1.1 500</status><href>/no</href><collection/>` +
			`<getetag>"1<x/>2"</getetag><C:address-data>ca<x>no</x>rd</C:address-data>` +
			`<x><resourcetype><collection/></resourcetype></x></prop><status>HTTP/1.1 <b>no</b>200 OK</status></propstat>` +
			`<response><href>/no</href></response></response>`),
		rows: []row{{Href: "/a/b", ETag: `"12"`, HasData: true, Data: "card"}},
	},
	{
		name: "prefixes on everything",
		doc: `<D:multistatus xmlns:D="DAV:" xmlns:card='urn:ietf:params:xml:ns:carddav'><D:response ><D:href>/a</D:href ><D:propstat><D:prop>` +
			`<D:getetag>W/"1"</D:getetag><card:address-data
 content-type="text/vcard">x</card:address-data
></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>`,
		rows: []row{{Href: "/a", ETag: `W/"1"`, HasData: true, Data: "x"}},
	},
	{
		name: "declarations end with their element",
		doc: ms(`<response xmlns="x" xmlns:D="DAV:"><href>/no</href><D:href>/no</D:href></response>` +
			`<x xmlns:D="DAV:" xmlns:C="y"/>` +
			`<response xmlns:D="DAV:"><D:href>/a</D:href><propstat><prop><C:address-data>1</C:address-data></prop></propstat></response>` +
			`<response><C:href>/no</C:href><href>/b</href></response>`),
		rows: []row{{Href: "/a", HasData: true, Data: "1"}, {Href: "/b"}},
	},
	{
		name: "declarations again at every depth",
		doc: `<a:multistatus xmlns:a="DAV:"><response xmlns="DAV:"><a:href xmlns:a="DAV:">/a</a:href>` +
			`<b:propstat xmlns:a="urn:ietf:params:xml:ns:carddav" xmlns:b="DAV:"><b:prop><a:address-data>1</a:address-data>` +
			`<a:address-data xmlns:a="DAV:">2</a:address-data></b:prop></b:propstat></response><a:response/></a:multistatus>`,
		rows: []row{{Href: "/a", HasData: true, Data: "1"}, {}},
	},
	{
		name: "elements of other namespaces",
		doc: ms(`<response xmlns=""/><C:response/><x:response xmlns:x="y"/><x:response xmlns:x="dav:"/><response xmlns="DAV"/>` +
			`<response xmlns:xml="DAV:"><xml:href>/no</xml:href></response>` +
			`<response xmlns:xmlns="DAV:"><xmlns:href>/no</xmlns:href></response>` +
			`<response><C:href>/no</C:href><href>/a</href><propstat><prop><address-data>no</address-data><C:getetag>"no"</C:getetag>` +
			`<address-data xmlns="urn:ietf:params:xml:ns:caldav">no</address-data></prop></propstat></response>`),
		rows: []row{{}, {}, {Href: "/a"}},
	},
	{
		name: "a prefix that is not declared, on an element of no interest",
		doc:  ms(`<x:note/><response><x:note><x:href/></x:note><href>/a</href></response>`),
		rows: []row{{Href: "/a"}},
	},
	{
		name: "of attributes given twice the last",
		doc:  ms(`<response xmlns="x" xmlns="DAV:"><href>/a</href></response><response xmlns="DAV:" xmlns="x"/>`),
		rows: []row{{Href: "/a"}},
	},
	{
		name: "a namespace written with references",
		doc:  `<multistatus xmlns='&#68;A&#x56;:'><response><href>/a</href></response></multistatus>`,
		rows: []row{{Href: "/a"}},
	},
	{
		name: "attributes in odd clothes",
		doc:  ms("<response a='\"' b=\"'>/\"c = '' \n\td\r\n=\n\"&lt;&#65;\"\n/><response e='/'/><response f='/' />"),
		rows: []row{{}, {}, {}},
	},
	{
		name: "names in odd clothes",
		doc:  ms("<response><:href>/no</:href><href:>/no</href:><é:ü/><_a.b-c:d/><x:href xmlns:x=\"y\">/no</x:href><href>/a</href></response>"),
		rows: []row{{Href: "/a"}},
	},
	{
		name: "references",
		doc: ms(`<response><href>/&lt;&gt;&amp;&apos;&quot;&#65;&#x42;&#x20AC;&#128512;&#xd800;&#0000065;</href></response>`) +
			``,
		rows: []row{{Href: "/<>&'\"AB€😀\uFFFDA"}},
	},
	{
		name: "white space by reference is white space",
		doc:  ms("<response><href>&#32;\t&#10;/a b&#13;&#9;</href></response>"),
		rows: []row{{Href: "/a b"}},
	},
	{
		name: "CDATA",
		doc: member(`<getetag><![CDATA["1"]]></getetag><C:address-data>a<![CDATA[<b>&amp;]]]]><![CDATA[>]]>c<![CDATA[]]>&lt;<![CDATA[]]]>` +
			`<![CDATA[d]] >]e]]></C:address-data>`),
		rows: []row{{Href: "/a.vcf", ETag: `"1"`, HasData: true, Data: "a<b>&amp;]]>c<]d]] >]e"}},
	},
	{
		name: "line ends",
		doc: member("<C:address-data>1\r\n2\r3\n4\r\r\n5&#13;\n6&#13;&#10;7\r&#10;8&#13;\r\n9\r&#65;\n<![CDATA[a\r\nb\rc\r]]>\nd\r<!-- -->\ne\r<x/>\nf\r" +
			"</C:address-data>"),
		rows: []row{{Href: "/a.vcf", HasData: true, Data: "1\n2\n3\n4\n\n5\r\n6\r\n7\n\n8\r\n9\nA\na\nb\nc\n\nd\n\ne\n\nf\n"}},
	},
	{
		name: "comments and instructions anywhere",
		doc: "\n<!-- - -> <x> ' --><?p ?><?q <x>?>" + ms(`<!----><response><?x y?><href>/<!--<x>-->a<?z ?>b</href><propstat><!--
--><prop><C:address-data>c<!-- & &x; -->d<?e ?>f</C:address-data></prop></propstat></response><!-- -->`) + "<!-- end --><?end ?>\n",
		rows: []row{{Href: "/ab", HasData: true, Data: "cdf"}},
	},
	{
		name: "white space and a byte order mark before the declaration",
		doc:  "\uFEFF \n<?xml version='1.0' encoding='Utf-8' ?>" + ms(`<response/>`),
		rows: []row{{}},
	},
	{
		name: "text outside the root element",
		doc:  "Warning: something\n" + ms(`<response/>`) + "\nDone ]]",
		rows: []row{{}},
	},
	{
		name: "a DOCTYPE",
		doc: `<!DOCTYPE multistatus [ <!ENTITY a "]>"><!ENTITY b '<">'> <!-- ' > --> <!ELEMENT b (c|d)> <?x y?> ]><!x>` +
			member(`<C:address-data>&lt;&#65;</C:address-data>`),
		rows: []row{{Href: "/a.vcf", HasData: true, Data: "<A"}},
	},
	{
		name: "a DOCTYPE with brackets in quotes",
		doc:  `<!DOCTYPE multistatus [<!ENTITY a '<'><!ENTITY b "<">]>` + ms(`<response/>`),
		rows: []row{{}},
	},
	{
		name: "text that nobody reads",
		doc:  ms(`text<response>text<href>/a</href>text<propstat>&lt;<prop>text<displayname>A&amp;B</displayname></prop></propstat></response>text`),
		rows: []row{{Href: "/a"}},
	},
}

func TestDecoder(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows, token, err := decodeString(tt.doc)
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			compare(t, "Decoder", rows, tt.rows)
			if token != tt.token {
				t.Errorf("got sync token %q, want %q", token, tt.token)
			}

			// The reference must agree with the table, so that neither is wrong alone.
			rows, token, err = reference([]byte(tt.doc))
			if err != nil {
				t.Fatalf("reference: got error %v", err)
			}
			compare(t, "reference", rows, tt.rows)
			if token != tt.token {
				t.Errorf("reference: got sync token %q, want %q", token, tt.token)
			}
		})
	}
}

// illFormed are documents that XML 1.0 forbids, but whose meaning is clear.
var illFormed = []struct {
	name string
	doc  string
	data string
}{
	{"control characters", "a\x01b\x0bc\x1b[0m\x7f", "a\x01b\x0bc\x1b[0m\x7f"},
	{"NUL", "a\x00b", "a\x00b"},
	{"U+FFFE", "a\uFFFEb\uFFFF", "a\uFFFEb\uFFFF"},
	{"Latin-1", "J\xf6rg\xff", "J\xf6rg\xff"},
	{"half a rune", "\xe2\x82", "\xe2\x82"},
	{"a surrogate", "\xed\xa0\x80", "\xed\xa0\x80"},
	{"in CDATA", "<![CDATA[\x00\x0b\uFFFE\xff]]>", "\x00\x0b\uFFFE\xff"},
	{"an ampersand", "A & B&C &; &&amp;&", "A & B&C &; &&&"},
	{"an ampersand before a tag", "A&<!-- -->B", "A&B"},
	{"an entity that is not declared", "&nbsp;&uuml;", "&nbsp;&uuml;"},
	{"a name that none can have", "&-;&1;&.a;", "&-;&1;&.a;"},
	{"no semicolon", "&amp &#65 &lt", "&amp &#65 &lt"},
	{"a reference to a control character", "&#11;&#x0;&#xFFFE;", "\x0b\x00\uFFFE"},
	{"a reference to no character", "&#1114112;&#99999999999999999999;&#;&#x;&#X41;&#a;&#xg;&#-1;", "&#1114112;&#99999999999999999999;&#;&#x;&#X41;&#a;&#xg;&#-1;"},
	{"a reference of great length", "&" + strings.Repeat("x", 100) + ";&#" + strings.Repeat("0", 100) + "65;",
		"&" + strings.Repeat("x", 100) + ";&#" + strings.Repeat("0", 100) + "65;"},
	{"the end of a CDATA section", "a]]>b", "a]]>b"},
	{"two dashes in a comment", "a<!-- -- -->b", "ab"},
}

func TestIllFormedText(t *testing.T) {
	t.Parallel()
	for _, tt := range illFormed {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := member(`<getetag>"1"</getetag><C:address-data>` + tt.doc + `</C:address-data>`)
			rows, _, err := decodeString(doc)
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			compare(t, "rows", rows, []row{{Href: "/a.vcf", ETag: `"1"`, HasData: true, Data: tt.data}})
			if _, _, err := reference([]byte(doc)); err == nil && !strings.Contains(tt.name, "length") {
				t.Error("encoding/xml accepts this: it is no example of ill-formed text")
			}

			// Text that is skipped is not checked.
			doc = member(`<displayname>` + tt.doc + `</displayname>`)
			if rows, _, err = decodeString(doc); err != nil || len(rows) != 1 {
				t.Errorf("in a property of no interest: got %d rows and error %v, want 1 and none", len(rows), err)
			}
		})
	}
	t.Run("bytes in an href", func(t *testing.T) {
		rows, _, err := decodeString(ms("<response><href>/J\xf6rg\x01\x00.vcf</href></response>"))
		if err != nil {
			t.Fatalf("got error %v", err)
		}
		compare(t, "rows", rows, []row{{Href: "/J\xf6rg\x01\x00.vcf"}})
	})
}

// TestEveryPrefix cuts answers after every byte. None of them may look complete.
func TestEveryPrefix(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		end := strings.LastIndex(tt.doc, "multistatus")
		end += strings.IndexByte(tt.doc[end:], '>') + 1
		for cut := range end {
			_, _, err := decodeString(tt.doc[:cut])
			if err != io.ErrUnexpectedEOF {
				t.Errorf("%s: cut at byte %d of %d: got %v, want %v", tt.name, cut, end, err, io.ErrUnexpectedEOF)
				break
			}
		}
		rows, _, err := decodeString(tt.doc[:end])
		if err != nil {
			t.Errorf("%s: cut after the root element: got error %v", tt.name, err)
		}
		compare(t, tt.name, rows, tt.rows)
	}
}

// documents are all documents above, for tests that only compare results.
func documents() (docs []string) {
	for _, tt := range answers {
		docs = append(docs, tt.doc)
	}
	for _, tt := range illFormed {
		docs = append(docs, member(`<C:address-data>`+tt.doc+`</C:address-data>`))
	}
	for _, tt := range broken {
		docs = append(docs, tt.doc)
	}
	return docs
}

// TestReadSizes delivers documents in pieces. The result must be the same.
func TestReadSizes(t *testing.T) {
	t.Parallel()
	readers := map[string]func(io.Reader) io.Reader{
		"one byte":         iotest.OneByteReader,
		"half":             iotest.HalfReader,
		"error with data":  iotest.DataErrReader,
		"nothing at times": func(r io.Reader) io.Reader { return &stutter{r: r} },
	}
	for _, doc := range documents() {
		want, wantToken, wantErr := decodeString(doc)
		for name, pieces := range readers {
			rows, token, err := decode(pieces(strings.NewReader(doc)))
			compare(t, name+": "+doc, rows, want)
			if token != wantToken || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("%s: %s:\ngot %q, %v\nwant %q, %v", name, doc, token, err, wantToken, wantErr)
			}
		}
	}
}

// stutter delivers no byte at every second Read.
type stutter struct {
	r    io.Reader
	idle bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.idle = !s.idle; s.idle {
		return 0, nil
	}
	return s.r.Read(p[:min(len(p), 7)])
}

// TestBufferEdges moves a document over the edge of the input buffer, byte by byte.
func TestBufferEdges(t *testing.T) {
	t.Parallel()
	const doc = `<response><!-- c --><href>/&amp;b</href><propstat><?p i?><prop><C:address-data x="y">A&#13;
B&amp;&nbsp;<![CDATA[]]]]><![CDATA[>C]]></C:address-data></prop><status>HTTP/1.1 200 OK</status></propstat></response>` +
		"<response><propstat><prop><C:address-data>D\r\nE&#13;\nF</C:address-data></prop></propstat></response>" +
		"<response><propstat><prop><C:address-data>G\r&#13;\n\r</C:address-data></prop></propstat></response>"
	want := []row{
		{Href: "/&b", HasData: true, Data: "A\r\nB&&nbsp;]]>C"},
		{HasData: true, Data: "D\nE\r\nF"},
		{HasData: true, Data: "G\n\r\n\n"},
	}
	for shift := range len(doc) + 2 {
		filler := strings.Repeat(" ", dav.MaxToken-len(ms(""))-shift)
		rows, _, err := decodeString(ms(filler + doc))
		if err != nil {
			t.Fatalf("shift %d: got error %v", shift, err)
		}
		compare(t, fmt.Sprintf("shift %d", shift), rows, want)
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, tt := range answers {
		// Also after the root element, because only the end of the reader
		// shows whether the transport failed.
		for cut := 0; cut <= len(tt.doc); cut++ {
			r := io.MultiReader(strings.NewReader(tt.doc[:cut]), iotest.ErrReader(broken))
			rows, _, err := decode(r)
			if !errors.Is(err, broken) {
				t.Fatalf("%s: cut at byte %d: got %v, want %v", tt.name, cut, err, broken)
			}
			if cut == len(tt.doc) {
				compare(t, tt.name, rows, tt.rows)
			}
		}
	}
}

// lastWords returns an error together with its last bytes, and only once.
type lastWords struct {
	s   string
	err error
}

func (r *lastWords) Read(p []byte) (int, error) {
	n := copy(p, r.s)
	if r.s = r.s[n:]; r.s != "" {
		return n, nil
	}
	err := r.err
	r.err = io.EOF
	return n, err
}

func TestReadErrorWithData(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	rows, _, err := decode(&lastWords{ms(`<response><href>/a</href></response>`), broken})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	compare(t, "rows", rows, []row{{Href: "/a"}})
}

func TestReaderWithoutProgress(t *testing.T) {
	t.Parallel()
	if _, _, err := decode(idleReader{}); err != io.ErrNoProgress {
		t.Errorf("got %v, want %v", err, io.ErrNoProgress)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// TestRowsArriveEarly checks that a row is returned as soon as its last byte has arrived.
func TestRowsArriveEarly(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer r.Close()
	hrefs := make(chan string)
	defer close(hrefs)
	go func() {
		io.WriteString(w, `<multistatus xmlns="DAV:">`)
		for href := range hrefs {
			io.WriteString(w, `<response><href>`+href+`</href></response>`)
		}
	}()
	d := dav.NewDecoder(r)
	for _, href := range []string{"/a", "/b"} {
		go func() { hrefs <- href }()
		row, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if string(row.Href) != href {
			t.Errorf("got %q, want %q", row.Href, href)
		}
	}
}

// broken are documents that cannot be read, with the place of the error.
var broken = []struct {
	name   string
	doc    string
	offset int64 // within what ms adds, or absolute if there is none
	rows   int
}{
	{"end tags in the wrong order", ms(`<response><href></response></href>`), 16, 0},
	{"an end tag of another name", ms(`<response></responses>`), 10, 0},
	{"an end tag of another prefix", ms(`<response></D:response>`), 10, 0},
	{"an end tag with an attribute", ms(`<response></response a="b">`), 10, 0},
	{"an end tag with white space before its name", ms(`<response></ response>`), 10, 0},
	{"an end tag too many", ms(`</multistatus>`), 14, 0},
	{"a bare less-than sign", ms(`<response/><response><href>a < b</href>`), 29, 1},
	{"a less-than sign at the end of a text", ms(`<response><href>a <</href>`), 18, 0},
	{"a tag in a tag", ms(`<response <href>`), 0, 0},
	{"a tag in an attribute", ms(`<response a="<href>">`), 0, 0},
	{"an ampersand in an href", ms(`<response/><response><href>/a&b</href></response>`), 29, 1},
	{"an ampersand at the end of an href", ms(`<response><href>/a&</href></response>`), 18, 0},
	{"an ampersand in an ETag", member(`<getetag>"&"</getetag>`), 55, 0},
	{"an entity in an href", ms(`<response><href>&nbsp;</href></response>`), 16, 0},
	{"a control character by reference in an href", ms(`<response><href>&#0;</href></response>`), 16, 0},
	{"a reference to no character in an href", ms(`<response><href>&#xFFFF;</href></response>`), 16, 0},
	{"an ampersand in an attribute", ms(`<response a="&">`), 0, 0},
	{"an entity in an attribute", ms(`<response a="&nbsp;">`), 0, 0},
	{"half a reference in an attribute", ms(`<response a="&amp">`), 0, 0},
	{"an attribute without a value", ms(`<response a>`), 0, 0},
	{"an attribute without quotes", ms(`<response a=b>`), 0, 0},
	{"an attribute without a name", ms(`<response ="b">`), 0, 0},
	{"an attribute with two colons", ms(`<response a:b:c="d">`), 0, 0},
	{"a slash in a tag", ms(`<response / >`), 0, 0},
	{"a name with two colons", ms(`<a:b:c/>`), 0, 0},
	{"a name that begins with a digit", ms(`<1/>`), 0, 0},
	{"no name", ms(`<>`), 0, 0},
	{"white space before a name", ms(`< response/>`), 0, 0},
	{"a NUL in a tag", ms("<resp\x00onse/>"), 0, 0},
	{"half a comment", ms(`<!- x -->`), 0, 0},
	{"a marked section", ms(`<![IGNORE[]]>`), 0, 0},
	{"an instruction without a name", ms(`<? ?>`), 0, 0},
	{"a second root element", ms(`<response/>`) + ms(``), 92, 1},
	{"another element after the root", ms(`<response/>`) + `<br />`, 31, 1},
	{"an entity that the document declares", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///x">]>` + member(`<C:address-data>&e;</C:address-data>`), -1, 0},
	{"an entity of the document's in CDATA only", `<!DOCTYPE x>` + member(`<C:address-data>&uuml;</C:address-data>`), -1, 0},
}

// TestUndeclaredPrefix checks that rows with an undeclared prefix are an error. encoding/xml
// would skip them, and a full book would look empty.
func TestUndeclaredPrefix(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		ms(`<response><href>/a</href></response><DAV:response><DAV:href>/b</DAV:href></DAV:response>`),
		ms(`<response><href>/a</href></response><response><href>/b</href><propstat><prop><card:address-data>x</card:address-data></prop></propstat></response>`),
		ms(`<response><href>/a</href></response><D:sync-token>x</D:sync-token>`),
	} {
		rows, _, err := decodeString(doc)
		if !undeclared(err) || len(rows) != 1 {
			t.Errorf("%s: got %d rows, %v", doc, len(rows), err)
		}
	}
}

func undeclared(err error) bool {
	syntax, ok := errors.AsType[*dav.SyntaxError](err)
	return ok && syntax.Reason == "an undeclared prefix"
}

func TestSyntaxError(t *testing.T) {
	t.Parallel()
	before := int64(strings.Index(ms("|"), "|"))
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := dav.NewDecoder(strings.NewReader(tt.doc))
			rows, _, err := decodeWith(d)
			var syntax *dav.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			if tt.offset >= 0 && syntax.Offset != before+tt.offset {
				t.Errorf("got offset %d, want %d: %v", syntax.Offset, before+tt.offset, err)
			}
			if len(rows) != tt.rows {
				t.Errorf("got %d rows before the error, want %d", len(rows), tt.rows)
			}
			if _, again := d.Next(); again != err {
				t.Errorf("after the error: got %v, want the same one", again)
			}
			if _, _, err := reference([]byte(tt.doc)); err == nil {
				t.Error("encoding/xml accepts this document")
			}
		})
	}
}

// TestErrorsHoldNoInput breaks answers in many ways, and checks that no error contains text
// from them.
func TestErrorsHoldNoInput(t *testing.T) {
	t.Parallel()
	const secret = "zoe.mueller"
	doc := `<?xml version="1.0"?>` + ms(`<response a="`+secret+`"><href>/`+secret+`&amp;</href><propstat><prop><getetag>`+secret+
		`</getetag><C:address-data>`+secret+`</C:address-data></prop><status>`+secret+`</status></propstat></response>`)
	errs := 0
	for i := range doc {
		for _, garbage := range []string{"&", "<", ">", "\"", "</x>", "<x>", "&" + secret + ";", "<" + secret, "</" + secret + ">", "<!", "<![", "<?"} {
			_, _, err := decodeString(doc[:i] + garbage + doc[i:])
			if err == nil {
				continue
			}
			errs++
			if strings.Contains(err.Error(), "zoe") || strings.Contains(err.Error(), "response") {
				t.Fatalf("the error holds input: %v", err)
			}
		}
	}
	if errs < len(doc) {
		t.Errorf("only %d of the documents were broken", errs)
	}
}

func TestNotMultistatus(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`<html/>`,
		`<!DOCTYPE html><html><body><p>Please sign in<br></body></html>`,
		`<multistatus/>`,
		`<multistatus xmlns="dav:"/>`,
		`<D:multistatus/>`,
		`<x:multistatus xmlns:x="DAV:x"/>`,
		`<error xmlns="DAV:"/>`,
		`<C:multistatus xmlns:C="urn:ietf:params:xml:ns:carddav"/>`,
		`<prop xmlns="DAV:"><multistatus/></prop>`,
		`<!doctype html><html lang=en><title>Sign in</title>`,
		`<html><p>&nbsp;</html>`,
		`{"error": "1 < 2 > 0"}`,
		`</multistatus>`,
	} {
		if _, _, err := decodeString(doc); err != dav.ErrNotMultistatus {
			t.Errorf("%s: got %v, want %v", doc, err, dav.ErrNotMultistatus)
		}
	}
	// A document without a root element may have been cut.
	for _, doc := range []string{"", " ", "x", "Not Found", "<!-- -->", "<?xml version='1.0'?>"} {
		if _, _, err := decodeString(doc); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: got %v, want %v", doc, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	utf16 := func(s string, bigEndian bool) string {
		var b strings.Builder
		for _, c := range s {
			if bigEndian {
				b.WriteString(string([]byte{byte(c >> 8), byte(c)}))
			} else {
				b.WriteString(string([]byte{byte(c), byte(c >> 8)}))
			}
		}
		return b.String()
	}
	for _, tt := range []struct {
		name string
		doc  string
		want error
	}{
		{"UTF-8", `<?xml version="1.0" encoding="utf-8"?>` + ms(``), nil},
		{"UTF-8, in capitals", `<?xml version="1.0" encoding='UTF-8' standalone='yes'?>` + ms(``), nil},
		{"UTF-8, misspelled", `<?xml version="1.0" encoding="UTF8"?>` + ms(``), nil},
		{"ASCII", `<?xml version="1.0" encoding="us-ascii"?>` + ms(``), nil},
		{"none", `<?xml version="1.0"?>` + ms(``), nil},
		{"empty", `<?xml version="1.0" encoding=""?>` + ms(``), nil},
		{"white space", `<?xml version="1.0" encoding  = "UTF-8"?>` + ms(``), nil},
		{"without quotes", `<?xml version="1.0" encoding=UTF-8?>` + ms(``), nil},
		{"without an end", `<?xml version="1.0" encoding="UTF-8?>` + ms(``), nil},
		{"only the word", `<?xml version="1.0" encoding?>` + ms(``), nil},
		{"only the sign", `<?xml version="1.0" encoding=?>` + ms(``), nil},
		{"of another instruction", `<?xml-stylesheet encoding="latin1"?>` + ms(``), nil},
		{"Latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + ms(``), dav.ErrEncoding},
		{"Windows", `<?xml version='1.0' encoding = 'windows-1252'?>` + ms(``), dav.ErrEncoding},
		{"Shift_JIS", "\n<?xml version='1.0' encoding\n=\n'Shift_JIS' ?>" + ms(``), dav.ErrEncoding},
		{"UTF-16 as declared", `<?xml version="1.0" encoding="UTF-16"?>` + ms(``), dav.ErrEncoding},
		{"UTF-16BE with a mark", "\xFE\xFF" + utf16(ms(``), true), dav.ErrEncoding},
		{"UTF-16LE with a mark", "\xFF\xFE" + utf16(ms(``), false), dav.ErrEncoding},
		{"UTF-16BE", utf16(ms(``), true), dav.ErrEncoding},
		{"UTF-16LE", utf16(ms(``), false), dav.ErrEncoding},
		{"UTF-32BE", "\x00\x00\xFE\xFF\x00\x00\x00<", dav.ErrEncoding},
	} {
		if _, _, err := decodeString(tt.doc); err != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestReset reads different documents with one Decoder. None may change the result of the
// next one.
func TestReset(t *testing.T) {
	t.Parallel()
	d := dav.NewDecoder(strings.NewReader(""))
	docs := documents()
	for i := range docs {
		// Half of the documents are left in the middle.
		if i%2 == 0 {
			d.Reset(strings.NewReader(docs[len(docs)-1-i]))
			d.Next()
		}
		d.Reset(strings.NewReader(docs[i]))
		want, wantToken, wantErr := decodeString(docs[i])
		rows, token, err := decodeWith(d)
		compare(t, docs[i], rows, want)
		if token != wantToken || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: got %q, %v; want %q, %v", docs[i], token, err, wantToken, wantErr)
		}
	}
}

// TestRowsAreSeparate checks that appending to one slice of a row does not change another
// one.
func TestRowsAreSeparate(t *testing.T) {
	t.Parallel()
	d := dav.NewDecoder(strings.NewReader(member(`<getetag>"1"</getetag><C:address-data>card</C:address-data>` +
		`<current-user-principal><href>/p</href></current-user-principal>` +
		`<C:addressbook-home-set><href>/h</href><href>/i</href></C:addressbook-home-set>`)))
	row, err := d.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := keep(row)
	for _, s := range append([][]byte{row.Href, row.ETag, row.Data, row.Principal}, row.HomeSet...) {
		_ = append(s, "XXXXXXXXXXXXXXXXXXXX"...)
	}
	if got := keep(row); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestAllocations reads a listing with a Decoder that has read it before.
func TestAllocations(t *testing.T) {
	doc := appleAnswer(1000, true)
	d := dav.NewDecoder(nil)
	r := bytes.NewReader(nil)
	read := func() {
		r.Reset(doc)
		d.Reset(r)
		for {
			if _, err := d.Next(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(5, read); n > 0 {
		t.Errorf("got %v allocations for 1000 rows, want none", n)
	}
}
