// Many accounts in one process: a service has thousands of Clients.

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-icloud/icloud"
)

// An accountsTask has many clients. Each signs in and lists its book of Cards once, AtOnce
// of them at a time.
type accountsTask struct {
	access
	Client   string
	Accounts int
	Cards    int
	AtOnce   int
}

// account returns the access of one of many accounts. The server does not care
// who asks, but in a Store each account has its own key.
func (t accountsTask) account(i int) access {
	a := t.access
	a.AppleID = fmt.Sprintf("account%d@example.com", i)
	return a
}

// measureAccounts runs in the process of all clients of one kind. They share a transport
// and its connections, as the Clients of a service do.
func measureAccounts(t accountsTask) (f figure, err error) {
	way, err := t.transport(t.Addr, true)
	if err != nil {
		return f, err
	}
	all := func() error {
		return t.each(func(ctx context.Context, a access) error {
			list, err := a.lister(ctx, t.Client, way)
			if err != nil {
				return err
			}
			n, err := list(ctx)
			if err == nil && n >= 0 && n != t.Cards {
				err = fmt.Errorf("%d contacts, not %d", n, t.Cards)
			}
			return err
		})
	}
	// The first time fills the server's memory and the pools of this process.
	if err := all(); err != nil {
		return f, err
	}
	f, err = measure(all, func(walls []time.Duration) bool { return len(walls) == 3 })
	f.Peak = peakMemory()
	return f, err
}

// each calls f for each account, AtOnce of them at a time.
func (t accountsTask) each(f func(context.Context, access) error) error {
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(t.AtOnce)
	for i := range t.Accounts {
		group.Go(func() error { return f(ctx, t.account(i)) })
	}
	return group.Wait()
}

// measureIdle returns how many bytes of heap a Client takes that has listed its
// book once, has a Store, and has nothing to do.
func measureIdle(t accountsTask) (bytes int64, err error) {
	way, err := t.transport(t.Addr, true)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	list := func(ctx context.Context, a access) (*icloud.Client, error) {
		client, err := icloud.New(a.credential(), &icloud.Options{Endpoint: a.url(), Transport: way, Store: fileStore(dir)})
		if err != nil {
			return nil, err
		}
		_, err = count(ctx, client)
		return client, err
	}
	// One Client is made before, for what all of them share: tables, pools and the runtime's
	// own memory.
	first, err := list(context.Background(), t.account(-1))
	if err != nil {
		return 0, err
	}
	clients := make([]*icloud.Client, t.Accounts)
	before, err := idleHeap(way)
	if err != nil {
		return 0, err
	}
	var next atomic.Int64
	err = t.each(func(ctx context.Context, a access) (err error) {
		clients[next.Add(1)-1], err = list(ctx, a)
		return err
	})
	if err != nil {
		return 0, err
	}
	after, err := idleHeap(way)
	if err != nil {
		return 0, err
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(clients)
	return (after - before) / int64(t.Accounts), nil
}

// idleHeap returns the bytes of heap in use when no connection is open and all
// garbage is gone.
func idleHeap(way http.RoundTripper) (int64, error) {
	closer, ok := way.(interface{ CloseIdleConnections() })
	if !ok {
		return 0, errors.New("connections cannot be closed")
	}
	closer.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // for their goroutines to end
	for range 3 {                      // what a pool or a finalizer keeps takes another
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), nil
}

// fileStore is a Store in a directory, so that its data is not on the heap. It is fast and
// not safe: icloud.DirStore waits for the disk, and this does not.
type fileStore string

func (s fileStore) Load(_ context.Context, key string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(s), key))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (s fileStore) Save(_ context.Context, key string, data []byte) error {
	return os.WriteFile(filepath.Join(string(s), key), data, 0o600)
}
