// Status is what a Client knows of its password. Event is the part that a program may
// send to other systems.

package icloud

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

// State says in one word what a Client knows of its password. The zero value is
// Untested.
type State int

const (
	// Untested: no call has been answered yet, by this Client or by an
	// earlier one with the same Store.
	Untested State = iota

	// Active: iCloud accepted the password when it was last sent.
	Active

	// Expiring: like Active, and the estimated end of the password is near
	// (Options.Warn).
	Expiring

	// Doubted: iCloud refuses the password, but nothing has been decided yet
	// (Options.Dwell). Calls return an AuthError that is not Confirmed.
	Doubted

	// SignedOut: the refusal is final. Calls return the same AuthError without
	// a request, until Client.Reconnect or a daily probe succeeds.
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

	// Issued is when the password was generated, and Expires when it is
	// estimated to end. Each is zero if unknown. Expires is also zero once the
	// password was accepted 14 days after it, which proves the estimate wrong.
	Issued, Expires time.Time

	// LastAccepted is when the password was last accepted; zero if never.
	LastAccepted time.Time

	// NextTry is the time from which another call is worth making; zero means
	// at once. While SignedOut it is the time of the daily probe, while Doubted
	// that of the next probe, and while the account is asked to wait the end of
	// the wait. After other failures it is a minute later, then twice as long
	// after each further failure, up to an hour. These failures are not saved
	// in the Store. NextTry is advice: an earlier call is allowed.
	NextTry time.Time

	// Final is the time from which on the refusal can become final while the
	// State is Doubted; else zero.
	Final time.Time

	// Err is the *AuthError with which the password is refused, or nil.
	Err error

	// Replaced is the time since which another password of the account works;
	// zero if none does, or if the State is not SignedOut. The Store does not
	// have that password: get it from where it was entered, and call Reconnect.
	Replaced time.Time

	// StoreErr is why the Store does not have what the Client learned last; nil
	// if it has that, or if there is no Store.
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

// ParseStatus returns what data from a Store says about the account's password at the
// present time. If data is empty, the State is Untested. If the account has had several
// passwords, the Status is about the one that was accepted last or, if none was, about
// the one that was refused last. ParseStatus needs no Options: Expires, Final and the
// beginning of Expiring are what the Client computed when it last saved. NextTry is the
// time of the next probe; StoreErr and Replaced are zero. It returns an error if data
// was not saved by a Client or is corrupt.
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

// Event describes a Status for other systems, such as the receiver of a webhook. It
// has no personal data: neither the account nor its contacts. Its JSON form is stable;
// it omits zero fields other than state, and has times in the format of RFC 3339.
type Event struct {
	State     string `json:"state"`               // as State.String returns it
	Reason    string `json:"reason,omitempty"`    // "expired", "revoked", "rejected"; "" if the password is not refused
	Certainty string `json:"certainty,omitempty"` // as Certainty.String returns it; "" if the password is not refused
	Confirmed bool   `json:"confirmed,omitempty"` // as AuthError.Confirmed

	// These are as in AuthError and Status. Each is zero if unknown.
	Refused        time.Time `json:"refused,omitzero"`
	Issued         time.Time `json:"issued,omitzero"`
	Expires        time.Time `json:"expires,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
	NextTry        time.Time `json:"next_try,omitzero"`
}

// Event returns the part of s that may be sent to other systems.
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
