// XML as the Server reads it and as iCloud writes it. It shares no code with package icloud, so
// that the two cannot have the same fault.

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

// node is an element of a request or of an answer. Elements of DAV have either text or
// children.
type node struct {
	name  xml.Name
	attrs map[string]string // the attributes of a request, which have no namespace in CardDAV
	text  string
	kids  []node
	cdata bool // whether the text is written as a CDATA section
}

func text(name xml.Name, text string) node  { return node{name: name, text: text} }
func element(name xml.Name, k ...node) node { return node{name: name, kids: k} }
func href(to string) node                   { return text(dav("href"), to) }
func status(line string) node               { return text(dav("status"), line) }
func statusOf(code int) node {
	return status(fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code)))
}

// kid returns the first child with this name, or nil.
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
	// White space before the XML declaration is an error (XML 1.0, section 2.8).
	// encoding/xml accepts it, iCloud does not (KashCal).
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) != len(body) && bytes.HasPrefix(trimmed, []byte("<?xml")) {
		return nil, errMalformed
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	open := []*node{{}} // the document and its open elements
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

// document writes an answer in one of iCloud's two styles: with a default namespace, which is
// declared more often than necessary, or with prefixes.
type document struct {
	w        *bufio.Writer
	prefixed bool
}

// declaration is the beginning of every answer.
const declaration = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n\n"

// prefixes are the prefixes of the second style (timfjord/carddav). A name in another
// namespace, which only a client can use, is written with a default namespace in both styles.
var prefixes = map[string]string{nsDAV: "D", nsCardDAV: "CD", nsServer: "CS"}

// begin writes the declaration and the start of the root, which is in the namespace DAV:.
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

// write writes a child of the root and a blank line.
func (d document) write(n node) {
	d.node(n, nsDAV, true)
	d.w.WriteString("\n")
}

// node writes n within an element whose default namespace is ns. With declare, the namespace
// is declared even if that is not necessary, as iCloud does on rows and properties.
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
		// A section cannot contain its own end, so that is split between two sections.
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

// escape writes character data. Carriage returns become references, as at iCloud; a parser
// would otherwise remove them (XML 1.0, section 2.11). Other characters are not checked, even
// if XML forbids them, because a test may need such a card.
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
