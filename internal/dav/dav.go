// Package dav speaks the wire of CardDAV: it writes the few request bodies
// that a client of one address book needs, and decodes the multistatus answers
// to them while they arrive.
//
// # The way of the bytes
//
// An answer passes through three buffers, all owned by the Decoder and reused
// from row to row and, after Reset, from answer to answer:
//
//   - the input, MaxToken bytes that never grow. It holds what the reader
//     delivered and nothing that was consumed already. A tag must fit into it
//     as a whole; text need not, because it moves on as it arrives.
//   - the texts, where the hrefs, ETags and statuses of one row are put
//     together, at most MaxText bytes.
//   - the card, where the text of one address-data is unescaped, at most
//     MaxCard bytes.
//
// So each byte that is handed out was copied once, from the input to where the
// Row shows it, and a byte that nobody asked for was only looked at. A Row's
// slices point into the last two buffers: they are valid until the next call
// of Next, and whoever keeps one copies it. Nothing is allocated for a row once
// the buffers have grown to their answer's size, and no buffer grows beyond
// its bound, whatever the server sends.
//
// A row that is written like a previous one, but for its name, ETag and card,
// is compared with that row and not read tag by tag. For this a Decoder
// remembers the text of one row without its values, which is never longer than
// the input buffer.
//
// # What is let through, and why
//
// Servers put cards into XML as their owners' programs once wrote them. Most
// forget that XML has no notation for a control character, for U+FFFE, or for
// a byte that is not UTF-8. A strict parser loses the whole address book to one
// such card, and its owner can hardly find out which. Text is therefore taken
// as bytes: whatever stands between two tags is passed on as it is, except for
// references, CDATA sections and line ends, which mean what XML says they
// mean. In a card, even a bare '&' stands for itself, and so does a reference
// that XML does not define; '&#11;' is the character that it names.
//
// Structure is not guessed. Tags that do not match, a '<' where none may be, or
// an '&' that starts no reference inside an href end the answer with a
// SyntaxError: from there on, nobody can say which card belongs to which name.
// A document that brings its own DOCTYPE gets no benefit of the doubt for its
// entities either, and none of them is ever expanded.
//
// The errors of this package carry no text from the answer: an answer holds
// names and addresses, and errors end up in logs.
package dav

import (
	"errors"
	"fmt"
)

// The bounds of an answer. To exceed MaxCard costs one card, which is skipped;
// to exceed any other bound is a LimitError, and ends the answer.
const (
	// MaxCard is the number of bytes in one card. Apple allows 256 KB and a
	// photo of 224 KB; other servers allow more.
	MaxCard = 4 << 20

	// MaxText is the number of bytes in all hrefs, ETags and statuses of
	// one row, and in a sync token.
	MaxText = 128 << 10

	// MaxToken is the number of bytes in one tag, and in one processing
	// instruction. It is also the size of the input buffer.
	MaxToken = 64 << 10

	// MaxJunk is the number of bytes up to the end of the root element's
	// start tag, of those after its end tag, and of one comment or DOCTYPE
	// anywhere.
	MaxJunk = 64 << 10

	// MaxRow is the number of bytes from the end of one row to the end of
	// the next, counting what is skipped. It bounds time, not memory.
	MaxRow = 64 << 20

	// MaxDepth is the number of elements open at once. Multistatus answers
	// are seven deep.
	MaxDepth = 100

	// MaxBindings is the number of namespace declarations in force at once.
	MaxBindings = 256
)

var (
	// ErrNotMultistatus is returned for a document whose root element is
	// not a DAV: multistatus, such as the page of a captive portal.
	ErrNotMultistatus = errors.New("dav: not a multistatus document")

	// ErrEncoding is returned for a document that says or shows that it is
	// not written in UTF-8. RFC 4918 section 8.2 asks clients to read
	// UTF-16 too, but no CardDAV server is known to write it.
	ErrEncoding = errors.New("dav: document is not encoded in UTF-8")
)

// SyntaxError reports a document whose structure is broken. What was decoded
// before it is good.
type SyntaxError struct {
	Offset int64 // the number of bytes before the part that showed it
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("dav: malformed XML at byte %d: %s", e.Offset, e.Reason)
}

// LimitError reports a document that exceeds one of the bounds.
type LimitError struct {
	What  string // what there is too much of
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("dav: answer exceeds the bound of %d %s", e.Limit, e.What)
}
