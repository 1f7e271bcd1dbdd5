// What the page shows, and its template.

package connect

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed page.html
var pageHTML string

// ours is the template that is used if Config.Template is nil. It defines the templates
// "style" and "content" that a Config.Template can call.
var ours = template.Must(template.New("page").Parse(pageHTML))

// The kinds of pages.
const (
	kindForm    = "form"
	kindDone    = "done"
	kindProblem = "problem" // why there is no form
)

// page is the data of the template. The fields for texts have their keys in the message
// files, which T turns into texts. No field contains a password.
type page struct {
	Lang    string
	Product string
	Title   string
	Nonce   string

	Kind      string
	Heading   string
	Problem   string // of kindProblem
	ReturnURL string // of kindDone

	// Of kindForm.
	Again         bool   // the account has an Apple ID, which cannot be changed here
	Masked        string // the part of the Apple ID that is shown
	Reason        string
	Alert         string // about the form as a whole
	AppleID       string // as entered
	AppleIDError  string
	PasswordError string
	Fresh         bool

	language *language
	wait     time.Duration // until the next try
	expires  time.Time     // the estimated end of the password
}

// site is a constant, so that no translation can link to another site.
const site = "account.apple.com"

// T returns the text of a key with its placeholders replaced.
func (p *page) T(key string) template.HTML {
	l := p.language
	args := []any{"product", p.Product, "apple-id", p.Masked, "wait", l.wait(p.wait), "date", l.date(p.expires)}
	switch key {
	case "steps.open":
		args = append(args, "site", `<a href="https://`+site+`" target="_blank" rel="noopener noreferrer">`+site+"</a> ("+l.html("steps.new-tab")+")")
	case "steps.choose", "steps.generate":
		args = append(args, "security", l.menu("apple.security"), "passwords", l.menu("apple.passwords"), "generate", l.menu("apple.generate"))
	}
	return l.html(key, args...)
}

// newTemplate returns the template to execute: ours, or own with our parts added.
func newTemplate(own *template.Template) (*template.Template, error) {
	if own == nil {
		return ours.Clone()
	}
	t, err := own.Clone()
	if err != nil {
		return nil, errors.New("icloud/connect: Config.Template was executed before")
	}
	parts, err := ours.Clone()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"style", "content"} {
		if t.Lookup(name) != nil {
			continue
		}
		if _, err := t.AddParseTree(name, parts.Lookup(name).Tree); err != nil {
			return nil, fmt.Errorf("icloud/connect: Config.Template: %w", err)
		}
	}
	// A template that does not work fails here and not at the first customer.
	languages, err := loadLanguages()
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{kindForm, kindDone, kindProblem} {
		p := &page{Lang: fallback, Kind: kind, Reason: "reason.first", Problem: "problem.link", language: languages[fallback]}
		if err := t.Execute(io.Discard, p); err != nil {
			return nil, fmt.Errorf("icloud/connect: Config.Template: %w", err)
		}
	}
	return t, nil
}

// mask returns a part of an Apple ID: enough for its owner to recognize it, and too
// little for anybody else who has a link to learn the address.
func mask(appleID string) string {
	user, domain, ok := strings.Cut(appleID, "@")
	first, size := utf8.DecodeRuneInString(user)
	if size == 0 || size == len(user) {
		// A single letter would be the whole name.
		user = "…"
	} else {
		user = string(first) + "…"
	}
	if !ok {
		return user
	}
	return user + "@" + domain
}
