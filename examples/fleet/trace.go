// What leaves the process: spans of requests, and errors that may be logged. Neither
// may say whose account it is.

package main

import (
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

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
	resp, err := p.base.RoundTrip(r)
	if err != nil {
		// otelhttp makes its text the status of the span, and net/http repeats in it
		// what a server has sent, if that is not HTTP.
		err = quietError{"the request failed", err}
	}
	return resp, err
}

// quietError has a text that may be logged. What it wraps is there for errors.Is and
// errors.As.
type quietError struct {
	text string
	err  error
}

func (e quietError) Error() string { return e.text }
func (e quietError) Unwrap() error { return e.err }

// quiet returns an error whose text names neither accounts nor what is in their rows.
// The errors of package icloud and of sqlstore do not; those of the database may.
func quiet(err error) error {
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		return quietError{"the database answered SQLSTATE " + failed.Code, err}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return quietError{"the database cannot be reached", err}
	}
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return quietError{"DATABASE_URL cannot be parsed", err}
	}
	return err
}
