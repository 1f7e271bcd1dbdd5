package dav

import (
	"bytes"
	"unicode/utf8"
)

// This file is where text is put together. An element's text comes in pieces: a
// window ends, a reference stands for something else, a comment interrupts, or a
// CDATA section begins. Whoever reads it should see none of that.

// A text collects character data. A nil *text wants none.
type text struct {
	buf []byte
	max int // what buf may hold; it is never larger

	// lenient is set for cards. What is ill-formed in one is let through, and
	// one that is too long is dropped, because either is the fault of one card
	// and the listing has others.
	lenient bool
	over    bool // it was too long, and buf is empty

	// cr is set after a carriage return of the input's own, at the end of what
	// was added. A line feed that follows is of the same line end.
	cr bool
}

// reset empties t and keeps its buffer, so that the next card, which is about as
// large as this one, needs no other.
func (t *text) reset() {
	t.buf = t.buf[:0]
	t.over = false
}

// wanted reports whether there is any use in adding to t. What is not wanted is not
// even unescaped: of a card that is too long, only the end is looked for.
func (t *text) wanted() bool { return t != nil && !t.over }

// beginPiece tells t that in the input, what is added next does not follow directly
// on what was added last: there was a tag between them, or a comment.
func (t *text) beginPiece() {
	if t != nil {
		t.cr = false
	}
}

// add appends a part of the input. XML 1.0 section 2.11 has every line end that the
// input holds as such read as one line feed, however it was written. That plain is
// set says that b holds no carriage return.
func (t *text) add(b []byte, plain bool) error {
	if len(b) == 0 {
		return nil
	}
	if t.cr {
		t.cr = false
		if b[0] == '\n' {
			b = b[1:]
		}
	}
	for !plain {
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			break
		}
		// One byte stands for one or two. If it is two and they are in two
		// parts, the next call drops the second one.
		if err := t.grow(i + 1); err != nil || t.over {
			return err
		}
		t.buf = append(append(t.buf, b[:i]...), '\n')
		b = b[i+1:]
		switch {
		case len(b) == 0:
			t.cr = true // and the next part may tell
		case b[0] == '\n':
			b = b[1:]
		}
	}
	if err := t.grow(len(b)); err != nil || t.over {
		return err
	}
	t.buf = append(t.buf, b...)
	return nil
}

// addUsual adds b as far as it holds no other references than nearly all cards do. It
// returns how much that was of the input, and how far behind it the next '&' is; -1 if
// there is none. Most of a card is copied here. It stops where the buffer is full: add
// and put see to that. There must be no carriage return in b, and none right before it.
func (t *text) addUsual(b []byte) (n, amp int) {
	buf := t.buf
	for {
		rest := b[n:]
		amp = bytes.IndexByte(rest, '&')
		if amp < 0 {
			break
		}
		meant, length := usualReference(rest[amp:])
		if length == 0 || len(buf)+amp+len(meant) > cap(buf) {
			break
		}
		buf = append(append(buf, rest[:amp]...), meant...)
		n += amp + length
	}
	t.buf = buf
	return n, amp
}

// put appends what is not to be changed: what the input wrote as a reference, and
// what cannot be a line end. A carriage return that is put is meant to stay: "&#13;"
// is how a document says that it does not mean a line end of its own.
func (t *text) put(s string) error {
	t.cr = false
	if err := t.grow(len(s)); err != nil || t.over {
		return err
	}
	t.buf = append(t.buf, s...)
	return nil
}

// putRune is put for one character.
func (t *text) putRune(c rune) error {
	var b [utf8.UTFMax]byte
	return t.put(string(utf8.AppendRune(b[:0], c)))
}

// grow makes room for n more bytes. If t may not hold that many, a card is dropped,
// and any other text is an error.
func (t *text) grow(n int) error {
	// This is all that happens once the buffer has its size.
	need := len(t.buf) + n
	if need <= cap(t.buf) && need <= t.max {
		return nil
	}
	if need > t.max {
		if !t.lenient {
			return &LimitError{What: "bytes in a text", Limit: int64(t.max)}
		}
		t.buf = t.buf[:0]
		t.over = true
		return nil
	}
	// Twice as much each time makes growing linear. append would do that too,
	// but it would go beyond what can ever be used.
	size := min(max(2*cap(t.buf), need, 4<<10), t.max)
	t.buf = append(make([]byte, 0, size), t.buf...)
	return nil
}
