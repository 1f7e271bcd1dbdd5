package dav_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// TestShapes reads rows that look nearly like a previous one and mean something else. Each
// document is read as a whole, so that the Decoder can compare the rows, and in small
// pieces, so that it cannot. The result must be that of encoding/xml. One Decoder reads all
// documents, because the shapes of one must not be used for another.
func TestShapes(t *testing.T) {
	t.Parallel()
	const (
		prop   = `<propstat><prop><getetag>%s</getetag><c:address-data>%s</c:address-data></prop><status>HTTP/1.1 200 OK</status></propstat>`
		ok     = "\n\n<response><href>/%d</href>" + prop + `</response>`
		failed = `<response><href>/404</href><propstat><prop><getetag>"e"</getetag><c:address-data>card</c:address-data></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>`
		gone   = `<response><href>/gone</href><status>HTTP/1.1 404 Not Found</status></response>`
		tiny   = `<response><href>/a</href></response>`
	)
	with := func(etag, card string) string { return fmt.Sprintf(ok, 1, etag, card) }
	good := with(`"1"`, "card&#13;\n&amp;c") + with(`"2"`, "card")
	document := func(rows ...string) string {
		return `<multistatus xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav">` + strings.Join(rows, "") + `</multistatus>`
	}
	d := dav.NewDecoder(nil)
	read := func(doc string, pieces int) ([]row, error) {
		d.Reset(chunks{bytes.NewReader([]byte(doc)), pieces})
		rows, _, err := decodeWith(d)
		return rows, err
	}
	for name, doc := range map[string]string{
		"the same":                     document(good, good),
		"an empty card":                document(good, with(`"3"`, ""), good),
		"an empty ETag":                document(good, with("", "card"), good),
		"an empty card first":          document(with(`"3"`, ""), good),
		"an empty ETag first":          document(with("", "card"), good),
		"white space":                  document(good, with(" ", "\n"), with("\n\"4\" ", " card "), good),
		"an empty href":                document(good, strings.Replace(with(`"3"`, "card"), "/1", "", 1), strings.Replace(with(`"3"`, "card"), "/1", " ", 1), good),
		"CDATA":                        document(good, with(`"<![CDATA[3]]>"`, "<![CDATA[<card>]]>"), good),
		"CDATA first":                  document(with(`"<![CDATA[3]]>"`, "<![CDATA[<card>]]>"), good),
		"a comment in a card":          document(with(`"3"`, "ca<!-- -->rd"), with(`"4"`, "ca<!-- -->rd"), good),
		"an element in a card":         document(with(`"3"`, "ca<x/>rd"), with(`"4"`, "ca<x/>rd"), good),
		"a comment between":            document(good, "<!-- </response> -->"+good, "<?x?>", good),
		"another status":               document(good, failed, good, failed, failed, good),
		"another status first":         document(failed, good),
		"deleted":                      document(gone, gone, good, gone, good),
		"two hrefs":                    document(good, strings.Replace(gone, "<status>", "<href>/b</href><status>", 1), good),
		"two ETags":                    document(strings.Replace(good, "<getetag>", "<getetag>\"0\"</getetag><getetag>", 1), good),
		"two cards":                    document(strings.Replace(good, "<c:address-data>", "<c:address-data>0</c:address-data><c:address-data>", 2), good),
		"two propstats":                document(strings.Repeat(fmt.Sprintf("<response><href>/a</href>"+prop+prop+"</response>", `"1"`, "card", `"2"`, "other"), 2), good),
		"a failed one before":          document(strings.Repeat(strings.Replace(failed, "</response>", fmt.Sprintf(prop, `"1"`, "card")+"</response>", 1), 2), good),
		"a principal":                  document(strings.Repeat(`<response><href>/a</href><propstat><prop><current-user-principal><href>/p</href></current-user-principal></prop></propstat></response>`, 2), good),
		"homes":                        document(strings.Repeat(`<response><href>/a</href><propstat><prop><c:addressbook-home-set><href>/h</href></c:addressbook-home-set></prop></propstat></response>`, 2), good),
		"collections":                  document(strings.Repeat(`<response><href>/a</href><propstat><prop><resourcetype><collection/></resourcetype></prop></propstat></response>`, 2), tiny, tiny),
		"no status":                    document(strings.ReplaceAll(good+with("", "")+good, "<status>HTTP/1.1 200 OK</status>", "")),
		"an empty status":              document(strings.ReplaceAll(good+with("", "")+good, "HTTP/1.1 200 OK", "")),
		"other text between the tags":  document(good, strings.ReplaceAll(good, "<href>", "x <href>"), good),
		"a carriage return at the end": document(good, with(`"3"`, "a\r"), with(`"4"`, "\nb"), good),
		"a failed blank and no href": document(strings.Repeat(`<response><propstat><prop><getetag> </getetag></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>`+
			`<response><propstat><prop><getetag>1</getetag></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>`, 2), good),
		"a long row":                   document(good, with(`"3"`, strings.Repeat("card ", 50<<10)), good),
		"a long tag":                   document(strings.Repeat(`<response x="`+strings.Repeat("y", 5000)+`"><href>/a</href></response>`, 3)),
		"empty rows":                   document("<response/><response></response>", tiny, "<response/>", tiny, good),
		"a sync token between":         document(good, "<sync-token>s</sync-token>", good),
		"declared around":              `<multistatus xmlns="DAV:">` + tiny + `<x xmlns="other">` + tiny + `</x>` + tiny + `</multistatus>`,
		"undeclared around":            `<multistatus xmlns="DAV:">` + tiny + `<x xmlns="">` + tiny + `</x></multistatus>`,
		"the prefix declared anew":     `<a:multistatus xmlns:a="DAV:"><a:response><a:href>/a</a:href></a:response><a:response xmlns:a="other"><a:href>/a</a:href></a:response></a:multistatus>`,
		"of another name":              `<multistatus xmlns="DAV:" xmlns:c="other">` + good + `</multistatus>`,
		"of another name, by a prefix": `<D:multistatus xmlns:D="DAV:" xmlns="other">` + tiny + `<D:response><D:href>/a</D:href></D:response>` + tiny + `</D:multistatus>`,
		"rows behind the root":         document(tiny, tiny) + "\n<!-- " + tiny + " -->",
	} {
		want, _, err := reference([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, pieces := range []int{1 << 20, 100, 1} {
			for _, before := range []string{tiny, good} {
				if _, err := read(document(before), 1<<20); err != nil {
					t.Fatal(err)
				}
				rows, err := read(doc, pieces)
				if err != nil || len(rows) != len(want) {
					t.Errorf("%s: got %d rows, %v; want %d", name, len(rows), err, len(want))
				}
				compare(t, fmt.Sprint(name, ", in pieces of ", pieces), rows, want)
			}
		}
	}
}

// TestShapeErrors checks that an error is the same in a row that is compared with a previous
// one and in a row that is read tag by tag.
func TestShapeErrors(t *testing.T) {
	t.Parallel()
	row := func(href, etag string) string {
		return "<response>\n<href>" + href + "</href><propstat><prop><getetag>" + etag + "</getetag></prop></propstat></response>\n"
	}
	for _, bad := range []string{
		row("/a&b", "1"), row("/a", "&#0;"), row("/a&amp", "1"), row("/"+strings.Repeat("a", dav.MaxText), "1"),
		row("/a", strings.Repeat("1", 60<<10)+"&amp;"+strings.Repeat("1", 60<<10)+strings.Repeat("1", 60<<10)),
	} {
		doc := []byte(`<multistatus xmlns="DAV:">` + row("/1", "1") + bad + row("/2", "2") + `</multistatus>`)
		rows, _, err := decode(bytes.NewReader(doc))
		rows1, _, want := decode(chunks{bytes.NewReader(doc), 1})
		if err == nil || fmt.Sprint(err) != fmt.Sprint(want) {
			t.Errorf("%.60q: got %v, want %v", bad, err, want)
		}
		compare(t, bad[:min(len(bad), 60)], rows, rows1)
	}
}
