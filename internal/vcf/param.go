package vcf

import "bytes"

// This file takes a property's parameters apart. The same three of them, as
// vCard 2.1, Apple in 3.0, and 4.0 write them:
//
//	TEL;HOME;VOICE;PREF:+1 555 0100
//	TEL;type=HOME;type=VOICE;type=pref:+1 555 0100
//	TEL;TYPE="home,voice";PREF=1;VALUE=uri:tel:+1-555-0100
//
// Parameters are cut where they stand and are never copied: of most a listing
// wants nothing.

// splitParams splits what follows a name, beginning with ':' or ';', into
// parameters and value. It is not ok if there is no value, or if a quotation
// mark is never closed: nobody can tell where such a line's value begins, and
// go-vcard drops the line as well.
func splitParams(tail []byte) (params, value []byte, ok bool) {
	if tail[0] == ':' {
		return nil, tail[1:], true
	}
	return splitAtColon(tail)
}

// splitAtColon is splitParams where there are parameters.
func splitAtColon(tail []byte) (params, value []byte, ok bool) {
	// Only quotation marks can keep the first colon from being the end.
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

// delimiter finds the first ';' or ':' outside quotation marks; -1 if there is
// none. A quotation mark opens at the beginning of a value only, after '=' or,
// in a list, after ','. Elsewhere it is a character like others.
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

// cutParam cuts the first parameter off. list holds one value, or several with
// commas between them.
//
// vCard 2.1 leaves out the name where the value tells it, as in TEL;HOME or
// PHOTO;BASE64. go-vcard does not know that, and takes the HOME of TEL;HOME:1
// for a parameter whose value is the number.
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

// cutValue cuts the first value off a parameter's list. Quotation marks do not
// keep a list together: TYPE="home,work" is two values, as is TYPE=home,work.
// vCard 4.0 has both.
func cutValue(list []byte) (value, rest []byte) {
	value, rest, _ = bytes.Cut(list, []byte(","))
	return bytes.Trim(value, `"`), rest
}

// quotedPrintable reports whether the property that begins with the physical
// line head has a quoted-printable value. The parameters must be complete in
// it, as they are in vCard 2.1, which folds at spaces only.
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
