// Faults: what can be told to go wrong, and for how long.

package icloudtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Fault is an answer that is not the healthy one. It has the form of
// [Server.Intercept], and is used as one:
//
//	srv.Intercept = icloudtest.Times(2, icloudtest.MissingDSID)
//
// It returns whether it has answered; where it does not apply it returns
// false and leaves the request alone. A function of one's own decides which
// requests meet a Fault, or what happens besides:
//
//	srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
//		return r.Host == "gateway.icloud.com" && icloudtest.Unauthorized(w, r)
//	}
//
// The Faults of this package may be called concurrently, as Intercept is.
// They work only within a Server.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Times is fault for n requests, and then no more. Requests to which it
// does not apply do not count.
func Times(n int, fault Fault) Fault {
	var left atomic.Int64
	left.Store(int64(n))
	return func(w http.ResponseWriter, r *http.Request) bool {
		// Taken before fault answers, so that of many requests at once just
		// n get it; given back if it was not used.
		if left.Add(-1) < 0 {
			left.Add(1)
			return false
		}
		if fault(w, r) {
			return true
		}
		left.Add(1)
		return false
	}
}

// After is fault for all requests but the first n.
func After(n int, fault Fault) Fault {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) bool {
		return seen.Add(1) > int64(n) && fault(w, r)
	}
}

// For is fault until d after the call to For.
func For(d time.Duration, fault Fault) Fault {
	end := time.Now().Add(d)
	return func(w http.ResponseWriter, r *http.Request) bool {
		return time.Now().Before(end) && fault(w, r)
	}
}

// Unauthorized answers with iCloud's own 401, whatever the password: a
// stray one.
func Unauthorized(w http.ResponseWriter, r *http.Request) bool {
	s := serverOf(r)
	s.noise(w.Header())
	s.unauthorized(w)
	return true
}

// Status answers with a status, the given headers (names and values in
// turn) and no body. A bare 503 is iCloud's outage; a proxy that wants a
// password of its own is
//
//	icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`)
func Status(code int, header ...string) Fault {
	if len(header)%2 != 0 {
		panic("icloudtest: Status: a header without a value")
	}
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		if code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified {
			w.Header().Set("Content-Length", "0")
		}
		w.WriteHeader(code)
		return true
	}
}

// BadGateway answers 502 with a page of HTML, as Apple's front does when
// what is behind it fails.
func BadGateway(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Server", "Apple")
	page(w, http.StatusBadGateway, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"+
		"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Apple</center>\r\n</body>\r\n</html>\r\n")
	return true
}

// CaptivePortal answers 200 with a page of HTML: not iCloud at all, but the
// network of a hotel that wants to be paid first.
func CaptivePortal(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Server", "portal")
	page(w, http.StatusOK, "<!DOCTYPE html>\n<html><head><title>Welcome</title></head>\n"+
		"<body><p>Please sign in to use this network.</p></body></html>\n")
	return true
}

// Stall does not answer. It holds the request until the client gives up or
// the Server is closed.
func Stall(_ http.ResponseWriter, r *http.Request) bool {
	// net/http notices that a client has gone only when the body was read.
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-r.Context().Done():
	case <-serverOf(r).pipe.closing.Done(): // another http.Server does not know of it
	}
	panic(http.ErrAbortHandler)
}

// Reset closes the connection without an answer.
func Reset(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// Cut answers as the healthy Server does, and closes the connection after n
// bytes of the body, which are counted compressed if they are. Answers that
// are no longer come whole.
func Cut(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		c := &cutter{ResponseWriter: w, left: n}
		serverOf(r).serve(c, r)
		if c.cut {
			c.Flush() // what was written is to arrive
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

// cutter passes on so many bytes and then none. It fails rather than
// panics, so that who writes can clean up first.
type cutter struct {
	http.ResponseWriter
	left int
	cut  bool
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		n, _ := c.ResponseWriter.Write(p[:c.left])
		c.left, c.cut = 0, true
		return n, io.ErrShortWrite
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func (c *cutter) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }

// MissingDSID answers the first request of discovery with a principal that
// lacks the account's number, as iCloud does now and then. It leads to a
// 403, although the password is right. It does not apply to other requests.
func MissingDSID(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != "PROPFIND" || !discovery(r) {
		return false
	}
	serverOf(r).serve(w, r.WithContext(context.WithValue(r.Context(), missingDSIDKey{}, true)))
	return true
}

// serverOf returns the Server that r has reached.
func serverOf(r *http.Request) *Server {
	s, ok := r.Context().Value(serverKey{}).(*Server)
	if !ok {
		panic("icloudtest: a Fault was called outside of a Server")
	}
	return s
}

// throttle is how long the account is held off.
type throttle struct {
	until  time.Time
	asDate bool // the form of the next Retry-After
}

// Throttle holds the account off for d from now: every request is answered
// with 503. Its Retry-After is too short, as iCloud's is: it names half of
// what is left, so that a client that obeys it exactly meets another. It
// comes in seconds and as a date in turn. A d of zero ends it.
func (a *Account) Throttle(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.throttle = throttle{until: time.Now().Add(d)}
}

// throttled returns a Retry-After, if there is to be one.
func (a *Account) throttled(now time.Time) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.throttle.until.Sub(now)
	if left <= 0 {
		return "", false
	}
	// Both forms know whole seconds only (RFC 9110, section 10.2.3).
	wait := max(left/2, time.Second).Truncate(time.Second)
	asDate := a.throttle.asDate
	a.throttle.asDate = !asDate
	if asDate {
		return now.Add(wait).UTC().Format(http.TimeFormat), true
	}
	return fmt.Sprint(int(wait.Seconds())), true
}
