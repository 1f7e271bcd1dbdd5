package icloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/internal/realserver"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// This file runs the same tests with several CardDAV servers: the fake, and those of package
// realserver, which others wrote. Each is reached in two ways: by its own address, and as
// contacts.icloud.com, which redirects every request to p01-contacts.icloud.com.
//
// The tests expect the same of all servers, which differ in these ways:
//
//   - Radicale parses cards and writes its own version: properties sorted, types in one
//     list, labels named X-ABLABEL, UIDs made up. It refuses what it cannot parse, and a
//     UID that another card has. It answers an unknown token with 403 and
//     valid-sync-token.
//   - Cyrus keeps the bytes, and writes cards as CDATA, including control characters. It
//     sends cards inline with a sync. It answers an unknown token with 403 and
//     valid-sync-token.
//   - Xandikos keeps the bytes and accepts any card. Its answers have no XML declaration,
//     and the status before the properties. A listing has a row for the address book
//     itself, because of which go-webdav loses the list. A file whose name does not end
//     with .vcf is not a card. A card that is not UTF-8 makes every report on the book a
//     500, so the tests give it none. A multiget cuts hrefs at a "?" or "#", even if it is
//     escaped. It answers filters and unknown tokens with 500.
//   - DAViCal keeps the bytes, except line ends, which become LF, and the escape of a ';'
//     in ORG, which it loses. It answers a forgotten token with every card and no
//     tombstone; of a token's text only the number counts. A multiget must have its
//     elements in the order of the DTD. It ignores the address-data of go-webdav's
//     queries.
//   - sabre/dav, in Debian's version, has no sync-collection. It keeps the bytes, and
//     calls them text/x-vcard, which go-webdav does not read.
//   - The fake lists the address book itself, as iCloud does, except for programs that
//     reach it on loopback.

// TestServers runs the tests in one book for each server, in both ways, except for the two
// slow servers in PHP. Each test leaves the book as it was. The cards that break XML come
// last, because other clients fail with them.
func TestServers(t *testing.T) {
	t.Parallel()
	seed := seedCards(t)
	for _, name := range append([]string{"fake"}, realserver.Names...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlace(t, name)
			seed := slices.Clone(seed)
			for i, card := range seed {
				if !p.put(t, card.id, card.text) {
					t.Fatalf("%s does not take %q", name, card.id)
				}
				if name == "davical" {
					seed[i].want.Org, _, _ = strings.Cut(card.want.Org, ";")
				}
			}
			t.Run("direct", func(t *testing.T) { testServer(t, p.direct(), seed) })
			// What the hop does to a request is seen with the others.
			if name == "davical" || name == "sabre" {
				return
			}
			t.Run("redirected", func(t *testing.T) { testServer(t, p.redirected(t), seed) })
		})
	}
}

func testServer(t *testing.T, p *place, seed []seedCard) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *place, []seedCard)
	}{
		{"Listing", testListing},
		{"WrongPassword", testWrongPassword},
		{"Writes", testWrites},
		{"LostToken", testLostToken},
		{"Renames", testRenames},
		{"ForgottenToken", testForgottenToken},
		{"BrokenCard", testBrokenCard},
		{"ChangedPassword", testChangedPassword},
		{"GoWebDAV", testGoWebDAV},
		{"OddNames", testOddNames},
		{"OddCards", testOddCards},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p, seed) })
	}
}

// TestCommand has the command list a Radicale of 200 cards, as a first-time user
// does: by its endpoint, with the account in the environment.
func TestCommand(t *testing.T) {
	t.Parallel()
	seed := seedCards(t)
	p := openPlace(t, "radicale")
	for _, card := range seed {
		if !p.put(t, card.id, card.text) {
			t.Fatalf("Radicale does not take %q", card.id)
		}
	}
	// Built, because "go run" has an exit status of its own.
	program := filepath.Join(t.TempDir(), "icloud-contacts")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/icloud-contacts").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(password string, args ...string) (stdout, stderr string, status int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		// The test must not use the state folder of the person who runs it.
		home := t.TempDir()
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home,
			"ICLOUD_APPLE_ID="+p.User, "ICLOUD_APP_PASSWORD="+password)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
			t.Fatal(err)
		} else if ok {
			status = exit.ExitCode()
		}
		return out.String(), errs.String(), status
	}

	table, stderr, status := run(p.Password, "list", "-endpoint", p.URL)
	if status != 0 {
		t.Fatalf("list: status %d\n%s", status, stderr)
	}
	lines, stderr, status := run(p.Password, "list", "-json", "-endpoint", p.URL)
	if status != 0 {
		t.Fatalf("list -json: status %d\n%s", status, stderr)
	}
	names := make(map[string]string) // by ID
	groups := 0
	for line := range strings.Lines(lines) {
		var contact struct {
			ID, Name string
			Group    bool
		}
		if err := json.Unmarshal([]byte(line), &contact); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		names[contact.ID] = contact.Name
		if contact.Group {
			groups++
		}
	}
	if len(names) != len(seed) || groups != 2 {
		t.Errorf("%d contacts and %d groups are listed, want %d and 2", len(names), groups, len(seed))
	}
	for _, card := range seed {
		if names[card.id] != card.want.Name {
			t.Errorf("%s is listed as %q, want %q", card.id, names[card.id], card.want.Name)
		}
		// Without a terminal the table has any width.
		if !strings.Contains(table, card.want.Name) {
			t.Errorf("%q is not in the table", card.want.Name)
		}
	}

	for _, args := range [][]string{{"check", "-endpoint", p.URL}, {"list", "-endpoint", p.URL}} {
		out, stderr, status := run("wrong", args...)
		if status == 0 || args[0] == "check" && status != 2 || strings.Contains(out, seed[0].want.Name) {
			t.Errorf("%s with a wrong password: status %d\n%s%s", args[0], status, out, stderr)
		}
	}
}

// A place is an account with one address book, and a way to reach it.
type place struct {
	name string
	realserver.Server
	cred icloud.Credential
	fake *icloudtest.Server // or nil

	endpoint  string            // Options.Endpoint
	transport http.RoundTripper // under Options.Transport, which is the place
	requests  atomic.Int64      // of the Clients
}

// openPlace starts a server with an empty address book.
func openPlace(t *testing.T, name string) *place {
	if name != "fake" {
		s := realserver.Start(t, name)
		return &place{name: name, Server: *s, cred: icloud.Credential{AppleID: s.User, Password: icloud.UncheckedPassword(s.Password)}}
	}
	fake := icloudtest.NewServer()
	t.Cleanup(fake.Close)
	web := httptest.NewServer(fake)
	t.Cleanup(web.Close)
	cred := fake.Issue()
	p := &place{name: name, fake: fake, cred: cred}
	p.URL, p.User, p.Password = web.URL+"/", cred.AppleID, cred.Password.Reveal()
	// go-webdav finds the book, so that putting the cards does not need package icloud.
	dav, err := carddav.NewClient(webdav.HTTPClientWithBasicAuth(web.Client(), p.User, p.Password), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	principal, err := dav.FindCurrentUserPrincipal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	home, err := dav.FindAddressBookHomeSet(t.Context(), principal)
	if err != nil {
		t.Fatal(err)
	}
	p.Book = web.URL + home + "card/"
	return p
}

// direct reaches the server by its own address.
func (p *place) direct() *place {
	p.endpoint, p.transport = p.URL, http.DefaultTransport
	return p
}

// redirected reaches the server as if it were iCloud. The fake can do that itself.
func (p *place) redirected(t *testing.T) *place {
	p.endpoint = ""
	if p.fake != nil {
		p.fake.Redirect = http.StatusPermanentRedirect
		p.transport = p.fake.Transport()
		return p
	}
	target, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := &apple{target: target}
	p.transport = a
	t.Cleanup(func() {
		if !t.Failed() && a.hops.Load() == 0 {
			t.Error("nothing was redirected")
		}
	})
	return p
}

// apple is a Transport that makes a server look like iCloud: every request to
// contacts.icloud.com is redirected to a partition host, which is the server, and a 401
// gets iCloud's realm. Any other host is an error.
type apple struct {
	target *url.URL
	hops   atomic.Int64
}

func (a *apple) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, fmt.Errorf("a request by %s", req.URL.Scheme)
	}
	switch req.URL.Host {
	case "contacts.icloud.com":
		codes := []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusMovedPermanently}
		code := codes[int(a.hops.Add(1))%len(codes)]
		if req.Body != nil {
			req.Body.Close()
		}
		return &http.Response{
			Status: fmt.Sprint(code), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header:  http.Header{"Location": {"https://p01-contacts.icloud.com:443" + req.URL.RequestURI()}},
			Body:    http.NoBody,
			Request: req,
		}, nil
	case "p01-contacts.icloud.com", "p01-contacts.icloud.com:443":
		out := req.Clone(req.Context())
		out.URL.Scheme, out.URL.Host, out.Host = a.target.Scheme, a.target.Host, a.target.Host
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err == nil && resp.StatusCode == http.StatusUnauthorized {
			resp.Header["Www-Authenticate"] = []string{`X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"`}
		}
		return resp, err
	}
	return nil, fmt.Errorf("a request to %s", req.URL.Host)
}

// RoundTrip counts requests.
func (p *place) RoundTrip(req *http.Request) (*http.Response, error) {
	p.requests.Add(1)
	return p.transport.RoundTrip(req)
}

// client returns a new Client without a Store.
func (p *place) client(t *testing.T) *icloud.Client {
	t.Helper()
	c, err := icloud.New(p.cred, &icloud.Options{Endpoint: p.endpoint, Transport: p})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// do sends a request without package icloud, to a name in the book as it is written in a URL.
func (p *place) do(t *testing.T, method, name string, body string) int {
	t.Helper()
	return p.doWith(t, method, name, body, http.Header{"Content-Type": {"text/vcard; charset=utf-8"}})
}

// doWith is do with other headers.
func (p *place) doWith(t *testing.T, method, name, body string, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.Book+name, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	req.SetBasicAuth(p.User, p.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// put puts a card, and says whether the server accepts it.
func (p *place) put(t *testing.T, name, card string) bool {
	t.Helper()
	// Xandikos refuses a card with a 207 that contains a 412.
	status := p.do(t, http.MethodPut, name, card)
	return status == http.StatusOK || status == http.StatusCreated || status == http.StatusNoContent
}

// failed returns the IDs of the CardErrors in an error.
func failed(err error) (ids []string) {
	switch e := err.(type) {
	case *icloud.CardError:
		return []string{e.ID}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			ids = append(ids, failed(err)...)
		}
	case interface{ Unwrap() error }:
		return failed(e.Unwrap())
	}
	return ids
}

// list returns the whole book by ID.
func (p *place) list(t *testing.T) map[string]*icloud.Contact {
	t.Helper()
	book := make(map[string]*icloud.Contact)
	for contact, err := range p.client(t).Contacts(t.Context()) {
		if err != nil {
			t.Fatalf("listing: %v %q", err, failed(err))
		}
		if book[contact.ID] != nil {
			t.Fatalf("%q is listed twice", contact.ID)
		}
		book[contact.ID] = contact
	}
	return book
}

// sync returns what has changed since a token, and the next one.
func (p *place) sync(t *testing.T, since string) (map[string]*icloud.Contact, string) {
	t.Helper()
	changes := make(map[string]*icloud.Contact)
	next, err := p.client(t).Sync(t.Context(), since, func(c icloud.Change) error {
		if _, again := changes[c.ID]; again {
			t.Errorf("%q is reported twice", c.ID)
		}
		changes[c.ID] = c.Contact
		return nil
	})
	if err != nil {
		t.Fatalf("sync: %v %q", err, failed(err))
	}
	return changes, next
}

// A seedCard is a card of testdata/book.vcf, with the expected fields of its Contact.
type seedCard struct {
	id, text string
	want     fields
}

type fields struct {
	UID, Name, Org string
	Emails, Phones string // label=value, ...
	Group          bool
	Members        string // sorted by name, because Radicale sorts them
}

func fieldsOf(c *icloud.Contact) fields {
	return fields{c.UID, c.Name, c.Org, labels(c.Emails), labels(c.Phones), c.Group, members(c.Members)}
}

func labels(list []icloud.Labeled) string {
	// Radicale puts values with their own label last.
	list = slices.SortedFunc(slices.Values(list), func(a, b icloud.Labeled) int { return strings.Compare(a.Value, b.Value) })
	var b strings.Builder
	for _, l := range list {
		fmt.Fprintf(&b, "%s=%s ", l.Label, l.Value)
	}
	return b.String()
}

func members(uids []string) string {
	return strings.Join(slices.Sorted(slices.Values(uids)), " ")
}

// seedCards reads the cards that every server gets. They are like those of Apple's programs, in a
// dozen scripts, with photos, labels and two groups.
func seedCards(t *testing.T) []seedCard {
	data, err := os.ReadFile("testdata/book.vcf")
	if err != nil {
		t.Fatal(err)
	}
	// A checkout may have changed the ends of lines.
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", "\r\n")
	const end = "END:VCARD\r\n"
	var cards []seedCard
	for card := range strings.SplitSeq(strings.TrimSuffix(text, end), end) {
		want := readSeed(card)
		cards = append(cards, seedCard{want.UID + ".vcf", card + end, want})
	}
	if len(cards) != 200 {
		t.Fatalf("testdata/book.vcf has %d cards, want 200", len(cards))
	}
	return cards
}

// readSeed reads only the kinds of lines in testdata/book.vcf, so that the expected fields
// do not come from the parser that is tested.
func readSeed(card string) fields {
	type line struct{ group, name, params, value string }
	var lines []line
	label := make(map[string]string)
	for text := range strings.SplitSeq(strings.ReplaceAll(card, "\r\n ", ""), "\r\n") {
		var l line
		left, value, _ := strings.Cut(text, ":")
		left, l.params, _ = strings.Cut(left, ";")
		l.value = value
		if group, name, ok := strings.Cut(left, "."); ok {
			l.group, l.name = group, name
		} else {
			l.name = left
		}
		if l.name == "X-ABLabel" {
			label[l.group] = strings.TrimSuffix(strings.TrimPrefix(value, "_$!<"), ">!$_")
		}
		lines = append(lines, l)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\,`, ",", `\;`, ";", `\n`, "\n").Replace
	var f fields
	var emails, phones []icloud.Labeled
	var uids []string
	for _, l := range lines {
		labeled := icloud.Labeled{Label: label[l.group], Value: unescape(l.value)}
		if labeled.Label == "" {
			for p := range strings.SplitSeq(l.params, ";") {
				switch p {
				case "type=HOME", "type=WORK", "type=CELL":
					labeled.Label = strings.ToLower(p[len("type="):])
				case "type=FAX":
					labeled.Label += " fax"
				}
			}
		}
		switch l.name {
		case "UID":
			f.UID = l.value
		case "FN":
			f.Name = unescape(l.value)
		case "ORG":
			// The first ";" that is not escaped ends the name.
			rest := strings.ReplaceAll(l.value, `\;`, "\x00")
			rest, _, _ = strings.Cut(rest, ";")
			f.Org = unescape(strings.ReplaceAll(rest, "\x00", `\;`))
		case "EMAIL":
			emails = append(emails, labeled)
		case "TEL":
			phones = append(phones, labeled)
		case "X-ADDRESSBOOKSERVER-KIND":
			f.Group = l.value == "group"
		case "X-ADDRESSBOOKSERVER-MEMBER":
			uids = append(uids, strings.TrimPrefix(l.value, "urn:uuid:"))
		}
	}
	f.Emails, f.Phones, f.Members = labels(emails), labels(phones), members(uids)
	return f
}

// person returns a card with only a name and a UID.
func person(uid, name string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + uid + "\r\nN:" + name + ";;;;\r\nFN:" + name + "\r\nEND:VCARD\r\n"
}

// The listing is complete and right. A first Sync reports the same, and the next one nothing.
func testListing(t *testing.T, p *place, seed []seedCard) {
	book := p.list(t)
	if len(book) != len(seed) {
		t.Errorf("%d cards are listed, want %d", len(book), len(seed))
	}
	photos := 0
	for _, card := range seed {
		got := book[card.id]
		if got == nil {
			t.Errorf("%q is not listed", card.id)
			continue
		}
		if fieldsOf(got) != card.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", card.id, fieldsOf(got), card.want)
		}
		if got.ETag == "" {
			t.Errorf("%s has no ETag", card.id)
		}
		parsed, err := got.Card()
		if err != nil || parsed.Value(vcard.FieldUID) != card.want.UID {
			t.Errorf("%s: go-vcard reads UID %q, %v", card.id, parsed.Value(vcard.FieldUID), err)
		}
		// Inline photos need no request. Servers may change the folding.
		data, kind, err := p.client(t).Photo(t.Context(), got)
		if has := strings.Contains(card.text, "\r\nPHOTO"); err != nil || has != (kind == "image/jpeg") || has != (len(data) > 1000) {
			t.Errorf("%s: photo of %d bytes, %q, %v; has one: %v", card.id, len(data), kind, err, has)
		} else if has {
			photos++
		}
	}
	if photos == 0 {
		t.Error("no card had a photo")
	}

	first, next := p.sync(t, "")
	if len(first) != len(book) {
		t.Errorf("the first sync reports %d cards, the listing %d", len(first), len(book))
	}
	for id, want := range book {
		got := first[id]
		if got == nil || got.ETag != want.ETag || !bytes.Equal(got.VCard, want.VCard) {
			t.Errorf("%s: sync and listing differ", id)
		}
	}
	again, next := p.sync(t, next)
	if len(again) != 0 {
		t.Errorf("a sync without a change reports %d", len(again))
	}
	if again, _ := p.sync(t, next); len(again) != 0 {
		t.Errorf("a second sync without a change reports %d", len(again))
	}
}

// A wrong password has never worked, so the refusal is final at once in Authenticate, and
// the password is not sent again.
func testWrongPassword(t *testing.T, p *place, _ []seedCard) {
	var reported []icloud.State
	wrong := p.cred
	wrong.Password = icloud.UncheckedPassword("aaaa-bbbb-cccc-dddd")
	client, err := icloud.New(wrong, &icloud.Options{
		Endpoint:  p.endpoint,
		Transport: p,
		OnStatus:  func(_ context.Context, s icloud.Status) { reported = append(reported, s.State) },
	})
	if err != nil {
		t.Fatal(err)
	}
	err = client.Authenticate(t.Context())
	refusal, ok := errors.AsType[*icloud.AuthError](err)
	if !ok || !errors.Is(err, icloud.ErrPasswordRejected) || !refusal.Confirmed {
		t.Fatalf("got %v, want a confirmed *AuthError, ErrPasswordRejected", err)
	}
	before := p.requests.Load()
	for _, err := range client.Contacts(t.Context()) {
		if !errors.Is(err, refusal) {
			t.Errorf("listing: %v, want the same AuthError", err)
		}
	}
	if n := p.requests.Load() - before; n != 0 {
		t.Errorf("signed out, it sent %d requests", n)
	}
	if !slices.Equal(reported, []icloud.State{icloud.SignedOut}) {
		t.Errorf("OnStatus was told %v, want SignedOut once", reported)
	}
	if err := client.Reconnect(t.Context(), p.cred); err != nil {
		t.Errorf("reconnecting with the right password: %v", err)
	}
	for _, err := range client.Contacts(t.Context()) {
		if err != nil {
			t.Errorf("listing after Reconnect: %v", err)
		}
	}
	if state := client.Status().State; state != icloud.Active {
		t.Errorf("after Reconnect it is %v, want Active", state)
	}
}

// A sync reports exactly the cards that were created, changed and deleted, by this package
// or others.
func testWrites(t *testing.T, p *place, seed []seedCard) {
	ctx, client := t.Context(), p.client(t)
	_, token := p.sync(t, "")
	conflict := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, icloud.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", what, err)
		}
	}
	const created, foreign = "0B5A5C1E-6B1C-4D53-9A39-3F6C1F0F7A01.vcf", "0B5A5C1E-6B1C-4D53-9A39-3F6C1F0F7A02.vcf"
	changed, deleted, foreignDeleted := seed[10].id, seed[11].id, seed[12].id

	card := []byte(person(strings.TrimSuffix(created, ".vcf"), "Grace Höpper 🐛"))
	etag, err := client.Put(ctx, created, card, "")
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	_, err = client.Put(ctx, created, card, "")
	conflict("create where a card is", err)
	got, err := client.Contact(ctx, created)
	if err != nil || got.ID != created || got.Name != "Grace Höpper 🐛" || etag != "" && got.ETag != etag {
		t.Errorf("the created card is %+v, %v; want the ETag %s", got, err, etag)
	}

	old, err := client.Contact(ctx, changed)
	if err != nil {
		t.Fatal(err)
	}
	edited, err := old.Edit(vcard.Card{"TITLE": {{Value: "Käpt’n"}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Put(ctx, changed, edited, `"not-its-etag"`)
	conflict("change with a stale ETag", err)
	if _, err = client.Put(ctx, changed, edited, old.ETag); err != nil {
		t.Fatalf("change: %v", err)
	}
	_, err = client.Put(ctx, changed, edited, old.ETag)
	conflict("change with the ETag of before", err)
	conflict("delete with the ETag of before", client.Delete(ctx, changed, old.ETag))

	doomed, err := client.Contact(ctx, deleted)
	if err != nil {
		t.Fatal(err)
	}
	conflict("delete with a stale ETag", client.Delete(ctx, deleted, `"not-its-etag"`))
	if err := client.Delete(ctx, deleted, doomed.ETag); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err = client.Contact(ctx, deleted)
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != http.StatusNotFound {
		t.Errorf("the deleted card: %v, want a ResponseError with 404", err)
	}
	// RFC 9110 allows both a conflict and 404.
	if err := client.Delete(ctx, deleted, doomed.ETag); err == nil {
		t.Error("a card can be deleted twice")
	}
	_, err = client.Put(ctx, deleted, doomed.VCard, doomed.ETag)
	conflict("change of a card that is gone", err)

	if !p.put(t, foreign, person(strings.TrimSuffix(foreign, ".vcf"), "Somebody else’s")) {
		t.Fatal("another program cannot put a card")
	}
	if status := p.do(t, http.MethodDelete, foreignDeleted, ""); status/100 != 2 {
		t.Fatalf("another program cannot delete a card: %d", status)
	}

	stop := errors.New("stop")
	there := make(map[string]bool)
	calls := 0
	kept, err := client.Sync(ctx, token, func(c icloud.Change) error {
		if calls++; calls == 2 {
			return stop
		}
		there[c.ID] = c.Contact != nil
		return nil
	})
	if err != stop || kept == "" {
		t.Errorf("apply failed, and Sync returned %v and the token %q", err, kept)
	}
	// A consumer that keeps the applied changes and the token misses nothing, and neither
	// does one that discards both.
	rest, _ := p.sync(t, kept)
	for id, contact := range rest {
		there[id] = contact != nil
	}
	want := map[string]bool{created: true, changed: true, foreign: true, deleted: false, foreignDeleted: false}
	if !maps.Equal(there, want) {
		t.Errorf("the two syncs report %v (true: there), want %v", there, want)
	}
	clear(there)
	changes, next := p.sync(t, token)
	for id, contact := range changes {
		there[id] = contact != nil
	}
	if !maps.Equal(there, want) {
		t.Errorf("the sync reports %v (true: there), want %v", there, want)
	}
	if c := changes[changed]; c != nil {
		parsed, err := c.Card()
		if err != nil || parsed.Value("TITLE") != "Käpt’n" || fieldsOf(c) != seed[10].want {
			t.Errorf("the changed card has TITLE %q, %v, and %+v", parsed.Value("TITLE"), err, fieldsOf(c))
		}
	}
	if again, _ := p.sync(t, next); len(again) != 0 {
		t.Errorf("the sync after it reports %d", len(again))
	}
	book := p.list(t)
	if len(book) != len(seed) || book[created] == nil || book[deleted] != nil {
		t.Errorf("the listing has %d cards, want %d", len(book), len(seed))
	}

	for _, id := range []string{created, foreign} {
		p.do(t, http.MethodDelete, id, "")
	}
	for _, card := range seed[10:13] {
		p.put(t, card.id, card.text)
	}
}

// A token that the server does not honor, and a text that is not a token, are ErrResync and
// say nothing about the password.
func testLostToken(t *testing.T, p *place, _ []seedCard) {
	client := p.client(t)
	_, token := p.sync(t, "")
	ours, ok := synctoken.Parse(token)
	if !ok || (ours.Server == "") != (p.name == "sabre") {
		t.Fatalf("%q: does it hold a token of the server's? %v", token, ours.Server != "")
	}
	theirs := ours.Server
	with := func(book, server string) string {
		other := ours
		other.Book, other.Server = book, server
		s, err := other.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	reversed := []byte(theirs)
	slices.Reverse(reversed)
	tokens := map[string]string{
		"the server's part is another":  with(ours.Book, "bogus"),
		"the server's part is a URL":    with(ours.Book, "http://example.org/sync/0"),
		"the server's part is reversed": with(ours.Book, string(reversed)),
		"the server's part is XML":      with(ours.Book, "</sync-token>&"),
		"of an earlier version":         "s." + ours.Book + ".bogus",
		"another book's":                with("AAAAAAAA", theirs),
		"no token":                      "garbage",
		"no token, with dots":           "x.y.z",
		"the server's alone":            theirs,
		"not text":                      "\x00\xff",
	}
	switch p.name {
	case "davical":
		delete(tokens, "the server's part is reversed") // the same number
	case "sabre":
		maps.DeleteFunc(tokens, func(name, _ string) bool { return strings.Contains(name, "the server's") })
	}
	for name, token := range tokens {
		next, err := client.Sync(t.Context(), token, func(c icloud.Change) error {
			return errors.New("a change was reported")
		})
		if !errors.Is(err, icloud.ErrResync) || next != "" {
			t.Errorf("%s: %v, token %q, want ErrResync and none", name, err, next)
		}
	}
	if state := client.Status().State; state != icloud.Active {
		t.Errorf("the state is %v, want Active", state)
	}
	if changes, _ := p.sync(t, token); len(changes) != 0 {
		t.Errorf("the good token reports %d changes", len(changes))
	}
}

// go-webdav's client works on the transport of package icloud.
func testGoWebDAV(t *testing.T, p *place, seed []seedCard) {
	ctx := t.Context()
	dav, err := p.client(t).CardDAV(ctx)
	if err != nil {
		t.Fatal(err)
	}
	books, err := dav.FindAddressBooks(ctx, "")
	if err != nil || len(books) != 1 {
		t.Fatalf("address books: %v, %v; want one", books, err)
	}
	path := books[0].Path
	want := seed[20]
	_, mail, _ := strings.Cut(want.want.Emails, "=")
	mail, _, _ = strings.Cut(mail, " ")
	found, err := dav.QueryAddressBook(ctx, path, &carddav.AddressBookQuery{
		DataRequest: carddav.AddressDataRequest{AllProp: true},
		PropFilters: []carddav.PropFilter{{
			Name:        vcard.FieldEmail,
			TextMatches: []carddav.TextMatch{{Text: mail, MatchType: carddav.MatchEquals}},
		}},
	})
	switch {
	case p.name == "xandikos":
		// No filter works.
		if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != http.StatusInternalServerError {
			t.Errorf("query: %v, want Xandikos's 500 as a ResponseError", err)
		}
	case err != nil:
		t.Errorf("query: %v", err)
	case p.name == "davical":
		if !slices.ContainsFunc(found, func(o carddav.AddressObject) bool { return strings.HasSuffix(o.Path, "/"+want.id) }) {
			t.Errorf("of %d cards found none is %s, which has the address", len(found), want.id)
		}
	// The server may also find other cards, because iCloud's filters are not exact.
	case !slices.ContainsFunc(found, func(o carddav.AddressObject) bool {
		return o.Card.Value(vcard.FieldUID) == want.want.UID && o.Card.Value(vcard.FieldEmail) == mail
	}):
		t.Errorf("of %d cards found none is %s, which has the address", len(found), want.id)
	}
	o, err := dav.GetAddressObject(ctx, path+want.id)
	if p.name == "sabre" {
		if err == nil {
			t.Error("go-webdav can read sabre/dav's cards now; say so above")
		}
	} else if err != nil || o.Card.Value(vcard.FieldUID) != want.want.UID {
		t.Errorf("get: %+v, %v", o, err)
	}
}

// Cards whose names clients and servers write differently are listed and synced, and can be
// read, changed and deleted by the ID in the listing.
func testOddNames(t *testing.T, p *place, _ []seedCard) {
	ctx := t.Context()
	before := p.list(t)
	_, token := p.sync(t, "")
	taken := make(map[string]string) // by UID
	for i, name := range []string{
		"with%20space.vcf", "it's.vcf", "what%3F.vcf", "what%3Fif=1.vcf", "100%25.vcf", "a%2541.vcf", "%41lpha.vcf",
		"a&b.vcf", "c%26d.vcf", "e+f.vcf", "semi;colon.vcf", "comma,.vcf", "%3Cangle%3E.vcf", "quote%22.vcf", "hash%23tag.vcf",
		"paren(1).vcf", "~tilde.vcf", "at@home.vcf", "co:lon.vcf", "back%5Cslash.vcf", "sla%2Fsh.vcf",
		"Ame%CC%81lie.vcf", "Am%C3%A9lie2.vcf", "%E5%B1%B1%E7%94%B0.vcf", "%F0%9F%90%9B.vcf", "no-suffix",
		strings.Repeat("long-", 40) + ".vcf",
	} {
		uid := fmt.Sprintf("odd-name-%02d", i)
		if p.name == "xandikos" && !strings.HasSuffix(name, ".vcf") {
			continue
		}
		if p.put(t, name, person(uid, "Odd "+uid)) {
			taken[uid] = name
		}
	}
	if len(taken) < 10 {
		t.Fatalf("the server takes only %v", taken)
	}
	// A card that a server lists but does not send may be missing in a sync, but then
	// there must be an error.
	synced := make(map[string]*icloud.Contact)
	_, err := p.client(t).Sync(ctx, token, func(c icloud.Change) error {
		synced[c.ID] = c.Contact
		return nil
	})
	missing := failed(err)
	if err != nil && (len(missing) == 0 || p.name != "xandikos") {
		t.Errorf("sync: %v %q", err, missing)
	}
	listed := p.list(t)
	if len(synced)+len(missing) != len(taken) || len(listed) != len(before)+len(taken) {
		t.Errorf("%d cards were put; the sync reports %d and misses %q, the listing has %d more", len(taken), len(synced), missing, len(listed)-len(before))
	}
	client := p.client(t)
	met := 0
	for id, contact := range listed {
		if before[id] != nil {
			continue
		}
		name, ok := taken[contact.UID]
		if !ok || contact.Name != "Odd "+contact.UID {
			t.Errorf("%q is %q, which was not put", id, contact.Name)
			continue
		}
		met++
		if s := synced[id]; slices.Contains(missing, id) == (s != nil) || s != nil && !equalCards(s.VCard, contact.VCard) {
			t.Errorf("%q, put as %q, is not in the sync as it is in the listing", id, name)
		}
		got, err := client.Contact(ctx, id)
		if err != nil || got.ID != id || got.UID != contact.UID {
			t.Errorf("%q, put as %q: %v", id, name, err)
			continue
		}
		edited, err := got.Edit(vcard.Card{"NOTE": {{Value: "changed"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(ctx, id, edited, got.ETag); err != nil {
			t.Errorf("%q, put as %q, cannot be changed: %v", id, name, err)
			continue
		}
		if got, err = client.Contact(ctx, id); err != nil || !bytes.Contains(got.VCard, []byte("NOTE:changed")) {
			t.Errorf("%q, put as %q, was changed: %v", id, name, err)
			continue
		}
		if err := client.Delete(ctx, id, got.ETag); err != nil {
			t.Errorf("%q, put as %q, cannot be deleted: %v", id, name, err)
		}
	}
	if met != len(taken) {
		t.Errorf("%d of %d were listed", met, len(taken))
	}
	for _, name := range taken {
		p.do(t, http.MethodDelete, name, "") // if it is left
	}
	if rest := p.list(t); len(rest) != len(before) {
		t.Errorf("%d cards are left over", len(rest)-len(before))
	}
}

// equalCards compares a card from a GET with one from XML, which keeps no CR that is not escaped.
func equalCards(a, b []byte) bool {
	return bytes.Equal(bytes.ReplaceAll(a, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))
}

// If a server accepts cards that XML cannot represent, or that are hardly cards, the
// listing still has all cards.
func testOddCards(t *testing.T, p *place, seed []seedCard) {
	before := p.list(t)
	_, token := p.sync(t, "")
	taken := make(map[string]string)
	for name, text := range map[string]string{
		"escape":         "\x1b[31m",
		"vertical tab":   "\x0b",
		"NUL":            "\x00",
		"U+FFFE":         "\ufffe",
		"Latin-1":        "Andr\xe9",
		"end of CDATA":   "]]>",
		"entity":         "&amp; &lt; &#13; &",
		"markup":         "</address-data></prop>",
		"bare CR":        "a\rNOTE:b",
		"DEL":            "\x7f\u0085\u2028",
		"long line":      strings.Repeat("0123456789", 50_000),
		"cut in a rune":  strings.Repeat("x", 66) + "\xc3\r\n \xa9",
		"nothing":        "",
		"surrogate":      "\xed\xa0\x80",
		"backslash last": `\`,
	} {
		uid := "odd-card-" + strings.NewReplacer(" ", "-", "+", "").Replace(name)
		card := strings.Replace(person(uid, "Odd"), "END:", "NOTE:"+text+"\r\nEND:", 1)
		if p.name == "xandikos" && !utf8.ValidString(card) {
			continue
		}
		if p.put(t, uid+".vcf", card) {
			taken[uid+".vcf"] = name
		}
	}
	client := p.client(t)
	for uid, card := range map[string]string{
		"odd-card-lf":         strings.ReplaceAll(person("odd-card-lf", "Odd"), "\r\n", "\n"),
		"odd-card-4.0":        strings.Replace(person("odd-card-4.0", "Odd"), "3.0", "4.0", 1),
		"odd-card-2.1":        strings.Replace(person("odd-card-2.1", "Odd"), "3.0", "2.1", 1),
		"odd-card-no-fn":      "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:odd-card-no-fn\r\nN:Odd;;;;\r\nEND:VCARD\r\n",
		"odd-card-no-end":     "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:odd-card-no-end\r\nFN:Odd\r\n",
		"odd-card-lower-case": strings.ToLower(person("odd-card-lower-case", "odd")),
		"odd-card-broken":     strings.Replace(person("odd-card-broken", "Odd"), "END:", "this is no line\r\nEND:", 1),
		"odd-card-empty":      "",
	} {
		if p.put(t, uid+".vcf", card) {
			taken[uid+".vcf"] = uid
			continue
		}
		// Put must not take a refusal for success, whatever the answer looks like.
		if _, err := client.Put(t.Context(), uid+".vcf", []byte(card), ""); err == nil {
			t.Errorf("%s: the server refuses it, and Put says nothing", uid)
		}
	}
	if len(taken) < 5 {
		t.Fatalf("the server takes only %v", taken)
	}
	start := time.Now()
	book := p.list(t)
	t.Logf("%d of 23 odd cards taken; listed in %v", len(taken), time.Since(start).Round(time.Millisecond))
	for id, name := range taken {
		if book[id] == nil {
			t.Errorf("%s: taken, but not listed", name)
		}
	}
	for _, card := range seed {
		if before[card.id] == nil {
			continue
		}
		if got := book[card.id]; got == nil || fieldsOf(got) != card.want {
			t.Errorf("%s: %+v, want %+v", card.id, got, card.want)
		}
	}
	synced, _ := p.sync(t, token)
	for id, name := range taken {
		if synced[id] == nil {
			t.Errorf("%s: taken, but not synced", name)
		}
	}
	if len(synced) != len(taken) || len(book) != len(before)+len(taken) {
		t.Errorf("%d cards were put; the sync reports %d, the listing %d more", len(taken), len(synced), len(book)-len(before))
	}
	for id := range taken {
		p.do(t, http.MethodDelete, id, "")
	}
}
