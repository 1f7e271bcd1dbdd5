// The session of an account: what is known about its password, and all requests. It asks
// authstate what may be sent, sends it, and tells authstate the answer. authstate makes all
// decisions that depend on dates.
//
// Before a request, authorize says whether it may be sent. After it, observe notes
// an acceptance. A 401 that counts goes to check401, which has one probe sent for
// all calls that met it. A probe that is refused goes to reject, which saves the
// verdict before anybody sees it.

package icloud

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/dav"
	"github.com/go-icloud/icloud/internal/origin"
)

// session is the session of one account. It is safe for concurrent use.
type session struct {
	transport
	endpoint     *url.URL
	store        Store
	key          string // of the account, in store
	fleet        *Fleet
	onStatus     func(context.Context, Status)
	onStoreError func(context.Context, error)

	storing      turn // taken while store is used
	finding      turn // taken during discovery
	reconnecting turn // taken during Reconnect

	// mu guards what follows. It is never held during I/O or a callback.
	mu        sync.Mutex
	state     authstate.State
	current   *credentialState
	probe     *probe             // under way, or nil
	lastProbe *probe             // the latest that said yes or no to the current password, or nil
	replaced  chan struct{}      // closed when the Reconnect under way has ended, or nil
	authError *AuthError         // the one for verdict
	verdict   *authstate.Verdict // of the current password
	book      book
	loading   *loading // of Client.Load, or nil
	storeErr  error    // Status.StoreErr
	syncing   int32    // Syncs that have begun and not ended
	storeTold bool     // OnStoreError was called with storeErr
	unsaved   bool     // storeErr is of a save
	estimated bool     // the lifetime is Apple's, which nobody knows; set by New
}

// lock locks s.mu. What a Fleet has learned of the lifetime of passwords applies from
// then on.
func (s *session) lock() {
	s.mu.Lock()
	if s.fleet != nil && s.estimated {
		s.state.NoEnd(s.fleet.noEnd.Load())
	}
}

// credentialState is a credential; its dates are in entry. Reconnect makes a new one, so
// that a request knows with which password it was sent.
type credentialState struct {
	appleID  string
	password Password
	entry    *authstate.Entry // guarded by session.mu
}

// hashPassword returns the function by which authstate recognizes a password.
// App-specific passwords have 75 bits, which cannot be guessed. So the hash need
// not be slow, and a worker that starts computes it for each of its accounts.
func hashPassword(p Password) authstate.Hash {
	return func(salt []byte) []byte {
		mac := hmac.New(sha256.New, salt)
		mac.Write([]byte(p.Reveal()))
		return mac.Sum(nil)
	}
}

// claims returns the dates of a credential.
func (cred Credential) claims() authstate.Claims {
	return authstate.Claims{Issued: cred.Issued, LastAccepted: cred.LastAccepted, AccountChanged: cred.AccountChanged}
}

// requestKind says what the answer to a request can prove.
type requestKind int

const (
	// ordinary requests are CardDAV's: a 401 calls for a probe, success is an
	// acceptance.
	ordinary requestKind = iota

	// principalRequest asks for the principal. The answer is an acceptance only if it
	// names one, which readPrincipal checks.
	principalRequest

	// photoRequest goes to another service, which has answered 401 to good passwords.
	// Its answer is no evidence about the password.
	photoRequest
)

// do sends a request with the password and returns the answer. All requests but
// probes go through it.
//
// The errors are *AuthError, *ResponseError for a 401 that was refuted or does not
// count, for an answer that asks to wait, and for what was withheld; or an ordinary
// error. Other answers are for the caller to judge.
func (s *session) do(req *http.Request, k requestKind) (*http.Response, error) {
	resp, _, _, err := s.exchange(req, k)
	return resp, err
}

// exchange is do. It also returns the credential that was sent, and when, for a
// caller who decides whether the answer is an acceptance.
func (s *session) exchange(req *http.Request, k requestKind) (*http.Response, *credentialState, authstate.Seq, error) {
	ctx := req.Context()
	for {
		// The current credential may change between two tries.
		cs, _, err := s.authorize(ctx, authstate.Unattended)
		if err != nil {
			closeBody(req)
			return nil, nil, 0, err
		}
		resp, sent, err := s.send(cs, req, k)
		if err != nil {
			return nil, nil, 0, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			return resp, cs, sent, nil
		}
		discard(resp)
		refuted := &ResponseError{Method: req.Method, StatusCode: http.StatusUnauthorized}
		// This 401 is not iCloud's, so it says nothing about the password.
		if k == photoRequest || !s.counts(resp) {
			return nil, nil, 0, refuted
		}
		switch _, err := s.check401(ctx, cs, sent, authstate.Unattended); {
		case errors.Is(err, errReplaced):
			// A 401 proves that nothing was done, so even a write may be
			// sent again.
			if req.Body != nil && req.GetBody == nil {
				return nil, nil, 0, refuted
			}
		case err != nil:
			return nil, nil, 0, err
		// The password is good. This URL refuses it, or did for a moment;
		// whether to try again is for the caller to say.
		default:
			return nil, nil, 0, refuted
		}
	}
}

// send sends a request with a credential. It returns the answer, and when the last
// hop was sent.
func (s *session) send(cs *credentialState, req *http.Request, k requestKind) (*http.Response, authstate.Seq, error) {
	var sent authstate.Seq
	resp, err := s.transport.send(cs.appleID, cs.password, req, func() (err error) {
		sent, err = s.depart(cs, req.Method)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return resp, sent, s.observe(cs, resp, sent, k)
}

// depart is called before each hop: the answer to another call may have asked to
// wait meanwhile.
func (s *session) depart(cs *credentialState, method string) (authstate.Seq, error) {
	s.lock()
	defer s.mu.Unlock()
	now := time.Now()
	if left, status := s.state.Withheld(now); left > 0 {
		return 0, &ResponseError{Method: method, StatusCode: status, RetryAfter: left, Withheld: true}
	}
	if s.pending(cs) {
		s.state.SentPending(now)
	}
	return s.state.Sent(), nil
}

// observe notes what an answer means for the account, and makes its body plain.
func (s *session) observe(cs *credentialState, resp *http.Response, sent authstate.Seq, k requestKind) error {
	if err := decompress(resp); err != nil {
		discard(resp)
		return err
	}
	if k != photoRequest {
		if err := s.throttle(resp); err != nil {
			discard(resp)
			return err
		}
	}
	if k == ordinary && s.accepts(resp) {
		s.accepted(cs, sent)
	}
	return nil
}

// throttle returns an error if an answer asks the account to wait.
func (s *session) throttle(resp *http.Response) error {
	asked, ok := throttled(resp)
	if !ok {
		return nil
	}
	err := &ResponseError{Method: resp.Request.Method, StatusCode: resp.StatusCode}
	// Without a Retry-After nothing is withheld, because nobody knows how long to
	// wait.
	if asked >= 0 {
		s.lock()
		err.RetryAfter = s.state.Throttled(resp.StatusCode, asked, time.Now())
		s.mu.Unlock()
	}
	return err
}

// accepts says whether an answer proves that the password was accepted: a
// multistatus, or success with a card of the book. A portal can answer 200 to
// anything.
func (s *session) accepts(resp *http.Response) bool {
	if resp.StatusCode == http.StatusMultiStatus {
		return true
	}
	switch resp.Request.Method {
	case http.MethodGet, http.MethodPut, http.MethodDelete:
		s.lock()
		b := s.book
		s.mu.Unlock()
		if b.at == nil {
			return false
		}
		u, err := s.resolve(b.at.book)
		// Success elsewhere, or with the book as a whole, may be a page's.
		return resp.StatusCode/100 == 2 && !isPage(resp) && err == nil && u.Host == resp.Request.URL.Host &&
			strings.HasPrefix(resp.Request.URL.Path, dav.DirPath(u.Path)) && resp.Request.URL.Path != dav.DirPath(u.Path)
	}
	return false
}

// realm is the realm of iCloud's challenges, on contacts hosts and calendar hosts.
const realm = "MMCalDav"

// counts says whether a 401 is evidence about the password. On iCloud, one of its
// challenges must have iCloud's realm, with any scheme and in any order. On other servers,
// one must have the scheme Basic. The 401 of a proxy or a captive portal does not count.
func (s *session) counts(resp *http.Response) bool {
	if s.gate.ICloud() {
		return hasRealm(resp)
	}
	return slices.ContainsFunc(origin.Challenges(resp.Header.Values("WWW-Authenticate")), func(ch origin.Challenge) bool {
		return strings.EqualFold(ch.Scheme, "Basic")
	})
}

// hasRealm says whether a 401 has iCloud's realm.
func hasRealm(resp *http.Response) bool {
	return slices.ContainsFunc(origin.Challenges(resp.Header.Values("WWW-Authenticate")), func(ch origin.Challenge) bool {
		return ch.Realm == realm
	})
}

// accepted notes that a password was accepted by the answer to a request that was
// sent at that Seq.
func (s *session) accepted(cs *credentialState, sent authstate.Seq) {
	s.lock()
	defer s.mu.Unlock()
	t := time.Now()
	counts, cleared := s.state.Accepted(cs.entry, sent, t)
	if !counts {
		return
	}
	if cleared {
		// A 401 that arrives later needs a new probe, because this acceptance refutes
		// the outcome of the last one.
		s.lastProbe = nil
	}
	s.fleet.count(s.key, t, false)
	if s.fleet != nil && s.estimated {
		s.state.Crossings(s.fleet.noteLifetime)
	}
}

// errorOf returns the AuthError of a verdict. All calls get the same AuthError for the
// verdict on the current password. The caller holds s.mu.
func (s *session) errorOf(v *authstate.Verdict) *AuthError {
	if v == s.verdict {
		return s.authError
	}
	err := newAuthError(v, s.state.Elsewhere())
	if v == s.state.Current().Verdict {
		s.verdict, s.authError = v, err
	}
	return err
}

// step is what authorize does next.
type step int

const (
	stepSend    step = iota
	stepReturn       // the verdict
	stepJoin         // the probe that is under way
	stepWait         // for the Reconnect that is under way
	stepProbe        // send one
	stepRead         // the Store: others may have learned something
	stepPeek         // likewise, if it can be had
	stepSaveNow      // a verdict that should have been saved before it was returned
)

// nextStep says how a call goes on. read says that the Store has been read in this
// call.
func (s *session) nextStep(read bool) (step, *credentialState, *AuthError) {
	s.lock()
	defer s.mu.Unlock()
	cs, now := s.current, time.Now()
	action, v := s.state.Next(now)
	switch {
	case action != authstate.Send:
		return s.refusedStep(action, v, read), cs, s.errorOf(v)
	case s.pending(cs) && !s.state.MaySendPending(now):
		return stepJoin, cs, nil
	}
	return stepSend, cs, nil
}

// refusedStep is the nextStep if the password has a verdict. The caller holds s.mu.
func (s *session) refusedStep(action authstate.Action, v *authstate.Verdict, read bool) step {
	switch {
	case s.probe != nil && s.probe.cs == s.current:
		return stepJoin
	// A Reconnect is under way. A call of a Client that is signed out does not wait for
	// it.
	case s.replaced != nil && v.Confirmed:
		return stepReturn
	case s.replaced != nil:
		return stepWait
	case action == authstate.Probe:
		return s.probeStep(v, read)
	case s.state.Unsaved():
		return stepSaveNow
	case v.Confirmed && !read && s.state.MayRead(time.Now()):
		return stepPeek
	}
	return stepReturn
}

// probeStep is the refusedStep if it is time for a probe.
func (s *session) probeStep(v *authstate.Verdict, read bool) step {
	switch withheld := s.withheld(); {
	case withheld && v.Confirmed:
		return stepReturn
	// Another Client may have sent a probe in the meantime. All Clients that share a
	// Store send one probe a minute or a day together.
	case !withheld && !read:
		return stepRead
	}
	return stepProbe
}

// withheld says whether the account has been asked to wait. The caller holds s.mu.
func (s *session) withheld() bool {
	left, _ := s.state.Withheld(time.Now())
	return left > 0
}

// pending says whether a refusal of the password is being saved. The caller holds
// s.mu.
func (s *session) pending(cs *credentialState) bool {
	return s.probe != nil && s.probe.cs == cs && s.probe.refused
}

// authorize decides whether a request may be sent, and with which credential. While the
// password is doubted, it sends a probe first, once a minute, and the request may be sent
// only if the probe is accepted. If the refusal is final, it sends a probe once a day. It
// returns the principal that a probe has found.
func (s *session) authorize(ctx context.Context, by authstate.Caller) (*credentialState, *principal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	// The Store may have a refusal of the password, so it is read before anything is
	// sent.
	if err := s.loadOnce(ctx); err != nil {
		return nil, nil, err
	}
	for read := false; ; {
		step, cs, authErr := s.nextStep(read)
		switch step {
		case stepSend:
			return cs, nil, nil
		case stepReturn:
			return nil, nil, authErr
		case stepWait:
			if err := s.waitReplaced(ctx); err != nil {
				return nil, nil, err
			}
		case stepRead:
			read = true
			if err := s.readStore(ctx); err != nil {
				return nil, nil, errors.Join(authErr, err)
			}
		case stepPeek:
			read = true
			s.peekStore(ctx)
		case stepSaveNow:
			if err := s.saveAtOnce(ctx); err != nil {
				return nil, nil, errors.Join(authErr, err)
			}
		case stepJoin, stepProbe:
			// With 0, probes that have ended are not shared.
			found, err := s.shareProbe(ctx, cs, 0, by)
			if !errors.Is(err, errReplaced) {
				return cs, found, err
			}
		}
	}
}

// waitReplaced waits for the end of the Reconnect that is under way, if one is.
func (s *session) waitReplaced(ctx context.Context) error {
	s.lock()
	replaced := s.replaced
	s.mu.Unlock()
	if replaced == nil {
		return nil
	}
	return wait(ctx, replaced)
}

// appleID returns the account's name, which no Reconnect changes.
func (s *session) appleID() string {
	s.lock()
	defer s.mu.Unlock()
	return s.current.appleID
}

// reconnect signs in with another credential, or the same once more, and makes it
// the current one. Calls whose own password is refused meanwhile wait for the
// outcome.
func (s *session) reconnect(ctx context.Context, cred Credential) error {
	if err := s.reconnecting.take(ctx); err != nil {
		return err
	}
	defer s.reconnecting.give() // also if a Transport panics
	// Another Client may have tried the password. If the Store fails, the Reconnect goes
	// on.
	s.peekStore(ctx)
	ended := make(chan struct{})
	s.lock()
	s.replaced = ended
	entry := s.state.Candidate(hashPassword(cred.Password), cred.claims(), time.Now())
	cs := &credentialState{appleID: cred.AppleID, password: cred.Password, entry: entry}
	s.mu.Unlock()
	defer func() {
		s.lock()
		s.replaced = nil
		s.mu.Unlock()
		close(ended)
	}()

	_, sent, err := s.askPrincipal(ctx, cs)
	if errors.Is(err, errRefused) {
		// One 401 may be a passing fault, here as everywhere.
		_, sent, err = s.askPrincipal(ctx, cs)
	}
	if errors.Is(err, errRefused) {
		err = s.reject(ctx, cs, sent, nil)
	}
	// errReplaced: another call was accepted with the same password meanwhile.
	if err != nil && !errors.Is(err, errReplaced) {
		return err
	}
	s.lock()
	defer s.mu.Unlock()
	// From here on requests are sent with the new password. Requests under way keep the
	// old credentialState, so that a refusal of the old password is not taken for a
	// refusal of the new one.
	now := time.Now()
	s.state.Replace(cs.entry, now)
	s.current, s.lastProbe = cs, nil
	s.fleet.count(s.key, now, false)
	return nil
}

// notify calls OnStatus if the State has changed since it was last called.
func (s *session) notify(ctx context.Context) {
	s.lock()
	now := time.Now()
	news := s.state.Notify(now)
	var status Status
	if news && s.onStatus != nil {
		status = s.status(now)
	}
	s.mu.Unlock()
	if news && s.onStatus != nil {
		s.onStatus(ctx, status)
	}
}

// status returns the Status at now. The caller holds s.mu.
func (s *session) status(now time.Time) Status {
	incident := false
	if v := s.state.Current().Verdict; v != nil && !v.Confirmed {
		_, incident = s.fleet.incident(now)
	}
	st := s.state.Status(now, incident)
	var err error
	if st.Verdict != nil {
		err = s.errorOf(st.Verdict)
	}
	return newStatus(st, err, s.storeErr)
}

// A call is one call of an exported method, from its beginning to its end.
type call struct {
	session *session
	began   time.Time
	syncs   bool // it is a Sync
	applied bool // whose apply has been called
}

// begin begins a call.
func (s *session) begin() *call {
	return &call{session: s, began: time.Now()}
}

// beginSync begins a Sync. From now on the application may hold the connection that its
// Store needs.
func (s *session) beginSync() *call {
	s.lock()
	defer s.mu.Unlock()
	s.syncing++
	c := s.begin()
	c.syncs = true
	return c
}

// apply is called before Sync calls its apply. The first time, it saves what is due, because
// nothing is saved from then on until the call has ended.
func (c *call) apply(ctx context.Context) {
	if c.applied {
		return
	}
	c.applied = true
	c.session.saveDue(ctx)
	c.session.notify(ctx)
}

// end ends a call about the account or its address book: it notes how the call
// went, saves what is due, reports a change of the state, and returns err. That a
// success could not be saved does not make it a failure. The caller holds no lock
// and no turn, since OnStatus may call the Client.
func (c *call) end(ctx context.Context, err error) error {
	s := c.session
	s.lock()
	switch {
	case err == nil:
		s.state.Succeeded()
	case mayPass(err):
		s.state.Failed(c.began, time.Now())
	}
	if c.syncs {
		s.syncing--
	}
	s.mu.Unlock()
	return c.endOther(ctx, err)
}

// endOther ends any other call.
func (c *call) endOther(ctx context.Context, err error) error {
	if !c.applied {
		c.session.saveDue(ctx)
	}
	c.session.notify(ctx)
	c.session.notifyStore(ctx)
	return err
}

// turn is a lock. Waiting for it ends when a context ends. The zero turn is free.
type turn struct {
	mu    sync.Mutex
	taken bool
	given chan struct{} // closed when the turn is given back; nil if nobody waits
}

// try takes the turn if it is free. Else it returns what to wait for.
func (t *turn) try() (given <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken {
		t.taken = true
		return nil, true
	}
	if t.given == nil {
		t.given = make(chan struct{})
	}
	return t.given, false
}

func (t *turn) take(ctx context.Context) error {
	for {
		given, ok := t.try()
		if ok {
			return nil
		}
		if err := wait(ctx, given); err != nil {
			return err
		}
	}
}

func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	if t.given != nil {
		close(t.given)
		t.given = nil
	}
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
