package connect

// Kept returns for how many accounts and Apple IDs h keeps an entry in memory.
func (h *Handler) Kept() int {
	h.turns.mu.Lock()
	defer h.turns.mu.Unlock()
	h.limits.mu.Lock()
	defer h.limits.mu.Unlock()
	return len(h.turns.held) + len(h.limits.asked)
}
