// Tests of TestServers about tokens that a server forgets, cards that move, and refusals.

package icloud_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// rename gives a card another name by MOVE (RFC 4918, section 9.9), or in two steps
// on servers that have none.
func (p *place) rename(t *testing.T, from, to, card string) {
	t.Helper()
	status := p.doWith(t, "MOVE", from, "", http.Header{"Destination": {p.Book + to}, "Overwrite": {"F"}})
	if status/100 == 2 {
		return
	}
	t.Logf("MOVE answered %d", status)
	if status := p.do(t, http.MethodDelete, from, ""); status/100 != 2 {
		t.Fatalf("DELETE answered %d", status)
	}
	if !p.put(t, to, card) {
		t.Fatalf("%q cannot be put", to)
	}
}

// A card that is renamed is reported as deleted and as added. A card that is renamed and
// back, or deleted and created again, still exists.
func testRenames(t *testing.T, p *place, seed []seedCard) {
	_, token := p.sync(t, "")
	moved, back, anew, twice := seed[30], seed[31], seed[32], seed[33]
	p.rename(t, moved.id, "moved.vcf", moved.text)
	p.rename(t, back.id, "away.vcf", back.text)
	p.rename(t, "away.vcf", back.id, back.text)
	if status := p.do(t, http.MethodDelete, anew.id, ""); status/100 != 2 {
		t.Fatalf("DELETE answered %d", status)
	}
	if !p.put(t, anew.id, anew.text) {
		t.Fatal("it cannot be made anew")
	}
	// The server must not take this card for one that was created and deleted since.
	for range 2 {
		if !p.put(t, twice.id, twice.text) {
			t.Fatal("it cannot be put")
		}
		if status := p.do(t, http.MethodDelete, twice.id, ""); status/100 != 2 {
			t.Fatalf("DELETE answered %d", status)
		}
	}

	changes, next := p.sync(t, token)
	for id, want := range map[string]bool{moved.id: false, "moved.vcf": true, twice.id: false} {
		if contact, reported := changes[id]; !reported || (contact != nil) != want {
			t.Errorf("%s: reported %v, there %v; want there %v", id, reported, contact != nil, want)
		}
	}
	// The server may report these as changed, but not as deleted.
	for _, card := range []seedCard{back, anew} {
		if contact, reported := changes[card.id]; reported && (contact == nil || fieldsOf(contact) != card.want) {
			t.Errorf("%s is reported as %+v, and it is there", card.id, contact)
		}
	}
	if contact := changes["away.vcf"]; contact != nil {
		t.Error("away.vcf is reported, and was gone before")
	}
	if again, _ := p.sync(t, next); len(again) != 0 {
		t.Errorf("the sync after it reports %d", len(again))
	}
	p.rename(t, "moved.vcf", moved.id, moved.text)
	if !p.put(t, twice.id, twice.text) {
		t.Fatal("it cannot be put back")
	}
	if book := p.list(t); len(book) != len(seed) {
		t.Errorf("%d cards are listed, want %d", len(book), len(seed))
	}
}

// A token that the server has forgotten, with or without an error, is ErrResync before
// anything is reported. Otherwise a card that was deleted meanwhile would stay for ever.
func testForgottenToken(t *testing.T, p *place, seed []seedCard) {
	_, token := p.sync(t, "")
	switch {
	case p.fake != nil:
		p.fake.ForgetTokens()
	case !p.ForgetTokens(t):
		t.Skip("this server does not forget tokens")
	}
	deleted, changed := seed[40], seed[41]
	if status := p.do(t, http.MethodDelete, deleted.id, ""); status/100 != 2 {
		t.Fatalf("DELETE answered %d", status)
	}
	if !p.put(t, changed.id, strings.Replace(changed.text, "END:VCARD", "NOTE:changed\r\nEND:VCARD", 1)) {
		t.Fatal("a card cannot be changed")
	}
	reported := 0
	_, err := p.client(t).Sync(t.Context(), token, func(icloud.Change) error {
		reported++
		return nil
	})
	if !errors.Is(err, icloud.ErrResync) || reported > 0 {
		t.Errorf("%d changes and %v, want ErrResync alone", reported, err)
	}
	all, next := p.sync(t, "")
	if len(all) != len(seed)-1 || all[deleted.id] != nil {
		t.Errorf("from the beginning %d cards, want %d", len(all), len(seed)-1)
	}
	if changes, _ := p.sync(t, next); len(changes) != 0 {
		t.Errorf("then %d changes, want none", len(changes))
	}
	for _, card := range []seedCard{deleted, changed} {
		p.put(t, card.id, card.text)
	}
}

// A password that worked and was then changed by its owner was revoked. With the new one
// everything works again, also the sync token.
func testChangedPassword(t *testing.T, p *place, seed []seedCard) {
	if p.fake != nil {
		t.Skip("its passwords are made by it; see TestLatch")
	}
	client, err := icloud.New(p.cred, &icloud.Options{Endpoint: p.endpoint, Transport: p, Dwell: -1})
	if err != nil {
		t.Fatal(err)
	}
	keep := func(icloud.Change) error { return nil }
	token, err := client.Sync(t.Context(), "", keep)
	if err != nil {
		t.Fatal(err)
	}
	const other = "tiger-lily-7"
	p.SetPassword(t, other)
	defer p.SetPassword(t, p.Password)

	next, err := client.Sync(t.Context(), token, keep)
	refusal, ok := errors.AsType[*icloud.AuthError](err)
	if !ok || !errors.Is(err, icloud.ErrPasswordRevoked) || !refusal.Confirmed {
		t.Fatalf("got %v, want a confirmed *AuthError, ErrPasswordRevoked", err)
	}
	before := p.requests.Load()
	if _, err := client.Contact(t.Context(), seed[0].id); !errors.Is(err, refusal) || p.requests.Load() != before {
		t.Errorf("signed out, it sends %d requests and returns %v", p.requests.Load()-before, err)
	}
	cred := p.cred
	if err := client.Reconnect(t.Context(), cred); !errors.Is(err, icloud.ErrPasswordRevoked) && !errors.Is(err, icloud.ErrPasswordRejected) {
		t.Errorf("reconnecting with the old password: %v", err)
	}
	cred.Password = icloud.UncheckedPassword(other)
	if err := client.Reconnect(t.Context(), cred); err != nil {
		t.Fatalf("reconnecting with the new password: %v", err)
	}
	// The token of the refused run is kept.
	if _, err := client.Sync(t.Context(), next, func(c icloud.Change) error {
		t.Errorf("%s has changed", c.ID)
		return nil
	}); err != nil {
		t.Errorf("sync after Reconnect: %v", err)
	}
}

// breaker is a Transport that breaks at one card: it replaces every answer that contains
// its text by a 500, as Xandikos does for cards that are not UTF-8.
type breaker struct {
	under http.RoundTripper
	text  string // the text of the card; "" for no card
}

func (b *breaker) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Header.Del("Accept-Encoding") // so that the answer can be read
	resp, err := b.under.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Request = req
	if b.text != "" && bytes.Contains(body, []byte(b.text)) {
		resp.StatusCode, resp.Status, body = http.StatusInternalServerError, "500 Internal Server Error", nil
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// A card that the server cannot send delays nothing: each run reports the other changes,
// and the card is reported once it can be sent.
func testBrokenCard(t *testing.T, p *place, seed []seedCard) {
	b := &breaker{p.transport, ""}
	p.transport = b
	defer func() { p.transport = b.under }()
	_, token := p.sync(t, "")
	const broken = "0B5A5C1E-6B1C-4D53-9A39-3F6C1F0F7A03.vcf"
	if !p.put(t, broken, person(strings.TrimSuffix(broken, ".vcf"), "Unsendable")) {
		t.Fatal("it cannot be put")
	}
	defer p.do(t, http.MethodDelete, broken, "") // if the test ends early
	b.text = "FN:Unsendable"
	for run := range 4 {
		changed := seed[50+run]
		if !p.put(t, changed.id, strings.Replace(changed.text, "END:VCARD", "NOTE:changed\r\nEND:VCARD", 1)) {
			t.Fatal("a card cannot be changed")
		}
		var changes []string
		before := p.requests.Load()
		next, err := p.client(t).Sync(t.Context(), token, func(c icloud.Change) error {
			changes = append(changes, c.ID)
			return nil
		})
		if owed, ok := partialIDs(err); !ok || !slices.Equal(owed, []string{broken}) {
			t.Fatalf("run %d: %v, owed %q; want a *PartialError that names it", run, err, owed)
		}
		if !slices.Equal(changes, []string{changed.id}) || next == "" || next == token {
			t.Errorf("run %d: the changes are %q, want %s alone; a new token: %v", run, changes, changed.id, next != token)
		}
		// The requests are discovery, the changes, the halves of a batch, and a GET.
		if n := p.requests.Load() - before; n > 20 {
			t.Errorf("run %d: %d requests", run, n)
		}
		token = next
	}
	listed := 0
	for _, err := range p.client(t).Contacts(t.Context()) {
		if err == nil {
			listed++
		} else if owed, ok := partialIDs(err); !ok || !slices.Equal(owed, []string{broken}) {
			t.Errorf("listing: %v, owed %q; want a *PartialError that names it", err, owed)
		}
	}
	if listed != len(seed) {
		t.Errorf("%d cards are listed, want %d", listed, len(seed))
	}

	b.text = ""
	changes, token := p.sync(t, token)
	if len(changes) != 1 || changes[broken] == nil {
		t.Errorf("when it can be sent, %d changes come, want it", len(changes))
	}
	p.do(t, http.MethodDelete, broken, "")
	if changes, _ := p.sync(t, token); len(changes) != 1 || changes[broken] != nil {
		t.Errorf("when it is deleted, %d changes come, want that", len(changes))
	}
	for _, card := range seed[50:54] {
		p.put(t, card.id, card.text)
	}
}
