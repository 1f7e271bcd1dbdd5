// fake: the fake iCloud on a port of this machine, for programs in any language,
// and for meeting every failure before a customer does.

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// fakeCommand speaks http on a port, for programs that cannot be given a Transport:
// those in other languages, and this one from another window.
var fakeCommand = &command{
	name:    "fake",
	summary: "a fake iCloud on a port of this machine",
	about: `
Serves a fake iCloud over http, with a few contacts and one app-specific
password, and prints the environment with which icloud-contacts connects to it.
It ends when it is interrupted, with exit status 0, and goes on when its
standard input ends; nothing is kept.

Things happen to it when they are typed:

  add NAME        a contact is added
  remove NAME     a contact is removed
  revoke          the owner removes the password
  issue           and makes a new one
  expire TIME     and another one, which expires after TIME, as 30s
  throttle TIME   the account must wait, as 30s; the server says until when
  outage TIME     the server is out of order (503), and says no time
  401 TIME        stray refusals: for TIME, good passwords are refused too
  forget          the sync tokens are no longer honored

throttle, outage and 401 end before their time with a TIME of 0s.`,
	example: `
  icloud-contacts fake
  icloud-contacts fake -contacts 10000 -addr 127.0.0.1:8843
  icloud-contacts fake >env & sleep 1; . ./env; icloud-contacts list`,
	setup: func(f *flag.FlagSet) action {
		k := new(fake)
		f.StringVar(&k.addr, "addr", "127.0.0.1:0", "loopback `ADDRESS` to listen on; by default on a port\n\tthat is free")
		f.IntVar(&k.contacts, "contacts", 0, "`N` invented people more, 50000 at most")
		return k.run
	},
}

// pasteHint is a comment to the shell into which it is pasted too.
const pasteHint = "# Paste these elsewhere. Here, type revoke, expire 30s, ...; see \"help fake\".\n"

// fake is one run of the command.
type fake struct {
	addr     string
	contacts int

	p    *program
	srv  *icloudtest.Server
	url  string
	cred icloud.Credential // the latest
	made map[string]string // the IDs of the contacts that were added, by name

	mu    sync.Mutex
	fault icloudtest.Fault // nil: none
}

// run serves until it is interrupted.
func (k *fake) run(ctx context.Context, p *program, _ []string) error {
	if k.contacts < 0 || k.contacts > 50_000 {
		return misuse("-contacts must be 0 to 50000, which is what iCloud holds")
	}
	// The port is open before the environment is printed: who reads that can connect.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", k.addr)
	if err != nil {
		return misuse("-addr: " + visible(err.Error()))
	}
	defer listener.Close()
	if addr, ok := listener.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		// It has a password of no worth, but speaks http.
		return misuse("-addr is not a loopback address")
	}
	k.p, k.srv, k.url = p, icloudtest.NewServer(), "http://"+listener.Addr().String()+"/"
	defer k.srv.Close()
	k.srv.Intercept = k.intercept // a field, which must not change any more
	fill(k.srv, k.contacts)
	if err := k.issue(k.srv.Issue()); err != nil {
		return err
	}
	if isTerminal(p.in) {
		// On the standard error: the standard output is for a shell to read.
		fmt.Fprint(p.err, pasteHint)
	}
	// A client that opens a connection and says nothing does not keep it for ever.
	server := &http.Server{Handler: k.srv, ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	background() // so that reading does not stop it there
	go k.read(p.in)
	select {
	case <-ctx.Done():
		// It is meant to end like this; who is being answered is cut off.
		return server.Close()
	case err := <-serving:
		return err
	}
}

// intercept meets a request with the fault that was typed, if there is one.
func (k *fake) intercept(w http.ResponseWriter, r *http.Request) bool {
	k.mu.Lock()
	fault := k.fault
	k.mu.Unlock()
	// Outside of the lock, and a Fault may take its time.
	return fault != nil && fault(w, r)
}

// issue prints the environment for a password.
func (k *fake) issue(cred icloud.Credential) error {
	k.cred = cred
	_, err := fmt.Fprintf(k.p.out, "export ICLOUD_ENDPOINT=%s\nexport ICLOUD_APPLE_ID=%s\nexport ICLOUD_APP_PASSWORD=%s\n"+
		// Off iCloud's own hosts no lifetime is assumed, and this one is exact.
		"export ICLOUD_APP_PASSWORD_LIFETIME=365d\nexport ICLOUD_APP_PASSWORD_ISSUED=%s\n",
		k.url, cred.AppleID, cred.Password.Reveal(), cred.Issued.UTC().Format(time.RFC3339))
	return err
}

// read obeys what is typed, for as long as something is. The end of the input is
// not the end of the fake: it may have none.
func (k *fake) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		verb, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if verb == "" {
			continue
		}
		if err := k.obey(verb, strings.TrimSpace(rest)); err != nil {
			fmt.Fprintln(k.p.err, "icloud-contacts:", explain(err))
		}
	}
}

// misunderstood repeats what was typed, or its beginning: a paste that went to the
// wrong window may be long.
func misunderstood(line string) error {
	line = visible(line)
	if uniseg.StringWidth(line) > 40 {
		line = fit(line, 40)
	}
	return errors.New("not understood: " + line + "; see \"icloud-contacts help fake\"")
}

// obey does one thing.
func (k *fake) obey(verb, rest string) error {
	id := strings.Map(func(r rune) rune {
		// Whatever the name, it is a segment of a URL.
		if r < 0x80 && r != '-' && !('a' <= r && r <= 'z') && !('0' <= r && r <= '9') {
			return '-'
		}
		return r
	}, strings.ToLower(rest)) + ".vcf"
	name := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, rest)
	switch {
	case (verb == "add" || verb == "remove") && rest == "":
		return errors.New(verb + " needs a name, as in: " + verb + " Ada")
	case verb == "add":
		k.srv.Put(id, vcf("UID:"+id+"\nN:"+name+";;;;\nFN:"+name))
		if k.made == nil {
			k.made = make(map[string]string)
		}
		k.made[name] = id
	case verb == "remove":
		id := cmp.Or(k.made[name], k.sampleID(name))
		if id == "" {
			return errors.New("no contact of that name among those that this fake has made")
		}
		k.srv.Delete(id)
		delete(k.made, name)
	case verb == "revoke" && rest == "":
		k.srv.Revoke(k.cred.Password)
	case verb == "issue" && rest == "":
		k.srv.Revoke(k.cred.Password) // or the 26th would be one too many
		return k.issue(k.srv.Issue())
	case verb == "expire":
		d, err := wanted(verb, rest)
		if err != nil {
			return err
		}
		if d == 0 || d > 365*day {
			return errors.New("a password lives for 365 days; expire takes a time of up to 8760h")
		}
		// The Server's passwords live for 365 days; this one has lived for nearly as long.
		k.srv.Revoke(k.cred.Password)
		return k.issue(k.srv.IssueAt(time.Now().Add(d - 365*day)))
	case verb == "throttle":
		d, err := wanted(verb, rest)
		if err != nil {
			return err
		}
		k.srv.Throttle(d)
	case verb == "outage" || verb == "401":
		d, err := wanted(verb, rest)
		if err != nil {
			return err
		}
		fault := icloudtest.Status(http.StatusServiceUnavailable)
		if verb == "401" {
			fault = icloudtest.Unauthorized
		}
		k.mu.Lock()
		k.fault = icloudtest.For(d, fault)
		k.mu.Unlock()
	case verb == "forget" && rest == "":
		k.srv.ForgetTokens()
	default:
		return misunderstood(strings.TrimSpace(verb + " " + rest))
	}
	_, err := fmt.Fprintln(k.p.err, "done")
	return err
}

// wanted parses the time that a verb wants.
func wanted(verb, text string) (time.Duration, error) {
	d, err := parseSpan(text)
	if err != nil {
		return 0, errors.New(verb + " needs a time, as in: " + verb + " 30s")
	}
	return d, nil
}

// sampleID returns the ID by the name on it of a card that was there at the start.
func (k *fake) sampleID(name string) string {
	// The invented people: see fill.
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "Person ")); err == nil && 0 < n && n <= k.contacts && name == fmt.Sprint("Person ", n) {
		return fmt.Sprintf("person-%d.vcf", n)
	}
	for _, c := range sample {
		if slices.Contains(strings.Split(c.lines, "\n"), "FN:"+name) {
			return c.id
		}
	}
	return ""
}
