// The accounts of a Server, and the methods that Server and Account share.

package icloudtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud"
)

// An Account is one account of a [Server]: an Apple ID, its app-specific
// passwords, and one address book. Make it with [Server.Account].
//
// Its methods are safe for concurrent use.
type Account struct {
	srv       *Server
	appleID   string
	dsid      string // the "directory services identifier", the number in every path
	partition string // the beginning of the partition host: "p07", "p133"
	requests  atomic.Int64

	// mu guards what follows. It is never held while an answer is written, because a
	// client may be slow to read it, and the clock of a synctest bubble stops while a
	// goroutine waits for a mutex.
	mu        sync.Mutex
	passwords passwords
	book      book
	photos    map[string]photo
	throttle  throttle
}

// Account returns the account with this Apple ID, in upper or lower case. If there is none,
// it makes one with an empty address book and no password. The account's number and
// partition host are computed from the Apple ID. The Server's own methods are about its
// first account, whose Apple ID the Server has chosen. Account panics if appleID is empty or
// contains a colon, which Basic authentication cannot send (RFC 7617, section 2).
func (s *Server) Account(appleID string) *Account {
	if appleID == "" || strings.ContainsAny(appleID, ":\r\n") {
		panic(fmt.Sprintf("icloudtest: Account: %q cannot be an Apple ID", appleID))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(appleID)
	if a := s.accounts[key]; a != nil {
		return a
	}
	a := &Account{srv: s, appleID: appleID, passwords: make(passwords), photos: make(map[string]photo)}
	sum := sha256.Sum256([]byte("icloudtest account " + key))
	number := binary.BigEndian.Uint64(sum[:])
	// Partitions from 1 to 180 were seen, with at least two digits.
	a.partition = fmt.Sprintf("p%02d", 1+sum[8]%180)
	for {
		// It is as long as those that were captured.
		a.dsid = fmt.Sprint(10_000_000_000 + number%10_000_000_000)
		if !s.numbers[a.dsid] {
			break
		}
		number++
	}
	a.book = newBook(a.dsid)
	s.accounts[key], s.numbers[a.dsid] = a, true
	return a
}

// account returns the account with a user name, or nil.
func (s *Server) account(user string) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[strings.ToLower(user)]
}

var (
	// servers counts the Servers of this process, so that no two have the same first
	// account, and a test can use one Store for many Servers.
	servers atomic.Uint64

	// process is in the accounts and passwords, so that two processes never have the
	// same ones.
	process = strings.ToLower(rand.Text()[:10])
)

// firstAppleID returns an Apple ID that no other Server has.
func firstAppleID() string {
	return fmt.Sprintf("account%d-%s@example.com", servers.Add(1), process)
}

// AppleID returns the account's Apple ID.
func (a *Account) AppleID() string { return a.appleID }

// HomeURL returns the URL of the account's home-set, on the account's partition host. A test
// that directs iCloud's host names to the Server needs to know that host.
func (a *Account) HomeURL() string {
	return "https://" + a.partitionHost("contacts.icloud.com") + a.homePath()
}

// Requests returns how many requests had the account's Apple ID as their user name, whether
// they were accepted or not.
func (a *Account) Requests() int { return int(a.requests.Load()) }

// Put adds a card to the address book, or replaces the card with this id. The id is the last
// segment of the card's URL as written there, including an ending ".vcf". The text need not
// be well-formed, and is served unchanged; iCloud's cards have CRLF at the ends of lines. Put
// panics if id cannot be a segment of a URL.
func (a *Account) Put(id, vcard string) {
	if !segment(id) {
		panic(fmt.Sprintf("icloudtest: Put: %q cannot be the last segment of a URL", id))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.put(id, vcard)
}

// Delete removes the card with this id from the address book, if there is one.
func (a *Account) Delete(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.delete(id)
}

// Card returns the text of the card with this id, as [Account.Put] or a program has put it.
// ok is false if there is none.
func (a *Account) Card(id string) (vcard string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.book.get(id); c != nil {
		return c.vcard, true
	}
	return "", false
}

// Cards returns the id and the text of each card, in the order in which the cards were first
// put. Changes during the iteration do not affect it.
func (a *Account) Cards() iter.Seq2[string, string] {
	return func(yield func(id, vcard string) bool) {
		a.mu.Lock()
		cards := a.book.all()
		a.mu.Unlock()
		for _, c := range cards {
			if !yield(c.id, c.vcard) {
				return
			}
		}
	}
}

// ForgetTokens makes all sync tokens of the account invalid that were issued so far, as
// servers do after some time or when they restore a backup.
func (a *Account) ForgetTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.forgetTokens()
}

// These methods of Server call those of its first account.

// Issue is [Account.Issue] of the first account.
func (s *Server) Issue() icloud.Credential { return s.first.Issue() }

// IssueAt is [Account.IssueAt] of the first account.
func (s *Server) IssueAt(t time.Time) icloud.Credential { return s.first.IssueAt(t) }

// ExpireAt is [Account.ExpireAt] of the first account.
func (s *Server) ExpireAt(p icloud.Password, t time.Time) { s.first.ExpireAt(p, t) }

// Revoke is [Account.Revoke] of the first account.
func (s *Server) Revoke(p icloud.Password) { s.first.Revoke(p) }

// RevokeAll is [Account.RevokeAll] of the first account.
func (s *Server) RevokeAll() { s.first.RevokeAll() }

// ChangeAccountPassword is [Account.ChangeAccountPassword] of the first
// account.
func (s *Server) ChangeAccountPassword() { s.first.ChangeAccountPassword() }

// Throttle is [Account.Throttle] of the first account.
func (s *Server) Throttle(d time.Duration) { s.first.Throttle(d) }

// HomeURL is [Account.HomeURL] of the first account.
func (s *Server) HomeURL() string { return s.first.HomeURL() }

// Put is [Account.Put] of the first account.
func (s *Server) Put(id, vcard string) { s.first.Put(id, vcard) }

// Delete is [Account.Delete] of the first account.
func (s *Server) Delete(id string) { s.first.Delete(id) }

// Card is [Account.Card] of the first account.
func (s *Server) Card(id string) (vcard string, ok bool) { return s.first.Card(id) }

// Cards is [Account.Cards] of the first account.
func (s *Server) Cards() iter.Seq2[string, string] { return s.first.Cards() }

// PutPhoto is [Account.PutPhoto] of the first account.
func (s *Server) PutPhoto(data []byte, mediaType string) (url string) {
	return s.first.PutPhoto(data, mediaType)
}

// ForgetTokens is [Account.ForgetTokens] of the first account.
func (s *Server) ForgetTokens() { s.first.ForgetTokens() }
