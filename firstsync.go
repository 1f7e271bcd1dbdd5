// The first run of Sync, from "": it gets all cards by sync-collection, page by page. If
// that fails, it lists the book in another way, and compares the cards that it has
// handed out with the last listing.

package icloud

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// firstRun lists the book.
func (s *syncRun) firstRun() error {
	if len(s.have) > 0 {
		s.startOver() // the book has moved during this run
	}
	err := s.pages()
	if brokenXML(err) && !s.namesOnly {
		// One of the cards may have broken the answer.
		s.askNames()
		s.startOver()
		err = s.pages()
	}
	switch {
	case err == nil:
		return nil
	// This is never ErrResync, because the caller would start from the same "" again. A
	// 207 without a token is not an answer to sync-collection. If names in it cannot be
	// read, another report may write them correctly.
	case unsupported(err), refuses(err), isSpent(err), brokenXML(err), errors.Is(err, errNoToken):
		return s.compareETags()
	}
	return err
}

// isSpent says whether an error is about a token. In a first run the tokens are those of
// its own pages.
func isSpent(err error) bool {
	_, refused := errors.AsType[*tokenError](err)
	return refused || err == ErrResync
}

// pages hands out the whole book.
func (s *syncRun) pages() error {
	token := ""
	for range maxPages {
		resp, err := s.collection(token)
		if err != nil {
			return s.firstRefused(token, err)
		}
		next, more, err := s.page(resp)
		switch {
		case err != nil:
			return s.firstRefused(token, err)
		case next == "":
			return errNoToken
		case !more:
			return s.endListing(next)
		// There are more pages, but the token does not lead to them.
		case next == token:
			return errEndless
		}
		token = next
		// A card may have changed since the previous page, so it must not be skipped as
		// known.
		s.seen = seenCards{}
	}
	return errEndless
}

// firstRefused is tokenRefused for the pages of a first run. The request for the first page
// has no token.
func (s *syncRun) firstRefused(token string, err error) error {
	if token == "" {
		return err
	}
	return s.tokenRefused(token, err)
}

// page hands out the cards of one page, as it arrives.
func (s *syncRun) page(resp *http.Response) (next string, more bool, err error) {
	defer resp.Body.Close()
	var left hrefs
	gone := make(map[string]string)   // hrefs by decoded path
	same := make(map[string]struct{}) // decoded paths of cards that have not changed
	refused := false                  // a row has an ETag, and its card was refused
	err = s.rows(resp, func(m member, row *dav.Row) error {
		switch m.state {
		case memberMore:
			more = true
			return nil
		case memberGone:
			gone[string(m.Path)] = string(m.Written)
			return s.tooMany(len(gone))
		}
		switch {
		case s.unchanged(m.Href, row.ETag):
			same[string(m.Path)] = struct{}{}
			return nil
		case m.state == memberRefused:
			s.failed.add(m.Href, m.status)
			return nil
		case m.state == memberSent && (len(row.Data) > 0 || row.TooLarge):
			return s.card(m.Href, row)
		}
		// The row has no card, as on iCloud. The card is fetched below.
		refused = refused || row.DataStatus != 0
		return s.leave(&left, m.Href)
	})
	if err != nil {
		return "", false, err
	}
	if refused {
		s.askNames()
	}
	next = string(s.decoder.SyncToken())
	if err := s.fetch(s.book, left.list, getBatch, s.gone); err != nil {
		return "", false, err
	}
	// Some servers report a card that was deleted and created again both as deleted and
	// as existing.
	for path := range same {
		delete(gone, path)
	}
	return next, more, s.bury(gone, &left)
}

// bury reports the cards as deleted that a page has reported as deleted, and not also as
// existing.
func (s *syncRun) bury(gone map[string]string, left *hrefs) error {
	for _, path := range slices.Sorted(maps.Keys(gone)) {
		h := dav.ParseHref([]byte(gone[path]))
		// A first run may list tombstones of cards that the caller has never had.
		if _, had := s.have[string(h.DecodedName())]; had && !s.named(left, h) {
			if err := s.gone(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// named says whether an answer has named a card that was handed out or is still to be
// fetched.
func (s *syncRun) named(left *hrefs, h dav.Href) bool {
	return s.seen.has(s.idHash(h)) || left.has(s.hash(h))
}

// tooMany returns an error if a count of names is over its bound.
func (s *syncRun) tooMany(n int) error {
	if n > maxHrefs {
		return errTooManyNames
	}
	return nil
}

// endListing ends a run that has listed the whole book.
func (s *syncRun) endListing(server string) error {
	if err := s.sweep(); err != nil {
		return err
	}
	s.done = s.followToken(server)
	return nil
}

// smallBook is the number of cards up to which a token holds all ETags in addition to the
// server's token. All cards of a small book may change from one run to the next. Only the
// ETags can tell this from a token that the server has forgotten.
const smallBook = 20

// followToken returns the token of a run after which the caller has the whole book. With it
// the next run follows the server's token.
func (s *syncRun) followToken(server string) synctoken.Token {
	t := synctoken.Token{Book: s.bookName(s.book), Server: server, Cards: s.cards, NamesOnly: s.namesOnly}
	if s.namesOnly {
		t.Asked = s.asked
	}
	if !s.complete {
		return t
	}
	t.Cards = len(s.have)
	for key := range s.failed.index {
		if _, had := s.have[key]; !had {
			t.Cards++ // the caller has not got it yet
		}
	}
	if t.Cards <= smallBook {
		t.ETags = s.state()
	}
	return t
}
