package vcf

// Fields has everything that a Reader finds in a card.
type Fields struct {
	UID, Name, Org string
	Emails, Phones []Labeled
	Group          bool
	Members        []string
}

// Fields reads a card and returns everything that it finds.
func (r *Reader) Fields(card []byte) *Fields {
	r.Read(card, nil)
	return r.Found()
}

// Found returns everything that r has found in the card that it has read.
func (r *Reader) Found() *Fields {
	f := &Fields{UID: r.UID(), Name: r.Name(), Org: r.Org(), Group: r.Group(), Members: r.Members()}
	f.Emails, f.Phones = Labels[Labeled](r)
	return f
}
