// TestSyncModel: random sequences of events for an address book and a consumer that follows
// it, with a server that was written for this test. After each run the consumer's copy must
// equal the book at some time of the run.

package icloud_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

var (
	syncSeed  = flag.Uint64("syncmodel.seed", 1, "the seed of TestSyncModel's first sequence; the others follow")
	syncCount = flag.Int("syncmodel.n", 300, "how many sequences TestSyncModel runs")
)

// syncNames are names of cards. Servers write some of them in different ways.
var syncNames = []string{
	"a.vcf", "b.vcf", "c.vcf", "d.vcf", "0B5A5C1E-6B1C-4D53-9A39-3F6C1F0F7A01.vcf", "no-suffix", "Amélie.vcf", "山田.vcf",
	"with space.vcf", "what?.vcf", "what?if=1.vcf", "hash#tag.vcf", "100%.vcf", "a%41.vcf", "a&b.vcf", "semi;colon,.vcf", "<angle>.vcf", "it's+\"q\".vcf",
}

// syncModel is one sequence: a server, programs that change its book, and one consumer.
type syncModel struct {
	rand   *rand.Rand
	server *syncServer
	pool   []string // the names in use
	lines  []string // what has happened
	failed []string // the kinds of violations

	store  icloud.Store // nil if each Client knows nothing at first
	client *icloud.Client
	warm   bool // the Client's last call succeeded, so it knows the book and the server

	// The consumer. One that rolls back discards the changes and the token of a run that
	// failed; the other keeps both.
	rollsBack bool
	copy      map[string]string // text by key
	token     string
	at        syncMark        // when the token's run began
	owed      map[string]bool // the cards that the last run owes, by name
	fresh     []string        // the names of the cards that the last run has reported, if it failed
	counted   map[string]int
}

// syncMark is the state of the server at a time.
type syncMark struct{ rev, moves, cards int }

func (m *syncModel) mark() syncMark {
	return syncMark{m.server.rev, m.server.moves, len(m.server.cards)}
}

func newSyncModel(seed uint64, counted map[string]int) *syncModel {
	r := rand.New(rand.NewPCG(seed, 0))
	m := &syncModel{rand: r, rollsBack: r.IntN(2) == 0, copy: make(map[string]string), counted: counted}
	m.server = newSyncServer(drawSyncMode(r), r, m.logf)
	if r.IntN(2) == 0 {
		m.store = make(simStore)
	}
	m.pool = slices.Clone(syncNames)
	first := r.IntN(len(m.pool))
	more := 0
	switch r.IntN(20) {
	case 0:
		more = 600 // more than a multiget asks for at once
	case 1, 2:
		more = 40
	}
	for i := range more {
		m.pool = append(m.pool, fmt.Sprintf("card-%03d.vcf", i))
	}
	if more > 0 {
		first = len(m.pool) - r.IntN(10)
	}
	m.logf("a server: %s", m.server.syncMode)
	m.logf("a consumer that %s, with a Store: %v", map[bool]string{true: "rolls back", false: "keeps what it has"}[m.rollsBack], m.store != nil)
	for _, i := range r.Perm(len(m.pool))[:first] {
		m.server.put(m.pool[i])
	}
	m.restart()
	return m
}

func (m *syncModel) logf(format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}

// violation records that a promise was broken. Seeds are grouped by kind.
func (m *syncModel) violation(kind, format string, args ...any) {
	m.failed = append(m.failed, kind)
	m.logf("VIOLATION: "+kind+": "+format, args...)
}

// chance returns true once in n times.
func (m *syncModel) chance(n int) bool { return m.rand.IntN(n) == 0 }

func (m *syncModel) restart() {
	client, err := icloud.New(icloud.Credential{AppleID: "ada@example.org", Password: icloud.UncheckedPassword("secret")},
		&icloud.Options{Endpoint: m.server.endpoint(), Transport: m.server, Store: m.store})
	if err != nil {
		panic(err)
	}
	m.client, m.warm = client, false
	m.server.known = m.server.known && m.store != nil
}

// edit makes one change of the book, as another program.
func (m *syncModel) edit() {
	s, name := m.server, m.pool[m.rand.IntN(len(m.pool))]
	// A card that was reported in a failed run and is deleted before the next run is a
	// hard case.
	if i := len(m.fresh) - 1; i >= 0 && m.chance(2) {
		fresh := m.fresh[i]
		m.fresh = m.fresh[:i]
		if s.cards[fresh] != nil {
			s.delete(fresh)
			return
		}
	}
	there := s.cards[name] != nil
	switch other := m.pool[m.rand.IntN(len(m.pool))]; {
	case there && m.chance(3):
		s.delete(name)
	case there && m.chance(4):
		// It is deleted and created again between two requests.
		s.delete(name)
		s.put(name)
	case there && m.chance(4) && s.cards[other] == nil:
		s.rename(name, other)
	default:
		s.put(name)
	}
}

// sequence runs the sequence.
func (m *syncModel) sequence() {
	defer func() {
		if p := recover(); p != nil {
			m.violation("panic", "%v", p)
		}
	}()
	runs, stubborn := 4+m.rand.IntN(12), m.chance(20)
	if stubborn {
		runs = 100
	}
	for range runs {
		m.logf("between runs:")
		for range m.rand.IntN(5) {
			m.edit()
		}
		m.happen(stubborn)
		wait := []time.Duration{time.Minute, time.Hour, 25 * time.Hour}[m.rand.IntN(3)]
		m.logf("  %s pass", wait)
		time.Sleep(wait)
		if m.chance(4) {
			m.logf("  a new Client")
			m.restart()
		}
		if m.chance(4) {
			m.list()
		}
		m.run(true)
		if len(m.failed) > 0 {
			return
		}
	}
	m.settle()
}

// happen changes the server itself. In a stubborn sequence the trouble of a card never ends.
func (m *syncModel) happen(stubborn bool) {
	s := m.server
	names := s.names()
	if m.chance(5) && len(names) > 0 {
		name := names[m.rand.IntN(len(names))]
		s.trouble[name] = syncTrouble(m.rand.IntN(int(troubles)))
		s.log("  %q: %s", name, s.trouble[name])
	}
	if !stubborn && m.chance(5) {
		for _, name := range slices.Sorted(maps.Keys(s.trouble)) {
			delete(s.trouble, name)
			s.log("  %q: no trouble", name)
			break
		}
	}
	if m.chance(8) {
		s.forgetTokens()
	}
	if !s.second && m.chance(12) {
		s.move()
	}
}

// disturb chooses the faults and the changes by other programs during the next call.
func (m *syncModel) disturb(allowed bool) {
	s := m.server
	s.requests, s.faults, s.disturbed = 0, nil, 0
	clear(s.used)
	s.endless = 150 + 4*len(s.history)
	s.around = func() {}
	s.fault = func(*syncRequest) syncFault { return noFault }
	if !allowed {
		return
	}
	if m.chance(3) {
		s.around = func() {
			switch {
			case m.chance(4):
				m.edit()
			case !s.second && m.chance(60):
				s.disturbed++
				s.move()
			case m.chance(60):
				s.disturbed++
				s.forgetTokens()
			}
		}
	}
	if !m.chance(3) {
		return
	}
	at, each := m.rand.IntN(5), m.chance(2)
	asked := false
	s.fault = func(*syncRequest) syncFault {
		if at--; at != -1 && !(each && m.chance(4)) {
			return noFault
		}
		fault := 1 + syncFault(m.rand.IntN(int(syncFaults)-1))
		// A second one in a row would be a refusal of the password.
		if fault == fault401 && asked {
			return faultLost
		}
		asked = asked || fault == fault401
		return fault
	}
}

// name returns the name of the card with an ID.
func (m *syncModel) name(id string) string {
	name, err := url.PathUnescape(id)
	if err != nil {
		return id
	}
	return name
}

// key returns the key under which the consumer keeps a card: its ID, unless the server varies
// the spelling.
func (m *syncModel) key(id string) string {
	if m.server.spelling == spellVaried {
		return m.name(id)
	}
	return id
}

func (m *syncModel) keyOf(name string) string {
	if m.server.spelling == spellVaried {
		return name
	}
	return m.server.writtenName(name)
}

// check checks a change that was reported, and returns the name of its card.
func (m *syncModel) check(id string, contact *icloud.Contact, from int) string {
	s, name := m.server, m.name(id)
	if s.history[name] == nil {
		m.violation("unknown ID", "%q was never in the book", id)
		return name
	}
	if want := m.keyOf(name); m.key(id) != want {
		m.violation("ID not as written", "got %q, the server writes %q", id, want)
	}
	texts := s.between(name, from, s.rev)
	switch {
	case contact == nil:
		if !slices.Contains(texts, "") {
			m.violation("deleted", "%q is reported as deleted, and was there all the time", id)
		}
	case contact.ID != id:
		m.violation("two IDs", "%q and %q", id, contact.ID)
	case len(contact.VCard) == 0 || !slices.Contains(texts, string(contact.VCard)):
		m.violation("another card", "%q is reported as %q, of %q", id, contact.VCard, texts)
	case contact.ETag != etagIn(string(contact.VCard)):
		m.violation("another ETag", "%q has %s with %q", id, contact.ETag, contact.VCard)
	}
	return name
}

// etagIn returns the ETag of a card, given its text.
func etagIn(text string) string {
	_, rest, _ := strings.Cut(text, "&<")
	version, _, _ := strings.Cut(rest, ">")
	return `"` + version + `"`
}

var errSyncApply = errors.New("the consumer's disk is full")

// run makes one run of the consumer.
func (m *syncModel) run(disturbed bool) (ended error) {
	s, token, began, before := m.server, m.token, m.mark(), m.at
	from := began.rev
	m.disturb(disturbed)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failAt, cancelAt := -1, -1
	switch {
	case disturbed && m.chance(12):
		failAt = m.rand.IntN(6)
	case disturbed && m.chance(20):
		cancelAt = m.rand.IntN(6)
	}
	m.logf("a run from %s:", brief(token))
	mine, seen, reported, calls := maps.Clone(m.copy), make(map[string]bool), make(map[string]int), 0
	applied := false
	next, err := m.client.Sync(ctx, token, func(c icloud.Change) error {
		if applied {
			m.violation("apply after its error", "%q", c.ID)
		}
		if calls++; calls-1 == failAt {
			m.logf("    apply fails at %q", c.ID)
			applied = true
			return errSyncApply
		}
		if calls-1 == cancelAt {
			m.logf("    the context is cancelled")
			cancel()
		}
		name := m.check(c.ID, c.Contact, from)
		reported[name]++
		seen[m.key(c.ID)] = true
		if c.Contact == nil {
			m.logf("    %q: deleted", c.ID)
			delete(mine, m.key(c.ID))
		} else {
			m.logf("    %q: %s", c.ID, c.Contact.ETag)
			mine[m.key(c.ID)] = string(c.Contact.VCard)
		}
		s.around()
		return nil
	})
	cancelled := ctx.Err() != nil
	quiet := len(s.faults) == 0 && s.disturbed == 0 && !applied && !cancelled && !withheld(err)
	m.logf("  ended with %v, token of %d bytes: %s", err, len(next), brief(next))
	m.note(err)
	warm := m.warm
	m.warm = err == nil && len(s.faults) == 0
	s.known = s.known || err == nil
	if s.used["another book"] > 0 {
		m.violation("another book", "was asked for")
	}
	owed, partial := m.partial(err, from, quiet)

	switch {
	case applied:
		if err != errSyncApply {
			m.violation("apply's error", "got %v", err)
		}
	case err == errSyncEndless, errors.Is(err, errSyncEndless):
		m.violation("endless", "%d requests", s.requests)
	case errors.Is(err, icloud.ErrResync):
		switch {
		case token == "":
			m.violation("ErrResync for no token", "%v", err)
		case (quiet || !s.blamesToken() && s.disturbed == 0) && s.used["refused"] == 0 && s.used["silent"] == 0 && m.at.moves == s.moves && !m.allChanged():
			m.violation("ErrResync without a reason", "%v", err)
		case next != "":
			m.violation("ErrResync with a token", "%q", brief(next))
		}
		m.token, m.owed = "", nil
		if !m.rollsBack {
			m.copy = mine
		}
		return err
	case err != nil && !partial && quiet:
		m.violation("an error without a fault", "%v", err)
	}
	if err != nil && !partial {
		switch {
		case token == "" && next != "":
			m.violation("a token before the book was complete", "%s", brief(next))
		case token != "" && next == "":
			m.violation("a token lost by an error", "%v", err)
		}
		if !m.rollsBack {
			m.copy, m.token = mine, next
			m.fresh = slices.Sorted(maps.Keys(reported))
		}
		return err
	}

	if token == "" {
		for key := range mine {
			if !seen[key] && !owed[key] {
				delete(mine, key)
			}
		}
	}
	m.copy, m.token, m.at = mine, next, began
	if next == "" {
		m.violation("no token", "after a run that ended with %v", err)
	}
	// If more than half of the book was deleted, the count in the token does not show
	// whether the answer has all remaining cards or is an ordinary delta.
	if s.used["silent"] > 0 && 2*len(s.cards) < before.cards+6 {
		m.logf("  more has been forgotten than can be noticed")
		m.counted["forgotten beyond notice"]++
		m.token, m.owed = "", nil
		return err
	}
	m.compare("the copy", m.copy, owed, from)
	if quiet && from == s.rev {
		m.costs(token, before, warm, reported)
	}
	m.owed = owed
	return err
}

// compare compares a copy with the book at the revisions since the given one, except the cards
// that are owed.
func (m *syncModel) compare(what string, copied map[string]string, owed map[string]bool, from int) {
	s := m.server
	known := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(s.history)) {
		key := m.keyOf(name)
		known[key] = true
		if owed[key] {
			continue
		}
		if texts := s.between(name, from, s.rev); !slices.Contains(texts, copied[key]) {
			kind := "stale"
			switch {
			case copied[key] == "":
				kind = "missing"
			case slices.Equal(texts, []string{""}):
				kind = "ghost"
			}
			m.violation(kind, "%s has %q as %q, the book %q", what, name, copied[key], texts)
		}
	}
	for key := range copied {
		if !known[key] {
			m.violation("ghost", "%s has %q, which is none of the book's IDs", what, key)
		}
	}
}

// allChanged says whether every card has changed since the token, which looks like a token that
// was forgotten without an error.
func (m *syncModel) allChanged() bool {
	for _, c := range m.server.cards {
		if c.rev <= m.at.rev {
			return false
		}
	}
	return true
}

// partial returns the cards that a *PartialError names, by key.
func (m *syncModel) partial(err error, from int, quiet bool) (owed map[string]bool, ok bool) {
	ids, ok := partialIDs(err)
	if !ok {
		return nil, false
	}
	owed = make(map[string]bool)
	for _, id := range ids {
		name := m.name(id)
		if m.server.history[name] == nil {
			m.violation("unknown ID", "%q is owed, and was never in the book", id)
		}
		if owed[m.key(id)] {
			m.violation("owed twice", "%q", id)
		}
		owed[m.key(id)] = true
		switch trouble := m.server.trouble[name]; {
		// A card that was deleted while it was requested may be owed until the next run.
		case !quiet, slices.Contains(m.server.between(name, from, m.server.rev), ""):
		case trouble == noTrouble && !m.owed[m.key(id)]:
			m.violation("a good card is owed", "%q", id)
		case trouble != noTrouble && trouble.got() && len(m.server.trouble) <= 5:
			m.violation("a card that GET gets is owed", "%q", id)
		}
	}
	if len(owed) == 0 {
		m.violation("a PartialError without cards", "%v", err)
	}
	m.logf("  owed: %q", slices.Sorted(maps.Keys(owed)))
	return owed, true
}

// costs checks the number of requests of a run without faults.
func (m *syncModel) costs(token string, before syncMark, warm bool, reported map[string]int) {
	s := m.server
	changed, troubled := 0, 0
	for name, states := range s.history {
		last := states[len(states)-1]
		switch {
		case last.rev <= before.rev:
			continue
		case last.text != "" && s.trouble[name] != noTrouble:
			troubled++
		}
		changed++
	}
	if s.page == 0 && !s.noETags {
		for name, n := range reported {
			if n > 1 {
				m.violation("reported twice", "%q, %d times", name, n)
			}
		}
	}
	if token == "" || !s.follows() || s.noETags || s.used["silent"] > 0 || s.used["from the beginning"] > 0 {
		return
	}
	pages := 1
	if s.page > 0 {
		pages += changed / s.page
	}
	limit := 2 * pages
	if n := len(m.owed); n > 0 {
		limit += 1 + min(n, 5)
	}
	limit += 12 * troubled
	if s.reportRefused != 0 || s.data == dataForbidden {
		limit++ // the report with cards is tried again once a day
	}
	if 2*(changed+1) >= before.cards {
		limit += 2 // a listing of ETags, and a check whether cards in it are newer
	}
	if !warm || before.moves != s.moves {
		limit += 8 // discovery, and finding the form of the report that the server accepts
	}
	if s.requests > limit {
		m.violation("costly", "%d requests for %d changes of %d cards, %d of them in trouble, and %d owed; want at most %d", s.requests, changed, before.cards, troubled, len(m.owed), limit)
	}
}

func withheld(err error) bool {
	re, ok := errors.AsType[*icloud.ResponseError](err)
	if ok && re.Withheld {
		return true
	}
	_, ok = errors.AsType[*icloud.AuthError](err)
	return ok
}

// note counts the cases that the sequences have met.
func (m *syncModel) note(err error) {
	for kind, n := range m.server.used {
		m.counted[kind] += n
	}
	switch _, partial := partialIDs(err); {
	case err == nil:
		m.counted["ended well"]++
	case partial:
		m.counted["ended partial"]++
	case errors.Is(err, icloud.ErrResync):
		m.counted["ended in ErrResync"]++
	default:
		m.counted["ended in error"]++
	}
	m.counted["most requests"] = max(m.counted["most requests"], m.server.requests)
}

// list lists the book with Contacts.
func (m *syncModel) list() {
	s, from := m.server, m.server.rev
	m.disturb(true)
	m.logf("a listing:")
	copied := make(map[string]string)
	var err error
	for contact, e := range m.client.Contacts(context.Background()) {
		if err != nil {
			m.violation("listed after the error", "%v", e)
		}
		if err = e; e != nil {
			continue
		}
		m.check(contact.ID, contact, from)
		if copied[m.key(contact.ID)] != "" {
			m.violation("listed twice", "%q", contact.ID)
		}
		copied[m.key(contact.ID)] = string(contact.VCard)
		s.around()
	}
	m.logf("  ended with %v", err)
	m.note(err)
	m.warm = m.warm && len(s.faults) == 0
	quiet := len(s.faults) == 0 && s.disturbed == 0 && !withheld(err)
	was := m.owed
	m.owed = nil
	owed, partial := m.partial(err, from, quiet)
	m.owed = was
	switch {
	case err == nil || partial:
		m.compare("the listing", copied, owed, from)
	case quiet:
		m.violation("a listing's error without a fault", "%v", err)
	}
}

// settle ends all trouble. Then the copy must equal the book after a few runs.
func (m *syncModel) settle() {
	s := m.server
	m.logf("all trouble ends:")
	clear(s.trouble)
	time.Sleep(25 * time.Hour)
	// Cards that are owed are fetched five at a time.
	for range 3 + len(m.owed)/5 {
		m.run(false)
		if len(m.failed) > 0 {
			return
		}
		time.Sleep(2 * time.Minute)
	}
	time.Sleep(25 * time.Hour)
	// The first run tries again what is tried once a day. If that brings a server's token
	// instead of ETags, the second may find the form of the report.
	for range 3 {
		if err := m.run(false); err != nil || len(m.failed) > 0 {
			m.violation("not settled", "%v", err)
			return
		}
		time.Sleep(2 * time.Minute)
	}
	if want := 1; s.follows() && !s.extra && s.requests != want {
		m.violation("a costly poll", "%d requests where nothing has changed, want %d: %v", s.requests, want, s.used)
	}
	// The token of a small book may contain the ETags.
	if limit := 200 + 45*min(len(s.cards), 20); s.follows() && len(m.token) > limit {
		m.violation("a long token", "%d bytes, want at most %d", len(m.token), limit)
	}
	m.list()
}

// brief shortens a token for the log.
func brief(token string) string {
	if len(token) > 100 {
		return fmt.Sprintf("%q…", token[:100])
	}
	return fmt.Sprintf("%q", token)
}

func TestSyncModel(t *testing.T) {
	t.Parallel()
	counted := make(map[string]int)
	kinds := make(map[string][]uint64)
	count := *syncCount
	if raceEnabled {
		count /= 5 // there is one goroutine
	}
	for i := range count {
		seed := *syncSeed + uint64(i)
		var m *syncModel
		synctest.Test(t, func(t *testing.T) {
			m = newSyncModel(seed, counted)
			m.sequence()
		})
		if len(m.failed) == 0 {
			continue
		}
		kind := m.failed[0]
		kinds[kind] = append(kinds[kind], seed)
		// Only the first sequence of each kind is printed.
		if len(kinds[kind]) == 1 {
			t.Errorf("seed %d (-syncmodel.seed %d -syncmodel.n 1):\n%s", seed, seed, strings.Join(m.lines, "\n"))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Errorf("%d sequences fail by %q; seeds %d", len(kinds[kind]), kind, kinds[kind][:min(10, len(kinds[kind]))])
	}
	t.Logf("met: %v", counted)
	if count < 300 {
		return
	}
	// The sequences must reach the hard cases.
	for _, kind := range []string{
		"sync-collection", "addressbook-multiget", "addressbook-query", "GET", "PROPFIND", "page", "refused", "silent",
		"ended well", "ended partial", "ended in ErrResync", "ended in error",
	} {
		if counted[kind] < 20 {
			t.Errorf("met %q %d times in %d sequences, want 20 at least", kind, counted[kind], count)
		}
	}
}
