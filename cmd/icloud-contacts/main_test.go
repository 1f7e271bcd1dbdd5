package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata/script")

// TestMain lets the test binary also run as the command, for scripts and terminals.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"icloud-contacts": main})
}

// noWait prevents that a program built with -race waits for a second before it ends.
const noWait = "atexit_sleep_ms=0"

// TestScript runs testdata/script. Besides testscript's own commands there are:
//
//	server [new]          starts a fake iCloud, and sets the environment for it
//	server FAULT [N]      sets a fault of the server; "healthy" removes it
//	put ID NAME [LINE...] adds a card; NAME may have Go's escapes
//	remove ID             removes a card
//	people N              adds the sample of demo and fake, and N invented people
//	forget                makes the server forget its sync tokens
//	password VERB         "revoke", or "aged N" for a new password that is N days old
//	exits STATUS CMD...   runs CMD, which must exit with STATUS
//	await FILE REGEXP     waits until FILE contains REGEXP
//	dates FILE            replaces the dates in FILE by their distance from today
//	mode FILE MODE        checks the permissions of FILE
//	requests N            checks the number of requests since the last check
func TestScript(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) != 9 {
		t.Fatalf("got %d scripts, %v; want all", len(scripts), err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[worldKey{}] = new(world)
			env.Setenv("GORACE", noWait)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("LocalAppData", filepath.Join(env.WorkDir, "home"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			name, ok := strings.CutPrefix(cond, "exists:")
			if !ok {
				return false, errors.New("unknown condition")
			}
			_, err := os.Stat(name)
			return err == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server": scriptServer,
			"put":    scriptPut,
			"remove": func(ts *testscript.TestScript, _ bool, args []string) { worldOf(ts).srv.Delete(args[0]) },
			"people": func(ts *testscript.TestScript, _ bool, args []string) {
				n, err := strconv.Atoi(args[0])
				ts.Check(err)
				fill(worldOf(ts).srv, n)
			},
			"forget":   func(ts *testscript.TestScript, _ bool, _ []string) { worldOf(ts).srv.ForgetTokens() },
			"password": scriptPassword,
			"exits":    scriptExits,
			"await":    scriptAwait,
			"dates":    scriptDates,
			"mode":     scriptMode,
			"requests": scriptRequests,
		},
	})
}

// world is the fake iCloud of one script.
type world struct {
	srv  *icloudtest.Server
	cred icloud.Credential
	seen int

	mu    sync.Mutex
	fault icloudtest.Fault
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func scriptServer(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	if w.srv == nil || len(args) > 0 && args[0] == "new" {
		w.srv = icloudtest.NewServer()
		srv := w.srv
		w.srv.Intercept = func(rw http.ResponseWriter, r *http.Request) bool {
			w.mu.Lock()
			fault := w.fault
			w.mu.Unlock()
			return fault != nil && fault(rw, r)
		}
		web := httptest.NewServer(w.srv)
		ts.Defer(func() { web.CloseClientConnections(); web.Close(); srv.Close() })
		w.cred = w.srv.Issue()
		ts.Setenv("ICLOUD_ENDPOINT", web.URL+"/")
		ts.Setenv("ICLOUD_APPLE_ID", w.cred.AppleID)
		ts.Setenv("ICLOUD_APP_PASSWORD", w.cred.Password.Reveal())
	}
	var fault icloudtest.Fault
	if len(args) > 0 {
		n := 0
		if len(args) > 1 {
			var err error
			n, err = strconv.Atoi(args[1])
			ts.Check(err)
		}
		switch args[0] {
		case "healthy", "new":
		case "status":
			fault = icloudtest.Status(n)
		case "cut":
			fault = icloudtest.Cut(n)
		case "stall":
			fault = icloudtest.Stall
		case "throttle":
			w.srv.Throttle(time.Duration(n) * time.Second)
		default:
			ts.Fatalf("no such fault: %s", args[0])
		}
	}
	w.mu.Lock()
	w.fault = fault
	w.mu.Unlock()
}

func scriptPut(ts *testscript.TestScript, _ bool, args []string) {
	name, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	lines := append([]string{"UID:" + args[0], "N:" + name + ";;;;", "FN:" + name}, args[2:]...)
	worldOf(ts).srv.Put(args[0], vcf(strings.Join(lines, "\n")))
}

func scriptPassword(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "revoke":
		w.srv.Revoke(w.cred.Password)
	case "aged":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		w.cred = w.srv.IssueAt(time.Now().AddDate(0, 0, -n))
		ts.Setenv("ICLOUD_APP_PASSWORD", w.cred.Password.Reveal())
		ts.Setenv("ICLOUD_APP_PASSWORD_ISSUED", w.cred.Issued.UTC().Format(time.RFC3339))
	default:
		ts.Fatalf("unknown: password %s", args[0])
	}
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d; standard error: %s", got, want, ts.ReadFile("stderr"))
	}
}

func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[1])
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && want.Match(data) {
			return
		}
	}
	data, _ := os.ReadFile(ts.MkAbs(args[0]))
	ts.Fatalf("%s has no %q: %s", args[0], args[1], data)
}

var dayPattern = regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`)

func scriptDates(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	text := dayPattern.ReplaceAllStringFunc(string(data), func(s string) string {
		d, err := time.Parse(time.DateOnly, s)
		ts.Check(err)
		// It has as many characters as a date, so that lines break at the same places.
		return fmt.Sprintf("<day%+05d>", int(d.Sub(today).Hours())/24)
	})
	ts.Check(os.WriteFile(name, []byte(text), 0o600))
}

func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

func scriptRequests(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	n := w.srv.Requests()
	if got := fmt.Sprint(n - w.seen); len(args) > 0 && got != args[0] {
		ts.Fatalf("%s requests, want %s", got, args[0])
	}
	w.seen = n
}
