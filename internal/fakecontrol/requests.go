// The log of the requests of CardDAV clients.

package fakecontrol

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxLog is how many requests are kept; all are counted.
const maxLog = 10_000

// Request is a request in the log.
type Request struct {
	Number  int       `json:"number"` // 1 is the first one since the start or the last reset
	Time    time.Time `json:"time"`
	Method  string    `json:"method"`
	Host    string    `json:"host"`
	Path    string    `json:"path"`
	Status  int       `json:"status"`             // 0 if the connection was closed without an answer
	AppleID string    `json:"apple_id,omitempty"` // the user name
	Sent    bool      `json:"password_sent"`      // whether it had a password, right or wrong
}

// Requests is the log and its counts.
type Requests struct {
	Total        int            `json:"total"`
	WithPassword int            `json:"with_password"`
	ByStatus     map[string]int `json:"by_status"`
	Requests     []Request      `json:"requests"`
}

type requestLog struct {
	numbered     int // the latest number; clearing the log does not change it
	total        int
	withPassword int
	byStatus     map[string]int
	latest       []Request
}

// note adds a request to the log, and records which password was accepted.
func (w *world) note(r *http.Request, began time.Time, status int) {
	user, text, sent := r.BasicAuth()
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.accounts[strings.ToLower(user)]; a != nil && status/100 == 2 {
		a.used = letters(text)
	}
	l := &w.log
	l.numbered++
	l.total++
	if sent {
		l.withPassword++
	}
	if l.byStatus == nil {
		l.byStatus = make(map[string]int)
	}
	l.byStatus[strconv.Itoa(status)]++
	if len(l.latest) >= 2*maxLog {
		l.latest = append(l.latest[:0], l.latest[maxLog:]...)
	}
	l.latest = append(l.latest, Request{l.numbered, began.UTC(), r.Method, r.Host, r.URL.RequestURI(), status, user, sent})
}

// requests returns the log of the requests after a number.
func (c *call) requests() (any, error) {
	after := 0
	if text := c.query.Get("after"); text != "" {
		var err error
		if after, err = strconv.Atoi(text); err != nil || after < 0 {
			return nil, badRequest("after is not a number")
		}
	}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	l := &c.world.log
	out := Requests{Total: l.total, WithPassword: l.withPassword, ByStatus: map[string]int{}, Requests: []Request{}}
	maps.Copy(out.ByStatus, l.byStatus)
	kept := l.latest
	if len(kept) > maxLog {
		kept = kept[len(kept)-maxLog:]
	}
	for _, r := range kept {
		if r.Number > after {
			out.Requests = append(out.Requests, r)
		}
	}
	return out, nil
}

// clearRequests empties the log and its counts.
func (c *call) clearRequests() (any, error) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	c.world.log = requestLog{numbered: c.world.log.numbered}
	return Done{}, nil
}

// recorder is an http.ResponseWriter that records the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, so that an answer can be chunked.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap is used by http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
