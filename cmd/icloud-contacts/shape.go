// The shape of an answer: what may be told of it in public. Everything here is built
// from constants and numbers; no byte of an answer is copied, whatever the answer
// says. A form that is not known yet is "other".

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const other = "other"

// answerShape is one answer and what was asked.
type answerShape struct {
	Request  string            `json:"request"`
	Host     string            `json:"host"`
	Path     string            `json:"path"`
	Protocol string            `json:"protocol"`
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"` // those that are known; "other" counts the rest
	Body     bodyShape         `json:"body"`
}

// bodyShape is the body of an answer.
type bodyShape struct {
	Kind       string     `json:"kind"` // empty, xml, html, card, image, other
	Size       string     `json:"size,omitempty"`
	Compressed bool       `json:"compressed,omitempty"`
	Cut        bool       `json:"cut,omitempty"` // not read to its end, or not whole
	XML        *xmlShape  `json:"xml,omitempty"`
	Cards      *cardShape `json:"cards,omitempty"`
}

// xmlShape is an XML document. Its counts are exact up to 9.
type xmlShape struct {
	Declaration string            `json:"declaration"`
	Malformed   bool              `json:"malformed,omitempty"`
	Elements    map[string]string `json:"elements"`           // how many of each that is known
	Statuses    map[string]string `json:"statuses,omitempty"` // of rows and of propstats
	Hrefs       map[string]string `json:"hrefs,omitempty"`
	ETags       map[string]string `json:"etags,omitempty"`
	Tokens      map[string]string `json:"tokens,omitempty"`
	CTags       map[string]string `json:"ctags,omitempty"`
	SameToken   bool              `json:"ctag_is_token,omitempty"`
	OwnRow      string            `json:"own_row,omitempty"` // the resource itself as a row
	Defaults    string            `json:"dav_as_default_namespace"`
	Prefixes    string            `json:"declared_prefixes"`
	CDATA       string            `json:"cdata"`
	CRs         string            `json:"carriage_returns_as_references"`
	BlankLines  string            `json:"blank_lines"`
}

// cardShape is about all the cards of an answer.
type cardShape struct {
	Count     string            `json:"count"`
	Versions  map[string]string `json:"versions"`
	LineEnds  map[string]string `json:"line_ends"`
	LongLines string            `json:"lines_over_75"`
	Groups    string            `json:"groups"`
	Photos    map[string]string `json:"photos,omitempty"`
}

// requestShape names a request that this program makes, by what package icloud
// writes into it.
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

// newAnswerShape is what an answer shows before its body.
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
		// The name is equal to one of the list; two lines are told from one.
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

// headerShapes are the headers that may be told, each with what may be told of its
// value: nil for nothing.
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

// known returns value if it is one of all.
func known(value string, all ...string) string {
	if i := slices.Index(all, value); i >= 0 {
		return all[i]
	}
	return other
}

// knownList is known for values that are separated by commas.
func knownList(value string, all ...string) string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if len(parts) == 32 {
			break
		}
		parts = append(parts, known(strings.TrimSpace(part), all...))
	}
	return strings.Join(parts, ", ")
}

// count returns a number: itself up to 9, and then how many digits it has. How many
// contacts somebody has is nobody's business.
func count(n int) string {
	for low := 10; low <= n; low *= 10 {
		if n < low*10 {
			return fmt.Sprintf("%d to %d", low, low*10-1)
		}
	}
	return strconv.Itoa(n)
}

func counts(m map[string]int) map[string]string {
	if len(m) == 0 {
		return nil
	}
	all := make(map[string]string)
	for name, n := range m {
		all[name] = count(n)
	}
	return all
}

// numberShape is count for text.
func numberShape(text string) string {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return count(n)
	}
	return other
}

// pattern returns the form of an opaque text: a for runs of lower-case letters, A of
// upper-case ones, 9 of digits and x of a mixture, each with its length; and marks.
// A run longer than 16 is told as a range.
func pattern(text string) string {
	const marks = `"=@_+/:.,-`
	var b strings.Builder
	runs := 0
	for i := 0; i < len(text); runs++ {
		if runs == 16 {
			b.WriteString("...")
			break
		}
		if mark := strings.IndexByte(marks, text[i]); mark >= 0 {
			b.WriteByte(marks[mark])
			i++
			continue
		}
		class, start := byte(0), i
		for ; i < len(text) && strings.IndexByte(marks, text[i]) < 0; i++ {
			now := byte('?')
			switch c := text[i]; {
			case 'a' <= c && c <= 'z':
				now = 'a'
			case 'A' <= c && c <= 'Z':
				now = 'A'
			case '0' <= c && c <= '9':
				now = '9'
			}
			switch {
			case class == 0:
				class = now
			case class == '?' || now == '?':
				class = '?'
			case class != now:
				class = 'x'
			}
		}
		length := strconv.Itoa(i - start)
		if n := i - start; n > 16 {
			low := 16
			for low*2 < n {
				low *= 2
			}
			length = fmt.Sprintf("%d-%d", low+1, low*2)
		}
		fmt.Fprintf(&b, "%c{%s}", class, length)
	}
	return b.String()
}

// hostShape returns iCloud's own names, of a partition its pattern alone.
func hostShape(hostport string) string {
	host, port, explicit := strings.Cut(strings.ToLower(hostport), ":")
	shape := known(host, "contacts.icloud.com", "contacts.icloud.com.cn", "gateway.icloud.com", "gateway.icloud.com.cn", "icloud.com", "www.icloud.com")
	if m := partitionHost.FindStringSubmatch(host); m != nil {
		shape = "p" + strings.Repeat("9", len(m[1])) + "-contacts.icloud.com"
		if m[2] != "" {
			shape += ".cn"
		}
	}
	switch {
	case explicit && port == "443":
		shape += ":443"
	case explicit:
		shape += ":other"
	}
	return shape
}

var partitionHost = regexp.MustCompile(`^p([0-9]{1,4})-contacts\.icloud\.com(\.cn)?$`)

// partitionShape says how the partition of an answer's header relates to the host.
func partitionShape(value string, req *http.Request) string {
	m := partitionHost.FindStringSubmatch(strings.ToLower(req.URL.Hostname()))
	switch {
	case m == nil:
		return "present; the host has no partition"
	case strings.TrimLeft(m[1], "0") == strings.TrimLeft(value, "0"):
		return "the host's"
	}
	return "another than the host's"
}

// pathShapes are the paths that are known, with what stands for them.
var pathShapes = []struct {
	re    *regexp.Regexp
	shape string
}{
	{regexp.MustCompile(`^/$`), "/"},
	{regexp.MustCompile(`^/\.well-known/carddav/?$`), "/.well-known/carddav"},
	{regexp.MustCompile(`^/principal/$`), "/principal/"},
	{regexp.MustCompile(`^/[0-9]+/principal/$`), "/<number>/principal/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/$`), "/<number>/carddavhome/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome$`), "/<number>/carddavhome"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/$`), "/<number>/carddavhome/card/"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card$`), "/<number>/carddavhome/card"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\.vcf$`), "/<number>/carddavhome/card/<UUID>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[A-Za-z0-9_=-]+\.vcf$`), "/<number>/carddavhome/card/<base64>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[^/]+\.vcf$`), "/<number>/carddavhome/card/<name>.vcf"},
	{regexp.MustCompile(`^/[0-9]+/carddavhome/card/[^/]+$`), "/<number>/carddavhome/card/<name>"},
	{regexp.MustCompile(`^/contacts/[0-9]+/ck/card/[^/]+$`), "/contacts/<number>/ck/card/<name>"},
	{regexp.MustCompile(`^/[0-9]+/.*$`), "/<number>/<other>"},
}

func pathShape(path string) string {
	for _, known := range pathShapes {
		if known.re.MatchString(path) {
			return known.shape
		}
	}
	return other
}

// hrefShape is about an href: a path, or a URL with its host.
func hrefShape(href string) string {
	u, err := url.Parse(href)
	if err != nil {
		return other
	}
	if u.Host == "" && u.Scheme == "" {
		return pathShape(u.Path)
	}
	return known(u.Scheme, "https", "http") + "://" + hostShape(u.Host) + pathShape(u.Path)
}

// mediaTypeShape keeps types that are known, and the charset.
func mediaTypeShape(value string) string {
	media, params, _ := strings.Cut(value, ";")
	shape := known(strings.ToLower(strings.TrimSpace(media)), "text/xml", "application/xml", "text/html", "text/plain", "text/vcard",
		"text/x-vcard", "text/directory", "image/jpeg", "image/png", "image/gif", "image/heic", "application/json", "application/octet-stream")
	if params != "" {
		shape += "; " + known(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(params), `"`, "")), "charset=utf-8", "charset=iso-8859-1")
	}
	return shape
}

// maxObserved bounds what is looked at of one answer, decompressed.
const maxObserved = 256 << 20

// observe returns the shape of a body.
func observe(body io.Reader, encoding, path string) (shape bodyShape) {
	var in io.Reader = body
	if encoding == "gzip" {
		shape.Compressed = true
		zip, err := gzip.NewReader(body)
		if err != nil {
			return bodyShape{Kind: other, Compressed: true, Cut: true}
		}
		in = zip
	}
	m := &marks{in: io.LimitReader(in, maxObserved)}
	r := bufio.NewReader(m)
	// What it is, it shows itself: Content-Type is not to be trusted.
	head, _ := r.Peek(512)
	text := bytes.ToLower(bytes.TrimLeft(head, " \t\r\n"))
	switch {
	case len(head) == 0:
		shape.Kind = "empty"
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.HasPrefix(text, []byte("<html")):
		shape.Kind = "html"
	case bytes.HasPrefix(text, []byte("<")):
		shape.Kind = "xml"
		shape.XML, shape.Cards = observeXML(r, path)
	case bytes.HasPrefix(text, []byte("begin:vcard")):
		shape.Kind = "card"
		cards := newCards()
		if card, err := io.ReadAll(r); err == nil {
			cards.add(card)
		}
		shape.Cards = cards.shape()
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")), bytes.HasPrefix(head, []byte("\x89PNG")):
		shape.Kind = "image"
	default:
		shape.Kind = other
	}
	if _, err := io.Copy(io.Discard, r); err != nil || m.err != nil {
		shape.Cut = true
	}
	if m.n > 0 {
		shape.Size = count(m.n) + " bytes"
	}
	shape.Cut = shape.Cut || m.n == maxObserved
	if shape.XML != nil {
		shape.XML.CDATA, shape.XML.CRs, shape.XML.BlankLines = count(m.cdata), count(m.crs), count(m.blank)
	}
	return shape
}

// marks counts what an XML parser does not tell.
type marks struct {
	in                io.Reader
	n                 int
	cdata, crs, blank int
	last              []byte // the end of what came before
	err               error
}

// Read implements io.Reader.
func (m *marks) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.n += n
	if err != nil && err != io.EOF {
		m.err = err
	}
	// A mark that two reads share is found with the end of the first; one that was
	// counted there is not counted again.
	all := append(m.last, p[:n]...)
	for _, mark := range []struct {
		text  string
		count *int
	}{{"<![CDATA[", &m.cdata}, {"&#13;", &m.crs}, {"\n\n", &m.blank}} {
		*mark.count += bytes.Count(all, []byte(mark.text)) - bytes.Count(m.last, []byte(mark.text))
	}
	m.last = append([]byte(nil), all[max(0, len(all)-8):]...)
	return n, err
}

// elements are the names that may be told, by namespace.
var elements = map[string][]string{
	"DAV:": {"multistatus", "response", "href", "propstat", "prop", "status", "error", "responsedescription", "collection", "resourcetype",
		"displayname", "getetag", "getlastmodified", "getcontenttype", "getcontentlength", "creationdate", "current-user-principal",
		"principal-URL", "owner", "sync-token", "supported-report-set", "supported-report", "report", "sync-collection",
		"current-user-privilege-set", "privilege", "all", "read", "write", "write-content", "write-properties", "write-acl", "read-acl",
		"read-current-user-privilege-set", "bind", "unbind", "unlock", "unauthenticated", "valid-sync-token",
		"number-of-matches-within-limits", "need-privileges", "resource"},
	"urn:ietf:params:xml:ns:carddav": {"addressbook", "addressbook-home-set", "address-data", "supported-address-data", "address-data-type",
		"max-resource-size", "supported-filter", "valid-address-data", "no-uid-conflict", "addressbook-multiget", "addressbook-query"},
	"http://calendarserver.org/ns/": {"getctag", "me-card"},
}

var namespaceNames = map[string]string{"DAV:": "DAV:", "urn:ietf:params:xml:ns:carddav": "CARDDAV:", "http://calendarserver.org/ns/": "CS:"}

// elementShape returns the name of an element that is known.
func elementShape(name xml.Name) string {
	if i := slices.Index(elements[name.Space], name.Local); i >= 0 {
		return namespaceNames[name.Space] + elements[name.Space][i]
	}
	return other
}

var statusLine = regexp.MustCompile(`^HTTP/[0-9.]+ ([1-5][0-9][0-9])( |$)`)

// observeXML reads a document to its end, or to where it is none any more. path is
// that of the request.
func observeXML(r io.Reader, path string) (*xmlShape, *cardShape) {
	x := &xmlShape{Declaration: "none"}
	names, statuses, hrefs, etags, tokens, ctags := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	defaults, prefixes, cards := 0, 0, newCards()
	var lastToken, lastCTag string
	var stack []string
	var text bytes.Buffer
	d := xml.NewDecoder(r)
	for {
		token, err := d.Token()
		if err != nil {
			x.Malformed = !errors.Is(err, io.EOF)
			break
		}
		switch t := token.(type) {
		case xml.ProcInst:
			if t.Target == "xml" {
				x.Declaration = "present"
				if bytes.Contains(t.Inst, []byte("standalone")) {
					x.Declaration = "with standalone"
				}
			}
		case xml.StartElement:
			name := elementShape(t.Name)
			names[name]++
			for _, a := range t.Attr {
				switch {
				case a.Name.Space == "xmlns":
					prefixes++
				case a.Name.Local == "xmlns" && a.Value == "DAV:":
					defaults++
				}
			}
			stack = append(stack, name)
			text.Reset()
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			name, parent := stack[len(stack)-1], ""
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				parent = stack[len(stack)-1]
			}
			value := strings.TrimSpace(text.String())
			switch name {
			case "DAV:status":
				code := other
				if m := statusLine.FindStringSubmatch(value); m != nil {
					code = m[1]
				} else if value == "" {
					code = "empty"
				}
				statuses[strings.TrimPrefix(parent, "DAV:")+" "+code]++
			case "DAV:href":
				hrefs[strings.TrimPrefix(parent, "DAV:")+" "+hrefShape(value)]++
				if parent == "DAV:response" && strings.TrimSuffix(value, "/") == strings.TrimSuffix(path, "/") && path != "/" {
					x.OwnRow = "without slash"
					if strings.HasSuffix(value, "/") {
						x.OwnRow = "with slash"
					}
				}
			case "DAV:getetag":
				etags[pattern(value)]++
			case "DAV:sync-token":
				lastToken = value
				tokens[tokenShape(value)]++
			case "CS:getctag":
				lastCTag = value
				ctags[tokenShape(value)]++
			case "CARDDAV:address-data":
				cards.add(text.Bytes())
			}
			text.Reset()
		}
	}
	x.Elements, x.Statuses, x.Hrefs, x.ETags, x.Tokens, x.CTags = counts(names), counts(statuses), counts(hrefs), few(etags), few(tokens), few(ctags)
	x.SameToken = lastToken != "" && lastToken == lastCTag
	x.Defaults, x.Prefixes = count(defaults), count(prefixes)
	return x, cards.shape()
}

// few is counts for forms of which there may be any number.
func few(m map[string]int) map[string]string {
	for len(m) > 20 {
		for form, n := range m {
			delete(m, form)
			m[other] += n
			break
		}
	}
	return counts(m)
}

// tokenShape is a token's beginning, if it is the one that is known, and its form.
func tokenShape(token string) string {
	for _, start := range []string{"HwoQEgwA", "FT=-@RU=", "https://", "http://", "data:,", "urn:"} {
		if rest, ok := strings.CutPrefix(token, start); ok {
			return "begins with " + start + ", then " + pattern(rest)
		}
	}
	return pattern(token)
}

// cards is what is counted of cards.
type cards struct {
	n, long, groups        int
	versions, ends, photos map[string]int
}

func newCards() *cards {
	return &cards{versions: map[string]int{}, ends: map[string]int{}, photos: map[string]int{}}
}

// add looks at one card.
func (c *cards) add(card []byte) {
	c.n++
	switch crlf, lf := bytes.Count(card, []byte("\r\n")), bytes.Count(card, []byte("\n")); {
	case lf == 0:
		c.ends["none"]++
	case crlf == lf:
		c.ends["CRLF"]++
	case crlf == 0:
		c.ends["LF"]++
	default:
		c.ends["mixed"]++
	}
	version := "none"
	// A line that begins with white space goes on with the one before it.
	unfolded := strings.NewReplacer("\r\n ", "", "\n ", "", "\r\n\t", "", "\n\t", "").Replace(string(card))
	for line := range strings.Lines(string(card)) {
		if len(strings.TrimRight(line, "\r\n")) > 75 {
			c.long++
		}
	}
	for line := range strings.Lines(unfolded) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			continue
		}
		name, params, _ := strings.Cut(strings.ToUpper(name), ";")
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name = name[i+1:]
		}
		switch name {
		case "VERSION":
			version = known(strings.TrimSpace(value), "2.1", "3.0", "4.0")
		case "X-ADDRESSBOOKSERVER-KIND":
			c.groups++
		case "PHOTO":
			photo := "inline"
			if u, err := url.Parse(value); err == nil && u.Host != "" {
				photo = "URL on " + hostShape(u.Host) + pathShape(u.Path)
			} else if strings.Contains(params, "VALUE=URI") {
				photo = "another URI"
			}
			c.photos[photo]++
		}
	}
	c.versions[version]++
}

// shape returns nil if there was no card.
func (c *cards) shape() *cardShape {
	if c.n == 0 {
		return nil
	}
	return &cardShape{Count: count(c.n), Versions: counts(c.versions), LineEnds: counts(c.ends), LongLines: count(c.long), Groups: count(c.groups), Photos: counts(c.photos)}
}
