// fake: the fake iCloud on a port of this machine, for programs in any language.

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/go-icloud/icloud/internal/fakecontrol"
)

// fakeCommand serves HTTP on a port, for programs that cannot use a Transport of package
// icloudtest: those in other languages, and this one in another window.
var fakeCommand = &command{
	name:    "fake",
	summary: "a fake iCloud on a port of this machine",
	about: `
Serves a fake iCloud with a few contacts and one app-specific password, and
prints the environment variables with which icloud-contacts connects to it. It
keeps nothing. It ends with exit status 0 when it is interrupted. With
-exit-with-stdin it also ends when its standard input ends.

Type these commands to change what it does. The control port does the same with
HTTP and JSON, and describes itself at /openapi.json.

` + typedHelp() + `
The first password is 364 days old. A program that knows its age will conclude
that it has expired, also after revoke. To test a revocation, type issue first
and use the new password.

With -tls there are two hosts, as at iCloud: the account's home-set is only on
the second one. -tls writes the certificate to trust to DIR/ca.pem, which is
also valid for iCloud's host names. icloud-contacts itself sends a password to
two hosts only if they are iCloud's, so it works with -tls only under iCloud's
host names (docs/testing-your-integration.md in the sources).`,
	example: `
  icloud-contacts fake
  icloud-contacts fake -contacts 10000 -addr 127.0.0.1:8843
  icloud-contacts fake -json -control 127.0.0.1:0 -exit-with-stdin
  icloud-contacts fake >env & sleep 1; . ./env; icloud-contacts list`,
	setup: func(f *flag.FlagSet) action {
		k := new(fake)
		f.StringVar(&k.addr, "addr", "127.0.0.1:0", "loopback `ADDRESS` to listen on; by default with a free\n\tport")
		f.StringVar(&k.controlAddr, "control", "", "loopback `ADDRESS` of the control port, for example\n\t127.0.0.1:0; by default there is none")
		f.IntVar(&k.contacts, "contacts", 0, "add `N` invented people, at most 50000")
		f.IntVar(&k.age, "age", 364, "age of the first password in `DAYS`; by default 364")
		f.StringVar(&k.tls, "tls", "", "serve https, and write ca.pem to `DIR`")
		f.BoolVar(&k.json, "json", false, "print a line of JSON for the start and for each answer")
		f.BoolVar(&k.exitWithStdin, "exit-with-stdin", false, "end when the standard input ends, and so together with\n\tthe program that started this one")
		return k.run
	},
}

// typedHelp returns a table of the commands that can be typed. reflow recognizes its columns
// by the two spaces between them.
func typedHelp() string {
	var b strings.Builder
	for _, t := range fakecontrol.Typed {
		fmt.Fprintf(&b, "  %-20s  %s\n", t[0], t[1])
	}
	return b.String()
}

// pasteHint begins with #, because it may be pasted into a shell together with the lines
// before it.
const pasteHint = "# Paste these elsewhere. Here, type expire 30s, revoke, ...; see \"help fake\".\n"

// fake is one run of the command.
type fake struct {
	addr, controlAddr   string
	contacts, age       int
	tls                 string
	json, exitWithStdin bool

	p  *program
	it *fakecontrol.Fake
}

// run serves until it is interrupted.
func (k *fake) run(ctx context.Context, p *program, _ []string) error {
	if k.contacts < 0 || k.contacts > 50_000 {
		return misuse("-contacts must be 0 to 50000, which is what iCloud holds")
	}
	if k.age < 0 || k.age > 36500 {
		return misuse("-age must be 0 to 36500 days")
	}
	k.p = p
	// The ports are opened before anything is printed, so that a reader can connect at
	// once.
	front, err := listen(ctx, "-addr", k.addr)
	if err != nil {
		return err
	}
	defer front.Close()
	config := fakecontrol.Config{
		AppleID:  "account-" + strings.ToLower(rand.Text()[:10]) + "@example.com",
		Endpoint: "http://" + front.Addr().String() + "/",
		Age:      time.Duration(k.age) * day,
		Invent:   invented,
		Cards:    k.contacts,
	}
	for _, c := range sample {
		config.Sample = append(config.Sample, fakecontrol.Card{ID: c.id, VCard: vcf(c.lines)})
	}
	var certificate *tls.Config // nil: http
	fronts := []net.Listener{front}
	if k.tls != "" {
		if certificate, err = k.certify(&config, front); err != nil {
			return err
		}
		// localhost may also mean ::1, on which the fake listens if it can.
		if _, port, err := net.SplitHostPort(front.Addr().String()); err == nil {
			if other, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("::1", port)); err == nil {
				defer other.Close()
				fronts = append(fronts, other)
			}
		}
	}
	var control net.Listener
	if k.controlAddr != "" {
		if control, err = listen(ctx, "-control", k.controlAddr); err != nil {
			return err
		}
		defer control.Close()
	}
	k.it = fakecontrol.New(config)
	defer k.it.Close()

	// ReadHeaderTimeout closes connections on which a client sends nothing.
	ended := make(chan error, 4)
	var servers []*http.Server
	start := func(l net.Listener, h http.Handler, certificate *tls.Config) {
		server := &http.Server{Handler: h, TLSConfig: certificate.Clone(), ReadHeaderTimeout: time.Minute, ErrorLog: silent}
		servers = append(servers, server)
		go func() {
			if certificate == nil {
				ended <- server.Serve(l)
			} else {
				ended <- server.ServeTLS(l, "", "")
			}
		}()
	}
	for _, l := range fronts {
		start(l, k.it, certificate)
	}
	if control != nil {
		start(control, k.it.Control(), nil)
	}
	// At the end, answers that are being sent are cut off.
	defer func() {
		for _, server := range servers {
			_ = server.Close()
		}
	}()
	if err := k.begin(control); err != nil {
		return err
	}
	background() // so that reading in the background does not stop the process
	over := make(chan struct{})
	go func() {
		k.read(p.in)
		if k.exitWithStdin {
			close(over)
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-over:
		return nil
	case err := <-ended:
		return err
	}
}

// listen listens on a loopback address. Other addresses are refused, because anybody on the
// network could use the fake.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, misuse(flag + ": " + visible(err.Error()))
	}
	if addr, ok := listener.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		listener.Close()
		return nil, misuse(flag + " is not a loopback address")
	}
	return listener, nil
}

// begin prints what a client needs to connect.
func (k *fake) begin(control net.Listener) error {
	controlURL := ""
	if control != nil {
		controlURL = "http://" + control.Addr().String() + "/"
	}
	cred := k.it.Start()
	if k.json {
		info := k.it.Info()
		line, err := jsonLine(struct {
			fakecontrol.Credential
			Home    string   `json:"home"`
			Hosts   []string `json:"hosts"`
			Control string   `json:"control,omitempty"`
		}{cred, info.Home, info.Hosts, controlURL})
		if err != nil {
			return err
		}
		_, err = k.p.out.Write(line)
		return err
	}
	if controlURL != "" {
		if _, err := fmt.Fprintf(k.p.out, "export ICLOUD_FAKE_CONTROL=%s\n", controlURL); err != nil {
			return err
		}
	}
	if err := k.environment(cred); err != nil {
		return err
	}
	if isTerminal(k.p.in) {
		// It goes to the standard error, because a shell may read the standard output.
		fmt.Fprint(k.p.err, pasteHint)
	}
	return nil
}

// environment prints the environment variables for a password.
func (k *fake) environment(cred fakecontrol.Credential) error {
	ca := ""
	if cred.CA != "" {
		ca = "export SSL_CERT_FILE=" + shellQuote(cred.CA) + "\n"
	}
	_, err := fmt.Fprintf(k.p.out, "export ICLOUD_ENDPOINT=%s\nexport ICLOUD_APPLE_ID=%s\n%sexport ICLOUD_APP_PASSWORD=%s\n"+
		// For other hosts than iCloud's no lifetime is assumed. This one is exact.
		"export ICLOUD_APP_PASSWORD_LIFETIME=365d\nexport ICLOUD_APP_PASSWORD_ISSUED=%s\n",
		cred.Endpoint, cred.AppleID, ca, cred.Password, cred.Issued.UTC().Format(time.RFC3339))
	return err
}

// shellQuote quotes a text as one word for a shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// read executes the typed commands until the input ends. Without -exit-with-stdin the fake
// continues then, because it may have no input from the start.
func (k *fake) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if a, ok := k.it.Type(lines.Text()); ok {
			k.acknowledge(lines.Text(), a)
		}
	}
}

// acknowledge prints the result of a typed line.
func (k *fake) acknowledge(typed string, a fakecontrol.Answer) {
	if k.json {
		line, err := jsonLine(struct {
			Typed  string          `json:"typed"`
			Status int             `json:"status"`
			Answer json.RawMessage `json:"answer"`
		}{strings.TrimSpace(typed), a.Status, a.Body})
		if err == nil {
			_, err = k.p.out.Write(line)
		}
		if err != nil {
			fmt.Fprintln(k.p.err, "icloud-contacts:", explain(err))
		}
		return
	}
	if words := a.Error(); words != "" {
		if words = visible(words); uniseg.StringWidth(words) > 120 {
			words = fit(words, 120) // text that was pasted by mistake may be long
		}
		if strings.HasPrefix(words, "not understood") {
			words += "; see \"icloud-contacts help fake\""
		}
		fmt.Fprintln(k.p.err, "icloud-contacts:", words)
		return
	}
	var body struct {
		fakecontrol.Credential
		fakecontrol.Done
		fakecontrol.IDs
		Total    *int
		ByStatus map[string]int `json:"by_status"`
		Redirect *int           // in the answer with all settings
		Accounts []json.RawMessage
		Cards    []json.RawMessage
	}
	if err := json.Unmarshal(a.Body, &body); err == nil && body.Password != "" {
		if err := k.environment(body.Credential); err != nil {
			fmt.Fprintln(k.p.err, "icloud-contacts:", explain(err))
		}
	}
	done := "done"
	switch {
	case body.Note != "":
		done += "; " + body.Note
	case body.IDs.IDs != nil:
		done += fmt.Sprintf("; %d cards", len(body.IDs.IDs))
	case body.Total != nil:
		done += fmt.Sprintf("; %d requests", *body.Total)
		for _, status := range slices.Sorted(maps.Keys(body.ByStatus)) {
			done += fmt.Sprintf(", %d of %s", body.ByStatus[status], status)
		}
	case body.Redirect != nil, body.Accounts != nil, body.Cards != nil:
		done += "; " + visible(string(a.Body))
	}
	fmt.Fprintln(k.p.err, done)
}

// certify makes the certificates, writes the one to trust, and sets the names of the two
// hosts in config.
func (k *fake) certify(config *fakecontrol.Config, front net.Listener) (*tls.Config, error) {
	certificate, ca, err := certificates(k.tls)
	if err != nil {
		return nil, misuse("-tls: " + visible(err.Error()))
	}
	addr := front.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	config.CA, config.HomeHost, config.PartitionOnly = ca, addr, true
	config.Endpoint = (&url.URL{Scheme: "https", Host: net.JoinHostPort("localhost", port), Path: "/"}).String()
	if port == "443" {
		// Port 443 is used with iCloud's own host names.
		config.Endpoint = "https://contacts.icloud.com/"
	}
	return certificate, nil
}
