package authstate_test

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
)

// rules are the rules for iCloud with zero Options.
var rules = authstate.Rules{Lifetime: year, Dwell: 15 * time.Minute, Warn: 30 * day}

const minute = time.Minute

// hashOf is a Hash without a key. In these tests a password is its name.
func hashOf(password string) authstate.Hash {
	return func(salt []byte) []byte { return []byte(password + string(salt)) }
}

// account is a State and a clock, to which events happen.
type account struct {
	t     *testing.T
	s     *authstate.State
	now   time.Time
	store []byte
}

func newAccount(t *testing.T, r authstate.Rules, claims authstate.Claims) *account {
	a := &account{t: t, now: noon}
	a.s = authstate.New(r, hashOf("p"), claims)
	return a
}

// restart makes the State of a new process with the same Store.
func (a *account) restart(r authstate.Rules, claims authstate.Claims) {
	a.t.Helper()
	a.s = authstate.New(r, hashOf("p"), claims)
	a.load(false)
}

func (a *account) load(silent bool) {
	a.t.Helper()
	record, err := authstate.Decode(a.store)
	if err != nil {
		a.t.Fatalf("what was saved cannot be loaded: %v", err)
	}
	a.s.Merge(record, a.now, silent)
}

// save saves if that is due, or if force is set.
func (a *account) save(r *authstate.Rejection, force bool) {
	a.t.Helper()
	if !force && a.s.Due(a.now) < authstate.DueLazily {
		return
	}
	data, err := a.s.Save(r, "", "", a.now)
	if err != nil {
		a.t.Fatal(err)
	}
	a.store = data
	a.s.Saved(a.now)
}

// refuse refuses a probe, and saves the verdict before it is committed.
func (a *account) refuse(by authstate.Caller, incident bool) *authstate.Verdict {
	a.t.Helper()
	e := a.s.Current()
	sent := a.s.Sent()
	a.s.Probing(e, a.now)
	at, ok := a.s.Refused(e, sent)
	if !ok {
		a.t.Fatal("the refusal is refuted")
	}
	r := a.s.Reject(e, at, a.now, by, incident)
	a.save(r, true)
	return a.s.Commit(r)
}

// do makes an event happen.
func (a *account) do(event string) {
	a.t.Helper()
	switch event {
	case "":
	case "accepted":
		a.s.Accepted(a.s.Current(), a.s.Sent(), a.now)
		a.s.Succeeded()
	case "refused":
		a.refuse(authstate.Unattended, false)
	case "refused to the owner":
		a.refuse(authstate.Interactive, false)
	case "refused in an incident":
		a.refuse(authstate.Unattended, true)
	case "failed":
		a.s.Failed(a.now, a.now)
	case "restarted":
		a.restart(rules, authstate.Claims{})
	default:
		a.t.Fatalf("no such event: %s", event)
	}
	a.save(nil, false)
}

// look describes what is known, what may be sent next, and when.
func (a *account) look(incident bool) string {
	st := a.s.Status(a.now, incident)
	words := []string{phases[st.Phase]}
	if v := st.Verdict; v != nil {
		words = append(words, string(v.Reason), certainties[v.Certainty])
	}
	action, _ := a.s.Next(a.now)
	words = append(words, [...]string{"send", "probe", "hold"}[action])
	if !st.NextTry.IsZero() {
		words = append(words, "for "+st.NextTry.Sub(a.now).String())
	}
	if a.s.Notify(a.now) {
		words = append(words, "told")
	}
	return strings.Join(words, " ")
}

var (
	phases      = [...]string{"untested", "active", "expiring", "doubted", "signed out"}
	certainties = [...]string{"possible", "likely", "certain"}
)

type step struct {
	after time.Duration // since the step before
	event string
	want  string
}

// TestEvents has sequences of events, with what is known after each and what may be sent next.
func TestEvents(t *testing.T) {
	t.Parallel()
	issued := authstate.Claims{Issued: noon}
	for _, tt := range []struct {
		name     string
		rules    authstate.Rules
		claims   authstate.Claims
		incident bool // the argument of Status
		steps    []step
	}{
		{"a year, and dead of age", rules, issued, false, []step{
			{0, "", "untested send"},
			{minute, "accepted", "active send told"},
			{334 * day, "accepted", "active send"},
			{day, "", "expiring send told"},
			{30*day - time.Hour, "accepted", "expiring send"},
			{time.Hour, "refused", "doubted expired likely hold for 1m0s told"},
			{59 * time.Second, "", "doubted expired likely hold for 1s"},
			{time.Second, "", "doubted expired likely probe"},
			{0, "refused", "doubted expired likely hold for 1m0s"},
			{14 * minute, "refused", "signed out expired likely hold for 24h0m0s told"},
			{24*time.Hour - 1, "", "signed out expired likely hold for 1ns"},
			{1, "", "signed out expired likely probe"},
			{0, "refused", "signed out expired likely hold for 24h0m0s"},
			{1000 * day, "refused", "signed out expired likely hold for 24h0m0s"},
		}},
		{"a passing fault", rules, issued, false, []step{
			{0, "accepted", "active send told"},
			{100 * day, "refused", "doubted revoked likely hold for 1m0s told"},
			{7 * minute, "accepted", "active send told"},
			{7 * minute, "refused", "doubted revoked likely hold for 1m0s told"},
			// The dwell begins again.
			{14 * minute, "refused", "doubted revoked likely hold for 1m0s"},
			{minute, "refused", "signed out revoked likely hold for 24h0m0s told"},
		}},
		{"a verdict that proves wrong, and a true death", rules, issued, false, []step{
			{0, "accepted", "active send told"},
			{100 * day, "refused", "doubted revoked likely hold for 1m0s told"},
			{15 * minute, "refused", "signed out revoked likely hold for 24h0m0s told"},
			{day, "accepted", "active send told"},
			{100 * day, "refused", "doubted revoked likely hold for 1m0s told"},
			{15 * minute, "refused", "signed out revoked likely hold for 24h0m0s told"},
		}},
		{"restarted at every turn", rules, issued, false, []step{
			{0, "accepted", "active send told"},
			{0, "restarted", "active send"},
			{100 * day, "refused", "doubted revoked likely hold for 1m0s told"},
			{0, "restarted", "doubted revoked likely hold for 1m0s"},
			{15 * minute, "refused", "signed out revoked likely hold for 24h0m0s told"},
			{0, "restarted", "signed out revoked likely hold for 24h0m0s"},
			{day, "", "signed out revoked likely probe"},
			{0, "accepted", "active send told"},
			{0, "restarted", "active send"},
		}},
		{"the owner mistypes it", rules, issued, false, []step{
			{0, "refused to the owner", "signed out rejected likely hold for 24h0m0s told"},
			{minute, "refused to the owner", "signed out rejected likely hold for 24h0m0s"},
		}},
		{"the owner is there, and it has worked", rules, issued, false, []step{
			{0, "accepted", "active send told"},
			{day, "refused to the owner", "doubted revoked likely hold for 1m0s told"},
		}},
		{"the account's password was changed", rules, authstate.Claims{Issued: noon, AccountChanged: noon.Add(50 * day)}, false, []step{
			{0, "accepted", "active send told"},
			{51 * day, "refused in an incident", "signed out revoked certain hold for 24h0m0s told"},
		}},
		{"no dwell", authstate.Rules{Lifetime: year, Warn: 30 * day}, issued, false, []step{
			{0, "refused", "signed out rejected likely hold for 24h0m0s told"},
		}},
		{"an incident holds back for a day at most", rules, issued, true, []step{
			{0, "accepted", "active send told"},
			{100 * day, "refused in an incident", "doubted revoked likely hold for 1m0s told"},
			{minute, "refused in an incident", "doubted revoked likely hold for 1m0s"},
			{minute, "refused in an incident", "doubted revoked likely hold for 2m0s"},
			{2 * minute, "refused in an incident", "doubted revoked likely hold for 4m0s"},
			{60 * minute, "refused in an incident", "doubted revoked likely hold for 1h0m0s"},
			{24*time.Hour - 64*minute - 1, "refused in an incident", "doubted revoked likely hold for 1h0m0s"},
			{1, "refused in an incident", "signed out revoked likely hold for 24h0m0s told"},
		}},
		{"longer than it was thought to live", rules, issued, false, []step{
			{0, "accepted", "active send told"},
			{364 * day, "accepted", "expiring send told"},
			{14 * day, "accepted", "expiring send"},
			{day, "accepted", "active send told"},
			{100 * day, "refused", "doubted revoked likely hold for 1m0s told"},
		}},
		{"no lifetime", authstate.Rules{Dwell: 15 * minute, Warn: 30 * day}, issued, false, []step{
			{0, "accepted", "active send told"},
			{1000 * day, "", "active send"},
			{0, "refused", "doubted revoked likely hold for 1m0s told"},
		}},
		{"failures", rules, issued, false, []step{
			{0, "failed", "untested send for 1m0s"},
			{minute, "failed", "untested send for 2m0s"},
			// It happens at the same time as another.
			{0, "failed", "untested send for 2m0s"},
			{2 * minute, "", "untested send"},
			{0, "failed", "untested send for 4m0s"},
			{1, "failed", "untested send for 8m0s"},
			{1, "failed", "untested send for 16m0s"},
			{1, "failed", "untested send for 32m0s"},
			{1, "failed", "untested send for 1h0m0s"},
			{1, "failed", "untested send for 1h0m0s"},
			{0, "accepted", "active send told"},
			{1, "failed", "active send for 1m0s"},
			// Of several times the latest counts.
			{0, "refused", "doubted revoked likely hold for 1m0s told"},
			{30 * time.Second, "failed", "doubted revoked likely hold for 2m0s"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, tt.rules, tt.claims)
			a.load(false)
			for i, s := range tt.steps {
				a.now = a.now.Add(s.after)
				a.do(s.event)
				if got := a.look(tt.incident); got != s.want {
					t.Fatalf("step %d (%s, after %v): got %q, want %q", i, s.event, s.after, got, s.want)
				}
			}
		})
	}
}

// TestOrder: which acceptance refutes which refusal depends on the order in which requests were
// sent and answers arrived, and not on clocks.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		play func(a *account, e *authstate.Entry) *authstate.Verdict
		want string
	}{
		{"sent before the refusal, answered after it", func(a *account, e *authstate.Entry) *authstate.Verdict {
			early, probe := a.s.Sent(), a.s.Sent()
			at, _ := a.s.Refused(e, probe)
			v := a.s.Commit(a.s.Reject(e, at, a.now, authstate.Unattended, false))
			a.s.Accepted(e, early, a.now)
			return v
		}, "doubted"},
		{"sent after the refusal, while it is saved", func(a *account, e *authstate.Entry) *authstate.Verdict {
			at, _ := a.s.Refused(e, a.s.Sent())
			r := a.s.Reject(e, at, a.now, authstate.Unattended, false)
			a.save(r, true)
			a.s.Accepted(e, a.s.Sent(), a.now)
			return a.s.Commit(r)
		}, "active"},
		{"answered before the refusal of a probe that was sent earlier", func(a *account, e *authstate.Entry) *authstate.Verdict {
			probe, other := a.s.Sent(), a.s.Sent()
			a.s.Accepted(e, other, a.now)
			if _, ok := a.s.Refused(e, probe); ok {
				a.t.Error("the refusal counts")
			}
			return nil
		}, "active"},
		{"two refusals that are committed side by side", func(a *account, e *authstate.Entry) *authstate.Verdict {
			at, _ := a.s.Refused(e, a.s.Sent())
			one := a.s.Reject(e, at, a.now, authstate.Unattended, false)
			at, _ = a.s.Refused(e, a.s.Sent())
			two := a.s.Reject(e, at, a.now, authstate.Interactive, false)
			first, second := a.s.Commit(one), a.s.Commit(two)
			if first != second {
				a.t.Errorf("got two verdicts, %v and %v", first, second)
			}
			return first
		}, "doubted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, rules, authstate.Claims{Issued: noon})
			a.load(false)
			a.do("accepted")
			a.now = a.now.Add(day)
			v := tt.play(a, a.s.Current())
			st := a.s.Status(a.now, false)
			if got := phases[st.Phase]; got != tt.want || st.Verdict != v {
				t.Errorf("got %s with %v, want %s with %v", got, st.Verdict, tt.want, v)
			}
			// The Store must not keep a refuted verdict.
			a.save(nil, false)
			if tt.want == "active" {
				a.restart(rules, authstate.Claims{})
				if got := phases[a.s.Status(a.now, false).Phase]; got != tt.want {
					t.Errorf("after a restart: got %s, want %s", got, tt.want)
				}
			}
		})
	}
}

// TestReconnect: the same password has the same entry, another one has its own, and an earlier
// password is recognized.
func TestReconnect(t *testing.T) {
	t.Parallel()
	a := newAccount(t, rules, authstate.Claims{Issued: noon})
	a.load(false)
	a.do("accepted")
	if got := a.s.Candidate(hashOf("p"), authstate.Claims{}, a.now); got != a.s.Current() {
		t.Error("the current password has a second entry")
	}
	a.now = a.now.Add(100 * day)
	a.do("refused")
	a.now = a.now.Add(15 * minute)
	a.do("refused")
	old := a.s.Current()

	// A password that is refused changes nothing for the current one.
	wrong := a.s.Candidate(hashOf("wrong"), authstate.Claims{}, a.now)
	at, _ := a.s.Refused(wrong, a.s.Sent())
	r := a.s.Reject(wrong, at, a.now, authstate.Interactive, false)
	a.save(r, true)
	if v := a.s.Commit(r); v == nil || !v.Confirmed || v.Reason != authstate.Rejected {
		t.Errorf("got %+v, want the wrong password rejected for good", v)
	}
	if a.s.Current() != old || a.s.Status(a.now, false).Verdict.Reason != authstate.Revoked {
		t.Error("the current password has changed")
	}

	fresh := a.s.Candidate(hashOf("q"), authstate.Claims{Issued: a.now}, a.now)
	a.s.Replace(fresh, a.now)
	if got := a.look(false); got != "active send told" || a.s.Due(a.now) != authstate.DueNow {
		t.Errorf("got %s, due %v; want it active, told, and saved at once", got, a.s.Due(a.now))
	}
	a.save(nil, false)
	for _, s := range []string{"p", "wrong"} {
		if e := a.s.Candidate(hashOf(s), authstate.Claims{}, a.now); e.Verdict == nil {
			t.Errorf("what is known of %q is lost", s)
		}
	}
	if a.s.Candidate(hashOf("p"), authstate.Claims{}, a.now) != old {
		t.Error("the old password has another entry")
	}

	// A worker that still has the old password is told that another one works.
	a.s = authstate.New(rules, hashOf("p"), authstate.Claims{})
	a.load(true)
	st := a.s.Status(a.now, false)
	if st.Phase != authstate.SignedOut || !st.Replaced.Equal(a.now) {
		t.Errorf("got %s, replaced %v; want it signed out, and replaced at %v", phases[st.Phase], st.Replaced, a.now)
	}
	if a.s.Notify(a.now) {
		t.Error("what others were told is news")
	}
}

// TestMaySendPending: while a refusal waits for the Store, one request a minute may be sent.
func TestMaySendPending(t *testing.T) {
	t.Parallel()
	a := newAccount(t, rules, authstate.Claims{})
	if !a.s.MaySendPending(a.now) {
		t.Error("the first is held")
	}
	a.s.SentPending(a.now)
	for after, want := range map[time.Duration]bool{0: false, minute - 1: false, minute: true} {
		if got := a.s.MaySendPending(a.now.Add(after)); got != want {
			t.Errorf("after %v: got %v, want %v", after, got, want)
		}
	}
}

// TestUnprobed: when the next probe may be sent if one has ended without an answer.
func TestUnprobed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		final bool
		sent  bool
		want  string // in a minute
	}{
		{"doubted, withheld", false, false, "doubted rejected likely probe"},
		{"doubted, cancelled", false, true, "doubted rejected likely probe"},
		{"signed out, withheld", true, false, "signed out rejected likely probe"},
		{"signed out, cancelled", true, true, "signed out rejected likely hold for 1m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, rules, authstate.Claims{Issued: noon})
			a.do("refused")
			if tt.final {
				a.now = a.now.Add(15 * minute)
				a.do("refused")
			}
			a.look(false)
			a.now = a.now.Add(day)
			before := a.s.Probing(a.s.Current(), a.now)
			if action, _ := a.s.Next(a.now); action != authstate.Hold {
				t.Error("a second probe may be sent at once")
			}
			a.s.Unprobed(a.s.Current(), before, tt.sent, a.now)
			if got := a.look(false); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			a.now = a.now.Add(minute)
			if action, _ := a.s.Next(a.now); action != authstate.Probe {
				t.Error("a minute later the next one is held")
			}
		})
	}
}

// TestDiagram applies random events to a State, and compares the changes of its Phase with the
// diagram in the guide. Changes that the diagram omits are listed here.
func TestDiagram(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/connecting-customers.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, edge := range regexp.MustCompile(`(?m)^ +(\w+) --> (\w+):`).FindAllStringSubmatch(string(text), -1) {
		shown[edge[1]+" "+edge[2]] = true
	}
	if len(shown) == 0 {
		t.Fatal("the guide has no state diagram")
	}
	omitted := map[string]bool{
		"Untested Expiring":  true, // an old password, given with its date of issue
		"Expiring Active":    true, // it has outlived its estimated end
		"Doubted Expiring":   true, // accepted again, close to the end
		"SignedOut Expiring": true,
		"Active SignedOut":   true, // the account's password was changed, or Dwell is negative
		"Expiring SignedOut": true,
	}
	names := [...]string{"Untested", "Active", "Expiring", "Doubted", "SignedOut"}
	seen := map[string]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 800 {
		claims := authstate.Claims{Issued: noon.Add(-time.Duration(rng.IntN(360)) * day)}
		if rng.IntN(3) == 0 {
			claims.AccountChanged = noon.Add(time.Duration(rng.IntN([]int{60, 400}[rng.IntN(2)])) * day)
		}
		a := newAccount(t, rules, claims)
		a.load(false)
		before := a.s.Status(a.now, false).Phase
		note := func() {
			after := a.s.Status(a.now, false).Phase
			if after != before {
				seen[names[before]+" "+names[after]] = true
			}
			before = after
		}
		for range 60 {
			a.now = a.now.Add([]time.Duration{minute, 16 * minute, day, 20 * day}[rng.IntN(4)])
			note()
			a.do([]string{"accepted", "accepted", "refused", "refused", "refused to the owner", "refused in an incident", "restarted"}[rng.IntN(7)])
			note()
		}
	}
	for edge := range shown {
		if !seen[edge] {
			t.Errorf("the diagram shows %s, which does not happen", edge)
		}
	}
	for edge := range seen {
		if !shown[edge] && !omitted[edge] {
			t.Errorf("%s happens, which the diagram does not show", edge)
		}
	}
	for edge := range omitted {
		if shown[edge] || !seen[edge] {
			t.Errorf("%s is shown, or does not happen: it is not to be listed as omitted", edge)
		}
	}
}

// TestEveryOrder tries every short sequence of events: the Phase agrees with the verdict, every
// date comes from an event, and what is loaded is what was saved.
func TestEveryOrder(t *testing.T) {
	t.Parallel()
	events := []string{"accepted", "refused", "refused to the owner", "refused in an incident", "failed"}
	var play func(prefix []string)
	play = func(prefix []string) {
		if len(prefix) == 5 {
			a := newAccount(t, rules, authstate.Claims{Issued: noon})
			a.load(false)
			accepted := false
			for i, event := range prefix {
				a.now = a.now.Add([]time.Duration{minute, 15 * minute, 100 * day}[i%3])
				a.do(event)
				accepted = accepted || event == "accepted"
				st := a.s.Status(a.now, false)
				if refused := st.Phase >= authstate.Doubted; refused != (st.Verdict != nil) || accepted == st.LastAccepted.IsZero() {
					t.Fatalf("%v: got %+v", prefix[:i+1], st)
				}
			}
			a.save(nil, true)
			before := a.s.Status(a.now, false)
			a.restart(rules, authstate.Claims{})
			after := a.s.Status(a.now, false)
			if before.Phase != after.Phase || (before.Verdict == nil) != (after.Verdict == nil) || before.Verdict != nil && *before.Verdict != *after.Verdict {
				t.Fatalf("%v: got %+v after a restart, want %+v", prefix, after, before)
			}
			// A reader without the Options gets the same result.
			record, err := authstate.Decode(a.store)
			if err != nil {
				t.Fatal(err)
			}
			read := record.Status(a.now)
			if read.Phase != after.Phase || !read.Expires.Equal(after.Expires) || !read.Final.Equal(after.Final) || !read.NextTry.Equal(after.NextTry) {
				t.Fatalf("%v: a reader gets %+v, want %+v", prefix, read, after)
			}
			return
		}
		for _, event := range events {
			play(append(slices.Clone(prefix), event))
		}
	}
	play(nil)
}
