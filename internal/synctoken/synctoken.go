// Package synctoken encodes what a sync token of ours holds. A Client remembers
// nothing of a sync beyond its end: all that the next one has to know is in the token,
// which the caller keeps.
//
// A token is text: a letter for its form, the book's name, and base64, joined by
// dots. It may name cards, and is therefore personal data.
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

// A Token is what is known at the end of a sync. Its zero value is the token of
// somebody who knows nothing, and is encoded as "".
type Token struct {
	// Book names the address book. It holds no dot.
	Book string

	// Server is the server's own token (RFC 6578). It is "" if the server gives
	// none, and the ETags are compared instead.
	Server string

	// ETags has each card of the book by its ID, with the [Hash] of its ETag. It
	// is nil if Server is set, unless the book is small.
	ETags map[string]uint64

	// Asked is when a server without sync-collection was last asked for it, to
	// the second. It is zero if that is not known.
	Asked time.Time

	// Cards is how many cards the book has at least, or Unknown. It is exact
	// when it is 0.
	Cards int

	// NamesOnly says that the book's server does not answer a sync-collection
	// that asks for the cards themselves.
	NamesOnly bool

	// Owed are the hrefs of the cards that the caller has not been given yet. One
	// without a slash lies in the book itself.
	Owed []string

	// Handed are the IDs of cards that were handed out by syncs that failed
	// since.
	Handed []string
}

// Unknown is the number of cards of a book that were not counted.
const Unknown = -1

// MaxLength is the number of bytes in a token that holds one of the server's. A
// token that has to hold every card's ETag is as long as the book makes it.
const MaxLength = 64 << 10

// ErrTooLong is returned by [Token.Encode]. Its text begins with the name of the
// importing package, which returns it to its callers as it is.
var ErrTooLong = errors.New("icloud: too many cards could not be got to be remembered in a sync token")

// Hash returns what is remembered of an ETag: 0 if there is none, so that its card
// counts as changed each time.
func Hash(etag []byte) uint64 {
	if len(etag) == 0 {
		return 0
	}
	sum := sha256.Sum256(etag)
	return binary.BigEndian.Uint64(sum[:])
}

// The forms of a token. The first two are those of earlier versions, which are
// read, and not written any more: the server's token as it is, and ETags alone.
const (
	oldServer = "s"
	oldETags  = "e"
	plain     = "t"
	packed    = "z"
)

// A field of a token is its number, the number of its bytes, and these. A field
// whose value is the usual one is left out. The numbers are for ever.
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
	// A caller's database may cut off what is too long for its column. What is
	// left must not pass for a token that owes nothing.
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	form, value := plain, raw
	// A compressor costs more than it saves in a short token.
	if len(raw) > 512 {
		form, value = packed, deflate(raw)
	}
	s := form + "." + t.Book + "." + base64.RawURLEncoding.EncodeToString(value)
	if t.Server != "" && len(s) > MaxLength {
		return "", ErrTooLong
	}
	return s, nil
}

// Parse is the inverse of Encode. It is not ok for anything else, a token of an
// earlier version excepted.
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
		// Each field is there once at most, and in order. A number that is not
		// known is a later version's, and what it says may matter.
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

// appendETags appends the IDs, sorted, and then their hashes: IDs that are alike
// stand beside each other for the compressor, which can do nothing about hashes.
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

// appendNames appends a list of names: how many, and each after its length.
func appendNames(b []byte, names []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return b
}

func readNames(b []byte) (names []string, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	// Each name takes a byte at least, so that no number can ask for more
	// memory than the token brings.
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

// cutName splits b after the name that it begins with.
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

// maxUnpacked bounds what a token may decompress to. The largest book that Apple
// allows needs a tenth of it.
const maxUnpacked = 32 << 20

func deflate(raw []byte) []byte {
	var b bytes.Buffer
	// The only error of NewWriter is about the level, and a Buffer has none.
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(raw)
	_ = w.Close()
	return b.Bytes()
}

// inflate is the inverse of deflate. A token comes from outside, and may be anything.
func inflate(b []byte) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), maxUnpacked+1))
	if err == nil && len(raw) > maxUnpacked {
		err = io.ErrShortBuffer
	}
	return raw, err
}
