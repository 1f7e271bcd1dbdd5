package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// TestDirStoreConforms runs icloudtest.TestStore.
func TestDirStoreConforms(t *testing.T) {
	t.Parallel()
	if err := icloudtest.TestStore(icloud.DirStore(filepath.Join(t.TempDir(), "a", "b"))); err != nil {
		t.Error(err)
	}
}

// TestDirStorePermissions: only the owner can read the files, whatever the umask is, and
// nothing else is left in the directory.
func TestDirStorePermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	dir := filepath.Join(t.TempDir(), "new", "store")
	store := icloud.DirStore(dir)
	key := strings.Repeat("0a", 32)
	if data, err := store.Load(t.Context(), key); data != nil || err != nil {
		t.Errorf("Load before there is a directory: got %q, %v", data, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load has made the directory")
	}
	for _, text := range []string{"one", "two"} {
		if err := store.Save(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]fs.FileMode{
		filepath.Dir(dir):       fs.ModeDir | 0o700,
		dir:                     fs.ModeDir | 0o700,
		filepath.Join(dir, key): 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", filepath.Base(name), info.Mode(), want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %d files, want 1: %v", len(entries), entries)
	}
	// A file that was made readable for all is replaced by one that is not.
	if err := os.Chmod(filepath.Join(dir, key), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), key, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

// TestDirStoreKeys: no key leads out of the directory, or to the file of another key.
func TestDirStoreKeys(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "store")
	store := icloud.DirStore(dir)
	if err := os.WriteFile(filepath.Join(parent, "outside"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := strings.Repeat("0a", 32)
	if err := store.Save(t.Context(), good, []byte("good")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", ".", "..", "../outside", "/etc/passwd", `..\outside`, "a/b", `a\b`, "a\x00b", "a:b", "C:", "~", "-\n", " ", "a ", "a.", ".new-1",
		filepath.Join(parent, "outside"), "..%2foutside", "café", strings.Repeat("a", 4096), good + "/../x", good + ".",
	} {
		if data, err := store.Load(t.Context(), key); err == nil || data != nil {
			t.Errorf("Load(%q): got %q, %v, want an error", key, data, err)
		}
		if err := store.Save(t.Context(), key, []byte("theirs")); err == nil {
			t.Errorf("Save(%q): got no error", key)
		}
	}
	var files []string
	_ = filepath.WalkDir(parent, func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			files = append(files, fmt.Sprintf("%s=%s %v", d.Name(), data, err))
		}
		return nil
	})
	slices.Sort(files)
	if want := []string{good + "=good <nil>", "outside=mine <nil>"}; !slices.Equal(files, want) {
		t.Errorf("got files %q, want %q", files, want)
	}
	if err := icloud.DirStore("").Save(t.Context(), good, nil); err == nil {
		t.Error("a DirStore without a directory: got no error")
	}
}

// TestDirStoreFailures: if Save fails, the data that was saved before is intact, and no
// part of the new data is left.
func TestDirStoreFailures(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("0a", 32)
	dir := t.TempDir()
	store := icloud.DirStore(dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Save(ctx, key, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Save with a cancelled context: got %v", err)
	}
	if _, err := store.Load(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a cancelled context: got %v", err)
	}
	// The file is a directory, which cannot be replaced.
	if err := os.MkdirAll(filepath.Join(dir, key, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), key, []byte("x")); err == nil {
		t.Error("Save over a directory: got no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := store.Load(t.Context(), key); err == nil {
		t.Error("Load of a directory: got no error")
	}
	// A file that a crash has left between writing and renaming belongs to no key.
	dir = t.TempDir()
	store = icloud.DirStore(dir)
	if err := store.Save(t.Context(), key, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-123"), []byte("ne"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := store.Load(t.Context(), key); string(data) != "old" || err != nil {
		t.Errorf("got %q, %v, want the old data", data, err)
	}
	if err := store.Save(t.Context(), key, []byte("new")); err != nil {
		t.Error(err)
	}
	// The parent is a file.
	store = icloud.DirStore(filepath.Join(dir, key, "sub"))
	if err := store.Save(t.Context(), key, []byte("x")); err == nil {
		t.Error("Save below a file: got no error")
	}
}
