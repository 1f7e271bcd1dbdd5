// Package sqlstore keeps what Clients of package icloud learn of their accounts
// in a SQL database, so that a fleet of workers shares one memory in the
// database that it already has.
//
//	store := sqlstore.New(db, sqlstore.PostgreSQL)
//	if err := store.Create(ctx); err != nil {
//		return err
//	}
//	client, err := icloud.New(cred, &icloud.Options{Store: store})
//
// It needs database/sql alone; the driver is the program's choice. It is tested
// with pgx and lib/pq on PostgreSQL, with go-sql-driver/mysql on MariaDB, and
// with modernc.org/sqlite.
//
// # What is promised
//
// There is one table, icloud_store, with one row per account and endpoint.
// A Save is one statement that inserts the row or replaces it, whole or not at
// all, and the last one wins. That suffices: the Client loads and merges before
// it saves, so that one worker's old refusal cannot undo another's Reconnect,
// and an update that is lost between two workers costs one repeated question.
//
// No statement depends on another, so the isolation level does not matter; the
// rare one that loses a deadlock or, under SERIALIZABLE, a conflict is repeated.
// Nothing is left in a session either: a pool in transaction mode, such as
// PgBouncer's, will do if the driver keeps nothing there either: pgx with
// default_query_exec_mode=exec, lib/pq with binary_parameters=yes.
//
// Both methods return when the context ends, as far as the driver does. Some
// drivers do not while SQLite waits for the lock of another program, so let its
// busy_timeout be shorter than what your contexts allow; but not zero, or a Save
// fails each time that two meet. In a program, let the pool have one connection
// (SetMaxOpenConns): those who wait for it are served in turn, which
// SQLite does not do.
//
// # Setting up
//
// [Store.Create] makes the table unless it is there. Any number of workers may
// call it at once and each time they start. Those who keep a schema by a tool of
// their own give it [Dialect.Schema] in its place. The name of the table is not
// qualified: in PostgreSQL it is looked for along the search_path.
//
// Load needs the privilege to SELECT, Save to SELECT, INSERT and UPDATE. Create
// needs no more than Load if the table is there, else the right to create tables.
//
// # Pruning
//
// What is saved is personal data (see [icloud.Store]), and nothing here deletes
// it. An account that is polled has its row saved again hourly while it works, daily
// while it is signed out; so a row whose updated_at, in UTC by the
// database's clock, is long past belongs to an account that nobody asks
// about any more:
//
//	DELETE FROM icloud_store WHERE updated_at < now() - interval '400 days'         -- PostgreSQL
//	DELETE FROM icloud_store WHERE updated_at < UTC_TIMESTAMP() - INTERVAL 400 DAY  -- MySQL, MariaDB
//	DELETE FROM icloud_store WHERE updated_at < datetime('now', '-400 days')        -- SQLite
//
// A row deleted too early costs the next Client four requests, and what was known
// of the password: a verdict on it is then less certain.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"

	"github.com/go-icloud/icloud"
)

// Dialect is the kind of a database. The zero value is none: a Store with it
// fails.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1 // 9.5 or later
	MySQL                         // MySQL and MariaDB
	SQLite                        // 3.24 or later
)

// dialect is the three statements that differ. The key's column is not called
// key, which MySQL reserves, and the table bears a name that an application is
// unlikely to have given to one of its own.
//
// Keys are of one width and one case, and compared byte by byte: by its default
// collation MySQL would take "A" for "a". updated_at is there for pruning alone,
// is set by the database's clock because workers' clocks differ, and has no
// index because every Save would pay for it and a scan once in a while is cheap.
type dialect struct{ schema, load, save string }

var dialects = map[Dialect]dialect{
	PostgreSQL: {
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account    char(64) PRIMARY KEY,
	data       bytea NOT NULL,
	updated_at timestamptz NOT NULL
);
`,
		load: `SELECT data FROM icloud_store WHERE account = $1`,
		save: `INSERT INTO icloud_store (account, data, updated_at) VALUES ($1, $2, now())
ON CONFLICT (account) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at`,
	},
	MySQL: {
		// A BLOB would end at 64 KiB. TIMESTAMP would end in 2038.
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account    CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	data       MEDIUMBLOB NOT NULL,
	updated_at DATETIME NOT NULL
) ENGINE=InnoDB;
`,
		load: `SELECT data FROM icloud_store WHERE account = ?`,
		// MySQL would rather have an alias than VALUES(), MariaDB has
		// VALUES() alone, and both take it.
		save: `INSERT INTO icloud_store (account, data, updated_at) VALUES (?, ?, UTC_TIMESTAMP())
ON DUPLICATE KEY UPDATE data = VALUES(data), updated_at = VALUES(updated_at)`,
	},
	SQLite: {
		schema: `CREATE TABLE IF NOT EXISTS icloud_store (
	account    TEXT NOT NULL PRIMARY KEY,
	data       BLOB NOT NULL,
	updated_at TEXT NOT NULL
);
`,
		load: `SELECT data FROM icloud_store WHERE account = ?`,
		save: `INSERT INTO icloud_store (account, data, updated_at) VALUES (?, ?, datetime('now'))
ON CONFLICT (account) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at`,
	},
}

// look reads nothing, and fails where Load or Save would for want of the table.
const look = `SELECT account, data, updated_at FROM icloud_store WHERE 1 = 0`

// maxTries bounds how often a statement is repeated that lost to another. Each
// time another has won, so it takes as many as there are Saves of one row at
// once.
const maxTries = 100

// Schema returns the statement that makes the table if it is not there, for
// programs that leave that to a tool of their own; [Store.Create] executes the
// same. It is "" for a Dialect that is none.
func (d Dialect) Schema() string { return dialects[d].schema }

// Store is an [icloud.Store] in a SQL database. Make it with New. It is safe for
// concurrent use.
type Store struct {
	db *sql.DB
	d  Dialect
}

var _ icloud.Store = (*Store)(nil)

// New returns a Store in db, which remains the caller's to configure and close.
// It does no I/O: a db that is nil or a Dialect that is none shows as an error
// of every method.
func New(db *sql.DB, d Dialect) *Store {
	return &Store{db: db, d: d}
}

// Create makes the table unless it is there. It may be called at any time, and
// by several programs at once.
func (s *Store) Create(ctx context.Context) error {
	d, err := s.dialect()
	if err != nil {
		return err
	}
	// Asked first, because CREATE takes locks, and is replicated, even where
	// there is nothing to create.
	if err := s.look(ctx); err == nil || ctx.Err() != nil {
		return err
	}
	err = s.try(ctx, "create", func() error {
		_, err := s.db.ExecContext(ctx, d.schema)
		return err
	})
	// And last: when two create at once PostgreSQL fails one of them for all its
	// IF NOT EXISTS, and a table that was not made here must have our columns.
	switch missing := s.look(ctx); {
	case missing == nil:
		return nil
	case err == nil:
		return missing
	}
	return err
}

// look returns nil if the table is there.
func (s *Store) look(ctx context.Context) error {
	return s.try(ctx, "create", func() error {
		var account, data, updated any
		err := s.db.QueryRowContext(ctx, look).Scan(&account, &data, &updated)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
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
	return s.try(ctx, "save", func() error {
		_, err := s.db.ExecContext(ctx, d.save, key, data)
		return err
	})
}

// dialect returns the statements, or what New was not given.
func (s *Store) dialect() (dialect, error) {
	switch {
	case s == nil || s.db == nil:
		return dialect{}, errors.New("icloud/sqlstore: New was given no database")
	case s.d.Schema() == "":
		return dialect{}, errors.New("icloud/sqlstore: New was given no Dialect")
	}
	return dialects[s.d], nil
}

// checkKey refuses keys that a Client does not make. Databases differ in what
// they do to case, to blanks at the end and to what does not fit, so that two of
// those could be one row.
func checkKey(key string) error {
	if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
		return errors.New("icloud/sqlstore: malformed key")
	}
	return nil
}

// try executes f, and again if it lost to another statement. It is right to
// repeat a Save even if it is not known whether it was done.
func (s *Store) try(ctx context.Context, op string, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		// Class 40, "transaction rollback": deadlocks and conflicts.
		if n == maxTries || ctx.Err() != nil || !strings.HasPrefix(sqlState(err), "40") {
			return wrap(ctx, op, err)
		}
	}
}

// storeError wraps a driver's error, whose text may name hosts, users and the
// values of a row: errors.Is and As reach it, its text is not repeated.
type storeError struct {
	text string
	err  error
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.err }

// wrap words an error as far as all drivers allow to tell what it is.
func wrap(ctx context.Context, op string, err error) error {
	text, state := "the database failed", sqlState(err)
	switch ended := ctx.Err(); {
	case ended != nil:
		text = ended.Error()
		if !errors.Is(err, ended) {
			// Drivers have errors of their own for a statement that was
			// cancelled.
			err = errors.Join(ended, err)
		}
	case state == "42P01", state == "42S02", strings.Contains(err.Error(), "no such table"):
		text = "there is no table icloud_store; Create makes it"
	case strings.Contains(err.Error(), "database is locked"):
		text = "the database is locked" // SQLite
	case state != "":
		text = "the database answered SQLSTATE " + state
	}
	return &storeError{text: "icloud/sqlstore: " + op + ": " + text, err: err}
}

// mysqlState finds the SQLSTATE in the text of an error of go-sql-driver/mysql,
// which has no method for it.
var mysqlState = regexp.MustCompile(`^Error \d+ \(([0-9A-Z]{5})\): `)

// sqlState returns the SQLSTATE (ISO/IEC 9075-2) that a database has answered, or
// "". No driver is imported here, so that its type is out of reach; those for
// PostgreSQL share a method.
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
