// DirStore: a file for each account.

package icloud

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// DirStore is a [Store] that keeps a file for each account in the directory that it
// names. The first Save creates the directory and its parents. Only their owner may
// read them: directories have mode 0700 and files 0600. Save writes a new file and
// renames it, so that a crash leaves the old file or the new one. A DirStore is safe for
// concurrent use, also by several processes on a local file system. The methods of the
// zero DirStore return an error.
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

// Forget deletes the data under key, for example when a customer leaves. It returns nil
// if there is none. Drop the account's Clients first, because a Client that is still in
// use saves its data again.
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
