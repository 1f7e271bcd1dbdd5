package icloudtest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := start(t)
	var principal string
	for _, path := range []string{"/", "/.well-known/carddav", "/co"} {
		rows := s.rows("PROPFIND", canonical+path, askPrincipal, "Depth", "0")
		equal(t, path+": rows", len(rows), 1)
		// There is no redirect: the href is the path that was asked.
		equal(t, path+": href", rows[0].Href, path)
		principal = rows[0].first("current-user-principal")
		if !strings.HasSuffix(principal, "/principal/") || strings.Trim(principal[:len(principal)-len("/principal/")], "/0123456789") != "" {
			t.Errorf("%s: principal %q, want a path with a number", path, principal)
		}
	}
	equal(t, "rows at the root with Depth 1", len(s.rows("PROPFIND", canonical+"/", askPrincipal, "Depth", "1")), 1)
	s.srv.RefuseRootDepth = true
	s.want(http.StatusBadRequest, "PROPFIND", canonical+"/", askPrincipal, "Depth", "1")
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal, "Depth", "0")

	book := s.book() // checks the form of the home-set too
	home := strings.TrimSuffix(book, "card/")
	const ask = `<propfind xmlns="DAV:"><prop><displayname/><resourcetype/></prop></propfind>`
	rows := s.rows("PROPFIND", home, ask, "Depth", "1")
	equal(t, "rows in the home", len(rows), 2)
	for i, want := range []struct{ href, types string }{
		{strings.TrimSuffix(s.bookPath(), "card/"), "collection"},
		{s.bookPath(), "addressbook collection"},
	} {
		equal(t, "href", rows[i].Href, want.href)
		if _, status := rows[i].get("displayname"); status != "HTTP/1.1 404 Not Found" {
			t.Errorf("%s: displayname has status %q, want it missing", want.href, status)
		}
		var types []string
		prop, _ := rows[i].get("resourcetype")
		for _, kind := range prop.Any {
			types = append(types, kind.XMLName.Local)
		}
		equal(t, want.href+": resourcetype", strings.Join(types, " "), want.types)
	}
	equal(t, "rows with Depth 0", len(s.rows("PROPFIND", home, ask, "Depth", "0")), 1)

	// contacts.icloud.com and every partition host serve all paths.
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+s.bookPath(), askETags, "Depth", "1")
	s.want(http.StatusMultiStatus, "PROPFIND", "https://p01-contacts.icloud.com"+s.bookPath(), askETags, "Depth", "1")
	// With PartitionOnly only the account's own partition host does.
	s.srv.PartitionOnly = true
	s.want(http.StatusBadRequest, "PROPFIND", canonical+s.bookPath(), askETags, "Depth", "1")
	s.want(http.StatusBadRequest, "GET", canonical+s.bookPath()+"a.vcf", "")
	s.want(http.StatusMultiStatus, "PROPFIND", canonical+s.principal(), askHome)
	s.want(http.StatusMultiStatus, "PROPFIND", s.book(), askETags, "Depth", "1")
	s.want(http.StatusMultiStatus, "PROPFIND", strings.Replace(s.book(), ":443", "", 1), askETags, "Depth", "1")
}

// TestChina: in China all hosts are under another domain.
func TestChina(t *testing.T) {
	t.Parallel()
	s := start(t)
	rows := s.rows("PROPFIND", "https://contacts.icloud.com.cn"+s.principal(), askHome)
	if home := rows[0].first("addressbook-home-set"); !strings.Contains(home, "-contacts.icloud.com.cn:443/") {
		t.Errorf("home-set %q, want one in China", home)
	}
}

func TestBookProperties(t *testing.T) {
	t.Parallel()
	s := start(t)
	const ask = `<propfind xmlns="DAV:" xmlns:CS="http://calendarserver.org/ns/" xmlns:X="urn:example"><prop>
		<CS:getctag/><sync-token/><supported-report-set/><current-user-privilege-set/><getetag/><X:nothing/></prop></propfind>`
	before := s.rows("PROPFIND", s.book(), ask, "Depth", "0")[0]
	s.srv.Put("a.vcf", cardNamed("a"))
	after := s.rows("PROPFIND", s.book(), ask, "Depth", "0")[0]
	for _, name := range []string{"getctag", "sync-token", "getetag"} {
		if x, y := before.text(name), after.text(name); x == "" || x == y {
			t.Errorf("%s was %q and is %q, want a change", name, x, y)
		}
	}
	reports, _ := after.get("supported-report-set")
	var names []string
	for _, supported := range reports.Any {
		names = append(names, supported.Any[0].Any[0].XMLName.Local)
	}
	slices.Sort(names)
	equal(t, "reports", names, []string{"addressbook-multiget", "addressbook-query", "sync-collection"})
	equal(t, "getctag", after.text("getctag"), after.text("sync-token"))
	var privileges []string
	p, _ := after.get("current-user-privilege-set")
	for _, privilege := range p.Any {
		privileges = append(privileges, privilege.Any[0].XMLName.Local)
	}
	equal(t, "privileges", privileges, []string{"read", "read-current-user-privilege-set", "write", "write-properties", "write-content", "bind", "unbind"})
	s.srv.OldForms = true
	if tag := s.rows("PROPFIND", s.book(), ask, "Depth", "0")[0].text("getctag"); !strings.HasPrefix(tag, "FT=-@RU=") {
		t.Errorf("getctag %q, want the older form", tag)
	}
	if p, status := after.get("nothing"); status != "HTTP/1.1 404 Not Found" || p.XMLName.Space != "urn:example" {
		t.Errorf("unknown property: %v, %q; want it missing, by its own name", p.XMLName, status)
	}
}

// TestAllprop: an empty body means allprop.
func TestAllprop(t *testing.T) {
	t.Parallel()
	s := start(t)
	principal := s.rows("PROPFIND", canonical+s.principal(), "")[0]
	equal(t, "principal-URL", principal.first("principal-URL"), s.principal())
	equal(t, "home-set", principal.first("addressbook-home-set")+"card/", s.book())
	s.srv.Put("a.vcf", cardNamed("a"))
	for _, body := range []string{"", `<?xml version="1.0"?><propfind xmlns="DAV:"><allprop/></propfind>`} {
		rows := s.rows("PROPFIND", s.book(), body, "Depth", "1")
		equal(t, "rows", len(rows), 2)
		for i, names := range [][]string{{"getctag", "sync-token"}, {"getetag", "getcontenttype", "getlastmodified"}} {
			for _, name := range names {
				if rows[i].text(name) == "" {
					t.Errorf("row %d: no %s", i, name)
				}
			}
			equal(t, "propstats", len(rows[i].Propstat), 1)
		}
	}
	const card = `<propfind xmlns="DAV:"><prop><C:address-data xmlns:C="urn:ietf:params:xml:ns:carddav"/></prop></propfind>`
	if _, status := s.rows("PROPFIND", s.book(), card, "Depth", "1")[1].get("address-data"); status != "HTTP/1.1 404 Not Found" {
		t.Errorf("address-data by PROPFIND has status %q; only reports have it", status)
	}
}

func TestListETags(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := []string{"z.vcf", "a.vcf", "m%20n.vcf", "it's", "10.vcf", "9.vcf"}
	for _, id := range ids {
		s.srv.Put(id, cardNamed("x"))
	}
	s.srv.Put("a.vcf", cardNamed("changed"))
	s.srv.Delete("9.vcf")
	s.srv.Delete("never.vcf")
	for range 3 {
		rows := s.rows("PROPFIND", s.book(), askETags, "Depth", "1")
		equal(t, "first row", rows[0].Href, s.bookPath())
		var got []string
		for _, row := range rows[1:] {
			equal(t, "href", row.Href, s.bookPath()+row.id())
			got = append(got, row.id())
		}
		equal(t, "ids, as first put and as written", got, ids[:5])
	}
	// In a listing a card has no resourcetype; a request for it causes a propstat of 404.
	row := s.rows("PROPFIND", s.book(), `<propfind xmlns="DAV:"><prop><resourcetype/><getetag/></prop></propfind>`, "Depth", "1")[1]
	if _, status := row.get("resourcetype"); status != "HTTP/1.1 404 Not Found" {
		t.Errorf("resourcetype of a card has status %q, want it missing", status)
	}
}

func TestWrongPaths(t *testing.T) {
	t.Parallel()
	s := start(t)
	dsid, _, _ := strings.Cut(s.bookPath()[1:], "/")
	for _, path := range []string{"/nothing", "/" + dsid, "/" + dsid + "/", "/" + dsid + "/carddavhome/other/", "/" + dsid + "//carddavhome/", s.bookPath() + "a/b.vcf"} {
		for _, method := range []string{"PROPFIND", "GET", "REPORT", "OPTIONS", "MKCOL"} {
			a := s.want(http.StatusBadRequest, method, canonical+path, "")
			if !strings.Contains(a.body, "<center>AppleHttpServer/") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s %s: want a page of HTML, got %q", method, path, a.body)
			}
		}
	}
	equal(t, "body of GET /", s.want(http.StatusBadRequest, "GET", canonical+"/", "").body, "")
	for _, path := range []string{"/", s.principal(), "/" + dsid + "/carddavhome/"} {
		a := s.want(http.StatusForbidden, "REPORT", canonical+path, askQuery)
		if !strings.Contains(a.body, "supported-report") {
			t.Errorf("REPORT %s: %q", path, a.body)
		}
	}
}

// TestRefusedMethods: a book cannot be made or removed, and its properties cannot be set.
func TestRefusedMethods(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	for _, method := range []string{"PROPPATCH", "MKCOL", "MKCALENDAR", "DELETE", "PUT", "POST", "COPY", "MOVE", "LOCK"} {
		s.want(http.StatusForbidden, method, s.book(), "")
	}
	for _, method := range []string{"PROPPATCH", "POST", "COPY", "MOVE", "LOCK"} {
		s.want(http.StatusForbidden, method, s.book()+"a.vcf", "")
	}
	equal(t, "rows", len(s.rows("PROPFIND", s.book(), askETags, "Depth", "1")), 2)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	s := start(t)
	stranger := *s
	stranger.cred = icloud.Credential{}
	stranger.want(http.StatusUnauthorized, "OPTIONS", canonical+"/", "")
	s.srv.OpenOptions = true
	if a := stranger.want(http.StatusOK, "OPTIONS", canonical+"/", ""); !strings.Contains(a.Header.Get("Dav"), "addressbook") {
		t.Errorf("OPTIONS without a password: %v", a.Header)
	}
	stranger.want(http.StatusUnauthorized, "PROPFIND", canonical+"/", askPrincipal)
	for _, path := range []string{"/", s.principal(), s.bookPath()} {
		a := s.want(http.StatusOK, "OPTIONS", canonical+path, "")
		if !strings.Contains(a.Header.Get("Dav"), "addressbook") || !strings.Contains(a.Header.Get("Allow"), "REPORT") {
			t.Errorf("OPTIONS %s: %v", path, a.Header)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, body := range []string{"x", "<", "<propfind", `<propfind xmlns="DAV:"><prop></propfind>`, `<a/><b/>`, "\n<?xml version=\"1.0\"?>" + askPrincipal, " "} {
		s.want(http.StatusBadRequest, "PROPFIND", canonical+"/", body)
		s.want(http.StatusBadRequest, "REPORT", s.book(), body)
	}
	s.want(http.StatusBadRequest, "PROPFIND", canonical+"/", askQuery)
	s.want(http.StatusBadRequest, "REPORT", s.book(), "")
	a := s.want(http.StatusForbidden, "REPORT", s.book(), `<expand-property xmlns="DAV:"/>`)
	if !strings.Contains(a.body, "supported-report") {
		t.Errorf("unknown report: %q", a.body)
	}
}
