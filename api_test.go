package icloud_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/api")

// The exported surface is pinned: what changes here changes for every user.
// Renew it with -update, on purpose only.
func TestAPI(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"icloud": ".", "icloudtest": "./icloudtest", "sqlstore": "./sqlstore"} {
		got, err := exec.Command("go", "doc", "-all", dir).Output()
		if err != nil {
			t.Fatalf("go doc %s: %v", dir, err)
		}
		golden := filepath.Join("testdata", "api", name+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the exported surface of %s is not what %s has; if that is on purpose, run go test -run TestAPI -update .", name, golden)
		}
	}
}
