package connect_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
)

// TestBusy: there is one form at a time for an account. A form that waits too long for
// another one gets an answer that says so.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s *service
		s = newService(t, func(c *connect.Config) {
			c.Save = func(ctx context.Context, id string, cred icloud.Credential) error {
				time.Sleep(time.Minute)
				return s.save(ctx, id, cred)
			}
		})
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		first := form(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal())
		second := first.Clone(t.Context())
		second.Body = form(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).Body
		var group sync.WaitGroup
		group.Go(func() { s.do(t, first).wants(t, http.StatusOK) })
		time.Sleep(time.Second)
		s.do(t, second).wants(t, http.StatusServiceUnavailable, "Another form for this account", "Nothing was sent to Apple")
		group.Wait()
		if _, n := s.saved("ann"); n != 1 {
			t.Errorf("saved %d times", n)
		}
	})
}

// TestConcurrent: of two forms that are sent at once with the same link, one connects.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	cred := s.icloud.Issue()
	link := s.link(t, "ann")
	var group sync.WaitGroup
	var mu sync.Mutex
	got := make(map[int]int)
	for range 8 {
		r := form(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal())
		group.Go(func() {
			a := s.do(t, r)
			mu.Lock()
			defer mu.Unlock()
			got[a.Code]++
		})
	}
	group.Wait()
	if _, n := s.saved("ann"); n != 1 || got[http.StatusOK] != 1 || got[http.StatusGone] != 7 {
		t.Errorf("saved %d times, %v", n, got)
	}
	if n := s.icloud.Requests(); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}
