// Package drivertest tests package sqlstore with drivers and databases. It is a separate
// module, so that the root's go.mod needs no driver.
//
// SQLite is embedded and always tested. The others are tested if the environment
// names a server, whose user must be allowed to create schemas, databases and
// users:
//
//	ICLOUD_TEST_POSTGRES=postgres://user:password@host:port/database?sslmode=disable
//	ICLOUD_TEST_MYSQL=user:password@tcp(host:port)/database
//
// If ICLOUD_TEST_REQUIRE_SERVERS is set, as in .ci/run, a missing server is a failure.
// .ci/databases.sh starts both.
//
// Each test has its own schema, database or file.
package drivertest

import (
	"crypto/rand"
	"database/sql"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/go-icloud/icloud/sqlstore"
)

const (
	postgresVariable = "ICLOUD_TEST_POSTGRES"
	mysqlVariable    = "ICLOUD_TEST_MYSQL"
)

// system is a database with a driver and a configuration.
type system struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	params  string // parameters of the DSN, "a=b&c=d"
	conns   int    // the largest number of connections; 0 means no limit
}

// systems are the drivers and configurations that programs use.
var systems = []system{
	{name: "SQLite", dialect: sqlstore.SQLite, driver: "sqlite", params: "_pragma=busy_timeout(20000)", conns: 1},
	// Each transaction is a writer from its beginning.
	{name: "SQLite, immediate", dialect: sqlstore.SQLite, driver: "sqlite", params: "_pragma=busy_timeout(20000)&_txlock=immediate", conns: 1},
	{name: "SQLite, WAL", dialect: sqlstore.SQLite, driver: "sqlite", params: "_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)", conns: 8},
	{name: "PostgreSQL", dialect: sqlstore.PostgreSQL, driver: "pgx"},
	// For pools in transaction mode: no prepared statement is kept.
	{name: "PostgreSQL, exec", dialect: sqlstore.PostgreSQL, driver: "pgx", params: "default_query_exec_mode=exec"},
	{name: "PostgreSQL, simple protocol", dialect: sqlstore.PostgreSQL, driver: "pgx", params: "default_query_exec_mode=simple_protocol"},
	{name: "PostgreSQL, serializable", dialect: sqlstore.PostgreSQL, driver: "pgx", params: "default_transaction_isolation=serializable"},
	{name: "PostgreSQL, lib-pq", dialect: sqlstore.PostgreSQL, driver: "postgres"},
	{name: "PostgreSQL, lib-pq binary", dialect: sqlstore.PostgreSQL, driver: "postgres", params: "binary_parameters=yes"},
	{name: "MySQL", dialect: sqlstore.MySQL, driver: "mysql"},
	{name: "MySQL, interpolated", dialect: sqlstore.MySQL, driver: "mysql", params: "interpolateParams=true"},
	{name: "MySQL, serializable", dialect: sqlstore.MySQL, driver: "mysql", params: "tx_isolation='SERIALIZABLE'"},
	// Without its strict mode MySQL cuts what does not fit, without an error.
	{name: "MySQL, lenient and far east", dialect: sqlstore.MySQL, driver: "mysql", params: "sql_mode=''&time_zone='%2B09:00'"},
}

// each runs a test for systems of the given dialects, or all.
func each(t *testing.T, test func(t *testing.T, p *place), dialects ...sqlstore.Dialect) {
	t.Helper()
	t.Parallel()
	for _, s := range systems {
		wanted := len(dialects) == 0
		for _, d := range dialects {
			wanted = wanted || d == s.dialect
		}
		if wanted {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				test(t, newPlace(t, s))
			})
		}
	}
}

// place is the database of one test.
type place struct {
	system
	name string // the name of the schema or database, or the path of the file
	dsn  string
}

func newPlace(t *testing.T, s system) *place {
	t.Helper()
	p := &place{system: s, name: "icloud_" + strings.ToLower(rand.Text()[:10])}
	params, err := url.ParseQuery(s.params)
	if err != nil {
		t.Fatal(err)
	}
	switch s.dialect {
	case sqlstore.SQLite:
		p.name = filepath.ToSlash(filepath.Join(t.TempDir(), "icloud.db"))
		p.dsn = "file:" + p.name + "?" + s.params

	case sqlstore.PostgreSQL:
		u, err := url.Parse(server(t, postgresVariable))
		if err != nil {
			t.Fatalf("%s is not a URL", postgresVariable)
		}
		administer(t, "pgx", u.String(), "CREATE SCHEMA "+p.name, "DROP SCHEMA "+p.name+" CASCADE")
		query := u.Query()
		query.Set("search_path", p.name)
		maps.Copy(query, params)
		u.RawQuery = query.Encode()
		p.dsn = u.String()

	case sqlstore.MySQL:
		dsn := server(t, mysqlVariable)
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatalf("%s is not a DSN", mysqlVariable)
		}
		administer(t, "mysql", dsn, "CREATE DATABASE "+p.name, "DROP DATABASE "+p.name)
		c.DBName = p.name
		if params.Has("tx_isolation") && !isMariaDB(t, dsn) {
			// MySQL has renamed it; MariaDB has the new name since 11.1.
			params.Set("transaction_isolation", params.Get("tx_isolation"))
			params.Del("tx_isolation")
		}
		p.dsn = c.FormatDSN()
		if s.params != "" {
			p.dsn += mark(p.dsn) + params.Encode()
		}
	}
	return p
}

// isMariaDB says whether the database is MariaDB and not MySQL, which have the same dialect and
// driver.
func isMariaDB(t *testing.T, dsn string) bool {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version string
	if err := db.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return strings.Contains(version, "MariaDB")
}

// mark returns the character between a DSN and another parameter.
func mark(dsn string) string {
	if strings.Contains(dsn, "?") {
		return "&"
	}
	return "?"
}

// server returns the DSN of a server, or skips the test.
func server(t *testing.T, variable string) string {
	t.Helper()
	dsn := os.Getenv(variable)
	if dsn == "" && os.Getenv("ICLOUD_TEST_REQUIRE_SERVERS") != "" {
		t.Fatalf("%s is not set, and ICLOUD_TEST_REQUIRE_SERVERS is", variable)
	}
	if dsn == "" {
		t.Skipf("%s is not set: no such server to test with", variable)
	}
	return dsn
}

// administer executes a statement as the administrator of the server, and undoes it at the end
// of the test.
func administer(t *testing.T, driver, dsn, do, undo string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended here. An error is harmless.
		db.Exec(undo)
		db.Close()
	})
	if _, err := db.ExecContext(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// open returns a new pool of connections.
func (p *place) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(p.driver, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	conns := p.conns
	if conns == 0 {
		conns = 16 // several tests share the 100 connections that a server allows
	}
	db.SetMaxOpenConns(conns)
	t.Cleanup(func() {
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections were not given back", n)
		}
		db.Close()
	})
	return db
}

// create returns a Store that is ready, and its database.
func (p *place) create(t *testing.T) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := p.open(t)
	store := sqlstore.New(db, p.dialect)
	if err := store.Create(t.Context()); err != nil {
		t.Fatal(reveal(err))
	}
	return store, db
}
