// The job that hands out the accounts that are due.

package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// sweepArgs are the arguments of the job that inserts jobs for the accounts that are due.
type sweepArgs struct{}

func (sweepArgs) Kind() string { return "sweep" }

// InsertOpts sets one attempt, because the next sweep does the same. Sweeps are not
// unique: one whose worker was killed must not stop the next one.
func (sweepArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: houseQueue, MaxAttempts: 1}
}

type sweepWorker struct {
	river.WorkerDefaults[sweepArgs]
	*fleet
}

// sweepBatch is how many jobs one transaction inserts.
const sweepBatch = 1000

// Work hands out the sweep's share of the accounts. Those that have been due longest come first.
func (w *sweepWorker) Work(ctx context.Context, _ *river.Job[sweepArgs]) error {
	var accounts, waiting int
	err := w.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM accounts),
			(SELECT count(*) FROM river_job WHERE state = 'available' AND queue = $1)`, river.QueueDefault).Scan(&accounts, &waiting)
	if err != nil {
		return quiet(err)
	}
	for left := w.schedule.share(accounts, waiting); left > 0; left -= sweepBatch {
		n := min(left, sweepBatch)
		switch handed, err := w.handOut(ctx, n); {
		case err != nil:
			return quiet(err)
		case handed < n:
			return nil
		}
	}
	return nil
}

// handOut inserts jobs for at most n accounts that are due. It returns how many it found.
func (w *sweepWorker) handOut(ctx context.Context, n int) (handed int, err error) {
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		// The run says when its account is next due. The date that is written here
		// brings the account back if its job is lost.
		rows, err := tx.Query(ctx, `
			UPDATE accounts SET due = now() + $1::interval WHERE id IN (
				SELECT id FROM accounts WHERE due <= now() ORDER BY due LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
			RETURNING id`, w.every, n)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if handed = len(ids); err != nil || handed == 0 {
			return err
		}
		jobs := make([]river.InsertManyParams, handed)
		for i, id := range ids {
			jobs[i].Args = syncArgs{id}
		}
		// An account that has a job gets no second one.
		_, err = w.jobs.InsertManyTx(ctx, tx, jobs)
		return err
	})
	return handed, err
}
