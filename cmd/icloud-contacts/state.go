// The state folder: where it is, and the errors if it cannot be used.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-icloud/icloud"
)

// defaultFolder returns the folder that is used without -state: a folder in XDG_STATE_HOME,
// or in the folder of the system for the state of programs. goos is runtime.GOOS.
func defaultFolder(goos string, getenv func(string) string) (string, error) {
	const name = "icloud-contacts"
	// A path that is not absolute is ignored, as the XDG Base Directory Specification
	// requires.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name), nil
	}
	home, below, variable := getenv("HOME"), []string{".local", "state"}, "HOME"
	switch goos {
	case "darwin", "ios":
		below = []string{"Library", "Application Support"}
	case "windows":
		// This folder stays on this machine; AppData follows the user to others.
		home, below, variable = getenv("LocalAppData"), nil, "LocalAppData"
	}
	if !filepath.IsAbs(home) {
		// Without a state folder, a passing fault would look like a password that has
		// never worked.
		return "", misuse("no state folder: " + variable + " is not set; use -state DIR, or -state none to remember nothing")
	}
	return filepath.Join(slices.Concat([]string{home}, below, []string{name})...), nil
}

// folder is the icloud.Store of -state. If package icloud cannot save that a password works,
// it continues, which is right for a service. Here a later run would then report a revoked
// password as one that has never worked. So folder prints a warning, and remembers that
// something could not be saved.
type folder struct {
	dir  icloud.DirStore
	warn func(text string)
	once sync.Once // for warn, because a warning for each Save would fill a log

	mu     sync.Mutex
	broken bool // something could not be saved
}

// Load implements icloud.Store. Its error ends the command, which prints it.
func (f *folder) Load(ctx context.Context, key string) ([]byte, error) {
	data, err := f.dir.Load(ctx, key)
	if err != nil {
		return nil, stateError{f.dir, err, false}
	}
	return data, nil
}

// Save implements icloud.Store. A warning is printed at the first error, because the command
// does not return every error of Save.
func (f *folder) Save(ctx context.Context, key string, data []byte) error {
	err := f.dir.Save(ctx, key, data)
	if err == nil {
		return nil
	}
	err = stateError{f.dir, err, true}
	if ctx.Err() == nil {
		f.mu.Lock()
		f.broken = true
		f.mu.Unlock()
		f.once.Do(func() { f.warn(visible(err.Error())) })
	}
	return err
}

// remembers says whether there is a folder, and everything could be saved in it.
func (f *folder) remembers() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.broken
}

// stateError is a failure of the state folder.
type stateError struct {
	dir  icloud.DirStore
	err  error
	told bool // a warning was printed when it happened
}

// Error names the folder and the cause. It omits the path of the file, which contains a hash
// of the account.
func (e stateError) Error() string {
	cause := e.err
	if path, ok := errors.AsType[*fs.PathError](cause); ok {
		cause = path.Err
	}
	verb := "read"
	if e.told {
		verb = "written, and nothing is remembered"
	}
	return fmt.Sprintf("the state folder %s cannot be %s: %v", e.dir, verb, cause)
}

// Unwrap returns the error of the DirStore.
func (e stateError) Unwrap() error { return e.err }
