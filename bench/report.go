// The tables, in Markdown that is also readable as plain text.

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is a head and rows; the first column is text, the others are figures.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the table with its columns aligned; nothing if it has no rows.
func (t *table) write(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", t.title)
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(&b, "| %s%s |", cell, pad)
			} else {
				fmt.Fprintf(&b, " %s%s |", pad, cell)
			}
		}
		b.WriteByte('\n')
	}
	line(t.head)
	for i, n := range width {
		if i == 0 {
			fmt.Fprintf(&b, "| %s |", strings.Repeat("-", n))
		} else {
			fmt.Fprintf(&b, " %s: |", strings.Repeat("-", n-1))
		}
	}
	b.WriteByte('\n')
	for _, row := range t.rows {
		line(row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// listingTable shows the listings: our figures, and how many times as much the others
// cost. It has processor time too, because a client that uses both processors at once
// looks better in wall time than it is on a machine that has other work.
func listingTable(results []result) *table {
	t := &table{
		title: "Listing a book. \"×\" is go-webdav's figure divided by icloud's. \"of floor\" is icloud's figure divided by that\nof the floor, which reads the same bytes into io.Discard.",
		head: []string{"book", "on the wire", "icloud", "go-webdav", "floor", "time ×", "of floor", "processor ×", "of floor",
			"allocs a card", "go-webdav's", "peak memory", "go-webdav's", "memory ×"},
	}
	type key struct {
		book
		gzip bool
	}
	of := make(map[key]map[string]figure)
	var order []key
	for _, r := range results {
		k := key{r.book, r.Gzip}
		if of[k] == nil {
			of[k] = make(map[string]figure)
			order = append(order, k)
		}
		of[k][r.Client] = r.figure
	}
	for _, k := range order {
		a, b, c := of[k][ours], of[k][gowebdav], of[k][floor]
		name := k.book.String()
		if k.gzip {
			name += ", gzip"
		}
		t.add(name, megabytes(a.Wire), duration(a.Wall), duration(b.Wall), duration(c.Wall),
			ratio(b.Wall, a.Wall), ratio(a.Wall, c.Wall), ratio(b.CPU, a.CPU), ratio(a.CPU, c.CPU),
			fmt.Sprintf("%.1f", a.Allocs/float64(k.Cards)), fmt.Sprintf("%.0f", b.Allocs/float64(k.Cards)),
			megabytes(a.Peak), megabytes(b.Peak), ratio(b.Peak, a.Peak))
	}
	return t
}

// peakTable shows the peak memory over a line. Each listing of icloud is followed by that of the
// floor.
func peakTable(results []result) *table {
	t := &table{
		title: fmt.Sprintf("Peak memory of a listing without gzip over a line of %d Gbit/s.", gigabit/1_000_000_000),
		head:  []string{"book", "time", "icloud", "floor"},
	}
	for pair := range slices.Chunk(results, 2) {
		t.add(pair[0].book.String(), duration(pair[0].Wall), megabytes(pair[0].Peak), megabytes(pair[1].Peak))
	}
	return t
}

// readmeRows writes the rows of the README's table.
func readmeRows(results []result, w io.Writer) error {
	of := make(map[result]figure)
	for _, r := range results {
		of[result{book: r.book, Client: r.Client, Gzip: r.Gzip}] = r.figure
	}
	var b strings.Builder
	for _, row := range []struct {
		name string
		kind kind
		gzip bool
	}{
		{"gzip, photos as URLs (as iCloud probably does)", uris, true},
		{"gzip, no photos", bare, true},
		{"no photos", bare, false},
		{"a fifth with inline photos", photos, false},
	} {
		key := result{book: book{10_000, row.kind}, Gzip: row.gzip, Client: ours}
		mine, measured := of[key]
		if !measured {
			return nil // the run has left out books of that size
		}
		key.Client = gowebdav
		peer := of[key]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d MiB, go-webdav %d |\n", row.name,
			duration(mine.Wall), duration(peer.Wall), ratio(peer.Wall, mine.Wall), mine.Peak>>20, peer.Peak>>20)
	}
	_, err := fmt.Fprintf(w, "\nFor the README:\n\n%s", b.String())
	return err
}

// processTable shows the programs.
func processTable(results []result) *table {
	t := &table{
		title: "Whole processes, from their start to their end, with gzip. \"×\" is the program's figure divided by icloud's. vdirsyncer\nwrites the cards to files.",
		head:  []string{"book", "program", "time", "processor", "peak memory", "on the wire", "time ×", "memory ×"},
	}
	mine := make(map[book]figure)
	for _, r := range results {
		if r.Client == programs[0].name {
			mine[r.book] = r.figure
		}
		m := mine[r.book]
		t.add(r.book.String(), r.Client, duration(r.Wall), duration(r.CPU), megabytes(r.Peak), megabytes(r.Wire),
			ratio(r.Wall, m.Wall), ratio(r.Peak, m.Peak))
	}
	return t
}

// tripTable shows the journeys over a slow line.
func tripTable(b book, all []journey) *table {
	t := &table{
		title: fmt.Sprintf("%s, over a line of %v round trip and %d Mbit/s. A listing of exactly 1,000 cards takes one request\n"+
			"more, which looks for cards that the server has left out.", b, roundTrip, bandwidth/1_000_000),
		head: []string{"what", "client", "time", "requests", "connections", "contacts"},
	}
	for _, j := range all {
		what := j.What
		if !j.Gzip {
			what += ", no gzip"
		}
		if j.Apple {
			what += ", two host names"
		}
		if j.Err != nil {
			t.add(what, j.Client, "failed", "", "", "")
			continue
		}
		t.add(what, j.Client, duration(j.Wall), fmt.Sprint(j.Requests), fmt.Sprint(j.Connections), thousands(j.Contacts))
	}
	return t
}

// accountsTable shows the many accounts. It has processor time and the floor too, because a
// client that has little to do waits for the server, which shares the processors.
func accountsTable(task accountsTask, of map[string]figure, idle int64, idleClients int) *table {
	t := &table{
		title: fmt.Sprintf("%s accounts in one process, %d at once: each signs in and lists its %d cards. %s idle Clients take %d bytes of heap each.",
			thousands(task.Accounts), task.AtOnce, task.Cards, thousands(idleClients), idle),
		head: []string{"client", "accounts a second", "processor an account", "allocs an account", "peak memory", "time ×", "processor ×"},
	}
	for _, client := range clients {
		f := of[client]
		t.add(client, fmt.Sprintf("%.0f", float64(task.Accounts)/f.Wall.Seconds()), duration(f.CPU/time.Duration(task.Accounts)),
			fmt.Sprintf("%.0f", f.Allocs/float64(task.Accounts)), megabytes(f.Peak), ratio(f.Wall, of[ours].Wall), ratio(f.CPU, of[ours].CPU))
	}
	return t
}

// ratio returns a divided by b, or a dash if either is unknown.
func ratio[N ~int64](a, b N) string {
	if a == 0 || b == 0 {
		return "–"
	}
	digits := 1
	if a/b >= 10 {
		digits = 0
	}
	return fmt.Sprintf("%.*f", digits, float64(a)/float64(b))
}

func duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func megabytes(n int64) string {
	switch {
	case n == 0:
		return "–"
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
