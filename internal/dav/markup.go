package dav

import (
	"bytes"
	"io"
)

// This file reads what is neither a tag nor plain text: CDATA sections, comments,
// declarations, instructions, and the first bytes, which show the encoding.

// encoding looks at the first two bytes, which show the encodings that cannot be read: a
// byte order mark of UTF-16, or '<' with a zero byte before or after it. The byte order
// mark of UTF-8 is text before the root element, which is ignored.
func (s *scanner) encoding() error {
	for s.end-s.pos < 2 {
		// A reader may deliver the first byte alone.
		if err := s.fill(); err == io.EOF {
			return nil // too short for a check; next returns the error
		} else if err != nil {
			return err
		}
	}
	a, b := s.buf[s.pos], s.buf[s.pos+1]
	switch {
	case a == 0xFE && b == 0xFF, a == 0xFF && b == 0xFE, a == '<' && b == 0, a == 0:
		return ErrEncoding
	}
	return nil
}

// declaration consumes what begins with "<!". The third byte decides: a dash begins a
// comment, and a bracket a CDATA section. Everything else is treated as a DOCTYPE.
func (s *scanner) declaration(out *text) error {
	const (
		comment = "<!--"
		cdata   = "<![CDATA["
	)
	if err := s.need(len("<!") + 1); err != nil {
		return err
	}
	switch s.buf[s.pos+len("<!")] {
	case '-':
		if err := s.expect(comment); err != nil {
			return err
		}
		left := MaxJunk
		return s.comment(&left)
	case '[':
		if err := s.expect(cdata); err != nil {
			return err
		}
		return s.cdata(out)
	}
	return s.doctypeDeclaration()
}

// expect consumes what, which must be at the current position.
func (s *scanner) expect(what string) error {
	if err := s.need(len(what)); err != nil {
		return err
	}
	if string(s.buf[s.pos:s.pos+len(what)]) != what {
		return s.syntax("a declaration that XML does not know")
	}
	s.pos += len(what)
	return nil
}

// cdata consumes the rest of a CDATA section. Cyrus writes its cards in them. If a card
// contains "]]>", Cyrus writes two sections: the text of an element is all its pieces
// together.
func (s *scanner) cdata(out *text) error {
	out.beginPiece()
	for {
		part := s.buf[s.pos:s.end]
		if i := bytes.IndexByte(part, ']'); i >= 0 {
			part = part[:i]
		}
		if out.wanted() {
			// In a section '<' and '&' mean nothing, but a line end means
			// the same as elsewhere.
			if err := out.add(part, false); err != nil {
				return err
			}
		}
		s.pos += len(part)
		if s.pos == s.end {
			if err := s.need(1); err != nil {
				return err
			}
			continue
		}
		// A section ends at "]]>". A ']' that does not begin this is text, and
		// the next one may begin it: "]]]>" is a bracket and an end.
		if err := s.need(len("]]>")); err != nil {
			return err
		}
		if string(s.buf[s.pos:s.pos+len("]]>")]) == "]]>" {
			s.pos += len("]]>")
			return nil
		}
		if out.wanted() {
			if err := out.put("]"); err != nil {
				return err
			}
		}
		s.pos++
	}
}

// comment consumes the rest of a comment, whose bytes count against left. XML allows no
// two dashes in it, but this is not checked.
func (s *scanner) comment(left *int) error {
	// The dashes of "<!--" do not count: in "<!-->" the comment has not ended.
	for dashes := 0; ; {
		c, err := s.skip(left)
		if err != nil {
			return err
		}
		switch {
		case c == '-':
			dashes++
		case c == '>' && dashes >= 2:
			return nil
		default:
			dashes = 0
		}
	}
}

// doctypeDeclaration consumes a DOCTYPE, or a declaration that should be in one, up to the
// '>' that ends it. A '>' in quotes, in a comment, or of a declaration within does not
// end it. Nothing that it declares takes effect, because entities can make a small
// document large or read other files.
func (s *scanner) doctypeDeclaration() error {
	s.doctype = true
	s.pos += len("<!") + 1
	// The byte after "<!" is a letter, or the document is broken. It is skipped.
	left := MaxJunk
	depth, quote := 0, byte(0)
	for {
		c, err := s.skip(&left)
		if err != nil {
			return err
		}
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '<':
			// A comment may contain quotes and brackets that do not match.
			const comment = "!--"
			if err := s.need(len(comment)); err != nil {
				return err
			}
			if string(s.buf[s.pos:s.pos+len(comment)]) != comment {
				depth++
				continue
			}
			s.pos += len(comment)
			if err := s.comment(&left); err != nil {
				return err
			}
		case c == '>':
			if depth == 0 {
				return nil
			}
			depth--
		}
	}
}

// skip consumes one byte that has no meaning. left is how many more may follow. Reading
// byte by byte is slow, but answers have hardly any comments.
func (s *scanner) skip(left *int) (byte, error) {
	if *left == 0 {
		return 0, &LimitError{What: "bytes in a comment or DOCTYPE", Limit: MaxJunk}
	}
	if err := s.need(1); err != nil {
		return 0, err
	}
	*left--
	s.pos++
	return s.buf[s.pos-1], nil
}

// instruction consumes a processing instruction. They are ignored, except for the XML
// declaration, which has the same form and may name an encoding.
func (s *scanner) instruction() error {
	for from := len("<?"); ; {
		if err := s.need(from + len("?>")); err != nil {
			return err
		}
		body := s.buf[s.pos+len("<?") : s.end]
		end := bytes.Index(body[from-len("<?"):], []byte("?>"))
		if end < 0 {
			// Look at the last byte again: it may be the '?' of the end.
			from = s.end - s.pos - 1
			continue
		}
		end += from
		body = s.buf[s.pos+len("<?") : s.pos+end]
		// Without a name it is not an instruction.
		n := nameLen(body)
		if n == 0 {
			return s.syntax("an instruction without a name")
		}
		if string(body[:n]) == "xml" && !declaresUTF8(body[n:]) {
			return ErrEncoding
		}
		s.pos += end + len("?>")
		return nil
	}
}

// declaresUTF8 reports whether an XML declaration names UTF-8, or ASCII, which is a part
// of it, or no encoding. If the encoding is not a name in quotes, it counts as none,
// because UTF-8 is then the most likely one.
func declaresUTF8(decl []byte) bool {
	_, rest, _ := bytes.Cut(decl, []byte("encoding"))
	rest, found := bytes.CutPrefix(trimLeft(rest), []byte("="))
	rest = trimLeft(rest)
	if !found || len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return true
	}
	name, _, found := bytes.Cut(rest[1:], rest[:1])
	if !found || len(name) == 0 {
		return true
	}
	for _, readable := range []string{"utf-8", "utf8", "us-ascii", "ascii"} {
		if bytes.EqualFold(name, []byte(readable)) {
			return true
		}
	}
	return false
}

// isSpace reports whether c is white space in XML. The other white space of Unicode is
// part of an href.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// trimLeft returns b without the white space at its start. bytes.TrimLeft is slower,
// because it builds a table of the set in every call.
func trimLeft(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

// trimRight returns b without the white space at its end.
func trimRight(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
