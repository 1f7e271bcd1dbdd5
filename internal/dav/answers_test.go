package dav_test

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// The files below testdata/answers are what Radicale, Cyrus, Xandikos, sabre/dav
// and Calypso answered to requests like ours. The address books had cards that we made.
// Each file in odd/ is about one card with something rare in it or in its name, which
// real cards have too.

var update = flag.Bool("update", false, "write testdata/answers.txt anew")

// files returns the files that match a pattern, and fails if there are too few, because a
// test without files would pass.
func files(t testing.TB, pattern string, atLeast int) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < atLeast {
		t.Fatalf("%d files match %s, want at least %d", len(names), pattern, atLeast)
	}
	return names
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// illFormedCards are cards because of which encoding/xml rejects the whole answer. Their
// NOTE or FN must arrive as it was sent.
var illFormedCards = map[string]string{
	"ctrl-0b": "FN:Vertical\x0bTab",
	"esc-1b":  "NOTE:\x1b[31mred\x1b[0m",
	"null":    "FN:N\x00ul",
	"u_fffe":  "FN:Nonchar \uFFFE end",
	"latin1":  "FN:J\xf6rg M\xfcller",
}

// TestAnswers reads all of them. testdata/answers.txt lists the first rows of each. If
// encoding/xml accepts an answer, the reference must read the same rows.
func TestAnswers(t *testing.T) {
	names := append(files(t, "testdata/answers/*/*.xml", 40), files(t, "testdata/answers/*/odd/*.xml", 100)...)
	var list strings.Builder
	rejected := 0
	d := dav.NewDecoder(nil)
	for _, name := range names {
		doc := readFile(t, name)
		d.Reset(bytes.NewReader(doc))
		rows, token, err := decodeWith(d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fmt.Fprintf(&list, "%s: %d rows\n", filepath.ToSlash(name), len(rows))
		all := crc32.NewIEEE()
		for i, r := range rows {
			fmt.Fprintf(all, "%+q\n", fmt.Sprint(r)+r.Data)
			if r.Data != "" {
				r.Data = fmt.Sprintf("%d bytes, CRC %08x", len(r.Data), crc32.ChecksumIEEE([]byte(r.Data)))
			}
			if i < 12 {
				fmt.Fprintf(&list, "\t%v\n", r)
			}
		}
		if len(rows) > 12 {
			fmt.Fprintf(&list, "\tand so on, CRC of all %08x\n", all.Sum32())
		}
		if token != "" {
			fmt.Fprintf(&list, "\tsync token %q\n", token)
		}

		want, wantToken, err := reference(doc)
		if err != nil {
			rejected++
			card := strings.TrimSuffix(filepath.Base(name), ".xml")
			line, ok := illFormedCards[card]
			if !ok {
				t.Errorf("%s: encoding/xml: %v", name, err)
			} else if len(rows) != 1 || !strings.Contains(rows[0].Data, line) {
				t.Errorf("%s: got %v, want a card with %q", name, rows, line)
			}
			continue
		}
		compare(t, name, rows, want)
		if token != wantToken {
			t.Errorf("%s: got sync token %q, want %q", name, token, wantToken)
		}
	}
	if rejected < 10 {
		t.Errorf("encoding/xml rejects %d of the answers, want at least 10", rejected)
	}

	const golden = "testdata/answers.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Split(string(readFile(t, golden)), "\n")
	got := strings.Split(list.String(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s:%d: missing %s", golden, i+1, want[i])
		case i >= len(want):
			t.Fatalf("%s:%d: in addition %s", golden, i+1, got[i])
		case got[i] != want[i]:
			t.Fatalf("%s:%d:\n got %s\nwant %s", golden, i+1, got[i], want[i])
		}
	}
}

// TestAnswersOfNote checks some answers whose content is known.
func TestAnswersOfNote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file string
		rows int
		row  int // the one that want is about
		want row
	}{
		{"cyrus/propfind-root-cup.xml", 1, 0, row{Href: "/", Principal: "/dav/principals/user/tester/", PropStatus: 404}},
		{"radicale/propfind-root-cup.xml", 1, 0, row{Href: "/", Principal: "/tester/", Collection: true, PropStatus: 404}},
		{"xandikos/propfind-root-cup.xml", 1, 0, row{Href: "/", Principal: "/tester/", PropStatus: 404}},
		{"sabre18/propfind-root-cup.xml", 1, 0, row{Href: "/", Principal: "/principals/tester/", Collection: true, PropStatus: 404}},
		{"calypso/propfind-root-cup.xml", 1, 0, row{Href: "/", Principal: "/private", HomeSet: "/\n", Collection: true, AddressBook: true}},
		{"sabre18/propfind-principal.xml", 1, 0, row{Href: "/principals/tester/", HomeSet: "/addressbooks/tester/\n", PropStatus: 404}},
		// The member is there, and its card did not come with it.
		{"xandikos/report-sync-initial-data.xml", 200, 0, row{Href: "/tester/contacts/addressbook/01C4255B-B469-5F76-9D79-D230ECF53B4E.vcf",
			ETag: `"684122f7c1d87e2e7df3f3993bc2edf982723e0c"`, DataStatus: 404, PropStatus: 404}},
		// The member is not there.
		{"cyrus/report-sync-deleted.xml", 1, 0, row{Href: "/dav/addressbooks/user/tester/Default/probe-1795331200285558783.vcf", Status: 404}},
		{"cyrus/report-multiget.xml", 10, 8, row{Href: "/dav/addressbooks/user/tester/Default/does-not-exist.vcf", Status: 404}},
		{"cyrus/report-multiget.xml", 10, 9, row{Href: "/completely/elsewhere.vcf", Status: 403}},
	} {
		rows, _, err := decode(bytes.NewReader(readFile(t, "testdata/answers/"+tt.file)))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if len(rows) != tt.rows || rows[min(tt.row, len(rows)-1)] != tt.want {
			t.Errorf("%s:\n got %d rows, row %d %v\nwant %d, %v", tt.file, len(rows), tt.row, rows[min(tt.row, len(rows)-1)], tt.rows, tt.want)
		}
	}
}

// TestErrorAnswers reads the bodies of answers that were refusals.
func TestErrorAnswers(t *testing.T) {
	t.Parallel()
	want := map[string]dav.Condition{
		"cyrus/report-sync-badtoken.error":    dav.ValidSyncToken,
		"radicale/report-sync-badtoken.error": dav.ValidSyncToken,
		"sabre18/report-sync-badtoken.error":  dav.SupportedReport,
		"sabre18/sync-empty-book.error":       dav.SupportedReport,
	}
	found := 0
	for _, name := range files(t, "testdata/answers/*/*.error", 8) {
		key := filepath.ToSlash(strings.TrimPrefix(filepath.ToSlash(name), "testdata/answers/"))
		got := dav.Precondition(bytes.NewReader(readFile(t, name)))
		if got != want[key] {
			t.Errorf("%s: got %d, want %d", key, got, want[key])
		}
		if got != dav.NoCondition {
			found++
		}
	}
	if found != len(want) {
		t.Errorf("got %d conditions, want %d", found, len(want))
	}
}

// TestRoundTrip writes cards the way servers do, and reads them back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	cards := 0
	for _, name := range files(t, "testdata/answers/*/odd/*.xml", 100) {
		rows, _, err := decode(bytes.NewReader(readFile(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			for way, write := range map[string]func(string) string{
				"references": strings.NewReplacer("&", "&amp;", "<", "&lt;", "\r", "&#13;").Replace,
				"numbers":    strings.NewReplacer("&", "&#x26;", "<", "&#60;", "\r", "&#xd;", "\n", "&#10;").Replace,
				"CDATA": func(s string) string {
					s = strings.ReplaceAll(s, "]]>", "]]]]><![CDATA[>")
					return "<![CDATA[" + strings.ReplaceAll(s, "\r", "]]>&#13;<![CDATA[") + "]]>"
				},
			} {
				again, _, err := decodeString(member(`<C:address-data>` + write(r.Data) + `</C:address-data>`))
				if err != nil {
					t.Fatalf("%s: %s: %v", name, way, err)
				}
				if again[0].Data != r.Data {
					t.Errorf("%s: %s:\n got %q\nwant %q", name, way, again[0].Data, r.Data)
				}
				cards++
			}
		}
	}
	if cards < 300 {
		t.Errorf("compared %d cards, want at least 300", cards)
	}
}
