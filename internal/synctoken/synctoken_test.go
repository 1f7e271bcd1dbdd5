package synctoken_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/synctoken"
)

const book = "kSM3jTxa"

// many returns n IDs as iCloud writes them.
func many(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08X-5D1E-4F6B-%04X-%012X.vcf", uint32(i)*2654435761, i*40503&0xffff, uint64(i)*1099511628211&(1<<48-1))
	}
	return ids
}

// etags returns the state of a book of n cards.
func etags(n int) map[string]uint64 {
	state := make(map[string]uint64, n)
	for i, id := range many(n) {
		state[id] = synctoken.Hash(fmt.Appendf(nil, `"%d"`, i))
	}
	return state
}

var tokens = map[string]synctoken.Token{
	"nothing":         {Cards: synctoken.Unknown},
	"the server's":    {Book: book, Server: "HwoQEgwAAD==", Cards: 3},
	"not counted":     {Book: book, Server: "HwoQEgwAAD==", Cards: synctoken.Unknown},
	"any text":        {Book: book, Server: "http://sabre.io/ns/sync/1.2?a=b&c#\x00\xff", Cards: 0},
	"names alone":     {Book: book, Server: "1", Cards: 7, NamesOnly: true},
	"owes":            {Book: book, Server: "1", Cards: 7, Owed: []string{"a.vcf", "/other/b.vcf", ""}},
	"owes and failed": {Book: book, Server: "1", Cards: 7, NamesOnly: true, Owed: []string{"a.vcf"}, Handed: many(200)},
	"a small book":    {Book: book, Server: "1", Cards: 2, ETags: etags(2)},
	"ETags":           {Book: book, Cards: synctoken.Unknown, ETags: etags(500), Asked: time.Unix(1795527600, 0)},
	"ETags that owe":  {Book: book, Cards: synctoken.Unknown, ETags: etags(3), Owed: many(1)},
	"an empty book":   {Book: book, Cards: synctoken.Unknown, ETags: map[string]uint64{}},
}

func encode(t *testing.T, token synctoken.Token) string {
	t.Helper()
	s, err := token.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, want := range tokens {
		s := encode(t, want)
		got, ok := synctoken.Parse(s)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, ok, want)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%s: %q is not fit for every column and header", name, s)
		}
	}
}

// TestDamaged: what a caller's database has cut off, or somebody has changed, is
// not a token, and least of all one that has forgotten what it owes.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for name, token := range tokens {
		if token.Book == "" {
			continue
		}
		s := encode(t, token)
		head := strings.LastIndexByte(s, '.') + 1
		for end := 1; end < len(s); end++ {
			if _, ok := synctoken.Parse(s[:end]); ok {
				t.Fatalf("%s: cut off at byte %d of %d, it is still a token", name, end, len(s))
			}
		}
		for i := head; i < len(s); i += 1 + (len(s)-head)/100 {
			other := "A"
			if s[i] == 'A' {
				other = "B"
			}
			// The last letter may have bits that stand for nothing.
			if got, ok := synctoken.Parse(s[:i] + other + s[i+1:]); ok && !reflect.DeepEqual(got, token) {
				t.Fatalf("%s: changed at byte %d of %d, it is another token", name, i, len(s))
			}
		}
	}
	for _, s := range []string{
		".", "..", "s", "s.", "s..", "t.x.", "z.x.AAAA", "e.x.y", "x.y.z", "garbage", "http://sabre.io/ns/sync/1",
		"t.x.AAAAAA", // no field at all
		"e." + strings.Repeat("A", 1000),
	} {
		if got, ok := synctoken.Parse(s); ok {
			t.Errorf("%q: got %+v, want none", s, got)
		}
	}
}

// TestEarlierVersions: a caller's tokens outlive an update of the package.
func TestEarlierVersions(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]synctoken.Token{
		"s.kSM3jTxa.HwoQ.EgwAAD==": {Book: book, Server: "HwoQ.EgwAAD==", Cards: synctoken.Unknown},
		// a.vcf with the ETag "1", and b.vcf with none.
		oldETags: {Book: book, Cards: synctoken.Unknown, ETags: map[string]uint64{"a.vcf": synctoken.Hash([]byte(`"1"`)), "b.vcf": 0}},
	} {
		if got, ok := synctoken.Parse(s); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", s, got, ok, want)
		}
	}
}

// TestLength: a token of the server's stays small, and that of ETags takes about 40
// bytes a card.
func TestLength(t *testing.T) {
	t.Parallel()
	token := synctoken.Token{Book: book, Server: "HwoQEgwAAD==", Cards: 50_000}
	if n := len(encode(t, token)); n > 60 {
		t.Errorf("got %d bytes for one that owes nothing", n)
	}
	token.Owed = many(1000)
	if n := len(encode(t, token)); n > 48<<10 {
		t.Errorf("got %d bytes for one that owes 1,000 cards", n)
	}
	token.Owed = many(5000)
	if s, err := token.Encode(); err != synctoken.ErrTooLong || s != "" {
		t.Errorf("got %d bytes, %v for one that owes 5,000 cards, want ErrTooLong", len(s), err)
	}
	state := synctoken.Token{Book: book, ETags: etags(10_000)}
	if n := len(encode(t, state)) / 10_000; n > 45 {
		t.Errorf("got %d bytes a card", n)
	}
}

// TestStable: the same state is the same token, whatever the order of a map.
func TestStable(t *testing.T) {
	t.Parallel()
	want := encode(t, synctoken.Token{Book: book, ETags: etags(300)})
	for range 5 {
		state := make(map[string]uint64)
		maps.Insert(state, maps.All(etags(300)))
		if encode(t, synctoken.Token{Book: book, ETags: state}) != want {
			t.Fatal("one state has two tokens")
		}
	}
}

// Whatever is given for a token: no panic, and what is one can be written again.
func FuzzParse(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		s, err := tokens[name].Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s)
	}
	for _, s := range []string{"s.x.y", oldETags, "t.x.AAAAAA", "z.x.AAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, ok := synctoken.Parse(s)
		if !ok {
			return
		}
		again, err := token.Encode()
		if err == synctoken.ErrTooLong {
			return
		}
		got, ok := synctoken.Parse(again)
		if err != nil || !ok || !reflect.DeepEqual(got, token) {
			t.Errorf("got %+v, %v, %v, want %+v", got, ok, err, token)
		}
	})
}

// oldETags is a token that the first version has written.
const oldETags = "e.kSM3jTxa.YmJN1CtLTmNNApGWokEHZh5k3MgABYAAAAD__w"
