// Wall time over a slow line, which is the time that people wait.

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud"
)

const (
	roundTrip = 80 * time.Millisecond
	bandwidth = 20_000_000 // bits a second
	changes   = 10
)

// A tripTask is one thing that is done once over the line.
type tripTask struct {
	access
	Client string
	What   string
	Gzip   bool
	Apple  bool   // with iCloud's two host names, and not with the loopback's one
	Since  string // the token, for the sync
}

// The things that are done over the line.
const (
	firstListing = "first listing"
	remembered   = "remembered listing"
	openListing  = "remembered listing, open connection"
	syncChanges  = "sync of 10 changes, open connection"
)

// A trip has the time, the requests and the connections of a tripTask.
type trip struct {
	Wall        time.Duration
	Contacts    int
	Requests    int64
	Connections int64 // to the line, including one that was open before; each is one TLS handshake
}

// measureTrips runs in the process of a tripTask. The process has no connection to the line
// yet, so it opens one, unless the task is one with an open connection.
func measureTrips(t tripTask) (trip, error) {
	ctx := context.Background()
	l, err := newLine(t.Addr, roundTrip, bandwidth)
	if err != nil {
		return trip{}, err
	}
	way, err := t.transport(l.addr(), t.Gzip)
	if err != nil {
		return trip{}, err
	}
	slow := &counter{RoundTripper: way}
	// Preparations are done over a fast line. They only let the client know the account.
	fast, err := t.transport(t.Addr, true)
	if err != nil {
		return trip{}, err
	}
	var done trip
	switch t.Client {
	case ours:
		done, err = t.ours(ctx, slow, fast)
	case gowebdav:
		done, err = t.peer(ctx, slow, fast)
	default:
		err = fmt.Errorf("no client of the name %q", t.Client)
	}
	done.Connections = l.opened.Load()
	return done, err
}

// A counter is a transport that counts requests.
type counter struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// ours does the task with this package. The Client gets what it remembers from the Store
// that an earlier Client has used, as after a restart.
func (t tripTask) ours(ctx context.Context, slow *counter, fast http.RoundTripper) (trip, error) {
	store := make(mapStore)
	connect := func(way http.RoundTripper) (*icloud.Client, error) {
		opts := &icloud.Options{Endpoint: t.url(), Transport: way, Store: store}
		if t.Apple {
			opts.Endpoint = ""
		}
		return icloud.New(t.credential(), opts)
	}
	if t.What != firstListing {
		before, err := connect(fast)
		if err != nil {
			return trip{}, err
		}
		if _, err := count(ctx, before); err != nil {
			return trip{}, err
		}
	}
	client, err := connect(slow)
	if err != nil {
		return trip{}, err
	}
	switch t.What {
	case firstListing, remembered:
		return slow.clock(func() (int, error) { return count(ctx, client) })
	case openListing:
		// One request, which leaves its connection open.
		if err := client.Authenticate(ctx); err != nil {
			return trip{}, err
		}
		return slow.clock(func() (int, error) { return count(ctx, client) })
	case syncChanges:
		if err := client.Authenticate(ctx); err != nil {
			return trip{}, err
		}
		return slow.clock(func() (n int, err error) {
			_, err = client.Sync(ctx, t.Since, func(c icloud.Change) error {
				if c.Contact != nil {
					n++
				}
				return nil
			})
			return n, err
		})
	}
	return trip{}, errors.New("nothing to do")
}

// peer does the task with go-webdav. go-webdav remembers nothing. Here its user has kept the
// path of the address book and the sync token.
func (t tripTask) peer(ctx context.Context, slow *counter, fast http.RoundTripper) (trip, error) {
	if t.What == firstListing {
		return slow.clock(func() (int, error) {
			p, err := t.access.peer(ctx, slow)
			if err != nil {
				return 0, err
			}
			return p.list(ctx)
		})
	}
	way := http.RoundTripper(slow) // which opens the connection
	if t.What == remembered {
		way = fast
	}
	p, err := t.access.peer(ctx, way)
	if err != nil {
		return trip{}, err
	}
	if t.What == remembered {
		// The program has kept the path of the address book.
		if err := p.connect(slow); err != nil {
			return trip{}, err
		}
	}
	if t.What == syncChanges {
		return slow.clock(func() (int, error) { return p.sync(ctx, t.Since) })
	}
	return slow.clock(func() (int, error) { return p.list(ctx) })
}

// clock measures how long f takes, and how many requests it sends.
func (c *counter) clock(f func() (int, error)) (trip, error) {
	c.n.Store(0)
	began := time.Now()
	n, err := f()
	return trip{Wall: time.Since(began), Contacts: n, Requests: c.n.Load()}, err
}

// mapStore is a Store for one goroutine at a time.
type mapStore map[string][]byte

func (s mapStore) Load(_ context.Context, key string) ([]byte, error) { return s[key], nil }

func (s mapStore) Save(_ context.Context, key string, data []byte) error {
	s[key] = append([]byte(nil), data...)
	return nil
}

// A journey is a tripTask and its trip.
type journey struct {
	tripTask
	trip
	Err error // not nil if the client cannot do the task
}

// tokens are the sync tokens of a book before its changes. Our token contains more than the
// server's token, so each client has its own.
type tokens struct{ Ours, Theirs string }

// newTokens gets the tokens.
func newTokens(ctx context.Context, s *server) (t tokens, err error) {
	way, err := s.transport(s.Addr, false)
	if err != nil {
		return t, err
	}
	client, err := icloud.New(s.credential(), &icloud.Options{Endpoint: s.url(), Transport: way})
	if err != nil {
		return t, err
	}
	if t.Ours, err = client.Sync(ctx, "", func(icloud.Change) error { return nil }); err != nil {
		return t, err
	}
	p, err := s.peer(ctx, way)
	if err != nil {
		return t, err
	}
	t.Theirs, err = p.token(ctx)
	return t, err
}

// journeys does all tasks over a slow line to a server. Each is done twice and the second
// counts, because for the first the server had to render its answers.
func journeys(s *server) ([]journey, error) {
	since, err := newTokens(context.Background(), s)
	if err != nil {
		return nil, err
	}
	if err := s.change(changes); err != nil {
		return nil, err
	}
	var tasks []tripTask
	for _, what := range []string{firstListing, remembered, openListing, syncChanges} {
		tasks = append(tasks,
			tripTask{s.access, ours, what, true, false, since.Ours},
			tripTask{s.access, gowebdav, what, true, false, since.Theirs})
	}
	// With iCloud's names, discovery begins at one host and the address book is on
	// another, and net/http opens a connection for each name. go-webdav cannot do this,
	// because it ignores the second host.
	tasks = append(tasks,
		tripTask{s.access, ours, firstListing, true, true, ""},
		tripTask{s.access, ours, firstListing, false, false, ""},
		tripTask{s.access, gowebdav, firstListing, false, false, ""})
	var all []journey
	for _, task := range tasks {
		j := journey{tripTask: task}
		for range 2 {
			if j.trip, j.Err = run[trip]("trips", task); j.Err != nil {
				break
			}
		}
		all = append(all, j)
	}
	return all, nil
}
