package vcf

import "bytes"

// This file remembers parameters. A program writes the same few parameters in all cards,
// and they always mean the same. So most need not be read again.

const (
	// maxKnown is how many parameters a Reader remembers. If there are more, it
	// forgets all of them and starts again.
	maxKnown = 64

	// maxKnownLen is how long parameters may be to be remembered.
	maxKnownLen = 128
)

// knownParams are parameters of a property that were read before.
type knownParams struct {
	meta

	// word or label is the result of typeLabel: label if it is not one of words.
	word  word
	label []byte
}

// noParams are the parameters of a property without parameters.
var noParams = knownParams{meta: meta{pref: 100}}

// params returns what the text of parameters means.
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
		text = bytes.Clone(text) // meta has slices of it
	}
	p.meta.read(text)
	p.label = p.typeLabel()
	if p.word = wordOf(p.label); p.word != noWord {
		p.label = nil
	}
	return p
}
