package dav_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// TestKnownTags reads tags that look alike and mean something else, because of what
// is declared around them, one after the other and with one Decoder. A tag that was
// recognized must mean here what it means here.
func TestKnownTags(t *testing.T) {
	t.Parallel()
	const row = `<response><href>/a</href></response>`
	d := dav.NewDecoder(nil)
	for _, tt := range []struct {
		name, doc string
		rows      int
	}{
		{"the default namespace", `<multistatus xmlns="DAV:">` + row + `<x xmlns="other">` + row + `</x>` + row + `</multistatus>`, 2},
		{"undeclared", `<multistatus xmlns="DAV:">` + row + `<x xmlns="">` + row + `</x></multistatus>`, 1},
		{"a prefix", `<a:multistatus xmlns:a="DAV:"><a:response><a:href>/a</a:href></a:response>` +
			`<b xmlns:a="other"><a:response><a:href>/a</a:href></a:response></b>` +
			`<a:response xmlns:a="other"><a:href>/a</a:href></a:response></a:multistatus>`, 1},
		{"the prefix of another document", `<D:multistatus xmlns:D="DAV:" xmlns:a="other"><a:response><a:href>/a</a:href></a:response>` +
			`<D:response><D:href>/a</D:href></D:response></D:multistatus>`, 1},
		{"empty and not", `<multistatus xmlns="DAV:"><response/><response></response><response/>` + row + `</multistatus>`, 4},
		{"more than are remembered", `<multistatus xmlns="DAV:">` + strings.Repeat(row+alphabet('a', 'z'), 20) + `</multistatus>`, 20},
		{"longer than are remembered", `<multistatus xmlns="DAV:">` + strings.Repeat(`<response x="`+strings.Repeat("y", 300)+`"><href>/a</href></response>`, 3) + `</multistatus>`, 3},
	} {
		// Twice: the second time all of it is known.
		for _, pieces := range []int{1 << 20, 5, 1} {
			d.Reset(chunks{bytes.NewReader([]byte(tt.doc)), pieces})
			rows, _, err := decodeWith(d)
			if err != nil || len(rows) != tt.rows {
				t.Errorf("%s: got %d rows, %v; want %d", tt.name, len(rows), err, tt.rows)
			}
			if want, _, err := reference([]byte(tt.doc)); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			} else {
				compare(t, tt.name, rows, want)
			}
		}
	}
}

// alphabet returns an empty element of each letter.
func alphabet(from, to rune) string {
	var b strings.Builder
	for c := from; c <= to; c++ {
		fmt.Fprintf(&b, "<%c/>", c)
	}
	return b.String()
}
