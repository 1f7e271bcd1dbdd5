// watch: what changes, a line each, and what becomes of the password.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
)

// watchCommand asks every five minutes, because iCloud has no way to tell, and Apple
// has published no rate that it allows. One request is all it takes if nothing has
// changed.
var watchCommand = &command{
	name:    "watch",
	summary: "what changes, a line each",
	about: `
Prints a line for each contact that is added, changed or deleted, and for each
change in what is known of the password. With -state it goes on where it ended,
across restarts; lines that were not written in full come again.

A fault of the server or of the network is reported on the standard error, and
watch goes on. It ends when it is interrupted, or, with exit status 2, when the
password is dead for good.`,
	example: `
  icloud-contacts watch -state ~/.local/state/icloud
  icloud-contacts watch -state ~/.local/state/icloud -once
  icloud-contacts watch -interval 10m | logger -t contacts`,
	setup: func(f *flag.FlagSet) action {
		w := new(watch)
		f.DurationVar(&w.interval, "interval", 5*time.Minute, "`TIME` between questions; by default 5m")
		f.BoolVar(&w.once, "once", false, "ask once, and end")
		w.account.flags(f)
		return w.run
	},
}

// watch is one run of the command.
type watch struct {
	account  account
	interval time.Duration
	once     bool

	p      *program
	client *icloud.Client
	store  icloud.Store // nil: nothing is kept
	state  followed
	silent bool   // the first listing: everything is new, and nothing is news
	said   string // the last error, so that it is not repeated every time
	broken error  // a line of the password's that could not be written
}

// followed is what watch keeps: how far it has come, and what it has reported.
type followed struct {
	Version int             `json:"v"`
	Token   string          `json:"token"`
	Cards   map[string]card `json:"cards"` // by ID
}

// card tells a change from a repetition, and the name of what is deleted.
type card struct {
	Name string `json:"name"`
	ETag string `json:"etag"`
}

// run follows until it is interrupted, or there is no point in going on.
func (w *watch) run(ctx context.Context, p *program, _ []string) (err error) {
	if w.interval <= 0 {
		return misuse("-interval must be positive")
	}
	// The password's lines come through the Client's OnStatus, in the middle of
	// whatever call has changed its state.
	w.p = p
	if w.client, err = w.account.connect(ctx, p, w.password); err != nil {
		return err
	}
	if err := w.load(ctx); err != nil {
		return err
	}
	for {
		// OnStatus cannot fail, so what it could not write is found here.
		err := errors.Join(w.sync(ctx), w.broken)
		if err == nil {
			w.said = ""
		}
		if w.once || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return nil // this is how it is meant to end
		}
		w.complain(err)
		if !sleep(ctx, pause(err, w.interval)) {
			return nil
		}
	}
}

// final says whether there is no point in going on: the password is dead, or
// what was found can be neither shown nor kept.
func final(err error) bool {
	auth, ok := errors.AsType[*icloud.AuthError](err)
	if ok && auth.Confirmed {
		return true
	}
	_, unwritten := errors.AsType[outputError](err)
	_, unsaved := errors.AsType[stateError](err)
	return unwritten || unsaved
}

// pause returns how long to wait after err: longer than the interval if the
// server has asked for it.
func pause(err error, interval time.Duration) time.Duration {
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		return max(interval, answer.RetryAfter)
	}
	return interval
}

// sleep waits, and reports whether ctx has lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// complain reports an error that watch survives, once for as long as it lasts.
// What concerns the password has its own lines.
func (w *watch) complain(err error) {
	if _, ok := errors.AsType[*icloud.AuthError](err); ok || err == nil {
		return
	}
	// A server that is down for a night would otherwise fill a log.
	kind := err.Error()
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		kind = fmt.Sprint(answer.StatusCode) // the wait that is left differs each time
	}
	if kind != w.said {
		fmt.Fprintln(w.p.err, "icloud-contacts:", oneLine(err))
	}
	w.said = kind
}

// password is the Client's OnStatus.
func (w *watch) password(_ context.Context, s icloud.Status) {
	text := s.State.String()
	switch {
	case s.Err != nil:
		text += ": " + oneLine(s.Err)
	case !s.Expires.IsZero():
		text += ", until about " + s.Expires.UTC().Format(time.DateOnly)
	}
	if err := w.line("password", text); err != nil {
		w.broken = err
	}
}

// line prints one line of the log. Each is one write, so that nobody reads half.
func (w *watch) line(what, text string) error {
	line := fmt.Sprintf("%s  %-9s  %s", time.Now().Format(time.DateTime), what, visible(text))
	// A name may be cut to the terminal's width, and what is said of the password not.
	if n := w.p.width(w.p.out, unlimited); what != "password" && n < unlimited {
		line = strings.TrimRight(fit(line, n), " ")
	}
	_, err := fmt.Fprintln(w.p.out, line)
	return err
}

// sync reports what has changed since the last time, and keeps how far it came.
func (w *watch) sync(ctx context.Context) error {
	w.silent = w.state.Token == ""
	if w.silent && w.client.Status().State == icloud.Untested {
		// A first start has a person in front of it, who should not wait for
		// fifteen minutes to hear of a typing error.
		if err := w.client.Authenticate(ctx); err != nil {
			return err
		}
	}
	// From here on, lines are written. The token is kept after the last of them, so
	// that a crash in between repeats lines instead of losing some.
	next, err := w.follow(ctx)
	if err != nil {
		return err
	}
	if w.silent {
		if err := w.line("following", fmt.Sprintf("%d contacts", len(w.state.Cards))); err != nil {
			return err
		}
	}
	w.state.Token = next
	// An interruption at this moment must not cost what was reported already.
	return w.save(context.WithoutCancel(ctx))
}

// follow applies the changes since the token and returns the next one.
func (w *watch) follow(ctx context.Context) (next string, err error) {
	// The usual case: one request, and the cards that changed.
	if w.state.Token != "" {
		next, err = w.client.Sync(ctx, w.state.Token, w.apply)
		if !errors.Is(err, icloud.ErrResync) {
			return next, err
		}
	}
	// Everything is listed again. What that does not mark has been deleted in the
	// meantime, but only a listing that is complete says so.
	marked := make(map[string]bool)
	next, err = w.client.Sync(ctx, "", func(c icloud.Change) error {
		marked[c.ID] = c.Contact != nil
		return w.apply(c)
	})
	if err != nil {
		return "", err
	}
	for _, id := range slices.Sorted(maps.Keys(w.state.Cards)) {
		if !marked[id] {
			if err := w.apply(icloud.Change{ID: id}); err != nil {
				return "", err
			}
		}
	}
	return next, nil
}

// apply reports one change. It is remembered after it was written: a line that
// nobody got comes again.
func (w *watch) apply(c icloud.Change) error {
	old, known := w.state.Cards[c.ID]
	if c.Contact == nil {
		if !known {
			return nil
		}
		if err := w.change("deleted", old.Name); err != nil {
			return err
		}
		delete(w.state.Cards, c.ID)
		return nil
	}
	now := card{Name: c.Contact.Name, ETag: c.Contact.ETag}
	if now.Name == "" {
		now.Name = "(no name)"
	}
	if known && now.ETag != "" && now.ETag == old.ETag {
		return nil // servers report cards that have not changed
	}
	what := "added"
	if known {
		what = "changed"
	}
	if err := w.change(what, now.Name); err != nil {
		return err
	}
	w.state.Cards[c.ID] = now
	return nil
}

// change writes the line of a change, unless all is new.
func (w *watch) change(what, name string) error {
	if w.silent {
		return nil
	}
	return w.line(what, name)
}

// stateError is a failure of the state folder.
type stateError struct{ error }

// Unwrap lets a folder that is not there be told from one that may not be read.
func (e stateError) Unwrap() error { return e.error }

// load reads what an earlier run has kept. It lies beside what package icloud
// remembers of the password, in a file of the same kind.
func (w *watch) load(ctx context.Context) error {
	w.state = followed{Version: 1, Cards: make(map[string]card)}
	if w.account.state == "" {
		return nil
	}
	// A DirStore replaces files whole and keeps them to their owner, which is all that
	// is needed here too: a token, and names, which are personal data.
	w.store = icloud.DirStore(w.account.state)
	data, err := w.store.Load(ctx, w.account.key("watch"))
	if err != nil {
		return stateError{err}
	}
	if len(data) == 0 {
		return nil
	}
	var s followed
	if err := json.Unmarshal(data, &s); err != nil || s.Version != 1 || s.Cards == nil {
		// Beginning again would lose deletions, and overwrite what may be
		// worth a look.
		return stateError{errors.New("the state folder holds what this program cannot read; move " + w.account.key("watch") + " away to begin again")}
	}
	w.state = s
	return nil
}

// save keeps how far watch has come.
func (w *watch) save(ctx context.Context) error {
	if w.store == nil {
		return nil
	}
	data, err := json.Marshal(w.state)
	if err == nil {
		err = w.store.Save(ctx, w.account.key("watch"), data)
	}
	if err != nil {
		return stateError{fmt.Errorf("the state folder: %w", err)}
	}
	return nil
}
