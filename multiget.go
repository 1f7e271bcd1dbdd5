// Cards by name: multiget in batches, each card answered for, and one that breaks an
// answer kept from taking others with it. What no multiget sends is asked for by GET.

package icloud

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"

	"github.com/go-icloud/icloud/internal/dav"
)

const (
	// getBatch is how many cards one request asks for. iCloud is known to
	// answer for 2,000; the gain beyond some hundred is small.
	getBatch = 200

	// restBatch is for books of which some card breaks the answer.
	restBatch = 20

	// maxSingle is how many cards of a run are asked for by GET.
	maxSingle = 20

	// maxHalvings is how many requests in a row may bring nothing, before the
	// rest of a batch is not asked for any more. It takes nine to find the first
	// of 200 cards.
	maxHalvings = 10

	// maxBarren is how many batches in a row may bring nothing, before multiget is
	// given up.
	maxBarren = 3
)

// The bounds of what an answer may leave to be fetched: four times the largest book
// that Apple allows, and 80 bytes for each name.
const (
	maxHrefs    = 200_000
	maxHrefSize = 16 << 20
)

var errTooManyNames = errors.New("icloud: the server names more cards than an address book can have")

// hrefs are those of cards that are left to be fetched, each once. The zero value
// has none.
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

// has says whether the href with this hash is left.
func (h *hrefs) has(path uint64) bool {
	_, ok := h.set[path]
	return ok
}

// hash is of the decoded path, in which all spellings are one.
func (l *listing) hash(h dav.Href) uint64 { return maphash.Bytes(l.seed, h.Path) }

// single is how a run asks for single cards, and why.
type single struct {
	left   int   // how many may still be asked for
	sent   bool  // one of them has come
	barren int   // batches in a row of which nothing could be read
	only   error // why there are no multigets any more
}

// fetch gets the cards with these hrefs from the book at u, as written, in batches of
// n. Each is handed out, or noted as failed, or given to gone, if that is not nil,
// because a row of the server's says 404. An error ends it.
func (l *listing) fetch(u *url.URL, hrefs []string, n int, gone func(dav.Href) error) error {
	all, read := len(hrefs), 0
	var broken error
	for len(hrefs) > 0 {
		batch := hrefs[:min(n, len(hrefs))]
		hrefs = hrefs[len(batch):]
		// One batch after another: changes are applied one at a time, and
		// iCloud throttles whoever hurries.
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
	// The server has answered for none of so many cards, in no way. That is its own
	// fault, and not that of a few cards.
	if read == 0 && all > maxSingle && !l.single.sent {
		return broken
	}
	return nil
}

// batchRun is the fetching of one batch.
type batchRun struct {
	*listing
	book *url.URL
	gone func(dav.Href) error

	read   int   // cards that answers to multigets have settled
	vain   int   // multigets in a row that settled none
	broken error // why the last one broke; nil if none did
}

// get asks for some cards at once. If one of them spoils the answer, half of what is
// left at a time finds it in few requests.
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

// note notes what came of a multiget.
func (b *batchRun) note(read int, err error) {
	b.read += read
	switch {
	case err == nil:
		b.read++ // the server has answered, if by passing over all of them
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

// multiget asks for some cards at once, and returns the hrefs of those that the
// answer, or what could be read of it, does not settle. Rows that were not asked for
// are passed over.
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
		// Compared by decoded path: servers answer with other escapes than they
		// were asked with.
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
	// In the order of the request, so that nothing depends on a map's.
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
	settled, gone bool // gone unless another row has it
}

// settle takes in a row about a card that was asked for. It is known under the ID by
// which it was first named, whatever is written here: that is the one by which a
// deletion will name it.
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

// getSingle asks for a card by GET, which no multiget has brought, or notes that it
// was not got. why is how the multiget ended; nil if it passed over the card. A 404 is
// a failure, too: the book may have moved a moment ago.
func (l *listing) getSingle(book *url.URL, written string, why error) error {
	h := dav.ParseHref([]byte(written))
	if l.seen.has(l.idHash(h)) {
		return nil // its row came twice, the second time with less
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

// notGot notes that a card was not got by multiget, and not asked for by GET. A
// status of the whole answer is never taken for the card's own: a 404 may be about a
// book that has moved, and then nothing is gone.
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

// aboutCard says whether an error of a GET may be about its card alone. A lost
// connection is not, nor is a server that asks to wait or that is down, nor is the
// answer to a probe that followed a 401.
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
