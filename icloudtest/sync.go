// Following the book: sync tokens, and the report sync-collection (RFC
// 6578).

package icloudtest

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

// since returns what has changed after a revision, oldest change first, so
// that a page of it ends at a revision from which to go on. A card that
// came and went in between is not in it: who asks never knew it.
//
// There is no log to compact. Each card remembers its last change, removed
// ones too, and so a token holds however often they change.
func (b *book) since(revision uint64) []*card {
	var list []*card
	for _, c := range b.cards {
		if c.changed > revision && (!c.gone || c.created <= revision) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(x, y *card) int { return cmp.Compare(x.changed, y.changed) })
	return list
}

// page returns the first of the changes after a revision, at most size of
// them if that is not zero, the token that stands for what is known after
// them, and whether there are more.
func (b *book) page(revision uint64, size int) (changes []*card, next string, more bool) {
	changes = b.since(revision)
	if size <= 0 || len(changes) <= size {
		return changes, b.token(b.revision), false
	}
	changes = changes[:size]
	return changes, b.token(changes[size-1].changed), true
}

// unchanged returns a card that has not changed after a revision, or nil.
func (b *book) unchanged(revision uint64) *card {
	for _, c := range b.all() {
		if c.changed <= revision {
			return c
		}
	}
	return nil
}

// forgetTokens ends the validity of all tokens, and with it the need to
// remember what was removed.
func (b *book) forgetTokens() {
	b.epoch++
	for k, c := range b.cards {
		if c.gone {
			delete(b.cards, k)
		}
	}
}

// tokenPrefix makes our tokens look like the one that was captured
// (KashCal's fixtures). It means nothing.
var tokenPrefix = []byte{0x1f, 0x0a, 0x10, 0x12, 0x0c, 0, 0}

// token returns the sync token of a revision. It names the book too,
// because a token of one book must not pass for another'a.
func (b *book) token(revision uint64) string {
	t := append(slices.Clone(tokenPrefix), b.owner...)
	t = binary.BigEndian.AppendUint32(t, b.epoch)
	t = binary.BigEndian.AppendUint64(t, revision)
	return base64.StdEncoding.EncodeToString(t)
}

// revisionOf returns the revision that a token stands for, if it is one of
// this book, not forgotten, and not of the future.
func (b *book) revisionOf(token string) (revision uint64, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) < 8 {
		return 0, false
	}
	revision = binary.BigEndian.Uint64(raw[len(raw)-8:])
	return revision, revision <= b.revision && token == b.token(revision)
}

// sync answers sync-collection.
func (a *Account) sync(w http.ResponseWriter, r *http.Request, root *node, wanted []xml.Name) {
	// Any Depth but 0 is an error (section 3.2), and none means 0. One
	// client reports that iCloud refuses the empty token; it sent Depth 1,
	// which may be all there is to that.
	if depth := r.Header.Get("Depth"); depth != "" && depth != "0" {
		empty(w, http.StatusBadRequest)
		return
	}
	token := ""
	if n := root.kid(dav("sync-token")); n != nil {
		token = strings.TrimSpace(n.text)
	}

	a.mu.Lock()
	revision, ok := uint64(0), !a.srv.RefuseEmptyToken
	if token != "" {
		revision, ok = a.book.revisionOf(token)
	}
	changes, next, more := a.book.page(revision, a.srv.PageSize)
	if a.srv.ExtraChanges && !more {
		if c := a.book.unchanged(revision); c != nil {
			changes = append(changes, c)
		}
	}
	a.mu.Unlock()

	if !ok {
		a.refuseToken(w)
		return
	}
	if !a.srv.InlineData {
		// Not even as missing: iCloud passes over the request for it.
		wanted = without(wanted, carddav("address-data"))
	}
	a.srv.multistatus(w, r, func(write func(node)) {
		// The address book's own row: without its slash, and without the
		// resourcetype that would tell it from a card.
		self := resource{kind: atBook, href: strings.TrimSuffix(a.bookPath(), "/")}
		write(a.row(r, self, without(wanted, dav("resourcetype"))))
		for _, c := range changes {
			if c.gone {
				write(missing(a.bookPath() + c.id))
				continue
			}
			write(a.row(r, a.cardAt(c), wanted))
		}
		if more {
			// For a part of the changes there is a row with the request's
			// own URL and 507 (section 3.6). Here it has its slash.
			write(element(dav("response"), href(a.bookPath()), statusOf(http.StatusInsufficientStorage),
				element(dav("error"), element(dav("number-of-matches-within-limits")))))
		}
		write(text(dav("sync-token"), next))
	})
}

// refuseToken answers that a token is not, or no longer, one of the book'a.
// How iCloud does so has not been captured.
func (a *Account) refuseToken(w http.ResponseWriter) {
	if a.srv.TokenRefusal != 0 {
		empty(w, a.srv.TokenRefusal)
		return
	}
	a.srv.failure(w, http.StatusForbidden, dav("valid-sync-token")) // section 3.2
}

// without returns names less one of them.
func without(names []xml.Name, name xml.Name) []xml.Name {
	return slices.DeleteFunc(slices.Clone(names), func(n xml.Name) bool { return n == name })
}
