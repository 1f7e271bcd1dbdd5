package dav_test

import (
	"net/url"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

func TestHref(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ written, path, id, name string }{
		{"/1/card/a.vcf", "/1/card/a.vcf", "a.vcf", "a.vcf"},
		{"/1/card/%61.vcf", "/1/card/a.vcf", "%61.vcf", "a.vcf"},
		{"/1/card/a%2Fb.vcf", "/1/card/a/b.vcf", "a%2Fb.vcf", "a/b.vcf"},
		{"/1/card/100%.vcf", "/1/card/100%.vcf", "100%.vcf", "100%.vcf"},
		{"/1/card/a?b#c", "/1/card/a?b#c", "a?b#c", "a?b#c"},
		{"/1/card/sub/", "/1/card/sub/", "sub", "sub"},
		{"a.vcf", "a.vcf", "a.vcf", "a.vcf"},
		{"/", "/", "", ""},
		{"", "", "", ""},
	} {
		h := dav.ParseHref([]byte(tt.written))
		if string(h.Written) != tt.written || string(h.Path) != tt.path || h.ID() != tt.id || string(h.DecodedName()) != tt.name {
			t.Errorf("%q: got path %q, ID %q, name %q", tt.written, h.Path, h.ID(), h.DecodedName())
		}
	}
}

// TestSame checks that a collection is the same with a slash at the end and without.
func TestSame(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://contacts.icloud.com/1/card/")
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{
		"/1/card": true, "/1/card/": true, "/1/c%61rd": true, "/1/card/a.vcf": false, "/1/": false, "/": false,
	} {
		if got := dav.ParseHref([]byte(ref)).Names(u); got != want {
			t.Errorf("Names(%q): got %v", ref, got)
		}
		if got := dav.SameResource(ref, u); got != want {
			t.Errorf("SameResource(%q): got %v", ref, got)
		}
	}
}

func TestMemberURL(t *testing.T) {
	t.Parallel()
	book, err := url.Parse("https://contacts.icloud.com/1/c%61rd")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"a.vcf":      "https://contacts.icloud.com/1/c%61rd/a.vcf",
		"%61 b.vcf":  "https://contacts.icloud.com/1/c%61rd/%61%20b.vcf",
		"a%2Fb.vcf":  "https://contacts.icloud.com/1/c%61rd/a%2Fb.vcf",
		"\u00fc.vcf": "https://contacts.icloud.com/1/c%61rd/%C3%BC.vcf",
		"100%.vcf":   "https://contacts.icloud.com/1/c%61rd/100%25.vcf",
		"":           "",
		".":          "",
		"..":         "",
		"a/b":        "",
		"%2e%2e":     "",
		"..%2fa":     "",
		`..\a`:       "",
		"%2F":        "",
		"a\nb":       "",
		"a%00b":      "",
	} {
		u, err := dav.MemberURL(book, id)
		if want == "" {
			if err != dav.ErrBadID {
				t.Errorf("%q: got %v, %v, want ErrBadID", id, u, err)
			}
			continue
		}
		if err != nil || u.String() != want {
			t.Errorf("%q: got %v, %v, want %s", id, u, err, want)
		}
	}
}
