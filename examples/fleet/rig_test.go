// What the tests share: a fleet with a database of its own.

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresVariable = "ICLOUD_TEST_POSTGRES"
	programVariable  = "FLEET_TEST_PROGRAM" // if set, this process runs the program and no test
)

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// newFleet makes a fleet with a database of its own, which has empty tables. The environment
// names this database for other processes. Without a server the test is skipped. There is
// no sweep for an hour unless s says otherwise.
func newFleet(t testing.TB, s settings) *fleet {
	t.Helper()
	server := os.Getenv(postgresVariable)
	if server == "" {
		t.Skip(postgresVariable + " does not name a PostgreSQL server, on which a database could be made")
	}
	key := make([]byte, 32)
	rand.Read(key)
	t.Setenv("DATABASE_URL", newDatabase(t, server))
	t.Setenv("FLEET_KEY", base64.StdEncoding.EncodeToString(key))
	if s.schedule == (schedule{}) {
		s.schedule = schedule{every: time.Hour, sweep: time.Hour}
	}
	f, err := open(t.Context(), s, os.Getenv("DATABASE_URL"), os.Getenv("FLEET_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	if err := f.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// newDatabase makes a database for one test on a server, and returns its DSN.
func newDatabase(t testing.TB, server string) string {
	t.Helper()
	dsn, err := url.Parse(server)
	if err != nil || dsn.Scheme == "" {
		t.Fatalf("%s is not a URL", postgresVariable)
	}
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	name := "fleet_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := conn.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
		_ = conn.Close(ctx)
	})
	dsn.Path = "/" + name
	return dsn.String()
}
