package connect_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestThrottleHeld: after iCloud has asked to wait, the next form sends nothing, although
// each form has its own Client.
func TestThrottleHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.icloud.Throttle(10 * time.Minute)
		cred := s.icloud.Issue()
		values := []string{"apple_id", cred.AppleID, "password", cred.Password.Reveal()}
		s.post(t, s.link(t, "ann"), values...).wants(t, http.StatusServiceUnavailable, "in 5 minutes")
		before := s.icloud.Requests()
		s.post(t, s.link(t, "bob"), values...).wants(t, http.StatusServiceUnavailable, "Apple asks to wait", "in 5 minutes")
		if got := s.icloud.Requests(); got != before {
			t.Errorf("%d requests were sent", got-before)
		}
		time.Sleep(11 * time.Minute)
		s.post(t, s.link(t, "ann"), values...).wants(t, http.StatusOK)
		s.icloud.Close()
	})
}

// TestAttempts: the attempts of each account are limited, independently of other accounts.
func TestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		guess := func(id, appleID string, n int) answer {
			return s.post(t, s.link(t, id), "apple_id", appleID, "password", fmt.Sprintf("abcd-efgh-ijkl-mn%c%c", 'a'+n/26, 'a'+n%26))
		}
		for n := range 100 {
			a := guess("ann", fmt.Sprintf("victim%d@example.com", n), n)
			if n < 10 {
				a.wants(t, http.StatusUnprocessableEntity, "iCloud does not accept")
				continue
			}
			a.wants(t, http.StatusTooManyRequests, "many tries in a short time", "in 15 minutes", "Nothing was sent to Apple")
			if got := a.Header().Get("Retry-After"); got != "900" || !a.hasForm() {
				t.Errorf("got Retry-After %q", got)
			}
		}
		if got := s.icloud.Requests(); got != 20 {
			t.Errorf("got %d requests, want two for each of 10 guesses", got)
		}
		// Entering the account's own password is not an attempt, and does not avoid
		// the limit.
		for range 20 {
			s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", ownPassword).wants(t, http.StatusUnprocessableEntity)
		}
		s.post(t, s.link(t, "bob"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
		time.Sleep(15 * time.Minute)
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)

		// One Apple ID, entered for many accounts.
		for n := range 10 {
			id := fmt.Sprint("mallory", n)
			s.accounts[id] = &account{}
			for range 5 {
				guess(id, "VICTIM@example.com", n)
			}
		}
		if got := s.icloud.Requests(); got != 22+2*30 {
			t.Errorf("got %d requests, want two for each of 30 guesses more", got)
		}
		s.accounts["eve"] = &account{}
		guess("eve", "victim@example.com", 1).wants(t, http.StatusTooManyRequests)
		guess("eve", "other@example.com", 1).wants(t, http.StatusUnprocessableEntity)
	})
}

// TestAttemptsForgiven: after a success the count begins at zero.
func TestAttemptsForgiven(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.session = "ann"
	cred := s.icloud.Issue()
	for range 3 {
		for range 9 {
			s.post(t, base, "apple_id", cred.AppleID, "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusUnprocessableEntity)
		}
		s.post(t, base, "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
	}
}

// TestMemory: an attempt removes what earlier attempts have left in memory.
func TestMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		for n := range 200 {
			id := fmt.Sprint("account", n)
			s.accounts[id] = &account{}
			s.post(t, s.link(t, id), "apple_id", fmt.Sprintf("%d@example.com", n), "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusUnprocessableEntity)
		}
		if n := s.Kept(); n != 400 {
			t.Errorf("%d things are kept of 200 accounts with an Apple ID each", n)
		}
		time.Sleep(time.Hour)
		s.connects(t)
		if n := s.Kept(); n != 1 {
			t.Errorf("%d things are kept, want the Apple ID that was asked about last", n)
		}
	})
}
