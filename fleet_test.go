package icloud_test

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// TestFleetRule compares the rule with the binomial distribution in exact arithmetic, for
// every number of refusals.
func TestFleetRule(t *testing.T) {
	t.Parallel()
	// At least k of n, at 2 % each, less often than once in 100,000 times. In
	// units of 50^n: the sum over i from k to n of C(n,i)*49^(n-i).
	improbable := func(k, n int64) bool {
		sum, term := new(big.Int), new(big.Int)
		for i := k; i <= n; i++ {
			term.Exp(big.NewInt(49), big.NewInt(n-i), nil)
			sum.Add(sum, term.Mul(term, new(big.Int).Binomial(n, i)))
		}
		all := new(big.Int).Exp(big.NewInt(50), big.NewInt(n), nil)
		return sum.Mul(sum, big.NewInt(100_000)).Cmp(all) < 0
	}
	least := map[int64]int64{}
	for _, n := range []int64{0, 1, 2, 3, 4, 5, 6, 10, 20, 45, 60, 100, 120, 183, 400} {
		for k := int64(0); k <= n; k++ {
			want := improbable(k, n)
			if got := icloud.Improbable(int(k), int(n)); got != want {
				t.Errorf("%d of %d: got %v, want %v", k, n, got, want)
			}
			if want {
				least[n] = k
				break
			}
		}
	}
	// The examples in the doc comment.
	for n, want := range map[int64]int64{3: 3, 45: 8, 120: 12} {
		if least[n] != want {
			t.Errorf("of %d accounts %d are enough, the doc comment says %d", n, least[n], want)
		}
	}
	// No number overflows, and more refusals never end an incident.
	for _, n := range []int{2000, 50_000, 1_000_000} {
		before := false
		for k := 0; k <= n; k += max(n/500, 1) {
			got := icloud.Improbable(k, n)
			if before && !got {
				t.Errorf("%d of %d are none, and fewer are an incident", k, n)
			}
			before = got
		}
		if !before || icloud.Improbable(n/50, n) || !icloud.Improbable(n/10, n) {
			t.Errorf("%d accounts: 2 %% are an incident, or 10 %% are none", n)
		}
	}
}

// TestFleetSize: a Fleet takes no more memory for more accounts. The test is not parallel,
// because MemStats has the allocations of all goroutines. Those that an earlier test has left
// behind may allocate a little too, so the limit is twice the 80 kilobytes of the doc.
func TestFleetSize(t *testing.T) {
	var before, after runtime.MemStats
	f := new(icloud.Fleet)
	runtime.ReadMemStats(&before)
	for i := range icloud.FleetAccount(100_000) {
		(i<<40 | i).Answer(f, time.Now(), false)
	}
	runtime.ReadMemStats(&after)
	if size := after.TotalAlloc - before.TotalAlloc; size > 160<<10 {
		t.Errorf("100,000 accounts took %d bytes, want 160 kilobytes at most", size)
	}
}

// TestFleetForNothing simulates fleets without an incident, in which passwords die of all
// causes. It counts the confirmations that the rule would hold back, and prints the numbers
// in the doc comment of Fleet.
func TestFleetForNothing(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("one goroutine, and too slow under -race")
	}
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ accounts, fleets int }{{3, 200}, {60, 10}, {2000, 1}} {
		t.Run(fmt.Sprint(tt.accounts), func(t *testing.T) {
			t.Parallel()
			confirmed, heldBack := 0, 0
			for seed := range tt.fleets {
				r := rand.New(rand.NewPCG(uint64(seed), uint64(tt.accounts)))
				f := new(icloud.Fleet)
				type account struct {
					icloud.FleetAccount
					minute        int
					death, refuse int // hours
				}
				// Half of the passwords expire. Their issue is unknown, so that the
				// refusal counts. The others die earlier. Each is replaced within
				// ten days.
				life := func(now int) int {
					if r.IntN(2) == 0 {
						return now + 365*24
					}
					return now + r.IntN(365*24)
				}
				all := make([]*account, tt.accounts)
				for i := range all {
					all[i] = &account{FleetAccount: icloud.FleetAccount(r.Uint64()), minute: r.IntN(60)}
					for all[i].death <= 0 { // at the start it works, and has any age
						all[i].death = life(-r.IntN(365 * 24))
					}
				}
				byMinute := make([][]*account, 60)
				for _, a := range all {
					byMinute[a.minute] = append(byMinute[a.minute], a)
				}
				for hour := range 400 * 24 {
					for minute, accounts := range byMinute {
						now := start.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
						for _, a := range accounts {
							stray := r.IntN(20_000) == 0 // a 401 or two a year
							if hour < a.death {
								a.refuse = 0
								a.Answer(f, now, stray)
								continue
							}
							if a.refuse < 0 {
								// It is SignedOut, and sends nothing until its owner comes.
								if a.refuse++; a.refuse == 0 {
									a.death = life(hour)
								}
								continue
							}
							held := a.Answer(f, now, true)
							if a.refuse++; a.refuse > 1 {
								confirmed++
								if held {
									heldBack++
								}
								a.refuse = -1 - r.IntN(240)
							}
						}
					}
				}
			}
			t.Logf("%d fleets of %d accounts, 400 days each: %d of %d confirmations held back for nothing", tt.fleets, tt.accounts, heldBack, confirmed)
			if heldBack > 0 || confirmed < 500 {
				t.Errorf("got %d of %d confirmations held back, want none of many", heldBack, confirmed)
			}
		})
	}
}

// TestFleetDeadCustomers: a service without a Store restarts, and the passwords of a third
// of its accounts have been dead for long. That looks like an incident, which must end
// within a day.
func TestFleetDeadCustomers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		rigs := fleetOf(t, 16, fleet)
		for _, r := range rigs[:6] {
			r.srv.RevokeAll()
		}
		first := time.Now()
		for hour := range 30 {
			confirmed := 0
			for i, r := range rigs {
				err := r.list()
				if (err != nil) != (i < 6) {
					t.Fatalf("account %d: got %v", i, err)
				}
				if ae, ok := errors.AsType[*icloud.AuthError](err); ok && ae.Confirmed {
					confirmed++
				}
			}
			_, incident := fleet.Incident()
			if hour < 24 && (confirmed > 0 || !incident) || hour > 26 && (confirmed < 6 || incident) {
				t.Errorf("hour %d: got %d confirmed, incident %v", hour, confirmed, incident)
			}
			time.Sleep(time.Until(first.Add(time.Duration(hour+1) * time.Hour)))
		}
	})
}

// fleetOf returns Clients of different accounts that share a Fleet.
func fleetOf(t *testing.T, n int, fleet *icloud.Fleet) []*rig {
	t.Helper()
	rigs := make([]*rig, n)
	for i := range rigs {
		rigs[i] = newRig(t, icloud.Options{Fleet: fleet})
	}
	return rigs
}

// TestFleetIncident: while many unrelated accounts are refused at once, only what is
// Certain is Confirmed. After the incident everything works again by itself.
func TestFleetIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		if since, ok := fleet.Incident(); ok || !since.IsZero() {
			t.Errorf("the zero Fleet has an incident since %v", since)
		}
		rigs := fleetOf(t, 20, fleet)
		for _, r := range rigs {
			r.mustList()
		}
		time.Sleep(day)
		for _, r := range rigs {
			r.mustList()
		}
		// Half of the accounts are refused for two hours. Besides, one password is
		// dead, one is certainly revoked, and one was never right.
		begin := time.Now()
		outage := func(w http.ResponseWriter, req *http.Request) bool {
			return time.Since(begin) < 2*time.Hour && unauthorized(w)
		}
		for _, r := range rigs[:10] {
			r.srv.Intercept = outage
		}
		dead, certain, wrong := rigs[0], rigs[1], rigs[2]
		dead.srv.RevokeAll()
		certain.srv.RevokeAll()
		var since time.Time
		for minute := 0; minute < 120; minute += 5 {
			for i, r := range rigs {
				err := r.list()
				if i >= 10 {
					if err != nil {
						t.Fatalf("account %d: got %v", i, err)
					}
					continue
				}
				if ae := verdictOf(t, err); ae.Confirmed {
					t.Fatalf("account %d, minute %d: got %v, confirmed", i, minute, ae)
				}
			}
			s, ok := fleet.Incident()
			if !ok || s.Before(begin) || s.After(begin.Add(time.Minute)) || !since.IsZero() && s != since {
				t.Fatalf("minute %d: got an incident %v since %v, want one since %v", minute, ok, s, begin)
			}
			since = s
			time.Sleep(5 * time.Minute)
		}
		// A Certain verdict is not held back.
		certain.cred.LastAccepted, certain.cred.AccountChanged = begin.Add(-time.Hour), begin.Add(-time.Minute)
		certain.cred.Issued = begin.Add(-10 * day)
		certain.restart()
		begin = begin.Add(time.Minute) // the incident lasts a little longer
		if ae := verdictOf(t, certain.list()); !ae.Confirmed || ae.Certainty != icloud.Certain {
			t.Errorf("got %v, want it confirmed", ae)
		}
		// The refusal of a password that its owner has just entered is held back, and so
		// is the first refusal without a dwell.
		if ae := verdictOf(t, wrong.Reconnect(t.Context(), icloud.Credential{AppleID: wrong.cred.AppleID, Password: icloud.UncheckedPassword("wrong")})); ae.Confirmed {
			t.Errorf("Reconnect: got %v, want it held back", ae)
		}
		wrong.opts.Dwell = -1
		wrong.restart()
		if ae := verdictOf(t, wrong.list()); ae.Confirmed {
			t.Errorf("without dwell: got %v, want it held back", ae)
		}
		time.Sleep(2 * time.Minute)
		// The incident is over.
		for range 2 {
			for i, r := range rigs[2:] {
				if err := r.list(); err != nil {
					t.Errorf("account %d: got %v after the incident", i+2, err)
				}
			}
			time.Sleep(10 * time.Minute)
		}
		if _, ok := fleet.Incident(); ok {
			t.Error("the incident has not ended")
		}
		if ae := verdictOf(t, dead.list()); !ae.Confirmed {
			t.Errorf("got %v, want the dead one confirmed", ae)
		}
	})
}

// unauthorized is iCloud's 401.
func unauthorized(w http.ResponseWriter) bool {
	w.Header().Set("WWW-Authenticate", `Basic realm="MMCalDav"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// TestFleetCountsAccounts: an account counts once, however many concurrent calls it makes.
// Accounts that were due to expire, or are SignedOut, do not count.
func TestFleetCountsAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		rigs := fleetOf(t, 2, fleet)
		for _, r := range rigs {
			r.mustList()
			r.srv.RevokeAll()
		}
		for range 20 {
			var wg sync.WaitGroup
			for _, r := range rigs {
				for range 10 {
					wg.Go(func() { _ = r.list() })
				}
			}
			wg.Wait()
			if _, ok := fleet.Incident(); ok {
				t.Fatal("two accounts are an incident")
			}
			time.Sleep(time.Minute)
		}
		for _, r := range rigs {
			if got := r.Status().State; got != icloud.SignedOut {
				t.Errorf("got state %v, want signed out", got)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// It is a year after many passwords were issued on the same day.
		fleet := new(icloud.Fleet)
		rigs := fleetOf(t, 10, fleet)
		for range 73 {
			for _, r := range rigs {
				r.mustList()
			}
			time.Sleep(5 * day)
		}
		for range 2 {
			for _, r := range rigs {
				verdictOf(t, r.list())
			}
			if _, ok := fleet.Incident(); ok {
				t.Error("passwords that were due are an incident")
			}
			time.Sleep(20 * time.Minute)
		}
		for _, r := range rigs {
			if got := r.Status().State; got != icloud.SignedOut {
				t.Errorf("got state %v, want signed out", got)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// After a Reconnect an account counts as accepted.
		fleet := new(icloud.Fleet)
		rigs := fleetOf(t, 3, fleet)
		for _, r := range rigs {
			r.mustList()
			r.srv.RevokeAll()
			_ = r.list()
		}
		if _, ok := fleet.Incident(); !ok {
			t.Fatal("three of three are no incident")
		}
		for _, r := range rigs {
			if err := r.Reconnect(t.Context(), r.srv.Issue()); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := fleet.Incident(); ok {
			t.Error("three that were connected again are an incident")
		}
	})
}

// TestFleetClock: a jump of the clock, in either direction, does not cause an endless
// incident, negative counts or a panic.
func TestFleetClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		f := new(icloud.Fleet)
		accounts := make([]icloud.FleetAccount, 20)
		for i := range accounts {
			accounts[i] = icloud.FleetAccount(i)<<32 | icloud.FleetAccount(i)
		}
		now := start
		for range 300 {
			accounts[r.IntN(len(accounts))].Answer(f, now, r.IntN(2) == 0)
			switch r.IntN(20) {
			case 0:
				now = now.Add(time.Duration(r.Int64N(int64(2*year))) - year)
			case 1:
				now = now.Add(-time.Duration(r.Int64N(int64(3 * time.Hour))))
			default:
				now = now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
			}
		}
		// From here on the clock is right, and passwords are accepted.
		for range 150 {
			for i := range accounts[1:] {
				accounts[i+1].Answer(f, now, false)
			}
			now = now.Add(time.Minute)
		}
		if accounts[0].Answer(f, now, true) {
			t.Fatal("one of 20 refused, and an incident that does not end")
		}
		// If everybody is refused, that is an incident, at the latest when the earlier
		// answers no longer count.
		held := false
		for i := range accounts {
			held = accounts[i].Answer(f, now, true)
		}
		if !held {
			t.Fatal("20 of 20 refused, and no incident")
		}
	}
	// Accounts that were refused while the clock was a year ahead, and make no more calls,
	// do not count.
	f := new(icloud.Fleet)
	for i := range 20 {
		icloud.FleetAccount(i).Answer(f, start.Add(year), true)
	}
	if icloud.FleetAccount(20).Answer(f, start, true) {
		t.Error("refusals of next year are an incident today")
	}
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(1<<40, 0)} {
		var a icloud.FleetAccount
		a.Answer(new(icloud.Fleet), now, true)
		a.Answer(nil, now, true)
	}
}

// TestFleetConcurrently is for the race detector.
func TestFleetConcurrently(t *testing.T) {
	t.Parallel()
	f := new(icloud.Fleet)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var a icloud.FleetAccount
			for j := range 1000 {
				a.Answer(f, time.Now(), (i+j)%3 == 0)
				f.Incident()
			}
		})
	}
	wg.Wait()
}

// TestFleetOneAccount: one account is not an incident, however many Clients it has had and
// however often its owner mistypes the password.
func TestFleetOneAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		r := newRig(t, icloud.Options{Fleet: fleet, Store: &memoryStore{}})
		r.mustList()
		r.srv.RevokeAll()
		for range 10 {
			r.restart()
			verdictOf(t, r.list())
			time.Sleep(2 * time.Minute)
		}
		if _, ok := fleet.Incident(); ok {
			t.Error("one account that was refused ten times is an incident")
		}
		if ae := verdictOf(t, r.list()); !ae.Confirmed {
			t.Errorf("got %v, want it confirmed", ae)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		for range 10 {
			r := newRig(t, icloud.Options{Fleet: fleet})
			r.srv.RevokeAll()
			if ae := verdictOf(t, r.Authenticate(t.Context())); !ae.Confirmed {
				t.Errorf("got %v, want it final: the owner is there", ae)
			}
		}
	})
}

// A Client without a Fleet has a nil one, and so may a program.
func TestNilFleet(t *testing.T) {
	t.Parallel()
	var fleet *icloud.Fleet
	if since, ok := fleet.Incident(); ok || !since.IsZero() {
		t.Errorf("got an incident since %v, want none", since)
	}
	if ended, outlived := fleet.LifetimeEvidence(); ended != 0 || outlived != 0 {
		t.Errorf("got %d ended and %d outlived, want none", ended, outlived)
	}
}
