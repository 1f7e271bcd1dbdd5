package vcf

import (
	"bytes"
	"unicode/utf8"
)

// This file makes strings of what the lines of a card say, for Details.

// decoded returns a value as a person reads it. It is good until r.scratch is
// used again.
//
// Unlike in Fields, \: is an escape too. Apple's programs once wrote it, and in
// a note or an address of the Web it is not what anybody meant. And the text is
// UTF-8, whatever the card is.
func (r *DetailsReader) decoded(value []byte) []byte {
	value = r.meta.decode(value)
	if !utf8.Valid(value) {
		// Nothing says what it is. Text of this kind is Windows-1252 most often,
		// and a database would refuse it as it stands.
		if r.meta.latin1() {
			value = fromLatin1(value)
		} else {
			value = bytes.ToValidUTF8(value, []byte("\ufffd"))
		}
	}
	i := bytes.IndexByte(value, '\\')
	if i < 0 {
		return value
	}
	dst := r.scratch[:0]
	for ; i >= 0 && i+1 < len(value); i = bytes.IndexByte(value, '\\') {
		dst = append(dst, value[:i]...)
		switch c := value[i+1]; c {
		case 'n', 'N':
			dst = append(dst, '\n')
		case ',', ';', ':', '\\':
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', c)
		}
		value = value[i+2:]
	}
	r.scratch = append(dst, value...)
	return r.scratch
}

// add returns b as a string. Those of one card are cut from one piece of memory,
// because most are short, and a long one has its own.
func (r *DetailsReader) add(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > 256:
		return string(b)
	}
	n := r.text.Len()
	r.text.Write(b)
	return r.text.String()[n:]
}

// value returns a text.
func (r *DetailsReader) value(value []byte) string { return r.add(r.decoded(value)) }

// trimmed returns a text without the space around it.
func (r *DetailsReader) trimmed(value []byte) string {
	return r.add(bytes.TrimSpace(r.decoded(value)))
}

// values returns the texts of a list, which commas part, without the empty
// ones.
func (r *DetailsReader) values(value []byte) (all []string) {
	for more := true; more; {
		var one []byte
		one, value, more = cutAt(value, ',')
		if v := r.trimmed(one); v != "" {
			all = append(all, v)
		}
	}
	return all
}

// cutAt cuts value at the first separator that is not escaped.
func cutAt(value []byte, separator byte) (before, after []byte, found bool) {
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case separator:
			return value[:i], value[i+1:], true
		}
	}
	return value, nil, false
}

// ownLabel returns what the owner calls something, from an X-ABLabel: without
// the marks of a label that Apple's programs offer, and translate.
func (r *DetailsReader) ownLabel(value []byte) string {
	text := bytes.TrimSpace(r.decoded(value))
	if inner, ok := bytes.CutPrefix(text, []byte("_$!<")); ok {
		if inner, ok = bytes.CutSuffix(inner, []byte(">!$_")); ok {
			text = inner
		}
	}
	if word := wellKnown(text); word != "" {
		return word
	}
	return r.add(text)
}

// postal are TYPEs of an ADR that say what can be delivered there. vCard 3.0
// has four of them on each by default (RFC 2426, section 3.2.1).
func isPostal(t []byte) bool {
	return is(t, "DOM") || is(t, "INTL") || is(t, "POSTAL") || is(t, "PARCEL")
}

// typeLabel makes a label of the TYPEs: the first that tells a person something.
func (r *DetailsReader) typeLabel(params []byte) string {
	word := r.meta.word
	if isPostal(word) {
		word = nil
		for t := range types(params) {
			if !is(t, "PREF") && !isPostal(t) && telling(t) {
				word = t
				break
			}
		}
	}
	return r.lower(word)
}

// lower returns a word in lower case.
func (r *DetailsReader) lower(word []byte) string {
	if len(word) == 0 {
		return ""
	}
	r.scratch = appendLower(r.scratch[:0], word)
	if known := wellKnown(r.scratch); known != "" {
		return known
	}
	return r.add(r.scratch)
}

// types are the values of all parameters TYPE.
func types(params []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(params) > 0 {
			var name, list []byte
			name, list, params = cutParam(params)
			if !is(name, "TYPE") {
				continue
			}
			for len(list) > 0 {
				var t []byte
				t, list = cutValue(list)
				if t = bytes.TrimSpace(t); len(t) > 0 && !yield(t) {
					return
				}
			}
		}
	}
}

// hasType reports whether a TYPE, given in upper case, is among them.
func hasType(params []byte, name string) bool {
	for t := range types(params) {
		if is(t, name) {
			return true
		}
	}
	return false
}

// param returns the value of the first parameter of that name, with the commas
// that it has; nil if there is none.
func param(params []byte, name string) []byte {
	for len(params) > 0 {
		var n, list []byte
		n, list, params = cutParam(params)
		if !is(n, name) {
			continue
		}
		list = bytes.TrimSpace(list)
		if len(list) >= 2 && list[0] == '"' && bytes.IndexByte(list[1:], '"') == len(list)-2 {
			list = list[1 : len(list)-1]
		}
		return list
	}
	return nil
}

// paramText returns the text of a parameter. There, RFC 6868 has escapes of its
// own, and Apple uses those of values.
func (r *DetailsReader) paramText(params []byte, name string) string {
	text := param(params, name)
	if bytes.IndexByte(text, '^') >= 0 {
		text = bytes.ReplaceAll(text, []byte("^n"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("^'"), []byte(`"`))
		text = bytes.ReplaceAll(text, []byte("^^"), []byte("^"))
	}
	m := r.meta
	r.meta.encoding = encoding{} // that of the value alone
	v := r.trimmed(text)
	r.meta = m
	return v
}
