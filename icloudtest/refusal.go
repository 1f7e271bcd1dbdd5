// The 401, which is the same for every reason, and the headers that iCloud
// adds to all its answers.

package icloudtest

import (
	"fmt"
	"net/http"
	"strings"
)

// The two challenges of iCloud. The second is of no use to third parties,
// but a client that looks only at the last one, or at the first of a line,
// stumbles.
const (
	basicChallenge = `Basic realm="MMCalDav"`
	tokenChallenge = `X-MobileMe-AuthToken realm="MMCalDav"`
)

// layouts are the ways in which the challenges have been seen, or may as
// well be: in two lines (calendar hosts, vdirsyncer#838), in one (a
// contacts partition of 2024).
var layouts = [4][]string{
	{basicChallenge, tokenChallenge},
	{tokenChallenge + ", " + basicChallenge},
	{tokenChallenge, basicChallenge},
	{basicChallenge + ", " + tokenChallenge},
}

// unauthorized answers 401. It is told nothing of the cause, so that it
// cannot give it away.
func (s *Server) unauthorized(w http.ResponseWriter) {
	h := w.Header()
	h["WWW-Authenticate"] = s.challenges()
	s.mu.Lock()
	// The headers that differ from one captured 401 to the next. In the
	// captures the partition is not that of the account either.
	h["x-apple-user-partition"] = []string{fmt.Sprint(1 + s.rand.IntN(180))}
	if s.rand.IntN(2) == 0 {
		h.Set("X-Apple-Filtered-At-Edge", "true")
		h.Del("X-Responding-Instance") // it never got that far
	}
	s.mu.Unlock()
	empty(w, http.StatusUnauthorized)
}

// challenges returns the WWW-Authenticate lines of the next 401. Any four
// in a row have all four layouts.
func (s *Server) challenges() []string {
	if s.Challenges != nil {
		return s.Challenges
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.refusals
	s.refusals++
	// A step of three visits all four, and in another order than the
	// table's.
	return layouts[n*3%len(layouts)]
}

// noise adds what iCloud adds to its answers: who handled it, and how long
// that took. None of it means anything. It is here so that nobody builds on
// it, and comes from a sequence of its own, which no cause can disturb.
func (s *Server) noise(h http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Set("Server", "AppleHttpServer/"+s.hex(12))
	h.Set("X-Responding-Instance", fmt.Sprintf("carddav:3:p%02d-carddav-%s-%s:8080:%s",
		1+s.rand.IntN(180), s.hex(10), s.hex(5), s.hex(20)))
	h.Set("X-Apple-Request-UUID", uuid(s.hex(32)))
	h.Set("X-Apple-Edge-Response-Time", fmt.Sprint(20+s.rand.IntN(400)))
	h.Set("Via", fmt.Sprintf("xrail:st%s.icloud.apple.com:8301, %s:usdal2", s.hex(8), s.hex(32)))
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains;")
	h.Set("Access-Control-Expose-Headers", "X-Apple-Request-UUID,Via")
}

// hex returns n random hexadecimal digits. The caller holds s.mu.
func (s *Server) hex(n int) string {
	const digits = "0123456789abcdef"
	text := make([]byte, n)
	for i := range text {
		text[i] = digits[s.rand.Uint32()%16]
	}
	return string(text)
}

// uuid lays out 32 hexadecimal digits as a UUID.
func uuid(h string) string {
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}
