// The rules of TestModel, which the comment of model_test.go lists.

package icloud_test

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
)

// secretForms returns the texts that must not be found anywhere.
func secretForms(password string) (forms []string) {
	for _, text := range []string{password, strings.ReplaceAll(password, "-", "")} {
		forms = append(forms, text)
		m, s1, s256, s512 := md5.Sum([]byte(text)), sha1.Sum([]byte(text)), sha256.Sum256([]byte(text)), sha512.Sum512([]byte(text))
		for _, sum := range [][]byte{m[:], s1[:], s256[:], s512[:]} {
			forms = append(forms, hex.EncodeToString(sum), base64.StdEncoding.EncodeToString(sum))
		}
	}
	return forms
}

// checkSaved checks the data that a Client saves.
func (m *model) checkSaved(data []byte) {
	text := string(data)
	m.mu.Lock()
	passwords := m.passwords
	m.mu.Unlock()
	for _, p := range passwords {
		for _, form := range p.forms {
			if strings.Contains(text, form) {
				m.fail("secret", "the Store has %q of %v", form, p)
			}
		}
	}
	if strings.Contains(text, "Person") || strings.Contains(text, "VCARD") {
		m.fail("secret", "the Store has a card")
	}
}

// opStarts records that a call begins.
func (m *model) opStarts(o *modelOp, patience time.Duration) {
	if o.password != nil {
		m.log("%v: %s with %v begins, for %v", o, o.kind, o.password, patience)
	} else {
		m.log("%v: %s begins, for %v", o, o.kind, patience)
	}
	was := o.client.Status()
	o.final, o.next = was.State == icloud.SignedOut, was.NextTry
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.kind == "reconnect" {
		o.client.joining = append(o.client.joining, o)
	}
	if o.kind == "reconnect" || o.kind == "authenticate" {
		m.owners = append(m.owners, o)
	}
}

func (o *modelOp) String() string { return fmt.Sprintf("%v #%d", o.client, o.id) }

// opEnds checks the result of a call.
func (m *model) opEnds(o *modelOp, ctx context.Context, err error, cards int) {
	now, c := time.Now(), o.client
	text := "no error"
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", " + ")
	}
	m.log("%v: %s ends: %s", o, o.kind, text)
	m.mu.Lock()
	o.ended, o.end = true, now
	for i, j := range c.joining {
		if j == o {
			c.joining = append(c.joining[:i:i], c.joining[i+1:]...)
			break
		}
	}
	if o.kind == "reconnect" && err == nil && o.accepted.IsZero() {
		// It is enough that another call was accepted with the same password.
		for _, q := range c.requests {
			if q.password == o.password && q.outcome == accepted && q.start.After(o.start) {
				o.accepted = q.end
			}
		}
	}
	if o.kind == "reconnect" && err == nil && o.accepted.After(c.since) {
		c.password, c.since = o.password, o.accepted
		c.newest = make(map[*modelPassword]time.Time)
	}
	passwords := m.passwords
	looks := o.looks
	requests := o.requests
	saves := o.saves
	m.mu.Unlock()

	if now.After(o.deadline) {
		m.fail("overrun", "%v ends %v after its context", o, now.Sub(o.deadline))
	}
	if o.kind == "reconnect" {
		switch {
		case err == nil && o.accepted.IsZero():
			m.fail("reconnect", "%v succeeds without an acceptance", o)
		case err != nil && !o.accepted.IsZero() && ctx.Err() == nil:
			m.fail("reconnect", "%v fails although the password was accepted: %v", o, err)
		}
	}
	if requests == 0 && saves == 0 && o.kind != "reconnect" && o.kind != "load" { // before a save the Store is read
		m.mu.Lock()
		for _, look := range looks {
			if wait := look.Sub(c.looked); !c.looked.IsZero() && wait < time.Minute && !c.storeFails {
				m.mu.Unlock()
				m.fail("looks", "%v looks into the Store %v after the last look", o, wait)
				m.mu.Lock()
			}
			c.looked = look
		}
		m.mu.Unlock()
	}
	if o.kind == "load" && requests > 0 {
		m.fail("load", "%v sends %d requests", o, requests)
	}
	if err == nil {
		if (o.kind == "list" || strings.HasPrefix(o.kind, "sync")) && cards != modelCards {
			m.fail("complete", "%v ends without an error after %d cards of %d", o, cards, modelCards)
		}
		return
	}
	for _, p := range passwords {
		for _, form := range p.forms[:2] {
			if strings.Contains(err.Error(), form) {
				m.fail("secret", "the error of %v has the password", o)
			}
		}
	}
	if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(passwords[0].cred.AppleID)) {
		m.fail("secret", "the error of %v has the account", o)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		m.fail("foreign", "%v, which was not cancelled: %v", o, err)
	}
	if errors.Is(err, icloud.ErrResync) && !o.met500 {
		m.fail("resync", "%v, whose token is good: %v", o, err)
	}
	if re, ok := errors.AsType[*icloud.ResponseError](err); ok && re.Withheld && (re.RetryAfter <= 0 || requests > 0 && o.kind != "sync" && o.kind != "list" && !strings.HasPrefix(o.kind, "sync") && m.cfg.calm) {
		m.fail("throttled", "%v was withheld after %d requests: %+v", o, requests, re)
	}
	if re, ok := errors.AsType[*icloud.ResponseError](err); ok && re.Withheld {
		m.mu.Lock()
		late := o.start.Sub(c.waits)
		m.mu.Unlock()
		if late > 0 {
			m.fail("throttled", "%v is withheld, but nothing has asked it to wait: %+v", o, re)
		}
	}
	ae, ok := errors.AsType[*icloud.AuthError](err)
	if !ok {
		return
	}
	if took := now.Sub(o.start); o.final && ae.Confirmed && o.kind != "reconnect" && requests == 0 && took > 11*time.Second && !c.storeFails && !c.probedSince(o.start) {
		m.fail("hangs", "%v: %v have passed, but it was signed out from the beginning", o, took)
	}
	if o.kind == "reconnect" && ae.Confirmed {
		m.mu.Lock()
		if o.password != c.password {
			m.answered[ae.Refused.Add(c.worker.offset)] = true
		}
		m.mu.Unlock()
	}
	m.verdict(c, o, o.password, ae, o.start)
}

// verdict checks an AuthError of a Client. o is the call that returned it, or nil if it is from
// a Status; tried is the password of Reconnect. It is refuted by acceptances after it that came
// before the call began.
func (m *model) verdict(c *modelClient, o *modelOp, tried *modelPassword, ae *icloud.AuthError, since time.Time) {
	now := time.Now()
	m.mu.Lock()
	p := c.password
	switching := len(c.joining) > 0 || o != nil && c.since.After(o.start)
	own := tried == nil || tried == p && !switching
	if own {
		old, seen := c.seen[ae]
		if seen && old != *ae {
			m.mu.Unlock()
			m.fail("pointer", "%v: an AuthError was modified: %+v, %+v", c, old, *ae)
			return
		}
		if !seen {
			for _, other := range c.seen {
				if other == *ae {
					m.mu.Unlock()
					m.fail("pointer", "%v: two AuthErrors that are equal: %v", c, ae)
					return
				}
			}
			c.seen[ae] = *ae
			if last := c.final; last != nil && last.Confirmed && m.cfg.workers == 1 && c.finalOf == p && !c.accepted(p, last.Refused) && !c.since.After(last.Refused) {
				m.mu.Unlock()
				m.fail("pointer", "%v: nothing was accepted, but a final verdict is replaced: %+v, %+v", c, *last, *ae)
				return
			}
			c.final, c.finalOf = ae, p
			if !switching {
				c.refusal, c.refusalOf = ae, p
			}
		}
	}
	judged := p
	if tried != nil {
		judged = tried
	}
	// The owner was present if a call of Authenticate or Reconnect was under way during
	// the probe.
	probed := ae.Refused
	for _, other := range m.clients {
		for _, q := range other.requests {
			if q.probe && q.password == judged && q.outcome == refused && !q.end.After(ae.Refused.Add(m.cfg.slack())) && q.start.Before(probed) && q.end.After(ae.Refused.Add(-time.Hour)) {
				probed = q.start
			}
		}
	}
	owner := false
	for _, by := range m.owners {
		owner = owner || !by.ended || !by.end.Before(probed.Add(-m.cfg.slack()))
	}
	probes := judged.probesRefused
	var refutes, before *modelRequest
	for _, q := range c.requests {
		if q.password != judged || q.outcome != accepted {
			continue
		}
		if q.start.After(ae.Refused.Add(m.cfg.slack())) && q.end.Before(since) {
			refutes = q
		}
		// A request that was sent before a Reconnect does not count after it.
		if q.end.Before(ae.Refused) && !c.refusedDuring(q) && (!q.start.Before(c.since) || q.op.accepted.Equal(c.since)) {
			before = q
		}
	}
	m.mu.Unlock()

	m.table(ae)
	// What another worker has seen has the date of its clock.
	if soon := now.Add(m.cfg.slack()); ae.Refused.IsZero() || ae.Refused.After(soon) || ae.LastAccepted.After(soon) || ae.Issued.After(soon) {
		m.fail("table", "%v has an AuthError with a date in the future: %+v", c, *ae)
	}
	if !switching && probes == 0 {
		m.fail("groundless", "%v: %v is judged, but no probe of it was ever refused: %v", c, judged, ae)
	}
	if !switching && refutes != nil {
		m.fail("refuted", "%v: %v was accepted (request of %s, ended %s), since refused at %s: %v", c, judged,
			refutes.start.Sub(m.start), refutes.end.Sub(m.start), ae.Refused.Sub(m.start), ae)
	}
	if !switching && before != nil && m.cfg.workers == 1 && ae.LastAccepted.Before(before.end) {
		m.fail("evidence", "%v: %v was accepted at %s, refused at %s, and the AuthError says it was last accepted at %s", c, judged,
			before.end.Sub(m.start), ae.Refused.Sub(m.start), ae.LastAccepted.Sub(m.start))
	}
	if !ae.Confirmed {
		return
	}
	lasted := now.Sub(ae.Refused)
	switch {
	case ae.Certainty == icloud.Certain, lasted >= m.cfg.effectiveDwell()-m.cfg.slack(), ae.LastAccepted.IsZero() && owner:
	default:
		m.fail("hasty", "%v: Confirmed %v after the first refusal: %v", c, lasted, ae)
	}
	news := m.news(c, ae)
	if since, ok := m.incident(); ok && news && o != nil && m.cfg.calm && !since.After(o.start) && ae.Certainty != icloud.Certain && lasted < day {
		m.fail("incident", "%v: Confirmed during an incident since %s: %v", c, since.Sub(m.start), ae)
	}
}

// refusedDuring says whether a probe was refused while a request was under way. Then the
// acceptance of that request proves nothing.
func (c *modelClient) refusedDuring(q *modelRequest) bool {
	for _, r := range c.requests {
		if r.probe && r.outcome == refused && !r.end.Before(q.start) && !r.end.After(q.end) {
			return true
		}
	}
	return false
}

func (m *model) incident() (time.Time, bool) {
	if m.fleet == nil {
		return time.Time{}, false
	}
	return m.fleet.Incident()
}

// news says whether a Confirmed verdict is seen for the first time by any Client.
func (m *model) news(c *modelClient, ae *icloud.AuthError) bool {
	key := ae.Refused.Add(c.worker.offset)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.confirmed[key] {
		return false
	}
	if m.confirmed == nil {
		m.confirmed = make(map[time.Time]bool)
	}
	m.confirmed[key] = true
	return true
}

// table computes the reason and certainty from the evidence in an AuthError.
func (m *model) table(ae *icloud.AuthError) {
	certainty, reason := icloud.Likely, icloud.ErrPasswordRevoked
	end := ae.Expires
	since := ae.Issued
	slack := 2 * day
	if ae.Issued.IsZero() {
		certainty, slack = icloud.Possible, 30*day
		if !end.IsZero() {
			since = end.Add(-year)
		}
	}
	switch {
	case !since.IsZero() && ae.AccountChanged.After(since.Add(day)) && ae.AccountChanged.After(ae.LastAccepted):
		certainty = icloud.Certain
	case ae.LastAccepted.IsZero() && !end.IsZero() && ae.Refused.After(end):
		certainty, reason = icloud.Possible, icloud.ErrPasswordExpired
	case ae.LastAccepted.IsZero():
		certainty, reason = icloud.Likely, icloud.ErrPasswordRejected
	case end.IsZero(), !ae.LastAccepted.Before(end.Add(14 * day)), !ae.Refused.After(end.Add(-slack)):
	case ae.LastAccepted.Before(end.Add(-14 * day)):
		certainty, reason = icloud.Possible, icloud.ErrPasswordExpired
	default:
		reason = icloud.ErrPasswordExpired
	}
	if ae.Certainty != certainty || ae.Err != reason {
		m.fail("table", "got %v, %v; the table has %v, %v for %+v", ae.Err, ae.Certainty, reason, certainty, *ae)
	}
}

// requestStarts records a request, and checks whether it may be sent.
func (c *modelClient) requestStarts(o *modelOp, req *http.Request) *modelRequest {
	m, now := c.m, time.Now()
	q := &modelRequest{op: o, start: now, state: c.Status().State, photo: req.URL.Host == "gateway.icloud.com"}
	q.probe = req.Method == "PROPFIND" && req.URL.Path == "/"
	q.get = req.Method == http.MethodGet
	_, text, _ := req.BasicAuth()
	m.mu.Lock()
	for _, p := range m.passwords {
		if p.cred.Password.Reveal() == text {
			q.password = p
		}
	}
	known := q.password == c.password && o.kind != "reconnect"
	for _, j := range c.joining {
		known = known || q.password == j.password && (o == j || o.kind != "reconnect")
	}
	earlier := c.requests
	withheld := c.withheld
	c.requests = append(c.requests, q)
	more := o.requests > 0
	o.requests++
	var sibling *modelRequest // the latest probe of another Client, in a calm sequence
	if m.cfg.calm && m.cfg.store {
		for _, other := range m.clients {
			for _, r := range other.requests {
				if other != c && r.password == q.password && !r.photo && r.outcome != nothing && r.outcome != lost && (sibling == nil || r.end.After(sibling.end)) {
					sibling = r
				}
			}
		}
	}
	m.mu.Unlock()
	name := req.Method
	if q.probe {
		name = "probe"
	} else if q.photo {
		name = "photo"
	}
	m.log("%v: %s with %v, while %v", o, name, q.password, q.state)

	if !known {
		m.fail("wrong-key", "%v sends %v; the Client has %v", o, q.password, c.password)
	}
	if !q.photo && now.Before(withheld) {
		m.fail("throttled", "%v sends a request %v before it may", o, withheld.Sub(now))
	}
	rule, hold := "", time.Duration(0)
	switch {
	case o.kind == "reconnect":
		return q
	case q.state == icloud.SignedOut:
		rule, hold = "latched", day
	case q.state == icloud.Doubted:
		rule, hold = "doubted", time.Minute
	default:
		return q
	}
	if !q.probe {
		m.fail(rule, "%v sends a %s while %v", o, name, q.state)
	}
	if !more && m.cfg.calm && !m.cfg.fleet && now.Before(o.next) && !c.failed() { // after other failures NextTry is only advice
		m.fail("next", "%v sends a probe %v before Status.NextTry", o, o.next.Sub(now))
	}
	for i := len(earlier) - 1; i >= 0; i-- {
		last := earlier[i]
		if last.password != q.password || last.outcome == accepted || last.start.Before(c.since) {
			break
		}
		inDoubt := last.state == icloud.Doubted || last.state == icloud.SignedOut
		if !last.probe || last.op.kind == "reconnect" || !inDoubt && (last.outcome != refused || !c.refusedBefore(last)) {
			continue
		}
		if o.kind == "authenticate" && (more || !o.start.After(last.start)) {
			break // a refusal in the owner's presence is final where that one was not
		}
		if last.state != icloud.SignedOut && hold == day && m.cfg.slack() > 0 {
			break // the verdict is from another worker whose clock is ahead
		}
		least := last.start.Add(hold)
		if last.outcome == lost {
			if hold == time.Minute {
				break // the next call sends the probe instead
			}
			least = last.end.Add(time.Minute)
		}
		if now.Before(least) {
			m.fail(rule, "%v sends a probe %v after the last, while %v", o, now.Sub(last.start), q.state)
		}
		break
	}
	if sibling != nil && sibling.outcome == refused && sibling.probe && !c.accepted(q.password, sibling.end) && now.Sub(sibling.start) < hold {
		m.fail("shared", "%v sends a probe %v after that of %v, while %v", o, now.Sub(sibling.start), sibling.op, q.state)
	}
	return q
}

// accepted says whether the Client was accepted since.
func (c *modelClient) accepted(p *modelPassword, since time.Time) bool {
	for _, q := range c.requests {
		if q.password == p && q.outcome == accepted && q.end.After(since) {
			return true
		}
	}
	return false
}

// failed says whether an answer since the latest acceptance was neither an acceptance nor a
// refusal.
func (c *modelClient) failed() bool {
	for i := len(c.requests) - 1; i >= 0; i-- {
		switch q := c.requests[i]; {
		case q.cut, q.outcome == nothing, q.outcome == lost:
			return true
		case q.outcome == accepted:
			return false
		}
	}
	return false
}

// probedSince says whether a shared probe was under way since.
func (c *modelClient) probedSince(since time.Time) bool {
	for _, q := range c.requests {
		if q.probe && q.op.kind != "reconnect" && (q.outcome == pending || q.end.After(since)) {
			return true
		}
	}
	return false
}

// repaired says whether a password was accepted by an answer to a request that was
// sent after its refusal.
func (c *modelClient) repaired(p *modelPassword, ae *icloud.AuthError) bool {
	var refusal time.Time
	for _, q := range c.requests {
		if q.password == p && q.probe && q.outcome == refused && !q.end.After(ae.Refused) && q.end.After(refusal) {
			refusal = q.end
		}
	}
	for _, q := range c.requests {
		if q.password == p && q.outcome == accepted && q.start.After(refusal) {
			return true
		}
	}
	return false
}

// requestEnds records the outcome of a request.
func (c *modelClient) requestEnds(q *modelRequest, result outcome, resp *http.Response) {
	m, now := c.m, time.Now()
	text := [...]string{"pending", "accepted", "refused", "no evidence", "lost"}[result]
	if resp != nil {
		text += fmt.Sprintf(", %d %s", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	m.log("%v: %s", q.op, text)
	m.mu.Lock()
	q.end, q.outcome = now, result
	switch result {
	case accepted:
		q.password.accepted++
		if q.op.kind == "reconnect" {
			q.op.accepted = now
		}
	case refused:
		q.password.refused++
		if q.probe {
			q.password.probesRefused++
		}
	}
	if resp != nil && resp.StatusCode == 500 {
		q.op.met500 = true
	}
	if resp != nil && !q.photo && resp.Header.Get("Retry-After") != "" {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait := max(2*time.Second, time.Duration(seconds)*time.Second)
		if resp.StatusCode == 403 {
			wait = min(wait, time.Hour)
			if q.get {
				wait = 0
			}
		}
		if until := now.Add(wait); until.After(c.withheld) {
			c.withheld = until
		}
		if until := now.Add(max(wait, 64*time.Second)); wait > 0 && until.After(c.waits) {
			c.waits = until
		}
	}
	// This counts how often a password is sent and refused after a probe was refused.
	sent, first := 0, time.Time{}
	if result == refused && !q.photo && q.op.kind != "reconnect" {
		for i := len(c.requests) - 1; i >= 0; i-- {
			r := c.requests[i]
			if r.password != q.password || r.outcome == accepted || r.start.Before(c.since) {
				break
			}
			// The probe counts, and not the first request that was refused.
			if r.probe && r.outcome == refused && r.op.kind != "reconnect" && c.refusedBefore(r) {
				first = r.end
			}
		}
		by := make(map[*modelOp]bool) // an owner's call may send one more
		for _, r := range c.requests {
			if !first.IsZero() && r.password == q.password && r.outcome == refused && r.op.kind != "reconnect" && r.start.After(first) && now.Sub(r.start) < time.Minute {
				by[r.op] = true
			}
		}
		sent = len(by)
	}
	m.mu.Unlock()
	// If clocks differ, another worker's acceptance may have a later date than the
	// refusal, and refute it until that date has passed.
	if sent > 2 && m.cfg.slack() == 0 {
		m.fail("unheard", "%v: %v was sent and refused %d times within a minute", q.op, q.password, sent)
	}
}

// refusedBefore says whether the call of a request was refused before, or the password was
// Doubted.
func (c *modelClient) refusedBefore(r *modelRequest) bool {
	for _, q := range c.requests {
		if q == r {
			break
		}
		if q.op == r.op && q.outcome == refused {
			return true
		}
	}
	return r.state == icloud.Doubted || r.state == icloud.SignedOut
}

// loadStarts records that a call reads the Store.
func (c *modelClient) loadStarts(o *modelOp) {
	if c.Client == nil || c.Status().State != icloud.SignedOut {
		return
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	o.looks = append(o.looks, time.Now())
}

// onStatus is Options.OnStatus. It calls the Client, which must not be locked.
func (c *modelClient) onStatus(ctx context.Context, s icloud.Status) {
	m := c.m
	o, _ := ctx.Value(modelOpKey{}).(*modelOp)
	m.log("%v: OnStatus hears that it is %v", o, s.State)
	if o != nil && o.kind == "load" {
		m.fail("load", "%v: OnStatus hears of a Load that it is %v", o, s.State)
	}
	if o == nil {
		m.fail("told", "%v: OnStatus was called without the context of a call", c)
	}
	m.status(c, s)
	m.status(c, c.Status())
	ae, ok := errors.AsType[*icloud.AuthError](s.Err)
	if s.State != icloud.SignedOut || !ok {
		return
	}
	key := ae.Refused.Add(c.worker.offset)
	m.mu.Lock()
	if c.tellings == nil {
		c.tellings = make(map[time.Time]int)
	}
	c.tellings[key]++
	m.told[key]++
	own, all := c.tellings[key], m.told[key]
	m.mu.Unlock()
	if own > 1 || m.cfg.calm && m.cfg.store && all > 1 {
		m.fail("told", "%v: OnStatus hears %d times, and %d times in all, of one verdict: %v", c, own, all, ae)
	}
}

// status checks the Status of a Client.
func (m *model) status(c *modelClient, s icloud.Status) {
	now := time.Now()
	ae, isAuth := errors.AsType[*icloud.AuthError](s.Err)
	refused := s.State == icloud.Doubted || s.State == icloud.SignedOut
	soon := !s.Expires.IsZero() && !now.Before(s.Expires.Add(-30*day))
	switch {
	case refused != (s.Err != nil), refused != isAuth, refused && ae.Confirmed != (s.State == icloud.SignedOut),
		s.LastAccepted.After(now),
		(s.State == icloud.Active || s.State == icloud.Expiring) && s.LastAccepted.IsZero(),
		s.State == icloud.Untested && !s.LastAccepted.IsZero(),
		s.State == icloud.Active && soon, s.State == icloud.Expiring && !soon,
		s.State < icloud.Untested, s.State > icloud.SignedOut:
		m.fail("status", "%v: %+v", c, s)
	}
	switch {
	case (s.State == icloud.Doubted) != !s.Final.IsZero(),
		// Of two concurrent refusals the earlier one counts.
		s.State == icloud.Doubted && m.cfg.workers == 1 && s.Final.After(ae.Refused.Add(m.cfg.effectiveDwell())),
		!s.Replaced.IsZero() && s.State != icloud.SignedOut,
		!s.NextTry.IsZero() && !s.NextTry.After(now),
		refused && s.NextTry.After(now.Add(day+m.cfg.slack())) && now.After(c.waits),
		s.StoreErr != nil && (m.cfg.calm || !m.cfg.store):
		m.fail("status", "%v: %+v", c, s)
	}
	m.mu.Lock()
	if len(c.joining) == 0 {
		if last := c.newest[c.password]; s.LastAccepted.Before(last.Add(-m.cfg.slack())) {
			m.mu.Unlock()
			m.fail("backwards", "%v: LastAccepted of %v moves from %s to %s", c, c.password, last.Sub(m.start), s.LastAccepted.Sub(m.start))
			m.mu.Lock()
		}
		c.newest[c.password] = s.LastAccepted
	}
	m.mu.Unlock()
}

// quiet checks all Clients while no call is under way.
func (m *model) quiet() {
	m.check()
	for _, w := range m.workers {
		c := w.client
		s := c.Status()
		m.status(c, s)
		m.mu.Lock()
		since, p := c.since, c.password
		m.mu.Unlock()
		if !since.IsZero() && s.LastAccepted.Before(since) {
			m.fail("reconnect", "%v: %v was accepted by Reconnect at %s, and LastAccepted is %s", c, p, since.Sub(m.start), s.LastAccepted.Sub(m.start))
		}
		ae, ok := errors.AsType[*icloud.AuthError](s.Err)
		m.mu.Lock()
		if last := c.refusal; last != nil && !ok && c.refusalOf == p && !c.since.After(last.Refused) && m.cfg.workers == 1 && !c.repaired(p, last) {
			m.mu.Unlock()
			m.fail("late", "%v: %v was refused, and nothing that started later was accepted, but it is %v: %v", c, p, s.State, last)
			m.mu.Lock()
		}
		c.refusal, c.refusalOf = ae, p
		m.mu.Unlock()
		if !ok {
			continue
		}
		m.verdict(c, nil, nil, ae, time.Now())
		m.parsed(c, s, ae)
		key := ae.Refused.Add(w.offset)
		m.mu.Lock()
		heard := m.told[key] > 0 || m.answered[key]
		m.mu.Unlock()
		// If the password was replaced meanwhile, OnStatus need not report its death.
		if ae.Confirmed && !heard && s.Replaced.IsZero() && !m.replaced(p, ae) {
			m.fail("told", "%v is signed out, and OnStatus has not heard of it: %v", c, ae)
		}
	}
	m.check()
}

// replaced says whether the owner has given any Client another password within an hour
// of a refusal.
func (m *model) replaced(p *modelPassword, ae *icloud.AuthError) bool {
	for _, c := range m.clients {
		if wait := c.since.Sub(ae.Refused); !c.since.IsZero() && c.password != p && wait.Abs() < time.Hour {
			return true
		}
	}
	return false
}

// parsed compares ParseStatus of the Store's data with the Client's Status.
func (m *model) parsed(c *modelClient, s icloud.Status, ae *icloud.AuthError) {
	if !m.cfg.calm || !m.cfg.store || m.cfg.workers > 1 || len(m.passwords) > 1 {
		return
	}
	m.store.mu.Lock()
	data := m.store.data
	m.store.mu.Unlock()
	p, err := icloud.ParseStatus(data)
	got, ok := errors.AsType[*icloud.AuthError](p.Err)
	if err != nil || !ok || p.State != s.State || *got != *ae || !p.Final.Equal(s.Final) {
		m.fail("load", "%v: ParseStatus gives %+v, %v; the Client's is %+v", c, p, err, s)
	}
}

// well says whether the server and the Store work for a Client.
func (m *model) well(c *modelClient) bool {
	m.mu.Lock()
	f := m.fault
	withheld := time.Now().Before(c.withheld.Add(64 * time.Second))
	m.mu.Unlock()
	return !f.active() && !withheld && m.cfg.calm
}

// compareRestart restarts a Client, and compares what the new one says before and at its first
// call.
func (m *model) compareRestart(r *rand.Rand, w *modelWorker) {
	before := w.client.Status()
	old, _ := errors.AsType[*icloud.AuthError](before.Err)
	w.restart(w.client.password, time.Time{})
	if m.cfg.workers > 1 || before.State == icloud.Untested {
		return
	}
	c := w.client
	var err error
	if r.IntN(2) == 0 {
		m.alone(func() { err = c.call(r, "load", nil) })
		after := c.Status()
		ae, _ := errors.AsType[*icloud.AuthError](after.Err)
		if err != nil || (old == nil) != (ae == nil) || old != nil && *ae != *old || after.State != before.State {
			m.fail("load", "%v: got %v, and %+v after Load; before the restart it was %+v", c, err, after, before)
		}
	}
	if old == nil {
		return
	}
	m.alone(func() { err = c.call(r, "list", nil) })
	if len(c.requests) > 0 {
		return // a probe was due
	}
	if ae, ok := errors.AsType[*icloud.AuthError](err); !ok || *ae != *old {
		m.fail("restart", "%v: got %v after a restart, want %v", c, err, old)
	}
}

// doWorker has one Client find that a password works that is SignedOut for the others.
func (m *model) doWorker(r *rand.Rand) {
	if !m.cfg.calm || !m.cfg.store {
		return
	}
	for _, w := range m.workers {
		p := w.client.password
		if w.client.Status().State != icloud.SignedOut || !p.works() {
			continue
		}
		for _, v := range m.workers {
			if v == w || v.client.password != p || !m.well(v.client) || !m.well(w.client) {
				continue
			}
			var err error
			m.alone(func() { err = v.client.call(r, "reconnect", p) })
			if err != nil {
				m.fail("reconnect", "%v: %v works, and so does all else: %v", v.client, p, err)
			}
			time.Sleep(61 * time.Second)
			if !p.works() {
				return
			}
			m.alone(func() { err = w.client.call(r, "list", nil) })
			if err != nil {
				m.fail("worker", "%v has found a minute ago that %v works, and %v gets %v", v.client, p, w.client, err)
			}
			return
		}
	}
}

// epilogue ends all faults, and checks that every Client then works or is SignedOut.
func (m *model) epilogue(r *rand.Rand) {
	m.doHeal(r)
	m.mu.Lock()
	m.outage = false
	m.mu.Unlock()
	time.Sleep(25*time.Hour + jitter(r, time.Second))
	m.pollNeighbors()
	list := func(w *modelWorker) (err error) {
		m.alone(func() { err = w.client.callFor(r, "list", nil, time.Hour, false) })
		m.quiet()
		return err
	}
	var dead []*modelWorker
	for _, w := range m.workers {
		c := w.client
		works := c.password.works()
		err := list(w)
		switch s := c.Status(); {
		case works && !c.password.works():
		case works && (err != nil || s.State != icloud.Active && s.State != icloud.Expiring):
			m.fail("alive", "%v: %v works, and so does all else, but it is %v and gets %v", c, c.password, s.State, err)
		case !works:
			if _, ok := errors.AsType[*icloud.AuthError](err); !ok {
				m.fail("alive", "%v: %v is dead, but it gets %v", c, c.password, err)
			}
			dead = append(dead, w)
		}
	}
	time.Sleep(m.cfg.effectiveDwell() + m.cfg.slack() + 2*time.Minute)
	m.pollNeighbors()
	for _, w := range dead {
		ae, ok := errors.AsType[*icloud.AuthError](list(w))
		if !ok || !ae.Confirmed || w.client.Status().State != icloud.SignedOut {
			m.fail("alive", "%v: %v has been dead for more than the dwell, but it gets %v", w.client, w.client.password, ae)
		}
	}
	for _, w := range m.workers {
		c := w.client
		var err error
		p := m.issue()
		m.alone(func() { err = c.callFor(r, "reconnect", p, time.Hour, false) })
		if s := c.Status(); err != nil || s.State != icloud.Active && s.State != icloud.Expiring {
			m.fail("reconnect", "%v: %v works, and so does all else, but it is %v and gets %v", c, p, s.State, err)
		}
		if err := list(w); err != nil {
			m.fail("reconnect", "%v: after Reconnect with %v a listing gets %v", c, p, err)
		}
	}
	m.check()
}
