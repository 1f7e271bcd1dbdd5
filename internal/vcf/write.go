package vcf

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file writes content lines. Two readers have to understand them:
// go-vcard, which must find again what it was given, and the programs of
// people, which follow the standard more closely. Where no line serves both,
// there is an error.

// render returns a field as it is written into the card.
func (e *editor) render(name string, f Field) ([]byte, error) {
	line, err := contentLine(name, f)
	if err != nil {
		// The name has been checked, and says nothing about the card that the
		// caller did not know.
		return nil, fmt.Errorf("%s: %w", strings.ToUpper(name), err)
	}
	return appendFolded(make([]byte, 0, len(line)+len(line)/24+4), line, e.eol), nil
}

// contentLine returns a content line that is not folded yet and has no end.
// Everything in it is checked, because a line break that gets through would let
// whoever wrote a value write properties of their own.
func contentLine(name string, f Field) ([]byte, error) {
	var dst []byte
	if f.Group != "" {
		if !isToken(f.Group) {
			return nil, errors.New("not the name of a group")
		}
		dst = append(dst, f.Group...)
		dst = append(dst, '.')
	}
	dst = append(dst, name...)
	dst, err := appendParams(dst, f.Params)
	if err != nil {
		return nil, err
	}
	if err := writable(f.Value); err != nil {
		return nil, err
	}
	dst = append(dst, ':')
	return appendEscaped(dst, f.Value, escapesComma(strings.ToUpper(name), f.Params)), nil
}

// appendParams appends parameters in the order of their names, since a map has
// none, and the same edit is to give the same bytes each time.
func appendParams(dst []byte, params map[string][]string) ([]byte, error) {
	last := ""
	for _, key := range slices.SortedFunc(maps.Keys(params), func(a, b string) int {
		return cmp.Compare(strings.ToUpper(a), strings.ToUpper(b))
	}) {
		values, name := params[key], strings.ToUpper(key)
		switch {
		case len(values) == 0:
			continue
		case !isToken(key):
			return nil, errors.New("not the name of a parameter")
		case name == last:
			return nil, fmt.Errorf("parameter %s is given twice", name)
		}
		last = name
		for _, v := range values {
			if err := writableParam(name, v); err != nil {
				return nil, fmt.Errorf("parameter %s: %w", name, err)
			}
		}
		// Of TYPE each value stands alone, as Apple writes it. Others may not
		// be repeated, and have a list.
		lists := [][]string{values}
		if name == "TYPE" {
			lists = slices.Collect(slices.Chunk(values, 1))
		}
		for _, list := range lists {
			text := strings.Join(list, ",")
			if strings.ContainsAny(text, ";:") {
				// Not each value by itself: go-vcard gives a line up that has
				// "a","b" in it.
				text = `"` + text + `"`
			}
			dst = append(dst, ';')
			dst = append(dst, name...)
			dst = append(dst, '=')
			dst = append(dst, text...)
		}
	}
	return dst, nil
}

// appendEscaped appends a value so that go-vcard reads it back as it is given,
// and others as it is meant.
//
// go-vcard takes away the escapes of newline, comma and backslash, and leaves
// the rest in the value: there a semicolon parts components, \; is one inside
// a component, and Apple's http\:// is as Apple writes it. So before a
// semicolon or a colon a backslash is half an escape and stays alone, because
// it would double with every edit. Any other is a character, as in C:\new, and
// doubled so that nobody reads an escape in it.
func appendEscaped(dst []byte, value string, comma bool) []byte {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == ',' && comma:
			dst = append(dst, '\\', ',')
		case c == '\\' && (i+1 == len(value) || (value[i+1] != ';' && value[i+1] != ':')):
			dst = append(dst, '\\', '\\')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// isList are the properties in whose value a comma parts one text from the
// next. An escape would make one category of two.
var isList = map[string]bool{"CATEGORIES": true, "NICKNAME": true}

// notText are the properties whose values are addresses or bytes. They know no
// escapes: with one the address would be another, to all who do not strip it
// by mistake.
var notText = map[string]bool{
	"URL": true, "SOURCE": true, "IMPP": true, "FBURL": true, "CALURI": true, "CALADRURI": true, "MEMBER": true,
	"RELATED": true, "GEO": true, "PHOTO": true, "LOGO": true, "SOUND": true, "KEY": true,
	"X-SOCIALPROFILE": true, "X-ADDRESSBOOKSERVER-MEMBER": true,
}

// escapesComma reports whether a comma in a property's value is part of its
// text. go-vcard reads it the same with and without a backslash, so this is
// for the others. The parameter VALUE stands above the property's name.
func escapesComma(name string, params map[string][]string) bool {
	if isList[name] {
		return false
	}
	for key, values := range params {
		if strings.EqualFold(key, "VALUE") && len(values) > 0 {
			return strings.EqualFold(values[0], "text")
		}
	}
	return !notText[name]
}

// appendFolded appends line in physical lines of at most 75 octets, as RFC
// 6350 has it in section 3.2. None ends inside a character: some programs
// decode each line by itself.
func appendFolded(dst, line []byte, eol string) []byte {
	for room := 75; len(line) > room; room = 74 {
		n := room
		for !utf8.RuneStart(line[n]) {
			n--
		}
		dst = append(dst, line[:n]...)
		dst = append(dst, eol...)
		dst = append(dst, ' ') // counts among the next line's octets
		line = line[n:]
	}
	dst = append(dst, line...)
	return append(dst, eol...)
}

// writable reports why a value cannot be written. vCard has no way to write
// control characters and text that is not UTF-8. U+FFFE and U+FFFF it has, but
// XML has not: on most servers such a card makes the listing of the whole book
// illegible, for everybody.
func writable(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("the value is not UTF-8")
	}
	for _, r := range value {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || r == 0xfffe || r == 0xffff {
			return errors.New("the value holds a control character")
		}
	}
	return nil
}

// writableParam is like writable for one value of a parameter.
func writableParam(name, value string) error {
	if strings.ContainsAny(value, "\"\\,\n\t") {
		// RFC 6868 could write some of these as ^' and ^n, but go-vcard would
		// read just that.
		return errors.New("the value holds a quotation mark, comma, backslash, tab or line break")
	}
	if name == "ENCODING" && strings.EqualFold(value, "QUOTED-PRINTABLE") {
		// A value in it that ends in '=' would swallow the line that follows.
		return errors.New("only vCard 2.1 has this encoding: leave it out and give the text itself")
	}
	return writable(value)
}

// isToken reports whether s can be the name of a property, a group or a
// parameter: letters, digits and hyphens.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

// appendUpper appends b with its ASCII letters in upper case.
func appendUpper(dst, b []byte) []byte {
	for _, c := range b {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
