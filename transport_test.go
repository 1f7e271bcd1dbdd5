// Transports that break the rules of http.RoundTripper.

package icloud_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// TestTransportWithoutBody: a Transport may return no response, or one without a Body, which
// http.Client accepts. No call panics, and the answer counts as one with an empty body.
func TestTransportWithoutBody(t *testing.T) {
	t.Parallel()
	challenge := http.Header{"Www-Authenticate": {`Basic realm="MMCalDav"`}}
	for name, tt := range map[string]struct {
		resp *http.Response
		err  error
		want icloud.State
	}{
		"nothing":                  {},
		"a response, and an error": {resp: &http.Response{StatusCode: 401, Header: challenge}, err: io.ErrUnexpectedEOF},
		"200":                      {resp: &http.Response{StatusCode: 200}},
		"207":                      {resp: &http.Response{StatusCode: 207}},
		"207 with a length":        {resp: &http.Response{StatusCode: 207, ContentLength: 10}},
		"207, compressed":          {resp: &http.Response{StatusCode: 207, Header: http.Header{"Content-Encoding": {"gzip"}}}},
		"302":                      {resp: &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/elsewhere/"}}}},
		"401":                      {resp: &http.Response{StatusCode: 401, Header: challenge}, want: icloud.Doubted},
		"401 of a proxy":           {resp: &http.Response{StatusCode: 401}},
		"403":                      {resp: &http.Response{StatusCode: 403}},
		"503":                      {resp: &http.Response{StatusCode: 503}},
		"503 with a length":        {resp: &http.Response{StatusCode: 503, ContentLength: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for call, f := range transportCalls {
				t.Run(call, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, icloud.Options{})
						broken := false
						r.opts.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
							if !broken {
								return r.srv.Transport().RoundTrip(req)
							}
							if tt.resp == nil {
								return nil, tt.err
							}
							resp := *tt.resp
							resp.Header = resp.Header.Clone()
							return &resp, tt.err
						})
						r.restart()
						r.mustList()
						broken = true
						err := func() (err error) {
							defer func() {
								if v := recover(); v != nil {
									t.Fatalf("the call panicked: %v", v)
								}
							}()
							return f(t, r)
						}()
						// An empty card is a card that the server has sent.
						if err == nil && !(call == "Contact" && name == "200") {
							t.Error("got no error")
						}
						if tt.err != nil && !errors.Is(err, tt.err) {
							t.Errorf("got %v, want it to wrap the Transport's error", err)
						}
						want := tt.want
						if want == icloud.Untested || call == "Photo" {
							want = icloud.Active
						}
						if got := r.Status().State; got != want {
							t.Errorf("got state %v, want %v", got, want)
						}
						broken = false
						time.Sleep(2 * time.Minute)
						r.mustList()
					})
				})
			}
		})
	}
}

// transportCalls are the calls that send a request.
var transportCalls = map[string]func(*testing.T, *rig) error{
	"Contacts":     func(_ *testing.T, r *rig) error { return r.list() },
	"Authenticate": func(t *testing.T, r *rig) error { return r.Authenticate(t.Context()) },
	"Reconnect":    func(t *testing.T, r *rig) error { return r.Reconnect(t.Context(), r.cred) },
	"Contact": func(t *testing.T, r *rig) error {
		_, err := r.Contact(t.Context(), "1.vcf")
		return err
	},
	"Sync": func(t *testing.T, r *rig) error {
		_, err := r.Sync(t.Context(), "", func(icloud.Change) error { return nil })
		return err
	},
	"Put": func(t *testing.T, r *rig) error {
		_, err := r.Put(t.Context(), "1.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:N\r\nEND:VCARD\r\n"), `"etag"`)
		if err == nil {
			// A 200 without an ETag is success to a PUT; the rest of the
			// table is not.
			err = errors.New("put")
		}
		return err
	},
	"Delete": func(t *testing.T, r *rig) error {
		err := r.Delete(t.Context(), "1.vcf", `"etag"`)
		if err == nil {
			err = errors.New("deleted") // a success too
		}
		return err
	},
	"Photo": func(t *testing.T, r *rig) error {
		_, _, err := r.Photo(t.Context(), photoAt("https://gateway.icloud.com/contacts/1/photo"))
		return err
	},
	"CardDAV": func(t *testing.T, r *rig) error {
		client, err := r.CardDAV(t.Context())
		if err != nil {
			return err
		}
		_, err = client.FindAddressBookHomeSet(t.Context(), "/1/principal/")
		return err
	},
}

// TestTransportFollowsRedirects: a Transport that uses an http.Client drops the password at
// the redirect to the partition host, and gets iCloud's own 401. That says nothing about
// the password.
func TestTransportFollowsRedirects(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, icloud.Options{})
				r.srv.Redirect = code
				inner := &http.Client{Transport: r.srv.Transport()}
				r.opts.Transport = roundTripper(inner.Do)
				r.restart()
				noVerdict(t, r.Authenticate(t.Context()))
				noVerdict(t, r.list())
				if got := r.Status().State; got != icloud.Untested {
					t.Errorf("got state %v, want untested", got)
				}
			})
		})
	}
}
