package dav

// Held returns the number of bytes in the buffers that d holds on to.
func (d *Decoder) Held() int {
	known := 0
	for _, k := range d.s.known {
		known += cap(k.text) + cap(k.names) + 48*cap(k.bindings)
	}
	return known + 128*cap(d.s.known) + cap(d.s.buf) + cap(d.s.names) + cap(d.s.scratch.buf) + cap(d.texts.buf) + cap(d.card.buf) + cap(d.token) +
		48*cap(d.s.bindings) + 24*cap(d.s.open) + 16*cap(d.hrefs) + 16*cap(d.homes) + 24*cap(d.row.HomeSet)
}
