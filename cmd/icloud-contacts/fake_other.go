//go:build !unix

package main

// background has nothing to do where there is no job control.
func background() {}
