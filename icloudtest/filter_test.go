package icloudtest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestFilter: filters are evaluated as on iCloud, as far as others have tried that with a
// real account.
func TestFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := func(lines ...string) string {
		return "BEGIN:VCARD\r\nVERSION:3.0\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCARD\r\n"
	}
	s.srv.Put("two", body("EMAIL;TYPE=WORK:ada@engine.example", "EMAIL;TYPE=HOME:countess@home.example", "NICKNAME:Ada"))
	s.srv.Put("one", body("EMAIL:grace@na", " vy.example", "NICKNAME:Amazing"))
	s.srv.Put("none", body("TEL;TYPE=\"a:b;c\":12345", "lower:x", `NOTE:a\, b\; c\nd`, "NICKNAME:None"))
	s.srv.Put("item", body("item1.EMAIL:alan@park.example", "item1.X-ABLabel:Park", "IMPP:xmpp:a", "NICKNAME:Émile"))
	prop := func(name, attrs, inner string) string {
		return `<C:prop-filter name="` + name + `" ` + attrs + `>` + inner + `</C:prop-filter>`
	}
	text := func(attrs, text string) string { return `<C:text-match ` + attrs + `>` + text + `</C:text-match>` }
	const undefined = `<C:is-not-defined/>`
	for _, test := range []struct{ what, filter, want string }{
		{"no property is asked for", ``, "two one none item"},
		{"a property", prop("EMAIL", "", ""), "two one item"},
		{"no such property", prop("EMAIL", "", undefined), "none"},
		{"names in another case", prop("email", "", ""), ""},
		{"the absence of a name in another case", prop("email", "", undefined), "two one none item"},
		{"a name in lower case in the card", prop("lower", "", ""), "none"},
		{"a group", prop("item1.EMAIL", "", ""), "item"},
		{"no such group", prop("item1.EMAIL", "", undefined), "two one none"},
		{"a group in another case", prop("ITEM1.EMAIL", "", ""), ""},
		{"another group", prop("item2.EMAIL", "", ""), ""},
		{"a text in a group", prop("item1.EMAIL", "", text("", "example")), "item"},

		{"contains, which is the default", prop("EMAIL", "", text("", "@home.")), "two"},
		{"contains", prop("EMAIL", "", text(`match-type="contains"`, "e@na")), "one"},
		{"equals", prop("EMAIL", "", text(`match-type="equals"`, "countess@home.example")), "two"},
		{"equals a part", prop("EMAIL", "", text(`match-type="equals"`, "countess@home")), ""},
		{"starts with", prop("EMAIL", "", text(`match-type="starts-with"`, "a")), "two item"},
		{"ends with", prop("EMAIL", "", text(`match-type="ends-with"`, ".example")), "two one item"},
		{"letters in another case", prop("EMAIL", "", text(`match-type="equals"`, "GRACE@Navy.example")), "one"},
		{"letters beyond ASCII", prop("NICKNAME", "", text(``, "éMILE")), "item"},
		{"letters as they are", prop("EMAIL", "", text(`collation="i;octet"`, "GRACE")), ""},
		{"escapes", prop("NOTE", "", text(`match-type="equals"`, "a, b; c\nd")), "none"},

		{"not: no value of it may", prop("EMAIL", "", text(`match-type="ends-with" negate-condition="yes"`, "navy.example")), "two item"},
		{"not: one of two values may", prop("EMAIL", "", text(`negate-condition="yes"`, "home")), "two one item"},
		{"negate-condition no", prop("EMAIL", "", text(`negate-condition="no"`, "home")), "two"},

		{"two texts, one of them", prop("EMAIL", "", text("", "home")+text("", "park")), "two item"},
		{"two texts, both, by one value", prop("EMAIL", `test="allof"`, text("", "countess")+text("", "home")), "two"},
		{"two texts, both, by two values", prop("EMAIL", `test="allof"`, text("", "ada")+text("", "home")), ""},

		{"two properties", prop("TEL", "", "") + prop("IMPP", "", ""), "none item"},
		{"allof two properties, which is anyof", `ALLOF` + prop("EMAIL", "", "") + prop("IMPP", "", ""), "two one item"},
		{"a parameter, which is passed over", prop("EMAIL", "", `<C:param-filter name="TYPE"><C:text-match>HOME</C:text-match></C:param-filter>`), "two one item"},
		{"no such parameter, which is passed over", prop("EMAIL", "", `<C:param-filter name="TYPE">`+undefined+`</C:param-filter>`), "two one item"},
		{"a parameter and a text", prop("EMAIL", "", `<C:param-filter name="TYPE">`+undefined+`</C:param-filter>`+text("", "ada")), "two"},
	} {
		filter, all := strings.CutPrefix(test.filter, "ALLOF")
		open := `<C:filter>`
		if all {
			open = `<C:filter test="allof">`
		}
		ask := strings.Replace(askQuery, "<C:filter/>", open+filter+"</C:filter><C:limit><C:nresults>1</C:nresults></C:limit>", 1)
		var got []string
		for _, row := range s.multistatus("REPORT", s.book(), ask, "Depth", "1").Rows {
			if row.Href == s.bookPath() {
				// Only the answer to a query without a filter has the book's own row.
				if test.filter != "" {
					t.Errorf("%s: the book's own row is in the answer", test.what)
				}
				continue
			}
			got = append(got, row.id())
			if card, _ := s.srv.Card(row.id()); row.text("address-data") != card {
				t.Errorf("%s: %s came as %q", test.what, row.id(), row.text("address-data"))
			}
		}
		if want := strings.Fields(test.want); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", test.what, got, want)
		}
	}
	for _, bad := range []string{prop("", "", ""), prop("EMAIL", "", text(`match-type="regex"`, "x"))} {
		s.want(http.StatusForbidden, "REPORT", s.book(), strings.Replace(askQuery, "<C:filter/>", "<C:filter>"+bad+"</C:filter>", 1))
	}
}

// FuzzFilter: no card, however malformed, causes a panic.
func FuzzFilter(f *testing.F) {
	f.Add("BEGIN:VCARD\r\nEMAIL;TYPE=\"a:b\":x\r\n y\r\nitem1.X:1\r\nEND:VCARD\r\n", "EMAIL", "xy")
	f.Add("A", "A", "")
	f.Add("\n \n\t:;\".", ".", ":")
	f.Fuzz(func(t *testing.T, card, name, text string) {
		s := start(t)
		s.srv.PhotosAsURLs = true
		s.srv.Put("a.vcf", card)
		s.do("PUT", s.book()+"b.vcf", "BEGIN:VCARD\n"+card+"\nPHOTO;ENCODING=b:AAAA\nEND:VCARD")
		attr := strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")
		ask := strings.Replace(askQuery, "<C:filter/>", `<C:filter><C:prop-filter name="`+attr.Replace(name)+
			`"><C:text-match negate-condition="yes">`+attr.Replace(text)+`</C:text-match></C:prop-filter></C:filter>`, 1)
		switch a := s.do("REPORT", s.book(), ask, "Depth", "1"); a.StatusCode {
		case http.StatusMultiStatus, http.StatusBadRequest, http.StatusForbidden:
		default:
			t.Errorf("got %s", a.Status)
		}
	})
}
