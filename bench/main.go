// Bench compares this package with what a program would use in its place, side by
// side in one run: go-webdav, tsdav and vdirsyncer where they are installed, and
// the floor, which is reading the same bytes into [io.Discard].
//
//	go -C bench run .
//
// It prints tables and writes them to results.md. It writes the figures to results.json,
// from which draw makes the chart results.svg. At the end it prints the rows of the
// README's table. An idle machine takes some minutes. On a busy one the ratios are right
// too, if its load is even.
//
// All clients talk to one server on the loopback, by TLS and HTTP/2. The server is
// icloudtest, which keeps its answers in memory. Each case and the server have a process
// of their own, so that time, allocations and peak memory are the client's alone.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// bookSizes are the sizes of the books that are listed.
var bookSizes = []int{1_000, 10_000, 50_000}

func main() {
	if asked(os.Args) {
		return
	}
	var c comparison
	flag.StringVar(&c.dir, "out", ".", "the `directory` for the results")
	flag.DurationVar(&c.budget, "budget", 2*time.Second, "how long to repeat each listing")
	flag.IntVar(&c.most, "most", slices.Max(bookSizes), "leave out books of more cards")
	flag.BoolVar(&c.alone, "alone", false, "leave out the programs that are not written in Go")
	flag.IntVar(&c.accounts, "accounts", 1_000, "how many accounts at once")
	flag.IntVar(&c.idle, "idle", 10_000, "how many idle Clients")
	flag.Parse()
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A comparison is one run.
type comparison struct {
	// What the flags say.
	dir            string
	budget         time.Duration
	most           int
	alone          bool
	accounts, idle int

	// What has been measured, for the chart. Each table is written as soon as it is
	// complete, so that the results of a run that is broken off are kept.
	listings, peaks, programs []result
	out                       io.Writer // standard output, and results.md
}

// run does all parts, one after the other: two at once would measure each other.
func (c *comparison) run() error {
	file, err := os.Create(filepath.Join(c.dir, "results.md"))
	if err != nil {
		return err
	}
	c.out = io.MultiWriter(os.Stdout, file)
	fmt.Fprintf(c.out, "%s, %s/%s, %d processors\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, part := range []func() error{c.list, c.travel, c.crowd} {
		if err := part(); err != nil {
			_ = file.Close()
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := c.draw(); err != nil {
		return err
	}
	return readmeRows(c.listings, os.Stdout)
}

// draw writes the figures to results.json and starts the program that draws the chart. It
// is a separate program because the processes of the cases run this one, whose size
// counts as part of theirs.
func (c *comparison) draw() error {
	text, err := json.MarshalIndent(append(c.listings, c.programs...), "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("go", "run", "./draw", "-dir", c.dir)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// list lists books of all sizes and kinds.
func (c *comparison) list() error {
	for _, kind := range []kind{photos, uris, bare} {
		for _, n := range bookSizes {
			if n > c.most {
				continue
			}
			if err := c.listBook(book{n, kind}); err != nil {
				return err
			}
		}
	}
	if err := listingTable(c.listings).write(c.out); err != nil {
		return err
	}
	if err := peakTable(c.peaks).write(c.out); err != nil {
		return err
	}
	return processTable(c.programs).write(c.out)
}

func (c *comparison) listBook(b book) error {
	fmt.Fprintln(os.Stderr, "bench: listing", b)
	s, err := start(b)
	if err != nil {
		return err
	}
	defer s.stop()
	results, err := listings(s, c.budget)
	if err != nil {
		return err
	}
	c.listings = append(c.listings, results...)
	results, err = peaks(s)
	if err != nil {
		return err
	}
	c.peaks = append(c.peaks, results...)
	if c.alone || b.Cards > 10_000 || b.Kind == uris {
		return nil // the other programs would take too long
	}
	results, err = others(s)
	c.programs = append(c.programs, results...)
	return err
}

// travel does what programs do over a slow line. The photos are URIs there, as
// iCloud's are: with photos in the cards the line alone would decide.
func (c *comparison) travel() error {
	for _, n := range []int{1_000, 10_000} {
		if n > c.most {
			continue
		}
		b := book{n, uris}
		fmt.Fprintln(os.Stderr, "bench: over a slow line:", b)
		s, err := start(b)
		if err != nil {
			return err
		}
		all, err := journeys(s)
		s.stop()
		if err != nil {
			return err
		}
		if err := tripTable(b, all).write(c.out); err != nil {
			return err
		}
	}
	return nil
}

// crowd is many accounts in one process.
func (c *comparison) crowd() error {
	b := book{100, uris}
	fmt.Fprintln(os.Stderr, "bench: many accounts")
	s, err := start(b)
	if err != nil {
		return err
	}
	defer s.stop()
	// More at once than there are processors, as in a service that mostly waits for the
	// network, and so few that queues do not decide the result.
	task := accountsTask{access: s.access, Accounts: c.accounts, Cards: b.Cards, AtOnce: 32}
	of := make(map[string]figure)
	for _, task.Client = range clients {
		if of[task.Client], err = run[figure]("accounts", task); err != nil {
			return err
		}
	}
	many := task
	many.Client, many.Accounts = ours, c.idle
	idle, err := run[int64]("idle", many)
	if err != nil {
		return err
	}
	return accountsTable(task, of, idle, c.idle).write(c.out)
}
