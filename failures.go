// The cards that a listing or a sync could not get, and the error that names them.

package icloud

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-icloud/icloud/internal/dav"
)

// The errors of single cards. Each is the Err of a CardError.
var (
	errCardTooLarge  = fmt.Errorf("icloud: it is larger than %d MiB", dav.MaxCard>>20)
	errCardMissing   = errors.New("icloud: the server listed it, but did not send it")
	errCardUnread    = errors.New("icloud: the server's answer with it cannot be read")
	errCardCut       = fmt.Errorf("icloud: GET: the answer breaks off: %w", io.ErrUnexpectedEOF)
	errNotCard       = errors.New("icloud: GET: the answer is not a card")
	errCardAmbiguous = errors.New("icloud: the server listed two cards by the same name")
)

// errMoreFailed is the error of a run that has lost more cards than it can name.
var errMoreFailed = errors.New("icloud: more cards could not be fetched than are named here")

// The bounds of failures, because an answer may consist of refusals with long names.
const (
	maxFailed     = 10_000
	maxFailedID   = 1 << 10
	maxFailedSize = 4 << 20 // of all IDs and hrefs
)

// failures are the cards that a run could not get, each once. The zero value has
// none.
type failures struct {
	all   []failure
	index map[string]int // into all, by the decoded ID
	size  int
	left  int  // how many of all have not been fetched since
	more  bool // whether other cards failed that are not in all
}

// failure is one card. Its error is nil if the card was fetched later.
type failure struct {
	href string // as the server wrote it
	err  *CardError
}

// add records that a card could not be fetched.
func (f *failures) add(h dav.Href, err error) {
	id := h.Name()
	if len(id) == 0 || len(id) > maxFailedID || len(h.Written) > 2*maxFailedID {
		// A cut ID names no card, so the card cannot be owed, and a caller that
		// deletes what was not reported could not spare it.
		id = id[:min(len(id), maxFailedID)]
		h, f.more = dav.Href{}, true
	}
	key := string(dav.ParseHref(id).DecodedName())
	if _, again := f.index[key]; again {
		return
	}
	size := len(id) + len(h.Written)
	if len(f.all) == maxFailed || f.size+size > maxFailedSize {
		f.more = true
		return
	}
	if f.index == nil {
		f.index = make(map[string]int)
	}
	f.index[key] = len(f.all)
	f.all = append(f.all, failure{string(h.Written), &CardError{ID: string(id), Err: err}})
	f.size += size
	f.left++
}

// drop removes a failure, because the card was fetched or deleted. The key is the decoded
// ID.
func (f *failures) drop(key string) {
	if i, ok := f.index[key]; ok {
		f.all[i].err = nil
		delete(f.index, key)
		f.left--
	}
}

// why returns the error of a card, by its decoded ID; nil if it has none.
func (f *failures) why(key string) error {
	if i, ok := f.index[key]; ok {
		return f.all[i].err.Err
	}
	return nil
}

// replace gives a failure another error.
func (f *failures) replace(key string, err error) {
	f.all[f.index[key]].err.Err = err
}

// cards returns the errors that are left.
func (f *failures) cards() []*CardError {
	cards := make([]*CardError, 0, f.left)
	for _, failed := range f.all {
		if failed.err != nil {
			cards = append(cards, failed.err)
		}
	}
	return cards
}

// with joins the failures to the error that ended the run. The result is a PartialError
// only if the run ended without an error and all failures can be named.
func (f *failures) with(err error) error {
	cards := f.cards()
	switch {
	case len(cards) == 0 && !f.more:
		return err
	case err == nil && !f.more:
		return &PartialError{Cards: cards}
	case err == nil:
		return errors.Join(errMoreFailed, cardErrors(cards))
	case len(cards) == 0:
		return err
	}
	return errors.Join(err, cardErrors(cards))
}

// butCards returns err, or nil if err is only about single cards and so says nothing
// about the account and its book.
func butCards(err error) error {
	if _, ok := errors.AsType[*PartialError](err); ok {
		return nil
	}
	return err
}

// cardErrors are the CardErrors of a run that also failed for another reason.
type cardErrors []*CardError

// Error returns their number and not their texts, because there may be thousands.
func (e cardErrors) Error() string { return (&PartialError{Cards: e}).Error() }

// Unwrap lets errors.As find the first of them.
func (e cardErrors) Unwrap() []error { return (&PartialError{Cards: e}).Unwrap() }
