// The sync-collection report (RFC 6578), and what it means if a server refuses it.

package icloud

import (
	"errors"
	"net/http"

	"github.com/go-icloud/icloud/internal/dav"
)

// maxPages bounds a server that always has more.
const maxPages = 10_000

var (
	errEndless = errors.New("icloud: the server's pages of changes do not end")
	errNoToken = errors.New("icloud: the server's answer has no sync token")
)

// tokenError is an answer that refuses a token, perhaps because the book is no
// longer where it was.
type tokenError struct{ error }

// Unwrap returns the answer itself.
func (e *tokenError) Unwrap() error { return e.error }

// collection asks for what has changed since a token of the server's, or with "" for
// everything. It asks with the cards, since RFC 6578 does not forbid it and several
// servers send them; iCloud is content not to.
//
// A refusal is asked about once more, without the cards. It may have been a passing
// fault, and some servers refuse the whole report because cards are asked for. Others
// fail on it because of one card. So the two refusals count as one word on the token
// only if they are the same; of two that differ, the second is asked about once more.
func (s *syncRun) collection(token string) (*http.Response, error) {
	resp, err := s.ask(token, !s.namesOnly)
	if err == nil || !doubtful(err) {
		return resp, err
	}
	first := statusOf(err)
	if resp, err = s.ask(token, false); err != nil && doubtful(err) && statusOf(err) != first {
		resp, err = s.ask(token, false)
	}
	if err == nil {
		s.askNames()
	}
	return resp, err
}

// statusOf returns the status of an answer that was refused; 0 if there was none.
func statusOf(err error) int {
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return re.StatusCode
	}
	return 0
}

// ask sends one report. Any Depth but 0 is an error (RFC 6578, section 3.2).
func (s *syncRun) ask(token string, cards bool) (*http.Response, error) {
	return s.client.multistatus(s.ctx, "REPORT", s.book, "0", dav.SyncCollection(token, cards))
}

// askNames has the reports of this book ask for names alone from now on.
func (s *syncRun) askNames() {
	if !s.namesOnly {
		s.namesOnly, s.asked = true, s.now
	}
}

// doubtful says whether a refusal of a report may be about something else than the
// report as such, or the token as such, which a condition in its body would name.
func doubtful(err error) bool {
	if _, ok := errors.AsType[*conditionError](err); ok {
		return false
	}
	return refuses(err) || isStatus(err, http.StatusInternalServerError)
}

// refuses says whether an error is the refusal of a report or of its token. Which one
// iCloud uses for an old token of contacts is not known.
func refuses(err error) bool {
	return isStatus(err, http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusGone,
		http.StatusPreconditionFailed, http.StatusUnprocessableEntity, http.StatusNotImplemented)
}

// tokenRefused returns what an error of a report with a token means: ErrResync or a
// tokenError if the token is refused, else the error itself.
func (s *syncRun) tokenRefused(token string, err error) error {
	ce, named := errors.AsType[*conditionError](err)
	switch {
	// It is beyond doubt about the token, so the book need not be looked for.
	case named && ce.condition == dav.ValidSyncToken, unsupported(err):
		return ErrResync
	// It is the token's fault, or the book's that has moved. withBook finds out by
	// the status in it, and what is left is ErrResync.
	case refuses(err), isStatus(err, http.StatusNotFound):
		return &tokenError{err}
	case isStatus(err, http.StatusInternalServerError) && s.answersWithout():
		return ErrResync
	}
	return err
}

// answersWithout says whether a server that fails on a token does not fail without
// one. Xandikos answers 500 to a token that it does not know, and without this request
// no Sync of such a token would ever end. In an outage it costs one request more.
func (s *syncRun) answersWithout() bool {
	resp, err := s.ask("", false)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err == nil
}
