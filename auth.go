// The password and its way to the server: Credential, Password, and do, the
// one method through which every request goes.

package icloud

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-icloud/icloud/internal/origin"
)

// Credential is what signs in to an account's contacts, and what is known of
// the password beside its text. The dates are evidence: they decide which
// reason an AuthError gives, and how sure it is. Each may be zero, for
// unknown; a date in the future counts as unknown.
type Credential struct {
	// AppleID is the account's primary e-mail address. iCloud refuses
	// aliases. On another CardDAV server it is the user name.
	AppleID string

	// Password comes from ParsePassword or UncheckedPassword.
	Password Password

	// Issued is when the password was generated.
	Issued time.Time

	// LastAccepted is when it was last known to work, for a caller who keeps
	// that itself. What the Client remembers is added to it.
	LastAccepted time.Time

	// AccountChanged is when the account's own password was last changed,
	// which revokes every app-specific password issued before.
	AccountChanged time.Time
}

// Password holds a secret. No verb of fmt, no log/slog handler, no encoder and
// no template prints it; [Password.Reveal] alone returns it. The zero value
// holds no password.
type Password struct {
	// A *string, because fmt does not follow one that it finds within
	// another value, not even in somebody else's unexported field.
	s *string
}

const redacted = "[redacted]"

// ParsePassword returns the app-specific password that s holds in the form
// that Apple shows, xxxx-xxxx-xxxx-xxxx. It is tolerant of how people paste
// it: white space, invisible characters, upper case, other dashes or none.
// For anything else it returns ErrNotAppSpecific, and an error that does not
// repeat s, which is most often the account's own password; that must never be
// sent. [UncheckedPassword] is the way past it.
func ParsePassword(s string) (Password, error) {
	letters := make([]byte, 0, 16)
	dash := false // since the last letter
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Cf, r):
			// Cf: zero-width characters, direction marks, the soft hyphen.
		case isDash(r):
			// A dash elsewhere than between groups of four is a sign of
			// some other secret.
			if dash || len(letters)%4 != 0 || len(letters) == 0 || len(letters) == 16 {
				return Password{}, ErrNotAppSpecific
			}
			dash = true
		case 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z':
			if len(letters) == 16 {
				return Password{}, ErrNotAppSpecific
			}
			letters = append(letters, byte(r)|0x20)
			dash = false
		default:
			return Password{}, ErrNotAppSpecific
		}
	}
	if len(letters) != 16 {
		return Password{}, ErrNotAppSpecific
	}
	l := string(letters)
	return UncheckedPassword(strings.Join([]string{l[:4], l[4:8], l[8:12], l[12:]}, "-")), nil
}

// isDash says whether r is a hyphen, a dash or the minus sign, which editors
// and messengers put in place of one another.
func isDash(r rune) bool {
	return unicode.Is(unicode.Pd, r) || r == '\u2212' || r == '\u2043'
}

// UncheckedPassword returns a Password of any text: for another CardDAV
// server, or for a form that Apple introduces later.
func UncheckedPassword(s string) Password {
	return Password{&s}
}

// Format implements [fmt.Formatter]: for every verb it writes "[redacted]".
func (Password) Format(f fmt.State, _ rune) {
	// The error is the caller's writer's, and fmt has no way to take it.
	_, _ = f.Write([]byte(redacted))
}

// MarshalText implements [encoding.TextMarshaler], and by it JSON, XML and
// log/slog: it returns "[redacted]". There is no UnmarshalText.
func (Password) MarshalText() ([]byte, error) {
	return []byte(redacted), nil
}

// Reveal returns the password itself, to hand it to a secret store.
func (p Password) Reveal() string {
	if p.s == nil {
		return ""
	}
	return *p.s
}

// kind says what the answer to a request can prove.
type kind int

const (
	// ordinary requests are CardDAV's: a 401 is a question, success is an
	// acceptance.
	ordinary kind = iota

	// asking who is signed in, as the question itself does: the answer proves
	// something only if it names somebody, which is for readAnswer to see.
	asking

	// photo requests go to another service, whose 401 has been seen with
	// passwords that were good. They are evidence of nothing.
	photo
)

const (
	maxRedirects = 5

	// userAgent is sent because iCloud has been seen to answer 403 without one.
	userAgent = "go-icloud/1 (+https://github.com/go-icloud/icloud)"

	// maxJunk is how much is read of an answer that is not wanted, so that
	// its connection can be used again.
	maxJunk = 64 << 10
)

// do sends a request with the password and returns the answer. It is the one way
// out of this package: it says which hosts may see the password, follows
// redirects, and judges what the answer means for the password.
//
// The errors are *AuthError, *ResponseError for a 401 that was refuted or does
// not count, for 503 and 429, and for what was withheld; or an ordinary error.
// Other answers are the caller's to judge.
func (c *Client) do(req *http.Request, k kind) (*http.Response, error) {
	resp, _, _, err := c.exchange(req, k)
	return resp, err
}

// exchange is do. It returns the login that was sent, too, and the count of
// c.events at that time, for the caller who is to judge whether the answer is an
// acceptance.
func (c *Client) exchange(req *http.Request, k kind) (*http.Response, *login, uint64, error) {
	ctx := req.Context()
	for {
		// Which password is the Client's may change between two tries.
		l, _, err := c.admit(ctx, false)
		if err != nil {
			closeBody(req)
			return nil, nil, 0, err
		}
		resp, sent, err := c.send(l, req, k)
		if err != nil {
			return nil, nil, 0, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			return resp, l, sent, nil
		}
		discard(resp)
		refuted := &ResponseError{Method: req.Method, StatusCode: http.StatusUnauthorized}
		// Not iCloud's word on the password: no question, no change of state.
		if k == photo || !c.counts(resp) {
			return nil, nil, 0, refuted
		}
		switch _, err := c.judge(ctx, l, sent, false); {
		case errors.Is(err, errReplaced):
			// A 401 proves that nothing was done, so even a write may be
			// sent again.
			if req.Body != nil && req.GetBody == nil {
				return nil, nil, 0, refuted
			}
		// The verdict, or why there is none.
		case err != nil:
			return nil, nil, 0, err
		// The password is good. This URL refuses it, or did for a moment;
		// whether to try again is the caller's to say.
		default:
			return nil, nil, 0, refuted
		}
	}
}

// send sends a request with the password of l and follows redirects. It returns
// the answer, and the count of c.events when the last hop started.
func (c *Client) send(l *login, req *http.Request, k kind) (*http.Response, uint64, error) {
	target, err := c.gate.Check(req.URL)
	if err != nil {
		closeBody(req)
		return nil, 0, err
	}
	for hops := 0; ; hops++ {
		c.mu.Lock()
		// Before every hop: the answer to another call may have asked to wait
		// meanwhile.
		err = c.throttle.withheld(req.Method, time.Now())
		c.events++
		started := c.events
		c.mu.Unlock()
		if err != nil {
			closeBody(req)
			return nil, 0, err
		}
		resp, err := c.hop(l, req, target)
		if err != nil {
			return nil, 0, err
		}
		next, redirected, err := c.redirect(resp)
		switch {
		case err != nil:
			return nil, 0, err
		case !redirected:
			return resp, started, c.weigh(l, resp, started, k)
		// iCloud sends one, from contacts to the partition host.
		case hops == maxRedirects:
			return nil, 0, errors.New("icloud: too many redirects")
		case req.Body != nil && req.GetBody == nil:
			return nil, 0, errors.New("icloud: redirected, but the request's body cannot be sent again")
		}
		target = next
	}
}

// hop sends one request and returns its answer as it is. The password is put into
// no other request than this one, and its URL is of the type that nothing but the
// gate can make.
func (c *Client) hop(l *login, req *http.Request, target origin.URL) (*http.Response, error) {
	// A copy: the caller may send its own request again.
	hop := req.Clone(req.Context())
	hop.URL, hop.Host = target.Copy(), ""
	if req.GetBody != nil && req.Body != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, &hiddenError{text: "icloud: " + req.Method + ": the request's body cannot be read", err: err}
		}
		hop.Body = body
		closeBody(req)
	}
	hop.SetBasicAuth(l.cred.AppleID, l.cred.Password.Reveal())
	hop.Header.Set("User-Agent", userAgent)
	// A server that compresses a card on the fly makes its ETag weak, as RFC 9110
	// section 8.8.1 has it, and then no write can name it.
	hop.Header.Set("Accept-Encoding", "identity")
	switch req.Method {
	case "PROPFIND", "REPORT":
		// Asked for here, so that it does not depend on the Transport.
		// Contacts without photos shrink to an eighth.
		hop.Header.Set("Accept-Encoding", "gzip")
		// They are safe, so net/http may send them again when an idle
		// connection turns out to be dead. This is how it is told; nothing
		// of it is sent. Writes must not be repeated.
		hop.Header["Idempotency-Key"] = []string{}
	}
	resp, err := c.transport.RoundTrip(hop)
	if err != nil {
		// Some transports report the end of a context as an error of their own.
		if ended := req.Context().Err(); ended != nil && !errors.Is(err, ended) {
			err = errors.Join(ended, err)
		}
		return nil, transportError(req.Method, err)
	}
	if sent := resp.Request; sent != nil && sent.Header.Get("Authorization") == "" {
		// It has followed a redirect by itself, and whatever was answered at
		// the end of it, the password was not there.
		discard(resp)
		return nil, errors.New("icloud: " + req.Method + ": the Transport has sent another request, without the password")
	}
	resp.Request = hop // for the URL, even from a Transport that forgets it
	return resp, nil
}

// redirect returns where an answer sends the request, if it is a redirect. Only
// the four codes that can keep method and body count (RFC 9110, section 15.4);
// net/http would turn a PROPFIND into a GET for two of them.
func (c *Client) redirect(resp *http.Response) (next origin.URL, redirected bool, err error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return next, false, nil
	}
	// Without a Location it is the answer, and not one that anybody wants.
	location := resp.Header.Get("Location")
	if location == "" {
		return next, false, nil
	}
	discard(resp)
	if next, err = c.gate.Resolve(resp.Request.URL, location); err != nil {
		return next, false, fmt.Errorf("icloud: %s was redirected (%d): %w", resp.Request.Method, resp.StatusCode, err)
	}
	return next, true, nil
}

// decompress makes the body of an answer plain, if it is compressed.
func decompress(resp *http.Response) error {
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch encoding {
	case "gzip", "x-gzip":
		resp.Body = &gzipBody{body: resp.Body}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
		return nil
	case "", "identity":
		return nil
	}
	return fmt.Errorf("icloud: %s: the answer is compressed in a way that was not asked for", resp.Request.Method)
}

// gzipBody decompresses a body from the first Read on, since the answer to a
// HEAD, or a 204, has none.
type gzipBody struct {
	body io.ReadCloser
	zip  *gzip.Reader
	err  error
}

// Read implements io.Reader.
func (b *gzipBody) Read(p []byte) (int, error) {
	if b.zip == nil && b.err == nil {
		b.zip, b.err = gzip.NewReader(b.body)
	}
	// A broken header stays broken: the second Read must not start anew.
	if b.err != nil {
		return 0, b.err
	}
	return b.zip.Read(p)
}

// Close closes the compressed body.
func (b *gzipBody) Close() error { return b.body.Close() }

// discard reads a little of what is left of an answer and closes it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxJunk)
	_ = resp.Body.Close()
}

// closeBody closes the body of a request that is not, or not thus, sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
