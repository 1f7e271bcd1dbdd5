// Package authstate decides about an account's password: what may be sent next,
// what a refusal means, what is due to be saved, and what is news to the
// application. It sends nothing, saves nothing and reads no clock. The time is an argument,
// and every answer follows from the events that a [State] was told about.
//
// A password goes through these phases:
//
//	            accepted                       close to its end
//	Untested -------------> Active ------------------------------> Expiring
//	    |                    |  ^                                   |   ^
//	    | refused    refused |  | accepted                  refused |   | accepted
//	    v                    v  |                                   v   |
//	    +----------------> Doubted <---------------------------------+--+
//	                         |
//	                         | refused for the dwell; or at once, if the reason is
//	                         | certain, or if the owner waits and it never worked
//	                         v
//	                      SignedOut --- the daily probe is accepted, or
//	                                    replaced by Reconnect ---> Active
package authstate

import "time"

const (
	// doubtHold is how often a doubted password is probed at most.
	doubtHold = time.Minute

	// latchHold is how often at most a password is probed whose refusal is final. So a
	// wrong verdict is corrected within a day, and a right one costs at most a request
	// a day.
	latchHold = 24 * time.Hour

	// holdBack is how long an incident at Apple holds back a verdict at most.
	holdBack = 24 * time.Hour

	// saveEvery is how often at most an acceptance is saved that decides nothing. If the
	// process ends, the saved date of the last acceptance is at most an hour too old.
	saveEvery = time.Hour

	// readEvery is how often at most a Client that has nothing to save reads the Store, to
	// learn what other Clients have saved.
	readEvery = time.Minute

	// saveAgain is how long a save is not tried again after the Store has not
	// answered in time, unless a verdict waits for it.
	saveAgain = time.Minute
)

// Rules are the Options that decide about dates.
type Rules struct {
	Lifetime  time.Duration // 0: none
	Dwell     time.Duration // 0: the first refusal is final
	Warn      time.Duration
	Elsewhere bool // not iCloud
}

// A Caller says who waits for the answer.
type Caller int

const (
	// Unattended: a program on its own.
	Unattended Caller = iota

	// Interactive: the password's owner is present.
	Interactive
)

// An Action is what a call may do next.
type Action int

const (
	// Send the request.
	Send Action = iota

	// Probe first: ask iCloud whether it accepts the password, and send the
	// request only if it does.
	Probe

	// Hold the request back, and return the verdict.
	Hold
)

// Due says what is to be done about the Store.
type Due int

const (
	DueNothing Due = iota
	DueRead        // others may have learned something
	DueLazily      // a save that need not succeed, and is left to one of many calls
	DueNow         // a save that every call waits for
)

// A Seq numbers the events of one process. So their order does not depend on clocks.
type Seq uint64

// State is what is known of an account's passwords, of which one is current. It is
// not safe for concurrent use.
type State struct {
	rules   Rules
	record  Record // what is saved; it is the memory, too
	current *Entry // in record
	seq     Seq

	throttle throttle
	failures failures

	noEnd   bool // the lifetime is not believed in
	loaded  bool // the Store's record has been merged
	dirty   bool // something is not saved yet
	urgent  bool // and does not wait for saveEvery
	unsaved bool // urgent is in what is being saved
	tell    bool // a SignedOut that was saved as told is yet to be told
	dropped *Rejection
	savedAt time.Time // when something was last saved
	readAt  time.Time // when the Store was last read
	hungAt  time.Time // when a save last took too long; zero if it has succeeded since

	notified Phase // the last one that the application was told, or need not be
}

// New returns the State of an account whose password is known by hash.
func New(rules Rules, hash Hash, claims Claims) *State {
	e := &Entry{hash: hash, claims: &claims}
	return &State{
		rules:   rules,
		record:  Record{Version: recordVersion, Elsewhere: rules.Elsewhere, entries: []*Entry{e}},
		current: e,
	}
}

// believed returns the rules, without the Lifetime if other passwords have shown it to be
// wrong.
func (s *State) believed() Rules {
	r := s.rules
	if s.noEnd {
		r.Lifetime = 0
	}
	return r
}

// stamp returns a time in the form in which it is remembered.
func stamp(t time.Time) time.Time { return t.Round(0).UTC() }

// Current returns the entry of the current password.
func (s *State) Current() *Entry { return s.current }

// Worked says whether a password is known to have been accepted.
func (s *State) Worked(e *Entry, now time.Time) bool {
	return e.evidence(0, stamp(now)).worked()
}

// Sent numbers a request that is about to be sent.
func (s *State) Sent() Seq {
	s.seq++
	return s.seq
}

// Next says what a call with the current password may do at now, and returns the
// verdict, if there is one. It changes nothing.
func (s *State) Next(now time.Time) (Action, *Verdict) {
	e := s.current
	switch {
	case e.Verdict == nil:
		return Send, nil
	case e.mayProbe(stamp(now)):
		return Probe, e.Verdict
	}
	return Hold, e.Verdict
}

// Probing notes that a probe of e is about to be sent, so that calls which come
// meanwhile do not send a second one. It returns what Unprobed needs to take that
// back.
func (s *State) Probing(e *Entry, now time.Time) (before time.Time) {
	before, e.probed = e.probed, stamp(now)
	return before
}

// Unprobed notes that a probe has ended without an outcome. If it was not sent, nothing has
// happened. If it was cancelled, the next probe may be sent after a minute instead of a day,
// but not at once, because many calls may be cancelled early.
func (s *State) Unprobed(e *Entry, before time.Time, sent bool, now time.Time) {
	e.probed = before
	if sent && e.Verdict != nil && e.Verdict.Confirmed {
		e.probed = stamp(now).Add(doubtHold - latchHold)
	}
}

// Accepted notes that a password was accepted by the answer to a request that was
// sent at that Seq. It counts unless the password is no longer the current one, or
// was refused after the request was sent. cleared says that there was a verdict.
func (s *State) Accepted(e *Entry, sent Seq, now time.Time) (counts, cleared bool) {
	if e != s.current || sent < e.rejectedAt {
		return false, false
	}
	// The answer may arrive after those to requests that were sent later. What
	// counts is when the request was sent.
	e.acceptedAt = max(e.acceptedAt, sent)
	cleared = e.accept(stamp(now))
	s.dirty = true
	s.urgent = s.urgent || cleared
	// The account is no longer throttled, so the next wait starts from the shortest one.
	// A wait that is under way does not end.
	s.throttle.times = 0
	return true, cleared
}

// Refused notes that a probe of e, which was sent at that Seq, has been refused,
// and returns the Seq of the refusal. What was sent before it cannot refute it.
// It is not ok if an answer that arrived before has refuted it already.
func (s *State) Refused(e *Entry, sent Seq) (at Seq, ok bool) {
	if e.acceptedAt > sent {
		return 0, false
	}
	e.rejectedAt = s.Sent()
	return e.rejectedAt, true
}

// IsSymptom says whether a refusal of e at now may be a sign of an incident at Apple. A
// refusal that was to be expected is not a sign. A refusal that has lasted for longer than an
// incident holds verdicts back is not one either.
func (s *State) IsSymptom(e *Entry, now time.Time, by Caller) bool {
	now = stamp(now)
	if e.Verdict != nil && (e.Verdict.Confirmed || now.Sub(e.Refused) >= holdBack) {
		return false
	}
	trial := *e
	trial.Verdict = nil
	trial.refuse(s.believed(), now, Unattended, true)
	v := trial.Verdict
	switch {
	// The password was due to expire, or the caller knew of its revocation.
	case v.Reason == Expired && v.Certainty == Likely, v.Certainty == Certain:
		return false
	// The owner may have mistyped the password, and several owners may do so within
	// minutes.
	case by == Interactive && v.Reason == Rejected:
		return false
	}
	return true
}

// MaySendPending says whether a request may be sent although a refusal waits to be
// committed. As while doubted, one request a minute may be sent.
func (s *State) MaySendPending(now time.Time) bool {
	return over(s.current.pendingSent, stamp(now), doubtHold)
}

// SentPending notes that one was sent.
func (s *State) SentPending(now time.Time) { s.current.pendingSent = stamp(now) }

// A Rejection is an entry with a refusal added. The State shows nothing of it before Commit.
type Rejection struct {
	entry  *Entry
	before *Verdict // of entry, when the Rejection was worked out
	after  Entry
	at     Seq
	tell   bool
}

// Reject decides what follows from a refusal of e, which arrived at that Seq. by says who
// waits for the answer; in an incident only a certain verdict becomes final. The State
// changes when the Rejection is committed.
func (s *State) Reject(e *Entry, at Seq, now time.Time, by Caller, incident bool) *Rejection {
	r := &Rejection{entry: e, before: e.Verdict, after: *e, at: at}
	r.after.refuse(s.believed(), stamp(now), by, incident)
	if v := r.after.Verdict; e == s.current && v.Confirmed && !r.after.told() {
		r.after.ToldFor, r.tell = v.Refused, true
	}
	return r
}

// Commit makes a Rejection part of the State, once it has been saved, or could not
// be, and returns the verdict. It is nil, and the Rejection changes nothing, if an
// acceptance has refuted it in the meantime, which is then due to be saved.
func (s *State) Commit(r *Rejection) *Verdict {
	e := r.entry
	switch {
	case e.acceptedAt > r.at:
		s.dirty, s.urgent = true, true
		return nil
	case e.Verdict != r.before:
		// Another refusal of the same password was committed meanwhile. There is one
		// verdict, which is reported once.
		told := e.told()
		e.mergeVerdict(r.after)
		s.tell = s.tell || r.tell && !told
		s.dirty, s.urgent = true, true
		return e.Verdict
	}
	// Only the caller's claims may also have changed meanwhile.
	r.after.claims, r.after.acceptedAt, r.after.rejectedAt, r.after.pendingSent = e.claims, e.acceptedAt, e.rejectedAt, e.pendingSent
	*e = r.after
	s.record = s.record.with(e, e)
	s.record.trim(s.current)
	s.tell = s.tell || r.tell
	return e.Verdict
}

// Drop notes that a saved Rejection will not be committed, because another password is the
// current one now. The verdict was not reported. A Client that still has the old password
// and finds the verdict in the Store has to report it.
func (s *State) Drop(r *Rejection) {
	if r.tell {
		s.dropped = r
		s.dirty, s.urgent = true, true
	}
}

// Candidate returns the entry of a password that may become the current one. It is
// the entry that there is, if the password is known, so that whatever happens to it
// meanwhile is not lost.
func (s *State) Candidate(hash Hash, claims Claims, now time.Time) *Entry {
	s.current.salted() // or find could not recognize it
	e := s.record.find(hash)
	if e == nil {
		e = new(Entry)
	}
	e.hash = hash
	e.claim(claims, stamp(now))
	return e
}

// Replace makes a password that was accepted the current one.
func (s *State) Replace(e *Entry, now time.Time) {
	e.acceptedAt = s.Sent()
	e.accept(stamp(now))
	s.current = e
	s.record = s.record.with(e, e)
	s.record.trim(e)
	s.throttle.times = 0
	// Other workers are signed out until they read the acceptance.
	s.dirty, s.urgent = true, true
}

// Elsewhere says whether the server is another one than iCloud.
func (s *State) Elsewhere() bool { return s.rules.Elsewhere }

// IsICloud notes that the server has turned out to be iCloud, or a fake of it.
func (s *State) IsICloud() { s.rules.Elsewhere, s.record.Elsewhere = false, false }

// FoundBook notes that the address book was found where it was not known to be. That
// is saved at once, because each worker would spend three requests on finding it.
func (s *State) FoundBook() { s.dirty, s.urgent = true, true }

// Loaded says whether the Store's record has been merged.
func (s *State) Loaded() bool { return s.loaded }

// Merge adds what the Store has from other Clients. If the merge is silent or the first
// one, a change of the Phase is not reported to the application.
func (s *State) Merge(r *Record, now time.Time, silent bool) {
	now = stamp(now)
	first := !s.loaded
	before := s.phase(now)
	s.loaded, s.readAt = true, now

	e := s.current
	e.keepClaims(now)
	for _, o := range r.entries {
		i := 0
		for i < len(s.record.entries) && !s.record.entries[i].sameAs(o) {
			i++
		}
		if i == len(s.record.entries) {
			s.record.entries = append(s.record.entries, o)
			continue
		}
		mine := s.record.entries[i]
		doubted := o.Verdict != nil
		mine.merge(*o)
		if d := s.dropped; d != nil && d.entry == mine && mine.ToldFor.Equal(d.after.ToldFor) {
			mine.ToldFor = time.Time{}
		}
		if mine == e && doubted && e.Verdict == nil {
			// Another Client doubts a password that was accepted here. Without this
			// acceptance, its next stray 401 would confirm the first one.
			s.dirty, s.urgent = true, true
		}
	}
	s.record.trim(e)
	s.record.later, s.record.Version = r.later, max(s.record.Version, r.Version)
	switch {
	case first:
		s.savedAt = e.LastAccepted
		// An earlier Client has reported the saved Phase, so it is not reported again.
		// A Phase that began later because time has passed, such as Expiring, is
		// reported.
		s.notified = s.phase(e.latest())
	case silent && s.notified == before:
		s.notified = s.phase(now)
	}
}

// Due says what is to be done about the Store at now.
func (s *State) Due(now time.Time) Due {
	now = stamp(now)
	switch {
	case !s.dirty || !s.hungAt.IsZero() && !over(s.hungAt, now, saveAgain):
		return DueNothing
	// The next Client must not report again what this one is about to.
	case s.urgent, s.phase(now) != s.notified:
		return DueNow
	case over(s.savedAt, now, saveEvery):
		return DueLazily
	case over(s.readAt, now, readEvery):
		return DueRead
	}
	return DueNothing
}

// MayRead says whether a Client that is signed out may look into the Store at now.
func (s *State) MayRead(now time.Time) bool { return over(s.readAt, stamp(now), readEvery) }

// Unsaved says whether a verdict could not be saved when it was reached.
func (s *State) Unsaved() bool { return s.dirty && s.urgent }

// Save returns what is to be saved: the State with r, if it is not nil, and the URLs
// of the address book and its home-set, "" if they are not known. Later changes are not in
// it.
func (s *State) Save(r *Rejection, book, home string, now time.Time) ([]byte, error) {
	s.current.salted()
	record := s.record
	record.Book, record.Home = book, home
	if r != nil {
		r.after.salted()
		record = record.with(r.entry, &r.after)
	}
	current := s.current
	entries := make([]*Entry, len(record.entries))
	for i, e := range record.entries {
		entry := *e
		s.conclude(&entry, stamp(now))
		entries[i] = &entry
		if e == s.current || r != nil && e == &r.after && r.entry == s.current {
			current = &entry
		}
	}
	record.entries = entries
	record.trim(current)
	data, err := record.encode()
	if err == nil {
		s.unsaved = s.urgent || r != nil
		s.dirty, s.urgent = false, false
	}
	return data, err
}

// conclude sets the Conclusions for readers that do not know the Options. It changes nothing
// for a password that this Client does not have; another Client has set them.
func (s *State) conclude(e *Entry, now time.Time) {
	e.Told = e.told()
	if e.hash == nil {
		return
	}
	e.keepClaims(now)
	e.Conclusions = new(Conclusions)
	e.Expires, e.WarnFrom = s.ends(e, now)
	if e.Verdict != nil && !e.Verdict.Confirmed {
		e.Final = e.Refused.Add(s.rules.Dwell)
	}
}

// Saved notes that what Save returned is in the Store.
func (s *State) Saved(now time.Time) {
	s.savedAt, s.hungAt, s.unsaved, s.dropped = stamp(now), time.Time{}, false, nil
}

// SaveFailed notes that what Save returned is not in the Store, or that the Store
// could not even be read. verdict says that it was to keep a Rejection, hung that
// the Store did not answer in time.
func (s *State) SaveFailed(verdict, hung bool, now time.Time) {
	s.dirty, s.urgent, s.unsaved = true, s.urgent || s.unsaved || verdict, false
	if hung {
		s.hungAt = stamp(now)
	}
}

// Notify says whether the Phase has changed in a way that is news for the
// application. Each change is news once.
func (s *State) Notify(now time.Time) bool {
	phase := s.phase(stamp(now))
	news := phase != s.notified
	s.notified = phase
	// The next Client must not report it again.
	s.urgent = s.urgent || news && s.dirty
	if phase == SignedOut {
		// The saved verdict says that it was reported, before it is. If the process
		// crashes in between, the report is missed; two reports would be worse. It may
		// be another verdict than the previous one, which was refuted meanwhile.
		news, s.tell = s.tell, false
	}
	return news
}
