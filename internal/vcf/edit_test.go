package vcf_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// fieldsText writes fields so that they can be compared.
func fieldsText(fields []*vcard.Field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%q", f.Group)
		params := make(vcard.Params)
		for k, v := range f.Params {
			params[strings.ToUpper(k)] = v
		}
		for _, k := range slices.Sorted(maps.Keys(params)) {
			if len(params[k]) > 0 {
				fmt.Fprintf(&b, " %q=%q", k, params[k])
			}
		}
		fmt.Fprintf(&b, " %q\n", f.Value)
	}
	return b.String()
}

// props converts go-vcard's fields for Edit, as package icloud does.
func props(c vcard.Card) []vcf.Property {
	var all []vcf.Property
	for name, fields := range c {
		p := vcf.Property{Name: name}
		for _, f := range fields {
			p.Fields = append(p.Fields, vcf.Field{Group: f.Group, Params: f.Params, Value: f.Value})
		}
		all = append(all, p)
	}
	return all
}

func decode(data []byte) (vcard.Card, error) {
	return vcard.NewDecoder(bytes.NewReader(vcf.Unfold(data))).Decode()
}

// lines are a card's content lines with their folds and line ends.
func lines(data []byte) [][]byte {
	return regexp.MustCompile(`(?s-m)[^\n]*\n([ \t][^\n]*\n?)*|[^\n]+$`).FindAll(data, -1)
}

// others are the lines that an edit of these properties must leave alone.
func others(data []byte, edited vcard.Card) [][]byte {
	return slices.DeleteFunc(lines(data), func(line []byte) bool {
		name := fold.ReplaceAllString(string(line), "")
		name = strings.ToUpper(name[:max(strings.IndexAny(name, ":;"), 0)])
		name = name[strings.IndexByte(name, '.')+1:]
		if name == "X-ABLABEL" || name == "X-ABADR" {
			return true // checked elsewhere
		}
		for k := range edited {
			if strings.EqualFold(k, name) {
				return true
			}
		}
		return false
	})
}

// check compares an edited card with the edit.
func check(t testing.TB, data, out []byte, asked vcard.Card) {
	t.Helper()
	fields := make(vcard.Card)
	for k, f := range asked {
		fields[strings.ToUpper(k)] = f
	}
	fail := func(format string, args ...any) {
		t.Helper()
		asked := ""
		for k, f := range fields {
			asked += k + " " + fieldsText(f)
		}
		t.Errorf("%q edited with\n%sgives\n%q\nwhere %s", data, asked, out, fmt.Sprintf(format, args...))
	}
	if !bytes.Contains(data, []byte("\n")) {
		data, out = bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), bytes.ReplaceAll(out, []byte("\r"), []byte("\n"))
	}
	got, want := others(out, fields), others(data, fields)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		fail("the other lines are\n%q\nwant\n%q", got, want)
	}
	before, err := decode(data)
	if err != nil {
		return // go-vcard could not read the card before the edit
	}
	after, err := decode(out)
	if err != nil {
		fail("go-vcard says: %v", err)
		return
	}
	for k, want := range fields {
		if g, w := fieldsText(after[k]), fieldsText(want); g != w {
			fail("%s reads\n%swant\n%s", k, g, w)
		}
	}
	for k, want := range before {
		if _, ok := fields[k]; ok || k == "X-ABLABEL" || k == "X-ABADR" {
			continue
		}
		if g, w := fieldsText(after[k]), fieldsText(want); g != w {
			fail("%s reads\n%swant\n%s", k, g, w)
		}
	}
	// No label has lost its property, unless it had none before, and none belongs to another property now.
	for _, l := range after["X-ABLABEL"] {
		if _, ok := fields["X-ABLABEL"]; ok || l.Group == "" {
			continue
		}
		was, is := inGroup(before, l.Group), inGroup(after, l.Group)
		if len(was) > 0 && len(is) == 0 {
			fail("the label of %s is left alone", l.Group)
		}
		for name := range is {
			if !was[name] {
				fail("%s got another's label", name)
			}
		}
	}
}

func inGroup(c vcard.Card, group string) map[string]bool {
	names := make(map[string]bool)
	for k, fields := range c {
		for _, f := range fields {
			if k != "X-ABLABEL" && k != "X-ABADR" && strings.EqualFold(f.Group, group) {
				names[k] = true
			}
		}
	}
	return names
}

func fields(values ...string) []*vcard.Field {
	var all []*vcard.Field
	for _, v := range values {
		all = append(all, &vcard.Field{Value: v})
	}
	return all
}

func TestEdit(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for _, tt := range []struct {
		what     string
		in, want string // lines between VERSION and END
		fields   vcard.Card
	}{
		{"replaced where it stood", "FN:a\nNOTE:b\nTEL:1\n", "FN:a\nNOTE:c\nTEL:1\n", vcard.Card{"NOTE": fields("c")}},
		{"key in another case", "FN:a\nnote:b\n", "FN:a\nnote:c\n", vcard.Card{"Note": fields("c")}},
		{"new ones by name", "FN:a\n", "FN:a\nNOTE:n\nTITLE:t\nURL:u\n", vcard.Card{"URL": fields("u"), "NOTE": fields("n"), "TITLE": fields("t")}},
		{"removed with its folds", "FN:a\nNOTE:b\n c\n\td\nTEL:1\n", "FN:a\nTEL:1\n", vcard.Card{"NOTE": nil}},
		{"removed though absent", "FN:a\n", "FN:a\n", vcard.Card{"NOTE": nil}},
		{"all removed", "FN:a\nTEL:1\nFN:b\n", "TEL:1\n", vcard.Card{"FN": {}}},
		{"quoted-printable removed", "NOTE;ENCODING=QUOTED-PRINTABLE:a=\nTEL:1=\nb\nFN:a\n", "FN:a\n", vcard.Card{"NOTE": nil}},
		{"illegible removed", "NOTE;X=\"a:b\nFN:a\n", "FN:a\n", vcard.Card{"NOTE": nil}},
		{"unchanged", "note;type=x:a\n b\\,c\n", "note;type=x:a\n b\\,c\n", vcard.Card{"NOTE": {{Value: "ab,c", Params: vcard.Params{"TYPE": {"x"}}}}}},
		{"unchanged, of 2.1", "TEL;HOME:1\n", "TEL;HOME:1\n", vcard.Card{"TEL": {{Params: vcard.Params{"HOME": {"1"}}}}}},
		{"unchanged, parameter in another case", "NOTE;Type=a:\\b\n", "NOTE;Type=a:\\b\n", vcard.Card{"NOTE": {{Value: `\b`, Params: vcard.Params{"type": {"a"}}}}}},
		{"unchanged, not to be written", "NOTE:a\rb\xff\n", "NOTE:a\rb\xff\n", vcard.Card{"NOTE": fields("a\rb\xff")}},
		{"other parameters", "NOTE;X=a:b\n", "NOTE;X=c:b\n", vcard.Card{"NOTE": {{Value: "b", Params: vcard.Params{"X": {"c"}}}}}},

		{"one more", "TEL;type=a:1\nFN:a\nTEL;type=b:2\nNOTE:n\n", "TEL;type=a:1\nFN:a\nTEL;type=b:2\nTEL:3\nNOTE:n\n",
			vcard.Card{"TEL": {{Value: "1", Params: vcard.Params{"TYPE": {"a"}}}, {Value: "2", Params: vcard.Params{"TYPE": {"b"}}}, {Value: "3"}}}},
		{"one more before", "FN:a\nTEL:\\2\nNOTE:n\n", "FN:a\nTEL:1\nTEL:\\2\nNOTE:n\n", vcard.Card{"TEL": fields("1", `\2`)}},
		{"one more between", "TEL:\\1\nFN:a\nTEL:\\3\n", "TEL:\\1\nTEL:2\nFN:a\nTEL:\\3\n", vcard.Card{"TEL": fields(`\1`, "2", `\3`)}},
		{"first one less", "TEL:\\1\nFN:a\nTEL:\\2\nTEL:\\3\n", "FN:a\nTEL:\\2\nTEL:\\3\n", vcard.Card{"TEL": fields(`\2`, `\3`)}},
		{"middle one changed", "TEL:\\1\nFN:a\nTEL:\\2\nTEL:\\3\n", "TEL:\\1\nFN:a\nTEL:4\nTEL:\\3\n", vcard.Card{"TEL": fields(`\1`, "4", `\3`)}},
		{"another order", "tel;type=a:\\1\nFN:a\nTEL:\\2\nTEL:\\3\n", "TEL:\\3\nFN:a\nTEL:\\2\ntel;type=a:\\1\n",
			vcard.Card{"TEL": {{Value: `\3`}, {Value: `\2`}, {Value: `\1`, Params: vcard.Params{"TYPE": {"a"}}}}}},
		{"fewer", "TEL:1\nFN:a\nTEL:2\nTEL:3\n", "TEL:4\nFN:a\n", vcard.Card{"TEL": fields("4")}},
		{"more", "TEL:1\nFN:a\n", "TEL:4\nTEL:5\nTEL:6\nFN:a\n", vcard.Card{"TEL": fields("4", "5", "6")}},

		{"label goes", "item1.TEL:1\nitem1.X-ABLabel:Boat\nitem2.URL:u\nitem2.X-ABLabel:Home\n", "item2.URL:u\nitem2.X-ABLabel:Home\n", vcard.Card{"TEL": nil}},
		{"label goes, in another case", "ITEM1.tel:1\nitem1.x-ablabel:Boat\n", "", vcard.Card{"TEL": nil}},
		{"label before its property goes", "item1.X-ABLabel:Boat\nFN:a\nitem1.TEL:1\n", "FN:a\n", vcard.Card{"TEL": nil}},
		{"label goes with a changed group", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "TEL:1\n", vcard.Card{"TEL": fields("1")}},
		{"country goes", "item1.ADR:;;a\nitem1.X-ABADR:de\nitem1.X-ABLabel:x\nFN:a\n", "FN:a\n", vcard.Card{"ADR": nil}},
		{"label stays", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "item1.TEL:2\nitem1.X-ABLabel:Boat\n", vcard.Card{"TEL": {{Group: "item1", Value: "2"}}}},
		{"label stays with one of two", "item1.TEL:1\nitem1.TEL:2\nitem1.X-ABLabel:Boat\n", "item1.TEL:2\nitem1.X-ABLabel:Boat\n", vcard.Card{"TEL": {{Group: "item1", Value: "2"}}}},
		{"label stays with another property", "item1.TEL:1\nitem1.EMAIL:a\nitem1.X-ABLabel:Boat\n", "item1.EMAIL:a\nitem1.X-ABLabel:Boat\n", vcard.Card{"TEL": nil}},
		{"label goes with two properties", "item1.TEL:1\nitem1.EMAIL:a\nitem1.X-ABLabel:Boat\n", "", vcard.Card{"TEL": nil, "EMAIL": nil}},
		{"label does not pass to a newcomer", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "item1.EMAIL:a\n", vcard.Card{"TEL": nil, "EMAIL": {{Group: "item1", Value: "a"}}}},
		{"label without a property stays", "item1.X-ABLabel:Boat\nitem2.TEL:1\n", "item1.X-ABLabel:Boat\n", vcard.Card{"TEL": nil}},
		{"labels given", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "item1.TEL:1\nitem2.TEL:2\nitem1.X-ABLabel:Boat\nitem2.X-ABLabel:Car\n",
			vcard.Card{"TEL": {{Group: "item1", Value: "1"}, {Group: "item2", Value: "2"}}, "X-ABLABEL": {{Group: "item1", Value: "Boat"}, {Group: "item2", Value: "Car"}}}},
		{"labels given for a shared group", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "item1.TEL:1\nitem1.X-ABLabel:Boat\nitem1.EMAIL:a\n",
			vcard.Card{"EMAIL": {{Group: "item1", Value: "a"}}, "X-ABLABEL": {{Group: "item1", Value: "Boat"}}}},
		{"labels given outlive their property", "item1.TEL:1\nitem1.X-ABLabel:Boat\n", "item1.X-ABLabel:Boat\n", vcard.Card{"TEL": nil, "X-ABLABEL": {{Group: "item1", Value: "Boat"}}}},
		{"country goes without the label that is given", "item1.ADR:a\nitem1.X-ABADR:de\nitem1.X-ABLabel:x\n", "item1.X-ABLabel:x\n",
			vcard.Card{"ADR": nil, "X-ABLABEL": {{Group: "item1", Value: "x"}}}},
		{"country joins its address", "item1.ADR:a\nitem1.X-ABLabel:x\n", "item1.ADR:a\nitem1.X-ABLabel:x\nitem1.X-ABADR:de\n",
			vcard.Card{"X-ABADR": {{Group: "item1", Value: "de"}}}},
		{"shared group without a label", "item1.TEL:1\n", "item1.TEL:1\nitem1.EMAIL:a\n", vcard.Card{"EMAIL": {{Group: "item1", Value: "a"}}}},

		{"text", "", "NOTE:a\\, b; c\\nd\te: \"f\"\n", vcard.Card{"NOTE": fields("a, b; c\nd\te: \"f\"")}},
		{"backslashes", "", "NOTE:C:\\\\new\\\\Name\\\\\n", vcard.Card{"NOTE": fields(`C:\new\Name\`)}},
		{"pairs of backslashes", "", `NOTE:\\\\ \\\; \\\: \\\\n \\\, \\\n` + "\n", vcard.Card{"NOTE": fields(`\\ \\; \\: \\n \, ` + "\\\n")}},
		{"Apple's colon", "URL:http\\://a\n", "URL:http\\://b\n", vcard.Card{"URL": fields(`http\://b`)}},
		{"components", "", "N:O\\;Neil;Pat;;;Jr.\\, MD\n", vcard.Card{"N": fields(`O\;Neil;Pat;;;Jr., MD`)}},
		{"categories", "", "CATEGORIES:a,b\n", vcard.Card{"CATEGORIES": fields("a,b")}},
		{"addresses", "", "GEO:geo:1,2\nURL:http://a/b,c\n", vcard.Card{"URL": fields("http://a/b,c"), "GEO": fields("geo:1,2")}},
		{"address by its parameter", "", "X-A;VALUE=uri:http://a/b,c\n", vcard.Card{"X-A": {{Value: "http://a/b,c", Params: vcard.Params{"VALUE": {"uri"}}}}}},
		{"text by its parameter", "", "GEO;VALUE=TEXT:a\\,b\n", vcard.Card{"GEO": {{Value: "a,b", Params: vcard.Params{"value": {"TEXT"}}}}}},
		{"photo", "", "PHOTO:data:image/jpeg;base64,QUI=\n", vcard.Card{"PHOTO": fields("data:image/jpeg;base64,QUI=")}},
		{"empty", "", "NOTE:\n", vcard.Card{"NOTE": fields("")}},

		{"parameters", "", "TEL;PREF=1;TYPE=HOME;TYPE=pref;X-A=b,c:1\n", vcard.Card{"TEL": {{Value: "1", Params: vcard.Params{"type": {"HOME", "pref"}, "X-A": {"b", "c"}, "PREF": {"1"}, "X-B": {}}}}}},
		{"quoted parameters", "", "TEL;TYPE=\"a:b\";TYPE=c;X-A=\"d;e,f g\":1\n", vcard.Card{"TEL": {{Value: "1", Params: vcard.Params{"TYPE": {"a:b", "c"}, "X-A": {"d;e", "f g"}}}}}},
		{"empty parameter", "", "TEL;TYPE=:1\n", vcard.Card{"TEL": {{Value: "1", Params: vcard.Params{"TYPE": {""}}}}}},

		{"folded", "", "NOTE:" + long[:70] + "\n " + long[70:144] + "\n " + long[144:] + "\n", vcard.Card{"NOTE": fields(long)}},
		{"just not folded", "", "NOTE:" + strings.Repeat("x", 70) + "\n", vcard.Card{"NOTE": fields(strings.Repeat("x", 70))}},
		{"just folded", "", "NOTE:" + strings.Repeat("x", 70) + "\n y\n", vcard.Card{"NOTE": fields(strings.Repeat("x", 70) + "y")}},

		{"inner card", "AGENT:\nBEGIN:VCARD\nFN:b\nEND:VCARD\nFN:a\n", "AGENT:\nBEGIN:VCARD\nFN:b\nEND:VCARD\nFN:c\nNOTE:n\n", vcard.Card{"FN": fields("c"), "NOTE": fields("n")}},
		{"no fields", "FN:a\n b\n\n", "FN:a\n b\n\n", nil},
	} {
		for _, eol := range []string{"\n", "\r\n", "\r"} {
			if eol == "\r" && strings.Contains(tt.in, "\r") {
				continue
			}
			whole := func(inner string) []byte {
				// A second card, and the text around the first one, do not change either.
				return []byte(strings.ReplaceAll("\nBEGIN:VCARD\nVERSION:3.0\n"+inner+"END:VCARD\n\nBEGIN:VCARD\nFN:z\nNOTE:z\nEND:VCARD", "\n", eol))
			}
			in := whole(tt.in)
			kept := bytes.Clone(in)
			out, err := vcf.Edit(in, props(tt.fields))
			if err != nil {
				t.Errorf("%s: got error %v", tt.what, err)
				continue
			}
			if want := whole(tt.want); !bytes.Equal(out, want) {
				t.Errorf("%s: got\n%q\nwant\n%q", tt.what, out, want)
			}
			if !bytes.Equal(in, kept) {
				t.Errorf("%s: the card given was changed", tt.what)
			}
			if len(out) > 0 && &out[0] == &in[0] {
				t.Errorf("%s: got the bytes given, want a copy", tt.what)
			}
			if c, err := decode(out); err == nil {
				for k, want := range tt.fields {
					if g, w := fieldsText(c[strings.ToUpper(k)]), fieldsText(want); g != w {
						t.Errorf("%s: %s reads\n%swant\n%s", tt.what, k, g, w)
					}
				}
			}
		}
	}
}

// TestEditUnchanged gives lines back as go-vcard reads them, which is not always correct.
func TestEditUnchanged(t *testing.T) {
	for _, line := range []string{
		"X:v", "g.X:v", "X;A=b:v", "X;a=b;A=c:v", "X;B=c;A=b:v", `X;A="b:c;d,e":v`, `X;A="b\"c":v`, `X;A="\u00e4\x41\n":v`,
		`X;A=b\\c,d\ne:v`, "X;A=:v", "X;A=,:v", "X;A=b=c==:v", "X;HOME;A=b:v", "X;HOME:v", "X;HOME:", "X;;A=b:v", "X;A=b", "X;A=",
		`X:a\\b\nc\,d\;e\:f\Ng,h;i\`, "X:a\rb", "X:\xff", "X:", "X;=b:v", `X;A=b"c:v`,
	} {
		data := card(line, "Y:x")
		c, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		// go-vcard must have read the line. Otherwise the test would check nothing.
		if len(c["X"]) != 1 {
			t.Errorf("%s: go-vcard reads no X", line)
		}
		delete(c, "VERSION")
		if out, err := vcf.Edit(data, props(c)); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%s: got %q, %v", line, out, err)
		}
	}
}

func TestEditRefuses(t *testing.T) {
	type p = []vcf.Property
	one := func(name string, f vcf.Field) p { return p{{Name: name, Fields: []vcf.Field{f}}} }
	param := func(name string, values ...string) p {
		return one("TEL", vcf.Field{Params: map[string][]string{name: values}})
	}
	good := "BEGIN:VCARD\nVERSION:3.0\nitem1.TEL:1\nitem1.X-ABLabel:secret\nitem2.X-ABLabel:secret\nEND:VCARD\n"
	for _, tt := range []struct {
		what, in string
		props    p
	}{
		{"no name", good, one("", vcf.Field{})},
		{"name with a colon", good, one("A:B", vcf.Field{})},
		{"name with a group", good, one("item1.TEL", vcf.Field{})},
		{"name with a line break", good, one("A\nB", vcf.Field{})},
		{"name with a space", good, one("A B", vcf.Field{})},
		{"name that is no ASCII", good, one("emaıl", vcf.Field{})},
		{"illegal name to remove", good, p{{Name: "A B"}}},
		{"BEGIN", good, one("BEGIN", vcf.Field{})},
		{"END", good, p{{Name: "end"}}},
		{"VERSION", good, one("Version", vcf.Field{Value: "4.0"})},
		{"name given twice", good, p{{Name: "FN"}, {Name: "fn"}}},
		{"group with a dot", good, one("TEL", vcf.Field{Group: "a.b"})},
		{"group with a line break", good, one("TEL", vcf.Field{Group: "a\nb"})},
		{"group with a colon", good, one("TEL", vcf.Field{Group: "a:b"})},
		{"parameter with a colon", good, param("A:B", "c")},
		{"parameter with no name", good, param("", "c")},
		{"parameter that is no ASCII", good, param("tıtle", "c")},
		{"parameter given twice", good, one("TEL", vcf.Field{Params: map[string][]string{"type": {"a"}, "TYPE": {"b"}}})},
		{"parameter with a quotation mark", good, param("A", `b"c`)},
		{"parameter with a comma", good, param("A", "b,c")},
		{"parameter with a backslash", good, param("A", `b\c`)},
		{"parameter with a line break", good, param("A", "b\nc")},
		{"parameter with a control character", good, param("A", "b\x00c")},
		{"parameter that is not UTF-8", good, param("A", "b\xff")},
		{"second value", good, param("A", "b", "c\r")},
		{"quoted-printable", good, param("encoding", "quoted-printable")},
		{"CR", good, one("NOTE", vcf.Field{Value: "a\r\nb"})},
		{"NUL", good, one("NOTE", vcf.Field{Value: "a\x00"})},
		{"escape", good, one("NOTE", vcf.Field{Value: "a\x1b[0m"})},
		{"DEL", good, one("NOTE", vcf.Field{Value: "a\x7f"})},
		{"C1", good, one("NOTE", vcf.Field{Value: "a\u0085b"})},
		{"U+FFFE", good, one("NOTE", vcf.Field{Value: "a\ufffe"})},
		{"not UTF-8", good, one("NOTE", vcf.Field{Value: "a\xff"})},
		{"second field", good, p{{Name: "NOTE", Fields: []vcf.Field{{Value: "a"}, {Value: "\x00"}}}}},
		{"another's label", good, one("EMAIL", vcf.Field{Group: "item1", Value: "a"})},
		{"another's label, in another case", good, one("EMAIL", vcf.Field{Group: "ITEM1", Value: "a"})},
		{"nobody's label", good, one("TEL", vcf.Field{Group: "item2", Value: "1"})},
		{"no END", "BEGIN:VCARD\nFN:a\n", p{{Name: "FN"}}},
		{"no BEGIN", "FN:a\nEND:VCARD\n", p{{Name: "FN"}}},
		{"inner END only", "BEGIN:VCARD\nBEGIN:VCARD\nFN:a\nEND:VCARD\n", p{{Name: "FN"}}},
		{"nothing", "", p{{Name: "FN"}}},
	} {
		out, err := vcf.Edit([]byte(tt.in), tt.props)
		if err == nil || out != nil {
			t.Errorf("%s: got %q, %v, want nothing and an error", tt.what, out, err)
			continue
		}
		if msg := err.Error(); strings.ContainsAny(msg, "\n\r\x00") || strings.Contains(msg, "secret") || !utf8.ValidString(msg) || errors.Unwrap(err) == err {
			t.Errorf("%s: got the message %q", tt.what, msg)
		}
	}
}

// TestEditCorpus gives every card back to itself, property by property and all at once, and changes every property.
func TestEditCorpus(t *testing.T) {
	edits := 0
	for name, data := range corpus(t) {
		c, err := decode(data)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		delete(c, "VERSION")
		if out, err := vcf.Edit(data, props(c)); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%s: given back its own fields: got %q, %v", name, out, err)
		}
		for k, own := range c {
			if out, err := vcf.Edit(data, props(vcard.Card{k: own})); err != nil || !bytes.Equal(out, data) {
				t.Errorf("%s: given back its own %s: got %q, %v", name, k, out, err)
			}
			if len(data) > 5000 && k != "FN" && k != "PHOTO" {
				continue // because check is slow
			}
			for _, want := range [][]*vcard.Field{nil, own[1:], append(slices.Clone(own), &vcard.Field{Value: "new, one"}), changed(own)} {
				fields := vcard.Card{k: want}
				out, err := vcf.Edit(data, props(fields))
				if err != nil {
					if !unwritable(want) {
						t.Errorf("%s: %s: got %v", name, k, err)
					}
					continue
				}
				edits++
				if !bytes.Contains(data, []byte("QUOTED-PRINTABLE")) {
					check(t, data, out, fields)
				}
			}
		}
	}
	if edits < 4000 {
		t.Errorf("got %d edits, want at least 4000", edits)
	}
}

// changed returns fields in which the last character of every value is doubled.
func changed(own []*vcard.Field) []*vcard.Field {
	var all []*vcard.Field
	for _, f := range own {
		g := *f
		_, n := utf8.DecodeLastRuneInString(g.Value)
		g.Value += g.Value[len(g.Value)-n:]
		all = append(all, &g)
	}
	return all
}

// unwritable reports whether fields contain something that Edit refuses to write.
func unwritable(fields []*vcard.Field) bool {
	for _, f := range fields {
		text := f.Value
		for _, v := range f.Params {
			text += strings.Join(v, "")
		}
		odd := func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) || r == 0xfffe || r == 0xffff }
		if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) || strings.Contains(text, "QUOTED-PRINTABLE") {
			return true
		}
	}
	return false
}
