package icloud_test

import (
	"bytes"
	"context"
	"errors"
	"html"
	"net/http"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
)

// oneStore holds the data of one account, and counts its saves.
type oneStore struct {
	data  []byte
	saves int
}

func (s *oneStore) Load(context.Context, string) ([]byte, error) { return bytes.Clone(s.data), nil }

func (s *oneStore) Save(_ context.Context, _ string, data []byte) error {
	s.data = bytes.Clone(data)
	s.saves++
	return nil
}

// Whatever a Store holds: no panic, and either a listing, or an error that leaves
// the data alone; what is saved afterwards can be loaded.
func FuzzSavedState(f *testing.F) {
	for _, seed := range []string{
		"", " ", "null", "{}", "[]", `{"v":1}`, `{"v":2,"new":[1]}`, `{"v":1,"book":"https://attacker.test/","home":"https://attacker.test/"}`,
		`{"v":1,"book":"https://dav.example.test/book/","home":"https://dav.example.test/","passwords":[null,{},{"salt":"AA==","hash":"AA==","refused":"0001-01-01T00:00:00Z"}]}`,
		`{"passwords":[{"salt":"AA==","verdict":{"reason":"expired","certainty":99,"confirmed":true},"refused":"9999-12-31T23:59:59Z"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		store := &oneStore{data: data}
		run := func() error {
			client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
				Endpoint: bookURL,
				Store:    store,
				Transport: wire(func(r *http.Request, _ string) *http.Response {
					if r.URL.Host != "dav.example.test" {
						t.Errorf("sent to %s", r.URL.Host)
					}
					if r.Method == "PROPFIND" {
						return answer(207, bookAnswer)
					}
					// The book's path is the Store's word, which may be anything.
					href := html.EscapeString(r.URL.JoinPath("a.vcf").EscapedPath())
					return answer(207, multistatus(row(href, card("a"))))
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for contact, err := range client.Contacts(context.Background()) {
				if err != nil {
					return err
				}
				if contact.Name == "a" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("a listing without an error has %d cards", n)
			}
			return nil
		}
		if err := run(); err != nil {
			if store.saves != 0 || !strings.Contains(err.Error(), "corrupt") {
				t.Errorf("%d saves, error %v", store.saves, err)
			}
			return
		}
		if err := run(); err != nil {
			t.Errorf("what was saved cannot be used: %v\n%s", err, store.data)
		}
	})
}

// Whatever is given for a token: no panic, and ErrResync if it is none of ours.
func FuzzSyncToken(f *testing.F) {
	for _, seed := range []string{"", "s", "s..", "e.AAAAAAAA.", "s.AAAAAAAA.x", "http://example.test/sync/1"} {
		f.Add(seed)
	}
	changed := strings.Replace(multistatus(row("/book/a.vcf", card("a"))), "</multistatus>", "<sync-token>t</sync-token></multistatus>", 1)
	f.Fuzz(func(t *testing.T, token string) {
		client, err := icloud.New(icloud.Credential{AppleID: "user", Password: icloud.UncheckedPassword("secret")}, &icloud.Options{
			Endpoint: bookURL,
			Transport: wire(func(r *http.Request, body string) *http.Response {
				switch {
				case r.Method == "PROPFIND" && r.Header.Get("Depth") == "0":
					return answer(207, bookAnswer)
				case r.Method == "PROPFIND":
					return answer(207, multistatus(etagRow("/book/a.vcf", "1")))
				}
				return answer(207, changed)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		next, err := client.Sync(context.Background(), token, func(icloud.Change) error { return nil })
		if err != nil && !errors.Is(err, icloud.ErrResync) || (err == nil) != (next != "") {
			t.Errorf("got token %q, %v", next, err)
		}
	})
}
