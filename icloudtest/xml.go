// XML as the Server reads it and as iCloud writes it. It is of its own
// making, so that it cannot share a fault with the client that it tests.

package icloudtest

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	nsDAV     = "DAV:"
	nsCardDAV = "urn:ietf:params:xml:ns:carddav"
	nsServer  = "http://calendarserver.org/ns/"
)

func dav(local string) xml.Name     { return xml.Name{Space: nsDAV, Local: local} }
func carddav(local string) xml.Name { return xml.Name{Space: nsCardDAV, Local: local} }
func server(local string) xml.Name  { return xml.Name{Space: nsServer, Local: local} }

// node is an element: of a request that was read, or of an answer to be
// written. Elements of DAV have text or children, not both.
type node struct {
	name  xml.Name
	attrs map[string]string // of a request: CardDAV's attributes have no namespace
	text  string
	kids  []node
	cdata bool // the text is written as a CDATA section
}

func text(name xml.Name, text string) node  { return node{name: name, text: text} }
func element(name xml.Name, k ...node) node { return node{name: name, kids: k} }
func href(to string) node                   { return text(dav("href"), to) }
func status(line string) node               { return text(dav("status"), line) }
func statusOf(code int) node {
	return status(fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code)))
}

// kid returns the first child of that name, or nil.
func (n *node) kid(name xml.Name) *node {
	for i := range n.kids {
		if n.kids[i].name == name {
			return &n.kids[i]
		}
	}
	return nil
}

var errMalformed = errors.New("malformed XML")

// parse reads a document into its root element.
func parse(body []byte) (*node, error) {
	// White space before the XML declaration is against XML's grammar (XML
	// 1.0, section 2.8). encoding/xml lets it pass, iCloud does not
	// (KashCal).
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) != len(body) && bytes.HasPrefix(trimmed, []byte("<?xml")) {
		return nil, errMalformed
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	open := []*node{{}} // the document, and the elements that are open in it
	for {
		token, err := d.Token()
		if err == io.EOF {
			if doc := open[0]; len(open) == 1 && len(doc.kids) == 1 {
				return &doc.kids[0], nil
			}
			return nil, errMalformed
		}
		if err != nil {
			return nil, err
		}
		in := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name}
			for _, attr := range token.Attr {
				if attr.Name.Space == "" && attr.Name.Local != "xmlns" {
					if n.attrs == nil {
						n.attrs = make(map[string]string)
					}
					n.attrs[attr.Name.Local] = attr.Value
				}
			}
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
			parent := open[len(open)-1]
			parent.kids = append(parent.kids, *in)
		case xml.CharData:
			in.text += string(token)
		}
	}
}

// document writes an answer, element by element, in one of iCloud's two
// manners: with one default namespace that changes on the way, and is
// declared more often than need be, or with prefixes.
type document struct {
	w        *bufio.Writer
	prefixed bool
}

// declaration opens every answer, and blank lines follow it.
const declaration = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n\n"

// prefixes are those of the prefixed manner (timfjord/carddav). A name in
// any other namespace, which a client made up, declares it as a default
// even there.
var prefixes = map[string]string{nsDAV: "D", nsCardDAV: "CD", nsServer: "CS"}

// begin writes the declaration and the start of the root, which is DAV's.
func (d document) begin(root string) {
	d.w.WriteString(declaration)
	if d.prefixed {
		fmt.Fprintf(d.w, "<D:%s xmlns:D=%q xmlns:CD=%q xmlns:CS=%q>\n\n", root, nsDAV, nsCardDAV, nsServer)
		return
	}
	fmt.Fprintf(d.w, "<%s xmlns=%q>\n\n", root, nsDAV)
}

func (d document) end(root string) {
	if d.prefixed {
		root = "D:" + root
	}
	d.w.WriteString("</" + root + ">\n")
}

// write writes a child of the root, with a blank line behind it.
func (d document) write(n node) {
	d.node(n, nsDAV, true)
	d.w.WriteString("\n")
}

// node writes n within an element whose default namespace is ns. With
// declare the namespace is declared whether that is needed or not: iCloud
// does so on rows and on properties.
func (d document) node(n node, ns string, declare bool) {
	tag := n.name.Local
	d.w.WriteByte('<')
	if prefix := prefixes[n.name.Space]; d.prefixed && prefix != "" {
		tag = prefix + ":" + tag
		d.w.WriteString(tag)
	} else {
		d.w.WriteString(tag)
		if declare || n.name.Space != ns {
			d.w.WriteString(` xmlns="`)
			attribute.WriteString(d.w, n.name.Space)
			d.w.WriteByte('"')
		}
		ns = n.name.Space
	}
	if n.text == "" && len(n.kids) == 0 {
		d.w.WriteString("/>\n")
		return
	}
	d.w.WriteByte('>')
	if n.cdata {
		// The end of a section cannot stand within one.
		d.w.WriteString("<![CDATA[" + strings.ReplaceAll(n.text, "]]>", "]]]]><![CDATA[>") + "]]>")
	} else {
		d.escape(n.text)
	}
	if len(n.kids) > 0 {
		d.w.WriteByte('\n')
		for _, kid := range n.kids {
			d.node(kid, ns, n.name == dav("prop"))
		}
	}
	d.w.WriteString("</")
	d.w.WriteString(tag)
	d.w.WriteString(">\n")
}

var attribute = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")

// escape writes character data. The carriage returns of cards become
// references, as iCloud has them; a bare one would not survive (XML 1.0,
// section 2.11). Everything else goes as it is, even what XML forbids: a
// test that puts such a card wants to see what becomes of it.
func (d document) escape(s string) {
	for {
		i := strings.IndexAny(s, "&<>\r")
		if i < 0 {
			d.w.WriteString(s)
			return
		}
		d.w.WriteString(s[:i])
		switch s[i] {
		case '&':
			d.w.WriteString("&amp;")
		case '<':
			d.w.WriteString("&lt;")
		case '>':
			d.w.WriteString("&gt;")
		case '\r':
			d.w.WriteString("&#13;")
		}
		s = s[i+1:]
	}
}
