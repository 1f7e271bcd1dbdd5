package interop_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/carddav"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/internal/realserver"
)

func card(uid, name string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + uid + "\r\nN:" + name + ";;;;\r\nFN:" + name + "\r\nEND:VCARD\r\n"
}

// fake is a fake iCloud on a loopback port, with three cards: one that stays, one
// to change, one to delete.
type fake struct {
	*icloudtest.Server
	url  string
	cred icloud.Credential
}

func start(t *testing.T) *fake {
	s := icloudtest.NewServer()
	t.Cleanup(s.Close)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.Put("stay.vcf", card("stay", "Ödön Stays"))
	s.Put("change.vcf", card("change", "Before"))
	s.Put("delete.vcf", card("delete", "Doomed"))
	return &fake{s, web.URL + "/", s.Issue()}
}

// names returns the name of each card by its ID, as package icloud sees them
// under the real host names.
func (f *fake) names(t *testing.T) map[string]string {
	t.Helper()
	client, err := icloud.New(f.cred, &icloud.Options{Transport: f.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string)
	for contact, err := range client.Contacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names[contact.ID] = contact.Name
	}
	return names
}

func (f *fake) want(t *testing.T, want map[string]string) {
	t.Helper()
	if got := f.names(t); !maps.Equal(got, want) {
		t.Errorf("the address book has %v, want %v", got, want)
	}
}

// run runs a program with the password on its standard input, where no list of
// processes shows it.
func (f *fake) run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(f.cred.Password.Reveal())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", program, err, out, stderr.String())
	}
	return out
}

func TestTsdav(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		realserver.Absent(t, "node is not installed")
	}
	if _, err := os.Stat("node_modules/tsdav"); err != nil {
		realserver.Absent(t, "tsdav is not installed; see interop.go")
	}
	f := start(t)
	out := f.run(t, "node", "tsdav.mjs", f.url, f.cred.AppleID)
	var got struct {
		Books         int
		Listed, After []string
		Data          bool
		Stale         int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Books != 1 || !got.Data || got.Stale != 412 ||
		!slices.Equal(got.Listed, []string{"change.vcf", "delete.vcf", "stay.vcf"}) ||
		!slices.Equal(got.After, []string{"change.vcf", "stay.vcf", "tsdav.vcf"}) {
		t.Errorf("it saw %s", out)
	}
	f.want(t, map[string]string{"stay.vcf": "Ödön Stays", "change.vcf": "Changed by tsdav", "tsdav.vcf": "Created by tsdav"})

	// With another password it says so, rather than seeing an empty book.
	f.Revoke(f.cred.Password)
	cmd := exec.CommandContext(t.Context(), "node", "tsdav.mjs", f.url, f.cred.AppleID)
	cmd.Stdin = strings.NewReader(f.cred.Password.Reveal())
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("with a revoked password it says %s", out)
	}
}

func TestVdirsyncer(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("vdirsyncer"); err != nil {
		realserver.Absent(t, "vdirsyncer is not installed")
	}
	f, folder := start(t), t.TempDir()
	synchronize := func() {
		t.Helper()
		f.run(t, "./vdirsyncer.sh", folder, f.url, f.cred.AppleID)
	}
	// local returns the name of each card in the folder by its file.
	files := filepath.Join(folder, "cards", "card")
	local := func() map[string]string {
		t.Helper()
		entries, err := os.ReadDir(files)
		if err != nil {
			t.Fatal(err)
		}
		names := make(map[string]string)
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(files, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := vcard.NewDecoder(strings.NewReader(string(text))).Decode()
			if err != nil {
				t.Fatal(err)
			}
			names[entry.Name()] = parsed.Value(vcard.FieldFormattedName)
		}
		return names
	}

	synchronize()
	want := f.names(t)
	if got := local(); len(got) != 3 || !maps.Equal(got, want) {
		t.Fatalf("it fetched %v, want %v", got, want)
	}

	// Changes on its side; a file's name becomes the ID.
	for name, text := range map[string]string{
		"created.vcf": card("created", "Created by vdirsyncer"),
		"change.vcf":  card("change", "Changed by vdirsyncer"),
	} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(files, "delete.vcf")); err != nil {
		t.Fatal(err)
	}
	synchronize()
	f.want(t, map[string]string{"stay.vcf": "Ödön Stays", "change.vcf": "Changed by vdirsyncer", "created.vcf": "Created by vdirsyncer"})

	// Changes on ours.
	f.Put("new.vcf", card("new", "New"))
	f.Put("stay.vcf", card("stay", "Ödön Stayed"))
	f.Delete("change.vcf")
	synchronize()
	if got, want := local(), f.names(t); len(got) != 3 || !maps.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

// go-webdav is used in package icloud too, but there on its transport.
func TestGoWebDAV(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), start(t)
	f.OmitOwnRow = true // without it, as at iCloud, the listing fails
	dav, err := carddav.NewClient(webdav.HTTPClientWithBasicAuth(nil, f.cred.AppleID, f.cred.Password.Reveal()), f.url)
	if err != nil {
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
	if err != nil || len(books) != 1 {
		t.Fatalf("address books: %v, %v", books, err)
	}
	book := books[0].Path
	all := &carddav.AddressBookQuery{DataRequest: carddav.AddressDataRequest{AllProp: true}}
	list, err := dav.QueryAddressBook(ctx, book, all)
	if err != nil || len(list) != 3 {
		t.Fatalf("listing: %v, %v", list, err)
	}
	before, err := dav.SyncCollection(ctx, book, &carddav.SyncQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for id, name := range map[string]string{"created.vcf": "Created by go-webdav", "change.vcf": "Changed by go-webdav"} {
		c := vcard.Card{"VERSION": {{Value: "3.0"}}, "UID": {{Value: strings.TrimSuffix(id, ".vcf")}}, "FN": {{Value: name}}}
		if _, err := dav.PutAddressObject(ctx, book+id, c); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := dav.RemoveAll(ctx, book+"delete.vcf"); err != nil {
		t.Errorf("delete: %v", err)
	}
	f.want(t, map[string]string{"stay.vcf": "Ödön Stays", "change.vcf": "Changed by go-webdav", "created.vcf": "Created by go-webdav"})
	after, err := dav.SyncCollection(ctx, book, &carddav.SyncQuery{SyncToken: before.SyncToken})
	var updated []string
	if err == nil {
		for _, o := range after.Updated {
			updated = append(updated, o.Path)
		}
	}
	slices.Sort(updated)
	if want := []string{book + "change.vcf", book + "created.vcf"}; err != nil || !slices.Equal(updated, want) || !slices.Equal(after.Deleted, []string{book + "delete.vcf"}) {
		t.Errorf("sync: %s, %v", fmt.Sprint(updated, after), err)
	}
}

// The tests that docs/testing-your-integration.md shows in other languages, against
// the command itself: a client lists, its password expires, and what it does is seen.
func TestExpired(t *testing.T) {
	t.Parallel()
	command := filepath.Join(t.TempDir(), "icloud-contacts")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", command, "../../cmd/icloud-contacts").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	page, err := os.ReadFile("../../docs/testing-your-integration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		file, language string
		needs          []string
		run            []string
	}{
		{"test_expired.py", "python", []string{"pytest", "vdirsyncer"}, []string{"pytest", "-q", "-p", "no:cacheprovider"}},
		{"expired.test.mjs", "js", []string{"node", "node_modules/tsdav"}, []string{"node", "--test"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(test.file)
			if err != nil {
				t.Fatal(err)
			}
			if block := "```" + test.language + "\n" + string(text) + "```\n"; !strings.Contains(string(page), block) {
				t.Errorf("the page does not show %s as it is", test.file)
			}
			for _, need := range test.needs {
				_, err := exec.LookPath(need)
				if strings.Contains(need, "/") {
					_, err = os.Stat(need)
				}
				if err != nil {
					realserver.Absent(t, "%s is not installed; see interop.go", need)
				}
			}
			cmd := exec.CommandContext(t.Context(), test.run[0], append(test.run[1:], test.file)...)
			cmd.Env = append(os.Environ(), "ICLOUD_CONTACTS="+command, "PYTHONDONTWRITEBYTECODE=1")
			out, err := cmd.CombinedOutput()
			if err != nil || !regexp.MustCompile(`(?m)^1 passed|^# pass 1$|^ℹ pass 1$`).Match(out) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
