package dav

import "io"

// This file is the lowest layer: bytes from the reader, where they come from and
// how many there may be.

// An input is a window on what a reader delivers: buf[pos:end] was read and is not
// consumed. What is consumed makes room for what follows, so slices of buf are good
// only until the next call of fill.
//
// The window does not grow. It need not, because nothing but a tag has to be seen
// as a whole; and that it cannot is what makes it impossible to exhaust.
type input struct {
	r        io.Reader
	buf      []byte // of MaxToken bytes
	pos, end int

	// base is how much of the document came before buf[0].
	base int64

	// err is what r returned after the last byte of the window.
	err error

	// A document has phases: what is before the root element, each row, and
	// what is after. This one began at the offset phase.
	phase int64
	bound LimitError // and may go on for this long
}

// offset returns how much of the document was consumed.
func (in *input) offset() int64 { return in.base + int64(in.pos) }

// syntax returns the error for a document that is broken here. The reason is said
// in our words only.
func (in *input) syntax(reason string) error {
	return &SyntaxError{Offset: in.offset(), Reason: reason}
}

// limit begins a phase that may be max bytes long.
func (in *input) limit(max int64, what string) {
	in.phase = in.offset()
	in.bound = LimitError{What: what, Limit: max}
}

// within returns an error if the phase is longer than it may be. It is asked at
// every fill, so that no phase goes on for ever, and again at the end of each
// phase, so that it makes no difference in what pieces the reader delivers.
func (in *input) within() error {
	if in.offset()-in.phase <= in.bound.Limit {
		return nil
	}
	exceeded := in.bound
	return &exceeded
}

// fill reads more, behind what is there. An end of the reader is io.EOF here, which
// only the caller can judge.
func (in *input) fill() error {
	if err := in.within(); err != nil {
		return err
	}
	if in.pos > 0 {
		// While a tag is being completed, pos stays 0: what there is of it
		// moves once, even if the reader delivers single bytes.
		in.base += int64(in.pos)
		in.end = copy(in.buf, in.buf[in.pos:in.end])
		in.pos = 0
	}
	if in.end == len(in.buf) {
		// Only a tag, or what looks like one, asks for more with all of this
		// unconsumed.
		return &LimitError{What: "bytes in one tag", Limit: MaxToken}
	}
	for tries := 0; in.err == nil; tries++ {
		// An io.Reader may return nothing and no error, but one that goes on
		// like that would hold the caller for ever.
		if tries == 100 {
			in.err = io.ErrNoProgress
			break
		}
		var n int
		n, in.err = in.r.Read(in.buf[in.end:])
		in.end += n
		if n > 0 {
			// If there was an error as well, it waits until these bytes
			// are used: the rows in them are good.
			return nil
		}
	}
	return in.err
}

// need makes sure that the window shows n bytes. What has begun must be there to
// its end, so the end of the reader is an unexpected one.
func (in *input) need(n int) error {
	if in.end-in.pos >= n {
		return nil
	}
	return in.await(n)
}

// await is need where something is missing: it is apart so that need is inlined.
func (in *input) await(n int) error {
	for in.end-in.pos < n {
		if err := in.fill(); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// unexpected returns the error for a document that ends where it must not. Only the
// very io.EOF is the reader's end. A reader that wraps it means something else.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
