package main

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// A sweep hands out its share. The accounts that have been due longest come first, and the
// jobs that still wait for a worker are deducted.
func TestSweep(t *testing.T) {
	f := newFleet(t, settings{workers: 2, timeout: time.Minute, schedule: schedule{every: time.Hour, sweep: 30 * time.Minute}})
	see := &look{t, f}
	const n = 5000
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO accounts (apple_id, key, password, issued, due)
		SELECT n, encode(sha256(n::text::bytea), 'hex'), '', now(), now() + interval '1 second' * CASE WHEN n <= 4500 THEN -n ELSE n END
		FROM generate_series(1, $1) n`, n); err != nil {
		t.Fatal(err)
	}
	sweep := &sweepWorker{fleet: f}
	check := func(when string, jobs, due int64) {
		t.Helper()
		if err := sweep.Work(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := see.one(`SELECT count(*) FROM river_job WHERE kind = 'sync' AND state = 'available'`); got != jobs {
			t.Errorf("%s: got %d jobs, want %d", when, got, jobs)
		}
		if got := see.one(`SELECT count(*) FROM accounts WHERE due <= now()`); got != due {
			t.Errorf("%s: got %d accounts that are due, want %d", when, got, due)
		}
	}
	const share = n / 2 * 115 / 100
	check("the first sweep", share, 4500-share)
	if got := see.one(`SELECT min((args ->> 'account')::bigint) FROM river_job WHERE kind = 'sync'`); got != 4500-share+1 {
		t.Errorf("got a job for account %d, want none for one that has been due less long than %d", got, 4500-share+1)
	}
	check("a second one, while all of these wait", share, 4500-share)

	// The workers have ended some of the jobs. A locked row is skipped, and an account that
	// has a job gets no second one.
	if _, err := f.pool.Exec(t.Context(), `UPDATE river_job SET state = 'completed', finalized_at = now() WHERE kind = 'sync' AND (args ->> 'account')::bigint % 5 > 0`); err != nil {
		t.Fatal(err)
	}
	left := see.one(`SELECT count(*) FROM river_job WHERE kind = 'sync' AND state = 'available'`)
	if _, err := f.jobs.InsertMany(t.Context(), []river.InsertManyParams{{Args: syncArgs{1}}}); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM accounts WHERE id = 2 FOR UPDATE`); err != nil {
			return err
		}
		check("with a locked row", left+4500-share-1, 1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := see.one(`SELECT count(*) - count(DISTINCT args) FROM river_job WHERE kind = 'sync' AND state = 'available'`); got != 0 {
		t.Errorf("%d accounts have more than one job", got)
	}
}
