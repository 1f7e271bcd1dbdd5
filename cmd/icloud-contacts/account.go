// Which account: flags, environment, a file, or a prompt on the terminal; and the
// Client for it.

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/go-icloud/icloud"
)

// account is what the flags say about an account; connect adds the rest.
type account struct {
	endpoint     string
	passwordFile string
	issued       date
	lifetime     days
	dwell        span
	state        string

	name  string // the Apple ID, once connected
	cred  icloud.Credential
	opts  icloud.Options
	store *folder // nil: nothing is kept
}

// flags defines the flags that all commands with an account share. None of them
// takes the password or the Apple ID: arguments end up in the lists of processes
// and in the histories of shells.
func (a *account) flags(f *flag.FlagSet) {
	f.StringVar(&a.endpoint, "endpoint", "", "`URL` of another CardDAV server")
	f.StringVar(&a.passwordFile, "password-file", "", "`FILE` whose first line is the password, or - for\n\tthe standard input")
	f.Var(&a.issued, "issued", "`DATE` when the password was made, for example\n\t2026-01-31")
	f.Var(&a.lifetime, "lifetime", "lifetime of the password in `DAYS`, for example 365d, or\n\tnone; by default a year on iCloud, and none elsewhere")
	a.dwell = span(15 * time.Minute)
	f.Var(&a.dwell, "dwell", "`TIME` that a refusal must last to be final; by\n\tdefault 15m; 0 makes the first refusal final")
	f.StringVar(&a.state, "state", "", "folder `DIR` that keeps what is remembered, or none; by\n\tdefault icloud-contacts in the user's state folder")
}

// connect returns a Client for the account. It sends nothing. What it cannot do
// is the caller's to put right, and no failure of the server.
func (a *account) connect(ctx context.Context, p *program, onStatus func(context.Context, icloud.Status)) (*icloud.Client, error) {
	// A flag is typed now, and a variable was set some time ago: the flag wins.
	a.endpoint = cmp.Or(a.endpoint, p.getenv("ICLOUD_ENDPOINT"))
	if said := p.getenv("ICLOUD_APP_PASSWORD_ISSUED"); said != "" && a.issued.IsZero() {
		if err := a.issued.Set(said); err != nil {
			return nil, misuse("ICLOUD_APP_PASSWORD_ISSUED: " + err.Error())
		}
	}
	if said := p.getenv("ICLOUD_APP_PASSWORD_LIFETIME"); said != "" && a.lifetime == 0 {
		if err := a.lifetime.Set(said); err != nil {
			return nil, misuse("ICLOUD_APP_PASSWORD_LIFETIME: " + err.Error())
		}
	}
	if a.name = p.getenv("ICLOUD_APPLE_ID"); a.name == "" {
		name, err := p.ask(ctx, "Apple ID: ", false)
		if err != nil {
			return nil, missing(err, "no account: set ICLOUD_APPLE_ID")
		}
		a.name = name
	}
	dir, err := a.folder(p)
	if err != nil {
		return nil, err
	}
	// The password comes last, so that nobody types it in vain.
	password, err := a.password(ctx, p)
	if err != nil {
		return nil, err
	}
	opts := &icloud.Options{
		Endpoint:  a.endpoint,
		Lifetime:  time.Duration(a.lifetime),
		Dwell:     time.Duration(a.dwell),
		OnStatus:  onStatus,
		Transport: p.transport,
	}
	if a.dwell <= 0 {
		opts.Dwell = -1 // 0 is the package's word for its default
	}
	if dir != "" {
		a.store = &folder{dir: icloud.DirStore(dir), warn: p.complain}
		opts.Store = a.store
	}
	a.cred, a.opts = icloud.Credential{AppleID: a.name, Password: password, Issued: a.issued.Time}, *opts
	client, err := icloud.New(a.cred, opts)
	if err != nil {
		// The package speaks to programmers; here the same things have other names.
		words := strings.NewReplacer("icloud: ", "", "Options.Endpoint", "the endpoint",
			"Credential.AppleID", "the Apple ID", "Credential.Password", "the password")
		return nil, misuse(words.Replace(err.Error()))
	}
	return client, nil
}

// stranger returns another Client for the account once it is connected, which
// remembers nothing and so finds its way anew.
func (a *account) stranger() (*icloud.Client, error) {
	opts := a.opts
	opts.Store = nil
	return icloud.New(a.cred, &opts)
}

// open is connect for a command whose caller waits for the answer: the password
// is asked about first, so that one that has never worked is dead at once
// instead of in fifteen minutes.
func (a *account) open(ctx context.Context, p *program) (*icloud.Client, error) {
	client, err := a.connect(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	return client, a.unremembered(client.Authenticate(ctx))
}

// folder returns the state folder, or "" if there is to be none.
func (a *account) folder(p *program) (string, error) {
	switch a.state {
	case "":
		return defaultFolder(runtime.GOOS, p.getenv)
	case "none":
		return "", nil
	}
	return a.state, nil
}

// unremembered turns a refusal for good into a guess, if nothing is remembered that
// it could rest on.
func (a *account) unremembered(err error) error {
	auth, ok := errors.AsType[*icloud.AuthError](err)
	if ok && auth.Confirmed && !a.store.remembers() && errors.Is(err, icloud.ErrPasswordRejected) {
		why := "nothing is remembered"
		if a.store == nil {
			why = "with -state none " + why
		}
		return guess{err, why}
	}
	return err
}

// guess is a refusal by a run that remembers nothing. What worked a minute ago
// looks to it like what has never worked, so the exit status is not dead.
type guess struct {
	error
	why string
}

// Error adds what the verdict leaves out, in the same line.
func (e guess) Error() string {
	return explain(e.error) + "; " + e.why + ", so it is " + guesses
}

// Unwrap lets report find the verdict.
func (e guess) Unwrap() error { return e.error }

// guesses are all that is left without a memory.
const guesses = "a mistake, a revoked password or a passing fault"

// tries is how often a person is asked for a password of the right form.
const tries = 3

// password returns the password. A malformed one is asked for again if a person has
// typed it.
func (a *account) password(ctx context.Context, p *program) (password icloud.Password, err error) {
	for try := 1; ; try++ {
		text, typed, err := a.passwordText(ctx, p)
		if err != nil {
			return password, err
		}
		// Other servers have passwords of any form, and it is their business which.
		if !onICloud(a.endpoint) {
			return icloud.UncheckedPassword(text), nil
		}
		// It may well be the account's own password, which must not be sent.
		if password, err = icloud.ParsePassword(text); err == nil {
			return password, nil
		}
		const malformed = "that is not the form of an app-specific password, xxxx-xxxx-xxxx-xxxx; it was not sent"
		if !typed || try == tries {
			return password, misuse(malformed)
		}
		p.complain(malformed)
	}
}

// passwordText finds the password's text, and says whether a person has typed it just
// now. What was asked for by name comes before what happens to be in the environment.
func (a *account) passwordText(ctx context.Context, p *program) (text string, typed bool, err error) {
	text = p.getenv("ICLOUD_APP_PASSWORD")
	file := p.getenv("ICLOUD_APP_PASSWORD_FILE")
	// An empty variable is one that is not set: shells make no difference in
	// "ICLOUD_APP_PASSWORD= icloud-contacts list".
	switch {
	case a.passwordFile == "-":
		text, err = p.readPassword(ctx)
		return text, isTerminal(p.in), err
	case a.passwordFile != "":
		text, err = firstLine(a.passwordFile)
		return text, false, err
	case text != "" && file != "":
		// One of them is old, and nobody knows which.
		return "", false, misuse("ICLOUD_APP_PASSWORD and ICLOUD_APP_PASSWORD_FILE are both set; unset one")
	case text != "":
		return text, false, nil
	case file != "":
		text, err = firstLine(file)
		return text, false, err
	}
	text, err = p.ask(ctx, passwordPrompt, true)
	if err != nil {
		return "", false, missing(err, "no password: set ICLOUD_APP_PASSWORD or ICLOUD_APP_PASSWORD_FILE, or use -password-file")
	}
	return text, true, nil
}

const passwordPrompt = "App-specific password (not shown): "

// firstLine reads a password from a file, in which notes may follow it.
func firstLine(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", misuse("the password file: " + err.Error())
	}
	defer file.Close()
	// Nobody's password is that long, but a device such as /dev/zero is.
	data, err := io.ReadAll(io.LimitReader(file, 1<<16))
	if err != nil {
		return "", misuse("the password file: " + err.Error())
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin with it
	line, _, _ := bytes.Cut(data, []byte("\n"))
	// What an editor leaves around it is nobody's password. One that does begin or
	// end with a blank fits into the environment.
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return "", misuse("the password file has no first line")
	}
	return string(line), nil
}

// readPassword reads the first line of the standard input, and leaves the rest. A
// person who is at the other end is asked as usual.
func (p *program) readPassword(ctx context.Context) (string, error) {
	if isTerminal(p.in) {
		return p.ask(ctx, passwordPrompt, true)
	}
	type answer struct {
		text string
		err  error
	}
	// A pipe may stay silent for ever, and the read cannot be interrupted.
	answers := make(chan answer, 1)
	go func() {
		text, err := readLine(p.in)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		text := strings.TrimSpace(strings.TrimPrefix(a.text, "\ufeff"))
		switch {
		case a.err != nil && !errors.Is(a.err, io.EOF):
			return "", misuse("-password-file -: " + a.err.Error())
		case text == "":
			return "", misuse("-password-file -: the standard input has no first line")
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// onICloud says whether an endpoint is iCloud's, where passwords have a form.
// icloud.New decides about the endpoint itself.
func onICloud(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return true // the cautious side
	}
	// The dot in front makes icloud.com itself one of them, and keeps
	// noticloud.com out.
	host := "." + strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return strings.HasSuffix(host, ".icloud.com") || strings.HasSuffix(host, ".icloud.com.cn")
}

// key names the account in a state folder, apart from the keys of package icloud.
func (a *account) key(what string) string {
	sum := sha256.Sum256([]byte("icloud-contacts " + what + "\x00" + a.endpoint + "\x00" + strings.ToLower(a.name)))
	return hex.EncodeToString(sum[:])
}

// errNoTerminal says that there is nobody to ask.
var errNoTerminal = errors.New("no terminal")

// missing turns "nobody to ask" into what to do about it.
func missing(err error, advice string) error {
	if errors.Is(err, errNoTerminal) {
		return misuse(advice)
	}
	return err
}

// ask prompts for a text on the terminal. A secret is not shown.
func (p *program) ask(ctx context.Context, prompt string, secret bool) (string, error) {
	// The prompt goes to the standard error, since the standard output may well be
	// the file that is being written; the answer comes from the standard input, and
	// only if that is a terminal: a pipe's first line is not meant as a password.
	file, isFile := p.in.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return "", errNoTerminal
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", errNoTerminal
	}
	fmt.Fprint(p.err, prompt)
	type answer struct {
		text string
		err  error
	}
	// The read cannot be interrupted. It has a goroutine, which ends with the process,
	// and a channel with room for an answer that nobody waits for any more.
	answers := make(chan answer, 1)
	go func() {
		if secret {
			text, err := term.ReadPassword(fd)
			answers <- answer{string(text), err}
			return
		}
		text, err := readLine(file)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		if secret {
			fmt.Fprintln(p.err) // the echo of return is not shown either
		}
		switch {
		case a.err != nil && !errors.Is(a.err, io.EOF):
			return "", fmt.Errorf("the terminal: %w", a.err)
		case strings.TrimSpace(a.text) == "":
			return "", misuse("nothing was entered")
		}
		return a.text, nil
	case <-ctx.Done():
		// The read goes on, and would leave a terminal without echo behind.
		_ = term.Restore(fd, before)
		fmt.Fprintln(p.err)
		return "", ctx.Err()
	}
}

// readLine reads a line and not a byte more: the next one is the password's.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case n > 0 && b[0] == '\n':
			return strings.TrimRight(string(line), "\r"), nil
		case n > 0 && len(line) < 1<<12:
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), err
		}
	}
}

// date is a flag: a day, or a moment.
type date struct{ time.Time }

// Set implements flag.Value.
func (d *date) Set(s string) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		t, err := time.Parse(layout, strings.TrimSpace(s))
		if err != nil {
			continue
		}
		// East of Greenwich, today begins before it does in UTC.
		now := time.Now()
		if t.After(now.Add(24 * time.Hour)) {
			return errors.New("lies in the future")
		}
		if t.After(now) {
			t = now
		}
		d.Time = t
		return nil
	}
	return errors.New("not a date such as 2026-01-31")
}

// String implements flag.Value.
func (d *date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// days is a flag: a duration that may be counted in days, or none (negative).
type days time.Duration

// Set implements flag.Value. time.ParseDuration knows no days, because some have
// 23 hours; lifetimes of passwords are not known as exactly as that.
func (d *days) Set(s string) error {
	if s == "none" {
		*d = -1
		return nil
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		count, err := strconv.Atoi(n)
		if err == nil && 0 < count && count < 100_000 {
			*d = days(count) * days(24*time.Hour)
			return nil
		}
	} else if t, err := time.ParseDuration(s); err == nil && t > 0 {
		*d = days(t)
		return nil
	}
	return errors.New("not a number of days such as 365d, nor none")
}

// String implements flag.Value.
func (d *days) String() string { return time.Duration(*d).String() }

// span is a flag: a duration of no less than zero. flag's own says "parse error",
// and takes negative ones.
type span time.Duration

// Set implements flag.Value.
func (s *span) Set(text string) error {
	t, err := parseSpan(text)
	*s = span(t)
	return err
}

// String implements flag.Value.
func (s *span) String() string { return time.Duration(*s).String() }

// parseSpan parses what is a time wherever this program wants one.
func parseSpan(text string) (time.Duration, error) {
	t, err := time.ParseDuration(text)
	if err != nil || t < 0 {
		return 0, errors.New("not a time such as 30s or 15m")
	}
	return t, nil
}
