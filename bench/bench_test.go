package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-vcard"
)

// The test binary is started again as the program is.
func TestMain(m *testing.M) {
	if asked(os.Args) {
		return
	}
	os.Exit(m.Run())
}

// A card must be one to everybody, or the comparison is of who gives up first.
func TestBook(t *testing.T) {
	t.Parallel()
	for _, kind := range []kind{photos, uris, bare} {
		n, withPhoto, ids := 0, 0, make(map[string]bool)
		book{20, kind}.each(func(id, text string) {
			n++
			ids[id] = true
			for line := range strings.Lines(text) {
				if len(line) > 75+len("\r\n") || !strings.HasSuffix(line, "\r\n") {
					t.Errorf("%s: line %q", kind, line)
				}
			}
			card, err := vcard.NewDecoder(strings.NewReader(text)).Decode()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if card.Value("UID")+".vcf" != id || card.Value("FN") == "" {
				t.Errorf("%s: card %v", kind, card)
			}
			if card.Value("PHOTO") != "" {
				withPhoto++
			}
		})
		want := 4
		if kind == bare {
			want = 0
		}
		if n != 20 || len(ids) != 20 || withPhoto != want {
			t.Errorf("%s: got %d cards, %d ids, %d photos; want 20, 20, %d", kind, n, len(ids), withPhoto, want)
		}
	}
}

// Two runs compare the same books.
func TestBookIsTheSame(t *testing.T) {
	t.Parallel()
	text := func() string {
		var all strings.Builder
		book{10, photos}.each(func(id, card string) { all.WriteString(id + card) })
		return all.String()
	}
	if first, second := text(), text(); first != second {
		t.Error("two books differ")
	}
}

// What comes at once leaves one after the other; what comes later does not wait.
func TestLane(t *testing.T) {
	t.Parallel()
	var l lane
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, step := range []struct{ now, want time.Duration }{{0, 10}, {0, 20}, {5, 30}, {100, 110}, {100, 120}} {
		if got := l.pass(at.Add(step.now), 10).Sub(at); got != step.want {
			t.Errorf("%d: at %d: got %d, want %d", i, step.now, got, step.want)
		}
	}
}

// The line delays and does not change what it carries.
func TestLine(t *testing.T) {
	t.Parallel()
	s, err := start(book{30, photos})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	l, err := newLine(s.Addr, 20*time.Millisecond, bandwidth)
	if err != nil {
		t.Fatal(err)
	}
	way, err := s.transport(l.addr(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range clients {
		list, err := s.lister(t.Context(), client, way)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := list(t.Context()); err != nil || n != 30 && client != floor {
			t.Errorf("%s: got %d contacts, %v", client, n, err)
		}
	}
	st, err := s.stats()
	if err != nil || st.Connections != 1 || st.Requests < 4 || st.Bytes == 0 {
		t.Errorf("counted %+v, %v; want one connection", st, err)
	}
	way.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	l.close()
}

// What has passed the line has been under way for as long as it has to.
func TestLanesTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lane
		began := time.Now()
		time.Sleep(time.Second)
		if got := l.pass(time.Now(), time.Second).Sub(began); got != 2*time.Second {
			t.Errorf("got %v, want 2s", got)
		}
	})
}

// Bytes arrive no faster than they may, and what was late may catch up, but not for long.
func TestPacedConn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 1000
		c := &pacedConn{Conn: endless{}, bits: 8 * perSecond}
		read := func(n int) time.Duration {
			began := time.Now()
			if got, err := c.Read(make([]byte, n)); got != n || err != nil {
				t.Fatalf("got %d, %v", got, err)
			}
			return time.Since(began)
		}
		if got, want := read(perSecond), time.Second-late; got != want {
			t.Errorf("the first second took %v, want %v", got, want)
		}
		if got, want := read(2*perSecond), 2*time.Second; got != want {
			t.Errorf("two seconds took %v, want %v", got, want)
		}
		time.Sleep(time.Minute)
		if got, want := read(perSecond), time.Second-late; got != want {
			t.Errorf("after a pause a second took %v, want %v", got, want)
		}
	})
}

// endless is a connection on which bytes arrive at once.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Everything that the slow line is used for gives the right number of contacts.
func TestJourneys(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds: the line is slow")
	}
	b := book{40, uris}
	s, err := start(b)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	all, err := journeys(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range all {
		want := b.Cards
		if j.What == syncChanges {
			want = changes
		}
		if j.Err != nil || j.Contacts != want {
			t.Errorf("%s, %s: got %d contacts, %v; want %d", j.What, j.Client, j.Contacts, j.Err, want)
		}
	}
	if err := tripTable(b, all).write(io.Discard); err != nil {
		t.Error(err)
	}
}

// Both processes of a measurement work, and agree on what is in the book.
func TestListings(t *testing.T) {
	t.Parallel()
	s, err := start(book{50, photos})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	results, err := listings(s, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2*len(clients) {
		t.Fatalf("got %d results", len(results))
	}
	for _, r := range results {
		if r.Wall <= 0 || r.CPU <= 0 || r.Allocs <= 0 || r.Bytes <= 0 || r.Wire <= 0 {
			t.Errorf("%+v", r)
		}
	}
	var out bytes.Buffer
	if err := listingTable(results).write(&out); err != nil {
		t.Fatal(err)
	}
	// A title, a head, a rule, a row with gzip and one without.
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if n := len(lines); n < 5 || !strings.HasPrefix(lines[n-1], "| 50 cards, photos, gzip |") {
		t.Errorf("table:\n%s", out.String())
	}
	over, err := peaks(s)
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := peakTable(over).write(&out); err != nil || !strings.Contains(out.String(), "| 50 cards, photos |") {
		t.Errorf("table, %v:\n%s", err, out.String())
	}
	text, err := json.Marshal(results)
	if err != nil || !bytes.Contains(text, []byte(`"Kind":"photos"`)) {
		t.Errorf("results.json would be %s, %v", text, err)
	}
}

// Many accounts are many Clients with one memory each.
func TestAccounts(t *testing.T) {
	t.Parallel()
	s, err := start(book{5, bare})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	task := accountsTask{s.access, ours, 20, 5, 4}
	if f, err := measureAccounts(task); err != nil || f.Wall <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := measureIdle(task); err != nil {
		t.Error(err)
	}
}

// A file that is not there is nothing remembered.
func TestFileStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := fileStore(t.TempDir())
	if data, err := s.Load(ctx, "k"); data != nil || err != nil {
		t.Errorf("got %q, %v; want nothing", data, err)
	}
	if err := s.Save(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if data, err := s.Load(ctx, "k"); string(data) != "v" || err != nil {
		t.Errorf("got %q, %v; want v", data, err)
	}
	if _, err := os.Stat(filepath.Join(string(s), "k")); err != nil {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{thousands(1), "1"}, {thousands(1_000), "1,000"}, {thousands(1_234_567), "1,234,567"},
		{duration(1500 * time.Microsecond), "1.5 ms"}, {duration(117 * time.Millisecond), "117 ms"},
		{duration(1300 * time.Millisecond), "1.3 s"}, {duration(14 * time.Second), "14 s"},
		{megabytes(0), "–"}, {megabytes(512 << 10), "512 KiB"}, {megabytes(3 << 19), "1.5 MiB"}, {megabytes(52 << 20), "52 MiB"},
		{ratio[int64](27, 1), "27"}, {ratio[int64](3, 2), "1.5"}, {ratio[int64](1, 0), "–"}, {ratio[int64](1, 4), "0.2"}, {ratio[int64](10, 1), "10"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
