// Many accounts at once: an incident at Apple told from many revocations.

package icloud

import (
	"math"
	"sync"
	"time"
)

// A Fleet lets the Clients of a process compare notes, because passwords die one
// by one, and only an incident at Apple refuses many unrelated accounts within
// minutes. While that lasts, no refusal becomes Confirmed, but for one that is
// Certain; AuthError.Confirmed stays false and State stays Doubted.
//
// The rule: of the accounts whose latest answer came within the last 15 minutes,
// or within the last 75, so many were refused that chance would explain it once
// in 100,000 times if each were refused with a probability of 2 %, which is
// several times what services see on a bad day (the binomial distribution). Three
// of three accounts are enough, 8 of 45, 12 of 120. An account counts once, with its
// latest answer, however often it asks. A password that was due to expire, or
// is signed out already, does not count as refused, nor does one that has been
// refused for a day: what is held back is so for a day at most, and many true
// deaths at once, which look the same, are Confirmed then.
//
// Simulated over 400 days in which fleets had no incident, passwords lived a
// year at most, and each account was polled hourly, confirmations held back for
// nothing were 0 of 899 in 200 fleets of 3 accounts, 0 of 876 in 10 of 60, and
// 0 of 2,908 in one of 2,000. A Fleet knows no more than it is told: where a few
// accounts ask in an hour, the first of them that an incident meets is alone.
//
// The zero value is ready. A Fleet is safe for concurrent use and takes about one
// kilobyte, however many Clients share it. Do not copy it.
type Fleet struct {
	mu     sync.Mutex
	minute int64 // the latest of ring
	ring   [75]tally
	since  time.Time // of the incident; zero if there is none
}

// tally counts the Clients whose latest answer fell into one minute.
type tally struct{ accepted, refused int32 }

// counted is where a Client stands in the ring. It is guarded by Client.mu.
type counted struct {
	minute  int64 // 0: nowhere
	refused bool
}

const (
	fleetChance  = 1e-5 // how improbable an incident is without being one
	fleetRefused = 0.02 // of the accounts, at worst, when all is well
)

// fleetWindows are in minutes. An hour alone would show nothing to the first
// accounts of a batch that runs every hour.
var fleetWindows = [...]int64{15, 75}

// Incident says whether an incident is going on, and since when it has been
// noticed.
func (f *Fleet) Incident() (since time.Time, ok bool) {
	return f.incident(time.Now())
}

// incident judges the latest minutes at now. A nil Fleet has none.
func (f *Fleet) incident(now time.Time) (since time.Time, ok bool) {
	if f == nil {
		return time.Time{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(now)
	return f.since, f.judge(now)
}

// judge updates since.
func (f *Fleet) judge(now time.Time) bool {
	for _, window := range fleetWindows {
		var accepted, refused int
		for m := f.minute; m > f.minute-window; m-- {
			t := f.at(m)
			accepted += int(t.accepted)
			refused += int(t.refused)
		}
		if improbable(refused, accepted+refused) {
			if f.since.IsZero() {
				f.since = now.Round(0).UTC()
			}
			return true
		}
	}
	f.since = time.Time{}
	return false
}

// turn makes the minute of now the latest, and forgets those before the ring. A
// clock that was set back by less than the ring stays in the latest minute; by
// more, the ring begins anew.
func (f *Fleet) turn(now time.Time) {
	minute := now.Unix() / 60
	if ahead := minute - f.minute; ahead >= int64(len(f.ring)) || -ahead >= int64(len(f.ring)) {
		f.minute, f.ring = minute, [len(f.ring)]tally{}
	}
	for f.minute < minute {
		f.minute++
		*f.at(f.minute) = tally{}
	}
}

func (f *Fleet) at(minute int64) *tally {
	n := int64(len(f.ring))
	return &f.ring[(minute%n+n)%n]
}

// count moves a Client to the minute of now.
func (c *counted) count(f *Fleet, now time.Time, refused bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(now)
	if c.minute != 0 && c.minute <= f.minute && f.minute-c.minute < int64(len(f.ring)) {
		f.at(c.minute).add(c.refused, -1)
	}
	c.minute, c.refused = f.minute, refused
	f.at(c.minute).add(refused, 1)
	if refused || !f.since.IsZero() {
		f.judge(now)
	}
}

func (t *tally) add(refused bool, n int32) {
	if refused {
		t.refused += n
	} else {
		t.accepted += n
	}
}

// improbable says whether at least k of n accounts would be refused by chance less
// often than fleetChance.
func improbable(k, n int) bool {
	if float64(k) <= fleetRefused*float64(n) {
		return false
	}
	// The tail of the binomial distribution, term by term from the largest.
	lgamma := func(x int) float64 {
		v, _ := math.Lgamma(float64(x) + 1)
		return v
	}
	term := math.Exp(lgamma(n) - lgamma(k) - lgamma(n-k) +
		float64(k)*math.Log(fleetRefused) + float64(n-k)*math.Log1p(-fleetRefused))
	tail := 0.0
	for i := k; i <= n && term > 0 && tail < fleetChance; i++ {
		tail += term
		term *= float64(n-i) / float64(i+1) * fleetRefused / (1 - fleetRefused)
	}
	return tail < fleetChance
}
