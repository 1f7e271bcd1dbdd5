// A run of Sync that compares the ETags of the whole book with those of the caller. It is
// for servers without sync-collection, and for a first run that starts over.

package icloud

import (
	"bytes"
	"errors"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// compareAgain is the run after one that compared ETags. Once a day it tries
// sync-collection again, which lists the same ETags and returns a much smaller token.
func (s *syncRun) compareAgain() error {
	if s.asked.IsZero() {
		if err := s.compare(s.collectionRows); err == nil || !s.noCollection(err) {
			return err
		}
	}
	return s.compareETags()
}

// noCollection says whether an error of collectionRows shows that the server still has no
// sync-collection.
func (s *syncRun) noCollection(err error) bool {
	return s.applied == nil && (unsupported(err) || refuses(err) || isSpent(err) || brokenXML(err) || errors.Is(err, errNoToken))
}

// compareETags compares with a listing of the book. It is used after sync-collection has
// failed in this run, or in another one within a day.
func (s *syncRun) compareETags() error {
	if s.asked.IsZero() {
		s.asked = s.now
	}
	return s.compare(s.listingRows)
}

// rowsOf calls f with each row about a card of the book, and returns the server's
// token, if it has one.
type rowsOf func(f func(member, *dav.Row) error) (server string, err error)

// listingRows lists by PROPFIND.
func (s *syncRun) listingRows(f func(member, *dav.Row) error) (server string, err error) {
	return "", s.etags(s.book, f)
}

// collectionRows lists by a sync-collection without a token.
func (s *syncRun) collectionRows(f func(member, *dav.Row) error) (server string, err error) {
	for range maxPages {
		next, more, err := s.collectionPage(server, f)
		switch {
		case err != nil:
			return "", err
		case next == "":
			return "", errNoToken
		case !more:
			return next, nil
		case next == server:
			return "", errEndless
		}
		server = next
	}
	return "", errEndless
}

func (s *syncRun) collectionPage(token string, f func(member, *dav.Row) error) (next string, more bool, err error) {
	resp, err := s.ask(token, false)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	// If a page reports a card both as deleted and as existing, in any order, the card was
	// deleted and created again.
	var gone []dav.Href
	named := make(map[uint64]struct{})
	err = s.rows(resp, func(m member, row *dav.Row) error {
		switch m.state {
		case memberMore:
			more = true
			return nil
		case memberGone:
			gone = append(gone, dav.ParseHref(bytes.Clone(m.Written)))
			return nil
		}
		named[s.hash(m.Href)] = struct{}{}
		return f(m, row)
	})
	if err != nil {
		return "", false, err
	}
	next = string(s.decoder.SyncToken())
	for _, h := range gone {
		if _, there := named[s.hash(h)]; there {
			continue
		}
		if err := f(member{Href: h, state: memberGone}, nil); err != nil {
			return "", false, err
		}
	}
	return next, more, nil
}

// compare reports how the book differs from what the caller has.
func (s *syncRun) compare(list rowsOf) error {
	s.startOver()
	s.listed = make(map[string]uint64)
	var left hrefs
	server, err := list(func(m member, row *dav.Row) error {
		if m.state == memberGone {
			return s.unlist(m.Href)
		}
		if s.unchanged(m.Href, row.ETag) {
			return nil
		}
		if m.state == memberRefused {
			// A card that the server refuses to describe is not deleted.
			s.failed.add(m.Href, m.status)
			return nil
		}
		// Without an ETag nobody knows whether the card has changed, so it is fetched.
		s.listed[string(m.DecodedName())] = synctoken.Hash(row.ETag)
		return s.leave(&left, m.Href)
	})
	if err != nil {
		return err
	}
	if err := s.fetchOwedBut(func(h dav.Href) bool {
		_, unlisted := s.unlisted[string(h.DecodedName())]
		return unlisted || left.has(s.hash(h))
	}); err != nil {
		return err
	}
	if err := s.fetch(s.book, left.list, getBatch, s.gone); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	s.doneComparing(server)
	return nil
}

// unlist removes a card from those that the listing has named, because a later page
// reports it as deleted.
func (s *syncRun) unlist(h dav.Href) error {
	key := string(h.DecodedName())
	if _, had := s.have[key]; had {
		s.unlisted[key] = struct{}{}
	}
	return nil
}

// doneComparing makes the next token.
func (s *syncRun) doneComparing(server string) {
	if server != "" {
		s.complete, s.namesOnly = true, false
		s.done = s.followToken(server)
		return
	}
	// An owed card keeps the ETag of the listing, so that it is not also asked for as a
	// changed card, and so that its deletion is reported.
	for _, card := range s.failed.cards() {
		key := s.know(card.ID)
		s.have[key] = s.listed[key]
	}
	s.done = synctoken.Token{Book: s.bookName(s.book), ETags: s.state(), Asked: s.asked, Cards: synctoken.Unknown}
}
