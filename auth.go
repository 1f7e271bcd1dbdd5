// The password and its way to the server: Credential, Password, and do, the
// one method through which every request goes.

package icloud

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
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

	// asking is the question itself, whose answer is judged by inquire.
	asking

	// photo requests go to another service, whose 401 has been seen with
	// passwords that were good. They are evidence of nothing.
	photo
)

const (
	maxRedirects = 5

	// userAgent is sent because iCloud has been seen to answer 403 without one.
	userAgent = "go-icloud/1 (+https://github.com/go-icloud/icloud)"

	// realm is the one of iCloud's challenges, for contacts too.
	realm = "MMCalDav"

	// maxJunk is how much is read of an answer that is not wanted, so that
	// its connection can be used again.
	maxJunk = 64 << 10
)

// errReplaced says that the password of a request has been replaced by Reconnect
// since, or accepted: its refusal is no news, and the request may be sent again.
var errReplaced = errors.New("icloud: the password has been replaced meanwhile")

// errRefused is inquire's for a 401 that counts.
var errRefused = errors.New("icloud: refused")

// do sends a request with the password and returns the answer. It is the one way
// out of this package: it says which hosts may see the password, follows
// redirects, and judges what the answer means for the password.
//
// The errors are *AuthError, *ResponseError for a 401 that was refuted or does
// not count, for 503 and 429, and for what was withheld; or an ordinary error.
// Other answers are the caller's to judge.
func (c *Client) do(req *http.Request, k kind) (*http.Response, error) {
	ctx := req.Context()
	for {
		l, _, err := c.admit(ctx, false)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		resp, sent, err := c.send(l, req, k)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			return resp, nil
		}
		discard(resp)
		refuted := &ResponseError{Method: req.Method, StatusCode: http.StatusUnauthorized}
		if k == photo || !c.counts(resp) {
			return nil, refuted
		}
		switch _, err := c.judge(ctx, l, sent, false); {
		case errors.Is(err, errReplaced):
			// A 401 proves that nothing was done, so even a write may be
			// sent again.
			if req.Body != nil && req.GetBody == nil {
				return nil, refuted
			}
		case err != nil:
			return nil, err
		default:
			return nil, refuted
		}
	}
}

// send sends a request with the password of l and follows redirects. It returns
// the answer, and the count of c.events when the last hop started.
func (c *Client) send(l *login, req *http.Request, k kind) (*http.Response, uint64, error) {
	next := req.URL
	for hops := 0; ; hops++ {
		target, err := c.gate.check(next)
		if err != nil {
			closeBody(req)
			return nil, 0, err
		}
		c.mu.Lock()
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
		next, err = c.redirect(resp, target)
		switch {
		case err != nil:
			return nil, 0, err
		case next == nil:
			return resp, started, c.weigh(l, resp, started, k)
		case hops == maxRedirects:
			return nil, 0, errors.New("icloud: too many redirects")
		case req.Body != nil && req.GetBody == nil:
			return nil, 0, errors.New("icloud: redirected, but the request's body cannot be sent again")
		}
	}
}

// hop sends one request and returns its answer as it is.
func (c *Client) hop(l *login, req *http.Request, target *url.URL) (*http.Response, error) {
	hop := req.Clone(req.Context())
	hop.URL, hop.Host = target, ""
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

// redirect returns where an answer sends the request, or nil if it is none. Only
// the four codes that can keep method and body count (RFC 9110, section 15.4);
// net/http would turn a PROPFIND into a GET for two of them.
func (c *Client) redirect(resp *http.Response, from *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	discard(resp)
	next, err := c.gate.resolve(from, location)
	if err != nil {
		return nil, fmt.Errorf("icloud: %s was redirected (%d): %w", resp.Request.Method, resp.StatusCode, err)
	}
	return next, nil
}

// weigh notes what an answer means for the account, and makes its body plain.
func (c *Client) weigh(l *login, resp *http.Response, started uint64, k kind) error {
	c.mu.Lock()
	wait := c.throttle.note(resp, time.Now())
	c.mu.Unlock()
	method := resp.Request.Method
	switch resp.StatusCode {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		discard(resp)
		return &ResponseError{Method: method, StatusCode: resp.StatusCode, RetryAfter: wait}
	}
	if err := decompress(resp); err != nil {
		discard(resp)
		return err
	}
	if k == ordinary && c.accepts(resp) {
		c.accepted(l, started)
	}
	return nil
}

// accepts says whether an answer proves that the password was accepted: a
// multistatus, or success with a card of the book. A portal can answer 200 to
// anything.
func (c *Client) accepts(resp *http.Response) bool {
	if resp.StatusCode == http.StatusMultiStatus {
		return true
	}
	switch resp.Request.Method {
	case http.MethodGet, http.MethodPut, http.MethodDelete:
		c.mu.Lock()
		u := c.book.url
		c.mu.Unlock()
		return resp.StatusCode/100 == 2 && !isPage(resp) && u != nil && u.Host == resp.Request.URL.Host &&
			strings.HasPrefix(resp.Request.URL.Path, dirPath(u.Path)) && resp.Request.URL.Path != dirPath(u.Path)
	}
	return false
}

// isPage says whether an answer is a page for people, which nothing in CardDAV
// is, whatever its status.
func isPage(resp *http.Response) bool {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return t == "text/html" && resp.StatusCode == http.StatusOK
}

// counts says whether a 401 is iCloud's own word on the password: its realm, with
// any scheme and in any order; elsewhere any challenge to Basic. A proxy's or a
// portal's 401 is neither.
func (c *Client) counts(resp *http.Response) bool {
	for _, ch := range challenges(resp.Header.Values("WWW-Authenticate")) {
		if c.gate.apple && ch.realm == realm || !c.gate.apple && strings.EqualFold(ch.scheme, "Basic") {
			return true
		}
	}
	return false
}

// accepted notes that the password of l was accepted by an answer to a request
// that started at that count of events. One that started before the latest
// refusal says nothing about it.
func (c *Client) accepted(l *login, started uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.login != l || started < l.refused {
		return
	}
	t := now()
	l.accepted = max(l.accepted, started)
	if l.memory.accept(t) {
		c.kept.urgent = true
		// A 401 that arrives late asks anew: the answer it would share is
		// refuted.
		l.answered, l.answer = 0, nil
	}
	c.kept.dirty = true
	c.throttle.succeeded()
	c.counted.count(c.fleet, t, false)
}

// admit decides whether a request may be sent, and with which password. While
// the password is in doubt, the question goes out in its stead, once a minute,
// and must be accepted; admit then returns its answer. Once it is refused for
// good, that happens once a day.
func (c *Client) admit(ctx context.Context, present bool) (*login, *answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for {
		if err := c.recall(ctx); err != nil {
			return nil, nil, err
		}
		c.mu.Lock()
		l, verdict := c.login, c.login.memory.verdict
		ask := verdict != nil && (c.question != nil || l.memory.mayAsk(now()))
		unsaved := c.store != nil && c.kept.dirty && c.kept.urgent
		reconnect := c.reconnect
		c.mu.Unlock()
		switch {
		case verdict == nil:
			return l, nil, nil
		case reconnect != nil:
			// It may be about to replace the password.
			if err := wait(ctx, reconnect); err != nil {
				return nil, nil, err
			}
		case ask:
			ans, err := c.ask(ctx, l, 0, present)
			if !errors.Is(err, errReplaced) {
				return l, ans, err
			}
		case unsaved:
			// It should have been saved before it was returned.
			if err := c.saveNow(ctx, l); err != nil {
				return nil, nil, errors.Join(verdict, err)
			}
		default:
			return nil, nil, verdict
		}
	}
}

// judge decides what a 401 means that the password of l met with a request that
// had started at that count of events: nil if it is refuted.
func (c *Client) judge(ctx context.Context, l *login, started uint64, present bool) (*answer, error) {
	c.mu.Lock()
	reconnect := c.reconnect
	c.mu.Unlock()
	if reconnect != nil {
		if err := wait(ctx, reconnect); err != nil {
			return nil, err
		}
	}
	return c.ask(ctx, l, started, present)
}

// question is asked once for all calls that want to know.
type question struct {
	login   *login        // whose password it is about
	present bool          // one of the calls is the owner's; guarded by Client.mu
	done    chan struct{} // closed when the rest is set

	answer  *answer
	err     error
	dropped bool // whoever asked did not wait for the answer
}

// ask asks iCloud whether it accepts the password of l, or shares the question
// of another call: one under way, or one that ended after started, if that is
// not 0. It returns nil or an answer for yes, an *AuthError for no, errReplaced
// if there is no more reason to ask, and other errors for neither.
func (c *Client) ask(ctx context.Context, l *login, started uint64, present bool) (*answer, error) {
	for {
		c.mu.Lock()
		if c.login != l {
			c.mu.Unlock()
			return nil, errReplaced
		}
		q := c.question
		if q != nil && q.login != l {
			q = nil // about a password that was replaced
		}
		if q == nil && started != 0 && started < l.answered {
			q = l.answer
		}
		if v := l.memory.verdict; q == nil && started != 0 && v != nil && !l.memory.mayAsk(now()) {
			// The request slipped out between a refusal and this, which has
			// nothing to add to it.
			c.mu.Unlock()
			return nil, v
		}
		if q != nil {
			q.present = q.present || present
			c.mu.Unlock()
			if err := wait(ctx, q.done); err != nil {
				return nil, err
			}
			if q.dropped {
				continue
			}
			return q.answer, q.err
		}
		q = &question{login: l, present: present, done: make(chan struct{})}
		c.question = q
		held := l.memory.held
		l.memory.held = now()
		c.mu.Unlock()

		c.pose(ctx, l, q, held)
		return q.answer, q.err
	}
}

// pose puts question q, and leaves its outcome in it. held is when the previous
// one was put.
func (c *Client) pose(ctx context.Context, l *login, q *question, held time.Time) {
	q.dropped = true // unless it comes to an end: a Transport may panic
	defer func() {
		c.mu.Lock()
		if q.dropped {
			l.memory.held = held
		}
		if c.question == q {
			c.question = nil
		}
		c.mu.Unlock()
		close(q.done)
	}()
	q.answer, _, q.err = c.inquire(ctx, l)
	if errors.Is(q.err, errRefused) {
		q.err = c.refuse(ctx, l, q)
	}
	_, refused := errors.AsType[*AuthError](q.err)
	if withheld, ok := errors.AsType[*ResponseError](q.err); ok && withheld.Withheld {
		c.mu.Lock()
		l.memory.held = held // nothing was sent
		c.mu.Unlock()
	}
	q.dropped = q.err != nil && !refused && ctx.Err() != nil
	if q.err == nil || refused {
		c.mu.Lock()
		c.events++
		l.answered, l.answer = c.events, q
		c.mu.Unlock()
	}
}

// refuse notes that question q was answered with no, and returns the verdict,
// saved. Until it is, no other call learns of it; errReplaced says that one has
// refuted it meanwhile.
func (c *Client) refuse(ctx context.Context, l *login, q *question) error {
	// What has started before does not refute it, however long saving takes.
	c.mu.Lock()
	c.events++
	refused := c.events
	l.refused = refused
	c.mu.Unlock()
	if err := c.keeping.take(ctx); err != nil {
		return transportError("sign-in", err)
	}
	defer c.keeping.give()
	t := now()
	c.countRefusal(l, t)
	_, incident := c.fleet.incident(t)
	tell := false
	m, err := c.save(ctx, l, func(m *memory) {
		m.refuse(l.cred, c.rules, t, q.present, incident)
		if m.verdict.Confirmed && !m.told {
			m.told, tell = true, true
		}
	})
	if err != nil && ctx.Err() != nil {
		// The call is over, and the verdict not saved: the next one asks.
		return transportError("sign-in", ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.login != l {
		return errReplaced
	}
	l.memory.adopt(m)
	if l.accepted > refused {
		l.memory.accept(now())
		c.kept.dirty, c.kept.urgent = true, true
		return errReplaced
	}
	c.kept.tell = c.kept.tell || tell
	if err != nil {
		return errors.Join(m.verdict, err)
	}
	return m.verdict
}

// oldNews is how long a refusal counts for a Fleet. Without an end, accounts that
// an incident holds back would keep it alive by asking on, for ever.
const oldNews = 24 * time.Hour

// countRefusal tells the Fleet of a refusal, unless it was to be expected.
func (c *Client) countRefusal(l *login, t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := l.memory
	if m.verdict != nil && (m.verdict.Confirmed || t.Sub(m.refused) >= oldNews) {
		return
	}
	m.refuse(l.cred, c.rules, t, false, true)
	if m.verdict.Err == ErrPasswordExpired && m.verdict.Certainty == Likely || m.verdict.Certainty == Certain {
		return
	}
	c.counted.count(c.fleet, t, true)
}

// Reconnect replaces the password of the account, once iCloud has accepted the
// new one, and so ends SignedOut. Nothing else of the Client is lost: sync tokens
// stay good. Calls that are under way go on with the new password. If the new
// one is refused, which is final as with [Client.Authenticate], or the question
// stays open, the old one remains, and whatever is known of it.
//
// A credential with another AppleID is an error, before anything is sent.
func (c *Client) Reconnect(ctx context.Context, cred Credential) error {
	cred, err := checkCredential(cred)
	if err != nil {
		return err
	}
	c.mu.Lock()
	same := strings.EqualFold(cred.AppleID, c.login.cred.AppleID)
	c.mu.Unlock()
	if !same {
		return errors.New("icloud: Reconnect with another Credential.AppleID")
	}
	if err := c.recall(ctx); err != nil {
		return err
	}
	if err := c.joining.take(ctx); err != nil {
		return err
	}
	err = c.join(ctx, &login{cred: cred})
	c.joining.give()
	return c.settle(ctx, err)
}

// join signs in with the password of l and makes it the Client's. Calls whose
// own password is refused meanwhile wait for the outcome.
func (c *Client) join(ctx context.Context, l *login) error {
	ended := make(chan struct{})
	c.mu.Lock()
	c.reconnect = ended
	again := l.cred.Password.Reveal() == c.login.cred.Password.Reveal()
	if again {
		l.memory = c.login.memory
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.reconnect = nil
		c.mu.Unlock()
		close(ended)
	}()

	_, _, err := c.inquire(ctx, l)
	if errors.Is(err, errRefused) {
		// A 401 is a question, here as everywhere.
		_, _, err = c.inquire(ctx, l)
	}
	if errors.Is(err, errRefused) {
		return c.refuseNew(ctx, l, again)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.memory.accept(now())
	c.login = l
	c.throttle.succeeded()
	c.counted.count(c.fleet, now(), false)
	c.kept.dirty, c.kept.urgent = true, true
	return nil
}

// refuseNew is refuse for a password that did not become the Client's.
func (c *Client) refuseNew(ctx context.Context, l *login, again bool) error {
	if err := c.keeping.take(ctx); err != nil {
		return err
	}
	defer c.keeping.give()
	t := now()
	_, incident := c.fleet.incident(t)
	tell := false
	m, err := c.save(ctx, l, func(m *memory) {
		m.refuse(l.cred, c.rules, t, true, incident)
		if again && m.verdict.Confirmed && !m.told {
			m.told, tell = true, true
		}
	})
	if again {
		// The owner has entered the same password once more.
		c.mu.Lock()
		c.login.memory.adopt(m)
		c.kept.tell = c.kept.tell || tell
		c.mu.Unlock()
	}
	if err != nil {
		return errors.Join(m.verdict, err)
	}
	return m.verdict
}

// wait waits for ch to be closed, no longer than ctx lasts.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// challenge is one of a WWW-Authenticate header.
type challenge struct{ scheme, realm string }

// challenges parses WWW-Authenticate headers (RFC 9110, section 11.6.1), which
// may each hold several challenges, separated by the same commas as the
// parameters of one. What cannot be parsed ends its header.
func challenges(headers []string) []challenge {
	var all []challenge
	for _, s := range headers {
		for {
			s = strings.TrimLeft(s, " \t,")
			word, rest := token(s)
			if word == "" {
				break
			}
			after := strings.TrimLeft(rest, " \t")
			if !strings.HasPrefix(after, "=") {
				all = append(all, challenge{scheme: word})
				s = after
				continue
			}
			value, rest, ok := parameter(after[1:])
			if !ok {
				break
			}
			if len(all) > 0 && strings.EqualFold(word, "realm") {
				all[len(all)-1].realm = value
			}
			s = rest
		}
	}
	return all
}

// token splits s after the token that it starts with.
func token(s string) (word, rest string) {
	end := strings.IndexAny(s, " \t,=\"")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// parameter splits s after the value that it starts with, quoted or not.
func parameter(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t=") // the '=' that pads a token68
	if !strings.HasPrefix(s, `"`) {
		value, rest = token(s)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
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

func (b *gzipBody) Read(p []byte) (int, error) {
	if b.zip == nil && b.err == nil {
		b.zip, b.err = gzip.NewReader(b.body)
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.zip.Read(p)
}

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
