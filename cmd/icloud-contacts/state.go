// The state folder: where it is, and what is said when it cannot be used.

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

// defaultFolder returns the folder that is used without -state: in XDG_STATE_HOME, or
// where the system keeps what programs remember for a user. goos is runtime.GOOS.
func defaultFolder(goos string, getenv func(string) string) (string, error) {
	const name = "icloud-contacts"
	// The XDG Base Directory Specification: a path that is not absolute is ignored.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name), nil
	}
	home, below, variable := getenv("HOME"), []string{".local", "state"}, "HOME"
	switch goos {
	case "darwin", "ios":
		below = []string{"Library", "Application Support"}
	case "windows":
		// What belongs to this machine; the other folder follows a user to others.
		home, below, variable = getenv("LocalAppData"), nil, "LocalAppData"
	}
	if !filepath.IsAbs(home) {
		// To go on without a memory would make a passing fault look like a password
		// that has never worked.
		return "", misuse("no state folder: " + variable + " is not set; use -state DIR, or -state none to remember nothing")
	}
	return filepath.Join(slices.Concat([]string{home}, below, []string{name})...), nil
}

// folder is the icloud.Store of -state. Package icloud goes on if it cannot save
// that a password works, which is right for a service; here it would make a later
// run call a revoked password one that has never worked, and nobody would know why.
type folder struct {
	dir  icloud.DirStore
	warn func(text string)
	once sync.Once // a warning each time would fill a log

	mu     sync.Mutex
	broken bool // something could not be saved
}

// Load implements icloud.Store. Its failure ends the command, which reports it.
func (f *folder) Load(ctx context.Context, key string) ([]byte, error) {
	data, err := f.dir.Load(ctx, key)
	if err != nil {
		return nil, stateError{f.dir, err, false}
	}
	return data, nil
}

// Save implements icloud.Store. Its first failure is told at once, because not
// every one reaches the end of the command.
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

// remembers says whether there is a folder, and all that was learned is in it.
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

// Error names the folder, which the user has, and the cause without its path, which
// is a hash of the account.
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

// Unwrap lets a folder that is not there be told from one that may not be read.
func (e stateError) Unwrap() error { return e.err }
