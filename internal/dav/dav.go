// Package dav writes the few request bodies of CardDAV that a client of one
// address book needs, and decodes the multistatus answers to them while they
// arrive.
//
// # Buffers
//
// An answer passes through three buffers, all owned by the Decoder and reused
// from row to row and, after Reset, from answer to answer:
//
//   - the input, MaxToken bytes that never grow. It holds what the reader has
//     delivered and the Decoder has not consumed. A whole tag must fit into it.
//     Text need not, because it is copied to another buffer as it arrives.
//   - the texts, where the hrefs, ETags and statuses of one row are put
//     together, at most MaxText bytes.
//   - the card, where the text of one address-data is unescaped, at most
//     MaxCard bytes.
//
// So each byte of a Row was copied once, from the input to one of the other two
// buffers, and all other bytes were not copied. A Row's slices point into these
// two buffers. They are valid until the next call of Next, so a caller that keeps
// one copies it. Nothing is allocated for a row once the buffers are large enough
// for the answer, and no buffer grows beyond its bound, whatever the server sends.
//
// A row that differs from a previous one only in its href, ETag and card is
// compared with that row and not read tag by tag. For this a Decoder remembers
// the text of one row without its values, which is never longer than the input
// buffer.
//
// # What is accepted, and why
//
// Servers put cards into XML as some program once wrote them. Most servers do not
// check that XML has no notation for a control character, for U+FFFE, or for a
// byte that is not UTF-8. A strict parser fails on the whole address book because
// of one such card, and its owner can hardly find out which one. So text is read
// as bytes: everything between two tags is passed on unchanged, except for
// references, CDATA sections and line ends, which mean what XML says. In a card,
// an '&' stands for itself if it begins no reference, or one that XML does not
// define. '&#11;' is the character with this number.
//
// Structure is not guessed. The answer ends with a SyntaxError if tags do not
// match, if there is a '<' where none is allowed, or if an '&' in an href begins
// no reference. After that, nobody can say which card belongs to which href. In a
// document with a DOCTYPE, a reference that XML does not define is a SyntaxError
// too, because it may be to an entity of the DOCTYPE. No entity is ever expanded.
//
// The errors of this package have no text from the answer, because an answer has
// names and addresses, and errors are written to logs.
package dav

import (
	"errors"
	"fmt"
)

// The bounds of an answer. A card that exceeds MaxCard is skipped. An answer that
// exceeds any other bound ends with a LimitError.
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
	// start tag. The same number is allowed after its end tag, and in one
	// comment or DOCTYPE anywhere.
	MaxJunk = 64 << 10

	// MaxRow is the number of bytes from the end of one row to the end of
	// the next, including what is skipped. It bounds time, not memory.
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

	// ErrEncoding is returned for a document that declares another encoding
	// than UTF-8, or begins like one in UTF-16. RFC 4918 section 8.2 asks clients to read
	// UTF-16 too, but no CardDAV server is known to write it.
	ErrEncoding = errors.New("dav: document is not encoded in UTF-8")
)

// SyntaxError reports a document whose structure is broken. The rows before it are
// good.
type SyntaxError struct {
	Offset int64 // the number of bytes before the place where it was found
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
