// Fleet is a blueprint for a service that follows the contacts of more iCloud
// accounts than one machine can serve: any number of workers on one PostgreSQL.
//
//	fleet migrate                                 make the tables
//	fleet connect you@example.com <password.txt   connect an account, or reconnect it
//	fleet work                                    follow the accounts, until interrupted
//
// The environment has the database, DATABASE_URL, and the key that passwords are
// sealed with, FLEET_KEY: 32 random bytes in base64. README.md says more.
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
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/sqlstore"
)

//go:embed schema.sql
var schema string

// settings are the flags. Their defaults suit iCloud.
type settings struct {
	name                       string
	endpoint                   string
	workers                    int
	every, sweep, retry, dwell time.Duration
	timeout                    time.Duration
}

// fleet is what the commands, and all jobs of a worker, share.
type fleet struct {
	settings
	sealer  *sealer
	pool    *pgxpool.Pool // for jobs, accounts and contacts
	db      *sql.DB       // for the memory
	store   *sqlstore.Store
	jobs    *river.Client[pgx.Tx]
	options icloud.Options

	mu      sync.Mutex
	clients map[int64]connected // see client in sync.go
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		slog.Error("failed", "err", err)
		if refusal, ok := errors.AsType[*icloud.AuthError](err); ok {
			fmt.Fprintln(os.Stderr, refusal.Remedy())
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	var s settings
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.StringVar(&s.name, "name", "", "this worker's name in River's tables; made up if empty")
	flags.StringVar(&s.endpoint, "endpoint", "", "another CardDAV server than iCloud; a fake, for instance")
	flags.IntVar(&s.workers, "workers", 50, "how many accounts to sync at once")
	flags.DurationVar(&s.every, "every", time.Hour, "how often to sync an account")
	flags.DurationVar(&s.sweep, "sweep", 10*time.Second, "how often to look for accounts that are due")
	flags.DurationVar(&s.retry, "retry", 5*time.Minute, "when to try again after a failure that names no time")
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

	switch command := args[0]; {
	case command == "migrate":
		return f.migrate(ctx)
	case command == "connect" && flags.NArg() == 1:
		entered, err := io.ReadAll(io.LimitReader(os.Stdin, 1024))
		if err != nil {
			return err
		}
		password, err := icloud.ParsePassword(string(entered))
		if err != nil {
			return err
		}
		// Whoever connects has just generated it, so this is known; a year
		// later it is what tells "expired" from "revoked".
		return f.connect(ctx, icloud.Credential{AppleID: flags.Arg(0), Password: password, Issued: time.Now()})
	case command == "work":
		return f.work(ctx)
	}
	return fmt.Errorf("no such command, or not so many arguments: %q", args)
}

// open makes a fleet. It works nothing yet.
func open(ctx context.Context, s settings, database, key string) (f *fleet, err error) {
	f = &fleet{settings: s, clients: make(map[int64]connected)}
	if f.sealer, err = newSealer(key); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, err
	}
	// Each running job holds one connection; River needs some to find jobs and
	// to note their ends.
	config.MaxConns = int32(s.workers) + 10
	if f.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	// The memory has connections of its own: a job that already holds one of a
	// pool must never wait for a second one of the same.
	if f.db, err = sql.Open("pgx", database); err != nil {
		f.pool.Close()
		return nil, err
	}
	f.db.SetMaxOpenConns(10)
	f.store = sqlstore.New(f.db, sqlstore.PostgreSQL)
	f.options = icloud.Options{
		Endpoint:  s.endpoint,
		Store:     f.store,
		Fleet:     new(icloud.Fleet), // one for the process
		Dwell:     s.dwell,
		Transport: transport(),
	}
	if s.endpoint != "" {
		// The fake's passwords live a year. On iCloud nobody knows, and the Fleet
		// weighs the evidence for as long as no Lifetime is given.
		f.options.Lifetime = icloud.DefaultLifetime
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &syncWorker{fleet: f})
	river.AddWorker(workers, &sweepWorker{fleet: f})
	f.jobs, err = river.NewClient(riverpgxv5.New(f.pool), &river.Config{
		ID:         s.name,
		Logger:     slog.Default(),
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: s.workers}},
		Workers:    workers,
		JobTimeout: s.timeout,
		// A worker that is killed leaves its jobs "running", and as they are
		// unique, nobody can sync those accounts until River's leader rescues
		// the jobs. By default that takes an hour. Sooner is safe: a job that
		// runs after all has been told to stop by then, and is locked out by
		// the row of its account if it has not.
		RescueStuckJobsAfter: s.timeout + s.timeout/5,
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(
			river.PeriodicInterval(s.sweep),
			func() (river.JobArgs, *river.InsertOpts) { return sweepArgs{}, nil },
			&river.PeriodicJobOpts{RunOnStart: true},
		)},
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) close() {
	f.pool.Close()
	_ = f.db.Close()
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

	// Not the context that the signal ends: River would drop its jobs.
	if err := f.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = f.jobs.Stop(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		// Rolled back, and retried by another worker.
		err = f.jobs.StopAndCancel(context.WithoutCancel(ctx))
	}
	return errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx)))
}

// transport makes a span of each request.
func transport() http.RoundTripper {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100 // all accounts are at a few hosts
	return otelhttp.NewTransport(private{base},
		// Apple has no use for our trace ids.
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()))
}

// private takes out of a span what otelhttp has put into it: paths that hold the
// account's number and the names of its cards. Authorization is not in it.
type private struct{ base http.RoundTripper }

func (p private) RoundTrip(r *http.Request) (*http.Response, error) {
	trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("url.full", r.URL.Scheme+"://"+r.URL.Host))
	return p.base.RoundTrip(r)
}
