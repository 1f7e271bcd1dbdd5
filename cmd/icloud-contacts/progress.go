// A progress line of export.

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// progress is a line on the standard error that counts. A nil progress does nothing.
type progress struct {
	w     io.Writer
	width int
	what  string
	total int // -1 if unknown

	done  int
	shown int       // the columns of the line that is shown now
	next  time.Time // when the line may be drawn again
}

// progress returns a progress line if the standard error is a terminal and the contacts go
// to a file. Otherwise it returns nil, because a program that reads the standard output may
// use the terminal too. total is -1 for contacts, whose number is not known before the end.
func (e *export) progress(p *program, what string, total int) *progress {
	if total == 0 || e.file == "" || !isTerminal(p.err) {
		return nil
	}
	return &progress{w: p.err, width: p.width(p.err, 80), what: what, total: total}
}

// add counts one more, and draws the line at most ten times a second.
func (b *progress) add() {
	if b == nil {
		return
	}
	b.done++
	now := time.Now()
	if now.Before(b.next) {
		return
	}
	b.next = now.Add(100 * time.Millisecond)
	text := fmt.Sprintf("%s: %d", b.what, b.done)
	if b.total > 0 {
		text += fmt.Sprintf(" of %d", b.total)
	}
	b.draw(text)
}

// draw replaces the line by text. It does not use the last column, where some terminals
// begin a new line. It ignores errors.
func (b *progress) draw(text string) {
	columns := uniseg.StringWidth(text)
	if columns >= b.width {
		return
	}
	// Blanks clear the line, because not every terminal has an escape sequence for it.
	fmt.Fprint(b.w, "\r"+text+strings.Repeat(" ", max(b.shown-columns, 0)))
	b.shown = columns
}

// end removes the line. It may be called several times.
func (b *progress) end() {
	if b == nil || b.shown == 0 {
		return
	}
	b.draw("")
	fmt.Fprint(b.w, "\r")
}
