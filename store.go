// Where memory outlives the process: Store, DirStore, and when the Client loads
// and saves.

package icloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Store keeps what Clients learn of their accounts: dates, refusals, URLs that
// contain the account's number, and a salted hash of the password; never a
// password, never a contact. It is personal data all the same.
//
// Keys are 64 hexadecimal digits, one per account and endpoint: the SHA-256 of the
// endpoint's URL ("https://contacts.icloud.com/" by default), a zero byte, and the
// Apple ID in lower case; delete what is under it to forget a customer. Both
// methods are called concurrently, by all Clients that share the Store, and must
// return when ctx ends.
//
// Several programs may share the Stores of an account. Before a Client saves, or
// asks about a password that is refused, it loads again and adds what others have learned: a later acceptance wins over
// an earlier refusal, and what is known of one password never touches another,
// so that a worker with an old refusal cannot undo another's Reconnect. A Store
// needs no transactions for that: an update that is lost costs one repeated
// question, never a verdict. Clocks that differ by minutes shift Options.Dwell
// by as much.
type Store interface {
	// Load returns what was last saved under key, or nil and no error if
	// nothing was. The caller may modify what it returns.
	Load(ctx context.Context, key string) ([]byte, error)

	// Save keeps data under key, whole or not at all. It does not retain data.
	Save(ctx context.Context, key string, data []byte) error
}

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

// storeKey returns the key of an account: nothing that a directory listing could
// be read for, and the same for every spelling of it.
func storeKey(endpoint *url.URL, appleID string) string {
	sum := sha256.Sum256([]byte(endpoint.String() + "\x00" + strings.ToLower(appleID)))
	return hex.EncodeToString(sum[:])
}

// kept is what a Client knows of its Store. It is guarded by Client.mu.
type kept struct {
	loaded bool
	dirty  bool      // something is not saved yet
	urgent bool      // and should not wait for an hour
	saved  time.Time // when it last was
	looked time.Time // when the Store was last loaded
	tell   bool      // SignedOut is saved as told, and yet to be told
}

// saveEvery is how often a successful call writes at most.
const saveEvery = time.Hour

// lookEvery is how often a successful call reads at most, where it does not write.
const lookEvery = time.Minute

// recall loads what the Store has of the account, once. A Client that could not
// know whether its password is latched must not send it, so a failure to load
// fails the call.
func (c *Client) recall(ctx context.Context) error {
	c.mu.Lock()
	loaded := c.kept.loaded
	c.mu.Unlock()
	if loaded {
		return nil
	}
	if err := c.keeping.take(ctx); err != nil {
		return err
	}
	defer c.keeping.give()
	c.mu.Lock()
	loaded = c.kept.loaded
	c.mu.Unlock()
	if loaded {
		return nil
	}
	s, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.loaded = true
	// Under the lock together: no call sees the dates without the book.
	c.absorb(s, c.login)
	c.kept.saved = c.login.memory.last
	// Whoever can write to the Store must not direct the password either.
	u, err1 := c.gate.Resolve(c.endpoint, s.Book)
	home, err2 := c.gate.Resolve(c.endpoint, s.Home)
	if s.Book != "" && s.Home != "" && err1 == nil && err2 == nil {
		c.book = book{url: u.Copy(), home: home.Copy()}
	}
	// A state that an earlier Client has reported is no news; one that time
	// alone has brought since, Expiring, is.
	c.reported = c.login.memory.status(c.login.cred, c.rules, c.login.memory.latest()).State
	return nil
}

// load returns what is saved. The caller has its turn in c.keeping.
func (c *Client) load(ctx context.Context) (*saved, error) {
	if c.store == nil {
		return &saved{Version: savedVersion}, nil
	}
	data, err := c.store.Load(ctx, c.key)
	if err != nil {
		return nil, &hiddenError{text: "icloud: the Store failed to load key " + c.key, err: err}
	}
	s, err := decodeSaved(data)
	if err != nil {
		return nil, fmt.Errorf("icloud: the Store's data under key %s is corrupt", c.key)
	}
	c.mu.Lock()
	c.kept.looked = now()
	c.mu.Unlock()
	return s, nil
}

// absorb adds what is saved of a login's password to what is remembered. The
// caller holds c.mu.
func (c *Client) absorb(s *saved, l *login) {
	t := now()
	// The credential's own dates are saved with the rest, for a caller who knows
	// them only at the first time.
	if issued := known(l.cred.Issued, t); !issued.IsZero() {
		l.memory.issued = issued
	}
	if changed := known(l.cred.AccountChanged, t); changed.After(l.memory.changed) {
		l.memory.changed = changed
	}
	if e := s.entry(l.cred.Password); e != nil {
		l.memory.merge(e.memory(c.rules))
	}
}

// save loads, merges and saves what is remembered of l, after change has been
// applied to it. What change makes becomes the Client's memory only once it is
// saved, or cannot be; the error is the Store's. The caller has its turn in
// c.keeping. change runs under c.mu.
func (c *Client) save(ctx context.Context, l *login, change func(*memory)) (memory, error) {
	s, err := c.load(ctx)
	c.mu.Lock()
	if err == nil {
		c.absorb(s, l)
	}
	m := l.memory
	if change != nil {
		change(&m)
	}
	if c.store == nil || err != nil {
		c.kept.dirty = true
		c.kept.urgent = c.kept.urgent || change != nil
		c.mu.Unlock()
		return m, err
	}
	s.put(l.cred.Password, m)
	if l != c.login {
		// A Reconnect was refused: what is known of both is kept.
		c.absorb(s, c.login)
		s.put(c.login.cred.Password, c.login.memory)
	}
	if c.book.url != nil {
		s.Book, s.Home = c.book.url.String(), c.book.home.String()
	}
	// What changes from here on is not in what is being saved.
	was := c.kept
	c.kept.dirty, c.kept.urgent = false, false
	c.mu.Unlock()

	data, err := s.encode()
	if err == nil {
		err = c.store.Save(ctx, c.key, data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.kept.dirty = true
		c.kept.urgent = c.kept.urgent || was.urgent || change != nil
		return m, &hiddenError{text: "icloud: the Store failed to save key " + c.key, err: err}
	}
	c.kept.saved = now()
	return m, nil
}

// settle ends a call: it saves what is due, reports a change of the state, and
// returns err. That a success could not be saved does not make it a failure; the
// next call tries again. The caller holds no lock and no turn, since OnStatus may
// call the Client.
func (c *Client) settle(ctx context.Context, err error) error {
	c.saveDue(ctx)
	c.report(ctx)
	return err
}

func (c *Client) saveDue(ctx context.Context) {
	c.mu.Lock()
	t := now()
	if c.kept.dirty && c.login.memory.status(c.login.cred, c.rules, t).State != c.reported {
		c.kept.urgent = true // so that the next Client does not report it again
	}
	// An hour of acceptances can be lost with the process, and costs nothing
	// but the precision of a date.
	due := c.store != nil && c.kept.dirty && (c.kept.urgent || over(c.kept.saved, t, saveEvery))
	urgent := c.kept.urgent
	look := c.store != nil && c.kept.dirty && over(c.kept.looked, t, lookEvery)
	c.mu.Unlock()
	if !due && look {
		due = c.contradicted(ctx)
	}
	// One of many concurrent calls is enough to do it, unless it is urgent.
	if !due || !urgent && !c.keeping.try() || urgent && c.keeping.take(ctx) != nil {
		return
	}
	defer c.keeping.give()
	c.mu.Lock()
	due = c.kept.dirty
	l := c.login
	c.mu.Unlock()
	if due {
		_, _ = c.save(ctx, l, nil)
	}
}

// contradicted says whether the Store has another Client's doubt about a password
// that was accepted here. If that were left to be saved within the hour, a second
// stray 401 over there would confirm the first.
func (c *Client) contradicted(ctx context.Context) bool {
	if !c.keeping.try() {
		return false // whoever has the turn looks
	}
	defer c.keeping.give()
	s, err := c.load(ctx)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := s.entry(c.login.cred.Password)
	return e != nil && e.Verdict != nil && c.login.memory.verdict == nil
}

// reload adds what is saved of the password of l, by other Clients perhaps, to what
// is remembered.
func (c *Client) reload(ctx context.Context, l *login) error {
	if c.store == nil {
		return nil
	}
	if err := c.keeping.take(ctx); err != nil {
		return err
	}
	defer c.keeping.give()
	s, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absorb(s, l)
	return nil
}

// saveNow saves a verdict that could not be saved when it was reached.
func (c *Client) saveNow(ctx context.Context, l *login) error {
	if err := c.keeping.take(ctx); err != nil {
		return err
	}
	defer c.keeping.give()
	_, err := c.save(ctx, l, nil)
	return err
}

// now returns the time in the form in which it is remembered.
func now() time.Time { return time.Now().Round(0).UTC() }
