package dav

import "bytes"

// This file remembers start tags. What a tag says depends on its bytes alone, and a
// server writes the tags of each row like those of the row before: so most tags of an
// answer need not be taken apart, only recognized.

const (
	// maxKnown is how many tags are remembered. A row of an address book has
	// seven, and a few more where properties are missing.
	maxKnown = 16

	// maxKnownLen is how long a tag may be to be remembered.
	maxKnownLen = 256
)

// A knownTag is a start tag that was read before.
type knownTag struct {
	text []byte // from '<' to '>', as it was written

	// names is what the tag adds to scanner.names: the name of its element, then
	// the prefixes that it declares. The positions in bindings count from its
	// start.
	names    []byte
	prefix   int // of the name: names[:prefix]
	local    int // names[local:name]
	name     int
	bindings []binding

	empty bool
	next  int // the index of the tag that followed on this one the last time
}

// recognize returns the known tag that is at s.pos; nil if there is none.
func (s *scanner) recognize() *knownTag {
	if len(s.known) == 0 {
		return nil
	}
	window := s.buf[s.pos:s.end]
	// A known tag ends in '>', so that nothing else can begin with it.
	last := &s.known[s.last]
	if k := &s.known[last.next]; bytes.HasPrefix(window, k.text) {
		s.last = last.next
		return k
	}
	for i := range s.known {
		if k := &s.known[i]; bytes.HasPrefix(window, k.text) {
			last.next, s.last = i, i
			return k
		}
	}
	return nil
}

// learn remembers the tag that was read last and opened the innermost element. Once
// all places are taken, the oldest is given up.
func (s *scanner) learn(tag, prefix []byte) {
	if len(tag) > maxKnownLen {
		return
	}
	for i := range s.known {
		// It was not recognized because it was cut by the end of the window.
		if bytes.Equal(s.known[i].text, tag) {
			s.known[s.last].next, s.last = i, i
			return
		}
	}
	i := s.oldest
	if s.oldest++; s.oldest == maxKnown {
		s.oldest = 0
	}
	if i == len(s.known) {
		s.known = append(s.known, knownTag{})
	}
	e := s.open[len(s.open)-1]
	k := &s.known[i]
	k.text = append(k.text[:0], tag...)
	k.names = append(k.names[:0], s.names[e.name:]...)
	k.name = e.nameEnd - e.name
	k.prefix, k.local = len(prefix), k.name-len(s.local)
	k.bindings = k.bindings[:0]
	for _, b := range s.bindings[e.bindings:] {
		k.bindings = append(k.bindings, binding{b.prefix - e.name, b.prefixEnd - e.name, b.space})
	}
	k.empty = s.empty
	s.known[s.last].next, s.last = i, i
}

// openKnown is startTag for a known tag. It returns false, and does nothing, if a bound
// is in the way: startTag says which.
func (s *scanner) openKnown(k *knownTag) bool {
	if len(s.open) == MaxDepth || len(s.bindings)+len(k.bindings) > MaxBindings || len(s.names)+len(k.names) > MaxToken {
		return false
	}
	start := len(s.names)
	s.names = append(s.names, k.names...)
	s.open = append(s.open, element{start, start + k.name, len(s.bindings)})
	for _, b := range k.bindings {
		s.bindings = append(s.bindings, binding{start + b.prefix, start + b.prefixEnd, b.space})
	}
	s.space, s.local = s.lookup(k.names[:k.prefix]), k.names[k.local:k.name]
	s.empty = k.empty
	s.pos += len(k.text)
	return true
}
