package vcf_test

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/vcf"
)

func details(data []byte) *vcf.Details {
	var r vcf.DetailsReader
	return r.Read(data)
}

// testDetails compares one field of the Details of cards.
func testDetails[T any](t *testing.T, get func(*vcf.Details) T, table []detailsCase[T]) {
	t.Helper()
	for _, tt := range table {
		if got := get(details(card(tt.lines...))); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: %q:\ngot  %+v\nwant %+v", tt.what, tt.lines, got, tt.want)
		}
	}
}

type detailsCase[T any] struct {
	what  string
	lines []string
	want  T
}

func TestDetailsName(t *testing.T) {
	testDetails(t, func(d *vcf.Details) string {
		return strings.Join([]string{d.Prefix, d.Given, d.Middle, d.Family, d.Suffix, d.PhoneticGiven, d.PhoneticFamily}, "|")
	}, []detailsCase[string]{
		{"all", []string{"N:Stevenson;John;Philip,Paul;Dr.;Jr.,M.D.,A.C.P."}, "Dr.|John|Philip,Paul|Stevenson|Jr.,M.D.,A.C.P.||"},
		{"escapes", []string{`N:O\;Neil;Pat\, Jr.;a\:b;;c\\`}, `|Pat, Jr.|a:b|O;Neil|c\||`},
		{"spaces", []string{"N: Doe ;\tJane ; ;;"}, "|Jane||Doe|||"},
		{"one part", []string{"N:Prince"}, "|||Prince|||"},
		{"more parts", []string{"N:a;b;c;d;e;f;g"}, "d|b|c|a|e||"},
		{"empty one first", []string{"N:;;;;", "N:Doe;Jane"}, "|Jane||Doe|||"},
		{"not mixed", []string{"N:Doe", "N;PREF=1:Roe;Jane"}, "|Jane||Roe|||"},
		{"a preferred empty one", []string{"N:Doe;Jane", "N;PREF=1:;;;;"}, "|Jane||Doe|||"},
		{"none", []string{"FN:Jane Doe"}, "||||||"},
		{"SORT-AS", []string{`N;SORT-AS="Harten,Rene":van der Harten;Rene,J.;Sir;R.D.O.N.`}, "R.D.O.N.|Rene,J.|Sir|van der Harten|||"},
		{"phonetic", []string{"X-PHONETIC-LAST-NAME:ヤマダ", "N:山田;太郎", "x-phonetic-first-name:タロウ"}, "|太郎||山田||タロウ|ヤマダ"},
		{"PHONETIC", []string{"N;PHONETIC=ipa;ALTID=1:dəʊ;dʒeɪn", "N;ALTID=1:Doe;Jane"}, "|Jane||Doe||dʒeɪn|dəʊ"},
		{"X-IRMC-N", []string{"N;CHARSET=UTF-8:山田;太郎", "SOUND;X-IRMC-N;CHARSET=UTF-8:ﾔﾏﾀﾞ;ﾀﾛｳ;;;"}, "|太郎||山田||ﾀﾛｳ|ﾔﾏﾀﾞ"},
		{"a recording", []string{"SOUND;TYPE=BASIC;ENCODING=b:MIIC;abc", "N:Doe"}, "|||Doe|||"},
		{"2.1", []string{"N;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller=3B;J=F6rg=", " =20K."}, "|Jörg  K.||Müller;|||"},
		{"Windows-1252", []string{"N;ENCODING=QUOTED-PRINTABLE:O=92Brien;=80"}, "|€||O’Brien|||"},
	})
}

func TestDetailsTexts(t *testing.T) {
	testDetails(t, func(d *vcf.Details) string { return d.Nickname + "|" + d.Title + "|" + d.Note }, []detailsCase[string]{
		{"each", []string{"NICKNAME:Jim", "TITLE:Boss", "NOTE:x"}, "Jim|Boss|x"},
		{"lists", []string{`NICKNAME:Jim\, the Boss,Jimmie, ,`, "TITLE:Boss, and more"}, "Jim, the Boss, Jimmie|Boss, and more|"},
		{"preferred", []string{"TITLE:A", "TITLE;PREF=1:B", "NICKNAME:a", "NICKNAME;TYPE=home,pref:b"}, "b|B|"},
		{"the first of equals", []string{"TITLE;PREF=2:A", "TITLE;PREF=2:B", "NICKNAME:", "NICKNAME:a", "NICKNAME:b"}, "a|A|"},
		{"several notes", []string{"NOTE:a", "NOTE: ", `NOTE;LANGUAGE=de: b\n`}, "||a\n\n b\n"},
		{"escapes", []string{`NOTE:a\;b\,c\nd\Ne\\nf\:g\x\`}, "||a;b,c\nd\ne\\nf:g\\x\\"},
		{"folded", []string{"NOTE:fo", " lded", "\tline"}, "||foldedline"},
		{"2.1", []string{"NOTE;ENCODING=QUOTED-PRINTABLE:one=0D=0Atwo=", "three: =C3=A9"}, "||one\ntwothree: é"},
		{"not of an inner card", []string{"AGENT:", "BEGIN:VCARD", "TITLE:A", "NOTE:a", "END:VCARD", "NOTE:b"}, "||b"},
		{"bytes of Latin-1", []string{"TITLE:J\xf6rg", "NOTE:\x80 caf\xe9"}, "|Jörg|€ café"},
		{"a broken character among others", []string{"TITLE:Zoë M\xc3ller"}, "|Zoë M\ufffdller|"},
		{"an unknown character set", []string{"TITLE;CHARSET=SHIFT_JIS;ENCODING=QUOTED-PRINTABLE:A=8E=52"}, "|A\ufffdR|"},
		{"in groups", []string{"item1.TITLE:A", "a-b.note:b"}, "|A|b"},
	})
}

func TestDetailsOrg(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		org   string
		want  string
	}{
		{[]string{"ORG:Apple Inc.;"}, "Apple Inc.", "[]"},
		{[]string{"ORG:Acme;Sales; ;Europe"}, "Acme", "[Sales Europe]"},
		{[]string{"ORG:;Sales;Europe"}, "Sales", "[Europe]"},
		{[]string{`ORG:Bücher\, Töne\; GmbH;Dept\; 3`}, "Bücher, Töne; GmbH", "[Dept; 3]"},
		{[]string{"ORG:A;a", "ORG;PREF=1:B;b;c", "ORG;PREF=1:C;d"}, "B", "[b c]"},
		{[]string{"ORG:A;a;b", "ORG;PREF=2:B", "ORG;PREF=1:;"}, "B", "[]"},
		{[]string{"ORG:;", "ORG:A;a"}, "A", "[a]"},
	} {
		if got := read(card(tt.lines...)).Org; got != tt.org {
			t.Errorf("%q: got %q, want %q", tt.lines, got, tt.org)
		}
		if got := fmt.Sprint(details(card(tt.lines...)).Departments); got != tt.want {
			t.Errorf("%q: got the departments %s, want %s", tt.lines, got, tt.want)
		}
	}
}

func TestDetailsAddresses(t *testing.T) {
	type all = []vcf.Address
	testDetails(t, func(d *vcf.Details) all { return d.Addresses }, []detailsCase[all]{
		{"Apple's", []string{`item2.ADR;type=HOME;type=pref:;;Straße 184\nHinterhaus;Köln;NRW;50184;Deutschland`, "item2.X-ABADR:de"},
			all{{Label: "home", Street: "Straße 184\nHinterhaus", City: "Köln", Region: "NRW", PostalCode: "50184", Country: "Deutschland", CountryCode: "de"}}},
		{"an escaped semicolon", []string{`ADR;type=WORK:;;1 Main St\; Apt 2;Anytown;CA;91921;USA`},
			all{{Label: "work", Street: "1 Main St; Apt 2", City: "Anytown", Region: "CA", PostalCode: "91921", Country: "USA"}}},
		{"a comma", []string{`ADR:;;1 Main St, Apt 2\, rear;A\,B`}, all{{Street: "1 Main St, Apt 2, rear", City: "A,B"}}},
		{"what can be delivered", []string{"ADR;TYPE=dom,postal,parcel,work:;;a", "ADR;INTL;HOME;POSTAL:;;b", "ADR;TYPE=parcel:;;c"},
			all{{Label: "work", Street: "a"}, {Label: "home", Street: "b"}, {Street: "c"}}},
		{"all parts", []string{"ADR:Box 1;Suite 2;3;4;5;6;7;8;9"},
			all{{POBox: "Box 1", Extended: "Suite 2", Street: "3", City: "4", Region: "5", PostalCode: "6", Country: "7"}}},
		{"none", []string{"ADR:;;;;;;", "ADR: ; ;", "item1.X-ABADR:us"}, nil},
		{"own label, before and after", []string{"a.X-ABLabel:Boat", "A.ADR;type=HOME:;;1", "item9.X-abadr:fr", "ITEM9.ADR:;;2", "Item9.X-ABLABEL:_$!<Other>!$_"},
			all{{Label: "Boat", Street: "1"}, {Label: "Other", Street: "2", CountryCode: "fr"}}},
		{"the preferred first", []string{"ADR:;;1", "ADR;type=pref:;;2", "ADR:;;3", "ADR;PREF=2:;;4", "ADR;PREF=1:;;5"},
			all{{Street: "2"}, {Street: "5"}, {Street: "4"}, {Street: "1"}, {Street: "3"}}},
		{"4.0", []string{`ADR;GEO="geo:12.3,-1.2";LABEL="Mr. X\n1 Main; St";TYPE="work,pref";CC=US:;;1`}, all{{Label: "work", Street: "1", CountryCode: "US"}}},
		{"not another group's country", []string{"item1.ADR:;;1", "item2.X-ABADR:de", "X-ABADR:us", "ADR:;;2"}, all{{Street: "1"}, {Street: "2"}}},
	})
}

func TestDetailsURLs(t *testing.T) {
	type all = []vcf.Labeled
	testDetails(t, func(d *vcf.Details) all { return d.URLs }, []detailsCase[all]{
		{"Apple's", []string{`item3.URL;type=pref:http\://example.org/~u1?a=1&b=<2>`, "item3.X-ABLabel:_$!<HomePage>!$_"},
			all{{"HomePage", "http://example.org/~u1?a=1&b=<2>"}}},
		{"rewritten often", []string{`URL:http\\\\\://a/b:c`, `URL:http\\://a`}, all{{"", "http://a/b:c"}, {"", "http://a"}}},
		{"of a type", []string{"URL;VALUE=uri;TYPE=Work: https://a/b,c;d "}, all{{"work", "https://a/b,c;d"}}},
		{"empty ones", []string{"URL:", "URL: ", "URL:a"}, all{{"", "a"}}},
		{"folded in the middle", []string{"URL:https://exam", " ple.org"}, all{{"", "https://example.org"}}},
		{"folded in the group", []string{"it", " em1.URL;X-A=as long as it takes to have room for the other:a", "NOTE:unfolded ", " where it was", "item1.X-ABLabel:x"}, all{{"x", "a"}}},
		{"an empty label", []string{"i.URL;type=HOME:a", "i.X-ABLabel:", "i.X-ABLabel:_$!<>!$_"}, all{{"home", "a"}}},
		{"two labels", []string{"i.URL:a", "i.X-ABLabel:x", "i.X-ABLabel:y"}, all{{"x", "a"}}},
		{"a label for two", []string{"i.URL:a", "i.URL:b", "i.X-ABLabel:x\\, y"}, all{{"x, y", "a"}, {"x, y", "b"}}},
		{"half a mark", []string{"i.URL:a", "i.X-ABLabel:_$!<x"}, all{{"_$!<x", "a"}}},
	})
}

func TestDetailsRelations(t *testing.T) {
	type all = []vcf.Labeled
	testDetails(t, func(d *vcf.Details) all { return d.Relations }, []detailsCase[all]{
		{"Apple's", []string{"item4.X-ABRELATEDNAMES;type=pref:Åse", "item4.X-ABLabel:_$!<Spouse>!$_", "item5.X-ABRelatedNames:Tom\\, Jr.", "item5.X-ABLabel:Neffe"},
			all{{"Spouse", "Åse"}, {"Neffe", "Tom, Jr."}}},
		{"4.0", []string{"RELATED;TYPE=friend:urn:uuid:f81d4fae-7dec-11d0", `RELATED;TYPE="co-worker,colleague";VALUE=text:Ann`},
			all{{"friend", "urn:uuid:f81d4fae-7dec-11d0"}, {"co-worker", "Ann"}}},
		{"others'", []string{"X-SPOUSE:A", "X-EVOLUTION-MANAGER:B", "X-MS-ASSISTANT;TYPE=x:C", "X-KADDRESSBOOK-X-SpousesName:D"},
			all{{"Spouse", "A"}, {"Manager", "B"}, {"x", "C"}, {"Spouse", "D"}}},
	})
}

func TestDetailsServices(t *testing.T) {
	type all = []vcf.Service
	testDetails(t, func(d *vcf.Details) all { return d.Services }, []detailsCase[all]{
		{"IMPP", []string{"IMPP;X-SERVICE-TYPE=Jabber;type=HOME;type=pref:xmpp:u0@jabber.example"},
			all{{"home", "Jabber", "u0@jabber.example", "xmpp:u0@jabber.example"}}},
		{"without an address", []string{"item1.IMPP;X-SERVICE-TYPE=Discord;x-teamidentifier=53Q6R32WPB;x-bundleidentifiers=com.a, com.b:x-apple:DavidH%235346", "item1.X-ABLabel:Discord"},
			all{{"Discord", "Discord", "DavidH#5346", ""}}},
		{"4.0", []string{"IMPP;PREF=1:skype:ada", "IMPP;TYPE=work:sip:alice@example.com", `IMPP;SERVICE-TYPE=Mastodon;USERNAME="@ada@a.example":https://a.example/@ada`},
			all{{"", "Skype", "ada", "skype:ada"}, {"work", "SIP", "alice@example.com", "sip:alice@example.com"}, {"", "Mastodon", "@ada@a.example", "https://a.example/@ada"}}},
		{"a name that is no address", []string{"IMPP;X-SERVICE-TYPE=Skype:live:ada"}, all{{"", "Skype", "live:ada", ""}}},
		{"unknown scheme", []string{"IMPP:Matrix:u/ada:example.org"}, all{{"", "matrix", "u/ada:example.org", "Matrix:u/ada:example.org"}}},
		{"links of the time", []string{"IMPP:aim:goim?screenname=ada%20l&message=hi", "IMPP:msnim:chat?contact=ada", "IMPP:ymsgr:sendIM?ada", "IMPP:skype:ada?chat", "IMPP:irc://irc.example/ada"},
			all{{"", "AIM", "ada l", "aim:goim?screenname=ada%20l&message=hi"}, {"", "MSN", "ada", "msnim:chat?contact=ada"},
				{"", "Yahoo", "ada", "ymsgr:sendIM?ada"}, {"", "Skype", "ada", "skype:ada?chat"}, {"", "IRC", "", "irc://irc.example/ada"}}},
		{"profiles", []string{"X-SOCIALPROFILE;type=twitter;x-user=ada:https://twitter.com/ada", "X-SOCIALPROFILE;type=twitter:http\\://twitter.com/u1",
			"X-SocialProfile;type=GitHub;x-user=rob;x-teamidentifier=VEK:x-apple:rob", "X-SOCIALPROFILE;type=X;type=HOME;x-user=e:x-apple:e"},
			all{{"", "twitter", "ada", "https://twitter.com/ada"}, {"", "twitter", "", "http://twitter.com/u1"}, {"", "GitHub", "rob", ""}, {"home", "X", "e", ""}}},
		{"profiles of others", []string{"X-SOCIALPROFILE;TYPE=instagram:ada", "X-SOCIALPROFILE;TYPE=facebook:www.facebook.com/ada", `X-SOCIALPROFILE;TYPE=facebook;X-USERID=12;X-DISPLAYNAME="Ada, Countess":https://facebook.com/p?id=12`,
			"SOCIALPROFILE;SERVICE-TYPE=Mastodon;PREF=1:https://a.example/@ada", "X-SOCIALPROFILE;type=weibo;x-user=ada:"},
			all{{"", "Mastodon", "", "https://a.example/@ada"}, {"", "instagram", "ada", ""}, {"", "facebook", "", "www.facebook.com/ada"}, {"", "facebook", "Ada, Countess", "https://facebook.com/p?id=12"}, {"", "weibo", "ada", ""}}},
		{"old ones", []string{"X-AIM;type=HOME;type=pref:ada", "X-MSN;WORK:ada@msn.example", "X-SKYPE-USERNAME:live:ada", "X-JABBER:xmpp:ada@j.example", "X-MS-IMADDRESS:ada", "X-TWITTER:https://twitter.com/ada"},
			all{{"home", "AIM", "ada", ""}, {"work", "MSN", "ada@msn.example", ""}, {"", "Skype", "live:ada", ""}, {"", "Jabber", "ada@j.example", ""}, {"", "", "ada", ""}, {"", "Twitter", "", "https://twitter.com/ada"}}},
		{"twice", []string{"X-AIM;type=HOME;type=pref:Ada L", "item1.X-JABBER:ada@j.example", "item1.X-ABLabel:Chat",
			"IMPP;X-SERVICE-TYPE=AIM;type=HOME;type=pref:aim:Ada%20L", "item2.IMPP;X-SERVICE-TYPE=Jabber:xmpp:ada@j.example", "item2.X-ABLabel:Chat"},
			all{{"home", "AIM", "Ada L", "aim:Ada%20L"}, {"Chat", "Jabber", "ada@j.example", "xmpp:ada@j.example"}}},
		{"twice, the label once", []string{"X-ICQ:12", "IMPP;X-SERVICE-TYPE=ICQ;type=WORK:aim:12", "IMPP;X-SERVICE-TYPE=AIM:aim:12"},
			all{{"work", "ICQ", "12", "aim:12"}, {"", "AIM", "12", "aim:12"}}},
		{"nothing", []string{"IMPP:", "IMPP: ", "X-SOCIALPROFILE;type=twitter:", "X-AIM: ", "IMPP;X-SERVICE-TYPE=a:x-apple:"}, nil},
		{"what cannot be decoded", []string{"IMPP:xmpp:a%zz", "IMPP:xmpp:a%00b", "IMPP:xmpp:a%ff"},
			all{{"", "Jabber", "a%zz", "xmpp:a%zz"}, {"", "Jabber", "a%00b", "xmpp:a%00b"}, {"", "Jabber", "a%ff", "xmpp:a%ff"}}},
		{"RFC 6868", []string{`X-SOCIALPROFILE;type=x;x-user=a^'b^^c^nd\, e^^n:http://a`}, all{{"", "x", "a\"b^c\nd, e^n", "http://a"}}},
	})
}

func TestDetailsDates(t *testing.T) {
	for _, tt := range []struct {
		line string
		want vcf.Date
	}{
		{"BDAY:1985-04-12", vcf.Date{1985, 4, 12}},
		{"BDAY:19850412", vcf.Date{1985, 4, 12}},
		{"BDAY;value=date:1985-04-12", vcf.Date{1985, 4, 12}},
		{"BDAY:1985-04-12T00:00:00Z", vcf.Date{1985, 4, 12}},
		{"BDAY:1985-04-11T23:00:00-05:00", vcf.Date{1985, 4, 11}},
		{"BDAY:19850412T102200Z", vcf.Date{1985, 4, 12}},
		{"BDAY:1985-04-12T--00", vcf.Date{1985, 4, 12}},
		{"BDAY:1985-04-12 00:00:00", vcf.Date{1985, 4, 12}},
		{"BDAY: 1985-04-12 ", vcf.Date{1985, 4, 12}},
		{"BDAY:1985-4-2", vcf.Date{1985, 4, 2}},
		{"BDAY:1985-04", vcf.Date{1985, 4, 0}},
		{"BDAY:1985", vcf.Date{1985, 0, 0}},
		{"BDAY:--0412", vcf.Date{0, 4, 12}},
		{"BDAY:--04-12", vcf.Date{0, 4, 12}},
		{"BDAY:--0229", vcf.Date{0, 2, 29}},
		{"BDAY:--04", vcf.Date{0, 4, 0}},
		{"BDAY:---12", vcf.Date{0, 0, 12}},
		{"BDAY:0000-04-12", vcf.Date{0, 4, 12}},
		{"BDAY:2000-02-29", vcf.Date{2000, 2, 29}},
		{"BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-12", vcf.Date{0, 4, 12}},
		{`BDAY;value=date;x-apple-omit-year="1604":1604-02-29`, vcf.Date{0, 2, 29}},
		{"BDAY:1604-04-12", vcf.Date{0, 4, 12}},
		{"BDAY;X-APPLE-OMIT-YEAR=1604:1985-04-12", vcf.Date{1985, 4, 12}},
		{"BDAY;X-APPLE-OMIT-YEAR=2021:2021-04-12", vcf.Date{0, 4, 12}},
		{"BDAY;X-APPLE-OMIT-YEAR=:1985-04-12", vcf.Date{1985, 4, 12}},
		{"BDAY;VALUE=text:1985-04-12", vcf.Date{1985, 4, 12}},
		{"BDAY;ENCODING=QUOTED-PRINTABLE:1985=2D04-12", vcf.Date{1985, 4, 12}},

		{"BDAY;VALUE=text:circa 1800", vcf.Date{}},
		{"BDAY:", vcf.Date{}},
		{"BDAY:1985-13-01", vcf.Date{}},
		{"BDAY:1985-04-31", vcf.Date{}},
		{"BDAY:1985-02-29", vcf.Date{}},
		{"BDAY:1900-02-29", vcf.Date{}},
		{"BDAY:1985-00-12", vcf.Date{}},
		{"BDAY:1985-04-00", vcf.Date{}},
		{"BDAY:19850400", vcf.Date{}},
		{"BDAY:0000-00-00", vcf.Date{}},
		{"BDAY:0000", vcf.Date{}},
		{"BDAY:1604", vcf.Date{}},
		{"BDAY:--0431", vcf.Date{}},
		{"BDAY:---00", vcf.Date{}},
		{"BDAY:---32", vcf.Date{}},
		{"BDAY:198504", vcf.Date{}},
		{"BDAY:850412", vcf.Date{}},
		{"BDAY:1985-102", vcf.Date{}},
		{"BDAY:1985-W15-5", vcf.Date{}},
		{"BDAY:04/12/1985", vcf.Date{}},
		{"BDAY:1985-04-123", vcf.Date{}},
		{"BDAY:1985-04-12x", vcf.Date{}},
		{"BDAY:1985-04-12T", vcf.Date{}},
		{"BDAY:T102200", vcf.Date{}},
		{"BDAY:-1985-04-12", vcf.Date{}},
		{"BDAY;CALSCALE=chinese:00430077-04-12", vcf.Date{}},
		{"X-ALTBDAY;CALSCALE=chinese:00430077-04-12", vcf.Date{}},
	} {
		if got := details(card(tt.line)).Birthday; got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.line, got, tt.want)
		}
		// All other dates are read in the same way.
		_, value, _ := strings.Cut(tt.line, "Y")
		got := details(card("X-ABDATE" + value)).Dates
		if want := (vcf.LabeledDate{Date: tt.want}); tt.want != (vcf.Date{}) && (len(got) != 1 || got[0] != want) || tt.want == (vcf.Date{}) && got != nil {
			t.Errorf("%s as X-ABDATE: got %v, want %v", tt.line, got, want)
		}
	}

	type all = []vcf.LabeledDate
	testDetails(t, func(d *vcf.Details) all { return d.Dates }, []detailsCase[all]{
		{"Apple's", []string{"item5.X-ABDATE;type=pref:2011-11-11", `item5.X-ABLabel:Hochzeitstag "privat"`, "item6.X-ABDATE;X-APPLE-OMIT-YEAR=1604:1604-01-02", "item6.X-ABLabel:_$!<Anniversary>!$_"},
			all{{`Hochzeitstag "privat"`, vcf.Date{2011, 11, 11}}, {"Anniversary", vcf.Date{0, 1, 2}}}},
		{"others'", []string{"ANNIVERSARY:20110102", "X-ANNIVERSARY:2011-01-02", "X-EVOLUTION-ANNIVERSARY:2012-01-02", "X-KADDRESSBOOK-X-Anniversary:x"},
			all{{"Anniversary", vcf.Date{2011, 1, 2}}, {"Anniversary", vcf.Date{2012, 1, 2}}}},
	})
	testDetails(t, func(d *vcf.Details) vcf.Date { return d.Birthday }, []detailsCase[vcf.Date]{
		{"the first legible", []string{"BDAY;VALUE=text:spring", "BDAY:1985-04-12", "BDAY:1986-04-12"}, vcf.Date{1985, 4, 12}},
		{"the preferred legible", []string{"BDAY:1985-04-12", "BDAY;PREF=2:1986-04-12", "BDAY;PREF=1:x"}, vcf.Date{1986, 4, 12}},
	})
}

func TestDetailsCategories(t *testing.T) {
	testDetails(t, func(d *vcf.Details) string { return fmt.Sprintf("%q", d.Categories) }, []detailsCase[string]{
		{"list", []string{`CATEGORIES:Friends, Family ,Über\, all,,a\\,b\;c`, "categories;PREF=1:x"}, `["Friends" "Family" "Über, all" "a\\" "b;c" "x"]`},
		{"2.1", []string{"CATEGORIES;ENCODING=QUOTED-PRINTABLE:a=2Cb,=C3=A9"}, `["a,b" "é"]`},
		{"none", []string{"CATEGORIES:,, ,"}, "[]"},
	})
}

// Every detail of a card of each version, as their programs write them.
func TestDetailsVersions(t *testing.T) {
	want := vcf.Details{
		Given: "Zoë", Family: "Müller", Title: "Chef; Rat", Departments: []string{"Küche"}, Nickname: "Zo",
		Addresses:  []vcf.Address{{Label: "work", Street: "Am Ring 1", City: "Köln", PostalCode: "50667", Country: "Deutschland"}},
		URLs:       []vcf.Labeled{{"work", "https://zoë.example/a;b"}},
		Birthday:   vcf.Date{1985, 4, 12},
		Note:       "eins\nzwei",
		Categories: []string{"Freunde"},
	}
	for _, lines := range [][]string{
		{"VERSION:2.1", "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;Zo=C3=AB", "TITLE;ENCODING=QUOTED-PRINTABLE:Chef=3B Rat",
			"ORG;CHARSET=UTF-8:X;Küche", "NICKNAME:Zo", "ADR;WORK;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:;;Am Ring 1;K=F6ln;;50667;Deutsch=", "land",
			"URL;WORK:https://zoë.example/a;b", "BDAY:19850412", "NOTE;ENCODING=QUOTED-PRINTABLE:eins=0D=0A=", "zwei", "CATEGORIES:Freunde"},
		{"VERSION:3.0", "N:Müller;Zoë;;;", `TITLE:Chef\; Rat`, "ORG:X;Küche", "NICKNAME:Zo", "item1.ADR;type=WORK;type=pref:;;Am Ring 1;Köln;;50667;Deutschland",
			`URL;type=WORK;type=pref:https\://zoë.example/a\;b`, "BDAY;value=date:1985-04-12", `NOTE:eins\nzwei`, "CATEGORIES:Freunde"},
		{"VERSION:4.0", "N:Müller;Zoë;;;", `TITLE:Chef\; Rat`, "ORG;PREF=1:X;Küche", "NICKNAME:Zo", "ADR;TYPE=work;PREF=1:;;Am Ring 1;Köln;;50667;Deutschland",
			"URL;TYPE=work:https://zoë.example/a;b", "BDAY:19850412", `NOTE:eins\nzwei`, "CATEGORIES:Freunde"},
	} {
		data := []byte("BEGIN:VCARD\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCARD\r\n")
		if got := details(data); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", lines[0], *got, want)
		}
	}
}

// full is a card with every detail.
var full = card("N:Müller\\;;Zoë;;Dr.;", "NICKNAME:Zo,Z", "X-PHONETIC-FIRST-NAME:Tso", "ORG:X;Y\\;Z", "TITLE:Chef",
	"item1.ADR;type=HOME:;;Am Ring 1\\nHinten;Köln;;50667;D", "item1.X-ABADR:de", "item1.X-ABLabel:Boot", `URL;type=WORK;type=pref:http\://a`,
	"item2.X-ABRELATEDNAMES:Ann", "item2.X-ABLabel:_$!<Friend>!$_", "X-AIM;type=HOME:zo", "IMPP;X-SERVICE-TYPE=AIM;type=HOME:aim:zo",
	`X-SOCIALPROFILE;type=twitter;x-user="z:o":https://t.example`, "BDAY;X-APPLE-OMIT-YEAR=1604:1604-02-29", "item3.X-ABDATE:2011-01-02",
	"item3.X-ABLabel:_$!<Anniversary>!$_", "NOTE:eins\\nzwei", "NOTE:drei", "CATEGORIES:a,b\\,c")

const fullDetails = `{Given:Zoë Middle: Family:Müller; Prefix:Dr. Suffix: Nickname:Zo, Z PhoneticGiven:Tso PhoneticFamily: Title:Chef Departments:[Y;Z] ` +
	"Addresses:[{Label:Boot Street:Am Ring 1\nHinten City:Köln Region: PostalCode:50667 Country:D CountryCode:de POBox: Extended:}] " +
	"URLs:[{Label:work Value:http://a}] Relations:[{Label:Friend Value:Ann}] " +
	"Services:[{Label:home Service:AIM User:zo URL:aim:zo} {Label: Service:twitter User:z:o URL:https://t.example}] " +
	"Birthday:{Year:0 Month:2 Day:29} Dates:[{Label:Anniversary Date:{Year:2011 Month:1 Day:2}}] Note:eins\nzwei\n\ndrei Categories:[a b,c]}"

func TestDetailsFoldedAnywhere(t *testing.T) {
	var r vcf.DetailsReader
	for _, fold := range []string{"", "\r\n ", "\n\t"} {
		for i := 1; i < len(full); i++ {
			if full[i-1] == '\n' || full[i-1] == '\r' {
				continue // another card
			}
			data := bytes.Join([][]byte{full[:i], full[i:]}, []byte(fold))
			if got := fmt.Sprintf("%+v", *r.Read(data)); got != fullDetails {
				t.Fatalf("%q at byte %d: got\n%s\nwant\n%s", fold, i, got, fullDetails)
			}
		}
	}
}

// A label may be before its property, after it, or far away.
func TestDetailsLabelsAnywhere(t *testing.T) {
	var first, last, labels []string
	lines := strings.Split(strings.TrimSuffix(string(full), "END:VCARD\r\n"), "\r\n")
	for _, l := range lines[2 : len(lines)-1] {
		if strings.Contains(l, "X-ABLabel") || strings.Contains(l, "X-ABADR") {
			labels = append(labels, l)
			continue
		}
		last = append(last, l)
	}
	first = append(first, labels...)
	first = append(first, last...)
	last = append(last, labels...)
	for _, lines := range [][]string{first, last} {
		if got := fmt.Sprintf("%+v", *details(card(lines...))); len(labels) != 4 || got != fullDetails {
			t.Errorf("%q: got\n%s\nwant\n%s", lines, got, fullDetails)
		}
	}
}

// A card may end at any byte. What was before is read.
func TestDetailsCutAnywhere(t *testing.T) {
	var r vcf.DetailsReader
	for i := range full {
		d := r.Read(full[:i])
		if d.Given != "" && d.Given != "ZoÃ" && !strings.HasPrefix("Zoë", d.Given) || len(d.Addresses) > 1 || len(d.Services) > 2 || d.Birthday.Year != 0 && d.Birthday.Year != 16 {
			t.Errorf("%d bytes: got %+v", i, *d)
		}
	}
}

func TestDetailsReaderIsReused(t *testing.T) {
	var r vcf.DetailsReader
	first := *r.Read(full)
	note := first.Note
	for name, data := range corpus(t) {
		got, want := r.Read(data), details(data)
		if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
			t.Errorf("%s: got\n%+v\nand with a new reader\n%+v", name, *got, *want)
		}
	}
	if note != "eins\nzwei\n\ndrei" {
		t.Errorf("an earlier card's text became %q", note)
	}
	if got := fmt.Sprintf("%+v", *r.Read(full)); got != fullDetails {
		t.Errorf("got\n%s\nwant\n%s", got, fullDetails)
	}
	if got := *r.Read(card("FN:x")); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", vcf.Details{}) {
		t.Errorf("of nothing got %+v", got)
	}
}

// A listing of details must be cheaper than a listing of models.
func TestDetailsAllocates(t *testing.T) {
	var r vcf.DetailsReader
	r.Read(apple)
	if n := testing.AllocsPerRun(100, func() { r.Read(apple) }); n > 2 {
		t.Errorf("got %v allocations for a card, want at most 2", n)
	}
}

// hostileDetails are cards of about a megabyte that try to use much more memory or time.
func hostileDetails() map[string][]byte {
	many := func(format string) []byte {
		var b strings.Builder
		for i := 0; b.Len() < 1<<20; i++ {
			fmt.Fprintf(&b, format+"\r\n", i)
		}
		return card(b.String())
	}
	long := strings.Repeat("x", 500<<10)
	return map[string][]byte{
		"labels":     many("a%[1]d.X-ABLabel:b%[1]d\r\na%[1]d.URL:c"),
		"countries":  many("a%[1]d.ADR:;;1\r\na%[1]d.X-ABADR:de"),
		"accounts":   many("X-AIM:%d"),
		"one twice":  many("X-AIM:ada\r\nIMPP;X-SERVICE-TYPE=AIM:aim:ada%.0s"),
		"dates":      many("ANNIVERSARY:1985-04-12%.0s"),
		"notes":      many("NOTE:%d"),
		"orgs":       many("ORG;PREF=%d:a;b;c;d"),
		"categories": card("CATEGORIES:" + strings.Repeat(",a", 500<<10)),
		"components": card("ADR:"+strings.Repeat(";", 1<<20), "ORG:"+strings.Repeat(";b", 500<<10)),
		"escapes":    card("NOTE:" + strings.Repeat(`\n`, 500<<10)),
		"label":      card("a.X-ABLabel:"+long, strings.Repeat("a.URL:b\r\n", 50<<10)),
		"parameters": card("X-SOCIALPROFILE;type=" + strings.Repeat("home,", 200<<10) + "b;x-user=" + long + ":c"),
		"pref":       many("URL;PREF=%[1]d:%[1]d"),
	}
}

func TestDetailsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	for name, data := range hostileDetails() {
		t.Run(name, func(t *testing.T) {
			var r vcf.DetailsReader
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r.Read(data)
			runtime.ReadMemStats(&after)
			if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(80*len(data)); got > limit {
				t.Errorf("took %d bytes for %d, want at most %d", got, len(data), limit)
			}
			r.Read(card("FN:x"))
			runtime.GC()
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > before.HeapAlloc+(1<<20) {
				t.Errorf("kept %d bytes", after.HeapAlloc-before.HeapAlloc)
			}
			runtime.KeepAlive(&r)
		})
	}
}
