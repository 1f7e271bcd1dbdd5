package vcf

import (
	"bytes"
	"slices"
	"strconv"
)

// This file finds the labels of addresses and numbers.
//
// A label can be in two places. The parameter TYPE has a few words that all programs
// know. For all others Apple writes a second property, X-ABLabel, and puts both into a
// group that has nothing else:
//
//	item1.TEL:+1 555 0100
//	item1.X-ABLabel:Boat
//
// Labels that Apple's programs offer and translate are marked: _$!<School>!$_. Older cards
// have TYPE too, but the owner sees the X-ABLabel.

// A meta is what a property's parameters say.
type meta struct {
	encoding

	// pref is the PREF of vCard 4.0: 1 is best, and 100 stands for none. Before 4.0,
	// and in Apple's cards, it is a TYPE, which counts as 1.
	pref int

	// word is the first TYPE that means something to a person. fax says that one of
	// them is FAX.
	word []byte
	fax  bool
}

// read reads the parameters of a property that a listing needs. Many have none.
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
		// What is not a number counts as 0, which is the best, because go-vcard
		// reads it so and both must choose the same name.
		n, _ := strconv.Atoi(string(number))
		m.pref = min(n, 100)
	case preferred:
		m.pref = 1
	}
}

// untold are the TYPEs that do not help a person to distinguish addresses. Every address
// may have INTERNET, and every telephone VOICE. The others say what a device can do, and
// not whose it is or where.
var untold = [...]string{"INTERNET", "VOICE", "TEXT", "MSG", "VIDEO", "X400"}

// telling reports whether a TYPE means something to a person. One that begins with X- is
// only for the program that has written it.
func telling(t []byte) bool {
	if len(t) == 0 || (len(t) >= 2 && is(t[:2], "X-")) {
		return false
	}
	return !slices.ContainsFunc(untold[:], func(w string) bool { return is(t, w) })
}

// typeLabel makes a label of the TYPEs. Apple writes the fax at home as two TYPEs, HOME and
// FAX, and the label is "home fax".
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

// A label is an X-ABLabel. The group is in aside. The value is there too until an entry
// uses it.
type label struct {
	group, value piece
	used         bool
}

// label reads the X-ABLabel of a group. Its text is at the end of aside.
func (r *Reader) label(group, aside []byte) {
	start := len(r.aside)
	text := bytes.TrimSpace(aside[start:])
	if inner, ok := bytes.CutPrefix(text, []byte("_$!<")); ok {
		if inner, ok = bytes.CutSuffix(inner, []byte(">!$_")); ok {
			text = inner
		}
	}
	// The larger aside is kept even if nothing is written to it, so that it does not
	// grow again for every label.
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

// note writes a group's name to aside, in lower case, because the case of a group does
// not matter.
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
		// No real card has so many, but a server may send a hundred thousand,
		// and the time must not be quadratic.
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
			// Only once: a long label in a group with many entries would
			// otherwise take unlimited memory.
			start := len(r.text)
			r.text = append(r.text, r.aside[l.value.from:l.value.to]...)
			l.value = piece{from: start, to: len(r.text)}
		}
		l.used = true
		e.label = l.value
	}
}

// find returns the index of the group's label: of the first if there are several, or -1 if
// there is none.
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

// An index finds the label of a group if there are many. The zero index means that none
// was made.
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

// words are the labels that nearly every card has. They need no memory in text.
var words = [...]string{
	"home", "work", "cell", "iphone", "main", "other", "pager", "fax", "home fax", "work fax",
	"Home", "Work", "Mobile", "Other", "School", "HomePage", "Anniversary", "Spouse",
}

// A word is the position of one of words, counted from 1. With it a piece needs no
// pointer. Writing pointers is slow while the garbage collector is running.
type word uint8

const noWord word = 0

// wordsOfLength has the words by their length. Few have the same length.
var wordsOfLength = func() (t [12][]word) {
	for i, w := range words {
		t[len(w)] = append(t[len(w)], word(i+1))
	}
	return t
}()

// wordOf returns the word for a label, or noWord if the label is not one of words.
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

// wellKnown returns the label from words, or "" if it is not one of them.
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
