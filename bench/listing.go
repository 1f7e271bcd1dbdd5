// Time, allocations and memory of a listing.

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A listingTask is one client and one book.
type listingTask struct {
	access
	Client string
	Cards  int
	Gzip   bool
	Budget time.Duration // how long to repeat, with at least three listings if they are not slow; negative: one listing
}

// A figure is what a listing costs.
type figure struct {
	Wall, CPU time.Duration // the median; the mean over the listings, of all cores
	Allocs    float64       // per listing
	Bytes     float64       // allocated, per listing
	Peak      int64         // resident memory in bytes after one listing, 0 if unknown
	Listings  int           // how many there were, the first one included
	Wire      int64         // bytes of the answer's body
}

// measureListing runs in the process of a case. The peak memory is that of the first
// listing, because the garbage of one listing adds to the memory of the next.
func measureListing(t listingTask) (f figure, err error) {
	ctx := context.Background()
	way, err := t.transport(t.Addr, t.Gzip)
	if err != nil {
		return f, err
	}
	list, err := t.lister(ctx, t.Client, way)
	if err != nil {
		return f, err
	}
	// The number is checked each time, because a listing that loses cards is fast.
	once := func() error {
		n, err := list(ctx)
		if err == nil && n >= 0 && n != t.Cards {
			err = fmt.Errorf("%d contacts, not %d", n, t.Cards)
		}
		return err
	}
	first, err := measure(once, func(walls []time.Duration) bool { return len(walls) == 1 })
	if err != nil {
		return f, err
	}
	first.Peak = peakMemory()
	if first.Wall > slow || t.Budget < 0 {
		return first, nil
	}
	end := time.Now().Add(t.Budget)
	f, err = measure(once, func(walls []time.Duration) bool {
		return time.Now().After(end) && (len(walls) >= 3 || first.Wall > t.Budget)
	})
	f.Peak = first.Peak
	f.Listings++
	return f, err
}

// slow is the time of a listing above which it is not repeated. In so slow a listing, the
// preparations of the first one do not matter.
const slow = 10 * time.Second

// measure calls once until enough returns true. The processor time and memory of all calls
// are divided by their number. The wall time is the median, so that a pause of the machine
// does not count.
func measure(once func() error, enough func(walls []time.Duration) bool) (f figure, err error) {
	var walls []time.Duration
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processorTime()
	for !enough(walls) || len(walls) == 0 {
		began := time.Now()
		if err := once(); err != nil {
			return f, err
		}
		walls = append(walls, time.Since(began))
	}
	n := len(walls)
	f.CPU = (processorTime() - used) / time.Duration(n)
	runtime.ReadMemStats(&after)
	f.Allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	f.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	slices.Sort(walls)
	f.Wall = walls[n/2]
	f.Listings = n
	return f, nil
}

// processorTime is how long this process has used processors. On a busy machine it says
// more than the wall time.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the peak of this process's resident memory. getrusage would also count the
// memory of its parent before this program was started.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not Linux
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kilobytes, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}

// A result is a figure of one case. results.json is a list of results.
type result struct {
	book
	Client string
	Gzip   bool
	figure
}

// listings measures all clients on the book of a server, without gzip and with it. Without
// gzip the times are those of the client, and with it the decompressor's are added.
func listings(s *server, budget time.Duration) ([]result, error) {
	var results []result
	for _, gzip := range []bool{false, true} {
		for _, client := range clients {
			if _, err := s.stats(); err != nil {
				return nil, err
			}
			f, err := run[figure]("listing", listingTask{s.access, client, s.book.Cards, gzip, budget})
			if err != nil {
				return nil, err
			}
			counted, err := s.stats()
			if err != nil {
				return nil, err
			}
			// The few bytes of discovery are counted too.
			f.Wire = counted.Bytes / int64(f.Listings)
			results = append(results, result{s.book, client, gzip, f})
		}
	}
	return results, nil
}

// gigabit is the speed of the line over which the peak memory is measured once more. Most
// servers are not on the client's machine, where they take its processors and send faster
// than any line. The garbage collector is late there, and the peak is higher.
const gigabit = 1_000_000_000 // bits a second

// peaks measures the peak memory of clients that stream, without gzip and over a line.
func peaks(s *server) ([]result, error) {
	over := s.access
	over.Bits = gigabit
	var results []result
	for _, client := range []string{ours, floor} {
		f, err := run[figure]("listing", listingTask{over, client, s.book.Cards, false, -1})
		if err != nil {
			return nil, err
		}
		results = append(results, result{s.book, client, false, f})
	}
	return results, nil
}
