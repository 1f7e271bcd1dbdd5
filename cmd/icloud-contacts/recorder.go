// check -record: records the shape of the answers for a real account, as evidence for
// QUIRKS.md. It changes nothing in the account.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-icloud/icloud"
)

// recorder is an http.RoundTripper that observes answers. It does not change them, and keeps
// only an answerShape of each.
type recorder struct {
	rt http.RoundTripper

	mu      sync.Mutex
	answers []*answerShape
	more    int
	running sync.WaitGroup // observers of bodies
}

// maxAnswers limits the record, because the many batches of a large book look alike.
const maxAnswers = 30

// shapeRecord is the content of the file. It is JSON, which people can read in an issue and
// programs can read too.
type shapeRecord struct {
	Format      int            `json:"format"` // 1
	Month       string         `json:"month"`
	Accepted    *bool          `json:"accepted"` // null if the answer was neither yes nor no
	PasswordAge string         `json:"password_age"`
	Answers     []*answerShape `json:"answers"`
	More        string         `json:"more,omitempty"` // how many answers are not in Answers
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	// This reads a copy of the request's body before the body is sent.
	request := requestShape(req)
	resp, err := r.rt.RoundTrip(req)
	if err != nil || resp == nil {
		return resp, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) == maxAnswers {
		r.more++
		return resp, nil
	}
	shape := newAnswerShape(request, req, resp)
	r.answers = append(r.answers, shape)
	if resp.Body == nil || resp.Body == http.NoBody {
		shape.Body = bodyShape{Kind: "empty"}
		return resp, nil
	}
	// The observer gets the body through a pipe while the caller reads it, so that a
	// listing is not kept in memory. Its goroutine ends with the body.
	pr, pw := io.Pipe()
	done := make(chan struct{})
	encoding := resp.Header.Get("Content-Encoding") // get it now, because the caller may remove it
	r.running.Go(func() {
		defer close(done)
		shape.Body = observe(pr, encoding, req.URL.Path)
		_, _ = io.Copy(io.Discard, pr)
	})
	resp.Body = &observedBody{resp.Body, pw, done}
	return resp, nil
}

// observedBody is the body of an answer. It copies what is read to an observer.
type observedBody struct {
	io.ReadCloser
	pipe *io.PipeWriter
	done <-chan struct{}
}

// Read implements io.Reader.
func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.pipe.Write(p[:n]) // the observer takes everything until the pipe is closed
	switch {
	case err == io.EOF:
		_ = b.pipe.Close()
	case err != nil:
		_ = b.pipe.CloseWithError(io.ErrUnexpectedEOF)
	}
	return n, err
}

// Close implements io.Closer.
func (b *observedBody) Close() error {
	_ = b.pipe.CloseWithError(io.ErrUnexpectedEOF) // does nothing if the body was read to its end
	<-b.done
	return b.ReadCloser.Close()
}

// record returns what was observed. All bodies must have been closed.
func (r *recorder) record(accepted *bool, issued time.Time) *shapeRecord {
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	age := "unknown"
	if !issued.IsZero() {
		months := int(time.Since(issued) / (30 * 24 * time.Hour))
		age = fmt.Sprintf("%d to %d days", months*30, months*30+29)
	}
	record := &shapeRecord{Format: 1, Month: time.Now().UTC().Format("2006-01"), Accepted: accepted, PasswordAge: age, Answers: r.answers}
	if r.more > 0 {
		record.More = count(r.more)
	}
	return record
}

// survey makes the requests that QUIRKS.md is about: it finds the address book, lists it,
// syncs from "" and then from the token, and gets one card and one photo. All of them only
// read.
func survey(ctx context.Context, client *icloud.Client) error {
	var first, withPhoto *icloud.Contact
	n := 0
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			return err
		}
		if n++; first == nil {
			first = contact
		}
		if withPhoto == nil && bytes.Contains(contact.VCard, []byte("PHOTO")) && bytes.Contains(contact.VCard, []byte("https:")) {
			withPhoto = contact
		}
	}
	// A sync fetches all cards again. For a large book the first answers are enough.
	enough := errors.New("enough")
	token, err := client.Sync(ctx, "", func(icloud.Change) error {
		if n > 2000 {
			return enough
		}
		return nil
	})
	if err != nil && err != enough {
		return err
	}
	if err == nil {
		if _, err := client.Sync(ctx, token, func(icloud.Change) error { return nil }); err != nil {
			return err
		}
	}
	if first != nil {
		if _, err := client.Contact(ctx, first.ID); err != nil {
			return err
		}
	}
	if withPhoto != nil {
		if _, _, err := client.Photo(ctx, withPhoto); err != nil {
			return err
		}
	}
	return nil
}

// keep shows the record, and writes it unless a person says no.
func (c *check) keep(ctx context.Context, p *program, record *shapeRecord) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read it in an issue
	enc.SetIndent("", "  ")
	if err := enc.Encode(record); err != nil {
		return err
	}
	text := b.Bytes()
	fmt.Fprint(p.err, "\nThis is the whole record:\n\n", string(text), "\n")
	said, err := p.ask(ctx, "Write it to "+visible(c.record)+"? [y/N] ", false)
	switch {
	case errors.Is(err, errNoTerminal):
		// There is nobody to ask; -record is enough.
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(said)), "y"):
		fmt.Fprintln(p.err, "Nothing is written.")
		return nil
	}
	return replace(c.record, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// checkRecord returns an error if the file exists. It is called before anything is sent.
func checkRecord(file string) error {
	if _, err := os.Lstat(file); err == nil {
		return misuse("-record: the file is there already; it is not overwritten")
	}
	return nil
}
