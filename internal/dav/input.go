package dav

import "io"

// This file is the lowest layer: the bytes from the reader, their positions and their
// bounds.

// An input is a window on what a reader delivers: buf[pos:end] was read and is not yet
// consumed. fill moves these bytes to the start of buf, so slices of buf are valid only
// until the next call of fill.
//
// The window does not grow, because only a tag must be in it as a whole. So no answer
// can make it use more memory.
type input struct {
	r        io.Reader
	buf      []byte // of MaxToken bytes
	pos, end int

	// base is how much of the document came before buf[0].
	base int64

	// err is what r returned after the last byte of the window.
	err error

	// A document has phases: the part before the root element, each row, and the
	// part after it. phase is the offset at which the current one began.
	phase int64
	bound LimitError // how long the current phase may be
}

// offset returns how many bytes of the document were consumed.
func (in *input) offset() int64 { return in.base + int64(in.pos) }

// syntax returns the error for a document that is broken at the current position. reason
// has no text from the document.
func (in *input) syntax(reason string) error {
	return &SyntaxError{Offset: in.offset(), Reason: reason}
}

// limit begins a phase that may be max bytes long.
func (in *input) limit(max int64, what string) {
	in.phase = in.offset()
	in.bound = LimitError{What: what, Limit: max}
}

// within returns an error if the phase is longer than it may be. It is called by every
// fill, so that no phase is endless, and again at the end of each phase, so that the
// result does not depend on the size of the reads.
func (in *input) within() error {
	if in.offset()-in.phase <= in.bound.Limit {
		return nil
	}
	exceeded := in.bound
	return &exceeded
}

// fill reads more bytes into the window. At the end of the reader it returns io.EOF. The
// caller knows whether that is an error.
func (in *input) fill() error {
	if err := in.within(); err != nil {
		return err
	}
	if in.pos > 0 {
		// While a tag is being completed, pos stays 0. So its bytes move only
		// once, even if the reader delivers single bytes.
		in.base += int64(in.pos)
		in.end = copy(in.buf, in.buf[in.pos:in.end])
		in.pos = 0
	}
	if in.end == len(in.buf) {
		// This happens only in a tag, or what looks like one. Everything else is
		// consumed before more is read.
		return &LimitError{What: "bytes in one tag", Limit: MaxToken}
	}
	for tries := 0; in.err == nil; tries++ {
		// An io.Reader may return 0 bytes and no error. If it does so again and
		// again, the caller would wait for ever.
		if tries == 100 {
			in.err = io.ErrNoProgress
			break
		}
		var n int
		n, in.err = in.r.Read(in.buf[in.end:])
		in.end += n
		if n > 0 {
			// An error that came with these bytes is returned later,
			// because the rows in the bytes are good.
			return nil
		}
	}
	return in.err
}

// need makes sure that n bytes are in the window. It is called inside of a construct, so
// the end of the reader is an error.
func (in *input) need(n int) error {
	if in.end-in.pos >= n {
		return nil
	}
	return in.await(n)
}

// await is the slow part of need. It is separate so that need is inlined.
func (in *input) await(n int) error {
	for in.end-in.pos < n {
		if err := in.fill(); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// unexpected returns the error for a document that ends where it must not. Only io.EOF
// itself is the end of the reader. An error that wraps io.EOF is another error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
