// What a run remembers of the cards that it has handed out. A slot takes 12 bytes. Nothing
// else in a listing grows with the book.

package icloud

// seenCards is a hash table. It maps the hash of each card's ID to 32 bits of another
// hash, that of the card itself. The zero value is empty. In a large book a map would
// take more memory, and would take long to grow.
type seenCards struct {
	// Both have the same number of slots, a power of two. At least one in eight is
	// free. In a free slot the ID is 0.
	ids   []uint64
	cards []uint32
	count int
}

// slot returns the slot of an ID, or the free slot that it would take. It tries one slot
// after the other. That is fast because the hash function has a random key, so a server
// cannot choose IDs that collide.
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

// add adds a card, unless there is one with that ID already. It returns the hash of the
// card that the table has for the ID afterwards, and whether that was added.
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
