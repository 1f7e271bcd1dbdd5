// What a listing remembers of the cards that it has handed out: eight bytes each,
// the only thing in a listing that grows with the book.

package icloud

import "math/bits"

// hashSet is a set of hashes, which it takes for random. It is made for one thing:
// fifty thousand of them in half a megabyte, where a map takes four times as much.
type hashSet struct {
	slots []uint64 // 0: free; a power of two of them, an eighth free at least
	count int
}

// find returns the slot that holds h, or the free one in which it belongs.
func (s *hashSet) find(h uint64) int {
	mask := len(s.slots) - 1
	// Linear probing: the hashes are a keyed function's, so no server can
	// make them collide, and neighbours share a cache line.
	i := int(h>>1) & mask
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

// has says whether h is in the set.
func (s *hashSet) has(h uint64) bool {
	h |= 1 // 0 is no hash
	return s.count > 0 && s.slots[s.find(h)] == h
}

// add adds h and says whether it was not there before.
func (s *hashSet) add(h uint64) bool {
	h |= 1
	if s.count >= len(s.slots)/8*7 {
		s.grow()
	}
	i := s.find(h)
	if s.slots[i] == h {
		return false
	}
	s.slots[i] = h
	s.count++
	return true
}

// grow doubles the table.
func (s *hashSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(64, 1<<bits.Len(uint(len(old)))))
	for _, h := range old {
		if h != 0 {
			s.slots[s.find(h)] = h
		}
	}
}

// clear empties the set.
func (s *hashSet) clear() {
	clear(s.slots)
	s.count = 0
}
