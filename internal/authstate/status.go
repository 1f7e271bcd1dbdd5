// The Status of a State, and that of a Record for readers of a Store.

package authstate

import "time"

// A Phase is where a password stands.
type Phase int

const (
	// Untested: no request has been answered yet.
	Untested Phase = iota

	// Active: accepted when it was last sent.
	Active

	// Expiring: accepted, and close to its estimated end.
	Expiring

	// Doubted: refused, and nothing has been decided.
	Doubted

	// SignedOut: refused for good.
	SignedOut
)

// Status is what is known of the account's password. Dates are zero if unknown.
type Status struct {
	Phase                         Phase
	Issued, Expires, LastAccepted time.Time
	NextTry                       time.Time // when another call is worth making; zero: at once
	Final                         time.Time // while Doubted: when the refusal can become final
	Replaced                      time.Time // while SignedOut: since when another password works
	Verdict                       *Verdict
	Elsewhere                     bool // not iCloud
}

// Status returns what is known at now. incident says whether an incident at Apple
// is going on.
func (s *State) Status(now time.Time, incident bool) Status {
	now = now.Round(0)
	e := s.current
	ev := e.evidence(s.believed().Lifetime, stamp(now))
	st := Status{
		Phase:        s.phase(stamp(now)),
		Issued:       ev.issued,
		LastAccepted: ev.last,
		Verdict:      e.Verdict,
		Elsewhere:    s.rules.Elsewhere,
	}
	st.Expires, _ = s.ends(e, stamp(now))
	switch st.Phase {
	case Doubted:
		st.Final = e.Refused.Add(s.rules.Dwell)
	case SignedOut:
		st.Replaced = s.replaced()
	}
	// The latest of the times that apply. One that has passed applies no more.
	for _, t := range []time.Time{e.nextProbe(incident), s.failures.next(), stamp(s.throttle.until)} {
		if t.After(now) && t.After(st.NextTry) {
			st.NextTry = t
		}
	}
	return st
}

// phase returns where the password stands at now.
func (s *State) phase(now time.Time) Phase {
	e := s.current
	if e.Verdict != nil {
		return e.Verdict.phase()
	}
	ev := e.evidence(s.believed().Lifetime, now)
	if e.LastAccepted.IsZero() {
		return Untested
	}
	if ev.outlived() {
		return Active
	}
	if end, _ := ev.end(); !end.IsZero() && !now.Before(end.Add(-s.rules.Warn)) {
		return Expiring
	}
	return Active
}

func (v *Verdict) phase() Phase {
	if v.Confirmed {
		return SignedOut
	}
	return Doubted
}

// ends returns the estimated end of a password and the time from which to warn about it.
// Both are zero if no end is known or if the password has outlived it.
func (s *State) ends(e *Entry, now time.Time) (end, warn time.Time) {
	ev := e.evidence(s.believed().Lifetime, now)
	if end, _ = ev.end(); end.IsZero() || ev.outlived() {
		return time.Time{}, time.Time{}
	}
	return end, end.Add(-s.rules.Warn)
}

// nextProbe returns when a password with a verdict is next probed, zero without a verdict.
// In an incident at Apple, probes become less frequent: the pause is as long as the doubt
// has lasted, at most an hour.
func (e *Entry) nextProbe(incident bool) time.Time {
	if e.Verdict == nil {
		return time.Time{}
	}
	hold, last := e.hold(), e.Asked
	if e.probed.After(last) {
		last = e.probed
	}
	if incident && !e.Verdict.Confirmed {
		hold = min(max(last.Sub(e.Refused), hold), lastRetry)
	}
	return last.Add(hold)
}

// replaced returns since when another password of the account has worked, if one
// has been accepted since the current one was refused; else zero.
func (s *State) replaced() time.Time {
	e := s.current
	if e.Verdict == nil {
		return time.Time{}
	}
	var since time.Time
	for _, other := range s.record.entries {
		if other == e || !other.LastAccepted.After(e.Refused) || other.Verdict != nil {
			continue
		}
		first := other.FirstAccepted
		if first.Before(e.Refused) {
			first = e.Refused
		}
		if since.IsZero() || first.Before(since) {
			since = first
		}
	}
	return since
}

// Status returns what a Record says of the account's password at now to a reader
// that does not know the Options of the Client that saved it.
func (r *Record) Status(now time.Time) Status {
	e := r.account()
	if e == nil {
		return Status{Elsewhere: r.Elsewhere}
	}
	var concluded Conclusions
	if e.Conclusions != nil {
		concluded = *e.Conclusions
	}
	st := Status{
		Issued:       e.Issued,
		Expires:      concluded.Expires,
		LastAccepted: e.LastAccepted,
		Verdict:      e.Verdict,
		Elsewhere:    r.Elsewhere,
	}
	switch {
	case e.Verdict != nil:
		st.Phase = e.Verdict.phase()
		if st.Phase == Doubted {
			st.Final = concluded.Final
		}
	case e.LastAccepted.IsZero():
		st.Phase = Untested
	case !concluded.WarnFrom.IsZero() && !now.Before(concluded.WarnFrom):
		st.Phase = Expiring
	default:
		st.Phase = Active
	}
	if t := e.nextProbe(false); t.After(now) {
		st.NextTry = t
	}
	return st
}
