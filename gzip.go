// Answers that come compressed.

package icloud

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// decompress makes the body of an answer plain, if it is compressed.
func decompress(resp *http.Response) error {
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch encoding {
	case "gzip", "x-gzip":
		resp.Body = &gzipBody{body: resp.Body}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
		return nil
	case "", "identity":
		return nil
	}
	return fmt.Errorf("icloud: %s: the answer is compressed in a way that was not asked for", resp.Request.Method)
}

// gzipBody decompresses a body from the first Read on, since the answer to a
// HEAD, or a 204, has none.
type gzipBody struct {
	body  io.ReadCloser
	unzip *unzipper // nil before the first Read, and after the last
	err   error     // of the last Read
}

// Read implements io.Reader.
func (b *gzipBody) Read(p []byte) (n int, err error) {
	// A broken header stays broken: the second Read must not start anew.
	if b.err != nil {
		return 0, b.err
	}
	if b.unzip == nil {
		b.unzip = unzippers.Get().(*unzipper)
		b.err = b.unzip.reset(b.body)
	}
	if b.err == nil {
		n, b.err = b.unzip.zip.Read(p)
	}
	if b.err != nil {
		// Not in Close, which may be called while another goroutine reads.
		b.unzip.in.Reset(nil) // it must not hold on to the connection
		unzippers.Put(b.unzip)
		b.unzip = nil
	}
	return n, b.err
}

// Close closes the compressed body.
func (b *gzipBody) Close() error { return b.body.Close() }

// unzippers are kept for the next answer: most are shorter than the tables and
// buffers that it takes to read them.
var unzippers = sync.Pool{New: func() any {
	// With each Read, HTTP/2 may tell the server that there is room again. The
	// four kilobytes that gzip reads at a time would make that a message for each.
	return &unzipper{in: bufio.NewReaderSize(nil, 32<<10)}
}}

type unzipper struct {
	in  *bufio.Reader
	zip gzip.Reader
}

func (u *unzipper) reset(r io.Reader) error {
	u.in.Reset(r)
	return u.zip.Reset(u.in)
}
