// Names of cards: hrefs as servers write them, IDs, and which of them are the
// same.

package icloud

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// href names a member of an address book. Decoding one and encoding it again
// loses cards on servers that are particular about it, so what the server wrote
// is kept and sent back; the decoded path is for comparing alone.
type href struct {
	written []byte // the path alone, and valid for as long as the row
	path    []byte // decoded; written itself if that is the same
}

// memberHref reads an href of a multistatus from u. Most are paths. An absolute
// one must name a host that may see the password, though nothing is ever sent
// to it but its path, to u; its scheme is often wrong behind a proxy.
func memberHref(g gate, u *url.URL, written []byte) (href, error) {
	if len(written) == 0 {
		return href{}, errBadURL
	}
	if written[0] != '/' || bytes.HasPrefix(written, []byte("//")) {
		v, err := u.Parse(string(written))
		if err != nil {
			return href{}, errBadURL
		}
		// Behind a proxy that ends TLS, servers write what they think they are.
		if v.Scheme == "http" && g.scheme == "https" && v.Port() == "" {
			v.Scheme = "https"
		}
		if v, err = g.check(v); err != nil {
			return href{}, err
		}
		written = []byte(v.RequestURI())
	}
	// '?' and '#' are not cut off: servers write them raw in names.
	return href{written, decoded(written)}, nil
}

// decoded returns a path without its escapes; path itself if it has none.
func decoded(path []byte) []byte {
	if bytes.IndexByte(path, '%') < 0 {
		return path
	}
	plain, err := url.PathUnescape(string(path))
	if err != nil {
		return path // a '%' that escapes nothing is a character of the name
	}
	return []byte(plain)
}

// id returns the ID of the member.
func (h href) id() string { return idOf(h.written) }

// of says whether h is u itself, not a member of it. A slash at the end makes no
// difference: iCloud forgets it in the answer to a sync.
func (h href) of(u *url.URL) bool {
	return string(bytes.TrimSuffix(h.path, []byte("/"))) == strings.TrimSuffix(u.Path, "/")
}

// idOf returns the last segment of an href, as written.
func idOf(written []byte) string { return string(nameOf(written)) }

// nameOf is idOf without a copy.
func nameOf(written []byte) []byte {
	written = bytes.TrimSuffix(written, []byte("/"))
	return written[bytes.LastIndexByte(written, '/')+1:]
}

var errBadID = errors.New("icloud: not the ID of a card")

// memberURL returns the URL of the card that an ID names in the book at u. An ID
// is sent as it is written, but for bytes that no URL can hold; one that names
// no card, or something outside the book, is refused.
func memberURL(u *url.URL, id string) (*url.URL, error) {
	escaped := escapeRest(id)
	name, err := url.PathUnescape(escaped)
	if err != nil || strings.ContainsAny(id, "/?#") || strings.ContainsFunc(name, unicode.IsControl) {
		return nil, errBadID
	}
	// A server may decode a slash before it looks at the path.
	for segment := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return nil, errBadID
		}
	}
	if strings.Trim(name, "/\\") == "" {
		return nil, errBadID
	}
	v := *u
	// RawPath is what is sent, as long as it is an encoding of Path.
	v.RawPath = dirPath(u.EscapedPath()) + escaped
	v.Path = dirPath(u.Path) + name
	v.RawQuery, v.ForceQuery = "", false
	return &v, nil
}

// escapeRest escapes the bytes of a path segment that must not stand in a URL
// (RFC 3986, section 3.3), and leaves what is escaped already.
func escapeRest(segment string) string {
	var b strings.Builder
	for i, c := range []byte(segment) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0,
			c == '%' && i+2 < len(segment) && isHex(segment[i+1]) && isHex(segment[i+2]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
