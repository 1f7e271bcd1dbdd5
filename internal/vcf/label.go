package vcf

import (
	"bytes"
	"slices"
	"strconv"
)

// This file finds what people call their addresses and numbers.
//
// There are two places for it. The parameter TYPE has a few words that
// everybody shares. For all others Apple writes a second property, X-ABLabel,
// and puts both into a group that nothing else is in:
//
//	item1.TEL:+1 555 0100
//	item1.X-ABLabel:Boat
//
// Labels that its programs offer, and translate, are marked: _$!<School>!$_.
// Older cards have TYPE as well, but the label is what the owner sees.

// A meta is what a property's parameters say.
type meta struct {
	encoding

	// pref is best at 1, as the number of PREF is in vCard 4.0, and 100 if
	// there is none. Before 4.0, and still with Apple, it is one of the TYPEs,
	// which counts as 1.
	pref int

	// word is the first TYPE that tells a person something, fax whether FAX is
	// one of them.
	word []byte
	fax  bool
}

// read reads the parameters of a property that a listing wants. Many have none.
func (m *meta) read(params []byte) {
	*m = meta{pref: 100}
	if len(params) == 0 {
		return
	}
	var preferred, asked bool
	var number []byte
	for len(params) > 0 {
		var name, list []byte
		name, list, params = cutParam(params)
		switch {
		case is(name, "TYPE"):
			for len(list) > 0 {
				var t []byte
				t, list = cutValue(list)
				t = bytes.TrimSpace(t)
				switch {
				case is(t, "PREF"):
					preferred = true
				case is(t, "FAX"):
					m.fax = true
				case m.word == nil && telling(t):
					m.word = t
				}
			}
		case is(name, "PREF"):
			if !asked {
				asked = true
				number, _ = cutValue(list)
			}
		case is(name, "ENCODING"):
			m.quoted = m.quoted || is(list, "QUOTED-PRINTABLE")
		case is(name, "CHARSET"):
			m.charset, _ = cutValue(list)
		}
	}
	switch {
	case len(number) > 0:
		// What is no number is 0 and so the best. It is to go-vcard, and the
		// two must choose the same name.
		n, _ := strconv.Atoi(string(number))
		m.pref = min(n, 100)
	case preferred:
		m.pref = 1
	}
}

// untold are the TYPEs that do not tell a person which of several addresses
// one is. INTERNET is said of every address and VOICE of every telephone; others
// say what a device can do, not whose or where it is.
var untold = [...]string{"INTERNET", "VOICE", "TEXT", "MSG", "VIDEO", "X400"}

// telling reports whether a TYPE tells a person something. What begins with X-
// is told by one program to itself.
func telling(t []byte) bool {
	if len(t) == 0 || (len(t) >= 2 && is(t[:2], "X-")) {
		return false
	}
	return !slices.ContainsFunc(untold[:], func(w string) bool { return is(t, w) })
}

// typeLabel makes a label of the TYPEs. Apple writes the fax at home as two of them,
// HOME and FAX; a person says it in one breath.
func (m *meta) typeLabel() []byte {
	label := appendLower(nil, m.word)
	if m.fax {
		if m.word != nil {
			label = append(label, ' ')
		}
		label = append(label, "fax"...)
	}
	return label
}

// A label is an X-ABLabel. The group is in aside, and so is the value until an
// entry has it.
type label struct {
	group, value piece
	used         bool
}

// label takes the X-ABLabel of a group in, whose text has been appended to aside.
func (r *Reader) label(group, aside []byte) {
	start := len(r.aside)
	text := bytes.TrimSpace(aside[start:])
	if inner, ok := bytes.CutPrefix(text, []byte("_$!<")); ok {
		if inner, ok = bytes.CutSuffix(inner, []byte(">!$_")); ok {
			text = inner
		}
	}
	// What aside has grown by is kept even if nothing is put there, lest it grows
	// anew for every label of every card.
	r.aside = aside[:start]
	value := piece{word: wordOf(text)}
	if value.word == noWord {
		r.aside = append(aside[:start], text...)
		value = piece{from: start, to: len(r.aside)}
	}
	if !value.empty() {
		r.labels = append(r.labels, label{group: r.note(group), value: value})
	}
}

// note puts a group's name aside. It is lowered, because groups are the same
// in any case.
func (r *Reader) note(group []byte) piece {
	if len(group) == 0 {
		return piece{}
	}
	start := len(r.aside)
	r.aside = appendLower(r.aside, group)
	return piece{from: start, to: len(r.aside)}
}

// applyLabels gives the entries the labels of their groups.
func (r *Reader) applyLabels() {
	var x index
	if len(r.labels) > 16 {
		// Nobody has so many, but somebody may send a hundred thousand, and
		// the time must not be their square.
		x = newIndex(r.labels, string(r.aside))
	}
	for i := range r.entries {
		e := &r.entries[i]
		n := r.find(e.group, x)
		if n < 0 {
			continue
		}
		l := &r.labels[n]
		if !l.used && l.value.word == noWord {
			// Once only: a long label in a group of many would otherwise take
			// memory without measure.
			start := len(r.text)
			r.text = append(r.text, r.aside[l.value.from:l.value.to]...)
			l.value = piece{from: start, to: len(r.text)}
		}
		l.used = true
		e.label = l.value
	}
}

// find returns which label is the group's: the first if there are several, -1
// if there is none.
func (r *Reader) find(group piece, x index) int {
	if group.empty() {
		return -1
	}
	if x.first != nil {
		if i, ok := x.first[group.in(x.aside)]; ok {
			return i
		}
		return -1
	}
	name := r.aside[group.from:group.to]
	return slices.IndexFunc(r.labels, func(l label) bool {
		return bytes.Equal(name, r.aside[l.group.from:l.group.to])
	})
}

// An index finds the label of a group where there are many. The zero index is
// none.
type index struct {
	aside string
	first map[string]int
}

func newIndex(labels []label, aside string) index {
	x := index{aside, make(map[string]int, len(labels))}
	for i, l := range slices.Backward(labels) {
		x.first[l.group.in(aside)] = i
	}
	return x
}

// words are the labels that nearly every card has. They are in memory already,
// and take no room in text.
var words = [...]string{
	"home", "work", "cell", "iphone", "main", "other", "pager", "fax", "home fax", "work fax",
	"Home", "Work", "Mobile", "Other", "School", "HomePage", "Anniversary", "Spouse",
}

// A word is one of words, by its place there from 1 on. It stands for the string
// because what a Reader puts together is then free of pointers, which are dear to
// write while the garbage collector is at work.
type word uint8

const noWord word = 0

// wordsOfLength has the words by their length, which tells most of them apart.
var wordsOfLength = func() (t [12][]word) {
	for i, w := range words {
		t[len(w)] = append(t[len(w)], word(i+1))
	}
	return t
}()

// wordOf returns which of words a label is, and noWord if it is none.
func wordOf(label []byte) word {
	if len(label) < len(wordsOfLength) {
		for _, w := range wordsOfLength[len(label)] {
			if string(label) == words[w-1] {
				return w
			}
		}
	}
	return noWord
}

// wellKnown returns label as one of words, and "" if it is none.
func wellKnown(label []byte) string {
	if w := wordOf(label); w != noWord {
		return words[w-1]
	}
	return ""
}

// appendLower appends b in lower case.
func appendLower(dst, b []byte) []byte {
	for i, c := range b {
		if c >= 0x80 {
			return append(dst, bytes.ToLower(b[i:])...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
