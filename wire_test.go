package icloud_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// wire is a Transport that answers from a function, byte for byte, as servers that the fake
// cannot imitate.
type wire func(r *http.Request, body string) *http.Response

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w(r, string(body)), nil
}

// answer returns a response without a Content-Length.
func answer(status int, body string, header ...string) *http.Response {
	resp := &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
		Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp
}

// bookURL is an endpoint that is itself an address book, so that after the first request a
// listing is one request.
const bookURL = "https://dav.example.test/book/"

const bookAnswer = `<multistatus xmlns="DAV:"><response><href>/book/</href><propstat><prop>` +
	`<resourcetype><collection/><addressbook xmlns="urn:ietf:params:xml:ns:carddav"/></resourcetype>` +
	`</prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`

// onBook returns a Client for a book. f answers its reports.
func onBook(t *testing.T, f wire) *icloud.Client {
	t.Helper()
	client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
		Endpoint: bookURL,
		Transport: wire(func(r *http.Request, body string) *http.Response {
			if r.Method == "PROPFIND" && r.Header.Get("Depth") == "0" {
				return answer(207, bookAnswer)
			}
			return f(r, body)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// row is a response element of a listing.
func row(href, card string) string {
	return "<response><href>" + href + `</href><propstat><prop><getetag>"1"</getetag>` +
		`<address-data xmlns="urn:ietf:params:xml:ns:carddav">` + card + "</address-data></prop>" +
		"<status>HTTP/1.1 200 OK</status></propstat></response>"
}

// statusRow is a row that has only a status.
func statusRow(href string, status int) string {
	return fmt.Sprintf("<response><href>%s</href><status>HTTP/1.1 %d X</status></response>", href, status)
}

// etagRow is a row without a card.
func etagRow(href, etag string) string {
	return "<response><href>" + href + "</href><propstat><prop><getetag>" + etag + "</getetag></prop>" +
		"<status>HTTP/1.1 200 OK</status></propstat></response>"
}

func multistatus(rows ...string) string {
	return `<?xml version="1.0" encoding="utf-8"?><multistatus xmlns="DAV:">` + strings.Join(rows, "") + "</multistatus>"
}

// card returns a small card.
func card(name string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:" + name + "\r\nUID:" + name + "\r\nEND:VCARD\r\n"
}

// list returns what a listing yields. It fails the test unless that is contacts, and then
// at most one error.
func list(t *testing.T, client *icloud.Client) (contacts []*icloud.Contact, err error) {
	t.Helper()
	for contact, e := range client.Contacts(t.Context()) {
		if err != nil {
			t.Fatal("something was yielded after an error")
		}
		if (contact == nil) == (e == nil) {
			t.Fatalf("yielded contact %v, error %v", contact, e)
		}
		if err = e; e == nil {
			contacts = append(contacts, contact)
		}
	}
	return contacts, err
}

func ids(contacts []*icloud.Contact) string {
	var all []string
	for _, c := range contacts {
		all = append(all, c.ID)
	}
	return strings.Join(all, " ")
}

// cutBody is a body that ends with an error.
type cutBody struct {
	io.Reader
	err error
}

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (b *cutBody) Close() error { return nil }

// changes collects what Sync applies, as the caller's copy.
type changes struct {
	cards map[string]*icloud.Contact
	calls int
	fail  func(icloud.Change) error
}

func (c *changes) apply(change icloud.Change) error {
	if c.fail != nil {
		if err := c.fail(change); err != nil {
			return err
		}
	}
	c.calls++
	if c.cards == nil {
		c.cards = make(map[string]*icloud.Contact)
	}
	if change.Contact == nil {
		delete(c.cards, change.ID)
	} else {
		c.cards[change.ID] = change.Contact
	}
	return nil
}

// sync runs Sync into c.
func (c *changes) sync(ctx context.Context, client *icloud.Client, since string) (string, error) {
	return client.Sync(ctx, since, c.apply)
}

var _ = bytes.NewReader
