package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// fake starts a fake iCloud with n cards and a Client on it.
func fake(t *testing.T, n int) (*icloudtest.Server, *icloud.Client) {
	t.Helper()
	server := icloudtest.NewServer()
	t.Cleanup(server.Close)
	for i := range n {
		server.Put(fmt.Sprintf("%05d.vcf", i), card(fmt.Sprintf("person %d", i)))
	}
	client, err := icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestContactsFields(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	server.Put("A1.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:A1\r\nN:Müller;Zoë;;Dr.;\r\nFN:Dr. Zoë Müll\r\n er\r\n"+
		"ORG:Bücher\\, Töne;Einkauf\r\nEMAIL;type=INTERNET;type=HOME;type=pref:zoe@example.org\r\n"+
		"item1.EMAIL;type=INTERNET:zoe@school.example\r\nitem1.X-ABLabel:_$!<School>!$_\r\n"+
		"item2.TEL:+1 555 0100\r\nitem2.X-ABLabel:Ferienhaus\r\nTEL;type=CELL:+49 170 1\r\nEND:VCARD\r\n")
	server.Put("G.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:G\r\nN:Freunde;;;;\r\nFN:Freunde\r\nX-ADDRESSBOOKSERVER-KIND:group\r\n"+
		"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:A1\r\nX-ADDRESSBOOKSERVER-MEMBER:urn:uuid:unknown\r\nEND:VCARD\r\n")
	server.Put("O.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nN:;;;;\r\nORG:Acme;\r\nX-ABShowAs:COMPANY\r\nEND:VCARD\r\n")

	contacts, err := list(t, client)
	if err != nil || ids(contacts) != "A1.vcf G.vcf O.vcf" {
		t.Fatalf("got %s, %v", ids(contacts), err)
	}
	a, g, o := contacts[0], contacts[1], contacts[2]
	if a.Name != "Dr. Zoë Müller" || a.UID != "A1" || a.Org != "Bücher, Töne" || a.ETag == "" || a.Group {
		t.Errorf("got %+v", a)
	}
	if got := fmt.Sprint(a.Emails, a.Phones); got != "[{home zoe@example.org} {School zoe@school.example}] [{Ferienhaus +1 555 0100} {cell +49 170 1}]" {
		t.Errorf("got %s", got)
	}
	if !g.Group || fmt.Sprint(g.Members) != "[A1 unknown]" {
		t.Errorf("got group %+v", g)
	}
	if o.Name != "Acme" || o.Org != "Acme" || o.UID != "" {
		t.Errorf("got %+v", o)
	}
	if !strings.Contains(string(a.VCard), "Müll\r\n er\r\n") {
		t.Errorf("VCard is not what the server sent: %q", a.VCard)
	}
}

// One bad card neither ends nor thins a listing.
func TestContactsBadCards(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 3)
	bad := map[string]string{
		"empty.vcf":     "",
		"junk.vcf":      "this is no card",
		"truncated.vcf": "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Trunca",
		"nul.vcf":       "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:a\x00b\x0b\x1b\r\nEND:VCARD\r\n",
		"latin1.vcf":    "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:M\xfcller\r\nEND:VCARD\r\n",
		"fffe.vcf":      "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:a\ufffeb\r\nEND:VCARD\r\n",
		"v21.vcf":       "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;=\r\nA\r\nEND:VCARD\r\n",
		"v40.vcf":       "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Four\r\nEMAIL;TYPE=work:four@example.org\r\nEND:VCARD\r\n",
		"nofn.vcf":      "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Family;Given;;;\r\nEND:VCARD\r\n",
		"lf.vcf":        "BEGIN:VCARD\nVERSION:3.0\nFN:Line\n feed\nEND:VCARD\n",
		"lower.vcf":     "begin:vcard\r\nversion:3.0\r\nfn:lower\r\nend:vcard\r\n",
	}
	for id, text := range bad {
		server.Put(id, text)
	}
	contacts, err := list(t, client)
	if err != nil || len(contacts) != 3+len(bad) {
		t.Fatalf("got %d contacts, %v; want %d", len(contacts), err, 3+len(bad))
	}
	names := map[string]string{"v40.vcf": "Four", "nofn.vcf": "Given Family", "lf.vcf": "Linefeed", "lower.vcf": "lower", "v21.vcf": "A Müller", "nul.vcf": "a\x00b\x0b\x1b"}
	for _, c := range contacts {
		text, ok := bad[c.ID]
		if ok && string(c.VCard) != text {
			t.Errorf("%s: VCard is %q, want %q", c.ID, c.VCard, text)
		}
		if want, ok := names[c.ID]; ok && c.Name != want {
			t.Errorf("%s: got name %q, want %q", c.ID, c.Name, want)
		}
		_, err := c.Card()
		switch c.ID {
		case "empty.vcf", "junk.vcf", "truncated.vcf":
			if err == nil {
				t.Errorf("%s: Card has no error", c.ID)
			}
		default:
			if err != nil {
				t.Errorf("%s: Card: %v", c.ID, err)
			}
		}
	}
}

// A body that ends after any byte but the last is an error, and what was yielded
// before is whole.
func TestContactsCut(t *testing.T) {
	t.Parallel()
	whole := multistatus(row("/book/a.vcf", card("a")), row("/book/b.vcf", card("b")))
	for end := range len(whole) + 1 {
		for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("connection reset")} {
			client := onBook(t, func(*http.Request, string) *http.Response {
				resp := answer(207, "")
				resp.Body = &cutBody{strings.NewReader(whole[:end]), broken}
				return resp
			})
			contacts, err := list(t, client)
			if complete := end == len(whole) && broken == io.EOF; complete != (err == nil) {
				t.Fatalf("cut at %d of %d by %v: got error %v", end, len(whole), broken, err)
			}
			for i, c := range contacts {
				if name := string(rune('a' + i)); c.Name != name || string(c.VCard) != strings.ReplaceAll(card(name), "\r\n", "\n") {
					t.Fatalf("cut at %d: got %+v", end, c)
				}
			}
		}
	}
}

// Whatever fails, at whichever step: an error, never a shorter list. No answer
// here is iCloud's word on the password, so none is an AuthError or changes the
// state.
func TestContactsFails(t *testing.T) {
	t.Parallel()
	faults := map[string]icloudtest.Fault{
		"401 of a proxy":   icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`),
		"401 of nobody":    icloudtest.Status(401),
		"403":              icloudtest.Status(403),
		"407":              icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`),
		"421":              icloudtest.Status(421),
		"429":              icloudtest.Status(429),
		"500":              icloudtest.Status(500),
		"502 page":         icloudtest.BadGateway,
		"503":              icloudtest.Status(503),
		"captive portal":   icloudtest.CaptivePortal,
		"redirect to page": icloudtest.Status(302, "Location", "https://portal.example/login"),
		"redirect to http": icloudtest.Status(301, "Location", "http://contacts.icloud.com/"),
		"303":              icloudtest.Status(303, "Location", "/elsewhere"),
		"endless redirect": icloudtest.Status(307, "Location", "/again"),
		"reset":            icloudtest.Reset,
		"cut":              icloudtest.Cut(100),
		"empty 207":        icloudtest.Status(207),
	}
	for name, fault := range faults {
		for step := range 4 { // principal, home-set, book, cards
			t.Run(fmt.Sprintf("%s at %d", name, step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, client := fake(t, 5)
					server.Intercept = icloudtest.After(step, fault)
					contacts, err := list(t, client)
					if err == nil || len(contacts) > 0 && name != "cut" {
						t.Fatalf("got %d contacts, error %v", len(contacts), err)
					}
					if _, ok := errors.AsType[*icloud.AuthError](err); ok {
						t.Fatalf("an AuthError: %v", err)
					}
					if state := client.Status().State; state != icloud.Untested && step == 0 || state > icloud.Active {
						t.Errorf("the state is %v", state)
					}
					for _, secret := range []string{"icloud.com", "portal.example", "/again", "carddavhome", "http:"} {
						if strings.Contains(err.Error(), secret) {
							t.Errorf("the error contains %q: %v", secret, err)
						}
					}
					// All is well again.
					server.Intercept = nil
					time.Sleep(time.Minute)
					if contacts, err := list(t, client); err != nil || len(contacts) != 5 {
						t.Errorf("afterwards: got %d contacts, error %v", len(contacts), err)
					}
				})
			})
		}
	}
}

func TestContactsTimeout(t *testing.T) {
	t.Parallel()
	for step := range 4 {
		synctest.Test(t, func(t *testing.T) {
			server, client := fake(t, 5)
			server.Intercept = icloudtest.After(step, icloudtest.Stall)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var last error
			for contact, err := range client.Contacts(ctx) {
				if contact != nil {
					t.Fatal("a contact was yielded")
				}
				last = err
			}
			if !errors.Is(last, context.DeadlineExceeded) {
				t.Errorf("step %d: got %v", step, last)
			}
		})
	}
}

func TestContactsNone(t *testing.T) {
	t.Parallel()
	_, client := fake(t, 0)
	if contacts, err := list(t, client); err != nil || len(contacts) != 0 {
		t.Errorf("got %d contacts, %v", len(contacts), err)
	}
}

func TestContactsBreak(t *testing.T) {
	t.Parallel()
	_, client := fake(t, 100)
	n := 0
	for contact, err := range client.Contacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _ = contact; n == 10 {
			break
		}
		n++
	}
	if contacts, err := list(t, client); err != nil || len(contacts) != 100 {
		t.Errorf("after a break: got %d contacts, %v", len(contacts), err)
	}
}

// Apple's limit.
func TestContacts50000(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	_, client := fake(t, 50_000)
	if contacts, err := list(t, client); err != nil || len(contacts) != 50_000 {
		t.Errorf("got %d contacts, %v", len(contacts), err)
	}
}

// What a row of a 207 says of its member decides: skipped, an error of its own, or
// the end.
func TestContactsRows(t *testing.T) {
	t.Parallel()
	good := row("/book/good.vcf", card("good"))
	bare404 := "<response><href>/book/x.vcf</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>"
	tests := []struct {
		name, row string
		ids       string // yielded beside good
		failed    string // ID of a CardError
		status    int    // of a ResponseError, in it or not
	}{
		{"the book itself", statusRow("/book/", 200), "", "", 0},
		{"without anything", bare404, "", "x.vcf", 403},
		{"the book without a slash", "<response><href>/book</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>", "", "", 0},
		{"the book refused", statusRow("/book/", 403), "", "", 403},
		{"the book refused with a 401", statusRow("/book", 401), "", "", 401},
		{"gone", statusRow("/book/x.vcf", 404), "", "", 0},
		{"gone for good", statusRow("/book/x.vcf", 410), "", "", 0},
		{"forbidden", statusRow("/book/x.vcf", 403), "", "x.vcf", 403},
		{"unauthorized", statusRow("/book/x.vcf", 401), "", "x.vcf", 401},
		{"failed", statusRow("/book/x.vcf", 500), "", "x.vcf", 500},
		{"without a card", etagRow("/book/x.vcf", `"1"`), "", "x.vcf", 403},
		{"card forbidden", "<response><href>/book/x.vcf</href><propstat><prop><getetag>&quot;1&quot;</getetag></prop><status>HTTP/1.1 200 OK</status></propstat>" +
			`<propstat><prop><address-data xmlns="urn:ietf:params:xml:ns:carddav"/></prop><status>HTTP/1.1 403 Forbidden</status></propstat></response>`, "", "x.vcf", 403},
		{"card missing", "<response><href>/book/x.vcf</href><propstat><prop><getetag>&quot;1&quot;</getetag></prop><status>HTTP/1.1 200 OK</status></propstat>" +
			`<propstat><prop><address-data xmlns="urn:ietf:params:xml:ns:carddav"/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>`, "", "x.vcf", 403},
		{"empty card", row("/book/x.vcf", ""), "x.vcf", "", 0},
		{"twice", row("/book/x.vcf", card("x")) + row("/book/x.vcf", card("x")), "x.vcf", "", 0},
		{"twice in two spellings", row("/book/%78.vcf", card("x")) + row("/book/x.vcf", card("x")), "%78.vcf", "", 0},
		{"two of one name", row("/book/x.vcf", card("x")) + row("/book/sub/x.vcf", card("y")), "x.vcf", "x.vcf", 0},
		{"two of one name that are alike", row("/book/x.vcf", card("x")) + row("/book/sub/x.vcf", card("x")), "x.vcf", "x.vcf", 0},
		{"two of one href", row("/book/x.vcf", card("x")) + row("/book/x.vcf", card("y")), "x.vcf", "x.vcf", 0},
		{"two of one href that end differently", row("/book/x.vcf", card(strings.Repeat("x", 600))) + row("/book/x.vcf", card(strings.Repeat("x", 601))), "x.vcf", "x.vcf", 0},
		{"two of one href with two ETags", row("/book/x.vcf", card("x")) + strings.Replace(row("/book/x.vcf", card("x")), `"1"`, `"2"`, 1), "x.vcf", "x.vcf", 0},
		{"refused, then there", statusRow("/book/x.vcf", 500) + row("/book/x.vcf", card("x")), "x.vcf", "", 0},
		{"absolute", row("https://dav.example.test/book/x.vcf", card("x")), "x.vcf", "", 0},
		{"absolute behind a proxy", row("http://dav.example.test/book/x.vcf", card("x")), "x.vcf", "", 0},
		{"absolute elsewhere", row("https://attacker.test/book/x.vcf", card("x")), "", "x.vcf", 0},
		{"relative", row("x.vcf", card("x")), "x.vcf", "", 0},
		{"raw question mark", row("/book/a?b.vcf", card("x")), "a?b.vcf", "", 0},
		{"escaped", row("/book/a%20b%2Fc.vcf", card("x")), "a%20b%2Fc.vcf", "", 0},
		{"no href", "<response><propstat><prop/><status>HTTP/1.1 200 OK</status></propstat></response>", "", "", 0},
		{"no href, refused", "<response><status>HTTP/1.1 403 Forbidden</status></response>", "", "", 403},
		{"no href, but a card", strings.Replace(row("", card("x")), "<href></href>", "", 1), "", "", -1},
		{"too large", row("/book/x.vcf", strings.Repeat("x", 4<<20+1)), "", "x.vcf", 0},
		{"unreadable status", "<response><href>/book/x.vcf</href><status>what</status></response>", "", "x.vcf", 0},
	}
	for _, test := range tests {
		client := onBook(t, func(r *http.Request, _ string) *http.Response {
			if r.Method == "GET" {
				return answer(403, "")
			}
			return answer(207, multistatus(test.row, good))
		})
		contacts, err := list(t, client)
		if want := strings.TrimSpace(test.ids + " good.vcf"); ids(contacts) != want && test.failed+test.ids != "" {
			t.Errorf("%s: got %q, want %q", test.name, ids(contacts), want)
		}
		if wantErr := test.failed != "" || test.status != 0; wantErr != (err != nil) {
			t.Errorf("%s: got error %v", test.name, err)
			continue
		}
		ce, ok := errors.AsType[*icloud.CardError](err)
		if test.failed != "" && (!ok || ce.ID != test.failed) {
			t.Errorf("%s: got error %v, ID %v", test.name, err, ce)
		}
		if pe, ok := errors.AsType[*icloud.PartialError](err); ok != (test.failed != "") || ok && (len(pe.Cards) != 1 || pe.Cards[0] != ce) {
			t.Errorf("%s: got a PartialError: %v", test.name, ok)
		}
		if test.failed != "" && strings.Contains(err.Error(), test.failed) {
			t.Errorf("%s: the error contains the ID: %v", test.name, err)
		}
		if re, ok := errors.AsType[*icloud.ResponseError](err); test.status > 0 && (!ok || re.StatusCode != test.status) {
			t.Errorf("%s: got error %v, want status %d", test.name, err, test.status)
		}
		if _, ok := errors.AsType[*icloud.AuthError](err); ok || client.Status().State > icloud.Active {
			t.Errorf("%s: got error %v, state %v", test.name, err, client.Status().State)
		}
	}
}

// Where a server's answer is not XML, the rest is got by name, and only what
// cannot be got is an error.
func TestContactsBrokenXML(t *testing.T) {
	t.Parallel()
	cards := map[string]string{"a.vcf": card("a"), "b.vcf": card("b"), "c.vcf": card("c"), "d.vcf": card("d")}
	const broken = "</oops>"
	requests := 0
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		requests++
		switch {
		case r.Method == "PROPFIND":
			return answer(207, multistatus(etagRow("/book/", "x"), etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1"), etagRow("/book/c.vcf", "1"), etagRow("/book/d.vcf", "1"), etagRow("/book/gone.vcf", "1")))
		case strings.Contains(body, "multiget"):
			var rows []string
			for _, id := range []string{"a.vcf", "b.vcf", "c.vcf", "d.vcf", "gone.vcf"} {
				switch {
				case !strings.Contains(body, "/book/"+id):
				case id == "c.vcf":
					rows = append(rows, broken)
				case id == "gone.vcf":
					rows = append(rows, statusRow("/book/gone.vcf", 404))
				default:
					rows = append(rows, row("/book/"+id, cards[id]))
				}
			}
			return answer(207, multistatus(rows...))
		}
		return answer(207, multistatus(row("/book/a.vcf", cards["a.vcf"]), row("/book/bad&name.vcf", "x")))
	})
	contacts, err := list(t, client)
	if got := ids(contacts); got != "a.vcf b.vcf d.vcf" {
		t.Errorf("got %q in %d requests", got, requests)
	}
	ce, ok := errors.AsType[*icloud.CardError](err)
	if !ok || ce.ID != "c.vcf" {
		t.Errorf("got %v", err)
	}
}

// A server that has had enough says so by 507, and one that knows no query by one of
// three ways: what is missing is got by name.
func TestContactsRest(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]*http.Response{
		"507": answer(207, multistatus(row("/book/a.vcf", card("a")), statusRow("/book/", 507))),
		"405": answer(405, ""),
		"501": answer(501, ""),
		"403": answer(403, `<d:error xmlns:d="DAV:"><d:supported-report/></d:error>`),
	} {
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "PROPFIND":
				return answer(207, multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1")))
			case strings.Contains(body, "multiget"):
				var rows []string
				for _, id := range []string{"a", "b"} {
					if strings.Contains(body, "/book/"+id) {
						rows = append(rows, row("/book/"+id+".vcf", card(id)))
					}
				}
				return answer(207, multistatus(rows...))
			}
			return first
		})
		if contacts, err := list(t, client); err != nil || ids(contacts) != "a.vcf b.vcf" {
			t.Errorf("%s: got %q, %v", name, ids(contacts), err)
		}
	}
}

// A name may hold a slash, escaped, and is another than what follows the slash.
func TestContactsSlashInName(t *testing.T) {
	t.Parallel()
	client := onBook(t, func(*http.Request, string) *http.Response {
		return answer(207, multistatus(row("/book/a%2Fb.vcf", card("a")), row("/book/b.vcf", card("b"))))
	})
	if contacts, err := list(t, client); err != nil || ids(contacts) != "a%2Fb.vcf b.vcf" {
		t.Errorf("got %q, %v", ids(contacts), err)
	}
}

// Where the list of names breaks as well, what it names until then is got.
func TestContactsBrokenNames(t *testing.T) {
	t.Parallel()
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "PROPFIND":
			return answer(207, multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1"), etagRow("/book/c&d.vcf", "1"), etagRow("/book/z.vcf", "1")))
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus(row("/book/b.vcf", card("b"))))
		}
		return answer(207, multistatus(row("/book/a.vcf", card("a")), row("/book/c&d.vcf", card("c")), row("/book/b.vcf", card("b"))))
	})
	if contacts, err := list(t, client); err == nil || ids(contacts) != "a.vcf b.vcf" {
		t.Errorf("got %q, %v", ids(contacts), err)
	}
}

// Discovery that finds nothing says what is missing.
func TestDiscoveryFindsNothing(t *testing.T) {
	t.Parallel()
	principal := multistatus("<response><href>/</href><propstat><prop><current-user-principal><href>/p/</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>")
	home := multistatus(`<response><href>/p/</href><propstat><prop><addressbook-home-set xmlns="urn:ietf:params:xml:ns:carddav"><href xmlns="DAV:">/h/</href></addressbook-home-set></prop><status>HTTP/1.1 200 OK</status></propstat></response>`)
	empty := multistatus()
	tests := []struct{ name, principal, home, book, want string }{
		{"no principal", empty, home, bookAnswer, "current-user-principal"},
		{"unauthenticated", multistatus("<response><href>/</href><propstat><prop><current-user-principal><unauthenticated/></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>"), home, bookAnswer, "current-user-principal"},
		{"no home", principal, empty, bookAnswer, "addressbook-home-set"},
		{"no book", principal, home, empty, "no address book"},
		{"home refused", principal, statusRow("/p/", 403), bookAnswer, "cannot be read"},
		{"book refused in a 207", principal, home, multistatus(statusRow("/h/", 403)), "403"},
		{"principal elsewhere", strings.Replace(principal, "/p/", "https://attacker.test/p/", 1), home, bookAnswer, "refused"},
		{"home elsewhere", principal, strings.Replace(home, "/h/", "//attacker.test/h/", 1), bookAnswer, "refused"},
		{"book elsewhere", principal, home, strings.Replace(bookAnswer, "/book/", "http://dav.example.test/book/", 1), "refused"},
	}
	homes := strings.Replace(home, "</addressbook-home-set>", `<href xmlns="DAV:">//attacker.test/h/</href></addressbook-home-set>`, 1)
	tests = append(tests, struct{ name, principal, home, book, want string }{"one of two homes elsewhere", principal, homes, bookAnswer, ""})
	for _, test := range tests {
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Endpoint: "https://dav.example.test",
			Transport: wire(func(r *http.Request, body string) *http.Response {
				if r.URL.Host != "dav.example.test" {
					t.Errorf("%s: sent to %s", test.name, r.URL.Host)
				}
				switch {
				case strings.Contains(body, "current-user-principal"):
					return answer(207, test.principal)
				case strings.Contains(body, "home-set"):
					return answer(207, test.home)
				}
				return answer(207, test.book)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		contacts, err := list(t, client)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err == nil || len(contacts) > 0 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want one about %q", test.name, err, test.want)
		}
	}
}

// The fault of iCloud's in which the principal lacks the account's number.
func TestMissingDSID(t *testing.T) {
	t.Parallel()
	for n := range 5 {
		server, client := fake(t, 3)
		server.Intercept = icloudtest.Times(n, icloudtest.MissingDSID)
		contacts, err := list(t, client)
		if n < 3 && (err != nil || len(contacts) != 3) {
			t.Errorf("%d times: got %d contacts, %v", n, len(contacts), err)
		}
		if _, ok := errors.AsType[*icloud.AuthError](err); ok || client.Status().State != icloud.Active {
			t.Errorf("%d times: got %v, state %v", n, err, client.Status().State)
		}
	}
}

// The round trips of design.md: four, then one.
func TestContactsRequests(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 3)
	for _, want := range []int{4, 5, 6} {
		if _, err := list(t, client); err != nil || server.Requests() != want {
			t.Errorf("got %d requests, %v; want %d", server.Requests(), err, want)
		}
	}
}

// On iCloud too the endpoint may name the address book, or something that is not
// there; then discovery goes on at the root of the host, where probes go, and at the well-known URL.
func TestEndpointWithPath(t *testing.T) {
	t.Parallel()
	for _, known := range []string{"/book/", "/", "/.well-known/carddav"} {
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Endpoint: "https://contacts.icloud.com/book/",
			Transport: wire(func(r *http.Request, body string) *http.Response {
				switch {
				case r.Method == "REPORT":
					return answer(207, multistatus(row("/book/a.vcf", card("a"))))
				case strings.Contains(body, "home-set"):
					return answer(207, multistatus(`<response><href>/p/</href><propstat><prop><addressbook-home-set xmlns="urn:ietf:params:xml:ns:carddav"><href xmlns="DAV:">/h/</href></addressbook-home-set></prop><status>HTTP/1.1 200 OK</status></propstat></response>`))
				case r.Header.Get("Depth") == "1":
					return answer(207, bookAnswer)
				case r.URL.Path != known:
					return answer(404, "")
				case known == "/book/":
					return answer(207, bookAnswer)
				}
				return answer(207, multistatus("<response><href>/</href><propstat><prop><current-user-principal><href>/p/</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>"))
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if contacts, err := list(t, client); err != nil || len(contacts) != 1 {
			t.Errorf("%s: got %d contacts, %v", known, len(contacts), err)
		}
	}
}

// TestContactsQuietLimit: a query that a server cuts short without a word is noticed
// where servers are reported to do so.
func TestContactsQuietLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1000, 5000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, icloud.Options{})
			r.srv.QueryLimit, r.srv.QuietLimit = limit, true
			for i := range limit + 7 {
				r.srv.Put(fmt.Sprintf("n%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%d\r\nFN:N\r\nEND:VCARD\r\n", i))
			}
			n := 0
			for _, err := range r.Contacts(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			want := 0
			for range r.srv.Cards() {
				want++
			}
			if n != want || want < limit+7 {
				t.Errorf("got %d contacts of %d", n, want)
			}
		})
	}
}
