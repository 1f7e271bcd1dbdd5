package dav

import (
	"bytes"
	"unicode/utf8"
)

// This file reads tags, and keeps track of the open elements and of their namespace
// prefixes.

// A space is a namespace. Only two of them are distinguished.
type space uint8

const (
	otherSpace space = iota // any other namespace, or none
	davSpace
	cardSpace
	noSpace // the prefix was not declared
)

const (
	davURI  = "DAV:"                           // RFC 4918
	cardURI = "urn:ietf:params:xml:ns:carddav" // RFC 6352
)

// spaceOf returns the namespace with this URI. URIs are compared byte by byte: "dav:" is
// another namespace than "DAV:".
func spaceOf(uri []byte) space {
	switch string(uri) {
	case davURI:
		return davSpace
	case cardURI:
		return cardSpace
	}
	return otherSpace
}

// An element is an open element.
type element struct {
	name, nameEnd int // its name, prefix included, in scanner.names
	bindings      int // how many bindings were in force around it
}

// A binding is a namespace declaration in force. It does not keep the URI, which may be
// long, but only what it means.
type binding struct {
	prefix, prefixEnd int // in scanner.names; empty for the default namespace
	space             space
}

// startTag consumes a start tag and opens its element. It limits the depth of elements, and
// so everything that is kept for each of them.
func (s *scanner) startTag() error {
	tag, err := s.tag()
	if err != nil {
		return err
	}
	if len(s.open) == MaxDepth {
		return &LimitError{What: "elements open at once", Limit: MaxDepth}
	}
	// A slash before the '>' cannot belong to a value, because a value ends with a
	// quote.
	rest, empty := bytes.CutSuffix(tag[len("<"):len(tag)-len(">")], []byte("/"))
	name := rest[:nameLen(rest)]
	prefix, local, ok := splitName(name)
	if !ok {
		return s.syntax("a tag without a name")
	}
	// The end tag is compared with the name as it is written here, with the prefix, as
	// XML without namespaces requires.
	start, end, err := s.remember(name)
	if err != nil {
		return err
	}
	s.open = append(s.open, element{start, end, len(s.bindings)})
	// The declarations in a tag apply to its own name too.
	for rest = trimLeft(rest[len(name):]); len(rest) > 0; {
		if rest, err = s.attribute(rest); err != nil {
			return err
		}
	}
	s.space, s.local = s.lookup(prefix), local
	s.empty = empty
	s.pos += len(tag)
	return nil
}

// endTag consumes an end tag and closes its element. It must be that of the innermost open
// element. Because of this check the structure of a document is certain.
func (s *scanner) endTag() error {
	if len(s.open) == 0 {
		return s.syntax("an end tag without a start tag")
	}
	e := s.open[len(s.open)-1]
	name := s.names[e.name:e.nameEnd]
	// The name is known, so the tag is only compared with it. If it differs, it is read:
	// it may have white space before the '>', or be wrong.
	tag := s.buf[s.pos:s.end]
	end := len("</") + len(name)
	if end >= len(tag) || tag[end] != '>' || string(tag[len("</"):end]) != string(name) {
		var err error
		if tag, err = s.tag(); err != nil {
			return err
		}
		end = len(tag) - len(">")
		rest, ok := bytes.CutPrefix(tag[len("</"):end], name)
		if !ok || len(trimLeft(rest)) > 0 {
			return s.syntax("an end tag that does not match")
		}
	}
	s.pos += end + len(">")
	s.pop()
	return nil
}

// pop closes the innermost element, and ends its namespace declarations.
func (s *scanner) pop() {
	e := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.names = s.names[:e.name]
	s.bindings = s.bindings[:e.bindings]
}

var quotationMark = []byte(`"`)

// tag returns the tag at s.pos, from '<' to '>', without consuming it. The whole tag must
// fit into the window.
func (s *scanner) tag() ([]byte, error) {
	// Most tags are a name and nothing else.
	tag := s.buf[s.pos:s.end]
	if n := len("<") + nameLen(tag[len("<"):]); n < len(tag) && tag[n] == '>' {
		return tag[:n+len(">")], nil
	}
	// In other tags, a '>' may be part of an attribute's value, but this is rare. If every
	// quote before the first '>' is closed, the tag ends there.
	if end := bytes.IndexByte(tag, '>'); end > 0 {
		head := tag[1:end]
		if bytes.IndexByte(head, '\'') < 0 && bytes.IndexByte(head, '<') < 0 && bytes.Count(head, quotationMark)%2 == 0 {
			return tag[:end+len(">")], nil
		}
	}
	// Otherwise look at each byte, and read more if the end is not in the window yet.
	quote := byte(0)
	for i := 1; ; {
		for ; s.pos+i < s.end; i++ {
			switch c := s.buf[s.pos+i]; {
			case c == '<':
				// XML forbids this in quotes too. So a quote that is not
				// closed does not hide the next rows.
				return nil, s.syntax("a tag within a tag")
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"' || c == '\'':
				quote = c
			case c == '>':
				return s.buf[s.pos : s.pos+i+1], nil
			}
		}
		if err := s.need(i + 1); err != nil {
			return nil, err
		}
	}
}

// attribute reads the attribute at the start of tag, and returns the rest of the tag. A
// namespace declaration takes effect. No other attribute means anything in an answer, so
// only its form is checked.
func (s *scanner) attribute(tag []byte) (rest []byte, err error) {
	name := tag[:nameLen(tag)]
	prefix, local, ok := splitName(name)
	if !ok {
		return nil, s.syntax("an attribute without a name")
	}
	rest, ok = bytes.CutPrefix(trimLeft(tag[len(name):]), []byte("="))
	if !ok {
		return nil, s.syntax("an attribute without a value")
	}
	rest = trimLeft(rest)
	if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return nil, s.syntax("an attribute without quotes")
	}
	value, rest, ok := bytes.Cut(rest[1:], rest[:1])
	if !ok {
		return nil, s.syntax("an attribute without an end")
	}
	// References are rare here, so look for one first.
	if bytes.IndexByte(value, '&') >= 0 {
		if value, err = s.unescape(value); err != nil {
			return nil, err
		}
	}
	// The name xmlns without a prefix declares the namespace of elements without a
	// prefix.
	switch {
	case string(prefix) == "xmlns":
		err = s.bind(local, spaceOf(value))
	case len(prefix) == 0 && string(local) == "xmlns":
		err = s.bind(nil, spaceOf(value))
	}
	return trimLeft(rest), err
}

// bind makes a namespace declaration take effect.
func (s *scanner) bind(prefix []byte, to space) error {
	if len(s.bindings) == MaxBindings {
		return &LimitError{What: "namespace declarations", Limit: MaxBindings}
	}
	start, end, err := s.remember(prefix)
	if err != nil {
		return err
	}
	s.bindings = append(s.bindings, binding{start, end, to})
	return nil
}

// remember copies a name to a place where it stays until its element is closed. In the
// input it is overwritten before that.
func (s *scanner) remember(name []byte) (start, end int, err error) {
	start = len(s.names)
	if start+len(name) > MaxToken {
		return 0, 0, &LimitError{What: "bytes in the names of open elements", Limit: MaxToken}
	}
	s.names = append(s.names, name...)
	return start, len(s.names), nil
}

// lookup returns the namespace of a prefix. The innermost declaration counts, and the last
// one if a tag has two. The prefixes xml and xmlns cannot be declared.
//
// There are few bindings, so a search through all of them is faster than a map.
// MaxBindings limits how slow it can become.
func (s *scanner) lookup(prefix []byte) space {
	switch string(prefix) {
	case "xml", "xmlns":
		return otherSpace
	}
	for i := len(s.bindings) - 1; i >= 0; i-- {
		b := &s.bindings[i]
		if string(s.names[b.prefix:b.prefixEnd]) == string(prefix) {
			return b.space
		}
	}
	if len(prefix) > 0 {
		return noSpace
	}
	return otherSpace
}

// nameByte says which bytes may be in a name. It allows all bytes outside ASCII, because
// names are only compared.
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == ':' || c == '.' || c == '-' || c >= utf8.RuneSelf
	}
	return t
}()

// nameLen returns the length of the name at the start of b; 0 if there is none. So a '<'
// before a digit or a space begins no tag.
func nameLen(b []byte) int {
	if len(b) == 0 || b[0] == '-' || b[0] == '.' || '0' <= b[0] && b[0] <= '9' {
		return 0
	}
	for i, c := range b {
		if !nameByte[c] {
			return i
		}
	}
	return len(b)
}

// splitName splits a name at its colon. With two colons it is not a name. A colon at the
// start or the end belongs to the local name, as in encoding/xml, although Namespaces in
// XML forbids it.
func splitName(name []byte) (prefix, local []byte, ok bool) {
	i := bytes.IndexByte(name, ':')
	switch {
	case len(name) == 0 || i >= 0 && bytes.IndexByte(name[i+1:], ':') >= 0:
		return nil, nil, false
	case i <= 0 || i == len(name)-1:
		return nil, name, true
	}
	return name[:i], name[i+1:], true
}
