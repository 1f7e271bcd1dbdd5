// A Sync of an application that uses the same pool of connections as the Store.

package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// pools runs a test with one connection of SQLite and with a pool of PostgreSQL. Waiting for a
// connection in vain takes ten seconds.
func pools(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	t.Parallel()
	for _, s := range systems {
		if s.name == "SQLite" || s.name == "SQLite, immediate" || s.name == "PostgreSQL" {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				test(t, newPlace(t, s))
			})
		}
	}
}

// reader is an account, and the application's copy of its address book.
type reader struct {
	*icloudtest.Account
	*icloud.Client
	book book
	opts icloud.Options
	cred icloud.Credential
}

// full returns as many accounts on one fake as the pool has connections, which is one on
// SQLite. Everything about an account except its password is in the database.
func full(t *testing.T, p *place) (db *sql.DB, readers []*reader) {
	t.Helper()
	srv := icloudtest.NewServer()
	t.Cleanup(srv.Close)
	store, db := p.create(t)
	createRecipe(t, db)
	bind := bindFor(p.dialect)
	n := 4
	if p.dialect == sqlstore.SQLite {
		n = 1
	}
	db.SetMaxOpenConns(n)
	for i := range n {
		r := &reader{Account: srv.Account(fmt.Sprintf("reader%d@example.com", i))}
		for j := range 12 {
			r.put(j, "first")
		}
		r.cred = r.Issue()
		r.opts = icloud.Options{Store: store, Transport: srv.Transport()}
		r.book = book{db: db, customer: r.AppleID(), bind: bind, size: 2}
		if _, err := db.ExecContext(t.Context(), bind("INSERT INTO customers VALUES (?, '', 0)"), r.AppleID()); err != nil {
			t.Fatal(err)
		}
		r.restart(t)
		readers = append(readers, r)
	}
	return db, readers
}

func (r *reader) put(i int, text string) {
	r.Account.Put(fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%d\r\nFN:%s\r\nEND:VCARD\r\n", i, text))
}

// restart makes the Client of a process that has just started.
func (r *reader) restart(t *testing.T) {
	t.Helper()
	client, err := icloud.New(r.cred, &r.opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Client = client
}

// same checks that the copy equals the book.
func (r *reader) same(t *testing.T) {
	t.Helper()
	rows, err := r.book.db.QueryContext(t.Context(), r.book.bind("SELECT id, name FROM cards WHERE customer = ?"), r.AppleID())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := make(map[string]string)
	for rows.Next() {
		var id, name string
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		got[id] = name
	}
	n := 0
	for id, vcard := range r.Cards() {
		if n++; !strings.Contains(vcard, "\r\nFN:"+got[id]+"\r\n") {
			t.Errorf("%s: got card %s %q, want that of %q", r.AppleID(), id, got[id], vcard)
		}
	}
	if len(got) != n {
		t.Errorf("%s: got %d cards, want %d", r.AppleID(), len(got), n)
	}
}

// token returns the token in the copy.
func (r *reader) token(t *testing.T) (token string) {
	t.Helper()
	if err := r.book.db.QueryRowContext(t.Context(), r.book.bind("SELECT token FROM customers WHERE id = ?"), r.AppleID()).Scan(&token); err != nil {
		t.Error(err)
	}
	return token
}

// all calls do for all readers at once, each with its own transaction. It begins all
// transactions first, so that the pool has no free connection.
func all(t *testing.T, db *sql.DB, readers []*reader, do func(ctx context.Context, r *reader, tx *sql.Tx, coming *sync.WaitGroup) error) []error {
	t.Helper()
	// The long timeout finds a hang and not slowness.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	txs := make([]*sql.Tx, len(readers))
	for i := range readers {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		txs[i] = tx
	}
	if s := db.Stats(); s.InUse != s.MaxOpenConnections {
		t.Fatalf("%d of %d connections are in use, want all", s.InUse, s.MaxOpenConnections)
	}
	errs := make([]error, len(readers))
	var wg, coming sync.WaitGroup
	coming.Add(len(readers))
	for i, r := range readers {
		wg.Go(func() { errs[i] = do(ctx, r, txs[i], &coming) })
	}
	wg.Wait()
	for _, tx := range txs {
		_ = tx.Rollback()
	}
	if ctx.Err() != nil {
		t.Fatal("a Sync inside a transaction that holds the only connection does not end")
	}
	return errs
}

// inside does what the documentation advises against: the whole run is in a transaction, of the
// pool that the Store uses too. No run commits, which would free its connection for the Store
// of another, before all have reached their first card.
func inside(ctx context.Context, r *reader, tx *sql.Tx, coming *sync.WaitGroup) error {
	come := sync.OnceFunc(coming.Done)
	defer come()
	next, err := r.Sync(ctx, "", func(c icloud.Change) error {
		come()
		coming.Wait()
		_, err := tx.ExecContext(ctx, r.book.bind("INSERT INTO cards VALUES (?, ?, ?, 0)"), r.AppleID(), c.ID, c.Contact.Name)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, r.book.bind("UPDATE customers SET token = ? WHERE id = ?"), next, r.AppleID()); err != nil {
		return err
	}
	return tx.Commit()
}

// TestSyncInTransaction: a run that holds the only connection while the Store waits for one
// does not hang for ever. Nothing is lost, and the Client saves what is due afterwards.
func TestSyncInTransaction(t *testing.T) {
	pools(t, func(t *testing.T, p *place) {
		db, readers := full(t, p)
		// A new Client must read the Store before it sends a password. If it cannot, it
		// returns an error and sends nothing.
		for _, err := range all(t, db, readers, inside) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("before Load: got %v, want that the Store was not read in time", err)
			}
		}
		for _, r := range readers {
			if n := r.Requests(); n != 0 {
				t.Errorf("before Load: got %d requests, want 0", n)
			}
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range all(t, db, readers, inside) {
			if err != nil {
				t.Errorf("after Load: got %v, want none", err)
			}
		}
		for _, r := range readers {
			r.same(t)
			want := r.Status()
			if want.State != icloud.Active || want.StoreErr == nil {
				t.Errorf("got status %+v, want active, and that it is not saved", want)
			}
			// After a save has failed, the next one comes a minute later, unless there is
			// a verdict.
			r.RevokeAll()
			r.doubted(t)
			if got := r.Status(); !got.LastAccepted.Equal(want.LastAccepted) || got.StoreErr != nil {
				t.Errorf("got status %+v from the Store, want it last accepted at %v", got, want.LastAccepted)
			}
		}
	})
}

// doubted checks that the next call says that the password is Doubted, and that this is in the
// Store.
func (r *reader) doubted(t *testing.T) {
	t.Helper()
	_, err := r.Contact(t.Context(), "0.vcf")
	if ae, ok := errors.AsType[*icloud.AuthError](err); !ok || ae.Confirmed {
		t.Errorf("got %v, want a verdict that is not confirmed", err)
	}
	r.restart(t)
	if err := r.Load(t.Context()); err != nil {
		t.Error(err)
	}
	if got := r.Status().State; got != icloud.Doubted {
		t.Errorf("got %v from the Store, want doubted", got)
	}
}

// TestRefusedInTransaction: the password dies before or after the first call of apply. The
// verdict is returned although the Store fails, and is saved afterwards.
func TestRefusedInTransaction(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"before apply": true, "after apply": false} {
		t.Run(name, func(t *testing.T) {
			pools(t, func(t *testing.T, p *place) {
				db, readers := full(t, p)
				for _, r := range readers {
					if err := r.book.sync(t.Context(), r.Client); err != nil {
						t.Fatal(err)
					}
					if early {
						r.RevokeAll()
					}
				}
				for _, err := range all(t, db, readers, func(ctx context.Context, r *reader, _ *sql.Tx, _ *sync.WaitGroup) error {
					_, err := r.Sync(ctx, "", func(icloud.Change) error {
						r.RevokeAll()
						_, err := r.Contact(ctx, "0.vcf")
						return err
					})
					return err
				}) {
					if ae, ok := errors.AsType[*icloud.AuthError](err); !ok || ae.Confirmed {
						t.Errorf("got %v, want a verdict that is not confirmed", err)
					}
				}
				for _, r := range readers {
					r.same(t)
					r.doubted(t)
				}
			})
		})
	}
}

// TestBook: in the end the copy equals the address book, although runs fail or crash before
// their end.
func TestBook(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		_, readers := full(t, p)
		var wg sync.WaitGroup
		for n, r := range readers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(n)))
				away := 0
				for range 60 {
					for range rnd.IntN(8) {
						if i := rnd.IntN(20); rnd.IntN(3) == 0 {
							r.Account.Delete(fmt.Sprintf("%d.vcf", i))
						} else {
							r.put(i, fmt.Sprint(rnd.Int()))
						}
					}
					ctx, cancel := context.WithCancel(t.Context())
					// In some runs the process is killed before one of the statements.
					left, dying := rnd.IntN(30), r.book
					dying.bind = func(statement string) string {
						if left--; left == 0 {
							cancel()
						}
						return r.book.bind(statement)
					}
					if rnd.IntN(10) == 0 {
						r.ForgetTokens()
					}
					before := r.token(t)
					// Runs are expected to fail.
					if err := dying.sync(ctx, r.Client); err != nil {
						if after := r.token(t); after != "" && after != before && ctx.Err() != nil {
							t.Errorf("killed: got token %q, want %q or none", after, before)
						} else if after == "" && before != "" && !errors.Is(err, icloud.ErrResync) {
							away++
						}
					}
					cancel()
				}
				err := r.book.sync(t.Context(), r.Client)
				if errors.Is(err, icloud.ErrResync) {
					err = r.book.sync(t.Context(), r.Client)
				}
				if err != nil {
					t.Error(err)
				}
				r.same(t)
				if away == 0 {
					t.Error("no run was killed between two transactions")
				}
			})
		}
		wg.Wait()
	}, sqlstore.SQLite, sqlstore.PostgreSQL)
}
