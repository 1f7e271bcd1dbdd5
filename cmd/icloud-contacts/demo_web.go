// demo -web: an invented product with six customers on a fake iCloud, in a browser. It
// shows side by side what the service sees of an account and what the customer sees. The
// page on which customers connect is that of package connect. The service itself is in
// demo_product.go.

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/go-icloud/icloud"
)

//go:embed demo_web.html
var demoHTML string

var demoPage = template.Must(template.New("demo").Parse(demoHTML))

// demoWeb serves until it is interrupted.
func demoWeb(ctx context.Context, p *program, addr string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return misuse("-addr: " + visible(err.Error()))
	}
	defer listener.Close()
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		// Anybody who can reach the page can press its buttons.
		return misuse("-addr is not a loopback address")
	}
	url := "http://" + listener.Addr().String() + "/"
	d, err := newProduct(ctx, url)
	if err != nil {
		return err
	}
	defer d.srv.Close()
	if _, err := fmt.Fprintf(p.out, "Open %s in a browser. Interrupt this (Ctrl-C) to end it; nothing is kept.\n", url); err != nil {
		return err
	}
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
		return server.Close() // an interruption is the normal end
	case err := <-serving:
		return err
	}
}

// handler serves the demo's own page, its buttons, and the page of package connect.
func (d *product) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/icloud/", d.page)
	mux.HandleFunc("GET /{$}", d.dashboard)
	mux.HandleFunc("POST /do/{action}/{id}", func(w http.ResponseWriter, r *http.Request) {
		c := d.find(r.PathValue("id"))
		if c == nil {
			http.NotFound(w, r)
			return
		}
		if err := d.act(r.Context(), c, r.PathValue("action")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/#"+c.ID, http.StatusSeeOther)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

// shown is a customer as the dashboard shows them.
type shown struct {
	*customer
	Connected       bool
	State, Kind     string // Kind: "good", "warn" or "bad"
	NextTry, Final  string
	Expires, Synced string
	Failure, Event  string
	Contacts        int
	Log             []string
	Mail            *mail
	Story           string
	Stray           bool // whether the button for stray refusals is shown
	Made, Trouble   string
	Requests        int
}

// dashboard serves the demo's own page.
func (d *product) dashboard(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	var rows []shown
	for _, c := range d.customers {
		rows = append(rows, d.show(c, now))
	}
	nonce := rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	// An error means that the connection is gone.
	_ = demoPage.Execute(w, map[string]any{"Nonce": nonce, "Rows": rows})
}

func (d *product) show(c *customer, now time.Time) shown {
	d.mu.Lock()
	client := c.client
	r := shown{customer: c, Connected: client != nil, Story: c.story, Stray: c.dwell >= 0, Contacts: c.contacts, Failure: c.failure,
		Log: slices.Clone(c.log), Mail: c.mail, Made: c.made.Reveal(), Trouble: c.trouble, Requests: c.apple.Requests()}
	if !c.synced.IsZero() {
		r.Synced = c.synced.Format("15:04:05")
	}
	d.mu.Unlock()
	if client == nil {
		r.State, r.Kind = "not connected", "warn"
		return r
	}
	status := client.Status()
	r.State = status.State.String()
	switch status.State {
	case icloud.Active:
		r.Kind = "good"
	case icloud.SignedOut:
		r.Kind = "bad"
	default:
		r.Kind = "warn"
	}
	r.NextTry = "at once"
	if status.NextTry.After(now) {
		r.NextTry = "in " + howLong(status.NextTry.Sub(now))
	}
	if status.Final.After(now) {
		r.Final = "in " + howLong(status.Final.Sub(now))
	}
	if !status.Expires.IsZero() {
		r.Expires = status.Expires.Format("2 January 2006")
	}
	event, err := json.MarshalIndent(status.Event(), "", "  ")
	if err == nil {
		r.Event = string(event)
	}
	return r
}

// howLong returns a duration in words.
func howLong(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f seconds", d.Seconds())
}
