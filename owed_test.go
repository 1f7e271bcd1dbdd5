package icloud_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// withToken is a multistatus of a sync-collection.
func withToken(token string, rows ...string) string {
	return strings.Replace(multistatus(rows...), "</multistatus>", "<sync-token>"+token+"</sync-token></multistatus>", 1)
}

// dataRefused is a row as Apple's calendarserver writes it in a sync-collection that
// asks for cards.
func dataRefused(href, etag string) string {
	return "<response><href>" + href + "</href><propstat><prop><getetag>" + etag + "</getetag></prop><status>HTTP/1.1 200 OK</status></propstat>" +
		`<propstat><prop><address-data xmlns="urn:ietf:params:xml:ns:carddav"/></prop><status>HTTP/1.1 403 Forbidden</status></propstat></response>`
}

var hrefPattern = regexp.MustCompile(`<href>([^<]*)</href>`)

// asked returns the hrefs of a multiget.
func asked(body string) (hrefs []string) {
	for _, m := range hrefPattern.FindAllStringSubmatch(body, -1) {
		hrefs = append(hrefs, m[1])
	}
	return hrefs
}

// follower is a consumer that keeps the changes and the token with every error.
type follower struct {
	changes
	token string
}

// follow runs Sync, and after a complete run from "" deletes what was not reported.
func (f *follower) follow(t *testing.T, client *icloud.Client) error {
	t.Helper()
	seen := make(map[string]bool)
	next, err := client.Sync(t.Context(), f.token, func(c icloud.Change) error {
		seen[c.ID] = true
		return f.apply(c)
	})
	partial, ok := errors.AsType[*icloud.PartialError](err)
	if f.token == "" && (err == nil || ok) {
		for id := range f.cards {
			if !seen[id] && !slices.Contains(owedIDs(partial), id) {
				delete(f.cards, id)
			}
		}
	}
	f.token = next
	return err
}

func owedIDs(partial *icloud.PartialError) (ids []string) {
	if partial != nil {
		for _, card := range partial.Cards {
			ids = append(ids, card.ID)
		}
	}
	return ids
}

func (f *follower) ids() string {
	var ids []string
	for id := range f.cards {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// TestSyncOwes: a card that cannot be fetched does not prevent the sync of the others. It is
// requested again, with few requests, until it is fetched or deleted.
func TestSyncOwes(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		present := map[string]bool{"a": true, "b": true, "bad": true}
		broken, delta, gets, multigets := true, []string(nil), 0, 0
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "GET":
				gets++
				return answer(500, "")
			case strings.Contains(body, "multiget"):
				multigets++
				var rows []string
				for _, href := range asked(body) {
					name := strings.TrimSuffix(strings.TrimPrefix(href, "/book/"), ".vcf")
					if present[name] && !(broken && name == "bad") {
						rows = append(rows, row(href, card(name)))
					}
				}
				return answer(207, multistatus(rows...))
			case strings.Contains(body, "t1"):
				return answer(207, withToken("t1", delta...))
			}
			return answer(207, withToken("t1", etagRow("/book/a.vcf", "1"), etagRow("/book/bad.vcf", "1"), etagRow("/book/b.vcf", "1")))
		})
		var f follower
		for run := range 100 {
			gets, multigets = 0, 0
			err := f.follow(t, client)
			partial, ok := errors.AsType[*icloud.PartialError](err)
			if !ok || fmt.Sprint(owedIDs(partial)) != "[bad.vcf]" || f.ids() != "a.vcf b.vcf" || f.token == "" {
				t.Fatalf("run %d: got %q, %v", run, f.ids(), err)
			}
			if ce, ok := errors.AsType[*icloud.CardError](err); !ok || ce.ID != "bad.vcf" {
				t.Fatalf("run %d: the error does not unwrap to the card's: %v", run, err)
			}
			if gets != 1 || multigets != 1 {
				t.Fatalf("run %d: %d multigets, %d GETs, want one of each", run, multigets, gets)
			}
		}
		want := "a.vcf b.vcf bad.vcf"
		if broken = false; deleted {
			delete(present, "bad")
			delta, want = []string{statusRow("/book/bad.vcf", 404)}, "a.vcf b.vcf"
		}
		if err := f.follow(t, client); err != nil || f.ids() != want {
			t.Errorf("deleted %v: got %q, %v", deleted, f.ids(), err)
		}
		delta = nil
		if multigets = 0; f.follow(t, client) != nil || multigets != 0 {
			t.Errorf("deleted %v: it is still asked for", deleted)
		}
	}
}

// TestSyncOwesInRotation: of many owed cards each run fetches five by GET, in rotation.
func TestSyncOwesInRotation(t *testing.T) {
	t.Parallel()
	const n = 18
	var rows []string
	for i := range n {
		rows = append(rows, etagRow(fmt.Sprintf("/book/%02d.vcf", i), "1"))
	}
	good := false
	gets := make(map[string]int)
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "GET":
			gets[r.URL.Path]++
			if !good {
				return answer(403, "")
			}
			return answer(200, card("x"), "Content-Type", "text/vcard", "ETag", `"1"`)
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus())
		case strings.Contains(body, "t1"):
			return answer(207, withToken("t1"))
		}
		return answer(207, withToken("t1", rows...))
	})
	var f follower
	_ = f.follow(t, client)
	clear(gets)
	for range 4 {
		_ = f.follow(t, client)
	}
	if len(gets) != n {
		t.Errorf("%d of %d were asked for in four runs", len(gets), n)
	}
	good = true
	for run := 1; ; run++ {
		err := f.follow(t, client)
		if len(f.cards) != min(5*run, n) {
			t.Fatalf("after %d good runs: got %d cards, %v", run, len(f.cards), err)
		}
		if err == nil {
			break
		}
	}
}

// TestSyncHandedOut: a card that a failed run has reported, and that is deleted before the next
// run, is reported as deleted, although the server does not report that.
func TestSyncHandedOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		multiget func() *http.Response // the answer for the deleted card
		want     string
	}{
		"gone":              {func() *http.Response { return answer(207, multistatus(statusRow("/book/brief.vcf", 404))) }, "old.vcf"},
		"gone, without row": {func() *http.Response { return answer(207, multistatus()) }, "old.vcf"},
		"still there":       {func() *http.Response { return answer(207, multistatus(row("/book/brief.vcf", card("brief")))) }, "brief.vcf old.vcf"},
	} {
		var delta []string
		var fail *http.Response
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "GET":
				return answer(404, "")
			case r.Method == "PROPFIND":
				return answer(207, multistatus(etagRow("/book/old.vcf", `"1"`), etagRow("/book/brief.vcf", "1")))
			case strings.Contains(body, "multiget") && fail != nil && strings.Contains(body, "late"):
				return fail
			case strings.Contains(body, "multiget") && strings.Contains(body, "brief") && fail == nil:
				return test.multiget()
			case strings.Contains(body, "multiget"):
				var rows []string
				for _, href := range asked(body) {
					rows = append(rows, row(href, card("x")))
				}
				return answer(207, multistatus(rows...))
			case strings.Contains(body, "t1"):
				return answer(207, withToken("t1", delta...))
			}
			return answer(207, withToken("t1", etagRow("/book/old.vcf", "1")))
		})
		var f follower
		if err := f.follow(t, client); err != nil {
			t.Fatal(err)
		}
		// The first batch has 200 changes, and the second fails.
		delta = []string{etagRow("/book/brief.vcf", "1")}
		for i := range 199 {
			delta = append(delta, etagRow(fmt.Sprintf("/book/%03d.vcf", i), "1"))
		}
		delta, fail = append(delta, etagRow("/book/late.vcf", "1")), answer(503, "")
		if err := f.follow(t, client); err == nil || f.cards["brief.vcf"] == nil || f.token == "" {
			t.Fatalf("%s: got %d cards, token %q, %v", name, len(f.cards), f.token, err)
		}
		delta, fail = nil, nil
		for id := range f.cards {
			if id != "brief.vcf" && id != "old.vcf" {
				delta = append(delta, statusRow("/book/"+id, 404))
			}
		}
		if err := f.follow(t, client); err != nil || f.ids() != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, f.ids(), err, test.want)
		}
	}
}

// TestSyncTokenBound: if more cards are owed than a token can name, the error is not a
// PartialError, and the token is the old one.
func TestSyncTokenBound(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range 9000 {
		rows = append(rows, etagRow(fmt.Sprintf("/book/%08x-%08x.vcf", uint32(i)*2654435761, uint32(i)*40503), "1"))
	}
	first := true
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "GET":
			return answer(403, "")
		case r.Method == "PROPFIND":
			return answer(207, multistatus(append(rows, etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1"))...))
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus())
		case first:
			first = false
			return answer(207, withToken("t1"))
		}
		return answer(207, withToken("t2", append(rows, statusRow("/book/gone.vcf", 404))...))
	})
	var f follower
	if err := f.follow(t, client); err != nil {
		t.Fatal(err)
	}
	before := f.token
	err := f.follow(t, client)
	if _, partial := errors.AsType[*icloud.PartialError](err); err == nil || partial || f.token != before && len(f.token) > 64<<10 {
		t.Errorf("got a token of %d bytes, partial %v, %v", len(f.token), partial, err != nil)
	}
}
