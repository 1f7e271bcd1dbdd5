// How an account is connected and reconnected: what the web form of a service does
// when an owner has entered an app-specific password.

package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/go-icloud/icloud"
)

// connect asks iCloud about a password, while its owner waits for the answer, and
// hands the account to the workers. If the account exists, connect reconnects it: it
// keeps the contacts and their sync token. A password that is refused changes
// nothing, and the error's Remedy is the text for its owner.
func (f *fleet) connect(ctx context.Context, cred icloud.Credential) error {
	cred.AppleID = strings.ToLower(strings.TrimSpace(cred.AppleID))
	// PostgreSQL stores microseconds. A notice finds this password by the time of its issue.
	cred.Issued = cred.Issued.Truncate(time.Microsecond)
	key, err := icloud.AccountKey(f.endpoint, cred.AppleID)
	if err != nil {
		return err
	}
	client, err := icloud.New(cred, &f.options)
	if err != nil {
		return err
	}
	if err := client.Authenticate(ctx); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		var account int64
		err := tx.QueryRow(ctx, `
			INSERT INTO accounts (apple_id, key, password, issued, due) VALUES ($1, $2, $3, $4, now() + $5::interval)
			ON CONFLICT (apple_id) DO UPDATE SET key = excluded.key, password = excluded.password, issued = excluded.issued,
				generation = accounts.generation + 1, due = excluded.due
			RETURNING id`, cred.AppleID, key, f.sealer.seal(cred), cred.Issued, f.every).Scan(&account)
		if err != nil {
			return err
		}
		// An owner who has just connected does not wait for a sweep.
		result, err := f.jobs.InsertTx(ctx, tx, syncArgs{account}, nil)
		if err == nil && result.UniqueSkippedAsDuplicate {
			// The account has a job. If it waits after a failure, it runs now. If it is
			// running, it finds another generation at its end, and runs again.
			_, err = f.jobs.JobRetryTx(ctx, tx, result.Job.ID)
		}
		return err
	})
	return quiet(err)
}
