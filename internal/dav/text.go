package dav

import (
	"bytes"
	"unicode/utf8"
)

// This file puts text together. The text of an element comes in pieces, because the window
// ends, or because there is a reference, a comment or a CDATA section.

// A text collects character data. A nil *text collects nothing.
type text struct {
	buf []byte
	max int // how many bytes buf may hold

	// lenient is set for cards. In a card, what is not well-formed is accepted, and a
	// card that is too long is dropped. Neither ends the listing, which has other
	// cards.
	lenient bool
	over    bool // it was too long, and buf is empty

	// cr says that the last byte that was added was a carriage return, written as such
	// in the input. A line feed that follows is part of the same line end.
	cr bool
}

// reset empties t and keeps its buffer for the next card.
func (t *text) reset() {
	t.buf = t.buf[:0]
	t.over = false
}

// wanted reports whether t collects text. If not, text is not even unescaped: in a card
// that is too long, the scanner only looks for the end.
func (t *text) wanted() bool { return t != nil && !t.over }

// beginPiece tells t that in the input the next text does not follow directly on the last
// one, because there was a tag or a comment between them.
func (t *text) beginPiece() {
	if t != nil {
		t.cr = false
	}
}

// add appends a part of the input. As XML 1.0, section 2.11, requires, each line end becomes
// one line feed, in whichever way it was written. plain says that b contains no carriage
// return.
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
		// One line feed stands for "\r" or "\r\n". If the '\n' is in the next part,
		// the next call drops it.
		if err := t.grow(i + 1); err != nil || t.over {
			return err
		}
		t.buf = append(append(t.buf, b[:i]...), '\n')
		b = b[i+1:]
		switch {
		case len(b) == 0:
			t.cr = true // the next part may begin with the '\n'
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

// addUsual adds b up to the first reference that is not usual. It returns how many bytes of
// b that was, and how far after them the next '&' is; -1 if there is none. Most of a card
// is copied here. It stops when the buffer is full, because add and put make it larger.
// There must be no carriage return in b or directly before it.
func (t *text) addUsual(b []byte) (n, amp int) {
	buf := t.buf
	for {
		rest := b[n:]
		amp = bytes.IndexByte(rest, '&')
		if amp < 0 {
			break
		}
		meant, length := usualReference(rest[amp:])
		if length == 0 || len(buf)+amp+1 > cap(buf) {
			break
		}
		buf = append(append(buf, rest[:amp]...), meant)
		n += amp + length
	}
	t.buf = buf
	return n, amp
}

// put appends s unchanged: the meaning of a reference, or what cannot be a line end. With
// the reference "&#13;" a document says that the carriage return is part of the text, and
// not a line end of the document.
func (t *text) put(s string) error {
	t.cr = false
	if err := t.grow(len(s)); err != nil || t.over {
		return err
	}
	t.buf = append(t.buf, s...)
	return nil
}

// putRune appends one character, as put does.
func (t *text) putRune(c rune) error {
	var b [utf8.UTFMax]byte
	return t.put(string(utf8.AppendRune(b[:0], c)))
}

// grow makes room for n more bytes. If there would be more than t.max, a card is dropped,
// and any other text is an error.
func (t *text) grow(n int) error {
	// Once the buffer is large enough, nothing else is done.
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
	// The size doubles each time, so the cost of growing is linear. append would do that
	// too, but would exceed t.max.
	size := min(max(2*cap(t.buf), need, 4<<10), t.max)
	t.buf = append(make([]byte, 0, size), t.buf...)
	return nil
}
