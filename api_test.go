package icloud_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/api and testdata/event.jsonl")

// TestAPI compares the exported declarations with testdata/api. Renew these files with
// -update, but only if a change is intended. Comments are not compared.
func TestAPI(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"icloud": ".", "icloudtest": "icloudtest", "sqlstore": "sqlstore", "connect": "connect"} {
		got := strings.Join(declarations(t, dir), "\n\n") + "\n"
		golden := filepath.Join("testdata", "api", name+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("the exported surface of %s is not what %s has; if that is on purpose, run go test -run TestAPI -update .", name, golden)
		}
	}
}

// declarations returns the exported declarations of the package in dir, sorted, without
// their comments and without the bodies of functions.
func declarations(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	var all []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(file)
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				if d.Tok == token.IMPORT || len(d.Specs) == 0 {
					continue
				}
			case *ast.FuncDecl:
				d.Body = nil
				if !ofExported(d) {
					continue
				}
			}
			var b strings.Builder
			if err := printer.Fprint(&b, fset, decl); err != nil {
				t.Fatal(err)
			}
			// A removed comment leaves an empty line.
			all = append(all, strings.ReplaceAll(b.String(), "\n\n", "\n"))
		}
	}
	slices.Sort(all)
	return all
}

// ofExported says whether a function is not a method of an unexported type.
func ofExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	recv := d.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	name, ok := recv.(*ast.Ident)
	return !ok || name.IsExported()
}
