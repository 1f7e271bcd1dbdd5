// Whether passwords expire at all, judged from what many accounts have observed.

package authstate

import "encoding/binary"

// A Crossing is what a password shows about the estimated end of its life.
type Crossing int

const (
	NotCrossed Crossing = iota
	Ended               // refused around its estimated end
	Outlived            // accepted well before and well after it
)

// crossing compares what was observed of a password with the lifetime that is
// estimated, whether or not it is believed at the moment.
func (s *State) crossing(e *Entry) Crossing {
	ev := e.evidence(s.rules.Lifetime, e.latest())
	end, _ := ev.end()
	switch {
	case end.IsZero() || e.FirstAccepted.IsZero():
		return NotCrossed
	// Both acceptances must have been observed. Otherwise a date of issue that a service
	// never updates would make every new password look old.
	case e.FirstAccepted.Before(end.Add(-endSlack)) && !e.LastAccepted.Before(end.Add(endSlack)):
		return Outlived
	case e.Verdict != nil && e.Verdict.Confirmed:
		if certainty, reason := diagnose(ev); reason == Expired && certainty == Likely {
			return Ended
		}
	}
	return NotCrossed
}

// Crossings calls note for each password of the account that has met its estimated
// end. id names the password, and is the same for all Clients that share a Store.
func (s *State) Crossings(note func(id uint64, c Crossing)) {
	for _, e := range s.record.entries {
		if c := s.crossing(e); c != NotCrossed {
			e.salted()
			if len(e.Salt) >= 8 {
				note(binary.BigEndian.Uint64(e.Salt), c)
			}
		}
	}
}

// NoEnd sets whether the passwords of other accounts have shown that the lifetime is wrong.
func (s *State) NoEnd(noEnd bool) { s.noEnd = noEnd }

// Lifetimes counts Crossings. Of more than some thousand passwords, those that were
// noted last stand for all. The zero value is ready; it is not safe for concurrent
// use.
type Lifetimes struct {
	slots    []uint32 // by id: some of its bits, and the Crossing in the lowest two
	ended    int
	outlived int
}

const lifetimeSlots = 1 << 12

// Note counts a password once, however often it is noted.
func (l *Lifetimes) Note(id uint64, c Crossing) {
	if l.slots == nil {
		l.slots = make([]uint32, lifetimeSlots)
	}
	slot := &l.slots[id%lifetimeSlots]
	l.count(*slot, -1)
	*slot = uint32(id>>32)&^3 | uint32(c)
	l.count(*slot, +1)
}

func (l *Lifetimes) count(slot uint32, n int) {
	switch Crossing(slot & 3) {
	case Ended:
		l.ended += n
	case Outlived:
		l.outlived += n
	}
}

// Counts returns how many passwords have ended around their estimated end, and how
// many have outlived it.
func (l *Lifetimes) Counts() (ended, outlived int) { return l.ended, l.outlived }

// leastOutlived is how many passwords must have outlived their lifetime before it is
// not believed in, and outlivedForEnded how many more for each that has ended around
// it. One or two in a hundred are revoked just then by chance.
const (
	leastOutlived    = 8
	outlivedForEnded = 12
)

// NoEnd says whether passwords seem to have no lifetime.
func (l *Lifetimes) NoEnd() bool {
	return l.outlived >= leastOutlived+outlivedForEnded*l.ended
}
