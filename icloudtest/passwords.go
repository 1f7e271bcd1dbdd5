// The app-specific passwords of an account: how they are issued, expire and are revoked.

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

// passwords has the end of each password that was not revoked, by its sixteen letters.
type passwords map[string]time.Time

// active counts the passwords that would be accepted.
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

// letters returns a password without hyphens. Apple shows hyphens and does not require them.
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

// Issue makes an app-specific password for the account, which expires in 365 days, and
// returns it as a Credential with its Issued date. As at Apple, at most 25 passwords of an
// account can be active: Issue panics at the 26th.
func (a *Account) Issue() icloud.Credential { return a.IssueAt(time.Now()) }

// IssueAt is like Issue at the time t: the password expires 365 days after t, which may be
// in the past. It is for programs and tests outside of a synctest bubble, which cannot wait
// for a year.
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

// ExpireAt makes a password expire at t, whatever its age is, and at once if t is not in the
// future. So a running program sees its password expire without waiting for a year. iCloud
// does not say why it refuses a password; a client that knows that the password is young
// takes this for a revocation. Make the password with [Account.IssueAt] and a time of nearly
// a year ago if the client should see an expiry. If p is not a password of a, or is revoked,
// ExpireAt does nothing.
func (a *Account) ExpireAt(p icloud.Password, t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.passwords[letters(p.Reveal())]; ok {
		a.passwords[letters(p.Reveal())] = t
	}
}

// Revoke removes one password, as its owner can do at Apple's site. If p is not a password
// of a, or is revoked already, Revoke does nothing.
func (a *Account) Revoke(p icloud.Password) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.passwords, letters(p.Reveal()))
}

// RevokeAll removes all passwords of the account that were issued so far.
func (a *Account) RevokeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.passwords)
}

// ChangeAccountPassword changes the account's own password, which revokes all app-specific
// passwords (Apple documents this). It has no parameter, because the Server never accepts
// the account's own password.
func (a *Account) ChangeAccountPassword() { a.RevokeAll() }

// accepts says whether text is a password of the account that would be
// accepted now.
func (a *Account) accepts(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.passwords.accepts(text, time.Now()) && !(a.srv.RequireHyphens && !strings.Contains(text, "-"))
}
