package icloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// The cards of the Examples.
const (
	ada = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:ada\r\nN:Lovelace;Ada;;;\r\nFN:Ada Lovelace\r\n" +
		"item1.EMAIL;type=INTERNET:ada@example.org\r\nitem1.X-ABLabel:_$!<School>!$_\r\n" +
		"TEL;type=CELL:+44 20 7946 0000\r\nEND:VCARD\r\n"
	grace = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:grace\r\nN:Hopper;Grace;;;\r\nFN:Grace Hopper\r\nORG:US Navy;\r\n" +
		"EMAIL;type=INTERNET;type=WORK:grace@example.org\r\nEND:VCARD\r\n"
	pioneers = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:pioneers\r\nN:Pioneers;;;;\r\nFN:Pioneers\r\n" +
		"X-ADDRESSBOOKSERVER-KIND:group\r\nX-ADDRESSBOOKSERVER-MEMBER:urn:uuid:ada\r\n" +
		"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:grace\r\nEND:VCARD\r\n"
)

// exampleServer returns a fake iCloud with two people and a group.
func exampleServer() *icloudtest.Server {
	server := icloudtest.NewServer()
	server.Put("ada.vcf", ada)
	server.Put("grace.vcf", grace)
	server.Put("pioneers.vcf", pioneers)
	return server
}

// exampleClient returns a Client on it.
func exampleClient(server *icloudtest.Server) *icloud.Client {
	client, err := icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func Example() {
	// This is a fake iCloud. Without Options the Client would use the real one.
	server := exampleServer()
	defer server.Close()

	client, err := icloud.New(server.Issue(), &icloud.Options{Transport: server.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	for contact, err := range client.Contacts(context.Background()) {
		if ae, ok := errors.AsType[*icloud.AuthError](err); ok && ae.Confirmed {
			fmt.Println(ae.Remedy()) // show this to the password's owner
			return
		}
		if err != nil {
			log.Fatal(err) // nothing was decided about the password; delete nothing
		}
		fmt.Println(contact.Name, contact.Emails)
	}
	// Output:
	// Ada Lovelace [{School ada@example.org}]
	// Grace Hopper [{work grace@example.org}]
	// Pioneers []
}

func ExampleParsePassword() {
	password, err := icloud.ParsePassword(" ABCD–efgh ijkl-mnop\u200b\n")
	fmt.Println(password, err)
	fmt.Println(password.Reveal())

	_, err = icloud.ParsePassword("my own password 1")
	fmt.Println(err)
	// Output:
	// [redacted] <nil>
	// abcd-efgh-ijkl-mnop
	// icloud: not the form of an app-specific password
}

func ExampleUncheckedPassword() {
	_, err := icloud.New(icloud.Credential{
		AppleID:  "user",
		Password: icloud.UncheckedPassword("any text"),
	}, &icloud.Options{Endpoint: "https://dav.example.org/"})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleNew() {
	_, err := icloud.New(icloud.Credential{AppleID: "user@example.org"}, nil)
	fmt.Println(err)
	// Output: icloud: Credential.Password is empty
}

// The refusal of a password that has never worked is Confirmed at once in Authenticate,
// because the owner waits for the answer.
func ExampleClient_Authenticate() {
	server := exampleServer()
	defer server.Close()

	wrong, _ := icloud.ParsePassword("aaaa-bbbb-cccc-dddd")
	client, err := icloud.New(icloud.Credential{AppleID: server.Issue().AppleID, Password: wrong},
		&icloud.Options{Transport: server.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	err = client.Authenticate(context.Background())
	ae, ok := errors.AsType[*icloud.AuthError](err)
	fmt.Println(ok, errors.Is(err, icloud.ErrPasswordRejected), ae.Certainty, ae.Confirmed)
	fmt.Println(client.Status().State)
	// Output:
	// true true likely true
	// signed out
}

func ExampleClient_Status() {
	server := exampleServer()
	defer server.Close()

	// The password was issued 340 days ago. Options.Lifetime assumes 365 days.
	client, err := icloud.New(server.IssueAt(time.Now().AddDate(0, 0, -340)),
		&icloud.Options{Transport: server.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Status().State)
	if err := client.Authenticate(context.Background()); err != nil {
		log.Fatal(err)
	}
	status := client.Status()
	fmt.Println(status.State, status.Expires.Sub(status.Issued))
	// Output:
	// untested
	// expiring 8760h0m0s
}

// A service has one Store and one Fleet for all accounts, and learns by OnStatus what to tell
// a customer. What it keeps for a customer, such as the sync token, stays valid after a
// Reconnect.
func Example_service() {
	server := exampleServer()
	defer server.Close()
	dir, err := os.MkdirTemp("", "icloud")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	const customer = "customer 17"
	var fleet icloud.Fleet // one for all Clients of the process
	options := &icloud.Options{
		Store: icloud.DirStore(dir),
		Fleet: &fleet,
		Dwell: -1, // so that this Example need not wait for 15 minutes
		OnStatus: func(_ context.Context, status icloud.Status) {
			fmt.Println(customer, "is", status.State)
		},
		Transport: server.Transport(),
	}
	credential := server.Issue()
	client, err := icloud.New(credential, options)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	token := "" // kept with the customer's contacts
	sync := func() error {
		changes := 0
		next, err := client.Sync(ctx, token, func(icloud.Change) error {
			changes++
			return nil
		})
		if err != nil {
			return err
		}
		token = next
		fmt.Println(changes, "changes")
		return nil
	}
	if err := sync(); err != nil {
		log.Fatal(err)
	}

	server.Revoke(credential.Password)
	if ae, ok := errors.AsType[*icloud.AuthError](sync()); ok && ae.Confirmed {
		fmt.Println(ae.Err)
	}

	// The customer comes back with a new password.
	if err := client.Reconnect(ctx, server.Issue()); err != nil {
		log.Fatal(err)
	}
	server.Delete("grace.vcf")
	if err := sync(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// customer 17 is active
	// 3 changes
	// customer 17 is signed out
	// icloud: password revoked
	// customer 17 is active
	// 1 changes
}

func ExampleClient_Sync() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	mirror := make(map[string]string)
	apply := func(change icloud.Change) error {
		if change.Contact == nil {
			delete(mirror, change.ID)
		} else {
			mirror[change.ID] = change.Contact.Name
		}
		return nil
	}
	token, err := client.Sync(ctx, "", apply)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(mirror), "cards")

	server.Delete("grace.vcf")
	server.Put("alan.vcf", strings.ReplaceAll(grace, "Grace Hopper", "Alan Turing"))
	if token, err = client.Sync(ctx, token, apply); err != nil {
		log.Fatal(err)
	}
	fmt.Println(mirror["alan.vcf"], mirror["grace.vcf"] == "")
	// Output:
	// 3 cards
	// Alan Turing true
}

// If a token is no longer honored, the server cannot say what was deleted since. A complete
// new run from "" shows it: cards that it does not report were deleted.
func ExampleClient_Sync_resync() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	mirror := map[string]string{"ada.vcf": "Ada Lovelace", "old.vcf": "deleted long ago"}
	token := "s.0000.a token of another address book"

	_, err := client.Sync(ctx, token, func(icloud.Change) error { return nil })
	if errors.Is(err, icloud.ErrResync) {
		seen := make(map[string]bool)
		token, err = client.Sync(ctx, "", func(change icloud.Change) error {
			if change.Contact == nil { // a card that was deleted during the run
				delete(mirror, change.ID)
				return nil
			}
			seen[change.ID] = true
			mirror[change.ID] = change.Contact.Name
			return nil
		})
		if err != nil {
			log.Fatal(err) // the run is not complete, so delete nothing
		}
		for id := range mirror {
			if !seen[id] {
				delete(mirror, id)
			}
		}
	}
	fmt.Println(len(mirror), "cards;", mirror["old.vcf"] == "")
	// Output: 3 cards; true
}

func ExampleClient_Put() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	card := []byte(strings.ReplaceAll(grace, "grace", "alan"))
	etag, err := client.Put(ctx, "alan.vcf", card, "") // a new card
	fmt.Println(etag != "", err)

	_, err = client.Put(ctx, "alan.vcf", card, "") // never an overwrite
	fmt.Println(err)
	// Output:
	// true <nil>
	// icloud: the card has changed
}

// If the connection is lost during a write, the card may have been written or not. Its ETag
// shows which.
func ExampleClient_Put_outcomeUnknown() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	current, err := client.Contact(ctx, "ada.vcf")
	if err != nil {
		log.Fatal(err)
	}
	card, err := current.Edit(vcard.Card{"NOTE": {{Value: "Notes by the translator"}}})
	if err != nil {
		log.Fatal(err)
	}
	server.Intercept = icloudtest.Times(1, icloudtest.Reset)
	_, err = client.Put(ctx, current.ID, card, current.ETag)
	fmt.Println(err)

	now, err := client.Contact(ctx, current.ID)
	switch {
	case err != nil:
		log.Fatal(err)
	case now.ETag == current.ETag:
		fmt.Println("not done: it can be put again")
	case bytes.Equal(now.VCard, card):
		fmt.Println("done")
	default:
		fmt.Println("changed by somebody else meanwhile, before or after")
	}
	// Output:
	// icloud: PUT: the connection failed: it broke off; whether it was done is unknown
	// not done: it can be put again
}

func ExampleClient_Delete() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	contact, err := client.Contact(ctx, "ada.vcf")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Delete(ctx, contact.ID, `"of yesterday"`))
	fmt.Println(client.Delete(ctx, contact.ID, contact.ETag))
	// Output:
	// icloud: the card has changed
	// <nil>
}

func ExampleContact_Edit() {
	contact := icloud.Contact{VCard: []byte(ada)}
	edited, err := contact.Edit(vcard.Card{
		"EMAIL": {{Group: "item1", Value: "countess@example.org"}},
		"TEL":   nil, // removed
		"NOTE":  {{Value: "Analytical Engine"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.ReplaceAll(string(edited), "\r", ""))
	// Output:
	// BEGIN:VCARD
	// VERSION:3.0
	// UID:ada
	// N:Lovelace;Ada;;;
	// FN:Ada Lovelace
	// item1.EMAIL:countess@example.org
	// item1.X-ABLabel:_$!<School>!$_
	// NOTE:Analytical Engine
	// END:VCARD
}

func ExampleContact_Card() {
	contact := icloud.Contact{VCard: []byte(grace)}
	card, err := contact.Card()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.Name().FamilyName, card.Value("VERSION"))

	_, err = (&icloud.Contact{VCard: []byte("BEGIN:VCARD")}).Card()
	fmt.Println(err)
	// Output:
	// Hopper 3.0
	// icloud: the card cannot be parsed: vcard: no END field found
}

// One listing shows who is in which group. A group is a card that names the UIDs of its members.
func ExampleClient_Contacts_groups() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	names := make(map[string]string) // by UID
	var groups []*icloud.Contact
	for contact, err := range client.Contacts(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if contact.Group {
			groups = append(groups, contact)
		} else {
			names[contact.UID] = contact.Name
		}
	}
	for _, group := range groups {
		for _, uid := range group.Members {
			if name, ok := names[uid]; ok { // the member may not exist
				fmt.Println(group.Name+":", name)
			}
		}
	}
	// Output:
	// Pioneers: Ada Lovelace
	// Pioneers: Grace Hopper
}

// A card that cannot be fetched does not end a listing. The error that comes last names it.
func ExampleCardError() {
	server := exampleServer()
	defer server.Close()
	server.Put("huge.vcf", "BEGIN:VCARD\r\nNOTE:"+strings.Repeat("x", 5<<20)+"\r\nEND:VCARD\r\n")
	client := exampleClient(server)

	for contact, err := range client.Contacts(context.Background()) {
		if ce, ok := errors.AsType[*icloud.CardError](err); ok {
			fmt.Println(ce.ID, err)
		} else {
			fmt.Println(contact.ID)
		}
	}
	// Output:
	// ada.vcf
	// grace.vcf
	// pioneers.vcf
	// huge.vcf icloud: a card could not be fetched: it is larger than 4 MiB
}

func ExampleClient_Photo() {
	server := exampleServer()
	defer server.Close()
	png := []byte("\x89PNG\r\n\x1a\n and so on")
	url := server.PutPhoto(png, "image/png")
	server.Put("grace.vcf", strings.Replace(grace, "END:", "PHOTO;VALUE=uri:"+url+"\r\nEND:", 1))
	client := exampleClient(server)

	for contact, err := range client.Contacts(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		data, mediaType, err := client.Photo(context.Background(), contact)
		if err != nil {
			log.Fatal(err)
		}
		if data != nil {
			fmt.Println(contact.Name, mediaType, len(data))
		}
	}
	// Output: Grace Hopper image/png 18
}

// go-webdav's client has what this package does not have, here a query with a filter. Without a
// filter, go-webdav would lose the list because of the row for the address book itself that
// iCloud sends.
func ExampleClient_CardDAV() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)

	ctx := context.Background()
	dav, err := client.CardDAV(ctx)
	if err != nil {
		log.Fatal(err)
	}
	books, err := dav.FindAddressBooks(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	objects, err := dav.QueryAddressBook(ctx, books[0].Path, &carddav.AddressBookQuery{
		DataRequest: carddav.AddressDataRequest{AllProp: true},
		PropFilters: []carddav.PropFilter{{
			Name:        "FN",
			TextMatches: []carddav.TextMatch{{Text: "Ada"}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	// iCloud ignores parts of filters, so check the result.
	for _, object := range objects {
		if name := object.Card.Value("FN"); strings.Contains(name, "Ada") {
			fmt.Println(name)
		}
	}
	// Output: Ada Lovelace
}

func ExampleClient_Reconnect() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)
	server.ChangeAccountPassword() // revokes the Client's password

	ctx := context.Background()
	err := client.Authenticate(ctx)
	fmt.Println(errors.Is(err, icloud.ErrPasswordRejected), client.Status().State)

	err = client.Reconnect(ctx, server.Issue())
	fmt.Println(err, client.Status().State)
	// Output:
	// true signed out
	// <nil> active
}

func ExampleAuthError() {
	issued := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	err := &icloud.AuthError{
		Err:          icloud.ErrPasswordExpired,
		Certainty:    icloud.Likely,
		Confirmed:    true,
		Refused:      issued.AddDate(1, 0, 1),
		Issued:       issued,
		Expires:      issued.Add(icloud.DefaultLifetime),
		LastAccepted: issued.AddDate(1, 0, -1),
	}
	fmt.Println(err)
	fmt.Println(errors.Is(err, icloud.ErrPasswordExpired))
	// Output:
	// icloud: password expired (likely, refused since 2026-03-02, issued 2025-03-01, estimated to expire 2026-03-01, last accepted 2026-02-28)
	// true
}

func ExampleAuthError_Remedy() {
	err := &icloud.AuthError{Err: icloud.ErrPasswordRevoked, Confirmed: true}
	for sentence := range strings.SplitSeq(err.Remedy(), ". ") {
		fmt.Println(sentence)
	}
	// Output:
	// The app-specific password was removed (Apple advises to do so after another app was authorized), or the Apple Account's own password was changed, which revokes all app-specific passwords at once
	// Open account.apple.com, choose Sign-In and Security, then App-Specific Passwords, and generate a new one
	// Up to 25 can be active at a time; remove one that is no longer used if there is no room
	// Then reconnect with the new app-specific password.
}

func ExampleAuthError_LogValue() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // omit the time, which would differ in each run
			}
			return a
		},
	}))
	logger.Warn("signed out", "why", &icloud.AuthError{
		Err:       icloud.ErrPasswordRevoked,
		Certainty: icloud.Likely,
		Confirmed: true,
		Refused:   time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
	})
	// Output:
	// level=WARN msg="signed out" why.reason=revoked why.certainty=likely why.confirmed=true why.refused=2026-03-02T12:00:00.000Z
}

// A ResponseError decides nothing about the password. RetryAfter says how long to wait; calls
// before that time send nothing.
func ExampleResponseError() {
	server := exampleServer()
	defer server.Close()
	client := exampleClient(server)
	server.Intercept = icloudtest.Times(1, icloudtest.Status(503, "Retry-After", "30"))

	ctx := context.Background()
	for range 2 {
		err := client.Authenticate(ctx)
		if re, ok := errors.AsType[*icloud.ResponseError](err); ok {
			fmt.Println(re.StatusCode, re.RetryAfter.Round(time.Second), re.Withheld)
		}
	}
	fmt.Println(server.Requests(), "request")
	// Output:
	// 503 30s false
	// 503 30s true
	// 1 request
}

func ExampleFleet() {
	var fleet icloud.Fleet // shared by the Clients of a process, in Options.Fleet
	_, incident := fleet.Incident()
	fmt.Println(incident)
	// Output: false
}

func ExampleDirStore() {
	dir, err := os.MkdirTemp("", "icloud")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server := exampleServer()
	defer server.Close()
	credential := server.Issue()

	// These are two Clients, as in two runs of a program. The second one knows the
	// address book.
	for range 2 {
		client, err := icloud.New(credential, &icloud.Options{
			Store:     icloud.DirStore(dir),
			Transport: server.Transport(),
		})
		if err != nil {
			log.Fatal(err)
		}
		before := server.Requests()
		var names []string
		for contact, err := range client.Contacts(context.Background()) {
			if err != nil {
				log.Fatal(err)
			}
			names = append(names, contact.Name)
		}
		slices.Sort(names)
		fmt.Println(len(names), "contacts,", server.Requests()-before, "requests")
	}
	// Output:
	// 3 contacts, 4 requests
	// 3 contacts, 1 requests
}

// The password dies during a sync. Some changes were applied, the token is the old one, and the
// error says why.
func ExampleClient_Sync_revoked() {
	server := exampleServer()
	defer server.Close()
	server.PageSize = 2
	client := exampleClient(server)

	applied := 0
	next, err := client.Sync(context.Background(), "", func(icloud.Change) error {
		applied++
		server.RevokeAll()
		return nil
	})
	fmt.Printf("%d applied, token %q\n", applied, next)
	fmt.Println(errors.Is(err, icloud.ErrPasswordRevoked), client.Status().State)
	// Output:
	// 2 applied, token ""
	// true doubted
}
