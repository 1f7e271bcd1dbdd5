// The reports that give cards: addressbook-query and addressbook-multiget.

package icloudtest

import (
	"encoding/xml"
	"net/http"
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
		a.query(w, r, wanted)
	case carddav("addressbook-multiget"):
		a.multiget(w, r, root, wanted)
	case dav("sync-collection"):
		a.sync(w, r, root, wanted)
	default:
		a.srv.failure(w, http.StatusForbidden, dav("supported-report"))
	}
}

// query answers addressbook-query (RFC 6352, section 8.6): with every card,
// whatever filter and limit say. iCloud does evaluate some filters, and
// gets others wrong (carddavclient's QUIRKS.md); no client should rely on
// any.
func (a *Account) query(w http.ResponseWriter, r *http.Request, wanted []xml.Name) {
	a.mu.Lock()
	cards := a.book.all()
	a.mu.Unlock()
	a.srv.multistatus(w, r, func(write func(node)) {
		// The address book counts itself among its members, and has no
		// address-data; go-webdav loses the list over that. Behind another
		// host we serve the clients of others, and leave it out.
		if isICloud(r.Host) {
			write(a.row(r, resource{kind: atBook, href: a.bookPath()}, wanted))
		}
		for _, c := range cards {
			write(a.row(r, a.cardAt(c), wanted))
		}
	})
}

// multiget answers addressbook-multiget (RFC 6352, section 8.7): the cards
// that were asked for, in that order, and as often. Depth means nothing
// here.
func (a *Account) multiget(w http.ResponseWriter, r *http.Request, root *node, wanted []xml.Name) {
	var paths []string
	for _, kid := range root.kids {
		if kid.name != dav("href") {
			continue
		}
		path := strings.TrimSpace(kid.text)
		// One href that is a whole URL (msgvault#849), or the address
		// book's own (KashCal), which a sync hands out as if it were a
		// card's, and the whole batch is refused.
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

// missing is the row of a resource that is not there.
func missing(path string) node {
	return element(dav("response"), href(path), statusOf(http.StatusNotFound))
}
