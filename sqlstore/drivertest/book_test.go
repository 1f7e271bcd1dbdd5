// How an application keeps contacts and sync token together in its database.

package drivertest

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-icloud/icloud"
)

// bookSchema is the application's: books has a row for each account.
const bookSchema = `
CREATE TABLE books (account TEXT PRIMARY KEY, token TEXT NOT NULL DEFAULT '', run BIGINT NOT NULL DEFAULT 0);
CREATE TABLE contacts (account TEXT NOT NULL, id TEXT NOT NULL, vcard TEXT NOT NULL, run BIGINT NOT NULL, PRIMARY KEY (account, id));
`

// book is the copy of one account's address book. A run collects changes and writes
// them in short transactions, so that it holds no connection while it waits for
// iCloud. The last transaction of a run writes the token. One that comes before takes
// the token away: after a crash the next run begins at "", and its sweep finds what the
// crash has left. Most runs are a single transaction.
type book struct {
	db      *sql.DB
	account string
	size    int // changes in a transaction; 200 is a good choice

	run   int64 // of this copy; a later run ends the right of an earlier one to write
	batch []icloud.Change
}

var errOvertaken = errors.New("another worker has begun a later run")

// sync brings the copy up to date. With a *icloud.PartialError it is, but for some cards.
func (b *book) sync(ctx context.Context, client *icloud.Client) error {
	err := b.once(ctx, client)
	if errors.Is(err, icloud.ErrResync) {
		err = b.once(ctx, client) // the token is "" now
	}
	return err
}

func (b *book) once(ctx context.Context, client *icloud.Client) error {
	var token string
	err := b.db.QueryRowContext(ctx, `UPDATE books SET run = run + 1 WHERE account = $1 RETURNING run, token`, b.account).Scan(&b.run, &token)
	if err != nil {
		return err
	}
	b.batch = nil
	next, err := client.Sync(ctx, token, func(c icloud.Change) error {
		b.batch = append(b.batch, c)
		if len(b.batch) < b.size {
			return nil
		}
		return b.write(ctx, "", nil)
	})
	// Whatever the error, next fits what was applied.
	partial, _ := errors.AsType[*icloud.PartialError](err)
	var sweep func(*sql.Tx) error
	if token == "" && (err == nil || partial != nil) {
		sweep = func(tx *sql.Tx) error { return b.sweep(ctx, tx, partial) }
	}
	return errors.Join(err, b.write(ctx, next, sweep))
}

// write writes the batch and the token, both or neither, and then does what more is to
// be done in the transaction.
func (b *book) write(ctx context.Context, token string, more func(*sql.Tx) error) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // which does nothing after a Commit
	result, err := tx.ExecContext(ctx, `UPDATE books SET token = $1 WHERE account = $2 AND run = $3`, token, b.account, b.run)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errOvertaken, err)
	}
	for _, c := range b.batch {
		if c.Contact == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM contacts WHERE account = $1 AND id = $2`, b.account, c.ID)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO contacts (account, id, vcard, run) VALUES ($1, $2, $3, $4)
				ON CONFLICT (account, id) DO UPDATE SET vcard = excluded.vcard, run = excluded.run`, b.account, c.ID, string(c.Contact.VCard), b.run)
		}
		if err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(tx); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	b.batch = b.batch[:0]
	return nil
}

// sweep deletes what a complete run has not reported, but for the cards it owes.
func (b *book) sweep(ctx context.Context, tx *sql.Tx, partial *icloud.PartialError) error {
	if partial != nil {
		for _, card := range partial.Cards {
			if _, err := tx.ExecContext(ctx, `UPDATE contacts SET run = $1 WHERE account = $2 AND id = $3`, b.run, b.account, card.ID); err != nil {
				return err
			}
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM contacts WHERE account = $1 AND run <> $2`, b.account, b.run)
	return err
}
