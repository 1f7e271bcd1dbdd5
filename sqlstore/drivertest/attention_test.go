package drivertest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// saved returns the data that a Client saves for a password that ends at end. It was refused
// at refused, unless that is zero.
func saved(end, refused time.Time, confirmed bool) []byte {
	entry := fmt.Sprintf(`"first_accepted":%q,"last_accepted":%q,"expires":%q,"warn_from":%q`,
		stamp(end.AddDate(-1, 0, 0)), stamp(end.AddDate(0, -2, 0)), stamp(end), stamp(end.AddDate(0, 0, -30)))
	if !refused.IsZero() {
		entry += fmt.Sprintf(`,"refused":%q,"asked":%q,"verdict":{"reason":"revoked","certainty":1,"confirmed":%t,"refused":%[1]q}`,
			stamp(refused), stamp(refused), confirmed)
	}
	return []byte(`{"v":1,"passwords":[{` + entry + `}]}`)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// attention returns the keys that Attention yields.
func attention(t testing.TB, store *sqlstore.Store, until time.Time) (keys []string) {
	t.Helper()
	for account, err := range store.Attention(t.Context(), until) {
		if err != nil {
			t.Fatal(reveal(err))
		}
		if d := time.Since(account.Updated).Abs(); d > time.Hour {
			t.Errorf("Updated is %v off", d)
		}
		keys = append(keys, account.Key)
	}
	return keys
}

// TestAttention: Attention lists the passwords that are dead or end soon, and never one that is
// Doubted.
func TestAttention(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, _ := p.create(t)
		now := time.Now()
		until := now.AddDate(0, 0, 45)
		for n, data := range map[int][]byte{
			1: saved(now.AddDate(0, 0, 44), time.Time{}, false),
			2: saved(now.AddDate(0, 0, 46), time.Time{}, false),
			3: saved(now.AddDate(0, 0, -3), time.Time{}, false), // an account that nobody polls
			4: saved(now.AddDate(0, 6, 0), now.Add(-time.Hour), true),
			5: saved(now.AddDate(0, 0, 10), now.Add(-time.Hour), false),
			6: saved(now.AddDate(0, 0, 1), time.Time{}, false),
			7: []byte("not ours"),
			8: nil,
		} {
			if err := store.Save(t.Context(), key(n), data); err != nil {
				t.Fatal(reveal(err))
			}
		}
		for _, test := range []struct {
			until time.Time
			want  []string
		}{
			{until, []string{key(3), key(4), key(6), key(1)}},
			{now, []string{key(3), key(4)}},
			{now.AddDate(-5, 0, 0), []string{key(4)}}, // dead passwords are always listed
		} {
			if got := attention(t, store, test.until); !equal(got, test.want) {
				t.Errorf("until %v: got %v, want %v", test.until, got, test.want)
			}
		}
		// A loop that was left holds no connection; see open.
		for range store.Attention(t.Context(), until) {
			if err := store.Forget(t.Context(), key(3)); err != nil {
				t.Error(reveal(err))
			}
			break
		}
		if got, want := attention(t, store, now), []string{key(4)}; !equal(got, want) {
			t.Errorf("after Forget: got %v, want %v", got, want)
		}
		if data, err := store.Load(t.Context(), key(3)); data != nil || err != nil {
			t.Errorf("after Forget: got %q, %v", data, err)
		}
	})
}

func equal(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// TestAttentionPages: there are several pages and many rows with the same time, and the caller
// uses the only connection in between.
func TestAttentionPages(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, _ := p.create(t)
		const n = 2100
		end := time.Now().AddDate(0, 0, 3)
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for i := worker; i < n; i += 4 {
					if err := store.Save(t.Context(), key(i), saved(end.Add(time.Duration(i/700)*time.Hour), time.Time{}, false)); err != nil {
						t.Error(reveal(err))
						return
					}
				}
			})
		}
		wg.Wait()
		i := 0
		for account, err := range store.Attention(t.Context(), end.AddDate(0, 0, 1)) {
			if err != nil {
				t.Fatal(reveal(err))
			}
			if account.Key != key(i) {
				t.Fatalf("got %s as number %d", account.Key, i)
			}
			if i%500 == 0 {
				if _, err := store.Load(t.Context(), account.Key); err != nil {
					t.Fatal(reveal(err))
				}
			}
			i++
		}
		if i != n {
			t.Errorf("got %d accounts, want %d", i, n)
		}
	}, sqlstore.SQLite, sqlstore.PostgreSQL, sqlstore.MySQL)
}

// olderSchemas are the tables of the version without the columns.
var olderSchemas = map[sqlstore.Dialect]string{
	sqlstore.PostgreSQL: `CREATE TABLE icloud_store (account char(64) PRIMARY KEY, data bytea NOT NULL, updated_at timestamptz NOT NULL)`,
	sqlstore.MySQL:      `CREATE TABLE icloud_store (account CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, data MEDIUMBLOB NOT NULL, updated_at DATETIME NOT NULL) ENGINE=InnoDB`,
	sqlstore.SQLite:     `CREATE TABLE icloud_store (account TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL, updated_at TEXT NOT NULL)`,
}

// olderSave is how that version inserts a row.
func olderSave(t *testing.T, p *place, db *sql.DB, n int, data []byte) {
	t.Helper()
	statement := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: `INSERT INTO icloud_store (account, data, updated_at) VALUES ($1, $2, now())`,
		sqlstore.MySQL:      `INSERT INTO icloud_store (account, data, updated_at) VALUES (?, ?, UTC_TIMESTAMP())`,
		sqlstore.SQLite:     `INSERT INTO icloud_store (account, data, updated_at) VALUES (?, ?, datetime('now'))`,
	}[p.dialect]
	if _, err := db.ExecContext(t.Context(), statement, key(n), data); err != nil {
		t.Fatal(err)
	}
}

// TestOlderTable: the first of several workers adds the columns to an older table and fills
// them. Nothing is lost, and the next Create fills the rows of workers that still have the
// older version.
func TestOlderTable(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		db := p.open(t)
		if _, err := db.ExecContext(t.Context(), olderSchemas[p.dialect]); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		const n = 1100 // more than a page
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		data := saved(now.AddDate(0, 0, 3), time.Time{}, false)
		insert := `INSERT INTO icloud_store (account, data, updated_at) VALUES (?, ?, '2026-01-01 00:00:00')`
		if p.dialect == sqlstore.PostgreSQL {
			insert = `INSERT INTO icloud_store (account, data, updated_at) VALUES ($1, $2, now())`
		}
		for i := range n {
			if _, err := tx.ExecContext(t.Context(), insert, key(i), data); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		olderSave(t, p, db, n, []byte("not ours"))
		store := sqlstore.New(db, p.dialect)
		err = store.Save(t.Context(), key(1), data)
		if want := "icloud/sqlstore: save: the table icloud_store lacks a column; Create adds it"; err == nil || err.Error() != want {
			t.Errorf("Save before Create: got %v, want %s", err, want)
		}
		var wg sync.WaitGroup
		for range 4 {
			other := sqlstore.New(p.open(t), p.dialect)
			wg.Go(func() {
				if err := other.Create(t.Context()); err != nil {
					t.Error(reveal(err))
				}
			})
		}
		wg.Wait()
		if got := count(t, db); got != n+1 {
			t.Errorf("got %d rows, want %d", got, n+1)
		}
		filled := func(want int) {
			t.Helper()
			var got int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM icloud_store WHERE due_at IS NOT NULL AND last_accepted IS NOT NULL AND confirmed IS NOT NULL").Scan(&got); err != nil || got != want {
				t.Errorf("got %d rows that are filled, %v; want %d", got, err, want)
			}
		}
		filled(n)
		olderSave(t, p, db, n+1, data)
		filled(n)
		if err := store.Create(t.Context()); err != nil {
			t.Fatal(reveal(err))
		}
		filled(n + 1)
	})
}

// TestSQLiteAsItComes: SQLite without any pragma and without a limit of connections.
func TestSQLiteAsItComes(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/icloud.db"
	open := func() *sqlstore.Store {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		store := sqlstore.New(db, sqlstore.SQLite)
		if err := store.Create(t.Context()); err != nil {
			t.Fatal(reveal(err))
		}
		return store
	}
	// Two pools, as of two programs.
	var wg sync.WaitGroup
	for _, store := range []*sqlstore.Store{open(), open()} {
		wg.Go(func() {
			if err := icloudtest.TestStore(store); err != nil {
				t.Error(reveal(err))
			}
		})
	}
	wg.Wait()
}

// spy is a driver that records the statements.
type spy struct {
	driver driver.Driver
	dsn    string
	text   string
	args   []driver.NamedValue
}

func (s *spy) Driver() driver.Driver { return s.driver }

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.driver.Open(s.dsn)
	return spyConn{conn, s}, err
}

type spyConn struct {
	driver.Conn
	spy *spy
}

func (c spyConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.spy.text, c.spy.args = text, args
	queryer, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, errors.New("the driver cannot query")
	}
	return queryer.QueryContext(ctx, text, args)
}

// fillTable saves n accounts, whose passwords end over the coming year; one in a
// hundred is dead.
func fillTable(t testing.TB, db *sql.DB, d sqlstore.Dialect, n int) *sqlstore.Store {
	t.Helper()
	store := sqlstore.New(db, d)
	if err := store.Create(t.Context()); err != nil {
		t.Fatal(reveal(err))
	}
	now := time.Now()
	var wg sync.WaitGroup
	const workers = 8
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < n; i += workers {
				end := now.Add(365 * 24 * time.Hour / time.Duration(n) * time.Duration(i))
				var refused time.Time
				if i%100 == 0 {
					refused = now.Add(-time.Duration(i) * time.Second)
				}
				if err := store.Save(t.Context(), key(i), saved(end, refused, true)); err != nil {
					t.Error(reveal(err))
					return
				}
			}
		})
	}
	wg.Wait()
	return store
}

// TestAttentionExplained: the statement of Attention uses the index, as EXPLAIN says.
func TestAttentionExplained(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		db := p.open(t)
		fillTable(t, db, p.dialect, 3000)
		if p.dialect == sqlstore.PostgreSQL {
			if _, err := db.ExecContext(t.Context(), "ANALYZE icloud_store"); err != nil {
				t.Fatal(err)
			}
		}
		s := &spy{driver: db.Driver(), dsn: p.dsn}
		spied := sql.OpenDB(s)
		defer spied.Close()
		attention(t, sqlstore.New(spied, p.dialect), time.Now().AddDate(0, 0, 30))
		explain := "EXPLAIN "
		if p.dialect == sqlstore.SQLite {
			explain = "EXPLAIN QUERY PLAN "
		}
		args := make([]any, len(s.args))
		for i, a := range s.args {
			args[i] = a.Value
		}
		rows, err := db.QueryContext(t.Context(), explain+s.text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		plan := ""
		for rows.Next() {
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				plan += v.String + " "
			}
			plan += "\n"
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "icloud_store_due") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN icloud_store ") || strings.Contains(plan, "Using filesort") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("got plan\n%swant the index icloud_store_due, and nothing sorted", plan)
		}
	})
}

// workers is how many connections a benchmark has.
const workers = 8

// openPostgres opens the database of the tests for a benchmark, or skips the benchmark.
func openPostgres(b *testing.B) *sql.DB {
	b.Helper()
	dsn := os.Getenv(postgresVariable)
	if dsn == "" {
		b.Skipf("%s is not set", postgresVariable)
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(workers)
	db.SetMaxIdleConns(workers)
	return db
}

// BenchmarkAttention compares Attention with reading the whole table, as a service without the
// index would, for 100,000 accounts on PostgreSQL.
func BenchmarkAttention(b *testing.B) {
	db := openPostgres(b)
	defer db.Close()
	defer db.Exec("DROP TABLE icloud_store")
	store := fillTable(b, db, sqlstore.PostgreSQL, 100_000)
	if _, err := db.ExecContext(b.Context(), "ANALYZE icloud_store"); err != nil {
		b.Fatal(err)
	}
	until := time.Now().AddDate(0, 0, 7)
	b.Run("Attention", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n = len(attention(b, store, until))
		}
		b.ReportMetric(float64(n), "accounts")
	})
	b.Run("every row", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n = 0
			rows, err := db.QueryContext(b.Context(), "SELECT data FROM icloud_store")
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				var data []byte
				if err := rows.Scan(&data); err != nil {
					b.Fatal(err)
				}
				st, err := icloud.ParseStatus(data)
				if err == nil && (st.State == icloud.SignedOut || st.Expires.Before(until)) {
					n++
				}
			}
			if err := rows.Err(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n), "accounts")
	})
}
