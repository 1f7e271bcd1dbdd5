package dav_test

import (
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/internal/dav"
)

// repeat is a reader of the same bytes n times, without keeping all of them in memory.
type repeat struct {
	s    string
	n    int
	done int // bytes of the current s that were read
}

func (r *repeat) Read(p []byte) (n int, err error) {
	for n < len(p) && r.n > 0 {
		c := copy(p[n:], r.s[r.done:])
		n += c
		if r.done += c; r.done == len(r.s) {
			r.done = 0
			r.n--
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// times returns a reader of n times s. Long runs of a short s are put together,
// so that making a gigabyte takes less time than reading it.
func times(n int, s string) io.Reader {
	if k := (64 << 10) / len(s); n > 2*k && k > 1 {
		return io.MultiReader(&repeat{s: strings.Repeat(s, k), n: n / k}, &repeat{s: s, n: n % k})
	}
	return &repeat{s: s, n: n}
}

const (
	forever = math.MaxInt32
	root    = `<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">`
	card    = root + `<response><href>/a</href><propstat><prop><C:address-data>`
)

func join(parts ...any) io.Reader {
	var readers []io.Reader
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			readers = append(readers, strings.NewReader(p))
		case io.Reader:
			readers = append(readers, p)
		}
	}
	return io.MultiReader(readers...)
}

// TestLimits sends answers that try to exhaust memory or time. None of them may allocate
// more than the sum of the bounds. There is no limit for the time, because a busy machine
// is slow. Quadratic time would be hours, and the test would time out.
func TestLimits(t *testing.T) {
	// Texts that are repeated until a row is too long contain this, so that reading them
	// is fast.
	padding := strings.Repeat(" ", 1000)
	const (
		whole = "" // no error
		// The size of all buffers if each grows to its bound by doubling,
		// with the rows' slices.
		memory = 4*dav.MaxCard + 16*dav.MaxText + 8*dav.MaxToken
	)
	for _, tt := range []struct {
		name string
		doc  io.Reader
		what string // LimitError.What
		rows int
	}{
		{"a million empty responses", join(root, times(1e6, `<response/>`), `</multistatus>`), whole, 1e6},
		{"rows", join(root, times(1e5, `<response><href>/a</href></response>`), `</multistatus>`), whole, 1e5},
		{"nesting", join(root, times(100_000, `<a>`)), "elements open at once", 0},
		{"nesting with declarations", join(root, times(100_000, `<a xmlns:a="b" xmlns="c" xmlns:d="e">`)), "namespace declarations", 0},
		{"declarations in one tag", join(`<multistatus `, times(1000, `xmlns:a="b" `), `>`), "namespace declarations", 0},
		{"declarations that are closed again", join(root, times(100_000, `<a xmlns:a="b" xmlns="c"/>`), `</multistatus>`), whole, 0},
		{"long names", join(root, times(50, `<`+strings.Repeat("a", 20_000)+`>`)), "bytes in the names of open elements", 0},
		{"long names that are closed again", join(root, times(200, `<`+strings.Repeat("a", 60_000)+`/>`), `</multistatus>`), whole, 0},
		{"long prefixes", join(root, times(50, `<a xmlns:`+strings.Repeat("a", 20_000)+`="b">`)), "bytes in the names of open elements", 0},
		{"a million attributes", join(root, `<a`, times(1e6, ` a="b"`), `/>`), "bytes in one tag", 0},
		{"a name without end", join(root, `<`, times(forever, `a`)), "bytes in one tag", 0},
		{"an end tag without end", join(root, `</multistatus`, times(forever, ` `)), "bytes in one tag", 0},
		{"an attribute without end", join(root, `<a b="`, times(forever, `a`)), "bytes in one tag", 0},
		{"an instruction without end", join(root, `<?a `, times(forever, `? `)), "bytes in one tag", 0},
		{"an href without end", join(root, `<response><href>`, times(forever, `a`)), "bytes in a text", 0},
		{"an href of references", join(root, `<response><href>`, times(forever, `&amp;`)), "bytes in a text", 0},
		{"an ETag in CDATA without end", join(root, `<response><propstat><prop><getetag><![CDATA[`, times(forever, `]`)), "bytes in a text", 0},
		{"hrefs without end", join(root, `<response>`, times(forever, `<href>a</href>`)), "bytes in a text", 0},
		{"homes without end", join(root, `<response><propstat><prop><C:addressbook-home-set>`, times(forever, `<href>a</href>`)), "bytes in a text", 0},
		{"empty hrefs without end", join(root, `<response>`, times(forever, `<href></href>`+padding)), "bytes in one row", 0},
		{"statuses without end", join(root, `<response>`, times(forever, `<status>HTTP/1.1 200 OK</status>`+padding)), "bytes in one row", 0},
		{"propstats without end", join(root, `<response>`, times(forever, `<propstat><status>HTTP/1.1 404</status></propstat>`+padding)), "bytes in one row", 0},
		{"a sync token without end", join(root, `<sync-token>`, times(forever, `a`)), "bytes in a text", 0},
		{"a text of a gigabyte that nobody reads", join(root, `<response><x>`, times(1<<30, `a`)), "bytes in one row", 0},
		{"a card of a gigabyte", join(card, times(1<<30, `a`)), "bytes in one row", 0},
		{"a card of ampersands", join(card, times(forever, `&`)), "bytes in one row", 0},
		{"a card of CDATA", join(card, `<![CDATA[`, times(forever, `]]`+padding)), "bytes in one row", 0},
		{"a card of carriage returns", join(card, times(forever, "\r")), "bytes in one row", 0},
		{"white space between rows", join(root, `<response/>`, times(forever, "\n")), "bytes in one row", 1},
		{"elements between rows", join(root, `<response/>`, times(forever, `<x/>`+padding)), "bytes in one row", 1},
		{"short comments", join(root, times(forever, `<!-- -->`+padding)), "bytes in one row", 0},
		{"a comment without end", join(root, `<!--`, times(forever, `- `)), "bytes in a comment or DOCTYPE", 0},
		{"white space before the document", join(times(forever, " \n")), "bytes before the document", 0},
		{"comments before the document", join(times(forever, `<!-- -->`)), "bytes before the document", 0},
		{"a DOCTYPE without end", join(`<!DOCTYPE x [`, times(forever, `<!ENTITY a "b">`)), "bytes in a comment or DOCTYPE", 0},
		{"a DOCTYPE of comments", join(root, `<!DOCTYPE x [`, times(forever, `<!--->-->`)), "bytes in a comment or DOCTYPE", 0},
		{"white space after the document", join(root, `<response/></multistatus>`, times(forever, "\n")), "bytes after the document", 1},
		{"a bomb of entities", join(`<!DOCTYPE x [<!ENTITY a "`, times(1000, "lol"), `"><!ENTITY b "&a;&a;&a;&a;">]>`, card, `&b;`), "a reference", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			d := dav.NewDecoder(tt.doc)
			rows := 0
			var err error
			for {
				if _, err = d.Next(); err != nil {
					break
				}
				rows++
			}

			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > memory {
				t.Errorf("allocated %d KiB, want at most %d", got>>10, memory>>10)
			}
			if held := d.Held(); held > memory/2 {
				t.Errorf("holds %d KiB, want at most %d", held>>10, memory/2>>10)
			}
			if rows != tt.rows {
				t.Errorf("got %d rows, want %d", rows, tt.rows)
			}
			var limit *dav.LimitError
			switch {
			case tt.what == whole:
				if err != io.EOF {
					t.Errorf("got %v, want a whole document", err)
				}
			case tt.what == "a reference":
				var syntax *dav.SyntaxError
				if !errors.As(err, &syntax) || !strings.Contains(err.Error(), tt.what) {
					t.Errorf("got %v, want a SyntaxError about %s", err, tt.what)
				}
			case !errors.As(err, &limit) || limit.What != tt.what:
				t.Errorf("got %v, want a LimitError about %s", err, tt.what)
			}
		})
	}
}

// TestLimitsAreExact checks that an answer at a bound is accepted, and one that is a byte
// larger is not, in whichever pieces the bytes arrive.
func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	const (
		document = `<multistatus xmlns="DAV:">`
		end      = `</multistatus>`
	)
	fill := func(n int, s string) string { return strings.Repeat(s, n) }
	for _, tt := range []struct {
		name   string
		doc    func(extra int) string
		accept bool // one more is accepted; otherwise it is a LimitError
	}{
		{"text", func(n int) string {
			return document + `<response><href>` + fill(dav.MaxText+n, "a") + `</href></response>` + end
		}, false},
		{"text with references", func(n int) string {
			return document + `<response><href>` + fill(dav.MaxText-1+n, "a") + `&amp;</href></response>` + end
		}, false},
		{"text with line ends", func(n int) string {
			return document + `<response><href>` + fill(dav.MaxText-1+n, "a") + "\r\n</href></response>" + end
		}, false},
		{"tag", func(n int) string {
			return document + `<a b="` + fill(dav.MaxToken-len(`<a b=""/>`)+n, "a") + `"/>` + end
		}, false},
		{"before the document", func(n int) string {
			return fill(dav.MaxJunk-len(document)+n, " ") + document + end
		}, false},
		{"after the document", func(n int) string {
			return document + end + fill(dav.MaxJunk+n, " ")
		}, false},
		{"comment", func(n int) string {
			return document + `<!--` + fill(dav.MaxJunk-len(`-->`)+n, " ") + `-->` + end
		}, false},
		{"depth", func(n int) string {
			return document + fill(dav.MaxDepth-1+n, "<a>") + fill(dav.MaxDepth-1+n, "</a>") + end
		}, false},
		{"declarations", func(n int) string {
			return document + `<a` + fill(dav.MaxBindings-1+n, ` xmlns="a"`) + `/>` + end
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, pieces := range map[string]func(io.Reader) io.Reader{
				"at once":   func(r io.Reader) io.Reader { return r },
				"in threes": func(r io.Reader) io.Reader { return chunks{r, 3} },
				"in pages":  func(r io.Reader) io.Reader { return chunks{r, 4096} },
			} {
				if _, _, err := decode(pieces(strings.NewReader(tt.doc(0)))); err != nil {
					t.Errorf("%s: at the bound: got error %v", name, err)
				}
				_, _, err := decode(pieces(strings.NewReader(tt.doc(1))))
				var limit *dav.LimitError
				if !errors.As(err, &limit) {
					t.Errorf("%s: beyond the bound: got %v, want a LimitError", name, err)
				}
			}
		})
	}
}

// chunks delivers a few bytes at a time.
type chunks struct {
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestMaxRow(t *testing.T) {
	t.Parallel()
	const before, after = `<response><x>`, `</x></response>`
	for _, extra := range []int{0, 1} {
		filler := dav.MaxRow - len(before) - len(after) + extra
		_, _, err := decode(join(root, `<response/>`, before, times(filler, "a"), after, `</multistatus>`))
		var limit *dav.LimitError
		if errors.As(err, &limit) != (extra == 1) {
			t.Errorf("%d bytes over the bound: got %v", extra, err)
		}
	}
}

// TestCardTooLarge reads a card at the bound and a larger one, between other cards.
func TestCardTooLarge(t *testing.T) {
	t.Parallel()
	member := func(name string, parts ...any) io.Reader {
		return join(append(append([]any{`<response><href>/` + name + `</href><propstat><prop><getetag>"1"</getetag><C:address-data>`}, parts...),
			`</C:address-data></prop><status>HTTP/1.1 200 OK</status></propstat></response>`)...)
	}
	failed := func(name string, parts ...any) io.Reader {
		return join(append(append([]any{`<response><href>/` + name + `</href><propstat><prop><C:address-data>`}, parts...),
			`</C:address-data></prop><status>HTTP/1.1 500 No</status></propstat></response>`)...)
	}
	const half = dav.MaxCard / 2
	d := dav.NewDecoder(join(root,
		member("small", "BEGIN"),
		member("bound", times(dav.MaxCard, "a")),
		member("over", times(dav.MaxCard+1, "a")),
		member("lines", times(half, "&#13;\n"), "&#13;\n"),
		member("references", times(dav.MaxCard, "&amp;"), "&amp;"),
		member("line ends", times(dav.MaxCard, "\r\n"), "\n"),
		member("line ends at the bound", times(dav.MaxCard, "\r\n")),
		member("cdata", times(half, "<![CDATA[a]]>"), times(half, "b"), "<![CDATA[]]]>"),
		member("far over", times(dav.MaxCard, "ab\n&amp;")),
		failed("failed", times(dav.MaxCard+1, "a")),
		member("small again", "BEGIN"),
		`</multistatus>`))
	for _, want := range []struct {
		href  string
		size  int
		large bool
	}{
		{"/small", 5, false},
		{"/bound", dav.MaxCard, false},
		{"/over", 0, true},
		{"/lines", 0, true},
		{"/references", 0, true},
		{"/line ends", 0, true},
		{"/line ends at the bound", dav.MaxCard, false},
		{"/cdata", 0, true},
		{"/far over", 0, true},
		{"/failed", 0, false},
		{"/small again", 5, false},
	} {
		row, err := d.Next()
		if err != nil {
			t.Fatalf("%s: %v", want.href, err)
		}
		if string(row.Href) != want.href || len(row.Data) != want.size || row.TooLarge != want.large || row.HasData != (want.href != "/failed") {
			t.Errorf("got %s, %d bytes, TooLarge %v, HasData %v; want %s, %d, %v", row.Href, len(row.Data), row.TooLarge, row.HasData, want.href, want.size, want.large)
		}
		if want.large && row.Data != nil {
			t.Errorf("%s: Data is not nil", want.href)
		}
	}
	if _, err := d.Next(); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
	held := d.Held()
	if held > 2*dav.MaxCard {
		t.Errorf("holds %d bytes, want at most %d", held, 2*dav.MaxCard)
	}
	if d.Reset(nil); d.Held() > held-dav.MaxCard/2 {
		t.Errorf("after Reset: still holds %d bytes", d.Held())
	}
}
