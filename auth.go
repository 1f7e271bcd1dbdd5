// The password and its way to the server: Credential, Password, and the transport,
// through which every request goes.

package icloud

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-icloud/icloud/internal/origin"
)

// Credential has the Apple ID and the password of an account, and what the program
// knows about the password. The dates are evidence for the reason of a refusal and its
// Certainty. A zero date means unknown, and so does a date in the future.
type Credential struct {
	// AppleID is the account's primary e-mail address; iCloud refuses aliases.
	// On another CardDAV server it is the user name. White space around it is
	// ignored.
	AppleID string

	// Password is made by ParsePassword or UncheckedPassword.
	Password Password

	// Issued is when the password was generated.
	Issued time.Time

	// LastAccepted is when the password last worked, if the program knows that
	// itself. The Client adds what it remembers.
	LastAccepted time.Time

	// AccountChanged is when the account's own password was last changed,
	// which revokes all app-specific passwords issued before.
	AccountChanged time.Time
}

// checked returns cred without the white space that people paste around an Apple
// ID, or says what could not be sent by Basic authentication.
func (cred Credential) checked() (Credential, error) {
	var err error
	if cred.AppleID, err = checkAppleID(cred.AppleID); err != nil {
		return cred, err
	}
	switch {
	case cred.Password.Reveal() == "":
		return cred, errors.New("icloud: Credential.Password is empty")
	case strings.ContainsFunc(cred.Password.Reveal(), isControl):
		return cred, errors.New("icloud: Credential.Password contains a control character")
	}
	return cred, nil
}

// checkAppleID does the same for an Apple ID alone.
func checkAppleID(id string) (string, error) {
	id = strings.TrimSpace(id)
	switch {
	case id == "":
		return id, errors.New("icloud: the Apple ID is empty")
	case strings.ContainsRune(id, ':') || strings.ContainsFunc(id, isControl):
		// RFC 7617, section 2: a colon would end the user name.
		return id, errors.New("icloud: the Apple ID contains a colon or a control character")
	}
	return id, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Password holds a secret. No verb of fmt, no log/slog handler, no encoder and
// no template prints it; only [Password.Reveal] returns it. The zero value
// holds no password, and [New] refuses it.
type Password struct {
	_ [0]func() // == would compare addresses; use Equal

	// A *string, because fmt does not follow one that it finds within
	// another value, not even in somebody else's unexported field.
	s *string
}

const redacted = "[redacted]"

// ParsePassword returns the app-specific password in s, in the form that Apple shows:
// xxxx-xxxx-xxxx-xxxx. It accepts what happens when people paste one: white space,
// invisible characters, upper case, other dashes or none. For any other text it returns
// [ErrNotAppSpecific]. That text is most often the account's own password, which must
// never be sent; the error does not repeat it. Use [UncheckedPassword] for a password of
// another form.
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

// UncheckedPassword returns a Password of any text, for another CardDAV server or for
// a form that Apple introduces later. [New] refuses it if it is empty or contains a
// control character.
func UncheckedPassword(s string) Password {
	return Password{s: &s}
}

// Format implements [fmt.Formatter]: for every verb it writes "[redacted]".
func (Password) Format(f fmt.State, _ rune) {
	// The error is the caller's writer's, and fmt has no way to take it.
	_, _ = f.Write([]byte(redacted))
}

// MarshalText implements [encoding.TextMarshaler], which JSON, XML and log/slog use: it
// returns "[redacted]". There is no UnmarshalText.
func (Password) MarshalText() ([]byte, error) {
	return []byte(redacted), nil
}

// Reveal returns the text of the password, to save it with other secrets. It is "" for
// the zero Password.
func (p Password) Reveal() string {
	if p.s == nil {
		return ""
	}
	return *p.s
}

// Equal says whether p and q hold the same text, in constant time. The operator == does
// not compile. Two zero Passwords are equal.
func (p Password) Equal(q Password) bool {
	return subtle.ConstantTimeCompare([]byte(p.Reveal()), []byte(q.Reveal())) == 1
}

const (
	maxRedirects = 5

	// userAgent is sent because iCloud has been seen to answer 403 without one.
	userAgent = "go-icloud/1 (+https://github.com/go-icloud/icloud)"

	// maxJunk is how much is read of an answer that is not wanted, so that
	// its connection can be used again.
	maxJunk = 64 << 10
)

// transport is the way out of this package. It puts the password into a request,
// and only into one whose URL the gate has made.
type transport struct {
	gate origin.Gate
	rt   http.RoundTripper
}

// send sends a request with a credential, follows redirects, and returns the answer.
// depart is called before each hop, and may refuse it.
func (t *transport) send(appleID string, password Password, req *http.Request, depart func() error) (*http.Response, error) {
	target, err := t.gate.Check(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	for hops := 0; ; hops++ {
		if err := depart(); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.hop(appleID, password, req, target)
		if err != nil {
			return nil, err
		}
		next, redirected, err := t.redirect(resp)
		switch {
		case err != nil:
			return nil, err
		case !redirected:
			return resp, nil
		// iCloud sends one, from contacts to the partition host.
		case hops == maxRedirects:
			return nil, errors.New("icloud: too many redirects")
		case req.Body != nil && req.GetBody == nil:
			return nil, errors.New("icloud: redirected, but the request's body cannot be sent again")
		}
		target = next
	}
}

// hop sends one request and returns its answer as it is. The password is put into
// no other request than this one, and its URL is of the type that nothing but the
// gate can make.
func (t *transport) hop(appleID string, password Password, req *http.Request, target origin.URL) (*http.Response, error) {
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
	hop.SetBasicAuth(appleID, password.Reveal())
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
	resp, err := t.rt.RoundTrip(hop)
	if err != nil {
		// Some transports report the end of a context as an error of their own.
		if ended := req.Context().Err(); ended != nil && !errors.Is(err, ended) {
			err = errors.Join(ended, err)
		}
		return nil, transportError(req.Method, err)
	}
	if resp == nil {
		// net/http does not allow it, but neither does its Client fall over it.
		return nil, errors.New("icloud: " + req.Method + ": the Transport has returned neither an answer nor an error")
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
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
func (t *transport) redirect(resp *http.Response) (next origin.URL, redirected bool, err error) {
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
	if next, err = t.gate.Resolve(resp.Request.URL, location); err != nil {
		return next, false, fmt.Errorf("icloud: %s was redirected (%d): %w", resp.Request.Method, resp.StatusCode, err)
	}
	return next, true, nil
}

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
