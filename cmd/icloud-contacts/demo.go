// demo shows the life of a password, a false alarm and three ends, on a fake iCloud in
// this process. What it says about a password comes from package icloud; the rest says
// what was done.

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// demoCommand is the first thing that a visitor runs. It is quick, fits 80 columns,
// needs nothing, and shows no output that was not computed there and then.
var demoCommand = &command{
	name:    "demo",
	summary: "what happens when a password dies; no account needed",
	about: `
Starts a fake iCloud inside of this process and lists its contacts. Then its
passwords expire, are refused by mistake, are revoked and are mistyped. The demo
shows for each of these what a service learns, and what it can show to its
customer.

With -web you can try this yourself in a browser. The demo then serves a page of
an invented product with six customers. It shows what the product knows about
them, the mails that they get, and the page on which they connect again. The
demo ends with exit status 0 when it is interrupted.`,
	example: `
  icloud-contacts demo
  icloud-contacts demo -web`,
	setup: func(f *flag.FlagSet) action {
		web := f.Bool("web", false, "serve the demo as a web page on this machine")
		addr := f.String("addr", "", "with -web, loopback `ADDRESS` to listen on; by default\n\twith a free port")
		return func(ctx context.Context, p *program, args []string) error {
			switch {
			case *web:
				return demoWeb(ctx, p, cmp.Or(*addr, "127.0.0.1:0"))
			case *addr != "":
				return misuse("-addr goes with -web")
			}
			return demo(ctx, p, args)
		}
	},
}

// day is how passwords' lives are counted; no calendar is involved.
const day = 24 * time.Hour

// stage is where the demo takes place.
type stage struct {
	p     *program
	srv   *icloudtest.Server
	out   *bufio.Writer // its error comes with Flush
	width int
}

// demo plays the acts one after the other.
func demo(ctx context.Context, p *program, _ []string) error {
	// All requests are real: they are written, parsed, judged and answered, over
	// connections that happen to be in memory.
	srv := icloudtest.NewServer()
	defer srv.Close()
	fill(srv, 0)
	s := &stage{p: p, srv: srv, out: bufio.NewWriter(p.out), width: min(p.width(p.out, 80), 80)}
	s.print("This demo runs a fake iCloud with one account. Like iCloud, it answers with the same empty 401 " +
		"whatever is wrong with a password. Below, \"log\" is the text of the error that a program gets, " +
		"\"code\" is what the program can find out from the error, and \"customer\" is what it can show to the password's owner.")
	for _, act := range []func(context.Context) error{s.works, s.expires, s.stray, s.revoked, s.mistyped} {
		if err := act(ctx); err != nil {
			return errors.Join(err, s.out.Flush())
		}
	}
	s.say("Next: \"icloud-contacts fake\" serves this iCloud to your own program; \"icloud-contacts help\" lists the rest.")
	return s.out.Flush()
}

// works: a healthy account.
func (s *stage) works(ctx context.Context) error {
	s.title("An app-specific password that works")
	client, err := s.client(s.srv.Issue(), 0)
	if err != nil {
		return err
	}
	var t table
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			return err
		}
		t.add(contact)
	}
	t.write(s.out, s.p)
	fmt.Fprintln(s.out)
	s.status(client)
	return nil
}

// expires: the year is over. Time cannot be made to pass outside of a test, so
// the password was made 366 days ago and has worked until the day before its end;
// that it is refused is the Server's own doing.
func (s *stage) expires(ctx context.Context) error {
	s.title("A password made a year and a day ago")
	s.print("A refusal is final once it has lasted for 15 minutes (Options.Dwell). This demo does not wait for that.")
	fmt.Fprintln(s.out)
	cred := s.srv.IssueAt(time.Now().Add(-366 * day))
	cred.LastAccepted = cred.Issued.Add(364 * day)
	// The next acts show what happens with a Dwell.
	client, err := s.client(cred, -1)
	if err != nil {
		return err
	}
	if err := s.refused(list1(ctx, client)); err != nil {
		return err
	}
	// A service polls on, and must not be the reason for a lock-out.
	before := s.srv.Requests()
	for range 1000 {
		if _, ok := errors.AsType[*icloud.AuthError](list1(ctx, client)); !ok {
			return errors.New("the password came back to life")
		}
	}
	s.say(fmt.Sprintf("The program asks for the contacts 1000 times more, and the client sends %d requests.", s.srv.Requests()-before))
	return nil
}

// working returns a client whose password is a hundred days old, and works.
func (s *stage) working(ctx context.Context) (*icloud.Client, icloud.Credential, error) {
	cred := s.srv.IssueAt(time.Now().Add(-100 * day))
	client, err := s.client(cred, 0)
	if err != nil {
		return nil, cred, err
	}
	if err := list1(ctx, client); err != nil {
		return nil, cred, err
	}
	s.status(client)
	return client, cred, nil
}

// stray: iCloud refuses a good password for a moment. That nobody is told to
// reconnect over it is what the package is for.
func (s *stage) stray(ctx context.Context) error {
	s.title("iCloud refuses a good password by mistake")
	client, cred, err := s.working(ctx)
	if err != nil {
		return err
	}
	// Twice: the first 401 is asked about once more, and a single one is refuted
	// at once.
	s.srv.Intercept = icloudtest.Times(2, icloudtest.Unauthorized)
	err = list1(ctx, client)
	s.srv.Intercept = nil
	if err := s.refused(err); err != nil {
		return err
	}
	s.say("A minute later the client sends a probe, and iCloud accepts the password. Nothing was decided, and " +
		"nobody was told to reconnect. (This demo does not wait for the minute: another client asks.)")
	cred.LastAccepted = client.Status().LastAccepted
	if client, err = s.client(cred, 0); err != nil {
		return err
	}
	if err := list1(ctx, client); err != nil {
		return err
	}
	s.status(client)
	return nil
}

// revoked: the password worked, and then its owner removed it. The first client
// has only just met the refusal; the second does not wait, as a demo cannot.
func (s *stage) revoked(ctx context.Context) error {
	s.title("The owner removes a password that worked")
	client, cred, err := s.working(ctx)
	if err != nil {
		return err
	}
	s.srv.Revoke(cred.Password)
	err = list1(ctx, client)
	if err := s.refused(err); err != nil {
		return err
	}
	s.say("After 15 minutes of refusals (this demo does not wait for them):")
	// What the first client has learned is all that the second needs to come to the
	// same verdict; a Store would carry it across restarts.
	cred.LastAccepted = client.Status().LastAccepted
	if client, err = s.client(cred, -1); err != nil {
		return err
	}
	if err := s.refused(list1(ctx, client)); err != nil {
		return err
	}
	s.say("The owner makes a new password, and the service reconnects:")
	if err := client.Reconnect(ctx, s.srv.Issue()); err != nil {
		return err
	}
	s.status(client)
	return nil
}

// mistyped: one letter is wrong, in front of its owner; and then the account's own
// password is entered, which must not leave the house.
func (s *stage) mistyped(ctx context.Context) error {
	s.title("A new customer mistypes the password")
	cred := s.srv.Issue()
	text := []byte(cred.Password.Reveal())
	// Still of the right form, so that only iCloud can tell.
	text[0] = 'a' + (text[0]-'a'+1)%26
	password, err := icloud.ParsePassword(string(text))
	if err != nil {
		return err
	}
	// Nobody knows when a password was made that does not exist.
	cred.Password, cred.Issued = password, time.Time{}
	client, err := s.client(cred, 0)
	if err != nil {
		return err
	}
	if err := s.refused(client.Authenticate(ctx)); err != nil {
		return err
	}
	s.say("Then the customer enters the account's own password. The package notices this before anything is sent:")
	_, err = icloud.ParsePassword("correct horse battery staple")
	if err == nil {
		return errors.New("it was taken for an app-specific password")
	}
	s.field("log", red, err.Error())
	return nil
}

// client returns a Client of the Server; dwell is Options.Dwell.
func (s *stage) client(cred icloud.Credential, dwell time.Duration) (*icloud.Client, error) {
	return icloud.New(cred, &icloud.Options{Transport: s.srv.Transport(), Dwell: dwell})
}

// list1 lists the contacts for the error alone.
func list1(ctx context.Context, client *icloud.Client) error {
	for _, err := range client.Contacts(ctx) {
		if err != nil {
			return err
		}
	}
	return nil
}

// refused shows what an *AuthError holds. Any other error, none included, is the
// demo's own failure.
func (s *stage) refused(err error) error {
	auth, ok := errors.AsType[*icloud.AuthError](err)
	if !ok {
		return errors.Join(errors.New("the password was not refused"), err)
	}
	color := yellow
	if auth.Confirmed {
		color = red
	}
	s.field("log", color, auth.Error())
	s.field("code", "", "errors.Is(err, "+sentinel(auth)+")")
	s.field("", "", fmt.Sprintf("Certainty: %s, Confirmed: %t", auth.Certainty, auth.Confirmed))
	// This is the rule that a service lives by, as it would be written there.
	if auth.Confirmed {
		s.field("customer", "", auth.Remedy())
	} else {
		s.field("customer", "", "(is shown nothing yet)")
	}
	return nil
}

// sentinel returns the name in package icloud of what err is.
func sentinel(err error) string {
	for name, target := range map[string]error{
		"icloud.ErrPasswordExpired":  icloud.ErrPasswordExpired,
		"icloud.ErrPasswordRevoked":  icloud.ErrPasswordRevoked,
		"icloud.ErrPasswordRejected": icloud.ErrPasswordRejected,
	} {
		if errors.Is(err, target) {
			return name
		}
	}
	return "?"
}

// status shows what a Client makes of its password.
func (s *stage) status(client *icloud.Client) {
	status := client.Status()
	s.field("state", green, fmt.Sprintf("%s, since %s, until about %s", status.State,
		status.Issued.UTC().Format(time.DateOnly), status.Expires.UTC().Format(time.DateOnly)))
}

// title begins an act.
func (s *stage) title(text string) {
	text = "── " + text + " "
	text += strings.Repeat("─", max(s.width-uniseg.StringWidth(text), 0))
	fmt.Fprintf(s.out, "\n%s\n\n", s.p.paint(s.p.out, bold, fit(text, s.width)))
}

// print prints a paragraph.
func (s *stage) print(text string) { fmt.Fprint(s.out, wrap(text, "", s.width)) }

// say prints a paragraph after an empty line.
func (s *stage) say(text string) {
	fmt.Fprintln(s.out)
	s.print(text)
}

// field prints a text beside its name.
func (s *stage) field(name, color, text string) {
	const left = 12
	for line := range strings.Lines(wrap(text, "", s.width-left)) {
		fmt.Fprintf(s.out, "  %s%s\n", fit(name, left-2), s.p.paint(s.p.out, color, strings.TrimSuffix(line, "\n")))
		// The lines that follow stand below the first.
		name = ""
	}
}
