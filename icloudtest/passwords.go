// The account's app-specific passwords: issuing, expiry, revocation.

package icloudtest

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
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

// passwords holds the time of issue of each password that was not revoked,
// by its sixteen letters.
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
	issued, ok := p[letters(text)]
	return ok && now.Before(issued.Add(lifetime))
}

// letters is a password without the hyphens that Apple shows and does not
// insist on.
func letters(text string) string { return strings.ReplaceAll(text, "-", "") }

// issued counts the passwords of this process, so that none is issued
// twice.
var issued atomic.Uint64

// newPassword returns a password that no Server of this process has issued
// before, and the same ones in each run.
func newPassword() icloud.Password {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("icloudtest"), issued.Add(1)))
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
func (s *Server) Issue() icloud.Credential { return s.IssueAt(time.Now()) }

// IssueAt is Issue at another time than now: the password expires 365 days
// after t, and may have done so already. It is for programs and tests
// outside of a synctest bubble, which cannot wait for a year.
func (s *Server) IssueAt(t time.Time) icloud.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(t.Add(lifetime)) && s.passwords.active(now) >= maxActive {
		panic("icloudtest: 25 app-specific passwords are active, and Apple allows no more")
	}
	p := newPassword()
	s.passwords[letters(p.Reveal())] = t
	return icloud.Credential{AppleID: s.account.appleID, Password: p, Issued: t}
}

// Revoke removes one password, as its owner can. If it is not one of s, or
// is revoked already, it does nothing.
func (s *Server) Revoke(p icloud.Password) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.passwords, letters(p.Reveal()))
}

// RevokeAll removes every password issued so far.
func (s *Server) RevokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.passwords)
}

// ChangeAccountPassword changes the password of the account itself, on
// which Apple documents that it revokes every app-specific password. What
// it is changed to does not matter: iCloud refuses it here in any case.
func (s *Server) ChangeAccountPassword() { s.RevokeAll() }

// verdict is what a Server thinks of a request's credentials. Only
// ForbidUnknownUser can make the first two look different from outside.
type verdict int

const (
	refused verdict = iota
	unknownUser
	accepted
)

// judge looks at the credentials of r and at nothing else. The user name is
// an e-mail address, whose case iCloud does not mind; aliases fail.
func (s *Server) judge(r *http.Request) verdict {
	user, text, ok := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !ok:
		return refused
	case !strings.EqualFold(user, s.account.appleID):
		return unknownUser
	case !s.passwords.accepts(text, time.Now()):
		return refused
	}
	return accepted
}
