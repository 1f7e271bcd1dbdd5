// demo shows how a password works, is refused by mistake, and dies in three ways, on a
// fake iCloud in this process. All that it says about a password comes from package icloud.

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

// demoCommand is the first thing that a visitor runs. It is quick, fits 80 columns and
// needs nothing. Its output about passwords is computed and not written in advance.
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

// day is the unit of passwords' ages, without regard to the calendar.
const day = 24 * time.Hour

// stage is one run of the demo.
type stage struct {
	p     *program
	srv   *icloudtest.Server
	out   *bufio.Writer // Flush returns its error
	width int
}

// demo plays the acts one after the other.
func demo(ctx context.Context, p *program, _ []string) error {
	// All requests are real HTTP requests, over connections in memory.
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

// works shows a healthy account.
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

// expires shows the end of a password's year. Outside of a test a year cannot pass at once,
// so the password is issued with a date 366 days ago, as one that last worked the day
// before its end. The Server refuses it because of its age.
func (s *stage) expires(ctx context.Context) error {
	s.title("A password made a year and a day ago")
	s.print("A refusal is final once it has lasted for 15 minutes (Options.Dwell). This demo does not wait for that.")
	fmt.Fprintln(s.out)
	cred := s.srv.IssueAt(time.Now().Add(-366 * day))
	cred.LastAccepted = cred.Issued.Add(364 * day)
	// Other acts show what happens with a Dwell.
	client, err := s.client(cred, -1)
	if err != nil {
		return err
	}
	if err := s.refused(list1(ctx, client)); err != nil {
		return err
	}
	// A service continues to poll, and must not cause a lock-out.
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
	// Two 401s, because the Client sends a probe after the first one, which would
	// refute it at once.
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

// revoked shows that the owner removes a password that worked. The first client meets the
// refusal. The second one has no Dwell, because a demo cannot wait.
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
	// With what the first client has learned, the second one comes to the same
	// verdict. In a service a Store passes it on.
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

// mistyped shows that the owner mistypes a letter, and then enters the account's own
// password, which must not be sent.
func (s *stage) mistyped(ctx context.Context) error {
	s.title("A new customer mistypes the password")
	cred := s.srv.Issue()
	text := []byte(cred.Password.Reveal())
	// The form stays right, so only iCloud can refuse it.
	text[0] = 'a' + (text[0]-'a'+1)%26
	password, err := icloud.ParsePassword(string(text))
	if err != nil {
		return err
	}
	// A password that does not exist has no date of issue.
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

// list1 lists the contacts and returns only the error.
func list1(ctx context.Context, client *icloud.Client) error {
	for _, err := range client.Contacts(ctx) {
		if err != nil {
			return err
		}
	}
	return nil
}

// refused shows the contents of an *AuthError. It returns an error if err is another one,
// or nil.
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
	// This is how a service decides what to show.
	if auth.Confirmed {
		s.field("customer", "", auth.Remedy())
	} else {
		s.field("customer", "", "(is shown nothing yet)")
	}
	return nil
}

// sentinel returns the name of the error of package icloud that err wraps.
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

// status shows what a Client knows of its password.
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
		// Further lines are aligned with the first one.
		name = ""
	}
}
