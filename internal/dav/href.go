package dav

// This file is about the names of cards: hrefs as servers write them, IDs, and when two of
// them name the same card.

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// An Href names a member of an address book. On some servers a card cannot be fetched if
// its href is decoded and encoded again. So Written is kept and sent unchanged, and Path is
// only for comparing.
type Href struct {
	Written []byte // the path, as the server wrote it
	Path    []byte // decoded; Written itself if that is the same
	name    []byte // a part of Written
}

// ParseHref returns the Href of a path as a server wrote it. It keeps the slice. '?' and '#'
// are part of the path, because servers write them without escapes in names.
func ParseHref(written []byte) Href {
	name := bytes.TrimSuffix(written, []byte("/"))
	name = name[bytes.LastIndexByte(name, '/')+1:]
	return Href{written, decoded(written), name}
}

// decoded returns a path without its escapes; path itself if it has none.
func decoded(path []byte) []byte {
	if bytes.IndexByte(path, '%') < 0 {
		return path
	}
	plain, err := url.PathUnescape(string(path))
	if err != nil {
		return path // a '%' that begins no escape is a character of the name
	}
	return []byte(plain)
}

// Name returns the ID of the member: the last segment of the href, as written. It is
// a part of Written.
func (h Href) Name() []byte { return h.name }

// ID is Name as a string.
func (h Href) ID() string { return string(h.Name()) }

// DecodedName returns Name without its escapes, which is the same for all spellings of an
// ID. The name is cut off before it is decoded, because it may contain a slash as %2F.
func (h Href) DecodedName() []byte { return decoded(h.Name()) }

// Names says whether h is u itself, and not a member of it. A slash at the end makes no
// difference, because iCloud omits it in the answer to a sync.
func (h Href) Names(u *url.URL) bool {
	return string(bytes.TrimSuffix(h.Path, []byte("/"))) == strings.TrimSuffix(u.Path, "/")
}

// URL returns the URL of the member on the host of the book that has named it. The path is
// sent as it was written. Only bytes that a path cannot contain are escaped, such as a '?'
// that is a character of the name.
func (h Href) URL(book *url.URL) *url.URL {
	v := *book
	// RawPath is what is sent, as long as it is an encoding of Path.
	v.Path, v.RawPath = string(h.Path), escapeRest(string(h.Written))
	v.RawQuery, v.ForceQuery = "", false
	return &v
}

// DirPath returns path with a slash at its end.
func DirPath(path string) string {
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// SameResource says whether a reference in an answer from u is to u itself. A slash at the
// end makes no difference, because servers omit it for collections.
func SameResource(ref string, u *url.URL) bool {
	v, err := u.Parse(ref)
	return err == nil && DirPath(v.Path) == DirPath(u.Path)
}

// ErrBadID is returned by [MemberURL]. Its text begins with the name of the importing
// package, which returns it to its callers as it is.
var ErrBadID = errors.New("icloud: not the ID of a card")

// MemberURL returns the URL of the card that an ID names in the book at u. The ID is sent
// as it is written. Only bytes that a path cannot contain are escaped, such as '?' and '#'.
// The error is ErrBadID if the ID cannot be that of a card in the book.
func MemberURL(u *url.URL, id string) (*url.URL, error) {
	escaped := escapeRest(id)
	name, err := url.PathUnescape(escaped)
	if err != nil || strings.Contains(id, "/") || strings.ContainsFunc(name, unicode.IsControl) {
		return nil, ErrBadID
	}
	// A server may decode a slash before it looks at the path.
	for segment := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return nil, ErrBadID
		}
	}
	if strings.Trim(name, "/\\") == "" {
		return nil, ErrBadID
	}
	v := *u
	// RawPath is what is sent, as long as it is an encoding of Path.
	v.RawPath = DirPath(u.EscapedPath()) + escaped
	v.Path = DirPath(u.Path) + name
	v.RawQuery, v.ForceQuery = "", false
	return &v, nil
}

// escapeRest escapes the bytes that a path cannot contain (RFC 3986, section 3.3). It does
// not change existing escapes.
func escapeRest(path string) string {
	var b strings.Builder
	for i, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0,
			c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
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
