package connect_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
	"github.com/go-icloud/icloud/icloudtest"
)

// TestForbidden: iCloud answers 403 for an Apple ID that it does not know.
func TestForbidden(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.icloud.ForbidUnknownUser = true
	cred := s.icloud.Issue()
	a := s.post(t, s.link(t, "ann"), "apple_id", "alias@example.com", "password", cred.Password.Reveal())
	a.wants(t, http.StatusUnprocessableEntity, "Check the Apple ID")
	if !strings.Contains(a.Body.String(), `id="apple-id-error"`) {
		t.Error("the field is not marked")
	}
	s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).wants(t, http.StatusOK)
}

// TestFaults: the page does not blame the customer for Apple's faults, and the form keeps
// what was entered except the password.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault icloudtest.Fault
		says  string
		retry string
	}{
		{"an outage", icloudtest.Status(503), "in a minute", "60"},
		{"a bad gateway", icloudtest.BadGateway, "in a minute", "60"},
		{"a throttle", icloudtest.Status(503, "Retry-After", "600"), "in 10 minutes", "600"},
		{"too many requests", icloudtest.Status(429, "Retry-After", "7200"), "in 2 hours", "7200"},
		{"a lost connection", icloudtest.Reset, "in a minute", "60"},
		{"a portal", icloudtest.CaptivePortal, "in a minute", "60"},
		{"a stray refusal of the probe alone", icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`), "in a minute", "60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, nil)
			s.icloud.Intercept = icloudtest.Times(5, test.fault)
			cred := s.icloud.Issue()
			link := s.link(t, "ann")
			a := s.post(t, link, "apple_id", cred.AppleID, "password", cred.Password.Reveal(), "fresh", "yes")
			a.wants(t, http.StatusServiceUnavailable, "It is not your password", "Please try again "+test.says)
			if got := a.Header().Get("Retry-After"); got != test.retry {
				t.Errorf("got Retry-After %q, want %q", got, test.retry)
			}
			if body := a.Body.String(); !a.hasForm() || !strings.Contains(body, `value="`+cred.AppleID+`"`) || !strings.Contains(body, " checked>") {
				t.Error("the form has lost what was entered")
			}
			if strings.Contains(a.Body.String(), `aria-invalid="true"`) {
				t.Error("a field is blamed")
			}
			// The link still works.
			s.get(t, link).wants(t, http.StatusOK)
		})
	}
}

// TestStall: if iCloud does not answer at all, the customer is told after 20 seconds.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.icloud.Intercept = icloudtest.Stall
		cred := s.icloud.Issue()
		began := time.Now()
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).
			wants(t, http.StatusServiceUnavailable, "It is not your password")
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		s.icloud.Close()
	})
}

// TestIncident: during an incident at Apple nobody is told that their password is wrong.
func TestIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := new(icloud.Fleet)
		s := newService(t, nil)
		s.opts.Fleet = fleet
		// Healthy accounts of the service, all of which are refused now.
		for range 20 {
			srv := icloudtest.NewServer()
			defer srv.Close()
			client, err := icloud.New(srv.Issue(), &icloud.Options{Transport: srv.Transport(), Fleet: fleet})
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			srv.RevokeAll()
			if err := client.Authenticate(t.Context()); err == nil {
				t.Fatal("it is not refused")
			}
		}
		if _, ok := fleet.Incident(); !ok {
			t.Fatal("no incident")
		}
		s.icloud.Intercept = icloudtest.Unauthorized
		cred := s.icloud.Issue()
		s.post(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).
			wants(t, http.StatusServiceUnavailable, "It is probably not your password", "Please try again in")
		// The same holds for a password that has worked until now.
		s.icloud.SetIntercept(nil)
		client := s.connected(t, "bob", cred, icloud.Options{Fleet: fleet})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.icloud.SetIntercept(icloudtest.Unauthorized)
		time.Sleep(time.Second)
		s.post(t, s.link(t, "bob"), "password", cred.Password.Reveal()).
			wants(t, http.StatusServiceUnavailable, "It is probably not your password", "Please try again in",
				"refuses the app-specific password at the moment")
		s.icloud.Close()
	})
}

// TestDoubtedAgain: the customer enters the old password again while it is Doubted.
func TestDoubtedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		defer s.icloud.Close()
		cred := s.icloud.Issue()
		client := s.connected(t, "ann", cred, icloud.Options{})
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.icloud.Revoke(cred.Password)
		_ = client.Authenticate(t.Context())
		time.Sleep(time.Minute)
		s.post(t, s.link(t, "ann"), "password", cred.Password.Reveal()).
			wants(t, http.StatusUnprocessableEntity, "although it has worked before", "try it again in a minute",
				"refuses the app-specific password at the moment")
	})
}

// TestSaveFails: iCloud accepts the password, but the service cannot save it. The page
// says so, and the link works again later.
func TestSaveFails(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.saveErr = errors.New("disk full: " + ownPassword)
	cred := s.icloud.Issue()
	link := s.link(t, "ann")
	values := []string{"apple_id", cred.AppleID, "password", cred.Password.Reveal()}
	a := s.post(t, link, values...)
	a.wants(t, http.StatusInternalServerError, "iCloud has accepted the password, but Acme & Sons could not store it")
	if strings.Contains(a.Body.String(), ownPassword) {
		t.Error("the service's error is on the page")
	}
	s.mu.Lock()
	s.saveErr = nil
	s.mu.Unlock()
	s.post(t, link, values...).wants(t, http.StatusOK, "is connected")
	s.post(t, link, values...).wants(t, http.StatusGone)
}

// TestPageClosed: if the customer closes the page after iCloud has accepted the
// password, it is saved nevertheless, because the Client already has the new password.
func TestPageClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var s *service
	s = newService(t, func(c *connect.Config) {
		c.Save = func(ctx context.Context, id string, cred icloud.Credential) error {
			cancel()
			return errors.Join(ctx.Err(), s.save(ctx, id, cred))
		}
	})
	cred := s.icloud.Issue()
	s.do(t, form(t, s.link(t, "ann"), "apple_id", cred.AppleID, "password", cred.Password.Reveal()).WithContext(ctx)).wants(t, http.StatusOK)
}

// TestUnusableOptions: if the service's options are wrong, the customer is not blamed, and
// the server's log has the reason.
func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.opts.Endpoint = "http://not.loopback.example/"
	var logged strings.Builder
	r := form(t, s.link(t, "ann"), "apple_id", "ann@example.com", "password", "abcd-efgh-ijkl-mnop")
	server := &http.Server{ErrorLog: log.New(&logged, "", 0)}
	s.do(t, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, server))).
		wants(t, http.StatusInternalServerError, "It is not your password", "Something is wrong at Acme & Sons")
	if text := logged.String(); !strings.HasPrefix(text, "icloud/connect: Config.Options: icloud: ") || strings.Contains(text, "ann@") || strings.Contains(text, "abcd") {
		t.Errorf("logged %q", text)
	}
}
