// Icloud-contacts lists, exports and follows the contacts of an iCloud account,
// and says why its app-specific password stopped working.
//
//	go install github.com/go-icloud/icloud/cmd/icloud-contacts@latest
//
//	icloud-contacts demo        what happens when a password dies; no account needed
//	icloud-contacts check       whether the password is accepted, and until when
//	icloud-contacts list        the contacts in a table, in full, or as JSON
//	icloud-contacts export      the contacts in a file: vcf, json or csv
//	icloud-contacts watch       the changes, one line each
//	icloud-contacts fake        a fake iCloud on a port of this machine
//	icloud-contacts completion  completion for bash, zsh or fish
//
// See "icloud-contacts help" and "icloud-contacts help COMMAND" for more.
//
// # Account
//
// The account comes from the environment. ICLOUD_APPLE_ID is the account's primary
// e-mail address. ICLOUD_APP_PASSWORD is its app-specific password, or
// ICLOUD_APP_PASSWORD_FILE names a file whose first line is the password.
// ICLOUD_APP_PASSWORD_ISSUED is the day when the password was generated, and
// ICLOUD_APP_PASSWORD_LIFETIME says how long it lives. On a terminal, the program asks
// for the Apple ID and the password if they are not set. The password is never an
// argument, because every user of a machine can see the arguments of programs. Neither
// the password nor the account's name is ever printed.
//
// On iCloud, a text that does not have the form of an app-specific password is
// refused before anything is sent, because it is most often the account's own password.
// ICLOUD_ENDPOINT or -endpoint names another CardDAV server, where passwords may
// have any form. It must be https, or http on a loopback address.
//
// # Memory
//
// iCloud says that a password is refused, and never why. The reason follows from
// what is remembered: when the password was generated (-issued), and when it worked.
// So all commands keep what they learn in a folder. With it they can tell a password
// that has worked before from one that never has, and a refusal is final only once it
// has lasted for -dwell. watch also keeps there how far it has come.
//
// The folder contains dates, URLs with the account's number, a salted hash of the
// password and, for watch, the names of contacts. It does not contain the password or
// the cards. It is personal data, and only its owner can read it. By default it is
// icloud-contacts in XDG_STATE_HOME, else in ~/.local/state, on macOS in
// ~/Library/Application Support, on Windows in %LocalAppData%. -state names another
// folder, or none. To forget all accounts, delete the folder.
//
// # Output
//
// Results go to the standard output, and errors to the standard error, one line for each.
// The errors of watch begin with the time. With -json there is one object in each line;
// later versions keep the names of its members. Tables and texts are for people and may
// change.
//
// On a terminal, a table is as wide as the terminal or as COLUMNS says, and errors are
// broken between words. Colors are used unless NO_COLOR is set. Characters of a contact
// that would control the terminal are replaced.
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
// With -state none nothing is remembered. Then the status for a refusal of a password that
// may have worked before is 1 and not 2. If watch or fake is interrupted, the status is 0.
// "go run" turns every status but 0 into 1.
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

// The exit statuses. A script tells a customer to reconnect only if the status is dead.
// Many programs use 2 for a wrong command line. Here that is 64, as in sysexits(3), because
// a dead password is what this program is for.
const (
	ok          = 0
	failed      = 1
	dead        = 2
	misused     = 64  // EX_USAGE
	interrupted = 130 // 128 and SIGINT, as in shells
)

// main is the only function that uses signals and the process itself. At an interruption the
// context of the command ends, so that the command can undo what it has begun, for example
// remove a file that is not complete.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is the environment of the commands, which tests replace.
type program struct {
	in        io.Reader
	out, err  io.Writer
	getenv    func(string) string
	transport http.RoundTripper // nil means the network
}

// command is one subcommand.
type command struct {
	name    string
	args    string // what follows the flags in the usage line
	summary string // one line of "help"
	about   string // the text of its help between usage and flags
	example string // the examples after the flags

	// setup defines the flags and returns what to do once they are parsed.
	setup func(*flag.FlagSet) action
}

// action is what a command does with the arguments that are not flags.
type action func(ctx context.Context, p *program, args []string) error

// commands are in the order of "help".
var commands = []*command{demoCommand, checkCommand, listCommand, exportCommand, watchCommand, fakeCommand}

// run runs the command that args name and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	// p itself is not changed: report writes to its outputs, and a test may run p twice.
	inner := *p
	inner.out = output{p.out}
	return p.report(ctx, inner.dispatch(ctx, args))
}

// dispatch finds the command, parses its flags and calls it.
func (p *program) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return misuse("no command; \"icloud-contacts help\" lists them, \"icloud-contacts demo\" needs no account")
	}
	// "help X", "X -h" and "-h X" are the same, because people try all three.
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
	// Each run has its own flags, because these set variables of the action.
	c := commands[i]
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // its usage message is longer than the error
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

// noCommand says what is wrong with a word where a command should be. It repeats the word
// only if it looks like a command or a flag, because it may be a password that was pasted.
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

// parse parses flags, also after arguments, as in "list ada -json", and returns the
// arguments. "--" ends the flags.
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

// Error returns the text, which says what to do instead. It does not repeat input that may
// be a secret.
func (e misuse) Error() string { return string(e) }

// told is an error that the command has already printed as its result.
type told struct{ error }

// Unwrap lets report find the verdict, and so the exit status.
func (e told) Unwrap() error { return e.error }

// output turns the errors of writing results into outputErrors, because watch ends at these
// and not at the same errors of the network.
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

// report prints err in one line, and returns its exit status. If nobody reads the standard
// output any more, report is not called: the Go runtime ends the process by SIGPIPE, as a
// pipeline expects.
func (p *program) report(ctx context.Context, err error) int {
	if err == nil {
		return ok
	}
	auth, refused := errors.AsType[*icloud.AuthError](err)
	_, guessed := errors.AsType[guess](err)
	confirmed := refused && auth.Confirmed && !guessed
	_, spoken := errors.AsType[told](err)
	switch {
	// Another error that came before the interruption is printed.
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return interrupted
	case !spoken:
		p.complain(explain(err))
		p.advise(err)
	}
	// A dead password has precedence over errors that are joined with it, such as that
	// of a state folder that could not be written.
	switch _, usage := errors.AsType[misuse](err); {
	case confirmed:
		return dead
	case usage:
		return misused
	}
	return failed
}

// complain prints an error in one line, which is broken between words on a terminal.
func (p *program) complain(text string) {
	line := "icloud-contacts: " + text + "\n"
	if isTerminal(p.err) {
		line = wrapRest("icloud-contacts: ", text, "  ", p.width(p.err, 80))
	}
	fmt.Fprint(p.err, line)
}

// advise prints the remedy for a dead password on a terminal. Logs have only the error
// itself.
func (p *program) advise(err error) {
	if auth, ok := errors.AsType[*icloud.AuthError](err); ok && auth.Confirmed && isTerminal(p.err) {
		fmt.Fprint(p.err, wrap(auth.Remedy(), "  ", p.width(p.err, 80)))
	}
}

// environment is the end of "help". The help of a command refers to it.
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

// help prints the commands and the environment.
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

// helpOn prints the help of one command.
func (p *program) helpOn(c *command, f *flag.FlagSet) error {
	var b strings.Builder
	var flags strings.Builder
	w := tabwriter.NewWriter(&flags, 0, 0, 3, ' ', 0)
	// flag.PrintDefaults takes two lines for each flag, and shows defaults that mean
	// nothing to users.
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
	// Commands without an account do not use the environment.
	if f.Lookup("endpoint") != nil {
		b.WriteString("\n\"icloud-contacts help\" explains the environment and the exit statuses.\n")
	}
	_, err := io.WriteString(p.out, reflow(b.String(), p.width(p.out, 80)))
	return err
}

// version prints the version with which "go install" has built the program.
func (p *program) version() error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
	}
	_, err := fmt.Fprintln(p.out, "icloud-contacts", version)
	return err
}
