// The address book: its cards, their ETags, and what has changed since
// when.

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

// card is one resource of the book, or what is left of it after its
// removal. It is never modified, only replaced, so that an answer can be
// written from it without holding a lock.
type card struct {
	id       string // the last segment of the URL, as written by whoever made it
	vcard    string
	etag     string // with its quotes, in today's form
	oldETag  string // in the form of before 2021
	created  uint64 // revision of the book at which the id was first there
	changed  uint64 // revision of the book at which it became as it is
	gone     bool
	modified time.Time
}

// book is the one address book of the account. It is not safe for
// concurrent use; its Server's mutex guards it.
type book struct {
	owner    string // the account's number
	revision uint64 // grows with each change
	stamp    int64  // of the latest ETag
	epoch    uint32 // grows when tokens are forgotten
	cards    map[string]*card
}

// newBook returns an empty book, at revision zero: the empty token's.
func newBook(owner string) book {
	return book{owner: owner, cards: make(map[string]*card)}
}

// segment says whether id can stand as the last segment of a URL's path.
func segment(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, "/?#") && !strings.ContainsFunc(id, unicode.IsControl)
}

// key is by which a card is found: URLs are equal when their decoded paths
// are (RFC 3986, section 6.2.2), however they were written.
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

// put adds a card or replaces it. A card that is replaced keeps the name
// that it was first put by, in whatever spelling it is written to now.
func (b *book) put(id, vcard string) *card {
	b.revision++
	c := &card{id: id, vcard: vcard, created: b.revision, changed: b.revision, modified: time.Now()}
	if old := b.cards[key(id)]; old != nil {
		c.created = old.created
		if !old.gone {
			c.id = old.id
		}
	}
	// A number of base 36 that is a time in milliseconds, if that is what those
	// are that were captured. It grows with each change, whatever the clock does,
	// and so never comes back for a card that was removed and made again.
	b.stamp = max(b.stamp+1, c.modified.UnixMilli())
	c.etag = `"` + strconv.FormatInt(b.stamp, 36) + `"`
	sum := sha256.Sum256([]byte(b.owner + "/" + key(id)))
	c.oldETag = fmt.Sprintf(`"C=%d@U=%s"`, c.changed, uuid(hex.EncodeToString(sum[:16])))
	b.cards[key(id)] = c
	return c
}

// delete removes a card, and leaves a mark of it for the sync tokens that
// are out: in the map it takes little more room than its name.
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

// oldTag is the book's getctag in the form of before 2021.
func (b *book) oldTag() string {
	sum := sha256.Sum256([]byte(b.owner))
	return fmt.Sprintf("FT=-@RU=%s@S=%d", uuid(hex.EncodeToString(sum[:16])), b.revision)
}
