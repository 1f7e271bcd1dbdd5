// Errors in words for the users of the command. The errors of package icloud are about
// requests, and repeat no text of the network.

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/internal/neterr"
)

// explain returns the text of err in one line, without the prefix of package icloud, which
// resembles the program's name. Of many joined errors it returns the first two and the
// number of the others. The text contains no account, no password and no URL, because the
// errors of package icloud do not.
func explain(err error) string {
	// Not errors.As, because each joined error gets its own text.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return explainAll(joined.Unwrap())
	}
	if inner := errors.Unwrap(err); inner != nil {
		// Texts such as "the list is not complete: " stay in front.
		words := strings.TrimPrefix(inner.Error(), "icloud: ")
		if before, ok := strings.CutSuffix(err.Error(), words); ok {
			return plain(strings.TrimSuffix(before, "icloud: ")) + explain(inner)
		}
	}
	if g, ok := errors.AsType[guess](err); ok {
		return g.Error() // its text is explained already
	}
	if answer, ok := errors.AsType[*icloud.ResponseError](err); ok {
		return explainResponse(answer)
	}
	if state, ok := errors.AsType[stateError](err); ok {
		return visible(state.Error())
	}
	if class := connection(err); class.Code != "" {
		return "the connection " + class.Text
	}
	return plain(err.Error())
}

// plain returns a text fit for one line of a terminal.
func plain(text string) string { return visible(strings.TrimPrefix(text, "icloud: ")) }

// explainAll explains errors that were joined.
func explainAll(all []error) string {
	var lines []string
	for _, err := range all {
		// An error for which a warning was printed is repeated only if it is the only
		// one.
		if state, ok := errors.AsType[stateError](err); ok && state.told && len(all) > 1 {
			continue
		}
		// A full disk causes the same error in a write and in the flush after it.
		if line := explain(err); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if more := len(all) - 2; more > 1 && len(lines) > 0 {
		lines = append(lines[:min(2, len(lines))], fmt.Sprintf("and %d more", len(all)-min(2, len(lines))))
	}
	return strings.Join(lines, "; ")
}

// explainResponse explains an answer that is neither success nor a verdict.
func explainResponse(e *icloud.ResponseError) string {
	status := strings.TrimSpace(fmt.Sprint(e.StatusCode, " ", http.StatusText(e.StatusCode)))
	switch {
	case e.Withheld:
		return fmt.Sprintf("nothing was sent: the server has asked to wait, %s left (%d)", seconds(e.RetryAfter), e.StatusCode)
	case e.RetryAfter > 0:
		return fmt.Sprintf("the server asks to wait: %s (%d)", seconds(e.RetryAfter), e.StatusCode)
	case e.StatusCode == http.StatusUnauthorized:
		return "a refusal (401) that says nothing about the password: it has passed, or is not the server's own"
	case e.StatusCode == http.StatusProxyAuthRequired:
		return "a proxy on the way wants a password of its own (407)"
	case e.StatusCode == http.StatusInternalServerError:
		return "the server has a fault: " + status
	case e.StatusCode/100 == 5 && e.StatusCode != http.StatusInsufficientStorage && e.StatusCode != http.StatusNotImplemented:
		return "the server is unavailable: " + status
	}
	return fmt.Sprintf("the server answered %s to %s", status, e.Method)
}

// seconds returns a wait as "2 s", or as "1h0m0s" from two minutes on. It is rounded up,
// because who comes too early must wait again.
func seconds(d time.Duration) string {
	d = (d + time.Second - 1).Truncate(time.Second)
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return d.String()
}

// connection returns why a connection failed. Its Code is "" if err is not known to be about
// a connection.
func connection(err error) neterr.Class {
	if errors.Is(err, context.Canceled) {
		return neterr.Class{}
	}
	return neterr.Classify(err)
}
