package vcf_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/go-icloud/icloud/internal/vcf"
)

// apple is a card as Apple's programs write them.
var apple = card(
	"PRODID:-//Apple Inc.//macOS 14.5//EN", "N:García Márquez;José;;;", "FN:José García Márquez",
	`ORG:Bücher\, Töne & Söhne\; GmbH;Dept 3`,
	"EMAIL;type=INTERNET;type=HOME;type=pref:jose@example.org", "EMAIL;type=INTERNET;type=WORK:jose@work.example.com",
	"TEL;type=CELL;type=VOICE;type=pref:+49 170 1457096", "item1.TEL:+1 (555) 010-0184", "item1.X-ABLabel:_$!<School>!$_",
	`item2.ADR;type=HOME;type=pref:;;Straße 184\nHinterhaus;Köln;NRW;50184;Deu`, " tschland", "item2.X-ABADR:de",
	"item3.URL;type=pref:http://example.org/~jose?a=1&b=<2>", "item3.X-ABLabel:_$!<HomePage>!$_",
	`NOTE:Line one\; with\, escapes\\ and <tags> & "quotes"\nLine two – naïve`, "  café",
	"REV:2024-05-05T12:34:56Z", "UID:1D81A698-506A-5472-9233-23C65E1A8A5A")

// applePhoto is the same card with a photo of 40 KB.
var applePhoto = withPhoto(40 << 10)

func withPhoto(size int) []byte {
	text := "PHOTO;ENCODING=b;TYPE=JPEG:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\xff\xd8photo"), size/7+1)[:size])
	var b strings.Builder
	for len(text) > 74 {
		b.WriteString(text[:74] + "\r\n ")
		text = text[74:]
	}
	b.WriteString(text + "\r\nREV:")
	return bytes.Replace(apple, []byte("REV:"), []byte(b.String()), 1)
}

func goVCard(b *testing.B, data []byte) {
	if _, err := vcard.NewDecoder(bytes.NewReader(data)).Decode(); err != nil {
		b.Fatal(err)
	}
}

func benchmark(b *testing.B, f func(data []byte)) {
	for _, bb := range []struct {
		name string
		data []byte
	}{{"plain", apple}, {"full", full}, {"photo40K", applePhoto}, {"photo224K", withPhoto(224 << 10)}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.data)))
			for b.Loop() {
				f(bb.data)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	var r vcf.Reader
	benchmark(b, func(data []byte) { r.Read(data, nil) })
}

func BenchmarkUnfold(b *testing.B) { benchmark(b, func(data []byte) { vcf.Unfold(data) }) }

func BenchmarkFind(b *testing.B) { benchmark(b, func(data []byte) { vcf.Find(data, "PHOTO") }) }

func BenchmarkEdit(b *testing.B) {
	props := []vcf.Property{{Name: "NOTE", Fields: []vcf.Field{{Value: "short"}}}}
	benchmark(b, func(data []byte) { vcf.Edit(data, props) })
}

func BenchmarkGoVCard(b *testing.B) { benchmark(b, func(data []byte) { goVCard(b, data) }) }

func BenchmarkGoVCardUnfolded(b *testing.B) {
	benchmark(b, func(data []byte) { goVCard(b, vcf.Unfold(data)) })
}

func BenchmarkDetails(b *testing.B) {
	var r vcf.DetailsReader
	benchmark(b, func(data []byte) { r.Read(data) })
}
