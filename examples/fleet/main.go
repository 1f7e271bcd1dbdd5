// Fleet is a blueprint for a service that follows the contacts of more iCloud
// accounts than one machine can serve: any number of workers on one PostgreSQL.
//
//	fleet migrate                                 make the tables
//	fleet connect you@example.com <password.txt   connect an account, or reconnect it
//	fleet work                                    follow the accounts, until interrupted
//
// The environment variable DATABASE_URL names the database. FLEET_KEY is the key that
// encrypts the passwords: 32 random bytes in base64. README.md says more.
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/sqlstore"
)

//go:embed schema.sql
var schema string

// houseQueue is for the jobs that are not about one account. So they never wait for
// the jobs that are.
const houseQueue = "house"

// settings are the flags. Their defaults suit iCloud.
type settings struct {
	name           string
	endpoint       string
	workers        int
	dwell, timeout time.Duration
	schedule
}

// fleet is what the commands, and all jobs of a worker, share.
type fleet struct {
	settings
	sealer  *sealer
	pool    *pgxpool.Pool
	db      *sql.DB // for the Store; its connections are the pool's
	store   *sqlstore.Store
	jobs    *river.Client[pgx.Tx]
	options icloud.Options

	mu      sync.Mutex
	clients map[int64]connected // see client in sync.go
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		slog.Error("failed", "err", quiet(err))
		if refusal, ok := errors.AsType[*icloud.AuthError](err); ok {
			fmt.Fprintln(os.Stderr, refusal.Remedy())
		}
		os.Exit(1)
	}
}

// command does what the arguments say.
func command(ctx context.Context, args []string) (err error) {
	var s settings
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.StringVar(&s.name, "name", "", "this worker's name in River's tables; if empty, River makes one")
	flags.StringVar(&s.endpoint, "endpoint", "", "a CardDAV server other than iCloud, for example a fake")
	flags.IntVar(&s.workers, "workers", 50, "how many accounts to sync at once")
	flags.DurationVar(&s.every, "every", time.Hour, "how often to sync an account, if nothing is wrong")
	flags.DurationVar(&s.sweep, "sweep", 10*time.Second, "how often to look for accounts that are due")
	flags.DurationVar(&s.dwell, "dwell", 15*time.Minute, "how long a refusal must last to be final")
	flags.DurationVar(&s.timeout, "timeout", 5*time.Minute, "how long the sync of one account may take")
	if len(args) == 0 {
		return errors.New("usage: fleet migrate | connect [flags] apple-id | work [flags]")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	f, err := open(ctx, s, os.Getenv("DATABASE_URL"), os.Getenv("FLEET_KEY"))
	if err != nil {
		return err
	}
	defer f.close()

	switch name := args[0]; {
	case name == "migrate":
		return f.migrate(ctx)
	case name == "connect" && flags.NArg() == 1:
		entered, err := io.ReadAll(io.LimitReader(os.Stdin, 1024))
		if err != nil {
			return err
		}
		password, err := icloud.ParsePassword(string(entered))
		if err != nil {
			return err
		}
		// Who connects has just generated the password, so the date of issue is known. A
		// year later, this date distinguishes "expired" from "revoked".
		return f.connect(ctx, icloud.Credential{AppleID: flags.Arg(0), Password: password, Issued: time.Now()})
	case name == "work":
		return f.work(ctx)
	}
	return fmt.Errorf("unknown command, or wrong number of arguments: %q", args)
}

// open makes a fleet. It does not start to work on jobs.
func open(ctx context.Context, s settings, database, key string) (f *fleet, err error) {
	if s.every <= 0 || s.sweep <= 0 || s.timeout <= 0 || s.workers <= 0 {
		return nil, errors.New("-every, -sweep, -timeout and -workers must be more than zero")
	}
	f = &fleet{settings: s, clients: make(map[int64]connected)}
	if f.sealer, err = newSealer(key); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, err
	}
	// No job holds a connection while it asks iCloud or uses the Store. So one pool is
	// enough, and need not grow with the number of jobs at once.
	config.MaxConns = max(config.MaxConns, 10)
	if f.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	f.db = stdlib.OpenDBFromPool(f.pool)
	f.store = sqlstore.New(f.db, sqlstore.PostgreSQL)
	f.options = icloud.Options{
		Endpoint:  s.endpoint,
		Store:     f.store,
		Fleet:     new(icloud.Fleet), // one for the process
		Dwell:     s.dwell,
		Transport: transport(),
		OnStoreError: func(ctx context.Context, err error) {
			// Alert on it: what the Clients learn while the Store fails is lost.
			slog.ErrorContext(ctx, "the Store fails, or works again", "err", err)
		},
	}
	if s.endpoint != "" {
		// The fake's passwords live for a year. Nobody knows the lifetime on iCloud. If
		// no Lifetime is given, the Fleet looks for evidence.
		f.options.Lifetime = icloud.DefaultLifetime
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &syncWorker{fleet: f})
	river.AddWorker(workers, &sweepWorker{fleet: f})
	river.AddWorker(workers, &noticeWorker{fleet: f})
	f.jobs, err = river.NewClient(riverpgxv5.New(f.pool), &river.Config{
		ID:     s.name,
		Logger: slog.Default(),
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: s.workers},
			houseQueue:         {MaxWorkers: 1},
		},
		Workers:    workers,
		JobTimeout: s.timeout,
		// A worker that is killed leaves its jobs "running". They are unique, so
		// nobody can sync those accounts until River's leader rescues the jobs,
		// by default after an hour. Less is safe: if such a job still runs, its
		// context has ended by then, and it can write nothing once the next run
		// of its account has begun.
		RescueStuckJobsAfter: s.timeout + s.timeout/5,
		PeriodicJobs: []*river.PeriodicJob{
			river.NewPeriodicJob(river.PeriodicInterval(s.sweep), func() (river.JobArgs, *river.InsertOpts) { return sweepArgs{}, nil }, nil),
			river.NewPeriodicJob(river.PeriodicInterval(noticeEvery), func() (river.JobArgs, *river.InsertOpts) { return noticeArgs{}, nil },
				&river.PeriodicJobOpts{RunOnStart: true}), // because the interval starts again with each new leader
		},
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) close() {
	_ = f.db.Close()
	f.pool.Close()
}

// migrate makes the tables of River, of sqlstore and of schema.sql.
func (f *fleet) migrate(ctx context.Context) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(f.pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if err := f.store.Create(ctx); err != nil {
		return err
	}
	_, err = f.pool.Exec(ctx, schema)
	return err
}

// work works jobs until ctx ends, and then finishes those that it has begun.
func (f *fleet) work(ctx context.Context) error {
	exporter, err := stdouttrace.New()
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)

	// Not the context that the signal ends: River would stop its jobs at once.
	if err := f.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = f.jobs.Stop(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		// The jobs are rolled back, and another worker retries them.
		err = f.jobs.StopAndCancel(context.WithoutCancel(ctx))
	}
	return errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx)))
}
