package icloud_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

var sweep = flag.Int("sweep", 0, "how many random combinations of the fake's fields to try besides all pairs")

// fieldValues are the values that are tried for each field of the fake: first iCloud's
// usual form, then the other possible ones.
var fieldValues = map[string][]any{
	"Redirect":        {0, 301, 302, 307, 308},
	"PartitionOnly":   {false, true},
	"RefuseRootDepth": {false, true},
	"OpenOptions":     {false, true},
	"Challenges": {[]string(nil), []string{`Basic realm="MMCalDav"`}, []string{`X-MobileMe-AuthToken realm="MMCalDav"`, `Basic realm="MMCalDav"`},
		[]string{`X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"`}},
	"ForbidUnknownUser": {false, true},
	"RequireUserAgent":  {false, true},
	"RequireHyphens":    {false, true},
	"ThrottleStatus":    {0, 403, 429, 503},
	"Prefixes":          {false, true},
	"EmptyStatus":       {false, true},
	"ContentType":       {"", "text/html", "text/plain; charset=iso-8859-1"},
	"CDATA":             {false, true},
	"Uncompressed":      {false, true},
	"OmitOwnRow":        {false, true},
	"QueryLimit":        {0, 1, 3},
	"PageSize":          {0, 1, 3},
	"InlineData":        {false, true},
	"DenyInlineData":    {false, true},
	"ExtraChanges":      {false, true},
	"OwnRowSlash":       {false, true},
	"RefuseEmptyToken":  {false, true},
	"TokenRefusal":      {0, 400, 403, 409, 410, 207},
	"OldForms":          {false, true},
	"OmitETag":          {false, true},
	"RefuseIfMatchAny":  {false, true},
	"RefuseDeleteDepth": {false, true},
	"MaxCard":           {0, 256 << 10},
	"MaxCards":          {0, 50_000},
	"PhotosAsURLs":      {false, true},
	"OldPhotos":         {false, true},
}

// notTried are the fields that the combinations omit, with the reason.
var notTried = map[string]string{
	"Intercept":  "is for faults",
	"HomeHost":   "has no effect under iCloud's names",
	"QuietLimit": "is noticed at certain numbers of cards alone: TestContactsQuietLimit",
}

// A combination is an index into the values of each field.
type combination map[string]int

// set sets the fields of a Server.
func (c combination) set(s *icloudtest.Server) {
	v := reflect.ValueOf(s).Elem()
	for name, i := range c {
		v.FieldByName(name).Set(reflect.ValueOf(fieldValues[name][i]))
	}
}

// String describes the values that are not the usual ones.
func (c combination) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if i := c[name]; i > 0 {
			fmt.Fprintf(&b, " %s=%v", name, fieldValues[name][i])
		}
	}
	return strings.TrimPrefix(b.String(), " ")
}

// A pair is a value of one field together with a value of another.
type pair struct {
	a, b string
	i, j int
}

// pairs returns the pairs of a combination.
func (c combination) pairs(names []string) (list []pair) {
	for n, a := range names {
		for _, b := range names[n+1:] {
			list = append(list, pair{a, b, c[a], c[b]})
		}
	}
	return list
}

// pairwise returns combinations that together have every pair. Each combination is the best
// of several random ones.
func pairwise(r *rand.Rand) (rows []combination) {
	names := slices.Sorted(maps.Keys(fieldValues))
	open := make(map[pair]bool)
	var all []pair
	for n, a := range names {
		for _, b := range names[n+1:] {
			for i := range fieldValues[a] {
				for j := range fieldValues[b] {
					all = append(all, pair{a, b, i, j})
					open[pair{a, b, i, j}] = true
				}
			}
		}
	}
	// The first combination has iCloud's usual forms.
	best := make(combination)
	for _, name := range names {
		best[name] = 0
	}
	for {
		rows = append(rows, best)
		for _, p := range best.pairs(names) {
			delete(open, p)
		}
		if len(open) == 0 {
			return rows
		}
		left := slices.DeleteFunc(slices.Clone(all), func(p pair) bool { return !open[p] })
		most := 0
		for range 60 {
			// It begins with a missing pair. Each other field gets the value that
			// adds the most missing pairs.
			row := make(combination)
			p := left[r.IntN(len(left))]
			row[p.a], row[p.b] = p.i, p.j
			order := slices.Clone(names)
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, name := range order {
				if _, ok := row[name]; ok {
					continue
				}
				top, value := -1, 0
				for _, i := range r.Perm(len(fieldValues[name])) {
					n := 0
					for other, j := range row {
						p := pair{name, other, i, j}
						if other < name {
							p = pair{other, name, j, i}
						}
						if open[p] {
							n++
						}
					}
					if n > top {
						top, value = n, i
					}
				}
				row[name] = value
			}
			n := 0
			for _, p := range row.pairs(names) {
				if open[p] {
					n++
				}
			}
			if n > most {
				most, best = n, row
			}
		}
	}
}

// TestQuirks: QUIRKS.md has each field of the fake, with its sources.
func TestQuirks(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("QUIRKS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[icloudtest.Server]()) {
		if f.IsExported() && f.Name != "Intercept" && f.Name != "HomeHost" && !strings.Contains(string(page), "`"+f.Name+"`") {
			t.Errorf("%s is not in QUIRKS.md", f.Name)
		}
	}
}

// TestFields: the Client keeps its promises with all possible forms of iCloud: with every
// pair of values, and with -sweep also with random combinations.
func TestFields(t *testing.T) {
	t.Parallel()
	server := reflect.TypeFor[icloudtest.Server]()
	for f := range server.Fields() {
		_, tried := fieldValues[f.Name]
		if f.IsExported() && tried == (notTried[f.Name] != "") {
			t.Errorf("%s is in neither of the two tables, or in both", f.Name)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	rows := pairwise(r)
	for range *sweep {
		row := make(combination)
		for _, name := range slices.Sorted(maps.Keys(fieldValues)) {
			row[name] = r.IntN(len(fieldValues[name]))
		}
		rows = append(rows, row)
	}
	for n, row := range rows {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Log(row)
				}
			}()
			synctest.Test(t, func(t *testing.T) {
				srv := icloudtest.NewServer()
				defer srv.Close()
				row.set(srv)
				(&everything{t: t, srv: srv}).run()
			})
		})
	}
}

// everything uses all methods of a Client.
type everything struct {
	t      *testing.T
	srv    *icloudtest.Server
	cred   icloud.Credential
	client *icloud.Client
	told   []icloud.State
	mirror map[string]string // what Sync has reported: the card by its ID
	token  string
}

func (e *everything) run() {
	photo := e.seed()
	e.cred = e.srv.Issue()
	e.client = e.new(e.cred)
	e.must("Authenticate", e.client.Authenticate(e.t.Context()))
	e.listed("the first listing")
	e.synced("the first sync")
	e.photos(photo)
	e.written()
	e.synced("after the writes")
	e.synced("again")
	e.changedElsewhere()
	e.forgotten()
	e.door()
	e.throttled()
	e.stray()
	e.wrong()
	e.revoked()
	e.expired()
}

// new returns a Client whose changes of state are recorded.
func (e *everything) new(cred icloud.Credential) *icloud.Client {
	e.t.Helper()
	c, err := icloud.New(cred, &icloud.Options{Transport: e.srv.Transport(), OnStatus: func(_ context.Context, s icloud.Status) {
		e.told = append(e.told, s.State)
	}})
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

func (e *everything) must(what string, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}

// is reports an error that is not the expected one.
func (e *everything) is(what string, err, want error) {
	e.t.Helper()
	if !errors.Is(err, want) {
		e.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

const inline = "PHOTO;ENCODING=b;TYPE=PNG:iVBORw0KGgo="

// seed fills the book, and returns the data of the photo that is a URL.
func (e *everything) seed() []byte {
	picture := []byte("\x89PNG\r\n\x1a\n picture")
	lines := map[string]string{
		"ada.vcf":     "UID:ada\r\nN:Lovelace;Ada;;;\r\nFN:Ada Lovelace\r\nEMAIL:ada@engine.example",
		"b%20b.vcf":   "UID:b b\r\nFN:Zoë <&> ]]> 祖\r\nNOTE:folded\r\n  here",
		"4.vcf":       "UID:4\r\nFN:Of version 4\r\n" + inline,
		"group.vcf":   "UID:g\r\nFN:Group\r\nX-ADDRESSBOOKSERVER-KIND:group\r\nX-ADDRESSBOOKSERVER-MEMBER:urn:uuid:ada",
		"picture.vcf": "UID:p\r\nFN:Picture\r\nPHOTO;VALUE=uri:" + e.srv.PutPhoto(picture, "image/png"),
	}
	for _, id := range slices.Sorted(maps.Keys(lines)) {
		e.srv.Put(id, "BEGIN:VCARD\r\nVERSION:3.0\r\n"+lines[id]+"\r\nEND:VCARD\r\n")
	}
	return picture
}

// same compares two cards, except for the line ends that XML changes in CDATA.
func (e *everything) same(got, want string) bool {
	if e.srv.CDATA {
		got, want = strings.ReplaceAll(got, "\r\n", "\n"), strings.ReplaceAll(want, "\r\n", "\n")
	}
	return got == want
}

// book compares cards with those of the Server.
func (e *everything) book(what string, got map[string]string) {
	e.t.Helper()
	n := 0
	for id, vcard := range e.srv.Cards() {
		n++
		if text, ok := got[id]; !ok || !e.same(text, vcard) {
			e.t.Errorf("%s: %s is %q (%v), want %q", what, id, text, ok, vcard)
		}
	}
	if len(got) != n {
		e.t.Errorf("%s: %d cards, want %d: %q", what, len(got), n, slices.Sorted(maps.Keys(got)))
	}
}

func (e *everything) listed(what string) {
	e.t.Helper()
	got := make(map[string]string)
	for contact, err := range e.client.Contacts(e.t.Context()) {
		e.must(what, err)
		if _, twice := got[contact.ID]; twice {
			e.t.Errorf("%s: %s twice", what, contact.ID)
		}
		if contact.ETag == "" || contact.Name == "" {
			e.t.Errorf("%s: %s has the ETag %q and the name %q", what, contact.ID, contact.ETag, contact.Name)
		}
		got[contact.ID] = string(contact.VCard)
	}
	e.book(what, got)
}

// apply applies a change as a program does.
func (e *everything) apply(c icloud.Change) error {
	if c.Contact == nil {
		delete(e.mirror, c.ID)
	} else {
		e.mirror[c.ID] = string(c.Contact.VCard)
	}
	return nil
}

// synced runs Sync and compares the copy with the Server's book.
func (e *everything) synced(what string) {
	e.t.Helper()
	if e.token == "" {
		e.mirror = make(map[string]string)
	}
	next, err := e.client.Sync(e.t.Context(), e.token, e.apply)
	e.must(what, err)
	e.token = next
	e.book(what, e.mirror)
}

func (e *everything) photos(picture []byte) {
	for id, want := range map[string]string{"picture.vcf": string(picture), "4.vcf": "\x89PNG\r\n\x1a\n", "ada.vcf": ""} {
		contact, err := e.client.Contact(e.t.Context(), id)
		e.must("Contact", err)
		data, _, err := e.client.Photo(e.t.Context(), contact)
		if err != nil || !bytes.Equal(data, []byte(want)) {
			e.t.Errorf("the photo of %s: %q, %v; want %q", id, data, err, want)
		}
	}
}

// written creates, changes and deletes cards, and checks the conflicts with other programs.
func (e *everything) written() {
	ctx, c := e.t.Context(), e.client
	text := []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:new\r\nFN:New\r\n" + inline + "\r\nEND:VCARD\r\n")
	// etag gets the ETag as a caller does if the server did not name it.
	etag := func(id, etag string, err error) string {
		e.t.Helper()
		e.must("Put", err)
		contact, err := c.Contact(ctx, id)
		e.must("Contact", err)
		if (etag == "") != e.srv.OmitETag || etag != "" && etag != contact.ETag {
			e.t.Errorf("Put returns the ETag %q, the card has %q", etag, contact.ETag)
		}
		return contact.ETag
	}
	first, err := c.Put(ctx, "new.vcf", text, "")
	first = etag("new.vcf", first, err)
	_, err = c.Put(ctx, "new.vcf", text, "")
	e.is("Put over another", err, icloud.ErrConflict)
	second, err := c.Put(ctx, "new.vcf", bytes.Replace(text, []byte("FN:New"), []byte("FN:Newer"), 1), first)
	second = etag("new.vcf", second, err)
	_, err = c.Put(ctx, "new.vcf", text, first)
	e.is("Put with an old ETag", err, icloud.ErrConflict)
	e.is("Delete with an old ETag", c.Delete(ctx, "new.vcf", first), icloud.ErrConflict)

	contact, err := c.Contact(ctx, "new.vcf")
	e.must("Contact", err)
	data, _, err := c.Photo(ctx, contact)
	if err != nil || string(data) != "\x89PNG\r\n\x1a\n" || contact.Name != "Newer" {
		e.t.Errorf("the card that was written: %s, photo %q, %v", contact.VCard, data, err)
	}
	e.listed("after two writes")
	e.must("Delete", c.Delete(ctx, "new.vcf", second))
	_, err = c.Contact(ctx, "new.vcf")
	e.is("Contact of what is gone", err, icloud.ErrNotFound)
	e.is("Delete of what is gone", c.Delete(ctx, "new.vcf", second), icloud.ErrConflict)
	kept, err := c.Put(ctx, "kept.vcf", text, "")
	etag("kept.vcf", kept, err)
}

func (e *everything) changedElsewhere() {
	e.srv.Put("ada.vcf", card("Ada of elsewhere"))
	e.srv.Delete("b%20b.vcf")
	for i := range 7 {
		e.srv.Put(fmt.Sprintf("more-%d.vcf", i), card(fmt.Sprint("More ", i)))
	}
	e.synced("after changes elsewhere")
	e.listed("after changes elsewhere")
}

// forgotten makes the Server forget the token, after a card was deleted.
func (e *everything) forgotten() {
	e.srv.Delete("more-3.vcf")
	e.srv.ForgetTokens()
	next, err := e.client.Sync(e.t.Context(), e.token, e.apply)
	if err == nil && e.srv.RefuseEmptyToken {
		// The Client has no token of the Server, and compares ETags.
		e.token = next
		e.book("Sync without the Server's tokens", e.mirror)
		return
	}
	e.is("Sync with a token that was forgotten", err, icloud.ErrResync)
	e.token = ""
	e.synced("the sync after it")
}

// door uses go-webdav's client.
func (e *everything) door() {
	if e.srv.EmptyStatus {
		return // go-webdav cannot read that
	}
	dav, err := e.client.CardDAV(e.t.Context())
	e.must("CardDAV", err)
	books, err := dav.FindAddressBooks(e.t.Context(), "")
	e.must("FindAddressBooks", err)
	if len(books) != 1 {
		e.t.Fatalf("%d address books", len(books))
	}
	found, err := dav.QueryAddressBook(e.t.Context(), books[0].Path, &carddav.AddressBookQuery{
		DataRequest: carddav.AddressDataRequest{AllProp: true},
		PropFilters: []carddav.PropFilter{{Name: "FN", TextMatches: []carddav.TextMatch{{Text: "Ada of"}}}},
	})
	e.must("QueryAddressBook", err)
	if len(found) != 1 {
		e.t.Errorf("a query finds %d cards, want Ada's", len(found))
	}
}

// throttled checks that the Client waits, and that nothing is decided about the password.
func (e *everything) throttled() {
	e.srv.Throttle(time.Minute)
	err := e.client.Authenticate(e.t.Context())
	re, ok := errors.AsType[*icloud.ResponseError](err)
	if want := max(e.srv.ThrottleStatus, 0); !ok || want != 0 && re.StatusCode != want || want == 0 && re.StatusCode != 503 {
		e.t.Errorf("throttled: got %v", err)
	}
	time.Sleep(10 * time.Minute)
	e.must("after throttling", e.client.Authenticate(e.t.Context()))
}

// stray checks that a passing 401 leaves no trace.
func (e *everything) stray() {
	e.srv.SetIntercept(icloudtest.Times(1, icloudtest.Unauthorized))
	for _, err := range e.client.Contacts(e.t.Context()) {
		if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
			e.t.Errorf("a stray 401: %v", ae)
		}
	}
	e.srv.SetIntercept(nil)
	e.listed("after a stray 401")
	if len(e.told) > 0 && e.told[len(e.told)-1] != icloud.Active {
		e.t.Errorf("told %v, want nothing but Active", e.told)
	}
}

// wrong tries a password and an Apple ID that have never worked.
func (e *everything) wrong() {
	cred := e.cred
	cred.Password = icloud.UncheckedPassword("aaaa-bbbb-cccc-dddd")
	e.is("a mistyped password", e.new(cred).Authenticate(e.t.Context()), icloud.ErrPasswordRejected)
	cred = e.cred
	cred.AppleID = "alias-of-" + cred.AppleID
	err := e.new(cred).Authenticate(e.t.Context())
	if re, ok := errors.AsType[*icloud.ResponseError](err); e.srv.ForbidUnknownUser && (!ok || re.StatusCode != 403) {
		e.t.Errorf("an alias: got %v, want a 403", err)
	} else if !e.srv.ForbidUnknownUser {
		e.is("an alias", err, icloud.ErrPasswordRejected)
	}
}

// dies checks that a password that dies is first Doubted and then SignedOut.
func (e *everything) dies(want error) {
	e.t.Helper()
	refused := func() *icloud.AuthError {
		e.t.Helper()
		_, err := e.client.Sync(e.t.Context(), e.token, e.apply)
		ae, ok := errors.AsType[*icloud.AuthError](err)
		if !ok || !errors.Is(err, want) {
			e.t.Fatalf("got %v, want %v", err, want)
		}
		return ae
	}
	if ae := refused(); ae.Confirmed {
		e.t.Errorf("confirmed at the first refusal: %v", ae)
	}
	time.Sleep(16 * time.Minute)
	if ae := refused(); !ae.Confirmed {
		e.t.Errorf("not confirmed after 16 minutes: %v", ae)
	}
	before := e.srv.Requests()
	refused()
	if n := e.srv.Requests() - before; n != 0 {
		e.t.Errorf("%d requests with a dead password", n)
	}
}

func (e *everything) revoked() {
	e.srv.ChangeAccountPassword()
	e.dies(icloud.ErrPasswordRevoked)
	e.cred = e.srv.Issue()
	e.must("Reconnect", e.client.Reconnect(e.t.Context(), e.cred))
	e.listed("after Reconnect")
	e.synced("after Reconnect")
}

func (e *everything) expired() {
	time.Sleep(364 * 24 * time.Hour)
	e.listed("a year later")
	time.Sleep(2 * 24 * time.Hour)
	e.dies(icloud.ErrPasswordExpired)
	if got := e.told[len(e.told)-1]; got != icloud.SignedOut {
		e.t.Errorf("told %v at last, want that it is signed out", got)
	}
}
