package icloud_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// TestCardsByGET: a card that a multiget passes over, or that breaks it, comes by GET,
// and a query that a server cannot end because of one card is no failure of the book.
func TestCardsByGET(t *testing.T) {
	t.Parallel()
	const n = 50
	var rows []string
	for i := range n {
		rows = append(rows, etagRow(fmt.Sprintf("/book/%02d.vcf", i), "1"))
	}
	for name, test := range map[string]struct {
		query  func() *http.Response
		bad    func() string // the bad card's row; "500" for the whole answer
		get    int
		failed string
	}{
		"passed over":           {nil, func() string { return "" }, 200, ""},
		"ETag alone":            {nil, func() string { return etagRow("/book/07.vcf", "1") }, 200, ""},
		"its data refused":      {nil, func() string { return dataRefused("/book/07.vcf", "1") }, 200, ""},
		"a 500":                 {func() *http.Response { return answer(500, "") }, func() string { return "500" }, 200, ""},
		"broken XML":            {nil, func() string { return "</oops>" }, 200, ""},
		"a 500, and by GET too": {func() *http.Response { return answer(500, "") }, func() string { return "500" }, 500, "07.vcf"},
		"refused by GET":        {nil, func() string { return "" }, 403, "07.vcf"},
		"not there by GET":      {nil, func() string { return "" }, 404, "07.vcf"},
	} {
		gets, requests := 0, 0
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			requests++
			switch {
			case r.Method == "GET":
				if gets++; r.URL.Path != "/book/07.vcf" || test.get != 200 {
					return answer(test.get, "")
				}
				return answer(200, card("07"), "Content-Type", "text/vcard", "ETag", `"1"`)
			case r.Method == "PROPFIND":
				return answer(207, multistatus(rows...))
			case strings.Contains(body, "multiget"):
				var found []string
				for _, href := range asked(body) {
					if href != "/book/07.vcf" {
						found = append(found, row(href, card("x")))
						continue
					}
					if bad := test.bad(); bad == "500" {
						return answer(500, "")
					} else {
						found = append(found, bad)
					}
				}
				return answer(207, multistatus(found...))
			case strings.Contains(body, "sync-collection"):
				return answer(207, withToken("t", rows...))
			case test.query != nil:
				return test.query()
			}
			return answer(207, multistatus(rows...)) // it names the cards alone
		})
		contacts, err := list(t, client)
		var f follower
		errSync := f.follow(t, client)
		for what, err := range map[string]error{"Contacts": err, "Sync": errSync} {
			partial, ok := errors.AsType[*icloud.PartialError](err)
			if ok != (test.failed != "") || ok && fmt.Sprint(owedIDs(partial)) != "["+test.failed+"]" || !ok && err != nil {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
		want := n
		if test.failed != "" {
			want--
		}
		if len(contacts) != want || len(f.cards) != want || gets != 2 || requests > 30 {
			t.Errorf("%s: listed %d, synced %d, by %d GETs of %d requests", name, len(contacts), len(f.cards), gets, requests)
		}
	}
}

// TestMultigetAlwaysBreaks: what a server can never answer costs no two requests a
// card, and is an error of the server's, not of thousands of cards.
func TestMultigetAlwaysBreaks(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range 5000 {
		rows = append(rows, etagRow(fmt.Sprintf("/book/%04d.vcf", i), "1"))
	}
	for name, broken := range map[string]func() *http.Response{
		"a 500":      func() *http.Response { return answer(500, "") },
		"a 400":      func() *http.Response { return answer(400, "") },
		"broken XML": func() *http.Response { return answer(207, multistatus("</oops>")) },
	} {
		requests := 0
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			requests++
			switch {
			case r.Method == "GET" || strings.Contains(body, "multiget"):
				return broken()
			case r.Method == "PROPFIND":
				return answer(207, multistatus(rows...))
			case strings.Contains(body, "sync-collection"):
				return answer(207, withToken("t", rows...))
			}
			return answer(501, "")
		})
		_, err := list(t, client)
		var f follower
		errSync := f.follow(t, client)
		for what, err := range map[string]error{"Contacts": err, "Sync": errSync} {
			if _, partial := errors.AsType[*icloud.PartialError](err); err == nil || partial {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
		if requests > 150 || f.token != "" {
			t.Errorf("%s: %d requests, token %q", name, requests, f.token)
		}
	}
}

// TestBoundsByBytes: what an answer names is kept once, and within bounds, whatever
// the number and the length of the names.
func TestBoundsByBytes(t *testing.T) {
	const open, end = `<?xml version="1.0"?><multistatus xmlns="DAV:">`, "<sync-token>t</sync-token></multistatus>"
	long := strings.Repeat("n", 100_000)
	// numbered reads rows whose names differ by a number.
	for _, test := range []struct {
		name  string
		row   func(i int) string
		n     int
		fails bool
	}{
		{"one card named 100,000 times", func(int) string { return etagRow("/book/a.vcf", "1") }, 100_000, false},
		{"10,000 refused by long names", func(i int) string { return statusRow(fmt.Sprint("/book/", i, long), 403) }, 10_000, true},
		{"10,000 named by long names", func(i int) string { return etagRow(fmt.Sprint("/book/", i, long), "1") }, 10_000, true},
		{"10,000 gone by long names", func(i int) string { return statusRow(fmt.Sprint("/book/", i, long), 404) }, 10_000, true},
		{"500,000 named", func(i int) string { return etagRow(fmt.Sprint("/book/", i), "1") }, 500_000, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests, multigets, second := 0, 0, false
			var peak uint64
			client := onBook(t, func(r *http.Request, body string) *http.Response {
				requests++
				switch {
				case strings.Contains(body, "multiget"):
					multigets++
					var rows []string
					for _, href := range asked(body) {
						rows = append(rows, row(href, card("x")))
					}
					return answer(207, multistatus(rows...))
				case strings.Contains(body, "sync-collection") && !second:
					return answer(207, withToken("t", statusRow("/book/x.vcf", 404)))
				case r.Method != "REPORT":
					return answer(404, "")
				}
				resp := answer(207, "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(open), &numbered{row: test.row, n: test.n, peak: &peak}, strings.NewReader(end)))
				return resp
			})
			var f follower
			if err := f.follow(t, client); err != nil {
				t.Fatal(err)
			}
			second = true
			for what, run := range map[string]func() error{
				"Contacts": func() error { _, err := list(t, client); return err },
				"Sync":     func() error { return f.follow(t, client) },
			} {
				runtime.GC()
				var before runtime.MemStats
				runtime.ReadMemStats(&before)
				peak, requests, multigets = before.HeapAlloc, 0, 0
				err := run()
				_, partial := errors.AsType[*icloud.PartialError](err)
				// A tombstone is nothing to a listing.
				if fails := test.fails && !(what == "Contacts" && strings.Contains(test.name, "gone")); (err != nil) != fails || partial {
					t.Errorf("%s: got %.200v", what, err)
				}
				if ce, ok := errors.AsType[*icloud.CardError](err); ok && len(ce.ID) > 1<<10 {
					t.Errorf("%s: an ID of %d bytes", what, len(ce.ID))
				}
				if held := int64(peak-before.HeapAlloc) >> 20; held > 64 && int64(peak) > int64(before.HeapAlloc) {
					t.Errorf("%s: %d MiB were held", what, held)
				}
				if multigets > 1 || requests > 3 {
					t.Errorf("%s: %d requests, %d multigets", what, requests, multigets)
				}
			}
		})
	}
}

// numbered reads n rows, and looks now and then how much memory is in use.
type numbered struct {
	row  func(i int) string
	n, i int
	rest string
	peak *uint64
	read int
}

func (r *numbered) Read(p []byte) (int, error) {
	for r.rest == "" {
		if r.i == r.n {
			return 0, io.EOF
		}
		r.rest = r.row(r.i)
		r.i++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if r.read += n; r.read > 16<<20 {
		r.read = 0
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*r.peak = max(*r.peak, m.HeapAlloc)
	}
	return n, nil
}
