package vcf

import "bytes"

// This file splits a property's parameters. These are the same three parameters as
// vCard 2.1, Apple in vCard 3.0, and vCard 4.0 write them:
//
//	TEL;HOME;VOICE;PREF:+1 555 0100
//	TEL;type=HOME;type=VOICE;type=pref:+1 555 0100
//	TEL;TYPE="home,voice";PREF=1;VALUE=uri:tel:+1-555-0100
//
// Parameters are slices of the line and are not copied, because a listing does not need
// most of them.

// splitParams splits what follows a name, beginning with ':' or ';', into parameters and
// value. ok is false if there is no value, or if a quotation mark is not closed. Nobody
// knows where the value of such a line begins, and go-vcard drops the line too.
func splitParams(tail []byte) (params, value []byte, ok bool) {
	if tail[0] == ':' {
		return nil, tail[1:], true
	}
	return splitAtColon(tail)
}

// splitAtColon is splitParams for a line with parameters.
func splitAtColon(tail []byte) (params, value []byte, ok bool) {
	// Without quotation marks, the parameters end at the first colon.
	if i := bytes.IndexByte(tail, ':'); i > 0 && bytes.IndexByte(tail[:i], '"') < 0 {
		return tail[1:i], tail[i+1:], true
	}
	for rest := tail[1:]; ; {
		i := delimiter(rest)
		if i < 0 {
			return nil, nil, false
		}
		if rest[i] == ':' {
			n := len(tail) - len(rest) + i
			return tail[1:n], tail[n+1:], true
		}
		rest = rest[i+1:]
	}
}

// delimiter returns the position of the first ';' or ':' outside quotation marks; -1 if
// there is none. A quotation mark opens only at the beginning of a value: after '=' or, in
// a list, after ','. Elsewhere it is an ordinary character.
func delimiter(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ';', ':':
			return i
		case '"':
			if i == 0 || (b[i-1] != '=' && b[i-1] != ',') {
				continue
			}
			n := bytes.IndexByte(b[i+1:], '"')
			if n < 0 {
				return -1
			}
			i += n + 1
		}
	}
	return -1
}

// cutParam cuts the first parameter off. list has one value, or several with commas
// between them.
//
// vCard 2.1 leaves out the name if the value makes it clear, as in TEL;HOME or
// PHOTO;BASE64. go-vcard does not know this form: in TEL;HOME:1 it reads a parameter HOME
// whose value is 1.
func cutParam(params []byte) (name, list, rest []byte) {
	list = params
	if i := delimiter(params); i >= 0 {
		list, rest = params[:i], params[i+1:]
	}
	if name, list, ok := bytes.Cut(list, []byte("=")); ok {
		return name, list, rest
	}
	switch {
	case is(list, "QUOTED-PRINTABLE"), is(list, "BASE64"), is(list, "7BIT"), is(list, "8BIT"):
		return []byte("ENCODING"), list, rest
	case is(list, "URL"), is(list, "INLINE"), is(list, "CONTENT-ID"), is(list, "CID"):
		return []byte("VALUE"), list, rest
	}
	return []byte("TYPE"), list, rest
}

// cutValue cuts the first value off a parameter's list. TYPE="home,work" is two values,
// like TYPE=home,work. vCard 4.0 has both forms.
func cutValue(list []byte) (value, rest []byte) {
	value, rest, _ = bytes.Cut(list, []byte(","))
	return bytes.Trim(value, `"`), rest
}

// quotedPrintable reports whether the property that begins with the physical line head has
// a quoted-printable value. All parameters must be in this line. They are in vCard 2.1,
// which folds only at spaces.
func quotedPrintable(head []byte) bool {
	_, tail := splitName(head)
	if tail < 0 {
		return false
	}
	params, _, ok := splitParams(head[tail:])
	for ok && len(params) > 0 {
		var name, list []byte
		name, list, params = cutParam(params)
		if is(name, "ENCODING") && is(list, "QUOTED-PRINTABLE") {
			return true
		}
	}
	return false
}
