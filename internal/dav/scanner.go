package dav

import (
	"bytes"
	"io"
)

// This file, together with tag.go, markup.go and reference.go, turns bytes into
// tags and text. It knows XML and namespaces, and nothing of WebDAV.

// A token is what the scanner stopped at.
type token uint8

const (
	startTag   token = iota + 1 // scanner.space and scanner.local say of what
	endTag                      // of the innermost element that is open
	endOfInput                  // outside the root element; all else is an error
)

// A scanner is a pull tokenizer: it reads on when it is asked for the next token.
//
// Text is no token. It goes straight to whoever wants it, because a card would
// otherwise have to wait in the input until its end is there, and the input would
// have to be as large as the largest card.
//
// It is stricter with tags than with text, for the reason that the package comment
// gives, and does not check what makes no difference: that an attribute is given
// only once, say, or that a comment holds no two dashes. Where encoding/xml accepts
// a document, it finds the same in it.
type scanner struct {
	input

	// space and local are the name of the last start tag. local is a slice of
	// the input, so it is looked at before anything else is read.
	space space
	local []byte

	// tagAt is where the last tag begins in the document.
	tagAt int64

	// names holds the names of the open elements, each followed by the
	// prefixes that it declares. Within <a:b xmlns:a="x"><c xmlns:d="y"> it is
	// "a:b", "a", "c", "d" without anything between them. So an element is
	// closed by cutting off the end, and however many elements come and go,
	// nothing is allocated for them.
	names    []byte
	open     []element
	bindings []binding

	// started says that the encoding was looked at, empty that the last start
	// tag was <a/> and its end tag is still to be told, and doctype that the
	// document has declarations of its own.
	started, empty, doctype bool

	// scratch is for attribute values that hold references.
	scratch text
}

// reset makes s read another document, with the buffers that it has.
func (s *scanner) reset(r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, MaxToken)
	}
	// Everything that is not named here begins anew.
	*s = scanner{
		input:    input{r: r, buf: s.buf},
		names:    s.names[:0],
		open:     s.open[:0],
		bindings: s.bindings[:0],
		scratch:  text{buf: s.scratch.buf, max: MaxToken},
	}
}

// next returns the next tag. The text before it goes to out; comments and the like
// go nowhere. If out is nil, text goes nowhere either, without a look at what is
// in it: what nobody reads cannot be wrong.
func (s *scanner) next(out *text) (token, error) {
	if s.empty {
		// To everybody else <a/> is <a></a>.
		s.empty = false
		s.pop()
		return endTag, nil
	}
	if !s.started {
		s.started = true
		if err := s.encoding(); err != nil {
			return 0, err
		}
	}
	for {
		// iCloud begins a line with each tag. Where nobody reads the text between
		// them, that line end is all there is of it.
		if out == nil && s.end-s.pos > 1 && s.buf[s.pos] == '\n' && s.buf[s.pos+1] == '<' {
			s.pos++
		}
		if s.pos == s.end || s.buf[s.pos] != '<' {
			err := s.text(out)
			if err == io.EOF && len(s.open) == 0 {
				// The one place where a document may end. Whether
				// it had a root element is for the caller to know.
				return endOfInput, s.within()
			}
			if err != nil {
				return 0, unexpected(err)
			}
		}
		// From here on there is a '<', and something has to follow.
		if err := s.need(2); err != nil {
			return 0, err
		}
		// Two of these are not tags, and the search goes on behind them. The
		// text there continues what was before: out may get more of it.
		s.tagAt = s.offset()
		switch s.buf[s.pos+1] {
		case '/':
			return endTag, s.endTag()
		case '!':
			if err := s.declaration(out); err != nil {
				return 0, err
			}
		case '?':
			if err := s.instruction(); err != nil {
				return 0, err
			}
		default:
			return startTag, s.startTag()
		}
	}
}

// text consumes character data up to the next '<'. Parts of it may be in several
// windows; each is moved on before the next one is read.
func (s *scanner) text(out *text) error {
	out.beginPiece()
	for {
		// The search for '<' is over much more than the next line, and so at
		// the speed of memory.
		part := s.buf[s.pos:s.end]
		end := bytes.IndexByte(part, '<')
		if end >= 0 {
			part = part[:end]
		}
		if !out.wanted() {
			s.pos += len(part)
		} else if err := s.characters(part, out); err != nil {
			return err
		} else if end < 0 && s.pos < s.end {
			continue // a reference has read on
		}
		if end >= 0 {
			return nil
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// characters consumes part, which is at s.pos and holds no tag. It stops earlier if
// a reference at the end of the window had to read on.
func (s *scanner) characters(part []byte, out *text) error {
	// In a card, the search for '&' stops at the end of each line, and hardly
	// anywhere else. The one for '\r', which XML would have us change, finds
	// none in most answers, so it is done once for all lines.
	plain := bytes.IndexByte(part, '\r') < 0
	for len(part) > 0 {
		var amp int
		if plain && !out.cr && !out.over {
			var n int
			n, amp = out.addUsual(part)
			s.pos += n
			part = part[n:]
		} else {
			amp = bytes.IndexByte(part, '&')
		}
		if amp < 0 {
			s.pos += len(part)
			return out.add(part, plain)
		}
		if err := out.add(part[:amp], plain); err != nil {
			return err
		}
		// From here on, what is behind the '&' may be in the next window.
		s.pos += amp
		n, filled, err := s.reference(out)
		if err != nil || filled {
			return err
		}
		part = part[amp+n:]
	}
	return nil
}
