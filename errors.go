// The errors: the sentinels, the verdict on a password with its evidence (AuthError),
// an answer that was neither success nor a verdict (ResponseError), and cards that
// could not be fetched (CardError, PartialError).

package icloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/go-icloud/icloud/internal/authstate"
	"github.com/go-icloud/icloud/internal/neterr"
)

// The reasons for which a password is refused. iCloud gives the same empty 401 for each
// of them. So the Client infers the reason from what it remembers of the password, and
// an [AuthError] contains it with the evidence and a [Certainty]. errors.Is finds the
// reason from the first refusal on, when nothing has been decided yet. Use
// AuthError.Confirmed to decide whether to act, and the reason to choose the text.
var (
	// ErrPasswordExpired says that the password worked, or may have worked,
	// and is older than its lifetime ([Options.Lifetime]).
	ErrPasswordExpired = errors.New("icloud: password expired")

	// ErrPasswordRevoked says that the password worked and was removed. The
	// owner removed it, for example on Apple's advice after authorizing
	// another app, or changed the account's own password, which removes all
	// app-specific passwords.
	ErrPasswordRevoked = errors.New("icloud: password revoked")

	// ErrPasswordRejected says that the password is not known to have ever
	// worked. It or the Apple ID is mistyped, or it is the account's own
	// password. Without an Options.Store it may also have worked in an
	// earlier process.
	ErrPasswordRejected = errors.New("icloud: password rejected")
)

var (
	// ErrNotAppSpecific is returned by [ParsePassword] for text that does
	// not have the form of an app-specific password. Nothing was sent.
	ErrNotAppSpecific = errors.New("icloud: not the form of an app-specific password")

	// ErrResync is returned by [Client.Sync] if the server no longer
	// honors the sync token (RFC 6578, section 3.2), or if the token is not
	// one of this address book. Call Sync again with the token "".
	ErrResync = errors.New("icloud: sync token no longer honored")

	// ErrConflict is returned by [Client.Put] and [Client.Delete] if the card
	// does not have the given ETag, or by Put without an ETag if the card
	// exists (412, RFC 9110, section 13.1). Nothing was written.
	ErrConflict = errors.New("icloud: the card has changed")

	// ErrNotFound is returned by [Client.Contact], [Client.Put],
	// [Client.Delete] and [Client.Photo] if there is no such card or photo.
	// The Client has checked that the address book has not moved. errors.AsType
	// finds the answer in the error, as a *ResponseError.
	ErrNotFound = errors.New("icloud: there is no such card")
)

// Certainty says how well the evidence supports the reason of a refusal. Values are
// ordered; the zero value is the weakest.
type Certainty int

const (
	Possible Certainty = iota // the evidence allows this reason, but hardly supports it
	Likely                    // the evidence supports this reason better than any other
	Certain                   // Apple's documentation allows no other reason
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

// AuthError says that iCloud has refused the password, for which reason as far as the
// evidence shows, and whether that is final. It contains neither the password nor the
// name of the account. Calls share the AuthError that a [Client] returns, and it never
// changes; do not modify it.
//
// If Confirmed is false, nothing has been decided: the refusal may be a passing fault
// of iCloud's, and it is too early to tell a customer to reconnect.
type AuthError struct {
	// Err is ErrPasswordExpired, ErrPasswordRevoked or ErrPasswordRejected.
	Err error

	// Certainty says how well the evidence supports Err.
	Certainty Certainty

	// Confirmed says that the refusal is final: it has lasted for Options.Dwell,
	// or there was nothing to wait for. The Client is SignedOut, and sends at
	// most one probe a day until Client.Reconnect succeeds.
	Confirmed bool

	// Refused is the time since which iCloud has refused the password.
	Refused time.Time

	// The evidence. Each date is zero if unknown. Expires is an estimate: the
	// date of issue plus Options.Lifetime. If the date of issue is unknown, the
	// first acceptance takes its place.
	Issued, Expires, LastAccepted, AccountChanged time.Time

	// elsewhere is set for another server than iCloud, where Apple's pages do not help.
	elsewhere bool
}

// reasons has the sentinel for each reason of package authstate.
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

// Remedy returns English sentences that tell the password's owner what to do. It names
// Apple's page only if iCloud refused the password, and not another server. If the
// refusal is not Confirmed, it begins by saying that nothing need be done yet.
func (e *AuthError) Remedy() string {
	if !e.Confirmed {
		return "The password is refused at the moment. This may pass by itself, and nothing need be done yet. If it continues: " + e.remedy()
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
			"one of the two was mistyped; or the password was removed, " +
			"for example by a change of the account's own password, which removes all app-specific passwords. " +
			"If in doubt, make a new one. " + steps + reconnect
	}
	return "iCloud does not accept the app-specific password. Changing the Apple Account's own password " +
		"revokes all app-specific passwords. " + steps + reconnect
}

// LogValue implements [slog.LogValuer]. It returns a group of the reason, the certainty,
// confirmed and the known dates.
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

// CardError says that a listing, a sync or [Client.Contact] could not get a card. Its
// text does not contain the ID, which may be personal data.
type CardError struct {
	ID  string // as Contact.ID
	Err error  // why, often a *ResponseError
}

// Error returns the text of e.Err after words that say that it is about a card.
func (e *CardError) Error() string {
	if e.Err == nil {
		return "icloud: a card could not be fetched"
	}
	return "icloud: a card could not be fetched: " + strings.TrimPrefix(e.Err.Error(), "icloud: ")
}

// Unwrap returns e.Err.
func (e *CardError) Unwrap() error { return e.Err }

// PartialError says that a listing or a sync is complete except for the cards that it
// names, and that nothing else has failed. Do not delete these cards. A listing that
// ended early never returns a PartialError, even if it could not get some cards before.
type PartialError struct {
	// Cards has an error for each card that could not be fetched, at least one.
	Cards []*CardError
}

// Error returns the number of cards, and why the first of them could not be fetched.
func (e *PartialError) Error() string {
	switch len(e.Cards) {
	case 0:
		return "icloud: some cards could not be fetched"
	case 1:
		return e.Cards[0].Error()
	}
	return fmt.Sprintf("icloud: %d cards could not be fetched; the first: %s", len(e.Cards), strings.TrimPrefix(e.Cards[0].Error(), "icloud: "))
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

// ResponseError is an answer that is neither a success nor a refusal of the password:
// a fault of the server, of a proxy, or of the request. It contains nothing of the
// answer but the status and the wait.
type ResponseError struct {
	// Method is the method of the request, for example "REPORT".
	Method string

	// StatusCode is the HTTP status of the answer, or of the row of a
	// multistatus (RFC 4918, section 13).
	StatusCode int

	// RetryAfter is how long to wait before the next call for this account; 0
	// if the server did not say. It is at least what the server asked for, and
	// may be longer, because iCloud asks for too short a wait.
	RetryAfter time.Duration

	// Withheld says that the request was not sent, because an earlier answer
	// with this StatusCode asked the account to wait. RetryAfter is the rest of
	// that wait.
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

// hiddenError wraps an error whose text may name hosts, paths or accounts. errors.Is
// and As find the error, and its text is not repeated.
type hiddenError struct {
	text string
	err  error
	lost bool // the request may have been sent, so its outcome is unknown

	network bool // the request or its answer did not get through
}

// Error returns text.
func (e *hiddenError) Error() string { return e.text }

// Unwrap returns the error whose text is not repeated.
func (e *hiddenError) Unwrap() error { return e.err }

// transportError wraps the error of the network or the context that ended a request.
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

// storeFailure returns ": " and why a Store failed, without the text of err; or "" if
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
	case ok && isSQLState(state.SQLState()):
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

// isSQLState reports whether s has the form of a SQLSTATE: five digits or upper-case
// letters. Other text is not repeated, because it may contain personal data.
func isSQLState(s string) bool {
	return len(s) == 5 && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

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
