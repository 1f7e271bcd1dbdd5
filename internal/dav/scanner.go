package dav

import (
	"bytes"
	"io"
)

// This file, with tag.go, markup.go and reference.go, makes tags and text of bytes. It
// knows XML and namespaces, and nothing about WebDAV.

// A token is where the scanner has stopped.
type token uint8

const (
	startTag   token = iota + 1 // its name is in scanner.space and scanner.local
	endTag                      // of the innermost open element
	endOfInput                  // outside the root element; elsewhere it is an error
)

// A scanner is a pull tokenizer: it reads the next token when next is called.
//
// Text is not a token. The scanner copies it to the text that the caller gives it.
// Otherwise the input would have to be as large as the largest card.
//
// The scanner is stricter with tags than with text: see the package comment. It does not
// check what makes no difference, for example whether a tag has an attribute twice, or
// whether a comment contains two dashes. If encoding/xml accepts a document, the scanner
// reads the same from it.
type scanner struct {
	input

	// space and local are the name of the last start tag. local is a slice of
	// the input, and valid only until more is read.
	space space
	local []byte

	// tagAt is where the last tag begins in the document.
	tagAt int64

	// names holds the names of the open elements, each followed by the
	// prefixes that the element declares. In <a:b xmlns:a="x"><c xmlns:d="y"> it
	// is "a:b", "a", "c", "d" with nothing between them. So closing an element
	// only cuts off the end, and elements need no allocations.
	names    []byte
	open     []element
	bindings []binding

	// started says that the encoding was checked. empty says that the last start
	// tag was like <a/>, and that its end tag was not returned yet. doctype says
	// that the document has a DOCTYPE.
	started, empty, doctype bool

	// scratch is for attribute values with references.
	scratch text
}

// reset makes s read another document, with the buffers that it has.
func (s *scanner) reset(r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, MaxToken)
	}
	// All other fields are set to zero.
	*s = scanner{
		input:    input{r: r, buf: s.buf},
		names:    s.names[:0],
		open:     s.open[:0],
		bindings: s.bindings[:0],
		scratch:  text{buf: s.scratch.buf, max: MaxToken},
	}
}

// next returns the next tag. It adds the text before the tag to out, and skips comments and
// the like. If out is nil, it skips the text too, and does not check it.
func (s *scanner) next(out *text) (token, error) {
	if s.empty {
		// <a/> means the same as <a></a>.
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
		// iCloud begins a line with each tag. If the text between tags is skipped,
		// it is usually only this line end.
		if out == nil && s.end-s.pos > 1 && s.buf[s.pos] == '\n' && s.buf[s.pos+1] == '<' {
			s.pos++
		}
		if s.pos == s.end || s.buf[s.pos] != '<' {
			err := s.text(out)
			if err == io.EOF && len(s.open) == 0 {
				// Only here a document may end. The caller checks
				// whether it had a root element.
				return endOfInput, s.within()
			}
			if err != nil {
				return 0, unexpected(err)
			}
		}
		// There is a '<', and something must follow it.
		if err := s.need(2); err != nil {
			return 0, err
		}
		// Declarations and instructions are no tags, and the search continues
		// after them. The text after them is added to out too.
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

// text consumes character data up to the next '<'. If it is longer than the window, each
// part is copied before the next one is read.
func (s *scanner) text(out *text) error {
	out.beginPiece()
	for {
		// This searches over much more than the next line, and so is as fast as
		// the memory.
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
			continue // a reference has read more
		}
		if end >= 0 {
			return nil
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// characters consumes part, which is at s.pos and contains no tag. It stops earlier if a
// reference at the end of the window had to read more.
func (s *scanner) characters(part []byte, out *text) error {
	// In a card, the search for '&' stops at the end of each line, and hardly anywhere
	// else. XML requires that a '\r' is changed. Most answers have none, so this search is
	// done once for all lines.
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
		// What follows the '&' may not be in the window yet.
		s.pos += amp
		n, filled, err := s.reference(out)
		if err != nil || filled {
			return err
		}
		part = part[amp+n:]
	}
	return nil
}
