// Cards that are fetched by name, by multigets in batches. The answer must settle each card.
// If one card breaks an answer, the others are fetched without it. Cards that no multiget
// sends are asked for by GET.

package icloud

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/dav"
)

const (
	// getBatch is how many cards one request asks for. iCloud is known to answer
	// requests for 2,000, but more than a few hundred gain little.
	getBatch = 200

	// restBatch is for books in which a card breaks the answer.
	restBatch = 20

	// maxSingle is how many cards of a run are asked for by GET.
	maxSingle = 20

	// maxHalvings is how many multigets in a row may settle nothing before the
	// rest of a batch is only asked for by GET. It takes nine to find the first of 200
	// cards.
	maxHalvings = 10

	// maxBarren is how many batches in a row may settle nothing before no multiget is
	// sent any more.
	maxBarren = 3
)

// The bounds of what an answer may leave to be fetched: four times as many cards as Apple
// allows, and 80 bytes for each name.
const (
	maxHrefs    = 200_000
	maxHrefSize = 16 << 20
)

var errTooManyNames = errors.New("icloud: the server names more cards than an address book can have")

// hrefs are the hrefs of cards that are still to be fetched, each once. The zero value has
// none.
type hrefs struct {
	list []string // as the server wrote them
	set  map[uint64]struct{}
	size int
}

// leave adds an href to be fetched, unless its card has been handed out.
func (l *listing) leave(to *hrefs, h dav.Href) error {
	if l.seen.has(l.idHash(h)) {
		return nil
	}
	path := l.hash(h)
	if to.has(path) {
		return nil
	}
	if to.size += len(h.Written); len(to.list) == maxHrefs || to.size > maxHrefSize {
		return errTooManyNames
	}
	if to.set == nil {
		to.set = make(map[uint64]struct{})
	}
	to.set[path] = struct{}{}
	to.list = append(to.list, string(h.Written))
	return nil
}

// has says whether the href with this hash is in h.
func (h *hrefs) has(path uint64) bool {
	_, ok := h.set[path]
	return ok
}

// hash returns a hash of the decoded path, which is the same for all spellings.
func (l *listing) hash(h dav.Href) uint64 { return maphash.Bytes(l.seed, h.Path) }

// single counts the cards of a run that are asked for by GET.
type single struct {
	left   int   // how many may still be asked for
	sent   bool  // the server has sent one of them
	barren int   // batches in a row of which nothing could be read
	only   error // why no multiget is sent any more; nil if they are sent
}

// fetch gets the cards with these hrefs from the book at u, in batches of n. Each card is
// handed out, or noted as failed. If a row of the server says 404 and gone is not nil,
// fetch calls gone instead. An error ends fetch.
func (l *listing) fetch(u *url.URL, hrefs []string, n int, gone func(dav.Href) error) error {
	all, read := len(hrefs), 0
	var broken error
	for len(hrefs) > 0 {
		batch := hrefs[:min(n, len(hrefs))]
		hrefs = hrefs[len(batch):]
		// One batch after another: changes are applied one at a time, and iCloud
		// throttles clients that send many requests.
		b := batchRun{listing: l, book: u, gone: gone}
		if err := b.get(batch); err != nil {
			return err
		}
		if read, broken = read+b.read, b.broken; b.read > 0 {
			l.single.barren = 0
		} else if l.single.barren++; l.single.barren == maxBarren {
			l.single.only = broken
		}
		if l.single.only != nil && l.single.left == 0 && !l.single.sent {
			return l.single.only
		}
	}
	// The server has sent none of so many cards, by multiget or by GET. So the fault is the
	// server's, and not that of a few cards.
	if read == 0 && all > maxSingle && !l.single.sent {
		return broken
	}
	return nil
}

// batchRun fetches one batch.
type batchRun struct {
	*listing
	book *url.URL
	gone func(dav.Href) error

	read   int   // cards that answers to multigets have settled
	vain   int   // multigets in a row that settled no card
	broken error // why the last one broke; nil if none did
}

// get asks for some cards at once. If one of them spoils the answer, get asks for each half
// of the others, and so finds it in few requests.
func (b *batchRun) get(batch []string) error {
	left, err := batch, b.single.only
	if err == nil && b.vain > maxHalvings {
		err = b.broken
	}
	if err == nil {
		left, err = b.multiget(b.book, batch, b.gone)
		b.note(len(batch)-len(left), err)
		switch {
		case unsupported(err):
			b.single.only = err
		case err != nil && !spoiled(err):
			return err
		case err != nil && len(left) > 1:
			half := (len(left) + 1) / 2
			if err := b.get(left[:half]); err != nil {
				return err
			}
			return b.get(left[half:])
		}
	}
	for _, written := range left {
		if err := b.getSingle(b.book, written, err); err != nil {
			return err
		}
	}
	return nil
}

// note notes the result of a multiget.
func (b *batchRun) note(read int, err error) {
	b.read += read
	switch {
	case err == nil:
		b.read++ // the server has answered, even if it has left out all of them
		b.vain = 0
	case read > 0:
		b.vain, b.broken = 0, err
	default:
		b.vain++
		b.broken = err
	}
}

// spoiled says whether an error of a batch may be the fault of one card in it:
// the answer cannot be read, or the whole request was refused for one member.
func spoiled(err error) bool {
	return brokenXML(err) || err == errListingCut || isStatus(err, http.StatusBadRequest, http.StatusRequestEntityTooLarge,
		http.StatusUnprocessableEntity, http.StatusInternalServerError)
}

// multiget asks for some cards at once. It returns the hrefs of those that the answer, as
// far as it could be read, does not settle. Rows that were not asked for are skipped.
func (l *listing) multiget(u *url.URL, batch []string, gone func(dav.Href) error) (left []string, err error) {
	all := make([]wanted, len(batch))
	byPath := make(map[string]*wanted, len(batch)) // decoded
	for i, written := range batch {
		all[i].href = dav.ParseHref([]byte(written))
		byPath[string(all[i].href.Path)] = &all[i]
	}
	// RFC 6352, section 8.7. Xandikos refuses any other Depth.
	resp, err := l.client.multistatus(l.ctx, "REPORT", u, "0", dav.Multiget(batch))
	if err != nil {
		return batch, err
	}
	defer resp.Body.Close()
	more := false
	err = l.rows(resp, func(m member, row *dav.Row) error {
		more = more || m.state == memberMore
		// The decoded paths are compared, because a server may escape a path in another
		// way than the request did.
		if w := byPath[string(m.Path)]; w != nil {
			return l.settle(w, m, row)
		}
		return nil
	})
	if err == nil && more {
		err = errListingCut
	}
	if err != nil && !spoiled(err) {
		return nil, err
	}
	// In the order of the request, because the order of a map is random.
	for i := range all {
		w := &all[i]
		switch {
		case !w.settled:
			left = append(left, batch[i])
		case w.gone && gone != nil:
			if err := gone(w.href); err != nil {
				return left, err
			}
		}
	}
	return left, err
}

// wanted is a card that a multiget asks for.
type wanted struct {
	href          dav.Href
	settled, gone bool // gone: a row says 404, and no other row has the card
}

// settle handles a row about a card that was asked for. The card keeps the spelling of the
// ID by which it was first named, because a deletion will use that one too.
func (l *listing) settle(w *wanted, m member, row *dav.Row) error {
	switch m.state {
	case memberSent:
		w.settled, w.gone = true, false
		return l.card(w.href, row)
	case memberRefused:
		w.settled = true
		l.failed.add(w.href, m.status)
	case memberGone:
		w.gone = w.gone || !w.settled
		w.settled = true
	}
	return nil
}

// getSingle asks by GET for a card that no multiget has sent, or notes that the run did not
// get it. why is the error of the multiget, or nil if that left out the card. A 404 is a
// failure too, and no deletion: the book may have just moved.
func (l *listing) getSingle(book *url.URL, written string, why error) error {
	h := dav.ParseHref([]byte(written))
	if l.seen.has(l.idHash(h)) {
		return nil // it had two rows, and the second had no card
	}
	if l.single.left == 0 {
		l.notGot(h, why)
		return nil
	}
	l.single.left--
	contact, err := l.client.get(l.ctx, h.URL(book), h)
	switch {
	case err == nil:
		l.single.sent = true
		l.first(h, []byte(contact.ETag), contact.VCard)
		return l.hand(h, contact)
	case !aboutCard(err):
		return err
	}
	if card, ok := errors.AsType[*CardError](err); ok {
		err = card.Err
	}
	l.failed.add(h, err)
	return nil
}

// notGot notes that no multiget has sent a card, and that it was not asked for by GET. The
// status of the whole answer is never taken for that of the card: a 404 may mean that the
// book has moved, and then no card is deleted.
func (l *listing) notGot(h dav.Href, why error) {
	switch re, ok := errors.AsType[*ResponseError](why); {
	case why == nil:
		l.failed.add(h, errCardMissing)
	case ok:
		l.failed.add(h, re)
	default:
		l.failed.add(h, errCardUnread)
	}
}

// aboutCard says whether an error of a GET may be about its card alone. It is not if the
// connection was lost, if the server is down or asks to wait, or if the error comes from
// the probe after a 401.
func aboutCard(err error) bool {
	if _, ok := errors.AsType[*AuthError](err); ok {
		return false
	}
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return re.Method == http.MethodGet && re.RetryAfter == 0 && !re.Withheld &&
			re.StatusCode != http.StatusServiceUnavailable && re.StatusCode != http.StatusTooManyRequests
	}
	_, ok := errors.AsType[*CardError](err)
	return ok
}
