// Icloud-contacts lists, exports and follows the contacts of an iCloud account,
// and says why its app-specific password stopped working.
//
//	go install github.com/go-icloud/icloud/cmd/icloud-contacts@latest
//
//	icloud-contacts demo      what a dead password looks like; no account needed
//	icloud-contacts check     is the password accepted, and until when
//	icloud-contacts list      the contacts in a table, or in full
//	icloud-contacts export    the contacts in a file: vcf, json or csv
//	icloud-contacts watch     what changes, a line each
//	icloud-contacts fake      a fake iCloud on a port of this machine
//	icloud-contacts completion  completion for bash, zsh or fish
//
// "icloud-contacts help" and "icloud-contacts help COMMAND" say more.
//
// # Account
//
// The account comes from the environment: ICLOUD_APPLE_ID is the account's
// primary e-mail address, ICLOUD_APP_PASSWORD its app-specific password, or
// ICLOUD_APP_PASSWORD_FILE the name of a file whose first line is the password.
// ICLOUD_APP_PASSWORD_ISSUED is the day when it was made, ICLOUD_APP_PASSWORD_LIFETIME
// for how long it lives. What is missing is asked for, if there is a terminal to ask on. Nothing secret
// is ever an argument, where every user of a machine could read it, and neither
// the password nor the account's name is ever printed.
//
// On iCloud, a text that does not have the form of an app-specific password is
// refused before anything is sent: it is most often the account's own.
// ICLOUD_ENDPOINT or -endpoint names another CardDAV server, where passwords may
// have any form. It must be https, or http on a loopback address.
//
// # Memory
//
// iCloud says that a password is refused, and never why. The reason follows from
// what is remembered: when the password was made (-issued), and when it worked.
// So a folder keeps what was learned, for all commands alike: a password that has
// worked before is told from one that never has, and a refusal is final only once
// it has lasted for -dwell. watch keeps there, too, how far it has come. The folder
// holds no password and no cards, but dates, URLs with the account's number and,
// for watch, names of contacts: it is personal data, and readable by its owner
// alone. It is icloud-contacts in XDG_STATE_HOME, else in ~/.local/state, on macOS
// in ~/Library/Application Support, on Windows in %LocalAppData%; -state names
// another, or none. To forget all accounts, delete it.
//
// # Output
//
// Results go to the standard output, errors to the standard error, one line each,
// those of watch with the time in front.
// The objects of -json, one a line, keep the names of their members in later
// versions; tables and texts are for people and may change. On a terminal a
// table is as wide as the terminal, colors are used unless NO_COLOR is set, and
// characters of a contact that would command the terminal are replaced. COLUMNS
// overrides the width. There, errors too are broken between words.
//
// # Exit status
//
//	0    done
//	1    something failed, or no contact matches; nothing was decided about the
//	     password
//	2    the password is dead: its owner must make a new one
//	64   the command line or the environment is wrong; nothing was sent
//	130  interrupted
//
// Where nothing is remembered (-state none), a refusal that may be a mistake, a
// revoked password or a passing fault is a 1. watch and fake are meant to end by an
// interruption, and exit with 0 then. "go run" turns every status but 0 into 1.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/go-icloud/icloud"
)

// The exit statuses. A script that may only tell a customer to reconnect if that
// is certain looks for dead alone. Those from 64 to 78 have had meanings since
// sendmail; 64 is the one for a wrong command line. 2, which many programs use for
// that, is taken here by what this program is for.
const (
	ok          = 0
	failed      = 1
	dead        = 2
	misused     = 64  // EX_USAGE of sysexits(3)
	interrupted = 130 // 128 and SIGINT, as shells have it
)

// main is the only place that knows of signals and of the process itself. A
// command sees no more of an interruption than that its context ends, so that
// whatever it has begun, a file half written for instance, it can undo.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is all that the commands know of the world, so that a test can give
// them another one.
type program struct {
	in        io.Reader
	out, err  io.Writer
	getenv    func(string) string
	transport http.RoundTripper // nil: the network
}

// command is one subcommand.
type command struct {
	name    string
	args    string // what follows the flags in the usage line
	summary string // one line of "help"
	about   string // what its own help says, between usage and flags
	example string // and after the flags

	// setup defines the flags and returns what to do once they are parsed.
	setup func(*flag.FlagSet) action
}

// action is what a command does with the arguments that are not flags.
type action func(ctx context.Context, p *program, args []string) error

// commands are in the order of "help": what needs no account comes first.
var commands = []*command{demoCommand, checkCommand, listCommand, exportCommand, watchCommand, fakeCommand}

// run runs the command that args name and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	// p itself stays as it is: report has to write to what the caller gave, and
	// a program in a test may run twice.
	inner := *p
	inner.out = output{p.out}
	return p.report(ctx, inner.dispatch(ctx, args))
}

// dispatch finds the command, parses its flags and calls it.
func (p *program) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return misuse("no command; \"icloud-contacts help\" lists them, \"icloud-contacts demo\" needs no account")
	}
	// "help X" and "X -h" are the same, and so is "-h" before anything else: people
	// try all three before they look anywhere.
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) == 0 || args[0] == "help" || args[0] == "version" {
			return p.help()
		}
		name, args = args[0], []string{"-h"}
	case "version", "-version", "--version":
		return p.version()
	}
	i := slices.IndexFunc(commands, func(c *command) bool { return c.name == name })
	if i < 0 {
		return misuse(noCommand(name))
	}
	// Each run has flags of its own, since what they set lives in the action.
	c := commands[i]
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // its usage message would drown the error
	act := c.setup(f)
	args, err := parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		return p.helpOn(c, f)
	}
	if err != nil {
		return misuse(err.Error() + "; see \"icloud-contacts help " + name + "\"")
	}
	if c.args == "" && len(args) > 0 {
		return misuse(name + " takes no arguments; see \"icloud-contacts help " + name + "\"")
	}
	return act(ctx, p, args)
}

// noCommand says what is wrong with a word where a command should be. A word is
// repeated if it looks like a command or a flag, and otherwise may be anything that
// was pasted, a password for one.
func noCommand(word string) string {
	const list = "; \"icloud-contacts help\" lists them"
	flagName, _, _ := strings.Cut(word, "=")
	bare := strings.TrimLeft(flagName, "-")
	if len(bare) > 12 || strings.Trim(bare, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "no such command" + list
	}
	if strings.HasPrefix(word, "-") {
		return flagName + ": flags come after the command" + list
	}
	return fmt.Sprintf("no such command: %q", bare) + list
}

// parse parses flags wherever they stand, so that "list ada -json" is what it
// looks like, and returns the other arguments. "--" ends the flags.
func parse(f *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		parsed := len(args) - f.NArg()
		if parsed > 0 && args[parsed-1] == "--" {
			return append(rest, f.Args()...), nil
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

// misuse is an error about the command line or the environment.
type misuse string

// Error returns the text, which says what to do instead, and repeats nothing
// that was typed unless it cannot be a secret.
func (e misuse) Error() string { return string(e) }

// told is an error whose text has been printed already, by a command that has
// made it its result.
type told struct{ error }

// Unwrap lets report find the verdict, and so the exit status.
func (e told) Unwrap() error { return e.error }

// output marks what failed in writing the results, which is not to be mistaken
// for the same failure on the way to the server: watch survives only that.
type output struct{ io.Writer }

// outputError is a failure to write the results.
type outputError struct{ error }

// Unwrap returns the system's error.
func (e outputError) Unwrap() error { return e.error }

// Write implements io.Writer.
func (o output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil {
		err = outputError{err}
	}
	return n, err
}

// report prints err, in one line, and returns the exit status that it stands for.
// A standard output that nobody reads any more does not come here: the Go runtime
// ends the process by SIGPIPE, as a pipeline expects, even if a parent has had
// that ignored.
// The errors of package icloud contain no account, no password and no URL.
func (p *program) report(ctx context.Context, err error) int {
	if err == nil {
		return ok
	}
	auth, refused := errors.AsType[*icloud.AuthError](err)
	_, guessed := errors.AsType[guess](err)
	confirmed := refused && auth.Confirmed && !guessed
	_, spoken := errors.AsType[told](err)
	switch {
	// Only if the interruption is also why it failed: an error that came before it
	// deserves its line.
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return interrupted
	case !spoken:
		p.complain(explain(err))
		p.advise(err)
	}
	// Death goes before everything else that may be joined with it, such as a state
	// folder that could not be written.
	switch _, usage := errors.AsType[misuse](err); {
	case confirmed:
		return dead
	case usage:
		return misused
	}
	return failed
}

// complain prints what has failed: in one line, but on a terminal broken between
// words.
func (p *program) complain(text string) {
	line := "icloud-contacts: " + text + "\n"
	if isTerminal(p.err) {
		line = wrapRest("icloud-contacts: ", text, "  ", p.width(p.err, 80))
	}
	fmt.Fprint(p.err, line)
}

// advise tells a person what to do about a password that is dead. A log has the
// line above it.
func (p *program) advise(err error) {
	if auth, ok := errors.AsType[*icloud.AuthError](err); ok && auth.Confirmed && isTerminal(p.err) {
		fmt.Fprint(p.err, wrap(auth.Remedy(), "  ", p.width(p.err, 80)))
	}
}

// environment is the end of "help" and is not repeated in each command's own.
const environment = `Environment:
  ICLOUD_APPLE_ID               the account's primary e-mail address
  ICLOUD_APP_PASSWORD           its app-specific password
  ICLOUD_APP_PASSWORD_FILE      a file whose first line is the password
  ICLOUD_APP_PASSWORD_ISSUED    when the password was generated, as 2026-01-31
  ICLOUD_APP_PASSWORD_LIFETIME  how long the password lives: 365d, or none
  ICLOUD_ENDPOINT               the URL of another CardDAV server
  XDG_STATE_HOME                the folder in which the state folder is
  COLUMNS                       the width of tables and texts, instead of the
                                terminal's width
  NO_COLOR                      no colors if this is not empty

On a terminal, the program asks for the Apple ID and the password if they are
not set. A flag has precedence over its variable. A password is never an
argument, because every user of a machine can see the arguments of programs.

The state folder keeps what the program learns, so that it can tell a passing
fault from a password that has never worked: dates, URLs with the account's
number, a salted hash of the password, and for watch the names of contacts.
This is personal data, and only its owner can read it. By default the folder is
icloud-contacts in XDG_STATE_HOME, else in ~/.local/state, on macOS in
~/Library/Application Support, on Windows in %LocalAppData%. Use -state DIR for
another folder, or -state none for no folder.

Exit status:
  0    success
  1    something failed, or no contact matches; nothing was decided about
       the password
  2    the password is dead: its owner must make a new one
  64   the command line or the environment is wrong; nothing was sent
  130  interrupted; but watch, fake and demo -web then end with 0

"go run" turns every exit status but 0 into 1; an installed program does not.
`

// help prints what there is.
func (p *program) help() error {
	var b strings.Builder
	b.WriteString("icloud-contacts lists, exports and follows the contacts of an iCloud account,\n" +
		"and says why its app-specific password stopped working.\n\nCommands:\n")
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(w, "  %s\t%s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  help COMMAND\tthe flags of COMMAND, with examples\n")
	fmt.Fprintf(w, "  version\tthe version of this program\n")
	_ = w.Flush() // a strings.Builder does not fail
	b.WriteString("\n" + environment)
	_, err := io.WriteString(p.out, reflow(b.String(), p.width(p.out, 80)))
	return err
}

// helpOn prints what there is to know about one command.
func (p *program) helpOn(c *command, f *flag.FlagSet) error {
	var b strings.Builder
	var flags strings.Builder
	w := tabwriter.NewWriter(&flags, 0, 0, 3, ' ', 0)
	// flag.PrintDefaults takes two lines for each flag, and shows defaults that are
	// the zero value of another package's Options.
	f.VisitAll(func(g *flag.Flag) {
		value, usage := flag.UnquoteUsage(g)
		fmt.Fprintf(w, "  -%s\t%s\n", strings.TrimSpace(g.Name+" "+value), usage)
	})
	_ = w.Flush()
	usage := "usage: icloud-contacts " + c.name
	if flags.Len() > 0 {
		usage += " [flags]"
	}
	if c.args != "" {
		usage += " " + c.args
	}
	fmt.Fprintf(&b, "%s\n\n%s\n", usage, strings.TrimSpace(c.about))
	if flags.Len() > 0 {
		fmt.Fprintf(&b, "\nFlags:\n%s", flags.String())
	}
	fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.Trim(c.example, "\n"))
	// demo and fake have no account, and no use for the environment.
	if f.Lookup("endpoint") != nil {
		b.WriteString("\n\"icloud-contacts help\" explains the environment and the exit statuses.\n")
	}
	_, err := io.WriteString(p.out, reflow(b.String(), p.width(p.out, 80)))
	return err
}

// version prints what "go install" has built.
func (p *program) version() error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
	}
	_, err := fmt.Fprintln(p.out, "icloud-contacts", version)
	return err
}
