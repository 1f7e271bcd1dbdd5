// Many accounts at once: an incident at Apple told from many revocations.

package icloud

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

// A Fleet recognizes incidents at Apple from the answers to all Clients that share it.
// Passwords die one by one, and only an incident refuses many unrelated accounts within
// minutes. During an incident a refusal becomes Confirmed only if it is Certain; with
// any other refusal the State stays Doubted. A refusal is held back for a day at most,
// because many passwords that really died at once look the same.
//
// A Fleet counts how many accounts were answered within the last 15 minutes, and how many
// of them were refused; and the same for the last 75 minutes. Suppose that each account
// is refused with a probability of 2 %, which is several times what services see on a bad
// day. If so many refusals would then happen by chance less than once in 100,000 times
// (by the binomial distribution), there is an incident. 3 of 3 accounts are enough, or 8
// of 45, or 12 of 120.
//
// An account counts once, with its latest answer, however many Clients and requests it
// has. Refusals that have another explanation do not count: those of a password that
// was due to expire, or that is SignedOut already, or that has been refused for a day,
// and those in Authenticate or Reconnect of a password that has never worked, which its
// owner may have mistyped.
//
// The rule was simulated over 400 days without an incident, with passwords that lived
// for a year at most and accounts that were polled hourly. It held back no confirmation:
// 0 of 850 in 200 fleets of 3 accounts, 0 of 861 in 10 fleets of 60, and 0 of 2,864 in
// one fleet of 2,000. If only a few accounts are polled in an hour, a Fleet cannot
// recognize an incident by the first of them.
//
// The zero value is ready for use. A Fleet is safe for concurrent use. It takes at most
// 80 kilobytes for any number of Clients: with more than some thousand accounts, the
// most recent answers are a sample of all. Do not copy a Fleet.
type Fleet struct {
	mu        sync.Mutex
	answers   []fleetAnswer // a slot for each account, by its hash; nil until the first
	since     time.Time     // of the incident; zero if there is none
	lifetimes authstate.Lifetimes

	noEnd atomic.Bool // what lifetimes says
}

// fleetAnswer is the latest answer to an account. Another account that falls into
// the same slot takes it over, which makes a sample of them and biases nothing.
type fleetAnswer struct {
	account uint32 // a part of its hash; 0 if the slot is free
	minute  uint32 // twice the minutes since 1970, plus 1 if the password was refused
}

// fleetSlots is the number of slots.
const fleetSlots = 1 << 13

// fleetAccount returns the hash of an account, given its key in a Store.
func fleetAccount(key string) uint64 {
	hash, _ := strconv.ParseUint(key[:16], 16, 64) // a SHA-256 in hexadecimal
	return hash
}

const (
	fleetChance  = 1e-5 // refusals that are less probable than this are an incident
	fleetRefused = 0.02 // the assumed probability that an account is refused without an incident
)

// fleetWindows are in minutes, the longest last. An hour alone would show nothing to the first
// accounts of a batch that runs every hour.
var fleetWindows = [...]int64{15, 75}

// Incident says whether there is an incident at present, and if so, when the Fleet
// recognized it. It performs no I/O. If f is nil, there is none.
func (f *Fleet) Incident() (since time.Time, ok bool) {
	return f.incident(time.Now())
}

// LifetimeEvidence returns how many passwords died around the estimated end of their
// lives, and how many were accepted both 14 days before and 14 days after it.
// [DefaultLifetime] says what follows from these numbers. If f is nil, both are 0.
func (f *Fleet) LifetimeEvidence() (ended, outlived int) {
	if f == nil {
		return 0, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lifetimes.Counts()
}

// noteLifetime counts what a password shows about the lifetime.
func (f *Fleet) noteLifetime(id uint64, c authstate.Crossing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lifetimes.Note(id, c)
	f.noEnd.Store(f.lifetimes.NoEnd())
}

// incident is Incident at the time now. A nil Fleet has no incident.
func (f *Fleet) incident(now time.Time) (since time.Time, ok bool) {
	if f == nil {
		return time.Time{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ok = f.assess(now)
	return f.since, ok
}

// assess updates f.since, and says whether there is an incident.
func (f *Fleet) assess(now time.Time) bool {
	var accepted, refused [len(fleetWindows)]int
	minute := now.Unix() / 60
	for _, a := range f.answers {
		// A clock that was set back has left answers in the future.
		age := max(minute-int64(a.minute/2), int64(a.minute/2)-minute)
		for i, window := range fleetWindows {
			switch {
			case a.account == 0 || age >= window:
			case a.minute%2 != 0:
				refused[i]++
			default:
				accepted[i]++
			}
		}
	}
	for i := range fleetWindows {
		if improbable(refused[i], accepted[i]+refused[i]) {
			if f.since.IsZero() {
				f.since = now.Round(0).UTC()
			}
			return true
		}
	}
	f.since = time.Time{}
	return false
}

// count records the latest answer to an account, given its key in a Store. A nil Fleet
// records nothing.
func (f *Fleet) count(key string, now time.Time, refused bool) {
	f.note(fleetAccount(key), now, refused)
}

func (f *Fleet) note(account uint64, now time.Time, refused bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = make([]fleetAnswer, fleetSlots)
	}
	a := fleetAnswer{account: uint32(account>>32) | 1, minute: uint32(now.Unix() / 60 * 2)}
	if refused {
		a.minute++
	}
	f.answers[account%fleetSlots] = a
	if refused || !f.since.IsZero() {
		f.assess(now)
	}
}

// improbable says whether the probability that k or more of n accounts are refused by
// chance is less than fleetChance.
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
