// The Store, and when a session reads it and writes to it.

package icloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

// A Store keeps what Clients learn about their accounts: dates, refusals, URLs that
// contain the account's number, and a salted hash of the password. It never gets a
// password or a contact, but what it gets is personal data.
//
// The keys are those of [AccountKey]. Both methods must be safe for concurrent use by
// all Clients that share the Store, and must return when ctx ends. The function TestStore
// of package icloudtest tests a Store.
//
// Several programs may share a Store. Before a Client saves, or probes a refused
// password, it loads the data again and adds what others have saved. A later acceptance
// wins over an earlier refusal, and each password has its own record. So a worker with
// an old refusal cannot undo another worker's Reconnect. A Store needs no transactions
// for that: a lost update costs one repeated probe, and no verdict is lost. If the clocks
// of two machines differ, Options.Dwell is longer or shorter by that difference.
type Store interface {
	// Load returns the data that was last saved under key, or nil and no error
	// if there is none. The caller may modify the data.
	Load(ctx context.Context, key string) ([]byte, error)

	// Save replaces the data under key, completely or not at all. It must not
	// keep or modify the slice data.
	Save(ctx context.Context, key string, data []byte) error
}

// noStore is the Store of a Client that has none: what is learned is kept by the
// Client alone.
type noStore struct{}

func (noStore) Load(context.Context, string) ([]byte, error) { return nil, nil }
func (noStore) Save(context.Context, string, []byte) error   { return nil }

// AccountKey returns the key under which a Store keeps an account. endpoint is as in
// [Options]; "" means iCloud. The key is the SHA-256 of the endpoint's URL, a zero byte
// and the Apple ID in lower case, as 64 hexadecimal digits. A service can keep the key in
// a column of its own, to find the account's data in the Store and to delete it. The
// errors are those of [New] for these two arguments.
func AccountKey(endpoint, appleID string) (string, error) {
	u, _, err := parseEndpoint(endpoint)
	if err != nil {
		return "", err
	}
	if appleID, err = checkAppleID(appleID); err != nil {
		return "", err
	}
	return storeKey(u, appleID), nil
}

// storeKey returns the key of an account: the same for every spelling of it, and
// nothing in a directory listing that tells whose it is.
func storeKey(endpoint *url.URL, appleID string) string {
	sum := sha256.Sum256([]byte(endpoint.String() + "\x00" + strings.ToLower(appleID)))
	return hex.EncodeToString(sum[:])
}

// lazyStore is how long a use of the Store may take that no verdict depends on. It
// bounds the one timer of this package.
const lazyStore = 10 * time.Second

// storeContext returns the context for a use of the Store in the middle of a call.
// While a Sync of this Client runs inside a transaction of the application, the
// Store may wait for the connection that the transaction holds, for ever.
func (s *session) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	s.lock()
	defer s.mu.Unlock()
	if s.syncing == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, lazyStore)
}

// loadOnce reads the Store before the first request. A Client that could not know
// whether its password is refused must not send it, so a failure fails the call.
func (s *session) loadOnce(ctx context.Context) error {
	if s.loaded() {
		return nil
	}
	ctx, cancel := s.storeContext(ctx)
	defer cancel()
	if err := s.storing.take(ctx); err != nil {
		return err
	}
	defer s.storing.give()
	if s.loaded() {
		return nil
	}
	return s.mergeStore(ctx, false)
}

func (s *session) loaded() bool {
	s.lock()
	defer s.mu.Unlock()
	return s.state.Loaded()
}

// loading is a Client.Load that calls side by side share.
type loading struct {
	done    chan struct{}
	err     error
	dropped bool // its call was cancelled
}

// load reads the Store for Client.Load.
func (s *session) load(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		s.lock()
		l, mine := s.loading, false
		if l == nil {
			l, mine = &loading{done: make(chan struct{}), dropped: true}, true
			s.loading = l
		}
		s.mu.Unlock()
		if mine {
			s.runLoading(ctx, l)
			return l.err
		}
		if err := wait(ctx, l.done); err != nil {
			return err
		}
		if !l.dropped {
			return l.err
		}
	}
}

// runLoading reads the Store, and leaves the outcome in l.
func (s *session) runLoading(ctx context.Context, l *loading) {
	defer func() {
		s.lock()
		s.loading = nil
		s.mu.Unlock()
		close(l.done)
	}()
	l.err = s.storing.take(ctx)
	if l.err == nil {
		l.err = s.mergeStore(ctx, true)
		s.storing.give()
	}
	l.dropped = l.err != nil && ctx.Err() != nil
}

// readStore adds what others have learned, before a probe.
func (s *session) readStore(ctx context.Context) error {
	ctx, cancel := s.storeContext(ctx)
	defer cancel()
	if err := s.storing.take(ctx); err != nil {
		return err
	}
	defer s.storing.give()
	return s.mergeStore(ctx, false)
}

// peekStore does the same if the Store answers in time, and without news for the
// application.
func (s *session) peekStore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lazyStore)
	defer cancel()
	if s.storing.take(ctx) == nil {
		_ = s.mergeStore(ctx, true) // notifyStore tells
		s.storing.give()
	}
}

// mergeStore reads the Store and adds what it has to the state. silent means that
// the application is not told of what others have been told already. The caller
// has the turn in s.storing.
func (s *session) mergeStore(ctx context.Context, silent bool) error {
	data, err := s.store.Load(ctx, s.key)
	var record *authstate.Record
	if err != nil {
		err = &hiddenError{text: "icloud: the Store failed to load key " + s.key + storeFailure(err), err: err}
	} else if record, err = authstate.Decode(data); err != nil {
		err = fmt.Errorf("icloud: the Store's data under key %s is corrupt", s.key)
	}
	s.lock()
	defer s.mu.Unlock()
	if err != nil {
		s.storeFailed(ctx, err, false)
		return err
	}
	if !s.unsaved {
		s.storeErr = nil
	}
	s.state.Merge(record, time.Now(), silent)
	// Under the lock together: no call sees the dates without the book.
	s.recallBook(record.Book, record.Home)
	return nil
}

// updateStore reads the Store, works out what is to be saved beside the state, if
// reject is not nil, and saves. turnErr says why the caller has no turn in
// s.storing; then nothing is read or saved. reject is called whatever happens, and
// under s.mu; the error says that its result is not saved.
func (s *session) updateStore(ctx context.Context, turnErr error, reject func() *authstate.Rejection) (r *authstate.Rejection, err error) {
	if turnErr != nil {
		err = &hiddenError{text: "icloud: the Store was in use until the call ended, key " + s.key, err: turnErr}
	} else {
		err = s.mergeStore(ctx, false)
	}
	s.lock()
	if reject != nil {
		r = reject()
	}
	var data []byte
	if err == nil {
		address, home := s.book.saved()
		data, err = s.state.Save(r, address, home, time.Now())
	}
	s.mu.Unlock()
	if err == nil {
		if err = s.store.Save(ctx, s.key, data); err != nil {
			err = &hiddenError{text: "icloud: the Store failed to save key " + s.key + storeFailure(err), err: err}
		}
	}
	s.lock()
	defer s.mu.Unlock()
	if err == nil {
		s.state.Saved(time.Now())
		s.storeErr, s.unsaved = nil, false
		return r, nil
	}
	s.state.SaveFailed(r != nil, errors.Is(ctx.Err(), context.DeadlineExceeded), time.Now())
	s.storeFailed(ctx, err, true)
	return r, err
}

// storeFailed notes why the Store could not be used. That the call was given up is
// no fault of the Store's. The caller holds s.mu.
func (s *session) storeFailed(ctx context.Context, err error, save bool) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.storeErr, s.unsaved = err, s.unsaved || save
	}
}

// saveDue saves what is due at the end of a call, or before Sync's first apply. A
// call that has not decided anything waits for the Store no longer than lazyStore.
func (s *session) saveDue(ctx context.Context) {
	due := s.due()
	// A call whose context has ended leaves it to the next one: that the Store cannot
	// be used with it says nothing about the Store.
	if due == authstate.DueNothing || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lazyStore)
	defer cancel()
	// One of many concurrent calls is enough, unless it is urgent.
	if due == authstate.DueNow {
		if s.storing.take(ctx) != nil {
			return
		}
	} else if _, free := s.storing.try(); !free {
		return
	}
	defer s.storing.give()
	if due == authstate.DueRead && s.mergeStore(ctx, false) != nil {
		return
	}
	// What is due may have changed: by what was read, or by another call.
	if due = s.due(); due == authstate.DueNow || due == authstate.DueLazily {
		_, _ = s.updateStore(ctx, nil, nil) // Status.StoreErr tells
	}
}

func (s *session) due() authstate.Due {
	s.lock()
	defer s.mu.Unlock()
	return s.state.Due(time.Now())
}

// saveAtOnce saves a verdict that could not be saved when it was reached, or takes
// one back.
func (s *session) saveAtOnce(ctx context.Context) error {
	ctx, cancel := s.storeContext(ctx)
	defer cancel()
	if err := s.storing.take(ctx); err != nil {
		return err
	}
	defer s.storing.give()
	_, err := s.updateStore(ctx, nil, nil)
	return err
}

// notifyStore calls OnStoreError if the Store has begun to fail, or to work again.
func (s *session) notifyStore(ctx context.Context) {
	s.lock()
	err := s.storeErr
	news := (err != nil) != s.storeTold
	s.storeTold = err != nil
	s.mu.Unlock()
	if news && s.onStoreError != nil {
		s.onStoreError(ctx, err)
	}
}
