// Address books for the comparison: the same cards in every run, in the form in which
// Apple's programs write them.

package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A book is an address book to be made.
type book struct {
	Cards int
	Kind  kind
}

// A kind says what a fifth of the cards have in addition.
type kind string

const (
	photos kind = "photos" // a photo of 5 to 40 KB within the card
	uris   kind = "URIs"   // the address of a photo, as iCloud sends it
	bare   kind = "bare"   // nothing
)

func (b book) String() string { return fmt.Sprintf("%s cards, %s", thousands(b.Cards), b.Kind) }

// each calls put with every card of the book.
func (b book) each(put func(id, card string)) {
	album := newAlbum()
	for i := range b.Cards {
		tail := ""
		if i%5 == 0 {
			tail = album.property(b.Kind, i/5)
		}
		put(cardID(i), card(i, tail))
	}
}

func cardID(i int) string { return uid(i) + ".vcf" }

func uid(i int) string { return fmt.Sprintf("%08X-7E1C-4D1B-9A53-00C0FFEE0000", i) }

// card returns a card with what most of Apple's cards have: groups of lines, one of Apple's
// labels, escapes, and letters outside of ASCII. tail has further lines.
func card(i int, tail string) string {
	return strings.ReplaceAll(fmt.Sprintf(`BEGIN:VCARD
VERSION:3.0
PRODID:-//Apple Inc.//iOS 17.5//EN
N:Müller;Zoë %[1]d;;;
FN:Zoë %[1]d Müller
ORG:Bücher & Töne;Versand
EMAIL;type=INTERNET;type=HOME;type=pref:zoe%[1]d@example.org
TEL;type=CELL;type=VOICE:+49 555 %07[1]d
item1.TEL:+1 (555) 010-0000
item1.X-ABLabel:_$!<Other>!$_
ADR;type=HOME:;;Lindenstraße %[1]d;Köln;;50667;Deutschland
NOTE:One\, two\nthree
REV:2024-05-01T12:34:56Z
UID:%[2]s
%[3]sEND:VCARD
`, i, uid(i), tail), "\n", "\r\n")
}

// An album has the photos that cards share. Making one for each card would take longer than
// listing them. It makes no difference: gzip looks back for only 32 KB, which is less than
// two photos.
type album []string

func newAlbum() album {
	random := rand.New(rand.NewPCG(6, 1))
	a := make(album, 64)
	for i := range a {
		// A JPEG cannot be compressed further, and neither can noise.
		data := make([]byte, 5<<10+random.IntN(35<<10))
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		a[i] = fold("PHOTO;ENCODING=b;TYPE=JPEG:" + base64.StdEncoding.EncodeToString(data))
	}
	return a
}

// property returns the photo property of a card of this kind.
func (a album) property(k kind, i int) string {
	switch k {
	case photos:
		return a[i%len(a)]
	case uris:
		return fold(fmt.Sprintf("PHOTO;VALUE=uri:https://gateway.icloud.com/contacts/8034500000/ck/card/%s/%s", uid(i), strings.Repeat("0f", 32)))
	}
	return ""
}

// fold cuts a property into lines of 75 bytes at most (RFC 2426, section 2.6).
func fold(line string) string {
	var folded strings.Builder
	for width := 75; len(line) > width; width = 74 {
		folded.WriteString(line[:width])
		folded.WriteString("\n ")
		line = line[width:]
	}
	folded.WriteString(line)
	folded.WriteByte('\n')
	return folded.String()
}
