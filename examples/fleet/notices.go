// What the owners of accounts are told about their passwords: rows of the table notices,
// which a program that sends mail reads.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/go-icloud/icloud"
)

// warning is how long before the estimated end of a password its owner is asked for a
// new one.
const warning = 30 * 24 * time.Hour

// noticeEvery is how often the job of notices runs.
const noticeEvery = 24 * time.Hour

// noticeArgs are the arguments of the job that writes the notices that are due.
type noticeArgs struct{}

func (noticeArgs) Kind() string { return "notices" }

func (noticeArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: houseQueue} }

type noticeWorker struct {
	river.WorkerDefaults[noticeArgs]
	*fleet
}

// Work writes a notice for each password that ends soon or has ended, as the Store
// knows them. It sends no request to iCloud, and finds accounts that nobody polls too.
func (w *noticeWorker) Work(ctx context.Context, _ *river.Job[noticeArgs]) error {
	for account, err := range w.store.Attention(ctx, time.Now().Add(warning)) {
		if err != nil {
			return err
		}
		if err := notify(ctx, w.pool, account.Key, account.Status.Issued, account.Status); err != nil {
			return quiet(err)
		}
	}
	return nil
}

// execer is a connection pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// notify writes a notice about the password that was issued at that time, unless the
// account has another password by now, or there is such a notice already. If the notice
// was withdrawn, it is written again.
func notify(ctx context.Context, on execer, key string, issued time.Time, status icloud.Status) error {
	// The event has everything that a mail needs, and no personal data.
	event, err := json.Marshal(status.Event())
	if err != nil {
		return err
	}
	kind, remedy := "ending", ""
	if refusal, ok := errors.AsType[*icloud.AuthError](status.Err); ok {
		kind, remedy = "ended", refusal.Remedy()
	}
	_, err = on.Exec(ctx, `
		INSERT INTO notices AS n (account, generation, kind, event, remedy)
		SELECT id, generation, $3, $4, $5 FROM accounts WHERE key = $1 AND issued = $2
		ON CONFLICT (account, generation, kind) DO UPDATE
			SET event = excluded.event, remedy = excluded.remedy, created = now(), withdrawn = NULL
			WHERE n.withdrawn IS NOT NULL`,
		key, issued, kind, event, remedy)
	return err
}

// withdraw withdraws the notices about a password that has just worked. The notice that
// it ends soon stays if it is true.
func withdraw(ctx context.Context, on execer, account int64, generation int, state icloud.State) error {
	kept := ""
	if state == icloud.Expiring {
		kept = "ending"
	}
	_, err := on.Exec(ctx, `
		UPDATE notices SET withdrawn = now() WHERE account = $1 AND generation = $2 AND kind <> $3 AND withdrawn IS NULL`,
		account, generation, kept)
	return err
}
