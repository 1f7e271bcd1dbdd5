// Several processes with one account, which share only a DirStore and the server.
// sqlstore/drivertest has the same for databases.

package icloud_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// order is a line that the parent writes to a worker.
type order struct {
	Do       string // "list", "load", "reconnect", or "save" for ever
	Endpoint string // the first order makes the Client
	Dir      string
	AppleID  string
	Password string
	Dwell    time.Duration
}

// reply is the answer line of a worker: the result of the call.
type reply struct {
	Contacts  int
	Err       string // "" if the call succeeded
	Reason    string // this and the fields below are those of an AuthError
	Certainty string
	Confirmed bool
	Refused   time.Time
	State     string
	Replaced  time.Time
}

// verdict is a reply without the time, which may differ between two processes that were
// refused at the same moment.
func (r reply) verdict() string {
	return strings.Join([]string{r.State, r.Reason, r.Certainty, fmt.Sprint(r.Confirmed)}, ", ")
}

const (
	workerVariable = "ICLOUD_TEST_WORKER"
	workerPrefix   = "worker: " // before every reply, because "go test" prints too
	hammeredKey    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// TestWorkerProcess is not a test. The other processes run it.
func TestWorkerProcess(t *testing.T) {
	if os.Getenv(workerVariable) == "" {
		return
	}
	var client *icloud.Client
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		cred := icloud.Credential{AppleID: o.AppleID, Password: icloud.UncheckedPassword(o.Password)}
		if o.Do == "save" {
			for i := 0; ; i++ {
				if err := icloud.DirStore(o.Dir).Save(t.Context(), hammeredKey, hammered(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if client == nil {
			var err error
			client, err = icloud.New(cred, &icloud.Options{Endpoint: o.Endpoint, Store: icloud.DirStore(o.Dir), Dwell: o.Dwell})
			if err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(obey(t.Context(), client, o.Do, cred))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", workerPrefix, text)
	}
}

// obey makes one call and returns its result.
func obey(ctx context.Context, client *icloud.Client, do string, cred icloud.Credential) (r reply) {
	var err error
	switch do {
	case "reconnect":
		err = client.Reconnect(ctx, cred)
	case "load":
		err = client.Load(ctx)
	default:
		for _, e := range client.Contacts(ctx) {
			if err = e; err == nil {
				r.Contacts++
			}
		}
	}
	if err != nil {
		r.Err = err.Error()
	}
	if v, ok := errors.AsType[*icloud.AuthError](err); ok {
		r.Reason, r.Certainty, r.Confirmed, r.Refused = v.Err.Error(), v.Certainty.String(), v.Confirmed, v.Refused
	}
	status := client.Status()
	r.State, r.Replaced = status.State.String(), status.Replaced
	return r
}

// hammered returns the i-th version of a file. A mixture of two versions is noticed.
func hammered(i int) []byte {
	return bytes.Repeat([]byte{'a' + byte(i%26)}, 100+1000*(i%26))
}

// scene is a server, a Store, and processes.
type scene struct {
	*icloudtest.Server
	t     *testing.T
	url   string
	dir   string
	dwell time.Duration
}

func newScene(t *testing.T, intercept func(http.ResponseWriter, *http.Request) bool) *scene {
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Intercept = intercept
	srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ada\r\nEND:VCARD\r\n")
	web := httptest.NewServer(srv)
	t.Cleanup(web.Close)
	return &scene{Server: srv, t: t, url: web.URL, dir: filepath.Join(t.TempDir(), "store"), dwell: -1}
}

// worker is another process with its own Client.
type worker struct {
	s    *scene
	cred icloud.Credential
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// start starts a process that signs in with cred.
func (s *scene) start(cred icloud.Credential) *worker {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestWorkerProcess$")
	cmd.Env = append(os.Environ(), workerVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		// The process ends with its input. kill is for one that hangs or saves for ever.
		in.Close()
		stop := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer stop.Stop()
		cmd.Wait()
	})
	return &worker{s: s, cred: cred, cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

// send sends an order; receive waits for the reply.
func (w *worker) send(do string, cred icloud.Credential) {
	w.s.t.Helper()
	text, err := json.Marshal(order{
		Do: do, Endpoint: w.s.url, Dir: w.s.dir, Dwell: w.s.dwell,
		AppleID: cred.AppleID, Password: cred.Password.Reveal(),
	})
	if err == nil {
		_, err = fmt.Fprintf(w.in, "%s\n", text)
	}
	if err != nil {
		w.s.t.Fatal(err)
	}
}

func (w *worker) receive() (r reply) {
	w.s.t.Helper()
	for w.out.Scan() {
		text, ok := bytes.CutPrefix(w.out.Bytes(), []byte(workerPrefix))
		if !ok {
			w.s.t.Logf("the other process says: %s", w.out.Bytes())
			continue
		}
		if err := json.Unmarshal(text, &r); err != nil {
			w.s.t.Fatal(err)
		}
		return r
	}
	w.s.t.Fatal("the other process has ended")
	return r
}

func (w *worker) list() reply {
	w.s.t.Helper()
	w.send("list", w.cred)
	return w.receive()
}

func (w *worker) load() reply {
	w.s.t.Helper()
	w.send("load", w.cred)
	return w.receive()
}

func (w *worker) reconnect(cred icloud.Credential) reply {
	w.s.t.Helper()
	w.send("reconnect", cred)
	return w.receive()
}

// well fails the test unless a call succeeded.
func (s *scene) well(what string, r reply) {
	s.t.Helper()
	if r.Err != "" || r.State != "active" {
		s.t.Errorf("%s: got error %q, state %s; want none, active", what, r.Err, r.State)
	}
}

// refused fails the test unless a call ended with this verdict.
func (s *scene) refused(what string, r reply, want string) {
	s.t.Helper()
	if got := r.verdict(); got != want {
		s.t.Errorf("%s: got %s (%s); want %s", what, got, r.Err, want)
	}
}

// silent fails the test if f makes a request.
func (s *scene) silent(what string, f func()) {
	s.t.Helper()
	before := s.Requests()
	f()
	if n := s.Requests() - before; n != 0 {
		s.t.Errorf("%s: got %d requests, want none", what, n)
	}
}

const (
	revoked  = "signed out, icloud: password revoked, possible, true"
	rejected = "signed out, icloud: password rejected, likely, true"
)

// TestTwoProcessesReconnect: one process is signed out, and another reconnects. After that only
// processes with the new password work.
func TestTwoProcessesReconnect(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	old := s.Issue()
	a, b := s.start(old), s.start(old)
	s.well("the first process", a.list())
	s.well("the second process", b.list())
	s.Revoke(old.Password)
	s.refused("the first process", a.list(), revoked)

	fresh := s.Issue()
	s.well("reconnecting in the second process", b.reconnect(fresh))
	s.well("listing there", b.list())
	s.silent("the old password", func() {
		s.refused("the first process, still with the old password", a.list(), revoked)
		s.refused("a third process, still with the old password", s.start(old).list(), revoked)
	})
	s.well("a process with the new password", s.start(fresh).list())
	s.well("reconnecting in the first process", a.reconnect(fresh))
	s.well("listing there", a.list())
}

// TestTwoProcessesReplaced: a web process reconnects with a new password while a worker
// keeps its Client. By Load the worker learns that another password works, gets it from
// where the web process has put it, and reconnects. It sends no request before.
func TestTwoProcessesReplaced(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	secrets := map[string]icloud.Credential{"customer": s.Issue()} // both processes can read it
	worker, web := s.start(secrets["customer"]), s.start(secrets["customer"])
	s.well("the worker", worker.list())
	s.Revoke(secrets["customer"].Password)
	s.refused("the worker", worker.list(), revoked)
	if r := worker.load(); !r.Replaced.IsZero() {
		t.Errorf("replaced since %v, before anybody has a new password", r.Replaced)
	}

	before := time.Now()
	fresh := s.Issue()
	s.well("the page on which the customer connects again", web.reconnect(fresh))
	secrets["customer"] = fresh
	s.silent("the worker looks into the Store", func() {
		r := worker.load()
		if r.Err != "" || r.State != "signed out" || r.Replaced.Before(before.Add(-time.Second)) {
			t.Errorf("got %q, state %s, replaced since %v; want it signed out, and replaced just now", r.Err, r.State, r.Replaced)
		}
	})
	s.well("the worker with what it has fetched", worker.reconnect(secrets["customer"]))
	if r := worker.list(); r.Err != "" || !r.Replaced.IsZero() {
		t.Errorf("got %q, replaced since %v", r.Err, r.Replaced)
	}
}

// TestTwoProcessesRepaired: when one process finds that a verdict was wrong, the other one
// learns it by Load.
func TestTwoProcessesRepaired(t *testing.T) {
	t.Parallel()
	var stray atomic.Bool
	s := newScene(t, func(w http.ResponseWriter, r *http.Request) bool {
		return stray.Load() && icloudtest.Unauthorized(w, r)
	})
	cred := s.Issue()
	a, b := s.start(cred), s.start(cred)
	s.well("the first process", a.list())
	s.well("the second process", b.list())
	stray.Store(true)
	s.refused("the first process", a.list(), revoked)
	stray.Store(false)
	s.well("reconnecting in the second process with the same password", b.reconnect(cred))
	s.silent("the first process looks into the Store", func() { s.well("the first process", a.load()) })
	s.well("listing there", a.list())
}

// TestTwoProcessesLateRefusal: a process gets a 401 before another one reconnects, and
// judges and saves it after that. It must not overwrite what is remembered of the new
// password.
func TestTwoProcessesLateRefusal(t *testing.T) {
	t.Parallel()
	hold, held, release := make(chan bool, 1), make(chan bool), make(chan bool)
	s := newScene(t, func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-hold:
			close(held)
			select {
			case <-release:
			case <-t.Context().Done(): // the test has failed
			}
		default:
		}
		return false
	})
	old := s.Issue()
	a, b := s.start(old), s.start(old)
	s.well("the first process", a.list())
	s.well("the second process", b.list())

	s.Revoke(old.Password)
	hold <- true
	a.send("list", old)
	<-held
	fresh := s.Issue()
	s.well("reconnecting in the second process", b.reconnect(fresh))
	close(release)
	s.refused("the first process", a.receive(), revoked)

	// A process that starts after the end of the new password knows only from the Store
	// that it was accepted.
	s.Revoke(fresh.Password)
	s.refused("a process that has never seen the new password work", s.start(fresh).list(), revoked)
	s.refused("one with a password that nobody has used", s.start(s.spoiled()).list(), rejected)
	s.silent("the old password", func() {
		s.refused("a process with the old one", s.start(old).list(), revoked)
	})
}

// spoiled returns a credential that has never worked.
func (s *scene) spoiled() icloud.Credential {
	cred := s.Issue()
	cred.Password = icloud.UncheckedPassword("abcd-abcd-abcd-abcd")
	return cred
}

// TestTwoProcessesRefusedAtOnce: two processes get their first 401 at the same moment.
func TestTwoProcessesRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dwell time.Duration
		want  string
	}{
		"final":    {-1, revoked},
		"in doubt": {time.Hour, "doubted, icloud: password revoked, possible, false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each process sends two requests. Each waits for that of the other
			// process, so that the two 401s come together, and then the answers
			// to the two probes.
			var mu sync.Mutex
			var meeting chan bool
			together := 0
			s := newScene(t, func(http.ResponseWriter, *http.Request) bool {
				mu.Lock()
				var other chan bool // closed when the request of the other process comes
				switch {
				case together == 0:
				case meeting == nil:
					together--
					meeting = make(chan bool)
					other = meeting
				default:
					together--
					close(meeting)
					meeting = nil
				}
				mu.Unlock()
				if other != nil {
					select {
					case <-other:
					case <-t.Context().Done(): // the test has failed
					}
				}
				return false
			})
			s.dwell = test.dwell
			cred := s.Issue()
			a, b := s.start(cred), s.start(cred)
			s.well("the first process", a.list())
			s.well("the second process", b.list())
			s.Revoke(cred.Password)
			mu.Lock()
			together = 4
			mu.Unlock()
			a.send("list", cred)
			b.send("list", cred)
			first, second := a.receive(), b.receive()
			s.refused("the first process", first, test.want)
			s.refused("the second process", second, test.want)
			if d := first.Refused.Sub(second.Refused).Abs(); d > 10*time.Second {
				t.Errorf("refused %v apart, want together", d)
			}
			s.silent("a third process", func() {
				third := s.start(cred).list()
				s.refused("a third process", third, test.want)
				// It is the same verdict.
				if !third.Refused.Equal(first.Refused) && !third.Refused.Equal(second.Refused) {
					t.Errorf("a third process: refused since %v, want %v or %v", third.Refused, first.Refused, second.Refused)
				}
			})
			s.well("reconnecting in one", a.reconnect(s.Issue()))
		})
	}
}

// TestKilledWhileSaving: a process that is killed while it saves leaves the old data or the
// new data, complete, and nothing that stops the next process.
func TestKilledWhileSaving(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	store := icloud.DirStore(s.dir)
	kills := 8
	if testing.Short() {
		kills = 2
	}
	for range kills {
		w := s.start(icloud.Credential{})
		w.send("save", w.cred)
		seen := make(map[byte]bool)
		for deadline := time.Now().Add(30 * time.Second); len(seen) < 5 && time.Now().Before(deadline); {
			data, err := store.Load(t.Context(), hammeredKey)
			if err != nil {
				t.Fatal(err)
			}
			if data == nil {
				continue // not yet
			}
			if !bytes.Equal(data, hammered(int(data[0]-'a'))) {
				t.Fatalf("got %d bytes, which nobody saved", len(data))
			}
			seen[data[0]] = true
		}
		if len(seen) < 5 {
			t.Fatal("the other process does not save")
		}
		if err := w.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		w.cmd.Wait()
		data, err := store.Load(t.Context(), hammeredKey)
		if err != nil || len(data) == 0 || !bytes.Equal(data, hammered(int(data[0]-'a'))) {
			t.Fatalf("after a kill: got %d bytes, %v; want them whole", len(data), err)
		}
	}
	if err := icloudtest.TestStore(store); err != nil {
		t.Error(err)
	}
	// Nobody else can read a file that the kill has left, and it is not taken for the file
	// of an account.
	files, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
			t.Errorf("file %s: mode %o, want 600", f.Name(), mode)
		}
	}
}
