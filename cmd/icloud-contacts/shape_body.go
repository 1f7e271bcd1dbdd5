// The shapes of bodies: of a multistatus and its cards, and of a single card.

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// maxObserved bounds how many bytes of one answer are observed, after decompression.
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
	// The kind is found by the first bytes, because Content-Type cannot be trusted.
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

// marks counts what an XML parser does not report: CDATA sections, carriage returns written
// as references, and blank lines.
type marks struct {
	in                io.Reader
	n                 int
	cdata, crs, blank int
	last              []byte // the end of what was read before
	err               error
}

// Read implements io.Reader.
func (m *marks) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.n += n
	if err != nil && err != io.EOF {
		m.err = err
	}
	// A mark that is split between two reads is found because the end of the first one
	// is kept. A mark within that end is not counted twice.
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

// elements are the names that may be published, by namespace.
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

// elementShape returns the name of an element if it is known.
func elementShape(name xml.Name) string {
	if i := slices.Index(elements[name.Space], name.Local); i >= 0 {
		return namespaceNames[name.Space] + elements[name.Space][i]
	}
	return other
}

var statusLine = regexp.MustCompile(`^HTTP/[0-9.]+ ([1-5][0-9][0-9])( |$)`)

// observeXML reads a document to its end, or to its first syntax error. path is the path of
// the request.
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

// cards has the counts for a cardShape.
type cards struct {
	n, long, groups        int
	versions, ends, photos map[string]int
}

func newCards() *cards {
	return &cards{versions: map[string]int{}, ends: map[string]int{}, photos: map[string]int{}}
}

// add counts one card.
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
	// A line that begins with white space continues the line before it.
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

// shape returns the cardShape, or nil if there was no card.
func (c *cards) shape() *cardShape {
	if c.n == 0 {
		return nil
	}
	return &cardShape{Count: count(c.n), Versions: counts(c.versions), LineEnds: counts(c.ends), LongLines: count(c.long), Groups: count(c.groups), Photos: counts(c.photos)}
}
