//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// background lets a program that reads its terminal run behind a shell's "&":
// the read fails, where otherwise the program would be stopped.
func background() { signal.Ignore(syscall.SIGTTIN) }
