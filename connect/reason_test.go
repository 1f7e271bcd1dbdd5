package connect_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
)

// TestReconnect: the page shows the reason, and after the new password is entered the
// Client works with it.
func TestReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		client := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "connected, and the app-specific password works")
		time.Sleep(340 * 24 * time.Hour)
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, s.link(t, "ann"), "Accept-Language", "fr").wants(t, http.StatusOK, "vers le 31 décembre 2000")
		s.icloud.ChangeAccountPassword()
		_ = client.Authenticate(t.Context())
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "refuses the app-specific password at the moment")
		time.Sleep(16 * time.Minute)
		if err := client.Authenticate(t.Context()); err == nil || client.Status().State != icloud.SignedOut {
			t.Fatal(err)
		}
		link := s.link(t, "ann")
		a := s.get(t, link)
		a.wants(t, http.StatusOK, "was removed", "Nothing is lost", "a…@example.com")
		if strings.Contains(a.Body.String(), s.accounts["ann"].cred.AppleID) {
			t.Error("the whole Apple ID is on the page")
		}
		// The dead password is entered again.
		old, _ := s.saved("ann")
		s.post(t, link, "password", old.Password.Reveal()).wants(t, http.StatusUnprocessableEntity, "it worked once, and was removed since")
		cred := s.icloud.Issue()
		s.post(t, link, "password", cred.Password.Reveal(), "fresh", "yes").wants(t, http.StatusOK, "is connected to iCloud")
		if got := client.Status().State; got != icloud.Active {
			t.Errorf("the Client is %v", got)
		}
		s.post(t, link, "password", cred.Password.Reveal()).wants(t, http.StatusGone, "has been used")
		s.icloud.Close()
	})
}

// TestReasonFromStore: a web server without a Client of the account, or with a Client
// that has made no call yet, takes the reason from the Store of the workers, without a
// request.
func TestReasonFromStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := icloud.DirStore(t.TempDir())
		s := newService(t, nil)
		defer s.icloud.Close()
		s.opts.Store = store
		worker := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{Store: store})
		s.accounts["ann"].keep = false
		s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "Here you renew the connection")
		if err := worker.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.icloud.RevokeAll()
		_ = worker.Authenticate(t.Context())
		time.Sleep(time.Hour)
		_ = worker.Authenticate(t.Context())
		before := s.icloud.Requests()
		link := s.link(t, "ann")
		s.get(t, link).wants(t, http.StatusOK, "Connect iCloud to Acme & Sons again", "was removed")
		idle := s.connected(t, "ann", s.accounts["ann"].cred, icloud.Options{Store: store})
		s.get(t, link).wants(t, http.StatusOK, "was removed")
		if s.icloud.Requests() != before {
			t.Error("iCloud was asked")
		}
		// The account is connected in another process, with a password that this
		// Client does not have.
		cred := s.icloud.Issue()
		other, err := icloud.New(cred, &icloud.Options{Transport: s.icloud.Transport(), Store: store})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := other.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.get(t, link).wants(t, http.StatusOK, "You need not do anything")
		if idle.Status().State != icloud.SignedOut {
			t.Error("the Client is not the one that was signed out")
		}
	})
}

// TestStoreFails: the page opens although the Store fails.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.opts.Store = failing{}
	s.accounts["ann"].cred.AppleID = "ann@example.com"
	s.get(t, s.link(t, "ann")).wants(t, http.StatusOK, "Here you renew the connection")
	// The form sends nothing, because the Client cannot read its Store. The password is
	// not blamed.
	s.post(t, s.link(t, "ann"), "password", "abcd-efgh-ijkl-mnop").wants(t, http.StatusServiceUnavailable, "It is not your password")
}

type failing struct{}

func (failing) Load(context.Context, string) ([]byte, error) { return nil, errors.New(ownPassword) }

func (failing) Save(context.Context, string, []byte) error { return errors.New(ownPassword) }

// TestExpired: the password has expired.
func TestExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		client := s.connected(t, "ann", s.icloud.Issue(), icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(364 * 24 * time.Hour)
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * 24 * time.Hour)
		_ = client.Authenticate(t.Context())
		time.Sleep(time.Hour)
		_ = client.Authenticate(t.Context())
		s.get(t, s.link(t, "ann"), "Accept-Language", "de").wants(t, http.StatusOK, "sehr wahrscheinlich abgelaufen")
		s.icloud.Close()
	})
}
