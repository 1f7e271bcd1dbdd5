package main

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// Warnings come from the Store, also for accounts that nobody polls. There is one for each
// password, and none for a password that was replaced. A wrong one is withdrawn.
func TestNotices(t *testing.T) {
	srv := icloudtest.NewServer()
	defer srv.Close()
	server := httptest.NewServer(srv)
	defer server.Close()
	f := newFleet(t, settings{endpoint: server.URL + "/", workers: 2, dwell: -1, timeout: time.Minute})
	see := &look{t, f}
	notice := &noticeWorker{fleet: f}
	check := func(when, want string) {
		t.Helper()
		if err := notice.Work(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := f.pool.QueryRow(t.Context(), `
			SELECT coalesce(string_agg(concat_ws(' ', account, generation, kind, event ->> 'reason', CASE WHEN withdrawn IS NULL THEN NULL ELSE 'withdrawn' END),
				', ' ORDER BY account, generation, kind DESC), '') FROM notices`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}

	// No worker runs, so nobody polls.
	old, fresh := srv.Account("old@example.com"), srv.Account("fresh@example.com")
	soon := old.IssueAt(time.Now().AddDate(0, 0, -350))
	for _, cred := range []icloud.Credential{soon, fresh.Issue()} {
		if err := f.connect(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
	}
	check("a password ends soon", "1 1 ending")
	check("again", "1 1 ending")
	if n := see.one(`SELECT count(*) FROM notices WHERE (event ->> 'expires')::timestamptz BETWEEN now() + '14 days' AND now() + '16 days' AND remedy = ''`); n != 1 {
		t.Error("the notice does not say when the password ends")
	}

	// The row has another password than the Store knows of.
	if _, err := f.pool.Exec(t.Context(), `UPDATE accounts SET generation = 2, issued = now() WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	check("the Store is behind", "1 1 ending")
	if _, err := f.pool.Exec(t.Context(), `UPDATE accounts SET generation = 1, issued = $1 WHERE id = 1`, soon.Issued.Truncate(time.Microsecond)); err != nil {
		t.Fatal(err)
	}

	// A job finds that the password is dead.
	ended := start(t, f)
	ended()
	ended()
	old.Revoke(soon.Password)
	poll := func() {
		t.Helper()
		if _, err := f.jobs.Insert(t.Context(), syncArgs{1}, nil); err != nil {
			t.Fatal(err)
		}
		ended()
	}
	poll()
	check("the password is dead", "1 1 ending, 1 1 ended revoked")
	poll()
	check("and polled again", "1 1 ending, 1 1 ended revoked")
	if n := see.one(`SELECT count(*) FROM accounts WHERE id = 1 AND due BETWEEN now() + '23 hours' AND now() + '24 hours'`); n != 1 {
		t.Error("a dead password is not asked about again in a day")
	}
	if n := see.one(`SELECT count(*) FROM notices WHERE kind = 'ended' AND remedy <> ''`); n != 1 {
		t.Error("the notice does not say what to do")
	}

	// The owner makes another password.
	if err := f.connect(t.Context(), old.Issue()); err != nil {
		t.Fatal(err)
	}
	ended()
	check("the account is reconnected", "1 1 ending, 1 1 ended revoked")

	// A verdict that was wrong: the password works after all.
	srv.SetIntercept(icloudtest.Unauthorized)
	poll()
	check("iCloud refuses a good password", "1 1 ending, 1 1 ended revoked, 1 2 ended revoked")
	srv.SetIntercept(nil)
	// The daily probe would find this. A new Client without memory asks at once.
	f.mu.Lock()
	clear(f.clients)
	f.mu.Unlock()
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM icloud_store`); err != nil {
		t.Fatal(err)
	}
	poll()
	check("it works after all", "1 1 ending, 1 1 ended revoked, 1 2 ended revoked withdrawn")
	srv.SetIntercept(icloudtest.Unauthorized)
	poll()
	check("and is refused once more", "1 1 ending, 1 1 ended revoked, 1 2 ended revoked")
}
