package dav_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// outline writes a tree as names and texts, without prefixes: d: and c: stand for
// the two namespaces.
func outline(n *node) string {
	name := strings.NewReplacer("DAV: ", "d:", carddav+" ", "c:").Replace(n.name)
	s := name
	if text := n.trimmed(); text != "" {
		s += "=" + text
	}
	if len(n.nodes) == 0 {
		return s
	}
	var parts []string
	for _, c := range n.nodes {
		parts = append(parts, outline(c))
	}
	return s + "(" + strings.Join(parts, " ") + ")"
}

// TestRequests reads the bodies as a server would.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		body []byte
		want string
	}{
		{"principal", dav.PropfindPrincipal(), "d:propfind(d:prop(d:current-user-principal))"},
		{"endpoint", dav.PropfindEndpoint(), "d:propfind(d:prop(d:current-user-principal d:resourcetype))"},
		{"home", dav.PropfindHomeSet(), "d:propfind(d:prop(c:addressbook-home-set))"},
		{"books", dav.PropfindBooks(), "d:propfind(d:prop(d:resourcetype))"},
		{"etags", dav.PropfindETags(), "d:propfind(d:prop(d:getetag))"},
		{"query", dav.Query(), "c:addressbook-query(d:prop(d:getetag c:address-data) c:filter)"},
		{"multiget", dav.Multiget([]string{"/a", "/b%20c.vcf"}),
			"c:addressbook-multiget(d:prop(d:getetag c:address-data) d:href=/a d:href=/b%20c.vcf)"},
		{"multiget of none", dav.Multiget(nil), "c:addressbook-multiget(d:prop(d:getetag c:address-data))"},
		{"first sync", dav.SyncCollection("", false),
			"d:sync-collection(d:sync-token d:sync-level=1 d:prop(d:getetag))"},
		{"sync", dav.SyncCollection("HwoQEgw==", false),
			"d:sync-collection(d:sync-token=HwoQEgw== d:sync-level=1 d:prop(d:getetag))"},
		{"sync with cards", dav.SyncCollection("http://x/?a&b<c>", true),
			"d:sync-collection(d:sync-token=http://x/?a&b<c> d:sync-level=1 d:prop(d:getetag c:address-data))"},
	} {
		root, err := parseTree(tt.body)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := outline(root); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if !bytes.HasPrefix(tt.body, []byte(`<?xml version="1.0" encoding="utf-8"?>`)) {
			t.Errorf("%s: does not begin with the XML declaration: %.40q", tt.name, tt.body)
		}
	}
}

// TestBodiesAreSeparate overwrites a body, which must not change the next one.
func TestBodiesAreSeparate(t *testing.T) {
	t.Parallel()
	for _, f := range []func() []byte{dav.PropfindPrincipal, dav.PropfindHomeSet, dav.PropfindBooks, dav.PropfindETags, dav.Query} {
		want := string(f())
		clear(f())
		if got := string(f()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestHrefsAreUnchanged checks that a parser reads the same hrefs from a request that were
// given to Multiget.
func TestHrefsAreUnchanged(t *testing.T) {
	t.Parallel()
	hrefs := []string{
		"/1/carddavhome/card/a.vcf", "/a&b<c>d\"e'f", "/%26&amp;&#38;", "/é/e\u0301/😀", " / /", "/a\tb\nc\rd\r\ne", "]]>", "",
	}
	root, err := parseTree(dav.Multiget(hrefs))
	if err != nil {
		t.Fatal(err)
	}
	got := root.all("DAV: href")
	if len(got) != len(hrefs) {
		t.Fatalf("got %d hrefs, want %d", len(got), len(hrefs))
	}
	for i := range hrefs {
		if got[i].text != hrefs[i] {
			t.Errorf("got %q, want %q", got[i].text, hrefs[i])
		}
	}

	token := "a&b<c>\"\r\n\t"
	root, err = parseTree(dav.SyncCollection(token, true))
	if err != nil {
		t.Fatal(err)
	}
	if got := root.all("DAV: sync-token")[0].text; got != token {
		t.Errorf("got token %q, want %q", got, token)
	}
}

func TestPrecondition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		body string
		want dav.Condition
	}{
		{"token", `<?xml version="1.0"?><error xmlns="DAV:"><valid-sync-token/></error>`, dav.ValidSyncToken},
		{"token, with a prefix", `<D:error xmlns:D="DAV:"> <D:valid-sync-token></D:valid-sync-token><D:responsedescription>x</D:responsedescription></D:error>`, dav.ValidSyncToken},
		{"token, after other things", `<error xmlns="DAV:"><x:message xmlns:x="y">A &amp; B</x:message><number-of-matches-within-limits/><valid-sync-token/></error>`, dav.ValidSyncToken},
		{"report", `<d:error xmlns:d="DAV:"><d:supported-report/></d:error>`, dav.SupportedReport},
		{"another", `<d:error xmlns:d="DAV:"><d:no-uid-conflict/></d:error>`, dav.NoCondition},
		{"none", `<error xmlns="DAV:"/>`, dav.NoCondition},
		{"of another namespace", `<error xmlns="DAV:"><valid-sync-token xmlns="x"/></error>`, dav.NoCondition},
		{"in another element", `<error xmlns="DAV:"><x><valid-sync-token/></x></error>`, dav.NoCondition},
		{"in an error of another namespace", `<error><valid-sync-token xmlns="DAV:"/></error>`, dav.NoCondition},
		{"in a multistatus", `<multistatus xmlns="DAV:"><error><valid-sync-token/></error></multistatus>`, dav.NoCondition},
		{"in a document of its own", `<valid-sync-token xmlns="DAV:"/>`, dav.NoCondition},
		{"in words", `valid-sync-token`, dav.NoCondition},
		{"in a page", `<!DOCTYPE html><html><body>valid-sync-token<br></body></html>`, dav.NoCondition},
		{"in a comment", `<error xmlns="DAV:"><!--<valid-sync-token/>--></error>`, dav.NoCondition},
		{"after the bound", `<error xmlns="DAV:">` + strings.Repeat(" ", dav.MaxJunk) + `<valid-sync-token/></error>`, dav.NoCondition},
		{"after what cannot be read", `<error xmlns="DAV:"><a></b><valid-sync-token/></error>`, dav.NoCondition},
		{"empty", ``, dav.NoCondition},
		{"UTF-16", "\xFF\xFE<\x00e\x00", dav.NoCondition},
		{"deep", `<error xmlns="DAV:">` + strings.Repeat("<a>", 1000), dav.NoCondition},
	} {
		if got := dav.Precondition(strings.NewReader(tt.body)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestPreconditionStops checks that Precondition stops reading a body that does not end.
func TestPreconditionStops(t *testing.T) {
	t.Parallel()
	r := &repeat{s: `<x/>`, n: forever}
	if got := dav.Precondition(join(`<error xmlns="DAV:">`, r)); got != dav.NoCondition {
		t.Errorf("got %d, want none", got)
	}
	if read := 4 * (forever - r.n); read > dav.MaxJunk {
		t.Errorf("read %d bytes, want at most %d", read, dav.MaxJunk)
	}
}
