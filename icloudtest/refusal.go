// The 401, which is the same for every reason, and the headers that iCloud adds to all
// answers.

package icloudtest

import (
	"fmt"
	"net/http"
	"strings"
)

// The two challenges of iCloud. Other programs than Apple's can use only the first one. A
// client that reads only the last challenge, or only the first in a line, fails.
const (
	basicChallenge = `Basic realm="MMCalDav"`
	tokenChallenge = `X-MobileMe-AuthToken realm="MMCalDav"`
)

// layouts are the layouts of the challenges. They were captured in two lines (calendar hosts,
// vdirsyncer#838) and in one line (the edge of a contacts partition, 2024). The other two
// have the opposite order.
var layouts = [4][]string{
	{basicChallenge, tokenChallenge},
	{tokenChallenge + ", " + basicChallenge},
	{tokenChallenge, basicChallenge},
	{basicChallenge + ", " + tokenChallenge},
}

// unauthorized answers 401. It does not know the cause, so the answer cannot depend on it.
//
// The captured answers are of two kinds. Those of an instance have the challenges in two
// lines. Those of the edge in front of it have them in one line, a response time of 0 and a
// short Via. In both, x-apple-user-partition is the number of the instance or of the host
// that was asked.
func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	s.mu.Lock()
	n := s.refusals
	s.refusals++
	// Four answers in a row have the four layouts, in another order than the table's.
	layout := layouts[n*3%len(layouts)]
	if len(layout) == 1 {
		h.Set("X-Apple-Filtered-At-Edge", "true")
		h.Del("X-Responding-Instance") // no instance was asked
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

// noise adds headers that iCloud adds to its answers, such as which machine answered and how
// long that took. A client must not rely on them, so they vary. They come from a fixed random
// sequence, which does not depend on the cause of an answer.
func (s *Server) noise(h http.Header, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	partition := fmt.Sprintf("%02d", 1+s.rand.IntN(180))
	if p := partitionOf(r.Host); p != "" {
		partition = p
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

// uuid formats 32 hexadecimal digits as a UUID.
func uuid(h string) string {
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}
