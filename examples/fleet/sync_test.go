package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/go-icloud/icloud/icloudtest"
)

// start starts the workers of a fleet in this process, and returns a function that waits
// for the next job of the kind "sync" to end.
func start(t *testing.T, f *fleet) (ended func() *river.Event) {
	t.Helper()
	events, cancel := f.jobs.Subscribe(river.EventKindJobCompleted, river.EventKindJobSnoozed, river.EventKindJobFailed, river.EventKindJobCancelled)
	if err := f.jobs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		<-f.jobs.Stopped() // the test's context has ended
		cancel()
	})
	timeout := time.After(patience)
	return func() *river.Event {
		t.Helper()
		for {
			select {
			case e := <-events:
				if e.Job.Kind == (syncArgs{}).Kind() {
					return e
				}
			case <-timeout:
				t.Fatal("no job ends")
			}
		}
	}
}

// An owner reconnects an account while a job finds that its old password is refused. This
// may happen before or after the job writes its result. In both cases the next job runs at
// once, although there is no sweep for an hour.
func TestReconnectDuringRefusal(t *testing.T) {
	for _, test := range []struct {
		name  string
		first string // who gets the account's row first
	}{
		{"before the job ends", "connect"},
		{"as the job has ended", "job"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := icloudtest.NewServer()
			defer srv.Close()
			srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nN:;;;;\r\nFN:Ada\r\nEND:VCARD\r\n")
			server := httptest.NewServer(srv)
			defer server.Close()
			f := newFleet(t, settings{endpoint: server.URL + "/", workers: 2, dwell: time.Hour, timeout: time.Minute})
			see := &look{t, f}
			ended := start(t, f)
			old := srv.Issue()
			if err := f.connect(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			ended()

			// The job has begun when it asks iCloud.
			srv.Revoke(old.Password)
			cred := srv.Issue()
			asked, answer := make(chan struct{}), make(chan struct{})
			srv.SetIntercept(icloudtest.Times(1, func(http.ResponseWriter, *http.Request) bool {
				close(asked)
				<-answer
				return false
			}))
			if _, err := f.jobs.Insert(t.Context(), syncArgs{1}, nil); err != nil {
				t.Fatal(err)
			}
			<-asked

			// Both need the account's row. The one that asks first gets it first.
			lock, err := f.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = lock.Rollback(t.Context()) }()
			if _, err := lock.Exec(t.Context(), `SELECT FROM accounts FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			connected := make(chan error, 1)
			connect := func() { go func() { connected <- f.connect(t.Context(), cred) }() }
			job := func() { close(answer) }
			if test.first == "job" {
				connect, job = job, connect
			}
			const waiting = `SELECT count(*) = $1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
			connect()
			see.until("the first of the two waits for the row", waiting, 1)
			job()
			see.until("the other waits too", waiting, 2)
			if err := lock.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-connected; err != nil {
				t.Fatal(err)
			}

			ended()
			if e := ended(); e.Kind != river.EventKindJobCompleted {
				t.Errorf("the job after the reconnection: got %s, want %s", e.Kind, river.EventKindJobCompleted)
			}
			if n := see.one(`SELECT count(*) FROM accounts a JOIN icloud_store s ON s.account = a.key WHERE s.reason IS NULL AND generation = 2 AND synced > issued`); n != 1 {
				t.Error("the account was not synced with its new password")
			}
			if n := see.one(`SELECT count(*) FROM notices`); n != 0 {
				t.Errorf("got %d notices, want none", n)
			}
		})
	}
}

// A run writes nothing once another one has begun, whichever ends first.
func TestOvertaken(t *testing.T) {
	srv := icloudtest.NewServer()
	defer srv.Close()
	put := func(name string) {
		srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nN:;;;;\r\nFN:"+name+"\r\nEND:VCARD\r\n")
	}
	put("Ada")
	server := httptest.NewServer(srv)
	defer server.Close()
	f := newFleet(t, settings{endpoint: server.URL + "/", workers: 2, timeout: time.Minute})
	see := &look{t, f}
	if err := f.connect(t.Context(), srv.Issue()); err != nil {
		t.Fatal(err)
	}
	first, err := f.begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	next, err := first.sync(t.Context())
	if err != nil || len(first.pending) != 1 {
		t.Fatalf("got %d changes, %v; want 1", len(first.pending), err)
	}
	put("Grace")
	second, err := f.begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	write := func(r *run, token string) error {
		return pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
			if err := r.claim(t.Context(), tx, token, nil, true); err != nil {
				return err
			}
			return r.write(t.Context(), tx)
		})
	}
	if err := write(first, next); err != errSuperseded {
		t.Errorf("the first run: got %v, want %v", err, errSuperseded)
	}
	next, err = second.sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := write(second, next); err != nil {
		t.Errorf("the second run: got %v", err)
	}
	if n := see.one(`SELECT count(*) FROM contacts WHERE name = 'Grace'`); n != 1 || see.one(`SELECT count(*) FROM contacts`) != 1 {
		t.Error("the contacts are not those of the second run")
	}
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM accounts`); err != nil {
		t.Fatal(err)
	}
	if err := write(second, next); err != errSuperseded {
		t.Errorf("without the account: got %v, want %v", err, errSuperseded)
	}
	if _, err := f.begin(t.Context(), 1); err != pgx.ErrNoRows {
		t.Errorf("a run without an account: got %v, want %v", err, pgx.ErrNoRows)
	}
}

// A book with more changes than one transaction writes is stored completely. If its sync
// breaks off in the middle, no token is stored.
func TestLargeBook(t *testing.T) {
	srv := icloudtest.NewServer()
	defer srv.Close()
	const cards = 2*changeBatch + 50
	put := func(n int, name string) {
		for i := range n {
			id := fmt.Sprintf("%d.vcf", i)
			srv.Put(id, "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:"+id+"\r\nN:;;;;\r\nFN:"+name+"\r\nEND:VCARD\r\n")
		}
	}
	put(cards, "Ada")
	server := httptest.NewServer(srv)
	defer server.Close()
	f := newFleet(t, settings{endpoint: server.URL + "/", workers: 2, timeout: time.Minute})
	see := &look{t, f}
	ended := start(t, f)
	exec := func(statement string) {
		t.Helper()
		if _, err := f.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	breakOff := func(name string) {
		t.Helper()
		exec(`
			CREATE OR REPLACE FUNCTION break_off() RETURNS trigger AS $$ BEGIN
				IF (SELECT count(*) FROM contacts WHERE name = '` + name + `') > 300 THEN RAISE EXCEPTION 'enough'; END IF; RETURN NEW;
			END $$ LANGUAGE plpgsql;
			CREATE TRIGGER break_off BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION break_off()`)
	}
	check := func(when, name string, named, all, tokens int64) {
		t.Helper()
		if n := see.one(`SELECT count(*) FROM contacts WHERE name = $1`, name); n != named {
			t.Errorf("%s: got %d contacts of the name %s, want %d", when, n, name, named)
		}
		if n := see.one(`SELECT count(*) FROM contacts`); n != all {
			t.Errorf("%s: got %d contacts, want %d", when, n, all)
		}
		if n := see.one(`SELECT count(*) FROM accounts WHERE token <> ''`); n != tokens {
			t.Errorf("%s: got %d tokens, want %d", when, n, tokens)
		}
	}

	breakOff("Ada")
	if err := f.connect(t.Context(), srv.Issue()); err != nil {
		t.Fatal(err)
	}
	if e := ended(); e.Kind != river.EventKindJobFailed {
		t.Errorf("got %s, want %s", e.Kind, river.EventKindJobFailed)
	}
	check("a first run that breaks off", "Ada", changeBatch, changeBatch, 0)
	exec(`DROP TRIGGER break_off ON contacts`)
	srv.Delete("0.vcf") // no server reports this deletion
	ended()             // River has retried
	check("the next run", "Ada", cards-1, cards-1, 1)

	// The same with a token. It would not be honored if all cards were changed.
	const changed = cards - 100
	put(changed, "Grace")
	breakOff("Grace")
	if _, err := f.jobs.Insert(t.Context(), syncArgs{1}, nil); err != nil {
		t.Fatal(err)
	}
	ended()
	check("a later run that breaks off", "Grace", changeBatch, cards-1+see.one(`SELECT count(*) FROM contacts WHERE id = '0.vcf'`), 0)
	exec(`DROP TRIGGER break_off ON contacts`)
	srv.Delete("1.vcf")
	ended()
	check("the run after it", "Grace", changed-1, cards-1, 1)
}
