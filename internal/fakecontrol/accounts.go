// Accounts and their passwords.

package fakecontrol

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

const (
	day = 24 * time.Hour

	// lifetime and maxActive are the same as in icloudtest.
	lifetime  = 365 * day
	maxActive = 25
)

// account is an account and its passwords.
type account struct {
	*icloudtest.Account
	passwords []*password // in the order in which they were issued; Fake.mu guards them
	used      string      // the letters of the password that was accepted last; world.mu guards it
}

// password is a password that was issued.
type password struct {
	cred    icloud.Credential
	expires time.Time
	revoked bool
}

// letters returns a password without hyphens, which are optional.
func letters(text string) string { return strings.ReplaceAll(text, "-", "") }

func (p *password) letters() string { return letters(p.cred.Password.Reveal()) }

// state returns "active", "expired" or "revoked".
func (p *password) state(now time.Time) string {
	switch {
	case p.revoked:
		return "revoked"
	case !now.Before(p.expires):
		return "expired"
	}
	return "active"
}

// add makes an account. The caller holds w.mu, unless nobody else has w yet.
func (w *world) add(appleID string) *account {
	a := &account{Account: w.srv.Account(appleID)}
	w.accounts[strings.ToLower(appleID)] = a
	w.order = append(w.order, a)
	return a
}

// issue makes a password. It returns an error if 25 are active.
func (a *account) issue(at time.Time) (*password, error) {
	now, active := time.Now(), 0
	for _, p := range a.passwords {
		if p.state(now) == "active" {
			active++
		}
	}
	if active >= maxActive && now.Before(at.Add(lifetime)) {
		return nil, conflict("25 app-specific passwords are active, and Apple allows no more; revoke one")
	}
	p := &password{cred: a.IssueAt(at), expires: at.Add(lifetime)}
	a.passwords = append(a.passwords, p)
	return p, nil
}

// Account is an account as it is reported.
type Account struct {
	AppleID   string     `json:"apple_id"`
	Cards     int        `json:"cards"`
	Requests  int        `json:"requests"` // the number of requests with its user name
	Passwords []Password `json:"passwords"`
}

// Password is a password as it is reported.
type Password struct {
	Password string    `json:"password"`
	State    string    `json:"state"` // active, expired or revoked
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	InUse    bool      `json:"in_use"` // whether it was accepted last
}

// Credential is a password that was issued, with everything that a client needs to connect.
type Credential struct {
	Endpoint string    `json:"endpoint"`
	AppleID  string    `json:"apple_id"`
	Password string    `json:"password"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	CA       string    `json:"ca,omitempty"`
}

// NewAccount is the request for an account.
type NewAccount struct {
	AppleID string `json:"apple_id"` // if "", the Fake chooses one
	Cards   int    `json:"cards"`    // the number of invented cards
	Age     string `json:"age"`      // the age of its password; "" means new
}

// Issue is the request for a password.
type Issue struct {
	Age    string    `json:"age"`    // how long ago it was issued
	Issued time.Time `json:"issued"` // when it was issued; if zero, Age counts
}

// Expire says when a password expires.
type Expire struct {
	In string    `json:"in"` // how long from now; "" means now
	At time.Time `json:"at"` // when, if not zero
}

// Throttle is the request to throttle an account.
type Throttle struct {
	For string `json:"for"`
}

func (f *Fake) credential(a *account, p *password) Credential {
	return Credential{f.config.Endpoint, a.AppleID(), p.cred.Password.Reveal(), p.cred.Issued.UTC(), p.expires.UTC(), f.config.CA}
}

// account returns the account that the path names, by its Apple ID or as "first".
func (c *call) account() (*account, error) {
	name := c.request.PathValue("account")
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if name == "first" {
		return c.world.first, nil
	}
	if a := c.world.accounts[strings.ToLower(name)]; a != nil {
		return a, nil
	}
	return nil, notFound("account")
}

// password returns the password that the path names. "current" is the one in use or, if none
// was used, the one that was issued last.
func (c *call) password() (*account, *password, error) {
	a, err := c.account()
	if err != nil {
		return nil, nil, err
	}
	if name := c.request.PathValue("password"); name != "current" {
		for _, p := range a.passwords {
			if p.letters() == letters(name) {
				return a, p, nil
			}
		}
		return nil, nil, notFound("password")
	}
	c.world.mu.Lock()
	used := a.used
	c.world.mu.Unlock()
	for _, p := range slices.Backward(a.passwords) {
		if !p.revoked && p.letters() == used {
			return a, p, nil
		}
	}
	for _, p := range slices.Backward(a.passwords) {
		if !p.revoked {
			return a, p, nil
		}
	}
	return nil, nil, conflict("the account has no password left")
}

func (c *call) report(a *account) Account {
	c.world.mu.Lock()
	used := a.used
	c.world.mu.Unlock()
	now, out := time.Now(), Account{AppleID: a.AppleID(), Requests: a.Requests(), Passwords: []Password{}}
	for range a.Cards() {
		out.Cards++
	}
	for _, p := range a.passwords {
		out.Passwords = append(out.Passwords, Password{p.cred.Password.Reveal(), p.state(now), p.cred.Issued.UTC(), p.expires.UTC(), p.letters() == used})
	}
	return out
}

func (c *call) getAccount() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	return c.report(a), nil
}

func (c *call) listAccounts() (any, error) {
	out := struct {
		Accounts []Account `json:"accounts"`
	}{[]Account{}}
	c.world.mu.Lock()
	order := slices.Clone(c.world.order)
	c.world.mu.Unlock()
	for _, a := range order {
		out.Accounts = append(out.Accounts, c.report(a))
	}
	return out, nil
}

func (c *call) createAccount() (any, error) {
	var in NewAccount
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	in.AppleID = cmp.Or(in.AppleID, "account-"+strings.ToLower(rand.Text()[:10])+"@example.com")
	if strings.ContainsAny(in.AppleID, ":\r\n/") || in.AppleID == "first" {
		return nil, badRequest("that cannot be an Apple ID")
	}
	if in.Cards < 0 || in.Cards > maxCards {
		return nil, badRequest("cards must be 0 to %d, which is what iCloud holds", maxCards)
	}
	age, err := parseTime("age", cmp.Or(in.Age, "0s"))
	if err != nil {
		return nil, err
	}
	c.world.mu.Lock()
	if c.world.accounts[strings.ToLower(in.AppleID)] != nil {
		c.world.mu.Unlock()
		return nil, conflict("there is an account with that Apple ID")
	}
	a := c.world.add(in.AppleID)
	c.world.mu.Unlock()
	c.fake.invent(a, in.Cards)
	p, err := a.issue(time.Now().Add(-age))
	if err != nil {
		return nil, err
	}
	return c.fake.credential(a, p), nil
}

func (c *call) issuePassword() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	var in Issue
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	at := in.Issued
	if at.IsZero() {
		age, err := parseTime("age", cmp.Or(in.Age, "0s"))
		if err != nil {
			return nil, err
		}
		at = time.Now().Add(-age)
	} else if in.Age != "" {
		return nil, badRequest("age and issued are both there; one is enough")
	}
	p, err := a.issue(at)
	if err != nil {
		return nil, err
	}
	return c.fake.credential(a, p), nil
}

// The notes say what a program will conclude from the end of a password: see
// icloudtest.Account.ExpireAt.
const (
	youngNote = "the password is young: a program that knows when it was issued takes its end for a revocation; " +
		"issue one that is 364d old, use that one, and let it expire"
	oldNote = "the password is about a year old: a program that knows when it was issued takes its end for an expiry; " +
		"issue a new one, use that one, and revoke it"
)

// old says whether the end of a password looks like an expiry.
func (p *password) old(end time.Time) bool {
	return end.Sub(p.cred.Issued) > lifetime-2*day && end.Sub(p.cred.Issued) < lifetime+14*day
}

func (c *call) expirePassword() (any, error) {
	a, p, err := c.password()
	if err != nil {
		return nil, err
	}
	var in Expire
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	at := in.At
	if at.IsZero() {
		d, err := parseTime("in", cmp.Or(in.In, "0s"))
		if err != nil {
			return nil, err
		}
		at = time.Now().Add(d)
	} else if in.In != "" {
		return nil, badRequest("in and at are both there; one is enough")
	}
	if p.revoked {
		return nil, conflict("the password is revoked")
	}
	a.ExpireAt(p.cred.Password, at)
	p.expires = at
	if !p.old(at) {
		return Done{youngNote}, nil
	}
	return Done{}, nil
}

func (c *call) revokePassword() (any, error) {
	a, p, err := c.password()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	note := ""
	if p.state(now) == "active" && p.old(now) {
		note = oldNote
	}
	a.Revoke(p.cred.Password)
	p.revoked = true
	return Done{note}, nil
}

// revokeAll revokes all passwords. A change of the account's own password does the same.
func (c *call) revokeAll() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	if c.request.Method == http.MethodPost {
		a.ChangeAccountPassword()
	} else {
		a.RevokeAll()
	}
	for _, p := range a.passwords {
		p.revoked = true
	}
	return Done{}, nil
}

func (c *call) throttle() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	var in Throttle
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	d, err := parseTime("for", in.For)
	if err != nil {
		return nil, err
	}
	a.Throttle(d)
	return Done{}, nil
}

func (c *call) forgetTokens() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	a.ForgetTokens()
	return Done{}, nil
}
