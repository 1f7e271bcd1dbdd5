package dav_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-icloud/icloud/internal/dav"
)

// This file decodes multistatus answers in another way. encoding/xml makes a tree of the
// whole document, and the rows are taken from the tree. It is slow, and cannot read what
// encoding/xml rejects. If it can read an answer, the Decoder must read the same rows.

type node struct {
	name  string // for example "DAV: href"
	text  string // between its own tags, not in its children
	nodes []*node
}

// all returns the children of one name.
func (n *node) all(name string) (nodes []*node) {
	for _, c := range n.nodes {
		if c.name == name {
			nodes = append(nodes, c)
		}
	}
	return nodes
}

func (n *node) trimmed() string { return strings.Trim(n.text, " \t\r\n") }

// first returns the first text that is not empty.
func first(nodes []*node) string {
	for _, n := range nodes {
		if s := n.trimmed(); s != "" {
			return s
		}
	}
	return ""
}

var errStructure = errors.New("more or fewer than one root element")

// parseTree returns the root element.
func parseTree(doc []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	outside := new(node)
	stack := []*node{outside}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &node{name: tok.Name.Space + " " + tok.Name.Local}
			top.nodes = append(top.nodes, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(tok)
		}
	}
	if len(outside.nodes) != 1 {
		return nil, errStructure
	}
	return outside.nodes[0], nil
}

const carddav = "urn:ietf:params:xml:ns:carddav"

// reference decodes doc. A document that is well-formed but no multistatus is
// dav.ErrNotMultistatus.
func reference(doc []byte) (rows []row, token string, err error) {
	root, err := parseTree(doc)
	if err != nil {
		return nil, "", err
	}
	if root.name != "DAV: multistatus" {
		return nil, "", dav.ErrNotMultistatus
	}
	for _, response := range root.all("DAV: response") {
		r := referenceRow(response)
		hrefs := 0
		for _, href := range response.all("DAV: href") {
			if r.Href = href.trimmed(); r.Href != "" {
				rows = append(rows, r)
				hrefs++
			}
		}
		if hrefs == 0 {
			rows = append(rows, r)
		}
	}
	return rows, first(root.all("DAV: sync-token")), nil
}

func referenceRow(response *node) (r row) {
	for _, s := range response.all("DAV: status") {
		r.Status = referenceStatus(s.trimmed())
	}
	for _, propstat := range response.all("DAV: propstat") {
		status := 0
		for _, s := range propstat.all("DAV: status") {
			status = referenceStatus(s.trimmed())
		}
		var props node
		for _, prop := range propstat.all("DAV: prop") {
			props.nodes = append(props.nodes, prop.nodes...)
		}
		data := props.all(carddav + " address-data")
		if status != 0 && (status < 200 || status > 299) {
			if r.PropStatus == 0 {
				r.PropStatus = status
			}
			if r.DataStatus == 0 && len(data) > 0 && !r.HasData {
				r.DataStatus = status
			}
			continue
		}
		if r.ETag == "" {
			r.ETag = first(props.all("DAV: getetag"))
		}
		if len(data) > 0 && !r.HasData && (status != 0 || data[0].text != "") {
			r.HasData = true
			r.Data = data[0].text
		}
		for _, t := range props.all("DAV: resourcetype") {
			r.Collection = r.Collection || t.all("DAV: collection") != nil
			r.AddressBook = r.AddressBook || t.all(carddav+" addressbook") != nil
		}
		var principals []*node
		for _, p := range props.all("DAV: current-user-principal") {
			principals = append(principals, p.all("DAV: href")...)
			r.Unauthenticated = r.Unauthenticated || p.all("DAV: unauthenticated") != nil
		}
		if r.Principal == "" {
			r.Principal = first(principals)
		}
		for _, set := range props.all(carddav + " addressbook-home-set") {
			for _, href := range set.all("DAV: href") {
				if s := href.trimmed(); s != "" {
					r.HomeSet += s + "\n"
				}
			}
		}
	}
	if r.HasData {
		r.DataStatus = 0
		if r.TooLarge = len(r.Data) > dav.MaxCard; r.TooLarge {
			r.Data = ""
		}
	}
	return r
}

var statusLine = regexp.MustCompile(`^(?:HTTP/[^ \t\r\n]*[ \t\r\n]+)?([1-9][0-9][0-9])(?:[ \t\r\n]|$)`)

func referenceStatus(s string) int {
	if s == "" {
		return 0
	}
	m := statusLine.FindStringSubmatch(s)
	if m == nil {
		return dav.StatusUnknown
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
