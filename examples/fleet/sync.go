// The job that brings the contacts of one account up to date.

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-icloud/icloud"
)

// syncArgs are the arguments of the job that syncs an account.
type syncArgs struct {
	Account int64 `json:"account"`
}

func (syncArgs) Kind() string { return "sync" }

// InsertOpts makes the job unique: an account has at most one job that has not ended.
// River's default also counts completed jobs, and would sync each account only once.
func (syncArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

type syncWorker struct {
	river.WorkerDefaults[syncArgs]
	*fleet
}

// Work is one run. It syncs the account. Then one transaction writes the result, when
// the account is next due, and that the job has ended.
func (w *syncWorker) Work(ctx context.Context, job *river.Job[syncArgs]) error {
	ctx, span := otel.Tracer("fleet").Start(ctx, "sync", trace.WithAttributes(attribute.Int64("job", job.ID)))
	defer span.End()

	r, err := w.begin(ctx, job.Args.Account)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return river.JobCancel(errors.New("the account has been deleted"))
	case err != nil:
		return quiet(err)
	}
	next, err := r.sync(ctx)
	if err != nil {
		r.report(ctx, span, job.ID, err)
	}
	if ended := ctx.Err(); ended != nil {
		return ended // a timeout or a shutdown: River decides whether to retry
	}
	switch err := r.end(ctx, job, next, err); {
	case errors.Is(err, errReconnected):
		return river.JobSnooze(0) // at once, with the new password
	case errors.Is(err, errSuperseded): // the other run writes
	case err != nil:
		r.report(ctx, span, job.ID, err)
		return quiet(err)
	}
	return nil
}

// report logs why an account was not synced, or not completely. It logs the job, and not
// the account, whose id is only in the job's row.
func (r *run) report(ctx context.Context, span trace.Span, job int64, err error) {
	event := r.client.Status().Event()
	_, incident := r.options.Fleet.Incident()
	slog.WarnContext(ctx, "not synced", "job", job, "err", quiet(err), "state", event.State, "reason", event.Reason, "incident", incident)
	span.SetAttributes(attribute.String("icloud.state", event.State), attribute.String("icloud.reason", event.Reason))
	span.SetStatus(codes.Error, quiet(err).Error())
}

// run is one sync of an account. No transaction is open while iCloud is asked. So a run
// that River has taken for dead may still be running when the next one begins. Each run
// increments accounts.run, and writes only if nobody has incremented it since.
type run struct {
	*fleet
	account    int64
	key        string // of the account in the Store
	number     int64  // of the run
	generation int    // of the password
	cred       icloud.Credential
	token      string
	client     *icloud.Client
	pending    []icloud.Change // not written yet
}

var (
	errSuperseded  = errors.New("another run of the account has begun")
	errReconnected = errors.New("the account has another password")
)

// begin begins a run. From then on, earlier runs can write nothing. If there is no such
// account, the error is pgx.ErrNoRows.
func (f *fleet) begin(ctx context.Context, account int64) (*run, error) {
	r := &run{fleet: f, account: account}
	var sealed []byte
	err := f.pool.QueryRow(ctx, `
		UPDATE accounts SET run = run + 1 WHERE id = $1
		RETURNING apple_id, key, password, issued, generation, run, token`, account).
		Scan(&r.cred.AppleID, &r.key, &sealed, &r.cred.Issued, &r.generation, &r.number, &r.token)
	if err != nil {
		return nil, err
	}
	if r.cred.Password, err = f.sealer.open(sealed, r.cred.AppleID); err != nil {
		return nil, err
	}
	r.client, err = f.client(r)
	return r, err
}

// changeBatch is how many changes a transaction writes.
const changeBatch = 200

// sync calls Client.Sync. If there are many changes, it writes them in batches, all but
// the last. The transaction of each batch removes the token, so if a run is killed between
// two of them, the next run starts without a token.
func (r *run) sync(ctx context.Context) (next string, err error) {
	return r.client.Sync(ctx, r.token, func(c icloud.Change) error {
		if r.pending = append(r.pending, c); len(r.pending) < changeBatch {
			return nil
		}
		err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			if err := r.claim(ctx, tx, "", nil, false); err != nil {
				return err
			}
			return r.write(ctx, tx)
		})
		if err == nil {
			r.pending = r.pending[:0]
		}
		return err
	})
}

// end ends a run, given what Sync has returned. next belongs to the changes that were
// reported, whatever the error is. Both are written in one transaction.
func (r *run) end(ctx context.Context, job *river.Job[syncArgs], next string, syncErr error) error {
	partial, _ := errors.AsType[*icloud.PartialError](syncErr)
	complete := syncErr == nil || partial != nil
	status := r.client.Status()
	due := r.schedule.next(r.account, status, syncErr, time.Now())
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// First, because it locks the row: if somebody reconnects the account at this
		// moment, that happens before this transaction or after it.
		if err := r.claim(ctx, tx, next, &due, complete); err != nil {
			return err
		}
		if err := r.write(ctx, tx); err != nil {
			return err
		}
		if complete && r.token == "" {
			if err := r.deleteUnreported(ctx, tx, partial); err != nil {
				return err
			}
		}
		if err := r.tell(ctx, tx, status, complete); err != nil {
			return err
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
}

// claim writes the token, when the account is next due (unless due is nil), and, if
// synced, that its contacts are up to date. It locks the account's row until the
// transaction ends, and fails if the run must not write any more.
func (r *run) claim(ctx context.Context, tx pgx.Tx, token string, due *time.Time, synced bool) error {
	tag, err := tx.Exec(ctx, `
		UPDATE accounts SET token = $4, due = coalesce($5, due), synced = CASE WHEN $6 THEN now() ELSE synced END
		WHERE id = $1 AND run = $2 AND generation = $3`,
		r.account, r.number, r.generation, token, due, synced)
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	var generation int
	switch err := tx.QueryRow(ctx, `SELECT generation FROM accounts WHERE id = $1`, r.account).Scan(&generation); {
	case errors.Is(err, pgx.ErrNoRows):
		return errSuperseded // the account was deleted
	case err != nil:
		return err
	case generation != r.generation:
		return errReconnected
	}
	return errSuperseded
}

// write writes the changes that are pending.
func (r *run) write(ctx context.Context, tx pgx.Tx) error {
	var batch pgx.Batch
	for _, c := range r.pending {
		if c.Contact == nil {
			batch.Queue(`DELETE FROM contacts WHERE account = $1 AND id = $2`, r.account, c.ID)
			continue
		}
		batch.Queue(`
			INSERT INTO contacts (account, id, name, vcard, run) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account, id) DO UPDATE SET name = excluded.name, vcard = excluded.vcard, run = excluded.run`,
			r.account, c.ID, text(c.Contact.Name), c.Contact.VCard, r.number)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// text replaces what PostgreSQL does not accept in a text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// deleteUnreported deletes what a complete run without a token has neither reported nor owes.
func (r *run) deleteUnreported(ctx context.Context, tx pgx.Tx, partial *icloud.PartialError) error {
	owed := []string{}
	if partial != nil {
		for _, card := range partial.Cards {
			owed = append(owed, card.ID)
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM contacts WHERE account = $1 AND run <> $2 AND id <> ALL ($3)`, r.account, r.number, owed)
	return err
}

// tell writes the notice that the account's owner has to enter another password, or
// withdraws it. Options.OnStatus is called at most once, and never if the process crashes
// at that moment. This notice is written in the transaction that ends the job. If that
// fails, the job runs again, and the Client says the same without asking iCloud.
func (r *run) tell(ctx context.Context, tx pgx.Tx, status icloud.Status, complete bool) error {
	switch {
	case status.State == icloud.SignedOut:
		return notify(ctx, tx, r.key, r.cred.Issued, status)
	case complete:
		return withdraw(ctx, tx, r.account, r.generation, status.State)
	}
	return nil
}

// connected is the Client of one password of an account.
type connected struct {
	generation int
	*icloud.Client
}

// client returns the Client of an account. It is kept as long as the process runs,
// because it knows how long iCloud has asked the account to wait, and how often it has
// failed. Everything else that it knows is in the Store.
func (f *fleet) client(r *run) (*icloud.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.clients[r.account]; ok && c.generation == r.generation {
		return c.Client, nil
	}
	c, err := icloud.New(r.cred, &f.options)
	if err == nil {
		f.clients[r.account] = connected{r.generation, c}
	}
	return c, err
}
