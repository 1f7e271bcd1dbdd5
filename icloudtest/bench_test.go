package icloudtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// bench measures one request, including the client.
func (s *session) bench(b *testing.B, method, url, body string) {
	b.Helper()
	for b.Loop() {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
		req.Header.Set("Accept-Encoding", "identity")
		resp, err := s.via.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusMultiStatus {
			b.Fatal(resp.Status, err)
		}
		b.SetBytes(n)
		resp.Body.Close()
	}
}

// BenchmarkRequest measures a small request, of which simulations make a million.
func BenchmarkRequest(b *testing.B) {
	start(b).bench(b, "PROPFIND", canonical+"/", askPrincipal)
}

// BenchmarkListing measures a listing of 10,000 cards with a photo in each.
func BenchmarkListing(b *testing.B) {
	s := start(b)
	photo := "PHOTO;ENCODING=b:" + strings.Repeat("abcd", 1250)
	for i := range 10_000 {
		s.srv.Put(fmt.Sprintf("%d.vcf", i), "BEGIN:VCARD\r\nFN:x\r\n"+photo+"\r\nEND:VCARD\r\n")
	}
	s.bench(b, "REPORT", s.book(), askQuery)
}
