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

// fetch gets the cards with these hrefs from the book at u, as written, in
// batches of n. Each is handed out, or noted as failed, or given to gone, if that
// is not nil, because the server says 404. An error ends it.
func (l *listing) fetch(u *url.URL, hrefs []string, n int, gone func(id string) error) error {
	for len(hrefs) > 0 {
		batch := hrefs[:min(n, len(hrefs))]
		hrefs = hrefs[len(batch):]
		// One batch after another: changes are applied one at a time, and
		// iCloud throttles whoever hurries.
		left, err := l.multiget(u, batch, gone)
		if err != nil && !single(err) {
			return err
		}
		// Down to one card, the error is that card's own.
		if err == nil || len(batch) == 1 {
			for _, written := range left {
				if err := l.notGot(written, err, gone); err != nil {
					return err
				}
			}
			continue
		}
		// Something in the batch spoils it for the others.
		if err := l.fetch(u, left, 1, gone); err != nil {
			return err
		}
	}
	return nil
}

// notGot notes that a card was asked for and not got. why is nil if the server
// passed over it.
func (l *listing) notGot(written string, why error, gone func(id string) error) error {
	// A card whose row came twice, the second time with less, was handed out.
	h, err := memberHref(l.client.gate, l.client.endpoint, []byte(written))
	if err != nil || !l.first(h) {
		return err
	}
	re, ok := errors.AsType[*ResponseError](why)
	switch {
	case why == nil:
		l.fail(h.id(), errCardMissing)
	case ok && (re.StatusCode == http.StatusNotFound || re.StatusCode == http.StatusGone):
		if gone != nil {
			return gone(h.id())
		}
	case ok:
		l.fail(h.id(), re)
	default:
		l.fail(h.id(), errCardUnread)
	}
	return nil
}

// single says whether an error of a batch may be the fault of one card in it:
// the answer cannot be read, or the whole request was refused for one member.
func single(err error) bool {
	if _, broken := errors.AsType[*dav.SyntaxError](err); broken {
		return true
	}
	re, ok := errors.AsType[*ResponseError](err)
	if !ok || re.Withheld {
		return false
	}
	switch re.StatusCode {
	// Some servers answer the whole request with one member's status.
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// multiget asks for some cards at once, and returns the hrefs of those that the
// answer, or what could be read of it, says nothing about. Rows that were not
// asked for are passed over.
func (l *listing) multiget(u *url.URL, batch []string, gone func(id string) error) (left []string, err error) {
	asked := make(map[string]string, len(batch)) // by decoded path
	for _, written := range batch {
		h, err := memberHref(l.client.gate, u, []byte(written))
		if err != nil {
			return nil, err
		}
		asked[string(h.path)] = written
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
		if _, ok := asked[string(m.path)]; !ok || m.state == memberBare || m.state == memberNone {
			return nil
		}
		delete(asked, string(m.path))
		switch {
		case m.state == memberThere:
			return l.card(m.href, row)
		case m.state == memberRefused:
			l.refused(m)
		case l.first(m.href) && gone != nil:
			return gone(m.id())
		}
		return nil
	})
	// In the order of the request, so that nothing depends on a map's.
	for _, written := range batch {
		h, _ := memberHref(l.client.gate, u, []byte(written))
		if _, ok := asked[string(h.path)]; ok {
			left = append(left, written)
		}
	}
	return left, err
}
