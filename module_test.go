package icloud_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// brought are the modules that a program gets if it imports the package.
var brought = []string{"github.com/emersion/go-vcard", "github.com/emersion/go-webdav", "github.com/go-icloud/icloud"}

// modulesOf returns the modules that packages are built with.
func modulesOf(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out)))))
}

// TestDependencies: a program that imports the package gets only these modules, and not
// those of the command and the tests.
func TestDependencies(t *testing.T) {
	t.Parallel()
	got := modulesOf(t, exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".", "./sqlstore", "./connect"))
	if !slices.Equal(got, brought) {
		t.Errorf("got %v, want %v", got, brought)
	}
}

// TestInternalImports: an internal package can be read alone. It imports no package that
// uses it, and only the other internal packages that are listed here.
func TestInternalImports(t *testing.T) {
	t.Parallel()
	const module = "github.com/go-icloud/icloud"
	allowed := map[string][]string{
		"internal/authstate": {}, "internal/dav": {}, "internal/neterr": {}, "internal/origin": {}, "internal/synctoken": {}, "internal/vcf": {},
	}
	// Decisions about a password depend only on the events and the times that are given.
	impure := []string{"context", "io", "math/rand", "net", "net/http", "os", "sync", "sync/atomic"}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	met := 0
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		name, ok := strings.CutPrefix(imports[0], module+"/")
		may, machinery := allowed[name]
		if !ok || !machinery {
			continue // only tests use it
		}
		met++
		for _, path := range imports[1:] {
			if other, ours := strings.CutPrefix(path, module); ours && !slices.Contains(may, strings.TrimPrefix(other, "/")) {
				t.Errorf("%s imports %s", name, path)
			}
			if name == "internal/authstate" && slices.Contains(impure, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
	if met != len(allowed) {
		t.Errorf("met %d of the %d packages", met, len(allowed))
	}
	clock := regexp.MustCompile(`time\.(Now|Since|Until|Sleep|After|NewTimer|NewTicker|Tick)\(`)
	sources, err := filepath.Glob("internal/authstate/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources of internal/authstate: %v", err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if call := clock.Find(text); call != nil && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s reads a clock: %s", name, call)
		}
	}
}

// TestGoGet: a new program gets the module of the last commit, which the go command packs
// from git as the module proxy does, and only the expected dependencies. This fails, for
// example, if Windows does not allow the name of a file.
func TestGoGet(t *testing.T) {
	t.Parallel()
	top, err := exec.Command("git", "rev-parse", "--show-toplevel", "HEAD").Output()
	if err != nil {
		t.Skip("not a git repository")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	checkout, commit, _ := strings.Cut(strings.TrimSpace(string(top)), "\n")
	if same, err := os.Stat(filepath.FromSlash(checkout)); err != nil || !os.SameFile(same, stat(t, here)) {
		t.Skip("not the repository's own checkout")
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	env := append(os.Environ(),
		// It has its own cache, which can be removed. Other modules come from the
		// present cache, and this module from the checkout.
		"GOMODCACHE="+filepath.Join(dir, "cache"), "GOFLAGS=-modcacherw", "GOWORK=off",
		"GOPROXY=file://"+fileURL(strings.TrimSpace(string(cache)))+"/cache/download", "GONOSUMDB=*",
		"GOPRIVATE=github.com/go-icloud", "GOVCS=*:git",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+fileURL(checkout)+".insteadOf",
		"GIT_CONFIG_VALUE_0=https://github.com/go-icloud/icloud")
	program := filepath.Join(dir, "program")
	if err := os.Mkdir(program, 0o700); err != nil {
		t.Fatal(err)
	}
	source := "package main\n\nimport \"github.com/go-icloud/icloud\"\n\nfunc main() { print(icloud.ErrResync.Error()) }\n"
	if err := os.WriteFile(filepath.Join(program, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = program, env
		return cmd
	}
	for _, args := range [][]string{
		{"mod", "init", "example.test/program"},
		{"get", "github.com/go-icloud/icloud@" + commit},
		{"vet", "."},
	} {
		if out, err := command(args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	got := modulesOf(t, command("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "."))
	if want := slices.Concat([]string{"example.test/program"}, brought); !slices.Equal(got, want) {
		t.Errorf("it is built with %v, want %v", got, want)
	}
	// "go list -m all" names further modules, of which nothing is built. They are listed
	// too, because some tools read that.
	listed, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range modulesOf(t, command("list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")) {
		if module != "github.com/go-icloud/icloud" && !strings.Contains(string(listed), "| "+module+" |") {
			t.Errorf("go list -m all names %s, which docs/dependencies.md does not", module)
		}
	}
	for _, r := range requirements(t, filepath.Join(program, "go.mod")) {
		if !slices.Contains(brought, r) {
			t.Errorf("it requires %s", r)
		}
	}
}

// stat is os.Stat for a file that must exist.
func stat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// fileURL returns the path of a file URL.
func fileURL(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/
	}
	return path
}

// requirements returns the modules that a go.mod requires.
func requirements(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, r := range mod.Require {
		paths = append(paths, r.Path)
	}
	if len(paths) == 0 {
		t.Fatalf("%s requires nothing", file)
	}
	return paths
}

// TestLicences: docs/dependencies.md lists the licence of every module that this repository
// needs, and no other modules. The licences of the root's modules agree with their texts.
func TestLicences(t *testing.T) {
	t.Parallel()
	const doc = "docs/dependencies.md"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	licences := make(map[string]string)
	for line := range strings.SplitSeq(string(text), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for module := range strings.SplitSeq(cells[1], ",") {
				licences[strings.TrimSpace(module)] = strings.TrimSpace(cells[2])
			}
		}
	}
	needed := map[string]bool{"module": true, "---": true, "tsdav (npm; in `internal/interop` too)": true, "axe-core (npm)": true, "github.com/go-icloud/icloud": true,
		// It is in go-webdav's go.mod, and in no build.
		"github.com/emersion/go-ical": true, "github.com/teambition/rrule-go": true}
	for _, file := range []string{"go.mod", "bench/go.mod", "sqlstore/drivertest/go.mod", "connect/browsertest/go.mod", "examples/fleet/go.mod"} {
		for _, module := range requirements(t, file) {
			needed[module] = true
			if licences[module] == "" && module != "github.com/go-icloud/icloud" {
				t.Errorf("%s needs %s, whose licence %s does not list", file, module, doc)
			}
		}
	}
	for module := range licences {
		if !needed[module] {
			t.Errorf("%s lists %s, which nothing needs", doc, module)
		}
	}

	says := map[string]*regexp.Regexp{
		"MIT":          regexp.MustCompile(`Permission\s+is\s+hereby\s+granted,\s+free\s+of\s+charge`),
		"BSD-3-Clause": regexp.MustCompile(`Redistribution\s+and\s+use[^§]*Neither\s+the\s+name`),
	}
	out, err := exec.Command("go", "list", "-deps", "-test", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, line := range slices.Compact(slices.Sorted(strings.Lines(string(out)))) {
		module, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
		if err != nil {
			text, err = os.ReadFile(filepath.Join(dir, "LICENSE.txt"))
		}
		if re := says[licences[module]]; err != nil || re == nil || !re.Match(text) {
			t.Errorf("%s: licence %q is not what it comes with (%v)", module, licences[module], err)
		}
		checked++
	}
	if checked < 5 {
		t.Errorf("only %d licences were read", checked)
	}
}

// TestGoVersion: the documents name the version of Go in go.mod, and CI tests the two
// latest releases.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"go.mod":                     `(?m)^go 1\.26(\.0)?$`,
		"README.md":                  `Go\s+1\.26\s+or\s+later`,
		"CONTRIBUTING.md":            `from 1\.26 on`,
		".github/workflows/test.yml": `go: \[stable, oldstable\]`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("%s does not have %q", file, want)
		}
	}
}

// TestDependabot: Dependabot checks every go.mod and package.json.
func TestDependabot(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(".github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "ls-files", "--", "go.mod", "*/go.mod", "*package.json").Output()
	if err != nil {
		t.Skip("not a git repository")
	}
	// Each ecosystem has its own part of the file, with its folders.
	parts := strings.Split(string(config), "package-ecosystem: ")
	met := 0
	for file := range strings.FieldsSeq(string(out)) {
		if strings.Contains(file, "testdata/") {
			continue
		}
		met++
		ecosystem := map[string]string{"go.mod": "gomod", "package.json": "npm"}[filepath.Base(file)]
		folder := "- /" + strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), ".")
		if !slices.ContainsFunc(parts, func(part string) bool {
			return strings.HasPrefix(part, ecosystem+"\n") && slices.Contains(strings.FieldsFunc(part, func(r rune) bool { return r == '\n' }), "      "+folder)
		}) {
			t.Errorf("%s is in no %s part of .github/dependabot.yml", file, ecosystem)
		}
	}
	if met < 8 {
		t.Errorf("met %d files, want all", met)
	}
}
