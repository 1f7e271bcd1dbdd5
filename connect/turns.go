// One form at a time for each account, so that the second of two who use the same
// link meets a link that was used.

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

// turn is there for as long as somebody has it or waits for it.
type turn struct {
	free  chan struct{} // holds one value while nobody has it
	users int
}

// take waits for the turn of an account, no longer than ctx lasts. Unless it
// returns an error, the caller calls give afterwards.
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
