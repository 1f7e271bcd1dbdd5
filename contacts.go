// Contacts, and how they are listed: one REPORT is decoded as it arrives, with one card in
// memory at a time.

package icloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/bits"
	"net/http"
	"net/url"
	"sync"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/vcf"
)

// Contact is a card of the address book. The fields hold what a listing usually
// wants; everything else is in VCard.
//
// The strings of a Contact share one piece of memory, which is as long as all of
// them together. It does not include what is only in VCard, such as a photo. To keep
// one string for long without the others, clone it with [strings.Clone].
type Contact struct {
	// ID names the card in its address book: the last segment of its href, as
	// the server wrote it. It is stable. Client.Sync, Put and Delete use it.
	ID string

	// ETag changes with the card (RFC 9110, section 8.8.3). It is as the
	// server wrote it, quotes included, and "" if the server sent none.
	ETag string

	// UID is the card's UID, by which other cards refer to it, without the
	// urn:uuid: that vCard 4.0 puts before it. It is "" if the card has none.
	UID string

	// Name is FN, else composed from N, else Org.
	Name string

	// Org is the organization, without its departments.
	Org string

	// Emails and Phones are in the card's order.
	Emails, Phones []Labeled

	// Group says that the card is a list of other cards. Members are the UIDs
	// of these cards, in the form of the field UID. Some may not exist.
	Group   bool
	Members []string

	// VCard is the card as iCloud sent it, even if it cannot be parsed.
	// Writing it back, changed by Edit or not, loses nothing.
	VCard []byte
}

// Labeled is an e-mail address, a phone number, a web page or another person,
// with its label as a person reads it: "home", "work", or "School", which iCloud
// writes as "_$!<School>!$_". Label is "" if there is none.
type Labeled struct{ Label, Value string }

// Card decodes VCard with go-vcard. Use it for what neither the fields of Contact nor
// [Contact.Details] have, and for [Contact.Edit]. The error is the parser's. A card
// of another version than 3.0 is not an error.
//
// go-vcard reads some of what Apple's programs write wrongly, and Details reads it
// correctly. A Value keeps \;, \: and \N as they are written. Name and Address cut it
// at every semicolon, so that after an escaped one all parts are in the wrong place.
// The label of an item is a separate property with the same Group. A birthday
// without a year is in 1604. Quoted-printable is not decoded, and the value of a
// vCard 2.1 property may become that of a parameter without a name. Encoding a
// vcard.Card changes nearly every card: names of properties become upper case,
// lines change their order, and http\: gets one more backslash.
func (c *Contact) Card() (vcard.Card, error) {
	card, err := vcard.NewDecoder(bytes.NewReader(vcf.Unfold(c.VCard))).Decode()
	if err != nil {
		return nil, fmt.Errorf("icloud: the card cannot be parsed: %w", err)
	}
	return card, nil
}

// errStopped ends a listing whose loop was left.
var errStopped = errors.New("icloud: stopped")

// Contacts lists all cards of the address book, groups included, in the server's
// order. It costs one request, or four if the address book is not known yet, and
// the memory of one card. A *Contact is the caller's to keep.
//
// A listing that ends without an error is complete. An error is yielded last, with a
// nil *Contact. It is an *AuthError if the password was refused. It is a
// *[PartialError] if only the cards that it names could not be fetched, and all
// others were yielded before. Any other error says why the listing ended. If there is
// an error, delete nothing. A card that cannot be parsed is yielded with its ID, ETag
// and VCard.
func (c *Client) Contacts(ctx context.Context) iter.Seq2[*Contact, error] {
	return func(yield func(*Contact, error) bool) {
		l := newListing(c, ctx, func(_ dav.Href, contact *Contact) error {
			if !yield(contact, nil) {
				return errStopped
			}
			return nil
		})
		defer l.end()
		call := c.begin()
		err := c.withBook(ctx, l.query)
		// The loop was left. That is no failure, and what was learned until then is
		// saved.
		if err == errStopped {
			_ = call.end(ctx, nil)
			return
		}
		err = l.failed.with(err)
		if _ = call.end(ctx, butCards(err)); err != nil {
			yield(nil, err)
		}
	}
}

// listing is one run over an address book, or over what has changed in it.
type listing struct {
	client *Client
	ctx    context.Context
	emit   func(dav.Href, *Contact) error

	seen seenCards
	seed maphash.Seed
	runs int // more than one if the book has moved, and all paths with it

	failed failures
	single single
	*answerReader
}

func newListing(c *Client, ctx context.Context, emit func(dav.Href, *Contact) error) *listing {
	return &listing{
		client: c, ctx: ctx, emit: emit, seed: maphash.MakeSeed(),
		single: single{left: maxSingle}, answerReader: newAnswerReader(),
	}
}

// end gives back the answerReader. Nothing that was handed out is part of it.
func (l *listing) end() { l.answerReader.keep() }

// query lists the book at u by one report. If the answer is broken XML or says that it is
// not complete, the other cards are fetched by name.
func (l *listing) query(u *url.URL) error {
	l.runs++
	l.failed = failures{}
	// One request for everything. iCloud ignores subsets of properties and limits, and
	// has no pages.
	resp, err := l.client.multistatus(l.ctx, "REPORT", u, "1", dav.Query())
	switch {
	case unsupported(err):
		return l.rest(u, getBatch)
	// Xandikos fails on the whole report if one card is not UTF-8.
	case isStatus(err, http.StatusInternalServerError):
		return l.rest(u, restBatch)
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	more := false
	var left hrefs
	err = l.rows(resp, func(m member, row *dav.Row) error {
		switch m.state {
		case memberSent:
			return l.card(m.Href, row)
		// It is listed, so it is a card, or an error.
		case memberNamed:
			return l.leave(&left, m.Href)
		case memberRefused:
			l.failed.add(m.Href, m.status)
		case memberMore:
			// RFC 6352, section 8.6.1. iCloud is not known to send this.
			more = true
		}
		return nil
	})
	switch {
	// What was handed out before the answer broke is not handed out again.
	case brokenXML(err):
		return l.rest(u, restBatch)
	case err != nil:
		return err
	case more, quietLimits[l.seen.count]:
		return l.rest(u, getBatch)
	}
	return l.fetch(u, left.list, getBatch, nil)
}

// quietLimits are numbers of cards at which servers, iCloud among them, are reported to cut
// a query short without saying so. A listing with exactly this number is compared with
// the ETags of the book, which costs a request.
var quietLimits = map[int]bool{1000: true, 5000: true}

// rest lists the cards of the book at u that have not been handed out yet, n at a time, so
// that a card that breaks an answer spoils only a few others.
func (l *listing) rest(u *url.URL, n int) error {
	var left hrefs
	listed := l.etags(u, func(m member, _ *dav.Row) error {
		switch m.state {
		case memberSent, memberNamed:
			// leave skips the cards that were handed out. A card that was renamed
			// meanwhile is fetched again.
			return l.leave(&left, m.Href)
		case memberRefused:
			l.failed.add(m.Href, m.status)
		}
		return nil
	})
	// If this answer breaks too, the cards that it named before are fetched all the same.
	if listed != nil && !brokenXML(listed) {
		return listed
	}
	if err := l.fetch(u, left.list, n, nil); err != nil {
		return err
	}
	return listed
}

var errListingCut = errors.New("icloud: the server lists only a part of the address book")

// etags calls f with each row about a member of the book at u.
func (l *listing) etags(u *url.URL, f func(member, *dav.Row) error) error {
	resp, err := l.client.propfind(l.ctx, u, "1", dav.PropfindETags())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return l.rows(resp, func(m member, row *dav.Row) error {
		// The cards that it does not name would be taken for deleted.
		if m.state == memberMore {
			return errListingCut
		}
		return f(m, row)
	})
}

// rows calls f with each row of an answer that is about a member, or that says that
// the answer is not all.
func (l *listing) rows(resp *http.Response, f func(member, *dav.Row) error) error {
	// If the answer has changed the state, report that now, and not during a call that
	// the caller makes between two cards.
	l.client.notify(l.ctx)
	l.decoder.Reset(resp.Body)
	return eachRow(l.decoder, resp, func(row *dav.Row) error {
		m, err := readMember(l.client.gate, resp, row)
		if err != nil || m.state == memberNone {
			return err
		}
		return f(m, row)
	})
}

// card hands out the card of a row, or notes why there is none.
func (l *listing) card(h dav.Href, row *dav.Row) error {
	switch {
	case !l.first(h, row.ETag, row.Data):
		return nil
	case row.TooLarge:
		l.failed.add(h, errCardTooLarge)
		return nil
	}
	return l.hand(h, l.contact(h, row))
}

// hand hands out a card.
func (l *listing) hand(h dav.Href, contact *Contact) error {
	if l.failed.left > 0 {
		l.failed.drop(string(h.DecodedName()))
	}
	return l.emit(h, contact)
}

// first says whether a member has not been handed out before, and notes that it is now.
// Two cards differ in their beginnings, where their names are, or in their lengths.
// Reading all of each card would cost too much.
func (l *listing) first(h dav.Href, etag, card []byte) bool {
	// Hashes of the parts are combined, because a maphash.Hash would copy the parts.
	id, is := l.idHash(h), l.hash(h)
	for _, part := range [...][]byte{etag, card[:min(len(card), 512)]} {
		is = bits.RotateLeft64(is, 1) ^ maphash.Bytes(l.seed, part)
	}
	is += uint64(len(card))
	was, added := l.seen.add(id, uint32(is))
	if added {
		return true
	}
	// The same card again is a mistake of the server, and is skipped. Another card with
	// the same ID would overwrite the first one in the caller's copy. Neither Sync nor Put
	// can distinguish the two.
	if was != uint32(is) && l.runs < 2 {
		l.failed.add(h, errCardAmbiguous)
	}
	return false
}

// idHash returns a hash of the decoded ID, which is the same for all spellings.
func (l *listing) idHash(h dav.Href) uint64 {
	return maphash.Bytes(l.seed, h.DecodedName())
}

// An answerReader reads an answer and makes Contacts of the cards in it. It is kept for
// the next answer, because most answers are shorter than its buffers and are written like
// the previous one.
type answerReader struct {
	decoder *dav.Decoder
	cards   vcf.Reader
	scratch []byte
}

var answerReaders = sync.Pool{New: func() any { return &answerReader{decoder: dav.NewDecoder(nil)} }}

func newAnswerReader() *answerReader { return answerReaders.Get().(*answerReader) }

// keep gives r back to the pool. It must not keep an answer's connection.
func (r *answerReader) keep() {
	r.decoder.Reset(nil)
	answerReaders.Put(r)
}

// contact makes the Contact of a row. It copies everything that the Contact keeps.
func (r *answerReader) contact(h dav.Href, row *dav.Row) *Contact {
	id := h.Name()
	r.scratch = append(append(r.scratch[:0], id...), row.ETag...)
	names := r.cards.Read(row.Data, r.scratch)
	// Written like this, the compiler does not clear the memory before the copy.
	data := row.Data
	card := make([]byte, len(data))
	copy(card, data)
	contact := &Contact{
		ID:      names[:len(id)],
		ETag:    names[len(id):],
		UID:     r.cards.UID(),
		Name:    r.cards.Name(),
		Org:     r.cards.Org(),
		Group:   r.cards.Group(),
		Members: r.cards.Members(),
		VCard:   card,
	}
	contact.Emails, contact.Phones = vcf.Labels[Labeled](&r.cards)
	return contact
}
