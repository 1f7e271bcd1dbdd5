package authstate_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

var lifetimeAccounts = flag.Int("lifetime.accounts", 150, "accounts in each world of TestLifetimeWorlds")

var lifetimeRestart = flag.Int("lifetime.restart", 20, "days between the restarts in TestLifetimeWorlds")

// world says how passwords die, and what a service records.
type world struct {
	name       string
	mortal     float64 // the part of the passwords that expire, a year after their issue
	imported   bool    // the service begins with accounts that are up to 330 days old
	restarts   bool    // its processes are restarted every -lifetime.restart days
	firstIssue bool    // it keeps an account's first date of issue when the password is renewed
	noFleet    bool    // its Clients share no Fleet
}

// customer is an account of a simulated service.
type customer struct {
	a        *account
	password int
	issued   time.Time
	first    time.Time // when the first password was issued
	dies     time.Time // when the password expires; zero if never
	revoked  time.Time
	back     time.Time // when the owner reconnects; zero while the password works
	warned   time.Time
}

// outcome has the results for the passwords of a world.
type outcome struct {
	died, unwarned int // expired passwords, and those whose owners were not warned a week before
	told, right    int // verdicts, and those with the true reason
	since          time.Time
	early, late    int // warnings about passwords that do not expire, before and after since
	customers      int
}

// simulate simulates three and a half years of a service, day by day.
func simulate(t *testing.T, w world, seed uint64) outcome {
	rng := rand.New(rand.NewPCG(seed, 7))
	var lifetimes authstate.Lifetimes
	var out outcome
	now := noon
	issue := func(c *customer) {
		c.password++
		c.issued = now
		if c.first.IsZero() {
			if w.imported {
				c.issued = now.Add(-time.Duration(rng.IntN(330)) * day)
			}
			c.first = c.issued
		}
		c.dies, c.warned, c.back = time.Time{}, time.Time{}, time.Time{}
		if rng.Float64() < w.mortal {
			c.dies = c.issued.Add(year)
		}
		// One password in eight is revoked within a year.
		c.revoked = now.Add(time.Duration(rng.ExpFloat64() * float64(8*year)))
	}
	claims := func(c *customer) authstate.Claims {
		if w.firstIssue {
			return authstate.Claims{Issued: c.first}
		}
		return authstate.Claims{Issued: c.issued}
	}
	hash := func(c *customer) authstate.Hash { return hashOf(fmt.Sprint("password ", c.password)) }

	all := make([]*customer, *lifetimeAccounts)
	starts := make([]time.Time, len(all))
	for i := range all {
		starts[i] = noon.Add(time.Duration(rng.IntN(400)) * day)
		if w.imported {
			starts[i] = noon
		}
	}
	for today := range 3*365 + 180 {
		now = now.Add(day)
		for i, c := range all {
			if now.Before(starts[i]) {
				continue
			}
			if c == nil {
				c = &customer{a: &account{t: t}}
				all[i] = c
				issue(c)
				c.a.s = authstate.New(rules, hash(c), claims(c))
				c.a.s.Merge(&authstate.Record{}, now, false)
				out.customers++
			}
			a := c.a
			a.now = now
			if w.restarts && today%*lifetimeRestart == 0 {
				a.save(nil, true)
				a.s = authstate.New(rules, hash(c), claims(c))
				a.load(false)
			}
			a.s.NoEnd(!w.noFleet && lifetimes.NoEnd())
			if out.since.IsZero() && lifetimes.NoEnd() {
				out.since = now
			}
			if !c.back.IsZero() {
				if now.Before(c.back) {
					continue
				}
				issue(c)
				a.s.Replace(a.s.Candidate(hash(c), claims(c), now), now)
			}
			aged := !c.dies.IsZero() && !now.Before(c.dies)
			if !aged && now.Before(c.revoked) {
				a.s.Accepted(a.s.Current(), a.s.Sent(), now)
				a.s.Crossings(lifetimes.Note)
			} else {
				a.refuse(authstate.Unattended, false)
				a.now = now.Add(16 * minute)
				v := a.refuse(authstate.Unattended, false)
				byAge := aged && !c.revoked.Before(c.dies)
				out.told++
				if byAge == (v.Reason == authstate.Expired) {
					out.right++
				}
				if byAge {
					out.died++
					if c.warned.IsZero() || c.dies.Sub(c.warned) < 7*day {
						out.unwarned++
					}
				}
				c.back = now.Add(time.Duration(1+rng.IntN(10)) * day)
			}
			if a.s.Status(now, false).Phase == authstate.Expiring && c.warned.IsZero() {
				c.warned = now
				switch {
				case !c.dies.IsZero():
				case out.since.IsZero():
					out.early++
				default:
					out.late++
				}
			}
		}
	}
	return out
}

// TestLifetimeWorlds: what a Fleet's evidence of the lifetime achieves if passwords live for a
// year, for ever, or some of each.
func TestLifetimeWorlds(t *testing.T) {
	t.Parallel()
	for i, w := range []world{
		{name: "a year", mortal: 1},
		{name: "a year, restarted", mortal: 1, restarts: true},
		{name: "a year, imported", mortal: 1, imported: true},
		{name: "a year, first issue kept", mortal: 1, firstIssue: true},
		{name: "for ever", mortal: 0},
		{name: "for ever, restarted", mortal: 0, restarts: true},
		{name: "for ever, imported", mortal: 0, imported: true},
		{name: "half", mortal: 0.5},
		{name: "one in five", mortal: 0.2},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			got := simulate(t, w, uint64(i))
			w.noFleet = true
			alone := simulate(t, w, uint64(i))
			t.Logf("%d customers: %d of %d reasons right (%.1f %%, without a Fleet %.1f %%); %d of %d who died of age were not warned; "+
				"warned for nothing %d, then %d (without a Fleet %d)", got.customers, got.right, got.told, 100*float64(got.right)/float64(got.told),
				100*float64(alone.right)/float64(alone.told), got.unwarned, got.died, got.early, got.late, alone.early+alone.late)
			if w.mortal > 0 {
				if !got.since.IsZero() {
					t.Errorf("no longer believed in from day %v on", got.since.Sub(noon)/day)
				}
				if got != withoutSince(alone) {
					t.Errorf("got %+v, without a Fleet %+v; want no difference", got, alone)
				}
				if got.died < got.customers/10 {
					t.Errorf("only %d have died of age: the world is not what it is to be", got.died)
				}
			}
			if w.mortal == 1 && !w.firstIssue {
				if got.unwarned != 0 || float64(got.right) < 0.98*float64(got.told) {
					t.Errorf("got %d unwarned, %d of %d right", got.unwarned, got.right, got.told)
				}
			}
			if w.mortal == 0 && (got.since.IsZero() || got.late*100 > got.customers || got.right < alone.right) {
				t.Errorf("still believed in: %d warned late, %d of %d right, without a Fleet %d", got.late, got.right, got.told, alone.right)
			}
		})
	}
}

// withoutSince returns an outcome without the fields that depend on a shared Fleet.
func withoutSince(o outcome) outcome {
	o.since = time.Time{}
	return o
}

// TestLifetimes: a password counts once, and later evidence can reverse the decision.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	var l authstate.Lifetimes
	for i := range uint64(8) {
		if l.NoEnd() {
			t.Errorf("%d are enough", i)
		}
		for range 3 {
			l.Note(i<<32|i, authstate.Outlived)
		}
	}
	if ended, outlived := l.Counts(); ended != 0 || outlived != 8 || !l.NoEnd() {
		t.Errorf("got %d and %d, no end %v", ended, outlived, l.NoEnd())
	}
	l.Note(100, authstate.Ended)
	if l.NoEnd() {
		t.Error("one in nine has ended, and it is not taken back")
	}
	for i := range uint64(12) {
		l.Note((200+i)<<32|(200+i), authstate.Outlived)
	}
	if !l.NoEnd() {
		t.Error("one in twenty-one is too many")
	}
	l.Note(0, authstate.Ended) // the same password ends after all
	if ended, outlived := l.Counts(); ended != 2 || outlived != 19 || l.NoEnd() {
		t.Errorf("got %d and %d, no end %v", ended, outlived, l.NoEnd())
	}
}
