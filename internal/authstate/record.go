// The form in which an account is saved: one JSON object, with an entry for each
// of the passwords that were tried last. Older and newer versions of this package
// share it, so members are only ever added, and those that are not known are kept.

package authstate

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

// Record is what a Store keeps of an account, decoded.
type Record struct {
	Version   int               `json:"v"`
	Elsewhere bool              `json:"elsewhere,omitempty"` // not iCloud
	Book      string            `json:"book,omitempty"`      // URL
	Home      string            `json:"home,omitempty"`      // URL
	Passwords []json.RawMessage `json:"passwords,omitempty"`

	entries []*Entry // of Passwords
	later   fields   // of a later version
}

const (
	recordVersion = 1

	// maxEntries bounds how many passwords are remembered.
	maxEntries = 4

	// maxUntried bounds how many of them have never been accepted. So the good password
	// is not forgotten if somebody tries many wrong ones.
	maxUntried = 2
)

// fields are members of a JSON object that this version does not know.
type fields map[string]json.RawMessage

// Decode decodes what a Store has loaded. Empty data is an empty Record. The error
// repeats nothing of the data.
func Decode(data []byte) (*Record, error) {
	r := &Record{Version: recordVersion}
	if len(bytes.TrimSpace(data)) == 0 {
		return r, nil
	}
	var err error
	if r.later, err = unmarshalWith(data, r); err != nil {
		return nil, err
	}
	for _, text := range r.Passwords {
		e := new(Entry)
		if e.later, err = unmarshalWith(text, e); err != nil {
			return nil, err
		}
		if err := e.normalize(); err != nil {
			return nil, err
		}
		r.entries = append(r.entries, e)
	}
	r.Passwords = nil
	return r, nil
}

// encode is the inverse of Decode.
func (r Record) encode() ([]byte, error) {
	for _, e := range r.entries {
		text, err := marshalWith(e, e.later)
		if err != nil {
			return nil, err
		}
		r.Passwords = append(r.Passwords, text)
	}
	return marshalWith(r, r.later)
}

var errDate = errors.New("a date that cannot be written again")

// normalize makes a decoded entry one that this package could have saved.
func (e *Entry) normalize() error {
	dates := []*time.Time{
		&e.Issued, &e.AccountChanged, &e.FirstAccepted, &e.LastAccepted, &e.Refused, &e.Asked, &e.ToldFor,
	}
	if c := e.Conclusions; c != nil {
		dates = append(dates, &c.Expires, &c.WarnFrom, &c.Final)
	}
	if v := e.Verdict; v != nil {
		dates = append(dates, &v.Refused, &v.Issued, &v.Expires, &v.LastAccepted, &v.AccountChanged)
	}
	for _, t := range dates {
		// Another program may have written another zone, and AuthErrors are
		// compared.
		*t = t.UTC()
		// encoding/json writes no year beyond these, and a date close to them
		// may be moved across.
		if year := t.Year(); year < 1 || year >= 9999 {
			return errDate
		}
	}
	v := e.Verdict
	if v == nil || !v.Reason.known() || e.Refused.IsZero() {
		// A later version has found a reason that this one does not know, so the
		// password is probed again.
		e.Refused, e.Asked, e.Verdict = time.Time{}, time.Time{}, nil
		return nil
	}
	v.Certainty = min(max(v.Certainty, Possible), Certain)
	if e.Told && e.ToldFor.IsZero() {
		e.ToldFor = v.Refused
	}
	return nil
}

func (r Reason) known() bool { return r == Expired || r == Revoked || r == Rejected }

// find returns the entry of the password that hash knows, or nil.
func (r *Record) find(hash Hash) *Entry {
	for _, e := range r.entries {
		if e.is(hash) {
			return e
		}
	}
	return nil
}

// account returns the entry of the password that the account uses, as far as the
// record shows: the one accepted last, else the one refused last; nil if there is
// none.
func (r *Record) account() *Entry {
	var found *Entry
	for _, e := range r.entries {
		if found == nil || e.LastAccepted.After(found.LastAccepted) ||
			e.LastAccepted.Equal(found.LastAccepted) && e.Asked.After(found.Asked) {
			found = e
		}
	}
	return found
}

// trim forgets the passwords that have not been used for longest. It forgets
// neither current nor the account's.
func (r *Record) trim(current *Entry) {
	account := r.account()
	slices.SortStableFunc(r.entries, func(a, b *Entry) int {
		for _, keep := range []*Entry{current, account} {
			if a == keep {
				return -1
			}
			if b == keep {
				return 1
			}
		}
		return b.latest().Compare(a.latest())
	})
	untried, kept := 0, 0
	r.entries = slices.DeleteFunc(r.entries, func(e *Entry) bool {
		fits := kept < maxEntries
		if e.LastAccepted.IsZero() {
			fits = fits && untried < maxUntried
		}
		if !fits && e != current && e != account {
			return true
		}
		kept++
		if e.LastAccepted.IsZero() {
			untried++
		}
		return false
	})
}

// with returns a copy of r in which after takes the place of e, or is added.
func (r Record) with(e *Entry, after *Entry) Record {
	r.entries = slices.Clone(r.entries)
	if i := slices.Index(r.entries, e); i >= 0 {
		r.entries[i] = after
	} else {
		r.entries = append(r.entries, after)
	}
	return r
}

// salted makes sure that an entry can be recognized when it is loaded again. Each
// has a salt of its own, so that two accounts with one password do not show it.
func (e *Entry) salted() {
	if len(e.Salt) > 0 || e.hash == nil {
		return
	}
	e.Salt = make([]byte, 16)
	rand.Read(e.Salt) // never fails
	e.Proof = e.hash(e.Salt)
}

// unmarshalWith decodes data into known and returns the members that known has no
// field for.
func unmarshalWith(data []byte, known any) (fields, error) {
	if err := json.Unmarshal(data, known); err != nil {
		return nil, err
	}
	var all fields
	if err := json.Unmarshal(data, &all); err != nil || all == nil {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	// What known would write is what it has fields for. So there is no list of
	// names that could be forgotten when a field is added.
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
	if len(all) == 0 {
		return nil, nil
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
	all := maps.Clone(later)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
