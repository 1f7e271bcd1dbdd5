// More than a year of a service in virtual time. The passwords of thousands of accounts die of
// known causes, among the known faults that look like a dead password. The test compares the
// verdicts with the causes.

package icloud_test

import (
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

var (
	simSeeds  = flag.Int("simulation.seeds", 1, "with how many seeds TestSimulation runs")
	simStrays = flag.Bool("simulation.strays", false, "have TestSimulation report strays of up to an hour instead, with and without Fleet, and assert nothing")
)

// cause is the true reason why a password is refused. Only the simulation knows it.
type cause int

const (
	healthy cause = iota // refused only by faults
	expiry
	revocation
	lateRevocation // within 30 days of the end
	accountChange
	neverValid
	forgotten // expired, but nothing is known of it; only a row of the matrix
	causes
)

func (c cause) String() string {
	return [...]string{"healthy", "expired", "revoked", "revoked, last 30 days", "account changed", "never valid",
		"expired, all forgotten"}[c]
}

// simPassword is a password.
type simPassword struct {
	cred        icloud.Credential
	cause       cause
	issued, end time.Time // it is refused from end on
	changed     time.Time // when the account's password was changed, if the service knows that
	known       bool      // whether the service knows issued
}

func (p *simPassword) dead(now time.Time) bool { return !now.Before(p.end) }

// simAccount is one customer: a Client, its password, and the time of the next poll.
type simAccount struct {
	sim      *simulation
	n        int
	client   *icloud.Client
	password *simPassword
	every    time.Duration
	next     time.Time
	regular  time.Time // the time of the next regular poll
	returns  time.Time
	strays   []span // sorted
	hit      bool   // whether incidents affect it
	stored   bool   // whether it has a Store
	forgot   bool   // whether the service has forgotten what it knew of the password

	// About the password: the first poll that was refused after its end, and how many
	// polls after Dwell and outside of incidents did not confirm that.
	refused   time.Time
	late      int
	confirmed *icloud.AuthError
}

type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// simOptions are the parameters of a simulation.
type simOptions struct {
	seed           uint64
	accounts, days int
	longest        time.Duration // the longest stray refusal
	fleet          bool
}

// simulation is the service, and iCloud.
type simulation struct {
	simOptions
	rand      *rand.Rand
	start     time.Time
	fleet     *icloud.Fleet
	store     simStore
	queue     simQueue
	all       []*simAccount
	incidents []span

	polls, requests, throttled, retries int
	turnedAway                          int            // healthy passwords that were Confirmed while the owner waited
	matrix                              [causes][4]int // none, expired, revoked, rejected
	right, wrong                        [2]int         // expired distinguished from revoked, by whether the issue was known
	falsely                             []string
	overdue                             []string
	unsure                              []string
}

// simStore is a Store for one goroutine.
type simStore map[string][]byte

func (s simStore) Load(_ context.Context, key string) ([]byte, error) { return s[key], nil }
func (s simStore) Save(_ context.Context, key string, data []byte) error {
	s[key] = append([]byte(nil), data...)
	return nil
}

// simQueue orders accounts by their next poll.
type simQueue []*simAccount

func (q simQueue) Len() int           { return len(q) }
func (q simQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q simQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)        { *q = append(*q, x.(*simAccount)) }
func (q *simQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// RoundTrip is iCloud for one account: the same empty 401 for every reason. An icloudtest.Server
// for each account would be ten times as slow.
func (a *simAccount) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	a.sim.requests++
	_, password, _ := r.BasicAuth()
	p := a.password
	resp := &http.Response{ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{}, Body: http.NoBody}
	// A 503 has precedence over a 401, for all accounts.
	if a.n%20 == 7 && now.Unix()/3600%97 == int64(a.n%97) {
		a.sim.throttled++
		resp.StatusCode = http.StatusServiceUnavailable
		resp.Header["Retry-After"] = []string{"1200"}
		return resp, nil
	}
	stray := false
	for _, s := range a.strays {
		stray = stray || s.has(now)
	}
	for _, s := range a.sim.incidents {
		stray = stray || a.hit && s.has(now)
	}
	if stray || p.cause == neverValid || p.dead(now) || password != p.cred.Password.Reveal() {
		resp.StatusCode = http.StatusUnauthorized
		resp.Header["Www-Authenticate"] = []string{`X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"`}
		return resp, nil
	}
	text := simCard
	resp.StatusCode = http.StatusOK
	if r.Method == "PROPFIND" {
		resp.StatusCode = http.StatusMultiStatus
		switch {
		case r.URL.Path == "/":
			text = simPrincipal
		case strings.HasSuffix(r.URL.Path, "principal/"):
			text = simHome
		default:
			text = simBook
		}
	}
	resp.ContentLength = int64(len(text))
	resp.Body = io.NopCloser(strings.NewReader(text))
	return resp, nil
}

var (
	simPrincipal = fmt.Sprintf(davXML, "/", "<current-user-principal><href>/1/principal/</href></current-user-principal>")
	simHome      = fmt.Sprintf(davXML, "/1/principal/", "<C:addressbook-home-set><href>https://p42-contacts.icloud.com:443/1/carddavhome/</href></C:addressbook-home-set>")
	simCard      = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada\r\nEND:VCARD\r\n"
	simBook      = fmt.Sprintf(davXML, "/1/carddavhome/card/", "<resourcetype><collection/><C:addressbook/></resourcetype>")
)

func (s *simulation) between(min, max float64) time.Duration {
	return time.Duration((min + (max-min)*s.rand.Float64()) * float64(day))
}

// issue draws the end and the cause of a password that is generated at issued.
func (s *simulation) issue(a *simAccount, issued time.Time, c cause) *simPassword {
	p := &simPassword{issued: issued, end: issued.Add(year), cause: c, known: s.rand.IntN(2) == 0}
	switch c {
	case revocation:
		p.end = issued.Add(s.between(0.1, 335))
	case lateRevocation:
		p.end = issued.Add(year - s.between(0, 30))
	case accountChange:
		p.end = issued.Add(s.between(1.1, 364))
		if s.rand.IntN(2) == 0 {
			p.changed = p.end
		}
	}
	text := make([]byte, 19)
	for i := range text {
		text[i] = byte('a' + s.rand.IntN(26))
		if i%5 == 4 {
			text[i] = '-'
		}
	}
	password, err := icloud.ParsePassword(string(text))
	if err != nil {
		panic(err)
	}
	p.cred = icloud.Credential{AppleID: fmt.Sprintf("account%d@example.com", a.n), Password: password}
	if p.known {
		p.cred.Issued = issued.Add(s.between(0, 1)) // recorded a little late
	}
	return p
}

// connect makes the account's Client.
func (a *simAccount) connect() {
	cred := a.password.cred
	if now := time.Now(); !a.password.changed.IsZero() && a.password.dead(now) {
		cred.AccountChanged = a.password.changed // the owner has said so
	}
	if cred.Issued.After(time.Now()) {
		cred.Issued = time.Now() // recorded when it was entered
	}
	opts := &icloud.Options{Transport: a, Fleet: a.sim.fleet}
	if a.stored {
		opts.Store = a.sim.store
	}
	client, err := icloud.New(cred, opts)
	if err != nil {
		panic(err)
	}
	a.client = client
}

// judge counts the result of a poll, or of a sign-in while the owner waits.
func (s *simulation) judge(a *simAccount, err error, attended bool) {
	now := time.Now()
	p := a.password
	ae, refused := errors.AsType[*icloud.AuthError](err)
	isDead := p.cause == neverValid || p.dead(now)
	outside := true
	for _, i := range s.incidents {
		outside = outside && !i.has(now)
	}
	if refused && isDead && a.refused.IsZero() {
		a.refused = now
	}
	if refused && isDead && a.confirmed == nil && outside && now.Sub(a.refused) >= 15*time.Minute {
		a.late++
		if !ae.Confirmed && a.late >= 2 {
			s.overdue = append(s.overdue, fmt.Sprintf("account %d, %v, day %.2f", a.n, p.cause, now.Sub(s.start).Hours()/24))
		}
	}
	if !refused || !ae.Confirmed || a.confirmed != nil {
		return
	}
	a.confirmed = ae
	verdict := map[error]int{icloud.ErrPasswordExpired: 1, icloud.ErrPasswordRevoked: 2, icloud.ErrPasswordRejected: 3}[ae.Err]
	if !isDead && attended {
		s.turnedAway++ // the owner tries again
		return
	}
	if !isDead {
		s.matrix[healthy][verdict]++
		s.falsely = append(s.falsely, fmt.Sprintf("account %d, day %.2f: %v", a.n, now.Sub(s.start).Hours()/24, ae))
		return
	}
	row := p.cause
	if row == expiry && a.forgot && !p.known {
		row = forgotten
	}
	s.matrix[row][verdict]++
	known := 0
	if p.known {
		known = 1
	}
	switch {
	case p.cause == neverValid, a.forgot && !p.known:
		// Nothing is known, so the password may be new.
	case ae.Err == icloud.ErrPasswordRejected:
		// It died before the service saw it work, so the cause cannot be known.
	case p.cause == expiry && ae.Err == icloud.ErrPasswordExpired, p.cause != expiry && ae.Err == icloud.ErrPasswordRevoked:
		s.right[known]++
	default:
		s.wrong[known]++
	}
	// The reasons that are allowed for each cause.
	switch {
	case ae.Certainty == icloud.Certain && (p.cause != accountChange || p.changed.IsZero() || ae.Err != icloud.ErrPasswordRevoked),
		ae.Certainty == icloud.Likely && !p.known && ae.Err != icloud.ErrPasswordRejected,
		ae.Certainty == icloud.Likely && ae.Err == icloud.ErrPasswordExpired && ae.LastAccepted.Before(ae.Expires.Add(-14*day)),
		ae.Err == icloud.ErrPasswordRejected && !ae.LastAccepted.IsZero():
		s.unsure = append(s.unsure, fmt.Sprintf("account %d, %v: %v", a.n, p.cause, ae))
	}
}

// poll makes a call, and decides when the next one is: sooner if the password is Doubted.
func (s *simulation) poll(a *simAccount) {
	now := time.Now()
	ctx := context.Background()
	s.polls++
	if !a.returns.IsZero() && now.After(a.returns) {
		// The owner has made a new password, and waits for the answer.
		a.returns = time.Time{}
		p := s.issue(a, now.Add(-s.between(0, 0.01)), expiry)
		old := *a
		a.password, a.refused, a.late, a.confirmed, a.forgot = p, time.Time{}, 0, nil, false
		cred := p.cred
		if cred.Issued.After(now) {
			cred.Issued = now
		}
		if err := a.client.Reconnect(ctx, cred); err != nil {
			s.judge(a, err, true)
			// The owner tries again later.
			a.password, a.refused, a.late, a.confirmed = old.password, old.refused, old.late, old.confirmed
			a.forgot = old.forgot
			a.returns = now.Add(time.Hour)
		}
	}
	_, err := a.client.Contact(ctx, "1.vcf") // faster than a listing
	s.judge(a, err, false)
	if !now.Before(a.regular) {
		a.regular = a.regular.Add(a.every)
	}
	a.next = a.regular
	if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
		if ae.Confirmed && a.returns.IsZero() && s.rand.IntN(4) > 0 {
			a.returns = now.Add(s.between(0.5, 10))
		} else if !ae.Confirmed && a.regular.Sub(now) > 20*time.Minute {
			s.retries++
			a.next = now.Add(20 * time.Minute)
		}
	}
}

// run executes the simulation.
func (s *simulation) run() {
	s.rand = rand.New(rand.NewPCG(s.seed, 0))
	s.start = time.Now()
	s.store = make(simStore)
	if s.simOptions.fleet {
		s.fleet = new(icloud.Fleet)
	}
	for _, d := range []float64{120, 260} {
		from := s.start.Add(time.Duration(d*float64(day)) + s.between(0, 1))
		s.incidents = append(s.incidents, span{from, from.Add(time.Hour)})
	}
	for n := range s.accounts {
		a := &simAccount{sim: s, n: n, every: day, hit: s.rand.IntN(2) == 0, stored: n%20 == 0}
		if n < s.accounts/20 {
			a.every = time.Hour
		}
		c := expiry
		switch x := s.rand.IntN(100); {
		case x < 5:
			c = neverValid
		case x < 20:
			c = revocation
		case x < 23:
			c = lateRevocation
		case x < 38:
			c = accountChange
		}
		// Most owners connect at once, the others some days after they have generated
		// the password.
		issued := s.start.Add(s.between(0, 30))
		delay := s.between(0, 0.02)
		if s.rand.IntN(3) == 0 {
			delay = s.between(0, 30)
		}
		a.password = s.issue(a, issued, c)
		a.next = issued.Add(delay)
		a.regular = a.next
		s.all = append(s.all, a)
		s.queue = append(s.queue, a)
		if s.rand.IntN(100) < 3 {
			// Each stray begins within its length before a poll, so that a poll
			// meets it.
			for range 5 {
				length := time.Minute + time.Duration(s.rand.Int64N(int64(s.longest-time.Minute)))
				met := a.next.Add(a.every * time.Duration(1+s.rand.IntN(int(300*day/a.every))))
				from := met.Add(-time.Duration(s.rand.Int64N(int64(length))))
				a.strays = append(a.strays, span{from, from.Add(length)})
			}
		}
	}
	heap.Init(&s.queue)
	end := s.start.Add(time.Duration(s.days) * day)
	// The Clients with a Store, one in twenty, are restarted each month, as by a
	// deployment. Just before the second incident all Clients are restarted, and those
	// without a Store forget everything.
	forgotten := s.incidents[1].from.Add(-time.Minute)
	deployments := []time.Time{forgotten}
	for d := 30; d < s.days; d += 30 {
		deployments = append(deployments, s.start.Add(time.Duration(d)*day))
	}
	for {
		a := s.queue[0]
		if a.next.After(end) {
			return
		}
		time.Sleep(time.Until(a.next))
		now := time.Now()
		for i, d := range deployments {
			if d.IsZero() || now.Before(d) {
				continue
			}
			deployments[i] = time.Time{}
			if i == 0 && s.fleet != nil {
				s.fleet = new(icloud.Fleet)
			}
			for _, a := range s.all {
				if a.client == nil || i > 0 && !a.stored {
					continue
				}
				if !a.stored {
					a.forgot = true
				}
				a.connect()
			}
		}
		if a.client == nil {
			a.connect()
			// For two of three accounts the owner waits for the answer. The others
			// were imported.
			if s.rand.IntN(3) > 0 {
				s.judge(a, a.client.Authenticate(context.Background()), true)
			}
		}
		s.poll(a)
		heap.Fix(&s.queue, 0)
	}
}

// report prints the results.
func (s *simulation) report(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d accounts, %d days, %d polls (%d of them repeated), %d requests, %d throttled; strays up to %v; Fleet: %v\n",
		s.seed, s.accounts, s.days, s.polls, s.retries, s.requests, s.throttled, s.longest, s.simOptions.fleet)
	fmt.Fprintf(&b, "%-24s %10s %10s %10s\n", "truth, Confirmed as:", "expired", "revoked", "rejected")
	for c := range causes {
		fmt.Fprintf(&b, "%-24s %10d %10d %10d\n", c, s.matrix[c][1], s.matrix[c][2], s.matrix[c][3])
	}
	share := func(i int) float64 { return 100 * float64(s.right[i]) / float64(max(s.right[i]+s.wrong[i], 1)) }
	fmt.Fprintf(&b, "healthy ones Confirmed: %d (and %d while their owner was there, who tried again); late: %d; expired told from revoked: %.2f %% of %d with Issued, %.2f %% of %d without",
		len(s.falsely), s.turnedAway, len(s.overdue), share(1), s.right[1]+s.wrong[1], share(0), s.right[0]+s.wrong[0])
	t.Log(b.String())
}

// TestSimulation: no healthy password gets a final verdict, and every dead one gets one in time,
// with the right reason.
//
// There are two reservations. The refusal of a password that its owner has just entered is
// final at once, so a stray refusal during a sign-in turns a healthy password away. These cases
// are counted separately, because the owner waits and tries again. And the rates and causes are
// assumptions; none of them comes from Apple.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("one goroutine, and too slow under -race")
	}
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	if *simStrays {
		for seed := range *simSeeds {
			for _, fleet := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					s := &simulation{simOptions: simOptions{seed: uint64(seed), accounts: 2000, days: 400, longest: time.Hour, fleet: fleet}}
					s.run()
					s.report(t)
				})
			}
		}
		return
	}
	for seed := range *simSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &simulation{simOptions: simOptions{seed: uint64(seed), accounts: 2000, days: 400, longest: 10 * time.Minute, fleet: true}}
				s.run()
				s.report(t)
				for _, text := range s.falsely {
					t.Errorf("healthy, and Confirmed: %s", text)
				}
				for i, text := range s.overdue {
					if i == 10 {
						t.Errorf("and %d more", len(s.overdue)-i)
						break
					}
					t.Errorf("dead, and not Confirmed at the second poll after Dwell: %s", text)
				}
				for _, text := range s.unsure {
					t.Errorf("surer than the table allows: %s", text)
				}
				for i, want := range []float64{0.90, 0.99} {
					if n := s.right[i] + s.wrong[i]; n < 100 || float64(s.right[i]) < want*float64(n) {
						t.Errorf("told expired from revoked in %d of %d, want %.0f %%", s.right[i], n, 100*want)
					}
				}
				for c := expiry; c < forgotten; c++ {
					if s.matrix[c][1]+s.matrix[c][2]+s.matrix[c][3] == 0 {
						t.Errorf("no password was ever Confirmed that was %v", c)
					}
				}
			})
		})
	}
}
