package vcf_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// card makes a card of lines, with the line ends of the wire.
func card(lines ...string) []byte {
	return []byte("BEGIN:VCARD\r\nVERSION:3.0\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCARD\r\n")
}

func read(data []byte) *vcf.Fields {
	var r vcf.Reader
	return r.Fields(data)
}

func TestName(t *testing.T) {
	for _, tt := range []struct {
		what  string
		lines []string
		want  string
	}{
		{"FN", []string{"N:Doe;Jane;;;", "FN:Dr. Jane Doe"}, "Dr. Jane Doe"},
		{"escapes", []string{`FN:a\, b\; c\\d\ne\Nf\:g\x`}, "a, b; c\\d\ne\nf\\:g\\x"},
		{"escape at the end", []string{`FN:a\`}, `a\`},
		{"backslash before n", []string{`FN:C:\\new`}, `C:\new`},
		{"plain semicolon", []string{"FN:Doe; Jane"}, "Doe; Jane"},
		{"colon", []string{"FN:A: B"}, "A: B"},
		{"lower case", []string{"fn:jane"}, "jane"},
		{"group", []string{"item1.FN:Jane"}, "Jane"},
		{"leading dot", []string{".FN:Jane"}, "Jane"},
		{"quoted parameter", []string{`FN;X-A="a:b;c,d";SORT-AS="x":Jane`}, "Jane"},
		{"list of quoted values", []string{`FN;X-A="a:b","c;d":Jane`}, "Jane"},
		{"quotation mark inside", []string{`FN;X-A=a"b:Jane"`}, `Jane"`},
		{"quotation mark never closed", []string{`FN;X-A="a:Jane`, "N:Doe;J.;;;"}, "J. Doe"},
		{"no colon", []string{"FN;X-A=a", "FN", "N:Doe;J.;;;"}, "J. Doe"},
		{"blank FN", []string{"FN: \t", "N:Doe;J.;;;"}, "J. Doe"},
		{"second FN", []string{"FN:", "FN:Jane"}, "Jane"},
		{"first FN", []string{"FN:Jane", "FN:Joan"}, "Jane"},
		{"preferred FN", []string{"FN;PREF=2:A", "FN;PREF=1:B", "FN;PREF=1:C"}, "B"},
		{"preferred by type", []string{"FN:A", "FN;type=x;TYPE=PREF:B"}, "B"},
		{"preferred but blank", []string{"FN:A", "FN;PREF=1:"}, "A"},
		{"PREF out of range", []string{"FN:A", "FN;PREF=200:B"}, "A"},
		{"PREF out of range first", []string{"FN;PREF=200:A", "FN:B"}, "A"},
		{"PREF and type", []string{"FN;TYPE=pref:A", "FN;PREF=1:B", "FN;PREF=2:C"}, "A"},
		{"PREF no number", []string{"FN;PREF=1:A", "FN;PREF=best:B"}, "B"},
		{"empty PREF", []string{"FN:A", "FN;PREF=;TYPE=pref:B"}, "B"},

		{"N", []string{"N:Public;John;Quinlan;Mr.;Esq."}, "Mr. John Quinlan Public Esq."},
		{"N with spaces", []string{"N: Public ;  John;\t;;"}, "John Public"},
		{"N with escapes", []string{`N:O\;Neil\\;Pat\, Jr.;;;`}, `Pat, Jr. O;Neil\`},
		{"N of one", []string{"N:Prince"}, "Prince"},
		{"N of more than five", []string{"N:a;b;c;d;e;f;g"}, "d b c a e"},
		{"N with list", []string{"N:Public;John;Quinlan,Paul;Mr.;Esq.,PhD"}, "Mr. John Quinlan,Paul Public Esq.,PhD"},
		{"N after ORG", []string{"ORG:Acme", "N:;;;;"}, "Acme"},
		{"second N", []string{"N:;;;;", "N:Doe;;;;"}, "Doe"},
		{"preferred N", []string{"N:A;;;;", "N;PREF=1:B;;;;"}, "B"},

		{"ORG", []string{"ORG:Acme;Sales"}, "Acme"},
		{"nothing", []string{"NOTE:x"}, ""},
	} {
		if got := read(card(tt.lines...)).Name; got != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.what, tt.lines, got, tt.want)
		}
	}
}

func TestOrg(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{[]string{"ORG:Apple Inc.;"}, "Apple Inc."},
		{[]string{"ORG:Acme;Sales;Europe"}, "Acme"},
		{[]string{"ORG:;Sales"}, "Sales"},
		{[]string{"ORG:;;"}, ""},
		{[]string{"ORG: ;", "ORG:Acme"}, "Acme"},
		{[]string{`ORG:Bücher\, Töne & Söhne\; GmbH;Dept 0`}, "Bücher, Töne & Söhne; GmbH"},
		{[]string{`ORG:a\\;b`}, `a\`},
		{[]string{"ORG:A", "ORG;PREF=1:B"}, "B"},
	} {
		if got := read(card(tt.lines...)).Org; got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.lines, got, tt.want)
		}
	}
}

func TestUID(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{[]string{"UID:4A-b"}, "4A-b"},
		{[]string{"UID:urn:uuid:4A-b"}, "4A-b"},
		{[]string{"UID;VALUE=uri:URN:Uuid:4A"}, "4A"},
		{[]string{"UID:urn:uuid:", "UID:urn:oid:1"}, "urn:oid:1"},
		{[]string{"UID:uuid:4A"}, "uuid:4A"},
		{[]string{"UID:", "UID:x", "UID:y"}, "x"},
		{[]string{`UID:a\,b\;c`}, "a,b;c"},
	} {
		if got := read(card(tt.lines...)).UID; got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.lines, got, tt.want)
		}
	}
}

func TestLabels(t *testing.T) {
	for _, tt := range []struct {
		what  string
		lines []string
		want  []vcf.Labeled
	}{
		{"none", []string{"TEL:1"}, []vcf.Labeled{{"", "1"}}},
		{"Apple's", []string{"TEL;type=CELL;type=VOICE;type=pref:1"}, []vcf.Labeled{{"cell", "1"}}},
		{"iPhone", []string{"TEL;type=IPHONE;type=CELL;type=VOICE:1"}, []vcf.Labeled{{"iphone", "1"}}},
		{"list", []string{"TEL;TYPE=HOME,WORK:1"}, []vcf.Labeled{{"home", "1"}}},
		{"quoted list", []string{`TEL;TYPE="voice,work";VALUE=text:1`}, []vcf.Labeled{{"work", "1"}}},
		{"two quoted values", []string{`TEL;TYPE="voice","work":1`}, []vcf.Labeled{{"work", "1"}}},
		{"space in list", []string{"TEL;TYPE=voice, work:1"}, []vcf.Labeled{{"work", "1"}}},
		{"bare", []string{"TEL;HOME;VOICE:1", "TEL;PREF;CELL:2"}, []vcf.Labeled{{"home", "1"}, {"cell", "2"}}},
		{"bare encoding", []string{"TEL;8BIT:1"}, []vcf.Labeled{{"", "1"}}},
		{"fax", []string{"TEL;TYPE=fax:1", "TEL;TYPE=FAX,HOME:2", "TEL;type=WORK;type=FAX:3", "TEL;TYPE=OTHER,FAX:4"},
			[]vcf.Labeled{{"fax", "1"}, {"home fax", "2"}, {"work fax", "3"}, {"other fax", "4"}}},
		{"noise", []string{"TEL;TYPE=X-PRIVATE,x-a,x-,voice,pref,text,video,msg,x400,:1"}, []vcf.Labeled{{"", "1"}}},
		{"unusual", []string{"TEL;TYPE=Ferienhaus:1", "TEL;TYPE=BÜRO:2"}, []vcf.Labeled{{"ferienhaus", "1"}, {"büro", "2"}}},
		{"other parameters", []string{"TEL;X-A=home;TYPE=work;PREF=1:1"}, []vcf.Labeled{{"work", "1"}}},

		{"own", []string{"item1.TEL;type=HOME:1", "item1.X-ABLabel:Boat"}, []vcf.Labeled{{"Boat", "1"}}},
		{"Apple's own", []string{"item1.TEL:1", "item1.X-ABLabel:_$!<School>!$_"}, []vcf.Labeled{{"School", "1"}}},
		{"Apple's unusual", []string{"item1.TEL:1", "item1.X-ABLabel:_$!<Yacht>!$_"}, []vcf.Labeled{{"Yacht", "1"}}},
		{"half marked", []string{"item1.TEL:1", "item1.X-ABLabel:_$!<Yacht"}, []vcf.Labeled{{"_$!<Yacht", "1"}}},
		{"before", []string{"item1.X-ABLabel:Boat", "item1.TEL:1"}, []vcf.Labeled{{"Boat", "1"}}},
		{"escapes", []string{"item1.TEL:1", `item1.X-ABLabel: a\, b\\ `}, []vcf.Labeled{{`a, b\`, "1"}}},
		{"another case", []string{"ITEM1.TEL:1", "item1.X-ABLABEL:Boat"}, []vcf.Labeled{{"Boat", "1"}}},
		{"another group", []string{"item1.TEL;TYPE=home:1", "item11.X-ABLabel:Boat", "X-ABLabel:Car"}, []vcf.Labeled{{"home", "1"}}},
		{"blank", []string{"item1.TEL;TYPE=home:1", "item1.X-ABLabel: ", "item1.X-ABLabel:_$!<>!$_"}, []vcf.Labeled{{"home", "1"}}},
		{"first", []string{"item1.TEL:1", "item1.X-ABLabel:Boat", "item1.X-ABLabel:Car"}, []vcf.Labeled{{"Boat", "1"}}},
		{"first of many", append([]string{"item1.TEL:1", "a.X-ABLabel:Boat", "item1.X-ABLabel:Car"}, slices.Repeat([]string{"a.X-ABLabel:b", "item1.X-ABLabel:c"}, 50)...),
			[]vcf.Labeled{{"Car", "1"}}},
		{"none of many", append([]string{"item1.TEL;TYPE=home:1"}, slices.Repeat([]string{"a.X-ABLabel:b"}, 50)...), []vcf.Labeled{{"home", "1"}}},
		{"shared", []string{"a.TEL:1", "a.TEL:2", "a.X-ABLabel:Boat"}, []vcf.Labeled{{"Boat", "1"}, {"Boat", "2"}}},

		{"URI", []string{"TEL;VALUE=uri;TYPE=home:tel:+1-555;ext=2", "TEL:TEL: 3"}, []vcf.Labeled{{"home", "+1-555;ext=2"}, {"", "3"}}},
		{"space", []string{"TEL: \t1 2\\n "}, []vcf.Labeled{{"", "1 2"}}},
		{"empty", []string{"TEL:", "TEL;TYPE=home: ", "TEL:tel:", "TEL:1"}, []vcf.Labeled{{"", "1"}}},
	} {
		got := read(card(tt.lines...)).Phones
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %q: got %q, want %q", tt.what, tt.lines, got, tt.want)
		}
		if tt.what == "URI" || tt.what == "empty" {
			continue // these are about telephones
		}
		lines := strings.Split(strings.ReplaceAll(strings.Join(tt.lines, "\n"), "TEL", "EMAIL"), "\n")
		got = read(card(lines...)).Emails
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %q: got %q, want %q", tt.what, lines, got, tt.want)
		}
	}
}

func TestOrder(t *testing.T) {
	f := read(card("EMAIL;type=INTERNET;type=WORK:b@example.org", "TEL:1", "item1.EMAIL;type=INTERNET:a@example.org",
		"item1.X-ABLabel:Club", "EMAIL:", "TEL:2"))
	want := []vcf.Labeled{{"work", "b@example.org"}, {"Club", "a@example.org"}}
	if fmt.Sprint(f.Emails) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", f.Emails, want)
	}
	if len(f.Phones) != 2 || f.Phones[0].Value != "1" || f.Phones[1].Value != "2" {
		t.Errorf("got %q, want 1 and 2", f.Phones)
	}
}

func TestGroups(t *testing.T) {
	for _, tt := range []struct {
		lines   []string
		group   bool
		members string
	}{
		{[]string{"X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:A-1", "X-ADDRESSBOOKSERVER-MEMBER:URN:UUID:b-2"}, true, "[A-1 b-2]"},
		{[]string{"KIND:Group", "MEMBER:urn:uuid:A", "MEMBER:mailto:a@example.org", "MEMBER:"}, true, "[A mailto:a@example.org]"},
		{[]string{"x-addressbookserver-kind: GROUP "}, true, "[]"},
		{[]string{"KIND:individual"}, false, "[]"},
		{[]string{"KIND:org"}, false, "[]"},
		{[]string{"NOTE:group"}, false, "[]"},
	} {
		f := read(card(tt.lines...))
		if f.Group != tt.group || fmt.Sprint(f.Members) != tt.members {
			t.Errorf("%q: got %v %v, want %v %v", tt.lines, f.Group, f.Members, tt.group, tt.members)
		}
	}
}

func TestLines(t *testing.T) {
	const want = "UID \"u\"\nName \"Jürgen\"\nOrg \"\"\nEmail \"\" \"j@example.org\"\n"
	for what, data := range map[string]string{
		"CRLF":              "BEGIN:VCARD\r\nUID:u\r\nFN:Jürgen\r\nEMAIL:j@example.org\r\nEND:VCARD\r\n",
		"LF":                "BEGIN:VCARD\nUID:u\nFN:Jürgen\nEMAIL:j@example.org\nEND:VCARD\n",
		"CR":                "BEGIN:VCARD\rUID:u\rFN:Jür\r gen\rEMAIL:j@example.org\rEND:VCARD\r",
		"CRCRLF":            "BEGIN:VCARD\r\r\nUID:u\r\r\nFN:Jürgen\r\r\nEMAIL:j@example.org\r\r\nEND:VCARD\r\r\n",
		"mixed, no end":     "BEGIN:VCARD\nUID:u\r\nFN:Jürgen\nEMAIL:j@example.org\r\nEND:VCARD",
		"truncated":         "BEGIN:VCARD\nUID:u\r\nFN:Jürgen\nEMAIL:j@example.org",
		"truncated at CR":   "BEGIN:VCARD\nUID:u\r\nFN:Jürgen\nEMAIL:j@example.org\r",
		"byte order mark":   "\ufeffBEGIN:VCARD\nUID:u\nFN:Jürgen\nEMAIL:j@example.org\nEND:VCARD\n",
		"blank lines":       "\r\n\nBEGIN:VCARD\n\nUID:u\n\r\n\nFN:Jürgen\n\nEMAIL:j@example.org\n\nEND:VCARD\n\n",
		"junk":              "hello\nFN:Other\nBEGIN:VCARD\nUID:u\nnonsense\nFN:Jürgen\n:x\nEMAIL:j@example.org\nEND:VCARD\n",
		"fold in rune":      "BEGIN:VCARD\nUID:u\nFN:J\xc3\n \xbcrgen\nEMAIL:j@\n\texample.org\nEND:VCARD\n",
		"fold in name":      "BEG\n IN:VC\n ARD\nU\n ID:u\nF\n N\n :Jürgen\nEM\r\n AIL:j@example.org\nEN\n D:VCARD\n",
		"fold after start":  "BEGIN:VCARD\r\nVERSION:3.0\r\n a.UID:v\r\nUID:u\r\nFN:Jürgen\r\nEMAIL:j@example.org\r\nEND:VCARD\r\n",
		"fold in last line": "BEGIN:VCARD\nUID:u\nFN:Jürgen\nEMAIL:j@example.org\nEND:VCA\n RD",
		"fold in parameter": "BEGIN:VCARD\nUID;X=\n a:u\nFN;X=\"a:\n b\":Jürgen\nEMAIL;TYPE=int\n ernet:j@example.org\nEND:VCARD\n",
		"empty folds":       "BEGIN:VCARD\nUID:u\n \n \nFN:\n \n J\n ürgen\nEMAIL:j@example.org\n \nEND:VCARD\n",
		"lower case":        "begin:vcard\nuid:u\nfn:Jürgen\nemail:j@example.org\nend:vcard\n",
		"space after END":   "BEGIN:VCARD \nUID:u\nFN:Jürgen\nEMAIL:j@example.org\nEND:VCARD \nFN:Other\n",
		"second card":       "BEGIN:VCARD\nUID:u\nEMAIL:j@example.org\nFN:Jürgen\nEND:VCARD\nBEGIN:VCARD\nUID:v\nTEL:1\nEND:VCARD\n",
		"END of no card":    "END:VCARD\nBEGIN:VCARD\nUID:u\nEND:OTHER\nEMAIL:j@example.org\nFN:Jürgen\nEND:VCARD\n",
		"inner card": "BEGIN:VCARD\nAGENT:\nBEGIN:VCARD\nUID:v\nFN:Agent\nTEL:1\nBEGIN:VCARD\nFN:Deep\nEND:VCARD\nKIND:group\nEND:VCARD\n" +
			"UID:u\nEMAIL:j@example.org\nFN:Jürgen\nEND:VCARD\n",
		"inner card in one line": "BEGIN:VCARD\nAGENT:BEGIN:VCARD\\nFN:Agent\\nEND:VCARD\\n\nUID:u\nEMAIL:j@example.org\nFN:Jürgen\nEND:VCARD\n",
		"photo": "BEGIN:VCARD\r\nPHOTO;ENCODING=b:QUJD\r\n QUI=\r\nUID:u\r\nPHOTO;BASE64:\r\n  QUJD\r\n  QUI=\r\n\r\n" +
			"FN:Jürgen\r\nPHOTO:data:x;base64,QUI=\r\nEMAIL:j@example.org\r\nEND:VCARD\r\n",
	} {
		if got := dump(read([]byte(data))); got != want {
			t.Errorf("%s: got\n%swant\n%s", what, got, want)
		}
	}
	for what, data := range map[string]string{
		"nothing":      "",
		"no card":      "FN:Jane\nEMAIL:j@example.org\n",
		"HTML":         "<html><title>FN:x</title>\nFN:Jane\n",
		"a calendar":   "BEGIN:VCALENDAR\nUID:u\nEND:VCALENDAR\n",
		"empty values": "BEGIN:VCARD\nFN:\nUID:\nEMAIL:\nN:\nORG:\nTEL:\nMEMBER:\nKIND:\na.X-ABLabel:\nEND:VCARD",
	} {
		if got, want := dump(read([]byte(data))), dump(&vcf.Fields{}); got != want {
			t.Errorf("%s: got\n%swant nothing", what, got)
		}
	}
	// Inside a line a CR is text.
	if got := read(card("FN:a\rb")).Name; got != "a\rb" {
		t.Errorf("got %q, want %q", got, "a\rb")
	}
}

func TestVersion21(t *testing.T) {
	for _, tt := range []struct {
		what  string
		lines []string
		want  string
	}{
		{"UTF-8", []string{"FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=BCrgen"}, "Jürgen"},
		{"bare", []string{"FN;quoted-printable:J=c3=bcrgen"}, "Jürgen"},
		{"Latin-1", []string{"FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:J=FCrgen =80 5"}, "Jürgen € 5"},
		{"no charset", []string{"FN;ENCODING=QUOTED-PRINTABLE:J=FCrgen"}, "Jürgen"},
		{"another charset", []string{"FN;CHARSET=KOI8-R;ENCODING=QUOTED-PRINTABLE:J=FCrgen"}, "J\xfcrgen"},
		{"mislabeled", []string{"FN;CHARSET=ISO-8859-1:Jürgen"}, "Jürgen"},
		{"8 bit", []string{"FN;CHARSET=windows-1252:J\xfcrgen \x93x\x94"}, "Jürgen “x”"},
		{"no parameters", []string{"FN:J\xfcrgen"}, "J\xfcrgen"},
		{"soft line breaks", []string{"FN;ENCODING=QUOTED-PRINTABLE:J=C3=", "=BCrg=", "en=20=", " Doe"}, "Jürgen  Doe"},
		{"soft line break at the end", []string{"FN;ENCODING=QUOTED-PRINTABLE:Jane=", "", "TEL:1"}, "Jane"},
		{"line break", []string{"FN;ENCODING=QUOTED-PRINTABLE:a=0D=0Ab=0Ac"}, "a\nb\nc"},
		{"no escape", []string{"FN;ENCODING=QUOTED-PRINTABLE:a=b=ZZ=4"}, "a=b=ZZ=4"},
		{"escaped then encoded", []string{`FN;ENCODING=QUOTED-PRINTABLE:a\;b=5C=2Cc`}, "a;b,c"},
		{"N", []string{"N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCll=", "er;J=3B=C3=B6;;;"}, "J;ö Müller"},
		// The text that looks like a name is the rest of a note.
		{"in another property", []string{"NOTE;ENCODING=QUOTED-PRINTABLE:one=", "FN:two=", "N:three", "FN:Jane"}, "Jane"},
		{"not quoted-printable", []string{"NOTE:1+1=", "FN:Jane"}, "Jane"},
		{"said in quotation marks", []string{`NOTE;X="ENCODING=QUOTED-PRINTABLE:":1+1=`, "FN:Jane"}, "Jane"},
	} {
		if got := read(card(tt.lines...)).Name; got != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.what, tt.lines, got, tt.want)
		}
	}
	f := read(card("ORG;ENCODING=QUOTED-PRINTABLE:B=C3=BCcher=3B;x", "TEL;WORK;QUOTED-PRINTABLE:=2B49=", "1", "EMAIL;INTERNET;ENCODING=QUOTED-PRINTABLE:a=40example.org"))
	if f.Org != "Bücher;" || f.Phones[0] != (vcf.Labeled{"work", "+491"}) || f.Emails[0].Value != "a@example.org" {
		t.Errorf("got %q", dump(f))
	}
}

// A Reader's strings stay valid after its next Read. Nothing else of one card is in the next.
func TestReaderIsReused(t *testing.T) {
	var r vcf.Reader
	big := card("X-ADDRESSBOOKSERVER-KIND:group", "MEMBER:"+strings.Repeat("m", 100<<10), "FN:Big", "ORG:O", "TEL:1", "EMAIL:e", "UID:u", "a.X-ABLabel:L")
	for range 2 {
		f := r.Fields(big)
		name, org, phone, member := f.Name, f.Org, f.Phones[0].Value, f.Members[0]
		if got, want := dump(r.Fields(card("a.TEL:2"))), "UID \"\"\nName \"\"\nOrg \"\"\nPhone \"\" \"2\"\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if name != "Big" || org != "O" || phone != "1" || member != strings.Repeat("m", 100<<10) {
			t.Errorf("the strings of the first card changed: %q %q %q", name, org, phone)
		}
	}
	// The card's bytes may be overwritten after Read.
	data := card("FN:Jane", "TEL:1")
	f := r.Fields(data)
	clear(data)
	if f.Name != "Jane" || f.Phones[0].Value != "1" {
		t.Errorf("got %q %q after the bytes were overwritten", f.Name, f.Phones)
	}
}

func TestReadAllocates(t *testing.T) {
	var r vcf.Reader
	for name, data := range map[string][]byte{"plain": apple, "photo": applePhoto} {
		if got := testing.AllocsPerRun(100, func() { r.Read(data, nil) }); got > 1 {
			t.Errorf("%s: got %v allocations a card, want 1", name, got)
		}
	}
}

// Read returns more as a string, whatever the card says.
func TestReadMore(t *testing.T) {
	var r vcf.Reader
	for _, data := range [][]byte{apple, card("N:Doe;Jane"), card("ORG:O", "a.TEL:1", "a.X-ABLabel:Boat"), nil} {
		want := dump(read(data))
		for _, more := range []string{"", "1.vcf\"etag\"", strings.Repeat("m", 100<<10)} {
			given := []byte(more)
			text := r.Read(data, given)
			clear(given)
			if got := dump(r.Found()); got != want || text != more {
				t.Errorf("%.20q: got %.20q and\n%swant\n%s", more, text, got, want)
			}
		}
	}
	if got := testing.AllocsPerRun(100, func() { r.Read(apple, []byte("1.vcf")) }); got > 1 {
		t.Errorf("got %v allocations, want 1", got)
	}
}

// hostile are cards of about a megabyte. Each tries to use much time or memory in another way.
func hostile() map[string][]byte {
	const size = 1 << 20
	fill := func(format string) []byte {
		var b bytes.Buffer
		b.WriteString("BEGIN:VCARD\nFN:x\n")
		for i := 0; b.Len() < size; i++ {
			if strings.Contains(format, "%") {
				fmt.Fprintf(&b, format, i, i)
			} else {
				b.WriteString(format)
			}
		}
		b.WriteString("\nEND:VCARD\n")
		return b.Bytes()
	}
	line := func(begin, part, end string) []byte {
		return []byte("BEGIN:VCARD\n" + begin + strings.Repeat(part, size/len(part)) + end + "\nEND:VCARD\n")
	}
	return map[string][]byte{
		"blank lines":         fill("\n"),
		"tiny lines":          fill("a:\n"),
		"names":               fill("FN:x\n"),
		"better names":        fill("FN;PREF=-%d:%d\n"),
		"inner cards":         fill("BEGIN:VCARD\n"),
		"empty folds":         fill("\n "),
		"folds without names": fill("a\n b\n"),
		"one folded name":     line("", "a\n ", ":"),
		"labels":              slices.Concat(fill("%d.EMAIL:x\n%d.X-ABLabel:y\n")[:size-7], bytes.Repeat([]byte("\na.TEL:1"), size/4)),
		"labels of nothing":   fill("a%d.X-ABLabel:y\nb%d.TEL:1\n"),
		"one label":           fill("a.EMAIL:x\na.X-ABLabel:y\n"),
		"one long label":      append(line("a.X-ABLabel:", "l", "\n"+strings.Repeat("a.TEL:1\n", size/8)), "END:VCARD\n"...),
		"one long group":      line("", "a", ".TEL:1\n"+strings.Repeat("b.X-ABLabel:x\n", 1000)),
		"parameters":          line("TEL", ";a=b", ":1"),
		"bare parameters":     line("TEL", ";b", ":1"),
		"types":               line("TEL;TYPE=", "x-y,", ":1"),
		"quotation marks":     line("TEL", `;a="`, ":1"),
		"soft line breaks":    fill("FN;ENCODING=QUOTED-PRINTABLE:=\n=\n=\n"),
		"one soft line":       line("FN;QUOTED-PRINTABLE:x", "=\n", ""),
		"never soft":          line("FN"+strings.Repeat(";a=b", 1000)+":x", "=\n ", ""),
		"components":          line("ORG:", " ;", "x\nN:"+strings.Repeat(";", size)),
		"backslashes":         line("FN:", `\`, ""),
		"carriage returns":    line("FN:", "\r\r \r\n ", ""),
		"returns only":        bytes.ReplaceAll(line("FN:", "\r", ""), []byte("\n"), []byte("\r")),
		"members":             fill("MEMBER:urn:uuid:x\n"),
	}
}

// TestLinear would take minutes if the time were quadratic in a card's length. It compares with an ordinary card of
// the same size, because on a busy machine everything takes long.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	use := func(data []byte) time.Duration {
		var r vcf.Reader
		start := time.Now()
		r.Read(data, nil)
		vcf.Unfold(data)
		vcf.Find(data, "NONE")
		vcf.Edit(data, []vcf.Property{
			{Name: "NOTE", Fields: []vcf.Field{{Value: "x"}}},
			{Name: "EMAIL", Fields: []vcf.Field{{Group: "a1", Value: "z"}}},
			{Name: "TEL"}, {Name: "FN"},
		})
		return time.Since(start)
	}
	ordinary := card(strings.Repeat("NOTE:as long as lines are\r\n", 40<<10))
	for name, data := range hostile() {
		t.Run(name, func(t *testing.T) {
			limit := max(2*time.Second, 200*use(ordinary))
			if d := use(data); d > limit {
				t.Errorf("took %v, want at most %v", d, limit)
			}
		})
	}
}

// TestMemory compares the memory that a card needs with its size. A factor is allowed, because even a line of four
// bytes needs some memory.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	for name, data := range hostile() {
		t.Run(name, func(t *testing.T) {
			var r vcf.Reader
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r.Read(data, nil)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 100*uint64(len(data)) {
				t.Errorf("Read took %d bytes for %d", n, len(data))
			}
			// The Reader keeps hardly any of it after an ordinary card.
			r.Read(apple, nil)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 512<<10 {
				t.Errorf("%d bytes stay", n)
			}
			if got := testing.AllocsPerRun(10, func() { r.Read(apple, nil) }); got > 1 {
				t.Errorf("the next card took %v allocations", got)
			}
			runtime.KeepAlive(data)
		})
	}
}

func TestUnfold(t *testing.T) {
	for _, tt := range []struct{ what, in, want string }{
		{"LF", "BEGIN:VCARD\nFN:a\n b\nEND:VCARD\n", "BEGIN:VCARD\r\nFN:ab\r\nEND:VCARD\r\n"},
		{"tab", "BEGIN:VCARD\r\nFN:a\r\n\tb\r\n  c\r\nEND:VCARD\r\n", "BEGIN:VCARD\r\nFN:ab c\r\nEND:VCARD\r\n"},
		{"last line", "BEGIN:VCARD\nEND:VC\n ARD", "BEGIN:VCARD\r\nEND:VCARD\r\n"},
		{"rune", "BEGIN:VCARD\nFN:\xc3\n \xbc\nEND:VCARD", "BEGIN:VCARD\r\nFN:ü\r\nEND:VCARD\r\n"},
		{"soft line break", "BEGIN:VCARD\nFN;QUOTED-PRINTABLE:a=\nb\nEND:VCARD", "BEGIN:VCARD\r\nFN;QUOTED-PRINTABLE:ab\r\nEND:VCARD\r\n"},
		{"inner card", "BEGIN:VCARD\nBEGIN:VCARD\nFN:x\nEND:VCARD\nFN:y\nEND:VCARD\nBEGIN:VCARD", "BEGIN:VCARD\r\nFN:y\r\nEND:VCARD\r\n"},
		{"byte order mark", "\ufeffBEGIN:VCARD\nEND:VCARD\n", "BEGIN:VCARD\r\nEND:VCARD\r\n"},
		{"CR", "BEGIN:VCARD\rFN:a\r b\r\rEND:VCARD\r", "BEGIN:VCARD\r\nFN:ab\r\n\r\nEND:VCARD\r\n"},
		{"empty line with a fold", "BEGIN:VCARD\nFN:a\n\n  b\nEND:VCARD\n", "BEGIN:VCARD\r\nFN:a\r\n\r\n  b\r\nEND:VCARD\r\n"},
		{"no card", "FN:x\n y", "FN:xy\r\n"},
		{"nothing", "", ""},
	} {
		if got := string(vcf.Unfold([]byte(tt.in))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.what, got, tt.want)
		}
	}
	// Cards that go-vcard cannot read without Unfold.
	c, err := vcard.NewDecoder(bytes.NewReader(vcf.Unfold([]byte("BEGIN:VCARD\r\nFN:x\r\nEND:VC\r\n ARD")))).Decode()
	if err != nil || c.Value("FN") != "x" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestFind(t *testing.T) {
	data := card("item1.FN:x", "PHOTO", "item2.Photo;VALUE=uri;X-ABCROP-RECTANGLE=ABClipRect_1&0&9&aGFzaA==;type=a,\"b\":https://p02-contac", " ts.icloud.com:443/1/wbs/0", "PHOTO:second")
	line, ok := vcf.Find(data, "PHOTO")
	if !ok || line.Group != "item2" || line.Name != "Photo" || string(line.Value) != "https://p02-contacts.icloud.com:443/1/wbs/0" {
		t.Errorf("got %v, %+v", ok, line)
	}
	if got := fmt.Sprint(line.Params); got != "[{VALUE uri} {X-ABCROP-RECTANGLE ABClipRect_1&0&9&aGFzaA==} {type a} {type b}]" {
		t.Errorf("got %v", got)
	}
	if line.Param("VALUE") != "uri" || line.Param("TYPE") != "a" || line.Param("ENCODING") != "" {
		t.Errorf("got %q %q %q", line.Param("VALUE"), line.Param("TYPE"), line.Param("ENCODING"))
	}
	if line, ok := vcf.Find(data, "NOTE"); ok {
		t.Errorf("got %+v, want none", line)
	}
	line, _ = vcf.Find(card("PHOTO;JPEG;BASE64:QUJD", " QUI="), "PHOTO")
	if line.Param("TYPE") != "JPEG" || line.Param("ENCODING") != "BASE64" || string(line.Value) != "QUJDQUI=" {
		t.Errorf("got %+v", line)
	}
	line, _ = vcf.Find(card("PHOTO;URL:x"), "PHOTO")
	if line.Param("VALUE") != "URL" {
		t.Errorf("got %+v", line)
	}
	line, _ = vcf.Find(card("NOTE;ENCODING=QUOTED-PRINTABLE:=C3=", "=BC\\n\\;"), "NOTE")
	if got := line.Text(); got != "ü\n;" {
		t.Errorf("got %q", got)
	}
	// Neither a property of an inner card nor one outside of the card.
	if line, ok := vcf.Find([]byte("X:0\nBEGIN:VCARD\nBEGIN:VCARD\nX:1\nEND:VCARD\nEND:VCARD\nX:2\n"), "X"); ok {
		t.Errorf("got %+v, want none", line)
	}
}
