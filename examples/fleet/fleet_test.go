// The whole service: two worker processes and 500 accounts at a fake iCloud, with every
// fault that a service meets.

package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const (
	accounts = 500
	patience = 4 * time.Minute // how long the test waits for something before it fails
)

// fake is one account at iCloud.
type fake struct {
	*icloudtest.Server
	cred  icloud.Credential // the one that its owner has entered last
	cards map[string]string // vCards by ID

	// mu is held by each request, and by a function that changes the fake.
	mu sync.RWMutex
	// young replaces an old password until that is to expire: see age.
	young icloud.Password
	// fate is the reason that the owner must be told. requests is the number of
	// requests at the time when the password died.
	fate     string
	requests int
	// lost is the ID of a card that the fake sends neither by a multiget nor by a GET.
	lost string
}

func newFake(i int) *fake {
	f := &fake{Server: icloudtest.NewServer(), cards: make(map[string]string)}
	for n := range 1 + i%4 {
		f.put(fmt.Sprintf("%d-%d.vcf", i, n), fmt.Sprintf("Person %d of %d", n, i))
	}
	return f
}

func (f *fake) put(id, name string) {
	card := "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + id + "\r\nN:" + name + ";;;;\r\nFN:" + name + "\r\nEND:VCARD\r\n"
	f.cards[id] = card
	f.Put(id, card)
}

func (f *fake) delete(id string) {
	delete(f.cards, id)
	f.Server.Delete(id)
}

// age issues a password that die makes expire. The fake uses the real time, which this
// test cannot change. So the password has expired from the start, and until die its
// requests are sent with another one.
func (f *fake) age() {
	f.cred, f.young = f.IssueAt(time.Now().Add(-icloud.DefaultLifetime)), f.Issue().Password
}

// die ends the password, by age or by revocation.
func (f *fake) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fate, f.requests = "revoked", f.Requests()
	if f.young.Reveal() != "" {
		f.fate, f.young = "expired", icloud.Password{}
		return
	}
	f.Revoke(f.cred.Password)
}

// meet answers the next requests with a fault.
func (f *fake) meet(fault icloudtest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Intercept = fault
}

// front serves all fakes at one port. It can delay all requests.
type front struct {
	fakes map[string]*fake // by Apple ID
	mu    sync.Mutex
	held  chan struct{} // closed to let requests through; nil if they are not delayed
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	held := f.held
	f.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done(): // the worker has been killed
			return
		}
	}
	user, _, _ := r.BasicAuth()
	account := f.fakes[user]
	if account == nil {
		http.NotFound(w, r)
		return
	}
	account.mu.RLock()
	defer account.mu.RUnlock()
	if account.young.Reveal() != "" {
		r.SetBasicAuth(user, account.young.Reveal())
	}
	switch {
	case account.lost == "":
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/"+account.lost):
		http.Error(w, "", http.StatusForbidden)
		return
	case r.Method == "REPORT":
		if err := lose(r, account.lost); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	account.ServeHTTP(w, r)
}

// href matches an href in a request's body.
var href = regexp.MustCompile(`<([a-zA-Z]+:)?href[^>]*>[^<]*</([a-zA-Z]+:)?href>`)

// lose removes a card from a request.
func lose(r *http.Request, id string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	body = href.ReplaceAllFunc(body, func(href []byte) []byte {
		if bytes.Contains(href, []byte("/"+id+"<")) {
			return nil
		}
		return href
	})
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}

func (f *front) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held = nil
		close(held)
	})
}

func TestFleet(t *testing.T) {
	// 500 accounts, behind one port of this machine.
	all := make([]*fake, accounts)
	front := &front{fakes: make(map[string]*fake)}
	for i := range all {
		all[i] = newFake(i)
		defer all[i].Close()
		if fate(i) == expired {
			all[i].age()
		} else {
			all[i].cred = all[i].Issue()
		}
		front.fakes[all[i].cred.AppleID] = all[i]
	}
	icloudServer := httptest.NewServer(front)
	defer icloudServer.Close()

	// This process is the web form. The dwell has passed when the next probe of a doubted
	// password is sent, which is after a minute.
	endpoint := icloudServer.URL + "/"
	f := newFleet(t, settings{endpoint: endpoint, workers: 4, dwell: 45 * time.Second, timeout: time.Minute})
	see := &look{t, f}
	began := time.Now()
	progress := func(text string) { t.Logf("%3.0f s: %s", time.Since(began).Seconds(), text) }

	work := func(name string) *worker {
		return startWorker(t, name, "work", "-name", name, "-endpoint", endpoint, "-workers", "16", "-every", "1h", "-sweep", "1s",
			"-dwell", "45s", "-timeout", "15s")
	}
	first, second := work("first"), work("second")
	connectAll(t, f, all)
	progress("all are connected")
	see.until("every account has been synced", `SELECT count(*) = $1 FROM accounts WHERE synced IS NOT NULL`, accounts)
	see.sameContacts(all)
	progress("all are synced")

	// Passwords die. Nobody is told before the refusal is Confirmed.
	var dead, alive []*fake
	for i, a := range all {
		if fate(i) == expired || fate(i) == revoked {
			a.die()
			dead = append(dead, a)
		} else {
			alive = append(alive, a)
		}
	}
	see.due(dead)
	see.until("every dead password is in doubt", `SELECT count(*) = $2 FROM accounts a JOIN icloud_store s ON s.account = a.key
		WHERE a.apple_id = ANY ($1) AND s.reason IS NOT NULL AND NOT s.confirmed`, ids(dead), len(dead))
	progress(fmt.Sprintf("%d dead passwords are in doubt", len(dead)))

	// The others change their contacts, and meet every temporary fault.
	tokens := see.tokens()
	var partial []*fake
	for i, a := range all {
		switch fate(i) {
		case expired, revoked:
			continue
		case throttled:
			a.meet(icloudtest.Times(1, icloudtest.Status(http.StatusServiceUnavailable, "Retry-After", "3")))
		case forgotten:
			a.ForgetTokens()
		case stray:
			a.meet(icloudtest.Times(1, icloudtest.Unauthorized))
		case doubted:
			a.meet(icloudtest.Times(2, icloudtest.Unauthorized))
		case broken:
			a.meet(icloudtest.Times(1, icloudtest.Cut(100)))
		case partly:
			a.mu.Lock()
			a.lost = fmt.Sprintf("%d-new.vcf", i)
			a.mu.Unlock()
			partial = append(partial, a)
		}
		a.delete(fmt.Sprintf("%d-0.vcf", i))
		a.put(fmt.Sprintf("%d-1.vcf", i), "Somebody else")
		a.put(fmt.Sprintf("%d-new.vcf", i), "New")
	}

	// A worker is killed while it runs jobs.
	changed := see.now()
	release := front.hold()
	defer release()
	see.due(alive)
	see.until("the first worker has jobs in its hands",
		`SELECT count(*) > 3 FROM river_job WHERE kind = 'sync' AND state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = 'first'`)
	first.kill()
	release()
	progress("a worker is killed")

	see.until("the jobs of the worker that was killed are rescued",
		`SELECT count(*) > 3 FROM river_job WHERE array_to_string(errors, ' ') LIKE '%rescued%'`)
	progress("its jobs are rescued")

	see.until("what could be got of a book is kept, with a token that owes the rest", `SELECT count(*) = $2 FROM accounts a JOIN contacts c ON c.account = a.id
		WHERE a.apple_id = ANY ($1) AND c.name = 'Somebody else' AND a.token <> ALL ($3)`, ids(partial), len(partial), tokens)
	for _, a := range partial {
		a.mu.Lock()
		a.lost = ""
		a.mu.Unlock()
	}
	see.due(partial)
	see.until("every owner of a dead password is told", `SELECT count(*) = $1 FROM notices WHERE kind = 'ended'`, len(dead))
	progress("the owners of the dead passwords are told")
	see.untilAfter("every other account is up to date", func() {
		// After a fault for which NextTry is zero, an account is polled at its next slot.
		// The test does not wait for that.
		see.poll(`SELECT id FROM accounts WHERE apple_id = ANY ($1) AND synced <= $2 AND due > now() + interval '10 minutes'`, ids(alive), changed)
	}, `SELECT count(*) = $2 FROM accounts WHERE apple_id = ANY ($1) AND synced > $3`, ids(alive), len(alive), changed)
	see.until("no job is left", noJob)
	progress("all others are up to date")
	see.sameContacts(all)
	see.told(dead)

	if n := see.one(`SELECT count(*) FROM accounts a JOIN icloud_store s ON s.account = a.key WHERE a.apple_id = ANY ($1) AND s.reason IS NOT NULL`, ids(alive)); n != 0 {
		t.Errorf("%d healthy accounts are not shown as such", n)
	}

	// A job for a dead password sends no request and writes no second notice.
	see.due(dead)
	see.until("no job is left of the dead", noJob)
	see.told(dead)
	progress("the dead were told once")

	// Half of the owners make a new password. Their contacts have changed meanwhile.
	var back []*fake
	for i, a := range all {
		if fate(i) == revoked {
			a.cred, a.fate = a.Issue(), ""
			a.delete(fmt.Sprintf("%d-0.vcf", i))
			a.put(fmt.Sprintf("%d-new.vcf", i), "New")
			back = append(back, a)
		}
	}
	connectAll(t, f, back)
	see.until("the reconnected accounts have their contacts", `SELECT count(*) = $2 FROM accounts a
		WHERE a.apple_id = ANY ($1) AND EXISTS (SELECT FROM contacts c WHERE c.account = a.id AND c.name = 'New')`, ids(back), len(back))
	see.until("no job is left of them", noJob)
	see.sameContacts(all)
	if n := see.one(`SELECT count(*) FROM notices WHERE kind = 'ended'`); n != int64(len(dead)) {
		t.Errorf("there are %d notices after the reconnection, want the %d from before", n, len(dead))
	}
	progress("half of them are back")

	for _, a := range all {
		if !password.MatchString(a.cred.Password.Reveal()) || !appleID.MatchString(a.cred.AppleID) {
			t.Fatal("the fake has another form of secrets than this test looks for")
		}
	}
	second.stop()
	progress("the other worker has ended")
	silent(t, first)
	silent(t, second)
}

// What happens to an account, by its number. To most accounts nothing happens.
const (
	nothing = iota
	expired
	revoked
	throttled // 503, once
	forgotten // the server forgets its token
	stray     // one wrong 401, which the probe refutes
	doubted   // two wrong 401s, which the probe a minute later refutes
	broken    // an answer that breaks off
	partly    // a card that cannot be fetched for a while
)

func fate(i int) int {
	switch {
	case i%200 == 7:
		return doubted
	case i%50 < doubted:
		return i % 50
	case i%50 == 48:
		return partly
	case i%50 == 49:
		return broken
	}
	return nothing
}

// connectAll enters the passwords of accounts, a few at a time.
func connectAll(t *testing.T, f *fleet, all []*fake) {
	t.Helper()
	var wg sync.WaitGroup
	var failed atomic.Bool
	for part := range slices.Chunk(all, (len(all)+3)/4) {
		wg.Go(func() {
			for _, a := range part {
				if err := f.connect(t.Context(), a.cred); err != nil {
					failed.Store(true)
					t.Errorf("an account cannot connect: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() {
		t.FailNow()
	}
}

func ids(all []*fake) (ids []string) {
	for _, a := range all {
		ids = append(ids, a.cred.AppleID)
	}
	return ids
}

// worker is another process, which runs the program.
type worker struct {
	t       *testing.T
	cmd     *exec.Cmd
	ended   chan error
	outputs []string // names of files
}

func startWorker(t *testing.T, name string, args ...string) *worker {
	t.Helper()
	w := &worker{t: t, cmd: exec.Command(os.Args[0], args...), ended: make(chan error, 1)}
	w.cmd.Env = append(os.Environ(), programVariable+"=1")
	var files [2]*os.File
	for i, kind := range []string{"out", "err"} {
		file, err := os.Create(filepath.Join(t.TempDir(), name+"."+kind))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files[i] = file
		w.outputs = append(w.outputs, file.Name())
	}
	w.cmd.Stdout, w.cmd.Stderr = files[0], files[1]
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { w.ended <- w.cmd.Wait() }()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		if log, err := os.ReadFile(w.outputs[1]); err == nil && t.Failed() {
			t.Logf("the last words of the %s worker:\n%s", name, log[max(0, len(log)-4000):])
		}
	})
	return w
}

func (w *worker) kill() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	<-w.ended
}

func (w *worker) stop() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("a worker that is asked to end says %v", err)
		}
	case <-time.After(patience):
		w.t.Error("a worker that is asked to end does not")
	}
}

// What is personal or secret, as it appears in the fakes.
var (
	appleID  = regexp.MustCompile(`@example\.com`)
	password = regexp.MustCompile(`[a-z]{4}-[a-z]{4}-[a-z]{4}-[a-z]{4}`)
	path     = regexp.MustCompile(`/carddavhome|/principal`)
	card     = regexp.MustCompile(`\.vcf|Somebody else`)
)

// silent checks that a worker's output says what happened, and not to whom.
func silent(t *testing.T, w *worker) {
	t.Helper()
	for _, name := range w.outputs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 && w.cmd.ProcessState.Success() {
			t.Errorf("%s is empty", filepath.Base(name))
		}
		for what, secret := range map[string]*regexp.Regexp{"an Apple ID": appleID, "a password": password, "a path": path, "a card": card} {
			if secret.Match(text) {
				t.Errorf("%s names %s", filepath.Base(name), what)
			}
		}
	}
}

// look reads a value from the database.
type look struct {
	t *testing.T
	*fleet
}

// noJob says that no account has a job.
const noJob = `SELECT count(*) = 0 FROM river_job WHERE kind = 'sync' AND finalized_at IS NULL`

func (l *look) one(query string, args ...any) (n int64) {
	l.t.Helper()
	if err := l.pool.QueryRow(l.t.Context(), query, args...).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

// until waits until a query returns true.
func (l *look) until(what, query string, args ...any) {
	l.t.Helper()
	l.untilAfter(what, func() {}, query, args...)
}

// untilAfter is until, and calls a function before each query.
func (l *look) untilAfter(what string, do func(), query string, args ...any) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		do()
		var yes bool
		if err := l.pool.QueryRow(l.t.Context(), query, args...).Scan(&yes); err != nil {
			l.t.Fatal(err)
		}
		if yes {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("it does not come true that %s", what)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// due inserts jobs for many accounts at once, which a sweep would not do.
func (l *look) due(all []*fake) {
	l.t.Helper()
	l.poll(`SELECT id FROM accounts WHERE apple_id = ANY ($1)`, ids(all))
}

// poll inserts jobs for the accounts that a query names.
func (l *look) poll(query string, args ...any) {
	l.t.Helper()
	rows, err := l.pool.Query(l.t.Context(), query, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	accounts, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		l.t.Fatal(err)
	}
	if len(accounts) == 0 {
		return
	}
	var jobs []river.InsertManyParams
	for _, account := range accounts {
		jobs = append(jobs, river.InsertManyParams{Args: syncArgs{account}})
	}
	if _, err := l.jobs.InsertMany(l.t.Context(), jobs); err != nil {
		l.t.Fatal(err)
	}
}

// now returns the database's time.
func (l *look) now() (now time.Time) {
	l.t.Helper()
	if err := l.pool.QueryRow(l.t.Context(), `SELECT now()`).Scan(&now); err != nil {
		l.t.Fatal(err)
	}
	return now
}

// tokens returns the sync tokens of all accounts. It checks that the table has no password
// in plain text.
func (l *look) tokens() (tokens []string) {
	l.t.Helper()
	rows, err := l.pool.Query(l.t.Context(), `SELECT token, password FROM accounts`)
	if err != nil {
		l.t.Fatal(err)
	}
	var token string
	var password []byte
	if _, err := pgx.ForEachRow(rows, []any{&token, &password}, func() error {
		tokens = append(tokens, token)
		if _, err := icloud.ParsePassword(string(password)); err == nil {
			l.t.Error("a password is not sealed")
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	return tokens
}

// sameContacts checks that the database has what iCloud has, byte for byte.
func (l *look) sameContacts(all []*fake) {
	l.t.Helper()
	rows, err := l.pool.Query(l.t.Context(), `SELECT a.apple_id, c.id, c.vcard FROM contacts c JOIN accounts a ON a.id = c.account`)
	if err != nil {
		l.t.Fatal(err)
	}
	got := make(map[string]map[string]string)
	var appleID, id string
	var card []byte
	if _, err := pgx.ForEachRow(rows, []any{&appleID, &id, &card}, func() error {
		if got[appleID] == nil {
			got[appleID] = make(map[string]string)
		}
		got[appleID][id] = string(card)
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	for i, a := range all {
		if !maps.Equal(got[a.cred.AppleID], a.cards) {
			l.t.Errorf("account %d, to which %d happens: got %q, want %q", i, fate(i), got[a.cred.AppleID], a.cards)
		}
	}
}

// told checks that the owner of each dead password was told once and the right reason,
// that nobody else was told, and how many requests iCloud has got.
func (l *look) told(dead []*fake) {
	l.t.Helper()
	rows, err := l.pool.Query(l.t.Context(), `SELECT a.apple_id, n.event ->> 'reason', n.remedy FROM notices n JOIN accounts a ON a.id = n.account WHERE n.kind = 'ended'`)
	if err != nil {
		l.t.Fatal(err)
	}
	got := make(map[string][]string)
	var appleID, reason, remedy string
	if _, err := pgx.ForEachRow(rows, []any{&appleID, &reason, &remedy}, func() error {
		got[appleID] = append(got[appleID], reason)
		if remedy == "" {
			l.t.Errorf("a notice has no remedy")
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	if len(got) != len(dead) {
		l.t.Errorf("%d owners were told, want %d", len(got), len(dead))
	}
	for _, a := range dead {
		if reasons := got[a.cred.AppleID]; !slices.Equal(reasons, []string{a.fate}) {
			l.t.Errorf("an owner was told %q, want %q once", reasons, a.fate)
		}
		if n := a.Requests() - a.requests; n < 2 || n > 4 {
			l.t.Errorf("%d requests with a password after its death, want 2 to 4", n)
		}
	}
}
