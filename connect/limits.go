// How often the page sends a password to iCloud: as often as a person who mistypes it
// needs, however many tabs, scripts or strangers submit the form.

package connect

import (
	"sync"
	"time"
)

const (
	window     = 15 * time.Minute
	perAccount = 10 // attempts within window, for one account of the service
	perAppleID = 30 // attempts within window, for one Apple ID, by all accounts together
)

// limits counts the attempts of the last window. Its zero value is ready.
type limits struct {
	mu    sync.Mutex // guards what follows
	asked map[string]*asked
	swept time.Time
}

// asked holds the attempts for one account or one Apple ID.
type asked struct {
	times []time.Time // within the window, oldest first
	until time.Time   // when the wait ends that iCloud has asked for; zero if it has not
}

// accountKey and appleKey keep an account and an Apple ID of the same text apart.
func accountKey(id string) string      { return "account " + id }
func appleKey(appleID string) string   { return "apple " + fold(appleID) }
func (a *asked) idle(t time.Time) bool { return len(a.times) == 0 && !t.Before(a.until) }

// drop removes the attempts that are older than the window.
func (a *asked) drop(now time.Time) {
	for len(a.times) > 0 && !now.Before(a.times[0].Add(window)) {
		a.times = a.times[1:]
	}
}

// wait returns how long it takes until another attempt is allowed, if most is the
// largest number of attempts within the window.
func (a *asked) wait(now time.Time, most int) time.Duration {
	if len(a.times) < most {
		return 0
	}
	return a.times[len(a.times)-most].Add(window).Sub(now)
}

// take counts one attempt of an account with an Apple ID. If no attempt is allowed
// now, nothing is counted and one of the results says how long to wait: held if iCloud
// has asked to wait, bounded if there were too many attempts.
func (l *limits) take(id, appleID string, now time.Time) (held, bounded time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	account, apple := l.of(accountKey(id), now), l.of(appleKey(appleID), now)
	if held := apple.until.Sub(now); held > 0 {
		return held, 0
	}
	if bounded := max(account.wait(now, perAccount), apple.wait(now, perAppleID)); bounded > 0 {
		return 0, bounded
	}
	account.times, apple.times = append(account.times, now), append(apple.times, now)
	return 0, 0
}

// hold allows no attempt with an Apple ID for the time that iCloud has asked to wait.
func (l *limits) hold(appleID string, wait time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := now.Add(wait); until.After(l.of(appleKey(appleID), now).until) {
		l.of(appleKey(appleID), now).until = until
	}
}

// forgive removes the attempts of an account after one of them has succeeded.
func (l *limits) forgive(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asked, accountKey(id))
}

// of returns the entry of key. l.mu is held.
func (l *limits) of(key string, now time.Time) *asked {
	a := l.asked[key]
	if a == nil {
		if l.asked == nil {
			l.asked = make(map[string]*asked)
		}
		a = new(asked)
		l.asked[key] = a
	}
	a.drop(now)
	return a
}

// sweep removes idle entries, at most once in a window. l.mu is held.
func (l *limits) sweep(now time.Time) {
	if now.Sub(l.swept) < window {
		return
	}
	l.swept = now
	for key, a := range l.asked {
		if a.drop(now); a.idle(now) {
			delete(l.asked, key)
		}
	}
}
