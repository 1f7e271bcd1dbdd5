package vcf_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// FuzzReader reads any bytes, and compares the result with go-vcard's if the two must agree.
func FuzzReader(f *testing.F) {
	for _, data := range corpus(f) {
		if len(data) < 5000 {
			f.Add(data)
		}
	}
	f.Add([]byte("BEGIN:VCARD\nFN;CHARSET=LATIN1;ENCODING=QUOTED-PRINTABLE:=C3=\n=BC\\;\nORG:;\\;;a\nTEL;TYPE=\"a,FAX\";PREF=2:tel:1\nEND:VCARD"))
	f.Add([]byte("BEGIN:VCARD\na.X-ABLabel:_$!<x>!$_\na.EMAIL;TYPE=X-a,b:c\nN:a;b\\,c;;\\\\;\nBEGIN:VCARD\nFN:x\nEND:VCARD\nMEMBER:urn:uuid:x\nEND:VCARD"))
	var r vcf.Reader
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got := r.Fields(data)
		if want, ok := reference(data); ok && dump(got) != dump(want) {
			t.Errorf("%q: got\n%swant\n%s", data, dump(got), dump(want))
		}
		// An earlier card must not change the result.
		if a, b := dump(got), dump(new(vcf.Reader).Fields(data)); a != b {
			t.Errorf("%q: got\n%sand with a new Reader\n%s", data, a, b)
		}
		// Unfolding does not change the result, and a second Unfold changes nothing.
		flat := vcf.Unfold(data)
		if !bytes.Contains(flat, []byte("=\r\n")) {
			if a, b := dump(r.Fields(data)), dump(new(vcf.Reader).Fields(flat)); a != b {
				t.Errorf("%q: got\n%sand unfolded\n%s", data, a, b)
			}
			if again := vcf.Unfold(flat); !bytes.Equal(again, flat) {
				t.Errorf("%q: unfolded twice got %q, want %q", data, again, flat)
			}
		}
		// go-vcard's own unfolding, if it is correct for this card, gives the same card.
		if !oddity.Match(data) && len(begin.FindAll(fold.ReplaceAll(data, nil), -1)) == 1 {
			want, err := vcard.NewDecoder(bytes.NewReader(data)).Decode()
			if err == nil {
				got, err := vcard.NewDecoder(bytes.NewReader(flat)).Decode()
				if err != nil {
					t.Errorf("%q: got %v after Unfold, which makes it %q", data, err, flat)
				}
				sameCard(t, "after Unfold", got, want)
			}
		}
		for _, name := range []string{"PHOTO", "FN"} {
			if line, ok := vcf.Find(data, name); ok && !strings.EqualFold(line.Name, name) {
				t.Errorf("%q: got %q, want %s", data, line.Name, name)
			}
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%q was changed to %q", before, data)
		}
	})
}

// FuzzEdit edits one property or two, and compares the result with the edit.
func FuzzEdit(f *testing.F) {
	const text = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:a\r\nitem1.TEL;type=HOME:1\r\nitem1.X-ABLabel:x\r\n" +
		"TEL:2\r\nNOTE:a\\, b\r\n  c\r\nitem2.URL:http\\://a\r\nitem2.X-ABLabel:y\r\nEND:VCARD\r\n"
	f.Add([]byte(text), "NOTE", "", "", "", "a\\;b,c\nd", byte(0))
	f.Add([]byte(text), "TEL", "item2", "TYPE", "a;b", "3", byte(1))
	f.Add([]byte(text), "TEL", "item1", "X-A", "b", "3", byte(2))
	f.Add([]byte(text), "TEL", "", "", "", "", byte(3))
	f.Add([]byte(strings.ReplaceAll(text, "\r", "")), "URL", "item2", "VALUE", "uri", `http\://b`, byte(4))
	f.Add([]byte(text), "X-NEW", "item3", "", "", strings.Repeat("äöü", 50), byte(5))
	for name, data := range corpus(f) {
		if len(data) < 1000 {
			f.Add(data, "NOTE", "", "", "", name, byte(len(data)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, name, group, param, arg, value string, how byte) {
		before := bytes.Clone(data)
		if out, err := vcf.Edit(data, nil); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%q edited with nothing: got %q, %v", data, out, err)
		}
		card, cardErr := decode(data)

		// The caller starts from what go-vcard reads, and removes, adds or changes one.
		key := strings.ToUpper(name)
		own := card[key]
		field := &vcard.Field{Group: group, Value: value}
		if param != "" {
			field.Params = vcard.Params{param: {arg, "x"}}
		}
		fields := vcard.Card{name: nil}
		switch how % 6 {
		case 0:
			fields[name] = []*vcard.Field{field}
		case 1:
			fields[name] = append(own[:len(own):len(own)], field)
		case 2:
			fields[name] = append([]*vcard.Field{field}, own...)
		case 3:
			if len(own) > 0 {
				fields[name] = own[1:]
			}
		case 4:
			fields["X-SECOND"] = []*vcard.Field{field}
			fields[name] = own
		case 5:
			fields[name] = []*vcard.Field{field}
			fields["TEL"] = card["TEL"][:len(card["TEL"])/2]
		}
		out, err := vcf.Edit(data, props(fields))
		if !bytes.Equal(data, before) {
			t.Errorf("%q was changed to %q", before, data)
		}
		if err != nil {
			if out != nil {
				t.Errorf("got %q and the error %v", out, err)
			}
			return
		}
		// Cards that go-vcard, or this test's way to find lines, cannot read correctly.
		flat := fold.ReplaceAll(data, nil)
		if cardErr != nil || oddity.Match(data) || len(begin.FindAll(flat, -1)) != 1 || bytes.HasPrefix(data, []byte("\ufeff")) {
			return
		}
		check(t, data, out, fields)
		// The same edit again changes nothing.
		if again, err := vcf.Edit(out, props(fields)); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%q edited once more: got %q, %v", out, again, err)
		}
	})
}

// FuzzDetails reads any bytes. Details must be valid UTF-8, and must not be larger than the
// card allows. It must not depend on earlier cards or on the folds.
func FuzzDetails(f *testing.F) {
	for _, data := range corpus(f) {
		if len(data) < 5000 {
			f.Add(data)
		}
	}
	f.Add(full)
	f.Add([]byte("BEGIN:VCARD\nN;PHONETIC=x:a;b\nSOUND;X-IRMC-N;ENCODING=QUOTED-PRINTABLE:=C3=;b\nADR;CC=US;INTL;HOME:;;a\\;b\nEND:VCARD"))
	f.Add([]byte("BEGIN:VCARD\nIMPP;X-SERVICE-TYPE=a:aim:goim?screenname=%41%00\nSOCIALPROFILE;USERNAME=^n^^;TYPE=x,home:live:a\nX-AIM:a\nX-aim:A\nEND:VCARD"))
	f.Add([]byte("BEGIN:VCARD\na.ANNIVERSARY:--0229T1\nA.X-ABLabel:_$!<>!$_\nX-ABDATE;X-APPLE-OMIT-YEAR=1985:1985-4-2\nBDAY;CALSCALE=x:1\nEND:VCARD"))
	var r vcf.DetailsReader
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		d := *r.Read(data)
		got := fmt.Sprintf("%+v", d)
		if want := fmt.Sprintf("%+v", *details(data)); got != want {
			t.Errorf("%q: got\n%s\nand with a new reader\n%s", data, got, want)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q: got %q", data, got)
		}
		// A byte of Windows-1252 becomes at most three bytes of UTF-8, and a label
		// may belong to many values.
		if len(d.Note) > 3*len(data) || len(d.Addresses)+len(d.URLs)+len(d.Services)+len(d.Dates) > len(data)/4 {
			t.Errorf("%d bytes gave %s", len(data), got)
		}
		for _, date := range append(d.Dates, vcf.LabeledDate{Date: d.Birthday}) {
			if d := date.Date; d.Month > 0 && d.Day > 0 {
				year := d.Year
				if year == 0 {
					year = 2000 // a leap year, which has every day
				}
				if day := time.Date(year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC); int(day.Month()) != d.Month || day.Day() != d.Day {
					t.Errorf("%q: got the day %v", data, d)
				}
			}
		}
		if flat := vcf.Unfold(data); !bytes.Contains(flat, []byte("=\r\n")) {
			if want := fmt.Sprintf("%+v", *details(flat)); got != want {
				t.Errorf("%q: got\n%s\nand unfolded\n%s", data, got, want)
			}
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%q was changed to %q", before, data)
		}
	})
}
