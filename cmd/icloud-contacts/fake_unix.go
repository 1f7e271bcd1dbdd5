//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// background lets a program that reads from its terminal run in a shell's background ("&").
// The read fails then; otherwise it would stop the program.
func background() { signal.Ignore(syscall.SIGTTIN) }
