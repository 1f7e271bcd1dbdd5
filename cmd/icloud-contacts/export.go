// export: all contacts in a file, or no file.

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/emersion/go-vcard"

	"github.com/go-icloud/icloud"
)

// exportCommand makes backups. It writes all contacts or nothing, because a backup that is
// not complete is worse than none if it replaces a complete one.
var exportCommand = &command{
	name:    "export",
	summary: "the contacts in a file: vcf, json or csv",
	about: `
Writes all contacts to a file, or to the standard output. If something fails, no
file is written, and a file that had the name before does not change. Only you
can read the file. If the process is killed (SIGKILL), it may leave an
unfinished file in the same folder, whose name begins with .icloud-contacts-.
You can delete that file.

vcf has the cards exactly as the server sent them. json has their contents:
names, addresses, dates, notes, web pages, relations, accounts and groups;
docs/contact.schema.json in the sources describes it. csv has a line for each
person, with the columns of Google Contacts and Outlook, and has groups as
labels. Texts in csv are not changed: a spreadsheet may take a name that
begins with = for a formula.

iCloud keeps photos outside of the cards. With -photos each photo is fetched and
put into vcf or json. If a photo cannot be fetched, the card keeps its URL. A
line on the standard error says for how many cards that is so.`,
	example: `
  icloud-contacts export -o contacts.vcf
  icloud-contacts export -photos -o with-photos.vcf
  icloud-contacts export -format csv | head`,
	setup: func(f *flag.FlagSet) action {
		e := new(export)
		f.StringVar(&e.format, "format", "", "`FORMAT` of the file: vcf, json or csv; by default the\n\tending of the file's name, or vcf")
		f.StringVar(&e.file, "o", "", "`FILE` to write; - is the standard output, which is\n\tthe default")
		f.BoolVar(&e.photos, "photos", false, "fetch the photos and put them into vcf or json")
		e.account.flags(f)
		return e.run
	},
}

// export is one run of the command.
type export struct {
	account account
	format  string
	file    string
	photos  bool

	name  string // file, as it was typed
	count int    // how many contacts were written
}

// formats has the encoder of each format.
var formats = map[string]func(io.Writer) encoder{
	"vcf":  func(w io.Writer) encoder { return &vcfEncoder{w} },
	"json": func(w io.Writer) encoder { return &jsonEncoder{w: w} },
	"csv":  func(w io.Writer) encoder { return &csvEncoder{w: csv.NewWriter(w)} },
}

// encoder writes contacts in one format. photo is nil if photos are not wanted, or if there
// is none.
type encoder interface {
	add(c *icloud.Contact, photo *recordPhoto) error
	close() error
}

// run exports to a file or to the standard output. What was written to the standard output
// cannot be removed if something fails. Then the exit status says so, and a JSON array has
// no end.
func (e *export) run(ctx context.Context, p *program, _ []string) error {
	if err := e.check(); err != nil {
		return err
	}
	client, err := e.account.open(ctx, p)
	if err != nil {
		return err
	}
	if e.file != "" {
		err := replace(e.file, func(w io.Writer) error { return e.write(ctx, p, client, w) })
		if err == nil && isTerminal(p.err) {
			// Only a person needs this line; a script has the exit status.
			fmt.Fprintf(p.err, "%s in %s\n", contacts(e.count), visible(e.name))
		}
		return err
	}
	w := p.out
	// Like ls, export replaces control characters only if it writes to a terminal.
	if isTerminal(w) {
		w = screen{w}
	}
	return e.write(ctx, p, client, w)
}

// check finds errors in the flags before it prompts or sends anything.
func (e *export) check() error {
	if e.file == "-" {
		e.file = ""
	}
	e.name = e.file
	if e.format == "" {
		// The dot at the start of a hidden file does not begin an ending.
		ending := filepath.Ext(strings.TrimLeft(filepath.Base(e.file), "."))
		e.format = cmp.Or(strings.TrimPrefix(strings.ToLower(ending), "."), "vcf")
		if formats[e.format] == nil {
			// Otherwise a file .xlsx would contain vCards.
			return misuse("-o: " + visible(ending) + " is none of .vcf, .json and .csv; say -format too")
		}
	}
	if formats[e.format] == nil {
		return misuse("-format is none of vcf, json and csv")
	}
	if e.photos && e.format == "csv" {
		return misuse("csv cannot hold photos")
	}
	if e.file == "" {
		return nil
	}
	// A file that cannot be replaced is found here, and not after the minutes that a
	// large address book with photos takes.
	info, err := os.Stat(e.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return misuse(err.Error())
	case !info.Mode().IsRegular():
		// A rename would replace a device, such as /dev/null, by a file.
		return misuse("-o names something that is not a file; the standard output can be redirected there")
	}
	// A rename would replace a symbolic link and not its target.
	if e.file, err = filepath.EvalSymlinks(e.file); err != nil {
		return misuse(err.Error())
	}
	return nil
}

// write writes all contacts to w, or returns why it has not.
func (e *export) write(ctx context.Context, p *program, client *icloud.Client, w io.Writer) error {
	// Encoders make several small writes for each card.
	buf := bufio.NewWriter(w)
	enc := formats[e.format](buf)
	bar := e.progress(p, "contacts", -1)
	defer bar.end()
	var waiting []*icloud.Contact
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			return fmt.Errorf("nothing is exported: %w", err)
		}
		if e.photos {
			// The server would not wait with its answer during a thousand other
			// requests.
			waiting = append(waiting, contact)
		} else if err := enc.add(contact, nil); err != nil {
			return err
		}
		e.count++
		bar.add()
	}
	bar.end()
	bar = e.progress(p, "photos", len(waiting))
	defer bar.end()
	// One after the other, because Apple throttles accounts and the limit is not known.
	missing := 0
	for _, contact := range waiting {
		photo, err := getPhoto(ctx, client, contact)
		switch {
		case err != nil && lasting(err):
			missing++
		case err != nil:
			return fmt.Errorf("nothing is exported: a photo: %w", err)
		}
		if err := enc.add(contact, photo); err != nil {
			return err
		}
		bar.add()
	}
	if err := errors.Join(enc.close(), buf.Flush()); err != nil {
		return err
	}
	bar.end()
	if missing > 0 {
		fmt.Fprintf(p.err, "icloud-contacts: photos that could not be fetched: %d\n", missing)
	}
	return nil
}

// getPhoto returns the photo of a contact, or nil if there is none.
func getPhoto(ctx context.Context, client *icloud.Client, contact *icloud.Contact) (*recordPhoto, error) {
	data, mediaType, err := client.Photo(ctx, contact)
	if err != nil || data == nil {
		return nil, err
	}
	return &recordPhoto{mediaType, data}, nil
}

// contacts returns a number of contacts in words, for example "50,007 contacts".
func contacts(n int) string {
	if n == 1 {
		return "1 contact"
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text + " contacts"
}

// lasting says whether trying again will not get a photo. Then the server has none at the
// URL, or package icloud does not go there or cannot decode the photo; it returns an error
// that wraps no other for these. If such a photo ended the export, it would always fail.
func lasting(err error) bool {
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		switch answer.StatusCode {
		// Trying again may succeed after these.
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return false
		}
		return answer.StatusCode/100 == 4
	}
	return errors.Unwrap(err) == nil
}

// replace writes a temporary file and renames it. CreateTemp makes it readable only by its
// owner.
func replace(name string, write func(io.Writer) error) (err error) {
	// It is in the same folder, because a rename does not cross file systems. Its name
	// begins with a dot, so that "*.vcf" does not match what a crash leaves.
	f, err := os.CreateTemp(filepath.Dir(name), ".icloud-contacts-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // an error if it was closed before
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	// Without Sync, the file may be empty after a crash of the machine.
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// vcfEncoder writes the cards as they are.
type vcfEncoder struct{ w io.Writer }

// add writes the bytes of the card. Encoding it again would change nearly every card that
// Apple's programs have made, and this may one day be the only copy.
func (e *vcfEncoder) add(c *icloud.Contact, photo *recordPhoto) error {
	card := c.VCard
	if photo != nil {
		card = embed(c, photo)
	}
	if _, err := e.w.Write(card); err != nil {
		return err
	}
	// A card without a line end would run into the next one.
	if !bytes.HasSuffix(card, []byte("\n")) {
		_, err := io.WriteString(e.w, "\r\n")
		return err
	}
	return nil
}

// close does nothing.
func (e *vcfEncoder) close() error { return nil }

// embed returns the card with its photo instead of the photo's URL. It does not change a card
// that contains its photo already or that cannot be edited.
func embed(c *icloud.Contact, photo *recordPhoto) []byte {
	card, err := c.Card()
	if err != nil {
		return c.VCard
	}
	old := card.Get(vcard.FieldPhoto)
	if old == nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(old.Value)), "http") {
		return c.VCard
	}
	field := &vcard.Field{Group: old.Group, Params: vcard.Params{}}
	// Keep the parameters about the picture, such as Apple's crop rectangle.
	for name, values := range old.Params {
		switch name {
		case "VALUE", "ENCODING", vcard.ParamType, vcard.ParamMediaType:
			// These say how the photo is written, which changes.
		default:
			field.Params[name] = values
		}
	}
	text := base64.StdEncoding.EncodeToString(photo.Data)
	if card.Value(vcard.FieldVersion) == "4.0" {
		field.Value = "data:" + photo.Type + ";base64," + text // RFC 6350, section 6.2.4
	} else {
		field.Value = text // RFC 2426, section 3.1.4
		field.Params["ENCODING"] = []string{"b"}
		field.Params[vcard.ParamType] = []string{strings.ToUpper(strings.TrimPrefix(photo.Type, "image/"))}
	}
	edited, err := c.Edit(vcard.Card{vcard.FieldPhoto: {field}})
	if err != nil {
		return c.VCard
	}
	return edited
}

// jsonEncoder writes one array, with one object in each line.
type jsonEncoder struct {
	w     io.Writer
	begun bool
}

// add writes an object. The first one begins the array, so that an empty book is [].
func (e *jsonEncoder) add(c *icloud.Contact, photo *recordPhoto) error {
	r := newRecord(c, true)
	r.Photo = photo
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	before := ",\n"
	if !e.begun {
		before, e.begun = "[\n", true
	}
	_, err = e.w.Write(slices.Concat([]byte(before), line))
	return err
}

// close ends the array. After a failure the end is missing, so a reader notices it.
func (e *jsonEncoder) close() error {
	end := "\n]\n"
	if !e.begun {
		end = "[]\n"
	}
	_, err := io.WriteString(e.w, end)
	return err
}
