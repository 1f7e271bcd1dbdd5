// One WebDAV request, and the rows of its answer (RFC 4918, section 13).

package icloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/origin"
)

// davRequest returns a request with an XML body, or without one.
func davRequest(ctx context.Context, method string, u *url.URL, depth string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, origin.ErrBadURL
	}
	// NewRequest has parsed the text of u. Use u itself, whose path has the escapes that
	// the server wrote.
	req.URL = u
	req.Header.Set("Content-Type", "application/xml; charset=utf-8")
	if depth != "" {
		req.Header.Set("Depth", depth)
	}
	return req, nil
}

// propfind sends a PROPFIND. Its answer is a multistatus.
func (s *session) propfind(ctx context.Context, u *url.URL, depth string, body []byte) (*http.Response, error) {
	return s.multistatus(ctx, "PROPFIND", u, depth, body)
}

// multistatus sends a request whose answer must be a 207.
func (s *session) multistatus(ctx context.Context, method string, u *url.URL, depth string, body []byte) (*http.Response, error) {
	req, err := davRequest(ctx, method, u, depth, body)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(req, ordinary)
	if err != nil {
		return nil, err
	}
	// A 200 is the page of a captive portal or a proxy, and not an empty list.
	if resp.StatusCode != http.StatusMultiStatus {
		defer discard(resp)
		return nil, refusal(resp)
	}
	return resp, nil
}

// cardRequest sends a request about the card at u, and returns the answer if it is
// success.
func (s *session) cardRequest(ctx context.Context, method string, u *url.URL, header http.Header, card []byte) (*http.Response, error) {
	var body io.Reader
	if method == http.MethodPut {
		body = bytes.NewReader(card)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, origin.ErrBadURL
	}
	// With the escapes that the server wrote: see davRequest.
	req.URL = u
	maps.Copy(req.Header, header)
	if method == http.MethodPut {
		req.Header.Set("Content-Type", "text/vcard; charset=utf-8")
	}
	resp, err := s.do(req, ordinary)
	if err != nil {
		// A GET changes nothing, so a lost one needs no such words.
		if lost, ok := errors.AsType[*hiddenError](err); ok && lost.lost && method != http.MethodGet {
			err = &hiddenError{text: lost.text + "; whether it was done is unknown", err: lost.err}
		}
		return nil, err
	}
	return resp, cardAnswer(resp, header != nil)
}

// cardAnswer returns nil if an answer to a request about a card is success. Otherwise
// it has closed the answer. guarded says that the request had a precondition of ours.
func cardAnswer(resp *http.Response, guarded bool) error {
	method, status := resp.Request.Method, resp.StatusCode
	switch {
	// A web page is from a captive portal. The caller would store it as a card.
	case status == http.StatusOK && !isPage(resp):
		return nil
	case method != http.MethodGet && (status == http.StatusCreated || status == http.StatusNoContent):
		return nil
	}
	if status == http.StatusMultiStatus {
		// The 207 may contain a refusal (RFC 4918, section 9.6.1).
		err := rows(resp, func(row *dav.Row) error {
			if row.Status != 0 && row.Status/100 != 2 {
				status = max(row.Status, 0)
			}
			return nil
		})
		if err == nil && status == http.StatusMultiStatus && method != http.MethodGet {
			return nil
		}
	}
	discard(resp)
	// Without a precondition of ours, a 412 is about something else.
	if status == http.StatusPreconditionFailed && guarded {
		return ErrConflict
	}
	re := &ResponseError{Method: method, StatusCode: status}
	if isPage(resp) {
		return &pageError{re}
	}
	return re
}

// responseError is the error of an answer's status.
func responseError(resp *http.Response) error {
	re := &ResponseError{Method: resp.Request.Method, StatusCode: resp.StatusCode}
	if isPage(resp) {
		return &pageError{re}
	}
	return re
}

// pageError is a ResponseError for an answer with a status of success that is a web page.
// Its text says so, because "200 OK" does not look like an error.
type pageError struct{ *ResponseError }

func (e *pageError) Error() string {
	return e.ResponseError.Error() + " with a web page, as a captive portal does"
}

func (e *pageError) Unwrap() error { return e.ResponseError }

// conditionError is a ResponseError whose body named a precondition.
type conditionError struct {
	*ResponseError
	condition dav.Condition
}

func (e *conditionError) Unwrap() error { return e.ResponseError }

// refusal is responseError with the precondition that the body names.
func refusal(resp *http.Response) error {
	if condition := dav.Precondition(resp.Body); condition != dav.NoCondition {
		return &conditionError{&ResponseError{Method: resp.Request.Method, StatusCode: resp.StatusCode}, condition}
	}
	return responseError(resp)
}

// rows calls f with each row of a small multistatus.
func rows(resp *http.Response, f func(*dav.Row) error) error {
	r := newAnswerReader()
	defer r.keep()
	r.decoder.Reset(resp.Body)
	return eachRow(r.decoder, resp, f)
}

// eachRow calls f with each further row of d, which reads the answer's body.
func eachRow(d *dav.Decoder, resp *http.Response, f func(*dav.Row) error) error {
	for {
		// After the context has ended, rows that have already arrived are not passed on.
		if err := resp.Request.Context().Err(); err != nil {
			return transportError(resp.Request.Method, err)
		}
		row, err := d.Next()
		// The decoder returns EOF only after the root element was closed, and another
		// error for an answer that was cut.
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(row)
		} else {
			err = bodyError(resp.Request, err)
		}
		if err != nil {
			return err
		}
	}
}

// bodyError wraps the error with which a multistatus ended. An error of the decoder has no
// text from the answer, but an error of the network may.
func bodyError(req *http.Request, err error) error {
	var syntax *dav.SyntaxError
	var limit *dav.LimitError
	switch {
	// The connection was cut, or the server gave up. This is not the end of the list.
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &hiddenError{text: "icloud: " + req.Method + ": the answer breaks off", err: err, network: true}
	case errors.As(err, &syntax), errors.As(err, &limit), errors.Is(err, dav.ErrNotMultistatus), errors.Is(err, dav.ErrEncoding):
		return fmt.Errorf("icloud: %s: the answer cannot be read: %w", req.Method, err)
	}
	// net/http reports some cancelled reads as its own errors, and the caller looks for
	// context.Canceled.
	if ended := req.Context().Err(); ended != nil && !errors.Is(err, ended) {
		err = errors.Join(ended, err)
	}
	return transportError(req.Method, err)
}

// isPage says whether an answer is a web page with the status 200. No answer of CardDAV
// is a web page.
func isPage(resp *http.Response) bool {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return (t == "text/html" || t == "application/xhtml+xml") && resp.StatusCode == http.StatusOK
}

// throttled says whether an answer asks the account to wait, and for how long. wait is
// negative if the answer does not say how long. A 403 asks to wait only if it answers a
// PROPFIND or a REPORT, has a Retry-After, and its body names no precondition. The body
// can still be read afterwards.
func throttled(resp *http.Response) (wait time.Duration, ok bool) {
	wait, dated := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if !dated {
		wait = -1
	}
	switch resp.StatusCode {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return wait, true
	case http.StatusForbidden:
		method := resp.Request.Method
		if !dated || method != "PROPFIND" && method != "REPORT" {
			return 0, false
		}
		start, _ := io.ReadAll(io.LimitReader(resp.Body, maxJunk))
		condition := dav.Precondition(bytes.NewReader(start))
		resp.Body = readCloser{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
		return wait, condition == dav.NoCondition
	}
	return 0, false
}

// readCloser reads from one and closes the other.
type readCloser struct {
	io.Reader
	io.Closer
}

// retryAfter parses a Retry-After header (RFC 9110, section 10.2.3): seconds or a date.
// For a date in the past it returns 0. It returns false if there is no header, or none
// that can be read.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false // the usual case, and http.ParseTime takes long to reject it
	}
	if strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		// A number that does not fit into an int64 is a long time, not an error.
		if err != nil || seconds > int64(authstate.MaxWait/time.Second) {
			return authstate.MaxWait, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(date.Sub(now), 0), authstate.MaxWait), true
}

// unsupported says whether a server does not know a report at all.
func unsupported(err error) bool {
	if ce, ok := errors.AsType[*conditionError](err); ok && ce.condition == dav.SupportedReport {
		return true
	}
	return isStatus(err, http.StatusMethodNotAllowed, http.StatusNotImplemented)
}

// isStatus says whether err is an answer with one of these statuses. An answer with
// Retry-After does not count, and neither does the error of a request that was not sent
// because of one: they say nothing about the request.
func isStatus(err error, statuses ...int) bool {
	re, ok := errors.AsType[*ResponseError](err)
	return ok && !re.Withheld && re.RetryAfter == 0 && slices.Contains(statuses, re.StatusCode)
}

// brokenXML says whether an answer could not be read to its end because it is not
// well-formed. The rows before that place are good.
func brokenXML(err error) bool {
	_, broken := errors.AsType[*dav.SyntaxError](err)
	return broken
}

// member is the card that a row is about, and what the row says about it.
type member struct {
	dav.Href
	state  memberState
	status error // of memberRefused
}

type memberState int

const (
	memberNone    memberState = iota // the row is not about a card
	memberSent                       // here is the card
	memberNamed                      // the card exists, and the row does not have it
	memberGone                       // the row says that the card is deleted (404 or 410)
	memberRefused                    // the row refuses the card with another status
	memberMore                       // the row says that the answer is not all (507)
)

// readMember reads which card a row is about. A row that refuses the whole book is an
// error.
func readMember(g origin.Gate, resp *http.Response, row *dav.Row) (member, error) {
	at, method := resp.Request.URL, resp.Request.Method
	switch {
	// RFC 6578, section 3.6, and RFC 6352, section 8.6.1.
	case row.Status == http.StatusInsufficientStorage:
		return member{state: memberMore}, nil
	// A row without an href is about no card. It may be a refusal of the book.
	case len(row.Href) == 0 && !row.HasData && row.Status >= 300:
		return member{}, &ResponseError{Method: method, StatusCode: row.Status}
	case len(row.Href) == 0 && !row.HasData:
		return member{}, nil
	}
	written, err := g.Path(at, row.Href)
	if err != nil {
		// A name that cannot be used affects only its own card.
		return member{Href: dav.ParseHref(row.Href), state: memberRefused, status: err}, nil
	}
	m := member{Href: dav.ParseHref(written)}
	// The book's own row. iCloud sends it without the slash, and without a
	// resource type.
	if m.Names(at) {
		if status := refusedBook(row); status != 0 {
			return member{}, &ResponseError{Method: method, StatusCode: status}
		}
		return member{}, nil
	}
	switch {
	case row.Status == http.StatusNotFound, row.Status == http.StatusGone:
		m.state = memberGone
	case row.Status != 0 && row.Status/100 != 2:
		// A status that cannot be read is given as 0.
		m.state, m.status = memberRefused, &ResponseError{Method: method, StatusCode: max(row.Status, 0)}
	// The card exists, whatever else the row says.
	case row.HasData:
		m.state = memberSent
	// A collection within the book, as some servers have them.
	case row.Collection, bytes.HasSuffix(m.Path, []byte("/")):
		m.state = memberNone
	// Also if each of its properties is refused: Apple's calendarserver refuses the
	// contents of cards in every report but a multiget.
	default:
		m.state = memberNamed
	}
	return m, nil
}

// refusedBook returns the status with which the book's own row refuses the whole book,
// or 0. The status 404 of its properties is no refusal: it says that a collection does
// not have them.
func refusedBook(row *dav.Row) int {
	switch {
	case row.Status >= 300:
		return row.Status
	case row.PropStatus >= 400 && row.PropStatus != http.StatusNotFound && row.ETag == nil && !row.HasData && !row.Collection:
		return row.PropStatus
	}
	return 0
}
