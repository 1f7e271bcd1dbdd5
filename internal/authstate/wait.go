// When to try again: what the server has asked for, and what repeated failures
// advise.

package authstate

import "time"

const (
	// Apple's Retry-After is too short: a client that waits exactly that long is throttled
	// again. So the shortest wait grows from minWait to maxFloor.
	minWait  = 2 * time.Second
	maxFloor = 64 * time.Second

	// MaxWait bounds what a server may ask for.
	MaxWait = 24 * time.Hour

	// maxForbiddenWait bounds it where the status is 403, which also has other
	// meanings.
	maxForbiddenWait = time.Hour
)

// throttle is what the server has asked an account to wait. Its zero value
// withholds nothing. It is not saved. Its times keep their monotonic reading, so
// that a clock that is set back makes no wait longer.
type throttle struct {
	until  time.Time
	status int // of the answer that asked to wait
	times  int // in a row, without a success in between
}

// Throttled notes an answer that asks the account to wait, and returns for how
// long requests are withheld: at least for wait, and for longer where that is known
// to be too short.
func (s *State) Throttled(status int, wait time.Duration, now time.Time) time.Duration {
	t := &s.throttle
	if t.times == 0 || !now.Before(t.until) {
		// The answers to concurrent calls count once.
		t.times++
	}
	floor := maxFloor
	if t.times <= 5 { // 2, 4, 8, 16, 32, then 64 seconds
		floor = minWait << (t.times - 1)
	}
	most := MaxWait
	if status == 403 {
		most = maxForbiddenWait
	}
	wait = min(max(wait, floor), most)
	// A shorter wait does not cut a longer one short: they may come from
	// different hosts of one service.
	if until := now.Add(wait); until.After(t.until) {
		t.until, t.status = until, status
	}
	return wait
}

// Withheld says whether a request must not be sent at now: for how much longer, and
// the status of the answer that asked for it. left is 0 if it may be sent.
func (s *State) Withheld(now time.Time) (left time.Duration, status int) {
	return max(s.throttle.until.Sub(now), 0), s.throttle.status
}

const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// failures are calls in a row that have failed for a reason other than the
// password. They are not saved.
type failures struct {
	count int
	last  time.Time
}

// Failed notes that a call has failed for a reason that may pass. Calls side by side
// count once: a call counts if it began after the last one that counted had failed.
func (s *State) Failed(began, now time.Time) {
	f := &s.failures
	if f.last.IsZero() || stamp(began).After(f.last) {
		f.count, f.last = f.count+1, stamp(now)
	}
}

// Succeeded notes that a call has succeeded.
func (s *State) Succeeded() { s.failures.count = 0 }

// next returns when another call is worth making, zero if there was no failure.
func (f failures) next() time.Time {
	if f.count == 0 {
		return time.Time{}
	}
	wait := lastRetry
	if f.count <= 6 { // 1, 2, 4, 8, 16, 32, then 60 minutes
		wait = firstRetry << (f.count - 1)
	}
	return f.last.Add(wait)
}
