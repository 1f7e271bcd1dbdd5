// Spans of requests and errors, as they leave the process. Neither may show whose
// account it is.

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
	base.MaxIdleConnsPerHost = 100 // all accounts are on a few hosts
	return otelhttp.NewTransport(private{base},
		// Apple does not need our trace ids.
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()))
}

// private removes from a span what otelhttp has put into it: paths, which contain the
// account's number and the names of its cards. otelhttp does not record Authorization.
type private struct{ base http.RoundTripper }

func (p private) RoundTrip(r *http.Request) (*http.Response, error) {
	trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("url.full", r.URL.Scheme+"://"+r.URL.Host))
	resp, err := p.base.RoundTrip(r)
	if err != nil {
		// otelhttp copies the error's text into the span's status. If the server's answer
		// is not HTTP, net/http repeats it in that text.
		err = quietError{"the request failed", err}
	}
	return resp, err
}

// quietError has a text that may be logged. It wraps the error for errors.Is and
// errors.As.
type quietError struct {
	text string
	err  error
}

func (e quietError) Error() string { return e.text }
func (e quietError) Unwrap() error { return e.err }

// quiet returns an error whose text has no account and nothing from the rows of one.
// The errors of package icloud and of sqlstore have no such text, but those of the
// database may.
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
