// What a run remembers of the cards that it has handed out: twelve bytes each, the only
// thing in a listing that grows with the book.

package icloud

// seenCards has the hash of each card's ID, and half a hash of what else is known of the
// card. The zero value has none. It is a table of its own because in a large book a map
// would take twice the memory, and several times as long to grow.
type seenCards struct {
	// Both have a power of two of slots, of which at least an eighth is free: there
	// the ID is 0.
	ids   []uint64
	cards []uint32
	count int
}

// slot returns the slot of an ID, or the free one that it would take. Slots are tried one
// after the other: the hashes are those of a keyed function, so that no server can make
// them collide.
func (s *seenCards) slot(id uint64) int {
	last := len(s.ids) - 1
	i := int(id) & last
	for s.ids[i] != 0 && s.ids[i] != id {
		i = (i + 1) & last
	}
	return i
}

// has says whether there is a card with that ID.
func (s *seenCards) has(id uint64) bool {
	id = max(id, 1)
	return s.count > 0 && s.ids[s.slot(id)] == id
}

// add notes a card, unless there is one with that ID. It returns what is noted for the
// ID then, and whether that is new.
func (s *seenCards) add(id uint64, card uint32) (noted uint32, added bool) {
	if s.count >= len(s.ids)/8*7 {
		s.grow()
	}
	id = max(id, 1) // 0 stands for none
	i := s.slot(id)
	if s.ids[i] == id {
		return s.cards[i], false
	}
	s.ids[i], s.cards[i] = id, card
	s.count++
	return card, true
}

// grow doubles the table.
func (s *seenCards) grow() {
	size := max(64, 2*len(s.ids))
	bigger := seenCards{ids: make([]uint64, size), cards: make([]uint32, size), count: s.count}
	for i, id := range s.ids {
		if id != 0 {
			j := bigger.slot(id)
			bigger.ids[j], bigger.cards[j] = id, s.cards[i]
		}
	}
	*s = bigger
}
