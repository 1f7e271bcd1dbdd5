// Faults are answers that a healthy server does not give, for some requests or some time.

package icloudtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Fault answers a request in another way than a healthy server. It is a value for
// [Server.Intercept]:
//
//	srv.Intercept = icloudtest.Times(2, icloudtest.MissingDSID)
//
// A Fault returns true if it has answered the request. If it does not apply to the request,
// it returns false and does nothing. A function of your own can choose the requests:
//
//	srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
//		return r.Host == "gateway.icloud.com" && icloudtest.Unauthorized(w, r)
//	}
//
// The Faults of this package are safe for concurrent use. They work only within a Server.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Times returns a Fault that applies fault to n requests and then to none. Requests to
// which fault does not apply do not count. If n is 0 or negative, it applies to none.
func Times(n int, fault Fault) Fault {
	var left atomic.Int64
	left.Store(int64(n))
	return func(w http.ResponseWriter, r *http.Request) bool {
		// The count is reduced before fault answers, so that of many concurrent
		// requests no more than n get it. It is restored if fault did not apply.
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

// After returns a Fault that applies fault to all requests except the first n. If n is 0 or
// negative, it applies to all.
func After(n int, fault Fault) Fault {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) bool {
		return seen.Add(1) > int64(n) && fault(w, r)
	}
}

// For returns a Fault that applies fault until d after the call of For. If d is 0 or
// negative, it applies to no request.
func For(d time.Duration, fault Fault) Fault {
	end := time.Now().Add(d)
	return func(w http.ResponseWriter, r *http.Request) bool {
		return time.Now().Before(end) && fault(w, r)
	}
}

// Unauthorized answers with iCloud's own 401, also if the password is right.
func Unauthorized(w http.ResponseWriter, r *http.Request) bool {
	s := serverOf(r)
	s.noise(w.Header(), r)
	s.unauthorized(w, r)
	return true
}

// Status returns a Fault that answers with the status code, the given headers (a name, its
// value, the next name and so on) and no body. For example, Status(503) is an outage of
// iCloud, and this is a proxy that needs a password of its own:
//
//	icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`)
//
// Status panics if a header has no value.
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

// BadGateway answers 502 with an HTML page, as Apple's front end does when a server behind
// it fails.
func BadGateway(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Server", "Apple")
	page(w, http.StatusBadGateway, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"+
		"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Apple</center>\r\n</body>\r\n</html>\r\n")
	return true
}

// CaptivePortal answers 200 with an HTML page, as the network of a hotel does before a guest
// has signed in.
func CaptivePortal(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Server", "portal")
	page(w, http.StatusOK, "<!DOCTYPE html>\n<html><head><title>Welcome</title></head>\n"+
		"<body><p>Please sign in to use this network.</p></body></html>\n")
	return true
}

// Stall does not answer. It holds the request until the client gives up or
// the Server is closed.
func Stall(_ http.ResponseWriter, r *http.Request) bool {
	// net/http notices that a client has gone only after the body was read.
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-r.Context().Done():
	case <-serverOf(r).pipe.closing.Done(): // for a Server that another http.Server serves
	}
	panic(http.ErrAbortHandler)
}

// Reset closes the connection without an answer.
func Reset(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// Cut returns a Fault that answers as the healthy Server does, but closes the connection
// after n bytes of the body. If the body is compressed, n counts compressed bytes. An answer
// of n bytes or fewer is complete. n must not be negative.
func Cut(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		c := &cutter{ResponseWriter: w, left: n}
		serverOf(r).serve(c, r)
		if c.cut {
			c.Flush() // so that the client gets the bytes before the cut
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

// cutter passes on a number of bytes, and then returns an error. It does not panic, so that
// the handler can clean up first.
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

// MissingDSID answers the first request of discovery with a principal that lacks the
// account's number, as iCloud does at times. A client that follows it gets a 403, although
// the password is right. MissingDSID does not apply to other requests.
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

// throttle says how long an account is throttled.
type throttle struct {
	until  time.Time
	asDate bool // whether the next Retry-After is a date
}

// Throttle makes the Server ask the account to wait, for d from now. Every request of the
// account is answered with 503 or [Server.ThrottleStatus], and with a Retry-After that is
// too short, as iCloud's is. It is half of the remaining time, so a client that waits
// exactly that long is throttled again. It is a number of seconds and a date in turn. If
// d is 0 or negative, the throttling ends.
func (a *Account) Throttle(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.throttle = throttle{until: time.Now().Add(d)}
}

// throttled returns the Retry-After of an answer, and false if the account is not throttled.
func (a *Account) throttled(now time.Time) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.throttle.until.Sub(now)
	if left <= 0 {
		return "", false
	}
	// Both forms have only whole seconds (RFC 9110, section 10.2.3).
	wait := max(left/2, time.Second).Truncate(time.Second)
	asDate := a.throttle.asDate
	a.throttle.asDate = !asDate
	if asDate {
		return now.Add(wait).UTC().Format(http.TimeFormat), true
	}
	return fmt.Sprint(int(wait.Seconds())), true
}
