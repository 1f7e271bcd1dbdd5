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

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
)

// watchCommand syncs every five minutes, because iCloud has no way to tell, and Apple
// has published no rate that it allows. One request is all it takes if nothing has
// changed.
var watchCommand = &command{
	name:    "watch",
	summary: "the changes, one line each",
	about: `
Prints a line for each contact that is added, changed or deleted, and for each
change of the password's state. After a restart it continues where it ended, and
prints lines again that were not written completely. For this the -state folder
keeps the names of the contacts, so that watch can name those that are deleted.

If the server or the network fails, watch continues. It reports on the standard
error when the fault begins and when it is over. watch ends with exit status 0
when it is interrupted, and with exit status 2 when the password is dead. While
the password is doubted, it sends at most one probe a minute. After other
failures it waits longer than -interval, up to an hour.`,
	example: `
  icloud-contacts watch
  icloud-contacts watch -once
  icloud-contacts watch -interval 10m | logger -t contacts`,
	setup: func(f *flag.FlagSet) action {
		w := new(watch)
		w.interval = span(5 * time.Minute)
		f.Var(&w.interval, "interval", "`TIME` between two syncs; by default 5m")
		f.BoolVar(&w.once, "once", false, "sync once, and end")
		w.account.flags(f)
		return w.run
	},
}

// watch is one run of the command.
type watch struct {
	account  account
	interval span
	once     bool

	p      *program
	client *icloud.Client
	store  icloud.Store // nil: nothing is kept
	state  followed
	silent bool   // until the first listing is complete: everything is new, and nothing is news
	dirty  bool   // state has changed since it was kept
	outage outage // the one that lasts, if one does
	broken error  // a line of the password's that could not be written
}

// followed is what watch keeps: how far it has come, and what it has reported. The
// token is "" before the book was listed once, and also when it has to be listed
// again; Complete tells the one from the other.
type followed struct {
	Version  int             `json:"v"`
	Token    string          `json:"token"`
	Cards    map[string]card `json:"cards"` // by ID
	Complete bool            `json:"complete"`
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
	if w.account.store != nil {
		w.account.store.warn = func(text string) { w.trouble("state", text) }
	}
	if err := w.load(ctx); err != nil {
		return err
	}
	for {
		// OnStatus cannot fail, so what it could not write is found here.
		err := errors.Join(w.sync(ctx), w.broken)
		if (w.once || final(err)) && err != nil {
			return w.ended(ctx, err)
		}
		if w.once || ctx.Err() != nil {
			return nil // this is how it is meant to end
		}
		w.complain(err)
		if !sleep(ctx, pause(w.client.Status(), time.Duration(w.interval))) {
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

// pause returns how long to wait: longer than the interval if another call is not
// worth making before.
func pause(s icloud.Status, interval time.Duration) time.Duration {
	if s.NextTry.IsZero() {
		return interval
	}
	return max(interval, time.Until(s.NextTry))
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

// outage is a failure that watch survives.
type outage struct {
	kind  string // "": there is none
	what  string // the word in front of its lines
	since time.Time
}

// complain reports an error that watch survives, once for as long as it lasts, and
// its end. What concerns the password has its own lines.
func (w *watch) complain(err error) {
	before := w.outage
	_, refused := errors.AsType[*icloud.AuthError](err)
	if err == nil || refused {
		if w.outage = (outage{}); before.kind != "" {
			w.trouble(before.what, "back after "+since(before.since))
		}
		return
	}
	now := outage{kind: err.Error(), what: "connection", since: time.Now()}
	// A server that is down for a night would otherwise fill a log.
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		now.kind = fmt.Sprint(answer.StatusCode) // the wait that is left differs each time
	}
	text := explain(err)
	if _, ok := errors.AsType[*icloud.CardError](err); ok {
		now.what = "contacts"
	} else {
		text = strings.TrimPrefix(text, "the connection ") // which the line says already
	}
	if before.kind != "" {
		now.since = before.since // one fault may have several faces
	}
	if now.kind != before.kind {
		w.trouble(now.what, text)
	}
	w.outage = now
}

// since returns how long ago t was, as roughly as people want it.
func since(t time.Time) string {
	d := time.Since(t)
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// trouble writes a line of what is no result.
func (w *watch) trouble(what, text string) {
	head := fmt.Sprintf("%s  %-10s  ", time.Now().Format(time.DateTime), what)
	line := head + text + "\n"
	if isTerminal(w.p.err) {
		line = wrapRest(head, text, "  ", w.p.width(w.p.err, 80))
	}
	fmt.Fprint(w.p.err, line)
}

// ended reports the error that watch ends with, unless that is an interruption, and
// returns it as one that was reported.
func (w *watch) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	_, refused := errors.AsType[*icloud.AuthError](err)
	if state, ok := errors.AsType[stateError](err); refused || !ok || !state.told {
		w.trouble("ended", explain(err))
		w.p.advise(err)
	}
	return told{err}
}

// password is the Client's OnStatus. The line is short enough for 80 columns; the
// evidence comes with the line in which watch ends.
func (w *watch) password(_ context.Context, s icloud.Status) {
	text := s.State.String()
	auth, refused := errors.AsType[*icloud.AuthError](s.Err)
	switch {
	case refused:
		text += ": " + reason(auth) + ", " + auth.Certainty.String()
		if !auth.Confirmed {
			text += "; final from " + clock(s.Final)
		}
	case !s.Expires.IsZero():
		text += ", until about " + s.Expires.UTC().Format(time.DateOnly)
	}
	if err := w.line("password", text); err != nil {
		w.broken = err
	}
}

// line prints one line of the log. Each is one write, so that nobody reads half.
func (w *watch) line(what, text string) error {
	line := fmt.Sprintf("%s  %-10s  %s", time.Now().Format(time.DateTime), what, visible(text))
	if n := w.p.width(w.p.out, unlimited); n < unlimited && uniseg.StringWidth(line) > n {
		if what == "password" {
			// What is said of the password is not cut.
			head, _, _ := strings.Cut(line, "  "+what)
			line = head + "  " + what + "\n" + strings.TrimSuffix(wrap(visible(text), "  ", n), "\n")
		} else {
			line = strings.TrimRight(fit(line, n), " ")
		}
	}
	_, err := fmt.Fprintln(w.p.out, line)
	return err
}

// sync reports what has changed since the last time, and keeps how far it came.
func (w *watch) sync(ctx context.Context) error {
	w.silent = !w.state.Complete
	if w.silent && w.client.Status().State == icloud.Untested {
		// A first start has a person in front of it, who should not wait for
		// fifteen minutes to hear of a typing error.
		if err := w.client.Authenticate(ctx); err != nil {
			return w.account.unremembered(err)
		}
	}
	// From here on, lines are written. The token is kept after the last of them, so
	// that a crash in between repeats lines instead of losing some. It is kept whatever
	// the error is: it belongs to the lines that were written.
	err := w.follow(ctx)
	if w.silent && w.state.Complete {
		err = errors.Join(err, w.line("following", fmt.Sprintf("%d contacts", len(w.state.Cards))))
	}
	// An interruption at this moment must not cost what was reported already.
	return errors.Join(err, w.save(context.WithoutCancel(ctx)))
}

// follow applies the changes since the token, and takes the next one.
func (w *watch) follow(ctx context.Context) error {
	// The usual case: one request, and the cards that changed.
	if w.state.Token != "" {
		next, err := w.client.Sync(ctx, w.state.Token, w.apply)
		w.take(next)
		if !errors.Is(err, icloud.ErrResync) {
			return err
		}
	}
	// Everything is listed again. What that does not mark has been deleted in the
	// meantime, but only a listing that is complete says so, and not of the contacts
	// that could not be fetched.
	marked := make(map[string]bool)
	next, err := w.client.Sync(ctx, "", func(c icloud.Change) error {
		marked[c.ID] = c.Contact != nil
		return w.apply(c)
	})
	partial, _ := errors.AsType[*icloud.PartialError](err)
	if err != nil && partial == nil {
		return err
	}
	if partial != nil {
		for _, owed := range partial.Cards {
			marked[owed.ID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.state.Cards)) {
		if !marked[id] {
			// Without the token the listing, and this with it, comes again.
			if err := w.apply(icloud.Change{ID: id}); err != nil {
				return err
			}
		}
	}
	w.take(next)
	w.dirty = w.dirty || !w.state.Complete
	w.state.Complete = true
	return err
}

// take takes the token that belongs to what was applied.
func (w *watch) take(next string) {
	w.dirty = w.dirty || next != w.state.Token
	w.state.Token = next
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
		w.dirty = true
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
	w.dirty = true
	return nil
}

// change writes the line of a change, unless all is new.
func (w *watch) change(what, name string) error {
	if w.silent {
		return nil
	}
	return w.line(what, name)
}

// load reads what an earlier run has kept. It lies beside what package icloud
// remembers of the password, in a file of the same kind.
func (w *watch) load(ctx context.Context) error {
	w.state = followed{Version: 1, Cards: make(map[string]card)}
	if w.account.store == nil {
		return nil
	}
	// A DirStore replaces files whole and keeps them to their owner, which is all that
	// is needed here too: a token, and names, which are personal data.
	w.store = w.account.store
	data, err := w.store.Load(ctx, w.account.key("watch"))
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	var s followed
	if err := json.Unmarshal(data, &s); err != nil || s.Version != 1 || s.Cards == nil {
		// Beginning again would lose deletions, and overwrite what may be
		// worth a look.
		return stateError{w.account.store.dir, errors.New("this program does not know what is in " + w.account.key("watch") + "; move it away to begin again"), false}
	}
	// Earlier versions kept a token only after a listing that was complete.
	s.Complete = s.Complete || s.Token != ""
	w.state = s
	return nil
}

// save keeps how far watch has come.
func (w *watch) save(ctx context.Context) error {
	if w.store == nil || !w.dirty {
		return nil
	}
	data, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	err = w.store.Save(ctx, w.account.key("watch"), data)
	w.dirty = err != nil
	return err
}
