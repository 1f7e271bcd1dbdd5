// export: the contacts in a file, all of them or no file at all.

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

// exportCommand makes backups, and a backup that is not complete is worse than none,
// since it takes the place of the one before. All or nothing is its one promise.
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
	count int    // written
}

// formats are what can be written. An encoder's errors are its Writer's.
var formats = map[string]func(io.Writer) encoder{
	"vcf":  func(w io.Writer) encoder { return &vcfEncoder{w} },
	"json": func(w io.Writer) encoder { return &jsonEncoder{w: w} },
	"csv":  func(w io.Writer) encoder { return &csvEncoder{w: csv.NewWriter(w)} },
}

// encoder writes contacts in one format. A photo is nil unless it was asked for,
// and there is one.
type encoder interface {
	add(c *icloud.Contact, photo *recordPhoto) error
	close() error
}

// run exports to a file or to the standard output. There, what has been written
// cannot be taken back if something fails; the exit status is all there is to say
// so, and in JSON the end of the array that is missing.
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
			// A log has the exit status, and a person nothing else.
			fmt.Fprintf(p.err, "%s in %s\n", contacts(e.count), visible(e.name))
		}
		return err
	}
	w := p.out
	// As ls does it: what is for files is shown to a person in a form that cannot
	// command the terminal, and is not changed for anybody else.
	if isTerminal(w) {
		w = screen{w}
	}
	return e.write(ctx, p, client, w)
}

// check finds what cannot be done before anything is asked or sent.
func (e *export) check() error {
	if e.file == "-" {
		e.file = ""
	}
	e.name = e.file
	if e.format == "" {
		// The dot of a hidden file begins no ending.
		ending := filepath.Ext(strings.TrimLeft(filepath.Base(e.file), "."))
		e.format = cmp.Or(strings.TrimPrefix(strings.ToLower(ending), "."), "vcf")
		if formats[e.format] == nil {
			// Who asks for .xlsx would find cards in it.
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
	// What cannot be replaced shows here, and not after the minutes that a large
	// address book with its photos takes.
	info, err := os.Stat(e.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return misuse(err.Error())
	case !info.Mode().IsRegular():
		// A rename would replace a device, /dev/null for one, by a file.
		return misuse("-o names something that is not a file; the standard output can be redirected there")
	}
	// A rename would replace a symbolic link too, and leave its target old.
	if e.file, err = filepath.EvalSymlinks(e.file); err != nil {
		return misuse(err.Error())
	}
	return nil
}

// write writes all contacts to w, or returns why it has not.
func (e *export) write(ctx context.Context, p *program, client *icloud.Client, w io.Writer) error {
	// A card is written at once, and most are small.
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
			// The server would not wait for a thousand other requests in the
			// middle of its answer.
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
	// One after the other: Apple throttles accounts, and its limit is not known.
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
		fmt.Fprintf(p.err, "icloud-contacts: photos that could not be had: %d\n", missing)
	}
	return nil
}

// getPhoto returns nil if there is none.
func getPhoto(ctx context.Context, client *icloud.Client, contact *icloud.Contact) (*recordPhoto, error) {
	data, mediaType, err := client.Photo(ctx, contact)
	if err != nil || data == nil {
		return nil, err
	}
	return &recordPhoto{mediaType, data}, nil
}

// contacts returns how many there are, as people write it: "50,007 contacts".
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

// lasting says whether a photo will not be had by trying again: the server knows
// none at that address, or the package will not go there or cannot decode it,
// which it says in an error that wraps no other. An export that failed for those
// would fail for ever.
func lasting(err error) bool {
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		switch answer.StatusCode {
		// These say by their names that another time is another answer.
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return false
		}
		return answer.StatusCode/100 == 4
	}
	return errors.Unwrap(err) == nil
}

// replace writes a file by way of a temporary one beside it. CreateTemp makes it
// readable by its owner alone, as contacts should be.
func replace(name string, write func(io.Writer) error) (err error) {
	// In the same folder, because a rename does not cross file systems. The dot keeps
	// what a crash leaves behind out of the way of "*.vcf".
	f, err := os.CreateTemp(filepath.Dir(name), ".icloud-contacts-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // closed already, if that is what failed
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	// Without Sync, a crash of the machine may leave the name to an empty file.
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// vcfEncoder writes the cards as they are.
type vcfEncoder struct{ w io.Writer }

// add writes the card's own bytes: an encoder of cards would change nearly every one
// that Apple's programs have made, and this may be the only copy one day.
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

// close has nothing to end: a file of cards is the cards.
func (e *vcfEncoder) close() error { return nil }

// embed returns the card with its photo in place of the photo's address. A card
// that holds it already, or cannot be edited, stays as it is.
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
	// The card keeps what concerns the picture, and loses what concerned its address.
	for name, values := range old.Params {
		switch name {
		case "VALUE", "ENCODING", vcard.ParamType, vcard.ParamMediaType:
			// These say how the photo is written, which changes.
		default:
			field.Params[name] = values // Apple's crop rectangle
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

// jsonEncoder writes one array, an object a line.
type jsonEncoder struct {
	w     io.Writer
	begun bool
}

// add begins the array with the first object, so that an empty book is [].
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

// close ends the array. A reader of what a failure has cut off misses it.
func (e *jsonEncoder) close() error {
	end := "\n]\n"
	if !e.begun {
		end = "[]\n"
	}
	_, err := io.WriteString(e.w, end)
	return err
}
