package authstate

import "time"

// Evidence is what the table of diagnose_test.go is written in: what an Entry and
// the caller's Claims know together at Now.
type Evidence struct {
	Issued, Said, Changed time.Time // of the Claims; Said is LastAccepted
	First, Last           time.Time // acceptances that were observed
	Refused, Now          time.Time
	Lifetime              time.Duration // 0: none
}

// Diagnose judges a refusal, with dates as they come.
func Diagnose(ev Evidence) (Certainty, Reason) {
	e := Entry{FirstAccepted: ev.First, LastAccepted: ev.Last, Refused: ev.Refused}
	e.claims = &Claims{Issued: ev.Issued, LastAccepted: ev.Said, AccountChanged: ev.Changed}
	return diagnose(e.evidence(ev.Lifetime, ev.Now))
}
