package vcf_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// corpus returns cards as five kinds of CardDAV servers have sent them.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/cards/*.vcf")
	if err != nil {
		t.Fatal(err)
	}
	// Without this check a test would pass with an empty folder.
	if len(names) < 100 {
		t.Fatalf("got %d cards in testdata/cards, want at least 100", len(names))
	}
	cards := make(map[string][]byte)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cards[filepath.Base(name)] = data
	}
	return cards
}

var (
	fold = regexp.MustCompile(`\r*\n[ \t]`)
	// A line that go-vcard and vCard's grammar read in the same way.
	orderly = regexp.MustCompile(`^([^.;:"\\]*\.)?[^;:"\\]*(;[^=;:"\\]+=("[^"\\]*"|[^";:\\]*))*:`)
	oddity  = regexp.MustCompile(`(?i)quoted-printable|charset|[\x01\x02]`)
	begin   = regexp.MustCompile(`(?im)^([^.;:\n]*\.)?begin[;:]`)
)

// reference returns what go-vcard finds in a card. ok is false if go-vcard refuses the card, or if the two are known
// to differ: for nested cards, vCard 2.1, and lines outside the grammar.
func reference(card []byte) (*vcf.Fields, bool) {
	text := fold.ReplaceAllString(string(card), "")
	if oddity.MatchString(text) || len(begin.FindAllString(text, -1)) != 1 {
		return nil, false
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.ContainsAny(line, ":;") {
			continue
		}
		header := orderly.FindString(line)
		if header == "" || !ascii(header) {
			return nil, false
		}
	}
	// go-vcard leaves \; in a value, and then it looks like a backslash before a semicolon. So this test replaces it
	// by a character that stands for it.
	var hidden strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			hidden.WriteByte(text[i])
			continue
		case text[i+1] == ';':
			hidden.WriteByte('\x01')
		case text[i+1] == 'N':
			hidden.WriteString(`\n`)
		default:
			hidden.WriteString(text[i : i+2])
		}
		i++
	}
	c, err := vcard.NewDecoder(strings.NewReader(hidden.String())).Decode()
	if err != nil {
		return nil, false
	}

	f := new(vcf.Fields)
	for _, v := range c.Values("UID") {
		if v = withoutURN(show(v)); f.UID == "" && strings.TrimSpace(v) != "" {
			f.UID = v
		}
	}
	if org := best(c["ORG"], func(v string) string { return firstFull(strings.Split(v, ";")) }); org != "" {
		f.Org = org
	}
	f.Name = best(c["FN"], func(v string) string { return firstFull([]string{v}) })
	if f.Name == "" {
		f.Name = best(c["N"], func(v string) string {
			n := append(strings.Split(v, ";"), "", "", "", "")
			var words []string
			for _, i := range []int{3, 1, 2, 0, 4} {
				if w := strings.TrimSpace(show(n[i])); w != "" {
					words = append(words, w)
				}
			}
			return strings.Join(words, " ")
		})
	}
	if f.Name == "" {
		f.Name = f.Org
	}
	f.Emails = labeled(c, "EMAIL")
	f.Phones = labeled(c, "TEL")
	for _, k := range []string{"KIND", "X-ADDRESSBOOKSERVER-KIND"} {
		for _, v := range c.Values(k) {
			f.Group = f.Group || strings.EqualFold(strings.TrimSpace(show(v)), "group")
		}
	}
	for _, k := range []string{"MEMBER", "X-ADDRESSBOOKSERVER-MEMBER"} {
		for _, v := range c.Values(k) {
			if v = withoutURN(show(v)); strings.TrimSpace(v) != "" {
				f.Members = append(f.Members, v)
			}
		}
	}
	return f, true
}

func withoutURN(v string) string {
	if len(v) >= 9 && strings.EqualFold(v[:9], "urn:uuid:") {
		return v[9:]
	}
	return v
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// show replaces that character by a semicolon again.
func show(v string) string { return strings.ReplaceAll(v, "\x01", ";") }

func firstFull(values []string) string {
	for _, v := range values {
		if v = show(v); strings.TrimSpace(v) != "" {
			return v
		}
	}
	return ""
}

// best is Card.PreferredValue without the empty values.
func best(fields []*vcard.Field, read func(string) string) string {
	var full []*vcard.Field
	for _, f := range fields {
		if v := read(f.Value); v != "" {
			full = append(full, &vcard.Field{Value: v, Params: f.Params})
		}
	}
	return vcard.Card{"X": full}.PreferredValue("X")
}

func labeled(c vcard.Card, name string) []vcf.Labeled {
	var all []vcf.Labeled
	for _, f := range c[name] {
		v := strings.TrimSpace(show(f.Value))
		if name == "TEL" && len(v) >= 4 && strings.EqualFold(v[:4], "tel:") {
			v = strings.TrimSpace(v[4:])
		}
		if v == "" {
			continue
		}
		all = append(all, vcf.Labeled{Label: labelOf(c, f), Value: v})
	}
	return all
}

func labelOf(c vcard.Card, f *vcard.Field) string {
	for _, l := range c["X-ABLABEL"] {
		if f.Group == "" || !strings.EqualFold(l.Group, f.Group) {
			continue
		}
		v := strings.TrimSpace(show(l.Value))
		if strings.HasPrefix(v, "_$!<") && strings.HasSuffix(v, ">!$_") {
			v = v[4 : len(v)-4]
		}
		if v != "" {
			return v
		}
	}
	kind, fax := "", false
	for _, t := range f.Params.Types() {
		switch t = strings.TrimSpace(t); {
		case t == "fax":
			fax = true
		case t == "", t == "pref", t == "internet", t == "voice", t == "msg", t == "text", t == "video", t == "x400":
		case strings.HasPrefix(t, "x-"), kind != "":
		default:
			kind = t
		}
	}
	if fax {
		kind = strings.TrimSpace(kind + " fax")
	}
	return kind
}

// dump writes fields so that differences are easy to read.
func dump(f *vcf.Fields) string {
	var b strings.Builder
	b.WriteString("UID " + strconv.Quote(f.UID) + "\nName " + strconv.Quote(f.Name) + "\nOrg " + strconv.Quote(f.Org) + "\n")
	for _, e := range f.Emails {
		b.WriteString("Email " + strconv.Quote(e.Label) + " " + strconv.Quote(e.Value) + "\n")
	}
	for _, p := range f.Phones {
		b.WriteString("Phone " + strconv.Quote(p.Label) + " " + strconv.Quote(p.Value) + "\n")
	}
	if f.Group {
		b.WriteString("Group\n")
	}
	for _, m := range f.Members {
		b.WriteString("Member " + strconv.Quote(m) + "\n")
	}
	return b.String()
}

func TestCorpus(t *testing.T) {
	var r vcf.Reader // one for all cards, so that the test finds what one card leaves for the next
	compared, full := 0, 0
	for name, card := range corpus(t) {
		got := r.Fields(card)
		want, ok := reference(card)
		if !ok {
			t.Logf("%s: not compared", name)
			continue
		}
		compared++
		if len(got.Emails) > 0 && len(got.Phones) > 1 {
			full++
		}
		if dump(got) != dump(want) {
			t.Errorf("%s: got\n%swant\n%s", name, dump(got), dump(want))
		}
	}
	if compared < 140 || full < 70 {
		t.Errorf("compared %d cards, %d of them with addresses and numbers, want at least 140 and 70", compared, full)
	}
}

// TestUnfoldCorpus lets go-vcard read the cards with its own unfolding and after ours.
func TestUnfoldCorpus(t *testing.T) {
	for name, card := range corpus(t) {
		if bytes.Contains(card, []byte("QUOTED-PRINTABLE")) || !bytes.Contains(card, []byte("\n")) {
			continue // go-vcard does not know soft line breaks, nor lines that end in CR
		}
		want, wantErr := vcard.NewDecoder(bytes.NewReader(card)).Decode()
		got, err := vcard.NewDecoder(bytes.NewReader(vcf.Unfold(card))).Decode()
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%s: got error %v, want %v", name, err, wantErr)
		}
		sameCard(t, name, got, want)
	}
}

// sameCard compares two cards as go-vcard reads them.
func sameCard(t testing.TB, name string, got, want vcard.Card) {
	t.Helper()
	for k := range want {
		if g, w := fieldsText(got[k]), fieldsText(want[k]); g != w {
			t.Errorf("%s: %s: got\n%swant\n%s", name, k, g, w)
		}
	}
	for k := range got {
		if want[k] == nil {
			t.Errorf("%s: got %s, which is not wanted", name, k)
		}
	}
}
