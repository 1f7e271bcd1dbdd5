package icloudtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// bench is what one request costs a test, client's side included.
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

// Simulations make a million of these.
func BenchmarkRequest(b *testing.B) {
	start(b).bench(b, "PROPFIND", canonical+"/", askPrincipal)
}

// What a test of 10,000 cards waits for, with a photo in each of them.
func BenchmarkListing(b *testing.B) {
	s := start(b)
	photo := "PHOTO;ENCODING=b:" + strings.Repeat("abcd", 1250)
	for i := range 10_000 {
		s.srv.Put(fmt.Sprintf("%d.vcf", i), "BEGIN:VCARD\r\nFN:x\r\n"+photo+"\r\nEND:VCARD\r\n")
	}
	s.bench(b, "REPORT", s.book(), askQuery)
}
