// Package sqlstore keeps what Clients of package icloud learn about their accounts in a
// SQL database, so that all workers of a service share it.
//
//	store := sqlstore.New(db, sqlstore.PostgreSQL)
//	if err := store.Create(ctx); err != nil {
//		return err
//	}
//	client, err := icloud.New(cred, &icloud.Options{Store: store})
//
// The package imports database/sql and no driver; the program chooses the driver. It is
// tested with pgx and lib/pq on PostgreSQL, with go-sql-driver/mysql on MariaDB, and
// with modernc.org/sqlite.
//
// # What is promised
//
// There is one table, icloud_store, with one row for each account and endpoint. Save is
// one statement, which inserts or replaces the row completely or not at all. Of several
// Saves the last one wins. This is enough, because a Client loads the row and merges it
// before it saves: an old refusal of one worker cannot undo the Reconnect of another, and
// an update that is lost between two workers costs one repeated probe.
//
// No statement depends on another, so the isolation level does not matter. A statement
// that fails because of a deadlock or, under SERIALIZABLE, a conflict is repeated. The
// package leaves nothing in a session, so it works with a pool in transaction mode, such
// as PgBouncer's, if the driver leaves nothing there: use pgx with
// default_query_exec_mode=exec, or lib/pq with binary_parameters=yes.
//
// All methods return when the context ends, if the driver does. SQLite needs no pragma
// and no limit for the pool. A Store writes one row at a time; if another program holds
// the lock, it repeats the statement until the context ends. Some drivers do not return
// while SQLite itself waits. So choose a busy_timeout, if any, that is shorter than the
// timeouts of your contexts.
//
// # Setting up
//
// [Store.Create] creates the table if it does not exist, and adds what the table of an
// older version lacks. All workers may call it whenever they start, also concurrently.
// If you manage your schema with another tool, give it [Dialect.Schema] instead. The
// name of the table has no schema: PostgreSQL looks for it along the search_path.
//
// Load and Attention need the privilege to SELECT, Save to SELECT, INSERT and UPDATE,
// Forget to SELECT and DELETE. If the table exists and is complete, Create needs the
// same privileges as Save; otherwise it must be allowed to create or alter tables.
//
// # All accounts at once
//
// Besides the data of a Client, a row has columns that a service can query for all
// accounts without a Client:
//
//   - due_at: since when the password has been refused for good, or else when it is
//     estimated to end;
//   - confirmed: whether the refusal is final;
//   - reason: why the password is refused;
//   - last_accepted: when the password last worked.
//
// Each Save writes these columns. due_at, reason and last_accepted are NULL if there is
// nothing to say. All four are NULL if the data was not saved by a Client.
// [Store.Attention] reads them through an index. A Doubted password has a reason and is not
// confirmed; do not notify its owner.
//
// # Deleting old rows
//
// The rows are personal data (see [icloud.Store]), and only Forget deletes them. The row
// of an account that is polled is saved hourly while its password works, and daily while
// it is signed out. updated_at is the time of the last Save in UTC, by the database's
// clock. So a row with an old updated_at belongs to an account that is no longer polled:
//
//	DELETE FROM icloud_store WHERE updated_at < now() - interval '400 days'         -- PostgreSQL
//	DELETE FROM icloud_store WHERE updated_at < UTC_TIMESTAMP() - INTERVAL 400 DAY  -- MySQL, MariaDB
//	DELETE FROM icloud_store WHERE updated_at < datetime('now', '-400 days')        -- SQLite
//
// If a row is deleted too early, the next Client needs four requests to find the address
// book, and knows nothing about the password: its verdict is less certain.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/go-icloud/icloud"
)

// maxTries is how often a statement is tried if it conflicts with others. Each time one
// of the others succeeds, so as many tries are needed as there are concurrent Saves of a
// row.
const maxTries = 100

// Store is an [icloud.Store] in a SQL database. Make it with [New]; the methods of the
// zero Store return an error. A Store is safe for concurrent use. A key that does not have
// the form of [icloud.AccountKey] is an error. Other errors wrap those of the driver or of
// the context, and do not repeat their text.
type Store struct {
	db *sql.DB
	d  Dialect

	// writing is held during a write to SQLite, which can execute only one at a time.
	writing chan struct{}
}

var _ icloud.Store = (*Store)(nil)

// New returns a Store in db. The caller configures and closes db. New does no I/O. If db
// is nil or d is not one of the three Dialects, every method returns an error.
func New(db *sql.DB, d Dialect) *Store {
	return &Store{db: db, d: d, writing: make(chan struct{}, 1)}
}

// Load implements [icloud.Store].
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	d, err := s.dialect()
	if err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	var data []byte
	err = s.try(ctx, "load", func() error {
		err := s.db.QueryRowContext(ctx, d.load, key).Scan(&data) // a copy
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Save implements [icloud.Store].
func (s *Store) Save(ctx context.Context, key string, data []byte) error {
	d, err := s.dialect()
	if err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	c := conclude(data, d)
	return s.write(ctx, "save", d.save, key, data, c.due, c.confirmed, c.reason, c.lastAccepted)
}

// Forget deletes the row of key (see [icloud.AccountKey]), for example when a customer
// leaves. It returns nil if there is none. Drop the account's Clients first, because a
// Client that is still in use saves its data again. Forget needs the privilege to DELETE.
func (s *Store) Forget(ctx context.Context, key string) error {
	d, err := s.dialect()
	if err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	return s.write(ctx, "forget", d.forget, key)
}

// write executes a statement that changes rows.
func (s *Store) write(ctx context.Context, op, statement string, args ...any) error {
	if s.d == SQLite {
		// Writes that wait here are executed in turn. SQLite itself has no order.
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
		case <-ctx.Done():
			return wrap(ctx, op, ctx.Err())
		}
	}
	return s.try(ctx, op, func() error {
		_, err := s.db.ExecContext(ctx, statement, args...)
		return err
	})
}

// dialect returns the statements, or an error if New was not given a database or a Dialect.
func (s *Store) dialect() (dialect, error) {
	switch {
	case s == nil || s.db == nil:
		return dialect{}, errors.New("icloud/sqlstore: New was given no database")
	case s.d.Schema() == "":
		return dialect{}, errors.New("icloud/sqlstore: New was given no Dialect")
	}
	return dialects[s.d], nil
}

// checkKey refuses keys that do not have the form of a Client's keys. Some databases ignore
// case or trailing blanks, or cut what does not fit, so two other keys could share a row.
func checkKey(key string) error {
	if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
		return errors.New("icloud/sqlstore: malformed key")
	}
	return nil
}

// try executes f, and repeats it if it conflicts with another statement. A Save may be
// repeated even if it is not known whether it was executed.
func (s *Store) try(ctx context.Context, op string, f func() error) error {
	pause := time.Millisecond
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return wrap(ctx, op, err)
		case s.d == SQLite && isLocked(err):
			// Without a busy_timeout SQLite returns this error at once. Another
			// program's transaction may take any time, so only the context ends
			// the repetition.
			if !sleep(ctx, pause) {
				return wrap(ctx, op, err)
			}
			pause = min(2*pause, maxPause)
		// Class 40, "transaction rollback": deadlocks and conflicts.
		case n == maxTries || !strings.HasPrefix(sqlState(err), "40"):
			return wrap(ctx, op, err)
		}
	}
}

// maxPause is the longest pause between two tries of a statement while SQLite is locked.
const maxPause = 50 * time.Millisecond

// sleep waits for about d, and returns false if the context ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	// The time is random, so that several programs do not try at the same time again.
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isLocked says whether an error is SQLite's SQLITE_BUSY or SQLITE_LOCKED, by the texts of its
// drivers.
func isLocked(err error) bool {
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "table is locked") ||
		strings.Contains(text, "schema is locked")
}

// storeError wraps a driver's error, whose text may name hosts, users and the values of a
// row. errors.Is and As find the error, and its text is not repeated.
type storeError struct {
	text string
	err  error
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.err }

// wrap returns a storeError, whose text says as much as can be found out with every driver.
func wrap(ctx context.Context, op string, err error) error {
	text, state := "the database failed", sqlState(err)
	switch ended := ctx.Err(); {
	case ended != nil:
		text = ended.Error()
		if !errors.Is(err, ended) {
			// Some drivers return their own error for a cancelled statement.
			err = errors.Join(ended, err)
		}
	case state == "42P01", state == "42S02", strings.Contains(err.Error(), "no such table"):
		text = "there is no table icloud_store; Create makes it"
	case lacksColumn(err):
		text = "the table icloud_store lacks a column; Create adds it"
	case state != "":
		text = "the database answered SQLSTATE " + state
	}
	return &storeError{text: "icloud/sqlstore: " + op + ": " + text, err: err}
}

// lacksColumn says whether a statement failed because a column does not exist.
func lacksColumn(err error) bool {
	switch sqlState(err) {
	case "42703", "42S22":
		return true
	}
	text := err.Error() // SQLite's
	return strings.Contains(text, "no such column") || strings.Contains(text, "has no column named")
}

// mysqlState finds the SQLSTATE in the text of an error of go-sql-driver/mysql,
// which has no method for it.
var mysqlState = regexp.MustCompile(`^Error \d+ \(([0-9A-Z]{5})\): `)

// sqlState returns the SQLSTATE (ISO/IEC 9075-2) of an error, or "". This package cannot use
// the types of drivers, because it imports none. The errors of the drivers for PostgreSQL
// have a method for it.
func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	if m := mysqlState.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return ""
}
