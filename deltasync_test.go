package icloud_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// silentServer forgets tokens as DAViCal does: it answers with every card and no tombstone.
type silentServer struct {
	cards   map[string]int // versions
	changed map[string]bool
	gone    map[string]bool
	forgets bool
	lists   int // PROPFINDs
}

func (s *silentServer) respond(r *http.Request, body string) *http.Response {
	var all, delta []string
	for name, version := range s.cards {
		at := etagRow("/book/"+name, fmt.Sprint(version))
		all = append(all, at)
		if s.changed[name] {
			delta = append(delta, at)
		}
	}
	for name := range s.gone {
		delta = append(delta, statusRow("/book/"+name, 404))
	}
	switch {
	case r.Method == "PROPFIND":
		s.lists++
		return answer(207, multistatus(all...))
	case strings.Contains(body, "multiget"):
		var rows []string
		for _, href := range asked(body) {
			if name := strings.TrimPrefix(href, "/book/"); s.cards[name] > 0 {
				rows = append(rows, strings.Replace(row(href, card(fmt.Sprint(name, s.cards[name]))), `"1"`, fmt.Sprint(s.cards[name]), 1))
			}
		}
		return answer(207, multistatus(rows...))
	case strings.Contains(body, "<sync-token>now"):
		return answer(207, withToken("now"))
	case strings.Contains(body, "<sync-token>t") && !s.forgets:
		return answer(207, withToken("now", delta...))
	case strings.Contains(body, "<sync-token>t"):
		return answer(207, withToken("now", all...))
	}
	return answer(207, withToken("t", all...))
}

// TestSyncForgotten: a token that the server has forgotten without an error is ErrResync,
// before anything is applied. An ordinary delta of any size is not.
func TestSyncForgotten(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 40, 600} {
		for name, test := range map[string]struct {
			deleted, changed int
			forgets          bool
			resync           bool
			lists            int // at most
		}{
			"forgotten":                     {0, 0, true, true, 1},
			"forgotten, one deleted":        {1, 0, true, true, 1},
			"forgotten, one of each":        {1, 1, true, true, 1},
			"one changed":                   {0, 1, false, false, 1},
			"all but one changed":           {0, n - 1, false, false, 1},
			"one deleted, the rest changed": {1, n - 1, false, false, 0},
			"nothing":                       {0, 0, false, false, 0},
		} {
			s := &silentServer{cards: make(map[string]int), changed: make(map[string]bool), gone: make(map[string]bool)}
			for i := range n {
				s.cards[fmt.Sprintf("%03d.vcf", i)] = 1
			}
			client := onBook(t, s.respond)
			var f follower
			if err := f.follow(t, client); err != nil || len(f.cards) != n {
				t.Fatalf("%d: got %d cards, %v", n, len(f.cards), err)
			}
			for i := range test.deleted {
				id := fmt.Sprintf("%03d.vcf", i)
				delete(s.cards, id)
				s.gone[id] = true
			}
			for i := range test.changed {
				id := fmt.Sprintf("%03d.vcf", test.deleted+i)
				s.cards[id], s.changed[id] = 2, true
			}
			s.forgets, s.lists, f.calls = test.forgets, 0, 0
			err := f.follow(t, client)
			if (err == icloud.ErrResync) != test.resync || !test.resync && err != nil || test.resync && (f.calls != 0 || f.token != "") || s.lists > test.lists {
				t.Errorf("%d cards, %s: got %d changes, %d listings, %v", n, name, f.calls, s.lists, err)
			}
			if test.resync {
				if err := f.follow(t, client); err != nil {
					t.Errorf("%d cards, %s: again: %v", n, name, err)
				}
			}
			if len(f.cards) != n-test.deleted {
				t.Errorf("%d cards, %s: the copy has %d", n, name, len(f.cards))
			}
		}
	}
}

// TestSyncSmallBook: if all cards of a small book have changed, that does not mean that the
// token was forgotten.
func TestSyncSmallBook(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		server, client := fake(t, n)
		var f follower
		for version := range 5 {
			if err := f.follow(t, client); err != nil {
				t.Fatalf("%d cards, version %d: %v", n, version, err)
			}
			f.mirror(t, client)
			for i := range n {
				server.Put(fmt.Sprintf("%05d.vcf", i), card(fmt.Sprint("version ", version)))
			}
			if version == 3 {
				server.Put("new.vcf", card("new"))
			}
		}
	}
}

// TestSyncReportForms: if a server refuses a sync-collection that asks for cards, the next
// one does not ask for them, and the token remembers that.
func TestSyncReportForms(t *testing.T) {
	t.Parallel()
	for _, status := range []int{207, 400, 403, 422, 500, 501} {
		reports, multigets, withData := 0, 0, 0
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case strings.Contains(body, "multiget"):
				if r.Header.Get("Depth") != "0" {
					return answer(400, "") // Xandikos; RFC 6352, section 8.7
				}
				multigets++
				var rows []string
				for _, href := range asked(body) {
					rows = append(rows, row(href, card("x")))
				}
				return answer(207, multistatus(rows...))
			case !strings.Contains(body, "sync-collection"):
				t.Errorf("%d: asked %s %s", status, r.Method, body)
				return answer(500, "")
			}
			reports++
			if !strings.Contains(body, "address-data") {
				return answer(207, withToken("t", etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1"), statusRow("/book/c.vcf", 404)))
			}
			withData++
			if status != 207 {
				return answer(status, "")
			}
			return answer(207, withToken("t", dataRefused("/book/a.vcf", "1"), dataRefused("/book/b.vcf", "1"), statusRow("/book/c.vcf", 404)))
		})
		var f follower
		if err := f.follow(t, client); err != nil || f.ids() != "a.vcf b.vcf" || multigets != 1 {
			t.Errorf("%d: got %q in %d multigets, %v", status, f.ids(), multigets, err)
		}
		reports, withData = 0, 0
		if err := f.follow(t, client); err != nil || reports != 1 || withData != 0 {
			t.Errorf("%d: the second run sent %d reports, %d with data; %v", status, reports, withData, err)
		}
	}
}

// TestSyncRefusalsDiffer: if a server refuses the report because it asks for cards, one
// passing refusal of the report without them is not a refusal of the token.
func TestSyncRefusalsDiffer(t *testing.T) {
	t.Parallel()
	for _, refused := range []int{400, 422, 500, 501} {
		for _, passing := range []int{403, 409, 500} {
			synctest.Test(t, func(t *testing.T) {
				fault, reports := false, 0
				client := onBook(t, func(r *http.Request, body string) *http.Response {
					switch {
					case strings.Contains(body, "multiget"):
						return answer(207, multistatus(row("/book/a.vcf", card("a"))))
					case !strings.Contains(body, "sync-collection"):
						t.Errorf("%d, %d: asked %s %s", refused, passing, r.Method, body)
						return answer(500, "")
					}
					reports++
					switch {
					case strings.Contains(body, "address-data"):
						return answer(refused, "")
					case fault:
						fault = false
						return answer(passing, "")
					case strings.Contains(body, "<sync-token>t"):
						return answer(207, withToken("t"))
					}
					return answer(207, withToken("t", etagRow("/book/a.vcf", "1")))
				})
				var f follower
				if err := f.follow(t, client); err != nil {
					t.Fatal(err)
				}
				// A day later the report asks for the cards again.
				time.Sleep(25 * time.Hour)
				// The same status twice looks like a server that refuses both.
				fault, reports = refused != passing, 0
				if err := f.follow(t, client); err != nil || f.calls != 1 || fault {
					t.Errorf("%d, %d: got %v after %d reports, %d changes in all", refused, passing, err, reports, f.calls)
				}
				if reports > 3 {
					t.Errorf("%d, %d: %d reports, want 3 at most", refused, passing, reports)
				}
			})
		}
	}
}

// TestSyncNoDowngrade: after one passing refusal of the first sync-collection the Client
// still gets a token of the server. If the refusal lasts, sync-collection is tried again
// once a day.
func TestSyncNoDowngrade(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 409, 410, 412} {
		for _, times := range []int{1, 100} {
			synctest.Test(t, func(t *testing.T) {
				refusals, propfinds, reports := times, 0, 0
				client := onBook(t, func(r *http.Request, body string) *http.Response {
					switch {
					case r.Method == "PROPFIND":
						propfinds++
						return answer(207, multistatus(etagRow("/book/a.vcf", "1")))
					case strings.Contains(body, "multiget"):
						return answer(207, multistatus(row("/book/a.vcf", card("a"))))
					}
					reports++
					if refusals--; refusals >= 0 {
						return answer(status, "")
					}
					if strings.Contains(body, "t1") {
						return answer(207, withToken("t1"))
					}
					return answer(207, withToken("t1", etagRow("/book/a.vcf", "1")))
				})
				var f follower
				if err := f.follow(t, client); err != nil || f.ids() != "a.vcf" {
					t.Fatalf("%d: got %q, %v", status, f.ids(), err)
				}
				if (propfinds == 0) != (times == 1) {
					t.Errorf("%d, %d times: %d listings of ETags", status, times, propfinds)
				}
				// Soon after, a report that was just refused is not sent again.
				time.Sleep(time.Hour)
				if reports = 0; f.follow(t, client) != nil || times > 1 && reports != 0 {
					t.Errorf("%d, %d times: %d reports within the day", status, times, reports)
				}
				time.Sleep(24 * time.Hour)
				refusals, propfinds = 0, 0
				for range 2 {
					if err := f.follow(t, client); err != nil || propfinds != 0 {
						t.Errorf("%d, %d times: a day later: %d listings of ETags, %v", status, times, propfinds, err)
					}
				}
				if f.calls != 1 {
					t.Errorf("%d, %d times: %d changes, want 1", status, times, f.calls)
				}
			})
		}
	}
}

// TestSync403Twice: on iCloud a bare 403 for a token is ErrResync only if a second one
// follows. A 403 that asks to wait is not, and causes no other requests.
func TestSync403Twice(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refusals int
		header   []string
		want     error
	}{
		"once":          {1, nil, nil},
		"for good":      {100, nil, icloud.ErrResync},
		"asked to wait": {100, []string{"Retry-After", "30"}, errors.New("a ResponseError")},
	} {
		server, client := fake(t, 30)
		var f follower
		if err := f.follow(t, client); err != nil {
			t.Fatal(err)
		}
		before, token, n := server.Requests(), f.token, test.refusals
		server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "REPORT" || n == 0 {
				return false
			}
			n--
			for i := 0; i < len(test.header); i += 2 {
				w.Header().Set(test.header[i], test.header[i+1])
			}
			w.WriteHeader(403)
			return true
		}
		err := f.follow(t, client)
		re, ok := errors.AsType[*icloud.ResponseError](err)
		switch {
		case test.header != nil:
			if !ok || re.RetryAfter == 0 || f.token != token || server.Requests()-before != 1 {
				t.Errorf("%s: got %v after %d requests, token kept: %v", name, err, server.Requests()-before, f.token == token)
			}
		case err != test.want:
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestSyncGoneAndThere: a card that a page reports as deleted and as changed exists, and a
// card that it reports twice is reported once.
func TestSyncGoneAndThere(t *testing.T) {
	t.Parallel()
	tombstone, inline, named := statusRow("/book/a.vcf", 404), row("/book/a.vcf", card("new")), etagRow("/book/a.vcf", "1")
	for name, rows := range map[string][]string{
		"gone first":       {tombstone, inline},
		"gone last":        {inline, tombstone},
		"named, gone last": {named, tombstone},
		"twice":            {inline, inline},
		"in two spellings": {inline, strings.Replace(inline, "a.vcf", "%61.vcf", 1)},
		"refused first":    {statusRow("/book/a.vcf", 500), inline},
	} {
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "PROPFIND":
				return answer(207, multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1")))
			case strings.Contains(body, "multiget"):
				return answer(207, multistatus(row("/book/a.vcf", card("new"))))
			case strings.Contains(body, "t1"):
				return answer(207, withToken("t2", append(rows, statusRow("/book/c.vcf", 404))...))
			}
			return answer(207, withToken("t1", row("/book/a.vcf", card("old")), row("/book/b.vcf", card("b"))))
		})
		var f follower
		if err := f.follow(t, client); err != nil {
			t.Fatal(err)
		}
		f.calls = 0
		if err := f.follow(t, client); err != nil || f.ids() != "a.vcf b.vcf" || f.cards["a.vcf"].Name != "new" || f.calls != 2 {
			t.Errorf("%s: got %q, %d changes, %v", name, f.ids(), f.calls, err)
		}
	}
}
