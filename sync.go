// Following changes: sync-collection (RFC 6578), or ETags compared where a server
// has none.
//
// A run is a listing of what has changed. Each page of the server's answer names
// cards, at times with their data; those without are fetched by multiget before
// the next page is asked for. The token is the server's with the book's name
// before it, or the book's state itself, so that a Client needs to remember nothing.

package icloud

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// Change is a card that was added or changed, or one that was deleted.
type Change struct {
	ID      string
	Contact *Contact // nil: deleted
}

// Sync reports what has changed since a token: apply is called for each card
// that was added, changed or deleted, one after another, and next is the token
// for the next time. since "" reports all cards. A card may be reported without
// having changed, and a deletion for a card that was never reported.
//
// next is worth keeping once the work of apply is. With an error, next is since:
// some changes may have been applied, and all come again. An error of apply ends
// Sync and is returned as it is. Cards that could not be got are *CardErrors
// joined in an error, after all others have been applied. [ErrResync] says that
// since is no longer honored, or not of this address book: call Sync with "".
//
// A run from "" that ends without an error has reported every card that there is.
// Delete what it did not report, whether it followed an ErrResync or not: the run
// that follows may fail, and the one after that knows nothing of it.
//
// Where the server has no sync-collection, which iCloud has, the token holds the
// ID of every card with a hash of its ETag; it is then about 40 bytes a card, and
// personal data.
func (c *Client) Sync(ctx context.Context, since string, apply func(Change) error) (next string, err error) {
	s := &syncing{since: since, apply: apply}
	s.listing = newListing(c, ctx, func(contact *Contact) error {
		return s.change(Change{contact.ID, contact})
	})
	defer s.end()
	s.call = c.begin()
	err = c.withBook(ctx, s.run)
	if _, ok := errors.AsType[*tokenError](err); ok {
		err = ErrResync
	}
	// apply's error ended it, and is not to be hidden behind those of cards.
	if s.applied != nil {
		_ = s.call.end(ctx, nil)
		return since, s.applied
	}
	if err = s.call.end(ctx, s.failed.with(err)); err != nil {
		return since, err
	}
	return s.next, nil
}

// syncing is one run of Sync.
type syncing struct {
	*listing
	since, next string
	apply       func(Change) error
	call        *call
	applied     error // apply's
	book        *url.URL
	bare        bool // asks without address-data
}

func (s *syncing) change(c Change) error {
	s.call.apply(s.ctx)
	if err := s.apply(c); err != nil {
		s.applied = err
		return errStopped
	}
	return nil
}

func (s *syncing) gone(id string) error { return s.change(Change{ID: id}) }

// run syncs the book at u.
func (s *syncing) run(u *url.URL) error {
	s.book = u
	t, ok := synctoken.Parse(s.since)
	// No request is needed to know that a token is another book's; sent there,
	// it might even be honored.
	if !ok || s.since != "" && t.Book != s.bookHash() {
		return ErrResync
	}
	if t.Server == "" && t.ETags != nil {
		return s.compare(t.ETags)
	}
	return s.collect(t.Server)
}

// bookHash names a book in a token. Partition hosts come and go; the account's
// number in the path stays.
func (s *syncing) bookHash() string {
	sum := sha256.Sum256([]byte(s.client.gate.Domain(s.book) + dav.DirPath(s.book.Path)))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// maxPages bounds a server that always has more.
const maxPages = 10_000

var errEndless = errors.New("icloud: the server's pages of changes do not end")

// tokenError is an answer that refuses a token, perhaps because the book is no
// longer where it was.
type tokenError struct{ error }

func (e *tokenError) Unwrap() error { return e.error }

// collect asks for the changes since a token of the server's, page by page.
func (s *syncing) collect(token string) error {
	for range maxPages {
		// With address-data: RFC 6578 does not forbid it, several servers send it,
		// and iCloud is content not to.
		resp, err := s.report(token, !s.bare)
		if err != nil {
			if token == "" && refusedEmpty(err) {
				// No ErrResync: the caller would come back with the same "".
				return s.compare(nil)
			}
			if err = s.refusal(token, err); s.since == "" && spent(err) {
				return s.compare(nil)
			}
			return err
		}
		next, more, err := s.page(resp, token)
		if s.since == "" && spent(err) {
			return s.compare(nil)
		}
		switch _, broken := errors.AsType[*dav.SyntaxError](err); {
		case broken && !s.bare:
			// One of the cards may have broken the answer.
			s.bare = true
			s.forget()
			continue
		case broken && s.since == "":
			// Or one of the names, which another report may write better.
			return s.compare(nil)
		case broken:
			// No change after this token can be read: it is of no more use.
			return ErrResync
		case err != nil:
			return err
		case next == "" && s.since == "":
			// Not a sync-collection, then: all cards, and no way on.
			return s.compare(nil)
		// A 207 without a token, after one that had some: whatever that is, it
		// cannot be followed.
		case next == "":
			return ErrResync
		case !more:
			s.next, err = synctoken.Token{Book: s.bookHash(), Server: next, Cards: synctoken.Unknown}.Encode()
			return err
		// More is promised, but not by this token.
		case next == token:
			return errEndless
		}
		token = next
		s.forget()
	}
	return errEndless
}

// forget makes ready for another answer about the same cards: one may have changed
// since the answer before, and must not be passed over as known.
func (s *syncing) forget() {
	clear(s.seen)
}

// spent says whether an error is about the token. A run that began with "" got its
// tokens from its own pages, and an ErrResync would have it begin again for ever.
func spent(err error) bool {
	_, refused := errors.AsType[*tokenError](err)
	return refused || err == ErrResync
}

// report asks for the changes since a token. Any Depth but 0 is an error (RFC
// 6578, section 3.2).
func (s *syncing) report(token string, data bool) (*http.Response, error) {
	return s.client.multistatus(s.ctx, "REPORT", s.book, "0", dav.SyncCollection(token, data))
}

// page applies the changes of one answer to a token.
func (s *syncing) page(resp *http.Response, token string) (next string, more bool, err error) {
	defer resp.Body.Close()
	var left []string
	err = s.rows(resp, func(row *dav.Row) error {
		if row.Status == http.StatusInsufficientStorage {
			more = true // RFC 6578, section 3.6
			return nil
		}
		m, err := s.member(resp, row)
		switch {
		case err != nil:
			// A refusal that hides in a 207 may be the token's, too.
			return s.refusal(token, err)
		case m.state == memberThere && row.HasData && (len(row.Data) > 0 || row.TooLarge):
			return s.card(m.Href, row)
		// Named alone, as iCloud does it: fetched below.
		case m.state == memberThere, m.state == memberBare:
			left = append(left, string(m.Written))
		case m.state == memberRefused:
			s.refused(m)
		// A first sync has nothing to delete, whatever tombstones it lists.
		case m.state == memberGone && token != "" && s.first(m.Href):
			return s.gone(m.ID())
		}
		return nil
	})
	if err != nil {
		return "", false, err
	}
	next = string(s.decoder.SyncToken())
	return next, more, s.fetch(s.book, left, getBatch, s.gone)
}

// refusedEmpty says whether a server that was asked for everything refuses to
// give it by this report. That is no matter of the token, so ErrResync would
// have the caller ask the same again.
func refusedEmpty(err error) bool {
	re, ok := errors.AsType[*ResponseError](err)
	return unsupported(err) || ok && re.RetryAfter == 0 && refusesToken(re.StatusCode)
}

// refusesToken says whether servers refuse a token with this status. Which one
// iCloud uses is not known.
func refusesToken(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusGone, http.StatusPreconditionFailed:
		return true
	}
	return false
}

// refusal is the error for a report that was refused.
func (s *syncing) refusal(token string, err error) error {
	re, ok := errors.AsType[*ResponseError](err)
	if !ok || token == "" || re.RetryAfter > 0 { // a 403 that asks to wait
		return err
	}
	// Beyond doubt about the token, so the book need not be looked for.
	if ce, ok := errors.AsType[*conditionError](err); ok && ce.condition == dav.ValidSyncToken || unsupported(err) {
		return ErrResync
	}
	switch {
	// The token's fault, or the book's that has moved: withBook finds out by
	// the status in it, and what is left is ErrResync.
	case refusesToken(re.StatusCode), re.StatusCode == http.StatusNotFound:
		return &tokenError{err}
	case re.StatusCode == http.StatusInternalServerError && s.breaksServer(token):
		return ErrResync
	}
	return err
}

// breaksServer says whether it is the token that a server fails on: Xandikos
// answers 500 to one that it does not know. It fails again with it, and does not
// without.
func (s *syncing) breaksServer(token string) bool {
	resp, err := s.report(token, false)
	if err == nil {
		discard(resp)
		return false
	}
	if re, ok := errors.AsType[*ResponseError](err); !ok || re.StatusCode != http.StatusInternalServerError {
		return false
	}
	resp, err = s.report("", false)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err == nil
}

// compare reports how the ETags of the book differ from old.
func (s *syncing) compare(old map[string]uint64) error {
	s.forget()
	state := make(map[string]uint64)
	var changed []string
	err := s.etags(s.book, func(h dav.Href, row *dav.Row) error {
		id, etag := h.ID(), synctoken.Hash(row.ETag)
		// Without an ETag there is no telling, so it is fetched.
		if was, known := old[id]; !known || was != etag || etag == 0 {
			changed = append(changed, string(h.Written))
		}
		state[id] = etag
		return nil
	})
	if err != nil {
		return err
	}
	// Deleted between the two requests.
	err = s.fetch(s.book, changed, getBatch, func(id string) error {
		delete(state, id)
		if _, known := old[id]; !known {
			return nil
		}
		delete(old, id)
		return s.gone(id)
	})
	// The deletions come last, once everything else is known.
	if err != nil || len(s.failed) > 0 {
		// A card that the server refused to name is not a card deleted.
		return err
	}
	for id := range old {
		if _, there := state[id]; there {
			continue
		}
		if err := s.gone(id); err != nil {
			return err
		}
	}
	s.next, err = synctoken.Token{Book: s.bookHash(), ETags: state, Cards: synctoken.Unknown}.Encode()
	return err
}
