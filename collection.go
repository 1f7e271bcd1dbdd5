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

// collection asks for the changes since a token of the server, or with "" for all cards.
// It also asks for the contents of the cards. RFC 6578 does not forbid that, several servers
// send them, and iCloud ignores it.
//
// After a refusal, collection sends the report again without asking for the contents. The
// refusal may have been a passing fault. Some servers refuse the report because it asks for
// contents, and others because of one card. Two equal refusals mean that the token or the
// report is refused. If the two differ, the second request is sent once more.
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

// askNames makes the reports of this book ask only for names from now on.
func (s *syncRun) askNames() {
	if !s.namesOnly {
		s.namesOnly, s.asked = true, s.now
	}
}

// doubtful says whether a refusal of a report may have another reason than the report or
// the token. It is not doubtful if its body names a precondition about these.
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
	// The body names the token, so there is no need to look for the book again.
	case named && ce.condition == dav.ValidSyncToken, unsupported(err):
		return ErrResync
	// Either the token is refused or the book has moved. withBook finds out which, by the
	// status in this error. If the book has not moved, the error becomes ErrResync.
	case refuses(err), isStatus(err, http.StatusNotFound):
		return &tokenError{err}
	case isStatus(err, http.StatusInternalServerError) && s.answersWithout():
		return ErrResync
	}
	return err
}

// answersWithout says whether a server that fails with a token succeeds without one.
// Xandikos answers 500 to a token that it does not know. Without this request every Sync
// with such a token would fail. In an outage it costs one more request.
func (s *syncRun) answersWithout() bool {
	resp, err := s.ask("", false)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err == nil
}
