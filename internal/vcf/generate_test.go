package vcf_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// A writer writes cards whose content is known, in as many forms as vCard allows. Unlike the tables, it also makes
// combinations that nobody has thought of.
type writer struct {
	*rand.Rand
	out bytes.Buffer
	eol string
}

// pick returns one of the words.
func (w *writer) pick(words ...string) string { return words[w.IntN(len(words))] }

// spell returns a name in some mixture of cases.
func (w *writer) spell(name string) string {
	switch w.IntN(4) {
	case 0:
		return strings.ToLower(name)
	case 1:
		b := []byte(name)
		for i := range b {
			if w.IntN(2) == 0 {
				b[i] = strings.ToLower(name)[i]
			}
		}
		return string(b)
	}
	return name
}

// text returns a text that a real card might have.
func (w *writer) text() string {
	var b strings.Builder
	for range 1 + w.IntN(5) {
		b.WriteString(w.pick("Ann", "Zoë", "山田", "O’Brien", "👩‍🚀", "a,b", "x;y", `C:\new`, "two\nlines", `\`, ":", `"q"`, "=", "-", "1+1=2",
			strings.Repeat("long ", 20), strings.Repeat("長", 30)))
		b.WriteString(w.pick("", " ", "  "))
	}
	// Another test is about space around a value.
	return "<" + b.String() + ">"
}

// escape writes text with the escapes that are required, and with some that are not.
func (w *writer) escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n':
			b.WriteString(w.pick(`\n`, `\N`))
		case r == '\\', r == ';':
			b.WriteString(`\` + string(r))
		case r == ',':
			b.WriteString(w.pick(`\,`, ","))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// params returns parameters that mean nothing to a listing.
func (w *writer) params() string {
	var b strings.Builder
	for range w.IntN(3) {
		b.WriteString(w.pick(";X-A=b", `;x-a="b:c;d,e"`, ";X-A=b,c", ";LANGUAGE=de", ";x-crop=a&1&2==", ";VALUE=text", ";X-A="))
	}
	return b.String()
}

// line writes a content line, folded at random bytes.
func (w *writer) line(text string) {
	for len(text) > 1 && w.IntN(3) > 0 {
		n := 1 + w.IntN(min(len(text)-1, 75))
		w.out.WriteString(text[:n] + w.eol + w.pick(" ", "\t"))
		text = text[n:]
	}
	w.out.WriteString(text + w.eol)
	if w.IntN(10) == 0 {
		w.out.WriteString(w.eol)
	}
}

// card writes a card and returns its content.
func (w *writer) card() (data []byte, want *vcf.Fields) {
	w.out.Reset()
	w.eol = w.pick("\r\n", "\n")
	want = new(vcf.Fields)
	w.line(w.spell("BEGIN:VCARD"))
	w.line("VERSION:" + w.pick("3.0", "4.0"))

	var parts []string
	if w.IntN(4) > 0 {
		want.UID = w.text()
		parts = append(parts, w.spell("UID")+w.params()+":"+w.escape(want.UID))
	}
	if w.IntN(2) == 0 {
		want.Org = w.text()
		parts = append(parts, w.spell("ORG")+w.params()+":"+w.pick("", ";", " ;")+w.escape(want.Org)+w.pick("", ";", ";Dept"))
		want.Name = want.Org
	}
	if w.IntN(2) == 0 {
		family, given := w.text(), w.text()
		parts = append(parts, w.spell("N")+w.params()+":"+w.escape(family)+";"+w.escape(given)+w.pick("", ";", ";;;", "; ;;"))
		want.Name = given + " " + family
	}
	if w.IntN(2) == 0 {
		want.Name = w.text()
		parts = append(parts, w.spell("FN")+w.params()+":"+w.escape(want.Name))
	}
	for i := range w.IntN(30) {
		parts = append(parts, w.other(i))
	}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })

	// Addresses and numbers are in order. Their labels may be anywhere.
	var labels []string
	for i := range w.IntN(25) {
		name, list := "EMAIL", &want.Emails
		if w.IntN(2) == 0 {
			name, list = "TEL", &want.Phones
		}
		l := vcf.Labeled{Value: w.text()}
		types := w.params()
		switch w.IntN(4) {
		case 0:
			l.Label = w.pick("home", "work", "cell", "büro")
			types += w.pick(";TYPE=voice,", ";type=pref;TYPE=", `;TYPE="internet,`, ";type=X-A;TYPE=") + strings.ToUpper(l.Label)
			if strings.Contains(types, `="internet,`) {
				types += `"`
			}
		case 1:
			l.Label = "home fax"
			types += w.pick(";TYPE=fax,HOME", ";type=HOME;type=FAX;type=pref")
		}
		group := ""
		if w.IntN(3) == 0 {
			l.Label = w.text()
			group = fmt.Sprintf("item%d.", i)
			label := w.escape(l.Label)
			if w.IntN(2) == 0 {
				label = "_$!<" + label + ">!$_"
			}
			labels = append(labels, w.spell(group)+w.spell("X-ABLABEL")+":"+label)
		}
		*list = append(*list, l)
		parts = append(parts, w.spell(group)+w.spell(name)+types+":"+w.pick("", " ")+w.escape(l.Value)+w.pick("", " "))
	}
	for _, l := range labels {
		parts = slices.Insert(parts, w.IntN(len(parts)+1), l)
	}
	for _, p := range parts {
		w.line(p)
	}
	w.line(w.spell("END:VCARD"))
	return bytes.Clone(w.out.Bytes()), want
}

// other returns a property that a listing does not need.
func (w *writer) other(i int) string {
	name := w.pick("NOTE", "TITLE", "X-FN", "FNX", "EMAILS", "TE", "UIDS", "X-ABDATE", "PHOTO", "URL", "REV", "X-ABADR", "NICKNAME")
	return w.pick("", "", fmt.Sprintf("other%d.", i)) + w.spell(name) + w.params() + ":" + w.escape(w.text())
}

func TestGenerated(t *testing.T) {
	w := &writer{Rand: rand.New(rand.NewPCG(1, 2))}
	var r vcf.Reader
	for range 1000 {
		data, want := w.card()
		if got := r.Fields(data); dump(got) != dump(want) {
			t.Fatalf("%q: got\n%swant\n%s", data, dump(got), dump(want))
		}
		if got := r.Fields(vcf.Unfold(data)); dump(got) != dump(want) {
			t.Fatalf("%q unfolded: got\n%swant\n%s", data, dump(got), dump(want))
		}
		if got, ok := reference(data); ok && dump(got) != dump(want) {
			t.Fatalf("%q: go-vcard has\n%swant\n%s", data, dump(got), dump(want))
		}
	}
}

// TestGeneratedEdits edits generated cards many times, as a program does over the years. Each edit uses the fields
// that go-vcard reads, and the result of the previous edit.
func TestGeneratedEdits(t *testing.T) {
	w := &writer{Rand: rand.New(rand.NewPCG(3, 4))}
	for range 60 {
		data, _ := w.card()
		for range 8 {
			c, err := decode(data)
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			asked := make(vcard.Card)
			for range 1 + w.IntN(3) {
				name := w.pick("FN", "N", "EMAIL", "TEL", "TEL", "NOTE", "URL", "X-NEW", "ORG")
				asked[name] = w.change(c[name])
			}
			out, err := vcf.Edit(data, props(asked))
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			check(t, data, out, asked)
			if t.Failed() {
				t.FailNow()
			}
			data = out
		}
	}
}

// change changes, adds, removes or reorders a property's fields.
func (w *writer) change(own []*vcard.Field) []*vcard.Field {
	fields := slices.Clone(own)
	if len(fields) == 0 || w.IntN(4) == 0 {
		f := &vcard.Field{Value: w.text()}
		if w.IntN(2) == 0 {
			f.Params = vcard.Params{"TYPE": {w.pick("HOME", "WORK")}, "X-A": {w.pick("b", "b:c", "d;e")}}
		}
		return slices.Insert(fields, w.IntN(len(fields)+1), f)
	}
	i := w.IntN(len(fields))
	switch w.IntN(4) {
	case 0:
		return slices.Delete(fields, i, i+1)
	case 1:
		w.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	default:
		f := *fields[i]
		f.Value = w.text()
		fields[i] = &f
	}
	return fields
}
