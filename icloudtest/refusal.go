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
// well be: in two lines (calendar hosts, vdirsyncer#838), in one (the edge of a
// contacts partition, 2024).
var layouts = [4][]string{
	{basicChallenge, tokenChallenge},
	{tokenChallenge + ", " + basicChallenge},
	{tokenChallenge, basicChallenge},
	{basicChallenge + ", " + tokenChallenge},
}

// unauthorized answers 401. It is told nothing of the cause, so that it
// cannot give it away.
//
// Those that were captured are of two kinds: from an instance, with the
// challenges in two lines, and from the edge in front of it, with one line, no
// time and a short way. Which host was asked shows in both, as it does in the
// captures: x-apple-user-partition is the instance's or the host's number.
func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	s.mu.Lock()
	n := s.refusals
	s.refusals++
	// Any four in a row have all four layouts, in another order than the
	// table's.
	layout := layouts[n*3%len(layouts)]
	if len(layout) == 1 {
		h.Set("X-Apple-Filtered-At-Edge", "true")
		h.Del("X-Responding-Instance") // it never got that far
		h.Del("Strict-Transport-Security")
		h.Set("X-Apple-Edge-Response-Time", "0")
		h.Set("Via", s.hex(32)+":usdal2")
		h.Set("Alt-Svc", "clear")
	}
	s.mu.Unlock()
	if s.Challenges != nil {
		layout = s.Challenges
	}
	h["WWW-Authenticate"] = layout
	empty(w, http.StatusUnauthorized)
}

// noise adds what iCloud adds to its answers: who handled it, and how long
// that took. None of it means anything. It is here so that nobody builds on
// it, and comes from a sequence of its own, which no cause can disturb.
func (s *Server) noise(h http.Header, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	partition := fmt.Sprintf("%02d", 1+s.rand.IntN(180))
	if host := hostname(r.Host); partitionHost.MatchString(host) {
		partition, _, _ = strings.Cut(host[1:], "-")
	}
	h.Set("Server", "AppleHttpServer/"+s.hex(12))
	h.Set("X-Responding-Instance", fmt.Sprintf("carddav:3:p%s-carddav-%s-%s:8080:%s:%s",
		partition, s.hex(10), s.hex(5), strings.ToUpper(s.hex(8)), s.hex(12)))
	h["x-apple-user-partition"] = []string{strings.TrimLeft(partition, "0")}
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
