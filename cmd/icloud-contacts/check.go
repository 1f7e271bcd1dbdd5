// check: is the password accepted, since when, until when, and if not, what then.

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-icloud/icloud"
)

// checkCommand is for people, and for cron: its answer is its output and its status,
// so a refusal is a result on the standard output and not an error beside it.
var checkCommand = &command{
	name:    "check",
	summary: "is the password accepted, and until when",
	about: `
Asks the server whether it accepts the password, and if not, says why as far as
can be known, and what its owner should do. It knows more with -issued, and with
a -state folder in which earlier answers are remembered.

A password that has worked before is not given up at the first refusal, which
may be the server's fault: it is final, with exit status 2, once refusals have
lasted for -dwell. One that has never worked is refused for good at once.`,
	example: `
  icloud-contacts check
  icloud-contacts check -json -issued 2026-01-31
  icloud-contacts check -state ~/.local/state/icloud || echo "status $?"`,
	setup: func(f *flag.FlagSet) action {
		c := new(check)
		f.BoolVar(&c.json, "json", false, "one JSON object")
		c.account.flags(f)
		return c.run
	},
}

// check is one run of the command.
type check struct {
	account account
	json    bool
}

// run asks once. What is neither yes nor no, a fault of the server for instance, is
// an error like everywhere, and leaves the standard output empty: a program that
// parses it must not find half an answer.
func (c *check) run(ctx context.Context, p *program, _ []string) error {
	client, err := c.account.connect(ctx, p, nil)
	if err != nil {
		return err
	}
	err = client.Authenticate(ctx)
	auth, refused := errors.AsType[*icloud.AuthError](err)
	if err != nil && !refused {
		return err // neither yes nor no
	}
	// From here on there is an answer.
	write := c.text
	if c.json {
		write = c.object
	}
	if err := write(p, client.Status(), auth); err != nil {
		return err
	}
	if err != nil && err == error(auth) {
		return told{err}
	}
	return err // nil, or with what else went wrong: a state folder that is not writable
}

// answer is what check -json prints. Its names are for other programs, and stay.
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
	Remedy    string     `json:"remedy,omitempty"`
}

// object prints the answer for programs.
func (c *check) object(p *program, s icloud.Status, auth *icloud.AuthError) error {
	a := answer{
		Accepted: auth == nil, State: s.State.String(),
		Issued: moment(s.Issued), Expires: moment(s.Expires), LastAccepted: moment(s.LastAccepted),
	}
	if auth != nil {
		a.Refused, a.Reason, a.Certainty = moment(auth.Refused), reason(auth), auth.Certainty.String()
		a.Confirmed, a.Remedy = &auth.Confirmed, auth.Remedy()
	}
	line, err := jsonLine(a)
	if err != nil {
		return err
	}
	_, err = p.out.Write(line)
	return err
}

// moment returns t for JSON, where a zero time would be a date.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// reason returns the one word for why a password is refused.
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

// text prints the answer for people. Every word about the reason comes from the
// AuthError, as does the remedy; what is added concerns this program alone.
func (c *check) text(p *program, s icloud.Status, auth *icloud.AuthError) error {
	var b strings.Builder
	switch {
	case auth == nil && s.State == icloud.Expiring:
		fmt.Fprintln(&b, p.paint(p.out, yellow, "accepted, but not for long"))
	case auth == nil:
		fmt.Fprintln(&b, p.paint(p.out, green, "accepted"))
	case auth.Confirmed:
		fmt.Fprintf(&b, "%s: %s, %s\n", p.paint(p.out, red, "refused"), reason(auth), auth.Certainty)
	default:
		fmt.Fprintf(&b, "%s: %s, %s; not final yet\n", p.paint(p.out, yellow, "refused"), reason(auth), auth.Certainty)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range c.dates(s, auth) {
		fmt.Fprintf(w, "  %s\t%s\n", line[0], line[1])
	}
	_ = w.Flush() // a strings.Builder does not fail
	switch {
	// Nobody is sent to make a new password before that is certain to be needed.
	case auth != nil && auth.Confirmed:
		b.WriteString("\n" + wrap(auth.Remedy(), "", min(p.width(p.out, 80), 80)))
	case auth != nil:
		b.WriteString("\n" + wrap("Nothing is decided yet, and nobody should be asked for a new password: "+
			"it may be a passing fault. Check again in a while; with -state this refusal is remembered.", "", min(p.width(p.out, 80), 80)))
	}
	_, err := p.out.Write([]byte(b.String()))
	return err
}

// dates are the days that are known, in the order in which they happened.
func (c *check) dates(s icloud.Status, auth *icloud.AuthError) (lines [][2]string) {
	add := func(words string, t time.Time, after string) {
		if !t.IsZero() {
			lines = append(lines, [2]string{words, t.UTC().Format(time.DateOnly) + after})
		}
	}
	add("generated", s.Issued, "")
	if s.Issued.IsZero() && !s.Expires.IsZero() {
		// The first acceptance has stood in for the issue then (icloud.Status).
		add("worked since", s.Expires.Add(-cmp.Or(time.Duration(c.account.lifetime), icloud.DefaultLifetime)), "")
	}
	add("last accepted", s.LastAccepted, "")
	if auth != nil {
		add("refused since", auth.Refused, "")
	}
	add("ends about", s.Expires, "  (an estimate)")
	return lines
}
