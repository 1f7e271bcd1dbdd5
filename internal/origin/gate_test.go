package origin_test

import (
	"net/url"
	"testing"

	"github.com/go-icloud/icloud/internal/origin"
)

func gate(t *testing.T, endpoint string) (*url.URL, origin.Gate) {
	t.Helper()
	u, g, err := origin.New(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Copy(), g
}

const icloud = "https://contacts.icloud.com"

// TestResolve: which URLs of a server may see the password. The root package tests
// the same for each place in which a server can write one.
func TestResolve(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ endpoint, ref, want string }{
		{icloud, "/1/principal/", "https://contacts.icloud.com/1/principal/"},
		{icloud, "https://p133-contacts.icloud.com:443/1/", "https://p133-contacts.icloud.com/1/"},
		{icloud, "https://P02-Contacts.iCloud.com./1/#x", "https://p02-contacts.icloud.com/1/"},
		{icloud, "//p02-contacts.icloud.com/1/", "https://p02-contacts.icloud.com/1/"},
		{icloud, "//attacker.test/", ""},
		{icloud, "https://icloud.com.attacker.test/", ""},
		{icloud, "https://evilicloud.com/", ""},
		{icloud, "https://bad..icloud.com/", ""},
		{icloud, "https://contacts.icloud.com.cn/", ""},
		{icloud, "https://contacts.icloud.com:8443/", ""},
		{icloud, "https://contacts.icloud.com:/", ""},
		{icloud, "http://contacts.icloud.com/", ""},
		{icloud, "https://contacts.icloud.com@attacker.test/", ""},
		{icloud, `https://contacts.icloud.com\@attacker.test/`, ""},
		{icloud, "https://contacts%2eicloud.com/", ""},
		{icloud, "https://contacts.icloud.c\u00f6m/", ""},
		{icloud, "mailto:a@icloud.com", ""},
		{icloud, "https://[::1]/", ""},
		{"https://dav.example.test:8443/dav", "/x", "https://dav.example.test:8443/x"},
		{"https://dav.example.test:8443/dav", "https://dav.example.test/x", ""},
		{"http://[::1]/", "/x", "http://[::1]/x"},
		{"http://127.0.0.1:80/", "http://127.0.0.1/x", "http://127.0.0.1/x"},
		{"http://127.0.0.1/", "https://127.0.0.1/x", ""},
	} {
		base, g := gate(t, tt.endpoint)
		got, err := g.Resolve(base, tt.ref)
		if got.String() != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("from %s to %s: got %q, %v, want %q", tt.endpoint, tt.ref, got, err, tt.want)
		}
	}
}

// FuzzResolve: the text of a checked URL means the same URL. A Client remembers URLs as text.
func FuzzResolve(f *testing.F) {
	for _, ref := range []string{"/1/%2f%61/é/?a=%62#c", "//p02-contacts.icloud.com:443/1//..//x", "?", "https://contacts.icloud.com", "/a b\"<[]>|;,=:@&$+!*'()"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		base, g := gate(t, icloud)
		first, err := g.Resolve(base, ref)
		if err != nil {
			t.Skip()
		}
		again, err := g.Resolve(base, first.String())
		if err != nil || again.String() != first.String() {
			t.Fatalf("%q is %s, and then %s, %v", ref, first, again, err)
		}
		one, two := first.Copy(), again.Copy()
		if one.Host != two.Host || one.Path != two.Path || one.RequestURI() != two.RequestURI() {
			t.Errorf("%q: %#v, and then %#v", ref, one, two)
		}
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		icloud:                         "https://contacts.icloud.com/",
		"https://CONTACTS.icloud.com.": "https://contacts.icloud.com/",
		"https://dav.example.test/a/b": "https://dav.example.test/a/b",
		"http://localhost:8080":        "http://localhost:8080/",
		"http://contacts.icloud.com":   "",
		"http://dav.example.test/":     "",
		"https://user@example.test/":   "",
		"https://example.test/?a":      "",
		"https://example.test/?":       "",
		"https://example.test/#a":      "",
		"https://exa mple.test/":       "",
		"ftp://example.test/":          "",
		"dav.example.test":             "",
		"":                             "",
	} {
		u, _, err := origin.New(endpoint)
		if u.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", endpoint, u, err, want)
		}
	}
}

// TestZero: nothing that was not made by New lets the password out.
func TestZero(t *testing.T) {
	t.Parallel()
	u, _ := gate(t, icloud)
	var g origin.Gate
	if got, err := g.Check(u); err == nil || got.Copy() != nil {
		t.Errorf("got %v, %v of the zero Gate", got, err)
	}
	if u := (origin.URL{}); u.Copy() != nil || u.String() != "" {
		t.Errorf("got %v for the zero URL", u)
	}
}

// TestCopy: nobody can change a URL after it was checked.
func TestCopy(t *testing.T) {
	t.Parallel()
	given, g := gate(t, icloud)
	checked, err := g.Check(given)
	if err != nil {
		t.Fatal(err)
	}
	given.Host = "attacker.test"
	checked.Copy().Host = "attacker.test"
	if got := checked.String(); got != "https://contacts.icloud.com/" {
		t.Errorf("got %s", got)
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for href, want := range map[string]string{
		"/1/card/a?b#c.vcf": "/1/card/a?b#c.vcf",
		"/1/card/%61.vcf":   "/1/card/%61.vcf",
		"a.vcf":             "/1/card/a.vcf",
		"https://contacts.icloud.com/1/card/%61.vcf":  "/1/card/%61.vcf",
		"http://p01-contacts.icloud.com/1/card/a.vcf": "/1/card/a.vcf",
		"http://p01-contacts.icloud.com:80/1/a.vcf":   "",
		"//attacker.test/1/card/a.vcf":                "",
		"https://attacker.test/1/card/a.vcf":          "",
		"http://[":                                    "",
		"":                                            "",
	} {
		base, g := gate(t, icloud+"/1/card/")
		got, err := g.Path(base, []byte(href))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", href, got, err, want)
		}
	}
}

func TestDomain(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"https://p01-contacts.icloud.com":    "icloud.com",
		"https://p01-contacts.icloud.com.cn": "icloud.com.cn",
		"https://dav.example.test:8443":      "dav.example.test:8443",
	} {
		u, g := gate(t, endpoint)
		if got := g.Domain(u); got != want || g.ICloud() != (want == "icloud.com" || want == "icloud.com.cn") {
			t.Errorf("%s: got %s, %v, want %s", endpoint, got, g.ICloud(), want)
		}
	}
}
