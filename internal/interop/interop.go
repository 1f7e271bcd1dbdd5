// Package interop has clients that others wrote meet the fake iCloud: vdirsyncer
// in Python, tsdav in JavaScript, go-webdav in Go. Each finds the address book,
// lists it, creates a card, changes one and deletes one; what became of the book
// is then read with package icloud.
//
// Two of them are also the clients under test in the tests that
// docs/testing-your-integration.md shows, in Python and for Node.js.
//
// A fake that only its own client can talk to would prove nothing about either.
//
// And it has parsers that others wrote, python-vobject and ical.js, read the same
// cards as Contact.Details: generated ones, and those that servers handed out.
// Where they read something else is listed in docs/cards.md.
//
// Where a program is absent its test is skipped with the reason; with
// ICLOUD_TEST_REQUIRE_SERVERS set, as in .ci/run, it fails. tsdav and ical.js are
// had by
//
//	npm install --prefix internal/interop
//
// and python-vobject from Debian's python3-vobject.
package interop
