// The account, from flags, the environment, a file or a prompt on the terminal; and its
// Client.

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

// flags defines the flags that all commands with an account share. None of them takes
// the password or the Apple ID, because arguments appear in lists of processes and in
// the histories of shells.
func (a *account) flags(f *flag.FlagSet) {
	f.StringVar(&a.endpoint, "endpoint", "", "`URL` of another CardDAV server")
	f.StringVar(&a.passwordFile, "password-file", "", "`FILE` whose first line is the password, or - for\n\tthe standard input")
	f.Var(&a.issued, "issued", "`DATE` when the password was made, for example\n\t2026-01-31")
	f.Var(&a.lifetime, "lifetime", "lifetime of the password in `DAYS`, for example 365d, or\n\tnone; by default a year on iCloud, and none elsewhere")
	a.dwell = span(15 * time.Minute)
	f.Var(&a.dwell, "dwell", "`TIME` that a refusal must last to be final; by\n\tdefault 15m; 0 makes the first refusal final")
	f.StringVar(&a.state, "state", "", "folder `DIR` that keeps what is remembered, or none; by\n\tdefault icloud-contacts in the user's state folder")
}

// connect returns a Client for the account. It sends nothing. Its errors are those of the
// user or of the machine and never of the server.
func (a *account) connect(ctx context.Context, p *program, onStatus func(context.Context, icloud.Status)) (*icloud.Client, error) {
	// A flag is typed now, and a variable was set earlier, so the flag has precedence.
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
	// The password comes last, so that nobody types it before another error.
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
		opts.Dwell = -1 // in the package, 0 means the default
	}
	if dir != "" {
		a.store = &folder{dir: icloud.DirStore(dir), warn: p.complain}
		opts.Store = a.store
	}
	a.cred, a.opts = icloud.Credential{AppleID: a.name, Password: password, Issued: a.issued.Time}, *opts
	client, err := icloud.New(a.cred, opts)
	if err != nil {
		// The package's errors have the names of its fields, which users do not know.
		words := strings.NewReplacer("icloud: ", "", "Options.Endpoint", "the endpoint",
			"Credential.AppleID", "the Apple ID", "Credential.Password", "the password")
		return nil, misuse(words.Replace(err.Error()))
	}
	return client, nil
}

// stranger returns another Client for the connected account. It remembers nothing, so it
// sends the requests that find the address book.
func (a *account) stranger() (*icloud.Client, error) {
	opts := a.opts
	opts.Store = nil
	return icloud.New(a.cred, &opts)
}

// open is connect for a command whose user waits for the result. It calls Authenticate
// first, so that a refusal of a password that has never worked is final at once instead
// of after fifteen minutes.
func (a *account) open(ctx context.Context, p *program) (*icloud.Client, error) {
	client, err := a.connect(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	return client, a.unremembered(client.Authenticate(ctx))
}

// folder returns the state folder, or "" for -state none.
func (a *account) folder(p *program) (string, error) {
	switch a.state {
	case "":
		return defaultFolder(runtime.GOOS, p.getenv)
	case "none":
		return "", nil
	}
	return a.state, nil
}

// unremembered turns a final refusal into a guess if nothing is remembered, because the
// password may have worked before.
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

// guess is a refusal in a run that remembers nothing. Such a run takes a password that
// worked a minute ago for one that has never worked, so the exit status is not dead.
type guess struct {
	error
	why string
}

// Error adds, in the same line, why the verdict is a guess.
func (e guess) Error() string {
	return explain(e.error) + "; " + e.why + ", so it is " + guesses
}

// Unwrap lets report find the verdict.
func (e guess) Unwrap() error { return e.error }

// guesses are the possible causes of a refusal if nothing is remembered.
const guesses = "a mistake, a revoked password or a passing fault"

// tries is how often a person is asked for a password of the right form.
const tries = 3

// password returns the password. If a person has typed one of the wrong form, it asks
// again.
func (a *account) password(ctx context.Context, p *program) (password icloud.Password, err error) {
	for try := 1; ; try++ {
		text, typed, err := a.passwordText(ctx, p)
		if err != nil {
			return password, err
		}
		// Passwords of other servers may have any form.
		if !onICloud(a.endpoint) {
			return icloud.UncheckedPassword(text), nil
		}
		// Otherwise it may be the account's own password, which must not be sent.
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
// now. A flag has precedence over the environment.
func (a *account) passwordText(ctx context.Context, p *program) (text string, typed bool, err error) {
	text = p.getenv("ICLOUD_APP_PASSWORD")
	file := p.getenv("ICLOUD_APP_PASSWORD_FILE")
	// An empty variable counts as not set, as users expect of
	// "ICLOUD_APP_PASSWORD= icloud-contacts list".
	switch {
	case a.passwordFile == "-":
		text, err = p.readPassword(ctx)
		return text, isTerminal(p.in), err
	case a.passwordFile != "":
		text, err = firstLine(a.passwordFile)
		return text, false, err
	case text != "" && file != "":
		// One of them is probably old, and it is not known which.
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

// firstLine reads a password from the first line of a file. The other lines may be notes.
func firstLine(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", misuse("the password file: " + err.Error())
	}
	defer file.Close()
	// No password is that long, but a device such as /dev/zero is.
	data, err := io.ReadAll(io.LimitReader(file, 1<<16))
	if err != nil {
		return "", misuse("the password file: " + err.Error())
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors write it first
	line, _, _ := bytes.Cut(data, []byte("\n"))
	// Editors may leave white space around the password. A password that begins or
	// ends with a blank can be given in the environment.
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return "", misuse("the password file has no first line")
	}
	return string(line), nil
}

// readPassword reads the first line of the standard input and nothing more. If the
// standard input is a terminal, it prompts.
func (p *program) readPassword(ctx context.Context) (string, error) {
	if isTerminal(p.in) {
		return p.ask(ctx, passwordPrompt, true)
	}
	type answer struct {
		text string
		err  error
	}
	// A pipe may never deliver anything, and the read cannot be interrupted.
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

// onICloud says whether an endpoint is iCloud's, where passwords have a fixed form.
// icloud.New checks the endpoint.
func onICloud(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return true // then the form of the password is checked, which is safe
	}
	// With the dot in front, icloud.com itself is accepted, and noticloud.com is not.
	host := "." + strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return strings.HasSuffix(host, ".icloud.com") || strings.HasSuffix(host, ".icloud.com.cn")
}

// key returns the key of the account's data for this program in a state folder. It differs
// from the keys of package icloud.
func (a *account) key(what string) string {
	sum := sha256.Sum256([]byte("icloud-contacts " + what + "\x00" + a.endpoint + "\x00" + strings.ToLower(a.name)))
	return hex.EncodeToString(sum[:])
}

// errNoTerminal says that there is nobody to ask.
var errNoTerminal = errors.New("no terminal")

// missing turns errNoTerminal into an error with advice, and returns other errors
// unchanged.
func missing(err error, advice string) error {
	if errors.Is(err, errNoTerminal) {
		return misuse(advice)
	}
	return err
}

// ask prompts for a text on the terminal. A secret is not shown.
func (p *program) ask(ctx context.Context, prompt string, secret bool) (string, error) {
	// The prompt goes to the standard error, because the standard output may be
	// redirected to a file. The answer is read from the standard input only if that is
	// a terminal, because the first line of a pipe is not meant as a password.
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
	// The read cannot be interrupted. So it runs in a goroutine, which may last until
	// the process ends. The buffer of the channel lets it end if nobody receives.
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
			fmt.Fprintln(p.err) // without echo, the return key does not begin a new line
		}
		switch {
		case a.err != nil && !errors.Is(a.err, io.EOF):
			return "", fmt.Errorf("the terminal: %w", a.err)
		case strings.TrimSpace(a.text) == "":
			return "", misuse("nothing was entered")
		}
		return a.text, nil
	case <-ctx.Done():
		// The read continues, so it does not turn the echo on again.
		_ = term.Restore(fd, before)
		fmt.Fprintln(p.err)
		return "", ctx.Err()
	}
}

// readLine reads a line and not a byte more, because the next line may be the password.
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

// date is a flag.Value: a day, or a time in the format of RFC 3339.
type date struct{ time.Time }

// Set implements flag.Value.
func (d *date) Set(s string) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		t, err := time.Parse(layout, strings.TrimSpace(s))
		if err != nil {
			continue
		}
		// East of Greenwich, a new day begins earlier than in UTC.
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

// days is a flag.Value: a duration that may be given in days, or "none" (negative).
type days time.Duration

// Set implements flag.Value. time.ParseDuration has no days, because some have 23 hours.
// The lifetimes of passwords are not known that exactly.
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

// span is a flag.Value: a duration that is not negative. flag.Duration accepts negative
// ones, and its error is only "parse error".
type span time.Duration

// Set implements flag.Value.
func (s *span) Set(text string) error {
	t, err := parseSpan(text)
	*s = span(t)
	return err
}

// String implements flag.Value.
func (s *span) String() string { return time.Duration(*s).String() }

// parseSpan parses a duration that is not negative.
func parseSpan(text string) (time.Duration, error) {
	t, err := time.ParseDuration(text)
	if err != nil || t < 0 {
		return 0, errors.New("not a time such as 30s or 15m")
	}
	return t, nil
}
