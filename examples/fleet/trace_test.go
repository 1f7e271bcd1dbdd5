package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// The planted values are personal or secret, and appear nowhere else.
const (
	plantedID     = "planted.owner@example.org"
	plantedCard   = "plantedcard"
	plantedName   = "Planted Person"
	plantedNumber = 4711_0815_42 // of the account in our database
	plantedText   = "planted words of a server"
)

// TestPrivate reads all spans, metrics and log lines of jobs that end in every possible way,
// and looks for what they must not contain.
func TestPrivate(t *testing.T) {
	var logs lockedBuffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	spans, metrics := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	tracers, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(metrics)))
	t.Cleanup(func() { otel.SetTracerProvider(tracers); otel.SetMeterProvider(meters) })

	srv := icloudtest.NewServer()
	defer srv.Close()
	account := srv.Account(plantedID)
	put := func(name string) {
		account.Put(plantedCard+".vcf", "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nN:;;;;\r\nFN:"+name+"\r\nEND:VCARD\r\n")
	}
	put(plantedName)
	account.Put(plantedCard+"2.vcf", "BEGIN:VCARD\r\n"+plantedName+"\x00\xff")
	var paths sync.Map // parts of the paths of requests
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for part := range strings.SplitSeq(r.URL.Path, "/") {
			paths.Store(part, true)
		}
		srv.ServeHTTP(w, r)
	}))
	defer server.Close()

	f := newFleet(t, settings{endpoint: server.URL + "/", workers: 2, dwell: time.Nanosecond, timeout: time.Minute})
	ctx := t.Context()
	exec := func(statement string) {
		t.Helper()
		if _, err := f.pool.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf(`ALTER TABLE accounts ALTER COLUMN id RESTART WITH %d`, plantedNumber))
	ended := start(t, f)
	cred := account.Issue()
	if err := f.connect(ctx, cred); err != nil {
		t.Fatal(err)
	}
	ended()
	job := func(what string) {
		t.Helper()
		put(plantedName + " " + what)
		if _, err := f.jobs.Insert(ctx, syncArgs{plantedNumber}, nil); err != nil {
			t.Fatal(err)
		}
		ended()
	}
	under := func(what string, fault icloudtest.Fault) {
		t.Helper()
		srv.SetIntercept(fault)
		job(what)
		srv.SetIntercept(nil)
	}
	job("is changed")
	under("is at a server that speaks no HTTP", func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		fmt.Fprintf(conn, "%s\r\n\r\n", plantedID)
		_ = conn.Close()
		return true
	})
	under("is lost on the way", icloudtest.Reset)
	under("is cut", icloudtest.Cut(300))
	under("is on an error page", func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, plantedText+" "+plantedID, http.StatusBadGateway)
		return true
	})
	under("cannot be got", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			http.Error(w, plantedText, http.StatusForbidden)
			return true
		}
		if err := lose(r, plantedCard+".vcf"); err != nil {
			t.Error(err)
		}
		return false
	})
	account.ForgetTokens()
	job("has a token that is forgotten")
	exec(`CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no % here', NEW.id; END $$ LANGUAGE plpgsql;
		CREATE TRIGGER refuse BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()`)
	job("is refused by the database")
	exec(`DROP TRIGGER refuse ON contacts; DELETE FROM river_job WHERE kind = 'sync'`)

	// The password is doubted, and after a dwell of a nanosecond it is refused for good. A
	// Client asks once a minute, and a new one asks at once.
	account.Revoke(cred.Password)
	job("is behind a doubted password")
	exec(`DELETE FROM icloud_store`)
	f.mu.Lock()
	clear(f.clients)
	f.mu.Unlock()
	exec(`DELETE FROM river_job WHERE kind = 'sync'`)
	f.options.Dwell = -1
	job("is behind a dead password")
	exec(`UPDATE accounts SET apple_id = 'other' || apple_id`) // for which its password is not sealed
	job("is sealed")
	if err := (&noticeWorker{fleet: f}).Work(ctx, nil); err != nil {
		t.Error(err)
	}
	// A database that cannot be reached, and a DSN that cannot be parsed.
	dsn := "postgres://" + url.QueryEscape(plantedID) + ":secretpart@127.0.0.1:1/x"
	elsewhere, err := open(ctx, f.settings, dsn, os.Getenv("FLEET_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.close()
	slog.Error("failed", "err", quiet(elsewhere.migrate(ctx)))
	_, err = open(ctx, f.settings, dsn+"?connect_timeout=x", os.Getenv("FLEET_KEY"))
	slog.Error("failed", "err", quiet(err))

	// The output must show what happened. Otherwise this test would check nothing.
	text := logs.String()
	for _, want := range []string{`"state":"doubted"`, `"state":"signed out"`, `"certainty"`, "token no longer honored", "SQLSTATE P0001", "cannot be opened with this FLEET_KEY", "the database cannot be reached", "DATABASE_URL cannot be parsed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no log line says %s", want)
		}
	}
	read := &record{t: t, text: make(map[string]string)}
	for line := range strings.Lines(text) {
		read.add("a log line", line)
	}
	requests, failed := 0, 0
	for _, span := range spans.GetSpans() {
		read.span(span)
		if strings.HasPrefix(span.Name, "HTTP ") {
			requests++
		}
		if span.Status.Description == "the request failed" {
			failed++
		}
	}
	if requests < 20 || failed < 2 {
		t.Errorf("got spans of %d requests of which %d failed on the way, want 20 and 2 at least", requests, failed)
	}
	var measured metricdata.ResourceMetrics
	if err := metrics.Collect(ctx, &measured); err != nil {
		t.Fatal(err)
	}
	read.metrics(measured)

	secrets := map[string]string{
		"the Apple ID": plantedID, "its local part": "planted.owner", "the account's number": fmt.Sprint(plantedNumber),
		"a card's ID": plantedCard, "a name": plantedName, "a server's words": plantedText,
		"the password": cred.Password.Reveal(), "a host's path": "carddavhome", "FLEET_KEY": os.Getenv("FLEET_KEY"),
		"the database's password": "secretpart",
	}
	key, err := icloud.AccountKey(f.endpoint, plantedID)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the account's key"] = key
	paths.Range(func(part, _ any) bool {
		if number := part.(string); regexp.MustCompile(`^\d{6,}$`).MatchString(number) {
			secrets["the account's number at iCloud"] = number
		}
		return true
	})
	if secrets["the account's number at iCloud"] == "" {
		t.Error("no path had the account's number")
	}
	for what, secret := range secrets {
		read.lacks(what, secret)
	}
}

// record has the texts that were exported, and where each was found.
type record struct {
	t    *testing.T
	text map[string]string
}

func (r *record) add(where, text string) { r.text[text] = where }

func (r *record) attributes(where string, all []attribute.KeyValue) {
	for _, a := range all {
		r.add(where+"'s attribute "+string(a.Key), string(a.Key)+"="+a.Value.String())
	}
}

func (r *record) span(s tracetest.SpanStub) {
	r.add("a span's name", s.Name)
	r.add("a span's status", s.Status.Description)
	r.add("a span's trace state", s.SpanContext.TraceState().String())
	r.attributes("a span", s.Attributes)
	r.attributes("a resource", s.Resource.Attributes())
	for _, e := range s.Events {
		r.add("an event's name", e.Name)
		r.attributes("an event", e.Attributes)
	}
	for _, l := range s.Links {
		r.attributes("a link", l.Attributes)
	}
}

func (r *record) metrics(all metricdata.ResourceMetrics) {
	points := 0
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			r.add("a metric", m.Name+" "+m.Description)
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					points++
					r.attributes("a metric", p.Attributes.ToSlice())
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					points++
					r.attributes("a metric", p.Attributes.ToSlice())
				}
			default:
				r.t.Errorf("the test does not read metrics of the type %T", data)
			}
		}
	}
	if points == 0 {
		r.t.Error("nothing was measured")
	}
}

func (r *record) lacks(what, secret string) {
	r.t.Helper()
	for text, where := range r.text {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			r.t.Errorf("%s holds %s: %q", where, what, text)
		}
	}
}

// lockedBuffer is a buffer that many may write to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
