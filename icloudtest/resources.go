// The resources under the URLs of an account, and their properties.

package icloudtest

import (
	"cmp"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

const (
	// davClasses is the DAV header, by which clients recognize a CardDAV server.
	davClasses = "1, 3, access-control, addressbook, sync-collection"

	methods = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, REPORT"

	// maxBody bounds the body of a request. A multiget of 50,000 cards fits.
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

// resource is the resource of a row in a multistatus. Its href is a path. Only the href in
// addressbook-home-set has a host.
type resource struct {
	kind kind
	href string
	card *card // set if kind is atCard
}

// homePath and bookPath end with a slash, as the hrefs of all collections do, except one in
// Account.sync.
func (a *Account) homePath() string { return "/" + a.dsid + "/carddavhome/" }
func (a *Account) bookPath() string { return a.homePath() + "card/" }

// ownPrincipal returns the path of the principal, with the account's number.
func (a *Account) ownPrincipal() string { return "/" + a.dsid + "/principal/" }

// cardAt returns the resource of a card. Its href has the spelling with which the card was
// created.
func (a *Account) cardAt(c *card) resource {
	return resource{kind: atCard, href: a.bookPath() + c.id, card: c}
}

// discovery says whether the path of r is one at which discovery begins. "/co" is not
// documented, but clients use it and it works.
func discovery(r *http.Request) bool {
	switch r.URL.Path {
	case "/", "/co", "/co/", "/.well-known/carddav", "/.well-known/carddav/":
		return true
	}
	return false
}

// route finds the resource of a request, and answers the request.
func (a *Account) route(w http.ResponseWriter, r *http.Request) {
	// The path is used as written, because an id is as written too.
	path := r.URL.EscapedPath()
	owner, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case discovery(r):
		// /.well-known/carddav does not redirect, although RFC 6764 allows that.
		a.method(w, r, resource{kind: atRoot, href: path})
		return
	case owner == "principal":
		// This is the principal without the account's number.
		empty(w, http.StatusForbidden)
		return
	case owner == "" || strings.Trim(owner, "0123456789") != "":
		nowhere(w)
		return
	case owner != a.dsid:
		// It is the path of another account.
		empty(w, http.StatusForbidden)
		return
	}
	if a.srv.PartitionOnly && strings.HasPrefix(path, a.homePath()) && !strings.EqualFold(a.homeHost(r), withPort(r)) {
		nowhere(w)
		return
	}
	// Collections are also found without their final slash.
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

// method answers a request for a resource, except GET, PUT and DELETE of a card.
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
		options(w)
	case http.MethodGet, http.MethodHead:
		// This is what a browser gets at the root; elsewhere it is a guess.
		empty(w, http.StatusBadRequest)
	default:
		// Address books cannot be made (vdirsyncer#661). That they cannot be removed or
		// renamed, and nothing can be locked or copied, is a guess.
		empty(w, http.StatusForbidden)
	}
}

// options answers OPTIONS.
func options(w http.ResponseWriter) {
	w.Header().Set("DAV", davClasses)
	w.Header().Set("Allow", methods)
	empty(w, http.StatusOK)
}

// body reads the XML of a request. It returns nil for an empty body.
func body(r *http.Request) (*node, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return parse(data)
}

// propfind answers PROPFIND (RFC 4918, section 9.1). With Depth 1, clients without
// sync-collection get all ETags of the book.
func (a *Account) propfind(w http.ResponseWriter, r *http.Request, res resource) {
	root, err := body(r)
	if err != nil || root != nil && root.name != dav("propfind") {
		empty(w, http.StatusBadRequest)
		return
	}
	if res.kind == atRoot && a.srv.RefuseRootDepth && r.Header.Get("Depth") == "1" {
		empty(w, http.StatusBadRequest)
		return
	}
	rows := []resource{res}
	// A missing Depth means infinity, which servers may refuse (RFC 4918, section 9.1);
	// here it means 0. At the root Depth 1 adds no rows.
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
	// An empty body means allprop. For propname, which asks only for the names, the
	// answer has the values too.
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

// row returns a response element with the wanted properties. Those that do not exist are in a
// second propstat, as empty elements.
func (a *Account) row(r *http.Request, res resource, wanted []xml.Name) node {
	var found, missing []node
	for _, name := range wanted {
		if n, ok := a.property(r, res, name); ok {
			found = append(found, n)
		} else if name != dav("getlastmodified") || r.Method != "REPORT" {
			// Reports omit getlastmodified without a 404 (go-webdav#33).
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

// known are the properties that allprop returns if they exist. address-data is not among them
// (RFC 6352, section 10.4).
var known = []xml.Name{
	dav("resourcetype"), dav("current-user-principal"), dav("principal-URL"), carddav("addressbook-home-set"),
	dav("getetag"), dav("getcontenttype"), dav("getlastmodified"),
	server("getctag"), dav("sync-token"), dav("supported-report-set"), dav("current-user-privilege-set"),
}

// property returns a property of a resource, and false if it does not exist.
func (a *Account) property(r *http.Request, res resource, name xml.Name) (node, bool) {
	if res.kind == atCard {
		return a.cardProperty(r, res.card, name)
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
		return text(name, `"`+a.bookTag()+`"`), true
	case server("getctag"):
		return text(name, a.bookTag()), true
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
		for _, privilege := range []string{"read", "read-current-user-privilege-set", "write", "write-properties", "write-content", "bind", "unbind"} {
			n.kids = append(n.kids, element(dav("privilege"), element(dav(privilege))))
		}
		return n, true
	}
	// displayname does not exist either (timfjord/carddav).
	return node{}, false
}

func (a *Account) cardProperty(r *http.Request, c *card, name xml.Name) (node, bool) {
	switch name {
	case dav("getetag"):
		return text(name, a.etag(c)), true
	case dav("getcontenttype"):
		return text(name, "text/vcard"), true
	case dav("getlastmodified"):
		if r.Method == "REPORT" {
			return node{}, false
		}
		return text(name, c.modified.UTC().Format(http.TimeFormat)), true
	case carddav("address-data"):
		// Only reports have it. A selection of the card's properties is ignored, as
		// iCloud does (carddavclient's QUIRKS.md).
		if r.Method == "REPORT" {
			return node{name: name, text: c.vcard, cdata: a.srv.CDATA}, true
		}
	case dav("resourcetype"):
		// With Depth 0 it is empty (carddavclient's tests). In a listing it does not
		// exist, and each card has a propstat of 404 (KashCal).
		if r.Method == "PROPFIND" && r.Header.Get("Depth") != "1" {
			return element(name), true
		}
	}
	return node{}, false
}

// missingDSIDKey is the context key that the Fault MissingDSID sets.
type missingDSIDKey struct{}

func (a *Account) principalFor(r *http.Request) string {
	if r.Context().Value(missingDSIDKey{}) != nil {
		return "/principal/"
	}
	return a.ownPrincipal()
}

// etag returns the ETag of a card, in the form that OldForms selects.
func (a *Account) etag(c *card) string {
	if a.srv.OldForms {
		return c.oldETag
	}
	return c.etag
}

// bookTag returns the book's getctag, in the form that OldForms selects. The caller holds
// a.mu.
func (a *Account) bookTag() string {
	if a.srv.OldForms {
		return a.book.oldTag()
	}
	return a.book.token(a.book.revision)
}

// origin returns the beginning of the home-set's URL, with the host that homeHost returns.
func (a *Account) origin(r *http.Request) string {
	if r.TLS == nil && !isICloud(hostname(r.Host)) {
		return "http://" + a.homeHost(r)
	}
	return "https://" + a.homeHost(r)
}

// homeHost returns the host of the home-set: the account's partition host, or HomeHost or the
// host that was asked if that is not a host name of iCloud.
func (a *Account) homeHost(r *http.Request) string {
	if isICloud(hostname(r.Host)) {
		return a.partitionHost(r.Host)
	}
	return cmp.Or(a.srv.HomeHost, r.Host)
}

// withPort returns the host that was asked. A host of iCloud gets the port 443.
func withPort(r *http.Request) string {
	if isICloud(hostname(r.Host)) {
		return hostname(r.Host) + ":443"
	}
	return r.Host
}
