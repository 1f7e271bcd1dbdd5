package vcf

import (
	"bytes"
	"unicode/utf8"
)

// This file turns written values into what a person reads. A value may have
// been encoded, in some character set, escaped, and divided into components,
// all at once in vCard 2.1. The steps are undone in an order that keeps each
// from seeing what another has produced: an encoded semicolon divides nothing.

// An encoding is what the parameters say about how a value's text is written.
// The zero value is how all but vCard 2.1 write it.
type encoding struct {
	quoted  bool   // ENCODING=QUOTED-PRINTABLE
	charset []byte // CHARSET, if given
}

// appendText appends a text value as a person reads it.
func (e encoding) appendText(dst, value []byte) []byte {
	// Those who write quoted-printable escape first and encode then. It is
	// undone in the other order.
	if e.quoted || e.charset != nil {
		value = e.decode(value)
	}
	return appendUnescaped(dst, value)
}

// decode undoes the encoding of a text, whose escapes it leaves. Text that is
// not encoded is returned as it is.
func (e encoding) decode(value []byte) []byte {
	if e.quoted {
		value = unquote(value)
	}
	// Servers transcode cards to UTF-8 and leave the parameter as it was, so
	// text that is UTF-8 is believed before the parameter is.
	if (e.quoted || e.charset != nil) && e.latin1() && !utf8.Valid(value) {
		value = fromLatin1(value)
	}
	return value
}

// latin1 reports whether text that is not UTF-8 is to be taken for
// Windows-1252, of which Latin-1 is a part. It is where no character set is
// given, since nothing else was as common in the years of vCard 2.1.
func (e encoding) latin1() bool {
	c := e.charset
	return len(c) == 0 || is(c, "ISO-8859-1") || is(c, "LATIN1") || is(c, "WINDOWS-1252") || is(c, "CP1252") || is(c, "US-ASCII")
}

// appendUnescaped appends value without its escapes: \n and \N, \, and \; and
// \\. Any other is text as it stands, such as the \: in Apple's addresses of
// web pages; go-vcard leaves those, too.
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

// cutComponent cuts the first component off a structured value. This comes
// before anything is unescaped or decoded: an escaped semicolon is part of a
// component, and so is one in quoted-printable.
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
			return dst // a soft line break after which nothing came
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

// unhex returns the value of a hexadecimal digit, or -1. Small letters are not
// legal here, but met.
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

// windows1252 is what Windows puts where Latin-1 has the control characters
// 0x80 to 0x9f, which nobody writes.
var windows1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}

// fromLatin1 returns Windows-1252 text as UTF-8. Every byte is a character in
// it, so that nothing is lost.
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
