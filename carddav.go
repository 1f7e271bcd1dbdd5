// CardDAV gives access to the rest of CardDAV: go-webdav's client on the Client's transport.

package icloud

import (
	"context"
	"net/http"
	"net/url"

	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud/internal/dav"
)

// CardDAV returns go-webdav's client for what this package does not have, such as
// filtered queries. It finds the address book first if it is not known. The client's
// endpoint is the account's home-set, whose path is "" for its methods: call
// FindAddressBooks with "" to get the address book.
//
// The client's requests follow the same rules as all others. The password goes to the
// same hosts only, and an answer that is not success is an [*AuthError] or a
// [*ResponseError]. Other errors are go-webdav's own, whose text may repeat what a
// server sent.
//
// The client reads whole answers into memory, and loses cards where [Client.Contacts]
// and [Client.Sync] do not. QueryAddressBook returns no card at all if one card cannot
// be parsed or if a row has no card. iCloud sends such a row for the book itself, unless
// the query has a filter. MultiGetAddressBook returns no card at all if one of its cards
// is gone. Both return cards as go-vcard parses them (see [Contact.Card]) and not their
// bytes, so [Contact.Edit] cannot be used. They return ETags without the quotation marks
// that [Client.Put] needs.
func (c *Client) CardDAV(ctx context.Context) (*carddav.Client, error) {
	call := c.begin()
	b, _, err := c.findBook(ctx)
	if err = call.end(ctx, err); err != nil {
		return nil, err
	}
	home, err := c.resolve(b.at.home)
	if err != nil {
		return nil, err
	}
	return carddav.NewClient(webdavClient{c, home}, b.at.home)
}

// webdavClient is a webdav.HTTPClient.
type webdavClient struct {
	client *Client
	home   *url.URL
}

// Do sends a request of go-webdav's like any other of the Client's.
func (w webdavClient) Do(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if dav.DirPath(req.URL.Path) == w.home.Path {
		// go-webdav joins paths, which removes the final slash of the home. Some
		// servers know the home only with it.
		req = req.WithContext(ctx) // a copy
		req.URL = w.home
	}
	call := w.client.begin()
	resp, err := w.client.do(req, ordinary)
	if err == nil && resp.StatusCode/100 != 2 {
		// go-webdav would put the text of the answer into its error.
		discard(resp)
		resp, err = nil, responseError(resp)
	}
	return resp, call.end(ctx, err)
}
