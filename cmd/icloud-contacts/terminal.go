// The terminal: its width and colors, and texts that are safe to print on it.

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// terminal returns the file descriptor of w if w is a terminal.
func terminal(w any) (fd int, ok bool) {
	if o, wrapped := w.(output); wrapped {
		w = o.Writer
	}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// isTerminal says whether w is a terminal. w may also be a reader.
func isTerminal(w any) bool {
	_, ok := terminal(w)
	return ok
}

// width returns how many columns w has: as COLUMNS says (POSIX, XBD 8.3), else as the
// terminal says, or otherwise if w is not a terminal.
func (p *program) width(w io.Writer, otherwise int) int {
	if n, err := strconv.Atoi(p.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if fd, ok := terminal(w); ok {
		if n, _, err := term.GetSize(fd); err == nil && n > 0 {
			return n
		}
		return 80 // a terminal of unknown width, for example a serial line
	}
	return otherwise
}

// The colors are among the terminal's own eight, which its user can choose.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint returns text in a color, or unchanged if color is "", if w shows no colors, or if
// the user does not want them (no-color.org).
func (p *program) paint(w io.Writer, color, text string) string {
	if name := p.getenv("TERM"); color == "" || !isTerminal(w) || p.getenv("NO_COLOR") != "" || name == "" || name == "dumb" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// visible returns s without anything that could control a terminal. A contact's name may
// come from strangers, and an escape sequence in it could move the cursor, hide a line or
// type for the user. Line breaks and tabs become spaces. Other control characters (C1
// included), bytes that are not UTF-8, and the invisible characters that change the
// direction of text become U+FFFD.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r), commandsDirection(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", " "), "\ufffd"))
}

// commandsDirection says whether r is one of Unicode's embeddings, overrides and isolates
// (UAX 9). The marks U+200E and U+200F are harmless, and the joiners between emoji are
// needed.
func commandsDirection(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// screen writes to a terminal what was made for files. It replaces characters as visible
// does, but keeps line breaks.
type screen struct{ io.Writer }

// Write implements io.Writer. A character that is split between two writes becomes U+FFFD.
// This is rare, because a bufio.Writer is in front.
func (s screen) Write(b []byte) (int, error) {
	lines := strings.Split(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = visible(line)
	}
	if _, err := io.WriteString(s.Writer, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// fit returns s in exactly n columns of a terminal: cut with an ellipsis, or padded with
// blanks. A Chinese character takes two columns, a combining accent none.
func fit(s string, n int) string {
	// Text is cut between grapheme clusters, because a cut between a letter and its
	// accent, or within an emoji of several runes, would show something else.
	w := uniseg.StringWidth(s)
	if w > n {
		var b strings.Builder
		w = 0
		for state := -1; s != ""; {
			var cluster string
			var columns int
			cluster, s, columns, state = uniseg.FirstGraphemeClusterInString(s, state)
			// The ellipsis takes one column.
			if w+columns > n-1 {
				break
			}
			b.WriteString(cluster)
			w += columns
		}
		b.WriteString("…")
		s = b.String()
		w++
	}
	return s + strings.Repeat(" ", max(n-w, 0))
}

// wrap breaks text between words into lines of at most width columns, indented.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		w := uniseg.StringWidth(word)
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+w > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += w
	}
	if column > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// wrapRest is wrap for a text that follows head in the first line.
func wrapRest(head, text, indent string, width int) string {
	// While lines are broken, a word of the same width stands for head.
	stand := strings.Repeat("x", uniseg.StringWidth(head)-1)
	lines := strings.TrimPrefix(wrap(stand+" "+text, indent, width), indent)
	return head + strings.TrimLeft(strings.TrimPrefix(lines, stand), " ")
}

// reflow fits the text of a help page into a terminal that is narrower. Lines without
// indentation are paragraphs. Indented lines are columns, or commands to paste.
func reflow(text string, width int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if !slices.ContainsFunc(lines, func(line string) bool { return uniseg.StringWidth(line) > width }) {
		return text
	}
	// First join the lines of each paragraph and of each entry of a column.
	type item struct{ head, text string }
	var items []item
	for _, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		last := len(items) - 1
		switch {
		case line == "":
			items = append(items, item{})
		case indent == 0 && last >= 0 && items[last].head == "" && items[last].text != "" && !strings.HasSuffix(items[last].text, ":"),
			indent > 4 && last >= 0:
			items[last].text = strings.TrimSpace(items[last].text + " " + line[indent:])
		case indent == 0:
			items = append(items, item{"", line})
		default:
			head, text, columns := strings.Cut(line[indent:], "  ")
			if !columns {
				head, text = line[indent:], ""
			}
			items = append(items, item{line[:indent] + head, strings.TrimSpace(text)})
		}
	}
	var b strings.Builder
	for _, it := range items {
		switch {
		case it.head == "":
			b.WriteString(cmp.Or(wrap(it.text, "", width), "\n"))
		case it.text == "":
			// A command is broken with backslashes, which a shell understands.
			b.WriteString(strings.ReplaceAll(strings.TrimSuffix(wrap(it.head, "    ", width-2), "\n"), "\n", " \\\n")[2:] + "\n")
		default:
			b.WriteString(it.head + "\n" + wrap(it.text, "      ", width))
		}
	}
	return b.String()
}

// jsonLine returns v as JSON in one line. It also escapes characters that encoding/json does
// not escape and that could control a terminal.
func jsonLine(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	// The line is not for HTML.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	var line []byte
	for _, r := range b.String() {
		// These can only be inside of strings, where JSON allows the escape.
		if r != '\n' && unicode.IsControl(r) || commandsDirection(r) {
			line = fmt.Appendf(line, "\\u%04x", r)
			continue
		}
		line = utf8.AppendRune(line, r)
	}
	return line, nil
}
