// The conformance test for implementations of icloud.Store.

package icloudtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/go-icloud/icloud"
)

// TestStore tests whether store keeps all promises of [icloud.Store]. It returns an error
// that names each broken promise, or nil. In a test:
//
//	if err := icloudtest.TestStore(myStore); err != nil {
//		t.Fatal(err)
//	}
//
// The promises are these:
//
//   - Load returns nil data and no error for a key under which nothing was saved.
//   - Load returns what was saved byte for byte, also empty data, binary data and a
//     megabyte. Another Save replaces the data.
//   - A key is 64 lower-case hexadecimal digits, and each key has its own data. With a key
//     of another form, such as a path or upper-case digits, Save either saves the data or
//     returns an error. It never changes the data of another key.
//   - The Store and its caller share no memory: the caller may modify the data that it has
//     saved or loaded.
//   - With a cancelled context, Load and Save return an error that is [context.Canceled],
//     and Save saves nothing. A Store that ignores its context, for example one in memory,
//     may instead succeed.
//   - Load and Save may be called concurrently. Load returns the complete data of one Save,
//     and a Save under one key loses no data under another.
//
// TestStore uses keys that it chooses at random, and leaves them with empty data. So a Store
// that is in use can be tested.
func TestStore(store icloud.Store) error {
	t := storeTest{Store: store}
	// The later checks rely on the earlier ones.
	t.unknown()
	t.bytes()
	t.keys()
	t.memory()
	t.cancelled()
	t.concurrent()
	for _, key := range t.used {
		// An error of Save was reported before.
		_ = store.Save(context.Background(), key, nil)
	}
	return errors.Join(t.errs...)
}

// storeTest is one run of TestStore.
type storeTest struct {
	icloud.Store
	used []string // keys to clear
	errs []error
}

func (t *storeTest) errorf(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf("icloudtest: Store: "+format, args...))
}

// key returns a new random key in the form of icloud.AccountKey.
func (t *storeTest) key() string {
	var b [32]byte
	rand.Read(b[:])
	key := hex.EncodeToString(b[:])
	t.used = append(t.used, key)
	return key
}

// save saves data. If that fails, it reports the error and returns false.
func (t *storeTest) save(key string, data []byte) bool {
	if err := t.Save(context.Background(), key, data); err != nil {
		t.errorf("Save of %d bytes: %w", len(data), err)
		return false
	}
	return true
}

// want reports an error if Load does not return want. what names the promise.
func (t *storeTest) want(what, key string, want []byte) {
	got, err := t.Load(context.Background(), key)
	switch {
	case err != nil:
		t.errorf("%s: Load: %w", what, err)
	case !bytes.Equal(got, want):
		t.errorf("%s: loaded %s, want %s", what, brief(got), brief(want))
	}
}

// brief describes data in a line.
func brief(data []byte) string {
	if len(data) > 24 {
		return fmt.Sprintf("%d bytes, %q…", len(data), data[:24])
	}
	return fmt.Sprintf("%q", data)
}

func (t *storeTest) unknown() {
	switch data, err := t.Load(context.Background(), t.key()); {
	case err != nil:
		t.errorf("Load of an unknown key: %w; want no error", err)
	case data != nil:
		t.errorf("Load of an unknown key: %s; want nil", brief(data))
	}
}

func (t *storeTest) bytes() {
	every := make([]byte, 1<<20)
	for i := range every {
		every[i] = byte(i + i>>8) // all values, and no two equal blocks
	}
	for _, data := range [][]byte{
		[]byte(`{"version":1}`),
		every,                   // may be too long for a column, a packet or a buffer
		[]byte("  shorter \n "), // replaces all of the longer data, and is not trimmed
		{},
		{0},
		[]byte("\x00\xff\xfe\r\n\x1a\\'\"%"), // not text in any encoding
		nil,
	} {
		key := t.used[0] // the same key, so that each Save replaces the data of the last one
		if t.save(key, data) {
			t.want("what was saved", key, data)
		}
	}
	// No bytes under a key without data.
	if key := t.key(); t.save(key, nil) {
		t.want("no bytes saved under a new key", key, nil)
	}
}

func (t *storeTest) keys() {
	a, b := t.key(), t.key()
	near := a[:63] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", a[63])+1)%16])
	t.used = append(t.used, near)
	kept := map[string][]byte{a: []byte("a"), b: []byte("b"), near: []byte("near")}
	for key, data := range kept {
		if !t.save(key, data) {
			return
		}
	}
	intact := func(after string) {
		for key, data := range kept {
			t.want("another key, "+after, key, data)
		}
	}
	intact("after keys that were saved side by side")
	for _, key := range []string{
		"", ".", "..", "/", "../" + a, "./" + a, a + "/", a + "/../" + b, "/" + a, `..\` + a, "x/../" + a,
		a + ".tmp", a + "\x00", a + " ", " " + a, a + "\n", a[:32], "%", "_", strings.Repeat("_", 64), "' OR '1'='1",
		strings.ToUpper(a), a + b, strings.Repeat(a, 100), "\xff\xfe", "é", "e\u0301",
	} {
		// Before Save there must be no data under the key, in particular not another
		// key's.
		if got, err := t.Load(context.Background(), key); err == nil && len(got) > 0 {
			t.errorf("key %.80q, never saved: loaded %s", key, brief(got))
			continue
		}
		data := []byte("of " + key)
		if err := t.Save(context.Background(), key, data); err == nil {
			t.used = append(t.used, key)
			t.want(fmt.Sprintf("key %.80q, accepted by Save", key), key, data)
		}
		intact(fmt.Sprintf("after Save under %.80q", key))
	}
}

func (t *storeTest) memory() {
	key, data := t.key(), []byte("saved")
	if !t.save(key, data) {
		return
	}
	copy(data, "XXXXX")
	t.want("after the caller modified what it had saved", key, []byte("saved"))
	if got, err := t.Load(context.Background(), key); err == nil {
		copy(got, "YYYYY")
	}
	t.want("after the caller modified what it had loaded", key, []byte("saved"))
}

func (t *storeTest) cancelled() {
	key := t.key()
	if !t.save(key, []byte("before")) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	want := []byte("before")
	switch err := t.Save(ctx, key, []byte("after")); {
	case err == nil:
		want = []byte("after")
		t.want("after a Save that returned no error for a cancelled context", key, want)
	case !errors.Is(err, context.Canceled):
		t.errorf("Save with a cancelled context: %v; want context.Canceled", err)
		fallthrough
	default:
		t.want("after a Save that was cancelled", key, want)
	}
	switch got, err := t.Load(ctx, key); {
	case err == nil && !bytes.Equal(got, want):
		t.errorf("Load with a cancelled context: loaded %s and no error, want %s or context.Canceled", brief(got), brief(want))
	case err != nil && !errors.Is(err, context.Canceled):
		t.errorf("Load with a cancelled context: %v; want context.Canceled", err)
	}
}

func (t *storeTest) concurrent() {
	const workers, rounds = 8, 20
	shared := t.key()
	// Each version has its own length and letter, so that a mixture of two is noticed.
	version := func(i int) []byte { return bytes.Repeat([]byte{'a' + byte(i)}, 1000*(i+1)) }
	whole := func(data []byte) bool {
		return len(data) > 0 && bytes.Equal(data, version(int(data[0]-'a')))
	}
	if !t.save(shared, version(0)) {
		return
	}
	var own [workers]string
	for i := range own {
		own[i] = t.key()
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error // only the first error is reported, because the others are similar
	)
	fail := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = fmt.Errorf(format, args...)
		}
	}
	for i := range workers {
		wg.Go(func() {
			for range rounds {
				if err := t.Save(context.Background(), shared, version(i)); err != nil {
					fail("concurrent Save: %w", err)
				}
				if err := t.Save(context.Background(), own[i], version(i)); err != nil {
					fail("concurrent Save: %w", err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				data, err := t.Load(context.Background(), shared)
				if err != nil {
					fail("concurrent Load: %w", err)
				} else if !whole(data) {
					fail("concurrent Load: %s, which no Save has written", brief(data))
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	if first != nil {
		t.errorf("%w", first)
	}
	for i, key := range own {
		t.want("after concurrent Saves under other keys", key, version(i))
	}
}
