// What is remembered of a password: when it was accepted and refused, the
// verdict, and the state that follows. Everything here is arithmetic on dates;
// auth.go does the asking, store.go the keeping.

package icloud

import (
	"fmt"
	"time"
)

// State is what a Client makes of its password.
type State int

const (
	// Untested: no call has been answered yet, by this Client or by an
	// earlier one with the same Store.
	Untested State = iota

	// Active: accepted when it was last sent.
	Active

	// Expiring: accepted, and within Options.Warn of its estimated end.
	Expiring

	// Doubted: refused, for less than Options.Dwell. Calls fail with an
	// AuthError that is not Confirmed; nothing has been decided.
	Doubted

	// SignedOut: refused for good. Calls fail with the same AuthError,
	// without a request, until Client.Reconnect.
	SignedOut
)

// String returns "untested", "active", "expiring", "doubted" or "signed out".
func (s State) String() string {
	switch s {
	case Untested:
		return "untested"
	case Active:
		return "active"
	case Expiring:
		return "expiring"
	case Doubted:
		return "doubted"
	case SignedOut:
		return "signed out"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Status is what a Client knows of its password.
type Status struct {
	State State

	// Issued is when the password was generated, Expires when it is
	// estimated to end. Zero if unknown; Expires also once the password has
	// been accepted 14 days beyond it, which proves the estimate wrong.
	Issued, Expires time.Time

	// LastAccepted is when the password was last accepted, zero if never.
	LastAccepted time.Time

	// Err is nil, or the *AuthError with which the password was refused.
	Err error
}

const (
	// doubtHold is how often a doubted password is asked about at most.
	doubtHold = time.Minute

	// latchHold is how often a refused one is, once that is final: a wrong
	// verdict repairs itself within a day, and a right one costs no more.
	latchHold = 24 * time.Hour
)

// memory is what is remembered of one password. Its times are in UTC, without a
// monotonic reading, so that they survive a Store unchanged.
type memory struct {
	issued      time.Time
	changed     time.Time // the account's own password
	first, last time.Time // acceptances

	refused time.Time // since when; zero unless verdict is set
	asked   time.Time // when the password was last refused an answer
	verdict *AuthError
	told    bool // that it is SignedOut, once in the password's life

	// held is when a question was last sent while there was a verdict. It
	// is not saved: another process may ask a question of its own.
	held time.Time
}

// rules are the Options that decide about dates.
type rules struct {
	lifetime  time.Duration // 0: none
	dwell     time.Duration // 0: none
	warn      time.Duration
	elsewhere bool // not iCloud
}

// evidence returns what is known at now, with what the credential says.
func (m *memory) evidence(cred Credential, r rules, now time.Time) evidence {
	e := evidence{
		issued:   known(cred.Issued, now),
		changed:  known(cred.AccountChanged, now),
		refused:  m.refused,
		lifetime: r.lifetime,
	}
	// What the caller says now, over what was said before a restart.
	if e.issued.IsZero() {
		e.issued = known(m.issued, now)
	}
	if changed := known(m.changed, now); changed.After(e.changed) {
		e.changed = changed
	}
	// Acceptances of our own did happen. If the clock has been set back since
	// then, they happened by now.
	e.first, e.last = earlier(m.first, now), earlier(m.last, now)
	if said := known(cred.LastAccepted, now); !said.IsZero() {
		if e.first.IsZero() || said.Before(e.first) {
			e.first = said
		}
		if said.After(e.last) {
			e.last = said
		}
	}
	return e
}

// earlier returns the earlier of two times; zero if t is.
func earlier(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// accept notes an acceptance and clears every doubt. It reports whether there
// was one.
func (m *memory) accept(now time.Time) (cleared bool) {
	if m.first.IsZero() || now.Before(m.first) {
		m.first = now
	}
	// The order of events must survive clocks that stood still, were set back or
	// are another's, or merge would take the refusal for newer: so this is later
	// than the refusal that it refutes, and never moves back.
	if m.verdict != nil && !now.After(m.asked) {
		now = m.asked.Add(1)
	}
	if now.After(m.last) {
		m.last = now
	}
	return m.clear()
}

// clear forgets a refusal.
func (m *memory) clear() bool {
	cleared := m.verdict != nil
	m.refused, m.asked, m.held, m.verdict = time.Time{}, time.Time{}, time.Time{}, nil
	return cleared
}

// refuse notes a refusal at now and returns the verdict, which stays the same
// value for as long as nothing new is decided. present says that the owner of
// the password is there to hear it. incident holds back what is no certainty.
func (m *memory) refuse(cred Credential, r rules, now time.Time, present, incident bool) {
	m.asked, m.held = now, now
	// For the same reason: every acceptance that is known of came before this,
	// whatever clock has dated it.
	m.first, m.last = earlier(m.first, now), earlier(m.last, now)
	// A refusal in the future is one of a clock that was set back: it counts
	// from now, so that the dwell is never cut short.
	if m.refused.IsZero() || m.refused.After(now) {
		m.refused = now
	}
	// Final is final: not even new evidence changes the value that callers
	// hold.
	if m.verdict != nil && m.verdict.Confirmed {
		return
	}
	e := m.evidence(cred, r, now)
	certainty, reason := diagnose(e)
	// The table's first row alone needs no dwell, and no quiet at Apple.
	final := certainty == Certain
	if !final && !incident {
		final = r.dwell <= 0 || now.Sub(m.refused) >= r.dwell || present && !e.worked()
	}
	// Still in doubt: the same value as before.
	if m.verdict != nil && !final {
		return
	}
	end, _ := e.end()
	m.verdict = &AuthError{
		Err:            reason,
		Certainty:      certainty,
		Confirmed:      final,
		Refused:        m.refused,
		Issued:         e.issued,
		Expires:        end,
		LastAccepted:   e.last,
		AccountChanged: e.changed,
		elsewhere:      r.elsewhere,
	}
}

// latest returns when the password was last accepted or refused.
func (m *memory) latest() time.Time {
	if m.asked.After(m.last) {
		return m.asked
	}
	return m.last
}

// mayAsk says whether a password with a verdict may be asked about at now. A
// time in the future is another clock's, and holds nothing.
func (m *memory) mayAsk(now time.Time) bool {
	hold := doubtHold
	if m.verdict.Confirmed {
		hold = latchHold
	}
	return over(m.asked, now, hold) && over(m.held, now, hold)
}

// over says whether hold has passed since t.
func over(t, now time.Time, hold time.Duration) bool {
	passed := now.Sub(t)
	return passed >= hold || passed < 0
}

// status returns what follows from m at now.
func (m *memory) status(cred Credential, r rules, now time.Time) Status {
	e := m.evidence(cred, r, now)
	s := Status{Issued: e.issued, LastAccepted: e.last}
	if !e.outlived() {
		s.Expires, _ = e.end()
	}
	switch {
	case m.verdict != nil:
		s.State, s.Err = Doubted, m.verdict
		if m.verdict.Confirmed {
			s.State = SignedOut
		}
	case m.last.IsZero():
		s.State = Untested
	case !s.Expires.IsZero() && !now.Before(s.Expires.Add(-r.warn)):
		s.State = Expiring
	default:
		s.State = Active
	}
	return s
}

// merge adds what another Client has learned of the same password. A later
// acceptance wins over earlier refusals, whoever met them; what is in doubt
// after that is asked again.
func (m *memory) merge(o memory) {
	if m.issued.IsZero() {
		m.issued = o.issued
	}
	if o.changed.After(m.changed) {
		m.changed = o.changed
	}
	if m.first.IsZero() || !o.first.IsZero() && o.first.Before(m.first) {
		m.first = o.first
	}
	if o.last.After(m.last) {
		m.last = o.last
	}
	m.told = m.told || o.told
	o.last = m.last
	m.refute()
	o.refute()

	if o.verdict != nil {
		switch {
		case m.verdict == nil:
			m.refused, m.asked, m.verdict = o.refused, o.asked, o.verdict
		default:
			// One refusal that two have met lasts since the earlier.
			if o.refused.Before(m.refused) {
				m.refused = o.refused
			}
			if o.asked.After(m.asked) {
				m.asked = o.asked
			}
			// What another has confirmed is not doubted here.
			if o.verdict.Confirmed && !m.verdict.Confirmed {
				m.verdict = o.verdict
			}
		}
	}
}

// refute lets the latest acceptance count against the refusal.
func (m *memory) refute() {
	if m.verdict == nil || !m.last.After(m.refused) {
		return
	}
	// Accepted after the last refusal: there is nothing left of it.
	if m.last.After(m.asked) {
		m.clear()
		return
	}
	// Accepted between two refusals: the first is refuted, the doubt is new.
	m.refused, m.verdict = m.asked, nil
}
