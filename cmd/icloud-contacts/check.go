// check: whether the password is accepted, until when, and what to do if it is not.

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-icloud/icloud"
)

// checkCommand is for people and for cron. Its answer is its output and its exit status.
// So a refusal is a result on the standard output, and not an error on the standard error.
var checkCommand = &command{
	name:    "check",
	summary: "whether the password is accepted, and until when",
	about: `
Asks the server whether it accepts the password. If the password is refused, it
says why, as far as can be known, and what the owner should do. It knows more
with -issued, and from earlier answers, which the -state folder keeps.

If a password has worked before, the first refusal is not final, because it may
be the server's fault. It is final, with exit status 2, once refusals have
lasted for -dwell. Until then, at most one probe a minute is sent. If a password
has never worked, the first refusal is final.

With -state none nothing is remembered, so a refused password looks as if it had
never worked. Because that may be wrong, the exit status is 1.

With -record the shape of the server's answers is written to a file, for
QUIRKS.md in the sources, which says what is known of iCloud. The shape is
statuses, names of headers and elements, counts, and the forms of ETags and
tokens. It has no name, number, address, card or token, and it is shown before
it is written. For it, more requests are sent, all of which only read: discovery
of the address book, a listing, two syncs, one card and one photo.

With -json an object is printed even if the server said neither yes nor no. Then
"accepted" is null, and the error is on the standard error as usual.`,
	example: `
  icloud-contacts check
  icloud-contacts check -json -issued 2026-01-31
  icloud-contacts check -issued 2026-01-31 -record record.json
  icloud-contacts check >/dev/null || echo "status $?"`,
	setup: func(f *flag.FlagSet) action {
		c := new(check)
		f.BoolVar(&c.json, "json", false, "print one JSON object")
		f.StringVar(&c.record, "record", "", "write the shape of the answers to `FILE`, to report it")
		c.account.flags(f)
		return c.run
	},
}

// check is one run of the command.
type check struct {
	account account
	json    bool
	record  string // a file, or ""
}

// run asks the server, and writes a record if -record is given.
func (c *check) run(ctx context.Context, p *program, _ []string) error {
	if c.record == "" {
		return c.ask(ctx, p)
	}
	if err := checkRecord(c.record); err != nil {
		return err
	}
	rec := &recorder{rt: cmp.Or[http.RoundTripper](p.transport, http.DefaultTransport)}
	observed := *p
	observed.transport = rec
	err := c.ask(ctx, &observed)
	if _, usage := errors.AsType[misuse](err); usage || ctx.Err() != nil {
		return err
	}
	var accepted *bool
	if _, refused := errors.AsType[*icloud.AuthError](err); err == nil || refused {
		accepted = new(err == nil)
	}
	// After a refusal or a failure no more requests are sent; the record has what was
	// answered.
	if err == nil {
		client, failure := c.account.stranger()
		if failure == nil {
			failure = survey(ctx, client)
		}
		if failure != nil {
			if ctx.Err() != nil {
				return failure
			}
			p.complain("the record is not complete: " + explain(failure))
		}
	}
	if failure := c.keep(ctx, p, rec.record(accepted, c.account.issued.Time)); failure != nil {
		return errors.Join(err, failure)
	}
	return err
}

// ask asks the server once, and prints the answer. If the answer is neither yes nor no, for
// example because of a fault of the server, ask returns an error. With -json it also prints
// an object, because a program that parses the standard output expects one.
func (c *check) ask(ctx context.Context, p *program) error {
	client, err := c.account.connect(ctx, p, nil)
	if err != nil {
		return err
	}
	err = client.Authenticate(ctx)
	auth, refused := errors.AsType[*icloud.AuthError](err)
	if err != nil && !refused {
		if c.json && ctx.Err() == nil {
			return errors.Join(err, c.open(p, err))
		}
		return err
	}
	// From here on the answer is yes or no.
	write := c.text
	if c.json {
		write = c.object
	}
	if err := write(p, client.Status(), auth); err != nil {
		return err
	}
	if err != nil {
		// Errors of the state folder that are joined to err are not printed again: a
		// warning was printed when they happened.
		return told{c.account.unremembered(err)}
	}
	return nil
}

// open prints the object for a server that said neither yes nor no, with a cause on which
// a program can act.
func (c *check) open(p *program, err error) error {
	a := noAnswer{Error: "other"}
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		a.Error, a.Status = "response", answer.StatusCode
		if answer.StatusCode/100 == 5 || answer.StatusCode == http.StatusTooManyRequests {
			a.Error = "unavailable"
		}
		a.RetryAfter = int((answer.RetryAfter + time.Second - 1) / time.Second)
	} else if _, ok := errors.AsType[stateError](err); ok {
		a.Error = "state"
	} else if class := connection(err); class.Code != "" {
		a.Error, a.Cause = "connection", class.Code
	}
	line, err := jsonLine(a)
	if err != nil {
		return err
	}
	_, err = p.out.Write(line)
	return err
}

// noAnswer is what check -json prints if the answer is neither yes nor no.
type noAnswer struct {
	Accepted   *bool  `json:"accepted"` // null
	Error      string `json:"error"`    // unavailable, response, connection, state, other
	Status     int    `json:"status,omitempty"`
	Cause      string `json:"cause,omitempty"`       // of connection: refused, dns, tls, timeout, unreachable, broken, network
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
}

// answer is what check -json prints. Other programs depend on its names, which must not
// change.
type answer struct {
	Accepted     bool       `json:"accepted"`
	State        string     `json:"state"`
	Issued       *time.Time `json:"issued,omitempty"`
	Expires      *time.Time `json:"expires,omitempty"` // an estimate
	LastAccepted *time.Time `json:"last_accepted,omitempty"`

	Refused   *time.Time `json:"refused,omitempty"`
	Reason    string     `json:"reason,omitempty"` // expired, revoked, rejected
	Certainty string     `json:"certainty,omitempty"`
	Confirmed *bool      `json:"confirmed,omitempty"`
	Remedy    string     `json:"remedy,omitempty"` // only if confirmed

	NextTry *time.Time `json:"next_try,omitempty"` // as icloud.Status
	Final   *time.Time `json:"final,omitempty"`    // as icloud.Status

	Remembered bool `json:"remembered,omitempty"` // whether there is a state folder that works
}

// object prints the answer for programs.
func (c *check) object(p *program, s icloud.Status, auth *icloud.AuthError) error {
	a := answer{
		Accepted: auth == nil, State: s.State.String(),
		Issued: moment(s.Issued), Expires: moment(s.Expires), LastAccepted: moment(s.LastAccepted),
		NextTry: moment(s.NextTry), Final: moment(s.Final),
		Remembered: c.account.store.remembers(),
	}
	if auth != nil {
		a.Refused, a.Reason, a.Certainty = moment(auth.Refused), reason(auth), auth.Certainty.String()
		// Programs act on confirmed, so it is false for a guess.
		_, guessed := errors.AsType[guess](c.account.unremembered(auth))
		confirmed := auth.Confirmed && !guessed
		a.Confirmed = &confirmed
		switch {
		case confirmed:
			a.Remedy = auth.Remedy()
		case guessed:
			a.NextTry = nil // it is about this process only, which ends
		}
	}
	line, err := jsonLine(a)
	if err != nil {
		return err
	}
	_, err = p.out.Write(line)
	return err
}

// moment returns t for JSON, or nil for a zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// reason returns in one word why a password is refused.
func reason(err error) string {
	switch {
	case errors.Is(err, icloud.ErrPasswordExpired):
		return "expired"
	case errors.Is(err, icloud.ErrPasswordRevoked):
		return "revoked"
	case errors.Is(err, icloud.ErrPasswordRejected):
		return "rejected"
	}
	return "refused"
}

// text prints the answer for people. The reason and the remedy come from the AuthError.
func (c *check) text(p *program, s icloud.Status, auth *icloud.AuthError) error {
	var b strings.Builder
	word, color, rest := "accepted", green, ""
	switch {
	case auth == nil && s.State == icloud.Expiring:
		color, rest = yellow, ", but not for long"
	case auth == nil:
	case auth.Confirmed:
		word, color, rest = "refused", red, fmt.Sprintf(": %s, %s", reason(auth), auth.Certainty)
	default:
		word, color, rest = "refused", yellow, fmt.Sprintf(": %s, %s; not final yet", reason(auth), auth.Certainty)
	}
	width := min(p.width(p.out, 80), 80)
	b.WriteString(strings.Replace(wrap(word+rest, "", width), word, p.paint(p.out, color, word), 1))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range c.dates(s, auth) {
		fmt.Fprintf(w, "  %s\t%s\n", line[0], line[1])
	}
	_ = w.Flush() // a strings.Builder does not fail
	say := func(text string) { b.WriteString("\n" + wrap(text, "", width)) }
	switch {
	// The remedy is shown only if the refusal is final.
	case auth != nil && auth.Confirmed:
		say(auth.Remedy())
		if g, ok := errors.AsType[guess](c.account.unremembered(auth)); ok {
			say(strings.ToUpper(g.why[:1]) + g.why[1:] + " of earlier answers. This may be " + guesses +
				". With a state folder, the first refusal of a password that has worked is not final.")
		}
	case auth != nil:
		// Only an answer makes the refusal final, and the next one comes after
		// NextTry.
		next := s.NextTry
		if next.IsZero() {
			next = time.Now()
		}
		final := s.Final
		if final.Before(next) {
			final = next
		}
		say("Next probe from " + clock(next) + "; final from " + clock(final) + ".")
		say("Nothing is decided yet, because this may be a passing fault. " +
			"Ask nobody for a new password yet; check again at that time.")
	}
	_, err := p.out.Write([]byte(b.String()))
	return err
}

// clock returns the local time of day, with the date if it is not today. It is rounded up
// to a minute, so that nobody comes a moment too early.
func clock(t time.Time) string {
	t = t.Add(time.Minute - 1).Truncate(time.Minute).Local()
	if now := time.Now(); t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		return t.Format("2006-01-02 15:04")
	}
	return t.Format("15:04")
}

// dates returns the known dates, in the order in which they happen.
func (c *check) dates(s icloud.Status, auth *icloud.AuthError) (lines [][2]string) {
	add := func(words string, t time.Time, after string) {
		if !t.IsZero() {
			lines = append(lines, [2]string{words, t.UTC().Format(time.DateOnly) + after})
		}
	}
	add("generated", s.Issued, "")
	if s.Issued.IsZero() && !s.Expires.IsZero() {
		// Then Expires is computed from the first acceptance (see icloud.AuthError).
		add("worked since", s.Expires.Add(-cmp.Or(time.Duration(c.account.lifetime), icloud.DefaultLifetime)), "")
	}
	add("last accepted", s.LastAccepted, "")
	if auth != nil {
		add("refused since", auth.Refused, "")
	}
	add("ends about", s.Expires, "  (estimate)")
	return lines
}
