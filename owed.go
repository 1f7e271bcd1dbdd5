// What a run of Sync owes to the caller from earlier runs: the cards that they could not
// get, and the deletions of cards that a failed run has handed out.

package icloud

import (
	"errors"
	"net/http"

	"github.com/go-icloud/icloud/internal/dav"
)

// maxOwedSingle is how many owed cards a run asks for by GET.
const maxOwedSingle = 5

// fetchOwed asks for the owed cards that a delta does not name.
func (s *syncRun) fetchOwed(d *delta) error {
	return s.fetchOwedBut(func(h dav.Href) bool { return s.inDelta(d, h) })
}

// fetchOwedBut asks for the owed cards, except for those that the run asks for anyway and
// those that are deleted. It sends one multiget and at most maxOwedSingle GETs, so that
// cards which can never be fetched cost no more than that. The cards take turns: those that
// no GET asked for in this run come first in the token.
func (s *syncRun) fetchOwedBut(named func(dav.Href) bool) error {
	var owed []string
	for _, short := range s.token.Owed {
		if written := s.long(short); !named(dav.ParseHref([]byte(written))) {
			owed = append(owed, written)
		}
	}
	if len(owed) == 0 {
		return nil
	}
	batch := owed[:min(len(owed), getBatch)]
	left, err := s.multiget(s.book, batch, s.gone)
	if err != nil && !aboutReport(err) {
		return err
	}
	tried := left[:min(len(left), maxOwedSingle)]
	for _, list := range [][]string{owed[len(batch):], left[len(tried):]} {
		for _, written := range list {
			s.notGot(dav.ParseHref([]byte(written)), err)
		}
	}
	budget := s.single
	s.single.left = maxOwedSingle
	for _, written := range tried {
		if err := s.getSingle(s.book, written, err); err != nil {
			return err
		}
	}
	s.single.left = budget.left
	return s.confirmGone(tried)
}

// aboutReport says whether an error is about a report or its cards, and not about the
// connection or the server.
func aboutReport(err error) bool { return spoiled(err) || unsupported(err) || refuses(err) }

// verifyHanded asks for the cards that failed runs have handed out and that the delta does
// not name. Most servers name them again. If a server does not, the card may have been
// added and deleted since the token. The caller has that card, and only this request finds
// out that it was deleted.
func (s *syncRun) verifyHanded(d *delta) error {
	var left hrefs
	for _, short := range s.token.Handed {
		h := dav.ParseHref([]byte(s.long(short)))
		if s.inDelta(d, h) {
			continue
		}
		if err := s.leave(&left, h); err != nil {
			return err
		}
	}
	if len(left.list) == 0 {
		return nil
	}
	if err := s.fetch(s.book, left.list, getBatch, s.gone); err != nil {
		return err
	}
	// There may be more cards than one run asks for by GET. They are not owed, because they
	// may be deleted. The next run asks for the rest.
	for _, written := range left.list {
		h := dav.ParseHref([]byte(written))
		if key := string(h.DecodedName()); s.failed.why(key) == errCardMissing {
			s.failed.replace(key, errUnverified)
			s.done.Handed = append(s.done.Handed, s.short(h))
		}
	}
	return s.confirmGone(left.list)
}

// confirmGone decides about cards that a multiget left out and for which a GET got 404. Some
// servers leave out deleted cards. The cards are deleted if a second multiget leaves them
// out too, which also shows that the book has not moved.
func (s *syncRun) confirmGone(asked []string) error {
	var missing []string
	for _, written := range asked {
		h := dav.ParseHref([]byte(written))
		if isStatus(s.failed.why(string(h.DecodedName())), http.StatusNotFound, http.StatusGone) {
			missing = append(missing, written)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	left, err := s.multiget(s.book, missing, s.gone)
	if err != nil {
		if aboutReport(err) {
			return nil // no answer: they stay owed
		}
		return err
	}
	for _, written := range left {
		if err := s.gone(dav.ParseHref([]byte(written))); err != nil {
			return err
		}
	}
	return nil
}

var errUnverified = errors.New("icloud: whether it is still there could not be found out")
