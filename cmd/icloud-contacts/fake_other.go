//go:build !unix

package main

// background does nothing, because there is no job control.
func background() {}
