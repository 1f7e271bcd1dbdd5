package icloud

import "time"

// Evidence is what the table of diagnose_test.go is written in: what a memory
// and a Credential know together at Now.
type Evidence struct {
	Issued, Said, Changed time.Time // of the Credential; Said is LastAccepted
	First, Last           time.Time // acceptances that the Client has seen itself
	Refused, Now          time.Time
	Lifetime              time.Duration // 0: none
}

// Diagnose judges a refusal, with dates as they come.
func Diagnose(e Evidence) (Certainty, error) {
	cred := Credential{Issued: e.Issued, LastAccepted: e.Said, AccountChanged: e.Changed}
	m := memory{first: e.First, last: e.Last, refused: e.Refused}
	return diagnose(m.evidence(cred, rules{lifetime: e.Lifetime}, e.Now))
}

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
	f.count(uint64(a), now, refused)
	if refused {
		_, heldBack = f.incident(now)
	}
	return heldBack
}
