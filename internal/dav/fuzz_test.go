package dav_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"testing/iotest"

	"github.com/go-icloud/icloud/internal/dav"
)

// endless matches references that are longer than the Decoder accepts.
var endless = regexp.MustCompile(`&[^;]{60}`)

// FuzzDecoder decodes any input. The Decoder must not panic. It must not keep more than a
// small multiple of the input in memory. It must return the same rows, in whichever pieces
// the input arrives. If encoding/xml accepts the input, it must return the rows of the
// reference.
func FuzzDecoder(f *testing.F) {
	for _, doc := range documents() {
		f.Add([]byte(doc))
	}
	for _, name := range files(f, "testdata/answers/*/odd/*.xml", 100) {
		f.Add(readFile(f, name))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d := dav.NewDecoder(bytes.NewReader(doc))
		rows, token, err := decodeWith(d)

		if held := d.Held(); held > dav.MaxToken+64<<10+100*len(doc) {
			t.Errorf("holds %d bytes after an input of %d", held, len(doc))
		}

		rows1, token1, err1 := decode(iotest.OneByteReader(bytes.NewReader(doc)))
		compare(t, "byte by byte", rows1, rows)
		rows2, token2, err2 := decode(chunks{bytes.NewReader(doc), 7})
		compare(t, "in pieces", rows2, rows)
		if token1 != token || token2 != token {
			t.Errorf("got sync tokens %q, %q and %q", token, token1, token2)
		}
		if fmt.Sprint(err1) != fmt.Sprint(err) || fmt.Sprint(err2) != fmt.Sprint(err) {
			t.Errorf("got errors %v, %v and %v", err, err1, err2)
		}

		want, wantToken, wantErr := reference(doc)
		var limit *dav.LimitError
		switch {
		case errors.As(err, &limit), errors.Is(err, dav.ErrEncoding), undeclared(err), endless.Match(doc):
			// encoding/xml has no bounds, does not read an XML declaration as
			// closely, and takes any prefix.
		case errors.Is(wantErr, dav.ErrNotMultistatus):
			if !errors.Is(err, dav.ErrNotMultistatus) {
				t.Errorf("got error %v, want %v", err, wantErr)
			}
		case wantErr == nil:
			if err != nil {
				t.Errorf("got error %v where encoding/xml has none", err)
			}
			compare(t, "encoding/xml", rows, want)
			if token != wantToken {
				t.Errorf("got sync token %q, want %q", token, wantToken)
			}
		}
	})
}

// FuzzPrecondition looks for a body in which Precondition finds a condition and encoding/xml
// does not, as far as encoding/xml can read it.
func FuzzPrecondition(f *testing.F) {
	for _, name := range files(f, "testdata/answers/*/*.error", 8) {
		f.Add(readFile(f, name))
	}
	f.Add([]byte(`<e:error xmlns:e="DAV:"><x/><e:valid-sync-token/>&amp;</e:error>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := dav.Precondition(bytes.NewReader(doc))
		root, err := parseTree(doc)
		if err != nil || len(doc) > dav.MaxJunk {
			return
		}
		want := dav.NoCondition
		if root.name == "DAV: error" {
			for _, n := range root.nodes {
				switch {
				case want != dav.NoCondition:
				case n.name == "DAV: valid-sync-token":
					want = dav.ValidSyncToken
				case n.name == "DAV: supported-report":
					want = dav.SupportedReport
				}
			}
		}
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	})
}
