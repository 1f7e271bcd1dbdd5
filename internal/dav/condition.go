package dav

import "io"

// This file reads the bodies of refusals.

// A Condition is the precondition that a request did not meet, as the body of the refusal
// names it (RFC 4918, section 16). Only those that make a client do something else are
// distinguished.
type Condition uint8

const (
	NoCondition     Condition = iota // none, or another one
	ValidSyncToken                   // RFC 6578: the sync token is not valid, or not any more
	SupportedReport                  // RFC 3253: the resource does not know the report
)

// Precondition reads the body of a refusal and returns the first of these conditions that
// its DAV: error element names. It reads at most MaxJunk bytes. It returns NoCondition if
// it cannot read the body, for example a page in HTML.
func Precondition(r io.Reader) Condition {
	var s scanner
	s.reset(io.LimitReader(r, MaxJunk))
	s.limit(MaxJunk, "bytes in an error")
	for {
		// Conditions are children of the root element. Deeper elements, such as
		// a server's own notes, have no role.
		parent := anything
		switch len(s.open) {
		case 0:
			parent = document
		case 1:
			parent = errorDocument
		}
		// The text is an explanation for people, and is ignored.
		tok, err := s.next(nil)
		if err != nil || tok == endOfInput {
			return NoCondition
		}
		if tok != startTag {
			continue
		}
		switch roleOf(parent, s.space, s.local) {
		case noSyncToken:
			return ValidSyncToken
		case noReport:
			return SupportedReport
		case errorDocument:
			// Its children come next.
		default:
			if parent == document {
				// Another document: a page, or a multistatus with the
				// wrong status.
				return NoCondition
			}
			// Another condition, or a note of the server. One of ours
			// may still follow.
		}
	}
}
