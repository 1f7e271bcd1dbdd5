// When an account is polled. These functions depend on dates and numbers only. A run
// uses them to decide when its account is next due (sync.go), and a sweep to decide how
// many of the accounts that are due it hands out (sweep.go).

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/go-icloud/icloud"
)

// schedule spreads the polls of all accounts evenly over time.
//
// A healthy account has a slot: a place within every interval, which is a hash of its
// number. It depends on nothing else, so the polls of many accounts are spread evenly,
// also after a restart or a day on which most of them were connected. An account that is
// not healthy is polled when its Client says, and then returns to its slot.
//
// Many accounts can still become due at once, because no worker ran for a while or
// iCloud could not be reached. A sweep hands out no more than its share of them. The
// others stay due, and those that have waited longest come first. So no minute ever has
// more than 1.15 times the polls of the average minute (rounded up, for each sweep), and
// after an outage of any length every account is polled within one interval. Only the
// poll of an account that has just been connected does not count, because its owner
// does not wait for a sweep.
type schedule struct {
	every time.Duration // from one poll of a healthy account to the next
	sweep time.Duration // from one sweep to the next
}

// headroom is how much more than its average a sweep may hand out.
const headroom = 1.15

// next returns when an account is due again, after a poll that has ended at now with
// err and left the Client with status.
func (s schedule) next(account int64, status icloud.Status, err error, now time.Time) time.Time {
	switch {
	case errors.Is(err, icloud.ErrResync):
		return now // for a run without a token
	case !status.NextTry.IsZero():
		return status.NextTry
	}
	return s.slot(account, now)
}

// slot returns the account's next slot that is at least half an interval after now.
// Otherwise an account that was polled outside its slot could be polled again at once.
func (s schedule) slot(account int64, now time.Time) time.Time {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(account)))
	place := time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(s.every))
	earliest := now.Add(s.every / 2)
	slot := earliest.Truncate(s.every).Add(place)
	if slot.Before(earliest) {
		slot = slot.Add(s.every)
	}
	return slot
}

// share returns how many accounts a sweep hands out, given how many there are, and how
// many jobs still wait for a worker. These jobs are deducted. So a backlog stays in the
// table of accounts, and does not reach iCloud as fast as the workers can run.
func (s schedule) share(accounts, waiting int) int {
	average := float64(accounts) * float64(s.sweep) / float64(s.every)
	return max(int(math.Ceil(average*headroom))-waiting, 0)
}
