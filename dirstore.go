// DirStore: a file for each account.

package icloud

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// DirStore is a Store in the directory that it names, which is created, with
// its parents, when something is first saved. What is created is open to its owner
// alone: the directory (0700) and the files (0600), one for each account. Each is
// replaced by renaming a complete one, so that a crash leaves the old or the new.
// Several processes may share a DirStore on a local file system.
type DirStore string

// path returns the file of key, or an error if key could name another file.
func (d DirStore) path(key string) (string, error) {
	if d == "" {
		return "", errors.New("icloud: DirStore has no directory")
	}
	if !validKey(key) {
		return "", errors.New("icloud: DirStore: malformed key")
	}
	return filepath.Join(string(d), key), nil
}

// validKey says whether key is made of lower-case letters, digits, hyphens and
// underscores alone, few enough for a file's name, so that no file system can take
// it for something else, or for another key.
func validKey(key string) bool {
	if key == "" || len(key) > 200 {
		return false
	}
	for _, c := range []byte(key) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// Load implements [Store].
func (d DirStore) Load(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := d.path(key)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Save implements [Store].
func (d DirStore) Save(ctx context.Context, key string, data []byte) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := d.path(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	// CreateTemp makes files 0600. The dot keeps a file that a crash leaves
	// behind from ever being taken for an account's.
	f, err := os.CreateTemp(string(d), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		// Without it a crash of the machine may leave a renamed, empty file.
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Forget deletes what is kept under key, so that nothing is left of a customer. It
// is no error if there is nothing. Drop the account's Clients first: one that still
// works saves again what it knows.
func (d DirStore) Forget(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := d.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
