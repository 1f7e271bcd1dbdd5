package vcf

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// This file makes the strings of Details from the values of lines.

// decoded returns a value as a person reads it. It is valid until r.scratch is used again.
//
// Unlike in a Reader, \: is an escape too. Apple's programs once wrote it, and nobody wants
// the backslash in a note or a URL. The result is always UTF-8.
func (r *DetailsReader) decoded(t *tags, value []byte) []byte {
	if len(value) <= 64 && !t.quoted && isPlain(value) {
		return value // most values
	}
	value = t.decode(value)
	if !utf8.Valid(value) {
		value = t.repaired(value)
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

// isPlain reports whether value is ASCII without escapes.
func isPlain(value []byte) bool {
	for _, c := range value {
		if c >= utf8.RuneSelf || c == '\\' {
			return false
		}
	}
	return true
}

// repaired makes UTF-8 of text that is not UTF-8, because a database would refuse it. If
// the text has no character beyond ASCII in UTF-8, it is most often Windows-1252, unless
// the card names another character set. In any other text, invalid bytes become U+FFFD.
func (e encoding) repaired(text []byte) []byte {
	if e.latin1() && !hasRune(text) {
		return fromLatin1(text)
	}
	return bytes.ToValidUTF8(text, []byte("\ufffd"))
}

// hasRune reports whether a character in text takes several bytes in UTF-8.
func hasRune(text []byte) bool {
	for len(text) > 0 {
		_, n := utf8.DecodeRune(text)
		if n > 1 {
			return true
		}
		text = text[n:]
	}
	return false
}

// add returns b as a string. The short strings of a card share one piece of memory, and a
// long one has its own.
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
func (r *DetailsReader) value(t *tags, value []byte) string { return r.add(r.decoded(t, value)) }

// trimmed returns a text without the space around it.
func (r *DetailsReader) trimmed(t *tags, value []byte) string {
	return r.add(bytes.TrimSpace(r.decoded(t, value)))
}

// appendValues appends the texts of a list, which commas separate, without empty ones.
func (r *DetailsReader) appendValues(all []string, t *tags, value []byte) []string {
	for more := true; more; {
		var one []byte
		one, value, more = cutAt(value, ',')
		if v := r.trimmed(t, one); v != "" {
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

// ownLabel returns the label of an X-ABLabel, without the marks of a label that Apple's
// programs offer and translate.
func (r *DetailsReader) ownLabel(t *tags, value []byte) string {
	text := bytes.TrimSpace(r.decoded(t, value))
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

// carets are the escapes of RFC 6868.
var carets = strings.NewReplacer("^n", "\n", "^'", `"`, "^^", "^")

// paramText returns a parameter's value as a person reads it. Apple uses the escapes of
// values there too.
func (r *DetailsReader) paramText(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if bytes.IndexByte(text, '^') >= 0 {
		text = []byte(carets.Replace(string(text)))
	}
	return r.trimmed(&tags{}, text) // ENCODING is about the property's value only
}
