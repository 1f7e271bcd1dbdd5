// What is known of one password.

package authstate

import (
	"crypto/hmac"
	"time"
)

// A Hash returns the HMAC-SHA256 of a password under a salt. By it this package
// recognizes a password that it never sees.
type Hash func(salt []byte) []byte

// Claims are the dates that the caller gives with a password. Each may be zero,
// and one in the future counts as unknown.
type Claims struct {
	Issued, LastAccepted, AccountChanged time.Time
}

// Entry is what is known of one password. The exported fields are what a Store
// keeps of it: their meaning never changes. All times are UTC, without a monotonic
// reading, so that they survive a Store unchanged.
type Entry struct {
	Salt  []byte `json:"salt"` // 16 random bytes
	Proof []byte `json:"hash"` // the Hash of the password under Salt

	Issued         time.Time `json:"issued,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
	FirstAccepted  time.Time `json:"first_accepted,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`

	Refused time.Time `json:"refused,omitzero"` // since when; zero without a Verdict
	Asked   time.Time `json:"asked,omitzero"`   // when it was last refused
	Verdict *Verdict  `json:"verdict,omitempty"`

	// ToldFor is Verdict.Refused of the verdict that was last reported to the
	// application as final. Told is the form in which earlier versions kept that.
	ToldFor time.Time `json:"told_for,omitzero"`
	Told    bool      `json:"told,omitempty"`

	*Conclusions // nil if there are none

	later fields // of a later version

	// The rest is this process's own, and not saved.

	hash   Hash    // nil if the password is not at hand
	claims *Claims // what of them is not among the dates above; nil if nothing

	// probed is when a probe was last sent while there was a verdict.
	probed time.Time

	// pendingSent is when a request was last sent while a refusal waited to be
	// committed.
	pendingSent time.Time

	// ahead is the latest acceptance that was known when the password was last
	// refused, if it lies in the future of that refusal: another clock has dated it.
	ahead time.Time

	// rejectedAt is when the latest refusal arrived, acceptedAt when the latest
	// accepted request was sent.
	rejectedAt, acceptedAt Seq
}

// Conclusions are what the Client that saved an Entry concluded, for those who read a
// Store without knowing its Options.
type Conclusions struct {
	Expires  time.Time `json:"expires,omitzero"`
	WarnFrom time.Time `json:"warn_from,omitzero"`
	Final    time.Time `json:"final,omitzero"` // when a doubt can become final
}

// Verdict is what was concluded from a refusal. It is never modified.
type Verdict struct {
	Reason         Reason    `json:"reason"`
	Certainty      Certainty `json:"certainty"`
	Confirmed      bool      `json:"confirmed"`
	Refused        time.Time `json:"refused,omitzero"`
	Issued         time.Time `json:"issued,omitzero"`
	Expires        time.Time `json:"expires,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
}

// is says whether e is about the password that hash knows.
func (e *Entry) is(hash Hash) bool {
	return hash != nil && len(e.Salt) > 0 && hmac.Equal(e.Proof, hash(e.Salt))
}

// sameAs says whether two entries are about one password, as far as that can be
// told.
func (e *Entry) sameAs(o *Entry) bool {
	if len(e.Salt) > 0 && string(e.Salt) == string(o.Salt) {
		return hmac.Equal(e.Proof, o.Proof)
	}
	return o.is(e.hash) || e.is(o.hash)
}

// claim adds what the caller knows about the password. A zero date does not replace a known
// one.
func (e *Entry) claim(c Claims, now time.Time) {
	if e.claims != nil {
		if c.Issued.IsZero() {
			c.Issued = e.claims.Issued
		}
		if c.LastAccepted.IsZero() {
			c.LastAccepted = e.claims.LastAccepted
		}
		if c.AccountChanged.IsZero() {
			c.AccountChanged = e.claims.AccountChanged
		}
	}
	e.claims = &c
	e.keepClaims(now)
}

// keepClaims adds the caller's dates to what is saved, because a caller may know them only
// once. A date in the future may become valid later.
func (e *Entry) keepClaims(now time.Time) {
	if e.claims == nil {
		return
	}
	c := *e.claims
	if issued := known(c.Issued, now); !issued.IsZero() {
		e.Issued, c.Issued = issued, time.Time{}
	}
	if changed := known(c.AccountChanged, now); !changed.IsZero() {
		if changed.After(e.AccountChanged) {
			e.AccountChanged = changed
		}
		c.AccountChanged = time.Time{}
	}
	if e.claims = &c; c == (Claims{}) {
		e.claims = nil
	}
}

// evidence returns what is known at now.
func (e *Entry) evidence(lifetime time.Duration, now time.Time) evidence {
	var claims Claims
	if e.claims != nil {
		claims = *e.claims
	}
	ev := evidence{
		issued:   known(claims.Issued, now),
		changed:  known(claims.AccountChanged, now),
		refused:  e.Refused,
		lifetime: lifetime,
	}
	// The caller's present dates have precedence over those from before a restart.
	if ev.issued.IsZero() {
		ev.issued = known(e.Issued, now)
	}
	if changed := known(e.AccountChanged, now); changed.After(ev.changed) {
		ev.changed = changed
	}
	// Observed acceptances have happened. If their date is in the future, the clock has
	// been set back, and they count as of now.
	ev.first, ev.last = notAfter(e.FirstAccepted, now), notAfter(e.LastAccepted, now)
	if said := known(claims.LastAccepted, now); !said.IsZero() {
		if ev.first.IsZero() || said.Before(ev.first) {
			ev.first = said
		}
		if said.After(ev.last) {
			ev.last = said
		}
	}
	return ev
}

// notAfter returns the earlier of two times; zero if t is.
func notAfter(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// accept notes an acceptance and drops the verdict. It reports whether there was
// one.
func (e *Entry) accept(now time.Time) (cleared bool) {
	if e.FirstAccepted.IsZero() || now.Before(e.FirstAccepted) {
		e.FirstAccepted = now
	}
	// A clock may stand still, be set back, or be another machine's. merge must still see
	// the acceptance as newer than the refusal. So an acceptance is dated later than the
	// refusal that it refutes, and its date never moves back.
	if e.Verdict != nil && !now.After(e.Asked) {
		now = e.Asked.Add(1)
	}
	if now.After(e.LastAccepted) {
		e.LastAccepted = now
	}
	cleared = e.Verdict != nil
	e.clear()
	e.probed = time.Time{}
	return cleared
}

// clear drops the verdict and its dates.
func (e *Entry) clear() { e.Refused, e.Asked, e.Verdict = time.Time{}, time.Time{}, nil }

// refuse notes a refusal at now and sets Verdict, which stays the same pointer for
// as long as nothing new is decided. incident holds back what is not Certain.
func (e *Entry) refuse(r Rules, now time.Time, by Caller, incident bool) {
	e.Asked, e.probed = now, now
	// Every known acceptance came before this refusal, whatever its date is; see accept.
	if e.LastAccepted.After(now) {
		e.ahead = e.LastAccepted
	}
	e.FirstAccepted, e.LastAccepted = notAfter(e.FirstAccepted, now), notAfter(e.LastAccepted, now)
	// A refusal in the future was dated by a clock that has been set back. It
	// counts from now, so that the dwell is never cut short.
	if e.Refused.IsZero() || e.Refused.After(now) {
		e.Refused = now
	}
	// Not even new evidence changes a final verdict, which callers hold.
	if e.Verdict != nil && e.Verdict.Confirmed {
		return
	}
	ev := e.evidence(r.Lifetime, now)
	certainty, reason := diagnose(ev)
	// Only a certain verdict needs neither a dwell nor the absence of an incident.
	final := certainty == Certain
	// An incident holds a verdict back for a day at most, because many passwords that
	// really died at once look the same.
	if !final && !(incident && now.Sub(e.Refused) < holdBack) {
		final = now.Sub(e.Refused) >= r.Dwell || by == Interactive && !ev.worked()
	}
	if e.Verdict != nil && !final {
		return
	}
	end, _ := ev.end()
	e.Verdict = &Verdict{
		Reason:         reason,
		Certainty:      certainty,
		Confirmed:      final,
		Refused:        e.Refused,
		Issued:         ev.issued,
		Expires:        end,
		LastAccepted:   ev.last,
		AccountChanged: ev.changed,
	}
}

// told says whether the verdict was reported as final.
func (e *Entry) told() bool {
	return e.Verdict != nil && !e.ToldFor.IsZero() && e.ToldFor.Equal(e.Verdict.Refused)
}

// latest returns when the password was last accepted or refused.
func (e *Entry) latest() time.Time {
	if e.Asked.After(e.LastAccepted) {
		return e.Asked
	}
	return e.LastAccepted
}

// mayProbe says whether a password with a verdict may be probed at now. A time in
// the future is another clock's, and holds nothing back.
func (e *Entry) mayProbe(now time.Time) bool {
	hold := e.hold()
	return over(e.Asked, now, hold) && over(e.probed, now, hold)
}

// hold returns how often a password with a verdict is probed at most.
func (e *Entry) hold() time.Duration {
	if e.Verdict.Confirmed {
		return latchHold
	}
	return doubtHold
}

// over says whether hold has passed since t.
func over(t, now time.Time, hold time.Duration) bool {
	passed := now.Sub(t)
	return passed >= hold || passed < 0
}

// merge adds what another Client has saved of the same password. A later
// acceptance wins over earlier refusals, whoever met them; what is in doubt after
// that is probed again.
func (e *Entry) merge(o Entry) {
	if e.Issued.IsZero() {
		e.Issued = o.Issued
	}
	if o.AccountChanged.After(e.AccountChanged) {
		e.AccountChanged = o.AccountChanged
	}
	if e.FirstAccepted.IsZero() || !o.FirstAccepted.IsZero() && o.FirstAccepted.Before(e.FirstAccepted) {
		e.FirstAccepted = o.FirstAccepted
	}
	// An acceptance from another clock that was known when the password was refused
	// does not refute the refusal when it is read once more.
	if o.LastAccepted.After(e.LastAccepted) && o.LastAccepted.After(e.ahead) {
		e.LastAccepted = o.LastAccepted
	}
	if o.ToldFor.After(e.ToldFor) && !e.told() {
		e.ToldFor = o.ToldFor
	}
	// The salt of the Store is used, because the other Clients know it.
	e.Salt, e.Proof, e.later = o.Salt, o.Proof, o.later
	e.Conclusions = o.Conclusions
	o.LastAccepted = e.LastAccepted
	before := e.Verdict
	e.refute()
	o.refute()
	e.mergeVerdict(o)
	if e.Verdict != nil && before != nil && *e.Verdict == *before {
		e.Verdict = before // callers compare the errors that are made of it
	}
}

// mergeVerdict adds another Client's refusal.
func (e *Entry) mergeVerdict(o Entry) {
	switch {
	case o.Verdict == nil:
		return
	case e.Verdict == nil:
		e.Refused, e.Asked, e.Verdict = o.Refused, o.Asked, o.Verdict
		if o.told() {
			e.ToldFor = o.ToldFor
		}
		return
	}
	// One refusal that two Clients have met lasts since the earlier of the two.
	if o.Refused.Before(e.Refused) {
		e.Refused = o.Refused
	}
	if o.Asked.After(e.Asked) {
		e.Asked = o.Asked
	}
	told := e.told() || o.told()
	// A verdict that another Client has confirmed is final here too.
	if o.Verdict.Confirmed && !e.Verdict.Confirmed {
		e.Verdict = o.Verdict
	}
	// Two verdicts on one refusal are reported once.
	if told {
		e.ToldFor = e.Verdict.Refused
	}
}

// refute lets the latest acceptance count against the refusal.
func (e *Entry) refute() {
	if e.Verdict == nil || !e.LastAccepted.After(e.Refused) {
		return
	}
	// The password was accepted after the last refusal, which is refuted.
	if e.LastAccepted.After(e.Asked) {
		e.clear()
		return
	}
	// The password was accepted between two refusals. The first is refuted, and the second
	// needs a verdict of its own.
	e.Refused, e.Verdict = e.Asked, nil
}
