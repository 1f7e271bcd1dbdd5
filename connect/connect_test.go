package connect_test

import (
	"context"
	"html/template"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/connect"
)

// TestNew: a Config that cannot work is refused. The error names the field and contains
// no secret.
func TestNew(t *testing.T) {
	t.Parallel()
	executed := template.Must(template.New("").Parse("x"))
	if err := executed.Execute(io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*connect.Config)
		field  string // "" if there is no error
	}{
		{"all", func(*connect.Config) {}, ""},
		{"no product", func(c *connect.Config) { c.Product = " " }, "Product"},
		{"a line break in the product", func(c *connect.Config) { c.Product = "A\r\nB" }, "Product"},
		{"no URL", func(c *connect.Config) { c.BaseURL = "" }, "BaseURL"},
		{"a path", func(c *connect.Config) { c.BaseURL = "/icloud/" }, "BaseURL"},
		{"no host", func(c *connect.Config) { c.BaseURL = "https:///icloud/" }, "BaseURL"},
		{"only a port", func(c *connect.Config) { c.BaseURL = "https://:443/" }, "BaseURL"},
		{"http", func(c *connect.Config) { c.BaseURL = "http://app.acme.example/" }, "BaseURL"},
		{"http on something like localhost", func(c *connect.Config) { c.BaseURL = "http://localhost.acme.example/" }, "BaseURL"},
		{"http on localhost", func(c *connect.Config) { c.BaseURL = "http://localhost:8080/icloud" }, ""},
		{"http on 127.0.0.1", func(c *connect.Config) { c.BaseURL = "http://127.0.0.1:8080" }, ""},
		{"http on ::1", func(c *connect.Config) { c.BaseURL = "http://[::1]:8080/" }, ""},
		{"http on 0.0.0.0", func(c *connect.Config) { c.BaseURL = "http://0.0.0.0:8080/" }, "BaseURL"},
		{"javascript", func(c *connect.Config) { c.BaseURL = "javascript:alert(1)" }, "BaseURL"},
		{"a user", func(c *connect.Config) { c.BaseURL = "https://u:p@app.acme.example/" }, "BaseURL"},
		{"a query", func(c *connect.Config) { c.BaseURL = base + "?a=b" }, "BaseURL"},
		{"an empty query", func(c *connect.Config) { c.BaseURL = base + "?" }, "BaseURL"},
		{"a fragment", func(c *connect.Config) { c.BaseURL = base + "#a" }, "BaseURL"},
		{"a line break in the URL", func(c *connect.Config) { c.BaseURL = "https://app.acme.example/\r\nX: y" }, "BaseURL"},
		{"no secret", func(c *connect.Config) { c.Secret = nil }, "Secret"},
		{"a short secret", func(c *connect.Config) { c.Secret = []byte("hunter2 hunter2 hunter2 hunter2")[:31] }, "Secret"},
		{"no Account", func(c *connect.Config) { c.Account = nil }, "Account"},
		{"no Save", func(c *connect.Config) { c.Save = nil }, "Save"},
		{"links alone", func(c *connect.Config) { c.Identify, c.Options = nil, nil }, ""},
		{"no way back", func(c *connect.Config) { c.ReturnURL = "" }, ""},
		{"a way back elsewhere", func(c *connect.Config) { c.ReturnURL = "https://www.acme.example/done" }, ""},
		{"a way back by http", func(c *connect.Config) { c.ReturnURL = "http://www.acme.example/" }, "ReturnURL"},
		{"a way back to a script", func(c *connect.Config) { c.ReturnURL = "javascript:alert(1)" }, "ReturnURL"},
		{"a way back without a scheme", func(c *connect.Config) { c.ReturnURL = "//evil.example/" }, "ReturnURL"},
		{"a way back with a backslash", func(c *connect.Config) { c.ReturnURL = `/\evil.example/` }, "ReturnURL"},
		{"a way back that is relative", func(c *connect.Config) { c.ReturnURL = "done" }, "ReturnURL"},
		{"a template", func(c *connect.Config) {
			c.Template = template.Must(template.New("").Parse(`<p>{{template "content" .}}`))
		}, ""},
		{"a template that was executed", func(c *connect.Config) { c.Template = executed }, "Template"},
		{"a template that fails", func(c *connect.Config) { c.Template = template.Must(template.New("").Parse(`{{.Password}}`)) }, "Template"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := connect.Config{
				Product:   "Acme",
				BaseURL:   base,
				Secret:    []byte(strings.Repeat("s", 32)),
				Account:   func(context.Context, string) (connect.Account, error) { return connect.Account{}, nil },
				Save:      func(context.Context, string, icloud.Credential) error { return nil },
				Identify:  func(*http.Request) (string, error) { return "ann", nil },
				Options:   func(string) *icloud.Options { return nil },
				ReturnURL: "/",
			}
			test.change(&config)
			h, err := connect.New(config)
			if test.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || h != nil {
				t.Fatal("got no error")
			}
			if text := err.Error(); !strings.Contains(text, "Config."+test.field) || !strings.HasPrefix(text, "icloud/connect: ") ||
				strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
				t.Errorf("got %q, want an error about %s", text, test.field)
			}
		})
	}
}

// TestSecretCopied: a caller may clear the Secret after New.
func TestSecretCopied(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("s", 40))
	s := newService(t, func(c *connect.Config) { c.Secret = secret })
	link := s.link(t, "ann")
	clear(secret)
	s.get(t, link).wants(t, http.StatusOK)
}
