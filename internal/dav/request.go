package dav

import "bytes"

// This file writes request bodies.
//
// None begins with white space, because iCloud answers 400 to that. Each has the order of
// elements in its RFC's DTD, because DAViCal accepts no other. DAV: is the default
// namespace, and CardDAV's has a prefix. The root element declares both.
//
// Each call returns a slice of its own, which the caller may keep and change.

const (
	prolog     = `<?xml version="1.0" encoding="utf-8"?>` + "\n"
	namespaces = ` xmlns="` + davURI + `" xmlns:C="` + cardURI + `"`
)

// propfind asks for properties by name. RFC 4918 also has allprop, but the server decides
// what that includes.
func propfind(props string) []byte {
	return []byte(prolog + `<propfind` + namespaces + `><prop>` + props + `</prop></propfind>`)
}

// PropfindPrincipal asks, with Depth 0, only who is signed in.
func PropfindPrincipal() []byte {
	return propfind(`<current-user-principal/>`)
}

// PropfindEndpoint asks, with Depth 0, who is signed in and what the resource is, because
// an endpoint with a path may be an address book.
func PropfindEndpoint() []byte {
	return propfind(`<current-user-principal/><resourcetype/>`)
}

// PropfindHomeSet asks a principal, with Depth 0, where its address books are.
func PropfindHomeSet() []byte {
	return propfind(`<C:addressbook-home-set/>`)
}

// PropfindBooks asks a home, with Depth 1, which of its members are address books.
func PropfindBooks() []byte {
	return propfind(`<resourcetype/>`)
}

// PropfindETags asks an address book, with Depth 1, only for its members' ETags. For each
// property that a member does not have, iCloud adds a propstat to the answer.
func PropfindETags() []byte {
	return propfind(`<getetag/>`)
}

// Query asks an address book, with Depth 1, for all its cards. RFC 6352, section 10.3,
// requires a filter. The empty one matches every card, and clients of iCloud send it. The
// query names no version, which means vCard 3.0. It names no single vCard properties,
// because iCloud ignores them.
func Query() []byte {
	return []byte(prolog + `<C:addressbook-query` + namespaces + `>` +
		`<prop><getetag/><C:address-data/></prop><C:filter/></C:addressbook-query>`)
}

// Multiget asks an address book for the cards with these hrefs, which are sent as
// they are. iCloud refuses absolute URLs, and the whole request if the book
// itself is among them.
func Multiget(hrefs []string) []byte {
	// RFC 6352 section 10.7: the properties come first, then the hrefs.
	var b bytes.Buffer
	b.WriteString(prolog + `<C:addressbook-multiget` + namespaces + `>` +
		`<prop><getetag/><C:address-data/></prop>`)
	for _, href := range hrefs {
		b.WriteString(`<href>`)
		escape(&b, href)
		b.WriteString(`</href>`)
	}
	b.WriteString(`</C:addressbook-multiget>`)
	return b.Bytes()
}

// SyncCollection asks an address book, with Depth 0, what has changed since token; "" asks
// for all members. RFC 6578, section 3.2, requires Depth 0. The sync-level says how deep
// the answer goes, and an address book has only one level.
//
// If data is set, it asks for the cards too. Not every server sends them: Xandikos answers
// 404 for the address-data of each card, although the card exists.
func SyncCollection(token string, data bool) []byte {
	// RFC 6578, section 6.1: sync-token, sync-level, limit, prop. There is no limit: the
	// server decides about pages.
	var b bytes.Buffer
	b.WriteString(prolog + `<sync-collection` + namespaces + `><sync-token>`)
	escape(&b, token)
	b.WriteString(`</sync-token><sync-level>1</sync-level><prop><getetag/>`)
	if data {
		b.WriteString(`<C:address-data/>`)
	}
	b.WriteString(`</prop></sync-collection>`)
	return b.Bytes()
}

// escape writes s as XML text. Line ends and tabs become references too, because the
// server's parser would otherwise change them. XML has no notation for other control
// characters, so they are written as they are.
func escape(b *bytes.Buffer, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			// XML requires this only in "]]>".
			b.WriteString("&gt;")
		case '\t':
			b.WriteString("&#9;")
		case '\n':
			b.WriteString("&#10;")
		case '\r':
			b.WriteString("&#13;")
		default:
			b.WriteByte(c)
		}
	}
}
