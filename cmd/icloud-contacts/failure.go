// What failed, in the words of whoever has to do something about it. Package
// icloud speaks of requests, and repeats nothing of the network's own words.

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

// explain returns the text of err in one line, without the package's prefix, which
// repeats the program's name. Of many joined errors, a thousand cards for instance,
// the first two stand for all. It contains no account, no password and no URL,
// because the errors of package icloud do not.
func explain(err error) string {
	// The tree of the errors is walked by hand: each branch has its own words.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return explainAll(joined.Unwrap())
	}
	if inner := errors.Unwrap(err); inner != nil {
		// "the list is not complete: " and the like stay in front.
		words := strings.TrimPrefix(inner.Error(), "icloud: ")
		if before, ok := strings.CutSuffix(err.Error(), words); ok {
			return plain(strings.TrimSuffix(before, "icloud: ")) + explain(inner)
		}
	}
	if g, ok := errors.AsType[guess](err); ok {
		return g.Error() // it has been explained, and may hold a stateError
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
		// What was told when it happened is told again only if there is nothing else.
		if state, ok := errors.AsType[stateError](err); ok && state.told && len(all) > 1 {
			continue
		}
		// A full disk fails the line and the flush after it.
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

// seconds returns a wait as "2 s", or "1h0m0s" if that is longer than two minutes.
// It is rounded up: who comes too early waits again.
func seconds(d time.Duration) string {
	d = (d + time.Second - 1).Truncate(time.Second)
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return d.String()
}

// connection returns why a connection failed. Its Code is "" if it is not known that
// one did.
func connection(err error) neterr.Class {
	if errors.Is(err, context.Canceled) {
		return neterr.Class{}
	}
	return neterr.Classify(err)
}
