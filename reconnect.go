// A new password for the same account: tried beside the old one, and put in its
// place only once it was accepted.

package icloud

import (
	"context"
	"errors"
	"strings"
)

// Reconnect replaces the password of the account, once iCloud has accepted the
// new one, and so ends SignedOut. Nothing else of the Client is lost: sync tokens
// stay good. Calls that are under way go on with the new password. If the new
// one is refused, which is final as with [Client.Authenticate], or the question
// stays open, the old one remains, and whatever is known of it.
//
// A credential with another AppleID is an error, before anything is sent.
func (c *Client) Reconnect(ctx context.Context, cred Credential) error {
	cred, err := checkCredential(cred)
	if err != nil {
		return err
	}
	c.mu.Lock()
	same := strings.EqualFold(cred.AppleID, c.login.cred.AppleID)
	c.mu.Unlock()
	if !same {
		return errors.New("icloud: Reconnect with another Credential.AppleID")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The Store may have the book.
	if err := c.recall(ctx); err != nil {
		return err
	}
	return c.settle(ctx, c.join(ctx, &login{cred: cred}))
}

// join signs in with the password of l and makes it the Client's. Calls whose
// own password is refused meanwhile wait for the outcome.
func (c *Client) join(ctx context.Context, l *login) error {
	if err := c.joining.take(ctx); err != nil {
		return err
	}
	defer c.joining.give() // also if a Transport panics
	ended := make(chan struct{})
	c.mu.Lock()
	c.reconnect = ended
	// The same password once more, or an older one: people do that. What is known
	// of it is evidence still.
	again := l.cred.Password.Reveal() == c.login.cred.Password.Reveal()
	if again {
		l.memory = c.login.memory
	}
	c.absorb(&c.past, l)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.reconnect = nil
		c.mu.Unlock()
		close(ended)
	}()
	// It may have been tried before: an old refusal that is not known here would
	// come back with the next save. A Store that fails keeps nobody from
	// connecting again.
	_ = c.reload(ctx, l)

	_, _, err := c.inquire(ctx, l)
	if errors.Is(err, errRefused) {
		// A 401 is a question, here as everywhere.
		_, _, err = c.inquire(ctx, l)
	}
	if errors.Is(err, errRefused) {
		return c.refuseNew(ctx, l, again)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// From here on requests are sent with the new password. Those under way
	// hold on to the old login, so that no refusal of it is taken for one of
	// the new.
	l.memory.accept(now())
	c.past.put(c.login.cred.Password, c.login.memory)
	c.login = l
	c.throttle.succeeded()
	c.fleet.count(c.account, now(), false)
	// Saved at once, not within the hour: other workers are latched until
	// they read it.
	c.kept.dirty, c.kept.urgent = true, true
	return nil
}

// refuseNew is refuse for a password that did not become the Client's.
func (c *Client) refuseNew(ctx context.Context, l *login, again bool) error {
	if err := c.keeping.take(ctx); err != nil {
		return err
	}
	defer c.keeping.give()
	t := now()
	_, incident := c.fleet.incident(t)
	tell := false
	// It is kept with the old one, so that the next Reconnect with the same
	// wrong password, or a restart, knows it.
	m, err := c.save(ctx, l, func(m *memory) {
		m.refuse(l.cred, c.rules, t, true, incident)
		if again && m.verdict.Confirmed && !m.told {
			m.told, tell = true, true
		}
	})
	c.mu.Lock()
	if again {
		// The owner has entered the same password once more.
		c.login.memory = m
		c.kept.tell = c.kept.tell || tell
	} else {
		c.past.put(l.cred.Password, m)
	}
	c.mu.Unlock()
	if err != nil {
		return errors.Join(m.verdict, err)
	}
	return m.verdict
}

// wait waits for ch to be closed, no longer than ctx lasts.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
