// The door to everything else in CardDAV: go-webdav's client on our transport.

package icloud

import (
	"context"
	"net/http"
	"net/url"

	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud/internal/dav"
)

// CardDAV returns go-webdav's client for what this package leaves out, such as
// filtered queries. Its endpoint is the account's home, which "" names as a path:
// FindAddressBooks finds the one address book there.
//
// Its requests go the way of all others: they carry the password to the same
// hosts alone, and what is not success is an *AuthError or a *ResponseError here
// too. Errors that go-webdav words itself may repeat what a server sent.
//
// It reads whole answers into memory, and loses cards where [Client.Contacts] and
// [Client.Sync] do not. QueryAddressBook returns no card at all if one of them
// cannot be parsed, or if a row has none, as iCloud's row about the book itself;
// with a filter, iCloud sends no such row. MultiGetAddressBook returns no card at
// all if one that it asks for is gone. Both give cards as go-vcard reads them, see
// [Contact.Card], without their bytes, so that they cannot be edited without
// harm, and ETags without the quotation marks that [Client.Put] needs.
func (c *Client) CardDAV(ctx context.Context) (*carddav.Client, error) {
	call := c.begin()
	b, _, err := c.findBook(ctx)
	if err = call.end(ctx, err); err != nil {
		return nil, err
	}
	return carddav.NewClient(webdavClient{c, b.home}, b.home.String())
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
		// go-webdav joins paths, which costs the home its slash; some servers
		// know it with one alone.
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
