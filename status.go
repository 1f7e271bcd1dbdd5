// What a Client knows of its password, and what of that may be sent to others.

package icloud

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
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

// Status is what a Client knows of its password. All times are in UTC.
type Status struct {
	State State

	// Issued is when the password was generated, Expires when it is
	// estimated to end. Zero if unknown; Expires also once the password has
	// been accepted 14 days beyond it, which proves the estimate wrong.
	Issued, Expires time.Time

	// LastAccepted is when the password was last accepted, zero if never.
	LastAccepted time.Time

	// NextTry is when another call is worth making, zero for at once. It is
	// advice for a schedule: while SignedOut the probe of the day, while
	// Doubted the next probe, after 503 and other requests to wait the end of
	// the wait, after other failures a minute, then twice as long each time, up
	// to an hour. Failures are not saved.
	NextTry time.Time

	// Final is when the refusal can become final, while Doubted; else zero.
	Final time.Time

	// Err is nil, or the *AuthError with which the password was refused.
	Err error

	// Replaced is not zero while SignedOut, if another password of the account
	// has worked since the refusal, and says since when. The Store has no
	// password to give: fetch the new one where it was entered, and Reconnect.
	Replaced time.Time

	// StoreErr is nil, or why what was learned last is not in the Store.
	StoreErr error
}

// newStatus converts what authstate says. err is the AuthError of its verdict.
func newStatus(st authstate.Status, err error, storeErr error) Status {
	s := Status{
		Issued:       st.Issued,
		Expires:      st.Expires,
		LastAccepted: st.LastAccepted,
		NextTry:      st.NextTry,
		Final:        st.Final,
		Err:          err,
		Replaced:     st.Replaced,
		StoreErr:     storeErr,
	}
	switch st.Phase {
	case authstate.Active:
		s.State = Active
	case authstate.Expiring:
		s.State = Expiring
	case authstate.Doubted:
		s.State = Doubted
	case authstate.SignedOut:
		s.State = SignedOut
	}
	return s
}

// ParseStatus returns what data, as a Store keeps it, says of the account's password
// at the present time. Empty data is Untested. Of several passwords it is the one
// that was accepted last, else the one that was refused last. It needs no Options:
// Expires, Final and the time from which on the State is Expiring are what the Client
// concluded when it last saved. NextTry is the next probe; StoreErr and Replaced are
// zero. The error says that data is not a Client's.
func ParseStatus(data []byte) (Status, error) {
	record, err := authstate.Decode(data)
	if err != nil {
		return Status{}, errors.New("icloud: the data is not what a Client has saved, or is corrupt")
	}
	st := record.Status(time.Now())
	var authErr error
	if st.Verdict != nil {
		authErr = newAuthError(st.Verdict, st.Elsewhere)
	}
	return newStatus(st, authErr, nil), nil
}

// Event is what a webhook carries when the State has changed. It holds no personal
// data: neither the account nor anything of its contacts. Its JSON is stable; members
// that are zero are left out, times are in RFC 3339.
type Event struct {
	State     string `json:"state"`               // as State.String returns it
	Reason    string `json:"reason,omitempty"`    // "expired", "revoked", "rejected"; "" if the password is not refused
	Certainty string `json:"certainty,omitempty"` // as Certainty.String returns it; "" likewise
	Confirmed bool   `json:"confirmed,omitempty"` // as AuthError.Confirmed

	// As in AuthError and Status; each zero if unknown.
	Refused        time.Time `json:"refused,omitzero"`
	Issued         time.Time `json:"issued,omitzero"`
	Expires        time.Time `json:"expires,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
	NextTry        time.Time `json:"next_try,omitzero"`
}

// Event returns what may be sent to others of a Status.
func (s Status) Event() Event {
	e := Event{
		State:        s.State.String(),
		Issued:       s.Issued,
		Expires:      s.Expires,
		LastAccepted: s.LastAccepted,
		NextTry:      s.NextTry,
	}
	if ae, ok := errors.AsType[*AuthError](s.Err); ok {
		e.Reason = ae.reason()
		e.Certainty = ae.Certainty.String()
		e.Confirmed = ae.Confirmed
		e.Refused = ae.Refused
		e.AccountChanged = ae.AccountChanged
	}
	return e
}
