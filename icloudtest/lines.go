// The lines of a vCard, which the Server reads for filters and for PhotosAsURLs.

package icloudtest

import "strings"

// A line is a content line of a vCard (RFC 2426, section 2.6), unfolded.
type line struct {
	group, name string // as written, because iCloud's filters are case-sensitive
	params      []string
	value       string // with its escapes
	raw         string // the line as it is in the card, with its folds and line end
}

// lines returns the lines of a card, which need not be well-formed. The raw texts together
// are the card.
func lines(vcard string) []line {
	var list []line
	for vcard != "" {
		// A line that begins with white space continues the line before it.
		end := 0
		for {
			i := strings.IndexByte(vcard[end:], '\n')
			if i < 0 {
				end = len(vcard)
				break
			}
			end += i + 1
			if end == len(vcard) || vcard[end] != ' ' && vcard[end] != '\t' {
				break
			}
		}
		list = append(list, newLine(vcard[:end]))
		vcard = vcard[end:]
	}
	return list
}

var unfold = strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "")

func newLine(raw string) line {
	l := line{raw: raw}
	text := strings.TrimRight(unfold.Replace(raw), "\r\n")
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case (c == ';' || c == ':') && !quoted:
			if l.name == "" {
				l.name = text[from:i]
			} else {
				l.params = append(l.params, text[from:i])
			}
			if from = i + 1; c == ':' {
				l.value = text[from:]
				i = len(text)
			}
		}
	}
	if group, name, ok := strings.Cut(l.name, "."); ok {
		l.group, l.name = group, name
	}
	return l
}

var unescape = strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`)

// text returns the value without escapes. In a structured value, semicolons between parts
// and within parts then look the same.
func (l line) text() string { return unescape.Replace(l.value) }
