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

// This file writes content lines. Two kinds of readers must understand them: go-vcard,
// which must read the same field again, and the programs of people, which follow the
// standard more closely. If no line is right for both, there is an error.

// render returns the folded content line of a field.
func (e *editor) render(name string, f Field) ([]byte, error) {
	line, err := contentLine(name, f)
	if err != nil {
		// The name was checked, and is not from the card but from the caller.
		return nil, fmt.Errorf("%s: %w", strings.ToUpper(name), err)
	}
	return appendFolded(make([]byte, 0, len(line)+len(line)/24+4), line, e.eol), nil
}

// contentLine returns a content line that is not folded yet and has no line end. Everything
// in it is checked: with a line break in a value, its author could add properties to the
// card.
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

// appendParams appends parameters in the order of their names, because a map has no order
// and the same edit must always write the same bytes.
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
		// Each value of TYPE is written as a parameter of its own, as Apple does.
		// Other parameters must not be repeated, so their values are a list.
		lists := [][]string{values}
		if name == "TYPE" {
			lists = slices.Collect(slices.Chunk(values, 1))
		}
		for _, list := range lists {
			text := strings.Join(list, ",")
			if strings.ContainsAny(text, ";:") {
				// All values in one pair of quotation marks, because go-vcard
				// cannot read a line with "a","b".
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

// appendEscaped appends a value so that go-vcard reads the same value again, and other
// programs read what is meant.
//
// go-vcard removes the escapes of newline, comma and backslash. Everything else stays in
// the value: a semicolon separates components, \; is a semicolon in a component, and
// Apple's http\:// has its backslash. So a backslash before a semicolon or a colon is part
// of an escape and is not doubled, because it would double with every edit. Any other
// backslash is a character, as in C:\new, and is doubled, so that no program reads an
// escape there.
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

// isList are the properties in whose value a comma separates two texts. An escape would
// make one category of two.
var isList = map[string]bool{"CATEGORIES": true, "NICKNAME": true}

// notText are the properties whose values are URIs or bytes. These have no escapes: with
// one, a program that follows the standard would read another URI.
var notText = map[string]bool{
	"URL": true, "SOURCE": true, "IMPP": true, "FBURL": true, "CALURI": true, "CALADRURI": true, "MEMBER": true,
	"RELATED": true, "GEO": true, "PHOTO": true, "LOGO": true, "SOUND": true, "KEY": true,
	"X-SOCIALPROFILE": true, "X-ADDRESSBOOKSERVER-MEMBER": true,
}

// escapesComma reports whether a comma in a property's value is part of its text. go-vcard
// reads it in the same way with and without a backslash, so this is for other programs.
// The parameter VALUE counts more than the property's name.
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

// appendFolded appends line in physical lines of at most 75 octets (RFC 6350, section 3.2).
// None ends inside a character, because some programs decode each line separately.
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

// writable returns an error that says why a value cannot be written; nil if it can. vCard
// cannot express control characters and text that is not UTF-8. It can express U+FFFE and
// U+FFFF, but XML cannot: on most servers nobody could then read a listing of the whole
// book.
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
		// RFC 6868 writes some of these as ^' and ^n, but go-vcard does not
		// decode that.
		return errors.New("the value holds a quotation mark, comma, backslash, tab or line break")
	}
	if name == "ENCODING" && strings.EqualFold(value, "QUOTED-PRINTABLE") {
		// If the value ended in '=', the next line would become part of it.
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
