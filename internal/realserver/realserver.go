// Package realserver starts CardDAV servers that others wrote, for tests: Debian's
// Radicale, Cyrus, Xandikos, DAViCal and sabre/dav. What this module believes about the protocol is
// then not only what its own fake believes.
//
// Each server gets a folder of its own and free ports of the loopback interface,
// and ends with the test that started it. Where the programs are not installed
// the test is skipped; with ICLOUD_TEST_REQUIRE_SERVERS set, as in .ci/run, it
// fails instead, so that a run that tests nothing cannot look like one that
// passed.
//
// Left out, of those that other distributions have: Apple's calendarserver (needs
// Python 2), SOGo and Nextcloud (a groupware suite each), Baïkal (sabre/dav again).
package realserver

import (
	"os"
	"testing"
)

// Require is the environment variable that makes an absent program a failure.
const Require = "ICLOUD_TEST_REQUIRE_SERVERS"

// Names are the servers that Start knows.
var Names = []string{"radicale", "cyrus", "xandikos", "davical", "sabre"}

// A Server runs, and has one account with one empty address book.
type Server struct {
	// URL is where CardDAV begins: scheme, host, port and a slash.
	URL string

	// Book is the URL of the address book, for whoever puts cards there
	// without asking for the way.
	Book string

	User, Password string

	setPassword  func(string) error
	forgetTokens func() error
}

// SetPassword changes the account's password on the server, as its owner or an
// administrator would. User and Password stay as they were.
func (s *Server) SetPassword(tb testing.TB, password string) {
	tb.Helper()
	if err := s.setPassword(password); err != nil {
		tb.Fatal(err)
	}
}

// ForgetTokens makes the server forget the sync tokens that it has given out, as it
// does with old ones by itself. It returns false if that cannot be had: the server
// has no tokens, or keeps them for as long as the cards.
func (s *Server) ForgetTokens(tb testing.TB) bool {
	tb.Helper()
	if s.forgetTokens == nil {
		return false
	}
	if err := s.forgetTokens(); err != nil {
		tb.Fatal(err)
	}
	return true
}

// Absent ends a test for want of a program: skipped, or failed if the programs
// are required.
func Absent(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv(Require) != "" {
		tb.Fatalf(Require+" is set, but "+format, args...)
	}
	tb.Skipf(format, args...)
}
