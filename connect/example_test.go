package connect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

// customers stands for the table of a service, with one row for each customer.
type customers map[string]*customer

type customer struct {
	appleID  string
	password []byte // encrypted
	issued   time.Time
	version  int
}

// load is Config.Account.
func (c customers) load(_ context.Context, id string) (connect.Account, error) {
	row, ok := c[id]
	if !ok {
		return connect.Account{}, errors.New("no such customer")
	}
	return connect.Account{AppleID: row.appleID, Generation: strconv.Itoa(row.version)}, nil
}

// save is Config.Save.
func (c customers) save(_ context.Context, id string, cred icloud.Credential) error {
	row := c[id]
	row.appleID, row.issued = cred.AppleID, cred.Issued
	row.password = seal(cred.Password.Reveal())
	row.version++
	return nil
}

// seal stands for the encryption with which a service keeps secrets.
func seal(string) []byte { return []byte("sealed") }

// session stands for the service's own sessions.
func session(*http.Request) (string, error) { return "", errors.New("nobody is signed in") }

// Mounting the page in a service that has a table of customers and sessions.
func Example() {
	service := customers{"42": {}}
	server := icloudtest.NewServer() // in place of iCloud
	defer server.Close()

	mux := http.NewServeMux()
	page, err := connect.New(connect.Config{
		Product:   "Acme",
		BaseURL:   "https://app.acme.example/icloud/",
		Secret:    []byte("32 random bytes from your secrets"),
		Account:   service.load,
		Save:      service.save,
		Identify:  session,
		Options:   func(string) *icloud.Options { return &icloud.Options{Transport: server.Transport()} },
		ReturnURL: "/settings",
	})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/icloud/", page)

	// When a password has died, a service sends this link by mail.
	link, err := page.Link(context.Background(), "42", 7*24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}

	// The customer opens it, makes a password at Apple, and enters it.
	cred := server.Issue()
	entered := url.Values{"apple_id": {cred.AppleID}, "password": {cred.Password.Reveal()}, "fresh": {"yes"}}
	r := httptest.NewRequest("POST", link, strings.NewReader(entered.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, service["42"].appleID == cred.AppleID, !service["42"].issued.IsZero())

	// The link no longer works for anybody who finds it in the mail.
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", link, nil))
	fmt.Println(w.Code)
	// Output:
	// 200 true true
	// 410
}
