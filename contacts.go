// Contacts and the listing of them: one REPORT, decoded as it arrives, one card
// in memory at a time.

package icloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/vcf"
)

// Contact is a card of the address book. The fields hold what a listing usually
// wants; everything else is in VCard.
type Contact struct {
	// ID names the card in its address book: the last segment of its href, as
	// the server wrote it. It is stable, and what Client.Sync, Put and Delete
	// speak of. UID is the card's own, and may be missing.
	ID string

	// ETag changes with the card (RFC 9110, section 8.8.3). It is as the
	// server wrote it, quotes included, and "" if the server sent none.
	ETag string

	UID string

	// Name is FN, else composed from N, else Org.
	Name string

	// Org is the organization, without its departments.
	Org string

	// Emails and Phones are in the card's order.
	Emails, Phones []Labeled

	// Group says that the card is a list of other cards, whose UIDs are
	// Members; some may not exist.
	Group   bool
	Members []string

	// VCard is the card as iCloud sent it, also if it cannot be parsed.
	// Writing it back, changed by Edit or not, loses nothing.
	VCard []byte
}

// Labeled is an e-mail address or a phone number, with its label as a person
// reads it: "home", "work", or "School", which iCloud writes as
// "_$!<School>!$_". It is "" if there is none.
type Labeled struct{ Label, Value string }

// Card decodes VCard, for what the fields of Contact do not hold. The error is
// the parser's; a card of another version than 3.0 is none. To write a card
// back, use [Contact.Edit]: encoding a vcard.Card changes nearly every card
// that Apple's programs have made.
func (c *Contact) Card() (vcard.Card, error) {
	card, err := vcard.NewDecoder(bytes.NewReader(vcf.Unfold(c.VCard))).Decode()
	if err != nil {
		return nil, fmt.Errorf("icloud: the card cannot be parsed: %w", err)
	}
	return card, nil
}

// What can be wrong with a single card; each comes in a CardError.
var (
	errCardTooLarge  = fmt.Errorf("icloud: it is larger than %d MiB", dav.MaxCard>>20)
	errCardMissing   = errors.New("icloud: the server listed it, but did not send it")
	errCardUnread    = errors.New("icloud: the server's answer with it cannot be read")
	errMoreFailed    = errors.New("icloud: more cards could not be got than are named here")
	errCardAmbiguous = errors.New("icloud: the server listed two cards by the same name")
)

// errStopped ends a listing whose consumer has seen enough.
var errStopped = errors.New("icloud: stopped")

// Contacts lists all cards of the address book, groups included, in the server's
// order. It costs one request, or four if the address book is not known yet, and
// the memory of one card. A *Contact is the caller's to keep.
//
// A listing that ends without an error is complete. An error is the last that
// is yielded, with a nil *Contact: an *AuthError if the password was refused,
// else one that says why the listing ended; in both cases nothing is to be
// deleted. Cards that could not be got are *CardErrors joined in it, and all
// others have been yielded before. A card that cannot be parsed is yielded
// with its ID, ETag and VCard.
func (c *Client) Contacts(ctx context.Context) iter.Seq2[*Contact, error] {
	return func(yield func(*Contact, error) bool) {
		l := newListing(c, ctx, func(contact *Contact) error {
			if !yield(contact, nil) {
				return errStopped
			}
			return nil
		})
		defer l.end()
		call := c.begin()
		err := c.withBook(ctx, l.query)
		// The loop was left: that is no failure, but what was learned until then
		// is saved all the same.
		if err == errStopped {
			_ = call.end(ctx, nil)
			return
		}
		if err = call.end(ctx, l.failed.with(err)); err != nil {
			yield(nil, err)
		}
	}
}

// listing is one run over an address book, or over what has changed in it.
type listing struct {
	client *Client
	ctx    context.Context
	emit   func(*Contact) error

	// seen maps the hash of each card's ID to that of its path: all that is
	// remembered of a card once it has been handed out.
	seen map[uint64]uint64
	seed maphash.Seed

	failed   cardErrors
	refusals int // of single cards, in a row
	decoder  *dav.Decoder
	reader   vcf.Reader
	scratch  []byte
}

func newListing(c *Client, ctx context.Context, emit func(*Contact) error) *listing {
	return &listing{client: c, ctx: ctx, emit: emit, seen: make(map[uint64]uint64), seed: maphash.MakeSeed(), decoder: newDecoder(nil)}
}

// decoders are kept for the next answer, since most answers are shorter than the
// buffer that they are read with.
var decoders = sync.Pool{New: func() any { return dav.NewDecoder(nil) }}

func newDecoder(r io.Reader) *dav.Decoder {
	d := decoders.Get().(*dav.Decoder)
	d.Reset(r)
	return d
}

func keepDecoder(d *dav.Decoder) {
	d.Reset(nil) // it must not hold on to an answer's connection
	decoders.Put(d)
}

// end gives back what a listing has borrowed. All that it handed out is copied.
func (l *listing) end() { keepDecoder(l.decoder) }

// cardErrors are the CardErrors of a listing.
type cardErrors []error

// Error counts them: a listing may have lost thousands.
func (e cardErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("icloud: %d cards could not be got; the first: %s", len(e), strings.TrimPrefix(e[0].Error(), "icloud: "))
}

// Unwrap lets errors.As find the first of them.
func (e cardErrors) Unwrap() []error { return e }

// with joins the errors of single cards to the one that ended the listing.
func (e cardErrors) with(err error) error {
	switch {
	case len(e) == 0:
		return err
	case err == nil:
		return e
	}
	return errors.Join(err, e)
}

// query lists the book at u by one report. Where that breaks off because the
// server does not write XML, or has had enough, the rest is fetched by name.
func (l *listing) query(u *url.URL) error {
	// One request for everything. Property subsets and limits would be ignored
	// by iCloud, and pages are not known to it.
	resp, err := l.client.multistatus(l.ctx, "REPORT", u, "1", dav.Query())
	if unsupported(err) {
		return l.rest(u, getBatch)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	more := false
	err = l.rows(resp, func(row *dav.Row) error {
		if row.Status == http.StatusInsufficientStorage {
			// RFC 6352, section 8.6.1. iCloud is not known to.
			more = true
			return nil
		}
		m, err := l.member(resp, row)
		switch {
		case err != nil:
			return err
		case m.state == memberThere:
			return l.card(m.Href, row)
		case m.state == memberRefused:
			l.refused(m)
		}
		return nil
	})
	// What was handed out before the answer broke stays handed out.
	if _, broken := errors.AsType[*dav.SyntaxError](err); broken {
		return l.rest(u, restBatch)
	}
	if err == nil && more {
		return l.rest(u, getBatch)
	}
	return err
}

// rest lists the cards of the book at u that have not been handed out yet, n at
// a time, so that one that breaks an answer does not take many others with it.
func (l *listing) rest(u *url.URL, n int) error {
	var left []string
	listed := l.etags(u, func(h dav.Href, _ *dav.Row) error {
		// Only those that are missing. A card that was renamed meanwhile counts as
		// one.
		if _, seen := l.seen[l.idHash(h)]; !seen {
			left = append(left, string(h.Written))
		}
		return nil
	})
	// If this answer breaks as well, what it named until then is worth having.
	if _, broken := errors.AsType[*dav.SyntaxError](listed); listed != nil && !broken {
		return listed
	}
	if err := l.fetch(u, left, n, nil); err != nil {
		return err
	}
	return listed
}

// etags calls f with each member of the book at u.
func (l *listing) etags(u *url.URL, f func(dav.Href, *dav.Row) error) error {
	resp, err := l.client.propfind(l.ctx, u, "1", dav.PropfindETags())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return l.rows(resp, func(row *dav.Row) error {
		m, err := l.member(resp, row)
		switch {
		case err != nil:
			return err
		// A card without an ETag is a card.
		case m.state == memberThere, m.state == memberBare:
			return f(m.Href, row)
		case m.state == memberRefused:
			l.refused(m)
		}
		return nil
	})
}

// unsupported says whether a server does not know a report at all.
func unsupported(err error) bool {
	if ce, ok := errors.AsType[*conditionError](err); ok && ce.condition == dav.SupportedReport {
		return true
	}
	re, ok := errors.AsType[*ResponseError](err)
	return ok && (re.StatusCode == http.StatusMethodNotAllowed || re.StatusCode == http.StatusNotImplemented)
}

// rows calls f with each row of an answer.
func (l *listing) rows(resp *http.Response, f func(*dav.Row) error) error {
	// The answer has changed the state, if it has, in this call, and not in one
	// that the caller makes between two cards.
	l.client.notify(l.ctx)
	l.decoder.Reset(resp.Body)
	return eachRow(l.decoder, resp, f)
}

// member is the card that a row is about, and what the row says of it.
type member struct {
	dav.Href
	state  memberState
	status error // of memberRefused
}

type memberState int

const (
	memberThere   memberState = iota
	memberBare                // it has nothing of what was asked for; not a card, most likely
	memberGone                // the server says so: it is not missing from a listing
	memberRefused             // it is
	memberNone                // the row is not about a card, or its error has been noted
)

// member reads whom a row is about. A refusal of the whole book that hides in a
// 207 is an error.
func (l *listing) member(resp *http.Response, row *dav.Row) (member, error) {
	at, method := resp.Request.URL, resp.Request.Method
	if len(row.Href) == 0 && !row.HasData {
		// About nothing, then, unless it is a refusal.
		if row.Status >= 300 {
			return member{}, &ResponseError{Method: method, StatusCode: row.Status}
		}
		return member{state: memberNone}, nil
	}
	written, err := l.client.gate.Path(at, row.Href)
	if err != nil {
		// One name that cannot be used costs one card.
		l.fail(dav.ParseHref(row.Href).ID(), err)
		return member{state: memberNone}, nil
	}
	h := dav.ParseHref(written)
	// The book's own row. iCloud sends it without the slash, and without a
	// resource type.
	if h.Names(at) {
		if status := refusedBook(row); status != 0 {
			return member{}, &ResponseError{Method: method, StatusCode: status}
		}
		return member{state: memberNone}, nil
	}
	m, refused := member{Href: h}, 0
	switch {
	case row.Status == http.StatusNotFound, row.Status == http.StatusGone:
		m.state = memberGone
	case row.Status != 0 && row.Status/100 != 2:
		refused = row.Status
	// A card that is there is there, whatever else the row says.
	case row.HasData:
	// A collection within the book, as some servers have them.
	case row.Collection, bytes.HasSuffix(h.Path, []byte("/")):
		m.state = memberNone
	// The properties are refused one by one; 404 is what a property that the
	// resource does not have gets.
	case row.DataStatus != 0 && row.DataStatus != http.StatusNotFound:
		refused = row.DataStatus
	case row.ETag != nil:
	case row.PropStatus != 0 && row.PropStatus != http.StatusNotFound:
		refused = row.PropStatus
	case row.PropStatus != 0:
		m.state = memberBare
	}
	if refused != 0 {
		// A status that cannot be read is given as 0.
		m.state, m.status = memberRefused, &ResponseError{Method: method, StatusCode: max(refused, 0)}
	}
	return m, nil
}

// refusedBook returns the status with which the book's own row refuses the whole
// book, or 0. A collection need not have any of the properties, but is then said
// not to: 404.
func refusedBook(row *dav.Row) int {
	switch {
	case row.Status >= 300:
		return row.Status
	case row.PropStatus >= 400 && row.PropStatus != http.StatusNotFound && row.ETag == nil && !row.HasData && !row.Collection:
		return row.PropStatus
	}
	return 0
}

// refused notes that the server did not give out a card.
func (l *listing) refused(m member) {
	if l.first(m.Href) {
		l.fail(m.ID(), m.status)
	}
}

// card hands out the card of a row, or notes why there is none.
func (l *listing) card(h dav.Href, row *dav.Row) error {
	switch {
	case !l.first(h):
		return nil
	case row.TooLarge:
		l.fail(h.ID(), errCardTooLarge)
		return nil
	case !row.HasData:
		l.fail(h.ID(), errCardMissing)
		return nil
	}
	return l.emit(l.contact(h, row))
}

// maxFailed bounds what is kept of an answer that is nothing but failures.
const maxFailed = 10_000

func (l *listing) fail(id string, err error) {
	switch {
	case len(l.failed) < maxFailed:
		l.failed = append(l.failed, &CardError{ID: id, Err: err})
	// The last one says that there are more.
	case len(l.failed) == maxFailed:
		l.failed = append(l.failed, errMoreFailed)
	}
}

// first says whether a member has not been met before, and notes that it has.
// Two members with one ID cannot be told apart by Sync or Put: the second one is
// an error.
func (l *listing) first(h dav.Href) bool {
	id, path := l.idHash(h), maphash.Bytes(l.seed, h.Path)
	before, seen := l.seen[id]
	if !seen {
		l.seen[id] = path
		return true
	}
	// The same member again is a server's slip, and passed over; another one
	// under the same ID would overwrite it at the caller's.
	if before != path {
		l.fail(h.ID(), errCardAmbiguous)
	}
	return false
}

// idHash is of the decoded ID, in which all spellings are one.
func (l *listing) idHash(h dav.Href) uint64 {
	return maphash.Bytes(l.seed, h.DecodedName())
}

// contact makes the Contact of a row: what it keeps is copied here, once.
func (l *listing) contact(h dav.Href, row *dav.Row) *Contact {
	f := l.reader.Read(row.Data)
	id := h.Name()
	l.scratch = append(append(l.scratch[:0], id...), row.ETag...)
	// One allocation for both.
	names := string(l.scratch)
	// In this form the compiler does not clear what is overwritten at once.
	data := row.Data
	card := make([]byte, len(data))
	copy(card, data)
	contact := &Contact{
		ID:    names[:len(id)],
		ETag:  names[len(id):],
		UID:   f.UID,
		Name:  f.Name,
		Org:   f.Org,
		Group: f.Group,
		VCard: card,
	}
	if n := len(f.Emails); n+len(f.Phones) > 0 {
		// One array for both. Each ends at its capacity, so that appending to
		// one cannot reach into the other.
		all := make([]Labeled, 0, n+len(f.Phones))
		for _, from := range [...][]vcf.Labeled{f.Emails, f.Phones} {
			for _, l := range from {
				all = append(all, Labeled(l))
			}
		}
		if n > 0 {
			contact.Emails = all[:n:n]
		}
		if len(all) > n {
			contact.Phones = all[n:]
		}
	}
	if len(f.Members) > 0 {
		contact.Members = append([]string(nil), f.Members...)
	}
	return contact
}
