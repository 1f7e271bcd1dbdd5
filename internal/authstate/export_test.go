package authstate

import "time"

// Evidence has what an Entry and the caller's Claims know at Now, for the table in
// diagnose_test.go.
type Evidence struct {
	Issued, Said, Changed time.Time // of the Claims; Said is LastAccepted
	First, Last           time.Time // acceptances that were observed
	Refused, Now          time.Time
	Lifetime              time.Duration // 0 means none
}

// Diagnose judges a refusal. The dates may be in any order.
func Diagnose(ev Evidence) (Certainty, Reason) {
	e := Entry{FirstAccepted: ev.First, LastAccepted: ev.Last, Refused: ev.Refused}
	e.claims = &Claims{Issued: ev.Issued, LastAccepted: ev.Said, AccountChanged: ev.Changed}
	return diagnose(e.evidence(ev.Lifetime, ev.Now))
}
