package icloudtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// memory is a Store that keeps every promise.
type memory struct {
	mu   sync.Mutex
	data map[string][]byte
}

func newMemory() *memory { return &memory{data: make(map[string][]byte)} }

func (m *memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data[key]), nil
}

func (m *memory) Save(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[key] = bytes.Clone(data)
	return nil
}

// wrapped is a Store with one or both of its methods replaced.
type wrapped struct {
	icloud.Store
	load func(ctx context.Context, key string) ([]byte, error)
	save func(ctx context.Context, key string, data []byte) error
}

func (w wrapped) Load(ctx context.Context, key string) ([]byte, error) {
	if w.load != nil {
		return w.load(ctx, key)
	}
	return w.Store.Load(ctx, key)
}

func (w wrapped) Save(ctx context.Context, key string, data []byte) error {
	if w.save != nil {
		return w.save(ctx, key, data)
	}
	return w.Store.Save(ctx, key, data)
}

// renamed changes the keys.
func renamed(rename func(string) string) icloud.Store {
	m := newMemory()
	return wrapped{
		load: func(ctx context.Context, key string) ([]byte, error) { return m.Load(ctx, rename(key)) },
		save: func(ctx context.Context, key string, data []byte) error { return m.Save(ctx, rename(key), data) },
	}
}

// changed changes the data.
func changed(change func([]byte) []byte) icloud.Store {
	m := newMemory()
	return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error { return m.Save(ctx, key, change(data)) }}
}

// strict refuses keys that do not have the form of a Client's keys, which is allowed.
func strict() icloud.Store {
	m := newMemory()
	bad := func(key string) error {
		if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
			return errors.New("not a key")
		}
		return nil
	}
	return wrapped{
		load: func(ctx context.Context, key string) ([]byte, error) {
			if err := bad(key); err != nil {
				return nil, err
			}
			return m.Load(ctx, key)
		},
		save: func(ctx context.Context, key string, data []byte) error {
			if err := bad(key); err != nil {
				return err
			}
			return m.Save(ctx, key, data)
		},
	}
}

// careless ignores the context, which is allowed if the Store is fast.
func careless() icloud.Store {
	m := newMemory()
	return wrapped{
		load: func(ctx context.Context, key string) ([]byte, error) { return m.Load(context.WithoutCancel(ctx), key) },
		save: func(ctx context.Context, key string, data []byte) error {
			return m.Save(context.WithoutCancel(ctx), key, data)
		},
	}
}

func TestGoodStores(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]icloud.Store{"any key": newMemory(), "strict": strict(), "careless": careless()} {
		for range 2 { // data that the first run has left must not disturb the second
			if err := icloudtest.TestStore(store); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	m := newMemory()
	m.data["mine"] = []byte("kept")
	if err := icloudtest.TestStore(m); err != nil {
		t.Error(err)
	}
	for key, data := range m.data {
		if (key == "mine") != (len(data) > 0) {
			t.Errorf("afterwards: %q holds %q; want what was there, and nothing else", key, data)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if err := icloudtest.TestStore(newMemory()); err != nil {
			t.Errorf("in a bubble: %v", err)
		}
	})
}

// TestBrokenStores: each Store breaks one promise, and the error says which.
func TestBrokenStores(t *testing.T) {
	t.Parallel()
	broken := []struct {
		what  string
		want  string // in the error
		store func() icloud.Store
	}{
		{"an unknown key is an error", "unknown key", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, load: func(ctx context.Context, key string) ([]byte, error) {
				data, err := m.Load(ctx, key)
				if err == nil && data == nil {
					return nil, os.ErrNotExist
				}
				return data, err
			}}
		}},
		{"an unknown key has data", "unknown key", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, load: func(ctx context.Context, key string) ([]byte, error) {
				data, err := m.Load(ctx, key)
				if err == nil && data == nil {
					return []byte("{}"), nil
				}
				return data, err
			}}
		}},
		{"trims white space", "what was saved", func() icloud.Store { return changed(bytes.TrimSpace) }},
		{"takes data for text", "what was saved", func() icloud.Store {
			return changed(func(data []byte) []byte { return bytes.ToValidUTF8(data, []byte("?")) })
		}},
		{"ends at a zero byte", "what was saved", func() icloud.Store {
			return changed(func(data []byte) []byte { before, _, _ := bytes.Cut(data, []byte{0}); return before })
		}},
		{"keeps 64 KiB", "what was saved", func() icloud.Store {
			return changed(func(data []byte) []byte { return data[:min(len(data), 65535)] })
		}},
		{"writes over the beginning", "what was saved", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				old, err := m.Load(ctx, key)
				if err != nil {
					return err
				}
				return m.Save(ctx, key, append(bytes.Clone(data), old[min(len(data), len(old)):]...))
			}}
		}},
		{"keeps the first", "what was saved", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if old, err := m.Load(ctx, key); err != nil || old != nil {
					return err
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"does not save nothing", "what was saved", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if len(data) == 0 {
					return ctx.Err()
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"refuses to save nothing", "Save of 0 bytes", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if len(data) == 0 {
					return errors.New("no data")
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"refuses nothing under a new key", "Save of 0 bytes", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if old, _ := m.Load(ctx, key); len(data) == 0 && old == nil {
					return errors.New("no data")
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"has one place for all keys", "another key", func() icloud.Store { return renamed(func(string) string { return "" }) }},
		{"looks at half of the key", "key", func() icloud.Store { return renamed(func(key string) string { return key[:min(len(key), 32)] }) }},
		{"looks at 63 digits of the key", "another key", func() icloud.Store { return renamed(func(key string) string { return key[:min(len(key), 63)] }) }},
		{"looks at 64 bytes of the key", "key", func() icloud.Store { return renamed(func(key string) string { return key[:min(len(key), 64)] }) }},
		{"takes a key for a path", "key", func() icloud.Store { return renamed(path.Clean) }},
		{"takes a path's last part", "key", func() icloud.Store { return renamed(path.Base) }},
		{"cleans a key at the root", "key", func() icloud.Store { return renamed(func(key string) string { return path.Clean("/" + key) }) }},
		{"folds case", "key", func() icloud.Store { return renamed(strings.ToLower) }},
		{"ignores white space at the end of a key", "key", func() icloud.Store { return renamed(strings.TrimSpace) }},
		{"ends a key at a zero byte", "key", func() icloud.Store {
			return renamed(func(key string) string { before, _, _ := strings.Cut(key, "\x00"); return before })
		}},
		{"drops keys that it does not like", "accepted by Save", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if len(key) != 64 {
					return nil
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"writes to a neighbour's temporary file", "key", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if err := m.Save(ctx, key+".tmp", data); err != nil {
					return err
				}
				return m.Save(ctx, key, data)
			}}
		}},
		{"refuses a key, and harms another", "another key, after Save under", func() icloud.Store {
			m, s := newMemory(), strict()
			return wrapped{
				load: func(ctx context.Context, key string) ([]byte, error) {
					if _, err := s.Load(ctx, key); err != nil {
						return nil, err
					}
					return m.Load(ctx, key)
				},
				save: func(ctx context.Context, key string, data []byte) error {
					if err := s.Save(ctx, key, nil); err != nil {
						return errors.Join(err, m.Save(ctx, path.Base(key), nil))
					}
					return m.Save(ctx, key, data)
				},
			}
		}},
		{"keeps the caller's slice", "modified what it had saved", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if ctx.Err() == nil {
					m.data[key] = data
				}
				return ctx.Err()
			}}
		}},
		{"returns its own slice", "modified what it had loaded", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, load: func(ctx context.Context, key string) ([]byte, error) {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.data[key], ctx.Err()
			}}
		}},
		{"loads nothing with a cancelled context, and no error", "Load with a cancelled context", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, load: func(ctx context.Context, key string) ([]byte, error) {
				data, err := m.Load(ctx, key)
				if ctx.Err() != nil {
					return nil, nil
				}
				return data, err
			}}
		}},
		{"saves nothing with a cancelled context, and no error", "a Save that returned no error for a cancelled context", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				err := m.Save(ctx, key, data)
				if ctx.Err() != nil {
					return nil
				}
				return err
			}}
		}},
		{"saves, and says that it did not", "a Save that was cancelled", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				return errors.Join(m.Save(context.WithoutCancel(ctx), key, data), ctx.Err())
			}}
		}},
		{"hides why it did not load", "Load with a cancelled context", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, load: func(ctx context.Context, key string) ([]byte, error) {
				data, err := m.Load(ctx, key)
				if err != nil {
					err = fmt.Errorf("query: %v", err)
				}
				return data, err
			}}
		}},
		{"hides why it did not save", "Save with a cancelled context", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if err := m.Save(ctx, key, data); err != nil {
					return fmt.Errorf("exec: %v", err)
				}
				return nil
			}}
		}},
		{"writes in two steps", "concurrent Load", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if err := m.Save(ctx, key, data[:len(data)/2]); err != nil {
					return err
				}
				runtime.Gosched()
				return m.Save(ctx, key, data)
			}}
		}},
		{"truncates before it writes", "concurrent Load", func() icloud.Store {
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if err := m.Save(ctx, key, nil); err != nil {
					return err
				}
				runtime.Gosched()
				return m.Save(ctx, key, data)
			}}
		}},
		{"loses what is saved at the same time", "other keys", func() icloud.Store {
			// This is like one file for all accounts that is read, changed and written.
			m := newMemory()
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				m.mu.Lock()
				all := maps.Clone(m.data)
				m.mu.Unlock()
				all[key] = bytes.Clone(data)
				runtime.Gosched()
				m.mu.Lock()
				m.data = all
				m.mu.Unlock()
				return nil
			}}
		}},
		{"fails when it is busy", "concurrent Save", func() icloud.Store {
			m := newMemory()
			var busy sync.Mutex
			return wrapped{Store: m, save: func(ctx context.Context, key string, data []byte) error {
				if !busy.TryLock() {
					return errors.New("database is locked")
				}
				defer busy.Unlock()
				runtime.Gosched()
				return m.Save(ctx, key, data)
			}}
		}},
		{"does not save at all", "Save of", func() icloud.Store {
			return wrapped{Store: newMemory(), save: func(context.Context, string, []byte) error { return errors.New("disk full") }}
		}},
		{"does not load at all", "Load", func() icloud.Store {
			return wrapped{Store: newMemory(), load: func(context.Context, string) ([]byte, error) { return nil, errors.New("permission denied") }}
		}},
	}
	for _, test := range broken {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			err := icloudtest.TestStore(test.store())
			if err == nil {
				t.Fatal("not caught")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error does not say %q:\n%v", test.want, err)
			}
		})
	}
}
