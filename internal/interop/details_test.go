package interop_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/internal/realserver"
)

// A parser is one that others wrote. It prints the properties of each card.
type parser struct {
	name string
	argv []string

	// plain returns the text of a property's value, where what the parser gives
	// is not the text yet; see docs/cards.md.
	plain func(property, string) string
}

// A property is what both parsers print.
type property struct {
	Name, Group string
	Params      map[string][]string
	Value       any // a string, or a list of strings and of lists
}

// A parsed is one card.
type parsed struct {
	Properties []property
	Same       bool
}

// vobject returns python-vobject, as Debian has it.
func vobject(t *testing.T) parser {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import vobject").Run() == nil {
			return parser{"python-vobject", []string{python, "details.py"}, colons}
		}
	}
	realserver.Absent(t, "python3-vobject is not installed")
	return parser{}
}

// colons undoes an escape that neither parser knows, of the colon of a URL. Others
// have doubled its backslash.
func colons(p property, text string) string {
	if scheme, rest, ok := strings.Cut(text, ":"); ok && p.Name == "URL" {
		return strings.TrimRight(scheme, `\`) + ":" + rest
	}
	return text
}

func icalJS(t *testing.T) parser {
	if _, err := exec.LookPath("node"); err != nil {
		realserver.Absent(t, "node is not installed")
	}
	if _, err := os.Stat("node_modules/ical.js"); err != nil {
		realserver.Absent(t, "ical.js is not installed; see interop.go")
	}
	escapes := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";")
	return parser{"ical.js", []string{"node", "details.mjs"}, func(p property, text string) string {
		switch {
		case strings.HasPrefix(p.Name, "X-"), p.Name == "IMPP":
			// It does not know these, and leaves them as they are written.
			return escapes.Replace(text)
		case p.Name != "N" && p.Name != "ADR" && p.Name != "ORG":
			// In 3.0 it knows no escape of a semicolon where none parts anything.
			return colons(p, strings.ReplaceAll(text, `\;`, ";"))
		}
		return colons(p, text)
	}}
}

// read has the parser read cards.
func (p parser) read(t *testing.T, cards [][]byte, flags ...string) []parsed {
	t.Helper()
	texts := make([]string, len(cards))
	for i, c := range cards {
		texts[i] = string(c)
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), p.argv[0], append(p.argv[1:], flags...)...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, stderr.String())
	}
	var all []parsed
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != len(cards) {
		t.Fatalf("%s: got %d cards, want %d", p.name, len(all), len(cards))
	}
	return all
}

// texts returns a property's value as the list of its parts.
func (p parser) texts(prop property) []string {
	if text, ok := prop.Value.(string); ok {
		return []string{p.plain(prop, text)}
	}
	var all []string
	list, _ := prop.Value.([]any)
	for _, part := range list {
		switch part := part.(type) {
		case string:
			all = append(all, p.plain(prop, part))
		case []any:
			// Both part what has commas in it.
			var words []string
			for _, w := range part {
				words = append(words, p.plain(prop, fmt.Sprint(w)))
			}
			all = append(all, strings.Join(words, ","))
		}
	}
	return all
}

// text returns a value that is one text. What was parted at a comma is put
// together again.
func (p parser) text(prop property) string {
	return strings.TrimSpace(strings.Join(p.texts(prop), ","))
}

// label returns what the owner calls something.
func label(prop property, labels map[string]string, but ...string) string {
	if l := labels[strings.ToLower(prop.Group)]; l != "" && prop.Group != "" {
		return l
	}
	for _, t := range prop.Params["TYPE"] {
		if t = strings.ToLower(t); !slices.Contains(append(but, "pref", "internet"), t) {
			return t
		}
	}
	return ""
}

// details makes of what the parser has read what Contact.Details should say. It
// knows of Apple's conventions what the cards of these tests have.
func (p parser) details(card parsed) icloud.Details {
	labels, countries := make(map[string]string), make(map[string]string)
	for _, prop := range card.Properties {
		switch prop.Name {
		case "X-ABLABEL":
			l := p.text(prop)
			if strings.HasPrefix(l, "_$!<") && strings.HasSuffix(l, ">!$_") {
				l = l[4 : len(l)-4]
			}
			labels[strings.ToLower(prop.Group)] = l
		case "X-ABADR":
			countries[strings.ToLower(prop.Group)] = p.text(prop)
		}
	}
	var d icloud.Details
	part := func(parts []string, i int) string {
		if i < len(parts) {
			return strings.TrimSpace(parts[i])
		}
		return ""
	}
	for _, prop := range card.Properties {
		parts := p.texts(prop)
		switch prop.Name {
		case "N":
			d.Family, d.Given, d.Middle, d.Prefix, d.Suffix = part(parts, 0), part(parts, 1), part(parts, 2), part(parts, 3), part(parts, 4)
		case "NICKNAME":
			d.Nickname = strings.Join(parts, ", ")
		case "X-PHONETIC-FIRST-NAME":
			d.PhoneticGiven = p.text(prop)
		case "X-PHONETIC-LAST-NAME":
			d.PhoneticFamily = p.text(prop)
		case "TITLE":
			d.Title = p.text(prop)
		case "ORG":
			for i := range parts {
				if name := part(parts, i); i > 0 && name != "" {
					d.Departments = append(d.Departments, name)
				}
			}
		case "ADR":
			d.Addresses = append(d.Addresses, icloud.Address{
				Label: label(prop, labels), CountryCode: countries[strings.ToLower(prop.Group)],
				POBox: part(parts, 0), Extended: part(parts, 1), Street: part(parts, 2), City: part(parts, 3),
				Region: part(parts, 4), PostalCode: part(parts, 5), Country: part(parts, 6),
			})
		case "URL":
			d.URLs = append(d.URLs, icloud.Labeled{Label: label(prop, labels), Value: p.text(prop)})
		case "X-ABRELATEDNAMES", "RELATED":
			d.Relations = append(d.Relations, icloud.Labeled{Label: label(prop, labels), Value: p.text(prop)})
		case "IMPP":
			d.Services = append(d.Services, p.service(prop, label(prop, labels)))
		case "X-SOCIALPROFILE":
			s := icloud.Service{URL: p.text(prop)}
			for _, t := range prop.Params["TYPE"] {
				if !strings.EqualFold(t, "pref") && s.Service == "" {
					s.Service = t
				}
			}
			if user := prop.Params["X-USER"]; len(user) > 0 {
				s.User = user[0]
			}
			if strings.HasPrefix(s.URL, "x-apple:") {
				s.URL = ""
			}
			s.Label = label(prop, labels, strings.ToLower(s.Service))
			d.Services = append(d.Services, s)
		case "BDAY":
			d.Birthday = date(prop, p.text(prop))
		case "X-ABDATE":
			d.Dates = append(d.Dates, icloud.LabeledDate{Label: label(prop, labels), Date: date(prop, p.text(prop))})
		case "NOTE":
			if note := strings.Join(parts, ","); strings.TrimSpace(note) != "" {
				d.Note = strings.TrimPrefix(d.Note+"\n\n"+note, "\n\n")
			}
		case "CATEGORIES":
			d.Categories = append(d.Categories, parts...)
		}
	}
	// An account that stands in the card in two properties is one.
	for _, prop := range card.Properties {
		service, ok := map[string]string{"X-AIM": "AIM", "X-JABBER": "Jabber", "X-ICQ": "ICQ"}[prop.Name]
		if user := p.text(prop); ok && !slices.ContainsFunc(d.Services, func(s icloud.Service) bool { return s.Service == service && s.User == user }) {
			d.Services = append(d.Services, icloud.Service{Label: label(prop, labels), Service: service, User: user})
		}
	}
	return d
}

func (p parser) service(prop property, label string) icloud.Service {
	s := icloud.Service{Label: label, URL: p.text(prop)}
	if service := prop.Params["X-SERVICE-TYPE"]; len(service) > 0 {
		s.Service = service[0]
	}
	scheme, rest, _ := strings.Cut(s.URL, ":")
	s.User, _ = url.PathUnescape(rest)
	if scheme == "x-apple" {
		s.URL = ""
	}
	return s
}

func date(prop property, text string) icloud.Date {
	for _, layout := range []string{"2006-01-02", "20060102", time.RFC3339, "--0102", "--01-02"} {
		if day, err := time.Parse(layout, text); err == nil {
			d := icloud.Date{Year: day.Year(), Month: int(day.Month()), Day: day.Day()}
			if d.Year == 1604 {
				d.Year = 0
			}
			return d
		}
	}
	return icloud.Date{}
}

// show returns Details for comparing. python-vobject keeps no order between
// properties of different names.
func show(d icloud.Details) string {
	d.Services = slices.SortedFunc(slices.Values(d.Services), func(a, b icloud.Service) int {
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return strings.NewReplacer("[] ", "<nil> ").Replace(fmt.Sprintf("%+q", fmt.Sprintf("%+v", d)))
}

func parsers(t *testing.T, each func(t *testing.T, p parser)) {
	for name, get := range map[string]func(*testing.T) parser{"vobject": vobject, "icaljs": icalJS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, get(t))
		})
	}
}

// Of 5,000 cards that are written by the rules both parsers read what Details
// does, and all three what the cards were made of.
func TestDetailsGenerated(t *testing.T) {
	t.Parallel()
	w := &writer{Rand: rand.New(rand.NewPCG(14, 5000))}
	cards, want := make([][]byte, 5000), make([]icloud.Details, 5000)
	for i := range cards {
		cards[i], want[i] = w.card()
		contact := icloud.Contact{VCard: cards[i]}
		if got := show(contact.Details()); got != show(want[i]) {
			t.Fatalf("%q:\ngot  %s\nwant %s", cards[i], got, show(want[i]))
		}
	}
	parsers(t, func(t *testing.T, p parser) {
		for i, card := range p.read(t, cards) {
			if got := show(p.details(card)); got != show(want[i]) {
				t.Fatalf("%q:\n%s has %s\nwant %s", cards[i], p.name, got, show(want[i]))
			}
		}
	})
}

// captured returns the cards that servers handed out, and those of the package's
// own book.
func captured(t *testing.T) (names []string, cards [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../vcf/testdata/cards/*.vcf")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d cards, %v", len(files), err)
	}
	for _, name := range append(files, "../../testdata/book.vcf") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "book.vcf" {
			all := bytes.SplitAfter(data, []byte("END:VCARD\r\n"))
			for i, card := range all[:len(all)-1] {
				names, cards = append(names, fmt.Sprint("book ", i)), append(cards, card)
			}
			continue
		}
		// The parsers are given texts, and not bytes.
		if utf8.Valid(data) {
			names, cards = append(names, filepath.Base(name)), append(cards, data)
		}
	}
	if len(cards) < 350 {
		t.Fatalf("got %d cards, want at least 350", len(cards))
	}
	return names, cards
}

func TestDetailsCaptured(t *testing.T) {
	t.Parallel()
	names, cards := captured(t)
	parsers(t, func(t *testing.T, p parser) {
		compared, same := 0, 0
		for i, card := range p.read(t, cards, "--write") {
			if card.Same {
				same++
			}
			if card.Properties == nil {
				t.Logf("%s refuses %s", p.name, names[i])
				continue
			}
			compared++
			contact := icloud.Contact{VCard: cards[i]}
			if got, want := show(contact.Details()), show(p.details(card)); got != want {
				t.Errorf("%s:\nDetails has %s\n%s has %s", names[i], got, p.name, want)
			}
		}
		t.Logf("%s: %d cards compared, %d written as they were read", p.name, compared, same)
		if compared < len(cards)-5 {
			t.Errorf("%s: compared only %d cards of %d", p.name, compared, len(cards))
		}
		// What docs/cards.md and the comment of Contact.Edit say of them. Radicale
		// has written its cards with python-vobject.
		if same > 60 {
			t.Errorf("%s: wrote %d cards as they were read", p.name, same)
		}
	})
}

// What docs/cards.md and the comment of Contact.Edit say of go-vcard.
func TestGoVCardRewrites(t *testing.T) {
	t.Parallel()
	_, cards := captured(t)
	same := 0
	for _, data := range cards {
		contact := icloud.Contact{VCard: data}
		card, err := contact.Card()
		if err != nil {
			continue
		}
		var out bytes.Buffer
		if vcard.NewEncoder(&out).Encode(card) == nil && bytes.Equal(out.Bytes(), data) {
			same++
		}
	}
	if same > 2 {
		t.Errorf("go-vcard wrote %d cards as they were read", same)
	}
}

// Where a parser reads something else. This is the list of docs/cards.md; the
// text is of the first property, and of Details.
func TestDetailsDifferences(t *testing.T) {
	t.Parallel()
	note := func(d icloud.Details) string { return d.Note }
	birthday := func(d icloud.Details) string { return fmt.Sprint(d.Birthday) }
	differences := []struct {
		parser       string
		line         string
		ours, theirs string
		get          func(icloud.Details) string
	}{
		{"both", `URL:http\://example.org/`, "http://example.org/", `http\://example.org/`, func(d icloud.Details) string { return d.URLs[0].Value }},
		{"both", `NOTE:at 5\:30`, "at 5:30", `at 5\:30`, note},
		{"both", "BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-12", "{0 4 12}", "1604-04-12", birthday},
		{"both", "BDAY:1985-02-30", "{0 0 0}", "1985-02-30", birthday},
		{"both", "TITLE: Head ", "Head", " Head ", func(d icloud.Details) string { return d.Title }},
		{"both", "IMPP;X-SERVICE-TYPE=Discord:x-apple:ada%235346", "ada#5346", "x-apple:ada%235346", func(d icloud.Details) string { return d.Services[0].User }},
		{"python-vobject", "NOTE:one, two", "one, two", "one", note},
		{"python-vobject", "NICKNAME:Jim,Jimmie", "Jim, Jimmie", "Jim", func(d icloud.Details) string { return d.Nickname }},
		{"python-vobject", "URL:http://example.org/a,b", "http://example.org/a,b", "http://example.org/a", func(d icloud.Details) string { return d.URLs[0].Value }},
		{"ical.js", `NOTE:one\; two`, "one; two", `one\; two`, note},
		{"ical.js", `X-ABRELATEDNAMES:Ann\, Jr.`, "Ann, Jr.", `Ann\, Jr.`, func(d icloud.Details) string { return d.Relations[0].Value }},
		{"ical.js", "NOTE;ENCODING=QUOTED-PRINTABLE:caf=C3=A9", "café", "caf=C3=A9", note},
	}
	parsers(t, func(t *testing.T, p parser) {
		p.plain = func(_ property, text string) string { return text }
		var cards [][]byte
		for _, d := range differences {
			cards = append(cards, []byte("BEGIN:VCARD\r\nVERSION:3.0\r\n"+d.line+"\r\nEND:VCARD\r\n"))
		}
		for i, card := range p.read(t, cards) {
			d := differences[i]
			contact := icloud.Contact{VCard: cards[i]}
			if got := d.get(contact.Details()); got != d.ours {
				t.Errorf("%s: Details has %q, want %q", d.line, got, d.ours)
			}
			var theirs string
			for _, prop := range card.Properties {
				if prop.Name != "VERSION" {
					theirs = strings.Join(p.texts(prop), "|")
				}
			}
			switch named := d.parser == "both" || d.parser == p.name; {
			case named && theirs != d.theirs:
				t.Errorf("%s: %s has %q, not %q any more", d.line, p.name, theirs, d.theirs)
			case !named && theirs == d.theirs:
				t.Errorf("%s: %s has %q, too", d.line, p.name, theirs)
			}
		}
	})
}
