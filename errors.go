// What can go wrong: the sentinels, the verdict on a password with its
// evidence (AuthError), an answer that was neither success nor a verdict
// (ResponseError), and a card that could not be got (CardError).

package icloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/neterr"
)

// The reasons for which a password is refused. iCloud answers each of them
// with the same empty 401, so they are inferences from what is remembered of
// the password, never something that the server said; [AuthError] carries
// them with the evidence and a [Certainty]. errors.Is finds them from the first
// refusal on, while nothing is decided yet: act on AuthError.Confirmed, and choose
// the words by these.
var (
	// ErrPasswordExpired says that the password worked, or may have worked,
	// and has outlived its lifetime ([Options.Lifetime]).
	ErrPasswordExpired = errors.New("icloud: password expired")

	// ErrPasswordRevoked says that the password worked and was removed by
	// its owner: alone, for example because Apple tells them to after
	// they have authorized another app; or with all others when the account's own
	// password was changed.
	ErrPasswordRevoked = errors.New("icloud: password revoked")

	// ErrPasswordRejected says that the password is not known to have ever
	// worked: it or the Apple ID is mistyped, or it is the account's own
	// password; or what was known of it is lost, for want of an Options.Store.
	ErrPasswordRejected = errors.New("icloud: password rejected")
)

var (
	// ErrNotAppSpecific is returned by [ParsePassword] for text that does
	// not have the form of an app-specific password. Nothing was sent.
	ErrNotAppSpecific = errors.New("icloud: not the form of an app-specific password")

	// ErrResync is returned by [Client.Sync] when the server no longer
	// honors the sync token (RFC 6578, section 3.2), or when it is a token
	// of another address book: start again from "".
	ErrResync = errors.New("icloud: sync token no longer honored")

	// ErrConflict is returned by [Client.Put] and [Client.Delete] when the
	// card is not, or no longer, the one that the ETag names (412, RFC 9110,
	// section 13.1). Nothing was written.
	ErrConflict = errors.New("icloud: the card has changed")

	// ErrNotFound is returned by [Client.Contact], Put, Delete and Photo when
	// there is no such card, in an address book that was looked for again. The
	// answer that said so is in the error too, as a *ResponseError.
	ErrNotFound = errors.New("icloud: there is no such card")
)

// Certainty says how well the evidence supports a verdict. Its zero value is
// the weakest.
type Certainty int

const (
	Possible Certainty = iota // the evidence allows it, and little more
	Likely                    // other causes would have left other traces
	Certain                   // by Apple's documentation nothing else is possible
)

// String returns "possible", "likely" or "certain".
func (c Certainty) String() string {
	switch c {
	case Possible:
		return "possible"
	case Likely:
		return "likely"
	case Certain:
		return "certain"
	}
	return fmt.Sprintf("Certainty(%d)", int(c))
}

// AuthError says that iCloud has refused the password, why that is so as far
// as the evidence goes, and whether it is final. It contains neither the
// password nor the name of the account. An AuthError returned by a [Client]
// is shared between calls and never changes; do not modify it.
//
// Unless Confirmed is set, nothing has been decided: the refusal may be
// iCloud's passing fault, and telling a customer to reconnect would be
// premature.
type AuthError struct {
	// Err is ErrPasswordExpired, ErrPasswordRevoked or ErrPasswordRejected.
	Err error

	// Certainty says how well the evidence supports Err.
	Certainty Certainty

	// Confirmed says that the refusal has outlasted Options.Dwell, or needed
	// no waiting: the Client is signed out, and asks iCloud no more than
	// once a day until Client.Reconnect.
	Confirmed bool

	// Refused is the time since which iCloud has refused the password.
	Refused time.Time

	// The evidence, each zero if unknown. Expires is an estimate: the issue,
	// or the first acceptance in its stead, and Options.Lifetime.
	Issued, Expires, LastAccepted, AccountChanged time.Time

	// elsewhere is set off iCloud, where Apple's pages are no help.
	elsewhere bool
}

// reasons are the sentinels of what authstate concludes.
var reasons = map[authstate.Reason]error{
	authstate.Expired:  ErrPasswordExpired,
	authstate.Revoked:  ErrPasswordRevoked,
	authstate.Rejected: ErrPasswordRejected,
}

// newAuthError converts what authstate concludes. elsewhere means another server
// than iCloud.
func newAuthError(v *authstate.Verdict, elsewhere bool) *AuthError {
	err := &AuthError{
		Err:            reasons[v.Reason],
		Confirmed:      v.Confirmed,
		Refused:        v.Refused,
		Issued:         v.Issued,
		Expires:        v.Expires,
		LastAccepted:   v.LastAccepted,
		AccountChanged: v.AccountChanged,
		elsewhere:      elsewhere,
	}
	switch v.Certainty {
	case authstate.Likely:
		err.Certainty = Likely
	case authstate.Certain:
		err.Certainty = Certain
	}
	return err
}

// reason returns the name of e.Err, "refused" if it is none of the three.
func (e *AuthError) reason() string {
	for name, err := range reasons {
		if errors.Is(e.Err, err) {
			return string(name)
		}
	}
	return "refused"
}

// Error describes the refusal in one line that is fit for a log.
func (e *AuthError) Error() string {
	var b strings.Builder
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString("icloud: password refused")
	}
	b.WriteString(" (")
	b.WriteString(e.Certainty.String())
	if !e.Confirmed {
		b.WriteString(", not confirmed")
	}
	for _, d := range e.dates() {
		if !d.time.IsZero() {
			fmt.Fprintf(&b, ", %s %s", d.words, d.time.UTC().Format(time.DateOnly))
		}
	}
	b.WriteString(")")
	return b.String()
}

// dates lists the evidence as Error words it and LogValue keys it.
func (e *AuthError) dates() []struct {
	words, key string
	time       time.Time
} {
	return []struct {
		words, key string
		time       time.Time
	}{
		{"refused since", "refused", e.Refused},
		{"issued", "issued", e.Issued},
		{"estimated to expire", "expires", e.Expires},
		{"last accepted", "last_accepted", e.LastAccepted},
		{"account password changed", "account_changed", e.AccountChanged},
	}
}

// Unwrap returns e.Err, so that errors.Is finds the reason.
func (e *AuthError) Unwrap() error { return e.Err }

// Remedy returns what the password's owner should do, in sentences to show
// to them. It names Apple's page only if it was iCloud that refused. As long as the
// refusal is not Confirmed, it begins by saying that nothing need be done yet.
func (e *AuthError) Remedy() string {
	if !e.Confirmed {
		return "The password is refused at the moment, which may pass by itself: nothing need be done yet. If it goes on: " + e.remedy()
	}
	return e.remedy()
}

func (e *AuthError) remedy() string {
	if e.elsewhere {
		if errors.Is(e.Err, ErrPasswordRejected) {
			return "The server has never accepted this user name and password. " +
				"Check both for typing errors, then connect again."
		}
		return "The server no longer accepts this password. " +
			"Get a new one from whoever runs the server, then connect again."
	}
	const steps = "Open account.apple.com, choose Sign-In and Security, then App-Specific Passwords, " +
		"and generate a new one. Up to 25 can be active at a time; remove one that is no longer used if there is no room. "
	const reconnect = "Then reconnect with the new app-specific password."
	switch {
	case errors.Is(e.Err, ErrPasswordExpired):
		return "The app-specific password is no longer accepted, most probably because of its age. " + steps + reconnect
	case errors.Is(e.Err, ErrPasswordRevoked):
		return "The app-specific password was removed (Apple advises to do so after another app was authorized), " +
			"or the Apple Account's own password was changed, " +
			"which revokes all app-specific passwords at once. " + steps + reconnect
	case errors.Is(e.Err, ErrPasswordRejected):
		return "iCloud has never accepted this Apple ID with this password. The usual causes are: " +
			"the Apple Account's own password was entered instead of an app-specific password; " +
			"an alias was entered instead of the account's primary e-mail address; " +
			"one of the two was mistyped; or the password has been removed since, " +
			"as a change of the account's own password does to all of them. " +
			"If in doubt, make a new one. " + steps + reconnect
	}
	return "iCloud does not accept the app-specific password. Changing the Apple Account's own password " +
		"revokes all app-specific passwords. " + steps + reconnect
}

// LogValue returns the reason, the certainty, whether it is confirmed, and the
// known dates, as a group.
func (e *AuthError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("reason", e.reason()),
		slog.String("certainty", e.Certainty.String()),
		slog.Bool("confirmed", e.Confirmed),
	}
	for _, d := range e.dates() {
		if !d.time.IsZero() {
			attrs = append(attrs, slog.Time(d.key, d.time))
		}
	}
	return slog.GroupValue(attrs...)
}

// CardError is about one card that a listing or a sync could not get. Its
// text does not contain the ID, which may be personal data.
type CardError struct {
	ID  string // as Contact.ID
	Err error  // what happened to it, often a *ResponseError
}

// Error returns the text of e.Err, marked as being about one card.
func (e *CardError) Error() string {
	if e.Err == nil {
		return "icloud: a card could not be got"
	}
	return "icloud: a card could not be got: " + strings.TrimPrefix(e.Err.Error(), "icloud: ")
}

// Unwrap returns e.Err.
func (e *CardError) Unwrap() error { return e.Err }

// PartialError says that a listing or a sync is complete but for these cards, and
// that nothing else has failed. Nothing that it names is to be deleted. An error that
// ends a listing early is never one, even if single cards were lost before it did.
type PartialError struct {
	// Cards has an error for each card, at least one.
	Cards []*CardError
}

// Error counts the cards, and says what happened to the first of them.
func (e *PartialError) Error() string {
	switch len(e.Cards) {
	case 0:
		return "icloud: some cards could not be got"
	case 1:
		return e.Cards[0].Error()
	}
	return fmt.Sprintf("icloud: %d cards could not be got; the first: %s", len(e.Cards), strings.TrimPrefix(e.Cards[0].Error(), "icloud: "))
}

// Unwrap returns the errors of the cards, so that errors.As finds the first of them.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.Cards))
	for i, card := range e.Cards {
		errs[i] = card
	}
	return errs
}

// notFoundError is an answer that says that there is no such card.
type notFoundError struct{ *ResponseError }

// Error does not repeat the status, which says the same.
func (e *notFoundError) Error() string { return ErrNotFound.Error() }

// Is makes it ErrNotFound.
func (e *notFoundError) Is(target error) bool { return target == ErrNotFound }

// Unwrap returns the answer.
func (e *notFoundError) Unwrap() error { return e.ResponseError }

// ResponseError is an answer that is neither success nor a verdict on the
// password: a fault of the server, of something in between, or of the
// request. It contains nothing of the answer but its status.
type ResponseError struct {
	// Method is the request's, for instance "REPORT".
	Method string

	// StatusCode is the HTTP status of the answer, or of the row of a
	// multistatus (RFC 4918, section 13).
	StatusCode int

	// RetryAfter is how long to wait before the next call for this account;
	// zero if the server named no time. It is at least what the server
	// asked for, and longer where that is known to be too short.
	RetryAfter time.Duration

	// Withheld says that the request was not sent, because an earlier answer
	// (StatusCode) has asked this account to wait, and RetryAfter is left of it.
	Withheld bool
}

// Error returns the method, the status and the wait in one line.
func (e *ResponseError) Error() string {
	status := fmt.Sprint(e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		status += " " + text
	}
	method := e.Method
	if method == "" {
		method = "request"
	}
	if e.Withheld {
		return fmt.Sprintf("icloud: %s not sent: the server has asked to wait, %v left (%s)", method, e.RetryAfter.Round(time.Second), status)
	}
	if e.RetryAfter > 0 {
		return fmt.Sprintf("icloud: %s answered %s, retry after %v", method, status, e.RetryAfter.Round(time.Second))
	}
	return fmt.Sprintf("icloud: %s answered %s", method, status)
}

// hiddenError wraps an error whose text may name hosts, paths or accounts:
// errors.Is and As reach it, its text is not repeated.
type hiddenError struct {
	text string
	err  error
	lost bool // the connection was, and with it what became of the request

	network bool // the request, or its answer, did not get through
}

// Error returns text, which is ours.
func (e *hiddenError) Error() string { return e.text }

// Unwrap returns the error whose own words are not repeated.
func (e *hiddenError) Unwrap() error { return e.err }

// transportError wraps what the network or the context ended a request with.
func transportError(method string, err error) error {
	var what string
	switch {
	case errors.Is(err, context.Canceled):
		what = context.Canceled.Error()
	case errors.Is(err, context.DeadlineExceeded):
		what = context.DeadlineExceeded.Error()
	default:
		what = "the connection " + neterr.Classify(err).Text
	}
	dial, ok := errors.AsType[*net.OpError](err)
	return &hiddenError{text: "icloud: " + method + ": " + what, err: err, lost: !ok || dial.Op != "dial", network: true}
}

// storeFailure returns ": " and what made a Store fail, in words of ours, or "" if
// that is not known.
func storeFailure(err error) string {
	state, ok := errors.AsType[interface {
		error
		SQLState() string // of drivers for SQL databases (ISO/IEC 9075-2)
	}](err)
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ": it took too long"
	case errors.Is(err, context.Canceled):
		return ": " + context.Canceled.Error()
	case ok && sqlState.MatchString(state.SQLState()):
		return ": SQLSTATE " + state.SQLState()
	case errors.Is(err, fs.ErrPermission):
		return ": permission denied"
	case errors.Is(err, syscall.ENOSPC):
		return ": no space is left"
	case network:
		return ": the connection " + neterr.Classify(err).Text
	}
	return ""
}

// sqlState is the form of a SQLSTATE; anything else may be somebody's text.
var sqlState = regexp.MustCompile(`^[0-9A-Z]{5}$`)

// mayPass says whether a call failed for a reason that may pass by itself: the
// network, a fault of the server, or a request to wait.
func mayPass(err error) bool {
	if _, refused := errors.AsType[*AuthError](err); refused || errors.Is(err, context.Canceled) {
		return false
	}
	if re, ok := errors.AsType[*ResponseError](err); ok {
		return !re.Withheld && (re.StatusCode >= 500 || re.StatusCode == http.StatusTooManyRequests || re.RetryAfter > 0)
	}
	he, ok := errors.AsType[*hiddenError](err)
	return ok && he.network
}
