//go:build !linux

package realserver

import (
	"runtime"
	"testing"
)

// Start skips the test: the servers are Debian's.
func Start(tb testing.TB, name string) *Server {
	tb.Helper()
	Absent(tb, "%s cannot be started on %s", name, runtime.GOOS)
	return nil
}
