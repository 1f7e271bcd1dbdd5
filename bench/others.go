// Programs in other languages, as whole processes. Their time is what a person who starts
// one waits for. They are measured if they are installed.

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The names of the programs.
const (
	tsdav      = "tsdav"
	vdirsyncer = "vdirsyncer"
)

// errAbsent says that a program is not installed.
var errAbsent = errors.New("not installed")

// A program is one that gets the contacts of an account.
type program struct {
	name string

	// run returns the command to be measured, or errAbsent. dir is the
	// program's own, holds the server's certificate as ca.pem, and is removed
	// when the command has ended.
	run func(a access, dir string, cards int) (*exec.Cmd, error)
}

// programs begins with ours, with which the others are compared. It is the process of a
// case of the listings, so that the start of the process counts for all programs.
var programs = []program{{ours + " (process)", runOurs}, {tsdav, runTsdav}, {vdirsyncer, runVdirsyncer}}

// others measures the programs on the book of a server.
func others(s *server) ([]result, error) {
	var results []result
	for _, p := range programs {
		f, err := p.measure(s)
		if err == nil && f.Wall < 5*time.Second {
			// In the first run the server had to render its answers. In a
			// longer run this does not matter.
			f, err = p.measure(s)
		}
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", p.name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		results = append(results, result{s.book, p.name, true, f})
	}
	return results, nil
}

// measure runs the program once, from its start to its end. Processor time and
// memory are what the system has counted for the process and those it waited for.
func (p program) measure(s *server) (f figure, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(s.CA), 0o600); err != nil {
		return f, err
	}
	cmd, err := p.run(s.access, dir, s.book.Cards)
	if err != nil {
		return f, err
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if _, err := s.stats(); err != nil {
		return f, err
	}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return f, fmt.Errorf("%w: %s", err, said.Bytes())
	}
	f.Wall = time.Since(began)
	f.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.Peak = u.Maxrss << 10 // Linux counts in kilobytes
	}
	counted, err := s.stats()
	f.Wire = counted.Bytes
	return f, err
}

// runOurs starts this program to list once.
func runOurs(a access, _ string, cards int) (*exec.Cmd, error) {
	cmd, err := again("listing", listingTask{a, ours, cards, true, -1})
	if err == nil {
		cmd.Stderr = nil // measure has its own
	}
	return cmd, err
}

//go:embed tsdav.mjs
var tsdavScript []byte

// runTsdav starts tsdav, which "npm install" puts beside the sources.
func runTsdav(a access, dir string, cards int) (*exec.Cmd, error) {
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(modules, tsdav)); err != nil {
		return nil, errAbsent
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errAbsent
	}
	// Node looks for modules in the directories above the script's.
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		return nil, err
	}
	script := filepath.Join(dir, "tsdav.mjs")
	if err := os.WriteFile(script, tsdavScript, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(node, script, a.url(), a.AppleID, a.Password, fmt.Sprint(cards))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "ca.pem"))
	return cmd, nil
}

// runVdirsyncer starts vdirsyncer's first sync into files. Its discovery, which a
// user does once, is done here and not measured.
func runVdirsyncer(a access, dir string, _ int) (*exec.Cmd, error) {
	path, err := exec.LookPath(vdirsyncer)
	if err != nil {
		return nil, errAbsent
	}
	config := strings.NewReplacer("DIR", dir, "URL", a.url(), "USER", a.AppleID, "PASSWORD", a.Password).Replace(`
[general]
status_path = "DIR/status/"
[pair contacts]
a = "files"
b = "server"
collections = ["from b"]
conflict_resolution = "b wins"
[storage files]
type = "filesystem"
path = "DIR/files/"
fileext = ".vcf"
[storage server]
type = "carddav"
url = "URL/"
username = "USER"
password = "PASSWORD"
verify = "DIR/ca.pem"
`)
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	discover := exec.CommandContext(ctx, path, "-c", file, "discover")
	discover.Stdin = strings.NewReader(strings.Repeat("y\n", 10)) // shall it create the directories?
	if said, err := discover.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("discover: %w: %s", err, said)
	}
	return exec.Command(path, "-c", file, "sync"), nil
}
