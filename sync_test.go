package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// mirror fails the test unless the caller's copy equals the server's book.
func (c *changes) mirror(t *testing.T, client *icloud.Client) {
	t.Helper()
	contacts, err := list(t, client)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, contact := range contacts {
		want[contact.ID] = string(contact.VCard)
	}
	got := make(map[string]string)
	for id, contact := range c.cards {
		got[id] = string(contact.VCard)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the copy has %d cards %v, the server %d %v", len(got), slices.Sorted(maps.Keys(got)), len(want), slices.Sorted(maps.Keys(want)))
	}
}

// TestSync has a case for each way in which servers sync.
func TestSync(t *testing.T) {
	t.Parallel()
	without := func(status int, body string) func(*icloudtest.Server) {
		return func(s *icloudtest.Server) {
			s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != "REPORT" || r.Header.Get("Depth") != "0" {
					return false
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			}
		}
	}
	servers := map[string]func(*icloudtest.Server){
		"iCloud":               func(*icloudtest.Server) {},
		"inline":               func(s *icloudtest.Server) { s.InlineData = true },
		"pages":                func(s *icloudtest.Server) { s.PageSize = 7 },
		"inline pages":         func(s *icloudtest.Server) { s.InlineData, s.PageSize = true, 1 },
		"extra changes":        func(s *icloudtest.Server) { s.ExtraChanges = true },
		"prefixes":             func(s *icloudtest.Server) { s.Prefixes = true },
		"empty status":         func(s *icloudtest.Server) { s.EmptyStatus = true },
		"empty token refused":  func(s *icloudtest.Server) { s.RefuseEmptyToken = true },
		"empty token: 400":     func(s *icloudtest.Server) { s.RefuseEmptyToken, s.TokenRefusal = true, 400 },
		"empty token: 403":     func(s *icloudtest.Server) { s.RefuseEmptyToken, s.TokenRefusal = true, 403 },
		"empty token: 409":     func(s *icloudtest.Server) { s.RefuseEmptyToken, s.TokenRefusal = true, 409 },
		"empty token: 410":     func(s *icloudtest.Server) { s.RefuseEmptyToken, s.TokenRefusal = true, 410 },
		"no sync-collection":   without(405, ""),
		"not implemented":      without(501, ""),
		"unsupported report":   without(403, `<error xmlns="DAV:"><supported-report/></error>`),
		"a 207 without tokens": without(207, multistatus()),
	}
	for name, setUp := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := fake(t, 20)
			setUp(server)
			copied := new(changes)
			token, err := copied.sync(t.Context(), client, "")
			if err != nil || token == "" {
				t.Fatalf("got token %q, %v", token, err)
			}
			copied.mirror(t, client)

			// Nothing has changed.
			copied.calls = 0
			if token, err = copied.sync(t.Context(), client, token); err != nil || copied.calls > 1 || copied.calls == 1 && !server.ExtraChanges {
				t.Fatalf("got %d changes, %v", copied.calls, err)
			}

			server.Delete("00003.vcf")
			server.Put("00004.vcf", card("changed"))
			server.Put("new.vcf", card("new"))
			server.Put("brief.vcf", card("brief"))
			server.Delete("brief.vcf")

			// apply fails in between. The next Sync begins with the old token, as
			// after a rollback, or with the new one.
			failure := errors.New("disk full")
			copied.fail = func(icloud.Change) error { return failure }
			next, err := copied.sync(t.Context(), client, token)
			if err != failure || next == "" {
				t.Fatalf("got token %q, error %v", next, err)
			}
			copied.fail = nil
			for _, from := range []string{token, next} {
				copied.calls = 0
				if token, err = copied.sync(t.Context(), client, from); err != nil {
					t.Fatal(err)
				}
				copied.mirror(t, client)
				if copied.calls > 5 {
					t.Errorf("got %d changes, want no more than what changed", copied.calls)
				}
			}

			// The token works in a new Client.
			server.Delete("00005.vcf")
			other, err := icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := copied.sync(t.Context(), other, token); err != nil {
				t.Fatal(err)
			}
			copied.mirror(t, other)
		})
	}
}

// TestSyncTokenRefused: every kind of refusal of a token is ErrResync, and never a refusal of the
// password.
func TestSyncTokenRefused(t *testing.T) {
	t.Parallel()
	for _, refusal := range []int{0, 400, 403, 409, 410} {
		for _, fresh := range []bool{false, true} {
			server, client := fake(t, 3)
			server.TokenRefusal = refusal
			token, err := new(changes).sync(t.Context(), client, "")
			if err != nil {
				t.Fatal(err)
			}
			server.ForgetTokens()
			if fresh {
				if client, err = icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()}); err != nil {
					t.Fatal(err)
				}
			}
			copied := new(changes)
			next, err := copied.sync(t.Context(), client, token)
			if err != icloud.ErrResync || next != "" || copied.calls != 0 {
				t.Errorf("%d: got %d changes, token %q, %v", refusal, copied.calls, next, err)
			}
			if client.Status().State != icloud.Active {
				t.Errorf("%d: the state is %v", refusal, client.Status().State)
			}
			if _, err := copied.sync(t.Context(), client, ""); err != nil {
				t.Fatal(err)
			}
			copied.mirror(t, client)
		}
	}
}

func TestSyncForeignToken(t *testing.T) {
	t.Parallel()
	_, client := fake(t, 3)
	_, other := fake(t, 3)
	token, err := new(changes).sync(t.Context(), client, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"garbage", "s", "s.", "s..", "e.x.y", ".", "http://sabre.io/ns/sync/1", token[:len(token)/4], "e" + token[1:], strings.Replace(token, ".", ".x", 1), "e." + strings.Repeat("A", 1000)} {
		if next, err := new(changes).sync(t.Context(), client, bad); err != icloud.ErrResync || next != "" {
			t.Errorf("%q: got %v, token %q", bad, err, next)
		}
	}
	// The token of another account, which has another number.
	if _, err := new(changes).sync(t.Context(), other, token); err != icloud.ErrResync {
		t.Logf("the token of another account: %v", err)
	}
}

// TestSyncFails: a failure during a sync is an error, with the old token, and a second run misses
// nothing.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	faults := map[string]icloudtest.Fault{
		"401 of nobody": icloudtest.Status(401),
		"403":           icloudtest.Status(403),
		"500":           icloudtest.Status(500),
		"503":           icloudtest.Status(503),
		"page":          icloudtest.BadGateway,
		"reset":         icloudtest.Reset,
		"cut":           icloudtest.Cut(200),
	}
	for name, fault := range faults {
		for step := range 3 { // the report, the first batch of two, the last
			t.Run(fmt.Sprintf("%s at %d", name, step), func(t *testing.T) {
				t.Parallel()
				server, client := fake(t, 250)
				if err := client.Authenticate(t.Context()); err != nil {
					t.Fatal(err)
				}
				for contact, err := range client.Contacts(t.Context()) {
					if _ = contact; err != nil {
						t.Fatal(err)
					}
					break
				}
				server.Intercept = icloudtest.After(step, fault)
				copied := new(changes)
				next, err := copied.sync(t.Context(), client, "")
				// A refusal of sync-collection is not a failure, and neither is one
				// of a few cards.
				if _, partial := errors.AsType[*icloud.PartialError](err); err == nil && name != "403" || !partial && err != nil && next != "" ||
					partial && (name != "500" || step != 2 || next == "") {
					t.Fatalf("got token %q, error %v, %d changes", next, err, copied.calls)
				}
				if _, ok := errors.AsType[*icloud.AuthError](err); ok || err == icloud.ErrResync || client.Status().State != icloud.Active {
					t.Fatalf("got %v, state %v", err, client.Status().State)
				}
				server.Intercept = nil
				if _, err := copied.sync(t.Context(), client, ""); err != nil {
					t.Fatal(err)
				}
				copied.mirror(t, client)
			})
		}
	}
}

// TestSyncBatches: a batch that is exactly full, and one card more.
func TestSyncBatches(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 1, 1: 2, 200: 2, 201: 3} {
		server, client := fake(t, n)
		if _, err := list(t, client); err != nil {
			t.Fatal(err)
		}
		before := server.Requests()
		copied := new(changes)
		if _, err := copied.sync(t.Context(), client, ""); err != nil || len(copied.cards) != n {
			t.Errorf("%d cards: got %d, %v", n, len(copied.cards), err)
		}
		if got := server.Requests() - before; got != want {
			t.Errorf("%d cards: %d requests, want %d", n, got, want)
		}
	}
}

// TestSyncRequests: ten changes need two requests, whatever the size of the book.
func TestSyncRequests(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 1000)
	copied := new(changes)
	token, err := copied.sync(t.Context(), client, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		server.Put(fmt.Sprintf("%05d.vcf", i), card("changed"))
	}
	before := server.Requests()
	copied.calls = 0
	if _, err := copied.sync(t.Context(), client, token); err != nil || copied.calls != 10 || server.Requests()-before != 2 {
		t.Errorf("got %d changes in %d requests, %v", copied.calls, server.Requests()-before, err)
	}
	if len(token) > 100 {
		t.Errorf("iCloud's token has %d bytes", len(token))
	}
}

// TestSyncMultigetRows: rows in a multiget that were not requested, and rows that are missing.
func TestSyncMultigetRows(t *testing.T) {
	t.Parallel()
	report := strings.Replace(multistatus(
		etagRow("/book", "x"), // the collection itself, without a slash
		etagRow("/book/a%20b.vcf", "1"), etagRow("/book/c.vcf", "1"), etagRow("/book/c.vcf", "1"), statusRow("/book/old.vcf", 404),
	), "</multistatus>", "<sync-token>t1</sync-token></multistatus>", 1)
	tests := []struct {
		name, multiget string
		ids            string
		failed         string
	}{
		{"as asked", row("/book/a%20b.vcf", card("a")) + row("/book/c.vcf", card("c")), "a%20b.vcf c.vcf", ""},
		{"decoded", row("/book/a b.vcf", card("a")) + row("/book/%63.vcf", card("c")), "a%20b.vcf c.vcf", ""},
		{"twice", row("/book/c.vcf", card("c")) + row("/book/c.vcf", card("c")) + row("/book/a%20b.vcf", card("a")), "a%20b.vcf c.vcf", ""},
		{"unrequested", row("/book/z.vcf", card("z")) + statusRow("/book/y.vcf", 500) + row("/book/c.vcf", card("c")) + row("/book/a%20b.vcf", card("a")), "a%20b.vcf c.vcf", ""},
		{"one never answered", row("/book/c.vcf", card("c")), "c.vcf", "a%20b.vcf"},
		{"none answered", "", "", "a%20b.vcf"},
		{"one without a card", etagRow("/book/a%20b.vcf", "1") + row("/book/c.vcf", card("c")), "c.vcf", "a%20b.vcf"},
		{"one forbidden", statusRow("/book/a%20b.vcf", 403) + row("/book/c.vcf", card("c")), "c.vcf", "a%20b.vcf"},
		{"one gone", statusRow("/book/a%20b.vcf", 404) + row("/book/c.vcf", card("c")), "c.vcf", ""},
		{"one empty", row("/book/a%20b.vcf", "") + row("/book/c.vcf", card("c")), "a%20b.vcf c.vcf", ""},
	}
	for _, test := range tests {
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			if r.Method == "GET" {
				return answer(500, "")
			}
			if strings.Contains(body, "multiget") {
				if strings.Contains(body, "<href>/book/</href>") || strings.Contains(body, "<href>/book</href>") || !strings.Contains(body, "<href>/book/a%20b.vcf</href>") ||
					strings.Index(body, "<prop>") > strings.Index(body, "<href>") {
					t.Errorf("%s: asked %s", test.name, body)
				}
				return answer(207, multistatus(test.multiget))
			}
			if strings.Contains(body, "t1") {
				return answer(207, strings.Replace(multistatus(), "</multistatus>", "<sync-token>t1</sync-token></multistatus>", 1))
			}
			return answer(207, report)
		})
		copied := new(changes)
		next, err := copied.sync(t.Context(), client, "")
		if got := strings.Join(slices.Sorted(maps.Keys(copied.cards)), " "); got != test.ids {
			t.Errorf("%s: got %q", test.name, got)
		}
		pe, ok := errors.AsType[*icloud.PartialError](err)
		if ok != (test.failed != "") || ok && pe.Cards[0].ID != test.failed || !ok && err != nil || next == "" {
			t.Errorf("%s: got %v, token %q", test.name, err, next)
		}
		if _, err := copied.sync(t.Context(), client, next); (err != nil) != ok {
			t.Errorf("%s: again: %v", test.name, err)
		}
	}
}

// TestMultigetRefused: the status of a whole multiget is not applied to each of its cards.
func TestMultigetRefused(t *testing.T) {
	t.Parallel()
	token := strings.Replace(multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1")), "</multistatus>", "<sync-token>t1</sync-token></multistatus>", 1)
	for _, status := range []int{400, 403, 404, 410, 500, 503} {
		for _, cards := range []int{1, 2} {
			client := onBook(t, func(r *http.Request, body string) *http.Response {
				switch {
				case strings.Contains(body, "multiget"):
					return answer(status, "")
				case r.Method == "PROPFIND" && r.Header.Get("Depth") == "0":
					return answer(207, bookAnswer)
				case r.Method == "PROPFIND":
					return answer(207, multistatus([]string{etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1")}[:cards]...))
				case r.Method == "GET":
					return answer(status, "")
				case strings.Contains(body, "addressbook-query"):
					return answer(501, "")
				}
				return answer(207, token)
			})
			contacts, err := list(t, client)
			if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != status || len(contacts) != 0 {
				t.Errorf("%d of %d: listed %d, %v", status, cards, len(contacts), err)
			}
			next, err := client.Sync(t.Context(), "", func(c icloud.Change) error {
				t.Errorf("%d: got the change %v", status, c)
				return nil
			})
			// After a 400 or a 500 each card was requested alone, and is owed.
			_, partial := errors.AsType[*icloud.PartialError](err)
			if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != status || (next != "") != partial || partial != (status == 400 || status == 500) {
				t.Errorf("%d: got %q, %v", status, next, err)
			}
		}
	}
}

// TestMultigetSpoiled: a card that breaks a batch is found by halving. If the server
// refuses every card, they are not all requested alone.
func TestMultigetSpoiled(t *testing.T) {
	t.Parallel()
	const n = 1000
	var rows []string
	for i := range n {
		rows = append(rows, etagRow(fmt.Sprintf("/book/%d.vcf", i), "1"))
	}
	for name, test := range map[string]struct {
		spoiled      func(id string) bool
		most, listed int
	}{
		"one":  {func(id string) bool { return id == "777.vcf" }, 35, n - 1},
		"none": {func(string) bool { return false }, 10, n},
		"all":  {func(string) bool { return true }, 60, 0},
	} {
		requests := 0
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			requests++
			switch {
			case r.Method == "PROPFIND":
				return answer(207, multistatus(rows...))
			case !strings.Contains(body, "multiget"):
				return answer(405, "")
			}
			var found []string
			for _, href := range regexp.MustCompile(`/book/([^<]*vcf)`).FindAllStringSubmatch(body, -1) {
				if test.spoiled(href[1]) {
					return answer(400, "")
				}
				found = append(found, row(href[0], card(href[1])))
			}
			return answer(207, multistatus(found...))
		})
		contacts, err := list(t, client)
		if len(contacts) != test.listed || requests > test.most || (err == nil) != (test.listed == n) {
			t.Errorf("%s: got %d contacts in %d requests, %v", name, len(contacts), requests, err)
		}
	}
}

// TestMultigetManyBroken: many cards break the answer. Only these are missing.
func TestMultigetManyBroken(t *testing.T) {
	t.Parallel()
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		var rows []string
		for i := range 60 {
			href := fmt.Sprintf("/book/%02d.vcf", i)
			switch {
			case strings.Contains(body, "multiget") && !strings.Contains(body, href):
			case r.Method == "PROPFIND":
				rows = append(rows, etagRow(href, "1"))
			case 20 <= i && i < 40:
				rows = append(rows, "</oops>")
			default:
				rows = append(rows, row(href, card("x")))
			}
		}
		return answer(207, multistatus(rows...))
	})
	if contacts, err := list(t, client); len(contacts) != 40 || err == nil {
		t.Errorf("got %d cards, %v", len(contacts), err)
	}
}

// TestOwnRowRefuses: a 207 may contain a refusal of the book or of the token in the book's
// own row.
func TestOwnRowRefuses(t *testing.T) {
	t.Parallel()
	prop := func(status int) string {
		return fmt.Sprintf("<response><href>/book/</href><propstat><prop><getetag/></prop><status>HTTP/1.1 %d X</status></propstat></response>", status)
	}
	for _, status := range []int{401, 403, 404, 500, 503} {
		for name, own := range map[string]string{"row": statusRow("/book/", status), "propstat": prop(status)} {
			missing := name == "propstat" && status == 404 // it has no ETag, as collections do
			client := onBook(t, func(r *http.Request, body string) *http.Response {
				if r.Method == "PROPFIND" && r.Header.Get("Depth") == "0" {
					return answer(207, bookAnswer)
				}
				return answer(207, strings.Replace(multistatus(own), "</multistatus>", "<sync-token>t</sync-token></multistatus>", 1))
			})
			if contacts, err := list(t, client); (err == nil) != missing || len(contacts) != 0 {
				t.Errorf("%s %d: listed %d, %v", name, status, len(contacts), err)
			}
			if next, err := client.Sync(t.Context(), "", func(icloud.Change) error { return nil }); (err == nil) != missing || (next == "") == missing {
				t.Errorf("%s %d: synced to %q, %v", name, status, next, err)
			}
		}
	}
	refuse := false
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		if r.Method == "PROPFIND" {
			return answer(207, bookAnswer)
		}
		own := etagRow("/book/", "1")
		if refuse {
			own = statusRow("/book/", 403)
		}
		return answer(207, strings.Replace(multistatus(own), "</multistatus>", "<sync-token>t</sync-token></multistatus>", 1))
	})
	next, err := client.Sync(t.Context(), "", func(icloud.Change) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	refuse = true
	if _, err := client.Sync(t.Context(), next, func(icloud.Change) error { return nil }); !errors.Is(err, icloud.ErrResync) {
		t.Errorf("a token refused in a 207: got %v", err)
	}
}

// TestSyncBrokenNames: if the names in a sync-collection cannot be parsed, the ETags are compared
// instead.
func TestSyncBrokenNames(t *testing.T) {
	t.Parallel()
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "PROPFIND" && r.Header.Get("Depth") == "0":
			return answer(207, bookAnswer)
		case r.Method == "PROPFIND":
			return answer(207, multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b&amp;c.vcf", "1")))
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus(row("/book/a.vcf", card("a")), row("/book/b&amp;c.vcf", card("b"))))
		}
		return answer(207, strings.Replace(multistatus(etagRow("/book/b&c.vcf", "1")), "</multistatus>", "<sync-token>t</sync-token></multistatus>", 1))
	})
	copied := new(changes)
	next, err := copied.sync(t.Context(), client, "")
	if err != nil || len(copied.cards) != 2 {
		t.Fatalf("got %v, %v", copied.cards, err)
	}
	if _, err := copied.sync(t.Context(), client, next); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestSyncFirstRun: a run from "" never returns ErrResync, whatever its second page is, and
// misses no change between its two tries.
func TestSyncFirstRun(t *testing.T) {
	t.Parallel()
	withToken := func(token string, rows ...string) string {
		return strings.Replace(multistatus(rows...), "</multistatus>", "<sync-token>"+token+"</sync-token></multistatus>", 1)
	}
	for name, second := range map[string]func() *http.Response{
		"refused":    func() *http.Response { return answer(403, "") },
		"unreadable": func() *http.Response { return answer(207, withToken("t2", etagRow("/book/b&c.vcf", "1"))) },
		"no token":   func() *http.Response { return answer(207, multistatus()) },
	} {
		client := onBook(t, func(r *http.Request, body string) *http.Response {
			switch {
			case r.Method == "PROPFIND" && r.Header.Get("Depth") == "0":
				return answer(207, bookAnswer)
			case r.Method == "PROPFIND":
				return answer(207, multistatus(etagRow("/book/a.vcf", "1")))
			case strings.Contains(body, "multiget"):
				return answer(207, multistatus(row("/book/a.vcf", card("a"))))
			case strings.Contains(body, "t1"):
				return second()
			}
			return answer(207, withToken("t1", statusRow("/book/", 507)))
		})
		copied := new(changes)
		if next, err := copied.sync(t.Context(), client, ""); err != nil || next == "" || len(copied.cards) != 1 {
			t.Errorf("%s: got %v, token %q, %v", name, copied.cards, next, err)
		}
	}

	version := "1"
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "PROPFIND":
			return answer(207, bookAnswer)
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus(row("/book/a.vcf", card(version))))
		case strings.Contains(body, "address-data"):
			defer func() { version = "2" }()
			return answer(207, withToken("t1", row("/book/a.vcf", card(version)), etagRow("/book/b&c.vcf", "1")))
		}
		return answer(207, withToken("t2", etagRow("/book/a.vcf", version)))
	})
	got := ""
	if _, err := client.Sync(t.Context(), "", func(c icloud.Change) error {
		got = c.Contact.Name
		return nil
	}); err != nil || got != "2" {
		t.Errorf("a card that changed between two tries: got version %q, %v", got, err)
	}
}

// TestSyncCancelled: a call returns when its context ends, even if the answer has arrived.
func TestSyncCancelled(t *testing.T) {
	t.Parallel()
	_, client := fake(t, 5)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for _, err := range client.Contacts(ctx) {
			if n++; err != nil {
				if !errors.Is(err, context.Canceled) || n != 2 {
					t.Errorf("after %d: %v", n, err)
				}
				continue
			}
			cancel()
		}
		if n != 2 {
			t.Errorf("Contacts went on to %d", n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, err := client.Sync(ctx, "", func(icloud.Change) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || next != "" {
		t.Errorf("Sync: %q, %v", next, err)
	}
}

// TestSyncCompareRefused: a card that the server refuses to describe is not reported as deleted.
func TestSyncCompareRefused(t *testing.T) {
	t.Parallel()
	listing := multistatus(etagRow("/book/a.vcf", "1"), etagRow("/book/b.vcf", "1"))
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "PROPFIND":
			return answer(207, listing)
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus(row("/book/a.vcf", card("a")), row("/book/b.vcf", card("b"))))
		}
		return answer(501, "")
	})
	copied := new(changes)
	token, err := copied.sync(t.Context(), client, "")
	if err != nil || len(copied.cards) != 2 {
		t.Fatalf("got %d cards, %v", len(copied.cards), err)
	}
	for _, refused := range []string{
		multistatus(etagRow("/book/a.vcf", "1"), statusRow("/book/b.vcf", 403)),
		multistatus(etagRow("/book/a.vcf", "1"), statusRow("/book/b.vcf", 500)),
		multistatus(statusRow("/book/", 403)),
		multistatus(etagRow("/book/a.vcf", "1"))[:200],
	} {
		listing = refused
		next, err := copied.sync(t.Context(), client, token)
		_, partial := errors.AsType[*icloud.PartialError](err)
		if err == nil || len(copied.cards) != 2 || (next != token) != partial {
			t.Errorf("got %d cards left, %v", len(copied.cards), err)
		}
	}
	listing = multistatus(etagRow("/book/a.vcf", "1"))
	if _, err := copied.sync(t.Context(), client, token); err != nil || len(copied.cards) != 1 {
		t.Errorf("got %d cards left, %v", len(copied.cards), err)
	}
}

// TestSyncCompareWithoutETags: if the server has no ETags, every card counts as changed.
func TestSyncCompareWithoutETags(t *testing.T) {
	t.Parallel()
	name := "a"
	client := onBook(t, func(r *http.Request, body string) *http.Response {
		switch {
		case r.Method == "PROPFIND":
			return answer(207, multistatus("<response><href>/book/a.vcf</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>"))
		case strings.Contains(body, "multiget"):
			return answer(207, multistatus(row("/book/a.vcf", card(name))))
		}
		return answer(501, "")
	})
	copied := new(changes)
	token := ""
	for _, name = range []string{"a", "b", "c"} {
		var err error
		if token, err = copied.sync(t.Context(), client, token); err != nil || copied.cards["a.vcf"] == nil || copied.cards["a.vcf"].Name != name {
			t.Fatalf("%s: got %v, %v", name, copied.cards, err)
		}
	}
}

// TestSyncTokenSize: a token with ETags has about 40 bytes for each card.
func TestSyncTokenSize(t *testing.T) {
	t.Parallel()
	server, client := fake(t, 0)
	server.RefuseEmptyToken = true
	const n = 1000
	for i := range n {
		server.Put(fmt.Sprintf("%08X-%04X-4%03X-A%03X-%012X.vcf", i*2654435761&0xffffffff, i*40503&0xffff, i&0xfff, i*7&0xfff, i*2654435761*40503&0xffffffffffff), card("x"))
	}
	token, err := new(changes).sync(t.Context(), client, "")
	if err != nil {
		t.Fatal(err)
	}
	if size := len(token) / n; size > 45 {
		t.Errorf("got %d bytes a card", size)
	}
}

// TestSyncEndless: a Sync with a server that always has more changes ends.
func TestSyncEndless(t *testing.T) {
	t.Parallel()
	client := onBook(t, func(*http.Request, string) *http.Response {
		return answer(207, strings.Replace(multistatus(statusRow("/book/", 507)), "</multistatus>", "<sync-token>same</sync-token></multistatus>", 1))
	})
	if _, err := new(changes).sync(t.Context(), client, ""); err == nil {
		t.Error("got no error")
	}
}

// TestSync500: Xandikos answers 500 to an unknown token. That differs from a server that answers
// 500 to everything.
func TestSync500(t *testing.T) {
	t.Parallel()
	const token = "t1"
	good := strings.Replace(multistatus(), "</multistatus>", "<sync-token>t1</sync-token></multistatus>", 1)
	for name, test := range map[string]struct {
		fails func(body string, n int) bool
		want  error // nil means the error of the answer
	}{
		"the token":  {func(body string, _ int) bool { return strings.Contains(body, token) }, icloud.ErrResync},
		"everything": {func(string, int) bool { return true }, nil},
	} {
		n, healthy := 0, true
		client := onBook(t, func(_ *http.Request, body string) *http.Response {
			n++
			if !healthy && test.fails(body, n) {
				return answer(500, "")
			}
			return answer(207, good)
		})
		since, err := new(changes).sync(t.Context(), client, "")
		if err != nil {
			t.Fatal(err)
		}
		n, healthy = 0, false
		next, err := new(changes).sync(t.Context(), client, since)
		if _, ok := errors.AsType[*icloud.ResponseError](err); test.want != nil && err != test.want || test.want == nil && !ok || (next == "") != (test.want != nil) {
			t.Errorf("%s: got token %q, %v", name, next, err)
		}
	}
}

// TestSyncRevokedInTheMiddle: the password dies between two batches of a sync. Some changes were
// applied, the token is the old one, and the error has the reason.
func TestSyncRevokedInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := icloudtest.NewServer()
		defer server.Close()
		for i := range 250 {
			server.Put(fmt.Sprintf("%05d.vcf", i), card("x"))
		}
		credential := server.Issue()
		client, err := icloud.New(credential, &icloud.Options{Transport: server.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		copied := &changes{fail: func(change icloud.Change) error {
			if change.ID == "00199.vcf" { // the last of the first batch
				server.Revoke(credential.Password)
			}
			return nil
		}}
		next, err := copied.sync(t.Context(), client, "")
		ae, ok := errors.AsType[*icloud.AuthError](err)
		if !ok || !errors.Is(err, icloud.ErrPasswordRevoked) || ae.Confirmed || next != "" || len(copied.cards) != 200 {
			t.Fatalf("got %d cards, %v", len(copied.cards), err)
		}
		if err := client.Reconnect(t.Context(), server.Issue()); err != nil {
			t.Fatal(err)
		}
		copied.fail = nil
		if _, err := copied.sync(t.Context(), client, ""); err != nil {
			t.Fatal(err)
		}
		copied.mirror(t, client)
	})
}
