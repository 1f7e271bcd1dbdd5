// A driver for database/sql that keeps rows in a map, records the statements, and fails as a
// test wants.

package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/go-icloud/icloud/sqlstore"
)

// fake is a database with the one table, or without it.
type fake struct {
	mu         sync.Mutex
	missing    bool // the table does not exist
	older      bool // the table lacks the columns
	rows       map[string][]byte
	statements []statement

	// fail, if not nil, is called before a statement is executed, without a lock. The
	// driver returns its error.
	fail func(context.Context, statement) error
}

// statement is a statement that has reached the driver.
type statement struct {
	text string
	args []driver.NamedValue
}

// is says whether a statement begins with a word.
func (s statement) is(word string) bool { return strings.HasPrefix(s.text, word) }

// open returns a database of this driver.
func (f *fake) open(t *testing.T) *sql.DB {
	f.rows = make(map[string][]byte)
	db := sql.OpenDB(f)
	t.Cleanup(func() {
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections were not given back", n)
		}
		db.Close()
	})
	return db
}

// store returns a Store on this driver, which works with every dialect.
func (f *fake) store(t *testing.T) *sqlstore.Store {
	return sqlstore.New(f.open(t), sqlstore.SQLite)
}

// words returns the first word of each statement, in order.
func (f *fake) words() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, s := range f.statements {
		word, _, _ := strings.Cut(s.text, " ")
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// errNoTable is the error of SQLite's drivers for a missing table.
var errNoTable = errors.New("SQL logic error: no such table: icloud_store (1)")

// errNoColumn is their error for a missing column.
var errNoColumn = errors.New("SQL logic error: no such column: last_accepted (1)")

func (f *fake) execute(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s := statement{text, args}
	f.mu.Lock()
	f.statements = append(f.statements, s)
	f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(ctx, s); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case s.is("CREATE TABLE"):
		f.missing = false
		return nil, nil
	case f.missing:
		return nil, errNoTable
	case s.is("CREATE INDEX"):
		return nil, nil
	case s.is("ALTER"):
		f.older = !strings.Contains(text, "last_accepted") // the last column
		return nil, nil
	case f.older && strings.Contains(text, "last_accepted"):
		return nil, errNoColumn
	case s.is("INSERT"):
		f.rows[args[0].Value.(string)] = bytes.Clone(args[1].Value.([]byte))
		return nil, nil
	case s.is("DELETE"):
		delete(f.rows, args[0].Value.(string))
		return nil, nil
	case strings.Contains(text, "LIMIT"):
		return &result{columns: 6}, nil // no rows; drivertest uses real databases
	}
	data, ok := f.rows[args[0].Value.(string)]
	r := &result{columns: 1}
	if ok {
		r.values = [][]byte{data}
	}
	return r, nil
}

// result uses the same buffer for every row, as drivers may. Load must return a copy.
type result struct {
	columns int
	values  [][]byte
	buffer  []byte
}

func (r *result) Columns() []string { return make([]string, r.columns) }

func (r *result) Close() error {
	for i := range r.buffer {
		r.buffer[i] = 'X'
	}
	return nil
}

func (r *result) Next(dest []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	r.buffer = append(r.buffer[:0], r.values[0]...)
	r.values = r.values[1:]
	dest[0] = r.buffer
	if len(r.buffer) == 0 {
		dest[0] = []byte{}
	}
	return nil
}

// The other methods that database/sql needs.

func (f *fake) Connect(context.Context) (driver.Conn, error) { return conn{f}, nil }
func (f *fake) Driver() driver.Driver                        { return nil }

type conn struct{ f *fake }

// The fake cannot prepare statements or begin transactions, because a Store must not depend on
// a session.
var errSession = errors.New("fake: no sessions")

func (conn) Prepare(string) (driver.Stmt, error) { return nil, errSession }
func (conn) Begin() (driver.Tx, error)           { return nil, errSession }
func (conn) Close() error                        { return nil }

func (c conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	return c.f.execute(ctx, text, args)
}

func (c conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	_, err := c.f.execute(ctx, text, args)
	return driver.ResultNoRows, err
}
