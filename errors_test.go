package icloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
)

// TestAuthErrorText: the text is one line with the reason, the certainty and the known dates.
func TestAuthErrorText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  icloud.AuthError
		want string
	}{
		{icloud.AuthError{}, "icloud: password refused (possible, not confirmed)"},
		{icloud.AuthError{Err: icloud.ErrPasswordExpired, Certainty: icloud.Likely, Confirmed: true, Refused: at(365), Issued: at(0), Expires: at(365), LastAccepted: at(364)},
			"icloud: password expired (likely, refused since 2026-03-01, issued 2025-03-01, estimated to expire 2026-03-01, last accepted 2026-02-28)"},
		{icloud.AuthError{Err: icloud.ErrPasswordRevoked, Certainty: icloud.Certain, Refused: at(2), AccountChanged: at(1)},
			"icloud: password revoked (certain, not confirmed, refused since 2025-03-03, account password changed 2025-03-02)"},
		{icloud.AuthError{Err: icloud.ErrPasswordRejected, Certainty: 99, Refused: at(0).In(time.FixedZone("", 13*3600))},
			"icloud: password rejected (Certainty(99), not confirmed, refused since 2025-03-01)"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestAuthErrorIs: errors.Is finds only the reason.
func TestAuthErrorIs(t *testing.T) {
	t.Parallel()
	reasons := []error{icloud.ErrPasswordExpired, icloud.ErrPasswordRevoked, icloud.ErrPasswordRejected}
	for _, reason := range reasons {
		err := fmt.Errorf("listing: %w", errors.Join(errors.New("x"), &icloud.AuthError{Err: reason}))
		for _, other := range append(reasons, icloud.ErrNotAppSpecific, icloud.ErrResync, icloud.ErrConflict) {
			if got := errors.Is(err, other); got != (other == reason) {
				t.Errorf("%v is %v: got %v", reason, other, got)
			}
		}
	}
	if (&icloud.AuthError{}).Unwrap() != nil {
		t.Error("the zero AuthError wraps something")
	}
}

// TestRemedy: the text for the password's owner says what to do.
func TestRemedy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{icloud.ErrPasswordExpired, []string{"account.apple.com", "Sign-In and Security", "App-Specific Passwords", "25", "econnect"}},
		{icloud.ErrPasswordRevoked, []string{"account.apple.com", "Sign-In and Security", "App-Specific Passwords", "25", "revokes all", "econnect"}},
		{icloud.ErrPasswordRejected, []string{"own password", "alias", "primary", "mistyped", "account.apple.com", "econnect"}},
		{nil, []string{"account.apple.com", "App-Specific Passwords", "25", "econnect"}},
		{errors.New("another"), []string{"account.apple.com", "econnect"}},
	} {
		got := (&icloud.AuthError{Err: tt.err}).Remedy()
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: the remedy lacks %q: %s", tt.err, want, got)
			}
		}
		if strings.Contains(got, "icloud:") || strings.Contains(got, "401") || strings.ContainsAny(got, "\n\t") || !strings.HasSuffix(got, ".") {
			t.Errorf("%v: not sentences for a person: %s", tt.err, got)
		}
	}
}

// TestRemedyElsewhere: on other servers the remedy names no page of Apple's, and by default
// no password expires.
func TestRemedyElsewhere(t *testing.T) {
	t.Parallel()
	challenge := []string{"WWW-Authenticate", `Basic realm="anything"`}
	store := &memoryStore{}
	for _, worked := range []bool{false, true} {
		cred := icloud.Credential{AppleID: "ada", Password: icloud.UncheckedPassword("x"), Issued: time.Now().Add(-3 * year)}
		want := icloud.ErrPasswordRejected
		if worked {
			cred.LastAccepted, want = time.Now().Add(-time.Hour), icloud.ErrPasswordRevoked
		}
		for range 2 { // the second one from the Store
			client, err := icloud.New(cred, &icloud.Options{Endpoint: "https://dav.example.test/", Dwell: -1, Store: store,
				Transport: wire401(challenge...)})
			if err != nil {
				t.Fatal(err)
			}
			ae := verdictOf(t, client.Authenticate(t.Context()))
			if ae.Err != want || !ae.Confirmed || !ae.Expires.IsZero() {
				t.Errorf("got %v, want %v", ae, want)
			}
			if got := ae.Remedy(); strings.Contains(strings.ToLower(got), "apple") || strings.Contains(got, "iCloud") || got == "" {
				t.Errorf("the remedy speaks of Apple: %s", got)
			}
		}
		store.data = nil
	}
}

// TestAuthErrorLog: LogValue has the reason, the certainty and the known dates, and nothing
// that is zero.
func TestAuthErrorLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key != "err" {
			return slog.Attr{}
		}
		return a
	}}))
	for _, tt := range []struct {
		err  *icloud.AuthError
		want string
	}{
		{&icloud.AuthError{}, `{"err":{"reason":"refused","certainty":"possible","confirmed":false}}`},
		{&icloud.AuthError{Err: icloud.ErrPasswordExpired, Certainty: icloud.Likely, Confirmed: true, Refused: at(365), Issued: at(0), Expires: at(365), LastAccepted: at(364), AccountChanged: at(-3)},
			`{"err":{"reason":"expired","certainty":"likely","confirmed":true,"refused":"2026-03-01T12:00:00Z","issued":"2025-03-01T12:00:00Z","expires":"2026-03-01T12:00:00Z","last_accepted":"2026-02-28T12:00:00Z","account_changed":"2025-02-26T12:00:00Z"}}`},
		{&icloud.AuthError{Err: icloud.ErrPasswordRevoked, Certainty: icloud.Certain}, `{"err":{"reason":"revoked","certainty":"certain","confirmed":false}}`},
		{&icloud.AuthError{Err: fmt.Errorf("x: %w", icloud.ErrPasswordRejected)}, `{"err":{"reason":"rejected","certainty":"possible","confirmed":false}}`},
	} {
		b.Reset()
		logger.Info("refused", "err", tt.err)
		if got := strings.TrimSpace(b.String()); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestZeroValuesPrint: zero values have a text and do not panic, as pointers and within
// other errors.
func TestZeroValuesPrint(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		&icloud.AuthError{}, &icloud.ResponseError{}, &icloud.CardError{}, &icloud.CardError{Err: &icloud.AuthError{}},
		icloud.AuthError{}, icloud.ResponseError{}, icloud.CardError{}, icloud.Status{}, icloud.Credential{}, icloud.Password{}, icloud.Contact{},
		icloud.Change{}, icloud.Options{}, icloud.State(0), icloud.State(-1), icloud.State(99), icloud.Certainty(0), icloud.Certainty(-1), icloud.DirStore(""), &icloud.Fleet{},
		errors.Join(&icloud.AuthError{}, &icloud.CardError{}), icloud.Labeled{},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(format, v); got == "" && format != "%s" && v != icloud.DirStore("") || strings.Contains(got, "PANIC") {
				t.Errorf("%T: %s gives %q", v, format, got)
			}
		}
		_, _ = json.Marshal(v)
		slog.New(slog.DiscardHandler).Info("x", "v", v)
		if err, ok := v.(error); ok {
			if got := err.Error(); !strings.HasPrefix(got, "icloud: ") || strings.Contains(got, "nil") {
				t.Errorf("%T: got the text %q", v, got)
			}
		}
	}
	if got := (&icloud.AuthError{}).Remedy(); got == "" {
		t.Error("the zero AuthError has no remedy")
	}
}

// TestCertainty: the values are ordered, and the zero value is the weakest.
func TestCertainty(t *testing.T) {
	t.Parallel()
	if !(icloud.Certainty(0) == icloud.Possible && icloud.Possible < icloud.Likely && icloud.Likely < icloud.Certain) {
		t.Error("want Possible (zero) < Likely < Certain")
	}
	if got := fmt.Sprint(icloud.Possible, icloud.Likely, icloud.Certain, icloud.Certainty(3)); got != "possible likely certain Certainty(3)" {
		t.Errorf("got %q", got)
	}
	if got := fmt.Sprint(icloud.Untested, icloud.Active, icloud.Expiring, icloud.Doubted, icloud.SignedOut, icloud.State(5)); got != "untested active expiring doubted signed out State(5)" {
		t.Errorf("got %q", got)
	}
	if icloud.State(0) != icloud.Untested {
		t.Error("want Untested to be zero")
	}
}

// TestResponseErrorText: the text has the method, the status and the wait, and says whether
// the request was sent.
func TestResponseErrorText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  icloud.ResponseError
		want string
	}{
		{icloud.ResponseError{}, "icloud: request answered 0"},
		{icloud.ResponseError{Method: "REPORT", StatusCode: 502}, "icloud: REPORT answered 502 Bad Gateway"},
		{icloud.ResponseError{Method: "PUT", StatusCode: 799}, "icloud: PUT answered 799"},
		{icloud.ResponseError{Method: "PROPFIND", StatusCode: 503, RetryAfter: 90 * time.Second}, "icloud: PROPFIND answered 503 Service Unavailable, retry after 1m30s"},
		{icloud.ResponseError{Method: "GET", StatusCode: 429, RetryAfter: 61*time.Second + 400*time.Millisecond, Withheld: true},
			"icloud: GET not sent: the server has asked to wait, 1m1s left (429 Too Many Requests)"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestCardErrorText: the text does not name the card; errors.As finds it.
func TestCardErrorText(t *testing.T) {
	t.Parallel()
	err := error(&icloud.CardError{ID: "ada-lovelace.vcf", Err: &icloud.ResponseError{Method: "REPORT", StatusCode: 500}})
	if got, want := err.Error(), "icloud: a card could not be fetched: REPORT answered 500 Internal Server Error"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if re, ok := errors.AsType[*icloud.ResponseError](err); !ok || re.StatusCode != 500 {
		t.Errorf("got %v", re)
	}
}

// TestArguments: New refuses wrong arguments, without repeating them.
func TestArguments(t *testing.T) {
	t.Parallel()
	p := icloud.UncheckedPassword("x")
	for name, cred := range map[string]icloud.Credential{
		"zero":                     {},
		"no password":              {AppleID: "ada"},
		"empty password":           {AppleID: "ada", Password: icloud.UncheckedPassword("")},
		"no account":               {Password: p},
		"blank account":            {AppleID: " \t", Password: p},
		"colon":                    {AppleID: "hunter2:x", Password: p},
		"line break":               {AppleID: "hunter2\r\nx", Password: p},
		"line break in a password": {AppleID: "ada", Password: icloud.UncheckedPassword("hunter2\r\nX: y")},
		"NUL in a password":        {AppleID: "ada", Password: icloud.UncheckedPassword("hunter2\x00")},
	} {
		client, err := icloud.New(cred, nil)
		if err == nil || client != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v", name, client, err)
		}
	}
	client, err := icloud.New(icloud.Credential{AppleID: "ada", Password: p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := client.Status(); got != (icloud.Status{}) {
		t.Errorf("got status %+v before any call, want the zero one", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Authenticate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// wire401 answers 401 to everything.
func wire401(header ...string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: 401, Header: h, Body: http.NoBody, Request: r}, nil
	}
}

// TestPartialError: the text counts the cards and names none.
func TestPartialError(t *testing.T) {
	t.Parallel()
	a := &icloud.CardError{ID: "a.vcf", Err: errors.New("icloud: broken")}
	for want, e := range map[string]*icloud.PartialError{
		"icloud: some cards could not be fetched":                                              {},
		"icloud: a card could not be fetched: broken":                                          {Cards: []*icloud.CardError{a}},
		"icloud: 2 cards could not be fetched; the first: a card could not be fetched: broken": {Cards: []*icloud.CardError{a, a}},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if ce, ok := errors.AsType[*icloud.CardError](e); ok != (len(e.Cards) > 0) || ok && ce != a {
			t.Errorf("%q does not unwrap to its cards", e)
		}
	}
}
