package vcf

import (
	"bytes"
	"strconv"
)

// A tags is what the parameters of a property say, as far as Details needs it. (A listing
// needs less, which is in a meta.) The texts are as they are written, and nil if the
// property does not have them.
type tags struct {
	encoding
	pref int // as in meta

	// label is the first TYPE that means something to a person. For an
	// X-SOCIALPROFILE, place is the TYPE that is a place, and profile the one that
	// is a service. irmc says that a SOUND is the pronunciation of a name.
	label, place, profile []byte
	irmc                  bool

	// These are of an account.
	service, user, display, userID []byte

	country  []byte // of an ADR (RFC 8605)
	calendar []byte // of a date
	omit     []byte // X-APPLE-OMIT-YEAR
	phonetic bool   // of an N (RFC 9554)
}

// read reads the parameters of a property. Many have none.
func (t *tags) read(params []byte) {
	*t = tags{pref: 100}
	var preferred, asked bool
	var number []byte
	for len(params) > 0 {
		var name, list []byte
		name, list, params = cutParam(params)
		switch {
		case is(name, "TYPE"):
			for len(list) > 0 {
				var word []byte
				word, list = cutValue(list)
				if word = bytes.TrimSpace(word); is(word, "PREF") {
					preferred = true
				} else {
					t.readType(word)
				}
			}
		case is(name, "PREF"):
			if !asked {
				asked = true
				number, _ = cutValue(list)
			}
		case is(name, "ENCODING"):
			t.quoted = t.quoted || is(list, "QUOTED-PRINTABLE")
		case is(name, "CHARSET"):
			t.charset, _ = cutValue(list)
		case is(name, "X-SERVICE-TYPE"), is(name, "SERVICE-TYPE") && t.service == nil: // the latter is of RFC 9554
			t.service = unquoted(list)
		case is(name, "X-USER"), is(name, "USERNAME") && t.user == nil: // RFC 9554
			t.user = unquoted(list)
		case is(name, "X-DISPLAYNAME"):
			t.display = unquoted(list)
		case is(name, "X-USERID"):
			t.userID = unquoted(list)
		case is(name, "X-APPLE-OMIT-YEAR"):
			t.omit = unquoted(list)
		case is(name, "CALSCALE"):
			t.calendar = unquoted(list)
		case is(name, "CC"):
			t.country = unquoted(list)
		case is(name, "PHONETIC"):
			t.phonetic = true
		}
	}
	switch {
	case len(number) > 0:
		n, _ := strconv.Atoi(string(number))
		t.pref = min(n, 100)
	case preferred:
		t.pref = 1
	}
}

// readType reads one TYPE.
func (t *tags) readType(word []byte) {
	switch {
	case len(word) == 0:
		return
	case is(word, "HOME"), is(word, "WORK"), is(word, "OTHER"):
		if t.place == nil {
			t.place = word
		}
	case is(word, "X-IRMC-N"):
		t.irmc = true
	case t.profile == nil:
		t.profile = word
	}
	if t.label == nil && !isPostal(word) && !is(word, "FAX") && telling(word) {
		t.label = word
	}
}

// isPostal reports whether the TYPE of an ADR says what can be delivered there.
// vCard 3.0 has four of these on each by default (RFC 2426, section 3.2.1).
func isPostal(word []byte) bool {
	return is(word, "DOM") || is(word, "INTL") || is(word, "POSTAL") || is(word, "PARCEL")
}

// unquoted returns a parameter's value with its commas, and without quotation marks around
// it.
func unquoted(list []byte) []byte {
	list = bytes.TrimSpace(list)
	if len(list) >= 2 && list[0] == '"' && bytes.IndexByte(list[1:], '"') == len(list)-2 {
		list = list[1 : len(list)-1]
	}
	return list
}
