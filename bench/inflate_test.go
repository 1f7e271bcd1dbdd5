package main

import (
	"net/http"
	"testing"

	"github.com/klauspost/compress/gzhttp"
)

// BenchmarkInflate lists a book that the server sends compressed. It is decompressed by the
// standard library, and by the Transport in docs/speed.md.
func BenchmarkInflate(b *testing.B) {
	for _, book := range []book{{10_000, uris}, {2_000, photos}} {
		s, err := start(book)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.stop)
		for _, way := range []struct {
			name string
			wrap func(http.RoundTripper) http.RoundTripper
		}{
			{"standard", func(t http.RoundTripper) http.RoundTripper { return t }},
			{"klauspost", func(t http.RoundTripper) http.RoundTripper {
				return gzhttp.Transport(t, gzhttp.TransportAlwaysDecompress(true))
			}},
		} {
			b.Run(book.String()+"/"+way.name, func(b *testing.B) {
				t, err := s.transport(s.Addr, true)
				if err != nil {
					b.Fatal(err)
				}
				inflated := &uncompressed{wrapped: way.wrap(t)}
				list, err := s.lister(b.Context(), ours, inflated)
				if err != nil {
					b.Fatal(err)
				}
				used := processorTime()
				for b.Loop() {
					if n, err := list(b.Context()); err != nil || n != book.Cards {
						b.Fatalf("got %d contacts, %v; want %d", n, err, book.Cards)
					}
				}
				b.ReportMetric(float64((processorTime()-used).Milliseconds())/float64(b.N), "cpu-ms/op")
				if got, want := inflated.seen, way.name == "klauspost"; got != want {
					b.Errorf("the Transport has inflated answers: got %v, want %v", got, want)
				}
			})
		}
	}
}

// uncompressed is a transport that notes whether the wrapped one has decompressed an answer.
type uncompressed struct {
	wrapped http.RoundTripper
	seen    bool
}

func (u *uncompressed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.wrapped.RoundTrip(r)
	if err == nil {
		u.seen = u.seen || resp.Uncompressed
	}
	return resp, err
}
