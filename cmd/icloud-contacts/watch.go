// watch: one line for each change of a contact and of the password's state.

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

// watchCommand syncs every five minutes, because iCloud does not notify clients, and Apple
// has not published how often they may ask. If nothing has changed, a sync is one request.
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
	store  icloud.Store // nil if nothing is kept
	state  followed
	silent bool   // print no changes, because the first listing is not complete
	dirty  bool   // state has changed since it was saved
	outage outage // the present one, if there is one
	broken error  // the error of a line about the password that could not be written
}

// followed is what watch keeps: how far it has come, and what it has reported. Token is ""
// before the first listing, and also if the book must be listed again. Complete says whether
// a listing has ever been complete.
type followed struct {
	Version  int             `json:"v"`
	Token    string          `json:"token"`
	Cards    map[string]card `json:"cards"` // by ID
	Complete bool            `json:"complete"`
}

// card is kept to recognize cards that have not changed, and to name cards that are deleted.
type card struct {
	Name string `json:"name"`
	ETag string `json:"etag"`
}

// run follows the changes until it is interrupted, or until an error is final.
func (w *watch) run(ctx context.Context, p *program, _ []string) (err error) {
	if w.interval <= 0 {
		return misuse("-interval must be positive")
	}
	// OnStatus prints the lines about the password, during the call that has changed
	// its state.
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
			return nil
		}
		w.complain(err)
		if !sleep(ctx, pause(w.client.Status(), time.Duration(w.interval))) {
			return nil
		}
	}
}

// final says whether watch must end: the password is dead, or the changes cannot be printed
// or kept.
func final(err error) bool {
	auth, ok := errors.AsType[*icloud.AuthError](err)
	if ok && auth.Confirmed {
		return true
	}
	_, unwritten := errors.AsType[outputError](err)
	_, unsaved := errors.AsType[stateError](err)
	return unwritten || unsaved
}

// pause returns how long to wait until the next sync: the interval, or until NextTry if that
// is later.
func pause(s icloud.Status, interval time.Duration) time.Duration {
	if s.NextTry.IsZero() {
		return interval
	}
	return max(interval, time.Until(s.NextTry))
}

// sleep waits for d, and returns false if ctx ends before.
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

// outage is a failure during which watch continues.
type outage struct {
	kind  string // "" if there is none
	what  string // the first word of its lines
	since time.Time
}

// complain reports an error after which watch continues: once when it begins, and once when
// it is over. Refusals of the password are reported by OnStatus.
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
	// An error of the same kind is not repeated, so that a long outage does not fill a
	// log.
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		now.kind = fmt.Sprint(answer.StatusCode) // not the text, because its wait differs each time
	}
	text := explain(err)
	if _, ok := errors.AsType[*icloud.CardError](err); ok {
		now.what = "contacts"
	} else {
		text = strings.TrimPrefix(text, "the connection ") // the line begins with "connection"
	}
	if before.kind != "" {
		now.since = before.since // one outage may cause several errors
	}
	if now.kind != before.kind {
		w.trouble(now.what, text)
	}
	w.outage = now
}

// since returns how long ago t was, rounded for people.
func since(t time.Time) string {
	d := time.Since(t)
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// trouble writes a line to the standard error.
func (w *watch) trouble(what, text string) {
	head := fmt.Sprintf("%s  %-10s  ", time.Now().Format(time.DateTime), what)
	line := head + text + "\n"
	if isTerminal(w.p.err) {
		line = wrapRest(head, text, "  ", w.p.width(w.p.err, 80))
	}
	fmt.Fprint(w.p.err, line)
}

// ended reports the error with which watch ends, and returns it as told. An interruption is
// returned unchanged.
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

// password is the Client's OnStatus. Its line fits 80 columns. The last line of watch has the
// evidence.
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

// line prints one line of the log. Each line is one write, so that no reader gets a part.
func (w *watch) line(what, text string) error {
	line := fmt.Sprintf("%s  %-10s  %s", time.Now().Format(time.DateTime), what, visible(text))
	if n := w.p.width(w.p.out, unlimited); n < unlimited && uniseg.StringWidth(line) > n {
		if what == "password" {
			// Lines about the password are broken and not cut.
			head, _, _ := strings.Cut(line, "  "+what)
			line = head + "  " + what + "\n" + strings.TrimSuffix(wrap(visible(text), "  ", n), "\n")
		} else {
			line = strings.TrimRight(fit(line, n), " ")
		}
	}
	_, err := fmt.Fprintln(w.p.out, line)
	return err
}

// sync reports what has changed since the last sync, and keeps how far it came.
func (w *watch) sync(ctx context.Context) error {
	w.silent = !w.state.Complete
	if w.silent && w.client.Status().State == icloud.Untested {
		// At the first start a person probably waits. Authenticate reports a mistyped
		// password at once and not after fifteen minutes.
		if err := w.client.Authenticate(ctx); err != nil {
			return w.account.unremembered(err)
		}
	}
	// The token is saved after the last line was written, so that a crash repeats lines
	// and loses none. It is saved with every error, because it belongs to the lines that
	// were written.
	err := w.follow(ctx)
	if w.silent && w.state.Complete {
		err = errors.Join(err, w.line("following", fmt.Sprintf("%d contacts", len(w.state.Cards))))
	}
	// An interruption must not prevent saving what was reported.
	return errors.Join(err, w.save(context.WithoutCancel(ctx)))
}

// follow applies the changes since the token, and takes the next one.
func (w *watch) follow(ctx context.Context) error {
	// The usual case is one request, and the cards that changed.
	if w.state.Token != "" {
		next, err := w.client.Sync(ctx, w.state.Token, w.apply)
		w.take(next)
		if !errors.Is(err, icloud.ErrResync) {
			return err
		}
	}
	// Everything is listed again. If the listing is complete, the cards that it does not
	// mark were deleted. Cards that could not be fetched are marked too.
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
			// If this fails, the token is not taken, so the next sync lists
			// everything again.
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

// apply reports one change. It keeps the change after the line was written, so that a line
// that was not written is written again.
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

// change writes the line of a change, unless w.silent is set.
func (w *watch) change(what, name string) error {
	if w.silent {
		return nil
	}
	return w.line(what, name)
}

// load reads what an earlier run has kept. It is in the state folder, in a file beside that
// of package icloud.
func (w *watch) load(ctx context.Context) error {
	w.state = followed{Version: 1, Cards: make(map[string]card)}
	if w.account.store == nil {
		return nil
	}
	// A DirStore is good for this data too: it replaces files as a whole, and only their
	// owner can read them. The token and the names are personal data.
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
		// Beginning again would miss deletions, and would overwrite data that
		// somebody may want to look at.
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
