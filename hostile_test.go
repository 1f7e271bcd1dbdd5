package icloud_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// repeat reads s for n times.
type repeat struct {
	s    string
	n    int
	rest string
}

func (r *repeat) Read(p []byte) (int, error) {
	read := 0
	for read < len(p) {
		if r.rest == "" {
			if r.n == 0 {
				break
			}
			r.n--
			r.rest = r.s
		}
		n := copy(p[read:], r.rest)
		r.rest = r.rest[n:]
		read += n
	}
	if read == 0 {
		return 0, io.EOF
	}
	return read, nil
}

// TestHostileAnswers: with every answer the call ends, and memory stays within the bounds.
func TestHostileAnswers(t *testing.T) {
	const begin, end = `<?xml version="1.0"?><multistatus xmlns="DAV:">`, "</multistatus>"
	const card = `<response><href>/book/a.vcf</href><propstat><prop><address-data xmlns="urn:ietf:params:xml:ns:carddav">`
	around := func(before string, middle io.Reader, after string) io.Reader {
		return io.MultiReader(strings.NewReader(before), middle, strings.NewReader(after))
	}
	zip := func(r io.Reader) io.Reader {
		pr, pw := io.Pipe()
		go func() {
			w := gzip.NewWriter(pw)
			_, err := io.Copy(w, r)
			pw.CloseWithError(errors.Join(err, w.Close()))
		}()
		return pr
	}
	tests := []struct {
		name  string
		body  func() io.Reader
		gzip  bool
		fails bool
	}{
		{"a million empty responses", func() io.Reader { return around(begin, &repeat{s: "<response/>", n: 1e6}, end) }, false, false},
		{"100,000 members elsewhere", func() io.Reader {
			return around(begin, &repeat{s: statusRow("https://attacker.test/x", 403), n: 1e5}, end)
		}, false, true},
		{"a million members that are one", func() io.Reader { return around(begin, &repeat{s: statusRow("/book/x", 403), n: 1e6}, end) }, false, true},
		{"nested 100,000 deep", func() io.Reader { return around(begin, &repeat{s: "<a>", n: 1e5}, end) }, false, true},
		{"a card of 1 GB", func() io.Reader { return around(begin+card, &repeat{s: "0123456789abcdef", n: 1 << 26}, end) }, false, true},
		{"an href of 1 GB", func() io.Reader {
			return around(begin+"<response><href>", &repeat{s: "0123456789abcdef", n: 1 << 26}, end)
		}, false, true},
		{"a gzip bomb", func() io.Reader {
			return zip(around(begin+card, &repeat{s: strings.Repeat("0", 1<<16), n: 1 << 13}, end))
		}, true, true},
		{"a comment without end", func() io.Reader { return around(begin+"<!--", &repeat{s: "x ", n: 1 << 26}, "") }, false, true},
		{"a million attributes", func() io.Reader { return around(begin+"<a ", &repeat{s: `b="c" `, n: 1e6}, ">") }, false, true},
		{"an entity bomb", func() io.Reader {
			return strings.NewReader(`<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>` +
				begin[len(`<?xml version="1.0"?>`):] + card + strings.Repeat("&b;", 1000) + "</address-data></prop></propstat></response>" + end)
		}, false, true},
		{"an external entity", func() io.Reader {
			return strings.NewReader(`<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + begin[len(`<?xml version="1.0"?>`):] + card + "&x;</address-data></prop></propstat></response>" + end)
		}, false, true},
		{"UTF-16", func() io.Reader { return strings.NewReader("\xff\xfe<\x00m\x00") }, false, true},
		{"another encoding", func() io.Reader { return strings.NewReader(`<?xml version="1.0" encoding="EBCDIC"?>` + begin + end) }, false, true},
		{"no gzip at all", func() io.Reader { return strings.NewReader(begin + end) }, true, true},
		{"junk after the end", func() io.Reader { return around(begin+end, &repeat{s: "junk ", n: 1e6}, "") }, false, true},
		{"the wrong namespace", func() io.Reader { return strings.NewReader(strings.Replace(begin+end, "DAV:", "DAV", 1)) }, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := onBook(t, func(r *http.Request, body string) *http.Response {
				if r.Method != "REPORT" || strings.Contains(body, "multiget") {
					return answer(404, "") // the request that follows a broken answer
				}
				resp := answer(207, "")
				resp.Body = io.NopCloser(test.body())
				if test.gzip {
					resp.Header.Set("Content-Encoding", "gzip")
				}
				return resp
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			contacts, err := list(t, client)
			runtime.ReadMemStats(&after)
			if (err != nil) != test.fails || len(contacts) > 0 {
				t.Errorf("got %d contacts, %v", len(contacts), err)
			}
			// This counts all allocations, which is more than was in use at once.
			// A growing buffer of a card allocates up to twice its bound.
			if spent := (after.TotalAlloc - before.TotalAlloc) >> 20; spent > 48 {
				t.Errorf("%d MiB were allocated", spent)
			}
		})
	}
}

// TestSlowDrip: a call with an endless slow response returns when its context ends.
func TestSlowDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		client := onBook(t, func(*http.Request, string) *http.Response {
			resp := answer(207, "")
			resp.Body = io.NopCloser(drip{ctx})
			return resp
		})
		var last error
		for contact, err := range client.Contacts(ctx) {
			if contact != nil {
				t.Fatal("got a contact")
			}
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("got %v", last)
		}
		if state := client.Status().State; state != icloud.Active {
			t.Errorf("the state is %v", state)
		}
	})
}

// drip is a body of one byte a second, as net/http reads it: until the request's
// context ends.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}
