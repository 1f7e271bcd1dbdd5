// One card at a time: Contact, Put, Delete, and Contact.Edit. go-webdav can send
// none of the preconditions without which a write loses somebody else's change, so
// these go through do like everything else.

package icloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/vcf"
)

// Contact gets one card. A *ResponseError with status 404 says that the address
// book, which was looked for again, has no card of that ID.
func (c *Client) Contact(ctx context.Context, id string) (*Contact, error) {
	// Before the book is looked for: an ID that cannot be sent is not worth a
	// request.
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return nil, err
	}
	call := c.begin()
	var contact *Contact
	err := c.withBook(ctx, func(u *url.URL) (err error) {
		contact, err = c.get(ctx, u, id)
		return err
	})
	if err = call.end(ctx, err); err != nil {
		return nil, err
	}
	return contact, nil
}

func (c *Client) get(ctx context.Context, book *url.URL, id string) (*Contact, error) {
	resp, err := c.cardRequest(ctx, http.MethodGet, book, id, nil, nil)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	// One byte more than allowed tells too long from just right.
	data, err := io.ReadAll(io.LimitReader(resp.Body, dav.MaxCard+1))
	switch {
	case err != nil:
		return nil, bodyError(resp.Request, err)
	case len(data) > dav.MaxCard:
		return nil, &CardError{ID: id, Err: errCardTooLarge}
	}
	l := new(listing)
	row := &dav.Row{Data: data, ETag: []byte(strings.TrimSpace(resp.Header.Get("ETag")))}
	return l.contact(dav.ParseHref([]byte(id)), row), nil
}

// Put writes a card. With etag "" it creates one, and never overwrites: the
// answer to an ID that is taken is [ErrConflict]. Otherwise it replaces the card
// if that still has this ETag, and is ErrConflict if not. The server may choose
// another ETag than the one returned when it next lists the card, and "" means
// that it named none; ask for the [Client.Contact] then.
//
// The ID is the caller's choice for a new card; one that ends in ".vcf" and is
// otherwise a UUID suits every server. A card whose UID another card has may be
// refused. A Put is never repeated after the connection was lost: the error then
// says that the outcome is unknown, and Contact shows what became of it.
func (c *Client) Put(ctx context.Context, id string, card []byte, etag string) (newETag string, err error) {
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return "", err
	}
	// A server might take it, and then the card is gone.
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
		resp, err := c.cardRequest(ctx, http.MethodPut, u, id, precondition, card)
		if err != nil {
			return err
		}
		// RFC 6352, section 6.3.2.3: none if the server has changed the card.
		newETag = strings.TrimSpace(resp.Header.Get("ETag"))
		discard(resp)
		return nil
	})
	if err = call.end(ctx, err); err != nil {
		return "", err
	}
	return newETag, nil
}

// Delete deletes a card if it still has this ETag, and is [ErrConflict] if not.
// An outcome that is unknown is reported as with [Client.Put].
func (c *Client) Delete(ctx context.Context, id, etag string) error {
	if _, err := dav.MemberURL(c.endpoint, id); err != nil {
		return err
	}
	precondition, err := ifMatch(etag)
	if err != nil {
		return err
	}
	call := c.begin()
	err = c.withBook(ctx, func(u *url.URL) error {
		resp, err := c.cardRequest(ctx, http.MethodDelete, u, id, precondition, nil)
		if err == nil {
			discard(resp)
		}
		return err
	})
	return call.end(ctx, err)
}

// ifMatch returns the precondition that a card still has an ETag. A weak one
// never matches (RFC 9110, section 13.1.1); one without quotes is sent as some
// servers write it.
func ifMatch(etag string) (http.Header, error) {
	opaque, quoted := etag, len(etag) > 1 && etag[0] == '"' && etag[len(etag)-1] == '"'
	if quoted {
		opaque = etag[1 : len(etag)-1]
	}
	switch {
	case etag == "":
		return nil, errors.New("icloud: an ETag is needed, so that nobody else's change is lost")
	case len(etag) >= 2 && strings.EqualFold(etag[:2], "W/"):
		return nil, errors.New("icloud: a weak ETag cannot be a precondition")
	case opaque == "*" && !quoted,
		// Not a list, and nothing that is lost on its way: an empty If-Match is
		// none.
		strings.ContainsFunc(opaque, func(r rune) bool {
			return r <= ' ' && !(r == ' ' && quoted) || r == 0x7f || r == '"' || r == ',' && !quoted
		}):
		return nil, errors.New("icloud: not an ETag")
	}
	return http.Header{"If-Match": {etag}}, nil
}

// Edit returns VCard with these properties replaced, each by the fields given
// for its name, and every other byte as it is, which no encoder of cards
// achieves. A name without fields removes the property; new ones are added in the
// order of their names. The label of an item, a line of its own in Apple's cards,
// goes with its property. The Contact is not changed. Without fields, the
// result is VCard.
//
// The error says what cannot be written: a card without BEGIN and END, another
// VERSION, a name or a value that no line can hold, a label of two properties.
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
