// Sync reports what has changed since an earlier run. The token has all that a run needs
// to know of earlier runs, so a Client remembers nothing for it.
//
// There are three kinds of runs, each in a file of its own: the first one, which lists
// the book (firstsync.go); one that follows the server's token (deltasync.go); and one
// that compares the ETags of the whole book, for servers without tokens (etagsync.go).
// This file has what they share: which cards the caller has, and the token that
// records them.

package icloud

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// Change is a card that was added or changed, or the ID of one that was deleted.
type Change struct {
	ID      string   // as Contact.ID
	Contact *Contact // the card; nil if it was deleted
}

// Sync reports what has changed since an earlier Sync, which returned token. The token
// "" reports all cards. Sync calls apply once for each card that was added, changed or
// deleted, never concurrently, and returns the token for the next Sync. It may report a
// card that has not changed, and the deletion of a card that it never reported.
//
// Store next together with the changes, both or neither, in one transaction if there is
// one. This is right with every error:
//
//   - A [*PartialError] names cards that Sync could not get. Everything else was
//     applied. next owes these cards: each later Sync asks for them again, until it gets
//     them or they are deleted.
//   - [ErrResync] says that the server no longer honors the token, or that the token is
//     not one of this address book. next is "", and stays "" until a Sync from "" has
//     completed.
//   - An error that apply returned ends Sync, and Sync returns it unchanged.
//   - With any other error too, some changes may have been applied. The next Sync, from
//     next, reports the others, and may repeat those that were applied.
//
// A Sync from "" that ends without an error or with a PartialError has reported all cards
// except those that it owes. Then delete the cards that it neither reported nor owes.
// Do so after every such Sync, not only after an ErrResync: a Sync that fails is followed
// by another one from "", which does not know what the failed one reported.
//
// A token is text and personal data. It contains the IDs of the cards that are owed. If
// the book has up to 20 cards, or if the server has no sync-collection (iCloud has it),
// it contains the ID of every card with a hash of its ETag, about 40 bytes for each card.
// A Sync that would owe more cards than a token of 64 KiB can hold ends with an error
// that is not a PartialError.
func (c *Client) Sync(ctx context.Context, token string, apply func(Change) error) (next string, err error) {
	s := &syncRun{since: token, apply: apply, now: time.Now()}
	s.listing = newListing(c, ctx, s.changed)
	defer s.end()
	s.call = c.beginSync()
	parsed, ok := synctoken.Parse(token)
	s.begin(parsed)
	err = c.withBook(ctx, func(u *url.URL) error {
		// A password that is refused says so before anything is said of a token.
		if !ok {
			return ErrResync
		}
		return s.run(u)
	})
	if _, ok := errors.AsType[*tokenError](err); ok {
		err = ErrResync
	}
	next, err = s.outcome(err)
	if s.applied != nil {
		_ = s.call.end(ctx, nil) // it says nothing about the server
	} else {
		_ = s.call.end(ctx, butCards(err))
	}
	return next, err
}

// syncRun is one run of Sync.
type syncRun struct {
	*listing
	since   string
	token   synctoken.Token // since
	apply   func(Change) error
	call    *call
	applied error // apply's
	now     time.Time
	book    *url.URL
	done    synctoken.Token // the next one, once the run has ended well

	// have has the cards that the caller has, as far as is known, by their decoded
	// IDs, with the hash of the ETag; 0 if the version is not known. It is
	// complete except in a run that follows a token of the server's.
	have map[string]uint64
	// complete says that have has all cards.
	complete bool
	// spelled has the ID that the caller knows a card by, if that is not its
	// decoded ID.
	spelled map[string]string
	// unlisted has the cards of have that the listing under way has not named yet,
	// and that are gone if it ends without naming them.
	unlisted map[string]struct{}
	// listed has the hashes of ETags as the listing under way has them, of the
	// cards that it found changed.
	listed map[string]uint64
	// handed are the hrefs of the cards that were handed out.
	handed []string

	// asked is when the server was last asked in vain: for a sync-collection, or, if
	// namesOnly is set, for one with the cards in it. It is zero a day later.
	asked     time.Time
	namesOnly bool
	cards     int // in the book, at least; synctoken.Unknown
}

// askAgain is after how long a server is asked again for what it has refused. It may
// have been a passing fault, or the server may have been updated.
const askAgain = 24 * time.Hour

// begin takes over what a token knows.
func (s *syncRun) begin(token synctoken.Token) {
	s.token, s.cards = token, token.Cards
	s.have = make(map[string]uint64)
	s.complete = s.since == "" || token.ETags != nil
	for id, etag := range token.ETags {
		s.have[s.know(id)] = etag
	}
	if age := s.now.Sub(token.Asked); 0 <= age && age < askAgain {
		s.asked, s.namesOnly = token.Asked, token.NamesOnly
	}
}

// know returns the decoded ID of a card, and notes the ID itself if that is another.
func (s *syncRun) know(id string) (key string) {
	if !strings.Contains(id, "%") {
		return id
	}
	if key = string(dav.ParseHref([]byte(id)).DecodedName()); key != id {
		if s.spelled == nil {
			s.spelled = make(map[string]string)
		}
		s.spelled[key] = id
	}
	return key
}

// run syncs the book at u. It is called a second time if the book turns out to have
// moved.
func (s *syncRun) run(u *url.URL) error {
	s.book = u
	// A book that has moved may have answered 404 for any card.
	s.failed = failures{}
	s.seen = seenCards{}
	if s.since != "" && s.token.Book != s.bookName(u) {
		// No request is needed to know that a token is another book's; sent there,
		// it might even be honored.
		named := func(u *url.URL) bool { return s.token.Book == s.bookName(u) }
		other, err := s.client.otherBook(s.ctx, named)
		switch {
		case err != nil:
			return err
		case other == nil:
			return ErrResync
		}
		s.book = other
	}
	switch {
	case s.since == "":
		return s.firstRun()
	case s.token.Server != "":
		return s.follow()
	}
	return s.compareAgain()
}

// bookName names a book in a token. Partition hosts come and go; the account's
// number in the path stays.
func (s *syncRun) bookName(u *url.URL) string {
	sum := sha256.Sum256([]byte(s.client.gate.Domain(u) + dav.DirPath(u.Path)))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// changed hands a card out to the caller.
func (s *syncRun) changed(h dav.Href, contact *Contact) error {
	// What is remembered is none of the contact's strings, which hold on to one
	// another.
	key := string(h.DecodedName())
	if key != contact.ID {
		if known, ok := s.spelled[key]; ok {
			contact.ID = known
		} else {
			s.know(strings.Clone(contact.ID))
		}
	}
	etag, ok := s.listed[key]
	if was := s.have[key]; !ok && s.listed != nil && was != 0 {
		// It was owed, and has not changed since the listing that noted this hash.
		etag, ok = was, true
	}
	if !ok {
		etag = synctoken.Hash([]byte(contact.ETag))
	}
	// Before apply, because an apply that fails may have done its work.
	s.have[key] = 0
	if s.since != "" && s.token.Server != "" {
		s.handed = append(s.handed, s.short(h))
	}
	if err := s.report(Change{contact.ID, contact}); err != nil {
		return err
	}
	s.have[key] = etag
	return nil
}

// gone tells the caller that a card was deleted.
func (s *syncRun) gone(h dav.Href) error {
	return s.deleted(string(h.DecodedName()), h.ID())
}

func (s *syncRun) deleted(key, id string) error {
	if known, ok := s.spelled[key]; ok {
		id = known
	}
	if err := s.report(Change{ID: id}); err != nil {
		return err
	}
	delete(s.have, key)
	delete(s.unlisted, key)
	s.failed.drop(key)
	return nil
}

func (s *syncRun) report(c Change) error {
	s.call.apply(s.ctx)
	if err := s.apply(c); err != nil {
		s.applied = err
		return errStopped
	}
	return nil
}

// startOver makes ready for another listing of the whole book in the same run. What
// was handed out before, and is not in it, is gone.
func (s *syncRun) startOver() {
	s.seen = seenCards{}
	s.failed = failures{}
	s.unlisted = make(map[string]struct{}, len(s.have))
	for key := range s.have {
		s.unlisted[key] = struct{}{}
	}
}

// unchanged says whether the caller has this version of a card, which a listing has
// just named.
func (s *syncRun) unchanged(h dav.Href, etag []byte) bool {
	key := h.DecodedName()
	delete(s.unlisted, string(key))
	was := s.have[string(key)]
	return was != 0 && was == synctoken.Hash(etag)
}

// sweep reports as deleted what a complete listing has not named.
func (s *syncRun) sweep() error {
	for _, key := range slices.Sorted(maps.Keys(s.unlisted)) {
		if err := s.deleted(key, key); err != nil {
			return err
		}
	}
	return nil
}

// outcome returns what Sync returns, without what the Store adds to it.
func (s *syncRun) outcome(err error) (next string, _ error) {
	switch {
	// It ended the run, and is not to be hidden behind errors of cards.
	case s.applied != nil:
		return s.failedToken(), s.applied
	case err == ErrResync:
		return "", err
	case err != nil || s.failed.more:
		return s.failedToken(), s.failed.with(err)
	}
	for _, failed := range s.failed.all {
		switch {
		// Not an ambiguous one: the caller has a card of that name, and would be
		// given the one in place of the other by turns.
		case failed.err == nil, failed.err.Err == errCardAmbiguous, failed.err.Err == errUnverified:
		case strings.HasPrefix(failed.href, "/"):
			s.done.Owed = append(s.done.Owed, s.short(dav.ParseHref([]byte(failed.href))))
		// The server named it by an address where nothing is asked for.
		default:
			s.done.Owed = append(s.done.Owed, failed.err.ID)
		}
	}
	next, err = s.done.Encode()
	if err != nil {
		return s.since, s.failed.with(err)
	}
	return next, s.failed.with(nil)
}

// failedToken returns the token of a run that has failed: the one before, and what
// the caller was given since.
func (s *syncRun) failedToken() string {
	t := s.token
	switch {
	// The run from "" that completes will report all, and what it does not report
	// is deleted then.
	case s.since == "":
		return ""
	case len(s.handed) > 0:
		t.Handed = union(t.Handed, s.handed)
	case t.Server == "" && !maps.Equal(t.ETags, s.state()):
		t.ETags = s.state()
	default:
		return s.since
	}
	next, err := t.Encode()
	if err != nil {
		return s.since
	}
	return next
}

// state returns have by the IDs that the caller knows.
func (s *syncRun) state() map[string]uint64 {
	etags := make(map[string]uint64, len(s.have))
	for key, etag := range s.have {
		if id, ok := s.spelled[key]; ok {
			key = id
		}
		etags[key] = etag
	}
	return etags
}

// union returns both lists as one, without repetitions.
func union(a, b []string) []string {
	met := make(map[string]struct{}, len(a)+len(b))
	all := make([]string, 0, len(a)+len(b))
	for _, list := range [][]string{a, b} {
		for _, name := range list {
			if _, again := met[name]; !again {
				met[name] = struct{}{}
				all = append(all, name)
			}
		}
	}
	return all
}

// short returns an href as tokens have it: without the path of the book, if it lies
// there.
func (s *syncRun) short(h dav.Href) string {
	name := h.Name()
	if string(h.Written) == s.bookPath()+string(name) {
		return string(name)
	}
	return string(h.Written)
}

// long is the inverse of short.
func (s *syncRun) long(short string) string {
	if strings.HasPrefix(short, "/") {
		return short
	}
	return s.bookPath() + short
}

func (s *syncRun) bookPath() string { return dav.DirPath(s.book.EscapedPath()) }
