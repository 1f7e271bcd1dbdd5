package dav

// Held returns the number of bytes in the buffers of d.
func (d *Decoder) Held() int {
	return cap(d.s.buf) + cap(d.s.names) + cap(d.s.scratch.buf) + cap(d.texts.buf) + cap(d.card.buf) + cap(d.token) + cap(d.shape.text) +
		48*cap(d.s.bindings) + 24*cap(d.s.open) + 16*cap(d.hrefs) + 16*cap(d.homes) + 24*cap(d.row.HomeSet)
}
