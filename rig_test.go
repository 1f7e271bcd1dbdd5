package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const (
	day  = 24 * time.Hour
	year = icloud.DefaultLifetime
)

// noon is the time from which the tables count days.
var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the time a number of days after noon.
func at(days float64) time.Time {
	return noon.Add(time.Duration(days * float64(day)))
}

// rig is a consumer with its fake iCloud. It records the calls of OnStatus.
type rig struct {
	*icloud.Client
	t    *testing.T
	srv  *icloudtest.Server
	cred icloud.Credential
	opts icloud.Options

	mu   sync.Mutex
	told []string
}

const rigCards = 3

// newRig returns a Client with a new password, on a book of rigCards cards. It
// must be called in a bubble.
func newRig(t *testing.T, opts icloud.Options, change ...func(*icloud.Credential)) *rig {
	t.Helper()
	r := &rig{t: t, srv: icloudtest.NewServer(), opts: opts}
	t.Cleanup(r.srv.Close)
	for i := range rigCards {
		r.srv.Put(fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Person %d\r\nUID:%d\r\nEND:VCARD\r\n", i, i))
	}
	r.cred = r.srv.Issue()
	for _, f := range change {
		f(&r.cred)
	}
	if opts.Transport == nil {
		r.opts.Transport = r.srv.Transport()
	}
	r.opts.OnStatus = func(ctx context.Context, s icloud.Status) {
		r.mu.Lock()
		r.told = append(r.told, s.State.String())
		r.mu.Unlock()
		if opts.OnStatus != nil {
			opts.OnStatus(ctx, s)
		}
	}
	r.restart()
	return r
}

// restart replaces the Client by a new one, as a restart of the program does.
func (r *rig) restart() {
	r.t.Helper()
	client, err := icloud.New(r.cred, &r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Client = client
}

// list lists the book, which must be complete if there is no error.
func (r *rig) list() error { return r.listCtx(r.t.Context()) }

func (r *rig) listCtx(ctx context.Context) (err error) {
	n := 0
	for contact, e := range r.Contacts(ctx) {
		if contact != nil {
			n++
		}
		err = e
	}
	if err == nil && n < rigCards {
		r.t.Errorf("listing ended without an error after %d cards of %d", n, rigCards)
	}
	return err
}

// mustList lists the book, and expects no error.
func (r *rig) mustList() {
	r.t.Helper()
	if err := r.list(); err != nil {
		r.t.Fatalf("listing: got %v, want no error", err)
	}
}

// requests returns how many requests f sends.
func (r *rig) requests(f func()) int {
	before := r.srv.Requests()
	f()
	return r.srv.Requests() - before
}

// toldSoFar returns what OnStatus was told since the last call.
func (r *rig) toldSoFar() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := strings.Join(r.told, ", ")
	r.told = nil
	return told
}

// verdictOf returns the AuthError in err, and fails the test if there is none.
func verdictOf(t *testing.T, err error) *icloud.AuthError {
	t.Helper()
	ae, ok := errors.AsType[*icloud.AuthError](err)
	if !ok {
		t.Fatalf("got error %v, want an AuthError", err)
	}
	return ae
}

// noVerdict checks that err is an error that says nothing about the password.
func noVerdict(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	if ae, ok := errors.AsType[*icloud.AuthError](err); ok {
		t.Fatalf("got %v, want an error that is no verdict", ae)
	}
	for _, verdict := range []error{icloud.ErrPasswordExpired, icloud.ErrPasswordRevoked, icloud.ErrPasswordRejected} {
		if errors.Is(err, verdict) {
			t.Fatalf("got %v, want an error that is no verdict", err)
		}
	}
}

// refuted checks that err is the 401 that was refuted.
func refuted(t *testing.T, err error) {
	t.Helper()
	noVerdict(t, err)
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %v, want a ResponseError with status 401", err)
	}
}

// notEvidence are answers that prove nothing about the password.
var notEvidence = map[string]icloudtest.Fault{
	"proxy 407":               icloudtest.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`),
	"proxy 401":               icloudtest.Status(401, "WWW-Authenticate", `Basic realm="proxy"`),
	"401 without a challenge": icloudtest.Status(401),
	"401 that names the realm elsewhere": icloudtest.Status(401, "X-Realm", `Basic realm="MMCalDav"`, "WWW-Authenticate",
		`Basic realm="proxy", Digest realm="x", note="realm=MMCalDav"`),
	"401 with a realm like it":    icloudtest.Status(401, "WWW-Authenticate", `Basic realm="MMCalDav2", Negotiate`),
	"401 with a broken challenge": icloudtest.Status(401, "WWW-Authenticate", `Basic realm="MMCalDav`),
	"captive portal":              icloudtest.CaptivePortal,
	"portal behind a redirect":    icloudtest.Status(302, "Location", "https://portal.test/login"),
	"portal behind http":          icloudtest.Status(302, "Location", "http://contacts.icloud.com/"),
	"redirect to itself":          icloudtest.Status(302, "Location", "/"),
	"redirect to nowhere":         icloudtest.Status(302),
	"see other":                   icloudtest.Status(303, "Location", "/"),
	"reset":                       icloudtest.Reset,
	"bad gateway":                 icloudtest.BadGateway,
	"503":                         icloudtest.Status(503),
	"503 for a minute":            icloudtest.Status(503, "Retry-After", "60"),
	"429":                         icloudtest.Status(429),
	"421":                         icloudtest.Status(421),
	"403":                         icloudtest.Status(403),
	"400":                         icloudtest.Status(400),
	"500":                         icloudtest.Status(500),
	"204":                         icloudtest.Status(204),
	"207 without a body":          icloudtest.Status(207),
	"200 without a body":          icloudtest.Status(200),
	"304":                         icloudtest.Status(304),
	"authentication failed": func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "401 Unauthorized: authentication failed, MMCalDav")
		return true
	},
	"stall": icloudtest.Stall,
}

// roundTripper is a Transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// failingStore fails.
type failingStore struct{ err error }

func (s failingStore) Load(context.Context, string) ([]byte, error) { return nil, s.err }

func (s failingStore) Save(context.Context, string, []byte) error { return s.err }

// slowStore saves slowly.
type slowStore struct {
	icloud.Store
	save time.Duration
}

func (s *slowStore) Save(ctx context.Context, key string, data []byte) error {
	select {
	case <-time.After(s.save):
		return s.Store.Save(ctx, key, data)
	case <-ctx.Done():
		return ctx.Err()
	}
}
