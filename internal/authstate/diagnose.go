// Why a password is refused: dates in, reason and certainty out.

package authstate

import "time"

// A Reason is why a password is refused. Its text is what a Store keeps.
type Reason string

const (
	Expired  Reason = "expired"
	Revoked  Reason = "revoked"
	Rejected Reason = "rejected"
)

// Certainty says how well the evidence supports a Reason. Its zero value is the
// weakest.
type Certainty int

const (
	Possible Certainty = iota
	Likely
	Certain
)

const (
	day = 24 * time.Hour

	// issueSlack is how wrong a recorded date of issue may be, because people record it a
	// day late or in another time zone.
	issueSlack = 2 * day

	// standInSlack is the same if the first acceptance takes the place of an unknown date
	// of issue. It is longer, because a password is generated before it is used.
	standInSlack = 30 * day

	// endSlack is how close to the end of its lifetime a password must have
	// worked for the end to be the likely reason, and how far beyond it a
	// password must work to prove that it has another lifetime.
	endSlack = 14 * day
)

// evidence is what is known of a refused password. Dates are zero if unknown.
type evidence struct {
	issued      time.Time
	first, last time.Time // acceptances
	changed     time.Time // the account's own password
	refused     time.Time // since when the password is refused
	lifetime    time.Duration
}

// afterZero is after the zeros of all systems, of which FAT's, the first day of
// 1980, is the latest.
var afterZero = time.Date(1981, 1, 1, 0, 0, 0, 0, time.UTC)

// known returns t, or zero if t cannot be a date of an app-specific password, because it is
// in the future of now or is the zero of another system.
func known(t, now time.Time) time.Time {
	if t.After(now) || t.Before(afterZero) {
		return time.Time{}
	}
	return t.Round(0).UTC()
}

// worked says whether the password is known to have been accepted.
func (e evidence) worked() bool { return !e.last.IsZero() }

// end returns the estimated end of the password's life, and how much earlier the true end
// may be. Both are zero if the end is unknown. The first acceptance takes the place of an
// unknown date of issue, because people generate a password when they connect.
func (e evidence) end() (end time.Time, slack time.Duration) {
	switch {
	case e.lifetime <= 0:
		return time.Time{}, 0
	case !e.issued.IsZero():
		return e.issued.Add(e.lifetime), issueSlack
	case e.worked():
		return e.first.Add(e.lifetime), standInSlack
	}
	return time.Time{}, 0
}

// outlived says whether the password was accepted so long after its estimated end that the
// estimate was wrong.
func (e evidence) outlived() bool {
	end, _ := e.end()
	return !end.IsZero() && !e.last.Before(end.Add(endSlack))
}

// since returns the issue or what stands in for it.
func (e evidence) since() time.Time {
	if e.issued.IsZero() {
		return e.first
	}
	return e.issued
}

// diagnose returns the reason that the evidence supports, and how well it does. It expects
// dates that known has returned, except for refused.
func diagnose(e evidence) (Certainty, Reason) {
	end, slack := e.end()

	// A change of the account's password revokes what was issued before it
	// (Apple, 102654). Nothing here is estimated, hence Certain.
	if since := e.since(); !since.IsZero() && e.changed.After(since.Add(day)) && e.changed.After(e.last) {
		return Certain, Revoked
	}

	if !e.worked() {
		if !end.IsZero() && e.refused.After(end) {
			return Possible, Expired
		}
		return Likely, Rejected
	}

	most := Likely
	if e.issued.IsZero() {
		most = Possible
	}
	switch {
	case end.IsZero(), e.outlived():
		return most, Revoked
	case !e.refused.After(end.Add(-slack)):
		return most, Revoked
	case e.last.Before(end.Add(-endSlack)):
		// It was not in use around its end, so it may have been revoked before.
		return Possible, Expired
	}
	return most, Expired
}
