// Cards by name: multiget in batches, each card answered for, and one that
// breaks an answer kept from taking others with it.

package icloud

import (
	"errors"
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
)

// maxRefusals is how many cards in a row a server may refuse one by one before it
// is taken to refuse the report itself.
const maxRefusals = 10

// fetch gets the cards with these hrefs from the book at u, as written, in
// batches of n. Each is handed out, or noted as failed, or given to gone, if that
// is not nil, because a row of the server's says 404. An error ends it.
func (l *listing) fetch(u *url.URL, hrefs []string, n int, gone func(id string) error) error {
	for len(hrefs) > 0 {
		batch := hrefs[:min(n, len(hrefs))]
		hrefs = hrefs[len(batch):]
		// One batch after another: changes are applied one at a time, and
		// iCloud throttles whoever hurries.
		left, err := l.multiget(u, batch, gone)
		switch {
		case err == nil:
			l.refusals = 0
		case !single(err):
			return err
		case len(batch) > 1:
			// Something in the batch spoils it for the others: half of it at a
			// time finds the one in few requests.
			if err := l.fetch(u, left, (len(batch)+1)/2, gone); err != nil {
				return err
			}
			continue
		default:
			if _, refused := errors.AsType[*ResponseError](err); refused {
				l.refusals++
			}
			if l.refusals > maxRefusals {
				return err
			}
		}
		for _, written := range left {
			l.notGot(written, err)
		}
	}
	return nil
}

// notGot notes that a card was asked for and not got. why is nil if the server
// passed over it. A status of the whole answer is never taken for the card's own:
// a 404 may be about a book that has moved, and then nothing is gone.
func (l *listing) notGot(written string, why error) {
	h := dav.ParseHref([]byte(written))
	// A card whose row came twice, the second time with less, was handed out.
	if !l.first(h) {
		return
	}
	switch re, ok := errors.AsType[*ResponseError](why); {
	case why == nil:
		l.fail(h.ID(), errCardMissing)
	case ok:
		l.fail(h.ID(), re)
	default:
		l.fail(h.ID(), errCardUnread)
	}
}

// single says whether an error of a batch may be the fault of one card in it:
// the answer cannot be read, or the whole request was refused for one member.
func single(err error) bool {
	if _, broken := errors.AsType[*dav.SyntaxError](err); broken {
		return true
	}
	re, ok := errors.AsType[*ResponseError](err)
	return ok && re.StatusCode == http.StatusBadRequest && !re.Withheld
}

// multiget asks for some cards at once, and returns the hrefs of those that the
// answer, or what could be read of it, says nothing about. Rows that were not
// asked for are passed over.
func (l *listing) multiget(u *url.URL, batch []string, gone func(id string) error) (left []string, err error) {
	asked := make(map[string]string, len(batch)) // by decoded path
	for _, written := range batch {
		asked[string(dav.ParseHref([]byte(written)).Path)] = written
	}
	resp, err := l.client.multistatus(l.ctx, "REPORT", u, "1", dav.Multiget(batch))
	if err != nil {
		return batch, err
	}
	defer resp.Body.Close()
	err = l.rows(resp, func(row *dav.Row) error {
		m, err := l.member(resp, row)
		if err != nil {
			return err
		}
		// Compared by decoded path: servers answer with other escapes than they
		// were asked with.
		written, ok := asked[string(m.Path)]
		if !ok || m.state == memberBare || m.state == memberNone {
			return nil
		}
		delete(asked, string(m.Path))
		// Under the ID by which it was first named, whatever is written here:
		// that is the one by which a deletion will name it.
		m.Written = []byte(written)
		switch {
		case m.state == memberThere:
			return l.card(m.Href, row)
		case m.state == memberRefused:
			l.refused(m)
		case l.first(m.Href) && gone != nil:
			return gone(m.ID())
		}
		return nil
	})
	// In the order of the request, so that nothing depends on a map's.
	for _, written := range batch {
		if _, ok := asked[string(dav.ParseHref([]byte(written)).Path)]; ok {
			left = append(left, written)
		}
	}
	return left, err
}
