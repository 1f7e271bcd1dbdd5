// The reports that return cards: addressbook-query and addressbook-multiget.

package icloudtest

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

// report answers REPORT on the address book.
func (a *Account) report(w http.ResponseWriter, r *http.Request) {
	root, err := body(r)
	if err != nil || root == nil {
		empty(w, http.StatusBadRequest)
		return
	}
	var wanted []xml.Name
	if prop := root.kid(dav("prop")); prop != nil {
		wanted = names(prop)
	}
	switch root.name {
	case carddav("addressbook-query"):
		a.query(w, r, root, wanted)
	case carddav("addressbook-multiget"):
		a.multiget(w, r, root, wanted)
	case dav("sync-collection"):
		a.sync(w, r, root, wanted)
	default:
		a.srv.failure(w, http.StatusForbidden, dav("supported-report"))
	}
}

// query answers addressbook-query (RFC 6352, section 8.6) with the cards that pass the
// filter. It ignores a limit in the request, as iCloud does.
func (a *Account) query(w http.ResponseWriter, r *http.Request, root *node, wanted []xml.Name) {
	f, ok := newFilter(root)
	if !ok {
		a.srv.failure(w, http.StatusForbidden, carddav("supported-filter"))
		return
	}
	a.mu.Lock()
	cards := a.book.all()
	a.mu.Unlock()
	if f != nil {
		cards = slices.DeleteFunc(cards, func(c *card) bool { return !f.passes(c.vcard) })
	}
	more := false
	if limit := a.srv.QueryLimit; limit > 0 && len(cards) > limit {
		cards, more = cards[:limit], !a.srv.QuietLimit
	}
	a.srv.multistatus(w, r, func(write func(node)) {
		// Without a filter, the answer has a row for the address book itself, without
		// address-data. go-webdav loses the list because of it.
		if f == nil && !a.srv.OmitOwnRow {
			write(a.row(r, resource{kind: atBook, href: a.bookPath()}, wanted))
		}
		for _, c := range cards {
			write(a.row(r, a.cardAt(c), wanted))
		}
		if more {
			write(a.more())
		}
	})
}

// more returns the row that says that an answer is not complete (RFC 6352, section 8.6.1;
// RFC 6578, section 3.6).
func (a *Account) more() node {
	return element(dav("response"), href(a.bookPath()), statusOf(http.StatusInsufficientStorage),
		element(dav("error"), element(dav("number-of-matches-within-limits"))))
}

// multiget answers addressbook-multiget (RFC 6352, section 8.7) with the requested cards, in
// the order of the request, repetitions included. Depth has no meaning here.
func (a *Account) multiget(w http.ResponseWriter, r *http.Request, root *node, wanted []xml.Name) {
	var paths []string
	for _, kid := range root.kids {
		if kid.name != dav("href") {
			continue
		}
		path := strings.TrimSpace(kid.text)
		// iCloud refuses the whole request if one href is a URL with a host
		// (msgvault#849), or that of the address book (KashCal), which a sync reports
		// like a card.
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.TrimSuffix(path, "/")+"/" == a.bookPath() {
			empty(w, http.StatusBadRequest)
			return
		}
		paths = append(paths, path)
	}
	a.srv.multistatus(w, r, func(write func(node)) {
		for _, path := range paths {
			var c *card
			if id, ok := strings.CutPrefix(path, a.bookPath()); ok {
				a.mu.Lock()
				c = a.book.get(id)
				a.mu.Unlock()
			}
			if c == nil {
				write(missing(path))
				continue
			}
			write(a.row(r, a.cardAt(c), wanted))
		}
	})
}

// missing returns the row of a resource that does not exist.
func missing(path string) node {
	return element(dav("response"), href(path), statusOf(http.StatusNotFound))
}
