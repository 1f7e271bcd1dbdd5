// What there is under the account's URLs, and its properties.

package icloudtest

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

const (
	// davClasses is what clients look for before they believe that this is
	// CardDAV.
	davClasses = "1, 3, access-control, addressbook, sync-collection"

	methods = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, REPORT"

	// maxBody bounds what is read of a request. A multiget of a whole book
	// of 50,000 cards fits.
	maxBody = 16 << 20
)

// kind is what a resource is.
type kind int

const (
	atRoot kind = iota
	atPrincipal
	atHome
	atBook
	atCard
)

// resource is what a row of a multistatus speaks of. Its href is a path: of
// all hrefs only the home-set's has a host.
type resource struct {
	kind kind
	href string
	card *card // if it is one
}

// homePath and bookPath end with a slash, as all collections do but one:
// see Server.sync.
func (a *Account) homePath() string { return "/" + a.dsid + "/carddavhome/" }
func (a *Account) bookPath() string { return a.homePath() + "card/" }

// ownPrincipal is the principal's path, with the number that it sometimes
// lacks.
func (a *Account) ownPrincipal() string { return "/" + a.dsid + "/principal/" }

// cardAt is the row of a card. Its href is written as it was when it was
// put.
func (a *Account) cardAt(c *card) resource {
	return resource{kind: atCard, href: a.bookPath() + c.id, card: c}
}

// discovery says whether r asks where discovery begins. "/co" is no path
// that anybody documents, but clients use it and it works.
func discovery(r *http.Request) bool {
	switch r.URL.Path {
	case "/", "/co", "/co/", "/.well-known/carddav", "/.well-known/carddav/":
		return true
	}
	return false
}

// route finds what a request is about.
func (a *Account) route(w http.ResponseWriter, r *http.Request) {
	// As written, because an id is.
	path := r.URL.EscapedPath()
	owner, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case discovery(r):
		// In place: /.well-known/carddav does not redirect (RFC 6764 would
		// let it).
		a.method(w, r, resource{kind: atRoot, href: path})
		return
	case owner == "principal":
		// Where the principal without its number leads.
		empty(w, http.StatusForbidden)
		return
	case owner == "" || strings.Trim(owner, "0123456789") != "":
		nowhere(w)
		return
	case owner != a.dsid:
		// Somebody else'a.
		empty(w, http.StatusForbidden)
		return
	}
	// Collections are found without their final slash too.
	switch strings.TrimSuffix(path, "/") + "/" {
	case a.ownPrincipal():
		a.method(w, r, resource{kind: atPrincipal, href: a.ownPrincipal()})
	case a.homePath():
		a.method(w, r, resource{kind: atHome, href: a.homePath()})
	case a.bookPath():
		a.method(w, r, resource{kind: atBook, href: a.bookPath()})
	default:
		if id, ok := strings.CutPrefix(path, a.bookPath()); ok && segment(id) {
			a.serveCard(w, r, id)
			return
		}
		nowhere(w)
	}
}

// method does what was asked with anything but a card.
func (a *Account) method(w http.ResponseWriter, r *http.Request, res resource) {
	switch r.Method {
	case "PROPFIND":
		a.propfind(w, r, res)
	case "REPORT":
		if res.kind != atBook { // RFC 3253, section 3.6
			a.srv.failure(w, http.StatusForbidden, dav("supported-report"))
			return
		}
		a.report(w, r)
	case http.MethodOptions:
		w.Header().Set("DAV", davClasses)
		w.Header().Set("Allow", methods)
		empty(w, http.StatusOK)
	case http.MethodGet, http.MethodHead:
		// What a browser sees at the root; elsewhere it is our guess.
		empty(w, http.StatusBadRequest)
	default:
		// Address books can be neither made (vdirsyncer#661) nor removed,
		// renamed or written to, and nothing can be locked or copied.
		empty(w, http.StatusForbidden)
	}
}

// body reads the XML of a request; an empty one gives nil.
func body(r *http.Request) (*node, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return parse(data)
}

// propfind answers PROPFIND (RFC 4918, section 9.1). On a book with Depth 1
// it is how clients without sync-collection learn all ETags.
func (a *Account) propfind(w http.ResponseWriter, r *http.Request, res resource) {
	root, err := body(r)
	if err != nil || root != nil && root.name != dav("propfind") {
		empty(w, http.StatusBadRequest)
		return
	}
	rows := []resource{res}
	// Without a Depth it would be infinity, which servers may refuse (RFC
	// 4918, section 9.1); here it means 0. At the root nothing below is
	// listed, whatever the Depth: one report has Depth 1 refused there,
	// several clients send it.
	if r.Header.Get("Depth") == "1" {
		switch res.kind {
		case atHome:
			rows = append(rows, resource{kind: atBook, href: a.bookPath()})
		case atBook:
			a.mu.Lock()
			cards := a.book.all()
			a.mu.Unlock()
			for _, c := range cards {
				rows = append(rows, a.cardAt(c))
			}
		}
	}
	a.srv.multistatus(w, r, func(write func(node)) {
		for _, res := range rows {
			write(a.row(r, res, a.wanted(r, root, res)))
		}
	})
}

// wanted returns the names of the properties that a propfind asks for.
func (a *Account) wanted(r *http.Request, root *node, res resource) []xml.Name {
	if root != nil {
		if prop := root.kid(dav("prop")); prop != nil {
			return names(prop)
		}
	}
	// No body at all means allprop. To propname, which asks for names
	// without values, we give the values too.
	var all []xml.Name
	for _, name := range known {
		if _, ok := a.property(r, res, name); ok {
			all = append(all, name)
		}
	}
	return all
}

// names returns the names of the elements in a prop.
func names(prop *node) []xml.Name {
	list := make([]xml.Name, len(prop.kids))
	for i, kid := range prop.kids {
		list[i] = kid.name
	}
	return list
}

// row is a response element: what was asked for, and in a second propstat,
// with empty elements, what of it does not exist.
func (a *Account) row(r *http.Request, res resource, wanted []xml.Name) node {
	var found, missing []node
	for _, name := range wanted {
		if n, ok := a.property(r, res, name); ok {
			found = append(found, n)
		} else if name != dav("getlastmodified") || r.Method != "REPORT" {
			// Reports leave the date out without a word (go-webdav#33); all
			// else that is missing is named.
			missing = append(missing, element(name))
		}
	}
	row := element(dav("response"), href(res.href))
	if len(found) > 0 || len(missing) == 0 {
		row.kids = append(row.kids, element(dav("propstat"), element(dav("prop"), found...), statusOf(http.StatusOK)))
	}
	if len(missing) > 0 {
		st := statusOf(http.StatusNotFound)
		if a.srv.EmptyStatus {
			st = status("")
		}
		row.kids = append(row.kids, element(dav("propstat"), element(dav("prop"), missing...), st))
	}
	return row
}

// known are the properties that an allprop shows where they exist. Cards
// themselves are not among them (RFC 6352, section 10.4).
var known = []xml.Name{
	dav("resourcetype"), dav("current-user-principal"), dav("principal-URL"), carddav("addressbook-home-set"),
	dav("getetag"), dav("getcontenttype"), dav("getlastmodified"),
	server("getctag"), dav("sync-token"), dav("supported-report-set"), dav("current-user-privilege-set"),
}

// property returns a property of a resource, if it has it.
func (a *Account) property(r *http.Request, res resource, name xml.Name) (node, bool) {
	if res.kind == atCard {
		return cardProperty(r, res.card, name)
	}
	switch name {
	case dav("current-user-principal"):
		return element(name, href(a.principalFor(r))), true
	case dav("principal-URL"), carddav("addressbook-home-set"):
		if res.kind != atPrincipal {
			break
		}
		if name == dav("principal-URL") {
			return element(name, href(res.href)), true
		}
		return element(name, href(a.origin(r)+a.homePath())), true
	case dav("resourcetype"):
		n := element(name, element(dav("collection")))
		switch res.kind {
		case atPrincipal:
			n.kids = append(n.kids, element(dav("principal")))
		case atBook:
			// In this order, as captured (timfjord/carddav).
			n.kids = []node{element(carddav("addressbook")), element(dav("collection"))}
		}
		return n, true
	}
	if res.kind != atBook {
		return node{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch name {
	case dav("getetag"):
		return text(name, `"`+a.book.tag()+`"`), true
	case server("getctag"):
		return text(name, a.book.tag()), true
	case dav("sync-token"):
		return text(name, a.book.token(a.book.revision)), true
	case dav("supported-report-set"):
		n := element(name)
		for _, report := range []xml.Name{carddav("addressbook-query"), carddav("addressbook-multiget"), dav("sync-collection")} {
			n.kids = append(n.kids, element(dav("supported-report"), element(dav("report"), element(report))))
		}
		return n, true
	case dav("current-user-privilege-set"):
		n := element(name)
		for _, privilege := range []string{"all", "read", "write", "write-properties", "write-content", "bind", "unbind"} {
			n.kids = append(n.kids, element(dav("privilege"), element(dav(privilege))))
		}
		return n, true
	}
	// Among what is missing is displayname: iCloud's one book has no name
	// (timfjord/carddav).
	return node{}, false
}

func cardProperty(r *http.Request, c *card, name xml.Name) (node, bool) {
	switch name {
	case dav("getetag"):
		return text(name, c.etag), true
	case dav("getcontenttype"):
		return text(name, "text/vcard"), true
	case dav("getlastmodified"):
		if r.Method == "REPORT" {
			return node{}, false
		}
		return text(name, c.modified.UTC().Format(http.TimeFormat)), true
	case carddav("address-data"):
		// Only reports have it. Which of the card's properties were asked
		// for is ignored, as iCloud does: all come (carddavclient's
		// QUIRKS.md).
		if r.Method == "REPORT" {
			return text(name, c.vcard), true
		}
	}
	// resourcetype is missing too: iCloud's cards have none, and a client
	// that asks for it pays with a propstat for each card (KashCal).
	return node{}, false
}

// missingDSIDKey is the context key by which the Fault MissingDSID asks for
// its effect.
type missingDSIDKey struct{}

func (a *Account) principalFor(r *http.Request) string {
	if r.Context().Value(missingDSIDKey{}) != nil {
		return "/principal/"
	}
	return a.ownPrincipal()
}

// origin is what the home-set begins with: iCloud's partition host, or the
// host that was asked where that is not iCloud'a.
func (a *Account) origin(r *http.Request) string {
	switch {
	case isICloud(hostname(r.Host)):
		return "https://" + a.partitionHost(r.Host)
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
