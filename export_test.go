package icloud

import "time"

// ParseRetryAfter is retryAfter.
var ParseRetryAfter = retryAfter

// Improbable is the rule of Fleet: so many refused of so many.
var Improbable = improbable

// FleetAccount is an account as a Fleet sees it, asked at times of the test's
// choosing.
type FleetAccount uint64

// Answer tells f of the account's latest answer, and returns whether a refusal
// would be held back.
func (a FleetAccount) Answer(f *Fleet, now time.Time, refused bool) (heldBack bool) {
	f.note(uint64(a), now, refused)
	if refused {
		_, heldBack = f.incident(now)
	}
	return heldBack
}
