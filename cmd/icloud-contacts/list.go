// list: the contacts in a table that fits the terminal, in full, or as JSON.

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
)

// listCommand authenticates first, so that a refusal of a password that has never worked is
// final at once. In a listing it would be final only after 15 minutes.
var listCommand = &command{
	name:    "list",
	args:    "[TEXT...]",
	summary: "the contacts in a table, in full, or as JSON",
	about: `
Lists all contacts by name, or those that contain every TEXT in the name, the
organization, an e-mail address or a phone number. Upper and lower case are the
same. If no contact contains every TEXT, nothing is printed, and the exit status
is 1. If the list is not complete, an error says so, and the exit status is not
0.

With -long each contact is shown with its addresses, birthday, web pages,
relations, accounts, groups and notes.

The table is as wide as the terminal, or as COLUMNS says. With fewer than 60
columns a phone number is shown only if there is no e-mail address.`,
	example: `
  icloud-contacts list
  icloud-contacts list ada example.com
  icloud-contacts list -long lovelace
  icloud-contacts list -json | jq -r '.emails[]?.value'
  icloud-contacts list -endpoint http://127.0.0.1:5232/ -password-file secret`,
	setup: func(f *flag.FlagSet) action {
		l := new(list)
		f.BoolVar(&l.json, "json", false, "print a JSON object for each contact, in the server's\n\torder; with -long it has the members of export")
		f.BoolVar(&l.long, "long", false, "show each contact in full")
		l.account.flags(f)
		return l.run
	},
}

// list is one run of the command.
type list struct {
	account account
	json    bool
	long    bool
}

// view shows contacts when all of them have arrived.
type view interface {
	add(c *icloud.Contact)
	write(w *bufio.Writer, p *program)
}

// run lists the contacts. JSON is written while they arrive, and a table when all have
// arrived.
func (l *list) run(ctx context.Context, p *program, words []string) (err error) {
	client, err := l.account.open(ctx, p)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(p.out)
	// The contacts that arrived before an error are shown; the exit status says that the
	// list is not complete.
	defer func() { err = errors.Join(err, out.Flush()) }()
	var t view = new(table)
	full := new(long)
	if l.long {
		t = full
	}
	found := 0
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			if !l.json {
				t.write(out, p)
			}
			return fmt.Errorf("the list is not complete: %w", err)
		}
		full.see(contact)
		if !matches(contact, words) {
			continue
		}
		found++
		if !l.json {
			t.add(contact)
			continue
		}
		line, err := jsonLine(newRecord(contact, l.long))
		if err != nil {
			return err
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	if found == 0 && len(words) > 0 {
		return errors.New("no contact matches") // an exit status as of grep, and no header
	}
	if !l.json {
		t.write(out, p)
	}
	return nil
}

// matches says whether the contact contains each word. A phone number also matches without
// its spaces and other separators.
func matches(c *icloud.Contact, words []string) bool {
	texts := []string{strings.ToLower(c.Name), strings.ToLower(c.Org)}
	for _, e := range c.Emails {
		texts = append(texts, strings.ToLower(e.Value))
	}
	for _, n := range c.Phones {
		texts = append(texts, strings.ToLower(n.Value), digits(n.Value))
	}
	for _, word := range words {
		word := strings.ToLower(word)
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, word) }) {
			return false
		}
	}
	return true
}

// digits returns the digits of a phone number, and "+".
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) || r == '+' {
			return r
		}
		return -1
	}, s)
}

// table keeps its rows until all are known, because it sorts them and computes the widths of
// the columns. The rows are much smaller than the cards.
type table struct{ rows []row }

// row has a name, an e-mail address and a phone number. On a narrow terminal the last column
// is omitted.
type row [3]string

// header counts for the widths of the columns like a row.
var header = row{"NAME", "EMAIL", "PHONE"}

// add adds the row of a contact, without control characters.
func (t *table) add(c *icloud.Contact) {
	r := row{visible(cmp.Or(c.Name, "(no name)")), first(c.Emails), first(c.Phones)}
	if c.Group {
		r[1] = fmt.Sprintf("group of %d", len(c.Members))
	}
	t.rows = append(t.rows, r)
}

// first returns the first value, and the number of the others.
func first(all []icloud.Labeled) string {
	switch len(all) {
	case 0:
		return ""
	case 1:
		return visible(all[0].Value)
	}
	return fmt.Sprintf("%s (+%d)", visible(all[0].Value), len(all)-1)
}

// unlimited is the width of a pipe or a file, for which nothing is cut.
const unlimited = 1 << 20

// write writes the table. The caller flushes w and gets its errors then.
func (t *table) write(w *bufio.Writer, p *program) {
	// The server's order means nothing. Sorting by lower case is right for no language,
	// but it needs no tables of Unicode and puts "de la Cruz" near "Delgado".
	slices.SortStableFunc(t.rows, func(a, b row) int {
		return cmp.Or(strings.Compare(strings.ToLower(a[0]), strings.ToLower(b[0])), strings.Compare(a[1], b[1]))
	})
	header, total := header, p.width(p.out, unlimited)
	if total < narrow {
		// There is room for either the e-mail address or the phone number.
		header[1] = "EMAIL OR PHONE"
		for i := range t.rows {
			t.rows[i][1] = cmp.Or(t.rows[i][1], t.rows[i][2])
		}
	}
	widths := t.widths(total, header)
	t.line(w, widths, header, func(s string) string { return p.paint(p.out, bold, s) })
	for _, r := range t.rows {
		t.line(w, widths, r, func(s string) string { return s })
	}
}

// line writes one row. It applies paint to the whole line, because fit would count the
// escape sequences as columns.
func (t *table) line(w io.Writer, widths []int, r row, paint func(string) string) {
	var b strings.Builder
	for i, n := range widths {
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(fit(r[i], n))
	}
	fmt.Fprintln(w, paint(strings.TrimRight(b.String(), " ")))
}

// narrow is the width below which there is no column of phone numbers, because a number that
// is cut is useless, and little room would be left for an address. A contact without an
// e-mail address then has its number in that column.
const narrow = 60

// widths returns the widths of the columns, so that a line takes at most total columns. It
// reduces the widest column first.
func (t *table) widths(total int, header row) []int {
	columns := len(header)
	if total < narrow {
		columns--
	}
	widths := make([]int, columns)
	sum := 2 * (columns - 1)
	for i := range widths {
		widths[i] = uniseg.StringWidth(header[i])
		for _, r := range t.rows {
			widths[i] = max(widths[i], uniseg.StringWidth(r[i]))
		}
		sum += widths[i]
	}
	for sum > total {
		// The phone numbers are cut only if the name and the address are narrow.
		widest := 0
		if widths[1] > widths[0] {
			widest = 1
		}
		if widths[widest] <= 12 && columns > 2 && widths[2] > widths[widest] {
			widest = 2
		}
		if widths[widest] <= 4 {
			break // no terminal is as narrow as that
		}
		widths[widest]--
		sum--
	}
	return widths
}
