// What an answer means for the password: which are acceptances, which 401 counts,
// and the question that every one of them is.
//
// Before a request, admit says whether it may be sent. After it, weigh notes an
// acceptance; and a 401 that counts goes to judge, which has ask put the question,
// by pose, once for all calls that wait for it. A no goes to refuse, where memory
// and diagnose make a verdict of it, which is saved before anybody sees it. All of
// them read and write one login under Client.mu, and none holds it during I/O.

package icloud

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/origin"
)

// realm is the one of iCloud's challenges, for contacts too.
const realm = "MMCalDav"

// errReplaced says that the password of a request has been replaced by Reconnect
// since, or accepted: its refusal is no news, and the request may be sent again.
var errReplaced = errors.New("icloud: the password has been replaced meanwhile")

// errRefused is inquire's for a 401 that counts.
var errRefused = errors.New("icloud: refused")

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
		// Success elsewhere, or with the book as a whole, may be a page's.
		return resp.StatusCode/100 == 2 && !isPage(resp) && u != nil && u.Host == resp.Request.URL.Host &&
			strings.HasPrefix(resp.Request.URL.Path, dav.DirPath(u.Path)) && resp.Request.URL.Path != dav.DirPath(u.Path)
	}
	return false
}

// isPage says whether an answer is a page for people, which nothing in CardDAV
// is, whatever its status.
func isPage(resp *http.Response) bool {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return (t == "text/html" || t == "application/xhtml+xml") && resp.StatusCode == http.StatusOK
}

// counts says whether a 401 is iCloud's own word on the password: its realm, with
// any scheme and in any order; elsewhere any challenge to Basic. A proxy's or a
// portal's 401 is neither.
func (c *Client) counts(resp *http.Response) bool {
	for _, ch := range origin.Challenges(resp.Header.Values("WWW-Authenticate")) {
		if c.gate.ICloud() && ch.Realm == realm || !c.gate.ICloud() && strings.EqualFold(ch.Scheme, "Basic") {
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
	// The request that proves it may have ended long after others that
	// started later; what counts is when it started.
	l.accepted = max(l.accepted, started)
	if l.memory.accept(t) {
		c.kept.urgent = true
		// A 401 that arrives late asks anew: the answer it would share is
		// refuted.
		l.answered, l.answer = 0, nil
	}
	c.kept.dirty = true
	// Whoever lists an account's contacts is not being throttled any more.
	c.throttle.succeeded()
	c.fleet.count(c.account, t, false)
}

// admit decides whether a request may be sent, and with which password. While
// the password is in doubt, the question goes out in its stead, once a minute,
// and must be accepted; admit then returns its answer. Once it is refused for
// good, that happens once a day.
func (c *Client) admit(ctx context.Context, present bool) (*login, *answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for fresh := false; ; {
		// Before anything is sent: the Store may know that the password is
		// latched, or that another worker has refused it a minute ago.
		if err := c.recall(ctx); err != nil {
			return nil, nil, err
		}
		c.mu.Lock()
		l, verdict := c.login, c.login.memory.verdict
		// A question under way is joined by calls that may not put one of
		// their own yet: its answer is theirs too.
		under := c.question != nil
		ask := verdict != nil && (under || l.memory.mayAsk(now()))
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
		case ask && !under && !fresh:
			// Another Client may have asked in the meantime: one question a
			// minute, or a day, is for all that share the Store.
			fresh = true
			if err := c.reload(ctx, l); err != nil {
				return nil, nil, errors.Join(verdict, err)
			}
		case ask:
			// Any answer that ended before now is old news; hence the 0.
			ans, err := c.ask(ctx, l, 0, present)
			if !errors.Is(err, errReplaced) {
				return l, ans, err
			}
		case unsaved:
			// It should have been saved before it was returned.
			if err := c.saveNow(ctx, l); err != nil {
				return nil, nil, errors.Join(verdict, err)
			}
		// The held-back calls get the very value that the first one got.
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
	// The new password may be accepted at this moment, and then this 401
	// was the old one's.
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
	heard   bool          // and that was known when it was answered with no; likewise
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
		// Calls with different passwords never share an answer.
		if q != nil && q.login != l {
			q = nil // about a password that was replaced
		}
		// A question that ended after the request had started is as fresh
		// as the request's own 401. But a no is final for an owner who is
		// there, and was not for a call without one.
		owner := present && started != 0 && l.memory.last.IsZero()
		if q == nil && started != 0 && started < l.answered && (!owner || l.answer.heard) {
			q = l.answer
		}
		if v := l.memory.verdict; q == nil && !owner && v != nil && !l.memory.mayAsk(now()) {
			// A request that slipped out between a refusal and this has nothing
			// to add to it; and another call may have asked just now.
			c.mu.Unlock()
			return nil, v
		}
		if q != nil {
			q.present = q.present || present
			c.mu.Unlock()
			if err := wait(ctx, q.done); err != nil {
				return nil, err
			}
			// The one that asked was cancelled. The next one asks in its stead.
			if q.dropped {
				continue
			}
			c.mu.Lock()
			heard := q.heard
			c.mu.Unlock()
			if _, refused := errors.AsType[*AuthError](q.err); refused && owner && !heard {
				continue // too late to make that no final
			}
			return q.answer, q.err
		}
		q = &question{login: l, present: present, done: make(chan struct{})}
		c.question = q
		// Marked before it is sent, so that calls which come meanwhile do not
		// send a second one within the minute.
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
			if v := l.memory.verdict; v != nil && v.Confirmed {
				// It does not cost the day's chance, but a minute: callers
				// that have no patience may be many.
				l.memory.held = now().Add(doubtHold - latchHold)
			}
		}
		if c.question == q {
			c.question = nil
		}
		c.mu.Unlock()
		close(q.done)
	}()
	// The call that asks does so with its own context. If that ends, the
	// answer is lost, but nobody else's call is.
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
	// Neither yes nor no, because the asking call's context ended: others
	// should not be told of a cancellation that is not theirs.
	q.dropped = q.err != nil && !refused && ctx.Err() != nil
	if q.err == nil || refused {
		c.mu.Lock()
		// Requests that are under way now may still meet a 401, which this
		// answers.
		c.events++
		l.answered, l.answer = c.events, q
		c.mu.Unlock()
	}
}

// refuse notes that question q was answered with no, saves the verdict and returns
// it. Until then no other call learns of it; errReplaced says that one has refuted
// it meanwhile.
func (c *Client) refuse(ctx context.Context, l *login, q *question) error {
	// What has started before does not refute it, however long saving takes.
	c.mu.Lock()
	c.events++
	refused := c.events
	l.refused = refused
	present := q.present
	c.mu.Unlock()
	if err := c.keeping.take(ctx); err != nil {
		return transportError("sign-in", err)
	}
	defer c.keeping.give()
	// The Fleet hears of it first: this refusal may be the one that makes
	// an incident of many.
	t := now()
	c.countRefusal(l, t, present)
	_, incident := c.fleet.incident(t)
	tell := false
	// A copy of the memory is changed, saved, and adopted: nobody sees a verdict
	// before the Store has had its chance, and one that is not saved comes with
	// the reason.
	m, err := c.save(ctx, l, func(m *memory) {
		q.heard = q.present
		m.refuse(l.cred, c.rules, t, q.heard, incident)
		if m.verdict.Confirmed && !m.told {
			m.told, tell = true, true
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.login != l {
		return errReplaced
	}
	l.memory = m
	// A listing that started while this was being saved, and was accepted.
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
func (c *Client) countRefusal(l *login, t time.Time, present bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := l.memory
	// The daily question of a password known to be dead says nothing about
	// Apple's health.
	if m.verdict != nil && (m.verdict.Confirmed || t.Sub(m.refused) >= oldNews) {
		return
	}
	m.refuse(l.cred, c.rules, t, false, true)
	// An expiry that was due, and a revocation that the caller foretold, come
	// without an incident.
	if m.verdict.Err == ErrPasswordExpired && m.verdict.Certainty == Likely || m.verdict.Certainty == Certain {
		return
	}
	// People mistype, and several may within minutes.
	if present && m.verdict.Err == ErrPasswordRejected {
		return
	}
	c.fleet.count(c.account, t, true)
}
