// One card at a time: Contact, Put, Delete, and Contact.Edit. They do not use go-webdav,
// because it cannot send preconditions. Without one, a write may overwrite somebody
// else's change.

package icloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/vcf"
)

// Contact gets the card with this ID. The error is [ErrNotFound] if the address book has
// no such card, and a [*CardError] if the card is too large or the answer is not a
// complete card. A card that cannot be parsed is returned as [Client.Contacts] yields it.
func (c *Client) Contact(ctx context.Context, id string) (*Contact, error) {
	// Before the book is looked for: an ID that cannot be sent is not worth a
	// request.
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return nil, err
	}
	call := c.begin()
	var contact *Contact
	err := c.withBook(ctx, func(book *url.URL) error {
		u, err := dav.MemberURL(book, id)
		if err == nil {
			contact, err = c.get(ctx, u, dav.ParseHref([]byte(id)))
		}
		return err
	})
	if err = call.end(ctx, notFound(err)); err != nil {
		return nil, err
	}
	return contact, nil
}

// notFound makes ErrNotFound of an answer that says that there is no such card.
func notFound(err error) error {
	if re, ok := errors.AsType[*ResponseError](err); ok && isStatus(err, http.StatusNotFound, http.StatusGone) {
		return &notFoundError{re}
	}
	return err
}

// get gets the card at u, whose href is h.
func (s *session) get(ctx context.Context, u *url.URL, h dav.Href) (*Contact, error) {
	resp, err := s.cardRequest(ctx, http.MethodGet, u, nil, nil)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	// One byte more than allowed tells too long from just right.
	data, err := io.ReadAll(io.LimitReader(resp.Body, dav.MaxCard+1))
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, bodyError(resp.Request, err)
	case err != nil:
		err = errCardCut
	case len(data) > dav.MaxCard:
		err = errCardTooLarge
	default:
		err = checkCard(resp, data)
	}
	if err != nil {
		return nil, &CardError{ID: h.ID(), Err: err}
	}
	r := newAnswerReader()
	defer r.keep()
	row := &dav.Row{Data: data, ETag: []byte(strings.TrimSpace(resp.Header.Get("ETag")))}
	return r.contact(h, row), nil
}

// checkCard says whether the body of an answer is a card, and all of it. A portal can
// answer 200 to anything, and not only with a page.
func checkCard(resp *http.Response, data []byte) error {
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	const begin = "BEGIN:VCARD"
	switch t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t {
	case "text/vcard", "text/x-vcard", "text/directory":
		// Also one that cannot be parsed.
	default:
		text = bytes.TrimSpace(text)
		if len(text) < len(begin) || !strings.EqualFold(string(text[:len(begin)]), begin) {
			return errNotCard
		}
	}
	// Where nothing but the end of the connection ends a body (RFC 9112, section
	// 6.3), as with HTTP/1.0, a connection that was cut looks the same.
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor >= 2
	const end = "\nEND:VCARD"
	body := bytes.TrimRight(data, "\r\n")
	if !framed && (len(body) == len(data) || len(body) < len(end) || !strings.EqualFold(string(body[len(body)-len(end):]), end)) {
		return errCardCut
	}
	return nil
}

// Put creates or replaces a card. If etag is "", it creates a card and never overwrites
// one: the error is [ErrConflict] if the ID is in use. Otherwise it replaces the card if
// the card still has this ETag. If not, the error is ErrConflict, or [ErrNotFound] if the
// card is gone. newETag is "" if the server did not name the new ETag; then call
// [Client.Contact] to get it. The server may list the card with another ETag than newETag
// later.
//
// The caller chooses the ID of a new card. A UUID followed by ".vcf" suits every server.
// An ID is a segment of a URL, so a character that cannot stand there, such as a space,
// is sent escaped. The card is then listed under the escaped ID ("a%20b.vcf" for
// "a b.vcf"); both IDs name the same card. An ID that contains "/" or a control
// character, an empty card and a weak ETag are errors before anything is sent. The
// server may refuse a card whose UID another card has.
//
// Put does not repeat the request after a lost connection. The error then says that the
// outcome is unknown; Contact shows whether the card was written.
func (c *Client) Put(ctx context.Context, id string, card []byte, etag string) (newETag string, err error) {
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return "", err
	}
	// A server might take an empty card, and then what was there is lost.
	if len(card) == 0 {
		return "", errors.New("icloud: an empty card")
	}
	// RFC 9110, section 13.1.2; asked for by RFC 6352, section 6.3.2.
	precondition := http.Header{"If-None-Match": {"*"}}
	if etag != "" {
		if precondition, err = ifMatch(etag); err != nil {
			return "", err
		}
	}
	call := c.begin()
	err = c.withBook(ctx, func(u *url.URL) error {
		at, err := dav.MemberURL(u, id)
		if err != nil {
			return err
		}
		resp, err := c.cardRequest(ctx, http.MethodPut, at, precondition, card)
		if err != nil {
			return err
		}
		// RFC 6352, section 6.3.2.3: none if the server has changed the card.
		newETag = strings.TrimSpace(resp.Header.Get("ETag"))
		discard(resp)
		return nil
	})
	// Without an ETag it is the book that is not there, and not the card.
	if etag != "" {
		err = notFound(err)
	}
	if err = call.end(ctx, err); err != nil {
		return "", err
	}
	return newETag, nil
}

// Delete deletes a card if it still has this ETag, which must not be "". The error is
// [ErrConflict] if the card has another ETag, and [ErrNotFound] if there is no such card.
// A lost connection is reported as by [Client.Put].
func (c *Client) Delete(ctx context.Context, id, etag string) error {
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return err
	}
	// Both are strings, and easily swapped. No server writes an ID in quotes.
	if isQuoted(id) && !isQuoted(etag) {
		return errors.New("icloud: the ID is an ETag: Delete takes the ID first")
	}
	precondition, err := ifMatch(etag)
	if err != nil {
		return err
	}
	call := c.begin()
	err = c.withBook(ctx, func(u *url.URL) error {
		at, err := dav.MemberURL(u, id)
		if err != nil {
			return err
		}
		resp, err := c.cardRequest(ctx, http.MethodDelete, at, precondition, nil)
		if err == nil {
			discard(resp)
		}
		return err
	})
	return call.end(ctx, notFound(err))
}

// isQuoted says whether s is written as ETags are.
func isQuoted(s string) bool {
	return len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"'
}

// ifMatch returns the precondition that a card still has an ETag. A weak one
// never matches (RFC 9110, section 13.1.1); one without quotes is sent as some
// servers write it.
func ifMatch(etag string) (http.Header, error) {
	opaque, quoted := etag, isQuoted(etag)
	if quoted {
		opaque = etag[1 : len(etag)-1]
	}
	switch {
	case etag == "":
		return nil, errors.New("icloud: an ETag is needed, so that nobody else's change is lost")
	case len(etag) >= 2 && strings.EqualFold(etag[:2], "W/"):
		return nil, errors.New("icloud: a weak ETag cannot be a precondition")
	case opaque == "*" && !quoted,
		// A list is refused, and a text that a header would not keep, because an
		// empty If-Match is no precondition.
		strings.ContainsFunc(opaque, func(r rune) bool {
			return r <= ' ' && !(r == ' ' && quoted) || r == 0x7f || r == '"' || r == ',' && !quoted
		}):
		return nil, errors.New("icloud: not an ETag")
	}
	return http.Header{"If-Match": {etag}}, nil
}

// Edit returns a copy of VCard in which the properties named in fields are replaced.
// Every other byte stays as it is. By contrast, decoding a card and encoding it again with
// go-vcard, python-vobject or ical.js changed nearly all of 359 cards that were tried,
// except those that the same library had written.
//
// A name with an empty list removes the property. New properties are added in the order
// of their names. In Apple's cards the label of a property is a line of its own; it is
// removed together with its property. Edit does not change c. If fields is empty, the
// result is a copy of VCard.
//
// The Value of a field is as [Contact.Card] returns it: of all escapes it contains only
// \;, which stands for a semicolon that does not separate components.
//
// Edit returns an error if VCard has no BEGIN or END, if fields has another VERSION, if a
// name or a value cannot be written in a line, or if two properties would share a label.
func (c *Contact) Edit(fields vcard.Card) ([]byte, error) {
	if len(fields) == 0 {
		return bytes.Clone(c.VCard), nil
	}
	props := make([]vcf.Property, 0, len(fields))
	for name, all := range fields {
		if strings.EqualFold(name, vcard.FieldVersion) && c.hasVersion(all) {
			continue // as it comes from Card
		}
		p := vcf.Property{Name: name}
		for _, f := range all {
			if f == nil {
				return nil, errors.New("icloud: the card cannot be edited: a nil field")
			}
			// Forms send the line ends of HTTP.
			value := strings.ReplaceAll(f.Value, "\r\n", "\n")
			p.Fields = append(p.Fields, vcf.Field{Group: f.Group, Params: f.Params, Value: value})
		}
		props = append(props, p)
	}
	if len(props) == 0 {
		return bytes.Clone(c.VCard), nil
	}
	card, err := vcf.Edit(c.VCard, props)
	if err != nil {
		return nil, fmt.Errorf("icloud: the card cannot be edited: %w", err)
	}
	return card, nil
}

// hasVersion says whether fields are the card's version, and nothing else.
func (c *Contact) hasVersion(fields []*vcard.Field) bool {
	line, ok := vcf.Find(c.VCard, vcard.FieldVersion)
	return ok && len(fields) == 1 && fields[0] != nil && len(fields[0].Params) == 0 && fields[0].Value == string(line.Value)
}
