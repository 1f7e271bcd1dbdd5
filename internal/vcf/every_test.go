package vcf_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// The tests of this file make one change to a card at every possible place.

// rich is a card with every property that a listing needs.
var rich = card("X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:A-1", `N:Müller\;;Zoë;;Dr.;`,
	`ORG:;Bücher\, Töne\\;x`, `item1.EMAIL;X-A="a:b;c,d";type=HOME:zoë@example.org`, "EMAIL;TYPE=\"work,pref\":z@example.org",
	"item2.TEL;VALUE=uri:tel:+1", "item2.X-ABLabel:_$!<Boat>!$_", "item1.X-ABLabel:日本", "TEL;TYPE=fax,home:2", "UID:U-1")

const richFields = "UID \"U-1\"\nName \"Dr. Zoë Müller;\"\nOrg \"Bücher, Töne\\\\\"\nEmail \"日本\" \"zoë@example.org\"\n" +
	"Email \"work\" \"z@example.org\"\nPhone \"Boat\" \"+1\"\nPhone \"home fax\" \"2\"\nGroup\nMember \"A-1\"\n"

func TestFoldAnywhere(t *testing.T) {
	if got := dump(read(rich)); got != richFields {
		t.Fatalf("got\n%swant\n%s", got, richFields)
	}
	var r vcf.Reader
	for _, fold := range []string{"\r\n ", "\n\t", "\r\n \r\n "} {
		for i := 1; i < len(rich); i++ {
			// A fold within a line end or before one would change the card.
			if rich[i-1] == '\n' || rich[i-1] == '\r' {
				continue
			}
			data := slices.Concat(rich[:i], []byte(fold), rich[i:])
			if got := dump(r.Fields(data)); got != richFields {
				t.Fatalf("%q at byte %d: got\n%swant\n%s", fold, i, got, richFields)
			}
			if got := vcf.Unfold(data); !bytes.Equal(got, rich) {
				t.Fatalf("%q at byte %d: unfolded to %q", fold, i, got)
			}
		}
	}
}

// A card may end at any byte, for example because a server stopped. What was before is read, and nothing that the
// whole card does not have.
func TestCutAnywhere(t *testing.T) {
	var r vcf.Reader
	for i := range rich {
		data := rich[:i]
		got := r.Fields(data)
		lines := strings.Split(dump(got), "\n")
		for _, l := range lines[3 : len(lines)-1] {
			// The last line may be incomplete, and a label may be missing.
			word, _, _ := strings.Cut(l, " ")
			if !strings.Contains(richFields, word) {
				t.Errorf("%d bytes: got %q, which the card does not have", i, l)
			}
		}
		if _, err := vcf.Edit(data, []vcf.Property{{Name: "NOTE"}}); (err == nil) != bytes.Contains(data, []byte("END:VCARD")) {
			t.Errorf("%d bytes: got %v from Edit", i, err)
		}
		vcf.Unfold(data)
		vcf.Find(data, "UID")
	}
}

// If any byte is replaced by another one, the Fields are still those that go-vcard finds.
func TestAnyByte(t *testing.T) {
	var r vcf.Reader
	compared := 0
	for i := range rich {
		for _, c := range []byte("\x00\t\n\r \",.:;=\\AN\x80\xff") {
			data := bytes.Clone(rich)
			data[i] = c
			got := r.Fields(data)
			if want, ok := reference(data); ok {
				compared++
				if dump(got) != dump(want) {
					t.Fatalf("%q at byte %d: got\n%swant\n%s", c, i, dump(got), dump(want))
				}
			}
		}
	}
	if compared < 1000 {
		t.Errorf("compared %d cards, want at least 1000", compared)
	}
}

// TestEveryCharacter writes all combinations of three special characters by Edit. go-vcard and Read must read the
// same value.
func TestEveryCharacter(t *testing.T) {
	base := card("FN:x", "TEL:1")
	special := []string{`\`, ",", ";", ":", "n", "N", "\n", "\t", " ", `"`, "=", "ä", "👩", "\u2028", "."}
	for _, a := range special {
		for _, b := range special {
			for _, c := range special {
				value := a + b + c
				for _, name := range []string{"NOTE", "CATEGORIES", "URL", "FN"} {
					out, err := vcf.Edit(base, []vcf.Property{{Name: name, Fields: []vcf.Field{{Value: value}}}})
					if err != nil {
						t.Fatalf("%s %q: %v", name, value, err)
					}
					got, err := decode(out)
					if err != nil || got.Value(name) != value {
						t.Fatalf("%s %q: go-vcard reads %q, %v in\n%q", name, value, got.Value(name), err, out)
					}
					// Read returns the same, except for the semicolon, which go-vcard leaves escaped.
					if f := read(out); name == "FN" && strings.TrimSpace(value) != "" && f.Name != strings.ReplaceAll(value, `\;`, ";") {
						t.Fatalf("%q: read %q in\n%q", value, f.Name, out)
					}
					if again, err := vcf.Edit(out, []vcf.Property{{Name: name, Fields: []vcf.Field{{Value: got.Value(name)}}}}); err != nil || !bytes.Equal(again, out) {
						t.Fatalf("%s %q: the second edit gives %q, %v", name, value, again, err)
					}
				}
			}
		}
	}
}

// TestEveryLength writes values of every length up to a few folds, of characters of every length. A program that
// decodes each line separately must be able to read the result.
func TestEveryLength(t *testing.T) {
	for _, c := range []string{"x", "ä", "長", "👩", "\\", "\n", " "} {
		for n := range 240 / len(c) {
			value := strings.Repeat(c, n)
			out, err := vcf.Edit(card("FN:x"), []vcf.Property{{Name: "NOTE", Fields: []vcf.Field{{Group: "item1", Value: value}}}})
			if err != nil {
				t.Fatalf("%d of %q: %v", n, c, err)
			}
			for line := range strings.Lines(string(out)) {
				text, ok := strings.CutSuffix(line, "\r\n")
				if !ok || len(text) > 75 || strings.ToValidUTF8(text, "?") != text {
					t.Fatalf("%d of %q: got the line %q", n, c, line)
				}
			}
			if got, err := decode(out); err != nil || got.Value("NOTE") != value {
				t.Fatalf("%d of %q: go-vcard reads %q, %v", n, c, got.Value("NOTE"), err)
			}
		}
	}
}

// Names, addresses and categories that go-vcard's API has made can be written into a card and read again.
func TestStructured(t *testing.T) {
	c := make(vcard.Card)
	c.SetName(&vcard.Name{FamilyName: `O\;Neil`, GivenName: "Pat", HonorificSuffix: "Jr., MD"})
	c.SetAddress(&vcard.Address{StreetAddress: "1, Loop\nSuite 5", Locality: "Köln", Country: "DE"})
	c.SetCategories([]string{"friends", "family"})
	c.SetKind(vcard.KindGroup)
	out, err := vcf.Edit(card(), props(c))
	if err != nil {
		t.Fatal(err)
	}
	const want = "ADR:;;1\\, Loop\\nSuite 5;Köln;;;DE\r\nCATEGORIES:friends,family\r\nKIND:group\r\nN:O\\;Neil;Pat;;;Jr.\\, MD\r\nEND"
	if !bytes.Contains(out, []byte(want)) {
		t.Errorf("got\n%q\nwant in it\n%q", out, want)
	}
	got, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if a, w := got.Address().StreetAddress, "1, Loop\nSuite 5"; a != w {
		t.Errorf("got the street %q, want %q", a, w)
	}
	if cs := got.Categories(); fmt.Sprint(cs) != "[friends family]" {
		t.Errorf("got the categories %q", cs)
	}
	if f := read(out); f.Name != "Pat O;Neil Jr., MD" || !f.Group {
		t.Errorf("got %q", dump(f))
	}
}

func TestParams(t *testing.T) {
	for _, tt := range []struct{ in, params, value string }{
		{"X:v", "[]", "v"},
		{"X;A=b:v", "[{A b}]", "v"},
		{"X;a=b;A=c:v:w", "[{a b} {A c}]", "v:w"},
		{"X;A=b,c:v", "[{A b} {A c}]", "v"},
		{`X;A="b,c":v`, "[{A b} {A c}]", "v"},
		{`X;A="b:c;d":v`, "[{A b:c;d}]", "v"},
		{`X;A="b","c:d",e:v`, "[{A b} {A c:d} {A e}]", "v"},
		{`X;A=b"c;D=e:v"`, `[{A b"c} {D e}]`, `v"`},
		{"X;A=:v", "[{A }]", "v"},
		{"X;A=b=c==:v", "[{A b=c==}]", "v"},
		{"X;:v", "[]", "v"},
		{"X;HOME;base64:v", "[{TYPE HOME} {ENCODING base64}]", "v"},
		{"X;Url;cid;INLINE:v", "[{VALUE Url} {VALUE cid} {VALUE INLINE}]", "v"},
		{"X:", "[]", ""},
	} {
		line, ok := vcf.Find(card(tt.in), "X")
		if got := fmt.Sprint(line.Params); !ok || got != tt.params || string(line.Value) != tt.value {
			t.Errorf("%s: got %v %s %q, want %s %q", tt.in, ok, got, line.Value, tt.params, tt.value)
		}
	}
	for _, in := range []string{"X", "X;A=b", `X;A="b:v`, `X;A=b,"c;d:v`, "Y:X:v", "X Y:v", "x.Y:v"} {
		if line, ok := vcf.Find(card(in), "X"); ok {
			t.Errorf("%s: got %+v, want none", in, line)
		}
	}
}
