package icloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// roundTrip is a Transport that calls a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestConnectionFailures: an error names one of a dozen causes, and no host and no account.
// internal/neterr tests each cause.
func TestConnectionFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}}, "the connection failed: the server's name was not found (DNS)"},
		{&net.OpError{Op: "read", Net: "tcp", Err: errors.New("secret")}, "the connection failed: the network"},
		{os.ErrDeadlineExceeded, "the connection timed out"},
		{context.DeadlineExceeded, "context deadline exceeded"},
		{context.Canceled, "context canceled"},
		{errors.New("secret"), "the connection failed"},
	} {
		client, err := icloud.New(icloud.Credential{AppleID: "secret@example.com", Password: icloud.UncheckedPassword("secret")},
			&icloud.Options{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, test.err })})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Authenticate(t.Context())
		if want := "icloud: PROPFIND: " + test.want; err == nil || err.Error() != want {
			t.Errorf("%v: got %v, want %s", test.err, err, want)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%v: got %v, which does not wrap it", test.err, err)
		}
	}
}

// TestCaptivePortalSaysSo: the page of a captive portal is a ResponseError that says so.
func TestCaptivePortalSaysSo(t *testing.T) {
	t.Parallel()
	client, err := icloud.New(icloud.Credential{AppleID: "ada@example.com", Password: icloud.UncheckedPassword("secret")},
		&icloud.Options{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Request: req, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader("<title>secret</title>"))}, nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	err = client.Authenticate(t.Context())
	if want := "icloud: PROPFIND answered 200 OK with a web page, as a captive portal does"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != http.StatusOK {
		t.Errorf("got %v, want a ResponseError with status 200", err)
	}
}

// sqlError is like the errors of drivers for SQL databases.
type sqlError string

func (sqlError) Error() string      { return "secret" }
func (e sqlError) SQLState() string { return string(e) }

// loadFails is a Store that fails to load.
type loadFails struct{ err error }

func (s loadFails) Load(context.Context, string) ([]byte, error) { return nil, s.err }
func (loadFails) Save(context.Context, string, []byte) error     { return nil }

// TestStoreFailures: an error says why a Store failed as far as that can be found out
// without the text of the Store's error.
func TestStoreFailures(t *testing.T) {
	t.Parallel()
	srv := icloudtest.NewServer()
	defer srv.Close()
	cred := srv.Issue()
	key, err := icloud.AccountKey("", cred.AppleID)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("secret: %w", sqlError("40P01")), ": SQLSTATE 40P01"},
		{sqlError("secret"), ""},
		{&fs.PathError{Op: "open", Path: "secret", Err: syscall.EACCES}, ": permission denied"},
		{&fs.PathError{Op: "open", Path: "secret", Err: syscall.ENOSPC}, ": no space is left"},
		{context.DeadlineExceeded, ": it took too long"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ": the connection failed: refused"},
		{errors.New("secret"), ""},
	} {
		client, err := icloud.New(cred, &icloud.Options{Store: loadFails{test.err}, Transport: srv.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Authenticate(t.Context())
		if want := "icloud: the Store failed to load key " + key + test.want; err == nil || err.Error() != want {
			t.Errorf("%v: got %v, want %s", test.err, err, want)
		}
	}
}
