// Package realserver starts CardDAV servers that others wrote, for tests: Debian's
// Radicale, Cyrus and Xandikos. What this module believes about the protocol is
// then not only what its own fake believes.
//
// Each server gets a folder of its own and free ports of the loopback interface,
// and ends with the test that started it. Where the programs are not installed
// the test is skipped; with ICLOUD_TEST_REQUIRE_SERVERS set, as in .ci/run, it
// fails instead, so that a run that tests nothing cannot look like one that
// passed.
package realserver

import (
	"os"
	"testing"
)

// Require is the environment variable that makes an absent program a failure.
const Require = "ICLOUD_TEST_REQUIRE_SERVERS"

// Names are the servers that Start knows.
var Names = []string{"radicale", "cyrus", "xandikos"}

// A Server runs, and has one account with one empty address book.
type Server struct {
	// URL is where CardDAV begins: scheme, host, port and a slash.
	URL string

	// Book is the URL of the address book, for whoever puts cards there
	// without asking for the way.
	Book string

	User, Password string
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
