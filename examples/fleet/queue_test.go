package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/go-icloud/icloud/icloudtest"
)

// BenchmarkJobs measures the work of the database for polls of many accounts that have not
// changed: the sweep that hands them out, and the runs, with a fake iCloud in this process.
// It also reports what does not depend on the machine: bytes of write-ahead log and sizes
// of tables. One account in a hundred signs in to the fake, and the others share its
// answers.
//
//	go test -run '^$' -bench Jobs -benchtime 10000x
func BenchmarkJobs(b *testing.B) {
	srv := icloudtest.NewServer()
	defer srv.Close()
	srv.Put("ada.vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nN:;;;;\r\nFN:Ada\r\nEND:VCARD\r\n")
	f := newFleet(b, settings{workers: 50, timeout: time.Minute})
	f.options.Transport = srv.Transport()
	ctx := b.Context()
	exec := func(statement string, args ...any) {
		b.Helper()
		if _, err := f.pool.Exec(ctx, statement, args...); err != nil {
			b.Fatal(err)
		}
	}
	one := func(query string) (n int64) {
		b.Helper()
		if err := f.pool.QueryRow(ctx, query).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	exec(`INSERT INTO accounts (apple_id, key, password, issued, due)
		SELECT format('%s@example.com', n), encode(sha256(n::text::bytea), 'hex'), '', now(), now() FROM generate_series(1, $1) n`, b.N)
	for account := range int64(b.N) {
		c := srv.Account(fmt.Sprintf("%d@example.com", account+1)).Issue()
		exec(`UPDATE accounts SET password = $2 WHERE id = $1`, account+1, f.sealer.seal(c))
	}
	events, cancel := f.jobs.SubscribeConfig(&river.SubscribeConfig{ChanSize: b.N + 1000, Kinds: []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobSnoozed}})
	defer cancel()
	sweep := &sweepWorker{fleet: f}
	handOut := func() {
		b.Helper()
		for handed := 0; handed < b.N; {
			n, err := sweep.handOut(ctx, min(sweepBatch, b.N-handed))
			if err != nil || n == 0 {
				b.Fatal(n, err)
			}
			handed += n
		}
	}
	work := func() {
		b.Helper()
		for range b.N {
			for e := range events {
				if e.Job.Kind != (syncArgs{}).Kind() {
					continue
				}
				if e.Kind != river.EventKindJobCompleted {
					b.Fatal(e.Kind, e.Job.Errors)
				}
				break
			}
		}
	}
	// The first poll of each account signs in and lists. It is not measured.
	handOut()
	if err := f.jobs.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.jobs.StopAndCancel(ctx) }()
	work()
	exec(`UPDATE accounts SET due = now()`)
	exec(`CHECKPOINT`)

	lsn := func() int64 { return one(`SELECT (pg_current_wal_lsn() - '0/0')::bigint`) }
	before := lsn()
	b.ResetTimer()
	began := time.Now()
	handOut()
	inserted := time.Since(began)
	work()
	all := time.Since(began)
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(n/inserted.Seconds(), "handed-out/s")
	b.ReportMetric(n/all.Seconds(), "polls/s")
	b.ReportMetric(float64(lsn()-before)/n, "WAL-B/poll")

	// A success is saved once an hour, and this is not due yet.
	rows, err := f.pool.Query(ctx, `SELECT account FROM icloud_store`)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	before = lsn()
	for _, key := range keys {
		data, err := f.store.Load(ctx, key)
		if err == nil {
			err = f.store.Save(ctx, key, data)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(lsn()-before)/n, "WAL-B/save")
	exec(`VACUUM ANALYZE`)
	b.ReportMetric(float64(one(`SELECT pg_table_size('river_job')`))/float64(one(`SELECT count(*) FROM river_job`)), "job-B")
	b.ReportMetric(float64(one(`SELECT pg_indexes_size('river_job')`))/float64(one(`SELECT count(*) FROM river_job`)), "job-index-B")
	b.ReportMetric(float64(one(`SELECT pg_total_relation_size('icloud_store')`))/n, "Store-B/account")
	b.ReportMetric(float64(one(`SELECT pg_total_relation_size('accounts')`))/n, "row-B/account")
}
