// The probe, and what follows from its answer. A probe is one PROPFIND that shows whether
// iCloud accepts the password. It is sent once for all calls that need to know. It asks
// for the current-user-principal (RFC 5397), so it is also the first step of discovery.

package icloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/dav"
)

var (
	// errReplaced says that the password of a request has been replaced or accepted
	// since. Then its refusal means nothing, and the request may be sent again.
	errReplaced = errors.New("icloud: the password has been replaced meanwhile")

	// errRefused is the error of a probe that got a 401 that counts.
	errRefused = errors.New("icloud: refused")
)

// check401 decides what a 401 means that a request with this password got. The request
// was sent at that Seq. The error is nil if the 401 is refuted.
func (s *session) check401(ctx context.Context, cs *credentialState, sent authstate.Seq, by authstate.Caller) (*principal, error) {
	// A Reconnect may be replacing the password at this moment. Then this 401 was about
	// the old password.
	if err := s.waitReplaced(ctx); err != nil {
		return nil, err
	}
	return s.shareProbe(ctx, cs, sent, by)
}

// A probe is one PROPFIND that asks whether the password is accepted, for all calls
// that want to know.
type probe struct {
	cs   *credentialState
	done chan struct{} // closed when the probe has ended

	// Guarded by session.mu.
	by      authstate.Caller // Interactive if one of the calls is
	judged  authstate.Caller // what by was when the refusal was judged
	refused bool
	ended   authstate.Seq // when it ended with yes or no

	// Set before done is closed.
	found   *principal
	err     error
	dropped bool // the call that sent it did not wait for the answer
}

// shareProbe asks iCloud whether it accepts a password, or shares the probe of
// another call: one under way, or one that ended after sent, if that is not 0. The error
// is nil if the password is accepted, an *AuthError if it is refused, errReplaced if the
// password has been replaced or accepted meanwhile, and any other error if iCloud said
// neither. The principal may be nil.
func (s *session) shareProbe(ctx context.Context, cs *credentialState, sent authstate.Seq, by authstate.Caller) (*principal, error) {
	for {
		s.lock()
		if s.current != cs {
			s.mu.Unlock()
			return nil, errReplaced
		}
		// If the owner waits for the answer, the refusal is final. For the call that
		// sent the probe it may not have been.
		wantsFinal := by == authstate.Interactive && sent != 0 && !s.state.Worked(cs.entry, time.Now())
		p, err := s.probeToShare(cs, sent, wantsFinal)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if p == nil {
			p = &probe{cs: cs, by: by, done: make(chan struct{})}
			s.probe = p
			before := s.state.Probing(cs.entry, time.Now())
			s.mu.Unlock()
			s.runProbe(ctx, p, before)
			return s.outcome(p)
		}
		p.by = max(p.by, by)
		s.mu.Unlock()
		if err := wait(ctx, p.done); err != nil {
			return nil, err
		}
		// The call that sent it was cancelled. The next one sends its own.
		if p.dropped {
			continue
		}
		s.lock()
		tooLate := wantsFinal && p.judged != authstate.Interactive
		s.mu.Unlock()
		_, refused := errors.AsType[*AuthError](p.err)
		switch {
		case refused && tooLate:
			continue
		// The other call was cancelled before it saved the verdict. This call saves
		// it, and must not return a cancellation that is not its own.
		case refused && (errors.Is(p.err, context.Canceled) || errors.Is(p.err, context.DeadlineExceeded)):
			return nil, errReplaced
		}
		return s.outcome(p)
	}
}

// outcome returns what a probe has found, or errReplaced if the password was accepted
// but has been replaced meanwhile.
func (s *session) outcome(p *probe) (*principal, error) {
	s.lock()
	defer s.mu.Unlock()
	if p.err == nil && s.current != p.cs {
		return nil, errReplaced
	}
	return p.found, p.err
}

// probeToShare returns a probe whose outcome the call can share, or nil if the call has
// to send one, or the verdict if it may not send one. The caller holds s.mu.
func (s *session) probeToShare(cs *credentialState, sent authstate.Seq, wantsFinal bool) (*probe, error) {
	// Calls with different passwords never share an outcome.
	if p := s.probe; p != nil && p.cs == cs {
		return p, nil
	}
	// A probe that ended after the request was sent is as fresh as the request's
	// own 401.
	if p := s.lastProbe; p != nil && sent != 0 && sent < p.ended && (!wantsFinal || p.judged == authstate.Interactive) {
		return p, nil
	}
	// A request that was sent while the refusal was being saved adds no evidence, and
	// another call may just have sent a probe.
	if action, v := s.state.Next(time.Now()); action == authstate.Hold && !wantsFinal {
		return nil, s.errorOf(v)
	}
	return nil, nil
}

// runProbe sends probe p, and leaves its outcome in it. before is what
// State.Probing returned.
func (s *session) runProbe(ctx context.Context, p *probe, before time.Time) {
	p.dropped = true // unless it comes to an end: a Transport may panic
	wasSent := true
	defer func() {
		s.lock()
		if p.dropped || !wasSent {
			s.state.Unprobed(p.cs.entry, before, wasSent, time.Now())
		}
		if s.probe == p {
			s.probe = nil
		}
		s.mu.Unlock()
		close(p.done)
	}()
	// The probe has the context of the call that sends it. If that context ends, the
	// outcome is lost, but the calls that wait for the probe do not fail.
	var sent authstate.Seq
	p.found, sent, p.err = s.askPrincipal(ctx, p.cs)
	if errors.Is(p.err, errRefused) {
		p.err = s.reject(ctx, p.cs, sent, p)
	}
	_, refused := errors.AsType[*AuthError](p.err)
	if re, ok := errors.AsType[*ResponseError](p.err); ok && re.Withheld {
		wasSent = false
	}
	// The context of this call has ended without an outcome. Other calls must not
	// return a cancellation that is not their own.
	p.dropped = p.err != nil && !refused && ctx.Err() != nil
	if p.err == nil || refused {
		s.lock()
		// Requests that are under way now may still meet a 401, which this
		// explains.
		p.ended = s.state.Sent()
		s.lastProbe = p
		s.mu.Unlock()
	}
}

// askPrincipal sends a probe: PROPFIND, Depth 0, for current-user-principal at the
// endpoint as given, on iCloud at its root. Only a 207 that names a principal is an
// acceptance, or one that shows the endpoint to be an address book. errRefused is a
// 401 that counts.
//
// If a server has no CardDAV at its root, the probe goes to the well-known URL.
func (s *session) askPrincipal(ctx context.Context, cs *credentialState) (*principal, authstate.Seq, error) {
	found, sent, err := s.askPrincipalAt(ctx, cs, s.probeURL())
	if err == nil || s.gate.ICloud() || !noDAV(err) {
		return found, sent, err
	}
	found, sent, second := s.askPrincipalAt(ctx, cs, s.wellKnownURL())
	// If neither URL has CardDAV, the error is that of the URL which the caller named.
	if second != nil && noDAV(second) {
		second = err
	}
	return found, sent, second
}

func (s *session) askPrincipalAt(ctx context.Context, cs *credentialState, u *url.URL) (*principal, authstate.Seq, error) {
	req, err := davRequest(ctx, "PROPFIND", u, "0", s.principalBody(u))
	if err != nil {
		return nil, 0, err
	}
	resp, sent, err := s.send(cs, req, principalRequest)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized && s.counts(resp):
		discard(resp)
		s.lock()
		if hasRealm(resp) {
			s.state.IsICloud() // through a proxy, or a fake of it
		}
		s.mu.Unlock()
		return nil, sent, errRefused
	case resp.StatusCode != http.StatusMultiStatus:
		discard(resp)
		return nil, sent, responseError(resp)
	}
	defer resp.Body.Close()
	found, err := readPrincipal(resp)
	if err == nil {
		s.accepted(cs, sent)
	}
	return found, sent, err
}

// reject notes that a password was refused by a probe that was sent at that Seq,
// saves the verdict and returns it. Until then no other call learns of it. p is the
// probe that is shared, nil for Reconnect's. errReplaced says that an acceptance
// has refuted the refusal, or that the password has been replaced.
func (s *session) reject(ctx context.Context, cs *credentialState, sent authstate.Seq, p *probe) error {
	s.lock()
	at, ok := s.state.Refused(cs.entry, sent)
	if p != nil {
		ok = ok && s.current == cs
		p.refused = true
	}
	s.mu.Unlock()
	if !ok {
		return errReplaced
	}
	r, err := s.saveRejection(ctx, cs.entry, p, at)
	authErr, ok := s.commit(cs, r, p)
	switch {
	case !ok:
		// The saved verdict is refuted. Replace it soon, because other Clients read it.
		_ = s.saveAtOnce(ctx)
		return errReplaced
	case err != nil:
		return errors.Join(authErr, err)
	}
	return authErr
}

// commit makes a verdict known to all calls, after an attempt to save it.
func (s *session) commit(cs *credentialState, r *authstate.Rejection, p *probe) (authErr *AuthError, ok bool) {
	s.lock()
	defer s.mu.Unlock()
	if p != nil && s.current != cs {
		s.state.Drop(r)
		return nil, false
	}
	v := s.state.Commit(r)
	if v == nil {
		return nil, false
	}
	return s.errorOf(v), true
}

// saveRejection decides the verdict on a refusal that arrived at that Seq, and saves it.
// The error says that it could not be saved.
func (s *session) saveRejection(ctx context.Context, e *authstate.Entry, p *probe, at authstate.Seq) (*authstate.Rejection, error) {
	ctx, cancel := s.storeContext(ctx)
	defer cancel()
	turnErr := s.storing.take(ctx)
	if turnErr == nil {
		defer s.storing.give()
	}
	now := time.Now()
	s.lock()
	if p != nil && s.state.IsSymptom(e, now, p.by) {
		// This comes before the verdict, because with this refusal the Fleet may
		// recognize an incident.
		s.fleet.count(s.key, now, true)
	}
	s.mu.Unlock()
	_, incident := s.fleet.incident(now)
	return s.updateStore(ctx, turnErr, func() *authstate.Rejection {
		by := authstate.Interactive
		if p != nil {
			// A call whose owner waits for the answer may have joined the probe by now.
			by, p.judged = p.by, p.by
		}
		return s.state.Reject(e, at, now, by, incident)
	})
}

// principal is what an endpoint says about the account that is signed in.
type principal struct {
	base   *url.URL // what href is relative to
	href   string   // as written
	isBook bool     // the endpoint is an address book itself
}

var errNoPrincipal = errors.New("icloud: the server does not say who is signed in (current-user-principal)")

// probeURL is where probes go: the endpoint as given, on iCloud its root.
func (s *session) probeURL() *url.URL {
	if s.gate.ICloud() {
		return s.endpoint.ResolveReference(&url.URL{Path: "/"})
	}
	return s.endpoint
}

// wellKnownURL is where discovery goes on (RFC 6764, section 5).
func (s *session) wellKnownURL() *url.URL {
	return s.endpoint.ResolveReference(&url.URL{Path: "/.well-known/carddav"})
}

// principalBody returns the body of a request for the principal. If u may be an address
// book, the request also asks for the resourcetype.
func (s *session) principalBody(u *url.URL) []byte {
	if u.Path == s.endpoint.Path && u.Path != "/" {
		return dav.PropfindEndpoint()
	}
	return dav.PropfindPrincipal()
}

// readPrincipal reads who is signed in. It is an error if nobody is.
func readPrincipal(resp *http.Response) (*principal, error) {
	p := &principal{base: resp.Request.URL}
	status := 0
	err := rows(resp, func(row *dav.Row) error {
		switch {
		case row.Status >= 300:
			status = row.Status
		case len(row.Principal) > 0 && !row.Unauthenticated && p.href == "":
			p.href = string(row.Principal)
		}
		// The row must be about what was asked for: a Depth that a server ignores
		// brings rows of other things.
		p.isBook = p.isBook || row.AddressBook && !row.Unauthenticated && dav.SameResource(string(row.Href), p.base)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case p.href != "" || p.isBook:
		return p, nil
	case status != 0:
		return nil, &ResponseError{Method: resp.Request.Method, StatusCode: status}
	}
	return nil, errNoPrincipal
}

// noDAV says whether an error shows that a URL has no CardDAV, and not that a request there
// has failed.
func noDAV(err error) bool {
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return re.RetryAfter == 0 && (re.StatusCode < 500 && re.StatusCode != http.StatusUnauthorized &&
			re.StatusCode != http.StatusTooManyRequests || re.StatusCode == http.StatusNotImplemented)
	}
	return errors.Is(err, errNoPrincipal)
}
