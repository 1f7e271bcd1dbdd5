// A run of Sync that follows the server's token: the server says what has changed. The run
// reads the whole answer before it hands out anything, because a server may have forgotten
// the token without an error.

package icloud

import (
	"bytes"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/synctoken"
)

// follow reports what has changed since the token.
func (s *syncRun) follow() error {
	d, err := s.delta(s.token.Server)
	if brokenXML(err) && !s.namesOnly {
		// One of the cards may have broken the answer.
		s.askNames()
		d, err = s.delta(s.token.Server)
	}
	switch {
	// No change after this token can be read, so the token is useless.
	case brokenXML(err):
		return ErrResync
	case err != nil:
		return err
	}
	if forgotten, err := s.forgotten(d); err != nil {
		return err
	} else if forgotten {
		return ErrResync
	}
	if err := s.fetchOwed(d); err != nil {
		return err
	}
	if err := s.applyDelta(d); err != nil {
		return err
	}
	if err := s.verifyHanded(d); err != nil {
		return err
	}
	s.countCards(d)
	handed := s.done.Handed
	s.done = s.followToken(d.next)
	s.done.Handed = handed
	return nil
}

// delta has the changes, as the server's pages report them.
type delta struct {
	changes []deltaChange
	index   map[uint64]int // into changes, by the hash of the decoded path
	size    int            // of all hrefs
	held    int            // bytes of all cards
	page    int
	rows    int  // of the last page
	there   int  // changes that are no deletions
	gone    int  // deletions
	bare    bool // a page has no deletion
	refused bool // a row has an ETag, and its card was refused
	next    string
}

// deltaChange is what the pages report about one card. The last page counts; if it reports
// the card both as deleted and as existing, the card exists.
type deltaChange struct {
	href    string
	page    int
	state   memberState
	status  error    // of memberRefused
	contact *Contact // of memberSent
}

// maxHeld is how many bytes of cards are kept until they are handed out. Cards beyond this
// limit are fetched later.
const maxHeld = 8 << 20

// delta reads all pages of changes since a token.
func (s *syncRun) delta(token string) (*delta, error) {
	d := &delta{index: make(map[uint64]int)}
	for range maxPages {
		more, err := s.deltaPage(d, token)
		switch {
		case err != nil || !more:
			return d, err
		// There are more pages, but the token does not lead to them.
		case d.next == token:
			return nil, errEndless
		}
		token = d.next
	}
	return nil, errEndless
}

// deltaPage reads one page.
func (s *syncRun) deltaPage(d *delta, token string) (more bool, err error) {
	resp, err := s.collection(token)
	if err != nil {
		return false, s.tokenRefused(token, err)
	}
	defer resp.Body.Close()
	d.page++
	d.rows = 0
	gone := d.gone
	err = s.rows(resp, func(m member, row *dav.Row) error {
		if m.state == memberMore {
			more = true
			return nil
		}
		d.rows++
		return s.note(d, m, row)
	})
	if err != nil {
		// A refusal inside of a 207 may be about the token too.
		return false, s.tokenRefused(token, err)
	}
	d.bare = d.bare || d.gone == gone
	if d.refused {
		s.askNames()
	}
	// Without a token, the next run could not follow.
	if d.next = string(s.decoder.SyncToken()); d.next == "" {
		return false, ErrResync
	}
	return more, nil
}

// note notes what a row reports.
func (s *syncRun) note(d *delta, m member, row *dav.Row) error {
	c := deltaChange{href: string(m.Written), page: d.page, state: m.state, status: m.status}
	switch {
	case m.state == memberSent && len(row.Data) > 0 && d.held+len(row.Data) <= maxHeld:
		c.contact = s.contact(m.Href, row)
		d.held += len(row.Data)
	case m.state == memberSent:
		c.state = memberNamed
	case m.state == memberNamed:
		d.refused = d.refused || row.DataStatus != 0
	}
	key := s.hash(m.Href)
	i, again := d.index[key]
	if !again {
		if d.size += len(c.href); len(d.changes) == maxHrefs || d.size > maxHrefSize {
			return errTooManyNames
		}
		d.index[key] = len(d.changes)
		d.changes = append(d.changes, c)
		d.count(c, 1)
		return nil
	}
	was := &d.changes[i]
	if was.page == d.page {
		switch {
		// Another row reports that the card exists, or this one repeats it.
		case c.state == memberGone, was.contact != nil && c.contact != nil && sameCard(was.contact, c.contact):
			return nil
		// Two rows differ. A multiget finds out what the card is.
		case was.state == memberSent, was.state == memberNamed:
			c.state, c.contact = memberNamed, nil
		}
	}
	c.href = was.href
	d.count(*was, -1)
	*was = c
	d.count(c, 1)
	return nil
}

// sameCard says whether two rows have the same card.
func sameCard(a, b *Contact) bool {
	return a.ETag == b.ETag && bytes.Equal(a.VCard, b.VCard)
}

// count counts a change if n is 1, and removes it from the count if n is -1.
func (d *delta) count(c deltaChange, n int) {
	if c.state == memberGone {
		d.gone += n
	} else {
		d.there += n
	}
}

// inDelta says whether the server has named a card.
func (s *syncRun) inDelta(d *delta, h dav.Href) bool {
	_, ok := d.index[s.hash(h)]
	return ok
}

// applyDelta hands out the changes.
func (s *syncRun) applyDelta(d *delta) error {
	var left []string
	for i := range d.changes {
		c := &d.changes[i]
		h := dav.ParseHref([]byte(c.href))
		switch c.state {
		case memberSent:
			if s.first(h, []byte(c.contact.ETag), c.contact.VCard) {
				if err := s.hand(h, c.contact); err != nil {
					return err
				}
			}
			c.contact = nil // it is the caller's now
		case memberNamed:
			left = append(left, c.href)
		case memberRefused:
			s.failed.add(h, c.status)
		case memberGone:
			if err := s.gone(h); err != nil {
				return err
			}
		}
	}
	return s.fetch(s.book, left, getBatch, s.gone)
}

// countCards takes the deletions off the number of cards. How many of the others are
// new is not known, so the number is a lower bound.
func (s *syncRun) countCards(d *delta) {
	if d.gone == 0 || s.cards == synctoken.Unknown {
		return
	}
	if s.cards -= d.gone; s.cards <= 0 {
		s.cards = synctoken.Unknown // 0 means an empty book
	}
}

// maxNewer is how many cards a listing may have that a delta does not name. Only up to
// this number is it worth finding out whether they are newer than the delta.
const maxNewer = 16

// forgotten says whether the server has forgotten the token without an error. DAViCal then
// reports every card and no deletion, as for an empty token. This may be such an answer if
// a page has no deletion and all pages together name at least half of the book. Then
// forgotten compares the delta with a listing.
func (s *syncRun) forgotten(d *delta) (bool, error) {
	if !d.bare || d.there == 0 || s.cards == 0 || s.cards > 0 && 2*d.there < s.cards {
		return false, nil
	}
	book, err := s.surveyBook(d)
	if err != nil {
		return false, err
	}
	s.cards = book.cards
	all, err := s.namesAll(d, book)
	if all && s.complete {
		// In a small book all cards may really have changed. Then no card of the caller
		// is missing, and nearly all have another ETag.
		all = book.missing > 0 || book.same == len(s.have) && book.same > 1
	}
	return all, err
}

// namesAll says whether a delta names all cards of the book.
func (s *syncRun) namesAll(d *delta, book *survey) (bool, error) {
	if book.others > 0 || len(book.newer) > maxNewer {
		return false, nil
	}
	if len(book.newer) > 0 {
		// The listing is newer than the delta. Cards that were added in between come
		// with the next page.
		if _, err := s.deltaPage(d, d.next); err != nil {
			return false, err
		}
		if d.rows > 1 && 2*d.rows >= book.cards {
			return true, nil // it has forgotten that token, too
		}
	}
	for _, path := range book.newer {
		if _, named := d.index[path]; !named {
			return false, nil
		}
	}
	return true, nil
}

// survey compares a listing of the book with a delta.
type survey struct {
	cards   int
	same    int      // cards that the delta names, and that the caller has as they are
	others  int      // cards that it does not name, and that the caller has as they are
	newer   []uint64 // hashes of the paths of other cards that it does not name
	missing int      // cards that the caller has, and neither the book nor the delta
}

// surveyBook lists the book.
func (s *syncRun) surveyBook(d *delta) (*survey, error) {
	var book survey
	s.unlisted = make(map[string]struct{}, len(s.have))
	if s.complete {
		for key := range s.have {
			s.unlisted[key] = struct{}{}
		}
	}
	err := s.etags(s.book, func(m member, row *dav.Row) error {
		if m.state == memberGone {
			return nil
		}
		book.cards++
		switch same, named := s.unchanged(m.Href, row.ETag), s.inDelta(d, m.Href); {
		case same && named:
			book.same++
		case same:
			book.others++
		case !named && len(book.newer) <= maxNewer:
			book.newer = append(book.newer, s.hash(m.Href))
		}
		return nil
	})
	for key := range s.unlisted {
		id := key
		if known, ok := s.spelled[key]; ok {
			id = known
		}
		if !s.inDelta(d, dav.ParseHref([]byte(s.long(id)))) {
			book.missing++
		}
	}
	s.unlisted = nil
	return &book, err
}
