// The schedule of very many accounts, over simulated days.

package main

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

var (
	manyAccounts     = flag.Int("fleet.accounts", 100_000, "accounts of which TestSchedule simulates the schedule")
	incidentAccounts = flag.Int("fleet.incident", 1_500, "accounts, each with its Client, that TestIncident takes through an incident at Apple")
)

var hourly = schedule{every: time.Hour, sweep: 10 * time.Second}

// How many polls the busiest minute may have, as a multiple of the average one. A sweep's
// share is less than the first number. The second is below a share, so that the slots alone
// must keep to it.
const (
	mostPolls  = 1.2
	mostByHash = 1.1
)

// world has many accounts. It does what a sweep and a run do with accounts.due, without
// their SQL and I/O.
type world struct {
	schedule
	due     dueHeap
	waiting []int64 // jobs for which no worker is free
	polled  map[int64]time.Time
	poll    func(account int64) (icloud.Status, error) // nil: every poll succeeds

	// workers is how many jobs end between two sweeps; 0: all of them.
	workers int
	down    bool // no worker runs

	began   time.Time
	minutes []int // polls in each
}

func newWorld(s schedule) *world {
	return &world{schedule: s, polled: make(map[int64]time.Time), began: time.Now()}
}

// connect adds an account, which is polled at once.
func (w *world) connect(account int64) { w.run(account) }

// run polls an account.
func (w *world) run(account int64) {
	minute := int(time.Since(w.began) / time.Minute)
	for len(w.minutes) <= minute {
		w.minutes = append(w.minutes, 0)
	}
	w.minutes[minute]++
	var status icloud.Status
	var err error
	if w.poll != nil {
		status, err = w.poll(account)
	}
	w.polled[account] = time.Now()
	heap.Push(&w.due, dueAccount{account, w.next(account, status, err, time.Now())})
}

// live lets time pass and runs the sweeps.
func (w *world) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(w.sweep)
		if w.down {
			continue
		}
		for n := w.share(len(w.polled), len(w.waiting)); n > 0 && len(w.due) > 0 && !w.due[0].at.After(time.Now()); n-- {
			w.waiting = append(w.waiting, heap.Pop(&w.due).(dueAccount).account)
		}
		n := len(w.waiting)
		if w.workers > 0 {
			n = min(n, w.workers)
		}
		for _, account := range w.waiting[:n] {
			w.run(account)
		}
		w.waiting = w.waiting[n:]
	}
}

// peak returns the number of polls in the busiest minute since then, and checks it.
func (w *world) peak(t *testing.T, when string, since time.Time, limit float64) {
	t.Helper()
	most := 0
	for _, n := range w.minutes[min(int(since.Sub(w.began)/time.Minute), len(w.minutes)):] {
		most = max(most, n)
	}
	mean := float64(len(w.polled)) * float64(time.Minute) / float64(w.every)
	t.Logf("%s: %d polls in the busiest minute, %.2f times the mean of %.0f", when, most, float64(most)/mean, mean)
	if ratio := float64(most) / mean; ratio > limit {
		t.Errorf("%s: got %.2f times the mean in the busiest minute, want at most %v", when, ratio, limit)
	}
}

// fresh checks that no account was polled before then.
func (w *world) fresh(t *testing.T, when string, since time.Time) {
	t.Helper()
	old := 0
	for _, at := range w.polled {
		if at.Before(since) {
			old++
		}
	}
	if old > 0 {
		t.Errorf("%s: %d accounts have not been polled since", when, old)
	}
}

type dueAccount struct {
	account int64
	at      time.Time
}

// dueHeap is the index of accounts.due.
type dueHeap []dueAccount

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueAccount)) }
func (h *dueHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// onboard connects accounts within an hour, most of them in the first minutes, and lets
// another hour pass.
func onboard(s schedule, accounts int) *world {
	w := newWorld(s)
	random := rand.New(rand.NewPCG(1, 2))
	connects := make([]int, time.Hour/s.sweep)
	for range accounts {
		connects[random.IntN(1+random.IntN(len(connects)))]++
	}
	account := int64(0)
	for _, n := range connects {
		for range n {
			account++
			w.connect(account)
		}
		w.live(s.sweep)
	}
	w.live(time.Hour)
	return w
}

// The accounts were connected within one hour. Whatever happens after that, no minute is
// much busier than another, and no account is forgotten.
func TestSchedule(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		what func(w *world)
		most float64
	}{
		{"all is well", func(*world) {}, mostByHash},
		{"all workers are restarted", func(w *world) {
			w.down = true
			w.live(2 * time.Minute)
			w.down = false
		}, mostPolls},
		{"no worker runs for three hours", func(w *world) {
			w.down = true
			w.live(3*time.Hour + 25*time.Minute)
			w.down = false
		}, mostPolls},
		{"all accounts become due at once", func(w *world) {
			for i := range w.due {
				w.due[i].at = time.Now()
			}
			heap.Init(&w.due)
		}, mostPolls},
		{"every job takes so long that the workers are behind for three hours", func(w *world) {
			w.workers = 20
			w.live(3 * time.Hour)
			w.workers = 0
		}, mostPolls},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := onboard(hourly, *manyAccounts)
				test.what(w)
				since := time.Now()
				w.live(time.Hour)
				// An account that was polled just before may have a later slot.
				w.fresh(t, "an hour later", since.Add(-w.every/2))
				w.live(5 * time.Hour)
				w.peak(t, "in the six hours that follow", since, test.most)
				w.fresh(t, "in the last hour", time.Now().Add(-time.Hour-w.sweep))
			})
		})
	}
}

// A slot depends on the account, and is between half an interval and one and a half
// intervals away.
func TestSlot(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		s := schedule{every: time.Second + rand.N(30*time.Hour)}
		account, now := int64(random.Uint64()>>1), time.Unix(random.Int64N(1<<33), random.Int64N(1e9))
		slot := s.slot(account, now)
		if d := slot.Sub(now); d < s.every/2 || d > s.every*3/2 {
			t.Fatalf("every %v: got a slot after %v", s.every, d)
		}
		if next := s.slot(account, slot); !next.Equal(slot.Add(s.every)) {
			t.Fatalf("every %v: got the next slot %v later, want one interval", s.every, next.Sub(slot))
		}
	}
}

// The Client's NextTry has priority over the slot.
func TestNext(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	try := now.Add(7 * time.Minute)
	for _, test := range []struct {
		name   string
		status icloud.Status
		err    error
		want   time.Time
	}{
		{"healthy", icloud.Status{State: icloud.Active}, nil, hourly.slot(1, now)},
		{"some cards are owed", icloud.Status{State: icloud.Active}, new(icloud.PartialError), hourly.slot(1, now)},
		{"doubted", icloud.Status{State: icloud.Doubted, NextTry: try, Final: now.Add(15 * time.Minute)}, new(icloud.AuthError), try},
		{"asked to wait", icloud.Status{NextTry: try}, &icloud.ResponseError{RetryAfter: time.Minute}, try},
		{"the token is not honored", icloud.Status{State: icloud.Active}, fmt.Errorf("icloud: %w", icloud.ErrResync), now},
	} {
		if got := hourly.next(1, test.status, test.err, now); !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestIncident takes accounts with Clients of their own through five hours in which
// iCloud refuses all of them.
func TestIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := icloudtest.NewServer()
		defer srv.Close()
		srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nN:;;;;\r\nFN:Ada\r\nEND:VCARD\r\n")
		options := icloud.Options{Transport: srv.Transport(), Fleet: new(icloud.Fleet)}
		n := int64(*incidentAccounts)
		clients, tokens := make([]*icloud.Client, n+1), make([]string, n+1)
		for i := range n {
			client, err := icloud.New(srv.Account(fmt.Sprintf("account%d@example.com", i)).Issue(), &options)
			if err != nil {
				t.Fatal(err)
			}
			clients[i+1] = client
		}
		w := newWorld(hourly)
		w.poll = func(account int64) (status icloud.Status, err error) {
			tokens[account], err = clients[account].Sync(t.Context(), tokens[account], func(icloud.Change) error { return nil })
			return clients[account].Status(), err
		}
		for account := range n {
			w.connect(account + 1)
		}
		w.live(3 * time.Hour)
		before := srv.Requests()
		w.live(time.Hour)
		hour := srv.Requests() - before

		began := time.Now()
		srv.SetIntercept(icloudtest.For(5*time.Hour, icloudtest.Unauthorized))
		before = srv.Requests()
		w.live(5*time.Hour - w.sweep)
		requests := srv.Requests() - before
		t.Logf("%d accounts: %d requests in five hours of an incident, %.1f an account; %d in an hour before", n, requests, float64(requests)/float64(n), hour)
		states := make(map[icloud.State]int)
		for _, c := range clients[1:] {
			states[c.Status().State]++
		}
		if states[icloud.Doubted] != int(n) {
			t.Errorf("after five hours: got %v, want all %d to be doubted", states, n)
		}
		if perAccount := float64(requests) / float64(n); perAccount > 10 {
			t.Errorf("got %.1f requests an account, want at most two an hour", perAccount)
		}
		w.live(w.sweep)
		ended := time.Now()
		w.live(time.Hour)
		w.fresh(t, "an hour after the incident", ended)
		for _, c := range clients[1:] {
			if s := c.Status(); s.State != icloud.Active {
				t.Fatalf("an hour after the incident: got %v, want all to be active", s.State)
			}
		}
		w.live(5 * time.Hour)
		w.peak(t, "from the beginning of the incident to six hours after it", began, mostPolls)
	})
}
