package icloud_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// TestSyncStartsOver: a run from "" that goes on in another way reports as deleted what
// it has handed out, and the last listing does not name; and hands out nothing twice.
func TestSyncStartsOver(t *testing.T) {
	t.Parallel()
	inline := func(names ...string) (rows []string) {
		for _, name := range names {
			rows = append(rows, row("/book/"+name+".vcf", card(name)))
		}
		return rows
	}
	bare := func(names ...string) (rows []string) {
		for _, name := range names {
			rows = append(rows, etagRow("/book/"+name+".vcf", `"1"`))
		}
		return rows
	}
	broken := etagRow("/book/b&c.vcf", "1")
	for name, test := range map[string]struct {
		first  string // the answer with cards
		second string // the one without
		etags  []string
		want   string
		calls  int
	}{
		"broken by a card": {
			withToken("t", append(inline("a", "gone"), broken)...), withToken("t", bare("a", "d")...), nil, "a.vcf d.vcf", 4},
		"broken by a card, with a tombstone": {
			withToken("t", append(inline("a", "gone"), broken)...), withToken("t", append(bare("a"), statusRow("/book/gone.vcf", 404))...), nil, "a.vcf", 3},
		"broken by names": {
			withToken("t", append(inline("a", "gone"), broken)...), withToken("t", broken), bare("a", "d"), "a.vcf d.vcf", 4},
		"no token": {
			multistatus(inline("a", "gone")...), "", bare("a", "d"), "a.vcf d.vcf", 4},
		"no token, and nothing new": {
			multistatus(inline("a", "d")...), "", bare("a", "d"), "a.vcf d.vcf", 2},
	} {
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "PROPFIND":
				return answer(207, multistatus(test.etags...))
			case strings.Contains(body, "multiget"):
				var rows []string
				for _, href := range asked(body) {
					rows = append(rows, row(href, card("x")))
				}
				return answer(207, multistatus(rows...))
			case strings.Contains(body, "address-data"):
				return answer(207, test.first)
			}
			return answer(207, test.second)
		})
		// Without a sweep: each change counts by itself.
		copied := new(changes)
		next, err := copied.sync(t.Context(), client, "")
		f := follower{changes: *copied}
		if err != nil || next == "" || f.ids() != test.want || copied.calls != test.calls {
			t.Errorf("%s: got %q in %d changes, token %q, %v", name, f.ids(), copied.calls, next, err)
		}
	}
}

// TestSyncSeveralBooks: where a server lists several books in changing order, the one
// of the token is followed, and no other is taken for it.
func TestSyncSeveralBooks(t *testing.T) {
	t.Parallel()
	order := []string{"/one/", "/two/"}
	book := func(href string) string {
		return strings.NewReplacer(`<multistatus xmlns="DAV:">`, "", "</multistatus>", "", "/book/", href).Replace(bookAnswer)
	}
	transport := wire(func(r *http.Request, body string) *http.Response {
		switch {
		case strings.Contains(body, "current-user-principal"):
			return answer(207, multistatus("<response><href>/</href><propstat><prop><current-user-principal><href>/p/</href></current-user-principal></prop><status>HTTP/1.1 200 OK</status></propstat></response>"))
		case strings.Contains(body, "home-set"):
			return answer(207, multistatus(`<response><href>/p/</href><propstat><prop><addressbook-home-set xmlns="urn:ietf:params:xml:ns:carddav"><href xmlns="DAV:">/h/</href></addressbook-home-set></prop><status>HTTP/1.1 200 OK</status></propstat></response>`))
		case strings.Contains(body, "resourcetype") && r.URL.Path == "/h/":
			return answer(207, multistatus(book(order[0]), book(order[1])))
		case strings.Contains(body, "<sync-token>t"):
			return answer(207, withToken("t"))
		}
		return answer(207, withToken("t", row(r.URL.Path+"of"+strings.Trim(r.URL.Path, "/")+".vcf", card("x"))))
	})
	client := func() *icloud.Client {
		c, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{Endpoint: "https://dav.example.test/", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var f follower
	if err := f.follow(t, client()); err != nil || f.ids() != "ofone.vcf" {
		t.Fatalf("got %q, %v", f.ids(), err)
	}
	order[0], order[1] = order[1], order[0]
	c := client()
	for range 2 {
		if err := f.follow(t, c); err != nil || f.ids() != "ofone.vcf" {
			t.Errorf("in another order: got %q, %v", f.ids(), err)
		}
	}
	// Two programs may follow one book each with one Client, which has to look for the other
	// book each time.
	var g follower
	if err := g.follow(t, client()); err != nil || g.ids() != "oftwo.vcf" {
		t.Fatalf("the other book: got %q, %v", g.ids(), err)
	}
	for range 2 {
		if err := g.follow(t, c); err != nil || g.ids() != "oftwo.vcf" {
			t.Errorf("the other book: got %q, %v", g.ids(), err)
		}
		if err := f.follow(t, c); err != nil || f.ids() != "ofone.vcf" {
			t.Errorf("the first book again: got %q, %v", f.ids(), err)
		}
	}
	// And the Client has learned which one is meant.
	f.token = ""
	if err := f.follow(t, c); err != nil || f.ids() != "ofone.vcf" {
		t.Errorf("from the beginning: got %q, %v", f.ids(), err)
	}
}
