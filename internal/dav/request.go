package dav

import "bytes"

// This file writes request bodies.
//
// None begins with white space, which iCloud answers with 400. Each keeps to the
// order of elements in its RFC's DTD, because DAViCal reads no other. DAV: is the
// default namespace, and CardDAV's has a prefix, both declared on the root element.
//
// Each call returns a slice of its own, which the caller may keep and change.

const (
	prolog     = `<?xml version="1.0" encoding="utf-8"?>` + "\n"
	namespaces = ` xmlns="` + davURI + `" xmlns:C="` + cardURI + `"`
)

// propfind asks for properties by name. RFC 4918 has allprop as well, but what that
// includes is up to the server.
func propfind(props string) []byte {
	return []byte(prolog + `<propfind` + namespaces + `><prop>` + props + `</prop></propfind>`)
}

// PropfindPrincipal asks who is signed in, with Depth 0, and nothing else.
func PropfindPrincipal() []byte {
	return propfind(`<current-user-principal/>`)
}

// PropfindEndpoint asks who is signed in, with Depth 0, and what the resource is,
// because an endpoint with a path may turn out to be an address book.
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

// PropfindETags asks an address book, with Depth 1, for its members' ETags, and
// for nothing else: iCloud answers every member that lacks a property with a
// propstat of its own.
func PropfindETags() []byte {
	return propfind(`<getetag/>`)
}

// Query asks an address book, with Depth 1, for all its cards. RFC 6352 section
// 10.3 requires a filter, and the empty one lets every card through: it is what
// iCloud's clients send. No version is asked for, which means vCard 3.0. The names
// of single vCard properties are not worth sending, as iCloud ignores them.
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

// SyncCollection asks an address book, with Depth 0, what changed since token; ""
// asks for all that there is. RFC 6578 section 3.2 wants the Depth to be 0; how deep
// the answer goes is the sync-level, and an address book has but one.
//
// If data is set, it asks for the cards as well. Not every server sends them:
// Xandikos says 404 of each card's text, though the card is there.
func SyncCollection(token string, data bool) []byte {
	// RFC 6578 section 6.1: sync-token, sync-level, limit, prop. The limit is
	// left to the server, which pages on its own terms or not at all.
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

// escape writes s as XML text. Line ends and tabs become references too, because
// the server's parser would change them otherwise. Nothing can be done for the
// control characters that XML has no notation for.
func escape(b *bytes.Buffer, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			// Only "]]>" would need it.
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
