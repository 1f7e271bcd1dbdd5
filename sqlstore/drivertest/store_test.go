package drivertest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"modernc.org/sqlite"

	"github.com/go-icloud/icloud/icloudtest"
	"github.com/go-icloud/icloud/sqlstore"
)

// key returns the n-th key.
func key(n int) string { return fmt.Sprintf("%064x", n) }

// reveal returns an error with the texts that it hides, for developers.
func reveal(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return fmt.Errorf("%w (%w)", err, inner)
	}
	return err
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, _ := p.create(t)
		if err := icloudtest.TestStore(store); err != nil {
			t.Error(err)
		}
	})
}

// TestLarge: data may be longer than a BLOB or a packet.
func TestLarge(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, _ := p.create(t)
		for _, size := range []int{1<<16 - 1, 1 << 16, 1<<16 + 1, 1 << 20, 4 << 20} {
			data := bytes.Repeat([]byte("\x00\xff\\'\"\n"), size/6+1)[:size]
			if err := store.Save(t.Context(), key(1), data); err != nil {
				t.Fatal(reveal(err))
			}
			if got, err := store.Load(t.Context(), key(1)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes: got %d bytes, %v", size, len(got), err)
			}
		}
	})
}

// TestRaces: fifty workers save under one key, under new keys, and under their own keys, each on
// its own connections. No Save fails, there is one row for each key, and each row is complete
// data of one Save.
func TestRaces(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		const workers, rounds = 50, 4
		store, db := p.create(t)
		version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 200+i) }
		var wg sync.WaitGroup
		start := make(chan bool)
		for i := range workers {
			wg.Go(func() {
				<-start
				for j := range rounds {
					for _, k := range []int{0, 1 + j, 1000 + i} {
						if err := store.Save(t.Context(), key(k), version(i)); err != nil {
							t.Error(reveal(err))
							return
						}
					}
					data, err := store.Load(t.Context(), key(0))
					if err != nil || len(data) == 0 || !bytes.Equal(data, version(int(data[0]))) {
						t.Errorf("got %d bytes, %v; want what one of the workers saved", len(data), err)
					}
				}
			})
		}
		close(start)
		wg.Wait()
		for i := range workers {
			if data, err := store.Load(t.Context(), key(1000+i)); err != nil || !bytes.Equal(data, version(i)) {
				t.Errorf("worker %d's own key: got %d bytes, %v; want %d", i, len(data), err, 200+i)
			}
		}
		if got, want := count(t, db), 1+rounds+workers; got != want {
			t.Errorf("got %d rows, want %d", got, want)
		}
	})
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM icloud_store").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCreateAtOnce: workers call Create at the same time, each on its own connections.
// PostgreSQL fails some of them in most runs despite IF NOT EXISTS.
func TestCreateAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		const workers, rounds = 10, 5
		var pools [workers]*sql.DB
		for i := range pools {
			pools[i] = p.open(t)
			pools[i].SetMaxOpenConns(1)
			if err := pools[i].PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range rounds {
			var wg sync.WaitGroup
			start := make(chan bool)
			for i, db := range pools {
				wg.Go(func() {
					<-start
					store := sqlstore.New(db, p.dialect)
					if err := store.Create(t.Context()); err != nil {
						t.Error(reveal(err))
					} else if err := store.Save(t.Context(), key(i), nil); err != nil {
						t.Error(reveal(err))
					}
				})
			}
			close(start)
			wg.Wait()
			if got := count(t, pools[0]); got != workers {
				t.Errorf("got %d rows, want %d", got, workers)
			}
			if _, err := pools[0].ExecContext(t.Context(), "DROP TABLE icloud_store"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestSchema: a tool may execute Schema several times.
func TestSchema(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		db := p.open(t)
		store := sqlstore.New(db, p.dialect)
		for range 2 {
			if _, err := db.ExecContext(t.Context(), p.dialect.Schema()); err != nil {
				t.Fatal(err)
			}
			if err := store.Create(t.Context()); err != nil {
				t.Fatal(reveal(err))
			}
			if err := store.Save(t.Context(), key(count(t, db)), []byte("kept")); err != nil {
				t.Fatal(reveal(err))
			}
		}
		if got := count(t, db); got != 2 {
			t.Errorf("got %d rows, want 2: nothing is lost by creating again", got)
		}
	})
}

// TestForeignTable: Create returns an error for another table of the same name.
func TestForeignTable(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		db := p.open(t)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE icloud_store (apple_id VARCHAR(64))"); err != nil {
			t.Fatal(err)
		}
		if err := sqlstore.New(db, p.dialect).Create(t.Context()); err == nil {
			t.Error("Create with another's table: got no error")
		}
	})
}

func TestMissingTable(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store := sqlstore.New(p.open(t), p.dialect)
		_, err := store.Load(t.Context(), key(1))
		const want = "there is no table icloud_store; Create makes it"
		if err == nil || err.Error() != "icloud/sqlstore: load: "+want {
			t.Errorf("Load: got %v, want %s", err, want)
		}
		if !driversOwn(err) {
			t.Errorf("Load: got %v, want the driver's error to be found in it", reveal(err))
		}
		if err := store.Save(t.Context(), key(1), nil); err == nil || err.Error() != "icloud/sqlstore: save: "+want {
			t.Errorf("Save: got %v, want %s", err, want)
		}
	})
}

// driversOwn says whether errors.As finds a driver's error in err.
func driversOwn(err error) bool {
	_, a := errors.AsType[*pgconn.PgError](err)
	_, b := errors.AsType[*pq.Error](err)
	_, c := errors.AsType[*mysql.MySQLError](err)
	_, d := errors.AsType[*sqlite.Error](err)
	return a || b || c || d
}

// TestUnreachable: errors of drivers name the user and the host; those of the Store do not.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		driver, dsn string
		dialect     sqlstore.Dialect
	}{
		{"pgx", "postgres://ada:lovelace@127.0.0.1:1/byron?sslmode=disable", sqlstore.PostgreSQL},
		{"postgres", "postgres://ada:lovelace@127.0.0.1:1/byron?sslmode=disable", sqlstore.PostgreSQL},
		{"mysql", "ada:lovelace@tcp(127.0.0.1:1)/byron", sqlstore.MySQL},
		{"sqlite", "file:/no/such/folder/byron.db", sqlstore.SQLite},
	} {
		db, err := sql.Open(test.driver, test.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = sqlstore.New(db, test.dialect).Create(t.Context())
		if err == nil || err.Error() != "icloud/sqlstore: create: the database failed" || errors.Unwrap(err) == nil {
			t.Errorf("%s: got %v, want the database failed", test.driver, err)
		}
	}
}

// TestLocked: Save waits for the lock of another transaction, but not after its context has
// ended.
func TestLocked(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, db := p.create(t)
		if err := store.Save(t.Context(), key(1), []byte("before")); err != nil {
			t.Fatal(reveal(err))
		}
		lock := "UPDATE icloud_store SET data = data"
		if p.dialect == sqlstore.SQLite {
			p.dsn = strings.Replace(p.dsn, "busy_timeout(20000)", "busy_timeout(400)", 1)
			store = sqlstore.New(p.open(t), p.dialect)
			db = p.open(t)
		}
		holder, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Rollback()
		if _, err := holder.ExecContext(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		err = store.Save(ctx, key(1), []byte("during"))
		if want := "icloud/sqlstore: save: context deadline exceeded"; !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("got %v, want %s", reveal(err), want)
		}
		// This is a quarter of the time that a server itself waits for a lock.
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("took %v, want 200 ms", d)
		}
		if err := holder.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := store.Save(t.Context(), key(2), []byte("after")); err != nil {
			t.Fatal(reveal(err))
		}
		if got, err := store.Load(t.Context(), key(2)); err != nil || string(got) != "after" {
			t.Errorf("got %q, %v; want what was saved when the lock was gone", got, err)
		}
	})
}

// TestLoadWhileLocked: Load does not wait for a writer, so a worker that hangs does not prevent
// others from starting.
func TestLoadWhileLocked(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		if strings.Contains(p.params, "SERIALIZABLE") {
			t.Skip("MySQL's SERIALIZABLE makes readers wait by definition")
		}
		store, _ := p.create(t)
		if err := store.Save(t.Context(), key(1), []byte("before")); err != nil {
			t.Fatal(reveal(err))
		}
		holder, err := p.open(t).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Rollback()
		if _, err := holder.ExecContext(t.Context(), "UPDATE icloud_store SET data = data"); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(t.Context(), key(1)); err != nil || string(got) != "before" {
			t.Errorf("got %q, %v; want what was there before", got, err)
		}
	})
}

// TestPrivileges: the methods need no more privileges than the package comment says. If the
// table exists, Create needs no others.
func TestPrivileges(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		const password = "lovelace"
		user := "ada_" + p.name
		owner := p.open(t)
		worker := *p
		var make, grant []string
		drop := "DROP USER " + user
		denied := "42501"
		switch p.dialect {
		case sqlstore.PostgreSQL:
			make = []string{
				"CREATE ROLE " + user + " LOGIN PASSWORD '" + password + "'",
				"GRANT USAGE ON SCHEMA " + p.name + " TO " + user,
			}
			grant = []string{"GRANT SELECT, INSERT, UPDATE ON icloud_store TO " + user}
			drop = "DROP OWNED BY " + user + "; DROP ROLE " + user
			worker.dsn = regexp.MustCompile(`//[^@]*@`).ReplaceAllString(p.dsn, "//"+user+":"+password+"@")
		case sqlstore.MySQL:
			// MySQL prefers a user of the same host, so create one for that too.
			users := user + "@'%', " + user + "@'localhost'"
			make = []string{
				"CREATE USER " + user + "@'%' IDENTIFIED BY '" + password + "', " + user + "@'localhost' IDENTIFIED BY '" + password + "'",
				"CREATE TABLE other (a INT)",
				"GRANT SELECT ON other TO " + users, // without any privilege it cannot connect
			}
			grant = []string{"GRANT SELECT, INSERT, UPDATE ON icloud_store TO " + users}
			drop = "DROP USER " + users
			denied = "42000"
			worker.dsn = regexp.MustCompile(`^[^@]*@`).ReplaceAllString(p.dsn, user+":"+password+"@")
		}
		execute := func(statements []string) {
			t.Helper()
			for _, s := range statements {
				if _, err := owner.ExecContext(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Cleanup(func() {
			for s := range strings.SplitSeq(drop, "; ") {
				owner.Exec(s)
			}
		})
		execute(make)
		store := sqlstore.New(worker.open(t), p.dialect)
		err := store.Create(t.Context())
		if want := "icloud/sqlstore: create: the database answered SQLSTATE " + denied; err == nil || err.Error() != want {
			t.Errorf("Create without a table and the privilege: got %v, want %s", err, want)
		}
		if err := sqlstore.New(owner, p.dialect).Create(t.Context()); err != nil {
			t.Fatal(reveal(err))
		}
		execute(grant)
		if err := store.Create(t.Context()); err != nil {
			t.Errorf("Create where the table is: %v", reveal(err))
		}
		if err := icloudtest.TestStore(store); err != nil {
			t.Error(err)
		}
	}, sqlstore.PostgreSQL, sqlstore.MySQL)
}

// TestPruning: the package comment is right about updated_at and the statements that delete old
// rows.
func TestPruning(t *testing.T) {
	source, err := os.ReadFile("../sqlstore.go")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, p *place) {
		name := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "PostgreSQL", sqlstore.MySQL: "MySQL", sqlstore.SQLite: "SQLite"}[p.dialect]
		prune := regexp.MustCompile(`(?m)^//\t(DELETE FROM icloud_store .*?) +-- ` + name).FindSubmatch(source)
		if prune == nil {
			t.Fatalf("the package's comment has no statement for %s", name)
		}
		store, db := p.create(t)
		for i := range 4 {
			if err := store.Save(t.Context(), key(i), []byte("data")); err != nil {
				t.Fatal(reveal(err))
			}
		}
		at := func(n int, days int) {
			t.Helper()
			when := time.Now().UTC().AddDate(0, 0, -days).Format(time.DateTime)
			if p.dialect == sqlstore.PostgreSQL {
				when += "+00"
			}
			if _, err := db.ExecContext(t.Context(), fmt.Sprintf("UPDATE icloud_store SET updated_at = '%s' WHERE account = '%s'", when, key(n))); err != nil {
				t.Fatal(err)
			}
		}
		at(1, 399)
		at(2, 401)
		at(3, 401)
		// Saving the same data again updates updated_at too.
		if err := store.Save(t.Context(), key(3), []byte("data")); err != nil {
			t.Fatal(reveal(err))
		}
		if _, err := db.ExecContext(t.Context(), string(prune[1])); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"data", "data", "", "data"} {
			if got, err := store.Load(t.Context(), key(i)); err != nil || string(got) != want {
				t.Errorf("key %d: got %q, %v; want %q", i, got, err, want)
			}
		}
		// updated_at is in UTC, whatever the time zone of the session is.
		now := map[sqlstore.Dialect]string{
			sqlstore.PostgreSQL: "SELECT CAST(EXTRACT(EPOCH FROM updated_at) AS bigint)",
			sqlstore.MySQL:      "SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', updated_at)",
			sqlstore.SQLite:     "SELECT CAST(strftime('%s', updated_at) AS INTEGER)",
		}[p.dialect]
		var seconds int64
		if err := db.QueryRowContext(t.Context(), now+" FROM icloud_store WHERE account = '"+key(3)+"'").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(time.Unix(seconds, 0)).Abs(); d > time.Hour {
			t.Errorf("updated_at is %v off", d)
		}
	})
}

// TestRow: the data is kept unchanged, as JSON that an operator can read.
func TestRow(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		store, db := p.create(t)
		if err := store.Save(t.Context(), key(7), []byte(`{"v":1}`)); err != nil {
			t.Fatal(reveal(err))
		}
		var account string
		var data []byte
		if err := db.QueryRowContext(t.Context(), "SELECT account, data FROM icloud_store").Scan(&account, &data); err != nil {
			t.Fatal(err)
		}
		if account != key(7) || !json.Valid(data) {
			t.Errorf("got %q, %q; want %s and what was saved", account, data, key(7))
		}
	})
}
