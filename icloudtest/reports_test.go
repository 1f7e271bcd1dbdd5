package icloudtest_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const notFound = "HTTP/1.1 404 Not Found"

func TestQuery(t *testing.T) {
	t.Parallel()
	s := start(t)
	rows := s.rows("REPORT", s.book(), askQuery, "Depth", "1")
	equal(t, "rows of an empty book", len(rows), 1)

	cards := map[string]string{"a.vcf": cardNamed("A"), "b.vcf": "no card", "group": "BEGIN:VCARD\r\nX-ADDRESSBOOKSERVER-KIND:group\r\nEND:VCARD\r\n"}
	for id, card := range cards {
		s.srv.Put(id, card)
	}
	for what, ask := range map[string]string{
		"an empty filter": askQuery,
		"no filter":       strings.Replace(askQuery, "<C:filter/>", "", 1),
		"a limit and a part of the card": strings.NewReplacer(
			"<C:filter/>", `<C:filter/><C:limit><C:nresults>1</C:nresults></C:limit>`,
			"<C:address-data/>", `<C:address-data><C:prop name="UID"/></C:address-data>`).Replace(askQuery),
	} {
		rows := s.rows("REPORT", s.book(), ask, "Depth", "1")
		equal(t, what+": rows", len(rows), 1+len(cards))
		// The book itself has a row.
		equal(t, what+": first row", rows[0].Href, s.bookPath())
		if _, status := rows[0].get("address-data"); status != notFound {
			t.Errorf("%s: address-data of the book has status %q", what, status)
		}
		for _, row := range rows[1:] {
			equal(t, what+": "+row.Href, row.text("address-data"), cards[row.id()])
			if !etagForm.MatchString(row.text("getetag")) {
				t.Errorf("%s: ETag %q", what, row.text("getetag"))
			}
		}
	}
	// A report omits getlastmodified and does not report it as missing.
	ask := strings.Replace(askQuery, "<getetag/>", "<getlastmodified/><getetag/>", 1)
	for _, row := range s.rows("REPORT", s.book(), ask, "Depth", "1")[1:] {
		if p, _ := row.get("getlastmodified"); p.XMLName.Local != "" {
			t.Error("getlastmodified is in a report")
		}
	}
	s.want(http.StatusMultiStatus, "REPORT", strings.TrimSuffix(s.book(), "/"), askQuery, "Depth", "1")

	s.srv.OmitOwnRow = true
	equal(t, "rows with OmitOwnRow", len(s.rows("REPORT", s.book(), askQuery)), len(cards))
	s.srv.OmitOwnRow, s.srv.QueryLimit = false, 2
	rows = s.rows("REPORT", s.book(), askQuery)
	if last := rows[len(rows)-1]; len(rows) != 4 || last.Href != s.bookPath() || last.Status == nil || !strings.Contains(*last.Status, " 507 ") {
		t.Errorf("QueryLimit 2: %d rows, the last %+v; want the book, two cards, and a 507", len(rows), last)
	}
	s.srv.QuietLimit = true
	equal(t, "rows with QuietLimit", len(s.rows("REPORT", s.book(), askQuery)), 3)
	s.srv.QueryLimit = 3
	equal(t, "rows with a limit that is not reached", len(s.rows("REPORT", s.book(), askQuery)), 4)
}

func TestMultiget(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{"a.vcf", "b.vcf", "c.vcf"} {
		s.srv.Put(id, cardNamed(id))
	}
	s.srv.Delete("c.vcf")
	book := s.bookPath()
	rows := s.rows("REPORT", s.book(), askCards(book+"b.vcf", book+"c.vcf", book+"a.vcf", book+"never.vcf", "/1/carddavhome/card/a.vcf"), "Depth", "1")
	equal(t, "rows", len(rows), 5)
	for i, want := range []string{cardNamed("b.vcf"), "", cardNamed("a.vcf"), "", ""} {
		if got := rows[i].text("address-data"); got != want {
			t.Errorf("row %d, %s: got %q, want %q", i, rows[i].Href, got, want)
		}
		if status := rows[i].Status; (status != nil && *status == notFound) != (want == "") {
			t.Errorf("row %d, %s: status %v", i, rows[i].Href, status)
		}
	}
	if status := s.rows("REPORT", s.book(), askCards(book+"100%zz"))[0].Status; status == nil || *status != notFound {
		t.Errorf("an href that is no URL: status %v", status)
	}
	equal(t, "no hrefs", len(s.multistatus("REPORT", s.book(), askCards()).Rows), 0)
	if rows := s.rows("REPORT", s.book(), askCards(book+"a.vcf"), "Depth", "0"); len(rows) != 1 {
		t.Errorf("Depth 0: %d rows", len(rows))
	}
	// Each of these makes the Server refuse the whole request.
	for _, bad := range []string{s.book() + "a.vcf", canonical + book + "a.vcf", "//contacts.icloud.com" + book + "a.vcf", book, strings.TrimSuffix(book, "/"), "a.vcf"} {
		s.want(http.StatusBadRequest, "REPORT", s.book(), askCards(book+"a.vcf", bad), "Depth", "1")
	}
	s.want(http.StatusMultiStatus, "REPORT", s.book(), `<?xml version="1.0"?>`+askCards(book+"a.vcf"))
	s.want(http.StatusBadRequest, "REPORT", s.book(), "\n"+`<?xml version="1.0"?>`+askCards(book+"a.vcf"))
}

func TestSync(t *testing.T) {
	t.Parallel()
	s := start(t)
	empty, _, t0 := s.sync("")
	equal(t, "an empty book", empty, map[string]string{})
	equal(t, "rows of an empty delta", len(s.multistatus("REPORT", s.book(), askSync(t0)).Rows), 0)
	for _, id := range []string{"a.vcf", "b.vcf", "c.vcf"} {
		s.srv.Put(id, cardNamed(id))
	}
	all, order, t1 := s.sync("")
	equal(t, "all, in the order of their changes", order, []string{"a.vcf", "b.vcf", "c.vcf"})
	for id, etag := range all {
		equal(t, id, etag, s.want(http.StatusOK, "GET", s.book()+id, "").Header.Get("Etag"))
	}
	since0, _, _ := s.sync(t0)
	equal(t, "since it was empty", since0, all)
	none, _, again := s.sync(t1)
	equal(t, "nothing new", none, map[string]string{})
	equal(t, "token of the same state", again, t1)

	s.srv.Put("b.vcf", cardNamed("B"))
	s.srv.Delete("a.vcf")
	s.srv.Put("d.vcf", cardNamed("d"))
	s.srv.Put("e.vcf", cardNamed("e"))
	s.srv.Delete("e.vcf") // created and removed since the token
	s.srv.Put("d.vcf", cardNamed("D"))
	some, order, t2 := s.sync(t1)
	equal(t, "what has changed", order, []string{"b.vcf", "a.vcf", "d.vcf"})
	equal(t, "a.vcf", some["a.vcf"], notFound)
	if some["b.vcf"] == all["b.vcf"] || !etagForm.MatchString(some["b.vcf"]) {
		t.Errorf("b.vcf: ETag %q, was %q", some["b.vcf"], all["b.vcf"])
	}

	// A token stays valid after many changes, and an id can be used again.
	for range 100 {
		s.srv.Put("a.vcf", cardNamed("a"))
		s.srv.Delete("a.vcf")
	}
	for _, token := range []string{t1, t2} {
		got, _, _ := s.sync(token)
		if want := notFound; token == t1 && got["a.vcf"] != want {
			t.Errorf("a.vcf: %q, want %q", got["a.vcf"], want)
		}
	}
	s.srv.Put("a.vcf", cardNamed("a"))
	got, _, _ := s.sync(t1)
	if !etagForm.MatchString(got["a.vcf"]) {
		t.Errorf("a.vcf: %q, want the card that is back", got["a.vcf"])
	}
	for _, token := range []string{t0, t1, t2} {
		if !strings.HasPrefix(token, "HwoQEgwA") || !strings.Contains(token, "+") || !strings.Contains(token, "/") {
			t.Errorf("token %q, want iCloud's form, with + and /", token)
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != "" || len(token) < 16 {
			t.Errorf("token %q, want base64", token)
		}
	}
}

// TestSyncShape: the quirks of an answer to sync-collection.
func TestSyncShape(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	ask := strings.Replace(askSync(""), "<getetag/>", `<getetag/><resourcetype/><C:address-data xmlns:C="urn:ietf:params:xml:ns:carddav"/>`, 1)
	ms := s.multistatus("REPORT", s.book(), ask)
	equal(t, "rows", len(ms.Rows), 2)
	self, card := ms.Rows[0], ms.Rows[1]
	equal(t, "the book's own href, without its slash", self.Href, strings.TrimSuffix(s.bookPath(), "/"))
	if p, _ := self.get("resourcetype"); p.XMLName.Local != "" {
		t.Error("the book's own row has a resourcetype")
	}
	if self.text("getetag") == "" {
		t.Error("the book's own row has no ETag")
	}
	s.srv.OwnRowSlash = true
	equal(t, "the book's own href with OwnRowSlash", s.multistatus("REPORT", s.book(), ask).Rows[0].Href, s.bookPath())
	if p, _ := card.get("address-data"); p.XMLName.Local != "" {
		t.Error("the answer has cards, want ETags alone")
	}
	s.srv.DenyInlineData = true
	denied := s.multistatus("REPORT", s.book(), ask).Rows[1]
	if _, status := denied.get("address-data"); status != "HTTP/1.1 403 Forbidden" || !etagForm.MatchString(denied.text("getetag")) {
		t.Errorf("DenyInlineData: address-data has status %q, ETag %q", status, denied.text("getetag"))
	}
	s.srv.InlineData = true
	equal(t, "InlineData", s.multistatus("REPORT", s.book(), ask).Rows[1].text("address-data"), cardNamed("a"))
	s.want(http.StatusMultiStatus, "REPORT", s.book(), askSync(""))
	s.want(http.StatusMultiStatus, "REPORT", s.book(), askSync(""), "Depth", "0")
	s.want(http.StatusBadRequest, "REPORT", s.book(), askSync(""), "Depth", "1")
	s.want(http.StatusBadRequest, "REPORT", s.book(), askSync(""), "Depth", "infinity")
}

func TestTokenRefusal(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	_, _, old := s.sync("")
	s.srv.ForgetTokens()
	_, _, token := s.sync("")
	other := start(t) // another Server in the same state
	other.srv.Put("a.vcf", cardNamed("a"))
	other.srv.ForgetTokens()
	_, _, foreign := other.sync("")
	for _, status := range []int{0, 400, 403, 409, 410} {
		s.srv.TokenRefusal = status
		want := status
		if status == 0 {
			want = http.StatusForbidden
		}
		for what, bad := range map[string]string{
			"forgotten": old, "another book's": foreign, "nonsense": "nonsense", "a URL": "http://example.com/1",
			"cut": token[:len(token)-4], "another form": token + "AAAA",
		} {
			a := s.want(want, "REPORT", s.book(), askSync(bad), "Depth", "0")
			if strings.Contains(a.body, "<valid-sync-token") != (status == 0) || status != 0 && a.body != "" {
				t.Errorf("TokenRefusal %d, %s: body %q", status, what, a.body)
			}
		}
		s.want(http.StatusMultiStatus, "REPORT", s.book(), askSync(token), "Depth", "0")
		s.want(http.StatusMultiStatus, "REPORT", s.book(), askSync(""), "Depth", "0")
		s.srv.RefuseEmptyToken = true
		s.want(want, "REPORT", s.book(), askSync(""), "Depth", "0")
		s.want(http.StatusMultiStatus, "REPORT", s.book(), askSync(token), "Depth", "0")
		s.srv.RefuseEmptyToken = false
	}
	// With 207 the token is not refused, and all cards are listed.
	s.srv.TokenRefusal = http.StatusMultiStatus
	all, _, next := s.sync("")
	for _, bad := range []string{old, foreign, "nonsense"} {
		got, _, again := s.sync(bad)
		equal(t, "changes since an unknown token", got, all)
		equal(t, "the token after it", again, next)
	}
	s.srv.RefuseEmptyToken = true
	s.want(http.StatusForbidden, "REPORT", s.book(), askSync(""), "Depth", "0")
}

// TestSyncPages: a client that reads pages while cards change ends with a right copy.
func TestSyncPages(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 7; size++ {
		s := start(t)
		s.srv.PageSize = size
		for i := range 6 {
			s.srv.Put(fmt.Sprintf("%d.vcf", i), cardNamed("x"))
		}
		have := make(map[string]string)
		token, pages := "", 0
		for more := true; more; pages++ {
			if pages > 100 {
				t.Fatalf("page size %d: no end", size)
			}
			ms := s.multistatus("REPORT", s.book(), askSync(token), "Depth", "0")
			more = false
			n := 0
			for _, row := range ms.Rows {
				switch {
				case strings.HasSuffix(row.Href, "/card"): // the book's own
					continue
				case row.Status == nil:
					have[row.id()] = row.text("getetag")
				case *row.Status == notFound:
					delete(have, row.id())
				case strings.Contains(*row.Status, " 507 "):
					equal(t, "href of the 507", row.Href, s.bookPath())
					more = true
					continue
				}
				n++
			}
			if n > size || more && n != size {
				t.Errorf("page size %d: %d changes, more %v", size, n, more)
			}
			if pages == 0 && more != (size < 6) {
				t.Errorf("page size %d: more %v after the first page of 6 cards", size, more)
			}
			token = ms.Token
			switch pages {
			case 0:
				s.srv.Delete("0.vcf")
				s.srv.Put("5.vcf", cardNamed("y"))
				s.srv.Put("new.vcf", cardNamed("z"))
			case 1:
				s.srv.Delete("3.vcf")
			}
		}
		// Changes after the last page come with the next use of the token.
		s.srv.PageSize = 0
		rest, _, _ := s.sync(token)
		for id, etag := range rest {
			if have[id] = etag; etag == notFound {
				delete(have, id)
			}
		}
		want, _, _ := s.sync("")
		equal(t, fmt.Sprintf("page size %d: the book", size), have, want)
	}
}

func TestExtraChanges(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	all, _, token := s.sync("")
	s.srv.ExtraChanges = true
	got, _, next := s.sync(token)
	equal(t, "changes", got, all)
	equal(t, "token", next, token)
	s.srv.Put("a.vcf", cardNamed("b"))
	if got, order, _ := s.sync(token); len(order) != 1 || got["a.vcf"] == all["a.vcf"] {
		t.Errorf("got %v, want the change once", order)
	}
}

// TestXML: the XML has the oddities of Apple's.
func TestXML(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", "BEGIN:VCARD\r\nNOTE:<&> \"x\"\r\n folded\r\nlf\ncr\rEND:VCARD\r\n")
	a := s.do("REPORT", s.book(), askQuery)
	if !strings.HasPrefix(a.body, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`+"\n") {
		t.Errorf("declaration: %.60q", a.body)
	}
	for _, want := range []string{"\n\n<response xmlns=\"DAV:\">\n", `<getetag xmlns="DAV:">"m`, "BEGIN:VCARD&#13;\nNOTE:&lt;&amp;&gt; \"x\"&#13;\n folded&#13;\nlf\ncr&#13;END"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q in\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "<D:") || a.ContentLength != -1 || !slices.Equal(a.TransferEncoding, []string{"chunked"}) {
		t.Errorf("want no prefixes, and chunks: %d, %v", a.ContentLength, a.TransferEncoding)
	}
	rows := s.rows("REPORT", s.book(), askQuery)

	s.srv.Prefixes, s.srv.EmptyStatus, s.srv.ContentType = true, true, "text/html"
	b := s.do("REPORT", s.book(), askQuery)
	if !strings.Contains(b.body, "<D:multistatus ") || !strings.Contains(b.body, "<CD:address-data>") || strings.Contains(b.body, "<response") {
		t.Errorf("Prefixes:\n%s", b.body)
	}
	equal(t, "Content-Type", b.Header.Get("Content-Type"), "text/html")
	if !strings.Contains(b.body, "<D:status/>") || strings.Contains(b.body, " 404 ") {
		t.Errorf("EmptyStatus:\n%s", b.body)
	}
	s.srv.EmptyStatus = false
	s.srv.CDATA = true
	c := s.do("REPORT", s.book(), askQuery)
	if !strings.Contains(c.body, "<CD:address-data><![CDATA[BEGIN:VCARD\r\nNOTE:<&> ") {
		t.Errorf("CDATA:\n%s", c.body)
	}
	s.srv.CDATA = false
	equal(t, "rows with prefixes", fmt.Sprintf("%+v", s.rows("REPORT", s.book(), askQuery)), fmt.Sprintf("%+v", rows))
	var failure struct {
		XMLName xml.Name  `xml:"DAV: error"`
		Invalid *struct{} `xml:"DAV: valid-sync-token"`
	}
	for _, prefixes := range []bool{false, true} {
		s.srv.Prefixes = prefixes
		a := s.want(http.StatusForbidden, "REPORT", s.book(), askSync("x"))
		if err := xml.Unmarshal([]byte(a.body), &failure); err != nil || failure.Invalid == nil {
			t.Errorf("error: %v in\n%s", err, a.body)
		}
	}
}

// TestRawBytes: cards are listed byte for byte, also with bytes that XML forbids.
func TestRawBytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", "NUL \x00, latin \xe9, U+FFFE \ufffe, ]]>, &amp;")
	a := s.do("REPORT", s.book(), askQuery)
	s.srv.CDATA = true
	if c, want := s.do("REPORT", s.book(), askQuery), "<![CDATA[NUL \x00, latin \xe9, U+FFFE \ufffe, ]]]]><![CDATA[>, &amp;]]>"; !strings.Contains(c.body, want) {
		t.Errorf("no %q in %q", want, c.body)
	}
	if want := "NUL \x00, latin \xe9, U+FFFE \ufffe, ]]&gt;, &amp;amp;"; !strings.Contains(a.body, want) {
		t.Errorf("no %q in %q", want, a.body)
	}
}
