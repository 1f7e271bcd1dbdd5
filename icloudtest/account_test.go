package icloudtest_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud/icloudtest"
)

// TestAccounts: several accounts on one Server share only its faults.
func TestAccounts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Put("first.vcf", cardNamed("first"))
	sessions := []*session{s}
	for i := range 30 {
		a := s.srv.Account(fmt.Sprintf("Person%d@Example.com", i))
		sessions = append(sessions, &session{t, s.srv, a.Issue(), s.via})
		a.Put(fmt.Sprintf("%d.vcf", i), cardNamed("x"))
	}
	books := make(map[string]bool)
	for i, one := range sessions {
		if books[one.bookPath()] {
			t.Fatalf("two accounts have the address book %s", one.bookPath())
		}
		books[one.bookPath()] = true
		rows := one.rows("PROPFIND", one.book(), askETags, "Depth", "1")
		if len(rows) != 2 {
			t.Errorf("account %d: %d rows, want the book and its one card", i, len(rows))
		}
		// The path of another account is forbidden, and its password is refused.
		other := sessions[(i+1)%len(sessions)]
		one.want(http.StatusForbidden, "PROPFIND", canonical+other.bookPath(), askETags)
		if one.accepted(one.cred.AppleID, other.cred.Password.Reveal()) {
			t.Errorf("account %d is entered with the password of another", i)
		}
	}
	a := s.srv.Account("person3@example.COM")
	if a != s.srv.Account("PERSON3@example.com") || a.AppleID() != "Person3@Example.com" {
		t.Errorf("%q: want the same account, however its Apple ID is written", a.AppleID())
	}
	if first := s.srv.Account(s.cred.AppleID); first.AppleID() != s.cred.AppleID || s.srv.Issue().AppleID != s.cred.AppleID {
		t.Error("the Server's own methods are not its first account's")
	} else if _, ok := first.Card("first.vcf"); !ok {
		t.Error("the first account lacks the Server's card")
	}

	// Changes of one account do not affect another.
	one, other := sessions[4], sessions[5]
	a = s.srv.Account(one.cred.AppleID)
	before := a.Requests()
	a.Throttle(time.Hour)
	one.want(http.StatusServiceUnavailable, "PROPFIND", canonical+"/", askPrincipal)
	other.want(http.StatusMultiStatus, "PROPFIND", canonical+"/", askPrincipal)
	a.Throttle(0)
	a.ChangeAccountPassword()
	if one.alive(one.cred) || !other.alive(other.cred) {
		t.Error("want the one account's passwords revoked, and the other's not")
	}
	equal(t, "requests of the one account", a.Requests()-before, 2)

	for _, bad := range []string{"", "a:b@example.com", "a\r\nb"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Account(%q) does not panic", bad)
				}
			}()
			s.srv.Account(bad)
		}()
	}
}

// TestProcesses: an account has the same number in every process, but the Apple IDs and
// passwords that Servers choose differ between processes.
func TestProcesses(t *testing.T) {
	t.Parallel()
	const variable = "ICLOUDTEST_PRINT_ACCOUNT"
	s := start(t)
	named := &session{t, s.srv, s.srv.Account("ada@example.com").Issue(), s.via}
	if os.Getenv(variable) != "" {
		fmt.Printf("%s %s %s\n", s.cred.AppleID, s.cred.Password.Reveal(), named.book())
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcesses$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.Contains(f[0], "@") {
			continue
		}
		if f[0] == s.cred.AppleID || f[1] == s.cred.Password.Reveal() {
			t.Errorf("another process has %s %s too", f[0], f[1])
		}
		equal(t, "the book of ada@example.com in another process", f[2], named.book())
		return
	}
	t.Errorf("no account in\n%s", out)
}

func TestReadBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	cards := func() (list []string) {
		for id, vcard := range s.srv.Cards() {
			list = append(list, id+" "+fmt.Sprint(len(vcard)))
		}
		return list
	}
	equal(t, "cards of an empty book", cards(), nil)
	odd := "begin:vcard\nNOTE: what a program wrote\nend:vcard"
	s.want(http.StatusCreated, "PUT", s.book()+"b%20b.vcf", odd)
	s.srv.Put("a.vcf", "")
	equal(t, "cards, as first put", cards(), []string{"b%20b.vcf " + fmt.Sprint(len(odd)), "a.vcf 0"})
	for _, id := range []string{"b%20b.vcf", "b b.vcf"} {
		if got, ok := s.srv.Card(id); !ok || got != odd {
			t.Errorf("Card(%q): %q, %v; want what the program wrote", id, got, ok)
		}
	}
	for range s.srv.Cards() {
		s.srv.Delete("a.vcf") // during the iteration
		break
	}
	if got, ok := s.srv.Card("a.vcf"); ok {
		t.Errorf("Card of one that was deleted: %q", got)
	}
}

// TestExpireAt: a password that is in use expires, at once or later.
func TestExpireAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		other := s.srv.Issue()
		s.srv.ExpireAt(s.cred.Password, time.Now().Add(time.Minute))
		time.Sleep(time.Minute - time.Nanosecond)
		if !s.alive(s.cred) {
			t.Error("refused before its time")
		}
		time.Sleep(time.Nanosecond)
		if s.alive(s.cred) || !s.alive(other) {
			t.Error("want the one password expired, and the other not")
		}
		s.srv.ExpireAt(other.Password, time.Now())
		if s.alive(other) {
			t.Error("accepted after ExpireAt now")
		}
		// A revoked password does not come back.
		gone := s.srv.Issue()
		s.srv.Revoke(gone.Password)
		s.srv.ExpireAt(gone.Password, time.Now().Add(year))
		if s.alive(gone) {
			t.Error("ExpireAt has revived a revoked password")
		}
		// An expired password is not active.
		for range 25 {
			s.srv.Issue()
		}
	})
}

// TestSetIntercept: Intercept may be set while requests run. Each request meets the old or
// the new one.
func TestSetIntercept(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.srv.Intercept = icloudtest.Status(500)
	equal(t, "the field", s.statuses(1), []int{500})
	s.srv.SetIntercept(icloudtest.Status(502))
	equal(t, "SetIntercept", s.statuses(1), []int{502})
	s.srv.SetIntercept(nil)
	equal(t, "none", s.statuses(1), []int{207})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if got := s.statuses(1)[0]; !slices.Contains([]int{207, 401, 503}, got) {
					t.Errorf("status %d", got)
				}
			}
		})
	}
	for range 20 {
		s.srv.SetIntercept(icloudtest.Unauthorized)
		s.srv.SetIntercept(icloudtest.Status(503))
		s.srv.SetIntercept(nil)
	}
	wg.Wait()
}
