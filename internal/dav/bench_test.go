package dav_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// appleAnswer returns an answer in the style of iCloud: the namespace declared
// again on nested elements, no prefixes, blank lines, and "&#13;" at the end of
// each line of a card. With photos, a fifth of the cards have one inline.
func appleAnswer(cards int, photos bool) []byte {
	rnd := rand.New(rand.NewChaCha8([32]byte{1}))
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n\n")
	b.WriteString(`<multistatus xmlns="DAV:" xmlns:CS="http://calendarserver.org/ns/">` + "\n\n\n")
	for i := range cards {
		fmt.Fprintf(&b, "<response xmlns=\"DAV:\">\n  <href>/123456789/carddavhome/card/%08X-0000.vcf</href>\n", i)
		fmt.Fprintf(&b, "  <propstat>\n    <prop>\n      <getetag xmlns=\"DAV:\">\"C=%d@U=cc792711-9684-4d3f-a3aa-1db18cf1c8a8\"</getetag>\n", i)
		b.WriteString(`      <address-data xmlns="urn:ietf:params:xml:ns:carddav">`)
		for _, line := range []string{
			"BEGIN:VCARD", "VERSION:3.0", "PRODID:-//Apple Inc.//iCloud Web Address Book 2109B35//EN",
			fmt.Sprintf("N:Müller;Zoë %d;;;", i), fmt.Sprintf("FN:Zoë %d Müller", i),
			`ORG:Bücher\, Töne &amp; Söhne\; GmbH;`,
			fmt.Sprintf("EMAIL;type=INTERNET;type=HOME;type=pref:user%d@example.org", i),
			"item1.TEL:+1 (555) 010-0000", "item1.X-ABLabel:_$!&lt;Other&gt;!$_",
			`NOTE:Line one\; with\, escapes\\ and &lt;tags&gt; &amp; "quotes"\nLine two`,
			"REV:2024-05-01T12:34:56Z", fmt.Sprintf("UID:%08X-0000", i),
		} {
			b.WriteString(line + "&#13;\n")
		}
		if photos && i%5 == 0 {
			photo := make([]byte, 5<<10+rnd.IntN(35<<10))
			for i := range photo {
				photo[i] = byte(rnd.Uint32())
			}
			text := "PHOTO;ENCODING=b;TYPE=JPEG:" + base64.StdEncoding.EncodeToString(photo)
			for len(text) > 74 {
				b.WriteString(text[:74] + "&#13;\n ")
				text = text[74:]
			}
			b.WriteString(text + "&#13;\n")
		}
		b.WriteString("END:VCARD&#13;\n</address-data>\n    </prop>\n    <status>HTTP/1.1 200 OK</status>\n  </propstat>\n</response>\n\n")
	}
	b.WriteString("</multistatus>\n")
	return b.Bytes()
}

var (
	withPhotos    = sync.OnceValue(func() []byte { return appleAnswer(10_000, true) })
	withoutPhotos = sync.OnceValue(func() []byte { return appleAnswer(10_000, false) })
)

// onlyReader hides the other methods of a bytes.Reader, so that every benchmark gets the
// bytes by Read.
type onlyReader struct{ io.Reader }

func benchmarkAnswers(b *testing.B, f func(b *testing.B, r io.Reader)) {
	for _, answer := range []struct {
		name string
		xml  func() []byte
	}{{"photos", withPhotos}, {"plain", withoutPhotos}} {
		b.Run(answer.name, func(b *testing.B) {
			text := answer.xml()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f(b, onlyReader{bytes.NewReader(text)})
			}
		})
	}
}

func BenchmarkDecoder(b *testing.B) {
	d := dav.NewDecoder(nil)
	benchmarkAnswers(b, func(b *testing.B, r io.Reader) {
		d.Reset(r)
		rows := 0
		for {
			row, err := d.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if len(row.Data) > 0 {
				rows++
			}
		}
		if rows != 10_000 {
			b.Fatalf("got %d cards, want 10000", rows)
		}
	})
}

func BenchmarkEncodingXML(b *testing.B) {
	benchmarkAnswers(b, func(b *testing.B, r io.Reader) {
		d := xml.NewDecoder(r)
		for {
			_, err := d.RawToken()
			if err == io.EOF {
				return
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDiscard(b *testing.B) {
	benchmarkAnswers(b, func(b *testing.B, r io.Reader) {
		buf := make([]byte, dav.MaxToken)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil {
			b.Fatal(err)
		}
	})
}
