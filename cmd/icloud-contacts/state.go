// The state folder: where it fails it says so, and it knows when a password was
// last asked about.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-icloud/icloud"
)

// folder is the icloud.Store of -state. Package icloud goes on if it cannot save
// that a password works, which is right for a service; here it would make a later
// run call a revoked password one that has never worked, and nobody would know why.
type folder struct {
	dir  icloud.DirStore
	warn func(text string)
	once sync.Once // a warning each time would fill a log

	mu     sync.Mutex
	key    string // the latest, which is the account's: check uses no other
	broken bool   // something could not be saved
}

// Load implements icloud.Store. Its failure ends the command, which reports it.
func (f *folder) Load(ctx context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	f.key = key
	f.mu.Unlock()
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

// asked returns when the password was last asked about, if that was refused; zero
// if that is not known. A password in doubt is saved after each refusal, and at no
// other time, so the file's own time is this.
func (f *folder) asked() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key == "" || f.broken {
		return time.Time{}
	}
	info, err := os.Stat(filepath.Join(string(f.dir), f.key))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
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
