package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// The recipe of docs/connecting-customers.md: the contacts of an account and its token, in
// short transactions. No transaction is open during a request to iCloud, so that no connection
// or lock is held while the network is slow. So the Store may use the same pool, even with one
// connection. The last transaction of a sync writes the token; most syncs have only that one.
// An earlier transaction clears the token. A card that it has written may be deleted before the
// next sync, and a server does not report a card that was created and deleted since an older
// token. After a complete run from "" such a card is deleted.

// batchSize is the largest number of changes in a transaction.
const batchSize = 200

// book is the copy of one customer's contacts.
type book struct {
	db       *sql.DB
	customer string
	run      int64 // the number of this sync, in the row of each card that it has reported
	bind     func(statement string) string
	size     int // of a batch
	pending  []icloud.Change
}

// sync updates the copy.
func (b *book) sync(ctx context.Context, client *icloud.Client) error {
	var token string
	err := b.db.QueryRowContext(ctx, b.bind("SELECT token, run + 1 FROM customers WHERE id = ?"), b.customer).Scan(&token, &b.run)
	if err != nil {
		return err
	}
	b.pending = nil
	next, syncErr := client.Sync(ctx, token, func(c icloud.Change) error {
		if b.pending = append(b.pending, c); len(b.pending) < b.size {
			return nil
		}
		return b.flush(ctx, "")
	})
	partial, _ := errors.AsType[*icloud.PartialError](syncErr)
	if token == "" && (syncErr == nil || partial != nil) {
		if err := b.flush(ctx, ""); err != nil {
			return errors.Join(syncErr, err)
		}
		if err := b.deleteUnreported(ctx, partial); err != nil {
			return errors.Join(syncErr, err)
		}
	}
	// With every error, next belongs to the changes that were reported.
	return errors.Join(syncErr, b.flush(ctx, next))
}

// flush writes the pending changes and the token in one transaction.
func (b *book) flush(ctx context.Context, token string) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, b.bind("UPDATE customers SET token = ?, run = ? WHERE id = ?"), token, b.run, b.customer); err != nil {
		return err
	}
	for _, c := range b.pending {
		if c.Contact == nil {
			_, err = tx.ExecContext(ctx, b.bind("DELETE FROM cards WHERE customer = ? AND id = ?"), b.customer, c.ID)
		} else {
			_, err = tx.ExecContext(ctx, b.bind(`INSERT INTO cards (customer, id, name, run) VALUES (?, ?, ?, ?)
				ON CONFLICT (customer, id) DO UPDATE SET name = excluded.name, run = excluded.run`), b.customer, c.ID, c.Contact.Name, b.run)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	b.pending = b.pending[:0]
	return nil
}

// deleteUnreported deletes what a complete run from "" has not reported and does not owe.
func (b *book) deleteUnreported(ctx context.Context, partial *icloud.PartialError) error {
	if partial != nil {
		for _, card := range partial.Cards {
			if _, err := b.db.ExecContext(ctx, b.bind("UPDATE cards SET run = ? WHERE customer = ? AND id = ?"), b.run, b.customer, card.ID); err != nil {
				return err
			}
		}
	}
	_, err := b.db.ExecContext(ctx, b.bind("DELETE FROM cards WHERE customer = ? AND run <> ?"), b.customer, b.run)
	return err
}

// bindFor returns the function that writes a dialect's placeholders.
func bindFor(d sqlstore.Dialect) func(string) string {
	return func(statement string) string {
		if d != sqlstore.PostgreSQL {
			return statement
		}
		out, n := "", 0
		for _, c := range statement {
			if c == '?' {
				n++
				out += fmt.Sprintf("$%d", n)
				continue
			}
			out += string(c)
		}
		return out
	}
}

// createRecipe makes the application's tables.
func createRecipe(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, statement := range []string{
		"CREATE TABLE customers (id VARCHAR(64) PRIMARY KEY, token TEXT NOT NULL, run BIGINT NOT NULL)",
		"CREATE TABLE cards (customer VARCHAR(64), id VARCHAR(255), name TEXT, run BIGINT, PRIMARY KEY (customer, id))",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecipe: four customers are followed at once through a pool that the Store uses too, with
// one connection on SQLite and four on PostgreSQL. A run that ends early loses nothing.
func TestRecipe(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		if strings.Contains(p.params, "serializable") {
			t.Skip("under SERIALIZABLE a transaction that lost is the application's to repeat")
		}
		db := p.open(t)
		conns := 4
		if p.dialect == sqlstore.SQLite {
			conns = 1
		}
		db.SetMaxOpenConns(conns)
		store := sqlstore.New(db, p.dialect)
		if err := store.Create(t.Context()); err != nil {
			t.Fatal(reveal(err))
		}
		createRecipe(t, db)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		bind := bindFor(p.dialect)
		var wg sync.WaitGroup
		for worker := range 4 {
			customer := fmt.Sprint("customer ", worker)
			if _, err := db.ExecContext(ctx, bind("INSERT INTO customers VALUES (?, '', 0)"), customer); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { followRecipe(ctx, t, &book{db: db, customer: customer, bind: bind, size: batchSize}, store) })
		}
		wg.Wait()
		if got := count(t, db); got != 4 {
			t.Errorf("got %d accounts in the Store, want 4", got)
		}
	}, sqlstore.SQLite, sqlstore.PostgreSQL)
}

// followRecipe follows one customer.
func followRecipe(ctx context.Context, t *testing.T, b *book, store *sqlstore.Store) {
	srv := icloudtest.NewServer()
	defer srv.Close()
	put := func(i int, name string) {
		srv.Put(fmt.Sprintf("%d.vcf", i), "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:"+fmt.Sprint(i)+"\r\nN:;;;;\r\nFN:"+name+"\r\nEND:VCARD\r\n")
	}
	const cards = 2*batchSize + 50
	for i := range cards {
		put(i, "Ada")
	}
	client, err := icloud.New(srv.Issue(), &icloud.Options{Store: store, Transport: srv.Transport()})
	if err != nil {
		t.Error(err)
		return
	}
	check := func(when string, want int, named string) {
		var n int
		var token string
		if err := b.db.QueryRowContext(ctx, b.bind("SELECT COUNT(*) FROM cards WHERE customer = ? AND name = ?"), b.customer, named).Scan(&n); err != nil || n != want {
			t.Errorf("%s: got %d cards of %s, %v; want %d", when, n, named, err, want)
		}
		if err := b.db.QueryRowContext(ctx, b.bind("SELECT token FROM customers WHERE id = ?"), b.customer).Scan(&token); err != nil || token == "" {
			t.Errorf("%s: got token %q, %v", when, token, err)
		}
	}
	if err := b.sync(ctx, client); err != nil {
		t.Error(reveal(err))
		return
	}
	check("at first", cards, "Ada")
	// The worker dies during the next run.
	for i := range batchSize + 20 {
		put(i, "Grace")
	}
	srv.Delete(fmt.Sprintf("%d.vcf", cards-1))
	dying, die := context.WithCancel(ctx)
	err = (&book{db: b.db, customer: b.customer, size: batchSize, bind: func(s string) string {
		if b.run++; b.run > 100 {
			die()
		}
		return b.bind(s)
	}}).sync(dying, client)
	die()
	if err == nil {
		t.Error("the run that was to break off: got no error")
	}
	if err := b.sync(ctx, client); err != nil {
		t.Error(reveal(err))
		return
	}
	check("afterwards", batchSize+20, "Grace")
	check("afterwards", cards-1-batchSize-20, "Ada")
	if st := client.Status(); st.StoreErr != nil {
		t.Errorf("got StoreErr %v", st.StoreErr)
	}
}
