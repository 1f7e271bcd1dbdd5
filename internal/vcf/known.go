package vcf

import "bytes"

// This file remembers parameters. A program writes the same few of them in all cards,
// and what they say depends on nothing else: so most need not be read again.

const (
	// maxKnown is how many parameters a Reader remembers. When there are more, it
	// begins anew.
	maxKnown = 64

	// maxKnownLen is how long parameters may be to be remembered.
	maxKnownLen = 128
)

// knownParams are a property's parameters that have been read.
type knownParams struct {
	meta

	// word and label are what typeLabel makes of them: one of words, or else a
	// text.
	word  word
	label []byte
}

// noParams is what a property has that has no parameters.
var noParams = knownParams{meta: meta{pref: 100}}

// params returns what parameters say.
func (r *Reader) params(text []byte) *knownParams {
	if len(text) == 0 {
		return &noParams
	}
	if p := r.known[string(text)]; p != nil {
		return p
	}
	p := new(knownParams)
	if len(text) <= maxKnownLen {
		if r.known == nil {
			r.known = make(map[string]*knownParams)
		}
		if len(r.known) == maxKnown {
			clear(r.known)
		}
		r.known[string(text)] = p
		text = bytes.Clone(text) // of which meta holds parts
	}
	p.meta.read(text)
	p.label = p.typeLabel()
	if p.word = wordOf(p.label); p.word != noWord {
		p.label = nil
	}
	return p
}
