package icloudtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// ask sends the first request of a CardDAV client, and prints the status.
func ask(c *http.Client, url, user, password string) {
	req, err := http.NewRequest("PROPFIND", url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.SetBasicAuth(user, password)
	resp, err := c.Do(req)
	if err != nil {
		fmt.Println("no answer")
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
}

// Any HTTP client can use the fake under iCloud's host names.
func ExampleServer_Transport() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.Issue()
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	srv.Revoke(cred.Password)
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	ask(c, "https://example.com/", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 207 Multi-Status
	// 401 Unauthorized
	// no answer
}

// Outside of a synctest bubble, IssueAt makes a password that is already old.
func ExampleServer_IssueAt() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.IssueAt(time.Now().AddDate(0, -13, 0))
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 401 Unauthorized
}

// A program that cannot use a Transport reaches the fake on a port.
func ExampleServer_ServeHTTP() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()

	cred := srv.Issue()
	ask(http.DefaultClient, web.URL+"/.well-known/carddav", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 207 Multi-Status
}

// Two requests meet a stray 401, and the third is answered.
func ExampleTimes() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.Issue()
	srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
	for range 3 {
		ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	}
	// Output:
	// 401 Unauthorized
	// 401 Unauthorized
	// 207 Multi-Status
}

// One host fails, and the others do not.
func ExampleServer_intercept() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.Issue()
	srv.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		return r.Host == "p07-contacts.icloud.com" && icloudtest.BadGateway(w, r)
	}
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	ask(c, "https://p07-contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 207 Multi-Status
	// 502 Bad Gateway
}

// A service has many customers. Each account has its own passwords and contacts.
func ExampleServer_Account() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	ada, ben := srv.Account("ada@example.com"), srv.Account("ben@example.com")
	adas, bens := ada.Issue(), ben.Issue()
	ada.ChangeAccountPassword()
	ask(c, "https://contacts.icloud.com/", adas.AppleID, adas.Password.Reveal())
	ask(c, "https://contacts.icloud.com/", bens.AppleID, bens.Password.Reveal())
	// Output:
	// 401 Unauthorized
	// 207 Multi-Status
}

// A password expires while a program uses it, without waiting for a year.
func ExampleServer_ExpireAt() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	// The program knows that the password is nearly a year old.
	cred := srv.IssueAt(time.Now().AddDate(0, 0, -364))
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	srv.ExpireAt(cred.Password, time.Now())
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 207 Multi-Status
	// 401 Unauthorized
}

// What a program has written can be read back.
func ExampleServer_Cards() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.Issue()
	req, err := http.NewRequest("PUT", srv.HomeURL()+"card/ada.vcf", strings.NewReader("BEGIN:VCARD\nFN:Ada\nEND:VCARD\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	req.SetBasicAuth(cred.AppleID, cred.Password.Reveal())
	resp, err := c.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	for id, vcard := range srv.Cards() {
		fmt.Printf("%s %q\n", id, vcard)
	}
	// Output:
	// ada.vcf "BEGIN:VCARD\nFN:Ada\nEND:VCARD\n"
}

// A fault begins and ends while a program runs.
func ExampleServer_SetIntercept() {
	srv := icloudtest.NewServer()
	defer srv.Close()
	c := &http.Client{Transport: srv.Transport()}

	cred := srv.Issue()
	srv.SetIntercept(icloudtest.Status(503))
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	srv.SetIntercept(nil)
	ask(c, "https://contacts.icloud.com/", cred.AppleID, cred.Password.Reveal())
	// Output:
	// 503 Service Unavailable
	// 207 Multi-Status
}

func ExampleTestStore() {
	fmt.Println(icloudtest.TestStore(newMemory()))
	// Output:
	// <nil>
}
