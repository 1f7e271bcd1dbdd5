package icloud_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// frames has a frame for each block of Go code in the documents. A frame declares the names
// that the block uses, and imports packages.
var frames = []struct{ contains, imports, before, after string }{
	{"func changeAddress(", "errors strings github.com/emersion/go-vcard github.com/go-icloud/icloud", "", ""},
	{"func birthdayField(", "fmt github.com/emersion/go-vcard github.com/go-icloud/icloud", "", ""},
	{"range client.Contacts(ctx)", "context errors github.com/go-icloud/icloud",
		"func askForNewPassword(string) error { return nil }\nfunc save(*icloud.Contact) {}\n" +
			"func f(ctx context.Context, appleID, entered string) error {\n", "\nreturn err }"},
	{"defer server.Close()\nclient, err", "time github.com/go-icloud/icloud github.com/go-icloud/icloud/icloudtest",
		"func f() {\n", "\n_, _ = client, err }"},
	{"form.Error", "errors github.com/go-icloud/icloud",
		"var form interface{ Error(string) error }\nfunc f(entered string) error {\n", "\n_ = password\nreturn nil }"},
	{"client.Authenticate(ctx)\n```", "context time github.com/go-icloud/icloud",
		"func f(ctx context.Context, appleID string, password icloud.Password, issued time.Time, options *icloud.Options) error {\n", "\nreturn err }"},
	{"var pending []", "context errors github.com/go-icloud/icloud",
		"func write(context.Context, *[]icloud.Change, string) error { return nil }\nfunc deleteUnreported(context.Context, *[]icloud.Change, *icloud.PartialError) error { return nil }\n" +
			"func f(ctx context.Context, client *icloud.Client, token string) error {\n", "}"},
	{"rand.N(every", "math/rand/v2 time github.com/go-icloud/icloud",
		"func f(client *icloud.Client, every time.Duration) time.Time {\n", "\nreturn next }"},
	{"store.Forget(", "context github.com/go-icloud/icloud",
		"func f(ctx context.Context, store icloud.DirStore, appleID string) error {\n", "\nreturn err }"},
	{"onStatus(ctx", "context errors time github.com/go-icloud/icloud",
		"type account struct{}\nfunc (*account) Warned() bool { return false }\nfunc (*account) Warn(context.Context, time.Time) {}\n" +
			"func (*account) ShowReconnect(context.Context, string) {}\n", ""},
	{"secrets.Save", "context time github.com/go-icloud/icloud",
		"var secrets interface{ Save(string, string, time.Time) error }\n" +
			"func f(ctx context.Context, client *icloud.Client, appleID string, password icloud.Password, issued time.Time) error {\n", "\nreturn err }"},
	{"connect.New(", "context net/http github.com/go-icloud/icloud github.com/go-icloud/icloud/connect",
		"var secret []byte\nvar service interface {\naccount(context.Context, string) (connect.Account, error)\n" +
			"save(context.Context, string, icloud.Credential) error\nsession(*http.Request) (string, error)\noptions(string) *icloud.Options }\n" +
			"func f(mux *http.ServeMux) error {\n", "\nreturn nil }"},
	{"func TestExpired", "errors testing testing/synctest time github.com/go-icloud/icloud github.com/go-icloud/icloud/icloudtest", "", ""},
	{"server.IssueAt", "context time github.com/go-icloud/icloud github.com/go-icloud/icloud/icloudtest",
		"func f(ctx context.Context, server *icloudtest.Server) error {\n", "\nreturn err }"},
}

// TestREADME: the code in the README and in docs compiles.
func TestREADME(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	used := make([]bool, len(frames))
	for _, doc := range append(docs, "README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
	blocks:
		for _, block := range regexp.MustCompile("(?s)```go\n.*?```").FindAllString(string(text), -1) {
			for i, frame := range frames {
				if !strings.Contains(block, frame.contains) {
					continue
				}
				used[i] = true
				code := strings.TrimSuffix(strings.TrimPrefix(block, "```go\n"), "```")
				compiles(t, doc, "package p\nimport (\""+strings.Join(strings.Fields(frame.imports), "\"\n\"")+"\")\n"+frame.before+code+frame.after)
				continue blocks
			}
			t.Errorf("%s: no frame for %s", doc, block)
		}
	}
	for i, frame := range frames {
		if !used[i] {
			t.Errorf("no code has %q", frame.contains)
		}
	}
}

// compiles checks a Go file inside of the module, so that it imports this checkout.
func compiles(t *testing.T, doc, code string) {
	t.Helper()
	dir, err := os.MkdirTemp("testdata", "readme")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "p.go")
	if strings.Contains(code, "*testing.T") {
		file = filepath.Join(dir, "p_test.go")
	}
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", "./"+filepath.ToSlash(file)).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", doc, err, out, code)
	}
}

// TestLinks: every link in a document has a target, also those to headings.
func TestLinks(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"docs", "bench", "examples/fleet"} {
		more, err := filepath.Glob(filepath.Join(dir, "*.md"))
		if err != nil || len(more) == 0 {
			t.Fatalf("%s: no documents, %v", dir, err)
		}
		docs = append(docs, more...)
	}
	code := regexp.MustCompile("(?s)```.*?```|`[^`]*`")
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^):]*))?\)`)
	links := 0
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			links++
			target := doc
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(doc), l[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", doc, err)
			} else if l[2] != "" && !slices.Contains(headings(t, target), l[2]) {
				t.Errorf("%s: %s has no heading %q", doc, target, l[2])
			}
		}
	}
	if links < 10 {
		t.Errorf("found only %d links", links)
	}
}

// headings returns the anchors that GitHub gives to a document's headings.
func headings(t *testing.T, doc string) []string {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	var anchors []string
	for _, h := range regexp.MustCompile(`(?m)^#+ +(.*?) *$`).FindAllStringSubmatch(string(text), -1) {
		anchor := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// TestFigures: the figures in the README are those of the last comparison.
func TestFigures(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("bench/results.json")
	if err != nil {
		t.Fatal(err)
	}
	var results []struct {
		Cards        int
		Kind, Client string
		Gzip         bool
		Wall, Peak   float64 // nanoseconds, bytes
	}
	if err := json.Unmarshal(text, &results); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, kind string
		gzip       bool
	}{
		{"gzip, photos as URLs (as iCloud probably does)", "URIs", true},
		{"gzip, no photos", "bare", true},
		{"no photos", "bare", false},
		{"a fifth with inline photos", "photos", false},
	} {
		var wall, peak [2]float64 // ours, and go-webdav's
		for i, client := range []string{"icloud", "go-webdav"} {
			for _, r := range results {
				if r.Cards == 10_000 && r.Kind == row.kind && r.Gzip == row.gzip && r.Client == client {
					wall[i], peak[i] = r.Wall, r.Peak
				}
			}
		}
		const duration, memory = `([\d.]+) (ms|s) \| `, `([\d.]+)`
		found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.name) + ` \| ` + duration + duration +
			memory + ` \| ` + memory + ` MiB, go-webdav ` + memory + ` \|$`).FindStringSubmatch(string(readme))
		if found == nil {
			t.Errorf("README.md has no row %q with all figures", row.name)
			continue
		}
		unit := map[string]float64{"ms": 1e6, "s": 1e9}
		for _, f := range []struct {
			what, written string
			measured      float64
		}{
			{"our time", found[1], wall[0] / unit[found[2]]},
			{"go-webdav's time", found[3], wall[1] / unit[found[4]]},
			{"times", found[5], wall[1] / wall[0]},
			{"our memory", found[6], peak[0] / (1 << 20)},
			{"go-webdav's memory", found[7], peak[1] / (1 << 20)},
		} {
			if !rounded(t, f.written, f.measured) {
				t.Errorf("README.md, %s: %s is %s, and %.4g in bench/results.json", row.name, f.what, f.written, f.measured)
			}
		}
	}
}

// rounded says whether a written number is a measured one, rounded to its digits or down.
func rounded(t *testing.T, written string, measured float64) bool {
	t.Helper()
	number, err := strconv.ParseFloat(written, 64)
	if err != nil {
		t.Fatal(err)
	}
	_, fraction, _ := strings.Cut(written, ".")
	digits := math.Pow10(len(fraction))
	return written == fmt.Sprintf("%.*f", len(fraction), measured) || math.Floor(measured*digits) == math.Round(number*digits)
}
