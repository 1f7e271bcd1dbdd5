// What a listing, a sync and the memory cost, each next to its peer in one run.
// The targets are ratios between neighbours, so that a slow machine does not
// matter; bench/ draws up the whole comparison, with a process per case.

package icloud_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const (
	benchCards   = 10_000
	benchChanges = 10
)

// benchServer is icloudtest behind TLS and HTTP/2 on the loopback. It answers what
// it has been asked before out of memory, so that the benchmark is of the
// clients: rendering an answer takes longer than reading it.
type benchServer struct {
	*icloudtest.Server
	web  *httptest.Server
	cred icloud.Credential

	mu      sync.Mutex
	answers map[string]*httptest.ResponseRecorder // by request
	delay   time.Duration                         // of each request: a round trip
	asked   int                                   // how many requests there were
}

func newBenchServer(b *testing.B) *benchServer {
	b.Helper()
	s := &benchServer{Server: icloudtest.NewServer(), answers: make(map[string]*httptest.ResponseRecorder)}
	s.OmitOwnRow = true // or go-webdav loses the list
	s.cred = s.Issue()
	s.web = httptest.NewUnstartedServer(s)
	s.web.EnableHTTP2 = true
	s.web.StartTLS()
	b.Cleanup(func() {
		s.web.Close()
		s.Close()
	})
	return s
}

func (s *benchServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	key := strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Depth"), string(asked)}, "\n")
	s.mu.Lock()
	s.asked++
	delay, answer := s.delay, s.answers[key]
	s.mu.Unlock()
	if answer == nil {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(asked))
		// The loopback is faster than any decompressor: gzip is for bench/.
		again.Header.Del("Accept-Encoding")
		answer = httptest.NewRecorder()
		s.Server.ServeHTTP(answer, again)
		s.mu.Lock()
		s.answers[key] = answer
		s.mu.Unlock()
	}
	time.Sleep(delay)
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // fails when a client has gone
}

// requests returns how many requests f makes, and sets what each is delayed by.
func (s *benchServer) requests(delay time.Duration, f func()) int {
	s.mu.Lock()
	s.delay, s.asked = delay, 0
	s.mu.Unlock()
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = 0
	return s.asked
}

func (s *benchServer) client(b *testing.B, opts icloud.Options) *icloud.Client {
	b.Helper()
	opts.Endpoint = s.web.URL
	if opts.Transport == nil {
		opts.Transport = s.web.Client().Transport
	}
	c, err := icloud.New(s.cred, &opts)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// peer returns go-webdav's client, and the path of the address book, which it
// finds by three requests that are not counted.
func (s *benchServer) peer(b *testing.B) (client *carddav.Client, book string) {
	b.Helper()
	ctx := b.Context()
	door := webdav.HTTPClientWithBasicAuth(s.web.Client(), s.cred.AppleID, s.cred.Password.Reveal())
	client, err := carddav.NewClient(door, s.web.URL)
	if err != nil {
		b.Fatal(err)
	}
	principal, err := client.FindCurrentUserPrincipal(ctx)
	if err != nil {
		b.Fatal(err)
	}
	home, err := client.FindAddressBookHomeSet(ctx, principal)
	if err != nil {
		b.Fatal(err)
	}
	books, err := client.FindAddressBooks(ctx, home)
	if err != nil || len(books) != 1 {
		b.Fatalf("address books %v, %v; want one", books, err)
	}
	return client, books[0].Path
}

// fill puts n cards into s, every fifth with a photo if photo is not nil.
func (s *benchServer) fill(n int, photo func(*rand.Rand) string) {
	random := rand.New(rand.NewPCG(6, 6))
	for i := range n {
		tail := ""
		if photo != nil && i%5 == 0 {
			tail = photo(random)
		}
		s.Put(benchID(i), benchCard(i, tail))
	}
}

func benchID(i int) string { return fmt.Sprintf("%08X-7E1C-4D1B-9A53-00C0FFEE0000.vcf", i) }

// benchCard has what a card of Apple's has; tail is a property more, or none.
func benchCard(i int, tail string) string {
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
UID:%08[1]X-7E1C-4D1B-9A53-00C0FFEE0000
%[2]sEND:VCARD
`, i, tail), "\n", "\r\n")
}

// benchPhoto is an inline photo of 5 to 40 KB, folded as Apple folds it.
func benchPhoto(random *rand.Rand) string {
	data := make([]byte, 5<<10+random.IntN(35<<10))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	rest := "PHOTO;ENCODING=b;TYPE=JPEG:" + base64.StdEncoding.EncodeToString(data)
	var folded strings.Builder
	for width := 75; len(rest) > width; width = 74 {
		folded.WriteString(rest[:width] + "\n ")
		rest = rest[width:]
	}
	folded.WriteString(rest + "\n")
	return folded.String()
}

// drain lists all contacts of c and returns how many there were.
func drain(b *testing.B, c *icloud.Client) int {
	b.Helper()
	n := 0
	for contact, err := range c.Contacts(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		if contact.Name == "" {
			b.Fatal("a contact without a name")
		}
		n++
	}
	return n
}

// perContact reports the allocations of the loop per contact, in which the few of
// the server are included; io.Discard shows how many those are.
func perContact(b *testing.B, contacts int, loop func()) {
	b.Helper()
	b.ReportAllocs()
	allocs := testing.AllocsPerRun(1, loop)
	for b.Loop() {
		loop()
	}
	b.ReportMetric(allocs/float64(contacts), "allocs/contact")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(contacts), "ns/contact")
}

// BenchmarkContacts lists a book with this package, with go-webdav, and as the
// floor of both reads the same bytes into io.Discard.
func BenchmarkContacts(b *testing.B) {
	for _, book := range []struct {
		name  string
		photo func(*rand.Rand) string
	}{{"photos", benchPhoto}, {"plain", nil}} {
		b.Run(book.name, func(b *testing.B) {
			s := newBenchServer(b)
			s.fill(benchCards, book.photo)
			b.Run("icloud", func(b *testing.B) {
				c := s.client(b, icloud.Options{})
				perContact(b, benchCards, func() {
					if n := drain(b, c); n != benchCards {
						b.Fatalf("got %d contacts, want %d", n, benchCards)
					}
				})
			})
			b.Run("go-webdav", func(b *testing.B) {
				c, path := s.peer(b)
				query := &carddav.AddressBookQuery{DataRequest: carddav.AddressDataRequest{AllProp: true}}
				perContact(b, benchCards, func() {
					objects, err := c.QueryAddressBook(b.Context(), path, query)
					if err != nil || len(objects) != benchCards {
						b.Fatalf("got %d contacts, %v; want %d", len(objects), err, benchCards)
					}
				})
			})
			b.Run("io.Discard", func(b *testing.B) {
				_, path := s.peer(b)
				read := int64(0)
				perContact(b, benchCards, func() { read = s.discard(b, path) })
				b.SetBytes(read)
			})
		})
	}
}

// discard asks for the book as go-webdav does and reads the answer into io.Discard.
func (s *benchServer) discard(b *testing.B, path string) int64 {
	b.Helper()
	const query = `<C:addressbook-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><prop><getetag/><C:address-data/></prop><C:filter/></C:addressbook-query>`
	req, err := http.NewRequestWithContext(b.Context(), "REPORT", s.web.URL+path, strings.NewReader(query))
	if err != nil {
		b.Fatal(err)
	}
	req.SetBasicAuth(s.cred.AppleID, s.cred.Password.Reveal())
	req.Header.Set("Depth", "1")
	resp, err := s.web.Client().Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusMultiStatus {
		b.Fatalf("read %d bytes: %s, %v", n, resp.Status, err)
	}
	return n
}

// BenchmarkSync follows 10 changes in a book of 10,000, next to a listing of the
// whole, and next to a sync from nothing, which is a listing for those who follow.
// The server sends no card inline, as iCloud does not, so that each sync is a report
// and multigets; and once more where each request takes 80 ms.
func BenchmarkSync(b *testing.B) {
	s := newBenchServer(b)
	s.fill(benchCards, benchPhoto)
	since := s.token(b)
	for i := range benchChanges {
		s.Put(benchID(i*997), benchCard(i, "TITLE:Changed\n"))
	}
	for _, delay := range []time.Duration{0, 80 * time.Millisecond} {
		c := s.client(b, icloud.Options{})
		run := func(name string, want int, f func() int) {
			b.Run(fmt.Sprintf("%s/delay=%v", name, delay), func(b *testing.B) {
				b.ReportAllocs()
				if n := f(); n != want { // it also makes the server ready
					b.Fatalf("got %d, want %d", n, want)
				}
				asked := s.requests(delay, func() {
					for b.Loop() {
						f()
					}
				})
				b.ReportMetric(float64(asked)/float64(b.N), "requests/op")
			})
		}
		follow := func(since string) (n int) {
			_, err := c.Sync(b.Context(), since, func(change icloud.Change) error {
				if change.Contact != nil {
					n++
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
		run("changes", benchChanges, func() int { return follow(since) })
		run("everything", benchCards, func() int { return follow("") })
		run("listing", benchCards, func() int { return drain(b, c) })
	}
}

// token returns a sync token for the book as it is now, and forgets the answers that
// it cost: the book is about to change.
func (s *benchServer) token(b *testing.B) string {
	b.Helper()
	next, err := s.client(b, icloud.Options{}).Sync(b.Context(), "", func(icloud.Change) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	s.mu.Lock()
	clear(s.answers)
	s.mu.Unlock()
	return next
}

// BenchmarkMemory is what remembering costs a call when nothing changes: a listing
// of an empty book with a Store, and without. The transport answers at once, out
// of memory, and both pay for it alike.
func BenchmarkMemory(b *testing.B) {
	for _, remembered := range []bool{false, true} {
		name := "without"
		opts := icloud.Options{Endpoint: "https://127.0.0.1/book/", Transport: emptyBook{}}
		if remembered {
			name = "with"
			opts.Store = new(mapStore)
		}
		b.Run("Store="+name, func(b *testing.B) {
			cred := icloud.Credential{AppleID: "ada@example.org", Password: icloud.UncheckedPassword("secret")}
			c, err := icloud.New(cred, &opts)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, c)
			b.ReportAllocs()
			for b.Loop() {
				drain(b, c)
			}
		})
	}
}

// emptyBook is a transport to an address book without cards.
type emptyBook struct{}

func (emptyBook) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := `<multistatus xmlns="DAV:"/>`
	if req.Method == "PROPFIND" {
		answer = `<multistatus xmlns="DAV:"><response><href>/book/</href><propstat><prop><resourcetype><addressbook xmlns="urn:ietf:params:xml:ns:carddav"/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`
	}
	return &http.Response{
		StatusCode: http.StatusMultiStatus,
		Header:     http.Header{"Content-Type": {"text/xml"}},
		Body:       io.NopCloser(strings.NewReader(answer)),
		Request:    req,
	}, nil
}

// mapStore is a Store that costs as little as one can.
type mapStore struct{ m sync.Map }

func (s *mapStore) Load(_ context.Context, key string) ([]byte, error) {
	v, ok := s.m.Load(key)
	if !ok {
		return nil, nil
	}
	return bytes.Clone(v.([]byte)), nil
}

func (s *mapStore) Save(_ context.Context, key string, data []byte) error {
	s.m.Store(key, bytes.Clone(data))
	return nil
}
