// The address book: its cards, their ETags, and when they changed.

package icloudtest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// card is a card of the book, or the record of one that was removed. It is never modified,
// only replaced, so that an answer can be written from it without holding a lock.
type card struct {
	id       string // the last segment of the URL, as written when the card was created
	vcard    string
	etag     string // with its quotes, in the present form
	oldETag  string // in the form from before 2021
	created  uint64 // the revision of the book at which the id was first used
	changed  uint64 // the revision of the book at which the card was last changed or removed
	gone     bool   // whether it was removed
	modified time.Time
}

// book is the address book of an account. It is not safe for concurrent use; the mutex of
// the Account guards it.
type book struct {
	owner    string // the account's number
	revision uint64 // grows with each change
	stamp    int64  // the number in the latest ETag
	epoch    uint32 // grows when tokens are forgotten
	cards    map[string]*card
}

// newBook returns an empty book at revision 0, which is that of the empty token.
func newBook(owner string) book {
	return book{owner: owner, cards: make(map[string]*card)}
}

// segment says whether id can stand as the last segment of a URL's path.
func segment(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, "/?#") && !strings.ContainsFunc(id, unicode.IsControl)
}

// key returns the key of a card in book.cards. It is the decoded id, because URLs are equal
// if their decoded paths are (RFC 3986, section 6.2.2).
func key(id string) string {
	if decoded, err := url.PathUnescape(id); err == nil {
		return decoded
	}
	return id
}

// get returns the card, or nil.
func (b *book) get(id string) *card {
	if c := b.cards[key(id)]; c != nil && !c.gone {
		return c
	}
	return nil
}

// put adds or replaces a card. A card that is replaced keeps the spelling of its id.
func (b *book) put(id, vcard string) *card {
	b.revision++
	c := &card{id: id, vcard: vcard, created: b.revision, changed: b.revision, modified: time.Now()}
	if old := b.cards[key(id)]; old != nil {
		c.created = old.created
		if !old.gone {
			c.id = old.id
		}
	}
	// The ETag is a time in milliseconds in base 36, as captured ETags seem to be. It
	// grows with each change, whatever the clock does, so a card that is removed and
	// made again has a new ETag.
	b.stamp = max(b.stamp+1, c.modified.UnixMilli())
	c.etag = `"` + strconv.FormatInt(b.stamp, 36) + `"`
	sum := sha256.Sum256([]byte(b.owner + "/" + key(id)))
	c.oldETag = fmt.Sprintf(`"C=%d@U=%s"`, c.changed, uuid(hex.EncodeToString(sum[:16])))
	b.cards[key(id)] = c
	return c
}

// delete removes a card, and keeps a record of it for the sync tokens that were issued.
func (b *book) delete(id string) {
	old := b.get(id)
	if old == nil {
		return
	}
	b.revision++
	b.cards[key(id)] = &card{id: old.id, created: old.created, changed: b.revision, gone: true}
}

// all returns the cards in the order in which they were first put.
func (b *book) all() []*card {
	list := make([]*card, 0, len(b.cards))
	for _, c := range b.cards {
		if !c.gone {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(x, y *card) int { return cmp.Compare(x.created, y.created) })
	return list
}

// oldTag returns the book's getctag in the form from before 2021.
func (b *book) oldTag() string {
	sum := sha256.Sum256([]byte(b.owner))
	return fmt.Sprintf("FT=-@RU=%s@S=%d", uuid(hex.EncodeToString(sum[:16])), b.revision)
}
