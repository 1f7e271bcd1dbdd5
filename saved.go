// The form in which an account is saved: one JSON object, with an entry for each
// of the passwords that were tried last. Older and newer versions of this package
// share it, so members are only ever added, and those that are not known are kept.

package icloud

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// saved is what is kept of an account. Its fields keep their meaning for ever;
// those of a later version of this package are kept as they are.
type saved struct {
	Version   int               `json:"v"`
	Book      string            `json:"book,omitempty"`      // URL
	Home      string            `json:"home,omitempty"`      // URL
	Passwords []json.RawMessage `json:"passwords,omitempty"` // entries

	entries []*entry
	later   fields
}

// entry is what is kept of one password.
type entry struct {
	Salt []byte `json:"salt"` // 16 random bytes
	Hash []byte `json:"hash"` // HMAC-SHA256 of the password, keyed by Salt

	Issued         time.Time `json:"issued,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
	FirstAccepted  time.Time `json:"first_accepted,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`
	Refused        time.Time `json:"refused,omitzero"`
	Asked          time.Time `json:"asked,omitzero"`
	Told           bool      `json:"told,omitempty"`
	Verdict        *verdict  `json:"verdict,omitempty"`

	later fields
}

// verdict is an AuthError, for the same one to come back after a restart.
type verdict struct {
	Reason         string    `json:"reason"`
	Certainty      Certainty `json:"certainty"`
	Confirmed      bool      `json:"confirmed"`
	Refused        time.Time `json:"refused,omitzero"`
	Issued         time.Time `json:"issued,omitzero"`
	Expires        time.Time `json:"expires,omitzero"`
	LastAccepted   time.Time `json:"last_accepted,omitzero"`
	AccountChanged time.Time `json:"account_changed,omitzero"`
}

const (
	savedVersion = 1

	// keptPasswords bounds what is kept of old ones.
	keptPasswords = 4
)

// reasons names the sentinels in what is saved.
var reasons = map[string]error{
	"expired":  ErrPasswordExpired,
	"revoked":  ErrPasswordRevoked,
	"rejected": ErrPasswordRejected,
}

// fields are members of a JSON object that this version does not know.
type fields map[string]json.RawMessage

// unmarshalWith decodes data into known and returns the members it has no
// field for.
func unmarshalWith(data []byte, known any) (fields, error) {
	if err := json.Unmarshal(data, known); err != nil {
		return nil, err
	}
	var all fields
	if err := json.Unmarshal(data, &all); err != nil || all == nil {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	// What known would write is what it has fields for: no list of names that
	// could be forgotten when a field is added.
	text, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	var mine fields
	if err := json.Unmarshal(text, &mine); err != nil {
		return nil, err
	}
	for name := range mine {
		delete(all, name)
	}
	return all, nil
}

// marshalWith encodes known and adds the members of later.
func marshalWith(known any, later fields) ([]byte, error) {
	text, err := json.Marshal(known)
	if err != nil || len(later) == 0 {
		return text, err
	}
	// What this version knows wins over what is kept for another.
	all := make(fields, len(later))
	for name, value := range later {
		all[name] = value
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// decodeSaved decodes what a Store has loaded. Empty data means none. The error
// repeats nothing of it.
func decodeSaved(data []byte) (*saved, error) {
	s := &saved{Version: savedVersion}
	if len(bytes.TrimSpace(data)) == 0 {
		return s, nil
	}
	var err error
	if s.later, err = unmarshalWith(data, s); err != nil {
		return nil, err
	}
	for _, text := range s.Passwords {
		e := new(entry)
		if e.later, err = unmarshalWith(text, e); err != nil {
			return nil, err
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

// encode is the inverse of decodeSaved.
func (s *saved) encode() ([]byte, error) {
	s.Passwords = nil
	for _, e := range s.entries {
		text, err := marshalWith(e, e.later)
		if err != nil {
			return nil, err
		}
		s.Passwords = append(s.Passwords, text)
	}
	return marshalWith(s, s.later)
}

// entry returns the entry of a password, or nil.
func (s *saved) entry(p Password) *entry {
	for _, e := range s.entries {
		if len(e.Salt) > 0 && hmac.Equal(e.Hash, hashPassword(p, e.Salt)) {
			return e
		}
	}
	return nil
}

// put replaces what is kept of a password, and lets go of the oldest ones.
func (s *saved) put(p Password, m memory) {
	e := s.entry(p)
	if e == nil {
		// A salt of its own for each password, so that two accounts with the same
		// one do not show it.
		e = &entry{Salt: make([]byte, 16)}
		rand.Read(e.Salt) // never fails
		e.Hash = hashPassword(p, e.Salt)
		s.entries = append(s.entries, e)
	}
	e.remember(m)
	// It is never let go of itself: an owner who keeps entering wrong ones
	// makes newer entries.
	others := slices.DeleteFunc(s.entries, func(other *entry) bool { return other == e })
	slices.SortStableFunc(others, func(a, b *entry) int { return b.latest().Compare(a.latest()) })
	s.entries = append([]*entry{e}, others[:min(len(others), keptPasswords-1)]...)
}

// hashPassword lets an old refusal be told from a new password. App-specific
// passwords have 75 bits, more than can be guessed.
func hashPassword(p Password, salt []byte) []byte {
	// Not slow on purpose: 75 bits need no protection from guessing, and a
	// worker that starts does this for each of its accounts.
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(p.Reveal()))
	return mac.Sum(nil)
}

// latest returns when something was last learned of the password.
func (e *entry) latest() time.Time {
	if e.Asked.After(e.LastAccepted) {
		return e.Asked
	}
	return e.LastAccepted
}

// remember sets e to m.
func (e *entry) remember(m memory) {
	e.Issued, e.AccountChanged = m.issued, m.changed
	e.FirstAccepted, e.LastAccepted = m.first, m.last
	e.Refused, e.Asked, e.Told = m.refused, m.asked, m.told
	// The sentinel is saved by name; its text may change.
	e.Verdict = nil
	if v := m.verdict; v != nil {
		e.Verdict = &verdict{
			Certainty: v.Certainty, Confirmed: v.Confirmed, Refused: v.Refused, Issued: v.Issued,
			Expires: v.Expires, LastAccepted: v.LastAccepted, AccountChanged: v.AccountChanged,
		}
		for name, reason := range reasons {
			if v.Err == reason {
				e.Verdict.Reason = name
			}
		}
	}
}

// memory is the inverse of remember.
func (e *entry) memory(r rules) memory {
	m := memory{
		issued: e.Issued, changed: e.AccountChanged, first: e.FirstAccepted, last: e.LastAccepted,
		refused: e.Refused, asked: e.Asked, told: e.Told,
	}
	// Another program may have written another zone, and AuthErrors are
	// compared.
	for _, t := range []*time.Time{&m.issued, &m.changed, &m.first, &m.last, &m.refused, &m.asked} {
		*t = t.UTC()
	}
	v := e.Verdict
	if v == nil || reasons[v.Reason] == nil || m.refused.IsZero() {
		// A reason that a later version has found is asked about again.
		m.refused, m.asked = time.Time{}, time.Time{}
		return m
	}
	// Equal to the one before the restart, since every field comes back; a
	// Certainty out of range would print as nothing.
	m.verdict = &AuthError{
		Err: reasons[v.Reason], Certainty: min(max(v.Certainty, Possible), Certain), Confirmed: v.Confirmed,
		Refused: v.Refused.UTC(), Issued: v.Issued.UTC(), Expires: v.Expires.UTC(),
		LastAccepted: v.LastAccepted.UTC(), AccountChanged: v.AccountChanged.UTC(), elsewhere: r.elsewhere,
	}
	return m
}
