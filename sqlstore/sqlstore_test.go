package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// key has the form of a Client's keys.
var key = strings.Repeat("0123456789abcdef", 4)

func TestConformance(t *testing.T) {
	t.Parallel()
	if err := icloudtest.TestStore(new(fake).store(t)); err != nil {
		t.Error(err)
	}
}

// TestStatements: each method executes one statement in every dialect, with its values as
// arguments.
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL, sqlstore.SQLite} {
		f := new(fake)
		store := sqlstore.New(f.open(t), d)
		if err := store.Save(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if got, want := f.words(), "INSERT SELECT"; got != want {
			t.Fatalf("dialect %d: got %s, want %s", d, got, want)
		}
		save, load := f.statements[0], f.statements[1]
		if len(save.args) != 6 || save.args[0].Value != key {
			t.Errorf("dialect %d: Save: got arguments %v", d, save.args)
		} else if data, ok := save.args[1].Value.([]byte); !ok || data == nil {
			t.Errorf("dialect %d: Save of nil: got %v, want no bytes, not NULL", d, save.args[1].Value)
		}
		if len(load.args) != 1 || load.args[0].Value != key {
			t.Errorf("dialect %d: Load: got arguments %v", d, load.args)
		}
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	errDenied := errors.New("denied")
	for name, test := range map[string]struct {
		missing bool
		older   bool
		fail    func(f *fake, s statement) error
		want    string // statements
		err     error
	}{
		"there": {want: "SELECT"},
		"there, and the privilege to create is not": {
			want: "SELECT",
			fail: func(_ *fake, s statement) error {
				if s.is("CREATE") {
					return errDenied
				}
				return nil
			},
		},
		"of an older version": {older: true, want: "SELECT ALTER CREATE ALTER ALTER ALTER SELECT"},
		"of an older version, and another adds a column first": {
			older: true, want: "SELECT ALTER CREATE ALTER ALTER ALTER SELECT",
			fail: func(_ *fake, s statement) error {
				if s.is("ALTER") && strings.Contains(s.text, "due_at") {
					return errors.New("duplicate column name: due_at")
				}
				return nil
			},
		},
		"of an older version, and the privilege to alter is missing": {
			older: true, want: "SELECT ALTER CREATE ALTER ALTER ALTER SELECT", err: errDenied,
			fail: func(_ *fake, s statement) error {
				if s.is("ALTER") {
					return errDenied
				}
				return nil
			},
		},
		"missing": {missing: true, want: "SELECT CREATE SELECT"},
		"missing, and another creates it first": {
			// PostgreSQL then fails with an error about its catalog.
			missing: true, want: "SELECT CREATE SELECT",
			fail: func(f *fake, s statement) error {
				if s.is("CREATE") {
					f.missing = false
					return errors.New("duplicate key value violates unique constraint")
				}
				return nil
			},
		},
		"missing, and the privilege to create is too": {
			missing: true, want: "SELECT CREATE SELECT", err: errDenied,
			fail: func(_ *fake, s statement) error {
				if s.is("CREATE") {
					return errDenied
				}
				return nil
			},
		},
		"a table of that name is another's": {
			// CREATE IF NOT EXISTS succeeds nevertheless.
			want: "SELECT CREATE SELECT", err: errDenied,
			fail: func(_ *fake, s statement) error {
				if s.is("SELECT") {
					return errDenied
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{missing: test.missing, older: test.older}
			if test.fail != nil {
				f.fail = func(_ context.Context, s statement) error { return test.fail(f, s) }
			}
			if err := f.store(t).Create(t.Context()); !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if got := f.words(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestCreateExecutesSchema: Create executes the statements of Schema and no others.
func TestCreateExecutesSchema(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL, sqlstore.SQLite} {
		f := &fake{missing: true}
		if err := sqlstore.New(f.open(t), d).Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		schema := d.Schema()
		if got := f.statements[1].text; got != schema {
			t.Errorf("dialect %d: got %q, want %q", d, got, schema)
		}
		if !strings.HasSuffix(schema, ";\n") || !strings.Contains(schema, "icloud_store_due (due_at, account)") && !strings.Contains(schema, "icloud_store_due ON icloud_store (due_at, account)") {
			t.Errorf("dialect %d: got %q, want statements that end, with the index among them", d, schema)
		}
	}
	for _, d := range []sqlstore.Dialect{0, -1, 99} {
		if got := d.Schema(); got != "" {
			t.Errorf("dialect %d: got %q, want nothing", d, got)
		}
	}
}

// calls are the methods that do I/O.
var calls = map[string]func(context.Context, *sqlstore.Store) error{
	"create": func(ctx context.Context, s *sqlstore.Store) error { return s.Create(ctx) },
	"load":   func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Load(ctx, key); return err },
	"save":   func(ctx context.Context, s *sqlstore.Store) error { return s.Save(ctx, key, []byte("data")) },
	"forget": func(ctx context.Context, s *sqlstore.Store) error { return s.Forget(ctx, key) },
	"attention": func(ctx context.Context, s *sqlstore.Store) (err error) {
		for _, err = range s.Attention(ctx, time.Now()) {
		}
		return err
	},
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	f := new(fake)
	for _, test := range []struct {
		store *sqlstore.Store
		want  string
	}{
		{nil, "icloud/sqlstore: New was given no database"},
		{new(sqlstore.Store), "icloud/sqlstore: New was given no database"},
		{sqlstore.New(nil, sqlstore.MySQL), "icloud/sqlstore: New was given no database"},
		{sqlstore.New(f.open(t), 0), "icloud/sqlstore: New was given no Dialect"},
		{sqlstore.New(f.open(t), 4), "icloud/sqlstore: New was given no Dialect"},
		{sqlstore.New(f.open(t), -1), "icloud/sqlstore: New was given no Dialect"},
	} {
		for name, call := range calls {
			if err := call(t.Context(), test.store); err == nil || err.Error() != test.want {
				t.Errorf("%s: got error %v, want %s", name, err, test.want)
			}
		}
	}
	if got := f.words(); got != "" {
		t.Errorf("got %s, want no statement", got)
	}
}

func TestMalformedKeys(t *testing.T) {
	t.Parallel()
	f := new(fake)
	store := f.store(t)
	for _, bad := range []string{
		"", " ", key[:63], key + "0", key[:63] + " ", " " + key[:63], key[:63] + "g", strings.ToUpper(key),
		key[:63] + "\x00", key[:62] + "é", "' OR '1'='1", strings.Repeat("_", 64), strings.Repeat("%", 64),
	} {
		const want = "icloud/sqlstore: malformed key"
		if _, err := store.Load(t.Context(), bad); err == nil || err.Error() != want {
			t.Errorf("Load of %q: got error %v, want %s", bad, err, want)
		}
		if err := store.Save(t.Context(), bad, nil); err == nil || err.Error() != want {
			t.Errorf("Save of %q: got error %v, want %s", bad, err, want)
		}
	}
	if got := f.words(); got != "" {
		t.Errorf("got %s, want no statement", got)
	}
}

// stateError is like the errors of pgx and of lib/pq.
type stateError struct{ code string }

func (e *stateError) Error() string    { return "ERROR: user ada@example.com, secret" }
func (e *stateError) SQLState() string { return e.code }

// TestErrors: the text of a driver's error may name the user, the host and the data. errors.Is
// and As find the error, and its text is not printed.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("dial tcp db.example.com: user ada@example.com, secret"), "the database failed"},
		{&stateError{"42501"}, "the database answered SQLSTATE 42501"},
		{fmt.Errorf("wrapped, secret: %w", &stateError{"53300"}), "the database answered SQLSTATE 53300"},
		{&stateError{"42P01"}, "there is no table icloud_store; Create makes it"},
		{errors.New("Error 1146 (42S02): Table 'secret.icloud_store' doesn't exist"), "there is no table icloud_store; Create makes it"},
		{errors.New("Error 1142 (42000): INSERT command denied to user 'secret'"), "the database answered SQLSTATE 42000"},
		{errors.New("Error 1142: from a server without SQLSTATE, secret"), "the database failed"},
		{errNoTable, "there is no table icloud_store; Create makes it"},
		{errNoColumn, "the table icloud_store lacks a column; Create adds it"},
		{&stateError{"42703"}, "the table icloud_store lacks a column; Create adds it"},
		{errors.New("Error 1054 (42S22): Unknown column 'secret' in 'INSERT INTO'"), "the table icloud_store lacks a column; Create adds it"},
		{context.DeadlineExceeded, "the database failed"}, // the driver's deadline, not the caller's
	} {
		for op, call := range calls {
			f := &fake{fail: func(context.Context, statement) error { return test.err }}
			err := call(t.Context(), f.store(t))
			if !errors.Is(err, test.err) {
				t.Errorf("%s, %v: got %v, which does not wrap it", op, test.err, err)
				continue
			}
			if got, want := err.Error(), "icloud/sqlstore: "+op+": "+test.want; got != want {
				t.Errorf("%s, %v: got %q, want %q", op, test.err, got, want)
			}
			if e, ok := errors.AsType[*stateError](test.err); ok {
				if got, ok := errors.AsType[*stateError](err); !ok || got != e {
					t.Errorf("%s: got %v, want errors.As to find the driver's error", op, err)
				}
			}
		}
	}
}

// TestRepeats: a statement that conflicts with another is repeated until it succeeds, up to
// maxTries times.
func TestRepeats(t *testing.T) {
	t.Parallel()
	conflicts := []error{
		&stateError{"40001"}, &stateError{"40P01"},
		errors.New("Error 1213 (40001): Deadlock found when trying to get lock"),
	}
	// fails fails n times, with each kind of conflict in turn.
	fails := func(f *fake, n int) {
		f.fail = func(_ context.Context, s statement) error {
			if n--; n >= 0 {
				return conflicts[n%len(conflicts)]
			}
			return nil
		}
	}
	for op, call := range calls {
		f := new(fake)
		store := f.store(t)
		fails(f, 5)
		if err := call(t.Context(), store); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if n := len(f.statements); n != 6 {
			t.Errorf("%s, with 5 conflicts: got %d statements, want 6", op, n)
		}
	}
	if f := new(fake); true {
		store := f.store(t)
		fails(f, 1<<30)
		err := store.Save(t.Context(), key, nil)
		if n := len(f.statements); n < 50 || n > 100 || err == nil || !strings.HasSuffix(err.Error(), "SQLSTATE 40001") && !strings.HasSuffix(err.Error(), "SQLSTATE 40P01") {
			t.Errorf("conflicts without end: got %d statements, %v", n, err)
		}
	}
	if f := new(fake); true {
		store := f.store(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.fail = func(context.Context, statement) error {
			if len(f.statements) == 3 {
				cancel()
			}
			return conflicts[0]
		}
		if err := store.Save(ctx, key, nil); !errors.Is(err, context.Canceled) || len(f.statements) != 3 {
			t.Errorf("conflicts until cancelled: got %d statements, %v; want 3, %v", len(f.statements), err, context.Canceled)
		}
	}
	// An error that is not a conflict is not repeated.
	for _, err := range []error{errors.New("40001"), &stateError{"57014"}, &stateError{""}} {
		f := &fake{fail: func(context.Context, statement) error { return err }}
		if got := f.store(t).Save(t.Context(), key, nil); !errors.Is(got, err) || len(f.statements) != 1 {
			t.Errorf("%v: got %d statements, %v; want one", err, len(f.statements), got)
		}
	}
}

// TestContextEnds: when the context ends, some drivers return its error and others their own.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	own := errors.New("canceling statement due to user request, secret")
	for op, call := range calls {
		for _, driverErr := range []error{own, nil} {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{fail: func(ctx context.Context, _ statement) error {
					<-ctx.Done()
					if driverErr != nil {
						return driverErr
					}
					return ctx.Err()
				}}
				store := f.store(t)
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := call(ctx, store)
				if !errors.Is(err, context.DeadlineExceeded) || driverErr != nil && !errors.Is(err, driverErr) {
					t.Errorf("%s: got %v, want %v that wraps %v", op, err, context.DeadlineExceeded, driverErr)
				} else if want := "icloud/sqlstore: " + op + ": context deadline exceeded"; err.Error() != want {
					t.Errorf("%s: got %q, want %q", op, err, want)
				}
				if d := time.Since(start); d != time.Minute {
					t.Errorf("%s: took %v, want a minute", op, d)
				}
			})
		}
		// With a context that has ended nothing is sent.
		f := new(fake)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := call(ctx, f.store(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled before: got %v, want %v", op, err, context.Canceled)
		}
		if got := f.words(); got != "" {
			t.Errorf("%s, cancelled before: got %s, want no statement", op, got)
		}
	}
}

// TestLocked: without a busy_timeout SQLite fails at once if it is locked. A Save is repeated
// until it succeeds or its context ends, and only one runs at a time.
func TestLocked(t *testing.T) {
	t.Parallel()
	locked := errors.New("database is locked (5) (SQLITE_BUSY), secret")
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		store := f.store(t)
		free := time.Now().Add(5 * time.Minute)
		f.fail = func(context.Context, statement) error {
			if time.Now().Before(free) {
				return locked
			}
			return nil
		}
		for op, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := call(ctx, store); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, locked) {
				t.Errorf("%s, locked for longer than the context: got %v, want %v that wraps %v", op, err, context.DeadlineExceeded, locked)
			}
			cancel()
		}
		if err := store.Save(t.Context(), key, nil); err != nil || time.Now().Before(free) {
			t.Errorf("Save until the lock is gone: got %v", err)
		}
		// The same text means nothing with another database.
		f.fail = func(context.Context, statement) error { return locked }
		err := sqlstore.New(f.open(t), sqlstore.PostgreSQL).Save(t.Context(), key, nil)
		if want := "icloud/sqlstore: save: the database failed"; err == nil || err.Error() != want {
			t.Errorf("PostgreSQL: got %v, want %s", err, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		store := f.store(t)
		running := make(chan struct{}, 1)
		f.fail = func(context.Context, statement) error {
			select {
			case running <- struct{}{}:
				time.Sleep(time.Millisecond)
				<-running
			default:
				t.Error("two Saves at once")
			}
			return nil
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := store.Save(t.Context(), key, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// TestContextEndsInPool: waiting for a connection ends with the context.
func TestContextEndsInPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		db := f.open(t)
		db.SetMaxOpenConns(1)
		busy, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		for op, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := call(ctx, sqlstore.New(db, sqlstore.SQLite)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v, want %v", op, err, context.DeadlineExceeded)
			}
			cancel()
		}
	})
}

// TestClientWithoutTable: if the table is missing, a Client returns its own error, which hides
// the text of the Store's, and sends nothing.
func TestClientWithoutTable(t *testing.T) {
	t.Parallel()
	srv := icloudtest.NewServer()
	defer srv.Close()
	f := &fake{missing: true}
	client, err := icloud.New(srv.Issue(), &icloud.Options{Store: f.store(t), Transport: srv.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	err = client.Authenticate(t.Context())
	if !errors.Is(err, errNoTable) || srv.Requests() != 0 {
		t.Errorf("got %v and %d requests, want %v and none", err, srv.Requests(), errNoTable)
	}
	text := ""
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += e.Error() + "\n"
	}
	if want := "icloud/sqlstore: load: there is no table icloud_store"; !strings.Contains(text, want) {
		t.Errorf("got %s, want %s among it", text, want)
	}
}

// TestImports: the package imports no driver.
func TestImports(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 3 {
		t.Fatalf("got files %v, %v", files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range file.Imports {
			path, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			domain, _, _ := strings.Cut(path, "/")
			if strings.Contains(domain, ".") && !strings.HasPrefix(path+"/", "github.com/go-icloud/icloud/") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// Schema returns the definition of the table, for a tool that manages schemas.
func ExampleDialect_Schema() {
	fmt.Print(sqlstore.PostgreSQL.Schema())
	// Output:
	// CREATE TABLE IF NOT EXISTS icloud_store (
	// 	account       char(64) PRIMARY KEY,
	// 	data          bytea NOT NULL,
	// 	updated_at    timestamptz NOT NULL,
	// 	due_at        timestamptz DEFAULT '1970-01-01 00:00:00+00',
	// 	confirmed     boolean,
	// 	reason        varchar(16),
	// 	last_accepted timestamptz
	// );
	// CREATE INDEX IF NOT EXISTS icloud_store_due ON icloud_store (due_at, account);
}

// Without a database, the first call of a Store returns an error.
func ExampleNew() {
	var db *sql.DB
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	fmt.Println(store.Create(context.Background()))
	// Output:
	// icloud/sqlstore: New was given no database
}
