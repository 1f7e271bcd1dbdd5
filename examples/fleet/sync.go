// The jobs: one that syncs an account, and one that looks for accounts that are
// due.

package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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

// syncArgs make a job that brings the contacts of one account up to date.
type syncArgs struct {
	Account int64 `json:"account"`
}

func (syncArgs) Kind() string { return "sync" }

// InsertOpts make the job unique: an account has one at most that is not over.
// River would count one that is completed too, and so sync each account once.
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

// Work syncs an account, and decides what becomes of the job.
func (w *syncWorker) Work(ctx context.Context, job *river.Job[syncArgs]) error {
	ctx, span := otel.Tracer("fleet").Start(ctx, "sync", trace.WithAttributes(attribute.Int64("job", job.ID)))
	defer span.End()
	log := slog.With("account", job.Args.Account)

	a, err := w.sync(ctx, job, false)
	if errors.Is(err, icloud.ErrResync) {
		log.InfoContext(ctx, "the token is no longer honored: all over again")
		a, err = w.sync(ctx, job, true)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errHeld) {
		return later(a.hold)
	}
	// The package's errors name neither accounts, nor cards, nor passwords.
	_, incident := w.options.Fleet.Incident()
	log.WarnContext(ctx, "not synced", "err", err, "state", a.state(), "incident", incident)
	// Not the error's text: the database's may name what it was about.
	span.SetStatus(codes.Error, "not synced")

	refusal, refused := errors.AsType[*icloud.AuthError](err)
	answer, answered := errors.AsType[*icloud.ResponseError](err)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return river.JobCancel(err) // the account has been deleted
	case ctx.Err() != nil:
		return err // too long, or shut down: River's to retry, and to give up
	case refused && refusal.Confirmed:
		return w.signOut(ctx, job, a, refusal)
	case refused:
		// Nothing is decided, nothing is deleted, and nobody is told. The
		// next attempt is the one that can decide; to ask in between would cost
		// requests for an answer that counts no more than this one. So a dead
		// password costs 4 requests at most, however many workers there are: 2
		// of a worker that meets it for the first time, now and then, and less
		// of one that has met it before. The row holds back a worker that gets
		// the job of one that was killed before it could snooze.
		wait := time.Until(refusal.Refused.Add(w.dwell))
		if wait <= 0 {
			wait = w.retry // that could decide, but for an incident at Apple
		}
		wait = max(wait, time.Minute) // the Client asks no sooner
		if err := w.setState(ctx, w.pool, a, wait); err != nil {
			return err
		}
		return later(wait)
	case answered && answer.RetryAfter > 0:
		return later(answer.RetryAfter)
	}
	return later(w.retry)
}

// later snoozes a job, which costs none of its attempts, for a little more than d,
// so that jobs that stopped together do not start together.
func later(d time.Duration) error {
	return river.JobSnooze(d + time.Second + rand.N(d/10+1))
}

// account is a row of accounts that is being synced.
type account struct {
	id         int64
	cred       icloud.Credential
	generation int
	token      string
	hold       time.Duration // how long not to ask
	client     *icloud.Client
}

// errHeld says that another attempt has found the password doubted, and that it
// is too early for the next.
var errHeld = errors.New("held")

func (a *account) state() string {
	if a.client == nil {
		return ""
	}
	return a.client.Status().State.String()
}

// sync syncs an account in one transaction, so that contacts and token always fit
// together, wherever a worker dies. fresh ignores the token.
func (w *syncWorker) sync(ctx context.Context, job *river.Job[syncArgs], fresh bool) (a *account, err error) {
	a = &account{id: job.Args.Account}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return a, err
	}
	// It does nothing after a Commit.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	// The row's lock is the account's: another worker waits here, even if River
	// has taken the first one for dead. When its process is, PostgreSQL rolls
	// back, and the lock is gone.
	var sealed []byte
	err = tx.QueryRow(ctx, `
		SELECT apple_id, password, issued, generation, token, greatest(coalesce(hold - now(), '0'), '0')
		FROM accounts WHERE id = $1 FOR NO KEY UPDATE`, a.id).
		Scan(&a.cred.AppleID, &sealed, &a.cred.Issued, &a.generation, &a.token, &a.hold)
	if err != nil {
		return a, err
	}
	if a.hold > 0 {
		return a, errHeld
	}
	if a.cred.Password, err = w.sealer.open(sealed, a.cred.AppleID); err != nil {
		return a, err
	}
	if a.client, err = w.client(a); err != nil {
		return a, err
	}
	if fresh {
		a.token = ""
	}

	next, err := a.client.Sync(ctx, a.token, func(c icloud.Change) error {
		if c.Contact == nil {
			_, err := tx.Exec(ctx, `DELETE FROM contacts WHERE account = $1 AND id = $2`, a.id, c.ID)
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO contacts (account, id, name, vcard, seen) VALUES ($1, $2, $3, $4, now())
			ON CONFLICT (account, id) DO UPDATE SET name = excluded.name, vcard = excluded.vcard, seen = excluded.seen`,
			a.id, c.ID, c.Contact.Name, c.Contact.VCard)
		return err
	})
	partial, _ := errors.AsType[*icloud.PartialError](err)
	if err != nil && partial == nil {
		return a, err // neither the changes nor the token are kept
	}
	if a.token == "" {
		// Mark and sweep: the run has written every card that there is but the
		// ones that the token owes, and now() is the same throughout a transaction.
		owed := []string{}
		if partial != nil {
			for _, card := range partial.Cards {
				owed = append(owed, card.ID)
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM contacts WHERE account = $1 AND seen <> now() AND id <> ALL ($2)`, a.id, owed); err != nil {
			return a, err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET token = $2, synced = now() WHERE id = $1`, a.id, next); err != nil {
		return a, err
	}
	if err := w.setState(ctx, tx, a, 0); err != nil {
		return a, err
	}
	// The job ends in the transaction too: it is over when its outcome shows, and
	// one that was rescued meanwhile cannot commit a second time.
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return a, err
	}
	return a, tx.Commit(ctx)
}

// connected is the Client of one password of an account.
type connected struct {
	generation int
	*icloud.Client
}

// client returns the Client of an account. It is kept for as long as the process
// lives, because it knows for how long iCloud has asked the account to wait. What
// it must not forget is in the Store.
func (f *fleet) client(a *account) (*icloud.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.clients[a.id]; ok && c.generation == a.generation {
		return c.Client, nil
	}
	c, err := icloud.New(a.cred, &f.options)
	if err == nil {
		f.clients[a.id] = connected{a.generation, c}
	}
	return c, err
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// setState shows the account's owner how it stands, and holds the next attempt back,
// unless they have reconnected it meanwhile: that is pgx.ErrNoRows.
func (w *syncWorker) setState(ctx context.Context, on querier, a *account, hold time.Duration) error {
	status := a.client.Status()
	var expires *time.Time
	if !status.Expires.IsZero() {
		expires = &status.Expires
	}
	return on.QueryRow(ctx, `
		UPDATE accounts SET state = $3, expires = $4, hold = now() + $5::interval
		WHERE id = $1 AND generation = $2 RETURNING id`,
		a.id, a.generation, status.State.String(), expires, hold).Scan(&a.id)
}

// signOut asks the account's owner for a new password, once, and ends the job.
// Options.OnStatus would be told at most once, which a crash can make never. This
// row is written at least once, by whichever worker gets so far: after a crash the
// job comes again, and its Client says the same without asking iCloud. The primary
// key makes it exactly once.
func (w *syncWorker) signOut(ctx context.Context, job *river.Job[syncArgs], a *account, refusal *icloud.AuthError) error {
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if err := w.setState(ctx, tx, a, 0); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO notices (account, generation, reason, certainty, remedy) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`,
			a.id, a.generation, refusal.Err.Error(), refusal.Certainty.String(), refusal.Remedy())
		if err != nil {
			return err
		}
		// The job is over when the account is signed out: connect, which may come at
		// this very moment, would take one that is still ending for its own.
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return river.JobSnooze(0) // there is another password by now
	}
	return err
}

// sweepArgs make a job that inserts those of the accounts that are due.
type sweepArgs struct{}

func (sweepArgs) Kind() string { return "sweep" }

// InsertOpts leave the retrying to the next one. They do not make it unique: one
// whose worker is killed must not be in the way of the next.
func (sweepArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1} }

type sweepWorker struct {
	river.WorkerDefaults[sweepArgs]
	*fleet
}

// Work inserts jobs a thousand at a time. Signed out accounts are never due; they
// come back by connect.
func (w *sweepWorker) Work(ctx context.Context, _ *river.Job[sweepArgs]) error {
	for {
		var jobs []river.InsertManyParams
		err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			// Accounts that are being synced are locked, and stay due. The others
			// are spread, so that they do not all come back in the same second.
			rows, err := tx.Query(ctx, `
				UPDATE accounts SET due = now() + $1::interval * (0.9 + 0.2 * random()) WHERE id IN (
					SELECT id FROM accounts WHERE due <= now() AND state <> 'signed out'
					ORDER BY due LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
				RETURNING id`, w.every)
			if err != nil {
				return err
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil || len(ids) == 0 {
				return err
			}
			for _, id := range ids {
				jobs = append(jobs, river.InsertManyParams{Args: syncArgs{id}})
			}
			// An account that has a job, perhaps a snoozing one, gets no other.
			_, err = w.jobs.InsertManyTx(ctx, tx, jobs)
			return err
		})
		if err != nil || len(jobs) < 1000 {
			return err
		}
	}
}
