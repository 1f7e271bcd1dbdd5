package icloud_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

func TestPutDelete(t *testing.T) {
	t.Parallel()
	for _, omit := range []bool{false, true} {
		server, client := fake(t, 0)
		server.OmitETag = omit
		ctx := t.Context()

		etag, err := client.Put(ctx, "a.vcf", []byte(card("a")), "")
		if err != nil || (etag == "") != omit {
			t.Fatalf("create: got ETag %q, %v", etag, err)
		}
		if _, err := client.Put(ctx, "a.vcf", []byte(card("b")), ""); err != icloud.ErrConflict {
			t.Errorf("create again: got %v", err)
		}
		got, err := client.Contact(ctx, "a.vcf")
		if err != nil || got.ID != "a.vcf" || got.Name != "a" || string(got.VCard) != card("a") || got.ETag == "" || !omit && got.ETag != etag {
			t.Fatalf("got %+v, %v", got, err)
		}
		if etag, err = client.Put(ctx, "a.vcf", []byte(card("b")), got.ETag); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(ctx, "a.vcf", []byte(card("c")), got.ETag); err != icloud.ErrConflict {
			t.Errorf("change of a stale card: got %v", err)
		}
		if err := client.Delete(ctx, "a.vcf", got.ETag); err != icloud.ErrConflict {
			t.Errorf("deletion of a stale card: got %v", err)
		}
		if got, err = client.Contact(ctx, "a.vcf"); err != nil || got.Name != "b" || !omit && got.ETag != etag {
			t.Fatalf("got %+v, %v", got, err)
		}
		if err := client.Delete(ctx, "a.vcf", got.ETag); err != nil {
			t.Fatal(err)
		}
		_, err = client.Contact(ctx, "a.vcf")
		if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != 404 {
			t.Errorf("a deleted card: got %v", err)
		}
		if client.Status().State != icloud.Active {
			t.Errorf("the state is %v", client.Status().State)
		}
	}
}

// TestWriteRefusesArguments: which arguments are refused before anything is sent.
func TestWriteRefusesArguments(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	ctx := t.Context()
	good := []byte(card("a"))
	for _, id := range []string{"", ".", "..", "a/b", "/", "../x.vcf", "a\nb", "a\x00", "\x7f", "%2e%2e", "%2E", "..%2Fx", "%2f..", "a%0ab", "a%00", "a\u0085", `..\x`, "%5c..%5cx"} {
		if _, err := client.Put(ctx, id, good, ""); err == nil {
			t.Errorf("Put took the ID %q", id)
		}
		if err := client.Delete(ctx, id, `"1"`); err == nil {
			t.Errorf("Delete took the ID %q", id)
		}
		if _, err := client.Contact(ctx, id); err == nil {
			t.Errorf("Contact took the ID %q", id)
		}
	}
	for _, etag := range []string{`W/"1"`, `w/"1"`, ` W/"1"`, "*", " ", "\t", `""" "`, `"a", "b"`, "a, b", ` "1"`, `"1" `, `"1`, "a\r\nX: y", "\x00"} {
		if _, err := client.Put(ctx, "a.vcf", good, etag); err == nil {
			t.Errorf("Put took the ETag %q", etag)
		}
		err := client.Delete(ctx, "a.vcf", etag)
		if weak := strings.HasPrefix(strings.ToLower(etag), "w/"); err == nil || weak != strings.Contains(err.Error(), "weak") {
			t.Errorf("Delete with the ETag %q: got %v", etag, err)
		}
	}
	if err := client.Delete(ctx, "a.vcf", ""); err == nil {
		t.Error("Delete took no ETag")
	}
	if _, err := client.Put(ctx, "a.vcf", nil, ""); err == nil {
		t.Error("Put took no card")
	}
	if n := server.Requests(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestIDs: IDs are sent as they are written.
func TestIDs(t *testing.T) {
	t.Parallel()
	for id, path := range map[string]string{
		"plain.vcf":      "/book/plain.vcf",
		"no-extension":   "/book/no-extension",
		"a%20b.vcf":      "/book/a%20b.vcf",
		"a b.vcf":        "/book/a%20b.vcf",
		"%c3%bc.vcf":     "/book/%c3%bc.vcf",
		"ü.vcf":          "/book/%C3%BC.vcf",
		"a'(1)+&=~.vcf":  "/book/a'(1)+&=~.vcf",
		"a:b@c;d,e.vcf":  "/book/a:b@c;d,e.vcf",
		"a%2Fb.vcf":      "/book/a%2Fb.vcf",
		"a%3Fb.vcf":      "/book/a%3Fb.vcf",
		`q"<>.vcf`:       "/book/q%22%3C%3E.vcf",
		"C%3A%5Cx.vcf":   "/book/C%3A%5Cx.vcf",
		"...vcf":         "/book/...vcf",
		"HwoQEgwAAD==":   "/book/HwoQEgwAAD==",
		"100%25.vcf":     "/book/100%25.vcf",
		"100%.vcf":       "/book/100%25.vcf", // some servers escape nothing
		"%zz.vcf":        "/book/%25zz.vcf",
		"a?b.vcf":        "/book/a%3Fb.vcf", // Cyrus and SOGo write these raw
		"a?b=1#c.vcf":    "/book/a%3Fb=1%23c.vcf",
		"%F0%9F%8D%B0/x": "",
	} {
		got := ""
		client := onBook(t, func(r *http.Request, _ string) *http.Response {
			got = r.URL.RequestURI()
			return answer(200, card("x"), "Content-Type", "text/vcard", "ETag", `"1"`)
		})
		contact, err := client.Contact(t.Context(), id)
		if (err == nil) != (path != "") || got != path || err == nil && contact.ID != id {
			t.Errorf("%q: sent to %q, want %q; %v", id, got, path, err)
		}
	}
}

// TestContactRefused: answers to a GET that are not a card, and do not say that there is none.
func TestContactRefused(t *testing.T) {
	t.Parallel()
	for name, resp := range map[string]*http.Response{
		"page":       answer(200, "<html>", "Content-Type", "text/html; charset=utf-8"),
		"207":        answer(207, multistatus(statusRow("/book/x.vcf", 403))),
		"no content": answer(204, ""),
		"accepted":   answer(202, ""),
		"401":        answer(401, ""),
		"403":        answer(403, ""),
		"500":        answer(500, ""),
		"too large":  answer(200, strings.Repeat("x", 4<<20+1), "Content-Type", "text/vcard"),
	} {
		client := onBook(t, func(*http.Request, string) *http.Response { return resp })
		contact, err := client.Contact(t.Context(), "x.vcf")
		if contact != nil || err == nil {
			t.Errorf("%s: got %+v, %v", name, contact, err)
		}
		if re, ok := errors.AsType[*icloud.ResponseError](err); ok && (re.StatusCode == 404 || re.StatusCode == 410) {
			t.Errorf("%s: looks like a card that is gone: %v", name, err)
		}
	}
}

// TestWriteRefused: answers to a write that are not a success, although some look like one.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		status   int
		body     string
		header   []string
		conflict bool
		ok       bool
	}{
		{"created", 201, "", nil, false, true},
		{"created, with the type of a page", 201, "", []string{"Content-Type", "text/html"}, false, true},
		{"no content", 204, "", nil, false, true},
		{"ok", 200, "", nil, false, true},
		{"ok in a 207", 207, multistatus(statusRow("/book/x.vcf", 200)), nil, false, true},
		{"a portal's page", 200, "<html>", []string{"Content-Type", "text/html"}, false, false},
		{"refused in a 207", 207, multistatus(statusRow("/book/x.vcf", 403)), nil, false, false},
		{"conflict in a 207", 207, multistatus(statusRow("/book/x.vcf", 412)), nil, true, false},
		{"a 207 cut short", 207, multistatus()[:50], nil, false, false},
		{"conflict", 412, "", nil, true, false},
		{"accepted for later", 202, "", nil, false, false},
		{"forbidden", 403, "", nil, false, false},
		{"too large", 413, "", nil, false, false},
		{"out of space", 507, "", nil, false, false},
		{"failed", 500, "", nil, false, false},
	}
	for _, test := range tests {
		client := onBook(t, func(*http.Request, string) *http.Response {
			return answer(test.status, test.body, test.header...)
		})
		_, put := client.Put(t.Context(), "x.vcf", []byte(card("x")), "")
		del := client.Delete(t.Context(), "x.vcf", `"1"`)
		for method, err := range map[string]error{"PUT": put, "DELETE": del} {
			if (err == nil) != test.ok || (err == icloud.ErrConflict) != test.conflict {
				t.Errorf("%s, %s: got %v", test.name, method, err)
			}
		}
	}
}

// TestWriteLost: if the connection is lost during a write, the write is not repeated, and
// the error says that the outcome is unknown.
func TestWriteLost(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 1)
	contacts, err := list(t, client)
	if err != nil {
		t.Fatal(err)
	}
	server.Intercept = icloudtest.Reset
	before := server.Requests()
	_, err = client.Put(t.Context(), "x.vcf", []byte(card("x")), "")
	if err == nil || !strings.Contains(err.Error(), "unknown") || server.Requests()-before != 1 {
		t.Errorf("PUT: got %v after %d requests", err, server.Requests()-before)
	}
	err = client.Delete(t.Context(), contacts[0].ID, contacts[0].ETag)
	if err == nil || !strings.Contains(err.Error(), "unknown") || server.Requests()-before != 2 {
		t.Errorf("DELETE: got %v after %d requests", err, server.Requests()-before)
	}
}

// TestWriteRedirected: a redirect proves that a write was not executed, so it is sent to
// the new URL.
func TestWriteRedirected(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 307, 308} {
		server, client := fake(t, 0)
		server.Redirect = code
		etag, err := client.Put(t.Context(), "a.vcf", []byte(card("a")), "")
		if err != nil {
			t.Fatalf("%d: %v", code, err)
		}
		if err := client.Delete(t.Context(), "a.vcf", etag); err != nil {
			t.Fatalf("%d: %v", code, err)
		}
	}
}

// TestBookMoved: the remembered URL of a book that has moved answers 404, and the book is
// looked for again.
func TestBookMoved(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404, 410} {
		at, requests := "/old/", 0
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Endpoint: "https://dav.example.test",
			Transport: wire(func(r *http.Request, body string) *http.Response {
				requests++
				switch {
				case strings.Contains(body, "current-user-principal"):
					return answer(207, multistatus("<response><href>/</href><propstat><prop><current-user-principal><href>/p/</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>"))
				case strings.Contains(body, "home-set"):
					return answer(207, multistatus(`<response><href>/p/</href><propstat><prop><addressbook-home-set xmlns="urn:ietf:params:xml:ns:carddav"><href xmlns="DAV:">/h/</href></addressbook-home-set></prop><status>HTTP/1.1 200 OK</status></propstat></response>`))
				case r.Method == "PROPFIND":
					return answer(207, strings.ReplaceAll(bookAnswer, "/book/", at))
				case !strings.HasPrefix(r.URL.Path, at), strings.HasSuffix(r.URL.Path, "/gone.vcf"):
					return answer(status, "")
				case r.Method == "REPORT":
					return answer(207, multistatus(row(at+"a.vcf", card("a"))))
				case r.Method == "GET":
					return answer(200, card("a"), "Content-Type", "text/vcard")
				}
				return answer(201, "")
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, at = range []string{"/old/", "/new/"} {
			if contacts, err := list(t, client); err != nil || len(contacts) != 1 {
				t.Errorf("%d: got %d contacts, %v", status, len(contacts), err)
			}
		}
		at = "/newer/"
		if _, err := client.Contact(t.Context(), "a.vcf"); err != nil {
			t.Errorf("%d: Contact: %v", status, err)
		}
		at = "/newest/"
		if _, err := client.Put(t.Context(), "a.vcf", []byte(card("a")), ""); err != nil {
			t.Errorf("%d: Put: %v", status, err)
		}
		// The book has not moved, so the same request would get the same answer.
		requests = 0
		if _, err := client.Contact(t.Context(), "gone.vcf"); err == nil || requests != 4 {
			t.Errorf("%d: Contact of a card that is gone: %v after %d requests, want an error after the GET and three of discovery", status, err, requests)
		}
	}
}

// TestEditRoundTrip: Edit keeps every byte of other properties, also after a round trip
// through the server.
func TestEditRoundTrip(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	original := "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Apple Inc.//iOS 17//EN\r\nN:Müller;Zoë;;;\r\nFN:Zoë Müller\r\n" +
		"ORG:Bücher\\, Töne & Söhne\\; GmbH;Dept\r\nitem1.URL;type=pref:http\\://example.org/?a=1&b=<2>\r\n" +
		"item1.X-ABLabel:_$!<HomePage>!$_\r\nitem2.EMAIL;type=INTERNET:old@example.org\r\nitem2.X-ABLabel:Alt\r\n" +
		"CATEGORIES:A,B\r\nNOTE:a\\; b\\, c\\\\ d\\n\r\n  folded\r\nx-lower:case\r\nUID:u\r\nEND:VCARD\r\n"
	server.Put("z.vcf", original)
	contact, err := client.Contact(t.Context(), "z.vcf")
	if err != nil {
		t.Fatal(err)
	}
	edited, err := contact.Edit(vcard.Card{"EMAIL": {{Group: "item2", Params: vcard.Params{"TYPE": {"INTERNET"}}, Value: "new@example.org"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(original, "item2.EMAIL;type=INTERNET:old@example.org", "item2.EMAIL;TYPE=INTERNET:new@example.org", 1); string(edited) != want {
		t.Errorf("got %q, want %q", edited, want)
	}
	if string(contact.VCard) != original {
		t.Error("Edit changed its receiver")
	}
	if _, err := client.Put(t.Context(), "z.vcf", edited, contact.ETag); err != nil {
		t.Fatal(err)
	}
	again, err := client.Contact(t.Context(), "z.vcf")
	if err != nil || !bytes.Equal(again.VCard, edited) || again.Emails[0] != (icloud.Labeled{Label: "Alt", Value: "new@example.org"}) {
		t.Errorf("got %q, %v", again.VCard, err)
	}
	same, err := contact.Edit(nil)
	if err != nil || string(same) != original {
		t.Errorf("Edit without fields: %q, %v", same, err)
	}
	// The result of Card can be changed and given to Edit as a whole.
	card, err := contact.Card()
	if err != nil {
		t.Fatal(err)
	}
	card.SetValue("NOTE", "one\r\ntwo")
	whole, err := contact.Edit(vcard.Card{"VERSION": card["VERSION"], "NOTE": card["NOTE"]})
	if err != nil || !strings.Contains(string(whole), "\r\nNOTE:one\\ntwo\r\n") {
		t.Errorf("got %q, %v", whole, err)
	}
	if same, err := contact.Edit(vcard.Card{"VERSION": card["VERSION"]}); err != nil || string(same) != original {
		t.Errorf("Edit of the same VERSION: %q, %v", same, err)
	}
	for name, bad := range map[string]vcard.Card{
		"no version":   {"VERSION": nil},
		"a version":    {"VERSION": {{Value: "4.0"}}},
		"a nil field":  {"NOTE": {nil}},
		"a bad name":   {"NO TE": {{Value: "x"}}},
		"a bad group":  {"NOTE": {{Group: "a b", Value: "x"}}},
		"the frame":    {"END": {{Value: "VCARD"}}},
		"a bad value":  {"NOTE": {{Value: "a\x00b"}}},
		"an injection": {"NOTE\r\nX": {{Value: "x"}}},
	} {
		if got, err := contact.Edit(bad); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got, err := (&icloud.Contact{VCard: []byte("junk")}).Edit(vcard.Card{"NOTE": {{Value: "x"}}}); err == nil {
		t.Errorf("a card that is none: got %q", got)
	}
}

func TestCardDAV(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 3)
	dav, err := client.CardDAV(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Some servers know a collection only with its final slash.
	slash := true
	server.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
		slash = slash && strings.HasSuffix(r.URL.Path, "/")
		return false
	}
	books, err := dav.FindAddressBooks(t.Context(), "")
	if err != nil || len(books) != 1 || !slash {
		t.Fatalf("got %v, %v", books, err)
	}
	object, err := dav.GetAddressObject(t.Context(), books[0].Path+"00001.vcf")
	if err != nil || object.Card.Value("FN") != "person 1" {
		t.Fatalf("got %+v, %v", object, err)
	}

	// Errors of requests are those of package icloud.
	server.Intercept = icloudtest.Times(1, icloudtest.Status(507))
	_, err = dav.GetAddressObject(t.Context(), books[0].Path+"00001.vcf")
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != 507 {
		t.Errorf("got %v", err)
	}
	server.RevokeAll()
	_, err = dav.FindAddressBooks(t.Context(), "")
	ae, ok := errors.AsType[*icloud.AuthError](err)
	if !ok || !errors.Is(err, icloud.ErrPasswordRevoked) {
		t.Errorf("got %v", err)
	}
	if err != error(ae) && ok {
		t.Errorf("the AuthError is wrapped: %T", err)
	}
	if _, err := client.CardDAV(t.Context()); !errors.Is(err, icloud.ErrPasswordRevoked) {
		t.Errorf("CardDAV of a doubted password: got %v", err)
	}
}

// TestNotFound: ErrNotFound is returned if there is no such card, and in no other case.
func TestNotFound(t *testing.T) {
	t.Parallel()
	for _, status := range []int{404, 410, 403, 500} {
		client := onBook(t, func(r *http.Request, _ string) *http.Response {
			if r.Method == "PROPFIND" {
				return answer(207, bookAnswer)
			}
			return answer(status, "")
		})
		_, get := client.Contact(t.Context(), "a.vcf")
		_, put := client.Put(t.Context(), "a.vcf", []byte(card("a")), `"1"`)
		_, create := client.Put(t.Context(), "a.vcf", []byte(card("a")), "")
		for what, err := range map[string]error{"Contact": get, "Put": put, "Delete": client.Delete(t.Context(), "a.vcf", `"1"`), "create": create} {
			re, ok := errors.AsType[*icloud.ResponseError](err)
			if want := what != "create" && (status == 404 || status == 410); errors.Is(err, icloud.ErrNotFound) != want || !ok || re.StatusCode != status || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %d: got %v", what, status, err)
			}
		}
	}
}

// TestDeleteSwapped: swapped arguments are an error, because both are strings.
func TestDeleteSwapped(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 1)
	if err := client.Delete(t.Context(), `"C=4@U=1"`, "00000.vcf"); err == nil || !strings.Contains(err.Error(), "ID") || server.Requests() != 0 {
		t.Errorf("got %v after %d requests", err, server.Requests())
	}
}

// TestContactIsCard: a successful answer that is not a complete card is an error.
func TestContactIsCard(t *testing.T) {
	t.Parallel()
	whole := card("a")
	framed := func(resp *http.Response, body string) *http.Response {
		resp.ContentLength = int64(len(body))
		return resp
	}
	for name, test := range map[string]struct {
		resp *http.Response
		ok   bool
	}{
		"a card":                       {answer(200, whole, "Content-Type", "text/vcard"), true},
		"a card of no type":            {answer(200, whole), true},
		"a card of another type":       {answer(200, whole, "Content-Type", "application/octet-stream"), true},
		"JSON":                         {answer(200, `{"login":true}`, "Content-Type", "application/json"), false},
		"text":                         {answer(200, "please log in", "Content-Type", "text/plain"), false},
		"nothing":                      {answer(200, ""), false},
		"cut":                          {answer(200, whole[:40], "Content-Type", "text/vcard"), false},
		"cut in its END":               {answer(200, whole[:len(whole)-3], "Content-Type", "text/vcard"), false},
		"cut before its last line end": {answer(200, whole[:len(whole)-2], "Content-Type", "text/vcard"), false},
		"without END, all of it":       {framed(answer(200, whole[:40], "Content-Type", "text/vcard"), whole[:40]), true},
	} {
		client := onBook(t, func(*http.Request, string) *http.Response { return test.resp })
		contact, err := client.Contact(t.Context(), "a.vcf")
		if (err == nil) != test.ok || (contact != nil) != test.ok {
			t.Errorf("%s: got %v, %v", name, contact, err)
		}
	}
}

// TestIDsGoBothWays: a card can be fetched, changed and deleted by the ID in a listing,
// even if the server does not escape '?' and '#'.
func TestIDsGoBothWays(t *testing.T) {
	t.Parallel()
	var paths []string
	client := onBook(t, func(r *http.Request, _ string) *http.Response {
		if r.Method == "REPORT" {
			return answer(207, multistatus(row("/book/what?if=1#x.vcf", card("a"))))
		}
		paths = append(paths, r.Method+" "+r.URL.RequestURI())
		return answer(200, card("a"), "Content-Type", "text/vcard", "ETag", `"1"`)
	})
	contacts, err := list(t, client)
	if err != nil || ids(contacts) != "what?if=1#x.vcf" {
		t.Fatalf("got %q, %v", ids(contacts), err)
	}
	id := contacts[0].ID
	got, err := client.Contact(t.Context(), id)
	if err != nil || got.ID != id {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := client.Put(t.Context(), id, got.VCard, got.ETag); err != nil {
		t.Error(err)
	}
	if err := client.Delete(t.Context(), id, got.ETag); err != nil {
		t.Error(err)
	}
	const path = " /book/what%3Fif=1%23x.vcf"
	if got, want := strings.Join(paths, ","), "GET"+path+",PUT"+path+",DELETE"+path; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
