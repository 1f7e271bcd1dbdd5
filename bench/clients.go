// The clients that are compared, each as a program would use it.

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
)

// The names of the clients.
const (
	ours     = "icloud"
	gowebdav = "go-webdav"
	floor    = "io.Discard"
)

var clients = []string{ours, gowebdav, floor}

// transport returns a way to the server: TLS, HTTP/2, and for every host name a
// connection to addr. Nearly everything else is as in http.DefaultTransport.
func (a access) transport(addr string, gzip bool) (http.RoundTripper, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.CA)) {
		return nil, errors.New("no certificate")
	}
	t := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:  true,
		DisableCompression: !gzip,
		// The same for all clients. The 4 MiB of the default would be most of
		// the memory of a client that streams. With 1 MiB it would have to wait.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 2 << 20},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil || a.Bits == 0 {
				return conn, err
			}
			return &pacedConn{Conn: conn, bits: a.Bits}, nil
		},
	}
	if gzip {
		return t, nil
	}
	return plain{t}, nil
}

// plain is a transport that asks for no compression, whatever its client does.
type plain struct{ *http.Transport }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Accept-Encoding")
	return p.Transport.RoundTrip(r)
}

// A lister lists the whole book and returns how many contacts it has.
type lister func(context.Context) (int, error)

// lister returns the lister of that name. What it needs to know about the account is found
// by lister or by the first call.
func (a access) lister(ctx context.Context, name string, t http.RoundTripper) (lister, error) {
	switch name {
	case ours:
		client, err := icloud.New(a.credential(), &icloud.Options{Endpoint: a.url(), Transport: t})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (int, error) { return count(ctx, client) }, nil
	case gowebdav:
		p, err := a.peer(ctx, t)
		if err != nil {
			return nil, err
		}
		return p.list, nil
	case floor:
		// It must find the book too, and does so with go-webdav.
		p, err := a.peer(ctx, t)
		if err != nil {
			return nil, err
		}
		return p.discard, nil
	}
	return nil, fmt.Errorf("no client of the name %q", name)
}

// count lists the contacts of a Client one after the other and keeps none, as a listing
// that streams allows. go-webdav returns all at once or nothing.
func count(ctx context.Context, client *icloud.Client) (n int, err error) {
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			return n, err
		}
		if contact.Name == "" || len(contact.VCard) == 0 {
			return n, errors.New("a contact is empty")
		}
		n++
	}
	return n, nil
}

// A peer is go-webdav's client with its address book.
type peer struct {
	access
	door   webdav.HTTPClient
	client *carddav.Client
	book   string
}

// peer finds the address book by three requests.
func (a access) peer(ctx context.Context, t http.RoundTripper) (*peer, error) {
	p := &peer{access: a}
	if err := p.connect(t); err != nil {
		return nil, err
	}
	client := p.client
	principal, err := client.FindCurrentUserPrincipal(ctx)
	if err != nil {
		return nil, err
	}
	home, err := client.FindAddressBookHomeSet(ctx, principal)
	if err != nil {
		return nil, err
	}
	books, err := client.FindAddressBooks(ctx, home)
	if err != nil {
		return nil, err
	}
	if len(books) != 1 {
		return nil, fmt.Errorf("%d address books, not one", len(books))
	}
	p.book = books[0].Path
	return p, nil
}

// connect makes p use a transport.
func (p *peer) connect(t http.RoundTripper) (err error) {
	p.door = webdav.HTTPClientWithBasicAuth(&http.Client{Transport: t}, p.AppleID, p.Password)
	p.client, err = carddav.NewClient(p.door, p.url())
	return err
}

// everything asks for whole cards. Without it go-webdav asks for no address-data.
var everything = carddav.AddressDataRequest{AllProp: true}

func (p *peer) list(ctx context.Context) (int, error) {
	objects, err := p.client.QueryAddressBook(ctx, p.book, &carddav.AddressBookQuery{DataRequest: everything})
	return len(objects), err
}

// token returns a sync token for the present state of the book.
func (p *peer) token(ctx context.Context) (string, error) {
	all, err := p.client.SyncCollection(ctx, p.book, &carddav.SyncQuery{})
	if err != nil {
		return "", err
	}
	return all.SyncToken, nil
}

// sync gets what has changed since a token: the names, then the cards.
func (p *peer) sync(ctx context.Context, since string) (int, error) {
	changes, err := p.client.SyncCollection(ctx, p.book, &carddav.SyncQuery{SyncToken: since})
	if err != nil {
		return 0, err
	}
	get := &carddav.AddressBookMultiGet{DataRequest: everything}
	for _, object := range changes.Updated {
		// The changes include the address book itself.
		if strings.HasSuffix(object.Path, ".vcf") {
			get.Paths = append(get.Paths, object.Path)
		}
	}
	cards, err := p.client.MultiGetAddressBook(ctx, p.book, get)
	return len(cards), err
}

const query = `<?xml version="1.0"?><C:addressbook-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">` +
	`<prop><getetag/><C:address-data/></prop><C:filter/></C:addressbook-query>`

// discard reads the answer to a query and does nothing with it. It returns -1, because it
// does not count the contacts.
func (p *peer) discard(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "REPORT", p.url()+p.book, strings.NewReader(query))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Depth", "1")
	resp, err := p.door.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMultiStatus {
		return 0, errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return -1, err
}
