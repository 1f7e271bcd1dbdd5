// Answers: a multistatus, an error with its condition, and a page of HTML.

package icloudtest

import (
	"bufio"
	"compress/gzip"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Writers are kept, because a compressor takes a megabyte and a simulation makes a million
// requests.
var (
	buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 1<<15) }}
	zippers = sync.Pool{New: func() any {
		z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return z
	}}
)

// multistatus answers 207 (RFC 4918, section 13) with the rows that fill writes. The body is
// chunked, without a length, and compressed if it is large and the client accepts that.
func (s *Server) multistatus(w http.ResponseWriter, r *http.Request, fill func(row func(node))) {
	h := w.Header()
	// Both types are right (RFC 4918, section 8.2). A client that accepts only one of
	// them fails here.
	switch {
	case s.ContentType != "":
		h.Set("Content-Type", s.ContentType)
	case r.Method == "REPORT":
		h.Set("Content-Type", "application/xml; charset=utf-8")
	default:
		h.Set("Content-Type", "text/xml; charset=utf-8")
	}
	h.Set("DAV", davClasses)
	// A cache must not give a compressed answer to a client that cannot decompress it.
	h.Set("Vary", "Accept-Encoding")
	c := &chunks{w: w, gzip: !s.Uncompressed && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")}
	out := buffers.Get().(*bufio.Writer)
	out.Reset(c)
	// An error of writing means that the client has gone. bufio ignores all writes after
	// the first error.
	d := document{w: out, prefixed: s.Prefixes}
	d.begin("multistatus")
	fill(d.write)
	d.end("multistatus")
	_ = out.Flush()
	c.close()
	out.Reset(nil)
	buffers.Put(out)
}

// chunks writes the body of a multistatus. Its first Write begins the answer.
type chunks struct {
	w    http.ResponseWriter
	gzip bool // whether the client accepts it
	z    *gzip.Writer
	sent bool
}

func (c *chunks) Write(p []byte) (int, error) {
	if !c.sent {
		c.sent = true
		// An answer that fits a packet is not worth compressing.
		if c.gzip && len(p) > 1400 {
			c.w.Header().Set("Content-Encoding", "gzip")
			c.z = zippers.Get().(*gzip.Writer)
			c.z.Reset(c.w)
		}
		c.w.WriteHeader(http.StatusMultiStatus)
		if f, ok := c.w.(http.Flusher); ok {
			f.Flush() // otherwise net/http adds a Content-Length to a short answer
		}
	}
	if c.z != nil {
		return c.z.Write(p)
	}
	return c.w.Write(p)
}

func (c *chunks) close() {
	if c.z != nil {
		_ = c.z.Close() // an error means that the client has gone
		zippers.Put(c.z)
	}
}

// failure answers with the precondition that was not met (RFC 4918, section
// 16).
func (s *Server) failure(w http.ResponseWriter, status int, condition xml.Name) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	out := bufio.NewWriter(w)
	d := document{w: out, prefixed: s.Prefixes}
	d.begin("error")
	d.write(element(condition))
	d.end("error")
	_ = out.Flush() // an error means that the client has gone
}

// page answers with HTML.
func page(w http.ResponseWriter, status int, html string) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, html)
}

// nowhere answers 400, as iCloud does for unknown paths.
func nowhere(w http.ResponseWriter) {
	page(w, http.StatusBadRequest, "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n"+
		"<center><h1>400 Bad Request</h1></center>\r\n<hr><center>"+w.Header().Get("Server")+"</center>\r\n</body>\r\n</html>\r\n")
}
