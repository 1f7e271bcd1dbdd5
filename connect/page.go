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

// ours is the template of Config.Template's zero value, and the parts that one of
// a service's own can use.
var ours = template.Must(template.New("page").Parse(pageHTML))

// What a page is.
const (
	kindForm    = "form"
	kindDone    = "done"
	kindProblem = "problem" // no form: this visitor, or this request, gets none
)

// page is what the template shows. Texts are given by their keys in the message
// files, and come by way of T. There is no field for a password.
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
	Again         bool   // the account has an Apple ID, which is fixed
	Masked        string // what is shown of it
	Reason        string
	Alert         string // about the form as a whole
	AppleID       string // as it was entered
	AppleIDError  string
	PasswordError string
	Fresh         bool

	language *language
	wait     time.Duration // until the next try
	expires  time.Time     // the estimated end of the password
}

// site is a constant, so that no text and no translation can lead elsewhere.
const site = "account.apple.com"

// T returns a text with its placeholders filled in.
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
	// What does not work is to be seen now, not by the first customer.
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

// mask returns an Apple ID in part: enough for its owner to know which of theirs it
// is, and too little for whoever has come by a link to learn an address.
func mask(appleID string) string {
	user, domain, ok := strings.Cut(appleID, "@")
	first, size := utf8.DecodeRuneInString(user)
	if size == 0 || size == len(user) {
		// Of a single letter there is no part.
		user = "…"
	} else {
		user = string(first) + "…"
	}
	if !ok {
		return user
	}
	return user + "@" + domain
}
