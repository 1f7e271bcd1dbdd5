// Package synctoken encodes and parses the sync tokens of Client.Sync. A Client
// remembers nothing of a sync after its end. All that the next one needs is in the
// token, which the caller keeps.
//
// A token is text: a letter for its form, the book's name, and base64, joined by
// dots. It may contain the IDs of cards, and is therefore personal data.
package synctoken

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A Token is what is known at the end of a sync. The zero value says that nothing is
// known; it is encoded as "".
type Token struct {
	// Book names the address book. It holds no dot.
	Book string

	// Server is the server's own token (RFC 6578). It is "" if the server gives
	// none; then the ETags are compared instead.
	Server string

	// ETags has the [Hash] of the ETag of each card in the book, by the card's ID. It
	// is nil if Server is set, unless the book is small.
	ETags map[string]uint64

	// Asked is when a server without sync-collection was last asked for it, to
	// the second. It is zero if that is not known.
	Asked time.Time

	// Cards is how many cards the book has at least, or Unknown. 0 means exactly
	// 0.
	Cards int

	// NamesOnly says that the book's server does not answer a sync-collection
	// that asks for the cards themselves.
	NamesOnly bool

	// Owed are the hrefs of the cards that could not be fetched yet. An href without
	// a slash is relative to the book.
	Owed []string

	// Handed are the IDs of the cards that were already reported by syncs that
	// failed later.
	Handed []string
}

// Unknown is the number of cards of a book that were not counted.
const Unknown = -1

// MaxLength is the largest number of bytes of a token that contains a server's token. A
// token without one contains every card's ETag, and its length depends on the book.
const MaxLength = 64 << 10

// ErrTooLong is returned by [Token.Encode]. Its text begins with "icloud: ", because
// package icloud returns it unchanged.
var ErrTooLong = errors.New("icloud: more cards could not be fetched than a sync token can name")

// Hash returns the hash of an ETag. It is 0 for a missing ETag, whose card counts as
// changed each time.
func Hash(etag []byte) uint64 {
	if len(etag) == 0 {
		return 0
	}
	sum := sha256.Sum256(etag)
	return binary.BigEndian.Uint64(sum[:])
}

// The forms of a token. The first two are of earlier versions. They are still read, but
// no longer written.
const (
	oldServer = "s" // the server's token, not encoded
	oldETags  = "e" // ETags only, compressed
	plain     = "t" // fields
	packed    = "z" // fields, compressed
)

// A field of a token is written as its number, its length in bytes, and its bytes. A
// field with its usual value is omitted. These numbers must never change.
const (
	fieldServer = iota + 1
	fieldETags
	fieldAsked
	fieldCards
	fieldNamesOnly
	fieldOwed
	fieldHanded
)

// Encode returns the token as text. The error is ErrTooLong.
func (t Token) Encode() (string, error) {
	if t.Book == "" {
		return "", nil
	}
	var raw []byte
	field := func(number uint64, value []byte) {
		raw = binary.AppendUvarint(raw, number)
		raw = binary.AppendUvarint(raw, uint64(len(value)))
		raw = append(raw, value...)
	}
	if t.Server != "" {
		field(fieldServer, []byte(t.Server))
	}
	if t.ETags != nil {
		field(fieldETags, appendETags(nil, t.ETags))
	}
	if seconds := t.Asked.Unix(); !t.Asked.IsZero() && seconds > 0 {
		field(fieldAsked, binary.AppendUvarint(nil, uint64(seconds)))
	}
	if t.Cards >= 0 {
		field(fieldCards, binary.AppendUvarint(nil, uint64(t.Cards)))
	}
	if t.NamesOnly {
		field(fieldNamesOnly, nil)
	}
	if len(t.Owed) > 0 {
		field(fieldOwed, appendNames(nil, t.Owed))
	}
	if len(t.Handed) > 0 {
		field(fieldHanded, appendNames(nil, t.Handed))
	}
	// A caller's database may cut off a token that is too long for its column. The
	// rest must not pass for a token that owes nothing.
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	form, value := plain, raw
	// Compressing a short token costs more time than it saves space.
	if len(raw) > 512 {
		form, value = packed, deflate(raw)
	}
	s := form + "." + t.Book + "." + base64.RawURLEncoding.EncodeToString(value)
	if t.Server != "" && len(s) > MaxLength {
		return "", ErrTooLong
	}
	return s, nil
}

// Parse is the inverse of Encode. It also accepts tokens of earlier versions. ok is
// false for any other text.
func Parse(s string) (t Token, ok bool) {
	if s == "" {
		return Token{Cards: Unknown}, true
	}
	form, rest, _ := strings.Cut(s, ".")
	book, rest, _ := strings.Cut(rest, ".")
	if book == "" || rest == "" {
		return Token{}, false
	}
	t = Token{Book: book, Cards: Unknown}
	if form == oldServer {
		t.Server = rest
		return t, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return Token{}, false
	}
	if form == packed || form == oldETags {
		if raw, err = inflate(raw); err != nil {
			return Token{}, false
		}
	}
	switch form {
	case plain, packed:
		ok = t.read(raw)
	case oldETags:
		t.ETags, ok = readETags(raw)
	}
	if !ok {
		return Token{}, false
	}
	return t, true
}

// read reads the fields of a token.
func (t *Token) read(raw []byte) bool {
	if len(raw) < 4 {
		return false
	}
	fields, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.ChecksumIEEE(fields) != binary.BigEndian.Uint32(sum) {
		return false
	}
	for last := uint64(0); len(fields) > 0; {
		number, rest, ok := uvarint(fields)
		// Each field comes at most once, in the order of the numbers. A field with
		// an unknown number was written by a later version and may matter, so the
		// token is refused.
		if !ok || number <= last || number > fieldHanded {
			return false
		}
		last = number
		var value []byte
		if value, fields, ok = cutName(rest); !ok || !t.set(number, value) {
			return false
		}
	}
	return t.Server != "" || t.ETags != nil
}

// set sets one field.
func (t *Token) set(number uint64, value []byte) (ok bool) {
	switch number {
	case fieldServer:
		t.Server = string(value)
		return len(value) > 0
	case fieldETags:
		t.ETags, ok = readETags(value)
		return ok
	case fieldAsked:
		seconds, rest, ok := uvarint(value)
		t.Asked = time.Unix(int64(min(seconds, math.MaxInt32*1000)), 0)
		return ok && len(rest) == 0 && seconds > 0
	case fieldCards:
		n, rest, ok := uvarint(value)
		t.Cards = int(min(n, math.MaxInt32))
		return ok && len(rest) == 0
	case fieldNamesOnly:
		t.NamesOnly = true
		return len(value) == 0
	case fieldOwed:
		t.Owed, value, ok = readNames(value)
		return ok && len(value) == 0
	case fieldHanded:
		t.Handed, value, ok = readNames(value)
		return ok && len(value) == 0
	}
	return false
}

// appendETags appends the sorted IDs, and then their hashes. Similar IDs are then next
// to each other, which helps the compressor; hashes cannot be compressed.
func appendETags(b []byte, etags map[string]uint64) []byte {
	ids := slices.Sorted(maps.Keys(etags))
	b = appendNames(b, ids)
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, etags[id])
	}
	return b
}

func readETags(b []byte) (map[string]uint64, bool) {
	ids, b, ok := readNames(b)
	if !ok || len(b) != 8*len(ids) {
		return nil, false
	}
	etags := make(map[string]uint64, len(ids))
	for i, id := range ids {
		etags[id] = binary.BigEndian.Uint64(b[8*i:])
	}
	return etags, true
}

// appendNames appends a list of names: their number, and then for each its length and
// its bytes.
func appendNames(b []byte, names []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return b
}

func readNames(b []byte) (names []string, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	// Each name takes at least one byte, so a larger number is wrong. Without this
	// check it would allocate too much memory.
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	names = make([]string, n)
	for i := range names {
		var name []byte
		if name, b, ok = cutName(b); !ok {
			return nil, nil, false
		}
		names[i] = string(name)
	}
	return names, b, true
}

// cutName splits b after the name with which it begins.
func cutName(b []byte) (name, rest []byte, ok bool) {
	size, b, ok := uvarint(b)
	if !ok || size > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}

func uvarint(b []byte) (n uint64, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 {
		return 0, nil, false
	}
	return n, b[used:], true
}

// maxUnpacked bounds the size of a decompressed token. The largest book that Apple
// allows needs a tenth of it.
const maxUnpacked = 32 << 20

func deflate(raw []byte) []byte {
	var b bytes.Buffer
	// NewWriter fails only for a bad level, and writing to a Buffer never fails.
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(raw)
	_ = w.Close()
	return b.Bytes()
}

// inflate is the inverse of deflate. Its size is bounded, because a token comes from
// outside and may be anything.
func inflate(b []byte) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), maxUnpacked+1))
	if err == nil && len(raw) > maxUnpacked {
		err = io.ErrShortBuffer
	}
	return raw, err
}
