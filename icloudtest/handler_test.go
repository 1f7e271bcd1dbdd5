package icloudtest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud/icloudtest"
)

// TestGoWebDAV: another CardDAV client uses the Server as an http.Handler, on a host that is
// not iCloud's.
func TestGoWebDAV(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(http.Handler) *httptest.Server{
		"http": httptest.NewServer, "https": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			srv := icloudtest.NewServer()
			defer srv.Close()
			srv.OmitOwnRow = true // otherwise go-webdav loses the list
			web := serve(srv)
			defer web.Close()
			cred := srv.Issue()
			dav, err := carddav.NewClient(webdav.HTTPClientWithBasicAuth(web.Client(), cred.AppleID, cred.Password.Reveal()), web.URL+"/.well-known/carddav")
			if err != nil {
				t.Fatal(err)
			}
			if err := dav.HasSupport(ctx); err != nil {
				t.Fatal(err)
			}
			principal, err := dav.FindCurrentUserPrincipal(ctx)
			if err != nil {
				t.Fatal(err)
			}
			home, err := dav.FindAddressBookHomeSet(ctx, principal)
			if err != nil {
				t.Fatal(err)
			}
			books, err := dav.FindAddressBooks(ctx, home)
			if err != nil || len(books) != 1 || books[0].Name != "" {
				t.Fatalf("address books %v, %v; want one without a name", books, err)
			}
			path := books[0].Path

			card := vcard.Card{"VERSION": {{Value: "3.0"}}, "UID": {{Value: "1"}}, "FN": {{Value: "Ada"}}}
			put, err := dav.PutAddressObject(ctx, path+"ada.vcf", card)
			if err != nil || put.ETag == "" {
				t.Fatalf("put: %+v, %v", put, err)
			}
			srv.Put("ben.vcf", cardNamed("Ben"))
			list, err := dav.QueryAddressBook(ctx, path, &carddav.AddressBookQuery{DataRequest: carddav.AddressDataRequest{AllProp: true}})
			if err != nil || len(list) != 2 || list[0].Card.Value("FN") != "Ada" || list[0].ETag != put.ETag || list[1].Path != path+"ben.vcf" {
				t.Errorf("listing: %+v, %v", list, err)
			}
			got, err := dav.GetAddressObject(ctx, path+"ben.vcf")
			if err != nil || got.Card.Value("FN") != "Ben" {
				t.Errorf("get: %+v, %v", got, err)
			}
			some, err := dav.MultiGetAddressBook(ctx, path, &carddav.AddressBookMultiGet{Paths: []string{path + "ada.vcf"}})
			if err != nil || len(some) != 1 {
				t.Errorf("multiget: %+v, %v", some, err)
			}
			first, err := dav.SyncCollection(ctx, path, &carddav.SyncQuery{})
			if err != nil || len(first.Updated) != 2 {
				t.Fatalf("sync: %+v, %v", first, err)
			}
			if err := dav.RemoveAll(ctx, path+"ada.vcf"); err != nil {
				t.Errorf("remove: %v", err)
			}
			second, err := dav.SyncCollection(ctx, path, &carddav.SyncQuery{SyncToken: first.SyncToken})
			if err != nil || len(second.Deleted) != 1 || second.Deleted[0] != path+"ada.vcf" {
				t.Errorf("sync after the removal: %+v, %v", second, err)
			}
			srv.Revoke(cred.Password)
			if _, err := dav.FindCurrentUserPrincipal(ctx); err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("after the revocation: %v, want a 401", err)
			}
		})
	}
}

// TestHandlerHosts: the home-set is on the host that was asked, and every other href is a
// path.
func TestHandlerHosts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("a.vcf", cardNamed("a"))
	book := s.bookPath()
	for _, tls := range []bool{false, true} {
		web := httptest.NewUnstartedServer(s.srv)
		if tls {
			web.StartTLS()
		} else {
			web.Start()
		}
		defer web.Close()
		here := *s
		here.via = web.Client().Transport
		principal := here.rows("PROPFIND", web.URL+"/.well-known/carddav", askPrincipal)[0].first("current-user-principal")
		equal(t, "principal", principal, s.principal())
		home := here.rows("PROPFIND", web.URL+principal, askHome)[0].first("addressbook-home-set")
		equal(t, "home-set", home, web.URL+strings.TrimSuffix(book, "card/"))
		s.srv.Redirect = 302 // has no effect, because there is no partition host
		here.rows("REPORT", home+"card/", askQuery)
		s.srv.Redirect = 0

		// A second name of the same machine serves as the partition host.
		other := strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
		s.srv.HomeHost, s.srv.PartitionOnly = strings.SplitN(other, "/", 3)[2], true
		home = here.rows("PROPFIND", web.URL+principal, askHome)[0].first("addressbook-home-set")
		equal(t, "home-set with HomeHost", home, other+strings.TrimSuffix(book, "card/"))
		here.want(http.StatusBadRequest, "REPORT", web.URL+book, askQuery)
		if !tls { // the certificate of net/http/httptest is not for localhost
			here.rows("REPORT", home+"card/", askQuery)
		}
		s.srv.HomeHost, s.srv.PartitionOnly = "", false
	}
}

// TestHandlerStall: a stalled request on a real connection ends when the client goes away.
func TestHandlerStall(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Intercept = icloudtest.Stall
	web := httptest.NewServer(s.srv)
	c := &http.Client{Transport: web.Client().Transport, Timeout: 50e6}
	var timeout interface{ Timeout() bool }
	if _, err := c.Post(web.URL, "text/plain", strings.NewReader("x")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want the client's timeout", err)
	}
	web.Close() // blocks until all requests have ended
}
