// The shape of an answer: what may be published about it. A shape consists of constants and
// numbers. No byte of an answer is copied into it; unknown values become "other".

package main

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
)

const other = "other"

// answerShape is the shape of one answer and its request.
type answerShape struct {
	Request  string            `json:"request"`
	Host     string            `json:"host"`
	Path     string            `json:"path"`
	Protocol string            `json:"protocol"`
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"` // the known headers; "other" counts the rest
	Body     bodyShape         `json:"body"`
}

// bodyShape is the body of an answer.
type bodyShape struct {
	Kind       string     `json:"kind"` // empty, xml, html, card, image, other
	Size       string     `json:"size,omitempty"`
	Compressed bool       `json:"compressed,omitempty"`
	Cut        bool       `json:"cut,omitempty"` // not read to its end, or not complete
	XML        *xmlShape  `json:"xml,omitempty"`
	Cards      *cardShape `json:"cards,omitempty"`
}

// xmlShape is an XML document. Its counts are exact up to 9.
type xmlShape struct {
	Declaration string            `json:"declaration"`
	Malformed   bool              `json:"malformed,omitempty"`
	Elements    map[string]string `json:"elements"`           // the number of each known element
	Statuses    map[string]string `json:"statuses,omitempty"` // of rows and of propstats
	Hrefs       map[string]string `json:"hrefs,omitempty"`
	ETags       map[string]string `json:"etags,omitempty"`
	Tokens      map[string]string `json:"tokens,omitempty"`
	CTags       map[string]string `json:"ctags,omitempty"`
	SameToken   bool              `json:"ctag_is_token,omitempty"`
	OwnRow      string            `json:"own_row,omitempty"` // the href of a row for the resource itself
	Defaults    string            `json:"dav_as_default_namespace"`
	Prefixes    string            `json:"declared_prefixes"`
	CDATA       string            `json:"cdata"`
	CRs         string            `json:"carriage_returns_as_references"`
	BlankLines  string            `json:"blank_lines"`
}

// cardShape is the shape of all cards in an answer.
type cardShape struct {
	Count     string            `json:"count"`
	Versions  map[string]string `json:"versions"`
	LineEnds  map[string]string `json:"line_ends"`
	LongLines string            `json:"lines_over_75"`
	Groups    string            `json:"groups"`
	Photos    map[string]string `json:"photos,omitempty"`
}

// requestShape returns a name for a request of package icloud, which it recognizes by the
// body.
func requestShape(req *http.Request) string {
	method := known(req.Method, "GET", "PROPFIND", "REPORT", "OPTIONS")
	var body []byte
	if req.GetBody != nil {
		if r, err := req.GetBody(); err == nil {
			body, _ = io.ReadAll(io.LimitReader(r, 1<<20))
			_ = r.Close()
		}
	}
	for _, word := range []string{"addressbook-query", "addressbook-multiget", "sync-collection", "addressbook-home-set", "current-user-principal", "resourcetype", "getetag"} {
		if !bytes.Contains(body, []byte(word)) {
			continue
		}
		if word == "sync-collection" && bytes.Contains(body, []byte("<sync-token></sync-token>")) {
			word += ", from the start"
		}
		method += " " + word
		break
	}
	if depth := req.Header.Get("Depth"); depth != "" {
		method += ", Depth " + known(depth, "0", "1")
	}
	return method
}

// newAnswerShape returns the shape of an answer without its body.
func newAnswerShape(request string, req *http.Request, resp *http.Response) *answerShape {
	a := &answerShape{
		Request: request, Host: hostShape(req.URL.Host), Path: pathShape(req.URL.Path),
		Protocol: known(resp.Proto, "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"),
		Headers:  make(map[string]string),
	}
	if 100 <= resp.StatusCode && resp.StatusCode <= 599 {
		a.Status = resp.StatusCode
	}
	unknown := 0
	for name, values := range resp.Header {
		shape, listed := headerShapes[strings.ToLower(name)]
		if !listed {
			unknown++
			continue
		}
		var shapes []string
		for _, value := range values[:min(len(values), 8)] {
			if shape == nil {
				shapes = append(shapes, "present")
			} else {
				shapes = append(shapes, shape(value, req))
			}
		}
		// The name is one of headerShapes. Several lines are separated by " | ".
		a.Headers[strings.ToLower(name)] = strings.Join(shapes, " | ")
	}
	if unknown > 0 {
		a.Headers[other] = count(unknown)
	}
	if slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		a.Headers["transfer-encoding"] = "chunked"
	}
	return a
}

// headerShapes has the headers that may be published, each with the function that returns
// the shape of its value. nil means that only the presence of the header is published.
var headerShapes = map[string]func(value string, req *http.Request) string{
	"server": func(v string, _ *http.Request) string {
		if rest, ok := strings.CutPrefix(v, "AppleHttpServer/"); ok {
			return "AppleHttpServer/" + pattern(rest)
		}
		return other
	},
	"content-type":     func(v string, _ *http.Request) string { return mediaTypeShape(v) },
	"content-encoding": func(v string, _ *http.Request) string { return known(v, "gzip", "identity", "deflate", "br") },
	"content-length":   func(v string, _ *http.Request) string { return numberShape(v) },
	"www-authenticate": func(v string, _ *http.Request) string {
		return knownList(v, `Basic realm="MMCalDav"`, `X-MobileMe-AuthToken realm="MMCalDav"`)
	},
	"dav": func(v string, _ *http.Request) string {
		return knownList(v, "1", "2", "3", "access-control", "addressbook", "calendar-access", "calendar-schedule", "calendar-auto-schedule",
			"calendar-managed-attachments", "calendarserver-principal-property-search", "calendarserver-principal-search",
			"calendarserver-sharing", "calendarserver-subscribed", "extended-mkcol", "calendar-proxy", "sync-collection")
	},
	"allow": func(v string, _ *http.Request) string {
		return knownList(v, "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "POST", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "ACL")
	},
	"etag":       func(v string, _ *http.Request) string { return pattern(v) },
	"connection": func(v string, _ *http.Request) string { return known(strings.ToLower(v), "close", "keep-alive") },
	"alt-svc":    func(v string, _ *http.Request) string { return known(v, "clear") },
	"retry-after": func(v string, _ *http.Request) string {
		if _, err := http.ParseTime(v); err == nil {
			return "a date"
		}
		return numberShape(v)
	},
	"via":                        func(v string, _ *http.Request) string { return count(strings.Count(v, ",")+1) + " hops" },
	"location":                   func(v string, _ *http.Request) string { return hrefShape(v) },
	"x-apple-filtered-at-edge":   func(v string, _ *http.Request) string { return known(v, "true", "false") },
	"x-apple-edge-response-time": func(v string, _ *http.Request) string { return numberShape(v) },
	"apple-tk":                   func(v string, _ *http.Request) string { return known(v, "true", "false") },
	"apple-seq":                  func(v string, _ *http.Request) string { return numberShape(v) },
	"x-apple-user-partition":     partitionShape,
	"x-responding-instance": func(v string, _ *http.Request) string {
		kind, _, _ := strings.Cut(v, ":")
		return known(kind, "carddav", "caldavj", "caldav", "contactsws")
	},
	"strict-transport-security": nil, "date": nil, "vary": nil, "cache-control": nil, "last-modified": nil, "set-cookie": nil,
	"x-apple-request-uuid": nil, "x-apple-jingle-correlation-key": nil, "apple-originating-system": nil,
	"access-control-expose-headers": nil, "access-control-allow-origin": nil, "x-content-type-options": nil, "expires": nil,
}
