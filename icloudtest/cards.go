// One card: reading it, and writing or removing it under preconditions.

package icloudtest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// serveCard answers a request for the URL of a card, which may not exist.
func (a *Account) serveCard(w http.ResponseWriter, r *http.Request, id string) {
	switch r.Method {
	case http.MethodPut:
		a.putCard(w, r, id)
		return
	case http.MethodDelete:
		a.deleteCard(w, r, id)
		return
	}
	a.mu.Lock()
	c := a.book.get(id)
	a.mu.Unlock()
	switch {
	case c == nil:
		empty(w, http.StatusNotFound)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		h := w.Header()
		h.Set("ETag", a.etag(c)) // a 304 has it too (RFC 9110, section 15.4.5)
		if ifNoneMatch := r.Header.Values("If-None-Match"); ifNoneMatch != nil && a.matches(ifNoneMatch, c) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", "text/vcard; charset=utf-8")
		h.Set("Last-Modified", c.modified.UTC().Format(http.TimeFormat))
		h.Set("Content-Length", fmt.Sprint(len(c.vcard)))
		_, _ = io.WriteString(w, c.vcard) // net/http sends no body for HEAD
	default:
		a.method(w, r, a.cardAt(c))
	}
}

// matches says whether a list of ETags contains the card's ETag, by the strong comparison
// (RFC 9110, section 8.8.3.2). c is nil if there is no card.
func (a *Account) matches(list []string, c *card) bool {
	if c == nil {
		return false
	}
	for _, line := range list {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == a.etag(c) {
				return true
			}
		}
	}
	return false
}

// permits says whether the preconditions of a write are met (RFC 9110, section 13.1). iCloud
// honors them (carddavclient reports no fault there). The caller holds a.mu, so that there is
// no other write between this check and the write.
func (a *Account) permits(h http.Header, c *card) bool {
	if list := h.Values("If-Match"); len(list) > 0 {
		if !a.matches(list, c) || a.srv.RefuseIfMatchAny && slices.Contains(list, "*") {
			return false
		}
	}
	if list := h.Values("If-None-Match"); len(list) > 0 && a.matches(list, c) {
		return false
	}
	return true
}

// putCard creates or replaces a card. The client chooses the name. The bytes are kept, also
// those of vCard 4.0 (KashCal).
func (a *Account) putCard(w http.ResponseWriter, r *http.Request, id string) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		empty(w, http.StatusRequestEntityTooLarge)
		return
	}
	a.mu.Lock()
	old := a.book.get(id)
	ok := a.permits(r.Header, old)
	var c *card
	if ok && isCard(string(data)) && a.fits(len(data), old == nil) {
		vcard := string(data)
		if a.srv.PhotosAsURLs {
			vcard = a.movePhotos(vcard)
		}
		c = a.book.put(id, vcard)
	}
	a.mu.Unlock()
	switch {
	case !ok:
		empty(w, http.StatusPreconditionFailed)
	case c == nil:
		// iCloud refuses a card that it rejects with a bare 403, which says nothing
		// about the password (vdirsyncer#931).
		empty(w, http.StatusForbidden)
	default:
		if !a.srv.OmitETag {
			w.Header().Set("ETag", a.etag(c))
		}
		if old == nil {
			empty(w, http.StatusCreated)
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// isCard says whether data begins and ends like a vCard. What else iCloud checks is not
// known. Server.Put does not check this, because a test may need a bad card.
func isCard(data string) bool {
	data = strings.ToUpper(strings.TrimSpace(data))
	return strings.HasPrefix(data, "BEGIN:VCARD") && strings.HasSuffix(data, "END:VCARD")
}

// fits says whether a card of this size may be written. another means that it is a new card.
// The caller holds a.mu.
func (a *Account) fits(size int, another bool) bool {
	if a.srv.MaxCard > 0 && size > a.srv.MaxCard {
		return false
	}
	return !another || a.srv.MaxCards <= 0 || len(a.book.all()) < a.srv.MaxCards
}

// deleteCard removes a card.
func (a *Account) deleteCard(w http.ResponseWriter, r *http.Request, id string) {
	if a.srv.RefuseDeleteDepth && r.Header.Get("Depth") != "" {
		empty(w, http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	c := a.book.get(id)
	ok := a.permits(r.Header, c)
	if ok && c != nil {
		a.book.delete(id)
	}
	a.mu.Unlock()
	switch {
	case !ok:
		empty(w, http.StatusPreconditionFailed)
	case c == nil:
		empty(w, http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
