// How far an export has come, for a person who waits.

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// progress is a line on the standard error that counts. A nil one does nothing.
type progress struct {
	w     io.Writer
	width int
	what  string
	total int // -1: unknown

	done  int
	shown int       // columns of the line that stands there
	next  time.Time // when it is drawn again
}

// progress returns a line if a person looks at the standard error, and the
// contacts go to a file: what reads the standard output may draw there too. How
// many there are is not known before the end of a listing; total is -1 then.
func (e *export) progress(p *program, what string, total int) *progress {
	if total == 0 || e.file == "" || !isTerminal(p.err) {
		return nil
	}
	return &progress{w: p.err, width: p.width(p.err, 80), what: what, total: total}
}

// add counts one more, and draws ten times a second at most.
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

// draw puts text into the place of the line. In the last column some terminals break
// the line. A line that cannot be drawn is no reason to stop.
func (b *progress) draw(text string) {
	columns := uniseg.StringWidth(text)
	if columns >= b.width {
		return
	}
	// Blanks, because not every terminal knows the sequence that clears a line.
	fmt.Fprint(b.w, "\r"+text+strings.Repeat(" ", max(b.shown-columns, 0)))
	b.shown = columns
}

// end removes the line. It may be called again: on the way out of an error, and
// before a message that would otherwise stand there.
func (b *progress) end() {
	if b == nil || b.shown == 0 {
		return
	}
	b.draw("")
	fmt.Fprint(b.w, "\r")
}
