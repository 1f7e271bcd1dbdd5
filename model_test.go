// A model-based test of the Clients of one account and its password.
//
// TestModel makes random sequences of events: sequential and concurrent calls of one to
// three Clients, with and without a Store and a Fleet; passwords that die, are replaced,
// and come back; stray 401s, throttles and other faults of the server; slow, failing and
// hanging Stores; restarts; clocks that differ; pauses of up to years. After each event it
// compares what the Clients say and do with what the model knows to be true.
//
// model_test.go makes the sequences and runs them. modelworld_test.go has the environment
// of the Clients: the server's faults, and the Stores. modelrules_test.go checks the rules,
// which are these; a failure is reported with the name of its rule.
//
// About the password:
//
//	hasty        A refusal is Confirmed only if it is Certain, or has lasted for the dwell,
//	             or came in Authenticate or Reconnect for a password that is not known to
//	             have worked.
//	refuted      No verdict outlives an acceptance that started after it.
//	late         An acceptance that started before a refusal does not refute it.
//	groundless   A verdict needs a probe that iCloud refused since the last acceptance;
//	             a password that was never refused has none.
//	table        Reason and certainty follow from the evidence in the AuthError as
//	             internal/authstate defines.
//	evidence     LastAccepted is the latest acceptance that the Client has seen.
//	backwards    LastAccepted never becomes earlier, whatever is refused or loaded.
//	incident     During an incident of a Fleet only what is Certain becomes Confirmed.
//
// About what is sent:
//
//	latched      A SignedOut Client sends at most one request in 24 hours.
//	doubted      A Doubted Client sends at most one probe a minute, and nothing else.
//	unheard      While a verdict about a refused password is being saved, the password is
//	             not sent and refused more than twice within a minute.
//	shared       The Clients that share a Store that works send one probe a minute, or a
//	             day, together.
//	throttled    After 503, 429 or 403 with Retry-After nothing is sent before that time.
//	             The answer to a request for a photo delays no request.
//	wrong-key    Requests have the Client's own password, or that of a Reconnect under way.
//	looks        A SignedOut Client reads its Store at most once a minute.
//
// About what is reported:
//
//	pointer      The *AuthError stays the same value while nothing new is decided, and is
//	             never modified.
//	status       State, Err and the dates of a Status agree.
//	told         OnStatus gets SignedOut exactly once for each verdict.
//	restart      A new Client on the same Store returns an equal AuthError.
//	load         Load sends nothing and does not call OnStatus. After it a new Client says
//	             what the old one said, and so does ParseStatus.
//	next         While the password is Doubted or SignedOut, no probe is sent before NextTry.
//	worker       If one Client finds that the password works, the others that share the
//	             Store work within a minute.
//
// About calls:
//
//	complete     A listing without an error has all cards.
//	resync       A token that the server knows never causes ErrResync.
//	overrun      Every call returns when its context ends.
//	hangs        A call of a SignedOut Client does not wait for a Reconnect or for another
//	             call.
//	foreign      No call returns the cancellation of another call.
//	reconnect    Without faults, Reconnect succeeds with a password that works, and the
//	             Client then works. A Reconnect that fails changes nothing.
//	alive        At most a day after the end of all faults, each call of a Client whose
//	             password works succeeds. If the password is dead, the Client is SignedOut
//	             after the dwell.
//	secret       Neither errors nor the Store contain the password, an unsalted hash of it,
//	             or a card. Errors do not contain the account.
//	panic        Nothing panics, and nothing waits for ever.

package icloud_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

var (
	modelSeed   = flag.Uint64("model.seed", 0, "run TestModel with this sequence alone, and print its events")
	modelFirst  = flag.Uint64("model.first", 1, "the first sequence of TestModel")
	modelN      = flag.Int("model.n", 300, "how many sequences TestModel runs")
	modelMost   = flag.Int("model.failures", 1, "after how many failures TestModel stops")
	modelIgnore = flag.String("model.ignore", "", "rules that TestModel does not check, separated by commas")
)

// TestModel runs the sequences. A failure names the seed, with which
//
//	go test -run 'TestModel$' -model.seed 17 .
//
// repeats it. Events in the same instant on two processors may still happen in either
// order.
func TestModel(t *testing.T) {
	t.Parallel()
	if *modelSeed != 0 {
		runModel(t, *modelSeed)
		return
	}
	n := *modelN
	if raceEnabled {
		n /= 3 // the race detector makes it ten times as slow
	}
	// Two groups use two processors.
	const groups = 2
	var failures atomic.Int64
	for g := range groups {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			t.Parallel()
			for i := g; i < n && failures.Load() < int64(*modelMost); i += groups {
				if !runModel(t, *modelFirst+uint64(i)) {
					failures.Add(1)
				}
			}
		})
	}
}

// runModel runs one sequence. If a rule is broken it looks for a shorter sequence that
// breaks the same rule, and prints that.
func runModel(t *testing.T, seed uint64) (ok bool) {
	t.Helper()
	plan := newModelPlan(seed)
	m := plan.run(t)
	if *modelSeed != 0 {
		t.Logf("seed %d, %v\n%s", seed, m.cfg, strings.Join(m.history, "\n"))
	}
	if m.broken == "" {
		return true
	}
	short := plan
	short.events = slices.Clone(plan.events)
	last, runs := m, 0
	for size := max(len(short.events)/2, 1); size > 0; size /= 2 {
		for at := 0; at < len(short.events) && runs < 400; {
			try := short
			try.events = slices.Delete(slices.Clone(short.events), at, min(at+size, len(short.events)))
			runs++
			if got := try.run(t); got.rule == m.rule {
				short, last = try, got
			} else {
				at += size
			}
		}
	}
	// Then look for one with fewer calls in its polls and bursts.
	for i := range short.events {
		for part := 0; part < 64 && runs < 2000; part++ {
			try := short
			try.events = slices.Clone(short.events)
			try.events[i].skip |= 1 << part
			runs++
			got := try.run(t)
			if got.rule == m.rule {
				short, last = try, got
			}
			if got.most[i] <= part {
				break
			}
		}
	}
	t.Errorf("seed %d, %v:\n%s\n\nin short:\n%s\n%s", seed, m.cfg, m.broken, strings.Join(last.history, "\n"), last.broken)
	return false
}

// modelConfig is what does not change during a sequence.
type modelConfig struct {
	calm     bool // no concurrent calls, a Store that works, and equal clocks
	workers  int
	store    bool
	fleet    bool
	dwell    time.Duration // as in Options
	offsets  [3]time.Duration
	issued   bool // the service knows when passwords are issued
	outlives bool // passwords live for longer than a year
}

func (c modelConfig) String() string {
	text := fmt.Sprintf("%d workers", c.workers)
	for name, is := range map[string]bool{"calm": c.calm, "store": c.store, "fleet": c.fleet, "issue known": c.issued, "passwords outlive the year": c.outlives} {
		if is {
			text += ", " + name
		}
	}
	if c.dwell != 0 {
		text += fmt.Sprintf(", dwell %v", c.dwell)
	}
	if c.offsets != [3]time.Duration{} {
		text += fmt.Sprintf(", clocks ahead by %v", c.offsets[:c.workers])
	}
	return text
}

// effectiveDwell returns the dwell that Options.Dwell selects.
func (c modelConfig) effectiveDwell() time.Duration {
	if c.dwell == 0 {
		return 15 * time.Minute
	}
	return max(c.dwell, 0)
}

// slack returns by how much the dates of two workers may differ.
func (c modelConfig) slack() time.Duration {
	least, most := slices.Min(c.offsets[:c.workers]), slices.Max(c.offsets[:c.workers])
	return most - least
}

// modelPlan is the plan of a sequence. Each event has its own seed, so that it stays the same
// if other events are left out.
type modelPlan struct {
	seed   uint64
	cfg    modelConfig
	events []modelEvent
}

type modelEvent struct {
	kind string
	seed uint64
	skip uint64 // the parts of the event that are left out, as bits
}

// modelKinds are the kinds of events, and their frequencies.
var modelKinds = []struct {
	name  string
	often int
	noisy bool // not in a calm sequence
	do    func(*model, *rand.Rand)
}{
	{"call", 20, false, (*model).doCall},
	{"poll", 14, false, (*model).doPoll},
	{"burst", 14, true, (*model).doBurst},
	{"sleep", 12, false, (*model).doSleep},
	{"reconnect", 8, false, (*model).doReconnect},
	{"revoke", 5, false, (*model).doRevoke},
	{"fault", 14, false, (*model).doFault},
	{"photo fault", 2, false, (*model).doPhotoFault},
	{"heal", 4, false, (*model).doHeal},
	{"store", 8, true, (*model).doStore},
	{"latency", 4, true, (*model).doLatency},
	{"restart", 6, false, (*model).doRestart},
	{"neighbors", 3, false, (*model).doNeighbors},
	{"worker", 3, false, (*model).doWorker},
}

func newModelPlan(seed uint64) modelPlan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := modelPlan{seed: seed, cfg: modelConfig{
		calm:     r.IntN(3) == 0,
		workers:  1 + r.IntN(3),
		store:    r.IntN(4) > 0,
		fleet:    r.IntN(3) == 0,
		issued:   r.IntN(3) > 0,
		outlives: r.IntN(5) == 0,
	}}
	switch r.IntN(6) {
	case 0:
		p.cfg.dwell = -1
	case 1:
		p.cfg.dwell = time.Hour
	}
	if !p.cfg.calm && r.IntN(3) == 0 {
		for i := range p.cfg.offsets {
			p.cfg.offsets[i] = time.Duration(r.Int64N(int64(8*time.Minute))) - 4*time.Minute
		}
	}
	total := 0
	for _, k := range modelKinds {
		total += k.often
	}
	for n := 8 + r.IntN(24); len(p.events) < n; {
		pick := r.IntN(total)
		for _, k := range modelKinds {
			if pick -= k.often; pick < 0 {
				if !k.noisy || !p.cfg.calm {
					p.events = append(p.events, modelEvent{kind: k.name, seed: r.Uint64()})
				}
				break
			}
		}
	}
	return p
}

// run executes the sequence, and returns what happened.
func (p modelPlan) run(t *testing.T) (m *model) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m = &model{cfg: p.cfg, most: make([]int, len(p.events)), seed: p.seed, start: time.Now(), told: make(map[time.Time]int), answered: make(map[time.Time]bool)}
		m.srv = icloudtest.NewServer()
		defer m.srv.Close()
		for i := range modelCards {
			m.srv.Put(fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Person %d\r\nUID:%d\r\nEND:VCARD\r\n", i, i))
		}
		m.photo = photoAt(m.srv.PutPhoto([]byte("\x89PNG\r\n\x1a\n"), "image/png"))
		m.store = &modelStore{m: m}
		if m.cfg.fleet {
			m.fleet = new(icloud.Fleet)
			for range 3 {
				m.neighbors = append(m.neighbors, newNeighbor(m))
			}
		}
		first := m.issue()
		for i := range m.cfg.workers {
			w := &modelWorker{m: m, n: i, offset: m.cfg.offsets[i]}
			m.workers = append(m.workers, w)
			w.restart(first, time.Time{})
		}
		defer func() {
			if v := recover(); v != nil {
				if _, ok := v.(modelBroken); !ok {
					panic(v)
				}
			}
			m.joined.Wait()
		}()
		for i, e := range p.events {
			m.event, m.parts = e, 0
			for _, k := range modelKinds {
				if k.name == e.kind {
					k.do(m, rand.New(rand.NewPCG(e.seed, 2)))
				}
			}
			m.most[i] = m.parts
			m.quiet()
		}
		m.epilogue(rand.New(rand.NewPCG(p.seed, 3)))
	})
	return m
}

const modelCards = 3

// model is a sequence that is being executed.
type model struct {
	cfg       modelConfig
	seed      uint64
	start     time.Time
	srv       *icloudtest.Server
	photo     *icloud.Contact
	fleet     *icloud.Fleet
	neighbors []*icloud.Client
	workers   []*modelWorker
	store     *modelStore
	event     modelEvent
	parts     int            // the number of parts of event so far
	most      []int          // the number of parts of each event
	joined    sync.WaitGroup // the calls under way

	mu        sync.Mutex // guards what follows; not held while waiting or calling a Client
	history   []string
	rule      string // the first rule that was broken
	broken    string
	passwords []*modelPassword
	clients   []*modelClient
	calls     uint64
	fault     modelFault
	photos    modelFault
	latency   time.Duration
	outage    bool               // the neighbors are refused
	owners    []*modelOp         // calls of Authenticate and Reconnect
	confirmed map[time.Time]bool // the verdicts that were seen, with keys as in told

	// told counts the calls of OnStatus for each verdict, and answered has the verdicts
	// that a Reconnect has returned. Their keys are Refused, by the clock of the Store.
	told     map[time.Time]int
	answered map[time.Time]bool
}

// modelBroken is the value of the panic that ends a sequence after a rule was broken.
type modelBroken struct{}

// log adds to the history.
func (m *model) log(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history = append(m.history, fmt.Sprintf("%14s  ", time.Since(m.start))+fmt.Sprintf(format, args...))
}

// fail records that a rule is broken.
func (m *model) fail(rule, format string, args ...any) {
	if slices.Contains(strings.Split(*modelIgnore, ","), rule) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == "" {
		m.rule = rule
		m.broken = fmt.Sprintf("%14s  BROKEN %s: %s", time.Since(m.start), rule, fmt.Sprintf(format, args...))
	}
}

// check ends the sequence if a rule is broken. Only the goroutine of the sequence calls it.
func (m *model) check() {
	m.mu.Lock()
	broken := m.broken != ""
	m.mu.Unlock()
	if broken {
		panic(modelBroken{})
	}
}

// modelPassword is a password that the account has, had, or never had.
type modelPassword struct {
	n      int
	cred   icloud.Credential
	forms  []string  // the forms in which it must not be found
	wrong  bool      // it was never issued
	end    time.Time // the end of its lifetime
	killed bool

	accepted, refused, probesRefused int // numbers of answers
}

func (p *modelPassword) String() string { return fmt.Sprintf("p%d", p.n) }

// works says whether the server accepts the password.
func (p *modelPassword) works() bool { return !p.wrong && !p.killed && time.Now().Before(p.end) }

// issue makes a password that works.
func (m *model) issue() *modelPassword {
	at := time.Now()
	if m.cfg.outlives {
		at = at.Add(2 * year)
	}
	p := &modelPassword{cred: m.srv.IssueAt(at), end: at.Add(year)}
	p.cred.Issued = time.Time{}
	if m.cfg.issued {
		p.cred.Issued = time.Now()
	}
	m.add(p)
	return p
}

// invent makes a password that never works.
func (m *model) invent(r *rand.Rand) *modelPassword {
	p := &modelPassword{wrong: true, cred: m.passwords[0].cred}
	p.cred.Password = icloud.UncheckedPassword(fmt.Sprintf("wron-gxxx-aaaa-%04d", r.IntN(10000)))
	p.cred.Issued = time.Time{}
	m.add(p)
	return p
}

func (m *model) add(p *modelPassword) {
	p.forms = secretForms(p.cred.Password.Reveal())
	m.mu.Lock()
	defer m.mu.Unlock()
	p.n = len(m.passwords)
	m.passwords = append(m.passwords, p)
}

// modelWorker is a process, which has one Client at a time, and a clock.
type modelWorker struct {
	m      *model
	n      int
	offset time.Duration // by which its clock is ahead
	client *modelClient
	token  string
}

// restart makes a new Client with a password. changed is when the account's own password was
// changed, if the service knows that.
func (w *modelWorker) restart(p *modelPassword, changed time.Time) {
	c := &modelClient{m: w.m, worker: w, password: p, seen: make(map[*icloud.AuthError]icloud.AuthError), newest: make(map[*modelPassword]time.Time)}
	w.m.mu.Lock()
	c.n = len(w.m.clients)
	w.m.clients = append(w.m.clients, c)
	w.m.mu.Unlock()
	opts := &icloud.Options{Transport: c, Fleet: w.m.fleet, Dwell: w.m.cfg.dwell, OnStatus: c.onStatus}
	if w.m.cfg.store {
		opts.Store = &modelView{store: w.m.store, client: c}
	}
	cred := w.credential(p)
	if !changed.IsZero() {
		cred.AccountChanged = changed.Add(-w.offset)
	}
	client, err := icloud.New(cred, opts)
	if err != nil {
		panic(err)
	}
	c.Client = client
	w.client = c
	w.m.log("worker %d is client %d, with %v", w.n, c.n, p)
}

// credential returns what the worker knows of a password. The Client takes the bubble's clock
// for its own, so dates of other clocks are shifted the other way.
func (w *modelWorker) credential(p *modelPassword) icloud.Credential {
	cred := p.cred
	if !cred.Issued.IsZero() {
		cred.Issued = cred.Issued.Add(-w.offset)
	}
	return cred
}

// modelClient is a Client, and what the model knows about it.
type modelClient struct {
	*icloud.Client
	m      *model
	worker *modelWorker
	n      int

	// model.mu guards what follows.
	password   *modelPassword
	since      time.Time  // when Reconnect accepted password
	joining    []*modelOp // Reconnects under way
	requests   []*modelRequest
	seen       map[*icloud.AuthError]icloud.AuthError
	newest     map[*modelPassword]time.Time // Status.LastAccepted
	tellings   map[time.Time]int            // calls of OnStatus with SignedOut, by Refused
	withheld   time.Time                    // the Client must not send anything before
	waits      time.Time                    // requests may be withheld until then, and no longer
	looked     time.Time                    // when it last read its Store while signed out
	storeFails bool                         // whether the Store has failed since the Client was made
	final      *icloud.AuthError            // the latest new verdict
	finalOf    *modelPassword
	refusal    *icloud.AuthError // the one in Status when no call was under way
	refusalOf  *modelPassword
}

func (c *modelClient) String() string { return fmt.Sprintf("c%d", c.n) }

// modelOp is a call.
type modelOp struct {
	id       uint64
	client   *modelClient
	kind     string
	password *modelPassword // that of a Reconnect
	seed     uint64
	start    time.Time
	deadline time.Time
	accepted time.Time // when the password of Reconnect was accepted
	final    bool      // whether the Client was SignedOut when the call began
	next     time.Time // Status.NextTry when the call began

	// Guarded by model.mu.
	draws    uint64
	requests int
	looks    []time.Time // when it read the Store while signed out
	saves    int
	met500   bool
	ended    bool
	end      time.Time
}

// rand returns the random source for the next event of the call.
func (o *modelOp) rand() *rand.Rand {
	o.client.m.mu.Lock()
	defer o.client.m.mu.Unlock()
	o.draws++
	return rand.New(rand.NewPCG(o.seed, o.draws))
}

// modelOpKey is the context key of the call.
type modelOpKey struct{}

// call makes a call, and waits for its end.
func (c *modelClient) call(r *rand.Rand, kind string, p *modelPassword) (err error) {
	m := c.m
	patience := time.Hour
	if !m.cfg.calm {
		switch r.IntN(6) {
		case 0:
			patience = jitter(r, 10*time.Second)
		case 1:
			patience = jitter(r, 5*time.Minute)
		}
	}
	return c.callFor(r, kind, p, patience, !m.cfg.calm && r.IntN(6) == 0)
}

// callFor makes a call whose context ends after patience.
func (c *modelClient) callFor(r *rand.Rand, kind string, p *modelPassword, patience time.Duration, cancel bool) (err error) {
	m := c.m
	o := &modelOp{client: c, kind: kind, password: p, seed: r.Uint64(), start: time.Now()}
	o.deadline = o.start.Add(patience)
	m.mu.Lock()
	m.calls++
	o.id = m.calls
	m.mu.Unlock()
	base := context.WithValue(context.Background(), modelOpKey{}, o)
	var ctx context.Context
	var end context.CancelFunc
	if cancel {
		ctx, end = context.WithCancel(base)
		timer := time.AfterFunc(patience, end)
		defer timer.Stop()
	} else {
		ctx, end = context.WithDeadline(base, o.deadline)
	}
	defer end()
	m.opStarts(o, patience)
	var cards int
	defer func() {
		if v := recover(); v != nil {
			m.fail("panic", "%v %s: %v", c, kind, v)
			err = fmt.Errorf("panic")
			return
		}
		m.opEnds(o, ctx, err, cards)
	}()
	switch kind {
	case "list":
		for contact, e := range c.Contacts(ctx) {
			if contact != nil {
				cards++
			}
			err = e
		}
	case "sync", "sync from the beginning":
		token := ""
		if kind == "sync" {
			m.mu.Lock()
			token = c.worker.token
			m.mu.Unlock()
		}
		next := ""
		next, err = c.Sync(ctx, token, func(icloud.Change) error { cards++; return nil })
		if err == nil {
			m.mu.Lock()
			c.worker.token = next
			m.mu.Unlock()
		}
		if token != "" {
			cards = modelCards // the cards of a delta are not counted
		}
	case "contact":
		_, err = c.Contact(ctx, "1.vcf")
	case "load":
		err = c.Load(ctx)
	case "authenticate":
		err = c.Authenticate(ctx)
	case "photo":
		_, _, err = c.Photo(ctx, m.photo)
	case "reconnect":
		err = c.Reconnect(ctx, c.worker.credential(p))
	default:
		panic(kind)
	}
	return err
}

// jitter draws a duration of up to most in nanoseconds, so that few events are simultaneous.
func jitter(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(1 + r.Int64N(int64(most)))
}

// pick draws one of several values.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// drawKind draws the kind of a call.
func drawKind(r *rand.Rand) string {
	return pick(r, "list", "list", "list", "contact", "contact", "sync", "sync from the beginning", "authenticate", "authenticate", "photo", "load")
}

// worker draws a worker.
func (m *model) worker(r *rand.Rand) *modelWorker { return m.workers[r.IntN(len(m.workers))] }

// wait waits for the calls under way. If they do not end, it fails before the bubble does,
// whose message would not have the sequence.
func (m *model) wait(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(72 * time.Hour):
		m.fail("panic", "a call never ends")
		fmt.Fprintf(os.Stderr, "seed %d, %v\n%s\n%s\n", m.seed, m.cfg, strings.Join(m.history, "\n"), m.broken)
		panic(modelBroken{})
	}
}

// part says whether the next part of an event happens.
func (m *model) part() bool {
	m.parts++
	return m.event.skip>>((m.parts-1)%64)&1 == 0
}

// doCall makes a single call.
func (m *model) doCall(r *rand.Rand) {
	c := m.worker(r).client
	m.alone(func() { _ = c.call(r, drawKind(r), nil) })
}

// alone runs calls and waits for them.
func (m *model) alone(f func()) {
	done := make(chan struct{})
	m.joined.Go(func() {
		defer close(done)
		f()
	})
	m.wait(done)
	m.check()
}

// doPoll makes calls at intervals, as a service does.
func (m *model) doPoll(r *rand.Rand) {
	every := pick(r, 20*time.Second, time.Minute, 2*time.Minute, 5*time.Minute, 16*time.Minute, time.Hour, 12*time.Hour, 25*time.Hour)
	all := r.IntN(2) == 0
	one := m.worker(r)
	for range 2 + r.IntN(5) {
		for _, w := range m.workers {
			if own := rand.New(rand.NewPCG(r.Uint64(), 0)); (all || w == one) && m.part() {
				m.alone(func() { _ = w.client.call(own, pick(own, "list", "contact"), nil) })
			}
		}
		m.quiet()
		time.Sleep(every + jitter(r, time.Second))
	}
}

// doBurst makes many concurrent calls while the server and the passwords change.
func (m *model) doBurst(r *rand.Rand) {
	within := pick(r, time.Second, 10*time.Second, 2*time.Minute, 10*time.Minute)
	m.log("a burst within %v", within)
	var all sync.WaitGroup
	start := func(f func()) {
		delay := jitter(r, within)
		if !m.part() {
			return
		}
		all.Add(1)
		m.joined.Go(func() {
			defer all.Done()
			time.Sleep(delay)
			f()
		})
	}
	for range 2 + r.IntN(6) {
		c, kind, own := m.worker(r).client, drawKind(r), rand.New(rand.NewPCG(r.Uint64(), 0))
		start(func() { _ = c.call(own, kind, nil) })
	}
	if r.IntN(2) == 0 {
		w, own := m.worker(r), rand.New(rand.NewPCG(r.Uint64(), 0))
		p := m.drawPassword(r, w)
		start(func() { _ = w.client.call(own, "reconnect", p) })
	}
	if r.IntN(3) == 0 {
		// A passing refusal or a throttle happens in between.
		f := modelFault{kind: pick(r, "401", "401", "503 wait"), left: 1 + r.IntN(3), wait: pick(r, 10*time.Second, 5*time.Minute)}
		start(func() {
			m.mu.Lock()
			m.fault = f
			m.mu.Unlock()
			m.log("the server answers %v", f)
		})
	}
	if r.IntN(4) == 0 {
		m.mu.Lock()
		m.latency = within / 2
		m.mu.Unlock()
		m.log("the server takes up to %v", within/2)
	}
	if r.IntN(4) == 0 {
		slow := pick(r, 20*time.Second, 10*time.Minute)
		m.store.set(storeWorks, slow)
		m.log("the Store takes up to %v", slow)
	}
	for range r.IntN(3) {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		change := pick(r, m.doRevoke, m.doFault, m.doHeal, m.doStore, m.doLatency, m.doFault)
		start(func() { change(own) })
	}
	done := make(chan struct{})
	m.joined.Go(func() {
		defer close(done)
		all.Wait()
	})
	m.wait(done)
	m.check()
}

// doSleep sleeps.
func (m *model) doSleep(r *rand.Rand) {
	d := pick(r, time.Second, 30*time.Second, time.Minute, 2*time.Minute, 15*time.Minute, 16*time.Minute, time.Hour, 2*time.Hour,
		day, 25*time.Hour, 10*day, 100*day, 360*day, 500*day)
	d += jitter(r, d/10)
	m.log("%v pass", d.Round(time.Second))
	time.Sleep(d)
}

// drawPassword draws the password of a Reconnect.
func (m *model) drawPassword(r *rand.Rand, w *modelWorker) *modelPassword {
	m.mu.Lock()
	current := w.client.password
	working := 0
	for _, p := range m.passwords {
		if p.works() {
			working++
		}
	}
	old := m.passwords[r.IntN(len(m.passwords))]
	m.mu.Unlock()
	switch r.IntN(7) {
	case 0, 1:
		return current
	case 2:
		return m.invent(r)
	case 3:
		return old
	}
	if working > 20 { // Apple allows 25
		return old
	}
	return m.issue()
}

// doReconnect gives a Client a new, an old, a wrong or the same password.
func (m *model) doReconnect(r *rand.Rand) {
	w := m.worker(r)
	p := m.drawPassword(r, w)
	m.alone(func() { _ = w.client.call(r, "reconnect", p) })
	if r.IntN(3) == 0 && m.cfg.store {
		// The other workers get the credential too, or are restarted with it.
		for _, other := range m.workers {
			if other != w {
				if r.IntN(2) == 0 {
					m.alone(func() { _ = other.client.call(r, "reconnect", p) })
				} else {
					other.restart(p, time.Time{})
				}
			}
		}
	}
}

// doRevoke kills passwords.
func (m *model) doRevoke(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	which := m.passwords
	if r.IntN(2) == 0 {
		p := m.workers[r.IntN(len(m.workers))].client.password
		which = []*modelPassword{p}
	}
	for _, p := range which {
		p.killed = true
		m.srv.Revoke(p.cred.Password)
	}
	m.history = append(m.history, fmt.Sprintf("%14s  %v die", time.Since(m.start), which))
}

// doHeal ends the server's faults.
func (m *model) doHeal(*rand.Rand) {
	m.mu.Lock()
	m.fault, m.photos, m.latency = modelFault{}, modelFault{}, 0
	m.mu.Unlock()
	m.store.set(storeWorks, 0)
	m.log("all faults end")
}

// doLatency makes the server slow, or fast again.
func (m *model) doLatency(r *rand.Rand) {
	d := pick(r, 0, 100*time.Millisecond, 5*time.Second, time.Minute, 3*time.Minute)
	m.mu.Lock()
	m.latency = d
	m.mu.Unlock()
	m.log("the server takes up to %v", d)
}

// doRestart makes a new Client, with the password that the Client has or with the one that the
// service has saved last.
func (m *model) doRestart(r *rand.Rand) {
	w := m.worker(r)
	m.mu.Lock()
	p := w.client.password
	if r.IntN(4) == 0 {
		p = m.passwords[r.IntN(len(m.passwords))]
	}
	m.mu.Unlock()
	var changed time.Time
	if r.IntN(6) == 0 {
		changed = time.Now()
		m.log("the account's password was changed now, says the owner")
	}
	if m.cfg.calm && m.cfg.store && changed.IsZero() && p == w.client.password {
		m.compareRestart(r, w)
		return
	}
	w.restart(p, changed)
}

// doNeighbors lets the other accounts of the Fleet be refused or accepted for a while.
func (m *model) doNeighbors(r *rand.Rand) {
	if !m.cfg.fleet {
		return
	}
	refused := r.IntN(2) == 0
	m.mu.Lock()
	m.outage = refused
	m.mu.Unlock()
	m.pollNeighbors()
	_, incident := m.fleet.Incident()
	m.log("the Fleet's other accounts are refused: %v; an incident: %v", refused, incident)
	for range r.IntN(6) {
		time.Sleep(5*time.Minute + jitter(r, time.Second))
		m.pollNeighbors()
		w := m.worker(r)
		m.alone(func() { _ = w.client.call(r, "list", nil) })
		m.quiet()
	}
}

// pollNeighbors makes one call of each of them.
func (m *model) pollNeighbors() {
	for _, c := range m.neighbors {
		_, _ = c.Contact(context.Background(), "1.vcf")
	}
}
