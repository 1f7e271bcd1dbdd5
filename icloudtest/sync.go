// Sync tokens, and the report sync-collection (RFC 6578).

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

// since returns the cards that have changed after a revision. The oldest change comes first,
// so that a page of them ends at a revision from which a client can continue. A card that was
// created and removed after the revision is omitted, because the client does not know it.
//
// There is no log of changes. Each card, also a removed one, has the revision of its last
// change.
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

// page returns the first changes after a revision, the token for the state after them, and
// whether there are more. If size is not zero, it returns at most size changes.
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

// forgetTokens makes all tokens invalid. The records of removed cards are then not needed.
func (b *book) forgetTokens() {
	b.epoch++
	for k, c := range b.cards {
		if c.gone {
			delete(b.cards, k)
		}
	}
}

// tokenPrefix makes tokens look like captured ones (KashCal's fixtures), which begin with
// HwoQEgwA and contain + and /. It has no meaning.
var tokenPrefix = []byte{0x1f, 0x0a, 0x10, 0x12, 0x0c, 0, 0xfb, 0xff, 0xbf}

// token returns the sync token of a revision. It contains the owner of the book, because a
// token of one book must not be valid for another.
func (b *book) token(revision uint64) string {
	t := append(slices.Clone(tokenPrefix), b.owner...)
	t = binary.BigEndian.AppendUint32(t, b.epoch)
	t = binary.BigEndian.AppendUint64(t, revision)
	return base64.StdEncoding.EncodeToString(t)
}

// revisionOf returns the revision of a token. ok is false if this book has not issued the
// token or has forgotten it.
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
	// Any Depth but 0 is an error (section 3.2), and a missing one means 0. One client
	// reports that iCloud refuses the empty token; it sent Depth 1, which may be the real
	// reason.
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
		if !ok && a.srv.TokenRefusal == http.StatusMultiStatus {
			revision, ok = 0, true
		}
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
	denied := a.srv.DenyInlineData && !a.srv.InlineData && slices.Contains(wanted, carddav("address-data"))
	if !a.srv.InlineData {
		// iCloud ignores the request for it, and does not report it as missing.
		wanted = without(wanted, carddav("address-data"))
	}
	a.srv.multistatus(w, r, func(write func(node)) {
		if len(changes) > 0 {
			// The address book's own row has no resourcetype, so it looks like a card.
			// If nothing has changed, there is no such row.
			self := resource{kind: atBook, href: strings.TrimSuffix(a.bookPath(), "/")}
			if a.srv.OwnRowSlash {
				self.href += "/"
			}
			write(a.row(r, self, without(wanted, dav("resourcetype"))))
		}
		for _, c := range changes {
			if c.gone {
				write(missing(a.bookPath() + c.id))
				continue
			}
			row := a.row(r, a.cardAt(c), wanted)
			if denied {
				row.kids = append(row.kids, element(dav("propstat"),
					element(dav("prop"), element(carddav("address-data"))), statusOf(http.StatusForbidden)))
			}
			write(row)
		}
		if more {
			// A row of 507 with the URL of the request says that there are more
			// changes (section 3.6).
			write(a.more())
		}
		write(text(dav("sync-token"), next))
	})
}

// refuseToken answers that a token is not valid. If TokenRefusal is 207, only an empty token is
// refused, with 403.
func (a *Account) refuseToken(w http.ResponseWriter) {
	if a.srv.TokenRefusal != 0 && a.srv.TokenRefusal != http.StatusMultiStatus {
		empty(w, a.srv.TokenRefusal)
		return
	}
	a.srv.failure(w, http.StatusForbidden, dav("valid-sync-token")) // section 3.2
}

// without returns a copy of names without name.
func without(names []xml.Name, name xml.Name) []xml.Name {
	return slices.DeleteFunc(slices.Clone(names), func(n xml.Name) bool { return n == name })
}
