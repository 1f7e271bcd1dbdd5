// Several processes with one account, which share only a database and the server.
// twoprocess_test.go in the root has these and other tests for a DirStore.

package drivertest

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// order is a line that the parent writes to a worker. The first one makes its Client.
type order struct {
	Do                string // "list", "reconnect"
	Endpoint          string
	Driver, DSN       string
	Dialect           sqlstore.Dialect
	AppleID, Password string
}

const (
	workerVariable = "ICLOUD_TEST_WORKER"
	workerPrefix   = "worker: " // before every reply, because "go test" prints too
)

// TestWorkerProcess is not a test. The other processes run it. A reply is "active", or the
// state with the verdict.
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
		if client == nil {
			db, err := sql.Open(o.Driver, o.DSN)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			store := sqlstore.New(db, o.Dialect)
			// All programs do this when they start.
			if err := store.Create(t.Context()); err != nil {
				t.Fatal(err)
			}
			client, err = icloud.New(cred, &icloud.Options{Endpoint: o.Endpoint, Store: store, Dwell: -1})
			if err != nil {
				t.Fatal(err)
			}
		}
		fmt.Printf("%s%s\n", workerPrefix, obey(t.Context(), client, o.Do, cred))
	}
}

// obey makes one call and returns its result.
func obey(ctx context.Context, client *icloud.Client, do string, cred icloud.Credential) string {
	var err error
	if do == "reconnect" {
		err = client.Reconnect(ctx, cred)
	} else {
		for _, err = range client.Contacts(ctx) {
		}
	}
	state := client.Status().State.String()
	if v, ok := errors.AsType[*icloud.AuthError](err); ok {
		return fmt.Sprintf("%s, %v, %v, %v", state, v.Err, v.Certainty, v.Confirmed)
	}
	if err != nil {
		return fmt.Sprintf("%s, %v", state, reveal(err))
	}
	return state
}

const (
	active   = "active"
	revoked  = "signed out, icloud: password revoked, possible, true"
	rejected = "signed out, icloud: password rejected, likely, true"
)

// scene is a server, a database, and processes.
type scene struct {
	*icloudtest.Server
	t   *testing.T
	url string
	p   *place

	// meet, if not nil, is called before each request is answered. before sets it.
	mu   sync.Mutex
	meet func()
}

func newScene(t *testing.T, p *place) *scene {
	s := &scene{Server: icloudtest.NewServer(), t: t, p: p}
	t.Cleanup(s.Close)
	s.Intercept = func(http.ResponseWriter, *http.Request) bool {
		s.mu.Lock()
		meet := s.meet
		s.mu.Unlock()
		if meet != nil {
			meet()
		}
		return false
	}
	s.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ada\r\nEND:VCARD\r\n")
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

// before sets the function that is called before each request is answered.
func (s *scene) before(meet func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet = meet
}

// worker is another process with its own Client.
type worker struct {
	s    *scene
	cred icloud.Credential
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
		in.Close() // ends the process
		stop := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer stop.Stop()
		cmd.Wait()
	})
	return &worker{s: s, cred: cred, in: in, out: bufio.NewScanner(out)}
}

func (w *worker) send(do string, cred icloud.Credential) {
	w.s.t.Helper()
	text, err := json.Marshal(order{
		Do: do, Endpoint: w.s.url, Driver: w.s.p.driver, DSN: w.s.p.dsn, Dialect: w.s.p.dialect,
		AppleID: cred.AppleID, Password: cred.Password.Reveal(),
	})
	if err == nil {
		_, err = fmt.Fprintf(w.in, "%s\n", text)
	}
	if err != nil {
		w.s.t.Fatal(err)
	}
}

// want waits for a reply, and fails the test if it differs from want.
func (w *worker) want(what, want string) {
	w.s.t.Helper()
	for w.out.Scan() {
		if got, ok := bytes.CutPrefix(w.out.Bytes(), []byte(workerPrefix)); ok {
			if string(got) != want {
				w.s.t.Errorf("%s: got %s; want %s", what, got, want)
			}
			return
		}
		w.s.t.Logf("the other process says: %s", w.out.Bytes())
	}
	w.s.t.Fatalf("%s: the other process has ended", what)
}

func (w *worker) list(what, want string) {
	w.s.t.Helper()
	w.send("list", w.cred)
	w.want(what, want)
}

func (w *worker) reconnect(what string, cred icloud.Credential) {
	w.s.t.Helper()
	w.send("reconnect", cred)
	w.want(what, active)
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

// processes runs a test with one driver for each database, because more drivers would only
// start more processes.
func processes(t *testing.T, test func(t *testing.T, s *scene)) {
	each(t, func(t *testing.T, p *place) {
		if p.name == p.system.name || p.params != "" && p.dialect != sqlstore.SQLite {
			t.Skip("another way to the same database")
		}
		test(t, newScene(t, p))
	})
}

// TestTwoProcessesReconnect: one process is signed out, and another reconnects. After that only
// processes with the new password work.
func TestTwoProcessesReconnect(t *testing.T) {
	processes(t, func(t *testing.T, s *scene) {
		old := s.Issue()
		a, b := s.start(old), s.start(old)
		// Both processes create the table.
		a.send("list", old)
		b.send("list", old)
		a.want("the first process", active)
		b.want("the second process", active)
		s.Revoke(old.Password)
		a.list("the first process", revoked)

		fresh := s.Issue()
		b.reconnect("reconnecting in the second process", fresh)
		s.silent("the old password", func() {
			a.list("the first process, still with the old password", revoked)
			s.start(old).list("a third process, still with the old password", revoked)
		})
		s.start(fresh).list("a process with the new password", active)
		a.reconnect("reconnecting in the first process", fresh)
		a.list("listing there", active)
	})
}

// TestTwoProcessesLateRefusal: a process gets a 401 before another one reconnects, and judges and
// saves it after that. It must not overwrite what is remembered of the new password.
func TestTwoProcessesLateRefusal(t *testing.T) {
	processes(t, func(t *testing.T, s *scene) {
		old := s.Issue()
		a, b := s.start(old), s.start(old)
		a.list("the first process", active)
		b.list("the second process", active)
		s.Revoke(old.Password)

		held, release := make(chan bool), make(chan bool)
		s.before(sync.OnceFunc(func() {
			s.before(nil)
			close(held)
			select {
			case <-release:
			case <-t.Context().Done(): // the test has failed
			}
		}))
		a.send("list", old)
		<-held
		fresh := s.Issue()
		b.reconnect("reconnecting in the second process", fresh)
		close(release)
		a.want("the first process", revoked)

		// A process that starts after the end of the new password knows only from the
		// database that it was accepted.
		s.Revoke(fresh.Password)
		s.start(fresh).list("a process that has never seen the new password work", revoked)
		mistyped := fresh
		mistyped.Password = icloud.UncheckedPassword("abcd-abcd-abcd-abcd")
		s.start(mistyped).list("one with a password that nobody has used", rejected)
		s.silent("the old password", func() {
			s.start(old).list("a process with the old one", revoked)
		})
	})
}

// TestTwoProcessesRefusedAtOnce: two processes get their first 401 at the same moment.
func TestTwoProcessesRefusedAtOnce(t *testing.T) {
	processes(t, func(t *testing.T, s *scene) {
		cred := s.Issue()
		a, b := s.start(cred), s.start(cred)
		a.list("the first process", active)
		b.list("the second process", active)
		s.Revoke(cred.Password)

		// Each process sends two requests. Each waits for that of the other process, so
		// that the two 401s come together, and then the answers to the two probes.
		arrive := make(chan bool)
		var mu sync.Mutex
		left := 4
		s.before(func() {
			mu.Lock()
			left--
			n := left
			mu.Unlock()
			switch {
			case n < 0:
			case n%2 == 1: // the first request of a pair
				select {
				case <-arrive:
				case <-t.Context().Done(): // the test has failed
				}
			default:
				select {
				case arrive <- true:
				case <-t.Context().Done():
				}
			}
		})
		a.send("list", cred)
		b.send("list", cred)
		a.want("the first process", revoked)
		b.want("the second process", revoked)
		s.silent("a third process", func() { s.start(cred).list("a third process", revoked) })
		b.reconnect("reconnecting in one", s.Issue())
	})
}
