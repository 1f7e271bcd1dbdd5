package dav

import "io"

// This file reads the bodies of refusals.

// A Condition is what a request would have had to meet, as the body of its refusal
// names it: RFC 4918 section 16. Only those are told apart here that make a client
// go another way.
type Condition uint8

const (
	NoCondition     Condition = iota // none, or one that changes nothing
	ValidSyncToken                   // RFC 6578: the sync token is not, or no longer, one
	SupportedReport                  // RFC 3253: the resource does not know the report
)

// Precondition reads the body of a refusal and returns the first condition that its
// DAV: error element names. It reads at most MaxJunk bytes, and returns as soon as
// there is one. What it cannot read names none: a refusal without a reason is as
// good as one with a page in HTML.
func Precondition(r io.Reader) Condition {
	var s scanner
	s.reset(io.LimitReader(r, MaxJunk))
	s.limit(MaxJunk, "bytes in an error")
	for {
		// Conditions are children of the root element; what is deeper, such
		// as a server's own notes on the matter, has no role.
		parent := anything
		switch len(s.open) {
		case 0:
			parent = document
		case 1:
			parent = errorDocument
		}
		// The text is the server's explanation to people, and is not read.
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
			// Its children are what comes next.
		default:
			if parent == document {
				// Some other document: a page, or a multistatus that
				// came with the wrong status.
				return NoCondition
			}
			// Another condition, or a note of the server's; the one
			// that matters may still follow.
		}
	}
}
