package icloud_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// frames puts the Go code of a document into a function in which the names that
// it leaves open mean something. A block that is not listed must be a whole file.
var frames = []struct{ contains, before, after string }{
	{"ParsePassword(entered)", "package p\nimport (\"context\"; \"errors\"; \"github.com/go-icloud/icloud\")\n" +
		"func askForNewPassword(string) error { return nil }\nfunc save(*icloud.Contact) {}\n" +
		"func f(ctx context.Context, appleID, entered string) error {\n", "\nreturn err }"},
	{"icloudtest.NewServer()", "package p\nimport (\"time\"; \"github.com/go-icloud/icloud\"; \"github.com/go-icloud/icloud/icloudtest\")\n" +
		"func f(card string) {\n", "\n_, _ = client, err }"},
}

// The code of the README compiles, and its links lead somewhere.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("no code")
	}
	// Inside the module, so that it is this checkout that is imported.
	dir, err := os.MkdirTemp("testdata", "readme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for i, block := range blocks {
		code := block[1]
		for _, frame := range frames {
			if strings.Contains(code, frame.contains) {
				code = frame.before + code + frame.after
				break
			}
		}
		file := filepath.Join(dir, "p.go")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", "./"+file).CombinedOutput(); err != nil {
			t.Errorf("block %d: %v\n%s", i, err, out)
		}
	}
	for _, doc := range []string{"README.md", "CHANGELOG.md", "SECURITY.md", "QUIRKS.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		prose := regexp.MustCompile("(?s)```.*?```|`[^`]*`").ReplaceAllString(string(text), "")
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(prose, -1) {
			if _, err := os.Stat(link[1]); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}
