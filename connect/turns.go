// One form at a time for each account, so that of two forms with the same link the
// second one finds that the link was used.

package connect

import (
	"context"
	"sync"
)

// turns is a lock for each account. Its zero value is ready.
type turns struct {
	mu   sync.Mutex // guards what follows
	held map[string]*turn
}

// turn is the lock of one account. It exists while somebody holds it or waits for it.
type turn struct {
	free  chan struct{} // contains one value while nobody holds the lock
	users int           // how many hold it or wait for it
}

// take waits for the turn of an account, until ctx ends. Unless it returns an error,
// the caller must call give afterwards.
func (t *turns) take(ctx context.Context, id string) (give func(), err error) {
	t.mu.Lock()
	mine := t.held[id]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		if t.held == nil {
			t.held = make(map[string]*turn)
		}
		t.held[id] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.held, id)
		}
	}
	select {
	case <-mine.free:
		return func() {
			mine.free <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
