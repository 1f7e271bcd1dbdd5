package vcf

import (
	"bytes"
	"unicode/utf8"
)

// This file makes text of written values. In vCard 2.1 a value may be encoded, in some
// character set, escaped, and divided into components. The steps are undone in an order
// in which no step reads the result of another as its own: an encoded semicolon does not
// divide a value.

// An encoding is what the parameters say about how a value's text is written. The zero
// value is that of all versions after vCard 2.1.
type encoding struct {
	quoted  bool   // ENCODING=QUOTED-PRINTABLE
	charset []byte // CHARSET, if given
}

// appendText appends a text value as a person reads it.
func (e encoding) appendText(dst, value []byte) []byte {
	// Programs that write quoted-printable escape a text first and then encode it. So it
	// is decoded first and then unescaped.
	if e.quoted || e.charset != nil {
		value = e.decode(value)
	}
	return appendUnescaped(dst, value)
}

// decode decodes a text and leaves its escapes. Text that is not encoded is returned
// unchanged.
func (e encoding) decode(value []byte) []byte {
	if e.quoted {
		value = unquote(value)
	}
	// Servers convert cards to UTF-8 and do not change the parameter. So if text is
	// valid UTF-8, the parameter is ignored.
	if (e.quoted || e.charset != nil) && e.latin1() && !utf8.Valid(value) {
		value = fromLatin1(value)
	}
	return value
}

// latin1 reports whether text that is not UTF-8 is read as Windows-1252, of which Latin-1
// is a part. Without a character set it is, because this was the most common one in the
// years of vCard 2.1.
func (e encoding) latin1() bool {
	c := e.charset
	return len(c) == 0 || is(c, "ISO-8859-1") || is(c, "LATIN1") || is(c, "WINDOWS-1252") || is(c, "CP1252") || is(c, "US-ASCII")
}

// appendUnescaped appends value without its escapes: \n and \N, \, and \; and \\. Any
// other backslash is text, such as that of \: in Apple's URLs. go-vcard leaves it too.
func appendUnescaped(dst, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 || i+1 == len(value) {
			return append(dst, value...)
		}
		dst = append(dst, value[:i]...)
		switch c := value[i+1]; c {
		case 'n', 'N':
			dst = append(dst, '\n')
		case ',', ';', '\\':
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', c)
		}
		value = value[i+2:]
	}
}

// cutComponent cuts the first component off a structured value. It is called before the
// value is unescaped or decoded, because an escaped semicolon is part of a component, and
// so is one in quoted-printable.
func cutComponent(value []byte) (component, rest []byte, more bool) {
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ';':
			return value[:i], value[i+1:], true
		}
	}
	return value, nil, false
}

// unquote decodes quoted-printable text. An '=' that begins no code is text.
// CRLF, as quoted-printable writes a line break, becomes the LF that \n stands
// for.
func unquote(text []byte) []byte {
	dst := make([]byte, 0, len(text))
	for {
		i := bytes.IndexByte(text, '=')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		text = text[i+1:]
		if len(text) == 0 {
			return dst // a soft line break with nothing after it
		}
		if len(text) < 2 || unhex(text[0]) < 0 || unhex(text[1]) < 0 {
			dst = append(dst, '=')
			continue
		}
		c := byte(unhex(text[0])<<4 | unhex(text[1]))
		if c == '\n' {
			dst = bytes.TrimSuffix(dst, []byte("\r"))
		}
		dst = append(dst, c)
		text = text[2:]
	}
}

// unhex returns the value of a hexadecimal digit, or -1. Lower case is not allowed in
// quoted-printable, but some programs write it.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// windows1252 has the characters of Windows-1252 from 0x80 to 0x9f, where Latin-1 has
// control characters that nobody writes.
var windows1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}

// fromLatin1 returns Windows-1252 text as UTF-8. Every byte is a character, so nothing is
// lost.
func fromLatin1(text []byte) []byte {
	dst := make([]byte, 0, len(text)+len(text)/4)
	for _, c := range text {
		r := rune(c)
		if 0x80 <= c && c < 0xa0 {
			r = windows1252[c-0x80]
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
