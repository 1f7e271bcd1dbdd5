package connect_test

import (
	"context"
	"html/template"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-icloud/icloud/connect"
)

// TestMask: the page shows as much of an Apple ID as its owner needs to recognize it.
func TestMask(t *testing.T) {
	t.Parallel()
	for appleID, want := range map[string]string{
		"ann@icloud.com":      "a…@icloud.com",
		"Ünal@example.com":    "Ü…@example.com",
		"a@example.com":       "…@example.com",
		"nobody":              "n…",
		"x":                   "…",
		"a@b@example.com":     "…@b@example.com",
		"<b>ann</b>@evil.com": "<…@evil.com",
	} {
		s := newService(t, nil)
		s.accounts["ann"].cred.AppleID = appleID
		a := s.get(t, s.link(t, "ann"))
		a.wants(t, http.StatusOK, " "+want+" ")
		if strings.Contains(a.text, appleID) {
			t.Errorf("%s is on the page", appleID)
		}
	}
}

// TestTemplateFails: if the template fails with the data of a page, no part of the page is
// sent.
func TestTemplateFails(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) {
		c.Template = template.Must(template.New("").Parse(`half {{if eq .Lang "de"}}{{.NoSuchField}}{{end}}`))
	})
	var logged strings.Builder
	r := httptest.NewRequest("GET", s.link(t, "ann"), nil)
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ErrorLog: log.New(&logged, "", 0)}))
	a := s.do(t, r, "Accept-Language", "de")
	a.wants(t, http.StatusInternalServerError, "Bei Acme & Sons stimmt etwas nicht")
	if strings.Contains(a.Body.String(), "half") || a.Header().Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(logged.String(), "NoSuchField") {
		t.Errorf("got %s, logged %q", a.Body, logged.String())
	}
}

// TestTemplate: a Config.Template can call the templates "style" and "content".
func TestTemplate(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *connect.Config) {
		c.Template = template.Must(template.New("").Parse(`<!DOCTYPE html><html lang="{{.Lang}}"><title>{{.Title}}</title>` +
			`<style nonce="{{.Nonce}}">{{template "style" .}} :root { --connect-accent: #a3195b }</style>` +
			`<header>{{.Product}}, made of wood</header>{{template "content" .}}`))
	})
	a := s.get(t, s.link(t, "ann"), "Accept-Language", "de")
	a.wants(t, http.StatusOK, "Acme & Sons, made of wood", "Apple-ID")
	if body := a.Body.String(); !a.hasForm() || !strings.Contains(body, "--connect-accent: #a3195b") || !strings.Contains(body, `lang="de"`) {
		t.Errorf("got %s", body)
	}
	if policy := a.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self'") {
		t.Errorf("got %q, which shows no logo", policy)
	}
}
