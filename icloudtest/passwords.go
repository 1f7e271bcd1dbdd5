// The account's app-specific passwords: issuing, expiry, revocation.

package icloudtest

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud"
)

const (
	// maxActive is Apple's documented limit.
	maxActive = 25

	// lifetime is what integrators report. Apple publishes no figure.
	lifetime = 365 * 24 * time.Hour
)

// passwords holds when each password that was not revoked expires, by its
// sixteen letters.
type passwords map[string]time.Time

// active counts those that would be accepted.
func (p passwords) active(now time.Time) int {
	n := 0
	for letters := range p {
		if p.accepts(letters, now) {
			n++
		}
	}
	return n
}

// accepts says whether text is a password that is neither revoked nor
// expired.
func (p passwords) accepts(text string, now time.Time) bool {
	expires, ok := p[letters(text)]
	return ok && now.Before(expires)
}

// letters is a password without the hyphens that Apple shows and does not
// insist on.
func letters(text string) string { return strings.ReplaceAll(text, "-", "") }

// issued counts the passwords of this process, so that none is issued
// twice.
var issued atomic.Uint64

// newPassword returns a password that no Server has issued before, in this
// process or another.
func newPassword() icloud.Password {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("icloudtest "+process), issued.Add(1)))
	text := make([]byte, 0, 19)
	for i := range 16 {
		if i > 0 && i%4 == 0 {
			text = append(text, '-')
		}
		text = append(text, 'a'+sum[i]%26)
	}
	return icloud.UncheckedPassword(string(text))
}

// Issue returns a new app-specific password for the account, good for 365
// days from now. Like an account of Apple's, it has at most 25 active:
// Issue panics rather than making another.
func (a *Account) Issue() icloud.Credential { return a.IssueAt(time.Now()) }

// IssueAt is Issue at another time than now: the password expires 365 days
// after t, and may have done so already. It is for programs and tests
// outside of a synctest bubble, which cannot wait for a year.
func (a *Account) IssueAt(t time.Time) icloud.Credential {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(t.Add(lifetime)) && a.passwords.active(now) >= maxActive {
		panic("icloudtest: 25 app-specific passwords are active, and Apple allows no more")
	}
	p := newPassword()
	a.passwords[letters(p.Reveal())] = t.Add(lifetime)
	return icloud.Credential{AppleID: a.appleID, Password: p, Issued: t}
}

// ExpireAt lets a password die of age at t, and so now if t has passed,
// however old it is: a program that is at work with it meets the end of its
// year without waiting for it. What the program makes of that depends on what
// it knows: a client that has been told that the password is young must take
// its end for a revocation, because iCloud does not say why it refuses. One
// whose end is to be seen as an expiry is made by [Account.IssueAt] with a
// time of nearly a year ago. If p is not one of a, or is revoked, ExpireAt
// does nothing.
func (a *Account) ExpireAt(p icloud.Password, t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.passwords[letters(p.Reveal())]; ok {
		a.passwords[letters(p.Reveal())] = t
	}
}

// Revoke removes one password, as its owner can. If it is not one of a, or
// is revoked already, it does nothing.
func (a *Account) Revoke(p icloud.Password) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.passwords, letters(p.Reveal()))
}

// RevokeAll removes every password issued so far.
func (a *Account) RevokeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.passwords)
}

// ChangeAccountPassword changes the password of the account itself, on
// which Apple documents that it revokes every app-specific password. What
// it is changed to does not matter: iCloud refuses it here in any case.
func (a *Account) ChangeAccountPassword() { a.RevokeAll() }

// accepts says whether text is a password of the account that would be
// accepted now.
func (a *Account) accepts(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.passwords.accepts(text, time.Now())
}
