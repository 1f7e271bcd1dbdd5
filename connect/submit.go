// A submitted form: reading it, asking iCloud, and answering with the result.

package connect

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/go-icloud/icloud"
)

const (
	maxForm    = 16 << 10
	formTime   = 10 * time.Second // for the form to arrive
	patience   = 20 * time.Second // for iCloud to answer
	aMoment    = time.Minute      // the wait until the next attempt, if no other time is known
	maxAppleID = 254              // RFC 5321, section 4.5.3.1.3
)

// entered has the fields of the form.
type entered struct {
	appleID  string
	password string
	fresh    bool // the password was generated just now
}

// submit answers a POST.
func (v *visit) submit() {
	// The deadline also limits how long the server reads the rest of a body that
	// nobody wants, so that a slow client cannot keep the connection.
	bounded := http.NewResponseController(v.w).SetReadDeadline(time.Now().Add(formTime)) == nil
	if err := v.origins.Check(v.r); err != nil {
		v.problem(http.StatusForbidden, "problem.origin")
		return
	}
	if !v.recognize() {
		return
	}
	in, ok := v.read()
	if !ok {
		return
	}
	if bounded {
		// The form has arrived. The deadline would end the request's context.
		_ = http.NewResponseController(v.w).SetReadDeadline(time.Time{})
	}

	ctx, cancel := context.WithTimeout(v.r.Context(), patience)
	defer cancel()
	give, err := v.turns.take(ctx, v.id)
	if err != nil {
		v.problem(http.StatusServiceUnavailable, "problem.busy")
		return
	}
	defer give()
	// Look only now, because the request that had the turn before may have used
	// the link.
	if !v.look(ctx) {
		return
	}
	p := &page{AppleID: in.appleID, Fresh: in.fresh, Again: v.account.AppleID != ""}
	status, ok := v.connect(ctx, in, p)
	if !ok {
		// iCloud's answer may have changed what is known of the password.
		v.form(v.r.Context(), p)
		p.Title = v.language.plain("title.error", "title", p.Title)
		if p.wait > 0 {
			v.w.Header().Set("Retry-After", fmt.Sprint(int((p.wait+time.Second-1)/time.Second)))
		}
		v.render(status, p)
		return
	}
	p = &page{ReturnURL: v.returnURL}
	v.page(p, kindDone, "title.done")
	v.render(http.StatusOK, p)
}

// read reads the form. If it cannot, it answers the request and returns false.
func (v *visit) read() (entered, bool) {
	media, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return entered{}, v.problem(http.StatusUnsupportedMediaType, "problem.form")
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		v.w.Header().Set("Connection", "close")
		_, large := errors.AsType[*http.MaxBytesError](err)
		switch {
		case large:
			v.problem(http.StatusRequestEntityTooLarge, "problem.large")
		case errors.Is(err, os.ErrDeadlineExceeded):
			v.problem(http.StatusRequestTimeout, "problem.slow")
		default:
			v.problem(http.StatusBadRequest, "problem.form")
		}
		return entered{}, false
	}
	// Not Form, which also has the parameters of the URL.
	return entered{
		appleID:  strings.TrimSpace(v.r.PostForm.Get("apple_id")),
		password: v.r.PostForm.Get("password"),
		fresh:    v.r.PostForm.Get("fresh") != "",
	}, true
}

// connect checks what was entered, asks iCloud, and calls Config.Save. If one of these
// fails, it says why in p, and returns the HTTP status and false.
func (v *visit) connect(ctx context.Context, in entered, p *page) (status int, ok bool) {
	cred := icloud.Credential{AppleID: in.appleID}
	if v.account.AppleID != "" {
		if in.appleID != "" && fold(in.appleID) != fold(v.account.AppleID) {
			// The page was opened before the account was connected.
			p.AppleID, p.Alert = "", "error.apple-id.other"
			return http.StatusUnprocessableEntity, false
		}
		cred.AppleID = v.account.AppleID
	} else {
		p.AppleIDError = checkAppleID(in.appleID)
	}
	var err error
	cred.Password, err = icloud.ParsePassword(in.password)
	switch {
	case strings.TrimSpace(in.password) == "":
		p.PasswordError = "error.password.empty"
	case err != nil:
		p.PasswordError = "error.password.form"
	}
	if p.AppleIDError != "" || p.PasswordError != "" {
		return http.StatusUnprocessableEntity, false
	}
	if in.fresh {
		cred.Issued = time.Now()
	}

	switch held, bounded := v.limits.take(v.id, cred.AppleID, time.Now()); {
	case held > 0:
		p.Alert, p.wait = "fault.throttled", held
		return http.StatusServiceUnavailable, false
	case bounded > 0:
		p.Alert, p.wait = "fault.many", bounded
		return http.StatusTooManyRequests, false
	}
	p.wait, err = v.ask(ctx, cred)
	if err != nil {
		return v.explain(err, cred, p), false
	}
	// Reconnect has replaced the Client's old password, so the new one must be saved
	// even if the customer does not wait for it.
	if err := v.config.Save(context.WithoutCancel(ctx), v.id, cred); err != nil {
		p.Alert, p.wait = "fault.save", aMoment
		return http.StatusInternalServerError, false
	}
	v.limits.forgive(v.id)
	return http.StatusOK, true
}

// ask asks iCloud whether it accepts a credential. If that fails, wait is how long to
// wait before the next attempt.
func (v *visit) ask(ctx context.Context, cred icloud.Credential) (wait time.Duration, err error) {
	client := v.account.Client
	if client != nil {
		err = client.Reconnect(ctx, cred)
	} else {
		if client, err = icloud.New(cred, v.options()); err != nil {
			v.log("Config.Options: " + err.Error())
			return aMoment, unusable{err}
		}
		err = client.Authenticate(ctx)
	}
	status := client.Status()
	if status.State == icloud.SignedOut {
		// NextTry is about the old password.
		return aMoment, err
	}
	return max(time.Until(status.NextTry), aMoment), err
}

// unusable is an error about the options that Config.Options returned.
type unusable struct{ error }

// options returns the result of Config.Options, or nil.
func (v *visit) options() *icloud.Options {
	if v.config.Options == nil {
		return nil
	}
	return v.config.Options(v.id)
}

// incident says whether the Fleet of the options has recognized an incident at Apple.
func (v *visit) incident() bool {
	opts := v.options()
	if opts == nil || opts.Fleet == nil {
		return false
	}
	_, ok := opts.Fleet.Incident()
	return ok
}

// explain says in p why iCloud has not accepted a credential, and returns the HTTP
// status. p.wait is what ask has returned.
func (v *visit) explain(err error, cred icloud.Credential, p *page) int {
	if auth, ok := errors.AsType[*icloud.AuthError](err); ok {
		return v.explainRefusal(auth, p)
	}
	response, answered := errors.AsType[*icloud.ResponseError](err)
	_, ours := errors.AsType[unusable](err)
	switch {
	case ours:
		p.Alert = "fault.ours"
		return http.StatusInternalServerError
	case answered && response.RetryAfter > 0:
		p.Alert, p.wait = "fault.throttled", response.RetryAfter
		v.limits.hold(cred.AppleID, response.RetryAfter, time.Now())
	case answered && response.StatusCode == http.StatusForbidden && p.Again:
		p.Alert, p.wait = "error.apple-id.forbidden", 0
		return http.StatusUnprocessableEntity
	case answered && response.StatusCode == http.StatusForbidden:
		p.AppleIDError, p.wait = "error.apple-id.forbidden", 0
		return http.StatusUnprocessableEntity
	default:
		// It is the network, or a Store that fails before iCloud can be asked.
		p.Alert = "fault.outage"
	}
	return http.StatusServiceUnavailable
}

// explainRefusal is explain for a password that iCloud has refused.
func (v *visit) explainRefusal(auth *icloud.AuthError, p *page) int {
	if !auth.Confirmed {
		// The refusal of a password that has never worked is Confirmed at once,
		// except during an incident at Apple.
		if errors.Is(auth, icloud.ErrPasswordRejected) || v.incident() {
			p.Alert = "fault.incident"
			return http.StatusServiceUnavailable
		}
		p.PasswordError = "error.password.doubted"
		return http.StatusUnprocessableEntity
	}
	p.wait = 0
	switch {
	case errors.Is(auth, icloud.ErrPasswordExpired):
		p.PasswordError = "error.password.expired"
	case errors.Is(auth, icloud.ErrPasswordRevoked):
		p.PasswordError = "error.password.revoked"
	default:
		p.PasswordError = "error.password.rejected"
	}
	return http.StatusUnprocessableEntity
}

// checkAppleID returns the key of what is wrong with an Apple ID, or "".
func checkAppleID(appleID string) string {
	user, domain, ok := strings.Cut(appleID, "@")
	switch {
	case appleID == "":
		return "error.apple-id.empty"
	case !ok || user == "" || domain == "" || len(appleID) > maxAppleID || strings.Contains(appleID, ":"),
		strings.ContainsFunc(appleID, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return "error.apple-id.form"
	}
	return ""
}

// fold returns the form of an Apple ID that is compared, because iCloud ignores its case.
func fold(appleID string) string { return strings.ToLower(strings.TrimSpace(appleID)) }
