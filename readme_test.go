package icloud_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// The code of the README compiles.
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
}

// The links of every document lead somewhere, those to headings too.
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
