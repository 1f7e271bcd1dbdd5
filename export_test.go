package icloud

import "time"

// ParseRetryAfter is retryAfter.
var ParseRetryAfter = retryAfter

// Improbable is the rule of Fleet: it takes how many accounts were refused, of how many.
var Improbable = improbable

// FleetAccount is an account of a Fleet. A test chooses the times of its answers.
type FleetAccount uint64

// Answer records the account's latest answer in f, and returns whether a refusal would be
// held back.
func (a FleetAccount) Answer(f *Fleet, now time.Time, refused bool) (heldBack bool) {
	f.note(uint64(a), now, refused)
	if refused {
		_, heldBack = f.incident(now)
	}
	return heldBack
}
