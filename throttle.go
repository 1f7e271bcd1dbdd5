// When iCloud asks an account to wait (503 or 429 with Retry-After), this
// remembers until when, so that a call before then costs nothing and harms
// nothing.

package icloud

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// Apple's own figure is known to be too short: obeying it exactly trips
	// the throttle again. Ours grows from minWait to maxFloor.
	minWait  = 2 * time.Second
	maxFloor = 64 * time.Second

	// maxWait bounds what a server may ask for.
	maxWait = 24 * time.Hour
)

// throttle is one account's. Its zero value withholds nothing. It is guarded
// by Client.mu, and forgotten by a restart.
type throttle struct {
	until  time.Time
	status int // that asked to wait
	times  int // in a row, without a success
}

// note remembers an answer, if it asks to wait, and returns for how long to.
func (t *throttle) note(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	wait, ok := retryAfter(resp.Header.Get("Retry-After"), now)
	// Without a Retry-After nothing is withheld: the caller's own schedule
	// is as good a guess as ours.
	if !ok {
		return 0
	}
	if t.times == 0 || !now.Before(t.until) {
		// Not one more of the answers to calls that ran side by side.
		t.times++
	}
	floor := maxFloor
	if t.times <= 5 { // 2, 4, 8, 16, 32, then 64 seconds
		floor = minWait << (t.times - 1)
	}
	wait = min(max(wait, floor), maxWait)
	// A shorter wait does not cut a longer one short: they may come from
	// different hosts of one service.
	if until := now.Add(wait); until.After(t.until) {
		t.until, t.status = until, resp.StatusCode
	}
	return wait
}

// succeeded starts the floor again. A wait that was asked for stands.
func (t *throttle) succeeded() { t.times = 0 }

// withheld returns the error of a request that must not be sent at now, or nil.
func (t *throttle) withheld(method string, now time.Time) error {
	left := t.until.Sub(now)
	// Both times have a monotonic reading: a clock that is set back in between
	// makes the wait no longer.
	if left <= 0 {
		return nil
	}
	return &ResponseError{Method: method, StatusCode: t.status, RetryAfter: left, Withheld: true}
}

// retryAfter parses a Retry-After header (RFC 9110, section 10.2.3): seconds, or
// a date, of which one in the past means now. It is not ok if there is none, or
// none that can be read.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header != "" && strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		// More digits than an int64 holds are a long time, not an error.
		if err != nil || seconds > int64(maxWait/time.Second) {
			return maxWait, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(date.Sub(now), 0), maxWait), true
}
