package fakecontrol_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/internal/fakecontrol"
)

const day = 24 * time.Hour

// port is a Fake with its control port, as a test in another language uses them.
type port struct {
	t         *testing.T
	fake      *fakecontrol.Fake
	described *described
}

func open(t *testing.T, change ...func(*fakecontrol.Config)) *port {
	t.Helper()
	config := fakecontrol.Config{
		AppleID: "ada@example.com", Endpoint: "http://127.0.0.1:1/", Age: 364 * day, Cards: 2,
		Sample: []fakecontrol.Card{{ID: "ada.vcf", VCard: "BEGIN:VCARD\r\nFN:Ada Lovelace\r\nEND:VCARD\r\n"}},
		Invent: func(n int) (id, vcard string) {
			return fmt.Sprintf("person-%d.vcf", n), fmt.Sprintf("BEGIN:VCARD\r\nFN:Person %d\r\nEND:VCARD\r\n", n)
		},
	}
	for _, c := range change {
		c(&config)
	}
	f := fakecontrol.New(config)
	t.Cleanup(f.Close)
	return &port{t, f, newDescribed(t)}
}

// raw sends a request to the control port, whose answer must be as described.
func (p *port) raw(status int, method, path, mediaType, body string) string {
	p.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	w := httptest.NewRecorder()
	p.fake.Control().ServeHTTP(w, r)
	if w.Code != status {
		p.t.Errorf("%s %s %s: status %d, want %d: %s", method, path, body, w.Code, status, w.Body)
	}
	p.described.check(p.t, method, path, w.Code, w.Header(), w.Body.Bytes())
	return w.Body.String()
}

// call is raw with JSON; it reads the answer into out.
func (p *port) call(status int, method, path, body string, out any) {
	p.t.Helper()
	text := p.raw(status, method, path, "application/json", body)
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			p.t.Fatalf("%v in %s", err, text)
		}
	}
}

// ask sends the first request of a CardDAV client.
func (p *port) ask(user, password string) int {
	p.t.Helper()
	return p.dav("PROPFIND", "/", user, password, `<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`).Code
}

func (p *port) dav(method, path, user, password, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:1"+path, strings.NewReader(body))
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if err := recover(); err != nil && err != http.ErrAbortHandler {
				panic(err)
			}
		}()
		p.fake.ServeHTTP(w, r)
	}()
	return w
}

type (
	credential = fakecontrol.Credential
	account    = fakecontrol.Account
)

func (p *port) account(name string) (a account) {
	p.t.Helper()
	p.call(200, "GET", "/accounts/"+name, "", &a)
	return a
}

// TestOperations: every operation succeeds once, with an answer as described, and its effect
// is checked with requests of a CardDAV client.
func TestOperations(t *testing.T) {
	t.Parallel()
	p := open(t)
	first := p.fake.Start()
	if p.ask(first.AppleID, first.Password) != 207 {
		t.Error("the first password is refused")
	}
	var info fakecontrol.Info
	p.call(200, "GET", "/", "", &info)
	if info.First != "ada@example.com" || info.Endpoint != "http://127.0.0.1:1/" || info.Home != info.Endpoint ||
		len(info.Hosts) != 3 || !strings.HasSuffix(info.Hosts[2], "-contacts.icloud.com") {
		t.Errorf("got %+v", info)
	}
	p.call(200, "GET", "/openapi.json", "", nil)

	// Accounts and passwords.
	var ben credential
	p.call(200, "POST", "/accounts", `{"apple_id":"Ben@example.com","cards":3,"age":"10d"}`, &ben)
	if age := time.Since(ben.Issued); age < 10*day || age > 10*day+time.Minute || ben.Expires.Sub(ben.Issued) != 365*day {
		t.Errorf("a password of 10 days: %+v", ben)
	}
	if p.ask(ben.AppleID, ben.Password) != 207 || p.ask(first.AppleID, ben.Password) != 401 {
		t.Error("want the password accepted for its account alone")
	}
	var made credential
	p.call(200, "POST", "/accounts", "", &made)
	if made.AppleID == "" || p.ask(made.AppleID, made.Password) != 207 {
		t.Errorf("an account that is made up: %+v", made)
	}
	p.call(409, "POST", "/accounts", `{"apple_id":"BEN@example.com"}`, nil)
	var all struct{ Accounts []account }
	p.call(200, "GET", "/accounts", "", &all)
	if len(all.Accounts) != 3 || all.Accounts[0].AppleID != "ada@example.com" || all.Accounts[0].Cards != 3 || all.Accounts[1].Cards != 3 || all.Accounts[2].Cards != 0 {
		t.Errorf("accounts %+v", all)
	}
	var second credential
	p.call(200, "POST", "/accounts/ben@example.com/passwords", "", &second)
	if p.ask(ben.AppleID, ben.Password) != 207 || p.ask(ben.AppleID, second.Password) != 207 {
		t.Error("want the new password beside the old one")
	}
	p.call(200, "DELETE", "/accounts/ben@example.com/passwords/"+ben.Password, "", nil)
	if p.ask(ben.AppleID, ben.Password) != 401 || p.ask(ben.AppleID, second.Password) != 207 {
		t.Error("want the one password revoked")
	}
	// The password in use is the one that was accepted last, not the newest.
	var third credential
	p.call(200, "POST", "/accounts/ben@example.com/passwords", `{"issued":"2020-01-01T00:00:00Z"}`, &third)
	p.call(200, "POST", "/accounts/ben@example.com/passwords/current/expire", `{"at":"2020-01-01T00:00:00Z"}`, nil)
	if p.ask(ben.AppleID, second.Password) != 401 {
		t.Error("the password in use did not expire")
	}
	var states []string
	for _, password := range p.account("ben@example.com").Passwords {
		states = append(states, fmt.Sprint(password.State, " ", password.InUse))
	}
	if want := []string{"revoked false", "expired true", "expired false"}; !slices.Equal(states, want) {
		t.Errorf("passwords %q, want %q", states, want)
	}
	for _, revoke := range [][2]string{{"DELETE", "/accounts/first/passwords"}, {"POST", "/accounts/first/change-password"}} {
		var fresh credential
		p.call(200, "POST", "/accounts/first/passwords", `{}`, &fresh)
		p.call(200, revoke[0], revoke[1], "", nil)
		if p.ask(first.AppleID, first.Password) != 401 || p.ask(first.AppleID, fresh.Password) != 401 {
			t.Errorf("%s: want all passwords revoked", revoke[1])
		}
	}
	p.call(409, "DELETE", "/accounts/first/passwords/current", "", nil)

	// A reset keeps the Apple ID.
	var again credential
	p.call(200, "POST", "/reset", "", &again)
	if again.AppleID != first.AppleID || again.Password == first.Password || p.ask(first.AppleID, first.Password) != 401 || p.ask(again.AppleID, again.Password) != 207 {
		t.Errorf("after a reset: %+v", again)
	}
	p.call(404, "GET", "/accounts/ben@example.com", "", nil)

	// Cards.
	const odd = "begin:vcard\nany \x00 bytes"
	p.raw(200, "PUT", "/accounts/first/cards/a%20b.vcf", "text/vcard", odd)
	if got := p.raw(200, "GET", "/accounts/first/cards/a%20b.vcf", "", ""); got != odd {
		t.Errorf("the card is %q, want %q", got, odd)
	}
	p.call(200, "DELETE", "/accounts/first/cards/person-1.vcf", "", nil)
	p.call(404, "DELETE", "/accounts/first/cards/person-1.vcf", "", nil)
	p.call(404, "GET", "/accounts/first/cards/person-1.vcf", "", nil)
	var ids fakecontrol.IDs
	loaded := "\ufeffBEGIN:VCARD\r\nUID:urn:uuid:A/1\r\nEND:VCARD\r\n\r\nbegin:vcard\nAGENT:\nBEGIN:VCARD\nEND:VCARD\nend:vcard\n"
	if err := json.Unmarshal([]byte(p.raw(200, "POST", "/accounts/first/cards", "text/vcard", loaded)), &ids); err != nil || len(ids.IDs) != 2 || ids.IDs[0] != "A-1.vcf" {
		t.Errorf("loaded %q, %v", ids.IDs, err)
	}
	if got := p.raw(200, "GET", "/accounts/first/cards/A-1.vcf", "", ""); got != "BEGIN:VCARD\r\nUID:urn:uuid:A/1\r\nEND:VCARD\r\n" {
		t.Errorf("a card that was loaded is %q", got)
	}
	p.raw(400, "POST", "/accounts/first/cards", "text/vcard", "BEGIN:VCARD\nunfinished")
	p.call(200, "POST", "/accounts/first/generate", `{"count":5}`, &ids)
	var cards struct{ Cards []fakecontrol.Card }
	p.call(200, "GET", "/accounts/first/cards", "", &cards)
	var names []string
	for _, card := range cards.Cards {
		names = append(names, card.ID)
	}
	slices.Sort(names)
	if len(ids.IDs) != 5 || len(names) != 9 || !slices.Contains(names, "person-5.vcf") {
		t.Errorf("generated %q, have %q", ids.IDs, names)
	}
	p.call(200, "DELETE", "/accounts/first/cards", "", nil)
	if n := p.account("first").Cards; n != 0 {
		t.Errorf("%d cards in an empty book", n)
	}
	var photo struct{ URL string }
	if err := json.Unmarshal([]byte(p.raw(200, "POST", "/accounts/first/photos", "image/png", "png")), &photo); err != nil || !strings.HasPrefix(photo.URL, "https://gateway.icloud.com/") {
		t.Errorf("photo at %q, %v", photo.URL, err)
	}
	p.raw(415, "POST", "/accounts/first/photos", "text/plain", "png")

	p.call(200, "POST", "/accounts/first/throttle", `{"for":"1h"}`, nil)
	if p.ask(again.AppleID, again.Password) != 503 {
		t.Error("not throttled")
	}
	p.call(200, "POST", "/accounts/first/throttle", `{"for":"0s"}`, nil)
	if p.ask(again.AppleID, again.Password) != 207 {
		t.Error("throttled after 0s")
	}
	p.call(200, "POST", "/accounts/first/forget-tokens", "", nil)

	// Faults, settings and the log have tests of their own.
	p.call(200, "POST", "/faults", `{"fault":"reset"}`, nil)
	p.call(200, "GET", "/faults", "", nil)
	p.call(200, "DELETE", "/faults/1", "", nil)
	p.call(404, "DELETE", "/faults/1", "", nil)
	p.call(200, "DELETE", "/faults", "", nil)
	p.call(200, "PATCH", "/settings", `{"redirect":301}`, nil)
	p.call(200, "GET", "/settings", "", nil)
	p.call(200, "GET", "/requests", "", nil)
	p.call(200, "DELETE", "/requests", "", nil)
	if got, want := slices.Sorted(maps.Keys(p.described.seen)), slices.Sorted(maps.Keys(fakecontrol.Operations())); !slices.Equal(got, want) {
		t.Errorf("seen are %q, want all: %q", got, want)
	}
}

// TestAtMost25: the control port answers 409 where the Go API panics.
func TestAtMost25(t *testing.T) {
	t.Parallel()
	p := open(t)
	for range 24 {
		p.call(200, "POST", "/accounts/first/passwords", "", nil)
	}
	p.call(409, "POST", "/accounts/first/passwords", "", nil)
	p.call(200, "POST", "/accounts/first/passwords", `{"age":"400d"}`, nil) // not active
	p.call(200, "POST", "/accounts/first/passwords/current/expire", "", nil)
	p.call(200, "POST", "/accounts/first/passwords/"+p.fake.Start().Password+"/expire", "", nil)
	p.call(200, "POST", "/accounts/first/passwords", "", nil)
	p.call(409, "POST", "/accounts/first/passwords", "", nil)
}

// TestBadRequests: a request that is wrong changes nothing, and the error is one line.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := open(t)
	for _, test := range []struct {
		status             int
		method, path, body string
	}{
		{400, "POST", "/accounts", `{"apple_id":`},
		{400, "POST", "/accounts", `{"appleid":"x"}`},
		{400, "POST", "/accounts", `{} {}`},
		{400, "POST", "/accounts", `{"apple_id":"a:b"}`},
		{400, "POST", "/accounts", `{"apple_id":"first"}`},
		{400, "POST", "/accounts", `{"cards":50001}`},
		{400, "POST", "/accounts", `{"age":"soon"}`},
		{400, "POST", "/accounts/first/passwords", `{"age":"-1s"}`},
		{400, "POST", "/accounts/first/passwords", `{"age":"1d","issued":"2020-01-01T00:00:00Z"}`},
		{400, "POST", "/accounts/first/passwords/current/expire", `{"in":"1s","at":"2020-01-01T00:00:00Z"}`},
		{400, "POST", "/accounts/first/passwords/current/expire", `{"in":"99999d"}`},
		{404, "POST", "/accounts/first/passwords/nobody/expire", ``},
		{404, "POST", "/accounts/nobody/passwords", ``},
		{404, "GET", "/accounts/nobody", ``},
		{404, "GET", "/accounts/nobody/cards", ``},
		{400, "POST", "/accounts/first/throttle", `{}`},
		{400, "POST", "/accounts/first/generate", `{"count":0}`},
		{400, "POST", "/faults", `{"fault":"fire"}`},
		{400, "POST", "/faults", `{"fault":"status","status":99}`},
		{400, "POST", "/faults", `{"fault":"reset","times":-1}`},
		{400, "POST", "/faults", `{"fault":"reset","for":"x"}`},
		{400, "PATCH", "/settings", `{"redirect":"yes"}`},
		{400, "PATCH", "/settings", `{"page_size":1,"intercept":null}`},
		{400, "GET", "/requests?after=x", ``},
	} {
		var out struct{ Error string }
		p.call(test.status, test.method, test.path, test.body, &out)
		if out.Error == "" || strings.Contains(out.Error, "\n") {
			t.Errorf("%s %s %s: error %q, want one line", test.method, test.path, test.body, out.Error)
		}
	}
	p.raw(400, "POST", "/faults", "application/x-www-form-urlencoded", `a=b`)
	p.raw(200, "POST", "/faults", "application/x-www-form-urlencoded", `{"fault":"reset","for":"0s"}`) // as curl -d says
	var settings map[string]any
	p.call(200, "GET", "/settings", "", &settings)
	if settings["page_size"] != 0.0 {
		t.Error("a refused change of settings has changed one")
	}
	// Paths without an operation.
	for _, test := range []struct {
		status               int
		method, path, origin string
	}{
		{404, "GET", "/nothing", ""}, {405, "PUT", "/accounts", ""}, {404, "GET", "/accounts/", ""}, {403, "POST", "/reset", "https://attacker.test"},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		w := httptest.NewRecorder()
		p.fake.Control().ServeHTTP(w, r)
		if w.Code != test.status || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
}

// TestFaults: faults apply to the right requests, as often and as long as requested.
func TestFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t)
		cred := p.fake.Start()
		statuses := func(n int) (list []int) {
			for range n {
				list = append(list, p.ask(cred.AppleID, cred.Password))
			}
			return list
		}
		expect := func(what string, got []int, want ...int) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		p.call(200, "POST", "/faults", `{"fault":"unauthorized","times":2}`, nil)
		expect("times", statuses(3), 401, 401, 207)
		p.call(200, "POST", "/faults", `{"fault":"status","status":502,"after":1,"times":1,"path":"/","method":"propfind"}`, nil)
		if got := p.dav("GET", "/x", cred.AppleID, cred.Password, "").Code; got != 400 {
			t.Errorf("another path: %d", got)
		}
		expect("after", statuses(3), 207, 502, 207)
		p.call(200, "POST", "/faults", `{"fault":"status","status":503,"headers":{"Retry-After":"7"},"for":"1m"}`, nil)
		if w := p.dav("GET", "/", cred.AppleID, cred.Password, ""); w.Code != 503 || w.Header().Get("Retry-After") != "7" {
			t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		time.Sleep(time.Minute)
		expect("for", statuses(1), 207)

		// One account, one host, one kind of path.
		var other credential
		p.call(200, "POST", "/accounts", "", &other)
		p.call(200, "POST", "/faults", `{"fault":"bad-gateway","apple_id":"ADA@example.com"}`, nil)
		expect("of an account", append(statuses(1), p.ask(other.AppleID, other.Password)), 502, 207)
		p.call(200, "DELETE", "/faults", "", nil)
		expect("none", statuses(1), 207)
		p.call(200, "POST", "/faults", `{"fault":"captive-portal","host":"localhost"}`, nil)
		expect("of another host", statuses(1), 207)
		p.call(200, "POST", "/faults", `{"fault":"captive-portal","host":"127.0.0.1","path":"*/none/*"}`, nil)
		expect("of another path", statuses(1), 207)
		if got := p.dav("GET", "/x/none/y", "", "", "").Code; got != 200 {
			t.Errorf("of this path: %d", got)
		}
		p.call(200, "POST", "/faults", `{"fault":"captive-portal","host":"127.0.0.1"}`, nil)
		expect("of this host", statuses(1), 200)

		// The newest fault has precedence; a fault with the same name is replaced.
		p.call(200, "POST", "/faults", `{"name":"x","fault":"status","status":500}`, nil)
		expect("the latest", statuses(1), 500)
		p.call(200, "POST", "/faults", `{"name":"x","fault":"status","status":501,"for":"0s"}`, nil)
		expect("one that has ended in its place", statuses(1), 200)
		var list struct{ Faults []fakecontrol.Fault }
		p.call(200, "GET", "/faults", "", &list)
		if len(list.Faults) != 4 || list.Faults[0].Status != 501 || list.Faults[0].Met != 0 || list.Faults[1].Met != 2 {
			t.Errorf("faults %+v", list)
		}
		p.call(200, "DELETE", "/faults/"+list.Faults[1].ID, "", nil)
		expect("without it", statuses(1), 207)

		// A broken connection has no status.
		p.call(200, "DELETE", "/requests", "", nil)
		p.call(200, "POST", "/faults", `{"fault":"reset","times":1}`, nil)
		statuses(2)
		var log fakecontrol.Requests
		p.call(200, "GET", "/requests", "", &log)
		if log.Total != 2 || log.ByStatus["0"] != 1 || log.ByStatus["207"] != 1 {
			t.Errorf("log %+v", log)
		}
		p.call(200, "POST", "/faults", `{"fault":"missing-dsid","times":1}`, nil)
		if w := p.dav("PROPFIND", "/", cred.AppleID, cred.Password, ""); !strings.Contains(w.Body.String(), ">/principal/<") {
			t.Errorf("missing-dsid: %s", w.Body)
		}
		p.call(200, "POST", "/faults", `{"fault":"cut","bytes":20,"times":1}`, nil)
		if w := p.dav("PROPFIND", "/", cred.AppleID, cred.Password, ""); w.Body.Len() != 20 {
			t.Errorf("cut: %s", w.Body)
		}
	})
}

// TestStall: a stalled request ends when the faults are removed, when settings change, and at
// a reset.
func TestStall(t *testing.T) {
	t.Parallel()
	for _, end := range [][3]string{{"DELETE", "/faults"}, {"PATCH", "/settings", `{"prefixes":true}`}, {"POST", "/reset"}} {
		synctest.Test(t, func(t *testing.T) {
			p := open(t)
			p.call(200, "POST", "/faults", `{"fault":"stall","times":1}`, nil)
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.ask("ada@example.com", "x")
			}()
			synctest.Wait()
			select {
			case <-done:
				t.Error("it did not stall")
			default:
			}
			p.call(200, end[0], end[1], end[2], nil)
			<-done // otherwise the bubble fails
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	p := open(t, func(c *fakecontrol.Config) { c.HomeHost, c.PartitionOnly = "localhost:1", true })
	var info fakecontrol.Info
	p.call(200, "GET", "/", "", &info)
	if info.Home != "http://localhost:1/" {
		t.Errorf("home %q", info.Home)
	}
	var before, after map[string]any
	p.call(200, "GET", "/settings", "", &before)
	if before["home_host"] != "localhost:1" || before["partition_only"] != true || before["challenges"] != nil {
		t.Errorf("settings %v", before)
	}
	p.call(200, "PATCH", "/settings", `{"challenges":["Basic realm=\"x\""],"throttle_status":429,"photos_as_urls":true}`, &after)
	w := p.dav("GET", "/", "", "", "")
	if got := w.Result().Header; !strings.Contains(fmt.Sprint(got), `Basic realm="x"`) || strings.Contains(fmt.Sprint(got), "MMCalDav") {
		t.Errorf("challenges in %q", got)
	}
	p.call(200, "POST", "/accounts/first/throttle", `{"for":"1h"}`, nil)
	if got := p.ask("ada@example.com", "x"); got != 429 {
		t.Errorf("throttled with %d", got)
	}
	p.call(200, "POST", "/reset", "", nil)
	p.call(200, "GET", "/settings", "", &after)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after a reset %v, want %v", after, before)
	}
}

// TestRequests: the log has every request with its user name, and no password.
func TestRequests(t *testing.T) {
	t.Parallel()
	p := open(t)
	cred := p.fake.Start()
	p.ask(cred.AppleID, cred.Password)
	p.ask(cred.AppleID, "hunter2")
	p.dav("GET", "/a%20b?c=d", "", "", "")
	text := p.raw(200, "GET", "/requests", "", "")
	if strings.Contains(text, cred.Password) || strings.Contains(text, "hunter2") {
		t.Errorf("the log has a password: %s", text)
	}
	var log fakecontrol.Requests
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range log.Requests {
		got = append(got, fmt.Sprint(r.Number, r.Method, r.Host, r.Path, r.Status, r.AppleID, r.Sent))
	}
	want := []string{"1 PROPFIND 127.0.0.1:1 / 207 ada@example.com true", "2 PROPFIND 127.0.0.1:1 / 401 ada@example.com true", "3 GET 127.0.0.1:1 /a%20b?c=d 401  false"}
	for i := range want {
		if strings.ReplaceAll(got[i], " ", "") != strings.ReplaceAll(want[i], " ", "") {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if log.Total != 3 || log.WithPassword != 2 || log.ByStatus["401"] != 2 || p.account("first").Requests != 2 {
		t.Errorf("counts %+v", log)
	}
	p.call(200, "GET", "/requests?after=2", "", &log)
	if len(log.Requests) != 1 || log.Requests[0].Number != 3 {
		t.Errorf("after 2: %+v", log.Requests)
	}
	p.call(200, "DELETE", "/requests", "", nil)
	p.ask(cred.AppleID, cred.Password)
	p.call(200, "GET", "/requests", "", &log)
	if log.Total != 1 || log.Requests[0].Number != 4 {
		t.Errorf("after it was emptied: %+v", log)
	}
	// Only the latest requests are kept, and all are counted.
	for range 25_000 {
		p.dav("GET", "/", "", "", "")
	}
	p.call(200, "GET", "/requests", "", &log)
	if log.Total != 25_001 || len(log.Requests) != 10_000 || log.Requests[9_999].Number != 25_004 {
		t.Errorf("%d counted, %d kept", log.Total, len(log.Requests))
	}
}

// TestType: typed commands have the effect of the operations, and every line has an answer.
func TestType(t *testing.T) {
	t.Parallel()
	p := open(t)
	cred := p.fake.Start()
	p.ask(cred.AppleID, cred.Password)
	file := filepath.Join(t.TempDir(), "a.vcf")
	if err := os.WriteFile(file, []byte("BEGIN:VCARD\nUID:l\nEND:VCARD\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type_ := func(line string, status int, want string) {
		t.Helper()
		a, ok := p.fake.Type(line)
		if !ok || a.Status != status || !strings.Contains(string(a.Body), want) || strings.Contains(string(a.Body), "\n") {
			t.Errorf("%q: %d %s, want %d and %q", line, a.Status, a.Body, status, want)
		}
		if (a.Error() != "") != (status >= 400) {
			t.Errorf("%q: error %q", line, a.Error())
		}
	}
	for _, line := range []string{"", "  ", "\t"} {
		if _, ok := p.fake.Type(line); ok {
			t.Errorf("%q has an answer", line)
		}
	}
	for _, test := range []struct {
		line   string
		status int
		want   string
	}{
		{"add Zoë Zed", 200, "{}"}, {"remove Zoë Zed", 200, "{}"}, {"remove Zoë Zed", 404, "no such contact: Zoë Zed"}, {"add", 400, "add needs a name, as in: add Ada"},
		{"add ..", 200, "{}"}, {"add a/b?c#d", 200, "{}"}, {"remove a/b?c#d", 200, "{}"}, {"remove Person 2", 200, "{}"}, {"add x\ry", 200, "{}"}, {"remove x y", 200, "{}"},
		{"load " + file, 200, `"ids":["l.vcf"]`}, {"load /nothing", 400, "load needs a file"},
		{"generate 3", 200, "person-3.vcf"}, {"generate x", 400, "generate needs a number"}, {"empty", 200, "{}"},
		{"issue", 200, `"password":`}, {"issue 364d", 200, `"password":`}, {"issue x", 400, "an age"}, {"issue 2020-02-30", 400, "an age"},
		{"accounts", 200, `"accounts":[`}, {"cards", 200, `"cards":[`}, {"cards now", 400, "not understood"},
		{"expire -1s", 400, "expire needs a time"}, {"expire 1h", 200, "{}"}, {"revoke", 200, "takes its end for an expiry"}, {"revoke now", 400, "not understood: revoke now"},
		{"revoke", 200, "takes its end for an expiry"}, {"issue", 200, ""}, {"expire", 200, "takes its end for a revocation"},
		{"change", 200, "{}"}, {"revoke", 409, "no password left"}, {"revoke all", 200, "{}"},
		{"account", 200, `"apple_id":"account-`}, {"account ben@example.com", 200, "ben@example.com"}, {"account ben@example.com", 409, "there is an account"},
		{"for ben@example.com issue", 200, "ben@example.com"}, {"for nobody issue", 404, "no such account"}, {"for nobody remove x", 404, "no such account"}, {"for", 400, "not understood"},
		{"throttle 1s", 200, "{}"}, {"throttle 0s", 200, "{}"}, {"throttle", 400, "throttle needs a time"},
		{"outage 1h", 200, `"status":503`}, {"outage", 400, "outage needs a time"}, {"401 1h", 200, "unauthorized"}, {"401 x", 400, "401 needs a time"},
		{"fault cut bytes=10 times=1 path=*/card/ retry-after=3", 200, `"bytes":10`}, {"fault", 400, "fault needs a name"}, {"fault fire", 400, "fault must be one of"},
		{"fault reset times", 400, "want name=value"}, {"fault reset times=x", 400, "JSON"}, {"heal", 200, "{}"}, {"forget", 200, "{}"},
		{"issue 2020-02-29", 200, `"issued":"2020-02-29T00:00:00Z"`},
		{"set", 200, `"redirect":0`}, {"set redirect 301", 200, `"redirect":301`}, {"set content_type text/html", 200, "text/html"}, {"set nothing 1", 400, "no such setting"},
		{"requests", 200, `"total":1`}, {"reset", 200, `"password":`}, {"\x1b[2J", 400, "not understood"},
	} {
		type_(test.line, test.status, test.want)
	}
	// Each command of the help is understood.
	for _, typed := range fakecontrol.Typed {
		line := strings.NewReplacer("NAME VALUE", "prefixes true", "NAME [K=V...]", "reset", "NAME", "Ada Lovelace", "FILE", file, "N", "1", "TIME", "1s", "AGE", "1d", "[ID]", "", "ID COMMAND...", "ada@example.com issue").Replace(typed[0])
		line = strings.NewReplacer("[", "", "]", "").Replace(line)
		if a, ok := p.fake.Type(line); !ok || a.Status != 200 {
			t.Errorf("%q: %d %s", line, a.Status, a.Body)
		}
	}
}

// TestStart: the first password has a day left, so a program concludes that it has expired.
func TestStart(t *testing.T) {
	t.Parallel()
	p := open(t)
	cred := p.fake.Start()
	if left := time.Until(cred.Expires); left <= 0 || left > day || cred.Endpoint == "" {
		t.Errorf("the first password has %v left, want a day", left)
	}
}

// TestConcurrent uses everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	p := open(t)
	web := httptest.NewServer(p.fake)
	defer web.Close()
	control := httptest.NewServer(p.fake.Control())
	defer control.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 30 {
				for _, line := range []string{"issue", "outage 1s", "set page_size 3", "generate 3", "expire", "heal", "requests", "revoke all"} {
					p.fake.Type(line)
				}
				if i%10 == 0 {
					p.fake.Type("reset")
				}
				resp, err := http.Get(control.URL + "/accounts")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
		wg.Go(func() {
			for range 60 {
				cred := p.fake.Start()
				req, err := http.NewRequest("PROPFIND", web.URL+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.URL = req.URL.ResolveReference(&url.URL{Path: "/"})
				req.SetBasicAuth(cred.AppleID, cred.Password)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

// FuzzType: every line has an answer of one line, and none causes a panic.
func FuzzType(f *testing.F) {
	for _, typed := range fakecontrol.Typed {
		f.Add(typed[0])
	}
	f.Add("for a/b%zz?#: add \xff\x00 %\u2028")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "load") || strings.Contains(line, "generate") {
			t.Skip("files of this machine, and large books")
		}
		p := open(t)
		for line := range strings.Lines(line) {
			a, ok := p.fake.Type(strings.TrimSuffix(line, "\n"))
			if ok && (a.Status == 0 || !json.Valid(a.Body) || strings.Contains(string(a.Body), "\n") || (a.Status >= 400) != (a.Error() != "")) {
				t.Errorf("%q: %d %s", line, a.Status, a.Body)
			}
		}
	})
}
